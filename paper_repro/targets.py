"""What the words on the command line name: architectures, tables, regimes, sizes."""

from __future__ import annotations

import importlib.util
import inspect
import json
import re
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ..theory.architecture import Architecture
    from ..theory.scales import Regime
    from ..theory.table import ExponentTable

FILE_TARGET = re.compile(r"(?P<path>.*\.py)(:(?P<factory>.*))?")
OPERAND = re.compile(r"(?P<target>.*\.py:[^/]*|[^/]*)(/(?P<table>[^/]*))?(/(?P<optimizer>[^/]*))?")
BASE_WIDTH, BASE_OTHER = 64, 4


def load_architecture(target: str) -> Architecture:
    """The architecture that ``target`` names: one of the zoos, or what ``path/to/file.py:factory`` returns or traces to.

    A factory returns an `Architecture`, or a module with an example input (see `synthetic.tracing.trace`). Its keyword arguments
    are its axes. Those without a default are called with the base size: 64 for the first, 4 for the others.

    Raises:
        ValueError: if there is no such name, file or factory, or the factory fails; the message names it.
    """
    from ..theory.zoo import ARCHITECTURES, find_architecture

    if target in ARCHITECTURES:
        return find_architecture(target)
    return _call(target.rpartition(":")[2], target, load_factory(target))


def load_factory(target: str) -> Callable[..., Any]:
    """The factory that ``path/to/file.py:factory`` or the name of a module names.

    Raises:
        ValueError: if there is none.
    """
    from ..synthetic.zoo import MODULES, find_factory

    if target in MODULES:
        return find_factory(target)
    match = FILE_TARGET.fullmatch(target)
    if match is None:
        from ..theory.zoo import ARCHITECTURES

        names = ", ".join((*ARCHITECTURES, *MODULES))
        raise ValueError(f"unknown architecture `{target}`; choose from {names} or give path/to/file.py:factory")
    return _find_factory(Path(match["path"]), match["factory"])


def load_function(text: str, option: str) -> Callable[..., Any]:
    """The function that ``path/to/file.py:function`` names.

    Raises:
        ValueError: if there is none.
    """
    match = FILE_TARGET.fullmatch(text)
    if match is None:
        raise ValueError(f"{option} `{text}` is not path/to/file.py:function")
    return _find_factory(Path(match["path"]), match["factory"])


def _find_factory(path: Path, name: str | None) -> Callable[..., Any]:
    if not path.is_file():
        raise ValueError(f"there is no file `{path}`")
    spec = importlib.util.spec_from_file_location(f"_target_{path.stem}", path)
    if spec is None or spec.loader is None:
        raise ValueError(f"`{path}` cannot be loaded as Python")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    sys.path.insert(0, str(path.resolve().parent))
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        raise ValueError(f"`{path}` cannot be loaded: {_what(error, path)}") from error
    factory = vars(module).get(name or "")
    if not inspect.isfunction(factory):
        made_here = [n for n, f in vars(module).items() if inspect.isfunction(f) and f.__module__ == spec.name]
        public = ", ".join(n for n in made_here if not n.startswith("_")) or "none"
        problem = f"`{path}` has no function `{name}`" if name else f"`{path}` needs the name of a function, `{path}:factory`"
        raise ValueError(f"{problem} (functions: {public})")
    return factory


def _call(name: str, target: str, factory: Callable[..., Any]) -> Architecture:
    from ..theory.architecture import Architecture

    parameters = inspect.signature(factory).parameters.values()
    axes = [p.name for p in parameters if p.default is p.empty and p.kind in (p.KEYWORD_ONLY, p.POSITIONAL_OR_KEYWORD)]
    sizes = {axis: BASE_OTHER if i else BASE_WIDTH for i, axis in enumerate(axes)}
    try:
        made = factory(**sizes)
    except (Exception, SystemExit) as error:
        given = ", ".join(f"{axis}={size}" for axis, size in sizes.items())
        what = _what(error, Path(inspect.getfile(factory)))
        raise ValueError(f"the factory `{target}` failed when called as {name}({given}): {what}") from error
    if _is_module(made):
        from ..synthetic.tracing import trace

        if not axes:
            raise ValueError(f"the factory `{target}` takes no size that grows: give it one without a default, as in `def {name}(*, n)`")
        return trace(factory, sizes, name=name)
    if not isinstance(made, Architecture):
        raise ValueError(
            f"the factory `{target}` returned {_a(made)}, neither an `Architecture` (see widelimit.theory.Graph) "
            "nor a pair (torch.nn.Module, example input)"
        )
    for axis in axes:
        if axis not in made.base:
            raise ValueError(
                f"the factory `{target}` takes `{axis}`, which is no axis of what it returns "
                f"(axes: {', '.join(made.base)}); give it a default if it is not a size that grows"
            )
    return made


def _is_module(made: object) -> bool:
    """Whether a factory made a module and its example input (torch is then imported already)."""
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(made, tuple) and bool(made) and isinstance(made[0], torch.nn.Module)


def _what(error: BaseException, path: Path) -> str:
    """One line on what went wrong in a user's file, with the line number there."""
    lines = [f.lineno for f in traceback.extract_tb(error.__traceback__) if Path(f.filename).resolve() == path.resolve()]
    if isinstance(error, SyntaxError):
        lines = [error.lineno]
    text = error.msg if isinstance(error, SyntaxError) else str(error)
    place = f"line {lines[-1]}, " if lines else ""
    return f"{place}{type(error).__name__}: {text}" if text else f"{place}{type(error).__name__}"


def _a(value: object) -> str:
    kind = type(value).__name__
    return "None" if value is None else f"{'an' if kind[0].lower() in 'aeiou' else 'a'} `{kind}`"


def read_json(path: Path) -> Any:
    """The content of a JSON file.

    Raises:
        ValueError: if the file is absent, unreadable or no JSON; the message names it.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ValueError(f"there is no file `{path}`") from None
    except OSError as error:
        raise ValueError(f"`{path}` cannot be read: {error.strerror}") from None
    except ValueError as error:
        raise ValueError(f"`{path}` is not JSON: {error}") from None


def read_table(path: Path) -> ExponentTable:
    """The table that a JSON file holds, as ``widelimit derive --format json`` prints it.

    Raises:
        ValueError: if it holds none; the message names the file and the field.
    """
    from ..theory.table import ExponentTable

    data = read_json(path)
    try:
        return ExponentTable.from_json(data)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        problem = f"a field has the wrong form ({error!r})" if not isinstance(error, ValueError) else str(error)
        raise ValueError(f"`{path}` is not a table: {problem}") from None


def load_fixed(name: str, architecture: Architecture, optimizer: str) -> Any:
    """What ``--fix`` gives: a named parameterization's multipliers and initialisations, or the columns that a JSON file names.

    The file has the form of a table, or is just ``{"rows": [{"weight": ..., "init_std": {"n": "-1/2"}}]}``; what it leaves
    out is derived.

    Raises:
        ValueError: if ``name`` is neither, or a row or power is malformed; the message names it.
    """
    from ..theory.scales import Powers

    if not _looks_like_file(name):
        return load_table(name, architecture, optimizer)
    data = read_json(Path(name))
    rows = data.get("rows") if isinstance(data, dict) else None
    if not isinstance(rows, list) or not all(isinstance(row, dict) and "weight" in row for row in rows):
        raise ValueError(f"`{name}` gives nothing to fix: it needs `rows`, each with a `weight` and the columns that are given")
    operations = [{"weight": o.get("name"), "multiplier": o.get("multiplier", {})} for o in data.get("operations", [])]
    columns = ("multiplier", "init_std", "learning_rate")
    for row, column in ((row, c) for row in [*rows, *operations] for c in columns if not isinstance(row.get(c, {}), dict)):
        raise ValueError(f'`{name}`: `{column}` of `{row["weight"]}` is {row[column]!r}; write powers as {{"n": "-1/2"}}')
    try:
        return {row["weight"]: {c: Powers(row[c]) for c in columns if c in row} for row in [*rows, *operations]}
    except (ValueError, TypeError, AttributeError) as error:
        raise ValueError(f"`{name}`: {error}") from None


def load_table(name: str, architecture: Architecture, optimizer: str, regime: Regime | None = None) -> ExponentTable:
    """The table of a named parameterization for this architecture, or the one in a JSON file; with a regime, in its powers.

    Raises:
        ValueError: if ``name`` is neither, or the file's rows are not weights of the architecture.
    """
    from ..theory.parameterizations import PARAMETERIZATIONS, parameterization

    if name in PARAMETERIZATIONS:
        return parameterization(name, architecture, optimizer, regime)
    if not _looks_like_file(name):
        raise ValueError(f"unknown parameterization `{name}`; choose from {', '.join(PARAMETERIZATIONS)} or give a JSON file")
    table = read_table(Path(name))
    strangers = [r.weight for r in table.rows if r.weight not in architecture.weights]
    if strangers:
        have = ", ".join(architecture.weights)
        raise ValueError(f"`{name}` has a row `{strangers[0]}`, which is no weight of `{architecture.name}` (weights: {have})")
    return table if regime is None else table.in_regime(regime)


def _looks_like_file(name: str) -> bool:
    return name.endswith(".json") or "/" in name or Path(name).is_file()


def load_operand(text: str, optimizer: str, regime: str | None = None) -> ExponentTable:
    """A side of ``compare``: a JSON file, or ``TARGET[/PARAMETERIZATION[/OPTIMIZER]]`` (``TARGET`` alone is derived), in a regime.

    Raises:
        ValueError: if it is neither; the message names the part that is unknown.
    """
    if text.endswith(".json"):
        return read_table(Path(text))
    match = OPERAND.fullmatch(text)
    if match is None or "" in (match["target"], match["table"], match["optimizer"]):
        raise ValueError(f"`{text}` is neither a JSON file nor TARGET[/PARAMETERIZATION[/OPTIMIZER]] such as mlp/mup/adam")
    architecture, optimizer = load_architecture(match["target"]), match["optimizer"] or optimizer
    need_regime(architecture, regime)
    grown = None if regime is None else parse_regime(regime, architecture)
    return load_table(match["table"] or "mup", architecture, optimizer, grown)


def parse_regime(text: str, architecture: Architecture) -> Regime:
    """Read ``n=1,heads=0``: how fast each axis grows, as a power of one scale; or one of mixtures of experts, ``I``, ``II``, ``III``.

    Raises:
        ValueError: if a part is not ``AXIS=POWER``, an axis comes twice, a power is no rational >= 0, or a named one does not fit.
    """
    from ..theory.experts import REGIMES, named_regime
    from ..theory.scales import Regime

    if text in REGIMES:
        return named_regime(text, architecture)
    powers: dict[str, str] = {}
    for part in text.split(","):
        axis, equals, power = (side.strip() for side in part.partition("="))
        if not (axis and equals and power):
            raise ValueError(f"`{part.strip()}` in --regime `{text}` is not AXIS=POWER; write for example n=1,heads=0")
        if axis in powers:
            raise ValueError(f"--regime `{text}` names the axis `{axis}` twice")
        powers[axis] = power
    return Regime(powers)


def need_regime(architecture: Architecture, regime: str | None) -> None:
    """Say which regimes there are, where axes never grow alone: with experts."""
    axes = [axis.name for axis in architecture.axes]
    if regime is None and {"n", "m", "E"} <= set(axes):
        example = ",".join(f"{axis}={int(axis in 'nm')}" for axis in axes)
        raise ValueError(
            f"`{architecture.name}` grows in several ways; say which with --regime I, II or III (wider, more, more and wider experts) "
            f"or {example}"
        )


def may_need_remedy(desiderata: str) -> bool:
    """Whether they are those of MSSP, with its decay or another: where no Gaussian start meets them, remedies are looked for."""
    return desiderata.partition("+")[0].strip() == "mssp"


def derive_for(architecture: Architecture, optimizer: str, desiderata: str, regime: str | None) -> ExponentTable:
    """The derived table; with a remedy where scale stability needs one."""
    from ..theory.derivation import derive
    from ..theory.remedies import derive_with_remedy

    grown = parse_regime(regime, architecture) if regime is not None else None
    if grown is not None and may_need_remedy(desiderata):
        return derive_with_remedy(architecture, optimizer, regime=grown, desiderata=desiderata)
    return derive(architecture, optimizer, desiderata=desiderata, regime=grown)


def started_as(architecture: Architecture, table: ExponentTable) -> Architecture:
    """The architecture with the initial values that a table demands: some at zero, some equal along an index."""
    from ..theory.architecture import with_init

    zero = {row.weight: "zero" for row in table.rows if row.zero_init and architecture.weights[row.weight].init == "gaussian"}
    shared = {row.weight: "shared" for row in table.rows if row.shared_init and not architecture.weights[row.weight].shared}
    return with_init(architecture, **zero, **shared)


def parse_sizes(text: str) -> tuple[int, ...]:
    """Read ``64,128,256``: at least two growing sizes, as a slope needs them.

    Raises:
        ValueError: if a part is not a positive integer, or the sizes do not grow.
    """
    sizes = []
    for part in text.split(","):
        if not part.strip().isascii() or not part.strip().isdigit() or int(part) < 1:
            raise ValueError(f"`{part.strip()}` in --sizes `{text}` is not a positive integer; write for example 64,128,256")
        sizes.append(int(part))
    if len(sizes) < 2 or sizes != sorted(set(sizes)):
        raise ValueError(f"--sizes `{text}` must be at least two growing sizes, for example 64,128,256")
    return tuple(sizes)


def choose(option: str, value: str, choices: tuple[str, ...]) -> str:
    """``value`` if it is one of the choices.

    Raises:
        ValueError: if it is not; the message lists them.
    """
    if value not in choices:
        raise ValueError(f"unknown {option} `{value}`; choose from {', '.join(choices)}")
    return value
