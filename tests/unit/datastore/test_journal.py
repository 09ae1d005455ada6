"""Whether a rollback journal belongs to the database beside it: never a wrong yes where pages differ, never a wrong no.

Journals are those that SQLite leaves: each is copied, with the file, while a change is under way, as a kill would do.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from autotransfer.datastore.journal import is_foreign, set_aside
from autotransfer.datastore.shelf import begin, connect


@pytest.fixture
def database(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    (tmp_path / "now").mkdir()
    connection = connect(str(tmp_path / "now/datastore"), is_read_only=False)
    connection.execute("PRAGMA cache_size = 2")  # pages, so that changes reach the file before the commit
    write(connection, 10)
    connection.commit()
    yield connection
    connection.close()


def write(connection: sqlite3.Connection, keys: int, *, marked: bool = True) -> None:
    if marked:
        begin(connection)
    for number in range(keys):
        connection.execute("REPLACE INTO Dict VALUES (?, ?)", (b"%d" % number, os.urandom(20_000)))


def copied(folder: Path, name: str) -> Path:
    """The folder as it is now, under another name; returns the copied file."""
    shutil.copytree(folder / "now", folder / name)
    return folder / name / "datastore"


def is_whole(path: Path) -> bool:
    connection = sqlite3.connect(path)
    try:
        return connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    finally:
        connection.close()


@pytest.mark.parametrize("marked", [True, False], ids=["ours", "of a version that did not mark"])
@pytest.mark.parametrize("keys", [1, 10, 20], ids=["in memory", "spilled", "spilled and grown"])
def test_the_journal_of_a_change_under_way_is_its_own(
    tmp_path: Path, database: sqlite3.Connection, keys: int, marked: bool
) -> None:
    write(database, keys, marked=marked)

    path = copied(tmp_path, "killed")

    assert Path(f"{path}-journal").stat().st_size > 0
    assert not is_foreign(str(path))
    assert is_whole(path)


@pytest.mark.parametrize("marked", [True, False], ids=["ours", "of a version that did not mark"])
def test_the_journal_is_its_own_when_the_whole_change_was_written(
    tmp_path: Path, database: sqlite3.Connection, marked: bool
) -> None:
    """Killed just before the journal is removed."""
    write(database, 20, marked=marked)
    kept = tmp_path / "kept"
    os.link(tmp_path / "now/datastore-journal", kept)  # the commit removes its name
    database.commit()
    path = copied(tmp_path, "committed")
    shutil.copy(kept, f"{path}-journal")

    assert not is_foreign(str(path))
    assert is_whole(path)


def test_a_journal_beside_an_older_or_newer_copy_is_foreign(tmp_path: Path, database: sqlite3.Connection) -> None:
    older = copied(tmp_path, "older")
    for _ in range(3):
        write(database, 14)
        database.commit()
    write(database, 14)
    killed = copied(tmp_path, "killed")
    database.commit()
    write(database, 14)
    database.commit()
    newer = copied(tmp_path, "newer")

    for path in (older, newer):
        shutil.copy(f"{killed}-journal", f"{path}-journal")
        assert is_foreign(str(path))
        assert set_aside(str(path)) == f"{path}-journal.unused"
        assert not Path(f"{path}-journal").exists()
        assert is_whole(path)
    assert set_aside(str(killed)) == ""


def test_a_journal_beside_another_file_with_as_many_changes_is_foreign(
    tmp_path: Path, database: sqlite3.Connection
) -> None:
    """The same backup, gone on from twice."""
    backup = copied(tmp_path, "other")
    write(database, 10)
    database.commit()
    write(database, 10)
    killed = copied(tmp_path, "killed")
    other = connect(str(backup), is_read_only=False)
    write(other, 10)
    other.commit()
    other.close()
    shutil.copy(f"{killed}-journal", f"{backup}-journal")

    assert is_foreign(str(backup))


def test_a_journal_of_the_very_first_change_is_foreign_to_a_grown_file(
    tmp_path: Path, database: sqlite3.Connection
) -> None:
    path = copied(tmp_path, "grown")
    first = sqlite3.connect(tmp_path / "first")
    first.execute("PRAGMA page_size = 32768")
    first.execute("PRAGMA cache_size = 2")
    first.execute("BEGIN")
    first.execute("CREATE TABLE Dict (key BLOB UNIQUE NOT NULL, value BLOB NOT NULL)")
    write(first, 10)
    shutil.copy(tmp_path / "first-journal", f"{path}-journal")
    first.close()

    assert is_foreign(str(path))


@pytest.mark.parametrize("journal", [b"", b"\0" * 512, b"garbage" * 100], ids=["empty", "zeros", "garbage"])
def test_what_is_no_journal_is_left_to_sqlite(tmp_path: Path, database: sqlite3.Connection, journal: bytes) -> None:
    path = copied(tmp_path, "copy")
    Path(f"{path}-journal").write_bytes(journal)

    assert not is_foreign(str(path))
    assert is_whole(path)
