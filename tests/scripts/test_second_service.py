"""The main story against a service that is not the emulator, so that client and emulator cannot share a mistake."""

from __future__ import annotations

import os

from small_globus import MTIME, SmallGlobus
from suite import LONG_AGO, Route


def test_a_tree_arrives_and_is_sent_once(there: Route, service: SmallGlobus) -> None:
    for rel_path in ("top.dat", "scan/a.dat", "scan/deep/b.dat"):
        there.write(rel_path, rel_path)
    (there.src / "empty").mkdir()
    os.utime(there.src / "empty", (LONG_AGO, LONG_AGO))

    there.deliver_here()
    again = there.summary_here()

    assert there.tree(there.dst) == there.tree()
    assert (again["submitted"], again["in_flight_tasks"], len(service.tasks)) == (0, 0, 1)
    assert service.newest.posted["sync_level"] == MTIME
    assert "Everything delivered" in there.run("status.py").stdout


def test_a_modified_file_is_sent_alone(there: Route, service: SmallGlobus) -> None:
    there.write("scan/a.dat", "one")
    there.write("scan/b.dat", "one")
    there.deliver_here()

    there.write("scan/b.dat", "two and more", mtime_seconds=LONG_AGO + 100)
    there.deliver_here()

    (item,) = service.newest.posted["DATA"]
    assert item["source_path"] == str(there.src / "scan/b.dat")
    assert there.tree(there.dst) == there.tree()


def test_a_file_that_the_node_does_not_see_is_named_and_arrives_once_it_does(
    there: Route, service: SmallGlobus
) -> None:
    there.write("a.dat")
    hidden = there.write("b.dat")
    service.seen = lambda path: None if path == str(hidden) else path

    there.run_here("main.py", "--wait", "60", status=3, says="b.dat")
    service.seen = lambda path: path
    there.deliver_here()

    assert there.tree(there.dst) == there.tree()
