"""A machine in trouble: scripts on full or read-only disks, without rights, with few descriptors, held in the middle.

What needs root, Linux or a C compiler says so by skipping the test.
"""

from __future__ import annotations

import atexit
import functools
import os
import resource
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest
from programs import path_of
from suite import Result, Route
from waiting import LONGEST_WAIT_SECONDS, until

SOURCE = Path(__file__).with_name("slowly.c")
# A process without these is bound by modes and owners like everybody, whatever user the tests run as.
RIGHTS = "-dac_override,-dac_read_search,-fowner,-chown"
SOMEBODY_ELSE = 12345
Words = tuple[str, ...]
Variables = Mapping[str, "str | None"]
NONE: Variables = {}


def run(route: Route, *words: str, before: Words = (), cwd: str = "/", variables: Variables = NONE) -> Result:
    """Run a script as cron would, behind the words of another command, with these variables (None: unset)."""
    process = start(route, *words, before=before, cwd=cwd, variables=variables)
    stdout, stderr = process.communicate(timeout=LONGEST_WAIT_SECONDS)
    return Result(process.returncode, stdout, stderr)


def start(
    route: Route, *words: str, before: Words = (), cwd: str = "/", variables: Variables = NONE
) -> subprocess.Popen[str]:
    """The same, without waiting for it."""
    environment: dict[str, str | None] = {**route.bare_environment(), **variables}
    return subprocess.Popen(
        [*before, *route.command(*words)],
        cwd=cwd,
        env={name: value for name, value in environment.items() if value is not None},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def shell(command: str) -> tuple[str, ...]:
    """The words that run a script behind this line of shell, in which `exec "$@"` is the script."""
    return ("bash", "-c", command, "bash")


def one_delivered_one_to_send(route: Route) -> Route:
    """The route with a.txt and sub/b.txt delivered, and sub/c.txt to be sent."""
    route.write("a.txt")
    route.write("sub/b.txt")
    route.deliver_here()
    route.write("sub/c.txt", "what is new")
    return route


# ---- rights and mounts -------------------------------------------------------------------------------------------


@functools.cache
def without_rights() -> tuple[str, ...]:
    """The words that make a command respect modes and owners also where the tests run as root."""
    if os.geteuid() != 0:
        return ()
    words = ("setpriv", f"--bounding-set={RIGHTS}", f"--inh-caps={RIGHTS}")
    path_of("setpriv")
    if subprocess.run([*words, "true"], check=False).returncode != 0:
        pytest.skip("root reads everything here, and setpriv cannot take that away")
    return words


def give_away(path: Path) -> None:
    """Make a file somebody else's."""
    if os.geteuid() != 0:
        pytest.skip("only root can give files away")
    os.chown(path, SOMEBODY_ELSE, SOMEBODY_ELSE)


@functools.cache
def must_mount() -> None:
    """Skip the test where no file system can be mounted."""
    words = ("unshare", "--mount", "mount", "-t", "tmpfs", "none", "/mnt")
    path_of("unshare")
    if subprocess.run(words, check=False, capture_output=True).returncode != 0:
        pytest.skip("no file system can be mounted here: that needs root on Linux")


@contextmanager
def disk(folder: Path, size_bytes: int, *, is_new: bool = False) -> Iterator[None]:
    """Mount a small disk over a folder; what was in it is copied there, and back again at the end.

    Args:
        is_new: Whether it is another disk: nothing is copied.
    """
    must_mount()
    with tempfile.TemporaryDirectory() as name:
        kept = Path(name, "kept")
        shutil.copytree(folder, kept, symlinks=True)
        mode = f"mode={folder.stat().st_mode & 0o777:o}"
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size_bytes},{mode}", "none", str(folder)], check=True)
        try:
            if not is_new:
                shutil.copytree(kept, folder, dirs_exist_ok=True)
            yield
            if not is_new:
                shutil.copytree(folder, kept, dirs_exist_ok=True)
        finally:
            subprocess.run(["umount", str(folder)], check=True)
        if not is_new:
            shutil.copytree(kept, folder, dirs_exist_ok=True)


def fill(disk_folder: Path, *, left_bytes: int = 0) -> Path:
    """Fill a disk but for some bytes; gives the file that does it."""
    filler = disk_folder / "filler"
    with filler.open("wb", buffering=0) as stream:
        try:
            while stream.write(bytes(4096)):
                pass
        except OSError:
            pass
        stream.truncate(max(0, stream.tell() - left_bytes))
    return filler


def where(*, read_only: tuple[Path, ...], writable: tuple[Path, ...] = ()) -> tuple[str, ...]:
    """The words that run a command where some folders are read-only and others, below them, are not."""
    must_mount()
    steps = [f"mount --bind '{path}' '{path}' && mount -o remount,ro,bind '{path}'" for path in read_only]
    steps += [f"mount --bind '{path}' '{path}' && mount -o remount,rw,bind '{path}'" for path in writable]
    return ("unshare", "--mount", *shell(" && ".join([*steps, 'exec "$@"'])))


# ---- limits ------------------------------------------------------------------------------------------------------


@contextmanager
def limited(limit: int, most: int) -> Iterator[None]:
    """Scripts started in the block inherit a soft limit (resource.RLIMIT_...)."""
    soft, hard = resource.getrlimit(limit)
    resource.setrlimit(limit, (most, hard))
    try:
        yield
    finally:
        resource.setrlimit(limit, (soft, hard))


@contextmanager
def file_size_limit(most_bytes: int) -> Iterator[None]:
    """Scripts started in the block cannot write a file beyond this size; the tests' own process neither."""
    former = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        with limited(resource.RLIMIT_FSIZE, most_bytes):
            yield
    finally:
        signal.signal(signal.SIGXFSZ, former)


# ---- in the middle -----------------------------------------------------------------------------------------------


@functools.cache
def library() -> Path:
    """The library that holds scripts and refuses writes (slowly.c)."""
    if not sys.platform.startswith("linux"):
        pytest.skip("holding a script at a system call needs Linux (LD_PRELOAD)")
    path_of("cc")
    folder = tempfile.mkdtemp(prefix="slowly-")
    atexit.register(shutil.rmtree, folder)
    built = Path(folder, "slowly.so")
    subprocess.run(["cc", "-shared", "-fPIC", "-O1", "-Wall", "-Werror", "-o", built, SOURCE, "-ldl"], check=True)
    return built


class Held:
    """A script that is held at a system call: where it looks at ("look"), opens ("open") or removes ("remove") a name.

    Use it in a `with` block, which begins when the call is reached; `go_on` lets the script end.
    """

    def __init__(self, route: Route, call: str, name: str, *words: str, count: int = 1) -> None:
        self._folder = Path(tempfile.mkdtemp(dir=route.folder, prefix="held-"))
        variables = {
            "LD_PRELOAD": str(library()),
            "PAUSE_CALL": call,
            "PAUSE_NAME": name,
            "PAUSE_FOLDER": str(self._folder),
        }
        self._start: Callable[[], subprocess.Popen[str]] = functools.partial(
            start, route, *(words or ("main.py",)), variables=variables
        )
        self.processes = [self._start() for _ in range(count)]

    def __enter__(self) -> Held:
        until(lambda: (self._folder / "reached").exists())
        return self

    def __exit__(self, *exception: object) -> None:
        (self._folder / "go").touch()
        for process in self.processes:
            process.kill()
            process.communicate()

    def go_on(self) -> Result:
        """Let the script go on; gives what it did."""
        (self._folder / "go").touch()
        (process,) = self.processes
        stdout, stderr = process.communicate(timeout=LONGEST_WAIT_SECONDS)
        return Result(process.returncode, stdout, stderr)

    def release(self) -> None:
        """Let all of them go on."""
        (self._folder / "go").touch()


def refusing(path: Path, error_number: int) -> dict[str, str]:
    """The variables with which a script cannot write to files whose path begins so."""
    return {"LD_PRELOAD": str(library()), "REFUSE_FILE": str(path), "REFUSE_ERRNO": str(error_number)}


def failing(call: str, name: str, error_number: int) -> dict[str, str]:
    """The variables with which a script can never look at ("look") or open ("open") what has this name."""
    fails = {"FAIL_CALL": call, "FAIL_NAME": name, "FAIL_ERRNO": str(error_number)}
    return {"LD_PRELOAD": str(library()), **fails}


# ---- what is left ------------------------------------------------------------------------------------------------


def assert_sound(route: Route) -> None:
    """The datastore is whole, and only our own files are in CODE_PATH, owner-only."""
    __tracebackhide__ = True
    connection = sqlite3.connect(route.code_path / "datastore")
    try:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    finally:
        connection.close()
    modes = {path.name: path.stat().st_mode & 0o777 for path in route.code_path.iterdir()}
    assert modes.keys() <= {"datastore", "lock", "log", "log.1", "alerts.json", "tokens.db"}, modes
    assert set(modes.values()) == {0o600}, modes
