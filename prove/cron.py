"""Debian's cron, the README's crontab line, and a tree that changes all the time, minute by minute."""

from __future__ import annotations

import os
import random
import threading
import time
from datetime import datetime
from pathlib import Path

from real_cron import RealCron, crontab_of_the_readme, why_not
from suite import DST_ID, SRC_ID, Route

from emulator.http.server import Emulator
from emulator.world import Collection
from prove.proof import Effort, Proof

TITLE = "Real cron"
CLAIM = """\
Debian's `cron -f` reads the crontab that the README shows, its schedule made one of every minute, and starts `main.py`
in cron's environment, while an instrument goes on writing, rewriting and deleting. After each run the destination holds
what had settled when the run began. While all is well cron has nothing to mail. A file that cannot be sent makes cron
mail one message that says what to do, and not again the minute after; all other files go on arriving."""
EVERY_MINUTE = "* * * * *"
SETTLE_SECONDS = 3.0
WRITING_SECONDS = 0.5
# A file written this long before a run is one that it must have sent.
SURELY_SETTLED_SECONDS = 10.0
LONGEST_WAIT_SECONDS = 300.0
BAD_NAME = os.fsdecode(b"scan/bad \xff.tif")


class Instrument(threading.Thread):
    """Writes files into a tree until it is stopped: most are new, some are written again, a few are deleted.

    Attributes:
        written: When each file that is there was last written, and what, by its path below the tree.
    """

    def __init__(self, route: Route, seed: int) -> None:
        super().__init__(daemon=True)
        self._route = route
        self._chance = random.Random(seed)
        self._is_stopped = threading.Event()
        self._turn = threading.Lock()
        self._written: dict[str, tuple[float, bytes]] = {}
        self.steps = 0

    def run(self) -> None:
        while not self._is_stopped.wait(WRITING_SECONDS):
            with self._turn:
                self._step()

    def stop(self) -> None:
        """Write no more."""
        self._is_stopped.set()
        self.join()

    def written(self) -> dict[str, tuple[float, bytes]]:
        """When each file that is there was last written, and what, by its path below the tree."""
        with self._turn:
            return dict(self._written)

    def _step(self) -> None:
        self.steps += 1
        known = sorted(self._written)
        dice = self._chance.random()
        if known and dice < 0.1:
            name = self._chance.choice(known)
            (self._route.src / name).unlink()
            del self._written[name]
            return
        is_again = bool(known) and dice < 0.3
        name = self._chance.choice(known) if is_again else f"scan {self.steps // 20}/Bild {self.steps:05}.tif"
        content = self._chance.randbytes(self._chance.randrange(5000))
        self._route.write(name, content, mtime_seconds=time.time())
        self._written[name] = (time.time(), content)


def prove(effort: Effort) -> Proof:
    """Let cron run for some minutes: all is well, then a problem, then all is well."""
    if why := why_not():
        return Proof(TITLE, CLAIM, failures=(f"Nothing was tried: {why}",))
    ends = [Collection(id=end, root=Path("/"), name=name) for end, name in ((SRC_ID, "Beamline"), (DST_ID, "Archive"))]
    with Emulator(ends) as globus:
        folder = effort.folder / "route"
        folder.mkdir()
        route = Route(folder, globus)
        route.configure(SETTLE_SECONDS=SETTLE_SECONDS)
        watch = Minutes(route, effort)
        watch.live()
    figures = (
        ("minutes of cron", f"{watch.minutes}"),
        ("files that the instrument wrote, rewrote or deleted", f"{watch.instrument.steps}"),
        ("tasks that Globus was given", f"{len(route.sent())}"),
        ("files compared with their copies, over all minutes", f"{watch.compared}"),
        ("mails while all was well", f"{watch.mails_when_well}"),
        ("mails about the file that could not be sent", f"{watch.mails_when_not}"),
    )
    return Proof(TITLE, CLAIM, figures, (), tuple(watch.failures))


def began_at(closing_line: str) -> float:
    """When the run of this closing line of the log began, in seconds since the epoch; at most a second too early."""
    ended_at = datetime.fromisoformat(closing_line.split()[0].replace("Z", "+00:00")).timestamp()
    return ended_at - float(closing_line.partition(" seconds=")[2].split()[0])


class Minutes:
    """Cron's minutes, one after the other, and what did not hold in them."""

    def __init__(self, route: Route, effort: Effort) -> None:
        self._route = route
        self._folder = effort.folder / "cron"
        self._folder.mkdir()
        self._well, self._ill = effort.times(4, 2), effort.times(3, 2)
        self.instrument = Instrument(route, effort.seed)
        self.failures: list[str] = []
        self.minutes = self.compared = self.mails_when_well = self.mails_when_not = 0

    def live(self) -> None:
        """Let the minutes pass."""
        self.instrument.start()
        with RealCron(self._route, crontab_of_the_readme(EVERY_MINUTE), self._folder) as cron:
            for _ in range(self._well):
                self._minute(cron, status=0)
            self.mails_when_well = len(cron.mails())
            self._expect(self.mails_when_well == 0, f"cron mailed while all was well: {cron.mails()}")
            bad = self._route.write(BAD_NAME)
            for _ in range(self._ill):
                self._minute(cron, status=3)
            self.mails_when_not = len(cron.mails()) - self.mails_when_well
            mailed = "\n".join(cron.mails())
            self._expect(self.mails_when_not == 1, f"there were {self.mails_when_not} mails about a problem:\n{mailed}")
            self._expect(
                "To: beamline-staff@example.org" in mailed and "rename it" in mailed, f"the mail says: {mailed}"
            )
            bad.unlink()
            before = len(cron.mails())
            self._minute(cron, status=0)
            self._expect(len(cron.mails()) == before, f"cron mailed once all was well again: {cron.mails()[before:]}")
        self.instrument.stop()
        self._expect(self.compared > 10 * self.minutes, f"too little was tried: {self.compared} files compared")

    def _minute(self, cron: RealCron, *, status: int) -> None:
        """Wait for cron's next run, and compare what had settled before it."""
        self.minutes += 1
        try:
            line = cron.wait_for_run(self.minutes, seconds=LONGEST_WAIT_SECONDS)
        except AssertionError as error:
            self.failures.append(str(error))
            return
        ran_at = began_at(line)
        self._expect(f" status={status} " in line, f"run {self.minutes} ended otherwise than with {status}: {line}")
        for name, (written_at, content) in self.instrument.written().items():
            if written_at < ran_at - SURELY_SETTLED_SECONDS:
                self.compared += 1
                copy = self._route.dst / name
                is_there = copy.exists() and copy.read_bytes() == content
                self._expect(is_there, f"after run {self.minutes} the copy of {name} is missing or another")

    def _expect(self, holds: bool, failure: str) -> None:
        if not holds:
            self.failures.append(failure)
