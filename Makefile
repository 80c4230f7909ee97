# make help lists the targets. ARGS="..." is passed to the command: make train ARGS="model=gru optimizer.lr=1e-3"
PYTHON ?= python3
TORCH  ?= auto
ARGS   ?=
VENV   := .venv
BIN    := $(VENV)/bin
READY  := $(VENV)/.ready
PIP    := $(BIN)/python -m pip install --quiet --disable-pip-version-check --timeout 30
CPU_BUILDS := https://download.pytorch.org/whl/cpu

.DEFAULT_GOAL := help
.PHONY: help install train sample evaluate test test-all test-loggers test-slurm test-wheel torture hashes check bench gpu-check tensorboard docs figures claims clean

help: ## list these targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

install: $(READY) ## create .venv and install into it (TORCH=cpu or TORCH=cuda selects torch's build)

$(READY): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "rnnscope needs Python 3.11 or newer; $(PYTHON) is $$($(PYTHON) -V 2>&1). Try: make PYTHON=python3.12"; exit 1; }
	@$(PYTHON) -c 'import venv, ensurepip' 2>/dev/null || \
	  { echo "$(PYTHON) lacks the venv module. On Debian and Ubuntu: apt-get install python3-venv"; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@if [ "$(TORCH)" = cpu ] || { [ "$(TORCH)" = auto ] && [ "$$(uname)" = Linux ] && ! command -v nvidia-smi >/dev/null; }; then \
	  echo "installing torch for the CPU (0.2 GB); TORCH=cuda installs the build for NVIDIA GPUs (several GB)"; \
	  $(PIP) --no-deps --retries 0 --index-url $(CPU_BUILDS) "$$(grep '^torch==' constraints.txt)" || echo "found no CPU build there: installing torch from the package index"; \
	fi
	$(PIP) -c constraints.txt -e '.[dev]'
	@touch $@

train: $(READY) ## train the default experiment, or the one that ARGS describes
	$(BIN)/rnnscope train $(ARGS)

sample: $(READY) ## generate text from the latest run
	$(BIN)/rnnscope sample $(ARGS)

evaluate: $(READY) ## score the latest run
	$(BIN)/rnnscope evaluate $(ARGS)

test: $(READY) ## run the tests
	$(BIN)/python -m pytest -n logical --maxprocesses 8 --dist worksteal $(ARGS)

test-all: test ## run the tests, and the slow ones of tests/slow/ (half an hour)
	$(BIN)/python -m pytest -n logical --maxprocesses 8 --dist worksteal tests/slow

test-loggers: $(READY) ## install MLflow and W&B and test what runs log to them (a minute)
	$(PIP) -c constraints.txt -e '.[mlflow,wandb]'
	$(BIN)/python -m pytest tests/pipeline/test_loggers.py

torture: $(READY) ## kill sixty trainings, resume them and compare with uninterrupted ones (three minutes)
	$(BIN)/python tests/torture.py

hashes: $(READY) ## print the hashes of seven trainings, which moving code must not change
	@$(BIN)/python tests/hashes.py

test-wheel: ## build the wheel, install it into an empty environment and use it there (two minutes)
	PYTHON=$(PYTHON) tests/wheel.sh

test-slurm: $(READY) ## run a sweep on a Slurm cluster of this machine only (as root; installs slurm-wlm and munge)
	tests/slurm.sh

check: $(READY) ## check format, lint and types
	$(BIN)/ruff format --check src tests
	$(BIN)/ruff check src tests
	$(BIN)/pyright --pythonpath $(BIN)/python

bench: $(READY) ## measure how fast this machine trains, next to a bare loop
	$(BIN)/rnnscope bench $(ARGS)

gpu-check: $(READY) ## run the GPU tests and the benchmark (needs a GPU)
	@$(BIN)/python -c 'import sys, torch; sys.exit(not torch.cuda.is_available())' || { echo "torch finds no GPU here"; exit 1; }
	$(BIN)/python -m pytest tests/test_gpu.py tests/training/test_distributed.py -m gpu
	$(BIN)/rnnscope bench seconds=5 'cases=[1x512,2x128,2x512,3x512]'

tensorboard: $(READY) ## watch runs at http://localhost:6006
	$(BIN)/tensorboard --logdir $${RNNSCOPE_OUTPUTS:-outputs} --samples_per_plugin text=1000,scalars=10000 $(ARGS)

docs: $(VENV)/.docs ## build the site of docs/ into site/
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

$(VENV)/.docs: $(READY)
	$(PIP) -c constraints.txt -e '.[docs]'
	@touch $@

figures: $(READY) ## make the pictures in docs/pictures/ from trainings of their own (a quarter of an hour; needs chromium and chromedriver)
	$(BIN)/python examples/figures.py

claims: $(READY) ## train the classic experiments and write the table of docs/classics.md (an hour on two cores; continues)
	$(BIN)/python examples/claims.py

clean: ## remove .venv and caches; outputs/ is kept
	rm -rf $(VENV) build dist site .pytest_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
