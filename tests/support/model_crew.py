"""Helpers for the model's scans: threads that look at folders, called at once, and such as now and then fail."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from typing import Any

from autotransfer.common.settings import Settings
from autotransfer.scan import scanner
from autotransfer.scan.folders import open_root
from autotransfer.scan.listing import policy
from autotransfer.scan.pool import Pool
from autotransfer.scan.worker import read_rows

ALONE, THREADS, UNRELIABLE = "alone", "threads", "unreliable"
HELPERS = (ALONE, THREADS, UNRELIABLE)
WORKERS, ROWS = 3, 2


class _Unreliable(ThreadPoolExecutor):
    """Every second batch fails."""

    _batches = 0

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        self._batches += 1
        return super().submit(_fail if self._batches % 2 else fn, *args, **kwargs)


def _fail(*_: object) -> None:
    raise OSError("this worker sees nothing")


def _pool(kind: type[ThreadPoolExecutor], call: Callable[..., Any]) -> Pool:
    executor = kind(WORKERS)
    return Pool(partial(executor.submit, call), executor.shutdown, workers=WORKERS, rows=ROWS)


@contextmanager
def helpers(kind: str, settings: Settings) -> Iterator[dict[str, Any]]:
    """What a Run is told so that its scan is helped from the second folder on; nothing of it for ALONE."""
    if kind == ALONE:
        yield {}
        return
    root_fd = open_root(settings.src_dir)
    patience, scanner.PATIENCE_SECONDS = scanner.PATIENCE_SECONDS, 0.0
    try:
        call = partial(read_rows, root_fd, policy(settings))
        yield {"choose": lambda pace: _pool(_Unreliable if kind == UNRELIABLE else ThreadPoolExecutor, call)}
    finally:
        scanner.PATIENCE_SECONDS = patience
        os.close(root_fd)
