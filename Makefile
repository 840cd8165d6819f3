# `make` without a target lists the targets.
.DEFAULT_GOAL := help
SHELL := /bin/bash

BIN := .venv/bin
READY := .venv/.ready
# The first Docker client that supports BuildKit's mounts. A recent one without buildx does not.
DOCKER ?= $(or $(shell for client in docker /usr/bin/docker; do \
	if DOCKER_BUILDKIT=1 $$client build --help 2>&1 | grep -q -e --secret; then echo $$client; break; fi; done),docker)
# Write bytecode even if the environment forbids it: TensorFlow then imports in half the time.
unexport PYTHONDONTWRITEBYTECODE
export TF_CPP_MIN_LOG_LEVEL ?= 2

# The demo: what a network learns from random weights in minutes on two cores. InceptionResNetV2, the default, is much slower.
DEMO := source=synthetic:640 test_fraction=0.33 image_size_px=75 weights=none backbone=densenet121 batch_size=32 epochs=6

.PHONY: help
help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-15s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

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
	echo "Setting up .venv with $$($$python --version): a few minutes, the first time."; \
	$$python -m venv .venv || { echo "This Python cannot make virtual environments: on Debian, apt install python3-venv." >&2; exit 1; }
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/uv.txt
	@$(BIN)/uv pip sync --quiet --python $(BIN)/python --require-hashes requirements/all.txt
	@# So that hpa-pipeline and python -m pipeline work from any folder.
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation --editable .
	@touch $@

.PHONY: run
run: $(READY) ## Run the whole pipeline on synthetic images, on this machine
	$(BIN)/python -m pipeline run $(DEMO)

PYTEST := $(BIN)/python -m pytest --dist loadgroup

.PHONY: test
test: $(READY) ## Run the quick tests: less than ten minutes on two cores
	$(PYTEST) -n 2 -m "not (slow or object_store or flink or workers or containers or kubernetes or long)"

.PHONY: test-slow
test-slow: $(READY) servers ## Run whole pipelines with the real network, object stores (need Go), Flink (needs Java) and several workers
	$(PYTEST) -n 2 -m "(slow or object_store or flink or workers) and not (containers or long)"

.PHONY: servers
servers: $(READY) # Installs the object stores that tests start. Without them, those tests are skipped.
	@for server in github.com/fsouza/fake-gcs-server@v1.56.1 github.com/versity/versitygw/cmd/versitygw@v1.8.0; do \
		name=$$(basename "$${server%@*}"); \
		if ! [ -x "$(BIN)/$$name" ] && ! command -v "$$name" >/dev/null && command -v go >/dev/null; then \
			echo "Installing $$name to $(BIN): a few minutes, the first time."; \
			GOBIN="$(CURDIR)/$(BIN)" go install "$$server" || true; \
		fi; \
	done

.PHONY: test-long
test-long: $(READY) servers ## Run the cases that take too long for the other targets, and write docs/reliability.md; run it again to resume
	@$(START_ENGINE) $(PYTEST) -n 2 -m long -p tests.reliability

.PHONY: check
check: $(READY) ## Check style, types, import directions and generated files
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m pipeline compile --check
	$(BIN)/python -m pipeline.reference --check

.PHONY: docs
docs: $(READY) ## Write pipeline.yaml, and the generated pages of docs/
	$(BIN)/python -m pipeline compile
	$(BIN)/python -m pipeline.reference

.PHONY: pictures
pictures: $(READY) ## Retake the pictures in docs/, from the newest run in outputs/ (needs Chromium)
	$(BIN)/python -m pipeline preview synthetic:28 --by-class --out docs/synthetic.png
	$(BIN)/python docs/screenshot.py outputs docs/evaluation.png

.PHONY: site
site: .venv/.site ## Build the documentation site into outputs/site/html
	$(BIN)/python docs/build_site.py

.PHONY: bench
bench: .venv/.bench ## Run the benchmarks, and write docs/benchmarks.md (hours; ONLY="predict evaluate" for some)
	$(BIN)/python -m benchmarks $(ONLY)

# Adds the requirements of one target to the environment.
.venv/.%: requirements/%.txt $(READY)
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --require-hashes -r $<
	@touch $@

STEPS := $(sort $(shell sed -n 's|^ *image: .*/\([a-z-]*\):.*|\1|p' pipeline.yaml))
# CPU=1 builds train and serve without the CUDA libraries. All tags then end in -cpu, so that the two kinds are not confused.
CPU ?=
# Labels of the images: the address of the repository, without credentials, and the commit.
SOURCE ?= $(or $(shell git config --get remote.origin.url | sed 's|//[^/@]*@|//|'),unknown)
REVISION ?= $(or $(shell git describe --always --dirty --exclude '*' --abbrev=40 2>/dev/null),unknown)
# The base image: see containers/release.json.
BASE ?= $(shell DOCKER='$(DOCKER)' containers/base.sh)
# The name of an image: pipeline.yaml gives the registry and the tag.
image = $(shell sed -n 's|^ *image: \(.*/\)push\(:.*\)|\1$(1)\2|p' pipeline.yaml | head -n 1)$(if $(CPU),-cpu)
tag = $(lastword $(subst :, ,$(call image,$(1))))
# PIP_CONF=<file> is for a package index that needs credentials: only pip sees the file, and no image keeps it.
build = DOCKER_BUILDKIT=1 $(DOCKER) build --quiet --build-arg BASE='$(BASE)' --build-arg VERSION=$(call tag,$(1)) \
	--build-arg SOURCE='$(SOURCE)' --build-arg REVISION='$(REVISION)' \
	--build-arg TENSORFLOW=$(if $(CPU),cpu,gpu) $(if $(PIP_CONF),--secret id=pip$(,)src=$(PIP_CONF)) \
	-f containers/$(1)/Dockerfile -t $(2)
, := ,

.PHONY: images
images: ## Build the image of each step, as pipeline.yaml names them (needs Docker; CPU=1: without CUDA)
	@$(MAKE) --no-print-directory -j $(STEPS:%=image-%) BASE='$(BASE)'

.PHONY: $(STEPS:%=image-%)
$(STEPS:%=image-%): image-%:
	$(call build,$*,$(call image,$*)) .

.PHONY: worker-image
worker-image: ## Build the image of Beam's workers on Dataflow and Flink
	$(call build,convert,$(subst /convert:,/convert-worker:,$(call image,convert))) --target worker \
		$(if $(BEAM_SDK),--build-arg BEAM_SDK=$(BEAM_SDK)) .

.PHONY: serve-image
serve-image: ## Build the image of the web server (needs Docker; CPU=1: without CUDA)
	$(call build,serve,$(call image,serve)) .

# The folder in which a run in Docker makes outputs/, with the same path in the container, and the user who owns outputs/.
RUN_IN ?= $(CURDIR)
RUN_AS ?= $(shell id -u):$(shell id -g)

.PHONY: run-in-docker
run-in-docker: ## Run the whole pipeline on synthetic images in a container (needs only Docker)
	@echo "Building an image with everything: a few minutes, the first time." >&2
	@$(call build,run,$(call image,run)) --platform linux/amd64 . >&2
	@mkdir -p '$(RUN_IN)/outputs'
	$(DOCKER) run --rm --platform linux/amd64 --user $(RUN_AS) -v '$(RUN_IN)/outputs:$(RUN_IN)/outputs' -w '$(RUN_IN)' \
		$(call image,run) run $(DEMO)

.PHONY: base
base: ## Pin the base image to the current digest of its tag
	DOCKER='$(DOCKER)' containers/base.sh --renew

.PHONY: push-images
push-images: $(addprefix push-,$(STEPS)) ## Push the images to REGISTRY=<host>/<path>, and print them with their digests

.PHONY: $(STEPS:%=push-%)
$(STEPS:%=push-%): pushed = $(REGISTRY)/$*:$(call tag,$*)
$(STEPS:%=push-%): push-%:
	$(if $(REGISTRY),,$(error Expected make push-images REGISTRY=<host>/<path>))
	@$(DOCKER) tag $(call image,$*) $(pushed)
	@$(DOCKER) push --quiet $(pushed) >&2
	@$(DOCKER) image inspect --format '{{range .RepoDigests}}{{println .}}{{end}}' $(pushed) | sed -n 's|^$(REGISTRY)/$*@|$(pushed)@|p'

# A script that is sourced to start a Docker engine if none is running, and exports DOCKER_HOST.
CONTAINER_ENGINE ?=
export CONTAINER_ENGINE
START_ENGINE = if [ -n "$$CONTAINER_ENGINE" ]; then source "$$CONTAINER_ENGINE" || exit 1; fi;

.PHONY: test-containers
test-containers: $(READY) ## Build the images, and run the whole pipeline and each step in them (needs Docker)
	@$(START_ENGINE) $(BIN)/python -m pytest -m "containers and not long"

.PHONY: test-kubernetes
test-kubernetes: $(READY) ## Run preflight and apply deploy/ against a real API server (needs KUBEBUILDER_ASSETS, see setup-envtest)
	$(BIN)/python -m pytest -m kubernetes

.PHONY: lock
lock: $(READY) ## Resolve all requirements again, into requirements/*.txt
	PATH="$(CURDIR)/$(BIN):$$PATH" requirements/lock.sh

# Together, these list every package that an environment or image installs.
AUDITED := $(patsubst %,requirements/%.txt,all bench pip-audit train-cpu train-gpu)

.PHONY: audit
audit: .venv/.audit ## Check the locked requirements for known vulnerabilities (asks PyPI; fails if it does not answer for one)
	@set -o pipefail; $(BIN)/pip-audit --strict --disable-pip --require-hashes --progress-spinner=off $(addprefix -r ,$(AUDITED)) 2>&1 \
		| sed '/^Traceback/,$${/^requests\.exceptions\./!d; s/^/Not audited: /}' # without a network, replaces the traceback by its last line

.venv/.audit: requirements/pip-audit.txt $(READY)
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --require-hashes -r requirements/pip-audit.txt
	@touch $@

.PHONY: clean
clean: ## Remove what make run wrote
	rm -rf outputs
