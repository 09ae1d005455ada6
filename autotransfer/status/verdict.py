"""What the facts mean: everything is delivered, it takes more time, or something needs attention. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from autotransfer.common import faults
from autotransfer.common.errors import MEANINGS, ExitStatus
from autotransfer.common.summary import PATHS_FAILING
from autotransfer.common.text import age_text, counted, size_text
from autotransfer.common.times import DAY, MINUTE, NS_PER_SECOND, local_text
from autotransfer.datastore.evidence import PROVED_WORDS
from autotransfer.datastore.tasks import PREPARED, READING, WEB_APP, AnyTask, Task
from autotransfer.status.folders import Amount, FolderState
from autotransfer.status.state import Failure, LastRun, RunMark, State

DELIVERED, WAITING, ATTENTION = "delivered", "waiting", "attention"

# Fewer runs than these say nothing of how often they are meant to come.
LEAST_GAPS = 3

# A run may come half an interval and this much late; before anything is known of intervals, a day is too long.
GRACE_SECONDS = 10 * MINUTE
UNKNOWN_INTERVAL_SECONDS = DAY
LONGEST_RUN_SECONDS = DAY
CALM = (ExitStatus.DONE, ExitStatus.PARTIAL)

REMEDIES = {
    "CHANGED_UNDER_TRANSFER": "They changed while a task carried them. If a program writes with long pauses, raise "
    "SETTLE_SECONDS.",
    "FILE_NOT_FOUND": "The source collection does not find them. If they are there, SRC_PATH is wrong: run "
    "test_config.py.",
    "PERMISSION_DENIED": "Give the user that the source collection acts as permission to read them; or, if their task "
    "failed at the destination, the user there permission to write in DST_DIR.",
    "INVALID_PATH_NAME": "Rename them.",
    "QUOTA_EXCEEDED": faults.SPACE,
    "NO_SPACE_LEFT": faults.SPACE,
    "TASK_UNKNOWN": "Nothing need be done: their contents are compared. Always sign in as the same identity.",
    "NOT_COPIED": "Globus took their copies for current although they were modified. They are compared by checksum.",
    "SIZE_DIFFERS": "Globus copied another number of bytes: its transfer node sees the files as they were before. If "
    "that lasts, ask its administrator about caching.",
    "BYTES_MISSING": "Globus copied fewer bytes than these files have; they are compared by checksum.",
    "NOT_LISTED": "Nothing to do: their task did not name them, so they are sent again.",
    "LIST_REFUSED": "Nothing to do: Globus no longer lists what their task copied, so contents are compared.",
    "NOT_SEEN": "Nothing need be done: they were not there when their task read the folder.",
    "REQUEST_REFUSED": "Globus accepts no task with these paths; the log has its words. Rename or exclude them.",
    "SKIPPED": "Nothing need be done: their contents are compared.",
    "NAMES_FOLD": "Nothing need be done: a file whose name the destination takes for theirs may have replaced "
    "their copies, so contents are compared.",
    "ADOPTED": "Nothing need be done: another task carried them, so their contents are compared.",
    "CANCELED": "Somebody canceled their task; they will be retried.",
    "EXPIRED": "Their task's deadline passed; they will be retried.",
}

OTHER_REMEDY = "See the events of their last task."


class Finding(NamedTuple):
    """One thing that needs attention: what it is, what to do, and where to read more.

    Args:
        kind: restored_datastore, late_run, no_run, failed_run, long_run, stuck_task or failing_paths.
        details: The messages of the run.
    """

    kind: str
    what: str
    remedy: str
    link: str = ""
    details: tuple[str, ...] = ()


class NextRun(NamedTuple):
    """When a run is expected, judged by the last ones; 0 where they do not show it. `is_late`: it should have come."""

    expected_at_ns: int
    interval_seconds: float
    is_late: bool


class Verdict(NamedTuple):
    """The judgement.

    Args:
        kind: DELIVERED, WAITING or ATTENTION.
        headline: The same in one line.
        as_of_ns: When the last run that read all of SRC_DIR started, if the last run of all went well; else 0.
        delivered: What is delivered and has no newer version waiting, as far as runs have seen.
        pending: In flight, retrying, or found and not submitted yet.
        unsubmitted: The last of these, with what set_time.py has the next run send.
        held_files: Modified too recently at the last run, or waiting for a task to end. Their bytes are not known, and
            some may be among `pending`.
        findings: What needs attention.
    """

    kind: str
    headline: str
    as_of_ns: int
    delivered: Amount
    pending: Amount
    unsubmitted: Amount
    held_files: int
    next_run: NextRun
    findings: tuple[Finding, ...]

    @property
    def exit_status(self) -> ExitStatus:
        return ExitStatus.PARTIAL if self.kind == ATTENTION else ExitStatus.DONE


def verdict(state: State) -> Verdict:
    """The judgement of a state."""
    total = state.records.total
    unsubmitted, held_files = unsubmitted_and_held(state, total)
    delivered = total.delivered.without(outdated(state.last_run, unsubmitted))
    pending = total.in_flight + total.retrying + unsubmitted
    next_run = next_expected(state)
    findings = tuple(_findings(state, next_run))
    run = state.last_run
    as_of_ns = run.full_scan_at_ns if run is not None and run.status in CALM else 0
    if findings:
        kind = ATTENTION
    elif pending.files or held_files or not as_of_ns:
        kind = WAITING
    else:
        kind = DELIVERED
    partial = Verdict(kind, "", as_of_ns, delivered, pending, unsubmitted, held_files, next_run, findings)
    return partial._replace(headline=_headline(partial, state))


def outdated(run: LastRun | None, unsubmitted: Amount) -> Amount:
    """What is recorded as delivered in a version that is older than what waits."""
    if run is None:
        return Amount()
    files = run.counts["outdated"]
    if run.status not in CALM:  # it may not have submitted what it had planned to
        files = max(files, min(unsubmitted.files, run.counts["modified"] + run.counts["older"]))
    return Amount(files, run.counts["outdated_bytes"])


def unsubmitted_and_held(state: State, total: FolderState) -> tuple[Amount, int]:
    """What waits to be submitted, found by the last run or named by set_time.py; how many files that run held back."""
    run = state.last_run
    if run is None:
        return state.reset, 0
    counts = run.counts
    found = counts["new"] + counts["modified"] + counts["older"] + counts["retried"]
    # What will be retried is recorded, and counted there.
    due_again = min(counts["retried"], max(0, total.retrying.files - counts["backing_off"]))
    files = max(0, found - counts["sent_files"] - due_again)
    size_bytes = max(0, counts["bytes"] - counts["sent_bytes"]) if files else 0
    behind = max(0, counts["waiting"] - max(0, found - counts["sent_files"]))
    return Amount(files, size_bytes) + state.reset, counts["unsettled"] + behind


def next_expected(state: State) -> NextRun:
    """When the next run should come, judged by the intervals between the last ones."""
    if state.last_run is None:
        return NextRun(0, 0.0, False)
    last_ns = max([state.last_run.started_at_ns, *(mark.started_at_ns for mark in state.runs)])
    interval_seconds = usual_interval_seconds(state.runs)
    late_seconds = 1.5 * interval_seconds + GRACE_SECONDS if interval_seconds else UNKNOWN_INTERVAL_SECONDS
    # While a long run lasts, no other starts.
    late_at_ns = last_ns + int((late_seconds + state.last_run.seconds) * NS_PER_SECOND)
    expected_at_ns = last_ns + int(interval_seconds * NS_PER_SECOND) if interval_seconds else 0
    return NextRun(expected_at_ns, interval_seconds, state.active is None and state.now_ns > late_at_ns)


def usual_interval_seconds(runs: tuple[RunMark, ...]) -> float:
    """The time between two runs that cron starts; 0.0 when there are too few runs to judge.

    It is the upper quartile of the gaps: a person who starts runs in between makes many short gaps.
    """
    starts = [run.started_at_ns for run in runs]
    gaps = sorted(later - earlier for earlier, later in zip(starts, starts[1:]) if later > earlier)
    if len(gaps) < LEAST_GAPS:
        return 0.0
    return gaps[(3 * len(gaps) - 1) // 4] / NS_PER_SECOND


def _findings(state: State, next_run: NextRun) -> Iterator[Finding]:
    run = state.last_run
    if state.restored:
        remedy = "The next run has what is new or was modified since compared by checksum."
        yield Finding("restored_datastore", state.restored, remedy)
    if run is None:
        if state.active is None:
            yield Finding("no_run", "No run has been recorded yet.", "Run main.py, or check that cron starts it.")
        return
    if next_run.is_late:
        age = age_text((state.now_ns - run.started_at_ns) / NS_PER_SECOND)
        usual = f"usually there is one every {age_text(next_run.interval_seconds)}" if next_run.interval_seconds else ""
        yield Finding(
            "late_run",
            f"The last run was {age} ago{usual and '; '}{usual}.",
            "Check that cron still starts main.py: see `crontab -l`, cron's own log and the disk of CODE_PATH.",
        )
    if state.active and state.now_ns - state.active.since_ns > LONGEST_RUN_SECONDS * NS_PER_SECOND:
        age = age_text((state.now_ns - state.active.since_ns) / NS_PER_SECOND)
        yield Finding(
            "long_run",
            f"A run has been active for {age} (process {state.active.pid}).",
            "No other can start meanwhile. If its disk or network hangs, end it: nothing is lost.",
        )
    # Paths that failed more than once are a finding of their own.
    notices = tuple(notice for notice in run.notices if notice.kind != PATHS_FAILING)
    if run.status not in (ExitStatus.DONE, ExitStatus.PARTIAL) or notices or run.unlisted_notices:
        yield _of_run(run._replace(notices=notices))
    reported = {notice.subject for notice in run.notices}
    for task in state.open_tasks:
        if task.trouble and task.task_id not in reported:
            yield Finding(
                "stuck_task",
                f"{task.title} is stalled: {task.trouble}.",
                f"See its events.{faults.remedy(task.trouble.partition(':')[0])}",
                events_link(task),
            )
    in_flight = sum(task.failing for task in state.open_tasks if task.state != READING)
    failing = state.records.total.failing_files + in_flight
    if failing:
        codes = [failure.code for failure in state.records.failures if failure.attempts > 1]
        under_way = [f"{in_flight:,} in flight again"] if in_flight else []
        yield Finding(
            "failing_paths",
            f"{counted(failing, 'path')} failed more than once ({', '.join(codes + under_way)}).",
            "They are retried with growing pauses. Fix the causes, which are named below.",
        )


def _of_run(run: LastRun) -> Finding:
    meaning = f": {MEANINGS[run.status]}" if run.status in MEANINGS else ""
    details = (*([run.problem] if run.problem else ()), *(notice.text for notice in run.notices))
    if run.unlisted_notices:
        details = (*details, f"... and {run.unlisted_notices:,} more; the log has them.")
    remedy = "Do what its messages say." if details else "Read the log."
    return Finding("failed_run", f"The last run ended with status {run.status}{meaning}.", remedy, "", details)


def _headline(judged: Verdict, state: State) -> str:
    kind, findings, held_files = judged.kind, judged.findings, judged.held_files
    delivered = f"{counted(judged.delivered.files, 'file')}, {size_text(judged.delivered.size_bytes)}"
    if weak := {
        word: count for word, count in state.records.total.evidence_by_word.items() if word not in PROVED_WORDS
    }:
        delivered += f"; not proved: {', '.join(f'{count:,} {word}' for word, count in weak.items())}"
    waiting = []
    if judged.pending.files:
        waiting.append(f"{counted(judged.pending.files, 'file')}, {size_text(judged.pending.size_bytes)} waiting")
    if held_files:
        waiting.append(f"{held_files:,} held back for a later run")
    if unsent := state.last_run.counts["errors"] if state.last_run else 0:
        waiting.append(f"{unsent:,} not sent because of errors")
    if kind == DELIVERED:
        return f"Everything delivered as of {local_text(judged.as_of_ns)}: {delivered}.{_since(state.last_run)}"
    if kind == WAITING:
        idle = "No full scan has ended yet (main.py --full)" if state.last_run else "The first run is under way"
        return f"{'; '.join(waiting) or idle}. Delivered: {delivered}."
    what = findings[0].what if len(findings) == 1 else f"{len(findings)} things need attention."
    return f"Attention: {what} {'; '.join(waiting) or 'Nothing is waiting'}. Delivered: {delivered}."


def _since(run: LastRun | None) -> str:
    """What runs since the last full scan cannot have seen, as a sentence; "" where there were none."""
    if run is None or run.scan == "full":
        return ""
    last = f"The last run, at {local_text(run.started_at_ns)}, "
    if run.scan == "quick":
        return f" {last}was a quick scan, which does not see files rewritten in place."
    return f" {last}read only what its list named."


def remedy(failure: Failure) -> str:
    """What to do about paths that will be retried."""
    return REMEDIES.get(failure.code, OTHER_REMEDY)


def task_link(task: AnyTask) -> str:
    """The task's page in the Globus web app; "" where its task_id is not known."""
    return f"{WEB_APP}/{task.task_id}/overview" if task.task_id else ""


def events_link(task: AnyTask) -> str:
    """The page of the task's events."""
    return f"{WEB_APP}/{task.task_id}/event_log" if task.task_id else ""


class Progress(NamedTuple):
    """How far an open task had come when the last run asked: 0 to 1, and bytes a second until it last moved."""

    part: float
    done_files: int
    done_bytes: int
    bytes_per_second: float
    moved_at_ns: int


def progress(task: Task) -> Progress:
    """How far an open task had come; counters as Globus gave them (see ledger.PROGRESS_FIELDS)."""
    if task.state == PREPARED or not task.progress:
        return Progress(0.0, 0, 0, 0.0, task.progress_at_ns)
    done_bytes, copied_files, skipped_files = task.progress[:3]
    done_files = copied_files + skipped_files
    parts = [done_bytes / task.size_bytes if task.size_bytes else 0.0, done_files / task.files if task.files else 0.0]
    seconds = (task.progress_at_ns - task.submitted_at_ns) / NS_PER_SECOND
    return Progress(
        min(1.0, max(parts)), done_files, done_bytes, done_bytes / seconds if seconds > 0 else 0.0, task.progress_at_ns
    )
