# `make` alone lists what there is.
.DEFAULT_GOAL := help
SHELL := /bin/bash

BIN := .venv/bin
READY := .venv/.ready
DOCKER ?= docker
# Compiled modules are kept beside their source even where the environment forbids it: TensorFlow imports in half the time.
unexport PYTHONDONTWRITEBYTECODE
export TF_CPP_MIN_LOG_LEVEL ?= 2

# The data, size and epochs of the demo: what a network learns from scratch in a few minutes on two cores.
DEMO := source=synthetic:450 image_size_px=75 weights=none epochs=8

.PHONY: help
help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: setup
setup: $(READY) ## Make .venv with everything, pinned by hash

$(READY): requirements/all.txt requirements/uv.txt
	@python=""; \
	for candidate in $(PYTHON) python3.11 python3.12 python3.13 python3; do \
		if $$candidate -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null; then \
			python=$$candidate; break; \
		fi; \
	done; \
	if [ -z "$$python" ]; then echo "Python 3.11, 3.12 or 3.13 is needed; name it with make PYTHON=<path>." >&2; exit 1; fi; \
	echo "Setting up .venv with $$($$python --version): a minute or two, the first time."; \
	$$python -m venv .venv || { echo "This Python cannot make virtual environments: on Debian, apt install python3-venv." >&2; exit 1; }
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/uv.txt
	@$(BIN)/uv pip sync --quiet --python $(BIN)/python --require-hashes requirements/all.txt
	@touch $@

.PHONY: run
run: $(READY) ## Run the whole pipeline on drawn images, on this machine
	$(BIN)/python -m pipeline run $(DEMO)

.PHONY: test
test: $(READY) ## Run the tests
	$(BIN)/python -m pytest -n 2 --dist loadgroup -m "not gcs and not flink"

.PHONY: test-gcs
test-gcs: $(READY) ## Run the tests against an object store that honours preconditions (installs it where Go is at hand)
	@if ! [ -x $(BIN)/fake-gcs-server ] && ! command -v fake-gcs-server >/dev/null && command -v go >/dev/null; then \
		echo "Installing fake-gcs-server to $(BIN)."; \
		GOBIN="$(CURDIR)/$(BIN)" go install github.com/fsouza/fake-gcs-server@v1.56.1 || true; \
	fi
	$(BIN)/python -m pytest -n 2 --dist loadgroup -m gcs

.PHONY: test-flink
test-flink: $(READY) ## Run the Beam job on Apache Flink (needs Java 11 or 17)
	$(BIN)/python -m pytest -m flink

.PHONY: check
check: $(READY) ## Check style, types, import directions and pipeline.yaml
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m pipeline compile --check

.PHONY: images
images: ## Build the image of each step, as pipeline.yaml names them (needs Docker)
	@sed -n 's/^ *image: //p' pipeline.yaml | sort -u | while read -r image; do \
		step=$${image##*/}; step=$${step%%:*}; echo "== $$image"; \
		DOCKER_BUILDKIT=1 $(DOCKER) build --quiet -f containers/$$step/Dockerfile --build-arg VERSION=$${image##*:} -t $$image . \
			|| exit 1; \
	done

.PHONY: lock
lock: $(READY) ## Resolve all requirements anew, to requirements/*.txt
	PATH="$(CURDIR)/$(BIN):$$PATH" requirements/lock.sh

.PHONY: clean
clean: ## Remove what make run wrote
	rm -rf outputs
