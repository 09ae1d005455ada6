"""The main job, end to end: a tree, the real SDK over HTTP, a destination."""

from __future__ import annotations

import os
import time

import pytest
from evidence_kept import recorded
from suite import DAY_SECONDS, LONG_AGO, Route, start_with_one_file_away

from emulator.http.server import Emulator


def test_a_new_tree_arrives_and_a_second_run_submits_nothing(route: Route) -> None:
    route.write("run1/a.txt", "a")
    route.write("run1/deep/b.txt", "b")
    (route.src / "empty").mkdir()
    os.utime(route.src / "empty", (LONG_AGO, LONG_AGO))

    first = route.deliver()

    assert route.tree(route.dst) == route.tree()
    assert (first["new"], first["delivered"]) == (3, 3)
    assert route.summary()["submitted"] == 0


def test_a_directory_that_is_new_as_a_whole_travels_as_one_item(route: Route) -> None:
    for number in range(20):
        route.write(f"scan/deep{number % 3}/frame{number}.tif")

    route.deliver_here()

    (document,) = route.sent()
    assert route.sent_paths(document) == {"scan/"}
    assert route.tree(route.dst) == route.tree()


def test_only_what_changed_is_sent_with_the_sync_level_it_needs(route: Route) -> None:
    for name in ("same", "newer", "older", "touched"):
        route.write(f"{name}.txt")
    route.deliver_here()
    route.write("newer.txt", "other content", mtime_seconds=time.time() + 100)
    route.write("older.txt", "CONTENT", mtime_seconds=LONG_AGO - 100)
    route.write("added.txt")

    route.deliver_here()

    levels = {document["sync_level"]: route.sent_paths(document) for document in route.sent()[1:]}
    assert levels == {2: {"newer.txt", "added.txt"}, 3: {"older.txt"}}
    assert route.tree(route.dst) == route.tree()


def test_a_file_touched_a_moment_ago_waits_for_a_later_run(route: Route) -> None:
    route.configure(SETTLE_SECONDS=DAY_SECONDS)
    route.write("growing.dat", mtime_seconds=time.time() - 5)
    route.write("finished.dat", mtime_seconds=time.time() - 2 * DAY_SECONDS)

    summary = route.deliver()

    assert (summary["new"], summary["unsettled"]) == (1, 1)
    assert set(route.tree(route.dst)) == {"finished.dat"}


def test_a_timestamp_in_the_future_counts_as_settled(route: Route) -> None:
    route.configure(SETTLE_SECONDS=60)
    route.write("from_a_wrong_clock.dat", mtime_seconds=time.time() + 86400)

    assert route.deliver()["delivered"] == 1


def test_a_vanished_file_is_forgotten_and_stays_at_the_destination(route: Route) -> None:
    route.write("a.txt")
    route.write("folder/b.txt")
    route.write("folder/c.txt")
    route.deliver_here()
    (route.src / "folder/b.txt").unlink()

    summary = route.summary()

    assert (summary["vanished"], summary["submitted"]) == (1, 0)
    assert (route.dst / "folder/b.txt").exists()


def test_a_file_that_vanished_and_comes_back_older_is_compared_by_checksum(route: Route) -> None:
    route.write("a.txt", "first")
    route.write("b.txt", "other")
    route.deliver_here()
    (route.src / "a.txt").unlink()
    route.summary_here()
    route.write("a.txt", "FIRST", mtime_seconds=LONG_AGO - 1000)

    route.deliver_here()

    assert route.tree(route.dst) == route.tree()


def test_paths_in_flight_are_not_submitted_again(route: Route, globus: Emulator) -> None:
    globus.world.set_progress("polls:1000")
    route.write("slow.dat")
    route.summary_here()
    route.write("slow.dat", "changed meanwhile", mtime_seconds=LONG_AGO + 50)

    summary = route.summary()

    assert (summary["submitted"], summary["waiting"], summary["in_flight_tasks"]) == (0, 1, 1)


def test_a_file_that_changed_under_way_is_sent_again_by_checksum(route: Route, globus: Emulator) -> None:
    globus.world.set_progress("polls:2")
    route.write("a.dat", "first")
    route.summary_here()
    route.write("a.dat", "other", mtime_seconds=LONG_AGO + 0.5)

    for _ in range(6):
        route.summary_here()

    assert [document["sync_level"] for document in route.sent()] == [2, 3]
    assert route.tree(route.dst) == route.tree()


def test_a_file_that_became_empty_between_copying_and_verifying_is_known_by_its_last_copy(
    route: Route, globus: Emulator
) -> None:
    """All five bytes are counted, though they were copied first and nothing after the fault: the list has the size."""
    route.write("a.dat", "other size")
    route.deliver_here()
    globus.world.set_progress("polls:2")
    path = route.write("a.dat", "first", mtime_seconds=LONG_AGO + 50)
    route.summary_here()
    route.summary_here()
    os.truncate(path, 0)
    os.utime(path, (LONG_AGO, LONG_AGO + 40))
    globus.world.set_progress("immediate")

    first = list(globus.world.tasks.values())[-1]
    for _ in range(3):
        route.summary_here()

    assert (first.faults, first.bytes_transferred, first.arrivals[-1].size_bytes) == (1, 5, 0)
    assert recorded(route) == {"a.dat": "equal"}
    assert route.tree(route.dst) == route.tree()


def test_what_appears_in_a_folder_that_travels_as_a_whole_waits_for_its_task(route: Route, globus: Emulator) -> None:
    globus.world.set_progress("polls:3")
    route.write("scan/a.dat")
    route.summary_here()
    route.write("scan/late.dat")
    route.write("scan/deeper/later.dat")

    assert route.summary()["waiting"] == 2
    for _ in range(8):
        route.summary_here()

    assert route.tree(route.dst) == route.tree()
    assert globus.world.conflicts == []


def test_a_failed_task_is_reported_and_the_next_run_sends_its_files_again(route: Route, globus: Emulator) -> None:
    route.write("a.txt")
    route.write("b.txt")
    globus.world.add_outcome("fail", path="*", times=1, code="ENDPOINT_ERROR")
    first = route.summary()

    second = route.summary(status=3)
    route.deliver_here()

    assert first["submitted"] == 1
    assert (second["failed"], second["retrying"], second["retried"]) == (1, 2, 2)
    assert "ENDPOINT_ERROR" in second["notices"][0]
    assert route.sent()[1]["sync_level"] == 3
    assert route.tree(route.dst) == route.tree()


def test_skipped_files_are_reported_and_tried_again(route: Route, globus: Emulator) -> None:
    route.write("good.txt")
    route.write("bad.txt")
    globus.world.add_outcome("skip", path="*/bad.txt", times=1, code="PERMISSION_DENIED")
    route.summary_here()

    second = route.summary(status=3)
    route.deliver_here()

    assert (second["delivered"], second["retrying"]) == (1, 1)
    assert "did not send bad.txt: Globus could not read it (PERMISSION_DENIED)" in second["notices"][0]
    assert route.tree(route.dst) == route.tree()


def test_a_request_that_is_too_large_is_halved(route: Route, globus: Emulator) -> None:
    globus.world.limits.items_per_task = 3
    for number in range(10):
        route.write(f"{number}.txt")

    summary = route.deliver()

    assert summary["delivered"] == 10
    assert {len(document["DATA"]) for document in route.sent()} <= {1, 2, 3}


def test_no_more_tasks_than_allowed_are_in_flight(route: Route, globus: Emulator) -> None:
    globus.world.set_progress("polls:4")
    route.configure(MAX_ITEMS_PER_TASK=2, MAX_TASKS_IN_FLIGHT=3)
    for number in range(10):
        route.write(f"{number}.txt")

    summary = route.summary()

    assert (summary["submitted"], summary["waiting"]) == (3, 4)
    for _ in range(12):
        assert route.summary()["in_flight_tasks"] <= 3
    assert route.tree(route.dst) == route.tree()


@pytest.mark.parametrize(
    ("folder", "sent"), [("run1", {"run1/a.txt", "run1/deep/b.txt"}), ("run1/deep", {"run1/deep/b.txt"})]
)
def test_set_time_never_on_a_folder_sends_each_file_in_it_again(route: Route, folder: str, sent: set[str]) -> None:
    """One by one: a comparison by checksum proves a file equal only as an item of its own."""
    route.write("run1/a.txt")
    route.write("run1/deep/b.txt")
    route.write("run10/c.txt")
    route.deliver_here()

    route.run("set_time.py", "never", "--path", str(route.src / folder), says="will be sent by the next run")
    route.deliver_here()

    assert route.sent_paths(route.sent()[-1]) == sent
    assert route.sent()[-1]["sync_level"] == 3
    route.run_here("status.py", "--path", str(route.src / folder))


def test_a_dry_run_lists_every_path_and_why_and_changes_nothing(route: Route, globus: Emulator) -> None:
    route.write("folder/new.txt")
    before = sorted(path.name for path in route.code_path.iterdir())

    result = route.run("main.py", "--dry-run", says="1 path (7 B) would be sent: 1 new.")

    assert "folder/new.txt" in result.stdout
    assert sorted(path.name for path in route.code_path.iterdir()) == [*before, "lock"]
    assert route.sent() == []


def test_a_run_with_nothing_to_do_calls_nobody_and_imports_no_sdk(lonely_route: Route) -> None:
    lonely_route.write("known.txt")
    lonely_route.run_here("set_time.py", "now")
    lonely_route.environment["PYTHONVERBOSE"] = "1"

    result = lonely_route.run("main.py", says="")

    assert "globus_sdk" not in result.stderr
    assert "autotransfer.datastore.store" in result.stderr


def test_an_empty_tree_is_refused_until_a_person_confirms_it_even_with_a_task_under_way(
    route: Route, globus: Emulator
) -> None:
    globus.world.set_progress("polls:3")
    route.write("a.txt")
    route.summary_here()
    (route.src / "a.txt").unlink()

    route.run("main.py", status=5, says="Is its disk mounted?")
    route.run_here("set_time.py", "now")
    for _ in range(4):
        route.summary_here()
    assert route.summary()["in_flight_tasks"] == 0

    route.write("b.txt")
    route.deliver_here()
    (route.src / "b.txt").unlink()
    route.run("main.py", status=5, says="Is its disk mounted?")


def test_the_log_closes_with_the_exit_status_of_the_run(route: Route, globus: Emulator) -> None:
    route.write("a.txt")
    globus.world.change_collection(route.settings["DST_ID"], gcp_connected=False)

    route.run("main.py", status=6)

    assert "run status=6" in (route.code_path / "log").read_text().splitlines()[-2]


def test_a_file_that_was_away_when_its_folder_was_transferred_is_sent_again(route: Route, globus: Emulator) -> None:
    start_with_one_file_away(route, "abc")

    settled = route.summary()
    route.deliver_here()

    assert (settled["delivered"], settled["retried"]) == (2, 1)
    assert route.tree(route.dst) == route.tree()


def test_files_that_keep_failing_leave_room_for_new_ones(route: Route, globus: Emulator) -> None:
    route.configure(MAX_ITEMS_PER_TASK=1, MAX_TASKS_IN_FLIGHT=4)
    for number in range(4):
        route.write(f"bad{number}.dat")
    globus.world.add_outcome("fail", path="*/bad*", times=4, code="ENDPOINT_ERROR")
    route.summary_here()
    globus.world.add_outcome("stall", path="*/bad*", times=None, code="ENDPOINT_ERROR")
    route.summary_here(status=3)

    route.write("good.dat")
    assert route.summary(status=3)["submitted"] == 1

    for _ in range(3):
        route.summary_here(status=None)
    assert set(route.tree(route.dst)) >= {"good.dat"}
