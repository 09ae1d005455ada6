# Everything that is done in a checkout. `make` alone lists it. Needs Python 3.9 or newer and make, nothing else.
#
# Each target sets itself up: a virtual environment in $(VENV) with what pyproject.toml asks for, and nothing of the
# project itself, because the scripts run from the checkout. What the scripts need has the versions and checksums of
# requirements.txt. A stamp in it, newer than these two files, says it is ready.

PYTHON ?= python3
VENV ?= .venv
VENV_CLI ?= .venv-cli
ARGS ?=
# Three processes for two cores, since one of them often waits; a file of tests is in one of them at a time, in the order
# that tests/conftest.py gives them, because tests of a file share what took long to make.
TEST_OPTIONS ?= -n 3 --dist loadfile --no-loadscope-reorder

PY = $(VENV)/bin/python
# A file that names this checkout in each environment that was made here: no other folder is ever removed, and no link.
MARK = .made-by-make
is_ours = { test ! -L "$${folder%/}" && test "$$(cat "$$folder/$(MARK)" 2>/dev/null)" = "$(CURDIR)"; }
# The command line pins an SDK of its own, so it lives apart. Tests run it as users do.
GLOBUS_CLI_PACKAGE = globus-cli>=3.40,<4
PIP_INSTALL = -m pip install --quiet --disable-pip-version-check

.PHONY: help demo test test-fast prove bench check install requirements clean distclean interpreter
.DELETE_ON_ERROR:

help:  ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' Makefile
	@echo
	@echo "  Another interpreter:  make test PYTHON=python3.13 VENV=.venv-3.13"
	@echo "  Some of the tests:    make test ARGS='-k settle -x'"

demo: $(VENV)/.ready-emulator  ## the real scripts against a local Globus, from a tree of files to a checked copy
	@$(PY) samples/demo.py $(ARGS)

test: $(VENV)/.ready-test $(VENV_CLI)/.ready  ## all tests
	@GLOBUS_CLI="$$(cd "$(VENV_CLI)" && pwd)/bin/globus" $(PY) -m pytest $(TEST_OPTIONS) $(ARGS)

test-fast: $(VENV)/.ready-test  ## the pure tests, in seconds: no process, no emulator
	@$(PY) -m pytest -n 2 --dist loadfile tests/unit $(ARGS)

prove: $(VENV)/.ready-test $(VENV_CLI)/.ready  ## the long proofs: crashes, faults, fuzzing; writes docs/reliability.md
	@GLOBUS_CLI="$$(cd "$(VENV_CLI)" && pwd)/bin/globus" $(PY) -m prove $(ARGS)

bench: $(VENV)/.ready-bench  ## what runs cost, beside find, fd, rsync, rclone and restic; writes docs/benchmarks.md
	@$(PY) -m benchmarks $(ARGS)

check: $(VENV)/.ready-dev  ## formatting, lint and types
	$(PY) -m ruff format --check .
	$(PY) -m ruff check .
	$(PY) -m mypy

install: $(VENV)/.ready-core  ## what the scripts need to run from here, and the line for your crontab
	@echo "Ready. Write your settings into config_local.py (README.md, Quick start); then check them and sign in:"
	@$(PY) -c 'import test_config as c; print("  " + c.command("test_config.py", None))'
	@echo "Then paste this line into your crontab (crontab -e):"
	@$(PY) -c 'import test_config as c; print("  " + c.crontab_line(None))'

requirements: $(VENV)/.ready-dev  ## renew requirements.txt: the newest versions of what the scripts need; then run all tests
	@$(PY) -m uv pip compile --quiet --upgrade --universal --python-version 3.9 --generate-hashes --no-annotate \
	--custom-compile-command "make requirements" pyproject.toml -o requirements.txt

clean:  ## remove what the demo, the tests and the checks left
	rm -rf .demo .pytest_cache .mypy_cache .ruff_cache .hypothesis *.egg-info
	find . -name __pycache__ -not -path './.venv*' -prune -exec rm -rf {} +

distclean: clean  ## clean, and remove the virtual environments (a crontab that names one stops working)
	@for folder in "$(VENV)" "$(VENV_CLI)"; do if $(is_ours); then echo "rm -rf $$folder"; rm -rf "$$folder"; \
	elif test -e "$$folder"; then echo "make: $$folder was not made here, so it stays" >&2; fi; done

# --- setting up -------------------------------------------------------------------------------------------------------

# pip reads a copy of the metadata, so that nothing is built or left behind in the checkout.
METADATA = pyproject.toml LICENSE NOTICE autotransfer/common/version.py
define INSTALL
	@echo "Setting up $(VENV) with what the project needs ($@) ..." >&2
	@rm -rf $(VENV)/metadata && mkdir -p $(VENV)/metadata/autotransfer/common && : > $(VENV)/metadata/README.md
	@for file in $(METADATA); do cp $$file $(VENV)/metadata/$$file || exit 1; done
	@$(PY) $(PIP_INSTALL) --require-hashes -r requirements.txt
	@$(PY) $(PIP_INSTALL) "$(VENV)/metadata$(1)"
	@rm -rf $(VENV)/metadata
	@touch $(addprefix $(VENV)/.ready-,$(2))
endef

$(VENV)/.ready-core: pyproject.toml requirements.txt $(PY) | interpreter
	$(call INSTALL,,core)

$(VENV)/.ready-emulator: pyproject.toml requirements.txt $(PY) | interpreter
	$(call INSTALL,[emulator],core emulator)

$(VENV)/.ready-bench: pyproject.toml requirements.txt $(PY) | interpreter
	$(call INSTALL,[bench],core emulator bench)

$(VENV)/.ready-test: pyproject.toml requirements.txt $(PY) | interpreter
	$(call INSTALL,[test],core emulator test)

$(VENV)/.ready-dev: pyproject.toml requirements.txt $(PY) | interpreter
	$(call INSTALL,[dev],core emulator test dev)

$(PY):
	$(call NEW_VENV,$(VENV))

$(VENV_CLI)/bin/python:
	$(call NEW_VENV,$(VENV_CLI))

$(VENV_CLI)/.ready: $(VENV_CLI)/bin/python
	@echo "Setting up $(VENV_CLI) with the globus command line ..." >&2
	@$(VENV_CLI)/bin/python $(PIP_INSTALL) "$(GLOBUS_CLI_PACKAGE)"
	@touch $@

# Only what was made here is emptied, as when it was half made, or when its interpreter is gone.
define NEW_VENV
	@command -v "$(PYTHON)" >/dev/null || { echo "make: there is no $(PYTHON). Install Python 3.9 or newer, or name \
	yours: make PYTHON=/path/to/python3" >&2; exit 1; }
	@"$(PYTHON)" -c 'import sys; sys.exit(sys.version_info < (3, 9))' || { echo "make: $(PYTHON) is older than 3.9. \
	Name a newer one: make PYTHON=/path/to/python3" >&2; exit 1; }
	@"$(PYTHON)" -c 'import ensurepip, venv' 2>/dev/null || { echo "make: $(PYTHON) cannot make virtual environments. \
	On Debian and Ubuntu: apt-get install python3-venv" >&2; exit 1; }
	@folder="$(1)"; { test ! -e "$$folder" && test ! -L "$${folder%/}"; } || $(is_ours) || { echo "make: $(1) exists and \
	was not made here. Remove it, or name another folder with VENV= or VENV_CLI=" >&2; exit 1; }
	@rm -rf "$(1)" && mkdir -p "$(1)" && echo "$(CURDIR)" > "$(1)/$(MARK)" && "$(PYTHON)" -m venv "$(1)" || \
	{ rm -rf "$(1)"; exit 1; }
endef

# Whoever names an interpreter means it: an environment made with another one is not quietly used.
interpreter: $(PY)
ifneq ($(origin PYTHON),file)
	@asked=$$("$(PYTHON)" -c 'import sys; print(sys.version_info[:3])') && \
	found=$$($(PY) -c 'import sys; print(sys.version_info[:3])') && \
	test "$$asked" = "$$found" || { echo "make: $(VENV) was made with another Python than $(PYTHON). Name a folder \
	for this one, such as VENV=.venv-other" >&2; exit 1; }
endif
