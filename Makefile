# Two commands do everything on a fresh machine: `make demo` and `make test`.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: demo test check docs bench granularity clean

$(VENV)/installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check --constraint constraints.txt "torch==$$(sed -n 's/^torch==//p' constraints.txt)"
	$(BIN)/pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable ".[dev]"
	touch $@

# Learn good solar cells from the PyPI package elpv-dataset, judge unseen ones, write demo/report/index.html.
demo: $(VENV)/installed
	$(BIN)/daad demo --output demo

test: $(VENV)/installed
	$(BIN)/python -m pytest --numprocesses auto

# What the hooks and CI check beside the tests.
check: $(VENV)/installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

# The reference of the Python API, the command line and all settings, in site/index.html; every warning is an error.
docs: $(VENV)/installed
	$(BIN)/python docs/reference/build.py site

clean:
	rm -rf $(VENV) demo site

# Every number of the docs from the data sets under DATA; each suite goes on where it stopped.
bench: $(VENV)/installed
	$(BIN)/python -m benchmarks.ladder --data $(DATA)
	$(BIN)/python -m benchmarks.sweep --data $(DATA)
	$(BIN)/python -m benchmarks.screw --data $(DATA)
	$(BIN)/python -m benchmarks.one_class --data $(DATA)
	$(BIN)/python -m benchmarks.peers --data $(DATA)
	$(BIN)/python -m benchmarks.audits --data $(DATA)
	$(BIN)/python -m benchmarks.ccd --data $(DATA)
	$(BIN)/python -m benchmarks.quick --data $(DATA)
	$(BIN)/python -m benchmarks.outliers --data $(DATA)
	$(BIN)/python -m benchmarks.outliers_paper --data $(DATA) --only "method=baselines,mcod small"
	$(BIN)/python -m benchmarks.scenes --data $(DATA)
	$(BIN)/python -m benchmarks.huge
	$(BIN)/python -m benchmarks.two_stages --data $(DATA)
	$(BIN)/python -m benchmarks.boxes --data $(DATA)
	$(BIN)/python -m benchmarks.demo
	$(BIN)/python -m benchmarks.speed
	$(BIN)/python -m benchmarks.pages

# The paper's central claim alone: sweep the division rate, draw docs/figures/granularity.svg, write docs/appendix/granularity.md.
granularity: $(VENV)/installed
	$(BIN)/python -m benchmarks.sweep --data $(DATA) --only "variant=r = 1,r = 2,daad,r = 8,r = 16,r = 32"
	$(BIN)/python -m benchmarks.pages
