"""The fault matrix: each test of this folder that is marked with `fault` is one row, which it must check.

    @pytest.mark.fault("429 with Retry-After", sees="Globus refused ...", status=6, recorded="nothing")
    def test_...(route: Route, fault: FaultCheck) -> None:
        ...
        fault.check(route.run("main.py", status=None), route)

`pytest tests/faults --fault-rows FILE` writes all rows with their outcomes as JSON.
"""

from __future__ import annotations

import json
from collections.abc import Generator, Iterator
from pathlib import Path

import pytest
from faulty import FaultCheck, Row, assert_no_traceback_in_logs

KEY = "fault_row"
IS_SKIPPED = pytest.StashKey[bool]()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--fault-rows", metavar="FILE", help="write the rows of the fault matrix here, as JSON")


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "fault(fault, *, sees, status, recorded): a row of the fault matrix")
    target = config.getoption("--fault-rows", None)
    if target and not hasattr(config, "workerinput"):
        config.pluginmanager.register(_RowWriter(Path(target)))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        marker = item.get_closest_marker("fault")
        if marker is None:
            continue
        if "fault" not in getattr(item, "fixturenames", ()):
            raise pytest.UsageError(f"{item.nodeid} is a row of the fault matrix and does not check it")
        item.user_properties.append((KEY, _row(marker)._asdict()))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Keep for the fixture's end whether the test skipped itself."""
    report = yield
    if report.when == "call":
        item.stash[IS_SKIPPED] = report.skipped
    return report


def _row(marker: pytest.Mark) -> Row:
    return Row(*marker.args, **marker.kwargs)


@pytest.fixture
def fault(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[FaultCheck]:
    """The row of this test. The test must hold it against what happened; no log may hold a traceback then."""
    marker = request.node.get_closest_marker("fault")
    if marker is None:
        raise pytest.UsageError(f"{request.node.nodeid} has no mark that says its row")
    row = FaultCheck(_row(marker))
    yield row
    if request.node.stash.get(IS_SKIPPED, False):  # a program that it needs is missing
        return
    assert row.is_checked, f"the row {row.row.fault!r} was not checked"
    assert_no_traceback_in_logs(tmp_path)


class _RowWriter:
    """Writes each row with what came of it: "passed", "failed" or "skipped", and why."""

    def __init__(self, target: Path) -> None:
        self._target = target
        self._rows: dict[str, dict[str, object]] = {}

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        row = dict(report.user_properties).get(KEY)
        if not isinstance(row, dict):
            return
        kept = self._rows.setdefault(report.nodeid, {**row, "test": report.nodeid, "outcome": "passed", "why": ""})
        if report.outcome != "passed" and kept["outcome"] == "passed":
            kept["outcome"] = report.outcome
            kept["why"] = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)

    def pytest_sessionfinish(self) -> None:
        self._target.write_text(json.dumps(self._merged(), indent=1))

    def _merged(self) -> list[dict[str, object]]:
        """A row once, though it is tried against both services; its outcome is the worse one."""
        merged: dict[tuple[object, ...], dict[str, object]] = {}
        for row in self._rows.values():
            kept = merged.setdefault(tuple(row[field] for field in Row._fields), row)
            if kept["outcome"] == "passed":
                kept.update(outcome=row["outcome"], why=row["why"], test=row["test"])
        return list(merged.values())
