"""The fixtures of all tests: an emulator, and a route with a tree (see support/suite.py)."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import checkout_kept
import pytest
import secrets_kept
from programs import skipped_line
from small_globus import SmallGlobus
from suite import DST_ID, SRC_ID, Route

from emulator.http.server import Emulator
from emulator.world import Collection

secrets_kept.watch()

# They begin first, so that at the end no process is left alone with one of them.
LONGEST_FILES = (
    *("test_manual", "test_crash_series", "test_benchmarks", "test_browser", "test_model", "test_scan_executor"),
)


@pytest.fixture(autouse=True)
def no_secret_is_written(request: pytest.FixtureRequest) -> Iterator[None]:
    """Looks, after each test, through all that was printed and written for a secret."""
    secrets_kept.outputs.clear()
    yield
    # Each test by itself: pytest would show the secrets beside the assertion, were they its words.
    folder = getattr(request.node, "funcargs", {}).get("tmp_path")
    trees = [folder / name for name in ("src", "dst")] if folder else []
    told = secrets_kept.leaks(secrets_kept.outputs, [folder] if folder else [], skipped=trees)
    if told:
        pytest.fail("\n".join(told), pytrace=False)


@pytest.fixture
def service() -> Iterator[SmallGlobus]:
    with SmallGlobus() as service:
        yield service


@pytest.fixture
def there(tmp_path: Path, service: SmallGlobus) -> Route:
    """A route aimed at the second service, with more places for tasks than any test needs."""
    route = Route(tmp_path, None)
    route.environment = service.environment()
    return route


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
def hasty(route: Route) -> Route:
    """A route whose scripts pause for a moment only where they would pause for seconds."""
    folder = route.folder / "hasty"
    folder.mkdir()
    (folder / "sitecustomize.py").write_text(
        "import time\nsleep = time.sleep\ntime.sleep = lambda seconds: sleep(min(seconds, 0.02))\n"
    )
    route.environment["PYTHONPATH"] = str(folder)
    return route


@pytest.fixture
def lonely_route(tmp_path: Path) -> Route:
    """A route whose every call to Globus would fail at once."""
    lonely = Route(tmp_path, None)
    dead_end = "http://127.0.0.1:9/"
    lonely.environment = {f"GLOBUS_SDK_SERVICE_URL_{service}": dead_end for service in ("AUTH", "TRANSFER", "TIMER")}
    return lonely


def pytest_configure() -> None:
    """Let the scripts that tests start hear the signals that tests send, also where these are run under nohup."""
    for number, answer in ((signal.SIGINT, signal.default_int_handler), (signal.SIGHUP, signal.SIG_DFL)):
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, answer)


CHECKOUT = pytest.StashKey[checkout_kept.State]()
LEFT = pytest.StashKey[list[str]]()


def pytest_sessionstart(session: pytest.Session) -> None:
    if not hasattr(session.config, "workerinput"):  # one process of several
        session.config.stash[CHECKOUT] = checkout_kept.state()


@pytest.hookimpl(tryfirst=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """Fail the whole, not a test, when a test has left something in the checkout: which one is not known."""
    before = session.config.stash.get(CHECKOUT, None)
    if before is None:
        return
    left = session.config.stash[LEFT] = list(checkout_kept.faults(before))
    if left and session.exitstatus == pytest.ExitCode.OK:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say what is left in the checkout, and which tests were skipped for want of which program, at the very end."""
    for fault in terminalreporter.config.stash.get(LEFT, []):
        terminalreporter.write_line(f"FAILED: {fault}", red=True)
    skipped = terminalreporter.stats.get("skipped", [])
    line = skipped_line(report.longrepr[2] for report in skipped if isinstance(report.longrepr, tuple))
    if line:
        terminalreporter.write_line(line)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the longest files in front; all else keeps its order."""
    items.sort(key=lambda item: item.path.stem not in LONGEST_FILES)
