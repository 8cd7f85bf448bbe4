"""The wheel holds every module of the tree, the data files, and nothing of the tests."""

import fnmatch
import os
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
ROOMS = ("theory", "synthetic", "dmft", "figures", "paper_repro")
SETUPTOOLS = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]


def tree(pattern: str) -> set[str]:
    """Files of the five rooms, as paths from the root."""
    found = (path for room in ROOMS for path in (ROOT / room).rglob(pattern))
    return {path.relative_to(ROOT).as_posix() for path in found if path.is_file() and "__pycache__" not in path.parts}


def test_every_package_of_the_tree_is_listed():
    packages = {".".join(("widelimit", *Path(path).parent.parts)) for path in tree("*.py")}
    assert set(SETUPTOOLS["packages"]) == packages | {"widelimit"}


def test_every_folder_of_modules_is_a_package():
    assert {Path(path).parent / "__init__.py" for path in tree("*.py")} <= {Path(path) for path in tree("__init__.py")}


def test_every_data_file_is_listed():
    for path in tree("*") - tree("*.py"):
        for package, patterns in SETUPTOOLS["package-data"].items():
            inside = package.split(".")[1] + "/"
            if path.startswith(inside) and any(fnmatch.fnmatch(path.removeprefix(inside), pattern) for pattern in patterns):
                break
        else:
            pytest.fail(f"{path} is no package-data of pyproject.toml: it would not ship")


def test_no_module_stands_in_the_root():
    assert not list(ROOT.glob("*.py"))


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A wheel built from a copy of what is shipped (a build folder left in the tree would leak into it)."""
    pytest.importorskip("setuptools", minversion="77")
    source, out = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("wheel")
    for name in (*ROOMS, "tests"):
        shutil.copytree(ROOT / name, source / name, symlinks=True, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    command = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "--no-build-isolation", "-w", str(out), str(source)]
    done = subprocess.run(command, cwd=source, capture_output=True, text=True, stdin=subprocess.DEVNULL)
    assert done.returncode == 0, done.stdout + done.stderr
    return next(out.glob("widelimit-*.whl"))


def test_the_wheel_holds_the_tree(wheel: Path):
    with zipfile.ZipFile(wheel) as archive:
        names = [name for name in archive.namelist() if ".dist-info/" not in name]
        metadata = {Path(name).name for name in archive.namelist() if ".dist-info/" in name}
    assert {name.removeprefix("widelimit/") for name in names} == tree("*")
    assert {"METADATA", "entry_points.txt", "LICENSE"} <= metadata


def test_the_wheel_works_from_another_directory(wheel: Path, tmp_path: Path):
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path / "site")
    code = "import widelimit.paper_repro.cli as c; print(c.__file__); c.main(['derive', 'mlp', '--optimizer', 'adam'])"
    # Without `site`, an editable checkout is not found: the paths are those of the wheel and of the dependencies.
    paths = [str(tmp_path / "site"), *(p for p in sys.path if p.endswith("site-packages"))]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}
    done = subprocess.run([sys.executable, "-S", "-c", code], cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(str(tmp_path / "site"))
    assert "W1" in done.stdout
