# make demo   export, optimize, verify and serve the digits sample
# make test   the tests, without whole ResNets at 224x224; make test-all has them too
# make lint   ruff
# make docs   write docs/ops.md anew from the op schemas
# make clean  remove what these made
#
# Each sets up .venv and builds the custom-op library first, if need be. Another Python: make PYTHON=python3.12 demo

PYTHON ?= python3
VENV ?= .venv
IN_VENV := $(VENV)/bin/python
INSTALLED := $(VENV)/.installed
# Installing builds the library; later it is built again only when its sources have changed.
LIBRARY_IS_CURRENT := 'import sys; from paconv.library_build.build import is_current; from paconv.runtime.library import BUILT; sys.exit(not is_current(BUILT))'

.PHONY: demo test test-all lint docs clean install

install: $(INSTALLED)
	@$(IN_VENV) -c $(LIBRARY_IS_CURRENT) || $(IN_VENV) -m paconv build-library

demo: install
	$(IN_VENV) examples/02_demo.py

test: install
	$(IN_VENV) -m pytest -n 2 -m "not slow"

test-all: install
	$(IN_VENV) -m pytest -n 2

lint: $(INSTALLED)
	$(IN_VENV) -m ruff check .

docs: $(INSTALLED)
	$(IN_VENV) -m paconv.ops.document docs/ops.md

clean:
	rm -rf $(VENV) out build dist *.egg-info paconv/runtime/libpaconv.*

$(INSTALLED): pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "paconv needs Python 3.11 or newer; $(PYTHON) is $$($(PYTHON) --version 2>&1); try: make PYTHON=python3.12 $(MAKECMDGOALS)" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(IN_VENV) -m pip install --quiet --editable ".[build,torch,test,train,plot,examples,dev]"
	@touch $@
