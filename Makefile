# make demo   export, optimize, verify and serve the digits sample
# make test   the tests, without whole ResNets at 224x224; make test-all has them too
# make lint   ruff
# make docs   write docs/ops.md anew from the op schemas
# make clean  remove what these made
#
# Each sets up .venv first, if need be. Another Python: make PYTHON=python3.12 demo

PYTHON ?= python3
VENV ?= .venv
IN_VENV := $(VENV)/bin/python
INSTALLED := $(VENV)/.installed

.PHONY: demo test test-all lint docs clean install

install: $(INSTALLED)

demo: $(INSTALLED)
	$(IN_VENV) examples/02_demo.py

test: $(INSTALLED)
	$(IN_VENV) -m pytest -n 2 -m "not slow"

test-all: $(INSTALLED)
	$(IN_VENV) -m pytest -n 2

lint: $(INSTALLED)
	$(IN_VENV) -m ruff check .

docs: $(INSTALLED)
	$(IN_VENV) -m paconv.ops.document docs/ops.md

clean:
	rm -rf $(VENV) out build dist *.egg-info

$(INSTALLED): pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "paconv needs Python 3.11 or newer; $(PYTHON) is $$($(PYTHON) --version 2>&1); try: make PYTHON=python3.12 $(MAKECMDGOALS)" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(IN_VENV) -m pip install --quiet --editable ".[torch,test,plot,examples,dev]"
	@touch $@
