# Set-up is part of every target: each first makes sure that .venv holds what is needed.
PY := .venv/bin/python
ROOMS := bots config console serving store tuning demo bench

.PHONY: install demo run test lint format

install:
	@python3 console/install.py

demo: install
	@.venv/bin/parlance demo

run: install
	@.venv/bin/parlance up

test: lint
	@$(PY) -m pytest $(if $(ROOM),tests/$(ROOM))

lint: install
	@.venv/bin/ruff check .
	@.venv/bin/ruff format --check .
	@.venv/bin/mypy
	@.venv/bin/lint-imports
	@$(PY) -m console.audit

format: install
	@.venv/bin/ruff check --fix .
	@.venv/bin/ruff format .
