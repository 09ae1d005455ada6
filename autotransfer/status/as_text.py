"""The facts and the verdict as lines for a terminal. Pure; the caller adds the colours."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Union

from autotransfer.common.errors import MEANINGS
from autotransfer.common.paths import display
from autotransfer.common.service import GLOBUS_NAME
from autotransfer.common.settings import Settings
from autotransfer.common.text import age_text, bar, counted, moment_text, shortened, size_text, table
from autotransfer.common.times import NS_PER_SECOND, local_text
from autotransfer.datastore.tasks import PREPARED, READING, AnyTask, Reading, Task
from autotransfer.status import path as states
from autotransfer.status.folders import Amount
from autotransfer.status.path import FileAnswer, FolderAnswer
from autotransfer.status.state import LATENCY_DAYS, State
from autotransfer.status.verdict import ATTENTION, DELIVERED, Verdict, progress, remedy, task_link

# (style, text) -> the text with the codes for the terminal.
Paint = Callable[[str, str], str]
GOOD, BUSY, BAD, STRONG = "good", "busy", "bad", "strong"
MOST_DETAILS = 10
BAR_COLUMNS = 20
MOST_LINKS = 5

# Why files of a folder are held back.
HELD_WORDS = {
    states.UNSETTLED: "modified less than SETTLE_SECONDS ago",
    states.WAITING: "waiting for a task that carries an earlier version or their folder",
    states.BACKING_OFF: "backing off after failures",
}


def plain(style: str, text: str) -> str:
    """No colours."""
    return text


def overview(settings: Settings, state: State, judged: Verdict, *, columns: int, paint: Paint = plain) -> list[str]:
    """What `status.py` prints.

    Args:
        columns: How wide the terminal is; names are shortened to that.
    """
    style = {ATTENTION: BAD, DELIVERED: GOOD}.get(judged.kind, BUSY)
    lines = [paint(style, display(judged.headline)), ""]
    lines += table(_facts(settings, state, judged))
    for title, block in (
        ("Needs attention", _findings(judged)),
        ("Tasks in flight", _open_tasks(state, columns)),
        ("Will be retried", _failures(state, columns)),
        ("Tasks that did not succeed in the last week", _bad_tasks(state)),
    ):
        if block:
            lines += ["", paint(STRONG, title), *(f"  {line}" for line in block)]
    return lines


def _facts(settings: Settings, state: State, judged: Verdict) -> list[tuple[str, str]]:
    total, run = state.records.total, state.last_run
    rows = [
        ("From", f"{display(settings.src_dir)} on {settings.src_id}"),
        ("To", f"{display(settings.dst_dir)} on {settings.dst_id}"),
    ]
    rows += _service(settings, state)
    if run is not None:
        scan = "" if run.scan == "full" else f"{run.scan} scan, "
        when = _ago(run.started_at_ns, state.now_ns)
        rows.append(("Last run", f"{when}, {scan}{run.seconds:.1f} s, {_ending(run.status)}"))
        rows.append(("", _counts(run.counts)))
    if state.active is not None:
        rows.append(("Active", f"a run since {_ago(state.active.since_ns, state.now_ns)}, process {state.active.pid}"))
    if judged.next_run.interval_seconds:
        at = local_text(judged.next_run.expected_at_ns)
        late = " (it is late)" if judged.next_run.is_late else ""
        rows.append(("Next run", f"every {age_text(judged.next_run.interval_seconds)}, the next at {at}{late}"))
    rows.append(("Delivered", _amount(judged.delivered)))
    rows += [("", f"{count:,} {EVIDENCE_TITLES[word]}") for word, count in total.evidence_by_word.items()]
    if total.last_delivered_ns:
        rows.append(("", f"the last one {_ago(total.last_delivered_ns, state.now_ns)}"))
    if state.records.latency.files:
        latency = state.records.latency
        rows.append(
            (
                "Latency",
                f"from written to confirmed, last {LATENCY_DAYS} days: half within {age_text(latency.median_seconds)}, "
                f"95 of 100 within {age_text(latency.p95_seconds)}",
            )
        )
    for name, amount in (
        ("In flight", total.in_flight),
        ("Will be retried", total.retrying),
        ("Not submitted", judged.unsubmitted),
    ):
        if amount.files:
            rows.append((name, _amount(amount)))
    if judged.held_files:
        rows.append(("Held back", f"{counted(judged.held_files, 'file')}, modified too recently or waiting for a task"))
    return rows


def _service(settings: Settings, state: State) -> Iterator[tuple[str, str]]:
    if state.service != GLOBUS_NAME:
        yield "Service", f"{display(state.service)}, not Globus"
    if state.service != settings.service.name:
        yield "", f"a run would be refused here, because {settings.service.cause}"


def _counts(counts: dict[str, int]) -> str:
    parts = [f"read {counted(counts['files'], 'file')} in {counted(counts['folders'], 'folder')}"]
    found = counts["new"] + counts["modified"] + counts["older"] + counts["retried"]
    for count, words in (
        (found, f"found to send ({size_text(counts['bytes'])})"),
        (counts["sent_files"], f"submitted in {counted(counts['submitted'], 'task')}"),
        (counts["delivered"], "delivered"),
        (counts["retrying"], "to be retried"),
        (counts["unsettled"], "modified too recently"),
        (counts["waiting"], "waiting for a task to end"),
        (counts["backing_off"], "backing off after failures"),
        (counts["failing"], "failed more than once"),
        (counts["vanished"], "gone from disk or now a symlink" if counts["links"] else "gone from disk"),
        (counts["links"], "symlink skipped" if counts["links"] == 1 else "symlinks skipped"),
        (counts["special_files"], "special file skipped" if counts["special_files"] == 1 else "special files skipped"),
        (counts["errors"], "not sent because of errors"),
    ):
        if count:
            parts.append(f"{count:,} {words}")
    return "; ".join(parts)


def _ending(status: int) -> str:
    return f"status {status} ({MEANINGS[status]})" if status in MEANINGS else f"status {status}"


def _findings(judged: Verdict) -> list[str]:
    lines = []
    for finding in judged.findings:
        lines.append(f"- {display(finding.what)} {finding.remedy}")
        for detail in finding.details[:MOST_DETAILS]:
            lines += [f"    {display(line)}" for line in detail.splitlines()]
        unshown = len(finding.details) - MOST_DETAILS
        if unshown > 0:
            lines.append(f"    ... and {unshown:,} more; --json and the log have them.")
        if finding.link:
            lines.append(f"    {finding.link}")
    return lines


def _open_tasks(state: State, columns: int) -> list[str]:
    lines = []
    for task in state.open_tasks:
        come = progress(task)
        if task.state == PREPARED:
            lines.append(f"{shortened(task.label, columns - 2)}: prepared; the next run submits it")
            continue
        if task.state == READING:
            listed = Reading(*task.reading).listed
            lines.append(
                f"{shortened(task.label, columns - 2)}: ended; its list is being read, {listed:,} names so far"
            )
            continue
        rate = f", {size_text(come.bytes_per_second)}/s" if come.bytes_per_second else ""
        lines.append(
            f"{bar(come.part, 1, columns=BAR_COLUMNS)} {come.part:4.0%}  {size_text(come.done_bytes)} of "
            f"{_amount(Amount(task.files, task.size_bytes))}{rate}, since {_ago(task.submitted_at_ns, state.now_ns)}"
        )
        if task.trouble:
            lines.append(f"    {display(task.trouble)}")
        lines.append(f"    {shortened(task.label, columns - 6)}")
        lines.append(f"    {task_link(task)}")
    if lines and state.last_run is not None:
        lines.append(f"(as of the last run, {_ago(state.last_run.started_at_ns, state.now_ns)})")
    return lines


def _failures(state: State, columns: int) -> list[str]:
    lines = []
    for failure in state.records.failures:
        tries = f", {counted(failure.attempts, 'try').replace('trys', 'tries')}" if failure.attempts else ""
        due = f"again from {moment_text(failure.next_try_ns)}" if failure.next_try_ns > state.now_ns else "next run"
        lines.append(f"{display(failure.code)}: {_amount(failure.amount)}{tries}, {due}")
        lines.append(f"    {remedy(failure)}")
        lines += [f"    {shortened(path, columns - 6)}" for path in failure.examples]
        unshown = failure.amount.files - len(failure.examples)
        if unshown:
            lines.append(f"    ... and {unshown:,} more")
    return lines


def _bad_tasks(state: State) -> list[str]:
    lines = []
    for task in state.bad_tasks:
        lines.append(f"{moment_text(task.ended_at_ns)}  {task.state}: {display(task.reason) or 'no reason given'}")
        lines.append(f"    {task.arrived:,} of {counted(task.files, 'file')} delivered; the rest will be retried")
        if link := task_link(task):
            lines.append(f"    {link}")
    return lines


def tasks(found: Iterable[AnyTask]) -> list[str]:
    """What `status.py --tasks N` prints: one line per task."""
    rows: list[tuple[str, ...]] = [("NUMBER", "ENDED", "STATE", "FILES", "DELIVERED", "SIZE", "TASK")]
    for task in found:
        ended = moment_text(task.ended_at_ns) if task.ended_at_ns else "in flight"
        if isinstance(task, Task):
            arrived = f"{task.arrived:,}" if task.ended_at_ns else ""
            counts = (f"{task.files:,}", arrived, size_text(task.size_bytes))
        else:
            counts = ("", "", "")
        rows.append((str(task.number), ended, task.state, *counts, task.task_id))
    return table(rows, right=(0, 3, 4, 5)) if len(rows) > 1 else ["No task has been submitted yet."]


def path(answered: Union[FileAnswer, FolderAnswer], *, paint: Paint = plain) -> list[str]:
    """What `status.py --path` prints about one path: a yes or no with its reason, then the record."""
    if isinstance(answered, FolderAnswer):
        return _folder(answered, paint)
    word = paint(GOOD, "yes") if answered.is_safe else paint(BAD, "not proved" if answered.is_delivered else "no")
    lines = [f"{display(answered.rel_path)}: {word}, {_file_words(answered)}"]
    record = answered.delivered
    if record is not None:
        how = "by set_time.py" if not record.task else _task_words(answered, record.task)
        lines.append(
            f"    Recorded as delivered{how and ' '}{how} at {moment_text(record.transferred_at_ns)}: mtime "
            f"{moment_text(record.mtime_ns)}, {_size(record.size_bytes)}."
        )
    if answered.seen is not None:
        lines.append(f"    On disk now: mtime {moment_text(answered.seen[0])}, {_size(answered.seen[1])}.")
    if answered.task is not None and (link := task_link(answered.task)):
        lines.append(f"    {link}")
    return lines


def _task_words(answered: FileAnswer, number: int) -> str:
    task = answered.task
    return f"by task {task.task_id}" if task is not None and task.number == number and task.task_id else ""


def _file_words(answered: FileAnswer) -> str:
    record, retry, task = answered.delivered, answered.retry, answered.task
    named = f"task {task.task_id or task.label}" if isinstance(task, Task) else "a task"
    earlier = " An earlier version was delivered." if record is not None else ""
    if answered.state in EVIDENCE_WORDS and record is not None:
        return f"{EVIDENCE_WORDS[answered.state].format(at=moment_text(record.transferred_at_ns))}."
    if answered.state == states.BACKING_OFF and retry is not None:
        return (
            f"backing off: it failed {counted(retry.attempts, 'time')} ({retry.code}), and will be retried from "
            f"{moment_text(retry.not_before_ns)}. `set_time.py never --path` lets the next run send it."
        )
    if answered.state == states.RETRYING and retry is not None:
        return f"it will be retried by the next run; its last task ended with {retry.code}."
    if answered.state == states.VANISHED:
        was = f"it was delivered at {moment_text(record.transferred_at_ns)}; " if record is not None else ""
        return f"{was}it is gone from disk, and the next run forgets it. What was delivered stays at the destination."
    words = {
        states.IN_FLIGHT: f"in flight: {named} carries it.{earlier}",
        states.WAITING: f"it waits for {named} to end, which carries an earlier version or its folder.",
        states.NEW_FILE: "it was never sent; the next run sends it.",
        states.MODIFIED: f"it has changed since it was delivered; the next run sends it.{earlier}",
        states.UNSETTLED: f"it was modified less than SETTLE_SECONDS ago; a later run sends it.{earlier}",
        states.EXCLUDED: f"skipped (by EXCLUDE): {answered.why}.{earlier}",
        states.SYMLINK: f"skipped as a symlink: {answered.why}.",
        states.SPECIAL: f"skipped as a special file: {answered.why}.",
        states.UNSENDABLE: f"it cannot be sent: {answered.why}.",
        states.UNREADABLE: f"it cannot be read: {answered.why}.{earlier}",
        states.UNKNOWN: "it is not on disk, and not recorded. The record of a file goes when the file disappears.",
    }
    return words[answered.state]


# What the evidence of a delivered path means.
EVIDENCE_WORDS = {
    "verified": "delivered at {at} and verified by checksum; unchanged since",
    "equal": "its copy was compared by checksum at {at} and found equal; unchanged since",
    "transferred": "transferred at {at} without verification; unchanged since",
    "counted": "counted as transferred at {at}; the list of names has not been read yet",
    "found": "found at the destination at {at}; Globus took that copy for current and did not compare contents",
    "assumed": "assumed: set_time.py declared it delivered, and no task of this tool has carried it since",
    "twin": "delivered at {at}, but this name and another may be one at the destination, which then has the contents "
    "of either. If a run reports so, rename one of them",
    "touched": "delivered at {at}, but its ctime has changed since: its contents may have, with the times put back",
}
# The same in short, of several files.
EVIDENCE_TITLES = {
    "verified": "verified by checksum",
    "equal": "found equal by checksum",
    "transferred": "transferred without verification",
    "counted": "counted; their list of names is being read",
    "found": "found at the destination, and not compared",
    "assumed": "assumed: set_time.py declared them delivered",
}
EVIDENCE_NOTES = {
    "transferred": "transferred without verification",
    "counted": "counted; the list of names has not been read yet",
    "found": "found at the destination; contents were not compared",
    "assumed": "assumed: set_time.py declared them delivered",
    "twin": "with names of which two may be one at the destination, or below folders with such names",
    "touched": "with another ctime than when they were delivered; their contents may have changed",
    "skipped": "skipped (by EXCLUDE)",
    "symlinks": "symlink{s}, not sent",
    "special_files": "special file{s} (devices, sockets, pipes), not sent",
}


def _noted(count: int, name: str) -> str:
    return f"{count:,} {EVIDENCE_NOTES[name].format(s='' if count == 1 else 's')}"


def _folder(answered: FolderAnswer, paint: Paint) -> list[str]:
    name = display(answered.rel_path) or "SRC_DIR"
    facts = [*_folder_amounts(answered), *_folder_gaps(answered)]
    links = [
        f"{'in flight' if not task.ended_at_ns else moment_text(task.ended_at_ns)}  {link}"
        for task in answered.tasks[:MOST_LINKS]
        if (link := task_link(task))
    ]
    return [f"{name}/: {paint(*_folder_word(answered))}", *(f"    {line}" for line in (*facts, *links))]


def _folder_amounts(answered: FolderAnswer) -> Iterator[str]:
    """What is in which state."""
    for name, count in answered.weak.items():
        yield f"Not proved: {_noted(count, name)}."
    for amount, words in ((answered.in_flight, "in flight"), (answered.unsent, "not sent yet")):
        if amount.files:
            yield f"{_amount(amount)} {words}."
    for state, words in HELD_WORDS.items():
        if answered.held.get(state):
            yield f"    {answered.held[state]:,} {words}."
    if answered.oldest_path:
        yield f"Waiting longest: {display(answered.oldest_path)}, last written {moment_text(answered.oldest_ns)}."


def _folder_gaps(answered: FolderAnswer) -> Iterator[str]:
    """What is not delivered, and no later run will deliver."""
    yield from (f"Cannot be sent: {display(path)}: {why}." for path, why in answered.errors)
    if answered.error_count > len(answered.errors):
        yield f"... and {answered.error_count - len(answered.errors):,} more that cannot be read."
    if answered.is_on_disk and answered.vanished_files:
        yield f"{answered.vanished_files:,} that were recorded are gone from disk."
    for name, count in answered.evidence.items():
        if name in EVIDENCE_NOTES and name not in answered.weak:
            yield f"Accepted: {_noted(count, name)}."
    for name, count in answered.skipped.items():
        if name not in answered.weak:
            yield f"Accepted: {_noted(count, name)}."


def _folder_word(answered: FolderAnswer) -> tuple[str, str]:
    delivered = _amount(answered.delivered)
    if not answered.is_on_disk:
        return BAD, f"it is no longer on disk. Recorded as delivered: {delivered}; the next run forgets them."
    if not answered.is_delivered:
        return BAD, f"no, not all of it. Delivered: {delivered}."
    if not answered.is_safe:
        return BAD, f"not proved for all of it. Delivered: {delivered}."
    if not answered.delivered.files:
        return GOOD, "there is nothing in it to send."
    if not answered.last_delivered_ns:
        return GOOD, f"yes, all of it counts as delivered: {delivered}."
    return GOOD, f"yes, all of it was delivered by {moment_text(answered.last_delivered_ns)}: {delivered}."


def _amount(amount: Amount) -> str:
    return f"{counted(amount.files, 'file')}, {size_text(amount.size_bytes)}"


def _size(size_bytes: int) -> str:
    return f"{size_bytes:,} bytes"


def _ago(moment_ns: int, now_ns: int) -> str:
    return f"{moment_text(moment_ns)} ({age_text(max(0, now_ns - moment_ns) / NS_PER_SECOND)} ago)"
