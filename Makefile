# Two commands do everything: `make lab` (learn) and `make test` (the whole suite). `make help` lists the rest.
PYTHON ?= python3
BIN := .venv/bin
PINS := tools/locks/requirements.txt
SCALE := tools/locks/scale.txt
BOOK := tools/locks/book.txt
AUDIT := tools/locks/audit.txt
# Named after what it is made from: files with other dates are no reason to make it anew.
READY := .venv/.ready-$(shell cat $(PINS) pyproject.toml | cksum | cut -d' ' -f1)
# Its cache stays in here: the home folder need not be writable.
UV := UV_CACHE_DIR="$(CURDIR)/.venv/uv-cache" $(BIN)/uv pip
SETTINGS := .venv/share/jupyter/lab/settings
LAB_FLAGS := $(if $(filter 0,$(shell id -u)),--allow-root)  # in a container one often is root

# A kernel that may not write bytecode recompiles pandas at every start; several kernels share the cores.
unexport PYTHONDONTWRITEBYTECODE
export OMP_NUM_THREADS := 1
export PYTHONHASHSEED := 0
# The helpers of this folder, even where the environment was made for another copy of the course.
export PYTHONPATH := $(CURDIR)

.DEFAULT_GOAL := help
.PHONY: help lab test .venv my scale lock store bench bench-scale picture class slides book book-test clean \
  whole

help:  ## this list
	@awk -F ':.*## ' '/^[a-z.-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' Makefile

lab: .venv my  ## open JupyterLab on notebook 01 of your own copy, in my/
	$(BIN)/jupyter lab $(LAB_FLAGS) --ServerApp.root_dir="$(CURDIR)" my/01_segmentation.ipynb

test: whole .venv  ## check style and types, then run every notebook and every test
	$(BIN)/ruff check --quiet .
	$(BIN)/ruff format --quiet --check .
	$(BIN)/mypy --no-error-summary
	$(BIN)/python -m pytest

# A class set (make class) holds neither tests nor the commands for them.
whole:
	@[ -d tests ] || { echo "This is a class set: it holds no tests and no tools for that; the whole course does." >&2; exit 2; }

my: | .venv
	@$(BIN)/python -m tools.my

.venv: $(READY)  ## the environment alone

# uv is itself one of the pinned packages: its own lines of the pins bring it in, then it brings the rest.
$(READY):
	@[ ! -L .venv ] || { echo "This .venv is a link, and what it leads to is not ready for this folder. Call make .venv there." >&2; exit 2; }
	@$(PYTHON) -c 'import sys; ok = (3, 11) <= sys.version_info < (3, 14); \
	  sys.exit(0 if ok else "The course needs Python 3.11, 3.12 or 3.13; $(PYTHON) is %d.%d. Try: make lab PYTHON=python3.12" % sys.version_info[:2])'
	$(PYTHON) -m venv --clear .venv
	@awk '/^[a-z]/ {keep = /^uv==/} keep' $(PINS) > .venv/uv.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-cache-dir --require-hashes -r .venv/uv.txt
	$(UV) install --quiet --python $(BIN)/python --require-hashes -r $(PINS)
	$(UV) install --quiet --python $(BIN)/python --no-deps --no-build-isolation --editable .
	@rm -rf .venv/uv-cache
	@mkdir -p $(SETTINGS)  # JupyterLab asks neither for news nor for updates: the course works offline
	@echo '{"@jupyterlab/apputils-extension:notification": {"fetchNews": "false", "checkForUpdates": false}}' \
	  > $(SETTINGS)/overrides.json
	@touch $@

ADD = $(UV) install --quiet --python $(BIN)/python --no-deps --no-build-isolation --require-hashes
scale: .venv  ## add Spark (needs Java 17 or newer) and tea-tasting, for notebook 10
	$(ADD) -r $(SCALE)
	@rm -rf .venv/uv-cache

COMPILE = $(UV) compile pyproject.toml --universal --python-version 3.11 \
  --generate-hashes --no-emit-index-url --no-header --quiet
NEW = awk 'NR == FNR {seen[$$1]; next} /^[a-z]/ {keep = !($$1 in seen)} keep'  # not pinned by the first
lock: .venv  ## make the files of pins anew from the bounds in pyproject.toml
	$(COMPILE) --extra test --extra real --upgrade --output-file $(PINS)
	$(COMPILE) --extra scale --constraint $(PINS) --output-file .venv/scale.txt
	$(COMPILE) --extra book --constraint $(PINS) --output-file .venv/book.txt
	$(COMPILE) --extra audit --constraint $(PINS) --constraint .venv/book.txt --output-file .venv/audit.txt
	@$(NEW) $(PINS) .venv/scale.txt > $(SCALE)
	@$(NEW) $(PINS) .venv/book.txt > $(BOOK)
	@$(NEW) $(PINS) .venv/audit.txt > $(AUDIT)

store: whole .venv  ## execute every notebook top to bottom and store its outputs
	$(BIN)/python -m tools.store_notebooks

bench: whole .venv  ## speed and memory, in one table (some fifteen minutes)
	$(BIN)/python -m tools.bench

bench-scale: whole scale  ## rows per second and memory up to a hundred million rows (some minutes, 2 GB of disk)
	$(BIN)/python -m tools.bench_scale

picture: whole .venv  ## copy the pictures of README and summary from the stored notebooks
	$(BIN)/python -m tools.pictures

# What is typed goes to the commands as it stands: neither make nor the shell reads it.
$(foreach name,SEEDS NAMES FIRST OUT NOTEBOOK SOLUTIONS ISSUES,$(eval export TYPED_$(name) = $$(value $(name))))

class: whole .venv  ## sets to hand out and their key, in class/: SEEDS=30 or NAMES=list.txt; FIRST=1000, OUT=folder
	$(if $(value SEED),@echo "Say SEEDS=30 for thirty sets or FIRST=7 for one with seed 7." >&2; exit 2)
	@$(BIN)/python -m tools.class_sets $(if $(value SEEDS),--seeds="$$TYPED_SEEDS") \
	  $(if $(value NAMES),--names="$$TYPED_NAMES") $(if $(value FIRST),--first="$$TYPED_FIRST") \
	  $(if $(value OUT),--out="$$TYPED_OUT")

slides: whole .venv  ## decks for a projector, in slides/, each one file that needs no internet: NOTEBOOK=03 for one
	@$(BIN)/python -m tools.slides $(if $(value NOTEBOOK),"$$TYPED_NOTEBOOK")

book: whole .venv  ## the course as pages, in book/_build: SOLUTIONS=0 for a class, ISSUES=address
	$(if $(value SOLUTION),@echo "Say SOLUTIONS=0." >&2; exit 2)
	$(ADD) -r $(BOOK)
	@rm -rf .venv/uv-cache
	@$(BIN)/python -m tools.book $(if $(value SOLUTIONS),--solutions="$$TYPED_SOLUTIONS") \
	  $(if $(value ISSUES),--issues="$$TYPED_ISSUES")

book-test: book  ## read those pages in Chromium: accessibility, phones, the keyboard, no internet
	$(ADD) -r $(AUDIT)
	@rm -rf .venv/uv-cache
	$(BIN)/python -m pytest -o addopts="-n 2 -q -rfEs" tests/audit_book.py
	$(BIN)/python -m pytest -o addopts="-n 2 -q -rfEs" tests/audit_report.py

clean:  ## remove the environment and the re-runs; your own copy in my/ stays
	rm -rf .venv runs
