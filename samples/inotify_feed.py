"""A change feed from inotifywait (Linux): collects the names of what changes in a folder, and passes them to main.py.

    inotify_feed.py watch /data/run7 /var/spool/transfer-run7           as a service: systemd, or @reboot in a crontab
    inotify_feed.py run /var/spool/transfer-run7 python main.py         from cron, in place of `python main.py`

The names are kept in the folder SPOOL: in `new` as they arrive, in `taken` while main.py works on them. They are
removed only when main.py has ended with 0, 3 or 8: after any other status they are passed to it again. The whole folder
is named when the watch begins, and whenever the kernel may have dropped events. Needs inotify-tools 3.22 or newer.
"""

from __future__ import annotations

import argparse
import fcntl
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from select import select
from typing import IO

# A file is named when it is closed after writing, linked, renamed or removed, or when its time is set; a folder when it
# is created, renamed or removed.
EVENTS = ("close_write", "create", "moved_to", "moved_from", "delete", "attrib")
WATCH = ["inotifywait", "-m", "-r", *(word for event in EVENTS for word in ("-e", event))]
FORMAT = ["--format", "%w%f%0", "--no-newline"]
READ_BYTES = 1 << 16
PAUSE_SECONDS = 0.5
TAKEN = (0, 3, 8)
ANOTHER_RUN = 7


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
    """Collect names until inotifywait ends; returns its exit status."""
    with subprocess.Popen([*WATCH, *FORMAT, folder], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None and process.stderr is not None
        for line in process.stderr:
            if b"Watches established" in line:
                break
            if b"Setting up watches" not in line:
                sys.stderr.buffer.write(line)
        else:
            return process.wait() or 1
        everything = os.fsencode(folder)
        put(spool, [everything])
        print(f"Watching {folder}.", flush=True)
        for names, may_have_lost in read_names(process.stdout):
            put(spool, [*names, everything] if may_have_lost else names)
    return process.returncode


def read_names(stream: IO[bytes]) -> Iterator[tuple[list[bytes], bool]]:
    """The names that inotifywait prints, as they arrive, and whether the kernel may have dropped events.

    inotifywait does not report that the kernel's queue was full. If it was, a whole queue of events has arrived without
    a pause. After half a queue without a pause, everything is named.
    """
    rest = b""
    since_pause = 0
    most = most_queued()
    while True:
        is_pause = not select([stream], [], [], PAUSE_SECONDS)[0]
        if is_pause:
            if since_pause > most // 2:
                yield [], True
            since_pause = 0
        text = os.read(stream.fileno(), READ_BYTES)
        if not text:
            return
        *names, rest = (rest + text).split(b"\0")
        since_pause += len(names)
        yield names, False


def most_queued() -> int:
    """The number of events that the kernel queues before it drops some; 0 when that is not known."""
    try:
        return int(Path("/proc/sys/fs/inotify/max_queued_events").read_text(encoding="ascii"))
    except (OSError, ValueError):
        return 0


def put(spool: Path, names: list[bytes]) -> None:
    """Append names, each followed by NUL, to those that main.py has not taken yet."""
    with lock(spool / "lock"), open(spool / "new", "ab") as new:
        new.write(b"".join(name + b"\0" for name in names))


def run(spool: Path, command: list[str]) -> int:
    """Pass the collected names to main.py, with those that it did not take before; returns its exit status."""
    with lock(spool / "run.lock", is_patient=False) as is_ours:
        if not is_ours:
            return ANOTHER_RUN
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
