"""Reading an architecture: which infinite network it becomes, and with which constants."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod

from ..theory.architecture import Architecture, Node
from ..theory.constants import Constants, WeightConstants
from .activations import ACTIVATIONS
from .network import Wiring


@dataclass(frozen=True)
class Layout:
    """A dense network whose width is infinite.

    Args:
        wiring: how its layers are connected.
        inputs: coordinates of a sample.
        outputs: of the network.
        first, hidden, readout: the weights' names; hidden ones in order, repeated inside a stack.
        biases: names of the hidden layers' biases.
        shift: the output bias' name, or empty.
        branch: multiplier of residual branches.
    """

    wiring: Wiring
    inputs: int
    outputs: int
    first: str
    hidden: tuple[str, ...]
    readout: str
    biases: tuple[str, ...]
    shift: str
    branch: float


def read(architecture: Architecture, sizes: Mapping[str, int], constants: Constants) -> Layout:
    """Recognise a chain ``dense, [bias,] map, ..., dense [bias]``, or one whose hidden matrices are branches of a stream.

    Args:
        architecture: with one axis more than ``sizes``: the width.
        sizes: of the axes that stay finite (the depth of a stream).
        constants: their operations hold the constant of the branch.

    Raises:
        ValueError: if the architecture is another kind of network; the operation that does not fit is named.
    """
    infinite = [axis.name for axis in architecture.axes if axis.name not in sizes]
    if len(infinite) != 1:
        raise ValueError(
            f"`{architecture.name}` has the axes {', '.join(a.name for a in architecture.axes)}: give `sizes` of all but the width"
        )
    for axis in sizes:
        architecture.sizes({axis: sizes[axis]})
    walk = _Walk(architecture, infinite[0], sizes, constants)
    walk.run()
    return walk.layout()


class _Walk:
    """From the input to the output, node by node."""

    def __init__(self, architecture: Architecture, width: str, sizes: Mapping[str, int], constants: Constants):
        self.net, self.width, self.sizes, self.constants = architecture, width, sizes, constants
        self.dense: list[Node] = []
        self.maps: list[str] = []
        self.biases: list[str] = []
        self.branch, self.layers = 1.0, 0

    def run(self) -> None:
        for node in self.net.nodes:
            getattr(self, f"_{node.op}", self._refuse)(node)

    def _refuse(self, node: Node) -> None:
        raise ValueError(
            f"`{self.net.name}` has the operation `{node.op}` (`{node.name}`); the solver knows multilayer perceptrons "
            "and residual networks whose branch is one matrix"
        )

    def _input(self, node: Node) -> None:
        if node.kind != "real" or len(node.dims) != 1:
            self._refuse(node)

    def _one(self, node: Node) -> None:
        pass

    def _dense(self, node: Node) -> None:
        if self.net.node(node.args[0]).op == "one":
            self.biases.append(node.weight)
            return
        if node.transposed or len(self.net.uses(node.weight)) > 1 or not self.net.weights[node.weight].trained:
            self._refuse(node)
        self.dense.append(node)

    def _map(self, node: Node) -> None:
        if node.kind not in ACTIVATIONS:
            self._refuse(node)
        self.maps.append(node.kind)

    def _add(self, node: Node) -> None:
        if len(node.args) != 2 or not any(self._is_bias(arg) for arg in node.args):
            self._refuse(node)

    def _is_bias(self, name: str) -> bool:
        node = self.net.node(name)
        return node.op == "dense" and self.net.node(node.args[0]).op == "one"

    def _rename(self, node: Node) -> None:
        pass

    def _carry(self, node: Node) -> None:
        self.layers = prod(self.net.dims[d].size({**self.sizes, self.width: 1}, self.net.name) for d in [node.stack])

    def _scale(self, node: Node) -> None:
        power = node.power
        if power is None or not node.stack or self.width in power:
            self._refuse(node)
            return
        constant = self.constants.operations.get(node.name, node.at_base(dict.fromkeys(self.net.base, 1)))
        self.branch = constant * power(dict(self.sizes))

    def _collect(self, node: Node) -> None:
        if self.biases:
            self._refuse(node)

    def layout(self) -> Layout:
        first, *hidden, readout = self.dense
        stacked = [node for node in hidden if node.stack]
        if stacked and (len(stacked) != 1 or len(hidden) != 1 or len(self.maps) != 2):
            self._refuse(stacked[-1])
        inner = [hidden[0].weight] * self.layers if stacked else [node.weight for node in hidden]
        activations = [self.maps[0]] * self.layers + [self.maps[-1]] if stacked else self.maps
        if len(activations) != len(inner) + 1:
            self._refuse(readout)
        layers = len(activations)
        shift = self.biases[layers] if len(self.biases) > layers else ""
        size = lambda dims: prod(self.net.dims[d].size({**self.sizes, self.width: 1}, self.net.name) for d in dims)  # noqa: E731
        wiring = Wiring(tuple(activations), bool(stacked), bool(self.biases), bool(shift))
        names = first.weight, tuple(inner), readout.weight, tuple(self.biases[:layers]), shift
        own = self.net.weights
        return Layout(wiring, size(own[first.weight].inn), size(own[readout.weight].out), *names, self.branch)


def effective(constants: Constants, name: str, *, entrywise: bool = False) -> WeightConstants:
    """The constants of a weight as if its multiplier m were one: std times m; rate times m^2, or times m for entrywise updates."""
    own = constants.weights[name]
    m = own.multiplier
    faster = m if entrywise else m**2
    return WeightConstants(
        learning_rate=constants.learning_rate * own.learning_rate * faster,
        init_std=own.init_std * m,
        weight_decay=own.weight_decay / faster,
        epsilon=own.epsilon / m,
    )
