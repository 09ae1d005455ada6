"""This tool's own commands on a tree: a route with its configuration and datastore, and a Globus to submit to."""

from __future__ import annotations

import functools
import json
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

from benchmarks import trees
from benchmarks.running import Command, Unfit, as_it_is, once

ROOT = Path(__file__).resolve().parent.parent
SRC_ID = "aaaaaaaa-0000-4000-8000-000000000001"
DST_ID = "aaaaaaaa-0000-4000-8000-000000000002"
SETTINGS = """\
SRC_DIR = {src!r}
DST_DIR = "/archive"
SRC_ID = {src_id!r}
DST_ID = {dst_id!r}
CLIENT_ID = "aaaaaaaa-0000-4000-8000-00000000000c"
CODE_PATH = {state!r}
CLIENT_SECRET_FILE = {secret!r}
SETTLE_SECONDS = 0
SCAN = {scan!r}
"""
FULL = "main.py, full scan"
QUICK = "main.py, quick scan"
PLANNED = "main.py, scattered changes, dry run"
SUBMITTED = "main.py, scattered changes, submitted"
FIRST = "main.py, first run"
DASK = "main.py, full scan, SCAN_EXECUTOR with two Dask workers"
FIRST_RUNS = 3
# A route keeps to its service, and is submitted to a local one; runs that find nothing to do ask nobody.
LOCAL = {f"GLOBUS_SDK_SERVICE_URL_{name}": "http://127.0.0.1:9/" for name in ("AUTH", "TRANSFER", "TIMER")}
# Whoever asks so often is told that a task has ended; no run asks again, so the emulator copies nothing meanwhile.
PROGRESS = "polls:100000"


class Route:
    """A configuration with a place for its state.

    Args:
        folder: A folder of its own, to be made.
    """

    def __init__(self, folder: Path, src: Path, *, scan: str = "full") -> None:
        self.folder = folder
        self.state = folder / "state"
        self.config = folder / "route.py"
        self.state.mkdir(parents=True, mode=0o700)
        secret = folder / "secret"
        secret.write_text("a secret\n")
        secret.chmod(0o600)
        settings = SETTINGS.format(
            src=str(src), src_id=SRC_ID, dst_id=DST_ID, state=str(self.state), secret=str(secret), scan=scan
        )
        self.config.write_text(settings)

    def words(self, script: str, *arguments: str) -> list[str]:
        """A script of the suite on this route."""
        return [sys.executable, str(ROOT / script), "--config", str(self.config), *arguments]

    def words_with_dask(self, address: str) -> list[str]:
        """A full scan of this route with SCAN_EXECUTOR."""
        config = self.config.with_name("dask.py")
        config.write_text(f"{self.config.read_text()}SCAN_EXECUTOR = {'dask:' + address!r}\n")
        return [sys.executable, str(ROOT / "main.py"), "--config", str(config), "--json"]

    def settle(self) -> None:
        """Let everything that is there count as delivered, and make the run that every later one resembles."""
        once(self.words("set_time.py", "now"), folder=self.folder, variables=LOCAL)
        once(self.words("main.py", "--full"), folder=self.folder, variables=LOCAL)

    @property
    def datastore_bytes(self) -> int:
        """How large what is remembered is on disk."""
        return (self.state / "datastore").stat().st_size

    @contextmanager
    def apart(self) -> Iterator[None]:
        """What a run records in the block is forgotten after it."""
        kept = self.state.with_name("kept")
        shutil.copytree(self.state, kept)
        try:
            yield
        finally:
            shutil.rmtree(self.state)
            kept.rename(self.state)


def commands(folder: Path, src: Path, files: int, *, changes: int) -> tuple[list[Command], Route]:
    """Everything of ours to measure on a tree, and the route of its full scan, which is settled.

    Args:
        changes: How many scattered files change; 0: only what finds nothing to do is measured.
    """
    full, quick = Route(folder / "full", src), Route(folder / "quick", src, scan="quick")
    full.settle()
    quick.settle()
    found = [
        _command(FULL, full, says(scan="full", files=files, new=0, modified=0)),
        _command(QUICK, quick, says(scan="quick", files=files, new=0, modified=0)),
    ]
    if changes:
        new = Route(folder / "new", src)
        change = functools.partial(trees.changed, src, files, changes)
        found += [
            _command(PLANNED, full, says(files=files, modified=changes), "--dry-run", around=change),
            _command(
                SUBMITTED,
                full,
                says(files=files, modified=changes, sent_files=changes),
                around=functools.partial(_submitting, full, change),
            ),
            _command(
                FIRST, new, says(new=files, sent_files=files), around=functools.partial(_submitting, new, as_it_is)
            )._replace(most_runs=FIRST_RUNS),
        ]
    return found, full


def _command(
    title: str,
    route: Route,
    check: Callable[[str], object],
    *arguments: str,
    around: Callable[[], AbstractContextManager[Mapping[str, str]]] = as_it_is,
) -> Command:
    return Command(title, route.words("main.py", "--json", *arguments), check, LOCAL, around=around)


@contextmanager
def _submitting(
    route: Route, around: Callable[[], AbstractContextManager[Mapping[str, str]]]
) -> Iterator[Mapping[str, str]]:
    """A Globus of its own for one run, whose records are forgotten."""
    with route.apart(), around(), emulator() as variables:
        yield variables


@contextmanager
def emulator() -> Iterator[Mapping[str, str]]:
    """A local Globus in a process of its own, where tasks are accepted and stay under way; gives what aims at it."""
    collections = [word for end in (SRC_ID, DST_ID) for word in ("--collection", f"{end}=/")]
    words = [sys.executable, "-m", "emulator", "--progress", PROGRESS, *collections]
    process = subprocess.Popen(words, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    assert process.stdout is not None
    variables: dict[str, str] = {}
    try:
        for line in process.stdout:
            if line.startswith("Serving"):
                break
            name, _, value = line.strip().removeprefix("export ").partition("=")
            variables[name] = "".join(shlex.split(value))
        else:
            raise Unfit(f"the emulator did not start: {variables}")
        yield variables
    finally:
        process.terminate()
        process.communicate()


def says(**counts: Any) -> Callable[[str], None]:
    """A check that the summary a run printed has these counts."""

    def check(printed: str) -> None:
        summary = json.loads(printed)
        found = {name: summary[name] for name in counts}
        if found != counts:
            raise Unfit(f"it counted {found}, not {counts}")

    return check
