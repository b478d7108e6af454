# Everything one does with a checkout. `make run` needs Python 3.11+ and make, nothing else.
.DEFAULT_GOAL := help
.PHONY: help run test check bench seed nightly lock vendor texts
python := .venv/bin/python

help: ## this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-9s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

run: ## set everything up and serve (HOST and PORT in .env)
	@bin/setup run && exec $(python) -m chatbot.serve

test: ## the whole test suite
	@bin/setup dev && $(python) -m pytest

check: ## lint, types, layers, templates, catalogues, locks; prints what has grown large
	@bin/setup dev
	@$(python) -m ruff check .
	@$(python) -m ruff format --check .
	@$(python) -m mypy
	@.venv/bin/lint-imports
	@$(python) -m djlint templates --lint --quiet
	@$(python) -m pytest -q tests/test_layers.py tests/test_docs.py tests/test_locks.py tests/test_texts.py
	@$(python) .ci/sizes.py

bench: ## measure against a simulated model and a bare relay
	@bin/setup dev && $(python) -m bench

seed: ## fill the database with clients and conversations to try things on
	@bin/setup run && $(python) -m bench.seed

nightly: ## the long runs: kill -9 cycles, loads, search quality
	@bin/setup dev && $(python) -m pytest -m nightly --timeout 3600

lock: ## write requirements.txt and requirements-dev.txt anew from the .in files
	@bin/setup dev && bin/lock

vendor: ## fetch the front-end libraries anew, at the versions written down
	@sh static/vendor/vendor.sh

texts: ## collect the words that people read into chatbot/translations/messages.pot
	@bin/setup dev && bin/texts
