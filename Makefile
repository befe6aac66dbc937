# `make chat` opens the app and `make test` checks everything, each from a bare clone: they make .venv themselves.
PYTHON ?= python3
PIP = .venv/bin/python -m pip --disable-pip-version-check
CONSTRAINTS = $(CURDIR)/constraints.txt
# For what builds the package too: there, older versions of pip read the first variable and newer ones the second.
PINNED = PIP_CONSTRAINT=$(CONSTRAINTS) PIP_BUILD_CONSTRAINT=$(CONSTRAINTS) $(PIP) install --quiet
# A change in one of these needs a new installation; Python files are used where they are.
SOURCES = pyproject.toml constraints.txt $(wildcard quant/kernels/cpu/*.cpp quant/kernels/cpu/*.h) \
	quant/kernels/cpu/cmake/CMakeLists.txt

.PHONY: chat test lint arm64 clean

chat: .venv/.app
	@.venv/bin/localchat

# Beside each other where there are processors to spare; a file's tests stay together, as they share what is costly to make.
test: lint
	OMP_NUM_THREADS=$${OMP_NUM_THREADS:-1} .venv/bin/python -m pytest --numprocesses auto --maxprocesses 4 --dist loadfile

lint: .venv/.test
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/mypy
	.venv/bin/lint-imports

.venv/.app: $(SOURCES) | .venv/bin/python
	@echo "Installing localchat into .venv (at first with torch, about 200 MB)"
	@$(PINNED) -e .
	@touch $@

# A mistake in C++ is an error here, if there is a compiler, and not a reason to install without the kernels.
.venv/.test: $(SOURCES) | .venv/bin/python
	@LOCALCHAT_REQUIRE_KERNELS=$$(command -v $${CXX:-c++} >/dev/null && echo 1) $(PINNED) -e '.[test]'
	@touch .venv/.app $@

.venv/bin/python:
	$(PYTHON) -m venv .venv

# The kernels on emulated 64-bit ARM: on a recent processor, and on one from before dot products. Needs what
# quant/kernels/cpu/cmake/arm64.cmake says.
arm64:
	cmake -S quant/kernels/cpu/cmake -B build/arm64 --toolchain arm64.cmake -DQUANT_CHECK=ON
	cmake --build build/arm64 --parallel
	ctest --test-dir build/arm64 --output-on-failure
	QEMU_CPU=cortex-a53 ctest --test-dir build/arm64 --output-on-failure

clean:
	rm -rf .venv build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .import_linter_cache
	git clean -fdXq quant/kernels/cpu # what was built in place
