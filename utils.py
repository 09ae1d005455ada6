"""What the scripts share: the command line, settings, questions, the log, the run lock, progress, and how they end."""

from __future__ import annotations

import argparse
import errno
import gc
import logging
import os
import re
import resource
import signal
import sys
import time
import traceback
from collections.abc import Callable
from contextlib import AbstractContextManager, suppress
from typing import Any, NoReturn

from autotransfer.common.config_files import LOCAL, SHIPPED, load
from autotransfer.common.errors import (
    MEANINGS,
    ConfigurationProblem,
    Problem,
    SignInNeeded,
    UsageProblem,
    reason,
)
from autotransfer.common.files import disk_remedy, explained_as, open_own
from autotransfer.common.paths import display_lines
from autotransfer.common.run_lock import NOTHING_DONE, held_lock
from autotransfer.common.service import service
from autotransfer.common.settings import Settings

CODE_FOLDER = os.path.dirname(os.path.realpath(__file__))
OWN_CONFIG = f"{CODE_FOLDER}/{SHIPPED}"
LOG_FORMAT = "%(asctime)sZ %(process)d %(levelname)s %(message)s"
log = logging.getLogger("autotransfer")
RUN_AGAIN = "Nothing was done: run this again once it has ended, or with --wait SECONDS, which waits for that."
COLOUR = re.compile(r"(\033\[[0-9;]*m)")
_unprinted: list[str] = []  # why what was printed to standard output did not get there


class Parser(argparse.ArgumentParser):
    """A parser that reports wrong arguments like every other problem."""

    def error(self, message: str) -> NoReturn:
        raise UsageProblem(message[:1].upper() + message[1:], remedy=f"See {self.prog} --help.")


def parser(description: str, examples: str) -> Parser:
    """A parser with the options of every script, and a help text that ends in examples and the exit statuses."""
    statuses = "\n".join(f"  {int(status)}  {meaning}" for status, meaning in MEANINGS.items())
    made = Parser(
        description=description,
        epilog=f"examples:\n{examples}\n\nexit status:\n{statuses}\n",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    made.add_argument(
        "--config",
        metavar="FILE",
        help="the settings of another route (default: config.py and config_local.py beside this script)",
    )
    made.add_argument(
        "--version", action=_ShowVersion, nargs=0, help="print the versions of this, globus-sdk and Python"
    )
    return made


class _ShowVersion(argparse.Action):
    def __call__(self, parser: argparse.ArgumentParser, *given: object) -> NoReturn:
        from autotransfer.common.version import versions  # reads the metadata of packages, which takes a moment

        say(versions())
        parser.exit()


def config_file(chosen: str | None) -> str:
    """The absolute path of the configuration named on the command line; by default, that of the checkout.

    Either of the checkout's own two files stands for both.
    """
    folder = working_folder() if chosen else CODE_FOLDER
    path = os.path.normpath(os.path.join(folder, chosen or SHIPPED))
    folder, name = os.path.split(path)
    return OWN_CONFIG if name in (SHIPPED, LOCAL) and os.path.realpath(folder) == CODE_FOLDER else path


def working_folder(default: str = "/") -> str:
    """The folder that the script was started in; if it has been deleted, the default."""
    try:
        return os.getcwd()
    except FileNotFoundError:
        return default


def load_settings(chosen: str | None) -> Settings:
    """The settings of one route.

    Raises:
        ConfigurationProblem: A file is missing or does not run, or settings are wrong; all of them at once.
    """
    path = config_file(chosen)
    local_path = os.path.join(CODE_FOLDER, LOCAL) if path == OWN_CONFIG else ""
    return load(path, local_path=local_path, service=service(os.environ))


def is_screen(stream: Any) -> bool:
    """Whether a stream is a terminal that can do more than print."""
    return stream is not None and stream.isatty() and os.environ.get("TERM", "") != "dumb"


def is_watched() -> bool:
    """Whether a person is watching what goes to standard error."""
    return is_screen(sys.stderr)


def has_terminal() -> bool:
    """Whether a person can be asked: standard input and standard error are a terminal."""
    return all(stream is not None and stream.isatty() for stream in (sys.stdin, sys.stderr))


def typed(question: str) -> str:
    """What a person types in answer to a question, without blanks at its ends; "" if they end the input instead."""
    _print(display_lines(question), sys.stderr, end="")
    return sys.stdin.readline().strip()


def ask_for_code(url: str, *, why: str = "") -> str:
    """Show a person the link for signing in to Globus; returns the code that the page there shows them.

    Raises:
        SignInNeeded: There is no terminal, or they typed nothing.
    """
    if not has_terminal():
        raise SignInNeeded("Signing in needs a terminal", remedy="Run the same command where a person can type.")
    lead = f"\n{why}" if why else ""
    warn(f"{lead}\nOpen this link in a browser, sign in, and copy the code that the page shows:\n\n{url}\n")
    code = typed("Code: ")
    if not code:
        raise SignInNeeded("No code was given", remedy="Run the same command again. Nothing was changed.")
    return code


def say(text: str, *, has_colours: bool = False) -> None:
    """Print to standard output. A run never stops because something cannot be printed; a status 0 becomes 5.

    File names and messages of Globus may hold control sequences, which a terminal would obey: they are escaped.

    Args:
        has_colours: Whether the text holds our colours, which are kept. Every other control sequence is escaped.
    """
    parts = COLOUR.split(text) if has_colours else [text]
    printed = "".join(part if has_colours and COLOUR.fullmatch(part) else display_lines(part) for part in parts)
    _report_unprinted(_print(printed, sys.stdout))


def _report_unprinted(why: str) -> None:
    if why:
        _unprinted.append(why)
        warn(f"{_script_name()}: Cannot print: {why}. What was done is kept.")


def warn(text: str) -> None:
    """Print to standard error what a person must read; cron mails it."""
    _print(display_lines(text), sys.stderr)


def _print(text: str, stream: Any, *, end: str = "\n") -> str:
    """Print to a stream. Returns why that failed; "" if it did not, or only because the reader has closed the pipe."""
    if stream is None:
        return ""
    try:
        encoding = getattr(stream, "encoding", None) or "ascii"
        printable = text.encode(encoding, "backslashreplace").decode(encoding)
        print(printable, file=stream, end=end, flush=True)
    except OSError as error:
        return _give_up(stream, error)
    return ""


def _give_up(stream: Any, error: OSError) -> str:
    # What the stream still holds, and what is written to it from now on, is dropped.
    nowhere_fd = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere_fd, stream.fileno())
    os.close(nowhere_fd)
    return "" if isinstance(error, BrokenPipeError) else reason(error)


def run_lock(
    settings: Settings, *, is_silent: bool = False, wait_seconds: float = 0.0, effect: str = NOTHING_DONE
) -> AbstractContextManager[None]:
    """Hold the route's lock, as `common.run_lock` says; whoever watches is shown that it waits for an active run."""
    on_wait = (lambda: warn("Waiting for an active run to end.")) if is_watched() else None
    path = settings.state_file("lock")
    return held_lock(path, is_silent=is_silent, wait_seconds=wait_seconds, effect=effect, on_wait=on_wait)


def open_log(settings: Settings, *, on_fault: Callable[[str], None] | None = None) -> None:
    """Write the log to CODE_PATH/log, owner-only; a log larger than LOG_MAX_BYTES is first renamed to log.1.

    The caller holds the run lock. Times are in UTC; bytes that are not UTF-8 are escaped.

    Args:
        on_fault: Called once, with a message for a person, if the log cannot be written; by default it is printed.

    Raises:
        ConfigurationProblem: The log cannot be written.
    """
    path = settings.state_file("log")
    log_fd = open_own(path, os.O_WRONLY | os.O_APPEND)
    if os.fstat(log_fd).st_size >= settings.log_max_bytes:
        os.close(log_fd)
        remedy = "Move away what is in its place. Nothing was sent or recorded."
        with explained_as(ConfigurationProblem, f"Cannot set the log aside as {path}.1", remedy=remedy):
            os.replace(path, f"{path}.1")
        log_fd = open_own(path, os.O_WRONLY | os.O_APPEND)
    stream = os.fdopen(log_fd, "a", encoding="utf-8", errors="backslashreplace")
    writer = _LogWriter(stream, on_fault or warn)
    formatter = _OneRecord(LOG_FORMAT, "%Y-%m-%dT%H:%M:%S")
    formatter.converter = time.gmtime
    writer.setFormatter(formatter)
    log.addHandler(writer)
    log.setLevel(settings.log_level)


class _OneRecord(logging.Formatter):
    """Formats a record so that nothing in it resembles another one: further lines are indented, controls escaped."""

    def format(self, record: logging.LogRecord) -> str:
        return display_lines(super().format(record)).replace("\n", "\n    ")


class _LogWriter(logging.StreamHandler):  # type: ignore[type-arg]
    """Writes the log. If that fails, as on a full disk, it is reported once, without a traceback."""

    def __init__(self, stream: Any, on_fault: Callable[[str], None]) -> None:
        super().__init__(stream)
        self._on_fault = on_fault
        self._is_reported = False

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - the name that logging calls
        error = sys.exc_info()[1]
        if not isinstance(error, OSError):
            super().handleError(record)
        elif not self._is_reported:
            self._is_reported = True
            why = reason(error)
            self._on_fault(
                f"{_script_name()}: Cannot write the log: {why}. {disk_remedy(error)} The run goes on without it."
            )


class ProgressLine:
    """One line that is overwritten, on a terminal that a person is watching; elsewhere nothing is shown."""

    def __init__(self) -> None:
        self._is_on = is_watched()
        self._shown_at = 0.0

    @property
    def is_due(self) -> bool:
        """Whether a text would be shown now; at most ten are shown per second."""
        return self._is_on and time.monotonic() - self._shown_at >= 0.1

    def show(self, text: str) -> None:
        """Replace the text, if it is due. It is cut at the terminal's width: a wrapped line cannot be replaced."""
        if self.is_due:
            text = text[: _columns(sys.stderr) - 1]
            self._shown_at = time.monotonic()
            _print(f"\r\033[K{text}", sys.stderr, end="")

    def clear(self) -> None:
        """Remove the line."""
        if self._is_on and self._shown_at:
            self._shown_at = 0.0
            _print("\r\033[K", sys.stderr, end="")


def _columns(terminal: Any) -> int:
    try:
        return os.get_terminal_size(terminal.fileno()).columns or 80
    except OSError:
        return 80


def end(problem: Problem) -> int:
    """Log a problem and print it, unless it is silent. Returns the exit status."""
    log.error("%s", problem)
    if not problem.is_silent:
        warn(f"{_script_name()}: {problem}")
    return int(problem.exit_status)


def run_script(main: Callable[[], int]) -> NoReturn:
    """Run a script's main and exit with its status. Users never see a traceback."""
    _read_names_as_utf8()
    os.umask(0o077)
    _leave_no_core()
    # Until the log is open, logging would print a second time what `end` prints.
    logging.lastResort = logging.NullHandler()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    if signal.getsignal(signal.SIGHUP) is signal.SIG_DFL:  # under nohup it stays ignored
        signal.signal(signal.SIGHUP, signal.default_int_handler)
    try:
        status = main()
    except SystemExit as leaving:  # --help, --version
        status = int(leaving.code or 0)
    except Problem as problem:
        status = end(problem)
    except KeyboardInterrupt:
        log.warning("interrupted")
        warn(f"{_script_name()}: Interrupted. What was recorded is kept; the next run continues from there.")
        status = 130
    except ModuleNotFoundError as error:
        remedy = (
            "Run the script with the interpreter of `make install`, or install globus-sdk for this one. Nothing was "
            "sent or recorded."
        )
        what = f"This Python ({sys.executable}) lacks the package {error.name}"
        status = end(ConfigurationProblem(what, remedy=remedy))
    except Exception as error:
        if _is_out_of_memory(error):
            remedy = (
                "Free some, or raise the limit that this run was started under (ulimit -v, MemoryMax of systemd). What "
                "was recorded is kept; the next run continues from there."
            )
            _leave(end(ConfigurationProblem("Memory ran out", remedy=remedy)))
        log.critical("a bug: %s", error, exc_info=True)
        frame = traceback.extract_tb(error.__traceback__)[-1]
        where = "The traceback is in the log" if log.handlers else f"In {frame.filename}, line {frame.lineno}"
        if not getattr(error, "is_silent", False):
            warn(
                f"{_script_name()}: This is a bug: {type(error).__name__}: {error}. {where}. What was recorded "
                "before it is kept; the next run continues from there."
            )
        status = 1
    _leave(status)


def _leave(status: int) -> NoReturn:
    gc.freeze()  # the interpreter's last garbage collection would visit all modules: an eighth of a small run's time
    logging.shutdown()
    try:
        if sys.stdout is not None:
            sys.stdout.flush()
    except OSError as error:
        _report_unprinted(_give_up(sys.stdout, error))
    # A script that reads the answer must not take half of it, or none, for all.
    sys.exit(status or (int(ConfigurationProblem.exit_status) if _unprinted else 0))


def _read_names_as_utf8() -> None:
    """Restart in Python's UTF-8 mode where the locale would decode file names otherwise.

    Globus expects UTF-8. Names decoded as Latin-1 would be sent as other names, those decoded as ASCII not at all.
    """
    if sys.getfilesystemencoding() != "utf-8" and sys.executable:
        words = getattr(sys, "orig_argv", [sys.executable, *sys.argv])  # Python 3.9 does not keep its own
        os.execv(sys.executable, [sys.executable, "-X", "utf8", *words[1:]])  # noqa: S606 - the same program, again


def _leave_no_core() -> None:
    """A core dump would hold the login. Only the soft limit falls: a command of the owner's can raise it again."""
    with suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))


def _is_out_of_memory(error: Exception) -> bool:
    # When memory is too short to load a library, the loader reports it in words of its own.
    return (
        isinstance(error, MemoryError)
        or getattr(error, "errno", None) == errno.ENOMEM
        or (isinstance(error, ImportError) and "failed to map segment" in str(error))
    )


def _script_name() -> str:
    return os.path.basename(sys.argv[0]) or "globus-automated-transfer"
