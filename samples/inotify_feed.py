"""A change feed from inotifywait (Linux): collects the names of what changes in a folder, and passes them to main.py.

    inotify_feed.py watch /data/run7 /var/spool/transfer-run7           as a service: systemd, or @reboot in a crontab
    inotify_feed.py run /var/spool/transfer-run7 python main.py         from cron, in place of `python main.py`

The names are kept in the folder SPOOL: in `new` as they arrive, in `taken` while main.py works on them. They are
removed only when main.py has ended with 0, 3 or 8: after any other status they are passed to it again. The whole folder
is named when the watch begins, whenever the kernel may have dropped events, and by each `run` while no watch is up.
Needs inotify-tools 3.22 or newer.

The watch ends with status 1 when it no longer sees everything: the kernel allows no more watches, or the folder, or a
disk in it, was moved, deleted or unmounted. Have it started again (Restart=on-failure of systemd).
"""

from __future__ import annotations

import argparse
import ctypes
import fcntl
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from select import select
from typing import IO, NamedTuple

# A file is named when it is closed after writing, linked, renamed or removed, or when its time is set; a folder when it
# is created, renamed or removed. The last three say that the folder itself, or a disk in it, is gone.
EVENTS = ("close_write", "create", "moved_to", "moved_from", "delete", "attrib", "delete_self", "move_self", "unmount")
WATCH = ["inotifywait", "-m", "-r", *(word for event in EVENTS for word in ("-e", event))]
FORMAT = ["--format", "%e %w%f%0", "--no-newline"]
READ_BYTES = 1 << 16
PAUSE_SECONDS = 0.5
LOOK_SECONDS = 10.0
TAKEN = (0, 3, 8)
ANOTHER_RUN = 7

# What inotifywait prints of a new folder that was gone before it could be watched, or that nobody can read.
HARMLESS = (b"No such file or directory", b"Not a directory", b"Permission denied")
SETTING_UP, ESTABLISHED = b"Setting up watches", b"Watches established"
PR_SET_PDEATHSIG = 1


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    todo = parser.add_subparsers(dest="todo", required=True)
    watching = todo.add_parser("watch", help="collect the names of what changes")
    watching.add_argument("folder", type=os.path.abspath, help="SRC_DIR")
    watching.add_argument("spool", type=Path)
    running = todo.add_parser("run", help="pass the collected names to main.py")
    running.add_argument("spool", type=Path)
    running.add_argument("command", nargs=argparse.REMAINDER)
    chosen = parser.parse_args()
    chosen.spool.mkdir(mode=0o700, parents=True, exist_ok=True)
    return watch(chosen.folder, chosen.spool) if chosen.todo == "watch" else run(chosen.spool, chosen.command)


def watch(folder: str, spool: Path) -> int:
    """Collect names until a signal asks for the end (returns 0) or the watch no longer sees everything (returns 1)."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.default_int_handler)
    everything = os.fsencode(folder)
    with ExitStack() as held:
        with lock(spool / "lock"):  # a run may be looking just now
            is_ours = held.enter_context(lock(spool / "watch.lock", is_patient=False))
        if not is_ours:
            return fail(f"Another watch keeps its names in {spool}")
        try:
            place = identity(folder)
            with started([*WATCH, *FORMAT, folder]) as process:
                why = collect(process, folder, spool, place)
        except KeyboardInterrupt:
            put(spool, [everything])
            return 0
        except OSError as error:
            why = str(error)
        put(spool, [everything])
    return fail(f"The watch over {folder} has ended: {why}. Until it is started again, each run reads everything")


def collect(process: subprocess.Popen[bytes], folder: str, spool: Path, place: tuple[int, int]) -> str:
    """Pass on what inotifywait prints; returns why that can go on no longer."""
    assert process.stdout is not None and process.stderr is not None
    everything = os.fsencode(folder)
    for said in read_all(process.stdout, process.stderr):
        for line in said.lines:
            if ESTABLISHED in line:
                put(spool, [everything])
                print(f"Watching {folder}.", flush=True)
            elif SETTING_UP not in line and not line.rstrip().endswith(HARMLESS):
                return f"inotifywait said: {os.fsdecode(line).strip()}"
        if said.names or said.may_have_lost:
            put(spool, [*said.names, everything] if said.may_have_lost else said.names)
        for event, name in zip(said.events, said.names):
            if b"UNMOUNT" in event or (b"_SELF" in event and name.rstrip(b"/") == everything.rstrip(b"/")):
                return f"{os.fsdecode(name)} is gone ({event.decode()})"
        if said.is_time_to_look and identity(folder) != place:
            return "another folder is in its place"
    return f"inotifywait ended with status {process.wait()}"


class Said(NamedTuple):
    """What inotifywait has printed: events with their names, and lines for people.

    Args:
        may_have_lost: Whether the kernel may have dropped events.
        is_time_to_look: Whether it is time to check that the folder is still there: a folder above it sends no event.
    """

    events: list[bytes]
    names: list[bytes]
    lines: list[bytes]
    may_have_lost: bool = False
    is_time_to_look: bool = False


def read_all(names: IO[bytes], words: IO[bytes]) -> Iterator[Said]:
    """What inotifywait prints on both streams, as it arrives.

    inotifywait does not report that the kernel's queue was full. If it was, a whole queue of events has arrived without
    a pause. After half a queue without a pause, everything is named.
    """
    rest = {names: b"", words: b""}
    open_streams = [names, words]
    since_pause = 0
    most = most_queued()
    looked_at = time.monotonic()
    while open_streams:
        ready = select(open_streams, [], [], PAUSE_SECONDS if since_pause else LOOK_SECONDS)[0]
        rows: list[bytes] = []
        lines: list[bytes] = []
        for stream in ready:
            text = os.read(stream.fileno(), READ_BYTES)
            if not text:
                open_streams.remove(stream)
            *parts, rest[stream] = (rest[stream] + text).split(b"\0" if stream is names else b"\n")
            (rows if stream is names else lines).extend(parts)
        is_time_to_look = time.monotonic() - looked_at >= LOOK_SECONDS
        if is_time_to_look:
            looked_at = time.monotonic()
        may_have_lost = not ready and since_pause > most // 2
        since_pause = since_pause + len(rows) if ready else 0
        found = [row.partition(b" ") for row in rows]
        yield Said([row[0] for row in found], [row[2] for row in found], lines, may_have_lost, is_time_to_look)


def identity(folder: str) -> tuple[int, int]:
    """What a folder is, whatever its name."""
    status = os.stat(folder)
    return status.st_dev, status.st_ino


@contextmanager
def started(command: list[str]) -> Iterator[subprocess.Popen[bytes]]:
    """A process that is ended with the block, and by the system with this process."""
    process = subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, "LC_ALL": "C"},
        preexec_fn=lambda: ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM),
    )
    try:
        yield process
    finally:
        process.terminate()
        process.wait()


def most_queued() -> int:
    """The number of events that the kernel queues before it drops some; 0 when that is not known."""
    try:
        return int(Path("/proc/sys/fs/inotify/max_queued_events").read_text(encoding="ascii"))
    except (OSError, ValueError):
        return 0


def fail(why: str) -> int:
    print(f"{why}.", file=sys.stderr, flush=True)
    return 1


def put(spool: Path, names: list[bytes]) -> None:
    """Append names, each followed by NUL, to those that main.py has not taken yet."""
    with lock(spool / "lock"), open(spool / "new", "ab") as new:
        new.write(b"".join(name + b"\0" for name in names))


def run(spool: Path, command: list[str]) -> int:
    """Pass the collected names to main.py, with those that it did not take before; returns its exit status."""
    with lock(spool / "run.lock", is_patient=False) as is_ours:
        if not is_ours:
            return ANOTHER_RUN
        if has_lost_its_watch(spool):
            fail(f"The watch that fills {spool} is not running, and this run reads everything. Start it again")
            put(spool, [b"."])
        new, taken = spool / "new", spool / "taken"
        with lock(spool / "lock"), open(taken, "ab") as names:
            if new.exists():
                names.write(new.read_bytes())
                names.flush()
                os.fsync(names.fileno())
                new.unlink()
        status = subprocess.run([*command, "--paths-from", taken], check=False).returncode
        if status in TAKEN:
            taken.unlink()
        return status


def has_lost_its_watch(spool: Path) -> bool:
    """Whether a watch has filled it, and none is running now; the spool may also be fed by another program."""
    if not (spool / "watch.lock").exists():
        return False
    with lock(spool / "lock"), lock(spool / "watch.lock", is_patient=False) as is_free:
        return is_free


@contextmanager
def lock(path: Path, *, is_patient: bool = True) -> Iterator[bool]:
    """Hold a lock during the block; yields whether it could be taken."""
    with open(path, "ab") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | (0 if is_patient else fcntl.LOCK_NB))
        except BlockingIOError:
            yield False
        else:
            yield True


if __name__ == "__main__":
    sys.exit(main())
