"""What reproducing one figure leaves behind, and where it is kept so that it need not be done twice."""

from __future__ import annotations

import hashlib
import json
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .claims import Claim

if TYPE_CHECKING:
    import pandas as pd

ROOT = Path(__file__).parents[1]
ROOMS = ("theory", "synthetic", "dmft", "figures", "paper_repro")
PACKAGES = ("numpy", "scipy", "sympy", "torch", "jax", "pandas", "matplotlib")


@dataclass(frozen=True)
class Result:
    """A reproduced figure: its claims, images (PNG and SVG), tables, and where the numbers come from."""

    figure: str
    claims: tuple[Claim, ...]
    images: tuple[Path, ...]
    tables: Mapping[str, pd.DataFrame]
    provenance: Mapping[str, Any] = field(default_factory=dict)

    @property
    def stale(self) -> bool:
        """Whether the code has changed since."""
        return self.provenance.get("code") != code_hash()


def results_home() -> Path:
    """``$WIDELIMIT_HOME``, else ``./.widelimit``."""
    return Path(os.environ.get("WIDELIMIT_HOME") or ".widelimit")


def config_hash(settings: Mapping[str, Any]) -> str:
    """sha256 of the canonical JSON of a configuration, 16 digits."""
    return hashlib.sha256(json.dumps(settings, sort_keys=True, default=str).encode()).hexdigest()[:16]


@cache
def code_hash() -> str:
    """sha256 of the package's source, 16 digits: a figure made by other code is made again."""
    found = hashlib.sha256()
    for path in sorted(p for room in ROOMS for p in (ROOT / room).rglob("*.py")):
        found.update(path.relative_to(ROOT).as_posix().encode() + b"\0" + path.read_bytes())
    return found.hexdigest()[:16]


def describe_run(settings: Mapping[str, Any], *, device: str = "") -> dict[str, Any]:
    """Provenance of the numbers of one run: command, configuration, code, commit, versions, device, time."""
    return {
        "command": " ".join(["widelimit", *sys.argv[1:]]),
        "config": config_hash(settings),
        "settings": dict(settings),
        "code": code_hash(),
        "commit": _commit(),
        "versions": {"python": platform.python_version(), **{p: v for p in PACKAGES if (v := _version(p))}},
        "device": device or f"{platform.machine()} CPU, {os.cpu_count()} cores",
        "finished": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return ""


def _commit() -> str:
    try:
        run = lambda *words: subprocess.run(["git", "-C", str(ROOT), *words], capture_output=True, text=True, timeout=20)  # noqa: E731
        head, dirty = run("rev-parse", "--short=12", "HEAD"), run("status", "--porcelain")
    except (OSError, subprocess.TimeoutExpired):
        return "unknown"
    if head.returncode:
        return "no commit"
    return head.stdout.strip() + ("+changes" if dirty.stdout.strip() else "")


def save_result(result: Result, folder: Path) -> Result:
    """Keep a result in ``folder`` (images are copied, tables written as CSV, ``result.json`` last) and return it as kept there.

    Written beside the folder and moved into place, so that a killed run leaves either the old result or the new one.
    """
    draft = folder.with_name(f".{folder.name}.{os.getpid()}")
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir(parents=True)
    for image in result.images:
        shutil.copyfile(image, draft / image.name)
    for name, table in result.tables.items():
        table.to_csv(draft / f"{name}.csv", index=False)
    data = {
        "figure": result.figure,
        "claims": [claim.as_json() for claim in result.claims],
        "images": [image.name for image in result.images],
        "tables": list(result.tables),
        "provenance": dict(result.provenance),
    }
    (draft / "result.json").write_text(json.dumps(data, indent=1, default=str))
    shutil.rmtree(folder, ignore_errors=True)
    draft.rename(folder)
    return load_result(folder)


def load_result(folder: Path) -> Result:
    """Read what `save_result` kept.

    Raises:
        ValueError: if the folder holds no complete result.
    """
    import pandas as pd

    try:
        data = json.loads((folder / "result.json").read_text())
        claims = tuple(Claim.from_json(claim) for claim in data["claims"])
        tables = {name: pd.read_csv(folder / f"{name}.csv") for name in data["tables"]}
    except (OSError, KeyError, TypeError, ValueError) as error:
        raise ValueError(f"`{folder}` holds no complete result ({error})") from None
    images = tuple(folder / name for name in data["images"])
    return Result(data["figure"], claims, images, tables, data["provenance"])
