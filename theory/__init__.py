"""How neural networks must be scaled: architectures, optimizers, desiderata and the tables derived from them."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .architecture import Architecture, Node, Weight
    from .classification import Classification, classify
    from .constants import Constants, WeightConstants
    from .derivation import derive
    from .graph import Graph
    from .observables import Observable
    from .optimizers import OPTIMIZERS, Optimizer
    from .parameterizations import PARAMETERIZATIONS, parameterization
    from .prediction import predict
    from .scales import Axis, Dim, Powers, Regime
    from .table import GAUGES, ExponentTable, Operation, Row, differences
    from .zoo import ARCHITECTURES, find_architecture

_HOME = {
    "architecture": ("Architecture", "Node", "Weight"),
    "classification": ("Classification", "classify"),
    "constants": ("Constants", "WeightConstants"),
    "derivation": ("derive",),
    "graph": ("Graph",),
    "observables": ("Observable",),
    "optimizers": ("OPTIMIZERS", "Optimizer"),
    "parameterizations": ("PARAMETERIZATIONS", "parameterization"),
    "prediction": ("predict",),
    "scales": ("Axis", "Dim", "Powers", "Regime"),
    "table": ("GAUGES", "ExponentTable", "Operation", "Row", "differences"),
    "zoo": ("ARCHITECTURES", "find_architecture"),
}
_MODULE = {name: module for module, names in _HOME.items() for name in names}
__all__ = [
    "ARCHITECTURES",
    "GAUGES",
    "OPTIMIZERS",
    "PARAMETERIZATIONS",
    "Architecture",
    "Axis",
    "Classification",
    "Constants",
    "Dim",
    "ExponentTable",
    "Graph",
    "Node",
    "Observable",
    "Operation",
    "Optimizer",
    "Powers",
    "Regime",
    "Row",
    "Weight",
    "WeightConstants",
    "classify",
    "derive",
    "differences",
    "find_architecture",
    "parameterization",
    "predict",
]


def __getattr__(name: str) -> Any:
    if name not in _MODULE:
        raise AttributeError(f"module `{__name__}` has no attribute `{name}`")
    return getattr(import_module(f".{_MODULE[name]}", __name__), name)


def __dir__() -> list[str]:
    return __all__
