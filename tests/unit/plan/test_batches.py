"""From changes to tasks: the largest folders that are new as a whole, and the limits."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from autotransfer.common.paths import FOLDER_ITSELF, join
from autotransfer.datastore.record import Folder
from autotransfer.datastore.tasks import Item
from autotransfer.plan.batches import Batcher
from autotransfer.plan.compare import CHECKSUM, NEW, FolderChange
from autotransfer.plan.whole_folders import WholeFolders

# A folder: the names of its files, whether all in it is new and settled, whether anything in it changed; what is in it.
Tree = tuple[list[str], bool, bool, dict[str, Any]]


def trees() -> st.SearchStrategy[Tree]:
    files = st.lists(st.sampled_from("xyz"), unique=True, max_size=3)
    flags = (st.integers(0, 3).map(bool), st.integers(0, 5).map(bool))
    leaf: st.SearchStrategy[Any] = st.tuples(files, *flags, st.just({}))
    names = st.sampled_from(["a", "a.b", "b", "é", "A"])
    return st.recursive(leaf, lambda deeper: st.tuples(files, *flags, st.dictionaries(names, deeper, max_size=3)))


def walked(tree: Tree, path: str = "") -> Iterator[tuple[str, FolderChange | None]]:
    """The folders as a scan gives them: parents first, siblings in order of name."""
    files, is_new, is_changed, children = tree
    names = files or ([] if children or not path else [FOLDER_ITSELF])
    outgoing = {name: Item(path, name, 1, 10, 1, NEW, "mtime") for name in names}
    change = FolderChange(path, Folder(), outgoing, {}, 0, (), bool(path) and is_new, True)
    yield path, change if is_changed else None
    for name in sorted(children):
        yield from walked(children[name], join(path, name))


def expected(tree: Tree, path: str = "") -> tuple[bool, set[str], set[str]]:
    """Whether the folder travels whole; the items if the one above does not; every folder that travels whole."""
    _, is_new, is_changed, children = tree
    names = list(next(walked(tree, path))[1].outgoing) if is_changed else []  # type: ignore[union-attr]
    below = [expected(children[name], join(path, name)) for name in sorted(children)]
    is_whole = bool(path) and is_new and is_changed and all(whole for whole, _, _ in below)
    if is_whole:
        return True, {f"{path}/"}, {path}.union(*(folders for _, _, folders in below))
    items = {join(path, name) + "/" * (name == FOLDER_ITSELF) for name in names}
    return False, items.union(*(them for _, them, _ in below)), set().union(*(folders for _, _, folders in below))


@given(trees())
def test_the_largest_folders_that_are_new_as_a_whole_become_one_item_each(tree: Tree) -> None:
    found = Found()
    for path, change in walked(tree):
        found.whole_folders.add(path, change)
    found.whole_folders.finish()

    _, wanted, whole_folders = expected(tree)
    assert sorted(item.rel_path + "/" * item.is_folder for item in found.items) == sorted(wanted)
    assert {path for path, is_whole in found.new.items() if is_whole} == whole_folders
    assert sum(item.files for item in found.items) == sum(
        len(change.outgoing) for _, change in walked(tree) if change is not None
    )
    # A folder's own items are adjacent.
    files_of = [item.folder for item in found.items if item.name]
    assert len(set(files_of)) == sum(1 for index, path in enumerate(files_of) if path not in files_of[:index][-1:])


class Found:
    """What WholeFolders finds: which new folders are carried whole, and the items."""

    def __init__(self) -> None:
        self.new: dict[str, bool] = {}
        self.items: list[Item] = []
        self.whole_folders = WholeFolders(self.record_new, self.assign)

    def record_new(self, change: FolderChange, is_carried_whole: bool) -> None:
        self.new[change.rel_path] = is_carried_whole

    def assign(self, item: Item) -> None:
        assert item.name or self.new[item.folder], "a folder's record comes before the item that carries it"
        self.items.append(item)


def change_of(path: str, level: str = "mtime", *names: str) -> FolderChange:
    outgoing = {name: Item(path, name, 1, 10, 1, NEW, level) for name in names}
    return FolderChange(path, Folder(), outgoing, {}, 0, (), True, True)


def test_a_whole_folder_takes_the_level_of_its_most_doubtful_file() -> None:
    found = Found()
    for path, level in (("a", "mtime"), ("a/b", CHECKSUM)):
        found.whole_folders.add(path, change_of(path, level, "x"))
    assert found.items == []

    found.whole_folders.finish()

    assert found.items == [Item("a", "", 2, 20, sync_level=CHECKSUM)]


def item(name: str, level: str = "mtime") -> Item:
    return Item("d", name, 1, 10, sync_level=level)


@given(
    st.lists(st.sampled_from(["mtime", CHECKSUM]), max_size=40),
    st.integers(1, 7),
    st.integers(0, 5),
)
def test_batches_keep_the_limits_and_lose_nothing(levels: list[str], max_items: int, max_tasks: int) -> None:
    kept: dict[int, list[Item]] = {}
    batcher = Batcher(
        kept.__setitem__, first_number=3, max_items=max_items, max_tasks=max_tasks, max_failed_tasks=max_tasks
    )
    carried: dict[int, list[Item]] = {}
    left = []
    for index, level in enumerate(levels):
        one = item(str(index), level)
        number = batcher.add(one)
        if number:
            carried.setdefault(number, []).append(one)
        else:
            left.append(one)
    batches = batcher.finish()

    assert kept == carried
    assert [batch.number for batch in batches] == sorted(carried) == list(range(3, 3 + len(batches)))
    assert len(batches) <= max_tasks
    assert all(1 <= batch.items == len(kept[batch.number]) <= max_items for batch in batches)
    assert all({one.sync_level for one in kept[batch.number]} == {batch.sync_level} for batch in batches)
    assert all(batch.files == batch.items and batch.size_bytes == 10 * batch.files for batch in batches)
    assert not left or len(batches) == max_tasks
