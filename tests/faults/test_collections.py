"""Collections that are missing, away, paused, read-only or not ours: the run says so, and loses nothing."""

from __future__ import annotations

import pytest
from faulty import FaultCheck, assert_recovers
from suite import SRC_ID, Route

from emulator.server import Emulator


@pytest.mark.fault(
    "the source collection is offline",
    sees='"Beamline" ... is not connected to Globus',
    status=6,
    recorded="nothing",
)
def test_an_offline_source_is_named_and_the_next_run_delivers(
    route: Route, globus: Emulator, fault: FaultCheck
) -> None:
    route.write("a.txt")
    globus.world.change_collection(SRC_ID, gcp_connected=False)

    fault.check(route.run("main.py", status=None), route)

    globus.world.change_collection(SRC_ID, gcp_connected=True)
    assert_recovers(route)
