# `make chat` opens the app and `make test` checks everything, each from a bare clone: they make .venv themselves.
PYTHON ?= python3
PIP = .venv/bin/python -m pip --disable-pip-version-check
PINNED = PIP_CONSTRAINT=$(CURDIR)/constraints.txt $(PIP) install --quiet -c constraints.txt

.PHONY: chat test lint clean

chat: .venv/.app
	@.venv/bin/localchat

test: lint
	.venv/bin/python -m pytest

lint: .venv/.test
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/mypy
	.venv/bin/lint-imports

.venv/.app: pyproject.toml constraints.txt
	@echo "Installing localchat into .venv (once; torch is about 200 MB)"
	@test -x .venv/bin/python || $(PYTHON) -m venv .venv
	@$(PINNED) -e .
	@touch $@

.venv/.test: .venv/.app
	@$(PINNED) -e '.[test]'
	@touch $@

clean:
	rm -rf .venv build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .import_linter_cache
