"""A Ray cluster: every ensemble is a task that writes into a store which all nodes share."""

from __future__ import annotations

import os
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from ..store import Store
from .local import finish

if TYPE_CHECKING:
    from ..ensemble import Ensemble
    from .engine import Report

ADDRESS = "RAY_ADDRESS"


@dataclass(frozen=True)
class Ray:
    """A Ray cluster, on which this package is installed and the store's folder is the same on every node.

    Args:
        address: of a cluster; by default ``$RAY_ADDRESS``, and if that is not set, a cluster is started on this machine.
        threads: cores of each ensemble.
        retries: how often an ensemble is begun again after its worker or node died.

    Raises:
        ValueError: if Ray is not installed.
    """

    address: str = ""
    threads: int = 1
    retries: int = 10

    def __post_init__(self) -> None:
        if find_spec("ray") is None:
            raise ValueError("the engine `ray` needs the extra `cluster`: pip install 'widelimit[cluster]'")

    def workers(self) -> int:
        """Ensembles at a time; connects to the cluster."""
        return max(1, int(self._connect().cluster_resources().get("CPU", 1)) // self.threads)

    def run(self, ensembles: Sequence[Ensemble], store: Store, *, device: str, report: Report) -> None:
        """Train what the store lacks; what another sweep is training is waited for.

        Raises:
            StoreError: if the store cannot be written.
            ChildProcessError: if workers died again and again.
        """
        ray = self._connect()
        needs = {"num_cpus": self.threads, "num_gpus": int(device.startswith("cuda")), "max_retries": self.retries}
        task = ray.remote(**needs)(_finish)
        given = ray.put(tuple(ensembles))  # once, since ensembles share their data
        there = Store(store.root.resolve())
        pending = {task.remote(given, number, there, device, self.threads): number for number in range(len(ensembles))}
        try:
            while pending:
                (finished, *_), _ = ray.wait(list(pending))
                number = pending.pop(finished)
                ray.get(finished)
                report(number, ensembles[number].label, 1.0)
        except ray.exceptions.RayTaskError as error:
            raise (error.cause or error) from None
        except ray.exceptions.RayError as error:
            reason = str(error).strip().splitlines()[0]
            raise ChildProcessError(f"workers of the Ray cluster died ({reason}); what is finished is kept") from None
        finally:
            for left in pending:
                ray.cancel(left, force=True)

    def _connect(self) -> Any:
        """The module `ray`, connected until this process ends."""
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # read when it is imported
        ray: Any = import_module("ray")
        if not ray.is_initialized():
            address = self.address or os.environ.get(ADDRESS) or "local"
            alone = {"include_dashboard": False} if address == "local" else {}
            ray.init(address, log_to_driver=False, logging_level="ERROR", **alone)
        return ray


def _finish(ensembles: Sequence[Ensemble], number: int, store: Store, device: str, threads: int) -> None:
    """On a worker."""
    import torch

    torch.set_num_threads(threads)
    warnings.filterwarnings("ignore", message="The given NumPy array is not writable")  # nobody writes to the data
    finish(ensembles[number], store, device=device)
