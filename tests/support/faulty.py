"""Rows of the fault matrix: what a user meets, checked against what a script did and against its datastore."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import NamedTuple, Optional

from small_globus import SmallGlobus
from suite import Result, Route

from autotransfer.common.text import counted
from autotransfer.datastore.store import Store
from autotransfer.datastore.tasks import PREPARED

GAP = "..."  # in `sees`: whatever stands between two parts
NOTHING = "nothing"
MOST_RUNS = 6


class Row(NamedTuple):
    """One fault, and what comes of it.

    Args:
        fault: Its name.
        sees: What the user reads on stdout or stderr; `...` stands for anything in between, "" for silence.
        status: The exit status.
        recorded: What the datastore holds afterwards, as `recorded_words` gives it or as the test finds out itself.
    """

    fault: str
    sees: str
    status: int
    recorded: str


class FaultCheck:
    """The row of a test, which the test must hold against what happened: `fault.check(result, route)`."""

    def __init__(self, row: Row) -> None:
        self.row = row
        self.is_checked = False

    def check(self, result: Result, found: Route | str) -> None:
        """Hold the row against what a script did and what is recorded.

        Args:
            found: The route, whose datastore is then looked at; or what the test itself found to be recorded, in the
                row's words.
        """
        __tracebackhide__ = True
        self.is_checked = True
        story = f"status {result.status}\n--- stdout\n{result.stdout}\n--- stderr\n{result.stderr}"
        assert result.status == self.row.status, story
        said = " ".join(f"{result.stdout} {result.stderr}".split())
        assert "Traceback" not in said, story
        if self.row.sees:
            assert _is_said(self.row.sees, said), f"{self.row.sees!r} was not said\n{story}"
        else:
            assert said == "", story
        recorded = found if isinstance(found, str) else recorded_words(found)
        assert recorded == self.row.recorded, f"recorded: {recorded}\n{story}"


def _is_said(sees: str, said: str) -> bool:
    position = 0
    for part in filter(None, (part.strip() for part in sees.split(GAP))):
        position = said.find(part, position)
        if position < 0:
            return False
        position += len(part)
    return True


def recorded_words(route: Route) -> str:
    """What the datastore holds of paths and tasks, such as "1 path delivered; 1 task failed"."""
    path = route.code_path / "datastore"
    if not path.exists():
        return NOTHING
    states: Counter[str] = Counter()
    with Store(str(path), is_read_only=True) as store:
        open_tasks = store.ledger.open
        for rel_path in store.trie.below(""):
            folder = store.trie.folder(rel_path)
            prepared = [record for record in folder.in_flight.values() if open_tasks[record.task].state == PREPARED]
            states["delivered"] += len(folder.delivered.keys() - folder.in_flight.keys())
            states["under way"] += len(folder.in_flight) - len(prepared)
            states["in a prepared task"] += len(prepared)
            states["to be sent again"] += len(folder.retries.keys() - folder.in_flight.keys())
        ended = Counter(task.state for task in store.history())
    paths = ", ".join(f"{counted(count, 'path')} {state}" for state, count in states.items() if count)
    tasks = ", ".join(f"{counted(count, 'task')} {state}" for state, count in sorted(ended.items()))
    return "; ".join(filter(None, (paths, tasks))) or NOTHING


def assert_recovers(route: Route, *, tasks: int = 1, service: Optional[SmallGlobus] = None) -> None:
    """The fault is over: the next runs deliver everything, in `tasks` tasks in all; no path in two at once.

    Args:
        service: The second service, of a route that is aimed at it.
    """
    __tracebackhide__ = True
    for _ in range(MOST_RUNS):
        summary = route.summary_here("--wait", "30", status=None)
        if summary["status"] == summary["submitted"] == summary["retrying"] == summary["in_flight_tasks"] == 0:
            break
    else:
        raise AssertionError(f"not at rest after {MOST_RUNS} runs: {summary}")
    assert route.tree(route.dst) == route.tree(), route.calls()
    sent = [task.posted for task in service.tasks.values()] if service else route.sent()
    submission_ids = Counter(document["submission_id"] for document in sent)
    assert set(submission_ids.values()) <= {1}
    assert len(sent) == tasks, service.requests if service else route.calls()
    assert service is None or service.overlaps == []
    assert route.globus is None or route.globus.world.conflicts == []


def assert_no_traceback_in_logs(folder: Path) -> None:
    """No log in a folder next to this one holds a traceback."""
    for log in folder.glob("*/log*"):
        if log.is_file():
            assert "Traceback" not in log.read_text(errors="replace"), log.read_text(errors="replace")
