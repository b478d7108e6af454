# Everything one does with a checkout. `make run` needs Python 3.11+ and make, nothing else.
.DEFAULT_GOAL := help
.PHONY: help run test check lint types layers templates claims dev bench seed nightly lock vendor texts
python := .venv/bin/python

help: ## this list
	@awk -F ':[^#]*## ' '/^[a-z]+:.*## / { printf "  make %-9s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

run: ## set everything up and serve (HOST and PORT in .env)
	@bin/setup run && exec $(python) bin/serve

test: dev ## the whole test suite
	@$(python) -m pytest

check: lint types layers templates claims ## lint, types, layers, templates, and what documents, locks and catalogues claim
	@$(python) .ci/sizes.py

lint: dev
	@$(python) -m ruff check .
	@$(python) -m ruff format --check .

types: dev
	@$(python) -m mypy

layers: dev
	@.venv/bin/lint-imports --no-cache

templates: dev
	@$(python) -m djlint templates --lint --quiet

claims: dev
	@$(python) -m pytest -q tests/test_layers.py tests/test_docs.py tests/test_locks.py tests/test_texts.py

dev:
	@bin/setup dev

bench: dev ## measure against a simulated model and a bare relay
	@$(python) -m bench

seed: ## fill the database with clients and conversations to try things on
	@bin/setup run && $(python) -m bench.seed

nightly: dev ## the long runs: kill -9 cycles, loads, search quality
	@$(python) -m pytest -m nightly --timeout 3600

lock: dev ## write requirements.txt and requirements-dev.txt anew from the .in files
	@bin/lock

vendor: ## fetch the front-end libraries anew, at the versions written down
	@sh static/vendor/vendor.sh

texts: dev ## collect the words that people read into chatbot/translations/messages.pot
	@bin/texts
