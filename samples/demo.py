"""The real scripts, run as a user would run them, against the emulator: from a tree of files to a checked copy.

`make demo` runs it. It uses only the standard library; the scripts and the emulator run as separate programs.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import json
import os
import random
import re
import shlex
import shutil
import signal
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, NoReturn

ROOT = Path(__file__).resolve().parent.parent
SRC_ID = "d0000000-0000-4000-8000-000000000001"
DST_ID = "d0000000-0000-4000-8000-000000000002"
CLIENT_ID = "d0000000-0000-4000-8000-00000000000c"
EXCLUDE = ["*.tmp"]
SKIPPED = [*EXCLUDE, "latest"]  # a setting skips the first, and "latest" is a symlink
SETTLE_SECONDS = 60
CHECKSUM = 3  # the sync level's number at Globus
MINUTE, HOUR, DAY = 60, 3600, 86400
MARKER = "made-by-demo"  # only a folder that holds it is ever removed


class Unexpected(Exception):
    """Something did not happen as the demo says it must."""


class Narrator:
    """Prints the demo's text; in colour on a terminal, unless NO_COLOR is set."""

    def __init__(self) -> None:
        self.is_terminal = sys.stdout.isatty() and os.environ.get("TERM", "") != "dumb"
        self._has_colour = self.is_terminal and not os.environ.get("NO_COLOR")
        self._steps = 0
        if isinstance(sys.stdout, io.TextIOWrapper):
            sys.stdout.reconfigure(errors="backslashreplace")

    def step(self, title: str) -> None:
        self._steps += 1
        self._print("")
        self._print(f"{self._steps}. {title}", "1")

    def say(self, text: str) -> None:
        self._print(text)

    def command(self, words: list[str]) -> None:
        self._print("")
        self._print(f"  $ {shlex.join(words)}", "36")

    def proof(self, text: str) -> None:
        self._print(f"  checked: {text}", "32")

    def verdict(self, text: str, *, is_good: bool) -> None:
        self._print("")
        self._print(text, "1;32" if is_good else "1;31")

    def _print(self, text: str, colour: str = "") -> None:
        print(f"\033[{colour}m{text}\033[0m" if colour and self._has_colour else text, flush=True)


class Instrument:
    """Writes a beamline's files, with old times so that they count as settled.

    Attributes:
        run: The folder it writes into, which is SRC_DIR.
    """

    def __init__(self, run: Path, files_per_scan: int) -> None:
        self.run = run
        self._files_per_scan = files_per_scan
        self._random = random.Random(7)  # the same tree every time
        self._now = time.time()

    def write(self, rel_path: str, size_bytes: int, *, age_seconds: float) -> None:
        """Write a file with new content, last modified that long ago."""
        path = self.run / rel_path
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(self._random.getrandbits(8 * size_bytes).to_bytes(size_bytes, "little"))
        self._date(path, age_seconds)

    def scan(self, folder: str, *, age_seconds: float, files: int = 0) -> set[str]:
        """Write a scan: frames, and the notes beside them; returns their rel_paths."""
        names = [f"{folder}/frame_{number:05}.tif" for number in range(files or self._files_per_scan)]
        names += [f"{folder}/scan.log", f"{folder}/motor positions.json"]
        for name in names:
            self.write(name, self._random.randrange(2_000, 40_000), age_seconds=age_seconds)
        return set(names)

    def first_tree(self) -> None:
        """Write the files that exist before the first run."""
        for kind in ("dark", "flat"):
            for number in range(8):
                self.write(f"calibration/{kind}_{number}.raw", 20_000, age_seconds=9 * DAY)
        for day, number in ((2, 1), (2, 2), (3, 3)):
            self.scan(f"2026-03-0{day}/scan_{number:04}", age_seconds=(9 - day) * DAY)
        self.write("notes/Übersicht, beam time.txt", 900, age_seconds=5 * DAY)
        self.write("notes/don't delete (yet).txt", 300, age_seconds=5 * DAY)
        self.write("notes/empty.txt", 0, age_seconds=5 * DAY)
        self.write("2026-03-03/preview.tmp", 5_000, age_seconds=5 * DAY)
        aborted = self.run / "2026-03-03/scan_0004 aborted"
        aborted.mkdir()
        self._date(aborted, 5 * DAY)
        (self.run / "latest").symlink_to("2026-03-03/scan_0003")

    @contextmanager
    def still_writing(self, rel_path: str) -> Iterator[None]:
        """Keep appending to a file until the block ends."""
        is_closed = threading.Event()
        path = self.run / rel_path

        def work() -> None:
            with path.open("ab", buffering=0) as file:
                while True:
                    file.write(b"a line of measured values\n" * 50)
                    if is_closed.wait(0.1):
                        return

        path.touch()
        writer = threading.Thread(target=work)
        writer.start()
        try:
            yield
        finally:
            is_closed.set()
            writer.join()

    def age(self, rel_path: str, *, age_seconds: float) -> None:
        """Date a file back, as if it was last modified so long ago."""
        self._date(self.run / rel_path, age_seconds)

    def _date(self, path: Path, age_seconds: float) -> None:
        os.utime(path, (self._now - age_seconds, self._now - age_seconds))


class Globus:
    """The emulator, running as a separate program until `stop`."""

    def __init__(self, narrator: Narrator, collections: list[str], log: Path) -> None:
        words = ["-m", "emulator", *(f"--collection={text}" for text in collections), "--progress", "seconds:0.5"]
        narrator.command([_shown(sys.executable), *words])
        with log.open("w") as stderr:
            self._process = subprocess.Popen(
                [sys.executable, *words],
                cwd=ROOT,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=stderr,
                text=True,
            )
        self.environment: dict[str, str] = {}
        assert self._process.stdout is not None
        while "no_proxy" not in self.environment:  # the last one
            line = self._process.stdout.readline()
            if not line:
                raise Unexpected(f"The emulator did not start: {log.read_text().strip()}")
            name, _, value = line.strip().removeprefix("export ").partition("=")
            self.environment[name] = "".join(shlex.split(value))
            narrator.say(f"  {line.rstrip()}")
        self._url = self.environment["GLOBUS_SDK_SERVICE_URL_TRANSFER"].rstrip("/")
        # No proxy is used for loopback.
        self._open = urllib.request.build_opener(urllib.request.ProxyHandler({})).open

    def stop(self) -> None:
        self._process.send_signal(signal.SIGTERM)
        self._process.wait(timeout=30)

    def tasks(self) -> list[dict[str, Any]]:
        """The transfer tasks that it accepted, in order."""
        return [task for task in self._ask("state")["tasks"] if task["type"] == "TRANSFER"]

    def requests(self) -> int:
        """The number of requests that it has answered."""
        return len(self._ask("requests"))

    def let_the_next_task_fail(self, *, after_files: int) -> None:
        self._ask("outcomes", {"outcome": "fail", "path": "*", "times": 1, "after_files": after_files})

    def _ask(self, name: str, body: Any = None) -> Any:
        content = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"{self._url}/_emulator/{name}", content, {"Content-Type": "application/json"})
        with self._open(request, timeout=30) as reply:
            return json.load(reply)


class Demo:
    """The demo, step by step."""

    def __init__(self, folder: Path, files_per_scan: int) -> None:
        self.narrator = Narrator()
        self.folder = folder
        self.dst = folder / "archive/beamline7/run7"
        self.instrument = Instrument(folder / "instrument/run7", files_per_scan)
        self.src = self.instrument.run
        self.config = folder / "config.py"

    def play(self) -> None:
        """Run everything.

        Raises:
            Unexpected: The first thing that did not happen as it must.
        """
        self.prepare()
        self.narrator.step(
            "Start a local Globus, the emulator: two folders act as two collections. Nothing leaves this computer."
        )
        self.globus = Globus(
            self.narrator,
            [
                f"{SRC_ID}={_shown(self.folder / 'instrument')},name=Beamline 7",
                f"{DST_ID}={_shown(self.folder / 'archive')},write,type=mapped,name=Lab archive",
            ],
            self.folder / "emulator.log",
        )
        around = {name: value for name, value in os.environ.items() if not name.startswith("GLOBUS_")}
        self.environment = {**around, **self.globus.environment}
        try:
            self.check_configuration()
            self.send_the_first_tree()
            self.find_nothing_to_do()
            self.send_what_changed()
            self.survive_a_failed_task()
            self.send_again_on_request()
        finally:
            self.globus.stop()

    def prepare(self) -> None:
        """Create the scratch folder afresh: a tree, an archive, a configuration."""
        if self.folder.exists():
            if any(self.folder.iterdir()) and not (self.folder / MARKER).exists():
                raise Unexpected(
                    f"This demo did not create {self.folder}, so the folder is left alone. Name another one."
                )
            shutil.rmtree(self.folder)
        for folder in (self.src, self.folder / "archive", self.folder / "state"):
            folder.mkdir(parents=True)
        (self.folder / MARKER).touch()
        self.instrument.first_tree()
        sizes = [path.stat().st_size for path in self.src.rglob("*") if path.is_file() and not path.is_symlink()]
        self.narrator.step(
            f"An instrument has written {len(sizes)} files, {sum(sizes) / 1e6:.1f} MB, into {_shown(self.src)}."
        )
        secret = self.folder / "secret"
        secret.write_text("the emulator accepts any secret\n")
        secret.chmod(0o600)
        settings = {
            "SRC_DIR": str(self.src),
            "DST_DIR": "/beamline7/run7",
            "SRC_ID": SRC_ID,
            "DST_ID": DST_ID,
            "CLIENT_ID": CLIENT_ID,
            "CODE_PATH": str(self.folder / "state"),
            "SRC_PATH": "/run7",
            "CLIENT_SECRET_FILE": str(secret),
            "EXCLUDE": EXCLUDE,
            "SETTLE_SECONDS": SETTLE_SECONDS,
        }
        self.config.write_text("".join(f"{name} = {value!r}\n" for name, value in settings.items()), encoding="utf-8")
        self.narrator.say(f"The settings are in {_shown(self.config)}. All others keep their defaults:\n")
        for line in self.config.read_text(encoding="utf-8").splitlines():
            self.narrator.say(f"  {line}")

    def check_configuration(self) -> None:
        self.narrator.step("Check the configuration and the login.")
        self.run("test_config.py")

    def send_the_first_tree(self) -> None:
        self.narrator.step("List what a run would send.")
        self.run("main.py", "--dry-run", most_lines=8)
        self.prove(not self.globus.tasks() and not self.dst.exists(), "nothing was sent and nothing was written")
        self.narrator.step(
            "The first run sends everything. (-v prints a summary, --wait waits for the tasks; cron needs neither.)"
        )
        self.run("main.py", "-v", "--wait", "60")
        self.prove(not self.differences(), "the archive has the same files, with the same contents and times")

    def find_nothing_to_do(self) -> None:
        self.narrator.step("A run with nothing to send does not use the network.")
        asked = self.globus.requests()
        self.run("main.py", "-v")
        self.prove(self.globus.requests() == asked, "Globus received no request")

    def send_what_changed(self) -> None:
        self.narrator.step(
            "Work goes on: two files are added, one is modified, one is replaced by an older copy, a scan of many "
            "files arrives, and one file is still being written."
        )
        scan = "2026-03-04/scan_0005"
        self.instrument.write("2026-03-02/scan_0001/fit.h5", 60_000, age_seconds=3 * MINUTE)
        self.instrument.write("notes/shift change.txt", 700, age_seconds=3 * MINUTE)
        self.instrument.write("notes/Übersicht, beam time.txt", 1_200, age_seconds=2 * MINUTE)
        self.instrument.write("calibration/dark_3.raw", 20_000, age_seconds=30 * DAY)
        frames = self.instrument.scan(scan, age_seconds=HOUR)
        with self.instrument.still_writing("2026-03-04/monitor.dat"):
            already = len(self.globus.tasks())
            self.run("main.py", "-v", "--wait", "60")
        tasks = self.globus.tasks()[already:]
        sent = sorted(rel_path for task in tasks for rel_path in _items(task))
        edited = [f"{scan}/", "2026-03-02/scan_0001/fit.h5", "notes/shift change.txt", "notes/Übersicht, beam time.txt"]
        self.prove(
            sent == sorted([*edited, "calibration/dark_3.raw"]),
            f"exactly these were sent, the scan's {len(frames)} files as one folder; the file being written waits",
        )
        by_checksum = {path for task in tasks if task["document"]["sync_level"] == CHECKSUM for path in _items(task)}
        self.prove(
            "calibration/dark_3.raw" in by_checksum,
            "the older copy was compared by checksum, because its time alone would not make Globus copy it",
        )

    def survive_a_failed_task(self) -> None:
        self.narrator.step(
            "The monitor file is complete and there is another scan, but now the task fails after 5 files."
        )
        scan = "2026-03-04/scan_0006"
        waiting = self.instrument.scan(scan, age_seconds=HOUR, files=10) | {"2026-03-04/monitor.dat"}
        self.instrument.age("2026-03-04/monitor.dat", age_seconds=2 * MINUTE)
        self.globus.let_the_next_task_fail(after_files=5)
        already = len(self.globus.tasks())
        self.run("main.py", "-v", "--wait", "60", status=3)
        sent = self.globus.tasks()[already:]
        self.prove(
            [task["status"] for task in sent] == ["FAILED"]
            and _items(sent[0]) == {f"{scan}/", "2026-03-04/monitor.dat"},
            "the task failed, and exit status 3 reports it to cron and scripts",
        )
        arrived = int(sent[0]["files_transferred"])
        self.narrator.step("The next run retries the files that were not delivered, and only those.")
        self.run("main.py", "-v", "--wait", "60")
        (again,) = self.globus.tasks()[already + 1 :]
        self.prove(
            len(_items(again)) == len(waiting) - arrived and _items(again) < waiting and not self.differences(),
            f"{arrived} of {len(waiting)} files had arrived; the other {len(_items(again))} were sent again",
        )

    def send_again_on_request(self) -> None:
        self.narrator.step(
            "Someone deleted a folder in the archive. What was delivered is not sent again automatically; set_time.py "
            "requests it."
        )
        gone = {f"calibration/{path.name}" for path in (self.dst / "calibration").iterdir()}
        shutil.rmtree(self.dst / "calibration")
        already = len(self.globus.tasks())
        self.run("set_time.py", "never", "--path", _shown(self.src / "calibration"))
        self.run("main.py", "-v", "--wait", "60")
        (task,) = self.globus.tasks()[already:]
        self.prove(_items(task) in (gone, {"calibration/"}), f"its {len(gone)} files were sent again, and nothing else")

    def judge(self) -> None:
        """Compare the two trees with a tool that is not part of this suite.

        Raises:
            Unexpected: They differ.
        """
        self.narrator.step("Compare the archive with the instrument's folder, using an independent tool.")
        self._compare_by_tool()
        differences = self.differences()
        if differences:
            raise Unexpected("\n  ".join(["The archive differs:", *differences]))
        files = sum(1 for content in contents(self.dst).values() if content)
        self.narrator.verdict(
            f"The archive is the same as the source: {files} files, by name, content and modification time. Not sent, "
            f"as configured: symlinks, and files named {', '.join(EXCLUDE)}.",
            is_good=True,
        )
        self.narrator.say(f"The files are in {_shown(self.folder)}; the log is {_shown(self.folder / 'state/log')}.")

    def _compare_by_tool(self) -> None:
        src, dst = f"{_shown(self.src)}/", f"{_shown(self.dst)}/"
        if _has_rsync_3():
            # Globus carries neither owners nor permissions nor the times of folders.
            words = ["rsync", "-anic", "--delete", "--delete-excluded", "--omit-dir-times", "--no-perms", "--no-owner"]
            words += ["--no-group", *(f"--exclude={pattern}" for pattern in SKIPPED), src, dst]
        elif shutil.which("diff"):
            words = ["diff", "-r", *(f"--exclude={pattern}" for pattern in SKIPPED), src, dst]
        else:
            self.narrator.say("Neither rsync nor diff is installed here, so only the demo's own comparison was made.")
            return
        self.narrator.command(words)
        result = subprocess.run(words, cwd=ROOT, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
        self.narrator.say(f"  {(result.stdout + result.stderr).strip() or '(no difference)'}")
        if result.returncode or result.stdout.strip():
            raise Unexpected(f"{words[0]} found the differences above.")

    def differences(self) -> list[str]:
        """The differences between the two trees, one line each: names, contents, times in whole seconds."""
        there = contents(self.dst)
        here = {
            rel_path: content
            for rel_path, content in contents(self.src).items()
            if not any(fnmatchcase(os.path.basename(rel_path), pattern) for pattern in SKIPPED)
        }
        return [
            f"{path!r}: {here.get(path, 'is not at the source')} != {there.get(path, 'is not in the archive')}"
            for path in sorted(here.keys() | there.keys())
            if path not in here or path not in there or here[path] != there[path]
        ]

    def run(self, script: str, *arguments: str, status: int = 0, most_lines: int = 0) -> None:
        """Run a script, and show the command and its output; it must end with this status.

        Args:
            most_lines: Show at most that many lines from the beginning, and the last one; 0: all.
        """
        words = [_shown(sys.executable), script, "--config", _shown(self.config), *arguments]
        self.narrator.command(words)
        result = subprocess.run(
            [sys.executable, *words[1:]],
            cwd=ROOT,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE if most_lines else None,
            stderr=None if self.narrator.is_terminal else subprocess.STDOUT,
            encoding="utf-8",
            errors="replace",
            check=False,
        )
        lines = (result.stdout or "").splitlines()
        if len(lines) > most_lines + 2:
            lines[most_lines:-1] = [f"... {len(lines) - most_lines - 1} more lines ..."]
        for line in lines:
            self.narrator.say(line)
        if result.returncode:
            self.narrator.say(f"  (exit status {result.returncode})")
        if result.returncode != status:
            raise Unexpected(f"{script} ended with status {result.returncode}; it must be {status} here.")

    def prove(self, is_so: bool, text: str) -> None:
        """Print that something was checked and is true.

        Raises:
            Unexpected: It is not true.
        """
        if not is_so:
            raise Unexpected("\n  ".join([f"This is not true: {text}.", *self.differences()[:20]]))
        self.narrator.proof(text)


def contents(top: Path) -> dict[str, tuple[int, str] | None]:
    """The rel_paths below a folder: (mtime in whole seconds, digest) of files, (0, target) of symlinks, else None."""
    found: dict[str, tuple[int, str] | None] = {}
    for path in top.rglob("*"):
        rel_path = str(path.relative_to(top))
        if path.is_symlink():
            found[rel_path] = (0, os.readlink(path))
        elif path.is_dir():
            found[rel_path] = None
        else:
            found[rel_path] = (int(path.stat().st_mtime), hashlib.sha256(path.read_bytes()).hexdigest())
    return found


def _has_rsync_3() -> bool:
    """Whether there is an rsync that lists differences; other programs of that name have fewer options."""
    if not shutil.which("rsync"):
        return False
    version = subprocess.run(["rsync", "--version"], capture_output=True, text=True, check=False).stdout
    return re.match(r"rsync +version (v)?[3-9]", version) is not None


def _items(task: dict[str, Any]) -> set[str]:
    """The rel_paths of a task's items; those of folders end in a slash."""
    return {item["source_path"][len("/run7/") :] for item in task["document"]["DATA"]}


def _shown(path: str | Path) -> str:
    """A path as a person in the checkout would type it."""
    absolute = os.path.abspath(path)
    inside = os.path.relpath(absolute, ROOT)
    return absolute if inside.startswith("..") else inside


def main() -> int:
    """Run the demo and print the verdict; the exit status is 0 only if the copy is the same."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--folder", type=Path, default=ROOT / ".demo", help="deleted and created again each time (default: .demo)"
    )
    parser.add_argument("--files", type=int, default=40, metavar="N", help="frames in each scan (default: 40)")
    chosen = parser.parse_args()
    began = time.monotonic()
    signal.signal(signal.SIGTERM, _interrupt)
    demo = Demo(chosen.folder.resolve(), chosen.files)
    try:
        demo.play()
        demo.judge()
    except Unexpected as problem:
        demo.narrator.verdict(f"The demo failed. {problem}", is_good=False)
        return 1
    except KeyboardInterrupt:
        demo.narrator.verdict("Interrupted.", is_good=False)
        return 130
    demo.narrator.say(f"The demo took {time.monotonic() - began:.0f} seconds.")
    return 0


def _interrupt(signal_number: int, frame: object) -> NoReturn:
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
