"""The trie: each folder finds its record, those below it and what it inherits, in any mapping."""

from __future__ import annotations

import pickle

from shelves import DictShelf

from autotransfer.datastore.record import Delivered, Folder, InFlight, Retry
from autotransfer.datastore.trie import PathTrie


def test_a_shelf_holds_builtins_only() -> None:
    folder = Folder()
    folder.delivered = {"a": Delivered(1, 2, 3, 4), "b": Delivered(5, 6, 7, 8)}
    folder.in_flight = {"c": InFlight(1, 2, 3)}
    folder.retries = {"d": Retry(1, 2, 3, 4, "FAILED", 5)}

    shelf = DictShelf()
    PathTrie(shelf).put("a", folder)
    assert b"autotransfer" not in pickle.dumps(shelf["/a"])


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
