# Set-up is part of every target: each first makes sure that .venv holds what is needed.
PY := .venv/bin/python

.PHONY: install demo run test lint format

install:
	@python3 console/install.py

demo: install
	@.venv/bin/parlance demo

run: install
	@.venv/bin/parlance up

# Two processes share the tests; those around one engine stay together (tests/conftest.py).
test: lint
	@$(PY) -m pytest -n 2 --dist loadgroup --no-loadscope-reorder $(if $(ROOM),tests/$(ROOM))

lint: install
	@.venv/bin/ruff check .
	@.venv/bin/ruff format --check .
	@.venv/bin/mypy
	@.venv/bin/lint-imports
	@$(PY) -m console.audit

format: install
	@.venv/bin/ruff check --fix .
	@.venv/bin/ruff format .
