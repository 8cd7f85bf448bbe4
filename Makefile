# Everything from a fresh clone with Python >= 3.11: each target installs what it lacks into .venv by itself.
#   make reproduce   figures, tables and verdicts of the core claims, into report/index.html
#   make test        the test suite
#   make check       ruff, pyright and the walls between the rooms
#   make bench       speed against SymPy's import, seconds of a check, ensembles and experts against loops, limits
# PYTHON=... chooses the interpreter of .venv, PRESET=smoke|laptop|gpu the size of reproduce, TESTS=... what is tested.
PRESET ?= laptop
TESTS ?= tests
JOBS ?= 2
BIN := .venv/bin
ONE_THREAD := OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 MKL_NUM_THREADS=1
export PYTHON
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.PHONY: reproduce test check bench setup setup-dev clean
.NOTPARALLEL:

reproduce: setup
	$(BIN)/widelimit reproduce core --preset $(PRESET)

test: setup-dev
	$(ONE_THREAD) $(BIN)/python -m pytest -n $(JOBS) --dist worksteal $(TESTS)

check: setup-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright
	$(BIN)/python -m pytest -q tests/test_walls.py

bench: setup-dev
	$(ONE_THREAD) $(BIN)/python tests/benchmarks/processes.py
	$(BIN)/python tests/benchmarks/ensembles.py
	$(BIN)/python tests/benchmarks/experts.py
	$(ONE_THREAD) $(BIN)/python tests/benchmarks/limits.py
	$(ONE_THREAD) $(BIN)/python tests/benchmarks/limits.py --experts

setup:
	@.ci/setup

setup-dev:
	@.ci/setup dev

clean:
	rm -rf .venv build dist *.egg-info .pytest_cache .ruff_cache .hypothesis
