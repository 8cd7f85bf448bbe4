"""The refined coordinate check on a user's module: the atomic terms of its own operations, as it trains."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pandas as pd
import torch
from torch import Tensor, nn
from torch.func import functional_call

from ..theory.architecture import Architecture, Node, Weight
from ..theory.constants import Constants
from ..theory.presentation import stands_for, whole
from ..theory.table import ExponentTable
from .applying import Sizes, initialise, missing_multipliers
from .coordinates import as_frame
from .losses import sample_losses
from .optimizers import make_update
from .probes import Sizes as Measured
from .streams import stream
from .tracing.record import call_arguments, first_real
from .training import Progress
from .watching import Use, Watch

ROUNDING = 1e-12  # of the largest gradient: what is smaller is not felt


@dataclass
class _Network:
    """A module at one size, initialised under a table, with what it takes to train and to measure it."""

    module: nn.Module
    architecture: Architecture
    example: Any
    loss: str
    factors: Mapping[str, Tensor]
    raw: dict[str, Tensor] = field(default_factory=dict)
    first: dict[str, list[Use]] = field(default_factory=dict)
    start: dict[str, Tensor] = field(default_factory=dict)
    unfelt: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.raw = {name: p.detach().clone().requires_grad_(p.requires_grad) for name, p in self.module.named_parameters()}
        self.start = {name: p.detach().clone() for name, p in self.raw.items()}

    def run(self, targets: Tensor) -> tuple[Tensor, dict[str, Tensor], dict[str, list[Use]]]:
        """Loss, gradients and contractions of one pass."""
        stored = {name: p * self.factors[name] if name in self.factors else p for name, p in self.raw.items()}
        args, named = call_arguments(self.example)
        with Watch(stored) as watch:
            output = first_real(functional_call(self.module, stored, args, named))
        assert output is not None
        loss = sample_losses(output[None], targets, self.loss).mean()
        trained = {name: p for name, p in self.raw.items() if p.requires_grad}
        found = torch.autograd.grad(loss, tuple(trained.values()), materialize_grads=True)
        return loss.detach(), dict(zip(trained, found, strict=True)), watch.uses

    @torch.no_grad()
    def measure(self, loss: Tensor, gradients: Mapping[str, Tensor], uses: Mapping[str, list[Use]]) -> Measured:
        """RMS of every term at the nodes of the architecture, with one replica."""
        initial, found = not self.first, {}
        if initial:
            self.first = dict(uses)
            self._note_unfelt(gradients)
        count: dict[str, int] = {}
        for node in (n for n in self.architecture.nodes if n.op == "dense"):
            at = count.setdefault(node.weight, 0)
            count[node.weight] += self.architecture.node(node.args[0]).op != "one"
            for kind, size in self._sizes(node, at, uses, initial=initial).items():
                found[node.weight, f"{node.name}: {kind}"] = size.reshape(1)
        found |= {(name, "gradient"): _rms(g).reshape(1) for name, g in gradients.items()}
        return found | {("", "loss"): loss.reshape(1)}

    def _note_unfelt(self, gradients: Mapping[str, Tensor]) -> None:
        """Biases that nothing is felt of (a softmax cancels those of keys): their gradient is rounding, and so is their change."""
        largest = max((float(g.abs().max()) for g in gradients.values()), default=0.0)
        for node in (n for n in self.architecture.nodes if n.op == "dense" and self.architecture.node(n.args[0]).op == "one"):
            weight = self.architecture.weights[node.weight]
            name = whole(weight.name) if weight.part_of else weight.name
            if name in gradients:
                own = gradients[name] * block(weight, gradients[name]) if weight.slices else gradients[name]
                if float(own.abs().max()) < ROUNDING * largest:
                    self.unfelt.add(node.name)

    def _sizes(self, node: Node, at: int, uses: Mapping[str, list[Use]], *, initial: bool) -> dict[str, Tensor]:
        """Terms of one use of a parameter, or of a slice of one; biases and gains act on the constant 1."""
        weight, source = self.architecture.weights[node.weight], self.architecture.node(node.args[0])
        name = whole(weight.name) if weight.part_of else weight.name
        mask = block(weight, self.raw[name]) if weight.slices else torch.ones((), dtype=torch.float64)
        if source.op == "one":
            change = self.raw[name] - self.start[name]
            if node.name in self.unfelt:
                return {}
            return {"W0 x0": _rms(self.start[name] * mask)} | ({} if initial else {"dW x0": _rms(change * mask)})
        if at >= len(uses.get(name, ())):
            return {}
        before, after = self.first[name][at], uses[name][at]
        factor = after.arranged(mask / self.factors.get(name, torch.ones((), dtype=torch.float64)))
        w0, x0 = before.args[before.weight], before.args[before.x]
        found = {"W0 x0": _rms(after.term(x0, w0 * factor))}
        if initial:
            return found
        dw = after.args[after.weight] - w0
        dx = torch.zeros_like(x0) if source.op == "input" else after.args[after.x] - x0
        known = {"W": _felt(dw * factor, w0 * factor), "x": source.op != "input" and _felt(dx, x0)}
        terms = {"dW x0": (x0, dw, known["W"]), "W0 dx": (dx, w0, known["x"]), "dW dx": (dx, dw, known["W"] and known["x"])}
        return found | {kind: _rms(after.term(x, w * factor)) for kind, (x, w, there) in terms.items() if there}


def block(weight: Weight, parameter: Tensor) -> Tensor:
    """1 on a slice of a parameter, 0 elsewhere."""
    found = torch.zeros_like(parameter, requires_grad=False)
    found[_within(weight, parameter.shape)] = 1.0
    return found


def _within(weight: Weight, shape: torch.Size) -> tuple[slice, ...]:
    return tuple(slice(int(start * size), int(stop * size)) for (start, stop), size in zip(weight.slices, shape, strict=True))


def _felt(change: Tensor, before: Tensor) -> bool:
    """Whether a change, as a difference of what is there now and what was there, is more than its rounding."""
    return change.dtype not in (torch.float32, torch.float64) or float(_rms(change)) > ROUNDING * float(_rms(before))


def _rms(x: Tensor) -> Tensor:
    """Over the entries that are there: a slice of a parameter makes only some."""
    there = x.count_nonzero().clamp(min=1)
    return (x.double().square().sum() / there).sqrt()


def check_module(
    factory: Callable[..., Any],
    architecture: Architecture,
    table: ExponentTable,
    *,
    axis: str,
    sizes: Sequence[int],
    base: Mapping[str, int],
    constants: Constants,
    seeds: Sequence[int],
    steps: Sequence[int],
    progress: Progress | None = None,
) -> pd.DataFrame:
    """Train a module at several sizes on random inputs shaped like its example, and measure its atomic terms (forward).

    It starts as `applying.initialise` says. Multipliers that the table asks for and the code lacks are taken by the weights
    before them. Of repeated blocks the first is measured; products of parameters are not. Tokens are to predict the next one, other
    outputs random numbers. All in float64 on the CPU.

    Args:
        factory: makes the module and its example input.
        architecture: what it traces to.
        table: how it scales, and which optimizer trains it.
        axis: the size that grows.
        sizes: its values.
        base: sizes at which all parameterisations coincide.
        constants: the learning rate at the base, and those of single weights relative to it.
        seeds: of initial values and data.
        steps: after which updates to measure.
        progress: called after every size.

    Returns:
        The frame of `coordinates.coordinate_check`, of the forward terms.
    """
    reference = factory(**architecture.sizes(base))[0].double()
    frames = []
    for done, size in enumerate(sizes):
        complete = architecture.sizes({**base, axis: size})
        for seed in seeds:
            ratio = Sizes(complete, architecture.sizes(base))
            network, targets = _prepare(factory, architecture, table, ratio, reference, seed)
            measured = _train(network, targets, table, ratio, constants, steps)
            columns = {f"size.{a}": s for a, s in complete.items()} | {"hp.learning_rate": constants.learning_rate}
            frames.append(as_frame(measured, (seed,), columns, f"{architecture.name}/random"))
        if progress is not None:
            progress(f"{architecture.name} {axis}={size}", done + 1, len(sizes))
    return pd.concat(frames, ignore_index=True)


def _prepare(
    factory: Callable[..., Any], architecture: Architecture, table: ExponentTable, ratio: Sizes, reference: nn.Module, seed: int
) -> tuple[_Network, Tensor]:
    torch.manual_seed(seed)
    module, example = factory(**ratio.sizes)[:2]
    module = module.double().train()
    for part in module.modules():
        if isinstance(part, nn.modules.dropout._DropoutNd):
            part.p = 0.0  # the same function at every step
    initialise(module, table, ratio, reference, seed=seed)
    example, tokens = _random_input(example, architecture, module, seed)
    shapes = {name: p.shape for name, p in module.named_parameters()}
    factors = folded(architecture, missing_multipliers(architecture, table, ratio), shapes)
    args, named = call_arguments(example)
    with torch.no_grad():
        output = first_real(module(*args, **named))
    assert output is not None
    if tokens is not None and output.shape[:-1] == tokens.shape:
        return _Network(module, architecture, example, "cross-entropy", factors), tokens.roll(-1, -1) % output.shape[-1]
    targets = torch.from_numpy(stream(seed, "targets").standard_normal(tuple(output.shape)))
    return _Network(module, architecture, example, "squared", factors), targets


def _random_input(example: Any, architecture: Architecture, module: nn.Module, seed: int) -> tuple[Any, Tensor | None]:
    """Numbers like those of the example: Gaussian, or tokens of the smallest table that is looked up."""
    rng = stream(seed, "inputs")
    looked_up = {whole(n.weight) for n in architecture.nodes if n.op == "dense" and architecture.node(n.args[0]).kind == "token"}
    vocab = min((p.shape[0] for name, p in module.named_parameters() if name in looked_up), default=2)
    tokens: list[Tensor] = []

    def fresh(value: Any) -> Any:
        if not isinstance(value, Tensor) or value.dtype == torch.bool:
            return value
        if value.is_floating_point():
            return torch.from_numpy(rng.standard_normal(tuple(value.shape)))
        tokens.append(torch.from_numpy(rng.integers(vocab, size=tuple(value.shape))))
        return tokens[-1]

    if isinstance(example, Mapping):
        made: Any = {key: fresh(value) for key, value in example.items()}
    else:
        made = tuple(fresh(v) for v in example) if isinstance(example, (tuple, list)) else fresh(example)
    return made, tokens[0] if tokens else None


def folded(architecture: Architecture, missing: Mapping[str, float], shapes: Mapping[str, torch.Size]) -> dict[str, Tensor]:
    """Multipliers that the code lacks, as factors of the parameters just before them (of slices, where these are fused).

    Raises:
        ValueError: if what comes before is no parameter, or no block of one.
    """
    found: dict[str, Tensor] = {}
    for name, factor in missing.items():
        for weight in _before(architecture, architecture.node(name).args[0], name):
            for copy in weight.copies or (weight.name,):
                owner = whole(copy) if weight.part_of else copy
                if weight.part_of and not weight.slices:
                    raise ValueError(_advice(name))
                own = found.setdefault(owner, torch.ones((), dtype=torch.float64))
                if weight.part_of:
                    own = found[owner] = own.expand(shapes[owner]).clone()
                    own[_within(weight, shapes[owner])] *= factor
                else:
                    found[owner] = own * factor
    return found


def _advice(name: str) -> str:
    return f"the table wants the multiplier `{name}`, which the module's code has not: write it into the module"


def _before(architecture: Architecture, at: str, name: str) -> list[Any]:
    node = architecture.node(at)
    if node.op == "dense":
        return [architecture.weights[node.weight]]
    if node.op == "add":
        return [w for arg in node.args for w in _before(architecture, arg, name)]
    if node.op == "product":
        gains = [a for a in map(architecture.node, node.args) if a.op == "dense" and architecture.node(a.args[0]).op == "one"]
        if len(gains) == 1:
            return [architecture.weights[gains[0].weight]]
    raise ValueError(_advice(name))


def _train(
    network: _Network, targets: Tensor, table: ExponentTable, ratio: Sizes, constants: Constants, steps: Sequence[int]
) -> dict[int, Measured]:
    architecture, groups = network.architecture, []
    for name, p in network.raw.items():
        row = table.row(name)
        if p.requires_grad:
            rep = next(iter(stands_for(architecture, name)), "")
            rate = constants.learning_rate * (constants.weights[rep].learning_rate if rep in constants.weights else 1.0)
            made = {"lr": rate * ratio.factor(row.learning_rate, name), "eps": 1e-12 * ratio.factor(row.epsilon, name), "weight_decay": 0.0}
            groups.append({"params": [p.detach().unsqueeze(0)], "name": name, "split": (1, 1), **made})
    update = make_update(table.optimizer, groups)
    now = network.run(targets)
    measured = {0: network.measure(*now)}
    for step in range(1, max(steps, default=0) + 1):
        update.step([g.unsqueeze(0) for g in now[1].values()])
        now = network.run(targets)
        if step in steps:
            measured[step] = network.measure(*now)
    return measured
