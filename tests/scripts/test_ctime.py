"""COMPARE = "ctime": contents that changed with the times put back, and files renamed over others, are sent.

Against the second service (support/small_globus.py).
"""

from __future__ import annotations

import os
import pickle
from collections.abc import Callable
from pathlib import Path

import pytest
from small_globus import CHECKSUM, SmallGlobus
from suite import LONG_AGO, Route

from autotransfer.datastore.evidence import EQUAL
from autotransfer.datastore.record import LAG_UNKNOWN
from autotransfer.datastore.store import Store
from autotransfer.scan.listing import Listing, Policy, Unchanged
from autotransfer.scan.worker import WorkerSetup, read_batch


def touch_back(path: Path, change: Callable[[], object]) -> None:
    """Make a change that leaves the size, put the times back, and wait until the ctime shows it."""
    before = path.stat()
    while path.stat().st_ctime_ns == before.st_ctime_ns:
        change()
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert (path.stat().st_size, path.stat().st_mtime_ns) == (before.st_size, before.st_mtime_ns)


def rewrite(path: Path, content: str) -> None:
    touch_back(path, lambda: path.write_text(content))


def rename_over(path: Path, content: str) -> None:
    other = path.with_name("other")

    def change() -> None:
        other.write_text(content)
        other.rename(path)

    touch_back(path, change)


def posted(service: SmallGlobus) -> list[tuple[str, object]]:
    """The last path of each item of the newest task, with its sync level."""
    document = service.newest.posted
    return sorted((os.path.basename(item["source_path"]), document["sync_level"]) for item in document["DATA"])


@pytest.fixture
def ready(there: Route) -> Route:
    """A delivered tree, of which ctimes are compared."""
    there.configure(COMPARE="ctime")
    for rel_path in ("top", "scan/a", "scan/b"):
        there.write(rel_path, "first")
    there.deliver_here()
    assert there.summary_here()["submitted"] == 0
    return there


@pytest.mark.parametrize("change", [rewrite, rename_over])
def test_a_change_with_the_times_put_back_is_sent_by_checksum(
    ready: Route, service: SmallGlobus, change: Callable[[Path, str], None]
) -> None:
    change(ready.src / "scan/a", "other")

    summary = ready.summary("--wait", "60")

    assert (summary["modified"], posted(service)) == (1, [("a", CHECKSUM)])
    assert (ready.dst / "scan/a").read_text() == "other"
    assert ready.run("status.py", "--json", "--path", str(ready.src)).json["paths"][0]["evidence"] == {"verified": 3}
    assert ready.summary_here()["submitted"] == 0


def test_without_the_setting_it_is_named_and_not_sent(ready: Route, service: SmallGlobus) -> None:
    ready.configure(COMPARE="mtime")
    rewrite(ready.src / "scan/a", "other")

    assert ready.summary_here()["submitted"] == 0
    answered = ready.run("status.py", "--json", "--path", str(ready.src / "scan/a"), status=3).json["paths"][0]
    assert answered["state"] == "touched"


def test_status_shows_it_as_modified_before_it_is_sent(ready: Route) -> None:
    rewrite(ready.src / "scan/a", "other")

    folder, file = ready.run(
        "status.py", "--json", "--path", str(ready.src / "scan"), "--path", str(ready.src / "scan/a"), status=3
    ).json["paths"]

    assert (folder["unsent"]["files"], folder["delivered"]["files"], file["state"]) == (1, 1, "modified")


def test_a_chmod_of_a_tree_has_all_of_it_compared_and_nothing_copied(ready: Route, service: SmallGlobus) -> None:
    for rel_path in ("top", "scan/a", "scan/b"):
        path = ready.src / rel_path
        touch_back(path, lambda path=path: path.chmod(0o640))  # type: ignore[misc]

    summary = ready.deliver_here()

    assert summary["modified"] == 3
    assert (service.newest.document["files_skipped"], service.newest.successful) == (3, [])
    assert ready.run("status.py", "--json", "--path", str(ready.src)).json["paths"][0]["evidence"] == {"equal": 3}
    assert ready.summary_here()["submitted"] == 0


def test_what_an_earlier_version_recorded_without_a_lag_is_not_sent(ready: Route) -> None:
    with Store(str(ready.code_path / "datastore")) as store:
        folder = store.trie.folder("scan")
        folder.delivered["a"] = folder.delivered["a"]._replace(ctime_lag_ns=LAG_UNKNOWN)
        store.trie.put("scan", folder)
        store.commit()

    assert ready.summary_here()["submitted"] == 0
    rewrite(ready.src / "scan/a", "other")
    assert ready.summary_here()["submitted"] == 0
    rewrite(ready.src / "scan/b", "other")
    assert ready.summary_here()["modified"] == 1


def test_a_change_during_the_transfer_is_found_after_it(ready: Route, service: SmallGlobus) -> None:
    path = ready.write("scan/a", "newer", mtime_seconds=LONG_AGO + 100)
    service.is_held = True
    ready.summary_here()
    rewrite(path, "other")

    assert ready.summary_here()["waiting"] == 1
    service.is_held = False
    ready.deliver_here()
    ready.deliver_here()

    assert (ready.dst / "scan/a").read_text() == "other"
    with Store(str(ready.code_path / "datastore"), is_read_only=True) as store:
        record = store.trie.folder("scan").delivered["a"]
    status = path.stat()
    assert (record.evidence, record.ctime_lag_ns) == (EQUAL, status.st_ctime_ns - status.st_mtime_ns)


def test_a_followed_link_has_the_ctime_of_its_target(there: Route, service: SmallGlobus) -> None:
    target = there.folder / "target"
    target.write_text("first")
    os.utime(target, (LONG_AGO, LONG_AGO))
    (there.src / "link").symlink_to(target)
    there.configure(COMPARE="ctime", SYMLINKS="follow")
    there.deliver_here()
    assert there.summary_here()["submitted"] == 0

    rewrite(target, "other")
    there.deliver_here()

    assert (there.dst / "link").read_text() == "other"
    assert there.summary_here()["submitted"] == 0


def test_a_feed_finds_it_too(ready: Route) -> None:
    names = ready.folder / "names"
    names.write_text("scan/a\n")
    ready.run_here("main.py", "--paths-from", str(names))
    rewrite(ready.src / "scan/a", "other")
    assert ready.run_here("main.py", "--json", "--paths-from", str(names), "--wait", "60").json["modified"] == 1

    assert ready.tree(ready.dst) == ready.tree()


@pytest.mark.parametrize("is_alone", [True, False])
def test_workers_find_it_too(ready: Route, is_alone: bool) -> None:
    rewrite(ready.src / "scan/a", "other")
    policy = Policy(compares_ctime=True)
    setup = pickle.loads(pickle.dumps(WorkerSetup(str(ready.src), ready.src.stat().st_ino, policy, 1)))

    with Store(str(ready.code_path / "datastore"), is_read_only=True) as store:
        rows = list(zip(("", "scan"), store.pickled_records(("", "scan"))))
    top, scan = read_batch(setup, rows, is_alone=is_alone)

    assert isinstance(top, Unchanged)
    assert isinstance(scan, Listing)


def test_a_quick_scan_finds_what_was_renamed_over_and_a_full_one_what_was_rewritten(ready: Route) -> None:
    ready.configure(SCAN="quick", FULL_SCAN_EVERY="1w")
    ready.summary_here("--full")
    rename_over(ready.src / "scan/a", "other")
    assert ready.deliver_here()["modified"] == 1

    ready.configure(COMPARE="mtime")
    assert ready.summary_here()["scan"] == "full"  # what is compared has changed
    assert ready.summary_here()["scan"] == "quick"


def test_set_time_now_covers_what_a_ctime_shows(ready: Route) -> None:
    rewrite(ready.src / "scan/a", "other")

    ready.run_here("set_time.py", "now")

    assert ready.summary_here()["submitted"] == 0
    answered = ready.run("status.py", "--json", "--path", str(ready.src / "scan/a"), status=3).json["paths"][0]
    assert answered["state"] == "assumed"
