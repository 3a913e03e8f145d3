# The Python that .venv is made from, 3.11 or later: make setup PYTHON=python3.12
PYTHON := python3
VENV := .venv
BIN := $(VENV)/bin
# Where others are: make test-arviz1 PYTHON312=/path/to/python, make check-long PYTHON313=…
PYENV := $(or $(PYENV_ROOT),$(HOME)/.pyenv)/versions
python_of = $(shell for python in python$(1) $(PYENV)/$(1)*/bin/python $(PYTHON); do \
  "$$python" -c 'import sys; sys.exit("%d.%d" % sys.version_info[:2] != "$(1)")' 2>/dev/null \
  && { echo "$$python"; break; }; done)
PYTHON312 = $(call python_of,3.12)
PYTHON313 = $(call python_of,3.13)
ARVIZ1_VENV := .venv-arviz1
LONG_VENV := .venv-long
LONG_RESULTS := tests/long/results
# Tests of numbers, which must not rest on how a processor or a library rounds
NUMERICAL := agglomeration agreement assignments auto bayesian_estimator bootstrap calibration checkpoint classifier cluster cluster_far collapse \
  combining compiled compiled_algebra compiled_choice compiled_numbers conjugate convergence coupled covariance \
  designs diagnosis em endings equivariance estimator evidence evidence_unknown far filled fit fit_data fixed \
  gibbs gradient held_components jumps known_labels labels laplace learned_priors likelihood_ratio map mclust \
  mclust_in_python methods metrics missing mixing mixing_of_weights mixsim mixture mixture_file model modes noise \
  noise_component normal_wishart numbering numbers nuts nuts_jumps observations one_prior optimise overlap \
  partition partitions points posterior priors projection ranks reduction regressor relabelling scale_jumps search select select_criteria \
  select_models sequential sites size_jumps spikes start study study_running study_statistics svi telescoping unknown unknown_results vb vb_fits weighting
# More arguments for pytest: make test ARGS="-k em -m 'not slow'"
ARGS :=

.DEFAULT_GOAL := help
.PHONY: help setup compare report test coverage test-arviz1 check-long check-rounding lint format benchmark benchmark-large docs docs-figures wheel clean

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: $(VENV)/.installed ## Make .venv and install the package into it, with what its tests need

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "gmm_pyro needs Python 3.11 or later, and $(PYTHON) is:" \
	    "$$($(PYTHON) --version 2>&1). Name another one: make setup PYTHON=python3.12" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: pyproject.toml constraints.txt | $(BIN)/python
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[test]'
	@touch $@

compare: setup ## Compare the inference methods on three clusters; table and pictures go to results/
	$(BIN)/gmm-pyro compare --data three-clusters --out results --force

report: setup ## The same, with a page of everything for the browser: results/report.html
	$(BIN)/gmm-pyro compare --data three-clusters --out results --report --force

test: setup lint ## Run the linters, then the tests and the docstrings' examples
	$(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder $(ARGS)

coverage: setup ## Run the tests, and list the lines that none of them reaches
	$(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder --cov $(ARGS)

# Where torch comes with GPU libraries this takes 6 GB; an index of CPU builds spares them:
# PIP_EXTRA_INDEX_URL=https://download.pytorch.org/whl/cpu make test-arviz1
test-arviz1: ## Run the ArviZ tests on ArviZ 1.x, in .venv-arviz1 with Python 3.12
	@python="$(PYTHON312)"; if [ -z "$$python" ]; then \
	  echo "ArviZ 1.x is not tested: no Python 3.12 was found." \
	    "Name one: make test-arviz1 PYTHON312=/path/to/python"; exit 0; fi; \
	$(MAKE) --no-print-directory setup VENV=$(ARVIZ1_VENV) PYTHON="$$python" && \
	$(ARVIZ1_VENV)/bin/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder $(ARGS) \
	  tests/test_inference_data.py tests/test_arviz_plots.py tests/test_arviz_tools.py \
	  tests/test_convergence.py tests/test_bootstrap.py tests/test_select_criteria.py

check-long: ## Run all tests and the long checks on Python 3.13 in .venv-long, which takes an hour; results go to tests/long/results/
	@python="$(PYTHON313)"; if [ -z "$$python" ]; then \
	  echo "Python 3.13 is not checked: none was found." \
	    "Name one: make check-long PYTHON313=/path/to/python"; exit 0; fi; \
	$(MAKE) --no-print-directory setup VENV=$(LONG_VENV) PYTHON="$$python" && \
	mkdir -p $(LONG_RESULTS) && \
	{ date -u +%Y-%m-%d; $(LONG_VENV)/bin/python --version; \
	  $(LONG_VENV)/bin/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder $(ARGS) tests gmm_pyro tests/long; \
	  echo "pytest ended with exit code $$?"; } 2>&1 | tee $(LONG_RESULTS)/suite.txt; \
	tail -n 1 $(LONG_RESULTS)/suite.txt | grep -q 'code 0$$'

check-rounding: setup ## Run the numerical tests in twelve settings of how libraries round, which takes an hour or two
	@for products in COMPATIBLE AVX2 ''; do for threads in 1 2; do for kernels in Haswell ''; do \
	  set -- $${products:+MKL_CBWR=$$products} OMP_NUM_THREADS=$$threads \
	    $${kernels:+OPENBLAS_CORETYPE=$$kernels}; \
	  echo "$$*"; env -u MKL_CBWR -u OPENBLAS_CORETYPE "$$@" $(BIN)/python -m pytest -q -n 2 \
	    --dist loadfile --no-loadscope-reorder $(ARGS) $(NUMERICAL:%=tests/test_%.py) || exit 1; \
	done; done; done

lint: setup ## Check style, format and types
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy

benchmark: $(VENV)/.benchmarks ## Measure against the peers, which takes ten minutes; tables go to benchmarks/results/
	$(BIN)/python benchmarks/run.py

benchmark-large: setup ## Fit 1e8 points in files on two workers, with 4 GB of disk, in some minutes
	$(BIN)/python benchmarks/cluster_large.py

$(VENV)/.benchmarks: $(VENV)/.installed
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[bench]'
	@touch $@

docs: setup ## Build the documentation into docs/_build/html
	$(BIN)/python -m sphinx -W --keep-going -n -q -b html docs docs/_build/html
	@echo "wrote docs/_build/html/index.html"

docs-figures: setup ## Run the documentation's code blocks and draw its pictures anew
	$(BIN)/python docs/figures.py

format: setup ## Repair style and format where that can be done safely
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

wheel: ## Build the wheel into dist/
	$(PYTHON) -m pip wheel --quiet --no-deps --wheel-dir dist .

clean: ## Remove what the other targets leave, except the environments
	rm -rf dist results docs/_build .coverage .hypothesis .mypy_cache .pytest_cache .ruff_cache
	find gmm_pyro tests examples benchmarks docs -name __pycache__ -prune -exec rm -rf {} + 2>/dev/null || true
