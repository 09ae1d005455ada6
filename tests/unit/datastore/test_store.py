"""The datastore: durable, owner-only, and never code."""

from __future__ import annotations

import os
import pickle
import random
import shelve
import sqlite3
import stat
import sys
from array import array
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from autotransfer.common.errors import ConfigurationProblem
from autotransfer.common.paths import FOLDER_ITSELF
from autotransfer.datastore import pickles
from autotransfer.datastore.evidence import ASSUMED, FOUND
from autotransfer.datastore.history import FAILED_LATELY_NS
from autotransfer.datastore.pickles import DamagedValue
from autotransfer.datastore.record import LAG_UNKNOWN, Delivered, Folder, InFlight, Retry
from autotransfer.datastore.schema import TASK_FORMS
from autotransfer.datastore.shelf import KEYS_AT_A_TIME, Table
from autotransfer.datastore.store import FORMAT_VERSION, IN_MEMORY, Store
from autotransfer.datastore.tasks import EndedTask, Item, Ledger, Task, pack_tasks

ROUTE = {"SRC_ID": "s", "SRC_DIR": "/s", "DST_ID": "d", "DST_DIR": "/d"}


# A fifth of the product's, so that a history is long sooner.
KEPT_WHOLE, SWEPT_FROM = 200, 2_000


@pytest.fixture(autouse=True)
def short_history(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("autotransfer.datastore.history.KEPT_WHOLE", KEPT_WHOLE)
    monkeypatch.setattr("autotransfer.datastore.history.SWEPT_FROM", SWEPT_FROM)


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


def test_what_is_in_flight_has_the_columns_of_its_format(path: str) -> None:
    folder = Folder()
    folder.in_flight["a"] = InFlight(1, 2, 3)
    record = folder.pack()
    with_value(path, "/", pickle.dumps(tuple(record._replace(in_flight=record.in_flight[:4]))))

    with Store(path) as store, pytest.raises(ConfigurationProblem, match="cannot be used"), store.explained():
        store.trie.record("")


def nested(levels: int) -> bytes:
    """The pickle of {1: {1: ...}}, which the interpreter's own pickler makes only to some depth."""
    return b"\x80\x04" + b"}X\x01\x00\x00\x00a" * levels + b"N" + b"s" * levels + b"."


RING: dict[str, Any] = {}
RING["self"] = RING


@pytest.mark.parametrize("value", [nested(100_000), pickle.dumps(RING)])
def test_a_value_without_end_is_a_problem_and_no_traceback(path: str, value: bytes) -> None:
    with_value(path, "LAST_RUN", value)

    refused = pytest.raises(ConfigurationProblem, match="its entry LAST_RUN has not the form")
    with Store(path) as store, refused, store.explained():
        store.shelf.get("LAST_RUN")


# Without the opcode of a memo index of four bytes: it may claim more memory than a test should take.
BYTES = bytes(set(range(256)) - {ord("r")})


@pytest.mark.parametrize("seed", range(10))
def test_random_damage_is_read_or_refused(path: str, seed: int, capsys: pytest.CaptureFixture[str]) -> None:
    print(f"seed {seed}")
    chance = random.Random(seed)
    whole = pickle.dumps(FOLDER, 4)
    for _ in range(300):
        damaged = bytearray(whole)
        for _ in range(chance.randint(1, 4)):
            damaged[chance.randrange(len(damaged))] = chance.choice(BYTES)
        try:
            pickles.load(bytes(damaged[: chance.choice([None, chance.randrange(len(damaged))])]))
        except DamagedValue as refused:
            assert "in it" in str(refused)


TASK = Task(1, "sub", "label", "mtime", {"a": [1, None, "x"]}, "/s", "/d", 5, 50, 2, 7)
FOLDER = ("a/b", ("q", bytes(16)), 5, 0, 3, "c", (), {"b": (1, 2, 3, 4, "CODE", 5)}, 0, 0)
WRONG_COLUMNS: tuple[Any, ...] = (
    *(None, "1", [1], [1, "2"]),
    *(("q", bytes(15)), ("x", b""), ([], b""), (1, bytes(16)), ("q", "x" * 16)),
)
# What each key holds, and values that look much like it.
WRONG: dict[str, tuple[Any, list[Any]]] = {
    "ROUTE": (ROUTE, [None, [], {1: "a"}, {"SRC_ID": None}, {"SRC_ID": "\udcff"}]),
    "LEDGER": (
        Ledger({1: TASK}, 2).as_builtins(),
        [
            *(None, {}, {"open": {}}, {"open": {}, "next_number": "2"}, {"open": {}, "next_number": 1 << 40}),
            {"open": [], "next_number": 1},
            {"open": {1: {}}, "next_number": 2},
            {"open": {2: TASK._asdict()}, "next_number": 3},
            {"open": {1: TASK._asdict()}, "next_number": 1},
            {"open": {1: {**TASK._asdict(), "state": "done"}}, "next_number": 2},
            {"open": {1: {**TASK._asdict(), "more": 1}}, "next_number": 2},
            {"open": {1: {**TASK._asdict(), "document": {"a": b"x"}}}, "next_number": 2},
            {"open": {1: {**TASK._asdict(), "progress": [1]}}, "next_number": 2},
        ],
    ),
    "HISTORY": ((1, 2, 3), [None, (1, 2), (1, 2, "3"), (1, 2, -3), [1, 2, 3]]),
    "LAST_RUN": (
        {"status": 0, "notices": ["bad \udcff.tif"], "files": 3},
        [[], {"files": b"3"}, {"status": "0"}, {"notices": [1]}],
    ),
    "RUNS": ([(1, 0.5, 0)], [None, (), [(1, 0.5)], [[1, 0.5, 0]], [(1, "0.5", 0)], [(1, 0.5, -1)]]),
    "DEVICE": (5, ["5", None, 1.5]),
    "ITEM_LIMIT": (5, [0, "5", -1]),
    "MOVED": ({"a/b": 2, "bad \udcff": 1}, [None, [], {"a": "2"}, {"a": -1}, {b"a": 1}]),
    "MOUNTS": (
        {"": (1, 2, 3, 4), "a/b": (1 << 70, 0, 0, 0)},
        [None, [], {"a": (1, 2, 3)}, {"a": [1, 2, 3, 4]}, {"../a": (1, 2, 3, 4)}, {"a": (1, 2, 3, None)}],
    ),
    "EMPTY_IS_MEANT": (True, [1, None]),
    "FEED": ("a/b\0c\nd", [None, ["a"], "/a", "a/../b", "..", "a\0.", "a\0\0b", "a//b", "\udcff"]),
    "items 1": ([("a/b", False, 1, 2)], [(), [("a", 0, 1, 2)], [("/a", False, 1, 2)], [("../a", False, 1, 2)]]),
    "task 1": (TASK._asdict(), [tuple(TASK), {**TASK._asdict(), "files": -1}, {"number": 1}]),
    "ended 0": (
        pack_tasks([TASK]),
        [None, (b"x", (), {}), (bytes(29), (), {}), (bytes(29), ("a",), {1: 2}), (bytes(29), ["a"], {})],
    ),
    "/a": (
        FOLDER,
        [
            *(None, [], list(FOLDER), FOLDER[:-1]),
            *((1, *FOLDER[1:]), (*FOLDER[:5], 1, *FOLDER[6:]), (*FOLDER[:8], "0", 0), (*FOLDER[:9], None)),
            *((FOLDER[0], column, *FOLDER[2:]) for column in WRONG_COLUMNS),
            *((*FOLDER[:3], moments, *FOLDER[4:]) for moments in ([1, 2], 1 << 70)),
            *((*FOLDER[:6], flying, *FOLDER[7:]) for flying in (1, None, ("a", 1, 2), ("a", "1", 2, 3), {"a": (1, 2)})),
            *(
                (*FOLDER[:7], retries, 0, 0)
                for retries in (None, (), [1], {1: FOLDER[7]["b"]}, {"b": (1, 2, 3, 4, 5, 6)})
            ),
        ],
    ),
    "quick /a": (("a/b", 1, 2, ("I", bytes(8)), 1), [None, ("a", 1, 2, 3), ("a", 1, 2, 3, "4"), (1, 1, 2, 3, 4)]),
}


@pytest.mark.parametrize("key", WRONG)
def test_a_value_of_another_form_is_a_problem_and_never_trusted(path: str, key: str) -> None:
    right, wrong = WRONG[key]
    with Store(path) as store:
        store.shelf[key] = right
        assert store.shelf[key] == right
        for value in wrong:
            with pytest.raises(ValueError, match=f"the entry {key} would not have the form"):
                store.shelf[key] = value
            store.shelf.table[key.encode()] = pickles.dump(value)
            problem = pytest.raises(ConfigurationProblem, match=f"its entry {key} has not the form")
            with problem, store.explained():
                store.shelf.get(key)


def test_the_forms_know_every_field_of_a_task() -> None:
    assert tuple(TASK_FORMS) == Task._fields


@pytest.mark.parametrize(
    ("row", "why"),
    [
        ((b"/\xff", b"N."), "is not UTF-8"),
        ((b"task x", b"N."), "has no number"),
        ((b"task 99999999999", b"N."), "has no number"),
        ((b"ROUTE", "text"), "is not bytes"),
        ((b"ROUTE", 5), "is not bytes"),
    ],
)
def test_a_row_of_another_kind_is_a_problem(path: str, row: tuple[Any, Any], why: str) -> None:
    Store(path).close()
    with sqlite3.connect(path) as connection:
        connection.execute("INSERT INTO Dict (key, value) VALUES (?, ?)", row)
    connection.close()

    with Store(path) as store, pytest.raises(ConfigurationProblem, match=why), store.explained():
        store.shelf.get("ROUTE")
        list(store.history())
        list(store.trie.below(""))
        list(store.shelf)


def test_a_key_that_is_no_text_is_a_problem_for_whoever_looks_at_all_keys(path: str) -> None:
    Store(path).close()
    with sqlite3.connect(path) as connection:
        connection.execute("INSERT INTO Dict (key, value) VALUES (x'80', x'4e2e')")
    connection.close()

    with Store(path) as store, pytest.raises(ConfigurationProblem, match="is not UTF-8"), store.explained():
        list(store.shelf)


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


def test_a_key_that_damage_made_something_else_is_a_problem() -> None:
    class Damaged:
        """What SQLite gives for some damaged files."""

        def execute(self, query: str, values: object) -> Damaged:
            return self

        def fetchall(self) -> list[tuple[None]]:
            return [(None,)]

    with pytest.raises(DamagedValue, match="a key in it is not bytes"):
        list(Table(Damaged()).keys_from(b"", None))  # type: ignore[arg-type]


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
            store.shelf[f"a/{number:05}"] = 1
        store.shelf["a"] = store.shelf["a0"] = store.shelf["a.b"] = 1
        seen = []
        for key in store.shelf.keys_below("a/"):
            seen.append(key)
            del store.shelf[key]

        assert seen == [f"a/{number:05}" for number in range(count)]
        assert list(store.shelf.keys_below("a")) == ["a", "a.b", "a0"]


def test_keys_that_are_added_behind_are_not_met_and_ahead_are(path: str) -> None:
    with Store(path) as store:
        for number in range(0, KEYS_AT_A_TIME * 2, 2):
            store.shelf[f"a/{number:05}"] = 1
        keys = store.shelf.keys_below("a/")
        next(keys)
        store.shelf["a/-"] = 1
        store.shelf[f"a/{KEYS_AT_A_TIME * 2 - 1:05}"] = 1
        rest = list(keys)

    assert "a/-" not in rest
    assert rest[-1] == f"a/{KEYS_AT_A_TIME * 2 - 1:05}"


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


def test_items_are_stored_as_before_they_had_a_type_of_their_own() -> None:
    items = [
        Item("a", "b.txt", 1, 10, 7, "new", "mtime", True),
        Item("a/c", "", 5, 50, sync_level="mtime"),
        Item("d", FOLDER_ITSELF, 1, 0),
    ]
    with Store(IN_MEMORY) as store:
        store.put_items(1, items)

        assert store.shelf["items 1"] == [("a/b.txt", False, 1, 10), ("a/c", True, 5, 50), ("d", True, 1, 0)]
        assert store.items(1) == [Item("a", "b.txt", 1, 10), Item("a/c", "", 5, 50), Item("d", "", 1, 0)]
        assert [item.rel_path for item in store.items(1)] == [item.rel_path for item in items]


def test_a_task_moves_from_the_open_ones_to_the_history(path: str) -> None:
    task = Task(1, "sub", "label", "mtime", {"a": 1}, "/s", "/d", 5, 50, 2, 7)
    with Store(path) as store:
        store.put_task(task)
        store.put_items(1, [Item("", "a", 1, 10)])
        assert (store.ledger.open, store.ledger.next_number) == ({1: task}, 2)
        assert store.items(1) == [Item("", "a", 1, 10)]

        store.archive(task.ended("succeeded", now_ns=9, reason="", arrived=1, returned=0))

        assert (store.ledger.open, store.ledger.next_number) == ({}, 2)
        assert store.items(1) == []
        assert [each.state for each in store.history()] == ["succeeded"]


def test_the_ledger_is_as_it_was_after_what_was_not_kept(path: str) -> None:
    first, second = (Task(number, "sub", "label", "mtime", {}, "/s", "/d", 5, 50, 2, 7) for number in (1, 2))
    with Store(path) as store:
        store.put_task(first)
        store.commit()
        store.put_task(second)
        store.rollback()
        assert store.ledger.open == {1: first}

        with pytest.raises(RuntimeError), store.all_or_nothing():
            store.put_task(second)
            raise RuntimeError
        assert store.ledger.open == {1: first}

        with Store(path, is_read_only=True) as reader:
            assert reader.ledger.open == {1: first}
            store.drop(1)
            store.commit()
            assert reader.ledger.open == {}


def ended(number: int, *, state: str = "succeeded", ended_at_ns: int | None = None, task_id: str | None = None) -> Task:
    """A task that ended, by default at the nanosecond of its number."""
    task = Task(number, "sub", "label", "mtime", {}, "/s", "/d", 5, 50, 2, 7, task_id=task_id or task_id_of(number))
    now_ns = number if ended_at_ns is None else ended_at_ns
    return task.ended(state, now_ns=now_ns, reason="why", arrived=1, returned=0)


def task_id_of(number: int) -> str:
    """The id of the task that `ended` gives."""
    return str(UUID(int=number * 0x1234567890ABCDEF))


def deliver(store: Store, numbers: range) -> None:
    """Let each of these tasks have delivered a file of its own, as `ended` tells it."""
    folder = store.trie.folder("")
    for number in numbers:
        folder.delivered[f"{number}.dat"] = Delivered(1, 2, number, number)
    store.trie.put("", folder)
    for number in numbers:
        store.archive(ended(number))


def test_old_tasks_are_packed_and_stay_known_by_number(path: str) -> None:
    last = KEPT_WHOLE * 4
    with Store(path) as store:
        deliver(store, range(1, last + 1))
        store.commit()

    with Store(path, is_read_only=True) as store:
        assert store.task(1) == EndedTask(1, task_id_of(1), 1, "succeeded")
        assert store.task(last) == ended(last)
        assert [task.number for task in store.history()] == list(range(last, 0, -1))
        assert list(store.history(limit=2)) == [ended(last), ended(last - 1)]
        assert all(task.task_id == task_id_of(task.number) for task in store.history())
        assert store.task(last + 1) is None
        kept_whole = [task for task in store.history() if isinstance(task, Task)]
        assert KEPT_WHOLE <= len(kept_whole) < 3 * KEPT_WHOLE
        packed_bytes = sum(len(store.shelf.table[key.encode()]) for key in store.shelf.keys_below("ended "))
        assert packed_bytes / (last - len(kept_whole)) < 31


def test_an_open_task_is_found_by_its_number_too(path: str) -> None:
    task = Task(7, "sub", "label", "mtime", {"a": 1}, "/s", "/d", 5, 50, 2, 7)
    with Store(path) as store:
        store.put_task(task)

        assert store.task(7) == task
        assert list(store.history()) == []


def test_a_task_of_an_earlier_version_is_counted_and_packed(path: str) -> None:
    with Store(path) as store:
        for number in range(1, KEPT_WHOLE * 3):
            store.shelf[f"task {number}"] = ended(number)._asdict()
        assert store.task(1) == ended(1)
        assert "HISTORY" not in store.shelf

        store.archive(ended(KEPT_WHOLE * 3))

        assert store.task(1) == EndedTask(1, task_id_of(1), 1, "succeeded")
        assert len(list(store.history())) == KEPT_WHOLE * 3


def test_what_failed_lately_stays_whole_longer_but_not_without_bound(path: str) -> None:
    late_ns = 10 * FAILED_LATELY_NS
    with Store(path) as store:
        store.archive(ended(1, state="failed", ended_at_ns=late_ns - FAILED_LATELY_NS - 1))
        for number in range(2, KEPT_WHOLE + 10):
            store.archive(ended(number, state="failed", ended_at_ns=late_ns))
        for number in range(KEPT_WHOLE + 10, KEPT_WHOLE * 3 + 1):
            store.archive(ended(number, ended_at_ns=late_ns))

        assert isinstance(store.task(1), EndedTask)
        whole = [task.number for task in store.history() if isinstance(task, Task) and task.state == "failed"]
        assert whole == list(range(KEPT_WHOLE + 9, 9, -1))


@pytest.mark.parametrize("task_id", ["", "not a uuid", "AAAAAAAA-0000-4000-8000-00000000000C", "00" * 16])
def test_an_id_of_any_form_is_packed_as_it_is(path: str, task_id: str) -> None:
    with Store(path) as store:
        store.archive(ended(1)._replace(task_id=task_id, state="lost", ended_at_ns=1 - (1 << 63)))
        for number in range(2, KEPT_WHOLE * 3 + 1):
            store.archive(ended(number, ended_at_ns=FAILED_LATELY_NS))

        packed = store.task(1)
        assert packed is not None
        assert (packed.task_id, packed.state, packed.ended_at_ns) == (task_id, "lost", 1 - (1 << 63))


def test_packed_tasks_that_no_record_names_are_dropped(path: str) -> None:
    with Store(path) as store:
        folder = store.trie.folder("a")
        folder.delivered["kept.dat"] = Delivered(1, 2, 3, 5)
        folder.retries["failed.dat"] = Retry(1, 2, 3, 4, "CODE", 6)
        store.trie.put("a", folder)
        for number in range(1, SWEPT_FROM + 5 * KEPT_WHOLE):
            store.archive(ended(number))

        assert [store.task(number) for number in (4, 5, 6, 7)] == [
            None,
            EndedTask(5, task_id_of(5), 5, "succeeded"),
            EndedTask(6, task_id_of(6), 6, "succeeded"),
            None,
        ]
        assert len(list(store.history())) < 6 * KEPT_WHOLE


def test_packed_tasks_that_records_name_are_all_kept(path: str) -> None:
    last = SWEPT_FROM * 2 + 3 * KEPT_WHOLE
    with Store(path) as store:
        deliver(store, range(1, last + 1))

        assert [task.number for task in store.history()] == list(range(last, 0, -1))


def test_a_file_that_is_mostly_empty_is_shrunk_when_it_is_opened_for_writing(
    path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("autotransfer.datastore.shelf.SHRUNK_FROM_BYTES", 1_000_000)
    with Store(path) as store:
        for number in range(100):
            store.shelf[f"key {number}"] = "x" * 30_000
        store.commit()
        for number in range(30):
            del store.shelf[f"key {number}"]
        store.commit()
    full_bytes = os.path.getsize(path)
    with Store(path) as store:  # there is room in it for what is to come
        assert os.path.getsize(path) == full_bytes
        for number in range(30, 99):
            del store.shelf[f"key {number}"]
        store.commit()
    Store(path, is_read_only=True).close()
    assert os.path.getsize(path) == full_bytes

    with Store(path) as store:
        assert store.shelf["key 99"] == "x" * 30_000

    assert os.path.getsize(path) < full_bytes / 10
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o600


def test_room_that_became_free_is_used_again(path: str) -> None:
    sizes = []
    with Store(path) as store:
        for number in range(2000):
            store.shelf[f"key {number}"] = "x" * 3000
            if number >= 200:
                del store.shelf[f"key {number - 200}"]
            if number % 50 == 49:
                store.commit()
                sizes.append(os.path.getsize(path))

    assert max(sizes) < sizes[5] * 1.3


@pytest.mark.skipif(sys.version_info < (3, 13), reason="dbm.sqlite3 came with Python 3.13")
def test_a_plain_shelf_reads_it(path: str) -> None:
    with Store(path) as store:
        store.claim(ROUTE)
        store.commit()

    with shelve.open(path, flag="r") as shelf:
        assert shelf["ROUTE"] == ROUTE
        assert shelf["FORMAT_VERSION"] == FORMAT_VERSION


def test_a_datastore_of_format_1_is_upgraded_with_what_is_in_flight_in_it(path: str) -> None:
    flying = {"b": InFlight(5, 6, 7), "c": InFlight(8, 9, 7)}
    with Store(path) as store:
        folder = Folder()
        folder.delivered["a"] = Delivered(1, 2, 3, 4)
        packed = folder.pack()
        store.shelf["/run"] = (*packed[:6], {name: record[:3] for name, record in flying.items()}, *packed[7:10])
        store.shelf["FORMAT_VERSION"] = 1
        store.commit()

    with pytest.raises(ConfigurationProblem, match="older format 1"):
        Store(path, is_read_only=True)
    with Store(path) as store:
        assert store.trie.folder("run").in_flight == flying
        assert store.trie.folder("run").delivered == folder.delivered
    with Store(path, is_read_only=True) as store:
        assert store.shelf["FORMAT_VERSION"] == FORMAT_VERSION
        assert isinstance(store.shelf["/run"][6], tuple)


def test_what_a_datastore_of_format_2_recorded_is_found_or_assumed(path: str) -> None:
    times = ("q", array("q", [10, 20, 30]).tobytes())
    tasks = ("I", array("I", [7, 0, 8]).tobytes())
    flying = ("d/e", 40, 5, 9)
    with Store(path) as store:
        store.shelf["/run"] = ("a/b/c", times, 5, 50, tasks, "", flying, {}, 0, 0)
        store.shelf["/set"] = ("x/y", 1, 2, 3, 0, "", (), {}, 0, 0)
        store.shelf["/"] = ("", 0, 0, 0, 0, "run/set", (), {}, 77, 0)
        store.shelf["FORMAT_VERSION"] = 2
        store.commit()

    with Store(path) as store:
        run, assumed, top = (store.trie.folder(rel_path) for rel_path in ("run", "set", ""))

    assert run.delivered == {
        "a": Delivered(10, 5, 50, 7, FOUND, LAG_UNKNOWN),
        "b": Delivered(20, 5, 50, 0, ASSUMED, LAG_UNKNOWN),
        "c": Delivered(30, 5, 50, 8, FOUND, LAG_UNKNOWN),
    }
    assert run.in_flight == {name: InFlight(40, 5, 9, LAG_UNKNOWN) for name in "de"}
    assert {record.evidence for record in assumed.delivered.values()} == {ASSUMED}
    assert (top.folders, top.verify_until_ns, top.delivered) == ({"run", "set"}, 77, {})
