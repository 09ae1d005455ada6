"""A service or a file system that gives no proof of a delivery: what is recorded then, and what a person reads.

Against the second service (support/small_globus.py), so that client and emulator cannot share a mistake.
"""

from __future__ import annotations

import os
import time
from typing import Any, Optional

import pytest
from evidence_kept import recorded, recorded_text
from faulty import FaultCheck
from small_globus import SmallGlobus, SmallTask
from suite import LONG_AGO, Route

NEXT_RUN = "The next run tries again."
NAMED_ONCE = "failed more than once"


def assert_arrives(there: Route, service: SmallGlobus) -> None:
    """The service is well again: everything is there after a while, byte for byte, and is known to be."""
    service.after = lambda task: None
    service.answer = lambda *request: None
    service.seen = lambda path: path
    there.run_here("main.py", "--wait", "60", status=None)
    there.run_here("set_time.py", "never")  # no pause is waited for, and what was only found is compared
    there.deliver_here()
    assert set(recorded(there).values()) <= {"verified", "equal"}
    assert there.tree(there.dst) == there.tree()


# ---- what was not copied, or not as it is --------------------------------------------------------------------------


@pytest.mark.fault(
    "a modified file that Globus takes for current",
    sees="",
    status=0,
    recorded="a retrying NOT_COPIED",
)
def test_a_modification_that_is_taken_for_current(there: Route, service: SmallGlobus, fault: FaultCheck) -> None:
    there.write("a", "one")
    there.deliver_here()
    os.utime(there.dst / "a", (time.time() + 7200,) * 2)
    there.write("a", "two", mtime_seconds=time.time() + 3600)
    there.summary_here()
    result = there.run("main.py", status=None)

    fault.check(result, recorded_text(there).replace("a in flight", "a retrying NOT_COPIED"))
    assert_arrives(there, service)


@pytest.mark.fault(
    "a transfer node that sees a file as it was, with another size",
    sees=f"1 path {NAMED_ONCE} (SIZE_DIFFERS); status.py says which and why.",
    status=3,
    recorded="a retrying SIZE_DIFFERS",
)
def test_an_older_view_of_a_file(there: Route, service: SmallGlobus, fault: FaultCheck) -> None:
    older = there.folder / "older"
    older.write_text("as it was")
    service.seen = lambda path: str(older) if path.endswith("/a") else path
    there.write("a", "as it is now")
    ended = [there.run("main.py", status=None) for _ in range(6)]

    fault.check(next(one for one in ended if one.stderr), recorded_text(there))
    assert_arrives(there, service)


@pytest.mark.fault(
    "a folder item in which one file is gone and another new, so that the numbers agree",
    sees="",
    status=0,
    recorded="scan/a verified, scan/b retrying NOT_LISTED",
)
def test_a_folder_whose_numbers_agree(there: Route, service: SmallGlobus, fault: FaultCheck) -> None:
    for name in "ab":
        there.write(f"scan/{name}")

    def another(task: SmallTask) -> None:
        task.successful[1]["source_path"] = f"{there.src}/scan/c"

    service.after = another
    there.summary_here()
    result = there.run("main.py", status=None)

    fault.check(result, recorded_text(there).replace("scan/b in flight", "scan/b retrying NOT_LISTED"))
    assert_arrives(there, service)


@pytest.mark.parametrize(
    "count",
    [
        pytest.param(
            count,
            marks=pytest.mark.fault(
                f"a count of skipped paths that is {words}",
                sees=sees,
                status=status,
                recorded="scan/a retrying SKIPPED, scan/b verified",
            ),
            id=words,
        )
        for count, words, sees, status in (
            (5, "larger than its list", "did not send 5 paths, and Globus no longer says which.", 3),
            (None, "null", "", 0),
            ("many", "a text", "", 0),
        )
    ],
)
def test_a_count_that_fits_no_list(there: Route, service: SmallGlobus, fault: FaultCheck, count: Any) -> None:
    for name in "ab":
        there.write(f"scan/{name}")
    (there.dst / "scan").mkdir(parents=True)
    (there.dst / "scan/a").write_text("content")  # taken for current, so no list names it
    service.after = lambda task: task.document.update(subtasks_skipped_errors=count)
    there.summary_here()
    result = there.run("main.py", status=None)

    fault.check(result, recorded_text(there).replace("scan/a in flight", "scan/a retrying SKIPPED"))
    assert_arrives(there, service)


@pytest.mark.fault(
    "a task whose history was deleted",
    sees="ended, and Globus no longer lists what it transferred. Its 1 path will be retried, compared by checksum.",
    status=3,
    recorded="scan/a retrying LIST_REFUSED",
)
def test_a_deleted_history(there: Route, service: SmallGlobus, fault: FaultCheck) -> None:
    there.write("scan/a")
    service.after = lambda task: task.document.update(history_deleted=True)
    there.summary_here()
    result = there.run("main.py", status=None)

    fault.check(result, recorded_text(there).replace("in flight", "retrying LIST_REFUSED"))
    assert_arrives(there, service)


@pytest.mark.fault(
    "a file that Globus never finds, between its tries",
    sees="",
    status=3,
    recorded="a verified, bad retrying FILE_NOT_FOUND",
)
def test_a_file_that_never_arrives(there: Route, service: SmallGlobus, fault: FaultCheck) -> None:
    service.seen = lambda path: None if path.endswith("/bad") else path
    for name in ("a", "bad"):
        there.write(name)
    mails = [there.run("main.py", status=None).stderr for _ in range(4)]

    fault.check(there.run("main.py", status=None), recorded_text(there))
    assert [bool(mail) for mail in mails] == [False, True, False, False]
    assert_arrives(there, service)


# ---- answers to a submission ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "value",
    [
        pytest.param(value, marks=pytest.mark.fault(name, sees=sees, status=6, recorded=kept), id=name)
        for value, name, sees, kept in (
            (None, "a submission_id that is null", f"did not give a usable submission_id ... {NEXT_RUN}", ""),
            (
                "same",
                "one submission_id for two tasks",
                f"gave the submission_id of an earlier task ... {NEXT_RUN}",
                "",
            ),
        )
    ],
)
def test_a_submission_id_that_cannot_be_used(
    there: Route, service: SmallGlobus, fault: FaultCheck, value: Optional[str]
) -> None:
    same = "11111111-2222-4333-8444-555555555555" if value else None
    there.configure(MAX_ITEMS_PER_TASK=1)
    for name in "ab":
        there.write(name)
    service.answer = lambda method, path, query, body: (200, {"value": same}) if "submission_id" in path else None

    fault.check(there.run("main.py", status=None), recorded_text(there))
    assert service.tasks == {}
    assert_arrives(there, service)


# ---- what a person asks before deleting ----------------------------------------------------------------------------


@pytest.mark.fault(
    "status.py --path over a folder with an excluded file, a symlink and an assumed file",
    sees="run/: not proved for all of it. ... 1 assumed ... 1 symlink, not sent. ... 1 skipped (by EXCLUDE).",
    status=3,
    recorded="run/a verified, run/old assumed",
)
def test_what_was_never_sent(there: Route, service: SmallGlobus, fault: FaultCheck) -> None:
    there.configure(EXCLUDE=["*.tmp"])
    there.write("run/old", mtime_seconds=LONG_AGO)
    there.run_here("set_time.py", "now")
    for name in ("a", "b.tmp"):
        there.write(f"run/{name}")
    (there.src / "run/link").symlink_to("a")
    there.deliver_here()

    fault.check(there.run("status.py", "--path", str(there.src / "run"), status=None), recorded_text(there))
    there.run_here("status.py", "--path", str(there.src / "run/a"))
    there.run_here("status.py", "--path", str(there.src / "run"), "--accept", "assumed,skipped,symlinks")


@pytest.mark.fault(
    "contents that changed with the times put back",
    sees="a: no, delivered at ..., but its ctime has changed since",
    status=3,
    recorded="a verified",
)
def test_times_put_back(there: Route, service: SmallGlobus, fault: FaultCheck) -> None:
    path = there.write("a", "one")
    there.deliver_here()
    before = path.stat()
    path.write_text("two")
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))

    fault.check(there.run("status.py", "--path", str(path), status=None), recorded_text(there))


@pytest.mark.fault(
    "status.py after set_time.py has reset what was delivered",
    sees="1 file, 7 B waiting. Delivered: 1 file, 7 B.",
    status=0,
    recorded="a verified",
)
def test_status_after_set_time(there: Route, service: SmallGlobus, fault: FaultCheck) -> None:
    for name in "ab":
        there.write(name)
    there.deliver_here()
    there.run_here("set_time.py", "never", "--path", str(there.src / "b"))

    fault.check(there.run("status.py", status=None), recorded_text(there))
    assert_arrives(there, service)


@pytest.mark.fault(
    "set_time.py with a time, over what Globus delivered",
    sees="2 paths count as transferred, 0 will be sent by the next run.",
    status=0,
    recorded="a verified, b verified",
)
def test_set_time_leaves_evidence_alone(there: Route, service: SmallGlobus, fault: FaultCheck) -> None:
    for name in "ab":
        there.write(name)
    there.deliver_here()

    fault.check(there.run("set_time.py", "now", status=None), recorded_text(there))
    assert len(service.tasks) == 1
