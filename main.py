"""One run: find what was added or modified in SRC_DIR, submit exactly that to Globus, record what Globus confirms.

Cron starts it every few minutes; README.md says how.
"""

from __future__ import annotations

import os
import stat
import sys
import time
from typing import TYPE_CHECKING, Any

import autotransfer  # noqa: F401 - first: what it does is for all modules after it
import utils
from autotransfer.common.errors import MEANINGS, ExitStatus, Problem, RunActive, UsageProblem
from autotransfer.common.files import explained_as
from autotransfer.common.paths import display
from autotransfer.common.run_lock import NOTHING_DONE
from autotransfer.common.service import remark
from autotransfer.common.summary import LOG_UNWRITTEN, Notice
from autotransfer.common.text import bar, counted, size_text
from autotransfer.common.version import SCHEMA
from autotransfer.datastore.opening import open_route
from autotransfer.datastore.store import Store
from autotransfer.monitoring.alerts import Alerts
from autotransfer.monitoring.notify import Notifier
from autotransfer.run import Run, Watcher
from autotransfer.scan.feed import split_names

if TYPE_CHECKING:
    import argparse

    from autotransfer.common.settings import Settings
    from autotransfer.common.summary import Summary
    from autotransfer.datastore.tasks import Task

MOST_SHOWN, BAR_COLUMNS = 50, 30
FOREVER_SECONDS = 10.0 * 365 * 86400
EXAMPLES = """\
  python /opt/transfer/main.py                     what cron runs: says nothing when all is well
  python main.py --dry-run                         what would be sent, and why; changes nothing
  python main.py -v --wait 3600                    run, then watch the tasks for up to an hour
  python main.py --paths-from changed.txt          look only at what a change feed has named
  python main.py --config /etc/transfer/run7.py    another route with a datastore of its own"""


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = utils.parser(
        "Send what was added or modified in SRC_DIR since the last transfer, and record what arrived.", EXAMPLES
    )
    parser.add_argument("-n", "--dry-run", action="store_true", help="print what would be sent and why; change nothing")
    parser.add_argument(
        "--wait",
        metavar="SECONDS",
        nargs="?",
        type=float,
        const=FOREVER_SECONDS,
        help="stay until the open tasks have ended, at most this long; with --dry-run: wait for an active run to end",
    )
    parser.add_argument(
        "--full", action="store_true", help="look at every file, also where SCAN is 'quick' and a full scan is not due"
    )
    parser.add_argument("--json", action="store_true", help="print the summary as one JSON object")
    parser.add_argument(
        "--paths-from",
        metavar="FILE",
        help="look only at the files and folders that FILE names (-: standard input), each ended by a newline or a NUL",
    )
    parser.add_argument(
        "--trust",
        action="store_true",
        help="read everything, and from then on trust folder times (SCAN = 'quick') and change feeds again that were "
        "found blind",
    )
    loudness = parser.add_mutually_exclusive_group()
    loudness.add_argument("-v", "--verbose", action="store_true", help="say what is done, also when nobody watches")
    loudness.add_argument(
        "-q", "--quiet", action="store_true", help="print nothing but what a person must read, as under cron"
    )
    chosen = parser.parse_args()
    if chosen.wait is not None and not 0 <= chosen.wait <= FOREVER_SECONDS:
        parser.error("--wait takes a number of seconds that is not negative")
    chosen.full |= chosen.trust
    if chosen.paths_from is not None and chosen.full:
        parser.error("--paths-from and --full do not go together: a full scan looks at everything")
    return chosen


class Console(Watcher):
    """Shows a run to whoever watches it; silent under cron."""

    def __init__(self, *, is_talking: bool, lists_changes: bool) -> None:
        self._is_talking = is_talking
        self.wants_changes = lists_changes
        self._line = utils.ProgressLine()
        self._expected_files = 0
        self._began_at = self._waits_since = 0.0
        self._had_bytes = 0

    def change(self, rel_path: str, why: str, size_bytes: int) -> None:
        self._line.clear()
        utils.say(f"{why:<25} {size_text(size_bytes):>9}  {display(rel_path)}")

    def expects(self, files: int) -> None:
        self._expected_files = files
        self._began_at = time.monotonic()

    def scanning(self, folders: int, files: int) -> None:
        if not self._line.is_due:
            return
        rate = f"{files / max(0.1, time.monotonic() - self._began_at):,.0f} a second"
        if files <= self._expected_files:
            drawn = bar(files, self._expected_files, columns=BAR_COLUMNS)
            self._line.show(f"scanning: {drawn} {files:,} of about {self._expected_files:,} files, {rate}")
        else:
            self._line.show(f"scanning: {files:,} files in {folders:,} folders, {rate}")

    def submitted(self, task: Task) -> None:
        utils.log.info(
            "submitted task_id=%s label=%r items=%d files=%d bytes=%d sync_level=%s",
            *(task.task_id, task.label, task.items, task.files, task.size_bytes, task.sync_level),
        )
        self.remark(
            f"Submitted task {task.task_id}: {counted(task.files, 'path')}, {size_text(task.size_bytes)}, in "
            f"{counted(task.items, 'item')}, sync level {task.sync_level}."
        )

    def waiting(self, done_bytes: int, total_bytes: int, open_tasks: int) -> None:
        if not self._waits_since:
            self._waits_since, self._had_bytes = time.monotonic(), done_bytes
        rate = (done_bytes - self._had_bytes) / max(0.1, time.monotonic() - self._waits_since)
        self._line.show(
            f"{bar(done_bytes, total_bytes, columns=BAR_COLUMNS)} {size_text(done_bytes)} of {size_text(total_bytes)}, "
            f"{counted(open_tasks, 'task')} under way, {size_text(max(0.0, rate))} a second"
        )

    def remark(self, text: str) -> None:
        if self._is_talking:
            self._line.clear()
            utils.say(text)

    def finish(self) -> None:
        """Leave the terminal clean."""
        self._line.clear()


def main() -> int:
    """Do one run; returns the exit status."""
    chosen = arguments()
    try:
        return _run(chosen)
    except Problem as problem:  # before there was anything to count
        if chosen.json:
            _say_json({}, int(problem.exit_status), problem, chosen)
        raise


def _run(chosen: argparse.Namespace) -> int:
    settings = utils.load_settings(chosen.config)
    is_talking = not chosen.quiet and not chosen.json and (chosen.verbose or utils.is_watched() or chosen.dry_run)
    console = Console(is_talking=is_talking, lists_changes=chosen.dry_run and is_talking)
    names, listed_at_ns = (None, 0) if chosen.paths_from is None else _names(chosen.paths_from)
    reporting = _Reporting(settings, chosen)
    try:
        wait_seconds = chosen.wait or 0.0 if chosen.dry_run else 0.0
        with utils.run_lock(
            settings, is_silent=not is_talking, wait_seconds=wait_seconds, effect=_effect_of_waiting(chosen)
        ):
            if not chosen.dry_run:
                utils.open_log(settings, on_fault=reporting.note_fault)
            with open_route(settings, is_dry=chosen.dry_run) as store:
                run = Run(
                    settings,
                    store,
                    console,
                    is_dry=chosen.dry_run,
                    is_full=chosen.full,
                    names=names,
                    listed_at_ns=listed_at_ns,
                    is_trusted_again=chosen.trust,
                )
                status = _perform(run, store, chosen, console, settings, reporting, is_talking=is_talking)
    except Exception as error:
        reporting.end_early(error)
        raise
    finally:
        reporting.send()
    if settings.report_file and not chosen.dry_run:
        _renew_report(settings, run.summary, status)
    return status


def _effect_of_waiting(chosen: argparse.Namespace) -> str:
    """What to do where another run is active: only what every run does need not be repeated."""
    if chosen.dry_run:
        return utils.RUN_AGAIN
    if chosen.paths_from is not None:
        return "The names were not used: pass them to a later run."
    if chosen.full or chosen.wait is not None:
        return "Nothing was done: run this again once it has ended."
    return NOTHING_DONE


def _renew_report(settings: Settings, summary: Summary, status: int) -> None:
    """Renew REPORT_FILE where that is due, from what was committed; the lock is free again."""
    from autotransfer.status.html.refresh import refresh

    try:
        if refresh(settings, summary, status, clock_ns=time.time_ns):
            utils.log.info("wrote %s", display(settings.report_file))
    except Exception as error:  # noqa: BLE001 - a page must never make a run look as if it had failed
        utils.log.warning("REPORT_FILE was not renewed: %s", display(str(error)))


def _names(file: str) -> tuple[list[str], int]:
    """What a change feed names, and up to when: the time of a file, else the time before it is read."""
    now_ns = time.time_ns()
    with explained_as(UsageProblem, f"Cannot read the names in {display(file)}", remedy="Nothing was done."):
        if file == "-":
            return split_names(b"" if sys.stdin is None else sys.stdin.buffer.read()), now_ns
        with open(os.path.join(utils.working_folder(), file), "rb") as names:
            status = os.fstat(names.fileno())
            is_file = stat.S_ISREG(status.st_mode)
            return split_names(names.read()), min(now_ns, status.st_mtime_ns) if is_file else now_ns


def _perform(
    run: Run,
    store: Store,
    chosen: argparse.Namespace,
    console: Console,
    settings: Settings,
    reporting: _Reporting,
    *,
    is_talking: bool,
) -> int:
    problem: Problem | None = None
    try:
        run.perform(wait_seconds=chosen.wait)
    except Problem as met:
        problem = met
    finally:
        console.finish()
    summary = run.summary
    status = int(problem.exit_status if problem else summary.exit_status)
    for notice in summary.notices:
        utils.log.warning("%s", notice.text)
    # For who waits, not for who watches: nothing is wrong.
    ends_with = int(ExitStatus.UNDER_WAY) if summary.is_wait_over and status == ExitStatus.DONE else status
    utils.log.info("%s datastore=%s", summary.as_line(ends_with), store.left)
    reporting.end(summary, store, problem, status)
    if chosen.json:
        started_at = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(summary.started_at_ns // 10**9))
        _say_json({**summary.as_builtins(), "started_at": started_at}, ends_with, problem, chosen)
    else:
        reporting.show_notices(summary)
    if problem:
        utils.end(problem)
    elif is_talking:
        utils.say(_dry_words(summary, settings) if chosen.dry_run else _words(summary))
        return ends_with
    if not chosen.json:
        reporting.name_service(summary, problem)
    return ends_with


def _say_json(counts: dict[str, Any], status: int, problem: Problem | None, chosen: argparse.Namespace) -> None:
    import json  # a run without --json, which is nearly every one, need not load it

    outcome = {
        "schema": SCHEMA,
        "status": status,
        "meaning": MEANINGS[status],
        "dry_run": chosen.dry_run,
        "problem": None if problem is None else str(problem),
    }
    utils.say(json.dumps({**counts, **outcome}))


class _Reporting:
    """What is printed and sent about a run: everything to who watches it, to all others what is new.

    Nothing is sent about a dry run.
    """

    def __init__(self, settings: Settings, chosen: argparse.Namespace) -> None:
        is_watched = utils.is_watched() and not chosen.quiet
        self._shows_all = is_watched or chosen.verbose or chosen.json or chosen.dry_run
        self._started_at = time.time()
        self._alerts = Alerts()
        self._notifier: Notifier | None = None
        if not chosen.dry_run:
            self._notifier = Notifier(settings, is_watched=is_watched, warn=utils.log.warning, note=utils.log.info)

    def end(self, summary: Summary, store: Store, problem: Problem | None, status: int) -> None:
        if self._notifier is not None:
            self._alerts = self._notifier.ended(summary, store, problem, status)
            self._hush(problem)

    def end_early(self, error: Exception) -> None:
        """The same for what ended a run before it had counted anything."""
        is_at_work = isinstance(error, RunActive) and not error.is_overlong
        if self._notifier is not None and not self._notifier.has_ended and not is_at_work:
            self._alerts = self._notifier.ended_early(error, started_at=self._started_at)
            self._hush(error)
            self._warn_of(self._alerts.notices)

    def note_fault(self, text: str) -> None:
        """Report once that the log cannot be written."""
        if self._shows_all or self._notifier is None:
            utils.warn(text)
        else:
            self._warn_of(self._notifier.add_fault(Notice(LOG_UNWRITTEN, "", text)).notices)

    def send(self) -> None:
        if self._notifier is not None:
            self._notifier.send()

    def _hush(self, error: Exception | None) -> None:
        if error is None or self._shows_all:
            return
        error.is_silent = not self._alerts.problem  # type: ignore[attr-defined]
        if isinstance(error, Problem):
            error.remedy = f"{error.remedy} {self._alerts.since}".strip()

    def show_notices(self, summary: Summary) -> None:
        notices = tuple(notice.text for notice in summary.notices) if self._shows_all else self._alerts.notices
        self._warn_of(notices, unlisted=summary.unlisted_notices if notices else 0)
        if self._alerts.texts and self._alerts.lasting and not self._shows_all:
            utils.warn(f"Besides, {counted(self._alerts.lasting, 'problem')} reported before: see status.py.")

    def name_service(self, summary: Summary, problem: Problem | None) -> None:
        """End what was printed with a service that is not Globus's own."""
        is_said = bool(summary.notices or problem) if self._shows_all else bool(self._alerts.texts)
        if is_said and (said := remark(summary.service)):
            utils.warn(said)

    def _warn_of(self, notices: tuple[str, ...], *, unlisted: int = 0) -> None:
        for notice in notices[:MOST_SHOWN]:
            utils.warn(notice)
        unshown = len(notices[MOST_SHOWN:]) + unlisted
        if unshown:
            utils.warn(f"... and {unshown:,} more; the log has them.")


def _words(summary: Summary) -> str:
    if summary.submitted:
        first = (
            f"Submitted {counted(summary.sent_files, 'path')} ({size_text(summary.sent_bytes)}) in "
            f"{counted(summary.submitted, 'task')}: {_reasons(summary)}."
        )
    elif summary.changes:
        first = f"{counted(summary.changes, 'path')} to be sent, which wait for a later run."
    else:
        first = "Nothing to send."
    parts = [first, *_sides(summary)]
    if summary.is_wait_over:
        parts.append("--wait is over: the tasks go on, and later runs record what they deliver.")
    parts.append(f"Read {counted(summary.files, 'path')}; the run took {summary.seconds:.2f} s.")
    return " ".join(filter(None, (*parts, remark(summary.service))))


def _dry_words(summary: Summary, settings: Settings) -> str:
    if not summary.changes:
        first = "Nothing would be sent."
    else:
        first = f"{counted(summary.changes, 'path')} ({size_text(summary.bytes)}) would be sent: {_reasons(summary)}."
        if summary.unsubmitted:
            first += f" {summary.unsubmitted:,} of them not by this run, but by later ones: enough tasks are open."
    last = f"Dry run: nothing was changed, here or at {settings.dst_dir}."
    return " ".join(filter(None, (first, *_sides(summary), last, remark(summary.service))))


def _reasons(summary: Summary) -> str:
    counts = {
        "new": summary.new,
        "modified": summary.modified,
        "modified to an older time": summary.older,
        "to be retried": summary.retried,
    }
    return ", ".join(f"{count:,} {why}" for why, count in counts.items() if count)


def _sides(summary: Summary) -> list[str]:
    sides = []
    if summary.succeeded or summary.failed:
        ended = counted(summary.succeeded + summary.failed, "task")
        sides.append(
            f"{ended} ended: {counted(summary.delivered, 'path')} delivered, {summary.retrying:,} to be retried."
        )
    for count, words in (
        (summary.outside, "named outside SRC_DIR"),
        (summary.in_flight_tasks, "task under way" if summary.in_flight_tasks == 1 else "tasks under way"),
        (summary.unsettled, "modified too recently"),
        (summary.waiting, "waiting for a task to end"),
        (summary.backing_off, "backing off after failures"),
        (summary.failing, "failed more than once"),
        (summary.vanished, "gone from disk or now a symlink" if summary.links else "gone from disk"),
        (summary.links, "symlink skipped" if summary.links == 1 else "symlinks skipped"),
        (summary.special_files, "special file skipped" if summary.special_files == 1 else "special files skipped"),
        (summary.errors, "not sent because of errors"),
    ):
        if count:
            sides.append(f"{count:,} {words}.")
    return sides


if __name__ == "__main__":
    utils.run_script(main)
