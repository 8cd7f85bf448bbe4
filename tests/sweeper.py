"""Sweeps that tests kill: a process that imports torch once and forks one child for every order on its stdin.

fork {...}    prints the child's pid; the child executes a sweep (see `Order`)
wait PID      prints the child's exit status, negative for a signal
"""

import ctypes
import json
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import pandas as pd
from widelimit.synthetic import Plan, Store, StoreError, execute, store, teacher, training
from widelimit.theory.table import ExponentTable, Row, Shape
from widelimit.theory.zoo import mlp

TOUCHING = {"open", "os.rename", "os.remove", "os.mkdir", "os.utime"}
FAILED = 3


def make_plan(count: int, *, steps: int = 4) -> Plan:
    """Ensembles of widths 4, 5, 6 ..."""
    table, task = ExponentTable("mlp", "sgd", (Row("W1", Shape()), Row("W2", Shape()))), teacher(inputs=3, outputs=1, samples=20)
    sizes = [{"n": 4 + number} for number in range(count)]
    training = {"learning_rates": (0.1, 0.2), "seeds": (0, 1), "steps": steps, "batch": 4}
    return Plan.grid({"sp": table}, sizes, architecture=mlp(hidden=1, inputs=3, outputs=1), task=task, **training)


@dataclass(frozen=True)
class Order:
    """What a child does.

    Args:
        root: of the store.
        log: gets a line ``start WIDTH`` before an ensemble is trained and ``stored WIDTH`` when its record is there.
        out: gets the frame, or the message of a StoreError (exit status 3).
        count: ensembles of the plan.
        pause: seconds that each takes at least.
        last: the child kills itself before it touches the store for the so-manieth time.
        full: how the disk is full after two ensembles: ``limit``, ``device`` or ``tmpfs``; then there is space again, and the
            sweep is executed once more in the same process. With ``cut`` the process is killed after a kilobyte of the third record.
    """

    root: str
    log: str
    out: str
    count: int
    pause: float = 0.0
    last: int = 0
    full: str = ""

    def carry_out(self) -> int:
        """Execute the sweep; the exit status."""
        self._listen()
        if self.last:
            sys.addaudithook(self._count_down())
        plan, home, out = make_plan(self.count), Store(Path(self.root)), Path(self.out)
        with FULL[self.full](Path(self.root), lambda: self._stored() >= 2):
            try:
                execute(plan, home).to_pickle(out)
                return 0
            except StoreError as error:
                out.with_suffix(".error").write_text(str(error))
            if not self.full:
                return FAILED
        kept = sorted(path.name for path in Path(self.root).glob("runs/*"))
        out.with_suffix(".kept").write_text(json.dumps(kept))
        execute(plan, home).to_pickle(out)
        return FAILED

    def _listen(self) -> None:
        train, save = training.train, Store.save

        def logged_train(ensemble, **settings) -> pd.DataFrame:
            self._say("start", ensemble.sizes["n"])
            frame = train(ensemble, **settings)
            time.sleep(self.pause)
            return frame

        def logged_save(store: Store, data, frame: pd.DataFrame, **settings) -> Path:
            path = save(store, data, frame, **settings)
            self._say("stored", data["sizes"]["n"])
            return path

        training.train, Store.save = logged_train, logged_save

    def _say(self, *words: object) -> None:
        with open(self.log, "a") as log:
            log.write(" ".join(map(str, words)) + "\n")

    def _stored(self) -> int:
        return Path(self.log).read_text().count("stored") if Path(self.log).exists() else 0

    def _count_down(self) -> Callable[[str, tuple], None]:
        left = self.last

        def hook(event: str, arguments: tuple) -> None:
            nonlocal left
            if event in TOUCHING and str(arguments[0]).startswith(self.root):
                left -= 1
                if left == 0:
                    os.kill(os.getpid(), signal.SIGKILL)

        return hook


@contextmanager
def never(*_):
    """There is enough space."""
    yield


@contextmanager
def limited(root: Path, when: Callable[[], bool]):
    """No file may be larger than a kilobyte from some time on."""
    before, write = resource.getrlimit(resource.RLIMIT_FSIZE), store._write

    def full(*arguments) -> None:
        if when():
            resource.setrlimit(resource.RLIMIT_FSIZE, (1024, before[1]))
        write(*arguments)

    store._write = full
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, before)
    store._write = write


@contextmanager
def cut(root: Path, when: Callable[[], bool]):
    """The same, but who writes more is killed by the system."""
    signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    with limited(root, when):
        yield


@contextmanager
def diverted(root: Path, when: Callable[[], bool]):
    """What is written goes to a device that is full, from some time on."""
    write = store._write

    def full(path: Path, *arguments) -> None:
        if when():
            path.symlink_to("/dev/full")
        write(path, *arguments)

    store._write = full
    yield
    store._write = write


@contextmanager
def mounted(root: Path, when: Callable[[], bool]):
    """The store is on a file system of 64 kB, seen by this process only; then it has a megabyte."""
    libc, user = ctypes.CDLL(None, use_errno=True), os.geteuid()
    spaces = 0x20000 if user == 0 else 0x10020000  # CLONE_NEWNS, with CLONE_NEWUSER
    mount = lambda what, where, flags, options: libc.mount(what, str(where).encode(), what, flags, options)  # noqa: E731
    root.mkdir(exist_ok=True)
    private = 0x44000  # MS_REC | MS_PRIVATE
    if libc.unshare(spaces) or mount(b"none", "/", private, None) or mount(b"tmpfs", root, 0, b"size=64k"):
        os._exit(77)
    yield
    mount(b"tmpfs", root, 0x20, b"size=1m")  # MS_REMOUNT


FULL = {"": never, "limit": limited, "cut": cut, "device": diverted, "tmpfs": mounted}


def kill_a_worker(there: Store, killed: dict[str, bool]) -> None:
    """Kill the process that holds the lock of the first ensemble; its key, and whether it had been stored."""
    while True:
        for lock in there.root.glob("runs/*.lock"):
            try:
                pid = json.loads(lock.read_text())["pid"]
            except (OSError, ValueError):
                continue  # gone, or being written
            os.kill(pid, signal.SIGKILL)
            killed[lock.stem] = there.path(lock.stem).exists()
            return
        time.sleep(0.02)


class Sweeper:
    """The other end: starts the process and hands it orders."""

    def __init__(self) -> None:
        self._process = subprocess.Popen([sys.executable, __file__], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def fork(self, order: Order) -> int:
        """Start a child; its pid."""
        return self._ask(f"fork {json.dumps(asdict(order))}")

    def wait(self, pid: int) -> int:
        """The exit status of a child that ends, negative for a signal."""
        return self._ask(f"wait {pid}")

    def run(self, order: Order) -> int:
        """A child from start to end."""
        return self.wait(self.fork(order))

    def close(self) -> None:
        """End the process, when its children have ended."""
        self._process.communicate(timeout=30)

    def _ask(self, line: str) -> int:
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.write(line + "\n")
        self._process.stdin.flush()
        return int(self._process.stdout.readline())


def main() -> None:
    """Read orders until there are no more."""
    for line in sys.stdin:
        word, _, rest = line.partition(" ")
        if word == "wait":
            print(os.waitstatus_to_exitcode(os.waitpid(int(rest), 0)[1]), flush=True)
            continue
        pid = os.fork()
        if pid == 0:
            status = 1
            try:
                status = Order(**json.loads(rest)).carry_out()
            finally:
                sys.stderr.flush()
                os._exit(status)
        print(pid, flush=True)


if __name__ == "__main__":
    main()
