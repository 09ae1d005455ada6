"""What it costs to deliver a few changes with cron (main.py), and with a timer (timer.py), on the emulator.

Makes a tree, delivers it to one folder with main.py and to another with a timer, changes some files, and lets each of
the two deliver them. What a task compared, listed and copied is what its own document counts; the requests are those
that the emulator saw from this machine.

    python benchmarks/cron_or_timers.py                               10,000 files of which 10 change
    python benchmarks/cron_or_timers.py --files 100000 --changed 5    other sizes
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))  # the emulator runs in this process

from emulator.http.server import Emulator  # noqa: E402
from emulator.world import Collection  # noqa: E402

FILES_A_FOLDER = 50
CHANGE_EVERY_FOLDERS = 7  # the changes are spread over the tree
LONG_AGO = 1_700_000_000
INTERVAL_SECONDS = 3600
SRC_ID = "aaaaaaaa-0000-4000-8000-000000000001"
DST_ID = "aaaaaaaa-0000-4000-8000-000000000002"
SETTINGS = """\
SRC_DIR = {src!r}
DST_DIR = {dst!r}
SRC_ID = {src_id!r}
DST_ID = {dst_id!r}
CLIENT_ID = "aaaaaaaa-0000-4000-8000-00000000000c"
CODE_PATH = {state!r}
CLIENT_SECRET_FILE = {secret!r}
SETTLE_SECONDS = 0
"""


class Cost(NamedTuple):
    """What it took to deliver the changes."""

    items: int
    compared_files: int
    listed_folders: int
    copied_files: int
    requests: int


class Stage:
    """A tree, two places for it, and an emulator between them."""

    def __init__(self, folder: Path, globus: Emulator) -> None:
        self.folder = folder
        self.globus = globus
        self.src = folder / "src"
        (folder / "secret").write_text("a secret\n")
        (folder / "secret").chmod(0o600)
        for name in ("cron", "timer"):
            (folder / name).mkdir()
            settings = SETTINGS.format(
                src=str(self.src),
                dst=f"/{name}/src",
                src_id=SRC_ID,
                dst_id=DST_ID,
                state=str(folder / name),
                secret=str(folder / "secret"),
            )
            (folder / f"{name}.py").write_text(settings)

    def run(self, script: str, route: str, *options: str) -> str:
        """Run a script of the suite as cron would; gives its stdout."""
        words = [sys.executable, str(ROOT / script), "--config", str(self.folder / f"{route}.py"), *options]
        environment = {"PATH": "/usr/bin:/bin", "HOME": str(self.folder), **self.globus.environment()}
        return subprocess.run(words, env=environment, check=True, stdout=subprocess.PIPE, text=True).stdout

    def grow(self, files: int) -> None:
        """Make the tree."""
        for number in range(files):
            path = self.src / f"folder {number // FILES_A_FOLDER}" / f"file {number}"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(b"%d" % number)
            os.utime(path, (LONG_AGO, LONG_AGO))

    def change(self, count: int) -> list[Path]:
        """Change this many files, spread over the tree, and return them; dated after the first, and long ago."""
        folders = sorted(self.src.iterdir())
        step = min(CHANGE_EVERY_FOLDERS, max(1, len(folders) // count))
        changed = [
            sorted(folders[number * step % len(folders)].iterdir())[number // len(folders)] for number in range(count)
        ]
        for path in changed:
            path.write_bytes(b"changed " + path.read_bytes())
            os.utime(path, (LONG_AGO + 3600,) * 2)
        return changed

    def cost_since(self, tasks: int) -> Cost:
        """What was done since there were this many tasks, and since the emulator's requests were forgotten."""
        done = list(self.globus.world.tasks.values())[tasks:]
        assert all(task.status == "SUCCEEDED" for task in done), "a task did not succeed"
        return Cost(
            items=sum(len(task.submission.document["DATA"]) for task in done),
            compared_files=sum(task.files for task in done),
            listed_folders=sum(task.directories for task in done),
            copied_files=sum(task.files_transferred for task in done),
            requests=len(self.globus.world.requests),
        )


def measure(stage: Stage, files: int, changed: int) -> dict[str, Cost]:
    """The costs of both ways, for a change and for none."""
    world = stage.globus.world
    stage.grow(files)
    stage.run("main.py", "cron", "--wait", "600")
    stage.run("timer.py", "timer", "job", "transfer", "--interval", f"{INTERVAL_SECONDS}s")
    world.advance_clock(1)  # its first run, which copies all
    costs = {}
    for title in ("changed", "unchanged"):
        paths = stage.change(changed) if title == "changed" else []
        tasks = len(world.tasks)
        world.requests.clear()
        stage.run("main.py", "cron")  # sends the changes
        stage.run("main.py", "cron")  # records that they arrived
        costs[f"cron, {title}"] = stage.cost_since(tasks)
        tasks = len(world.tasks)
        world.requests.clear()
        world.advance_clock(INTERVAL_SECONDS)
        costs[f"timer, {title}"] = stage.cost_since(tasks)
        for path in paths:
            for route in ("cron", "timer"):
                copy = stage.folder / "archive" / route / "src" / path.relative_to(stage.src)
                assert copy.read_bytes() == path.read_bytes(), f"{copy} is not what it should be"
    return costs


def main() -> None:
    """Measure and print, as a table or as JSON."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else "")
    parser.add_argument("--files", type=int, default=10_000)
    parser.add_argument("--changed", type=int, default=10)
    parser.add_argument("--json", action="store_true")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "archive").mkdir()
        ends = [
            Collection(id=SRC_ID, root=Path("/"), name="Beamline"),
            Collection(id=DST_ID, root=folder / "archive", name="Archive"),
        ]
        with Emulator(ends) as globus:
            costs = measure(Stage(folder, globus), chosen.files, chosen.changed)
    if chosen.json:
        found: dict[str, Any] = {title: cost._asdict() for title, cost in costs.items()}
        print(json.dumps({"files": chosen.files, "changed": chosen.changed, **found}))
        return
    print(f"{chosen.files:,} files, {chosen.changed:,} of them changed")
    print(f"{'':<18}" + "".join(f"{name.replace('_', ' '):>16}" for name in Cost._fields))
    for title, cost in costs.items():
        print(f"{title:<18}" + "".join(f"{number:>16,}" for number in cost))


if __name__ == "__main__":
    main()
