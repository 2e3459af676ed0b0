# make demo   export, optimize, verify and serve the digits sample
# make test   the tests but the slow ones: whole networks at 224x224, and what costs much and seldom fails
# make test-slow   the latter of these; make test-all   all tests
# make fuzz   the attacks of tests/fuzz at length, hours: FUZZ_SEED=1 for others than last time
# make lint   ruff (rules and format), mypy
# make docs   write docs/ops.md and docs/environment.md anew from what is in the code
# make wheel  the wheel for this platform and the sdist, into dist/; on Linux with its manylinux tag
# make clean  remove what these made
#
# Each sets up .venv and builds the custom-op library first, if need be. Another Python: make PYTHON=python3.12 demo
# torch from another index, such as that of the CPU builds: make demo TORCH_INDEX=https://download.pytorch.org/whl/cpu
# Another torch: make demo TORCH=torch==2.9.1

PYTHON ?= python3
VENV ?= .venv
# The release that is developed with; paconv itself takes others too (paconv/tested_torch.py).
TORCH ?= torch==2.13.0
TORCH_INDEX ?=
IN_VENV := $(VENV)/bin/python
INSTALLED := $(VENV)/.installed

# pip needs half a minute to compile all modules of torch; Python compiles those that are imported, and keeps them.
PIP_INSTALL := $(IN_VENV) -m pip install --quiet --no-compile
unexport PYTHONDONTWRITEBYTECODE

# A file's tests share what they set up, so a file is one worker's.
PYTEST := -m pytest -n 2 --dist loadfile $(if $(CI),--durations=15)

.PHONY: demo test test-slow test-all fuzz lint docs wheel clean install every-cpu

# Installing builds the library for this CPU; it is built again only when its sources have changed.
install: $(INSTALLED)
	@$(IN_VENV) -m paconv build-library --cpu host --if-stale

# Tests run the kernels for every CPU.
every-cpu: $(INSTALLED)
	@$(IN_VENV) -m paconv build-library --if-stale

demo: install
	$(IN_VENV) examples/02_demo.py

test: every-cpu
	$(IN_VENV) $(PYTEST) -m "not slow"

test-slow: every-cpu
	$(IN_VENV) $(PYTEST) -m "slow and not whole"

test-all: every-cpu
	$(IN_VENV) $(PYTEST)

FUZZ_SEED ?= 0
FUZZ := $(IN_VENV) -m tests.fuzz --seed $(FUZZ_SEED)

# All of them, whatever the others find; it fails if one does.
fuzz: every-cpu
	@failed=0; \
	$(FUZZ) files --count 100000 --memory fenced || failed=1; \
	$(FUZZ) files --count 10000 --memory sanitized || failed=1; \
	$(FUZZ) networks --count 2000 || failed=1; \
	$(FUZZ) commands --count 2000 || failed=1; \
	$(FUZZ) stops --count 200 || failed=1; \
	exit $$failed

lint: $(INSTALLED)
	$(IN_VENV) -m ruff check .
	$(IN_VENV) -m ruff format --check .
	$(IN_VENV) -m mypy

docs: $(INSTALLED)
	$(IN_VENV) -m paconv.ops.document docs/ops.md
	$(IN_VENV) -m paconv.variables docs/environment.md

wheel: $(INSTALLED)
	rm -rf dist
	$(IN_VENV) -m build --outdir dist . > /dev/null
ifeq ($(shell uname -s),Linux)
	PATH="$(abspath $(VENV)/bin):$$PATH" $(IN_VENV) -m auditwheel repair --wheel-dir dist dist/*-linux_*.whl
	rm dist/*-linux_*.whl
endif

clean:
	rm -rf $(VENV) out build dist *.egg-info paconv/runtime/libpaconv.*

$(INSTALLED): pyproject.toml
	@command -v $(PYTHON) > /dev/null || { \
	  echo "there is no command $(PYTHON); paconv needs Python 3.11 or newer: make PYTHON=python3.12 $(MAKECMDGOALS)" >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "paconv needs Python 3.11 or newer; $(PYTHON) is $$($(PYTHON) --version 2>&1); try: make PYTHON=python3.12 $(MAKECMDGOALS)" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(if $(TORCH_INDEX),$(PIP_INSTALL) "$(TORCH)" --index-url "$(TORCH_INDEX)")
	$(PIP_INSTALL) "$(TORCH)" --editable ".[build,torch,test,train,plot,examples,dev]"
	@touch $@
