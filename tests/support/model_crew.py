"""Helpers for the model's scans: threads that look at folders, called at once, and such as now and then fail."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future, ThreadPoolExecutor
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
    """Every second unit fails."""

    _units = 0

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        self._units += 1
        return super().submit(_fail if self._units % 2 else fn, *args, **kwargs)


def _fail(*_: object) -> None:
    raise OSError("this worker sees nothing")


@contextmanager
def helpers(kind: str, settings: Settings) -> Iterator[dict[str, Any]]:
    """What a Run is told so that its scan is helped from the second folder on; nothing of it for ALONE."""
    if kind == ALONE:
        yield {}
        return
    root_fd = open_root(settings.src_dir)
    start: Callable[[], Executor] = partial(_Unreliable if kind == UNRELIABLE else ThreadPoolExecutor, WORKERS)
    patience, scanner.PATIENCE_SECONDS = scanner.PATIENCE_SECONDS, 0.0
    try:
        call = partial(read_rows, root_fd, policy=policy(settings))
        yield {"choose": lambda pace: Pool(start, call, workers=WORKERS, rows=ROWS)}
    finally:
        scanner.PATIENCE_SECONDS = patience
        os.close(root_fd)
