"""How often a run reads and writes what its datastore holds: each record once on its way."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import pytest
from suite import Route

from autotransfer.datastore.shelf import Table


class Counted:
    """How often each key was read, and written."""

    def __init__(self) -> None:
        self.reads: Counter[str] = Counter()
        self.writes: Counter[str] = Counter()

    def clear(self) -> None:
        self.reads.clear()
        self.writes.clear()


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> Iterator[Counted]:
    """Of all runs in this process."""
    found = Counted()
    read, write = Table.__getitem__, Table.__setitem__

    def counting_read(table: Table, key: bytes) -> bytes:
        found.reads[key.decode()] += 1
        return read(table, key)

    def counting_write(table: Table, key: bytes, value: bytes) -> None:
        found.writes[key.decode()] += 1
        write(table, key, value)

    monkeypatch.setattr(Table, "__getitem__", counting_read)
    monkeypatch.setattr(Table, "__setitem__", counting_write)
    yield found


def test_a_run_reads_the_ledger_once(route: Route, counted: Counted) -> None:
    for number in range(3):
        route.write(f"{number}.dat")
    route.configure(MAX_ITEMS_PER_TASK=1)

    assert route.summary_here()["submitted"] == 3
    assert counted.reads["LEDGER"] == 1
    counted.clear()
    assert route.summary_here()["succeeded"] == 3
    assert counted.reads["LEDGER"] == 1


def test_a_run_reads_the_record_of_a_folder_once(route: Route, counted: Counted) -> None:
    for name in ("same", "changed", "gains a folder"):
        route.write(f"{name}/0.dat")
    route.deliver_here()
    route.write("changed/0.dat", "something else")
    route.write("changed/1.dat")
    route.write("gains a folder/new/2.dat")
    counted.clear()

    assert route.summary_here()["sent_files"] == 3

    assert {key: count for key, count in counted.reads.items() if key.startswith("/")} == {
        "/": 3,  # first of all, whether anything is recorded, and whether SRC_DIR still is the folder that it was
        "/same": 1,
        "/changed": 1,
        "/gains a folder": 2,  # for what the new folder inherits
        "/gains a folder/new": 2,  # there is none; then to give it to its task
    }
    assert counted.writes["/changed"] == counted.writes["/gains a folder"] == 1
    assert counted.writes["/same"] == 0
