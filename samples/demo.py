"""The real scripts, run as a user would run them, against a local Globus: from a tree of files to a checked copy.

`make demo` runs it. It uses the standard library only; the scripts and the emulator run as programs of their own.
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
LEFT_OUT = [*EXCLUDE, "latest"]  # by the settings, and as a symlink
SETTLE_SECONDS = 2
CHECKSUM = 3  # the sync level's number at Globus
MINUTE, HOUR, DAY = 60, 3600, 86400
MARKER = "made-by-demo"  # only a folder that holds it is ever removed


class Unexpected(Exception):
    """Something went otherwise than the demo says it must."""


class Voice:
    """Prints the story; in colour on a terminal, unless NO_COLOR is set."""

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
    """Writes a beamline's files, dated back so that they look finished.

    Attributes:
        run: The folder it fills, which is SRC_DIR.
    """

    def __init__(self, run: Path, files_per_scan: int) -> None:
        self.run = run
        self._files_per_scan = files_per_scan
        self._random = random.Random(7)  # the same tree every time
        self._now = time.time()

    def write(self, rel_path: str, size_bytes: int, *, age_seconds: float) -> None:
        """Write a file of new content, last modified so long ago."""
        path = self.run / rel_path
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(self._random.getrandbits(8 * size_bytes).to_bytes(size_bytes, "little"))
        self._date(path, age_seconds)

    def scan(self, folder: str, *, age_seconds: float, files: int = 0) -> set[str]:
        """Write a scan: frames and what was noted beside them; gives their rel_paths."""
        names = [f"{folder}/frame_{number:05}.tif" for number in range(files or self._files_per_scan)]
        names += [f"{folder}/scan.log", f"{folder}/motor positions.json"]
        for name in names:
            self.write(name, self._random.randrange(2_000, 40_000), age_seconds=age_seconds)
        return set(names)

    def first_tree(self) -> None:
        """Write what is there before the first run."""
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
        """Keep appending to a file."""
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

    def _date(self, path: Path, age_seconds: float) -> None:
        os.utime(path, (self._now - age_seconds, self._now - age_seconds))


class Globus:
    """The emulator, running as a program of its own until `stop`."""

    def __init__(self, voice: Voice, collections: list[str], log: Path) -> None:
        words = ["-m", "emulator", *(f"--collection={text}" for text in collections), "--progress", "seconds:0.5"]
        voice.command([_shown(sys.executable), *words])
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
        while len(self.environment) < 3:
            line = self._process.stdout.readline()
            if not line:
                raise Unexpected(f"The emulator did not start: {log.read_text().strip()}")
            name, _, value = line.strip().removeprefix("export ").partition("=")
            self.environment[name] = value
            voice.say(f"  {line.rstrip()}")
        self._url = self.environment["GLOBUS_SDK_SERVICE_URL_TRANSFER"].rstrip("/")
        # What is on loopback is not behind a proxy.
        self._open = urllib.request.build_opener(urllib.request.ProxyHandler({})).open

    def stop(self) -> None:
        self._process.send_signal(signal.SIGTERM)
        self._process.wait(timeout=30)

    def tasks(self) -> list[dict[str, Any]]:
        """The transfer tasks it accepted, in order."""
        return [task for task in self._ask("state")["tasks"] if task["type"] == "TRANSFER"]

    def requests(self) -> int:
        """How many requests it has answered."""
        return len(self._ask("requests"))

    def let_the_next_task_fail(self, *, after_files: int) -> None:
        self._ask("outcomes", {"outcome": "fail", "path": "*", "times": 1, "after_files": after_files})

    def _ask(self, name: str, body: Any = None) -> Any:
        content = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"{self._url}/_emulator/{name}", content, {"Content-Type": "application/json"})
        with self._open(request, timeout=30) as reply:
            return json.load(reply)


class Demo:
    """The story, step by step."""

    def __init__(self, folder: Path, files_per_scan: int) -> None:
        self.voice = Voice()
        self.folder = folder
        self.dst = folder / "archive/beamline7/run7"
        self.instrument = Instrument(folder / "instrument/run7", files_per_scan)
        self.src = self.instrument.run
        self.config = folder / "config.py"

    def tell(self) -> None:
        """Run everything.

        Raises:
            Unexpected: The first thing that went otherwise.
        """
        self.prepare()
        self.voice.step("Start a local Globus: two folders as two collections. Nothing leaves this computer.")
        self.globus = Globus(
            self.voice,
            [
                f"{SRC_ID}={_shown(self.folder / 'instrument')},name=Beamline 7",
                f"{DST_ID}={_shown(self.folder / 'archive')},type=mapped,name=Lab archive",
            ],
            self.folder / "emulator.log",
        )
        around = {name: value for name, value in os.environ.items() if not name.startswith("GLOBUS_")}
        self.environment = {**around, **self.globus.environment, "NO_PROXY": "127.0.0.1", "no_proxy": "127.0.0.1"}
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
        """Make the scratch folder anew: a tree, an archive, a configuration."""
        if self.folder.exists():
            if any(self.folder.iterdir()) and not (self.folder / MARKER).exists():
                raise Unexpected(f"{self.folder} was not made by this demo, so it is left alone. Name another folder.")
            shutil.rmtree(self.folder)
        for folder in (self.src, self.folder / "archive", self.folder / "state"):
            folder.mkdir(parents=True)
        (self.folder / MARKER).touch()
        self.instrument.first_tree()
        sizes = [path.stat().st_size for path in self.src.rglob("*") if path.is_file() and not path.is_symlink()]
        self.voice.step(
            f"An instrument has written {len(sizes)} files, {sum(sizes) / 1e6:.1f} MB, into {_shown(self.src)}."
        )
        secret = self.folder / "secret"
        secret.write_text("the emulator takes any secret\n")
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
        self.voice.say(f"The settings, in {_shown(self.config)}; all others keep their defaults:\n")
        for line in self.config.read_text(encoding="utf-8").splitlines():
            self.voice.say(f"  {line}")

    def check_configuration(self) -> None:
        self.voice.step("Check the configuration and the login.")
        self.run("test_config.py")

    def send_the_first_tree(self) -> None:
        self.voice.step("Ask what a run would send.")
        self.run("main.py", "--dry-run", most_lines=8)
        self.prove(not self.globus.tasks() and not self.dst.exists(), "nothing was sent and nothing was written")
        self.voice.step("The first run sends it all. (-v speaks and --wait stays; cron needs neither.)")
        self.run("main.py", "-v", "--wait", "60")
        self.prove(not self.differences(), "the archive holds the same files, with the same content and times")

    def find_nothing_to_do(self) -> None:
        self.voice.step("A run with nothing to do does nothing.")
        asked = self.globus.requests()
        self.run("main.py", "-v")
        self.prove(self.globus.requests() == asked, "it did not even ask Globus")

    def send_what_changed(self) -> None:
        self.voice.step(
            "Work goes on: two files added, one modified, one replaced by an older copy, one scan of many files, and "
            "one file that is still being written."
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
            f"exactly these were sent, the scan's {len(frames)} files as one folder; the file under work waits",
        )
        by_checksum = {path for task in tasks if task["document"]["sync_level"] == CHECKSUM for path in _items(task)}
        self.prove(
            "calibration/dark_3.raw" in by_checksum,
            "the older copy was compared by checksum; by its time it is no news",
        )

    def survive_a_failed_task(self) -> None:
        self.voice.step(
            "The monitor file is finished and another scan is there, but now Globus fails: the task ends after 5 files."
        )
        scan = "2026-03-04/scan_0006"
        waiting = self.instrument.scan(scan, age_seconds=HOUR, files=10) | {"2026-03-04/monitor.dat"}
        time.sleep(SETTLE_SECONDS + 0.5)
        self.globus.let_the_next_task_fail(after_files=5)
        already = len(self.globus.tasks())
        self.run("main.py", "-v", "--wait", "60", status=3)
        sent = self.globus.tasks()[already:]
        self.prove(
            [task["status"] for task in sent] == ["FAILED"]
            and _items(sent[0]) == {f"{scan}/", "2026-03-04/monitor.dat"},
            "the task failed, and exit status 3 lets cron and scripts know",
        )
        arrived = int(sent[0]["files_transferred"])
        self.voice.step("The next run sends the files that did not arrive, and only those.")
        self.run("main.py", "-v", "--wait", "60")
        (again,) = self.globus.tasks()[already + 1 :]
        self.prove(
            len(_items(again)) == len(waiting) - arrived and _items(again) < waiting and not self.differences(),
            f"{arrived} of {len(waiting)} files had arrived, the other {len(_items(again))} were sent again",
        )

    def send_again_on_request(self) -> None:
        self.voice.step(
            "Someone deleted a folder in the archive. What was sent once is not sent again by itself; set_time asks "
            "for it."
        )
        gone = {f"calibration/{path.name}" for path in (self.dst / "calibration").iterdir()}
        shutil.rmtree(self.dst / "calibration")
        already = len(self.globus.tasks())
        self.run("set_time.py", "never", "--path", _shown(self.src / "calibration"))
        self.run("main.py", "-v", "--wait", "60")
        (task,) = self.globus.tasks()[already:]
        self.prove(_items(task) in (gone, {"calibration/"}), f"its {len(gone)} files were sent, and nothing else")

    def judge(self) -> None:
        """Compare the two trees by other means than the suite's own.

        Raises:
            Unexpected: They differ.
        """
        self.voice.step("Compare the archive with the instrument's folder, by an independent tool.")
        self._compare_by_tool()
        differences = self.differences()
        if differences:
            raise Unexpected("\n  ".join(["The archive differs:", *differences]))
        files = sum(1 for content in contents(self.dst).values() if content)
        self.voice.verdict(
            f"The archive is the same as the source: {files} files, by name, content and modification time. Left out "
            f"as configured: symlinks, and what is named {', '.join(EXCLUDE)}.",
            is_good=True,
        )
        self.voice.say(f"Look around in {_shown(self.folder)}; the log is {_shown(self.folder / 'state/log')}.")

    def _compare_by_tool(self) -> None:
        src, dst = f"{_shown(self.src)}/", f"{_shown(self.dst)}/"
        if _has_rsync_3():
            # Globus carries no owners, permissions and times of folders.
            words = ["rsync", "-anic", "--delete", "--delete-excluded", "--omit-dir-times", "--no-perms", "--no-owner"]
            words += ["--no-group", *(f"--exclude={pattern}" for pattern in LEFT_OUT), src, dst]
        elif shutil.which("diff"):
            words = ["diff", "-r", *(f"--exclude={pattern}" for pattern in LEFT_OUT), src, dst]
        else:
            self.voice.say("Neither rsync nor diff is installed here, so the demo's own comparison must do.")
            return
        self.voice.command(words)
        result = subprocess.run(words, cwd=ROOT, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
        self.voice.say(f"  {(result.stdout + result.stderr).strip() or '(no difference)'}")
        if result.returncode or result.stdout.strip():
            raise Unexpected(f"{words[0]} found the differences above.")

    def differences(self) -> list[str]:
        """What differs between the two trees, a line each: names, content, modification times in whole seconds."""
        there = contents(self.dst)
        here = {
            rel_path: content
            for rel_path, content in contents(self.src).items()
            if not any(fnmatchcase(os.path.basename(rel_path), pattern) for pattern in LEFT_OUT)
        }
        return [
            f"{path!r}: {here.get(path, 'is not at the source')} != {there.get(path, 'is not in the archive')}"
            for path in sorted(here.keys() | there.keys())
            if path not in here or path not in there or here[path] != there[path]
        ]

    def run(self, script: str, *arguments: str, status: int = 0, most_lines: int = 0) -> None:
        """Run a script, show it and what it says; it must end with this status.

        Args:
            most_lines: Show no more than so many lines from the beginning, and the last one.
        """
        words = [_shown(sys.executable), script, "--config", _shown(self.config), *arguments]
        self.voice.command(words)
        result = subprocess.run(
            [sys.executable, *words[1:]],
            cwd=ROOT,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE if most_lines else None,
            stderr=None if self.voice.is_terminal else subprocess.STDOUT,
            encoding="utf-8",
            errors="replace",
            check=False,
        )
        lines = (result.stdout or "").splitlines()
        if len(lines) > most_lines + 2:
            lines[most_lines:-1] = [f"... {len(lines) - most_lines - 1} lines more ..."]
        for line in lines:
            self.voice.say(line)
        if result.returncode:
            self.voice.say(f"  (exit status {result.returncode})")
        if result.returncode != status:
            raise Unexpected(f"{script} ended with status {result.returncode}; it must be {status} here.")

    def prove(self, is_so: bool, text: str) -> None:
        """Say that something was checked and holds.

        Raises:
            Unexpected: It does not.
        """
        if not is_so:
            raise Unexpected("\n  ".join([f"This does not hold: {text}.", *self.differences()[:20]]))
        self.voice.proof(text)


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
    """Whether there is an rsync that lists differences; others of that name know fewer options."""
    if not shutil.which("rsync"):
        return False
    told = subprocess.run(["rsync", "--version"], capture_output=True, text=True, check=False).stdout
    return re.match(r"rsync +version (v)?[3-9]", told) is not None


def _items(task: dict[str, Any]) -> set[str]:
    """The rel_paths of a task's items; those of folders end in a slash."""
    return {item["source_path"][len("/run7/") :] for item in task["document"]["DATA"]}


def _shown(path: str | Path) -> str:
    """A path as a person in the checkout would type it."""
    absolute = os.path.abspath(path)
    inside = os.path.relpath(absolute, ROOT)
    return absolute if inside.startswith("..") else inside


def main() -> int:
    """Tell the story and give the verdict; the exit status is 0 only if the copy is the same."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, default=ROOT / ".demo", help="made anew each time (default: .demo)")
    parser.add_argument("--files", type=int, default=40, metavar="N", help="frames in each scan (default: 40)")
    chosen = parser.parse_args()
    began = time.monotonic()
    signal.signal(signal.SIGTERM, _interrupt)
    demo = Demo(chosen.folder.resolve(), chosen.files)
    try:
        demo.tell()
        demo.judge()
    except Unexpected as problem:
        demo.voice.verdict(f"The demo failed. {problem}", is_good=False)
        return 1
    except KeyboardInterrupt:
        demo.voice.verdict("Interrupted.", is_good=False)
        return 130
    demo.voice.say(f"All this took {time.monotonic() - began:.0f} seconds.")
    return 0


def _interrupt(signal_number: int, frame: object) -> NoReturn:
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
