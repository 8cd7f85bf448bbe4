"""One thread per process, so that workers share the cores and results repeat bitwise."""

import os
import sys

for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(variable, "1")
os.environ.setdefault("MPLBACKEND", "agg")

import pytest  # noqa: E402


@pytest.fixture(autouse=True)
def _one_torch_thread():
    """Torch is not imported for tests that do not use it; where it is, it keeps to one thread."""
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(1)


@pytest.fixture(autouse=True)
def _own_home(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch):
    """Tests read and write no results of the user's."""
    monkeypatch.setenv("WIDELIMIT_HOME", str(tmp_path_factory.getbasetemp() / "home"))
