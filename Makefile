# make help lists the targets. ARGS="..." goes on to the command: make train ARGS="model=gru optimizer.lr=1e-3"
PYTHON ?= python3
TORCH  ?= auto
ARGS   ?=
VENV   := .venv
BIN    := $(VENV)/bin
READY  := $(VENV)/.ready
PIP    := $(BIN)/python -m pip install --quiet --disable-pip-version-check --timeout 30
CPU_BUILDS := https://download.pytorch.org/whl/cpu

.DEFAULT_GOAL := help
.PHONY: help install train sample evaluate test test-slurm torture hashes check bench gpu-check tensorboard clean

help: ## list these targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

install: $(READY) ## make .venv and install into it (TORCH=cpu or cuda chooses torch's build)

$(READY): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "rnnscope needs Python 3.11 or newer; $(PYTHON) is $$($(PYTHON) -V 2>&1). Try: make PYTHON=python3.12"; exit 1; }
	@$(PYTHON) -c 'import venv, ensurepip' 2>/dev/null || \
	  { echo "$(PYTHON) lacks the venv module. On Debian and Ubuntu: apt-get install python3-venv"; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@if [ "$(TORCH)" = cpu ] || { [ "$(TORCH)" = auto ] && [ "$$(uname)" = Linux ] && ! command -v nvidia-smi >/dev/null; }; then \
	  echo "installing torch for the CPU (0.2 GB); TORCH=cuda installs the build for NVIDIA GPUs (several GB)"; \
	  $(PIP) --no-deps --retries 0 --index-url $(CPU_BUILDS) "$$(grep '^torch==' constraints.txt)" || echo "no CPU build there: taking the package index's"; \
	fi
	$(PIP) -c constraints.txt -e '.[dev]'
	@touch $@

train: $(READY) ## train the default experiment, or what ARGS says
	$(BIN)/rnnscope train $(ARGS)

sample: $(READY) ## generate text from the latest run
	$(BIN)/rnnscope sample $(ARGS)

evaluate: $(READY) ## score the latest run
	$(BIN)/rnnscope evaluate $(ARGS)

test: $(READY) ## run the tests
	$(BIN)/python -m pytest -n logical --maxprocesses 8 --dist worksteal $(ARGS)

torture: $(READY) ## kill sixty trainings, resume them, compare with unbroken ones (three minutes)
	$(BIN)/python tests/torture.py

hashes: $(READY) ## print the hashes of seven trainings, each also killed and resumed: moving code must not change them
	@$(BIN)/python tests/hashes.py

test-slurm: $(READY) ## a sweep of four jobs on a Slurm cluster of this one machine (root; installs slurm-wlm, munge)
	tests/slurm.sh

check: $(READY) ## check format, lint and types
	$(BIN)/ruff format --check src tests
	$(BIN)/ruff check src tests
	$(BIN)/pyright --pythonpath $(BIN)/python

bench: $(READY) ## measure this machine against a bare loop
	$(BIN)/rnnscope bench $(ARGS)

gpu-check: $(READY) ## the GPU tests and the benchmark, where there is a GPU
	@$(BIN)/python -c 'import sys, torch; sys.exit(not torch.cuda.is_available())' || { echo "torch finds no GPU here"; exit 1; }
	$(BIN)/python -m pytest tests/test_gpu.py tests/test_ddp.py -m gpu
	$(BIN)/rnnscope bench seconds=5 'cases=[1x512,2x128,2x512,3x512]'

tensorboard: $(READY) ## watch runs at http://localhost:6006
	$(BIN)/tensorboard --logdir $${RNNSCOPE_OUTPUTS:-outputs} --samples_per_plugin text=1000,scalars=10000 $(ARGS)

clean: ## remove .venv and caches; outputs/ stays
	rm -rf $(VENV) build dist .pytest_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
