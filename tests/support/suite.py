"""A route for tests: a tree, its place, a configuration, and the scripts run on it as cron runs them."""

from __future__ import annotations

import importlib.util
import io
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple, Optional
from unittest import mock

import secrets_kept
from waiting import until_held

import utils
from autotransfer import run
from autotransfer.common.errors import Problem
from autotransfer.datastore.store import Store
from autotransfer.datastore.tasks import Reading
from autotransfer.scan import scanner
from emulator.http.server import Emulator

ROOT = Path(__file__).resolve().parent.parent.parent
SRC_ID = "aaaaaaaa-0000-4000-8000-000000000001"
DST_ID = "aaaaaaaa-0000-4000-8000-000000000002"
CLIENT_ID = "aaaaaaaa-0000-4000-8000-00000000000c"
SECRET = "the-secret-of-the-service-account"
# What acts on a process as it starts, and so not on this one.
FOR_PROCESSES_ONLY = {"LD_PRELOAD", "LC_ALL", "PYTHONUTF8", "PYTHONWARNINGS", "TZ"}
DAY_SECONDS = 86400  # as SETTLE_SECONDS: what was written in a test is unsettled to its end
LONG_AGO = 1_700_000_000  # a moment that no test calls recent, in seconds since the epoch


class Result(NamedTuple):
    """What a script did."""

    status: int
    stdout: str
    stderr: str

    @property
    def json(self) -> Any:
        """What `--json` printed."""
        return json.loads(self.stdout)


class Route:
    """One route: a tree, a place for it, a configuration, and the scripts run on it in cron's bare environment.

    Attributes:
        src, dst: The folders on disk behind SRC_DIR and DST_DIR.
        code_path: Where datastore, log and login are kept.
        settings: What the configuration says; change it, then call `configure`.
        environment: What the scripts get beside PATH and HOME.
        patience_seconds: How long `run` waits for a script.
    """

    patience_seconds = 120

    def __init__(self, folder: Path, globus: Emulator | None) -> None:
        self.folder = folder
        self.src = folder / "src"
        self.dst = folder / "dst"
        self.code_path = folder / "state"
        self.config = folder / "route.py"
        self.globus = globus
        self.src.mkdir()
        self.code_path.mkdir(mode=0o700)
        secret = folder / "secret"
        secret.write_text(f"{SECRET}\n")
        secrets_kept.keep(SECRET)
        secret.chmod(0o600)
        self.environment: dict[str, str] = globus.environment() if globus else {}
        self.settings: dict[str, Any] = {
            "SRC_DIR": str(self.src),
            "DST_DIR": str(self.dst),
            "SRC_ID": SRC_ID,
            "DST_ID": DST_ID,
            "CLIENT_ID": CLIENT_ID,
            "CODE_PATH": str(self.code_path),
            "CLIENT_SECRET_FILE": str(secret),
            "SETTLE_SECONDS": 0,
        }
        self.configure()

    def configure(self, **settings: Any) -> None:
        """Write the configuration with these settings changed."""
        self.settings.update(settings)
        self.config.write_text("".join(f"{name} = {value!r}\n" for name, value in self.settings.items()))

    def write(self, rel_path: str, content: str | bytes = "content", *, mtime_seconds: Optional[float] = None) -> Path:
        """Write a file in the tree, by default with a modification time long ago."""
        path = self.src / rel_path
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        moment = LONG_AGO if mtime_seconds is None else mtime_seconds
        os.utime(path, ns=(int(moment * 10**9), int(moment * 10**9)))
        return path

    def begin_anew(self) -> None:
        """Make it a route that never had a run: without a datastore, and without what tells of one."""
        for name in ("datastore", "log", "alerts.json"):
            (self.code_path / name).unlink(missing_ok=True)

    def command(self, *words: str) -> list[str]:
        """The command line of a script of the suite with this route's configuration."""
        script, *arguments = words
        return [sys.executable, str(ROOT / script), "--config", str(self.config), *arguments]

    def start(self, *words: str, **options: Any) -> subprocess.Popen[str]:
        """Start a script as cron would, without waiting for it."""
        return subprocess.Popen(
            self.command(*words),
            cwd="/",
            env=self.bare_environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            **options,
        )

    def bare_environment(self) -> dict[str, str]:
        """Cron's environment, and where the emulator is."""
        return {"PATH": "/usr/bin:/bin", "HOME": str(self.folder), **self.environment}

    def run(self, *words: str, status: int | None = 0, says: str | None = None) -> Result:
        """Run a script as cron would; it must end with this status (None: any) and say this on stdout or stderr."""
        __tracebackhide__ = True
        process = self.start(*words)
        stdout, stderr = process.communicate(timeout=self.patience_seconds)
        return self._checked(words, Result(process.returncode, stdout, stderr), status, says)

    def run_here(
        self,
        *words: str,
        status: int | None = 0,
        says: str | None = None,
        answer: Optional[Callable[[str], str]] = None,
    ) -> Result:
        """The same by a call of the script's `main`: a fifth of the time, most of which goes into starting a process.

        For what a test starts from or ends with, and for many cases of one kind; what is tested itself is run as cron
        runs it. Asks Globus for the first time at once, not after half a second, when it waits for tasks. No process is
        forked to help with the scan, since the emulator's threads are in this one.

        Args:
            answer: Gives what a person types into the terminal when asked, from all that it shows; None: there is none.
        """
        __tracebackhide__ = True
        if FOR_PROCESSES_ONLY & self.environment.keys():
            return self.run(*words, status=status, says=says)
        screens = stdout, stderr = _Screen(answer is not None), _Screen(answer is not None)
        keyboard = _Keyboard(stderr, answer)
        with self._in_the_place_of_a_process(words, keyboard), redirect_stdout(stdout), redirect_stderr(stderr):
            ended_with = _called(words[0])
        printed = [screen.shown() for screen in screens]
        for text in printed:
            secrets_kept.wrote(text)
        return self._checked(words, Result(ended_with, *printed), status, says)

    @contextmanager
    def _in_the_place_of_a_process(self, words: tuple[str, ...], keyboard: io.StringIO) -> Iterator[None]:
        before, umask = os.getcwd(), os.umask(0o077)
        os.chdir("/")
        try:
            with (
                mock.patch.dict(os.environ, self.bare_environment(), clear=True),
                mock.patch.object(sys, "argv", self.command(*words)[1:]),
                mock.patch.object(sys, "stdin", keyboard),
                mock.patch.object(scanner, "PATIENCE_SECONDS", float("inf")),
                mock.patch.object(run, "FIRST_POLL_SECONDS", 0.02),
            ):
                yield
        finally:
            os.umask(umask)
            os.chdir(before)
            for writer in list(utils.log.handlers):
                utils.log.removeHandler(writer)
                writer.close()
                writer.stream.close()  # type: ignore[attr-defined]

    def _checked(self, words: tuple[str, ...], result: Result, status: int | None, says: str | None) -> Result:
        __tracebackhide__ = True
        _, stdout, stderr = result
        story = (
            f"{' '.join(words)} ended with {result.status}\n--- stdout\n{stdout}\n--- stderr\n{stderr}\n{self.calls()}"
        )
        if status is not None:
            assert result.status == status, story
        if says is not None:
            assert says in stdout + stderr, f"{says!r} was not said\n{story}"
        assert "Traceback" not in stdout + stderr, story
        return result

    def calls(self) -> str:
        """The requests the emulator saw, a line each."""
        if self.globus is None:
            return ""
        return "\n".join(f"{call.status} {call.method} {call.path}" for call in self.globus.world.requests)

    def summary(self, *options: str, status: int | None = 0) -> Any:
        """Run main.py --json and give its summary."""
        return self.run("main.py", "--json", *options, status=status).json

    def deliver(self) -> Any:
        """Run main.py until what it sends has arrived; gives the summary."""
        return self.summary("--wait", "60")

    def summary_here(self, *options: str, status: int | None = 0) -> Any:
        """The same by `run_here`."""
        return self.run_here("main.py", "--json", *options, status=status).json

    def deliver_here(self) -> Any:
        """The same by `run_here`."""
        return self.summary_here("--wait", "60")

    def tree(self, folder: Path | None = None) -> dict[str, bytes | None]:
        """The rel_paths below a folder (the source's by default): content of files, None for folders."""
        top = folder or self.src
        return {
            str(path.relative_to(top)): path.read_bytes() if path.is_file() else None for path in sorted(top.rglob("*"))
        }

    def sent(self) -> list[dict[str, Any]]:
        """The documents of the transfer tasks that the emulator accepted, in order."""
        assert self.globus is not None
        documents = [dict(task.submission.document) for task in self.globus.world.tasks.values()]
        return [document for document in documents if document["DATA_TYPE"] == "transfer"]

    def sent_paths(self, document: dict[str, Any]) -> set[str]:
        """The paths of a document's items below SRC_DIR; folders end in a slash."""
        root = self.settings.get("SRC_PATH") or str(self.src)
        return {str(item["source_path"])[len(root) + 1 :] for item in document["DATA"]}


class _Screen(io.TextIOWrapper):
    """What a script that is called here prints on."""

    def __init__(self, is_terminal: bool) -> None:
        super().__init__(io.BytesIO(), "utf-8", newline="\n")
        self._is_terminal = is_terminal

    def isatty(self) -> bool:
        return self._is_terminal

    def shown(self) -> str:
        """All that was printed."""
        self.flush()
        printed = self.buffer
        assert isinstance(printed, io.BytesIO)
        return printed.getvalue().decode()


class _Keyboard(io.StringIO):
    """What a script that is called here reads from: nothing, or what a person answers to what a screen shows."""

    def __init__(self, screen: _Screen, answer: Callable[[str], str] | None) -> None:
        super().__init__()
        self._screen = screen
        self._answer = answer

    def isatty(self) -> bool:
        return self._answer is not None

    def readline(self, size: int | None = -1, /) -> str:  # type: ignore[override]
        return "" if self._answer is None else f"{self._answer(self._screen.shown())}\n"


def _called(script: str) -> int:
    """What the script ends with; a bug in it is raised here."""
    try:
        return int(_script(script).main())
    except SystemExit as leaving:  # --help
        return int(leaving.code or 0)
    except Problem as problem:
        return utils.end(problem)


def copied_checkout(folder: Path) -> Path:
    """The scripts and the engine in another place, as a user's checkout may be."""
    folder.mkdir()
    for name in ("__init__.py", "config.py", "main.py", "set_time.py", "test_config.py", "utils.py", ".gitignore"):
        shutil.copy(ROOT / name, folder / name)
    shutil.copytree(ROOT / "autotransfer", folder / "autotransfer", ignore=shutil.ignore_patterns("__pycache__"))
    return folder


def let_time_pass(route: Route, *, hours: float) -> None:
    """Let all that open tasks know of happen that much earlier."""
    moments = ("prepared_at_ns", "submitted_at_ns", "progress_at_ns")
    with Store(str(route.code_path / "datastore")) as store:
        for task in store.ledger.open.values():
            earlier: dict[str, Any] = {each: getattr(task, each) - int(hours * 3600) * 10**9 for each in moments}
            if task.reading:
                reading = Reading(*task.reading)
                since_ns = max(1, reading.refused_since_ns - int(hours * 3600) * 10**9)
                earlier["reading"] = tuple(
                    reading._replace(refused_since_ns=since_ns if reading.refused_since_ns else 0)
                )
            store.put_task(task._replace(**earlier))
        store.commit()


def start_with_one_file_away(route: Route, names: str) -> None:
    """Submit a folder as one item, and take its file `a` away until the task has ended."""
    globus = route.globus
    assert globus is not None
    for name in names:
        route.write(f"scan/{name}.dat", name)
    hold = globus.world.add_fault("POST /v0.10/transfer", hold=True)
    run = route.start("main.py")
    until_held(hold, run)
    (route.src / "scan/a.dat").rename(route.folder / "away")
    hold.release()
    run.communicate()
    (route.folder / "away").rename(route.src / "scan/a.dat")


@cache
def _script(script: str) -> Any:
    """A script of the suite as a module. By its path: in a checkout named `main`, pytest has a package of that name."""
    spec = importlib.util.spec_from_file_location(f"script_{script.removesuffix('.py')}", ROOT / script)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
