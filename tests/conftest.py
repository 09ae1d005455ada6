"""The fixtures of all tests: an emulator, and a route with a tree (see support/suite.py)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from suite import DST_ID, SRC_ID, Route

from emulator.server import Emulator
from emulator.world import Collection


@pytest.fixture
def globus() -> Iterator[Emulator]:
    """An emulator whose two collections show this machine's own paths; tasks end at once."""
    ends = [
        Collection(id=SRC_ID, root=Path("/"), name="Beamline"),
        Collection(id=DST_ID, root=Path("/"), name="Archive"),
    ]
    with Emulator(ends) as emulator:
        yield emulator


@pytest.fixture
def route(tmp_path: Path, globus: Emulator) -> Route:
    """A route with an empty tree, aimed at the emulator."""
    return Route(tmp_path, globus)


@pytest.fixture
def lonely_route(tmp_path: Path) -> Route:
    """A route whose every call to Globus would fail at once."""
    lonely = Route(tmp_path, None)
    dead_end = "http://127.0.0.1:9/"
    lonely.environment = {f"GLOBUS_SDK_SERVICE_URL_{service}": dead_end for service in ("AUTH", "TRANSFER", "TIMER")}
    return lonely
