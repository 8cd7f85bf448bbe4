"""Every public function and class says what it does, and the examples in docstrings run."""

import doctest
import importlib
import inspect
import pkgutil
from pathlib import Path
from types import ModuleType

import pytest
import widelimit


def modules() -> list[str]:
    """Every module of the package; `widelimit` itself has no code."""
    return [found.name for found in pkgutil.walk_packages(widelimit.__path__, "widelimit.") if not found.name.endswith("__main__")]


def undocumented(module: ModuleType) -> list[str]:
    """Public functions, classes and methods defined in ``module`` that have no docstring."""
    found = []
    for name, thing in vars(module).items():
        if name.startswith("_") or getattr(thing, "__module__", "") != module.__name__:
            continue
        if inspect.isclass(thing):
            methods = [n for n, m in vars(thing).items() if inspect.isfunction(m) and not n.startswith("_")]
            found += [f"{name}.{n}" for n in methods if not _says(getattr(thing, n))]
        if (inspect.isclass(thing) or inspect.isfunction(thing)) and not thing.__doc__:
            found.append(name)
    return found


def _says(method: object) -> bool:
    """A short method may speak by its name; a longer one needs words, its own or those of what it overrides."""
    return bool(inspect.getdoc(method)) or len(inspect.getsource(method).splitlines()) <= 6


@pytest.mark.parametrize("name", modules())
def test_examples_run_and_everything_public_is_documented(name: str):
    module = importlib.import_module(name)
    assert module.__doc__ or not Path(str(module.__file__)).read_text().strip(), f"{name} has no docstring"
    missing = undocumented(module)
    assert not missing, f"{name}: no docstring on {', '.join(missing)}"
    result = doctest.testmod(module, optionflags=doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS)
    assert not result.failed, f"{name}: {result.failed} of {result.attempted} examples fail"


def test_the_package_has_modules():
    assert "widelimit.theory.scales" in modules()
