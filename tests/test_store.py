"""The datastore: durable, owner-only, and never code."""

from __future__ import annotations

import os
import pickle
import shelve
import sqlite3
import stat
import sys
from pathlib import Path
from typing import Any

import pytest

from autotransfer.errors import ConfigurationProblem
from autotransfer.ledger import Task
from autotransfer.store import FORMAT_VERSION, IN_MEMORY, KEYS_AT_A_TIME, Store
from autotransfer.trie import Delivered, Folder

ROUTE = {"SRC_ID": "s", "SRC_DIR": "/s", "DST_ID": "d", "DST_DIR": "/d"}


@pytest.fixture
def path(tmp_path: Path) -> str:
    return str(tmp_path / "datastore")


def with_value(path: str, key: str, value: bytes) -> None:
    """Write a raw value into a datastore."""
    with Store(path) as store:
        store.commit()
    with sqlite3.connect(path) as connection:
        connection.execute("REPLACE INTO Dict (key, value) VALUES (?, ?)", (key.encode(), value))
    connection.close()


def test_what_was_committed_is_there_and_the_rest_is_not(path: str) -> None:
    with Store(path) as store:
        store.shelf["kept"] = {"a": [1, 2.5, None, "é", b"\xff", ("x",)]}
        store.commit()
        store.shelf["dropped"] = 1
        store.rollback()
        store.shelf["lost"] = 1

    with Store(path) as store:
        assert store.shelf["kept"] == {"a": [1, 2.5, None, "é", b"\xff", ("x",)]}
        assert "dropped" not in store.shelf
        assert store.shelf.get("lost") is None


def test_the_file_is_the_owners_alone_from_its_first_instant_and_again(path: str) -> None:
    before = os.umask(0)
    try:
        Store(path).close()
        assert stat.S_IMODE(os.stat(path).st_mode) == 0o600
        os.chmod(path, 0o664)
        Store(path).close()
    finally:
        os.umask(before)

    assert stat.S_IMODE(os.stat(path).st_mode) == 0o600


def test_a_symlink_in_its_place_is_refused(path: str, tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_text("mine")
    os.symlink(victim, path)

    with pytest.raises(ConfigurationProblem, match="is a symbolic link"):
        Store(path)
    assert victim.read_text() == "mine"


class Bomb:
    def __reduce__(self) -> Any:
        return (os.system, ("echo boom > /dev/null",))


@pytest.mark.parametrize("value", [Bomb(), Path("/x"), {"a": {"b": Bomb()}}, len])
def test_a_record_that_names_code_is_refused(path: str, value: object) -> None:
    with_value(path, "LEDGER", pickle.dumps(value))

    refused = pytest.raises(ConfigurationProblem, match=r"names .*; it may hold only plain values")
    with Store(path) as store, refused, store.explained():
        store.shelf.get("LEDGER")


@pytest.mark.parametrize("value", [b"", b"\x80\x04", b"garbage", pickle.dumps({"a": 1})[:-3]])
def test_a_record_that_is_cut_off_is_a_problem_and_no_traceback(path: str, value: bytes) -> None:
    with_value(path, "LEDGER", value)

    with Store(path) as store, pytest.raises(ConfigurationProblem, match="cannot be used"), store.explained():
        store.shelf.get("LEDGER")


@pytest.mark.parametrize("found", [FORMAT_VERSION + 1, 0, "1", None, 1.5])
def test_an_unknown_format_is_refused_by_name_and_left_alone(path: str, found: object) -> None:
    with_value(path, "FORMAT_VERSION", pickle.dumps(found))
    before = Path(path).read_bytes()

    with pytest.raises(ConfigurationProblem) as problem:
        Store(path)

    assert path in str(problem.value)
    assert Path(path).read_bytes() == before


def test_a_file_of_another_kind_is_refused_and_left_alone(path: str) -> None:
    content = b"not a database at all, but long enough to have a header" * 20
    Path(path).write_bytes(content)

    with pytest.raises(ConfigurationProblem, match="cannot be used"):
        Store(path)

    assert Path(path).read_bytes() == content


def test_a_datastore_that_was_cut_off_is_refused(path: str) -> None:
    with Store(path) as store:
        for number in range(2000):
            store.shelf[f"key {number}"] = "x" * 200
        store.commit()
    os.truncate(path, 100_000)

    with pytest.raises(ConfigurationProblem, match="cannot be used"), Store(path) as store, store.explained():
        assert len(list(store.shelf)) < 0


def test_a_shelf_of_another_program_is_refused(path: str) -> None:
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE Dict (key BLOB UNIQUE NOT NULL, value BLOB NOT NULL)")
    connection.execute("INSERT INTO Dict VALUES (x'6b', x'76')")
    connection.commit()
    connection.close()

    with pytest.raises(ConfigurationProblem, match="another program made it"):
        Store(path)


def test_a_folder_or_a_missing_folder_in_its_place_is_explained(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationProblem, match="is a folder"):
        Store(str(tmp_path))
    with pytest.raises(ConfigurationProblem, match="no such file"):
        Store(str(tmp_path / "nowhere" / "datastore"))


def test_a_reader_changes_nothing_and_needs_an_existing_file(path: str) -> None:
    with pytest.raises(ConfigurationProblem):
        Store(path, is_read_only=True)
    assert not Path(path).exists()
    Store(path).close()
    before = Path(path).read_bytes()

    with Store(path, is_read_only=True) as store:
        assert store.shelf["FORMAT_VERSION"] == FORMAT_VERSION
        with pytest.raises(ConfigurationProblem), store.explained():
            store.shelf["x"] = 1

    assert Path(path).read_bytes() == before


def test_a_store_in_memory_leaves_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with Store(IN_MEMORY) as store:
        store.shelf["a"] = 1
        store.commit()
        assert store.shelf["a"] == 1

    assert list(tmp_path.iterdir()) == []


def test_keys_below_a_prefix_come_in_order_while_the_shelf_changes(path: str) -> None:
    count = KEYS_AT_A_TIME * 2 + 7
    with Store(path) as store:
        for number in range(count):
            store.shelf[f"/a/{number:05}"] = 1
        store.shelf["/a"] = store.shelf["/a0"] = store.shelf["/a.b"] = 1
        seen = []
        for key in store.shelf.keys_below("/a/"):
            seen.append(key)
            del store.shelf[key]

        assert seen == [f"/a/{number:05}" for number in range(count)]
        assert list(store.shelf.keys_below("/a")) == ["/a", "/a.b", "/a0"]


def test_keys_that_are_added_behind_are_not_met_and_ahead_are(path: str) -> None:
    with Store(path) as store:
        for number in range(0, KEYS_AT_A_TIME * 2, 2):
            store.shelf[f"/a/{number:05}"] = 1
        keys = store.shelf.keys_below("/a/")
        next(keys)
        store.shelf["/a/-"] = 1
        store.shelf[f"/a/{KEYS_AT_A_TIME * 2 - 1:05}"] = 1
        rest = list(keys)

    assert "/a/-" not in rest
    assert rest[-1] == f"/a/{KEYS_AT_A_TIME * 2 - 1:05}"


def test_names_of_every_kind_are_keys(path: str) -> None:
    names = ["a b", "quote'\"", "new\nline", "\u00e9", "e\u0301", "\U0001f600", "%_?", "x" * 4000]
    with Store(path) as store:
        for name in names:
            folder = Folder()
            folder.delivered[name] = Delivered(-5, 1 << 40, 3, 4)
            store.trie.put(name, folder)
        store.commit()

    with Store(path) as store:
        assert sorted(store.trie.below("")) == sorted(names)
        assert all(store.trie.folder(name).delivered == {name: Delivered(-5, 1 << 40, 3, 4)} for name in names)


def test_records_are_about_one_route(path: str) -> None:
    with Store(path) as store:
        store.claim(ROUTE)
        store.claim(ROUTE)
        with pytest.raises(ConfigurationProblem, match="DST_DIR was /d, is now /e"):
            store.claim({**ROUTE, "DST_DIR": "/e"})
        assert store.shelf["ROUTE"] == ROUTE
        store.claim({**ROUTE, "DST_DIR": "/e"}, is_anew=True)
        assert store.shelf["ROUTE"]["DST_DIR"] == "/e"


def test_a_task_moves_from_the_open_ones_to_the_history(path: str) -> None:
    task = Task(1, "sub", "label", "mtime", {"a": 1}, "/s", "/d", 5, 50, 2, 7)
    with Store(path) as store:
        store.put_task(task)
        store.put_items(1, [("a", False, 1, 10)])
        assert (store.ledger.open, store.ledger.next_number) == ({1: task}, 2)
        assert store.items(1) == [("a", False, 1, 10)]

        store.archive(task.ended("succeeded", now_ns=9, reason="", arrived=1, returned=0))

        assert (store.ledger.open, store.ledger.next_number) == ({}, 2)
        assert store.items(1) == []
        assert [each.state for each in store.history()] == ["succeeded"]


@pytest.mark.skipif(sys.version_info < (3, 13), reason="dbm.sqlite3 came with Python 3.13")
def test_a_plain_shelf_reads_it(path: str) -> None:
    with Store(path) as store:
        store.claim(ROUTE)
        store.commit()

    with shelve.open(path, flag="r") as shelf:
        assert shelf["ROUTE"] == ROUTE
        assert shelf["FORMAT_VERSION"] == FORMAT_VERSION
