"""The trie: what goes in comes out, in the order and to the nanosecond, and lives in any mapping."""

from __future__ import annotations

import pickle
import struct

from hypothesis import given
from hypothesis import strategies as st
from shelves import DictShelf

from autotransfer.datastore.columns import column_holds, pack_column, unpack_column
from autotransfer.datastore.record import Delivered, Folder, InFlight, Record, Retry
from autotransfer.datastore.trie import PathTrie

names = st.text(st.characters(blacklist_characters="/\0", blacklist_categories=()), min_size=1, max_size=20)
# Any the file system can say, also before 1970 and after 2262, where 64 bits of nanoseconds end.
moments = st.integers(-(2**65), 2**65) | st.integers(0, 2**62)
sizes = st.integers(0, 2**62) | st.integers(0, 2**33)
numbers = st.integers(0, 2**33)


@st.composite
def folders(draw: st.DrawFn) -> Folder:
    folder = Folder()
    delivered = st.builds(Delivered, moments, sizes, moments, numbers)
    folder.delivered = draw(st.dictionaries(names, delivered, max_size=8))
    folder.in_flight = draw(st.dictionaries(names, st.builds(InFlight, moments, sizes, numbers), max_size=3))
    retries = st.builds(Retry, moments, sizes, numbers, moments, st.text(max_size=9), numbers)
    folder.retries = draw(st.dictionaries(names, retries, max_size=3))
    folder.folders = draw(st.sets(names, max_size=4))
    folder.verify_until_ns = draw(moments)
    folder.carried_by = draw(numbers)
    return folder


@given(folders())
def test_a_folder_survives_packing(folder: Folder) -> None:
    record = Record.from_builtins(pickle.loads(pickle.dumps(tuple(folder.pack()), protocol=4)))
    read = Folder.unpack(record)

    for field in Folder.__slots__:
        assert getattr(read, field) == getattr(folder, field)
    assert list(read.delivered) == list(folder.delivered)
    delivered = {name: record.fingerprint for name, record in folder.delivered.items()}
    in_flight = {name: record.fingerprint for name, record in folder.in_flight.items()}
    assert record.fingerprints() == {**delivered, **in_flight}
    assert record.is_at_rest is not bool(folder.in_flight or folder.retries or folder.carried_by)
    assert record.recorded_names() == {*folder.delivered, *folder.in_flight, *folder.retries, *folder.folders}
    assert folder.is_blank is not any(record)


@given(st.lists(moments, min_size=1, max_size=50))
def test_any_column_of_times_survives_packing(mtimes: list[int]) -> None:
    folder = Folder()
    folder.delivered = {str(index): Delivered(mtime_ns, 0, 0, 0) for index, mtime_ns in enumerate(mtimes)}

    assert [record.mtime_ns for record in Folder.unpack(folder.pack()).delivered.values()] == mtimes


def test_a_shelf_holds_builtins_only() -> None:
    folder = Folder()
    folder.delivered = {"a": Delivered(1, 2, 3, 4), "b": Delivered(5, 6, 7, 8)}
    folder.in_flight = {"c": InFlight(1, 2, 3)}
    folder.retries = {"d": Retry(1, 2, 3, 4, "FAILED", 5)}

    shelf = DictShelf()
    PathTrie(shelf).put("a", folder)
    assert b"autotransfer" not in pickle.dumps(shelf["/a"])


def test_a_file_costs_about_as_much_as_the_docstring_says() -> None:
    folder = Folder()
    folder.delivered = {
        f"frame{number:05}": Delivered(1_700_000_000 * 10**9 + number, 10**6 + number, 1_700_000_001 * 10**9, 7)
        for number in range(10_000)
    }

    assert len(pickle.dumps(tuple(folder.pack()))) < 35 * 10_000


def test_a_blank_folder_leaves_no_entry() -> None:
    shelf = DictShelf()
    trie = PathTrie(shelf)
    folder = Folder()
    folder.carried_by = 1
    trie.put("a", folder)
    trie.put("a", Folder())

    assert shelf == {}
    assert trie.record("a") is None
    assert trie.folder("a").is_blank


def trie_of(*paths: str) -> PathTrie:
    trie = PathTrie(DictShelf())
    for path in paths:
        folder = Folder()
        folder.delivered["x"] = Delivered(1, 2, 3, 4)
        trie.put(path, folder)
    return trie


def test_below_gives_the_folder_and_all_within_it_and_no_neighbour() -> None:
    trie = trie_of("", "a", "a/b", "a/b/c", "a.b", "a0", "ab", "b", "aé")

    assert list(trie.below("a")) == ["a", "a/b", "a/b/c"]
    assert list(trie.below("a/b")) == ["a/b", "a/b/c"]
    assert list(trie.below("nowhere")) == []
    assert sorted(trie.below("")) == sorted(["", "a", "a/b", "a/b/c", "a.b", "a0", "ab", "b", "aé"])


def test_parents_come_before_what_is_within_them() -> None:
    found = list(trie_of("a/b/c", "a", "a/b", "a/a").below("a"))

    assert found.index("a") < found.index("a/b") < found.index("a/b/c")


def test_a_trie_may_change_while_it_is_gone_through() -> None:
    trie = trie_of(*(f"a/{number}" for number in range(50)))
    for path in trie.below("a"):
        trie.put(path, Folder())

    assert list(trie.below("a")) == []


def test_a_folder_without_entry_inherits_from_the_nearest_above() -> None:
    trie = trie_of("")
    for path, verify_until_ns, carried_by in (("", 5, 0), ("a", 7, 3)):
        folder = trie.folder(path)
        folder.verify_until_ns, folder.carried_by = verify_until_ns, carried_by
        trie.put(path, folder)

    assert trie.inherited("a/b/c") == (7, 3)
    assert trie.inherited("b") == (5, 0)
    assert trie.inherited("") == (0, 0)


def test_a_link_makes_every_folder_above_name_the_next() -> None:
    trie = trie_of("a/b/c")
    trie.link("a/b/c")
    trie.link("a/b/d")

    assert trie.folder("").folders == {"a"}
    assert trie.folder("a").folders == {"b"}
    assert trie.folder("a/b").folders == {"c", "d"}


def test_a_link_ends_at_its_top() -> None:
    trie = trie_of("a/b/c")
    trie.link("a/b/c", "a")

    assert trie.folder("a").folders == {"b"}
    assert trie.record("") is None


def test_forgetting_leaves_doubt_up_to_the_last_transfer() -> None:
    folder = Folder()
    folder.delivered["x"] = Delivered(100, 1, 200, 1)
    folder.retries["y"] = Retry(300, 1, 1, 0, "", 1)
    folder.forget("x")
    assert folder.verify_until_ns == 200
    folder.forget("y")
    assert folder.verify_until_ns == 300
    folder.forget("unknown")
    assert folder.verify_until_ns == 300
    assert not (folder.delivered or folder.retries)


def test_a_trie_with_nothing_but_doubt_counts_as_empty() -> None:
    trie = PathTrie(DictShelf())
    assert trie.is_empty
    folder = Folder()
    folder.verify_until_ns = 5
    trie.put("", folder)
    assert trie.is_empty
    folder.folders.add("a")
    trie.put("", folder)
    assert not trie.is_empty


columns = st.lists(st.one_of(st.integers(0, 3), st.integers(-5, 2**33), st.integers(-(2**70), 2**70)), max_size=6)


@given(columns, columns, st.integers(0, 5))
def test_a_packed_column_holds_the_numbers_it_was_packed_from_and_no_others(
    ours: list[int], others: list[int], changed: int
) -> None:
    column = pack_column(ours)

    assert unpack_column(column, len(ours)) == ours
    almost = [number + (at == changed) for at, number in enumerate(ours)]
    for candidate in (ours, others, almost):
        if len(candidate) == len(ours) and all(-(2**63) <= number < 2**63 for number in candidate):
            packed = struct.pack(f"<{len(candidate)}q", *candidate)
            assert column_holds(column, packed) is (candidate == ours)
