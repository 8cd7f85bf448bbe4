"""The walls between the rooms: who may import what (late imports included), and no weight known by its name."""

import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from widelimit.theory.desiderata import DESIDERATA

ROOT = Path(__file__).parents[1]
NUMERIC = {"numpy", "scipy", "pandas"}
MAY_IMPORT = {
    "theory": {"sympy", "numpy", "scipy"},
    "synthetic": NUMERIC | {"theory", "torch", "pyarrow", "sklearn", "jaxtyping", "ray"},
    "dmft": NUMERIC | {"theory", "jax", "jaxtyping"},
    "figures": NUMERIC | {"theory", "matplotlib", "seaborn"},
}
OWN = {"widelimit", "tests", "helpers", "conftest", "main"}
MODULES = [path for room in ("paper_repro", *MAY_IMPORT) for path in sorted((ROOT / room).rglob("*.py"))]


def imported(source: str, package: tuple[str, ...]) -> Iterator[str]:
    """What a module in ``package`` imports: rooms, or the first part of another package's name."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            above = ("widelimit", *package)[: len(package) + 2 - node.level] if node.level else ()
            names = [".".join((*above, *filter(None, [node.module]), alias.name)) for alias in node.names]
        elif isinstance(node, ast.Call) and ast.unparse(node.func).split(".")[-1] in ("import_module", "__import__"):
            given = ast.unparse(node.args[0]).lstrip("f").strip("'\"")  # a lazy re-export reads f".{module}": its own room
            names = [f"widelimit.{package[0]}" if given.startswith(".") and not given.startswith("..") else given]
        else:
            continue
        yield from ((name.removeprefix("widelimit.")).split(".")[0] for name in names)


def breaches(source: str, package: tuple[str, ...]) -> list[str]:
    """The imports that the table forbids to a module in ``package``."""
    room, names = package[0], imported(source, package)
    if room == "paper_repro":
        return [name for name in names if name in OWN]
    return [name for name in names if name not in sys.stdlib_module_names and name not in {room, *MAY_IMPORT[room]}]


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_imports_keep_the_walls(path: Path):
    found = breaches(path.read_text(), path.relative_to(ROOT).parent.parts)
    assert not found, f"{path.relative_to(ROOT)} imports {found}, which DESIGN section 1 forbids"


@pytest.mark.parametrize(
    ("source", "package", "found"),
    [
        ("import jax.numpy as jnp", ("theory",), ["jax"]),
        ("def late():\n    import torch", ("theory", "presets"), ["torch"]),
        ("from ..dmft.problem import Problem", ("synthetic",), ["dmft"]),
        ("from ...synthetic import build", ("theory", "presets"), ["synthetic"]),
        ("from .. import synthetic, theory", ("dmft",), ["synthetic"]),
        ("from widelimit.figures import plots", ("dmft",), ["figures"]),
        ("import widelimit.paper_repro.cli", ("figures",), ["paper_repro"]),
        ("from importlib import import_module\nimport_module('pandas')", ("theory",), ["pandas"]),
        ("import_module(f'..{room}', __package__)", ("theory",), [""]),
        ("import tests.helpers, helpers", ("paper_repro", "core"), ["tests", "helpers"]),
        ("from __future__ import annotations\nimport re, sympy\nfrom .scales import Axis\nfrom . import table", ("theory",), []),
        ("import torch, typer\nfrom ..dmft import solve\nfrom . import cli", ("paper_repro",), []),
        ("import_module(f'.{module}', __name__)", ("dmft",), []),
    ],
)
def test_a_breach_is_caught(source: str, package: tuple[str, ...], found: list[str]):
    assert breaches(source, package) == found


def test_a_wall_stands_around_every_room():
    rooms = {path.parent.name for path in ROOT.glob("*/__init__.py")}
    assert rooms == {"paper_repro", *MAY_IMPORT}


NAMES = {"weight", "weights", "name", "names"}
TESTS_OF_TEXT = {"startswith", "endswith", "find", "index", "count", "match", "search", "fullmatch", "fnmatch", "fnmatchcase"}


def _is_name(node: ast.AST) -> bool:
    """Whether an expression is the name of something: ``row.weight``, ``name``, ``name.lower()``, ``weight.name[0]``."""
    while isinstance(node, (ast.Call, ast.Subscript)):
        node = (node.func.value if isinstance(node.func, ast.Attribute) else node.func) if isinstance(node, ast.Call) else node.value
    return (isinstance(node, ast.Attribute) and node.attr in NAMES) or (isinstance(node, ast.Name) and node.id in NAMES)


def _is_text(node: ast.AST, constants: set[str]) -> bool:
    """Whether an expression is literal text that could match a weight's name, a literal collection with some, or such a constant."""
    if isinstance(node, ast.Constant):  # the engine's own tags ("norm:...") have a colon or a space; desiderata have names too
        return isinstance(node.value, str) and re.fullmatch(r"[^\s:]+", node.value) is not None and node.value not in DESIDERATA
    if isinstance(node, (ast.Tuple, ast.List, ast.Set)):
        return any(_is_text(item, constants) for item in node.elts)
    if isinstance(node, ast.Dict):
        return any(key is not None and _is_text(key, constants) for key in node.keys)
    return isinstance(node, ast.Name) and node.id in constants


def weights_known_by_name(source: str) -> list[str]:
    """Expressions that hold a name against literal text."""
    tree = ast.parse(source)
    plain = [n for n in tree.body if isinstance(n, ast.Assign) and not isinstance(n.value, ast.Dict) and _is_text(n.value, set())]
    constants = {target.id for n in plain for target in n.targets if isinstance(target, ast.Name)}
    found = []
    for node in ast.walk(tree):
        match node:
            case ast.Compare():
                sides = [node.left, *node.comparators]
            case ast.Call(func=ast.Attribute(value=value, attr=attr)) if attr in (*TESTS_OF_TEXT, "get"):
                sides = [value, *node.args]
            case ast.Subscript():
                sides = [node.value, node.slice]
            case ast.Match():
                sides = [node.subject, *(n.value for case in node.cases for n in ast.walk(case.pattern) if isinstance(n, ast.MatchValue))]
            case _:
                continue
        if any(map(_is_name, sides)) and any(_is_text(side, constants) for side in sides):
            found.append(ast.unparse(node).splitlines()[0])
    return found


@pytest.mark.parametrize(
    "path", [p for p in MODULES if p.is_relative_to(ROOT / "theory") and "presets" not in p.parts], ids=lambda path: path.name
)
def test_theory_knows_no_weight_by_its_name(path: Path):
    assert not weights_known_by_name(path.read_text())


@pytest.mark.parametrize(
    "source",
    [
        "if row.weight == 'readout': pass",
        "hidden = [w for w in ws if w.name not in ('embed', 'readout')]",
        "is_out = 'out' in name.lower()",
        "HIDDEN = ('up', 'down')\ndef f(name): return name in HIDDEN",
        "weight.name.startswith('embed')",
        "re.match('blocks.*', name)",
        "rate = {'embed': 0, 'readout': -1}[weight.name]",
        "rate = {'embed': 0}.get(row.weight, -1)",
        "first = net.weights['W1']",
        "match row.weight:\n    case 'embed' | 'readout': pass",
    ],
)
def test_a_weight_known_by_name_is_caught(source: str):
    assert weights_known_by_name(source)


@pytest.mark.parametrize(
    "source",
    [
        "node.op == 'dense'",
        "weight.init == 'zero'",
        "name in TABLE",
        "row.weight == name",
        "name == ''",
        "data['weight']",
        "weights[name]",
        "'kernel' in names",
    ],
)
def test_other_comparisons_are_free(source: str):
    assert not weights_known_by_name(source)
