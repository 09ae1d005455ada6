"""Fixtures for the tests of the scripts against a service that is not the emulator."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from small_globus import SmallGlobus
from suite import Route


@pytest.fixture
def service() -> Iterator[SmallGlobus]:
    with SmallGlobus() as service:
        yield service


@pytest.fixture
def there(tmp_path: Path, service: SmallGlobus) -> Route:
    """A route aimed at the second service, with more room for tasks than any test needs."""
    route = Route(tmp_path, None)
    route.environment = service.environment()
    return route
