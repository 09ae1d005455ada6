"""Everything behind the scripts. A run scans, plans and transfers; the datastore lies below, globus beside.

run           one run: reconcile, scan, plan, submit, wait
scan/         what is on disk
plan/         what is to be sent, and in which tasks
transfer/     tasks: submitted, and reconciled with what Globus says of them
datastore/    what is recorded, in one file
globus/       the service; the only package that imports globus_sdk
status/       what has arrived and what has not: text, JSON, manifest, page
monitoring/   who is notified of how a run ended
timers/       recurring transfers hosted by Globus (timer.py)
checks/       the checks of test_config.py
common/       what every package uses: errors, settings, paths, times, text, files, the summary

tests/test_layers.py has the table of who may import whom. Nothing here prints, asks or exits.

Scripts import this before all else of ours: from then on a damaged compiled file (.pyc) breaks no run. Python keeps one
that a full disk or a limit on file size has cut off, and fails to read it from then on.
"""

from __future__ import annotations

import os
import resource
import sys
from contextlib import suppress
from importlib.machinery import SourceFileLoader
from types import CodeType

# Compiled files are smaller. Where none of this size can be written, none are.
LARGEST_COMPILED_BYTES = 1 << 20
_read_code = SourceFileLoader.get_code


def _code(loader: SourceFileLoader, name: str) -> CodeType | None:
    """The code of a module: from its source where the compiled file is damaged, which is then removed."""
    try:
        return _read_code(loader, name)
    except (EOFError, ValueError, TypeError):  # what marshal raises
        path = loader.get_filename(name)
        _remove_compiled(path)
        return loader.source_to_code(loader.get_data(path), path)


def _remove_compiled(path: str) -> None:
    from importlib.util import cache_from_source

    with suppress(OSError):
        os.unlink(cache_from_source(path))


def _cannot_write_whole() -> bool:
    """Whether what is compiled may be cut off; the file of this module was written before anything here could run."""
    if not 0 <= resource.getrlimit(resource.RLIMIT_FSIZE)[0] < LARGEST_COMPILED_BYTES:
        return False
    _remove_compiled(__file__)
    return True


SourceFileLoader.get_code = _code  # type: ignore[assignment,method-assign]
sys.dont_write_bytecode = _cannot_write_whole() or sys.dont_write_bytecode
