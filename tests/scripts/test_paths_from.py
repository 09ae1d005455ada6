"""`main.py --paths-from`, and the samples that feed it: what is sent, what is kept, what is told."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import machine
import pytest
from programs import path_of
from suite import LONG_AGO, ROOT, Route
from waiting import LONGEST_WAIT_SECONDS, until

from autotransfer.datastore.store import Store
from autotransfer.plan.rescan import kept_paths
from emulator.http.server import Emulator

INOTIFY_FEED = ROOT / "samples/inotify_feed.py"
ZFS_FEED = ROOT / "samples/zfs-feed.sh"


@pytest.fixture
def fed(route: Route) -> Route:
    """A delivered tree whose runs have had a feed before."""
    for rel_path in ("a/1.dat", "a/2.dat", "b/c/1.dat", "top.dat"):
        route.write(rel_path, f"first {rel_path}")
    assert route.summary_here("--paths-from", os.devnull, "--wait")["scan"] == "full"
    return route


def feed(route: Route, *options: str, names: list[str] | None = None, status: int = 0) -> Any:
    """Run main.py with these names in a file, each ended by NUL."""
    file = route.folder / "names"
    file.write_bytes(b"".join(os.fsencode(name) + b"\0" for name in names or []))
    return route.summary("--paths-from", str(file), *options, status=status)


def kept(route: Route) -> list[str]:
    """What the next run with a feed looks at although none names it."""
    with Store(str(route.code_path / "datastore"), is_read_only=True) as store:
        return sorted(kept_paths(store))


def sent_last(route: Route) -> set[str]:
    return route.sent_paths(route.sent()[-1])


# ---- what is looked at ---------------------------------------------------------------------------------------------


def test_the_first_run_with_a_feed_looks_at_everything(route: Route) -> None:
    route.write("a")
    route.write("b")

    assert (feed(route, names=["a"])["scan"], sent_last(route)) == ("full", {"a", "b"})


def test_only_what_is_named_is_looked_at(fed: Route) -> None:
    fed.write("a/1.dat", "changed")
    fed.write("a/2.dat", "changed too")
    (fed.src / "b/c/1.dat").unlink()

    summary = feed(fed, "--wait", names=[str(fed.src / "a/1.dat")])

    assert (summary["scan"], summary["named"], summary["folders"], summary["files"]) == ("paths", 1, 1, 1)
    assert (summary["modified"], summary["vanished"], sent_last(fed)) == (1, 0, {"a/1.dat"})
    later = fed.deliver()
    assert (later["scan"], later["modified"], later["vanished"]) == ("full", 1, 1)
    assert sent_last(fed) == {"a/2.dat", "b/c/"}


def test_a_new_folder_travels_as_one_item_and_is_found_by_scans_as_delivered(fed: Route) -> None:
    fed.write("n/m/1.dat")
    fed.write("n/m/o/2.dat")

    summary = feed(fed, "--wait", names=["n"])

    assert (summary["new"], summary["delivered"], sent_last(fed)) == (2, 2, {"n/"})
    assert fed.summary()["submitted"] == 0
    assert (fed.dst / "n/m/o/2.dat").exists()


def test_a_new_file_deep_in_folders_that_were_not_named_is_found_again_by_scans(fed: Route) -> None:
    (fed.src / "e").mkdir()
    assert feed(fed, "--wait", names=["e"])["new"] == 1
    fed.write("e/f/g/1.dat")
    fed.write("e/f/2.dat")

    summary = feed(fed, "--wait", names=["e/f/g/1.dat"])

    assert (summary["new"], sent_last(fed)) == (1, {"e/f/g/1.dat"})
    scan = fed.deliver()
    assert (scan["new"], scan["vanished"], sent_last(fed)) == (1, 0, {"e/f/2.dat"})


def test_what_is_gone_renamed_or_of_another_kind_is_forgotten(fed: Route) -> None:
    (fed.src / "b").rename(fed.src / "moved")
    shutil.rmtree(fed.src / "a")
    fed.write("a", "a file now")
    (fed.src / "top.dat").unlink()
    fed.write("top.dat/inside")
    (fed.dst / "top.dat").unlink()
    shutil.rmtree(fed.dst / "a")

    summary = feed(fed, "--wait", names=["b", "moved", "a", "top.dat"])

    assert (summary["vanished"], summary["new"], summary["delivered"]) == (4, 3, 3)
    scan = fed.summary()
    assert (scan["submitted"], scan["vanished"]) == (0, 0)


def test_a_folder_that_lost_its_last_file_is_sent_as_an_empty_one(fed: Route) -> None:
    (fed.src / "b/c/1.dat").unlink()

    summary = feed(fed, "--wait", names=["b/c/1.dat"])

    assert (summary["vanished"], summary["new"], sent_last(fed)) == (1, 1, {"b/c/"})
    assert fed.summary()["submitted"] == 0


def test_a_run_without_names_reconciles_tasks_and_sends_nothing(fed: Route, globus: Emulator) -> None:
    globus.world.set_progress("polls:1")
    fed.write("a/1.dat", "changed")
    assert feed(fed, names=["a/1.dat"])["in_flight_tasks"] == 1
    fed.write("a/2.dat", "changed too")

    summary = feed(fed)

    assert (summary["scan"], summary["succeeded"], summary["delivered"], summary["files"]) == ("paths", 1, 1, 0)
    assert len(fed.sent()) == 2


def test_naming_the_source_itself_means_everything(fed: Route) -> None:
    fed.write("a/2.dat", "changed")

    assert feed(fed, names=[str(fed.src)])["scan"] == "full"
    assert sent_last(fed) == {"a/2.dat"}


def test_a_feed_run_looks_at_no_more_of_a_quick_route_and_leaves_its_full_scan_due(fed: Route) -> None:
    fed.configure(SCAN="quick", FULL_SCAN_EVERY="1h")
    fed.write("a/1.dat", "changed")

    assert feed(fed, "--wait", names=["a/1.dat"])["scan"] == "paths"
    assert fed.summary()["scan"] == "full"


def test_a_dry_run_says_what_would_be_sent_and_keeps_nothing(fed: Route) -> None:
    fed.write("a/1.dat", "changed")
    fed.write("a/2.dat", "changed", mtime_seconds=time.time())
    fed.configure(SETTLE_SECONDS=3600)

    summary = feed(fed, "--dry-run", names=["a/1.dat", "a/2.dat"])

    assert (summary["modified"], summary["unsettled"], summary["scan"]) == (1, 1, "paths")
    assert (len(fed.sent()), kept(fed)) == (1, [])


# ---- what is kept --------------------------------------------------------------------------------------------------


def test_what_was_touched_too_recently_is_looked_at_again_unnamed(fed: Route) -> None:
    fed.configure(SETTLE_SECONDS=3600)
    fed.write("a/new.dat", mtime_seconds=time.time())
    assert feed(fed, names=["a/new.dat"])["unsettled"] == 1
    assert kept(fed) == ["a/new.dat"]
    fed.configure(SETTLE_SECONDS=0)

    summary = feed(fed, "--wait")

    assert (summary["new"], summary["delivered"], kept(fed)) == (1, 1, [])


def test_what_waits_for_a_task_is_looked_at_again_unnamed(fed: Route, globus: Emulator) -> None:
    globus.world.set_progress("polls:3")
    fed.write("n/1.dat")
    feed(fed, names=["n"])
    fed.write("n/2.dat")
    assert feed(fed, names=["n/2.dat"])["waiting"] == 1
    assert kept(fed) == ["n/2.dat"]

    for _ in range(4):
        summary = feed(fed)
    feed(fed, "--wait")

    assert summary["scan"] == "paths"
    assert (fed.dst / "n/2.dat").exists()
    assert kept(fed) == []


def test_what_found_no_room_is_looked_at_again_unnamed(fed: Route, globus: Emulator) -> None:
    fed.configure(MAX_ITEMS_PER_TASK=1, MAX_TASKS_IN_FLIGHT=1)
    fed.write("a/1.dat", "changed")
    fed.write("n/2.dat")

    assert feed(fed, "--wait", names=["a/1.dat", "n"])["waiting"] == 1
    assert kept(fed) == ["n"]
    assert feed(fed, "--wait")["new"] == 1
    assert (fed.dst / "n/2.dat").exists()


def test_what_failed_is_sent_again_unnamed(fed: Route, globus: Emulator) -> None:
    globus.world.add_outcome("fail", path="*/1.dat", times=1)
    fed.write("a/1.dat", "changed")
    feed(fed, "--wait", names=["a/1.dat"], status=3)
    assert kept(fed) == ["a/1.dat"]

    assert feed(fed, "--wait")["retried"] == 1
    assert (fed.dst / "a/1.dat").read_text() == "changed"
    assert kept(fed) == []


@pytest.mark.parametrize(("refusal", "status"), [((403, "PermissionDenied"), 6), ((400, "BadRequest"), 3)])
def test_what_globus_refused_is_kept_although_the_refused_run_had_taken_it_from_the_list(
    fed: Route, globus: Emulator, refusal: tuple[int, str], status: int
) -> None:
    fed.configure(SETTLE_SECONDS=3600)
    fed.write("a/1.dat", "changed", mtime_seconds=time.time())
    feed(fed, names=["a/1.dat"])
    fed.configure(SETTLE_SECONDS=0)
    answer = {"code": refusal[1], "message": "No."}
    globus.world.add_fault("POST /v0.10/transfer", status=refusal[0], json=answer, times=1)

    feed(fed, status=status)

    assert kept(fed) == ["a/1.dat"]
    assert feed(fed, "--wait")["delivered"] == 1


def test_what_set_time_wants_sent_again_is_sent_by_the_next_run_with_a_feed(fed: Route) -> None:
    fed.run("set_time.py", "never", "--path", str(fed.src / "b"))

    summary = feed(fed, "--wait")

    # File by file: a folder item could not show which of its files Globus found equal.
    assert (summary["scan"], summary["new"], sent_last(fed)) == ("paths", 1, {"b/c/1.dat"})


def test_what_a_scan_leaves_is_kept_too_and_what_it_settled_is_not(fed: Route) -> None:
    fed.configure(SETTLE_SECONDS=3600)
    for name in ("1.dat", "2.dat"):
        fed.write(f"a/{name}", "changed", mtime_seconds=time.time())
    feed(fed, names=["a/1.dat"])
    assert kept(fed) == ["a/1.dat"]
    os.utime(fed.src / "a/1.dat", (LONG_AGO + 5, LONG_AGO + 5))

    assert fed.deliver()["scan"] == "full"

    assert kept(fed) == ["a/2.dat"]


def test_what_cannot_be_sent_is_reported_by_each_run_until_that_changes(fed: Route) -> None:
    fed.configure(SYMLINKS="follow")
    (fed.src / "a/link").symlink_to("nowhere")
    (fed.src / os.fsdecode(b"a/bad\xff")).write_text("x")

    summary = feed(fed, names=["a/link", os.fsdecode(b"a/bad\xff")], status=3)

    assert summary["errors"] == 2
    assert [notice.split(":")[0] for notice in summary["notices"]] == [
        f"Skipped {fed.src}/a/link",
        f"Skipped {fed.src}/a/bad\\xff",
    ]
    assert kept(fed) == [os.fsdecode(b"a/bad\xff"), "a/link"]
    assert [feed(fed, names=[], status=3)["errors"] for _ in range(2)] == [2, 2]
    (fed.src / os.fsdecode(b"a/bad\xff")).rename(fed.src / "a/good")
    (fed.src / "a/link").unlink()
    assert (feed(fed, names=["a/good"])["new"], kept(fed)) == (1, [])


# ---- what is told, and refused -------------------------------------------------------------------------------------


def test_names_outside_are_counted_and_told_and_no_trouble(fed: Route) -> None:
    fed.write("a/1.dat", "changed")
    names = fed.folder / "list"
    names.write_text(f"/etc/passwd\n{fed.src}/a/1.dat\n\n../elsewhere\n")

    told = fed.run("main.py", "-v", "--paths-from", str(names)).stdout

    assert "Skipped name 1, which is not inside SRC_DIR: /etc/passwd" in told
    assert "Skipped name 4, which is not inside SRC_DIR: ../elsewhere" in told
    assert "1 modified. " in told
    assert "2 named outside SRC_DIR." in told
    log = (fed.code_path / "log").read_text().splitlines()[-1]
    assert "scan=paths " in log
    assert "named=3 outside=2" in log


def test_names_come_from_standard_input_too(fed: Route) -> None:
    fed.write("a/1.dat", "changed")
    process = subprocess.run(
        fed.command("main.py", "--paths-from", "-"), env=fed.bare_environment(), input=b"a/1.dat\n", check=False
    )

    assert process.returncode == 0
    assert sent_last(fed) == {"a/1.dat"}


def test_a_list_that_cannot_be_read_and_a_full_scan_beside_a_list_are_refused(fed: Route) -> None:
    fed.run("main.py", "--paths-from", "/no/list", status=2, says="Cannot read the names in /no/list: no such file")
    fed.run("main.py", "--paths-from", "-", "--full", status=2, says="--paths-from and --full do not go together")


def test_a_source_that_is_not_mounted_is_refused_and_nothing_forgotten(fed: Route) -> None:
    (fed.src).rename(fed.folder / "unmounted")
    fed.src.mkdir()

    feed(fed, names=["a/1.dat", "b"], status=5)

    fed.src.rmdir()
    (fed.folder / "unmounted").rename(fed.src)
    summary = feed(fed, names=["a/1.dat", "b"])
    assert (summary["new"], summary["vanished"], summary["files"]) == (0, 0, 2)


# ---- the samples ---------------------------------------------------------------------------------------------------


@contextmanager
def watching(route: Route, spool: Path) -> Iterator[Callable[..., int]]:
    """The sample's watch over the source, with inotifywait itself; gives how its `run` is started."""
    path_of("inotifywait")
    with subprocess.Popen(
        [sys.executable, str(INOTIFY_FEED), "watch", str(route.src), str(spool)],
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as watch:
        assert watch.stdout is not None
        try:
            assert watch.stdout.readline() == f"Watching {route.src}.\n"
            yield (
                lambda *options: (
                    subprocess.run(
                        [sys.executable, str(INOTIFY_FEED), "run", str(spool), *route.command("main.py", *options)],
                        env=route.bare_environment(),
                        check=False,
                    ).returncode
                )
            )
        finally:
            os.killpg(watch.pid, 15)
            watch.communicate()


def until_spooled(spool: Path, name: str) -> list[str]:
    """Wait until a name has been spooled; gives all that are."""

    def names() -> list[str]:
        return os.fsdecode((spool / "new").read_bytes()).split("\0") if (spool / "new").exists() else []

    until(lambda: any(one.endswith(name) for one in names()))
    return names()


def test_inotifywait_feeds_what_is_written_renamed_and_removed(route: Route, tmp_path: Path) -> None:
    spool = tmp_path / "spool"
    for rel_path in ("old/1.dat", "old/2.dat", "gone.dat", "moved.dat"):
        route.write(rel_path)
    with watching(route, spool) as run:
        assert run("--wait") == 0
        assert not (spool / "taken").exists()
        route.write("new\nfolder/deep/1.dat")
        (route.src / "old").rename(route.src / "renamed")
        (route.src / "moved.dat").rename(route.src / "here.dat")
        (route.src / "gone.dat").unlink()
        until_spooled(spool, "/gone.dat")
        route.write("renamed/2.dat", "changed")
        (route.src / "last").touch()
        until_spooled(spool, "/last")
        assert run("--wait") == 0

    log = (route.code_path / "log").read_text().splitlines()[-1]
    assert "scan=paths" in log
    assert "vanished=4" in log
    scan = route.summary()
    assert (scan["scan"], scan["submitted"], scan["vanished"]) == ("full", 0, 0)
    assert route.tree().items() <= route.tree(route.dst).items()


def test_the_names_that_a_run_did_not_take_are_given_to_the_next(
    route: Route, globus: Emulator, tmp_path: Path
) -> None:
    spool = tmp_path / "spool"
    with watching(route, spool) as run:
        assert run() == 0
        globus.world.add_fault("GET /v0.10/endpoint/*", status=403, json={"code": "PermissionDenied"})
        route.write("a.dat")
        until_spooled(spool, "/a.dat")
        assert run() == 6
        assert b"/a.dat\0" in (spool / "taken").read_bytes()
        globus.world.clear_faults()
        route.write("b.dat")
        until_spooled(spool, "/b.dat")

        assert run("--wait") == 0

    assert set(route.tree(route.dst)) == {"a.dat", "b.dat"}
    assert not (spool / "taken").exists()


@contextmanager
def watch_over(folder: Path, spool: Path, before: tuple[str, ...] = ()) -> Iterator[subprocess.Popen[str]]:
    """The sample's watch, once it is up; killed at the end, if it is still there."""
    path_of("inotifywait")
    with subprocess.Popen(
        [*before, sys.executable, str(INOTIFY_FEED), "watch", str(folder), str(spool)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as watch:
        try:
            assert watch.stdout is not None
            assert watch.stdout.readline() == f"Watching {folder}.\n"
            (spool / "new").unlink()  # as if a run had taken the first name
            yield watch
        finally:
            if watch.poll() is None:
                watch.kill()


def inotifywait_of(watch: subprocess.Popen[str]) -> int:
    """The pid of the program that a watch has started."""
    (pid,) = Path(f"/proc/{watch.pid}/task/{watch.pid}/children").read_text().split()
    return int(pid)


def has_ended(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except (FileNotFoundError, ProcessLookupError):
        return True


def assert_ended_blind(watch: subprocess.Popen[str], folder: Path, spool: Path, *, why: str) -> None:
    """The watch has ended with an error that says why, and names everything once more."""
    _, stderr = watch.communicate(timeout=LONGEST_WAIT_SECONDS)
    assert watch.returncode == 1
    assert stderr.startswith(f"The watch over {folder} has ended: ") and why in stderr
    assert os.fsencode(folder) in (spool / "new").read_bytes().split(b"\0")


@pytest.mark.parametrize("what", ["removed", "moved", "the folder above moved", "unmounted", "a disk in it unmounted"])
def test_the_watch_ends_with_an_error_when_its_tree_goes(tmp_path: Path, what: str) -> None:
    folder, spool = tmp_path / "above/src", tmp_path / "spool"
    disk = {"unmounted": folder, "a disk in it unmounted": folder / "disk"}.get(what)
    folder.mkdir(parents=True)
    with ExitStack() as stack:
        if disk is not None:
            disk.mkdir(exist_ok=True)
            stack.enter_context(machine.disk(disk, 1 << 20))
        with watch_over(folder, spool) as watch:
            if disk is not None:
                stack.close()
            elif what == "removed":
                folder.rmdir()
            else:
                gone = folder if what == "moved" else folder.parent
                gone.rename(tmp_path / "elsewhere")

            assert_ended_blind(watch, folder, spool, why="src")


def test_the_watch_ends_with_an_error_when_the_kernel_allows_no_more(tmp_path: Path) -> None:
    folder, spool = tmp_path / "src", tmp_path / "spool"
    folder.mkdir()
    limited = (
        "unshare",
        "--user",
        "--map-root-user",
        *machine.shell('echo 10 > /proc/sys/user/max_inotify_watches && exec "$@"'),
    )
    if subprocess.run([*limited, "true"], check=False, capture_output=True).returncode != 0:
        pytest.skip("the number of watches cannot be limited here")
    with watch_over(folder, spool, limited) as watch:
        for number in range(20):
            (folder / f"scan{number}").mkdir()

        assert_ended_blind(watch, folder, spool, why="No space left on device")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL], ids=lambda n: str(n.name))
def test_the_watch_leaves_no_process_behind(tmp_path: Path, number: signal.Signals) -> None:
    (tmp_path / "src").mkdir()
    with watch_over(tmp_path / "src", tmp_path / "spool") as watch:
        pid = inotifywait_of(watch)
        watch.send_signal(number)
        assert watch.wait(LONGEST_WAIT_SECONDS) == (-9 if number == signal.SIGKILL else 0)

        until(lambda: has_ended(pid))


def test_a_run_reads_everything_while_no_watch_is_up(fed: Route, tmp_path: Path) -> None:
    spool = tmp_path / "spool"
    with watching(fed, spool) as run:
        assert run() == 0
        fed.write("a/named.dat")
        until_spooled(spool, "/named.dat")
        assert run("--wait") == 0
        assert "scan=paths" in (fed.code_path / "log").read_text().splitlines()[-1]
    fed.write("a/unseen.dat")
    runner = [sys.executable, str(INOTIFY_FEED), "run", str(spool), *fed.command("main.py", "--wait")]

    done = subprocess.run(runner, env=fed.bare_environment(), capture_output=True, text=True, check=True)

    assert "is not running, and this run reads everything. Start it again." in done.stderr
    assert (fed.dst / "a/unseen.dat").exists()


def test_a_second_runner_leaves_the_names_of_the_first_alone(tmp_path: Path) -> None:
    spool = tmp_path / "spool"
    spool.mkdir()
    (spool / "new").write_bytes(b"a\0")
    begun, may_end = tmp_path / "begun", tmp_path / "may_end"
    wait = f"touch {begun}; while [ ! -e {may_end} ]; do sleep 0.02; done"
    runner = [sys.executable, str(INOTIFY_FEED), "run", str(spool), "sh", "-c"]
    with subprocess.Popen([*runner, wait]) as first:
        until(begun.exists)
        (spool / "new").write_bytes(b"b\0")

        assert subprocess.run([*runner, "exit 0"], check=False).returncode == 7

        assert (spool / "taken").read_bytes() == b"a\0"
        may_end.touch()
        assert first.wait(LONGEST_WAIT_SECONDS) == 0
    assert sorted(path.name for path in spool.iterdir() if path.suffix != ".lock") == ["lock", "new"]


# As its man page (zfs-diff.8, OpenZFS 2.2) describes `zfs diff -FH`: change, type, path, and the new path of what was
# renamed, or the change in link count; each column after a tab. Names are escaped as \0ooo.
ZFS_DIFF = r"""M	/	{src}/
M	F	{src}/a/1.dat	(+1)
+	F	{src}/a/two\0040words\0011and\0134\0303\0251.dat
R	F	{src}/top.dat	{src}/b/top.dat
-	/	{src}/b/c
-	F	{src}/b/c/1.dat
+	/	{src}/n
+	F	{src}/n/1.dat
M	/	{src}/b
"""
# Keeps its snapshots as files of one folder; `diff` prints what is in the file `diff`.
ZFS = """#!/bin/sh
cd {folder} || exit 1
case $1 in
  list) ls snapshots | sed 's|^|tank/data@|' ;;
  snapshot) : >"snapshots/${{2#*@}}" ;;
  destroy) rm "snapshots/${{2#*@}}" ;;
  diff) echo "$@" >>calls; cat diff ;;
esac
"""


def test_zfs_diff_feeds_what_differs_between_two_snapshots(fed: Route, globus: Emulator, tmp_path: Path) -> None:
    folder = tmp_path / "zfs"
    (folder / "snapshots").mkdir(parents=True)
    (folder / "zfs").write_text(ZFS.format(folder=folder))
    (folder / "zfs").chmod(0o755)
    (folder / "diff").write_text(ZFS_DIFF.format(src=fed.src))
    base = folder / "snapshots/transfer-20200101T000000Z"
    base.touch()
    (folder / "snapshots/other").touch()
    fed.write("a/1.dat", "changed")
    fed.write("a/2.dat", "changed, and not in the difference")
    fed.write("a/two words\tand\\é.dat")
    (fed.src / "top.dat").rename(fed.src / "b/top.dat")
    shutil.rmtree(fed.src / "b/c")
    fed.write("n/1.dat")

    def run() -> int:
        environment = fed.bare_environment()
        environment["PATH"] = f"{folder}:{environment['PATH']}"
        return subprocess.run(
            [str(ZFS_FEED), "tank/data", *fed.command("main.py", "--wait")], env=environment, check=False
        ).returncode

    globus.world.add_fault("GET /v0.10/endpoint/*", status=403, json={"code": "PermissionDenied"})
    assert run() == 6
    assert base.exists()
    globus.world.clear_faults()
    assert run() == 0

    assert sent_last(fed) == {"a/1.dat", "a/two words\tand\\é.dat", "b/top.dat", "n/"}
    left = sorted(path.name for path in (folder / "snapshots").iterdir())
    assert left[0] == "other"
    assert len(left) == 2
    assert not base.exists()
    scan = fed.summary()
    assert (scan["modified"], scan["new"], scan["vanished"]) == (1, 0, 0)


# Forms of lines that OpenZFS 2.0 to 2.1 printed for others: names in openzfs issue 13550 and pull request 12829, the
# folder of a file's extended attributes in the latter, a file that is held open and deleted in issue 12219.
ZFS_DIFF_SEEN = r"""M	/	{src}/
+	F	{src}/\0343\0201\0202\0343\0201\0202\0343\0201\0202
+	F	{src}/4.\0040sprz\0304\0231ty/_6\0040pompa\0040ciep\0305\0202a/!\0040panel\00402018.02.jpg
+	/	{src}/4.\0040sprz\0304\0231ty/_6\0040pompa\0040ciep\0305\0202a/!\0040panel\00402018.02.jpg/<xattrdir>
-	F	{src}/a/gone\004028\0320\0245.xls
-	/	{src}/a/gone\004028\0320\0245.xls/<xattrdir>
M	F	{src}/(on_delete_queue)
M	/	{src}/a
+	/	{src}/4.\0040sprz\0304\0231ty
+	/	{src}/4.\0040sprz\0304\0231ty/_6\0040pompa\0040ciep\0305\0202a
"""


def test_what_zfs_diff_printed_for_others_is_understood(fed: Route, tmp_path: Path) -> None:
    folder = tmp_path / "zfs"
    (folder / "snapshots").mkdir(parents=True)
    (folder / "zfs").write_text(ZFS.format(folder=folder))
    (folder / "zfs").chmod(0o755)
    (folder / "diff").write_text(ZFS_DIFF_SEEN.format(src=fed.src))
    (folder / "snapshots/transfer-20200101T000000Z").touch()
    fed.write("あああ")
    fed.write("4. sprzęty/_6 pompa ciepła/! panel 2018.02.jpg")
    environment = fed.bare_environment()
    environment["PATH"] = f"{folder}:{environment['PATH']}"

    printed = subprocess.run(
        [str(ZFS_FEED), "tank/data", *fed.command("main.py", "--wait")],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )

    assert (printed.stdout, printed.stderr) == ("", "")
    assert sent_last(fed) == {"あああ", "4. sprzęty/"}
    scan = fed.summary()
    assert (scan["modified"], scan["new"], scan["vanished"]) == (0, 0, 0)


def test_the_first_zfs_snapshot_names_everything(route: Route, tmp_path: Path) -> None:
    (tmp_path / "snapshots").mkdir()
    (tmp_path / "zfs").write_text(ZFS.format(folder=tmp_path))
    (tmp_path / "zfs").chmod(0o755)
    environment = {"PATH": f"{tmp_path}:/usr/bin:/bin"}
    show = ["sh", "-c", 'tr "\\0" "\\n" <"$2"', "show"]

    shown = subprocess.run(
        [str(ZFS_FEED), "tank/data", *show], env=environment, capture_output=True, text=True, check=True
    )

    assert (shown.stdout, shown.stderr) == (".\n", "")
    assert len(list((tmp_path / "snapshots").iterdir())) == 1
    assert not (tmp_path / "calls").exists()


def test_the_shell_sample_is_clean() -> None:
    path_of("shellcheck")
    assert subprocess.run(["shellcheck", str(ZFS_FEED)], check=False).returncode == 0
