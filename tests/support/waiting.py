"""Waiting for an event instead of for a while: no test may depend on how fast the machine is."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable
from typing import Any, Optional

from emulator.faults import Fault

# Only a test that fails waits this long. Everything that is waited for takes less on the slowest machine.
LONGEST_WAIT_SECONDS = 120.0


def until(happens: Callable[[], Any], process: Optional[subprocess.Popen[str]] = None) -> None:
    """Wait for something that a script brings about; if the script is given, it must still run until then."""
    __tracebackhide__ = True
    give_up_at = time.monotonic() + LONGEST_WAIT_SECONDS
    while not happens():
        assert process is None or process.poll() is None, process.communicate()
        assert time.monotonic() < give_up_at, "it did not happen"
        time.sleep(0.002)


def until_held(fault: Fault, process: subprocess.Popen[str]) -> None:
    """Wait until the emulator holds the request that the fault strikes, while its sender waits for an answer."""
    __tracebackhide__ = True
    until(lambda: fault.is_holding, process)
