"""How a training step runs on a device: captured as one CUDA graph, and in which precision its matrix products are."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

from .stacked import Factor

Step = Callable[[Tensor, Factor], Tensor]
WARM = 3  # steps that run one by one before the capture: libraries choose their kernels and buffers then


def capture(step: Step, device: torch.device) -> Step:
    """The same step; on CUDA, from the fourth call on, as one graph without launches from Python.

    A step of a small network is bound by the time of launching its hundred kernels. The graph reads samples and factor from fixed
    places; the losses that it returns are overwritten by the next call.
    """
    return step if device.type != "cuda" else _Captured(step)


class _Captured:
    """A step that replays its graph."""

    def __init__(self, step: Step):
        self.step, self.calls = step, 0
        self.stream = torch.cuda.Stream()

    def __call__(self, samples: Tensor, factor: Factor) -> Tensor:
        assert isinstance(factor, Tensor)
        self.calls += 1
        if self.calls <= WARM:
            return self._warm(samples, factor)
        if self.calls == WARM + 1:
            self.samples, self.factor, self.graph = samples.clone(), factor.clone(), torch.cuda.CUDAGraph()
            with torch.cuda.graph(self.graph):  # records, does not run
                self.losses = self.step(self.samples, self.factor)
        self.samples.copy_(samples)
        self.factor.copy_(factor)
        self.graph.replay()
        return self.losses

    def _warm(self, samples: Tensor, factor: Tensor) -> Tensor:
        """On a stream of its own, as capturing asks for."""
        self.stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(self.stream):
            losses = self.step(samples, factor)
        torch.cuda.current_stream().wait_stream(self.stream)
        return losses


def keep_memory() -> None:
    """Let the C library keep what a step frees for the next step, instead of giving it back and having it zeroed page by page.

    glibc gives back what is larger than the largest block that was mapped and freed before, up to 32 MiB, and all above twice that;
    a step of 96 networks of width 128 had 2000 page faults, which took 15 % of its time.
    """
    torch.empty(2**25 - 2**16, dtype=torch.uint8)


@contextmanager
def precise(precision: str, device: torch.device) -> Iterator[None]:
    """Matrix products in TF32 or bfloat16 while the block runs; weights and their updates stay in float32."""
    if precision == "bf16":
        with torch.autocast(device.type, torch.bfloat16):
            yield
        return
    before = torch.backends.cuda.matmul.allow_tf32
    torch.backends.cuda.matmul.allow_tf32 = precision == "tf32"
    try:
        yield
    finally:
        torch.backends.cuda.matmul.allow_tf32 = before


@contextmanager
def one_thread(device: torch.device) -> Iterator[None]:
    """Decompositions of many small matrices while the block runs: on a CPU, threads inside each wait for one another.

    Two threads take 2 to 160 times as long as one for 27 matrices of 64 to 512 rows.
    """
    threads = torch.get_num_threads()
    if device.type != "cpu" or threads == 1:
        yield
        return
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
