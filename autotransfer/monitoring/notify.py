"""Tells others how a run ended: remembers what was told, pings a watching service, runs the owner's command.

None of it can fail a run: what goes wrong here becomes a line for the log.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from autotransfer.common.errors import ConfigurationProblem, ExitStatus, Problem, reason
from autotransfer.common.files import open_own
from autotransfer.common.paths import display
from autotransfer.common.settings import Settings
from autotransfer.common.summary import Notice, Summary
from autotransfer.common.times import HOUR, NS_PER_SECOND
from autotransfer.datastore.store import Store
from autotransfer.monitoring import alerts
from autotransfer.monitoring.alerts import Alerts, Memory, Outcome

if TYPE_CHECKING:
    import subprocess

PING_PROGRAM = "ping.py"


# The name of the file of what was told, and the room that it takes from the start: it is written over in place, so that
# a full disk is told once as well.
TOLD = "told"


ROOM_BYTES = 16384


# The moment of the last run that ended well stands before the rest, always as wide.
MOMENT_WIDTH = 16


# More than the request's own limit, which does not count the look-up of a name or an answer in small pieces.
PING_SECONDS = 10.0


COMMAND_SECONDS = 60.0


LAST_WORDS_BYTES = 300


MOST_TEXT_CHARACTERS = 50_000


# So few that a pipe takes them at once, whether the other end reads or not.
MOST_PING_CHARACTERS = 10_000


OVER = "All is well again: nothing of what was told before lasts."


# The owner's command need not know it.
NOT_FOR_OTHERS = "GLOBUS_CLIENT_SECRET"


class Notifier:
    """What others hear of one run.

    Args:
        settings: PING_URL, ON_PROBLEM, REMIND_HOURS, and where the memory is.
        is_watched: Whether a person sees all of it on a terminal. Then nobody else is told, and nothing counts as told.
        warn: Told what goes wrong here, for the log.
        note: Told what else belongs into the log.
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
        self._is_watched = is_watched
        self._warn = warn
        self._note = note
        self._clock = clock
        self._start: subprocess.Popen[bytes] | None = None
        self._ending: Outcome | None = None
        self._ended = Outcome(ExitStatus.DONE)
        self.has_ended = False
        self._news = Alerts()
        self._memory: Memory | None = None
        self._well_at = 0.0

    def started(self) -> None:
        """A run begins; it does not wait until that has arrived."""
        if self._settings.ping_url:
            self._start = self._ping("/start", "")

    def ended(
        self, summary: Summary, store: Store, problem: Problem | None, status: int, faults: tuple[Notice, ...]
    ) -> Alerts:
        """A run has ended and kept its summary; gives what of it is news, to be told before `leave` is called.

        Args:
            faults: What a person should read beside the summary's notices.
        """
        ending = _ending(summary, store, problem, status)
        news = self._judge(ending._replace(notices=(*faults, *ending.notices)))
        if self._settings.metrics_file:
            self._measure(summary.started_at_ns, summary.seconds, status, summary.counts(), store)
        return news

    def ended_early(self, problem: Exception, faults: tuple[Notice, ...], *, started_at: float) -> Alerts:
        """The same for a run that ended before it had counted anything."""
        status = int(problem.exit_status if isinstance(problem, Problem) else ExitStatus.BUG)
        news = self._judge(Outcome(status, problem, faults))
        if self._settings.metrics_file and status != ExitStatus.ACTIVE:
            self._measure(int(started_at * NS_PER_SECOND), self._clock() - started_at, status, {}, None)
        return news

    def ended_also(self, fault: Notice) -> Alerts:
        """The same for what was found out after that, which is for the mail alone."""
        untold = self._ending
        news = self._judge(self._ended._replace(notices=(*self._ended.notices, fault)))
        self._ending = untold
        if untold is None and self._memory is not None:
            self._remember(self._memory)
        return news

    def _judge(self, ending: Outcome) -> Alerts:
        self._ending = self._ended = ending
        now = self._clock()
        self._well_at, memory = self._remembered() if self._memory is None else (self._well_at, self._memory)
        if ending.status == ExitStatus.DONE:
            self._well_at = now
        remind_seconds = self._settings.remind_hours * HOUR
        news, memory = alerts.select_alerts(ending, memory, now=now, remind_seconds=remind_seconds)
        # What a person saw on a terminal, those who read the mail have not seen.
        self._memory = None if self._is_watched and news.texts else memory
        if not self.has_ended:
            self._news = news
            self.has_ended = True
            if news.is_over:
                self._note(OVER)
        return news

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
                well_at=self._well_at,
                now_ns=int(self._clock() * NS_PER_SECOND),
            )
        except Exception as error:  # noqa: BLE001 - the run's own outcome must not depend on who watches it
            self._warn(f"METRICS_FILE {display(self._settings.metrics_file)} was not written: {reason(error)}")

    def leave(self) -> None:
        """Remember what was told, and tell the others; the run's lock need not be held meanwhile."""
        start, self._start = self._start, None
        ending, self._ending = self._ending, None
        if ending is None:  # it was interrupted
            if start is not None:
                _end(start)
            return
        if self._memory is not None:
            self._remember(self._memory)
        self._wait(start)  # else it could arrive after what comes now
        if self._settings.ping_url:
            self._wait(self._ping(*self._outcome(ending)))
        if self._settings.on_problem and not self._is_watched:
            if self._news.texts:
                self._run_command("\n".join(self._news.texts), ending.status)
            elif self._news.is_over:
                self._run_command(OVER, ending.status)

    def _outcome(self, ending: Outcome) -> tuple[str, str]:
        """What is appended to PING_URL, and the text that goes with it."""
        if ending.status == ExitStatus.DONE:
            return "", "ended with status 0"
        texts = [
            *(notice.text for notice in ending.notices),
            *([str(ending.problem)] if ending.problem is not None else []),
        ]
        text = f"ended with status {ending.status}\n" + "\n".join(texts)
        # It neither succeeded nor failed yet; the service itself counts the time since the last success.
        return "/log" if self._news.is_waited_for else "/fail", text

    # ---- what was told ---------------------------------------------------------------------------------------------

    def _remembered(self) -> tuple[float, Memory]:
        path = self._settings.state_file(TOLD)
        try:
            told_fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError:  # there is none yet; or `_remember` says what is wrong with it
            return 0.0, {}
        try:
            moment, _, kept = os.read(told_fd, 64 * ROOM_BYTES).partition(b" ")
        except OSError:  # a folder, say
            return 0.0, {}
        finally:
            os.close(told_fd)
        well_at = float(moment) if len(moment) == MOMENT_WIDTH and moment.replace(b".", b"", 1).isdigit() else 0.0
        if kept.strip() in (b"", b"{}"):
            return well_at, {}
        import json  # a run that finds nothing wrong, which is nearly every one, need not load it

        try:
            return well_at, alerts.from_builtins(json.loads(kept))
        except (ValueError, RecursionError):  # cut off by a crash: it is told again
            return well_at, {}

    def _remember(self, memory: Memory) -> None:
        text = "{}"
        if memory:
            import json

            text = json.dumps(alerts.as_builtins(memory))
        line = f"{self._well_at:0{MOMENT_WIDTH}.3f} {text}".encode("ascii")
        try:
            told_fd = open_own(self._settings.state_file(TOLD), os.O_WRONLY)
        except ConfigurationProblem as problem:
            self._warn(f"What was told cannot be remembered, so it is told with every run: {problem}")
            return
        try:
            os.pwrite(told_fd, line.ljust(ROOM_BYTES - 1) + b"\n", 0)
            os.ftruncate(told_fd, max(len(line) + 1, ROOM_BYTES))
        except OSError as error:
            self._warn(f"What was told cannot be remembered, so it may be told again: {reason(error)}")
        finally:
            os.close(told_fd)

    # ---- telling ---------------------------------------------------------------------------------------------------

    def _ping(self, suffix: str, text: str) -> subprocess.Popen[bytes] | None:
        """Start telling the watching service, in a process that can be ended at any moment."""
        import subprocess

        program = os.path.join(os.path.dirname(__file__), PING_PROGRAM)
        try:
            process = subprocess.Popen(
                [sys.executable, "-I", "-S", program],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                env=_environment(),
                start_new_session=True,
            )
            assert process.stdin is not None
            body = f"{self._settings.label} ({self._settings.config_file}) {text}"[:MOST_PING_CHARACTERS]
            with process.stdin:
                process.stdin.write(f"{self._settings.ping_url.rstrip('/')}{suffix}\n".encode("ascii"))
                process.stdin.write(body.encode("utf-8", "backslashreplace"))
        except (OSError, ValueError) as error:
            self._warn(f"PING_URL was not told: {reason(error)}")
            return None
        process.stdin = None  # it has read all; `communicate` would flush it
        return process

    def _wait(self, process: subprocess.Popen[bytes] | None) -> None:
        if process is None:
            return
        import subprocess

        try:
            said, _ = process.communicate(timeout=PING_SECONDS)
            why = display(said.decode("utf-8", "replace")) or ("" if process.returncode == 0 else "it broke off")
        except subprocess.TimeoutExpired:
            why = f"no answer within {PING_SECONDS:g} seconds"
        finally:
            _end(process)
        if why:
            self._warn(f"PING_URL was not told: {why}")

    def _run_command(self, text: str, status: int) -> None:
        import tempfile

        command = self._settings.on_problem
        environment = {
            **_environment(),
            "GLOBUS_TRANSFER_STATUS": str(status),
            "GLOBUS_TRANSFER_LABEL": self._settings.label,
            "GLOBUS_TRANSFER_CONFIG": self._settings.config_file,
        }
        try:
            with tempfile.TemporaryFile() as output:
                why = _run(command, f"{text[:MOST_TEXT_CHARACTERS]}\n", environment, output)
        except (OSError, ValueError) as error:
            why = reason(error)
        if why:
            self._warn(f"ON_PROBLEM ({display(command[0])}) failed: {why}")


def _run(command: tuple[str, ...], text: str, environment: dict[str, str], output: Any) -> str:
    """Why the owner's command failed; "" when it did not. Its output goes to a file: a pipe could be held open."""
    import subprocess

    process = subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=output,
        stderr=output,
        cwd="/",
        env=environment,
        start_new_session=True,
    )
    try:
        process.communicate(text.encode("utf-8", "backslashreplace"), timeout=COMMAND_SECONDS)
    except subprocess.TimeoutExpired:
        return f"it had not ended after {COMMAND_SECONDS:g} seconds"
    finally:
        _end(process)
    if process.returncode == 0:
        return ""
    output.seek(max(0, output.seek(0, os.SEEK_END) - LAST_WORDS_BYTES))
    last_words = " ".join(output.read().decode("utf-8", "replace").split())
    return f"it ended with status {process.returncode}" + (f", saying: {display(last_words)}" if last_words else "")


def _end(process: subprocess.Popen[bytes]) -> None:
    """End a process that takes too long, with all that it started."""
    if process.poll() is None:
        with suppress(OSError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name != NOT_FOR_OTHERS}


def _ending(summary: Summary, store: Store, problem: Problem | None, status: int) -> Outcome:
    if problem is None and not summary.notices and status == ExitStatus.DONE:
        interval_seconds = 0.0
    else:
        from autotransfer.status.state import RunMark
        from autotransfer.status.verdict import usual_interval_seconds

        interval_seconds = usual_interval_seconds(tuple(RunMark(*mark) for mark in _kept(store, "RUNS") or ()))
    try:
        under_way = store.ledger.open.values()
        has_failed_paths = bool(summary.backing_off or summary.retried or any(task.has_failed for task in under_way))
    except Exception:  # noqa: BLE001 - a datastore that cannot be read is the problem that is told
        has_failed_paths = True
    is_partial = summary.scan != "full"
    return Outcome(status, problem, tuple(summary.notices), has_failed_paths, is_partial, interval_seconds)


def _kept(store: Store, key: str) -> Any:
    try:
        return store.shelf.get(key)
    except Exception:  # noqa: BLE001 - as above
        return None
