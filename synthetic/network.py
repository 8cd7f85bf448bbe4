"""Networks with a leading replica dimension, executed from an `Architecture`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from math import prod

from jaxtyping import Float, Shaped
from torch import Tensor, nn

from ..theory.architecture import Architecture, Node, Weight
from .contraction import Contraction, align, plan_contraction
from .operations import Operation, plan_operation
from .program import Loop, find_positions, make_program
from .routing import Routes, routes_of
from .scaling import Scaling
from .summing import find_sums, left_out

Plan = Contraction | Operation
Watch = Callable[["Application", Tensor, Tensor], None]
"""Called after every dense node with the application, its input and its output."""


@dataclass(frozen=True)
class Application:
    """One use of a weight in a forward pass.

    Args:
        node: the dense node.
        layer: the layer if it stands in a stack, else -1.
        contraction: how the weight is applied.
        cut: takes a parameter, (replica, *index, *out, *inn), to the part that was used here: the slice of the
            layer, the first positions.
    """

    node: Node
    layer: int
    contraction: Contraction
    cut: Callable[[Tensor], Tensor]


@dataclass
class _Pass:
    """State of one forward pass: tensors by node, positions shorter than declared, the layer of the loop."""

    values: dict[str, Tensor]
    weights: Mapping[str, Tensor]
    short: Mapping[str, int]
    watch: Watch | None
    routed: list[Routes] | None = None
    layer: int = -1
    slices: dict[str, tuple[Tensor, ...]] = field(default_factory=dict)


class Network(nn.Module):
    """R networks of one architecture and size, stacked along a leading replica dimension.

    Parameters are (replica, *index, *out, *inn); `named_weights` gives them by the names of the architecture,
    which may hold dots.

    Args:
        architecture: the graph.
        scaling: multipliers, operations and sizes.
        weights: initial values by name, (replica, *index, *out, *inn).
    """

    def __init__(self, architecture: Architecture, scaling: Scaling, weights: Mapping[str, Tensor]):
        super().__init__()
        self.architecture = architecture
        self.scaling = scaling
        summed = {architecture.node(name).weight for name in find_sums(architecture)}
        self.weights = nn.ParameterList(
            nn.Parameter(_summable(weights[w.name], w) if w.name in summed else weights[w.name], scaling.weights[w.name].trained)
            for w in architecture.weights.values()
        )
        self._positions = find_positions(architecture)
        self._program = make_program(architecture)
        self._plans = {n.name: self._plan(n) for n in architecture.nodes if n.op not in ("input", "one", "carry", "collect")}
        self._sums = {path[-1].name: self._plan_sum(name, path) for name, path in find_sums(architecture).items()}
        self._left_out = left_out(architecture)

    @property
    def replicas(self) -> int:
        return self.weights[0].shape[0]

    def named_weights(self) -> dict[str, Tensor]:
        """Parameters by their names in the architecture; during a `torch.func.functional_call`, the tensors in their place."""
        return dict(zip(self.architecture.weights, self.weights, strict=True))

    def forward(
        self, *inputs: Shaped[Tensor, "batch ..."], watch: Watch | None = None, routed: list[Routes] | None = None
    ) -> Float[Tensor, "replica batch ..."]:
        """Apply all replicas to the same inputs.

        Args:
            inputs: one tensor per input node, (batch, *dims); tokens leave out the dimension that is looked up.
                Positions may be fewer than declared.
            watch: called after every application of a weight, in the order of execution.
            routed: gets what every top-K mask did, in the order of execution.

        Returns:
            The output, (replica, batch, *dims).

        Raises:
            ValueError: if an input has the wrong shape; it is named.
        """
        state = _Pass({}, self.named_weights(), self._short(inputs), watch, routed)
        for node, x in zip(self.architecture.inputs, inputs, strict=True):
            state.values[node.name] = x if node.kind == "token" else x.to(self.weights[0].dtype).unsqueeze(0)
        for step in self._program:
            if isinstance(step, Loop):
                self._repeat(step, state)
            elif step.op == "one":
                state.values[step.name] = self.weights[0].new_ones(1, 1)
            elif watch is None and step.name in self._sums:
                state.values[step.name] = self._sum(*self._sums[step.name], state)
            elif step.op != "input" and (watch is not None or step.name not in self._left_out):
                state.values[step.name] = self._evaluate(step, state)
        return state.values[self.architecture.output.name]

    def follow(self, nodes: Iterable[Node], y: Tensor) -> Tensor:
        """What nodes with one argument each, one behind the other, make of a tensor."""
        for node in nodes:
            plan = self._plans[node.name]
            assert not isinstance(plan, Contraction)
            y = plan(y)
        return y

    def check_inputs(self, *inputs: Shaped[Tensor, "batch ..."]) -> None:
        """Raise unless shapes fit and all tokens exist; it looks at the values, so call it once per data set."""
        self._short(inputs)
        for node, x in zip(self.architecture.inputs, inputs, strict=True):
            if node.kind == "token":
                size = self.scaling.dims[node.dims[-1]]
                if x.is_floating_point() or x.min() < 0 or x.max() >= size:
                    raise ValueError(f"input `{node.name}` needs integers from 0 to {size - 1}")

    def _short(self, inputs: tuple[Tensor, ...]) -> dict[str, int]:
        """Check the shapes of the inputs; return the positions of which there are fewer than declared."""
        nodes = self.architecture.inputs
        if len(inputs) != len(nodes):
            raise ValueError(f"`{self.architecture.name}` has {len(nodes)} inputs, {len(inputs)} were given")
        lengths: dict[str, int] = {}
        for node, x in zip(nodes, inputs, strict=True):
            dims = node.dims[:-1] if node.kind == "token" else node.dims
            if len(dims) != x.ndim - 1 or not all(self._fits(d, s) for d, s in zip(dims, x.shape[1:], strict=True)):
                expected = ", ".join(f"{d} = {self.scaling.dims[d]}" for d in dims)
                raise ValueError(f"input `{node.name}` needs the shape (batch, {expected}), not {tuple(x.shape)}")
            lengths |= dict(zip(dims, x.shape[1:], strict=True))
        found = {dim: lengths[root] for dim, root in self._positions.items()}
        return {dim: size for dim, size in found.items() if size < self.scaling.dims[dim]}

    def _fits(self, dim: str, size: int) -> bool:
        declared = self.scaling.dims[dim]
        return 0 < size <= declared if dim in self._positions else size == declared

    def _plan(self, node: Node) -> Plan:
        if node.op == "dense":
            return plan_contraction(self.architecture, node, self.scaling.weights[node.weight].multiplier)
        sources = [_inside(self.architecture.node(arg).dims, node.stack) for arg in node.args]
        factor = float(self.scaling.dims[node.over[-1]]) if node.op == "top" else self.scaling.operations.get(node.name, 1.0)
        return plan_operation(node, sources, _inside(node.dims, node.stack), factor)

    def _plan_sum(self, name: str, path: tuple[Node, ...]) -> tuple[Node, Contraction]:
        """A dense node together with the nodes up to the sum over its weight's index."""
        node = self.architecture.node(name)
        alpha = self.scaling.weights[node.weight].multiplier
        alpha *= prod(self.scaling.operations[step.name] for step in path if step.op == "scale")
        return node, plan_contraction(self.architecture, node, alpha, into=path[-1])

    def _sum(self, node: Node, plan: Contraction, state: _Pass) -> Tensor:
        weight = self._cut(node, state.weights[node.weight], state.short)
        return plan.forward(state.values[node.args[0]], weight)

    def _evaluate(self, node: Node, state: _Pass) -> Tensor:
        args = [self._argument(name, node, state) for name in node.args]
        plan = self._plans[node.name]
        if not isinstance(plan, Contraction):
            y = plan(*args)
            if node.op == "top" and state.routed is not None:
                state.routed.append(routes_of(self.architecture, node, args[0], y))
            return y
        y = plan.forward(args[0], self._cut(node, self._slice(node, state), state.short))
        if state.watch is not None:
            state.watch(self._application(node, plan, state), args[0], y)
        return y

    def _argument(self, name: str, node: Node, state: _Pass) -> Tensor:
        """An argument as the node sees it: what has a layer dimension outside the stack is sliced inside it."""
        source, x = self.architecture.node(name), state.values[name]
        if node.stack and not source.stack and node.stack in source.dims:
            return x.select(2 + source.dims.index(node.stack), state.layer)
        return x

    def _slice(self, node: Node, state: _Pass) -> Tensor:
        """The weight of this layer; unbinding all layers at once keeps the backward pass linear in the depth."""
        weight, index = state.weights[node.weight], self.architecture.weights[node.weight].index
        if node.stack not in index:
            return weight
        if node.weight not in state.slices:
            state.slices[node.weight] = weight.unbind(1 + index.index(node.stack))
        return state.slices[node.weight][state.layer]

    def _cut(self, node: Node, weight: Tensor, short: Mapping[str, int]) -> Tensor:
        """The first positions of a weight that has as many as declared."""
        if short:
            for axis, dim in enumerate(_inside(self.architecture.weights[node.weight].dims, node.stack)):
                if dim in short:
                    weight = weight.narrow(1 + axis, 0, short[dim])
        return weight

    def _application(self, node: Node, plan: Contraction, state: _Pass) -> Application:
        layer, short = state.layer, state.short

        def cut(parameter: Tensor) -> Tensor:
            index = self.architecture.weights[node.weight].index
            part = parameter.select(1 + index.index(node.stack), layer) if node.stack in index else parameter
            return self._cut(node, part, short)

        return Application(node, layer, plan, cut)

    def _repeat(self, loop: Loop, state: _Pass) -> None:
        """Run the layers of a stack one after the other."""
        stream = state.values[loop.carry.args[0]]
        branch = loop.collect.args[1]
        dims = _inside(self.architecture.node(branch).dims, loop.layers)
        for layer in range(self.scaling.dims[loop.layers]):
            state.layer = layer
            state.values[loop.carry.name] = stream
            for node in loop.body:
                state.values[node.name] = self._evaluate(node, state)
            stream = stream + align(state.values[branch], dims, loop.carry.dims)
        state.layer = -1
        state.values[loop.collect.name] = stream


def _summable(values: Tensor, weight: Weight) -> Tensor:
    """The same tensor, laid out in memory as the matrix (out, index and inn) that a sum over the index multiplies with."""
    outs = range(1 + len(weight.index), 1 + len(weight.index) + len(weight.out))
    order = [0, *outs, *(axis for axis in range(1, values.ndim) if axis not in outs)]
    back = [order.index(axis) for axis in range(values.ndim)]
    return values.permute(order).contiguous().permute(back)


def _inside(dims: tuple[str, ...], stack: str) -> tuple[str, ...]:
    """Dimensions as they are inside the loop over a stack."""
    return tuple(d for d in dims if d != stack) if stack else dims
