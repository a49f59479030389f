.DEFAULT_GOAL := help
SHELL := /bin/bash
PY := .venv/bin/python
DATA ?= .headwater
REGISTRY ?= localhost
TAG ?= $(shell git describe --always --dirty --abbrev=12 2>/dev/null || echo 0.1.0)
RELEASE ?= headwater
NAMESPACE ?= headwater
VALUES ?= helm/scenarios/single-node.yaml
HELM ?= $(shell command -v helm || echo "$$(scripts/helm_tools.sh | cut -d' ' -f1)/helm")
RAY_TESTS ?= tests/contract/test_embedding_edge.py tests/contract/test_rerank_edge.py
CLUSTER_TESTS ?= tests/contract tests/integration
.PHONY: help setup demo up down test chaos fuzz test-integration test-on-servers test-torch test-ray test-llm mutants bench bench-cluster eval check proto contract lint type format clean images deploy test-cluster helm helm-check helm-values helm-golden

help: ## Show this help
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-17s %s\n", $$1, $$2}'

setup: .venv/.stamp ## Install everything into .venv (run by the other targets)

.venv/.stamp: uv.lock pyproject.toml sdk/pyproject.toml scripts/uv.txt
	@scripts/bootstrap.sh

demo: setup ## Start the five services, ingest the sample corpus, ask, show one trace, stop
	@$(PY) -m eval.demo

up: setup ## Start the five services and wait until they are ready
	@.venv/bin/headwater up --data $(DATA)

down: setup ## Stop them
	@.venv/bin/headwater down --data $(DATA)

test: setup ## Run the whole offline test suite
	@$(PY) -m pytest -n 2 --dist loadgroup

test-integration: setup ## Test the cluster profile on real servers, which it starts (addresses, containers or packages)
	@$(PY) -m tests.servers run -- $(MAKE) --no-print-directory test-on-servers
	@$(MAKE) --no-print-directory test-ray
	@$(MAKE) --no-print-directory test-llm

# Every contract suite over the cluster adapters, then the embedded profile's end-to-end suite as it is over the cluster's,
# then the guarantees in short.
test-on-servers:
	@$(PY) -m pytest -m cluster -n 2 --dist loadgroup --durations 15 $(CLUSTER_TESTS)
	@$(PY) -m tests.servers.profile -- $(PY) -m pytest -n 2 --dist loadgroup --durations 15 tests/e2e
	@$(PY) -m tests.chaos --scale short

chaos: setup ## The guarantees on real servers, with faults: SCALE=full|short SEED=5 ONLY=P1,P3 WRITE=docs/guarantees.md
	@$(PY) -m tests.servers run --only elasticsearch,weaviate,redis,s3 -- $(PY) -m tests.chaos --scale $(or $(SCALE),full) \
	  --seed $(or $(SEED),5) $(if $(ONLY),--only $(ONLY)) $(if $(WRITE),--write $(WRITE)) $(if $(KEEP),--keep $(KEEP))

fuzz: setup ## Random bytes against every RPC, topic and parser for long (in short also part of make test): FUZZ='-k rpcs'
	@HEADWATER_FUZZ=long $(PY) -m pytest tests/fuzz $(FUZZ)

test-torch: setup ## Test the torch engine; its dependencies are 4.5 GB
	@UV_PROJECT_ENVIRONMENT=.cache/torch .cache/tools/bin/uv run --frozen --group torch python -m pytest -m torch

# Not by "uv run": Ray would have its workers do the same, from a copy of this folder without .cache.
test-ray: setup ## Test the replicas behind Ray Serve; its dependencies are 200 MB, in an environment of their own
	@UV_PROJECT_ENVIRONMENT=.cache/ray .cache/tools/bin/uv sync --quiet --frozen --compile-bytecode --group ray
	@.cache/ray/bin/python -m pytest -m ray $(RAY_TESTS)

test-llm: setup ## Test the generator over a real language model; builds llama.cpp, skips with the reason where it can't
	@$(PY) -m tests.servers.language_model
	@$(PY) -m pytest -m llm -rs tests/integration/test_language_model.py

mutants: setup ## Take out one protection at a time and show which test turns red: NAMES='…' JOBS=2
	@$(PY) -m tests.mutants --jobs $(or $(JOBS),1) $(NAMES)

eval: setup ## Answer the golden set through the services; fails below a floor or on a significant loss
	@$(PY) -m eval.run

bench: setup ## Measure everything the README quotes; prints one JSON object
	@$(PY) -m bench

bench-cluster: setup ## The same over the cluster profile, on real servers which it starts
	@$(PY) -m tests.servers run -- $(PY) -m tests.servers.profile -- $(PY) -m bench

check: setup lint type proto-check configuration-check helm-check ## Lint, types, import law, protobuf, generated pages, chart

lint: setup
	@.venv/bin/ruff check . && .venv/bin/ruff format --check .
	@.venv/bin/lint-imports --no-cache

type: setup
	@.venv/bin/mypy

proto: setup ## Generate the stubs from protos/
	@PATH="$(CURDIR)/.venv/bin:$$PATH" $(PY) scripts/generate_stubs.py

proto-check: proto
	@.venv/bin/buf lint && .venv/bin/buf format --diff --exit-code
	@for image in tests/golden/protos/*.binpb; do .venv/bin/buf breaking --against $$image || exit 1; done
	@test -z "$$(git status --porcelain sdk/headwater | grep _pb2)" || { echo "the stubs differ from protos/: commit what 'make proto' wrote" >&2; exit 1; }

contract: setup ## Record the events and protos of a release, once, before it is made: VERSION=v2
	@test -n "$(VERSION)" || { echo "which? make contract VERSION=v2" >&2; exit 2; }
	@$(PY) -m tests.golden.events.record $(VERSION)
	@.venv/bin/buf build -o tests/golden/protos/$(VERSION).binpb

configuration: setup ## Write docs/configuration.md from the settings classes
	@$(PY) scripts/configuration_table.py

configuration-check: setup
	@$(PY) scripts/configuration_table.py --check

images: setup ## Build the images and show their sizes: BASE=… REGISTRY=… TAG=… [PUSH=1 | IMAGE_LOAD='command']
	@$(PY) -m scripts.images --check --registry $(REGISTRY) --tag $(TAG) $(if $(BASE),--base $(BASE)) $(if $(PUSH),--push) \
	  $(if $(IMAGE_LOAD),--load '$(IMAGE_LOAD)')

deploy: images ## Build the images, hand them on, install or upgrade the chart: VALUES=… and what images takes
	@$(HELM) upgrade --install $(RELEASE) helm --namespace $(NAMESPACE) --create-namespace --values $(VALUES) \
	  --set image.registry=$(REGISTRY),image.tag=$(TAG) --wait --timeout 10m

test-cluster: setup ## Everything on a real cluster: KUBECONFIG=… IMAGE_LOAD='command that loads an image tar' [BASE=…]
	@KUBECONFIG='$(KUBECONFIG)' IMAGE_LOAD='$(IMAGE_LOAD)' BASE='$(BASE)' $(PY) -m tests.cluster

helm: setup ## Check the chart: lint, tests of its templates, golden manifests, schemas
	@scripts/helm_tools.sh >/dev/null
	@$(PY) -m pytest tests/helm/test_chart_*.py

# Its tools are built once, by Go. Where they can't be, the rest of the checks still says something.
helm-check: setup
	@if scripts/helm_tools.sh --present >/dev/null 2>&1 || command -v go >/dev/null; then $(MAKE) --no-print-directory helm; \
	  else echo "the chart is not checked: helm is built by Go, which is missing" >&2; fi

helm-values: setup ## Write the schema of the chart's values and the tables of helm/README.md
	@$(PY) -m scripts.helm_values

helm-golden: setup ## Write the golden manifests of the chart's scenarios
	@scripts/helm_tools.sh >/dev/null
	@$(PY) -m tests.helm.rendering

format: setup ## Format the code
	@.venv/bin/ruff check --fix . && .venv/bin/ruff format .

clean: ## Remove .venv and caches
	@rm -rf .venv .cache .mypy_cache .ruff_cache .pytest_cache .hypothesis
