# make train ARGS="model=deep data=circles"    train a network
# make test                                    everything that must hold
# make dashboard                               TensorBoard, on this machine only
#
# Each makes .venv and installs into it the first time, and again when pyproject.toml or constraints.txt has changed.
# PYTHON=python3.13 chooses another Python for it.

PYTHON ?= python3
ARGS ?=

BIN := .venv/bin
INSTALLED := .venv/.installed
NEEDED := 3.11

export PIP_DISABLE_PIP_VERSION_CHECK := 1

.PHONY: train test dashboard

train: $(INSTALLED)
	@$(BIN)/python train.py $(ARGS)

test: $(INSTALLED)
	$(BIN)/python -m ruff check
	$(BIN)/python -m ruff format --check
	$(BIN)/python -m mypy
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist worksteal $(ARGS)

dashboard: $(INSTALLED)
	@$(BIN)/python -m tensorboard.main --logdir logs --host localhost

# A whole .venv is kept and brought up to date; one that was left half-made is made anew. The stamp comes last.
$(INSTALLED): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < tuple(map(int, "$(NEEDED)".split("."))))' || { \
		echo 'Fulmen needs Python $(NEEDED) or newer, and $(PYTHON) is not; name one that is: make $(MAKECMDGOALS) PYTHON=python$(NEEDED)'; \
		exit 1; }
	@$(BIN)/python -m pip --version > /dev/null 2>&1 || $(PYTHON) -m venv --clear .venv
	@echo 'Installing into .venv, once; torch is large, so this takes minutes.'
	@$(BIN)/python -m pip install --constraint constraints.txt --editable '.[dev]'
	@touch $@
