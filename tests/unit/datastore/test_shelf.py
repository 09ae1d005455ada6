"""The file of the datastore: how it is opened, under whatever name, and when it is shrunk."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from unittest import mock

import pytest

from autotransfer.datastore import shelf
from autotransfer.datastore.pickles import DamagedValue
from autotransfer.datastore.shelf import KEYS_AT_A_TIME, PAGE_BYTES, Shelf, Table, connect, connect_in_memory, shrink
from autotransfer.datastore.store import Store
from autotransfer.datastore.tasks import Task

ODD_NAMES = ("data?mode=memory", "50%25 done", "run#3", "a b&c=d", "測定", "quote'\"", "~tilde\x7f", "plain")
TASK = Task(1, "sub", "label", "mtime", {}, "/s", "/d", 1, 5, 1, 7)


@pytest.mark.parametrize("name", ODD_NAMES)
@pytest.mark.parametrize("is_writable", [True, False])
def test_a_datastore_is_read_under_any_name_and_nothing_is_made_beside_it(
    tmp_path: Path, name: str, is_writable: bool
) -> None:
    folder = tmp_path / name
    folder.mkdir()
    path = folder / name
    with Store(str(path)) as store:
        store.put_task(TASK)
        store.commit()
    if not is_writable:
        path.chmod(0o400)
    with mock.patch("os.access", return_value=is_writable), Store(str(path), is_read_only=True) as store:
        assert store.ledger.open == {1: TASK}

    assert [found.name for found in folder.iterdir()] == [name]
    assert [found.name for found in tmp_path.iterdir()] == [name]


def pragma(connection: sqlite3.Connection, name: str) -> object:
    return connection.execute(f"PRAGMA {name}").fetchone()[0]


def test_a_file_is_written_so_that_a_power_failure_undoes_no_commit(tmp_path: Path) -> None:
    with closing(connect(str(tmp_path / "new"), is_read_only=False)) as connection:
        assert pragma(connection, "journal_mode") == "delete"
        assert pragma(connection, "synchronous") == 3  # EXTRA
        assert pragma(connection, "fullfsync") == 1
        assert pragma(connection, "page_size") == PAGE_BYTES == 32768
        assert pragma(connection, "cache_size") == -8192


def test_a_file_that_another_program_turned_to_wal_is_turned_back(tmp_path: Path) -> None:
    path = tmp_path / "datastore"
    connect(str(path), is_read_only=False).close()
    with closing(sqlite3.connect(path)) as connection:
        assert pragma(connection, "journal_mode = WAL") == "wal"
    with closing(connect(str(path), is_read_only=False)) as connection:
        assert pragma(connection, "journal_mode") == "delete"

    assert [found.name for found in tmp_path.iterdir()] == ["datastore"]


def test_what_is_opened_to_be_read_cannot_be_written(tmp_path: Path) -> None:
    path = str(tmp_path / "datastore")
    connect(path, is_read_only=False).close()
    with closing(connect(path, is_read_only=True)) as connection, pytest.raises(sqlite3.OperationalError):
        Table(connection)[b"a"] = b"b"


def test_an_empty_file_is_read_as_an_empty_datastore_and_stays_empty(tmp_path: Path) -> None:
    path = tmp_path / "datastore"
    path.touch()
    with closing(connect(str(path), is_read_only=True)) as connection:
        assert len(Table(connection)) == 0

    assert path.stat().st_size == 0


def test_nothing_is_made_where_there_is_only_to_be_read(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        connect(str(tmp_path / "missing"), is_read_only=True)

    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("is_read_only", [True, False])
@pytest.mark.parametrize(
    "sql",
    [
        "CREATE TABLE theirs (a)",
        "CREATE TABLE Dict (key BLOB UNIQUE NOT NULL, value BLOB)",
        "CREATE VIEW Dict AS SELECT 1 AS key, 2 AS value",
    ],
)
def test_what_another_program_made_is_refused_unchanged(tmp_path: Path, sql: str, is_read_only: bool) -> None:
    path = tmp_path / "datastore"
    with closing(sqlite3.connect(path)) as connection:
        connection.execute(sql)
    before = path.read_bytes()
    with pytest.raises(sqlite3.DatabaseError, match="another program made it"):
        connect(str(path), is_read_only=is_read_only)

    assert path.read_bytes() == before


# ---- the table ---------------------------------------------------------------------------------------------------


@pytest.fixture
def table() -> Table:
    return Table(connect_in_memory())


@pytest.mark.parametrize("count", [0, 1, KEYS_AT_A_TIME - 1, KEYS_AT_A_TIME, KEYS_AT_A_TIME + 1, 2 * KEYS_AT_A_TIME])
def test_all_keys_come_once_and_in_order(table: Table, count: int) -> None:
    keys = [f"{number:06}".encode() for number in range(count)]
    for key in reversed(keys):
        table[key] = b"v" + key

    assert list(table) == list(table.keys_from(b"", None)) == keys
    assert list(table.keys_from(b"", b"~")) == keys
    assert table.many([*keys, b"missing"]) == {key: b"v" + key for key in keys}
    assert len(table) == count


def test_a_range_has_its_first_key_and_not_its_end(table: Table) -> None:
    for key in (b"a", b"b", b"b/x", b"c"):
        table[key] = b""

    assert list(table.keys_from(b"b", b"c")) == [b"b", b"b/x"]
    assert list(Shelf(table).keys_below("b")) == ["b", "b/x"]
    assert list(Shelf(table).keys_below("b", after="b")) == ["b/x"]


def test_what_is_not_there_is_a_key_error(table: Table) -> None:
    for act in (lambda: table[b"a"], lambda: table.__delitem__(b"a"), lambda: Shelf(table)["a"]):
        with pytest.raises(KeyError):
            act()

    assert b"a" not in table
    assert Shelf(table).get("a", 5) == 5
    table[b"a"] = b""
    assert b"a" in table
    del table[b"a"]
    assert len(table) == 0


def test_a_value_that_could_not_be_read_back_is_not_written(table: Table) -> None:
    with pytest.raises(ValueError, match="APART"):
        Shelf(table)["APART"] = ("x",)
    nested: list[object] = []
    nested.append(nested)
    with pytest.raises(ValueError, match="APART"):
        Shelf(table)["APART"] = nested

    assert len(table) == 0


def test_a_damaged_key_is_named_as_such(table: Table) -> None:
    table._connection.execute("INSERT INTO Dict VALUES (x'ff', x'00')")
    with pytest.raises(DamagedValue, match="not UTF-8"):
        list(Shelf(table))


def test_a_damaged_value_is_named_as_such(table: Table) -> None:
    table._connection.execute("INSERT INTO Dict VALUES (CAST('APART' AS BLOB), 'text')")
    with pytest.raises(DamagedValue, match="value in it is not bytes"):
        Shelf(table)["APART"]


def test_each_transaction_gives_the_file_another_number_and_only_one(table: Table) -> None:
    numbers = set()
    for _ in range(4):
        table[b"a"] = b""
        first = pragma(table._connection, "user_version")
        table[b"b"] = b""
        assert pragma(table._connection, "user_version") == first
        numbers.add(first)
        table._connection.commit()

    assert len(numbers) == 4
    assert min(numbers) >= 0  # type: ignore[type-var, operator]


# ---- its size ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kept", "removed", "is_large", "is_shrunk"),
    [(10, 90, True, True), (10, 90, False, False), (20, 80, True, True), (40, 60, True, False)],
)
def test_a_large_file_is_shrunk_once_three_quarters_of_it_are_free(
    tmp_path: Path, kept: int, removed: int, is_large: bool, is_shrunk: bool
) -> None:
    path = tmp_path / "datastore"
    with closing(connect(str(path), is_read_only=False)) as connection:
        table = Table(connection)
        for number in range(kept + removed):
            table[b"%03d" % number] = bytes(PAGE_BYTES - 200)
        connection.commit()
        for number in range(removed):
            del table[b"%03d" % number]
        connection.commit()
        pages, free = pragma(connection, "page_count"), pragma(connection, "freelist_count")
        assert isinstance(pages, int) and isinstance(free, int)
        limit = pages * PAGE_BYTES if is_large else pages * PAGE_BYTES + 1
        with mock.patch.object(shelf, "SHRUNK_FROM_BYTES", limit):
            shrink(connection)

        assert (pragma(connection, "freelist_count") == 0) == is_shrunk
        assert (free * 4 >= pages * 3) == (removed >= 75)
