"""Whole processes against SymPy's import, and seconds of a check: ``python tests/benchmarks/processes.py [FILE.json]``.

Ratios are taken within one run: the commands alternate, and each round gives one ratio to its own ``import sympy``; the
table shows medians. Aims, on any machine: `import widelimit.theory` at most 1.3, `derive transformer` at most 2.5, other graphs
by name 4; 8 seconds for a module of 12 layers, the import of torch included.
"""

import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

UNIT = ("-c", "import sympy")
ENCODER = Path(__file__).resolve().with_name("encoder.py")
CLI = ("-m", "widelimit.paper_repro.cli")
AGAINST_SYMPY = {
    "widelimit --help": ((*CLI, "--help"), None),
    "import widelimit.theory": (("-c", "import widelimit.theory"), 1.3),
    "widelimit derive mlp --optimizer adamw": ((*CLI, "derive", "mlp", "--optimizer", "adamw"), None),
    "widelimit derive transformer --optimizer adamw": ((*CLI, "derive", "transformer", "--optimizer", "adamw"), 2.5),
    "widelimit derive resmlp --optimizer muon": ((*CLI, "derive", "resmlp", "--optimizer", "muon"), 4.0),
    "widelimit derive llama --optimizer adamw": ((*CLI, "derive", "llama", "--optimizer", "adamw"), 4.0),
}
IN_SECONDS = {f"widelimit check {target}": ((*CLI, "check", target), None) for target in ("mlp", "transformer")}
IN_SECONDS["widelimit derive a 12-layer torch.nn.TransformerEncoder"] = ((*CLI, "derive", f"{ENCODER}:build"), 8.0)
IN_SECONDS |= {f"widelimit derive {name}, a module": ((*CLI, "derive", name), None) for name in ("dit", "uvit", "mixer")}
ROUNDS = 7


def seconds(arguments: tuple[str, ...], *, fine: tuple[int, ...] = (0,)) -> float:
    """Wall time of one Python process, run in an empty folder.

    Raises:
        RuntimeError: if it fails.
    """
    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        done = subprocess.run([sys.executable, *arguments], cwd=folder, capture_output=True, text=True, stdin=subprocess.DEVNULL)
        taken = time.perf_counter() - start
    if done.returncode not in fine:
        raise RuntimeError(f"{' '.join(arguments)} failed with {done.returncode}: {done.stderr[-500:]}")
    return taken


def measure(rounds: int = ROUNDS) -> list[dict[str, object]]:
    """One row for each command: its seconds, and its median ratio to SymPy's import where it has one."""
    timings: dict[str, list[float]] = {"import sympy": [], **{name: [] for name in AGAINST_SYMPY}}
    commands = {"import sympy": UNIT, **{name: arguments for name, (arguments, _) in AGAINST_SYMPY.items()}}
    for arguments in commands.values():
        seconds(arguments)  # bytecode and file caches
    for _ in range(rounds):
        for name, arguments in commands.items():
            timings[name].append(seconds(arguments))
    rows: list[dict[str, object]] = []
    for name, taken in timings.items():
        ratios = sorted(t / unit for t, unit in zip(taken, timings["import sympy"]))
        aim = AGAINST_SYMPY.get(name, ((), None))[1]
        rows.append({"command": name, "seconds": median(taken), "ratio": median(ratios), "spread": [ratios[0], ratios[-1]], "aim": aim})
    for name, (arguments, aim) in IN_SECONDS.items():
        rows.append({"command": name, "seconds": seconds(arguments, fine=(0, 1)), "ratio": None, "spread": None, "aim": aim})
    return rows


def main() -> None:
    """Print the table and write it as JSON."""
    rows = measure()
    print(f"{'command':48} {'seconds':>8} {'x sympy':>8} {'aim':>5}")
    for row in rows:
        ratio, aim = (f"{row[k]:.2f}" if row[k] is not None else "" for k in ("ratio", "aim"))
        print(f"{row['command']:48} {row['seconds']:8.2f} {ratio:>8} {aim:>5}")
    out = Path(sys.argv[1] if len(sys.argv) > 1 else "report/benchmarks/processes.json")
    out.parent.mkdir(parents=True, exist_ok=True)
    machine = {"python": platform.python_version(), "machine": platform.machine(), "cores": os.cpu_count()}
    out.write_text(json.dumps({"machine": machine, "rounds": ROUNDS, "rows": rows}, indent=2) + "\n")
    print(f"written to {out}")


if __name__ == "__main__":
    main()
