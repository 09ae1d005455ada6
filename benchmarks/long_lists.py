"""What it takes to read what a large task transferred: runs that read its list page by page, one of them killed.

Makes a tree, submits it as one folder item, and has the task end at once; nothing is copied. The service is the small
one of the tests, which answers with rows made from the tree; the page size is an argument, since that of Globus is not
documented. Each run is main.py in a process of its own. The last run before the end must have recorded every path.

    python benchmarks/long_lists.py                                1,000,000 files; 100,000, half of them skipped
    python benchmarks/long_lists.py --files 20000 --page-size 100  other sizes
"""

from __future__ import annotations

import argparse
import json
import resource
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tests/support")]

from small_globus import SmallGlobus, SmallTask  # noqa: E402

from benchmarks import ours, trees  # noqa: E402

FOLDER = "scan"
PAGES_A_RUN = 200
KILLED_AFTER_PAGES = 50
CURRENT, GIVEN_UP = "taken for current", "given up at the source"


class Rows:
    """The rows of a list, made when they are asked for; `names` are those of the files in the order of a walk."""

    def __init__(self, top: str, first: int, last: int, *, error: str = "") -> None:
        self._top, self._first, self._last, self._error = top, first, last, error

    def __len__(self) -> int:
        return self._last - self._first

    def __getitem__(self, part: slice) -> list[dict[str, Any]]:
        return list(map(self._row, range(self._first, self._last)[part]))

    def _row(self, number: int) -> dict[str, Any]:
        folder, place = divmod(number, trees.FILES_A_FOLDER)
        path = f"{self._top}/{trees.folder_of(folder)}/{trees.file_name(folder, place)}"
        if self._error:
            return {"DATA_TYPE": "skipped_error", "source_path": path, "error_code": self._error}
        return {"DATA_TYPE": "successful_transfer", "source_path": path, "destination_path": path, "size": 0}


class Globus(SmallGlobus):
    """The service: its tasks end when they are asked for, with `skipped` of their files skipped in one of two ways."""

    def __init__(self, src: Path, files: int, skipped: int, how: str, page_size: int) -> None:
        super().__init__()
        self._top = str(src / FOLDER)
        self._files, self._skipped, self._how = files, skipped, how
        self.page_size = page_size
        self._server.handle_error = lambda *request: None  # type: ignore[method-assign]  # a killed run hangs up

    def _carry_out(self, task: SmallTask) -> None:
        errors = self._skipped if self._how == GIVEN_UP else 0
        task.successful = Rows(self._top, self._skipped, self._files)  # type: ignore[assignment]
        task.skipped = Rows(self._top, 0, errors, error="PERMISSION_DENIED")  # type: ignore[assignment]
        task.document.update(
            status="SUCCEEDED",
            nice_status=None,
            completion_time=time.strftime("%Y-%m-%dT%H:%M:%S+00:00", time.gmtime()),
            files=self._files - errors,
            files_transferred=self._files - self._skipped,
            files_skipped=self._skipped - errors,
            bytes_transferred=0,
            subtasks_skipped_errors=errors,
        )


class Round(NamedTuple):
    """One run: what it was, how long it took, its requests for pages, and what status.py said then."""

    title: str
    seconds: float
    pages: int
    says: str


def rounds(folder: Path, files: int, skipped: int, how: str, page_size: int) -> Iterator[Round]:
    """Submit the tree and read the list to its end; the second run that reads a long one is killed in the middle."""
    src = folder / "src"
    further_pages = (files - skipped) // page_size - PAGES_A_RUN
    killed_after = min(KILLED_AFTER_PAGES, further_pages // 2)
    trees.make(src / FOLDER, files)
    route = ours.Route(folder / "route", src)
    with Globus(src, files, skipped, how, page_size) as service:
        environment = {"PATH": "/usr/bin:/bin", "HOME": str(folder), **service.environment()}
        for number in range(100_000):
            before = pages_of(service)
            began_at, is_killed = time.monotonic(), number == 2 and killed_after > 0
            process = subprocess.Popen(
                route.words("main.py", "--json"), env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
            )
            while is_killed and pages_of(service) - before < killed_after and process.poll() is None:
                time.sleep(0.001)
            if is_killed:
                process.send_signal(signal.SIGKILL)
            printed = process.communicate()[0]
            seconds = time.monotonic() - began_at
            title = "submits" if number == 0 else "reads, and is killed" if is_killed else "reads"
            says = subprocess.run(
                route.words("status.py", "--json"), env=environment, capture_output=True, check=False, text=True
            )
            answer = json.loads(says.stdout)
            yield Round(title, seconds, pages_of(service) - before, words(answer))
            if not is_killed and json.loads(printed)["succeeded"]:  # what was given up may be on its way again
                check(answer, files, skipped, how)
                return
    raise AssertionError("the list never ended")


def pages_of(service: SmallGlobus) -> int:
    return sum(request.endswith(("successful_transfers", "skipped_errors")) for request in service.requests)


def words(answer: dict[str, Any]) -> str:
    evidence = ", ".join(f"{count:,} {word}" for word, count in answer["evidence"].items() if count)
    waiting = {name: answer[name]["files"] for name in ("in_flight", "retrying")}
    rest = ", ".join(f"{count:,} {name.replace('_', ' ')}" for name, count in waiting.items() if count)
    return f"{answer['verdict']}: {'; '.join(filter(None, (evidence, rest)))}"


def check(answer: dict[str, Any], files: int, skipped: int, how: str) -> None:
    """Every path must be recorded as what it is."""
    found = skipped if how == CURRENT else 0
    assert answer["evidence"]["verified"] == files - skipped, answer["evidence"]
    assert answer["evidence"]["found"] == found, answer["evidence"]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else "")
    parser.add_argument("--files", type=int, default=1_000_000)
    parser.add_argument("--page-size", type=int, default=1_000)
    chosen = parser.parse_args()
    fewer = max(1, chosen.files // 10)
    for files, skipped, how in (
        (chosen.files, 0, CURRENT),
        (fewer, fewer // 2, CURRENT),
        (fewer, fewer // 2, GIVEN_UP),
    ):
        print(f"{files:,} files, {skipped:,} of them {how}; pages of {chosen.page_size:,} rows", flush=True)
        with tempfile.TemporaryDirectory() as name:
            for one in rounds(Path(name), files, skipped, how, chosen.page_size):
                print(f"  {one.title:<21} {one.seconds:6.2f} s {one.pages:5} pages  {one.says}", flush=True)
        # Among these processes are those of the scan: it takes less than a run that reads a page.
        peak_bytes = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024
        print(f"  the most memory of one process so far: {peak_bytes / 1e6:.0f} MB", flush=True)


if __name__ == "__main__":
    main()
