"""The verdict: delivered, waiting, or attention; each thing that needs a person is found, and no other."""

from __future__ import annotations

from typing import Any

import pytest

from autotransfer.common.summary import TASK_STALLED, Notice, Summary
from autotransfer.common.text import shortened, table, width
from autotransfer.common.times import DAY, HOUR, MINUTE, NS_PER_SECOND
from autotransfer.datastore.tasks import Task
from autotransfer.status.folders import Amount, FolderState
from autotransfer.status.state import ActiveRun, Failure, LastRun, Latency, Records, RunMark, State
from autotransfer.status.verdict import ATTENTION, DELIVERED, WAITING, progress, usual_interval_seconds, verdict

NOW_NS = 1_800_000_000 * NS_PER_SECOND
TASK = Task(3, "sub", "label", "mtime", {}, "/s", "/d", 10, 1000, 2, 7).accepted(
    "11111111-1111-4111-8111-111111111111", now_ns=NOW_NS - HOUR * NS_PER_SECOND
)


def run(
    age_seconds: float = 60,
    *,
    status: int = 0,
    problem: str = "",
    notices: tuple[Notice, ...] = (),
    counts: dict[str, int] | None = None,
    scan: str = "full",
    full_scan_age_seconds: float = 0,
) -> LastRun:
    return LastRun(
        NOW_NS - int(age_seconds * NS_PER_SECOND),
        2.0,
        status,
        problem,
        {**dict.fromkeys(Summary.COUNTS, 0), **(counts or {})},
        notices,
        0,
        scan,
        NOW_NS - int((full_scan_age_seconds or age_seconds) * NS_PER_SECOND),
    )


def every(seconds: int, count: int = 20, *, last_age_seconds: int = 60) -> tuple[RunMark, ...]:
    """Marks of runs that cron started."""
    last_ns = NOW_NS - last_age_seconds * NS_PER_SECOND
    return tuple(RunMark(last_ns - number * seconds * NS_PER_SECOND, 1.0, 0) for number in reversed(range(count)))


def state(last_run: LastRun | None = None, *, total: FolderState = FolderState(), **fields: Any) -> State:  # noqa: B008
    failures = fields.pop("failures", ())
    return State(
        **{
            "now_ns": NOW_NS,
            "last_run": last_run,
            "runs": (),
            "active": None,
            "open_tasks": (),
            "bad_tasks": (),
            "records": Records(total, 1, failures, {}, Latency()),
            **fields,
        }
    )


def kinds(found: State) -> list[str]:
    return [finding.kind for finding in verdict(found).findings]


def test_all_delivered_says_so_with_the_time_of_the_last_run() -> None:
    judged = verdict(state(run(), total=FolderState(Amount(5, 5000))))

    assert (judged.kind, judged.exit_status, judged.as_of_ns) == (DELIVERED, 0, NOW_NS - 60 * NS_PER_SECOND)
    assert judged.headline.startswith("Everything delivered as of ")
    assert judged.headline.endswith(": 5 files, 5.0 kB.")


@pytest.mark.parametrize(
    ("total", "counts", "pending", "held"),
    [
        (FolderState(in_flight=Amount(3, 30)), {}, Amount(3, 30), 0),
        (FolderState(retrying=Amount(2, 20)), {}, Amount(2, 20), 0),
        # There was room for six of ten.
        (
            FolderState(in_flight=Amount(6, 60)),
            {"new": 10, "bytes": 100, "sent_files": 6, "sent_bytes": 60, "waiting": 4},
            Amount(10, 100),
            0,
        ),
        # Globus could not be reached: what was to be retried is recorded, what is new is not.
        (
            FolderState(retrying=Amount(2, 20)),
            {"new": 3, "retried": 1, "backing_off": 1, "bytes": 40},
            Amount(5, 60),
            0,
        ),
        (FolderState(), {"unsettled": 4}, Amount(), 4),
        (FolderState(in_flight=Amount(1, 1)), {"waiting": 2}, Amount(1, 1), 2),
    ],
)
def test_what_only_takes_time_is_waiting(
    total: FolderState, counts: dict[str, int], pending: Amount, held: int
) -> None:
    judged = verdict(state(run(counts=counts), total=total))

    assert (judged.kind, judged.exit_status) == (WAITING, 0)
    assert (judged.pending, judged.held_files) == (pending, held)


def test_no_run_at_all_needs_a_person_unless_the_first_is_under_way() -> None:
    assert kinds(state()) == ["no_run"]

    judged = verdict(state(active=ActiveRun(1, NOW_NS)))

    assert (judged.kind, judged.findings) == (WAITING, ())
    assert judged.headline.startswith("The first run is under way.")


@pytest.mark.parametrize(
    ("interval_seconds", "age_seconds", "is_late"),
    [
        (5 * MINUTE, 16 * MINUTE, False),
        (5 * MINUTE, 19 * MINUTE, True),
        (HOUR, 95 * MINUTE, False),
        (HOUR, 2 * HOUR, True),
        (DAY, 35 * HOUR, False),
        (DAY, 37 * HOUR, True),
    ],
)
def test_a_run_is_late_by_the_usual_interval(interval_seconds: int, age_seconds: int, is_late: bool) -> None:
    runs = every(interval_seconds, last_age_seconds=age_seconds)

    found = state(run(age_seconds), runs=runs)

    assert kinds(found) == ["late_run"] * is_late
    assert verdict(found).next_run.interval_seconds == interval_seconds


def test_a_run_under_way_is_not_late_but_one_of_more_than_a_day_is_reported() -> None:
    late: dict[str, Any] = {"runs": every(300, last_age_seconds=2 * DAY)}

    assert kinds(state(run(2 * DAY), **late, active=ActiveRun(5, NOW_NS - HOUR * NS_PER_SECOND))) == []
    assert kinds(state(run(2 * DAY), **late, active=ActiveRun(5, NOW_NS - 25 * HOUR * NS_PER_SECOND))) == ["long_run"]


def test_without_a_known_interval_a_day_is_too_long() -> None:
    assert kinds(state(run(23 * HOUR))) == []
    assert kinds(state(run(25 * HOUR))) == ["late_run"]


def test_runs_that_a_person_starts_in_between_do_not_make_cron_late() -> None:
    by_cron = [number * DAY for number in range(8)]
    by_hand = [3 * DAY + 100 + number for number in range(4)]
    marks = tuple(RunMark(seconds * NS_PER_SECOND, 1.0, 0) for seconds in sorted(by_cron + by_hand))

    assert usual_interval_seconds(marks) == DAY
    assert usual_interval_seconds(marks[:3]) == 0.0
    assert usual_interval_seconds(tuple(reversed(marks))) == 0.0  # a clock that was set back


def test_a_run_that_met_a_problem_hands_on_what_it_said() -> None:
    judged = verdict(state(run(status=4, problem="Not signed in to Globus. Run test_config.py.")))

    (finding,) = judged.findings
    assert (judged.kind, judged.exit_status, judged.as_of_ns) == (ATTENTION, 3, 0)
    assert finding.details == ("Not signed in to Globus. Run test_config.py.",)
    assert "status 4: sign-in needed" in finding.what


def test_a_task_that_does_not_get_on_is_reported_once() -> None:
    stuck = TASK._replace(trouble="QUOTA_EXCEEDED")
    told = run(status=3, notices=(Notice(TASK_STALLED, stuck.task_id, "It is stalled.", "QUOTA_EXCEEDED"),))

    assert kinds(state(run(), open_tasks=(stuck,))) == ["stuck_task"]
    assert kinds(state(told, open_tasks=(stuck,))) == ["failed_run"]
    assert kinds(state(run(), open_tasks=(TASK,))) == []


def test_paths_need_a_person_only_after_their_second_failure() -> None:
    once = FolderState(retrying=Amount(1, 1))
    twice = FolderState(retrying=Amount(1, 1), failing_files=1, backing_off_files=1)

    assert kinds(state(run(), total=once, failures=(Failure("DENIED", Amount(1, 1), 1, 0, 1, ()),))) == []
    found = state(run(), total=twice, failures=(Failure("DENIED", Amount(1, 1), 2, 0, 1, ()),))
    (finding,) = verdict(found).findings
    assert finding.what == "1 path failed more than once (DENIED)."


@pytest.mark.parametrize(("state_of_task", "failing"), [("submitted", 2), ("prepared", 2), ("reading", 0)])
def test_what_failed_before_and_is_under_way_again_counts_until_its_task_has_ended(
    state_of_task: str, failing: int
) -> None:
    task = TASK._replace(state=state_of_task, failing=2)
    findings = verdict(state(run(), open_tasks=(task,))).findings

    whats = ["2 paths failed more than once (2 in flight again)."] if failing else []
    assert [finding.what for finding in findings] == whats


@pytest.mark.parametrize("why", ["new", "modified", "older", "retried"])
def test_what_a_run_found_and_did_not_submit_is_pending_whatever_the_reason(why: str) -> None:
    judged = verdict(state(run(counts={why: 3, "bytes": 30, "sent_files": 1, "sent_bytes": 10})))

    assert judged.unsubmitted == Amount(2, 20)


def test_progress_is_that_of_bytes_or_of_files_whichever_is_further() -> None:
    come = progress(TASK._replace(progress=(100, 1, 4, 0, 0), progress_at_ns=TASK.submitted_at_ns + 50 * NS_PER_SECOND))

    assert (come.part, come.done_files, come.bytes_per_second) == (0.5, 5, 2.0)
    assert progress(TASK).part == 0.0
    assert progress(TASK._replace(files=0, size_bytes=0, progress=(0, 0, 0, 1, 0))).part == 0.0


@pytest.mark.parametrize("name", ["データ.h5", "e\u0301tude", "a\nb", "\x1b[31mred", "\u202egnp.exe", "plain"])
def test_names_keep_a_table_straight(name: str) -> None:
    first, second = table([(shortened(name, 20), "|"), ("x", "|")])

    assert width(first[: first.index("|")]) == width(second[: second.index("|")])
    assert first.isprintable()


@pytest.mark.parametrize("columns", range(4, 30))
def test_a_shortened_name_keeps_its_end_and_its_width(columns: int) -> None:
    name = "run/測定/e\u0301/データ_0001.h5"

    short = shortened(name, columns)

    assert width(short) <= columns
    assert short == name if width(name) <= columns else name.endswith(short[3:]) and short.startswith("...")


def test_what_cannot_be_sent_is_not_called_nothing() -> None:
    skipped = (Notice("path_skipped", "bad", "Skipped bad."),)

    judged = verdict(state(run(status=3, notices=skipped, counts={"errors": 2})))

    assert judged.kind == ATTENTION
    assert "2 not sent because of errors." in judged.headline
    assert "Nothing is waiting" not in judged.headline
