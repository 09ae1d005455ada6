"""The tests of this folder are pure: no process, no connection, no emulator. So `make test-fast` is fast."""

from __future__ import annotations

import os
import socket
import subprocess
from typing import NoReturn

import pytest

FIXTURES_OF_SLOW_TESTS = {"globus", "route", "hasty", "lonely_route"}


class NotPure(BaseException):
    """A test under tests/unit starts a process or connects. Not an Exception, lest the code under test swallow it."""


@pytest.fixture(autouse=True)
def stays_pure(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Fail the test that starts a process, opens a connection or asks for an emulator."""
    slow = FIXTURES_OF_SLOW_TESTS & set(request.fixturenames)
    assert not slow, f"a test with {', '.join(sorted(slow))} belongs in tests/scripts"

    def refuse(*arguments: object, **options: object) -> NoReturn:
        raise NotPure("a test that starts a process or connects belongs in tests/scripts")

    for owner, name in ((subprocess.Popen, "__init__"), (socket.socket, "connect"), (os, "fork"), (os, "posix_spawn")):
        monkeypatch.setattr(owner, name, refuse)
