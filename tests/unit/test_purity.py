"""The guard of this folder (conftest.py) holds."""

from __future__ import annotations

import multiprocessing
import os
import socket
import subprocess
import sys
from collections.abc import Callable

import pytest


def fork_a_worker() -> None:
    multiprocessing.get_context("fork").Process(target=print).start()


def connect() -> None:
    with socket.socket() as connection:
        connection.connect(("127.0.0.1", 9))


@pytest.mark.parametrize(
    "impure", [lambda: subprocess.run([sys.executable, "-V"], check=True), fork_a_worker, lambda: os.fork(), connect]
)
def test_a_process_or_a_connection_fails_the_test(impure: Callable[[], object]) -> None:
    with pytest.raises(BaseException, match="belongs in tests/scripts"):
        impure()
