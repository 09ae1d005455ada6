"""Reports how a run ended: remembers what was reported, pings a monitoring service, runs the owner's command.

None of it can fail a run: what goes wrong here becomes a line in the log.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from autotransfer.common.errors import ConfigurationProblem, ExitStatus, Problem, reason
from autotransfer.common.paths import display, display_lines
from autotransfer.common.service import remark
from autotransfer.common.settings import Settings
from autotransfer.common.summary import Notice, Summary
from autotransfer.common.times import HOUR, NS_PER_SECOND
from autotransfer.datastore.store import Store
from autotransfer.datastore.traces import ALERTS_FILE, read_kept, write_kept
from autotransfer.monitoring import alerts
from autotransfer.monitoring.alerts import Alerts, Memory, Outcome

PING_SECONDS = 10.0
COMMAND_SECONDS = 60.0
LAST_WORDS_BYTES = 300
MOST_TEXT_CHARACTERS = 50_000
MOST_PING_CHARACTERS = 10_000
OVER = "All is well again: none of the reported problems lasts."

# The owner's command has no use for it.
NOT_FOR_OTHERS = "GLOBUS_CLIENT_SECRET"


class Notifier:
    """Reports one run.

    Args:
        settings: PING_URL, ON_PROBLEM, METRICS_FILE, REMIND_HOURS, and where the memory is.
        is_watched: Whether a person sees all of it on a terminal. Then nothing else is reported or counts as reported.
        warn: Called with what goes wrong here, for the log.
        note: Called with what else belongs in the log.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        is_watched: bool,
        warn: Callable[[str], None],
        note: Callable[[str], None],
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._settings = settings
        self._path = settings.state_file(ALERTS_FILE)
        self._is_watched = is_watched
        self._warn = warn
        self._note = note
        self._clock = clock
        self._outcome: Outcome | None = None
        self._faults: tuple[Notice, ...] = ()
        self._alerts = Alerts()
        self._memory: Memory | None = None
        self._succeeded_at = 0.0
        self._is_sent = False

    @property
    def has_ended(self) -> bool:
        """Whether the run's end was reported here."""
        return self._outcome is not None

    def add_fault(self, fault: Notice) -> Alerts:
        """Add what a person should read beside the run's notices; returns what of it to print at once.

        What is added after the run's end is for cron's mail alone.
        """
        if self._outcome is None:
            self._faults = (*self._faults, fault)
            return Alerts()
        selected = self._select(self._outcome._replace(notices=(fault,), is_partial=True))
        if self._is_sent:
            self._remember()
        return selected

    def ended(self, summary: Summary, store: Store, problem: Problem | None, status: int) -> Alerts:
        """A run has ended and stored its summary; returns what of it to print. `send` does the rest."""
        selected = self._end(_outcome(summary, store, problem, status))
        if self._settings.metrics_file:
            self._measure(summary.started_at_ns, summary.seconds, status, summary.counts(), store)
        return selected

    def ended_early(self, problem: Exception, *, started_at: float) -> Alerts:
        """The same for a run that ended before it had counted anything."""
        status = int(problem.exit_status if isinstance(problem, Problem) else ExitStatus.BUG)
        selected = self._end(Outcome(status, problem))
        if self._settings.metrics_file and status != ExitStatus.ACTIVE:
            self._measure(int(started_at * NS_PER_SECOND), self._clock() - started_at, status, {}, None)
        return selected

    def _end(self, outcome: Outcome) -> Alerts:
        self._outcome = outcome._replace(notices=(*self._faults, *outcome.notices))
        self._alerts = self._select(self._outcome)
        if self._alerts.is_over:
            self._note(OVER)
        return self._alerts

    def _select(self, outcome: Outcome) -> Alerts:
        if self._memory is None:
            self._succeeded_at, self._memory = self._remembered()
        now = self._clock()
        if outcome.status == ExitStatus.DONE:
            self._succeeded_at = now
        remind_seconds = self._settings.remind_hours * HOUR
        selected, memory = alerts.select_alerts(outcome, self._memory, now=now, remind_seconds=remind_seconds)
        # Those who read the mail have not seen what a person saw on a terminal.
        if not (self._is_watched and selected.texts):
            self._memory = memory
        return selected

    def _measure(
        self, started_at_ns: int, seconds: float, status: int, counts: dict[str, int], store: Store | None
    ) -> None:
        try:
            from autotransfer.datastore.reader import Reader
            from autotransfer.monitoring import metrics
            from autotransfer.status.state import RunMark

            metrics.put(
                self._settings,
                None if store is None else Reader(store),
                RunMark(started_at_ns, seconds, status),
                counts,
                succeeded_at=self._succeeded_at,
                now_ns=int(self._clock() * NS_PER_SECOND),
            )
        except Exception as error:  # noqa: BLE001 - the run's own outcome must not depend on who watches it
            self._warn(f"METRICS_FILE {display(self._settings.metrics_file)} was not written: {reason(error)}")

    def send(self) -> None:
        """Remember what was reported, and report it to the service and the command; needs no lock."""
        if self._outcome is None:  # the run was interrupted
            return
        self._is_sent = True
        self._remember()
        if self._settings.ping_url:
            self._ping(self._outcome)
        if self._settings.on_problem and not self._is_watched:
            if self._alerts.texts:
                said = filter(None, (*self._alerts.texts, remark(self._settings.service.name)))
                self._run_command("\n".join(said), self._outcome.status)
            elif self._alerts.is_over:
                self._run_command(OVER, self._outcome.status)

    # ---- what was reported -----------------------------------------------------------------------------------------

    def _remembered(self) -> tuple[float, Memory]:
        """When a run last succeeded, and what was reported; nothing of a file that is missing, torn or not ours."""
        kept = read_kept(self._path)  # `_remember` reports what is wrong with it
        succeeded_at: Any = kept.get("succeeded_at")
        is_moment = type(succeeded_at) in (int, float) and 0 <= succeeded_at < alerts.LAST_SECOND
        return (succeeded_at if is_moment else 0.0), alerts.from_builtins(kept.get("problems"))

    def _remember(self) -> None:
        memory = {
            "succeeded_at": round(self._succeeded_at, 3),
            "problems": alerts.as_builtins(self._memory or {}),
        }
        try:
            write_kept(self._path, {**read_kept(self._path), **memory})
        except ConfigurationProblem as problem:
            self._warn(f"What was reported cannot be remembered, so every run reports it: {problem}")
        except OSError as error:
            self._warn(f"What was reported cannot be remembered, so it may be reported again: {reason(error)}")

    # ---- the service and the command -------------------------------------------------------------------------------

    def _ping(self, outcome: Outcome) -> None:
        from autotransfer.monitoring.ping import post_within

        suffix, text = "", "ended with status 0"
        if outcome.status != ExitStatus.DONE:
            problems = [] if outcome.problem is None else [str(outcome.problem)]
            texts = [notice.text for notice in outcome.notices] + problems
            text = "\n".join((f"ended with status {outcome.status}", *texts))
            # While a blip may pass, the run has neither succeeded nor failed: the service counts the time itself.
            suffix = "/log" if self._alerts.is_waited_for else "/fail"
        text = f"{text}\n{remark(self._settings.service.name)}".rstrip()
        body = display_lines(f"{self._settings.label} ({self._settings.config_file}) {text}")[:MOST_PING_CHARACTERS]
        url = f"{self._settings.ping_url.rstrip('/')}{suffix}"
        if why := post_within(url, body.encode("utf-8", "backslashreplace"), seconds=PING_SECONDS):
            self._warn(f"PING_URL was not reached: {display(why)}")

    def _run_command(self, text: str, status: int) -> None:
        import tempfile

        command = self._settings.on_problem
        environment = {
            **{name: value for name, value in os.environ.items() if name != NOT_FOR_OTHERS},
            "GLOBUS_TRANSFER_STATUS": str(status),
            "GLOBUS_TRANSFER_LABEL": self._settings.label,
            "GLOBUS_TRANSFER_CONFIG": self._settings.config_file,
        }
        try:
            with tempfile.TemporaryFile() as output:
                why = _run(command, f"{display_lines(text)[:MOST_TEXT_CHARACTERS]}\n", environment, output)
        except (OSError, ValueError) as error:
            why = reason(error)
        if why:
            self._warn(f"ON_PROBLEM ({display(command[0])}) failed: {why}")


def _run(command: tuple[str, ...], text: str, environment: dict[str, str], output: Any) -> str:
    """Why the owner's command failed; "" when it did not. Its output goes to a file: a pipe could be held open."""
    import subprocess

    process = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=output, stderr=output, cwd="/", env=environment, start_new_session=True
    )
    try:
        process.communicate(text.encode("utf-8", "backslashreplace"), timeout=COMMAND_SECONDS)
    except subprocess.TimeoutExpired:
        return f"it had not ended after {COMMAND_SECONDS:g} seconds"
    finally:
        if process.poll() is None:  # it takes too long, or this run was interrupted: end all that it started
            with suppress(OSError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
    if process.returncode == 0:
        return ""
    output.seek(max(0, output.seek(0, os.SEEK_END) - LAST_WORDS_BYTES))
    last_words = " ".join(output.read().decode("utf-8", "replace").split())
    return f"it ended with status {process.returncode}" + (f", saying: {display(last_words)}" if last_words else "")


def _outcome(summary: Summary, store: Store, problem: Problem | None, status: int) -> Outcome:
    if problem is None and not summary.notices and status == ExitStatus.DONE:
        interval_seconds = 0.0
    else:
        from autotransfer.status.state import RunMark
        from autotransfer.status.verdict import usual_interval_seconds

        interval_seconds = usual_interval_seconds(tuple(RunMark(*mark) for mark in _kept(store, "RUNS") or ()))
    try:
        under_way = store.ledger.open.values()
        has_failed_paths = bool(summary.backing_off or summary.retried or any(task.has_failed for task in under_way))
    except Exception:  # noqa: BLE001 - a datastore that cannot be read is the problem that is reported
        has_failed_paths = True
    is_partial = summary.scan != "full"
    return Outcome(status, problem, tuple(summary.notices), has_failed_paths, is_partial, interval_seconds)


def _kept(store: Store, key: str) -> Any:
    try:
        return store.shelf.get(key)
    except Exception:  # noqa: BLE001 - as above
        return None
