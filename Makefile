# make compare   the main job: VAE, GAN and VAE-GAN on MNIST, into results/mnist-quick
# make test      the whole suite, in a fresh environment
# PYTHON chooses the interpreter, 3.11 or newer: make compare PYTHON=python3.12

PYTHON ?= python3
VENV := .venv
TEST_VENV := .venv-test
SOURCES := $(shell find src -type f -not -path '*/.*' -not -name '*.pyc')

.PHONY: compare test clean

compare: $(VENV)/installed
	$(VENV)/bin/triptych compare

$(VENV)/installed: pyproject.toml constraints.txt $(SOURCES)
	scripts/venv.sh $(PYTHON) $(VENV)
	$(VENV)/bin/pip install --quiet -c constraints.txt .
	touch $@

# The tests see the installed package and not src/, which proves that the data files are packaged.
# Node.js is what pyright runs on, Chromium what opens the report.
test:
	rm -rf $(TEST_VENV)
	scripts/system_package.sh node nodejs || echo 'pyright will look for a Node.js of its own'
	scripts/system_package.sh chromium chromium || echo 'the browser tests will be skipped'
	scripts/venv.sh $(PYTHON) $(TEST_VENV)
	$(TEST_VENV)/bin/pip install --quiet -c constraints.txt '.[dev]'
	$(TEST_VENV)/bin/ruff check
	$(TEST_VENV)/bin/ruff format --check
	$(TEST_VENV)/bin/pyright --pythonpath $(TEST_VENV)/bin/python src
	OMP_NUM_THREADS=1 $(TEST_VENV)/bin/pytest -n 2 --dist worksteal

clean:
	rm -rf $(VENV) $(TEST_VENV)
