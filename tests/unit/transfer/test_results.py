"""What an ended task means for its paths, and what is kept of folders that are gone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Optional

import pytest
from shelves import DictShelf

from autotransfer.common.paths import FOLDER_ITSELF, join
from autotransfer.datastore.evidence import COUNTED, FOUND, TRANSFERRED, VERIFIED
from autotransfer.datastore.record import CHANGED, EMPTY_FOLDER, Delivered, Fingerprint, Folder, InFlight, Retry
from autotransfer.datastore.tasks import Item
from autotransfer.datastore.trie import PathTrie
from autotransfer.plan.compare import CHECKSUM, FolderChange, SendRules, compare
from autotransfer.plan.in_flight import InFlightWriter, assign_whole, forget_gone, renumber, touched_folders
from autotransfer.scan.listing import Listing
from autotransfer.transfer.results import (
    SIZE_DIFFERS,
    SWEEP_DOUBT_NS,
    Carried,
    Decide,
    Fate,
    Recheck,
    Tally,
    TaskResult,
)

NS = 10**9
NOW_NS = 2_000 * NS
FILE: Fingerprint = (1_000 * NS + 5, 7)


def on_disk(files: Mapping[str, Fingerprint]) -> Recheck:
    """A tree that holds these files, with a ctime of mtime + 3."""

    def recheck(folder: str, name: str) -> Optional[tuple[Fingerprint, int]]:
        seen = files.get(join(folder, name))
        return None if seen is None else (seen, 3)

    return recheck


def trie_with(in_flight: Mapping[str, Mapping[str, int]], *, covers: Mapping[str, int] | None = None) -> PathTrie:
    """A trie in which these names of these folders are in flight with these tasks."""
    trie = PathTrie(DictShelf())
    for path, names in in_flight.items():
        folder = Folder()
        folder.in_flight = {name: InFlight(*FILE, task, 3) for name, task in names.items()}
        folder.carried_by = (covers or {}).get(path, 0)
        trie.put(path, folder)
        trie.link(path)
    return trie


def verified(path: Carried) -> Fate:
    return VERIFIED


def again(code: str) -> Decide:
    return lambda path: code


def items_of(*pairs: tuple[str, bool]) -> list[Item]:
    """The items with these rel_paths; True for a folder."""
    return [Item.from_builtins((rel_path, is_folder, 1, 10)) for rel_path, is_folder in pairs]


def ended(trie: PathTrie, *items: tuple[str, bool], files: Mapping[str, Fingerprint], number: int = 1) -> TaskResult:
    return TaskResult(trie, number, items_of(*items), now_ns=NOW_NS, recheck=on_disk(files))


def test_a_path_that_is_what_it_was_counts_as_delivered() -> None:
    trie = trie_with({"a": {"x": 1}})

    tally = ended(trie, ("a/x", False), files={"a/x": FILE}).close(verified)

    assert tally == Tally(arrived=1)
    assert trie.folder("a").delivered == {"x": Delivered(*FILE, NOW_NS, 1, VERIFIED, 3)}
    assert trie.folder("a").in_flight == {}


def test_a_path_that_changed_under_way_is_to_be_sent_again_and_has_not_failed() -> None:
    trie = trie_with({"a": {"x": 1}})

    tally = ended(trie, ("a/x", False), files={"a/x": (FILE[0] + 1, FILE[1])}).close(verified)

    assert tally == Tally(returned=1)
    retry = trie.folder("a").retries["x"]
    assert (retry, retry.failures) == (Retry(*FILE, 1, NOW_NS, CHANGED, 1), 0)


def test_a_file_that_changes_under_way_again_and_again_waits_longer_each_time_up_to_an_hour() -> None:
    trie = trie_with({"": {}})
    pauses = []
    for number in range(1, 11):
        folder = trie.folder("")
        folder.in_flight["x"] = InFlight(FILE[0] + number, FILE[1], 1)
        trie.put("", folder)
        changed = {"x": (FILE[0] + number + 1, FILE[1])}
        ended(trie, ("x", False), files=changed).close(verified)
        pauses.append((trie.folder("").retries["x"].not_before_ns - NOW_NS) // (60 * NS))

    assert pauses == [0, 0, 0, 5, 10, 20, 40, 60, 60, 60]
    assert trie.folder("").retries["x"].failures == 7


def test_a_path_that_cannot_be_read_is_taken_for_unchanged_and_not_for_proved() -> None:
    trie = trie_with({"": {"x": 1}})

    def recheck(folder: str, name: str) -> Optional[tuple[Fingerprint, int]]:
        raise PermissionError(13, "Permission denied")

    tally = TaskResult(trie, 1, items_of(("x", False)), now_ns=NOW_NS, recheck=recheck).close(verified)

    assert tally == Tally(arrived=1)
    assert trie.folder("").delivered["x"].evidence == FOUND


def test_a_path_that_is_gone_leaves_only_doubt() -> None:
    trie = trie_with({"a": {"x": 1}})

    tally = ended(trie, ("a/x", False), files={}).close(verified)

    folder = trie.folder("a")
    assert tally == Tally(gone=1)
    assert not (folder.in_flight or folder.delivered or folder.retries)
    assert folder.verify_until_ns >= NOW_NS


def test_failed_tries_are_counted_until_the_file_changes() -> None:
    trie = trie_with({"": {"x": 1}})
    for number in (1, 2, 3):
        folder = trie.folder("")
        folder.in_flight = {"x": InFlight(*FILE, number)}
        trie.put("", folder)
        ended(trie, ("x", False), files={"x": FILE}, number=number).close(again("NO_SPACE_LEFT"))
    first = trie.folder("").retries["x"]
    folder = trie.folder("")
    newer = (FILE[0] + 1, FILE[1])
    folder.in_flight = {"x": InFlight(*newer, 4)}
    trie.put("", folder)
    ended(trie, ("x", False), files={"x": newer}, number=4).close(again("NO_SPACE_LEFT"))

    assert (first.attempts, first.code) == (3, "NO_SPACE_LEFT")
    assert first.not_before_ns > NOW_NS
    assert trie.folder("").retries["x"].attempts == 1


def test_the_first_failure_makes_no_pause() -> None:
    trie = trie_with({"": {"x": 1}})

    ended(trie, ("x", False), files={"x": FILE}).close(again("TASK_UNKNOWN"))

    assert trie.folder("").retries["x"] == Retry(*FILE, 1, NOW_NS, "TASK_UNKNOWN", 1)


def test_a_row_of_another_size_has_its_path_retried() -> None:
    trie = trie_with({"a": {"x": 1, "y": 1}})
    files = {"a/x": FILE, "a/y": FILE}

    tally, size_bytes = ended(trie, ("a/x", False), ("a/y", False), files=files).mark_listed(
        {"a/x": FILE[1] - 1, "a/y": FILE[1]}, VERIFIED
    )

    assert (tally, size_bytes) == (Tally(arrived=1, returned=1), 2 * FILE[1])
    assert trie.folder("a").retries["x"].code == SIZE_DIFFERS
    assert trie.folder("a").delivered["y"].evidence == VERIFIED


@pytest.mark.parametrize("fate", [VERIFIED, SIZE_DIFFERS])
def test_rows_without_sizes_are_decided_about_together(fate: Fate) -> None:
    trie = trie_with({"a": {"x": 1, "y": 1}})
    files = {"a/x": FILE, "a/y": FILE}
    result = ended(trie, ("a/x", False), ("a/y", False), files=files)
    result.mark_listed({"a/x": None, "a/y": None}, VERIFIED)
    before = {record.evidence for record in trie.folder("a").delivered.values()}

    tally = result.settle_unsized(fate)

    folder = trie.folder("a")
    assert before == {TRANSFERRED}
    assert tally == (Tally() if fate == VERIFIED else Tally(arrived=-2, returned=2))
    assert {record.evidence for record in folder.delivered.values()} == ({VERIFIED} if fate == VERIFIED else set())


def test_attempts_are_not_forgotten_while_it_is_open_whether_all_bytes_came() -> None:
    trie = trie_with({"a": {"x": 1}})
    folder = trie.folder("a")
    folder.retries["x"] = Retry(*FILE, 4, 0, "BYTES_MISSING", 9)
    trie.put("a", folder)
    result = ended(trie, ("a/x", False), files={"a/x": FILE})

    result.mark_listed({"a/x": None}, VERIFIED)
    result.settle_unsized("BYTES_MISSING")

    assert trie.folder("a").retries["x"].attempts == 5


def test_what_was_submitted_without_its_ctime_is_not_proved() -> None:
    trie = trie_with({"a": {"x": 1}})
    folder = trie.folder("a")
    folder.in_flight["x"] = InFlight(*FILE, 1)
    trie.put("a", folder)

    ended(trie, ("a/x", False), files={"a/x": FILE}).close(verified)

    assert trie.folder("a").delivered["x"].evidence == FOUND


def test_what_is_counted_can_be_sent_again_and_the_list_raises_it_or_takes_it_back() -> None:
    trie = trie_with({"a": {"x": 1, "y": 1, "z": 1}}, covers={"a": 1})
    known = trie.folder("a")
    known.delivered["z"] = Delivered(5, 5, 5, 9)
    trie.put("a", known)
    result = ended(trie, ("a", True), files={"a/x": FILE, "a/y": FILE, "a/z": FILE})

    assert result.mark_counted() == Tally(arrived=2)
    counted = trie.folder("a")
    still, _ = result.names_in("a")
    result.mark_listed({"a/x": FILE[1]}, VERIFIED)
    tally = result.close(again("NOT_LISTED"))

    # What was modified stays in flight: once it is counted, nobody would know that it was.
    assert (set(counted.in_flight), counted.carried_by, still) == ({"z"}, 0, {"x", "y", "z"})
    assert {counted.delivered[name].evidence for name in "xy"} == {COUNTED}
    assert tally == Tally(arrived=-1, returned=2)
    assert trie.folder("a").delivered["x"].evidence == VERIFIED
    assert set(trie.folder("a").retries) == {"y", "z"}


def test_a_version_that_another_task_carries_meanwhile_is_left_alone() -> None:
    trie = trie_with({"a": {"x": 1}}, covers={"a": 1})
    result = ended(trie, ("a", True), files={"a/x": FILE})
    result.mark_counted()
    newer = trie.folder("a")
    newer.in_flight["x"] = InFlight(FILE[0] + NS, FILE[1], 2)
    trie.put("a", newer)

    result.close(again("NOT_LISTED"))

    assert trie.folder("a").in_flight == newer.in_flight
    assert trie.folder("a").retries == {}


def test_only_what_the_task_itself_carries_is_closed() -> None:
    trie = trie_with({"a": {"x": 1, "y": 2}})

    ended(trie, ("a/x", False), ("a/y", False), files={"a/x": FILE, "a/y": FILE}).close(verified)

    assert trie.folder("a").in_flight == {"y": InFlight(*FILE, 2, 3)}


def test_files_that_arrived_although_the_task_failed_are_not_sent_again() -> None:
    trie = trie_with({"a": {"x": 1, "y": 1}}, covers={"a": 1})
    files = {"a/x": FILE, "a/y": FILE}
    result = ended(trie, ("a", True), files=files)

    tally = result.mark_listed({"a/x": FILE[1]}, VERIFIED)[0] + result.close(again("FAILED"))

    assert tally == Tally(arrived=1, returned=1)
    assert set(trie.folder("a").delivered) == {"x"}
    assert set(trie.folder("a").retries) == {"y"}
    assert trie.folder("a").carried_by == 0


def test_what_a_folder_item_may_have_swept_up_is_in_doubt() -> None:
    trie = trie_with({"a": {"x": 1}}, covers={"a": 1})

    ended(trie, ("a", True), files={"a/x": FILE}).close(verified)

    assert trie.folder("a").verify_until_ns == NOW_NS + SWEEP_DOUBT_NS


def test_all_below_a_folder_that_globus_left_out_is_sent_again() -> None:
    trie = trie_with({"a": {"x": 1}, "a/b": {"y": 1}, "c": {"z": 1}}, covers={"a": 1, "a/b": 1, "c": 1})
    result = ended(trie, ("a", True), ("c", True), files={"a/x": FILE, "a/b/y": FILE, "c/z": FILE})

    # An item that could not be looked at has no type: Globus does not call it a folder.
    given_back, matches, still_there = result.mark_failed({"a": "PERMISSION_DENIED"})
    tally = given_back + result.close(verified)

    assert (tally, matches) == (Tally(arrived=1, returned=2), 1)
    assert still_there == {"a": "PERMISSION_DENIED"}
    assert set(trie.folder("a").retries) == {"x"}
    assert trie.folder("a/b").retries["y"].code == "PERMISSION_DENIED"
    assert set(trie.folder("c").delivered) == {"z"}


def test_an_empty_folder_that_globus_left_out_is_sent_again() -> None:
    trie = PathTrie(DictShelf())
    folder = Folder()
    folder.in_flight = {FOLDER_ITSELF: InFlight(*EMPTY_FOLDER, 1)}
    folder.carried_by = 1
    trie.put("a", folder)
    result = TaskResult(trie, 1, items_of(("a", True)), now_ns=NOW_NS, recheck=lambda folder, name: (EMPTY_FOLDER, 0))

    result.mark_failed({"a": "PERMISSION_DENIED"})
    result.close(verified)

    assert trie.folder("a").retries[FOLDER_ITSELF].code == "PERMISSION_DENIED"
    assert trie.folder("a").carried_by == 0


def test_a_file_that_failed_and_vanished_leaves_doubt_about_what_takes_its_name() -> None:
    """A half-written copy carries the time of the failure, and may have the size of what comes next."""
    trie = trie_with({"": {"x": 1}})
    ended(trie, ("x", False), files={"x": FILE}).close(again("CONNECTION_BROKEN"))
    folder = trie.folder("")
    listing = Listing("", {"x": (NOW_NS - NS, 3)}, [], frozenset(), (), NOW_NS, 0, True, True, 0, 0, ())
    empty = listing._replace(files={})
    rules = SendRules(NOW_NS * 2, 0, "mtime", True, NOW_NS * 2)

    folder = compare(empty, folder, rules, is_known=True).folder
    change = compare(listing, folder, rules, is_known=True)

    assert (change.outgoing["x"].why, change.outgoing["x"].sync_level) == ("new", CHECKSUM)


def test_a_refused_task_leaves_no_trace_and_its_folder_may_travel_whole_again() -> None:
    trie = trie_with({"": {"f": 1}, "a": {}, "a/b": {"y": 1}}, covers={"a": 1, "a/b": 1})

    ended(trie, ("a", True), ("f", False), files={}).withdraw()

    assert list(trie.below("a")) == []
    assert trie.folder("").in_flight == {}


def test_a_folder_item_takes_all_that_was_noted_below_it() -> None:
    trie = trie_with({"a": {"x": 0}, "a/b": {"y": 0}, "ab": {"z": 0}})

    assign_whole(trie, "a", 7)

    assert trie.folder("a/b").in_flight == {"y": InFlight(*FILE, 7, 3)}
    assert (trie.folder("a").carried_by, trie.folder("a/b").carried_by, trie.folder("ab").carried_by) == (7, 7, 0)


@pytest.mark.parametrize("number", [7, 0])
def test_what_is_assigned_is_in_flight_with_its_task_wherever_its_record_was_kept_first(number: int) -> None:
    trie = PathTrie(DictShelf())
    writer = InFlightWriter(trie)
    for path, names in (("a/b", "xy"), ("a", "z")):
        outgoing = {name: Item(path, name, 1, FILE[1], FILE[0]) for name in names}
        writer.record_new(FolderChange(path, Folder(), outgoing, {}, 0, (), True, True), True)

    writer.assign(Item("a", "", 3, 21), number)
    for item in (Item("", "f", 1, FILE[1], FILE[0]), Item("e", FOLDER_ITSELF, 1, 0)):
        writer.assign(item, number)
    writer.flush()

    found = {path: (trie.folder(path).in_flight, trie.folder(path).carried_by) for path in trie.below("")}
    wanted = {
        "": ({"f": InFlight(*FILE, 7)}, 0),
        "a": ({"z": InFlight(*FILE, 7)}, 7),
        "a/b": ({"x": InFlight(*FILE, 7), "y": InFlight(*FILE, 7)}, 7),
        "e": ({FOLDER_ITSELF: InFlight(*EMPTY_FOLDER, 7)}, 7),
    }
    assert found == (wanted if number else {})


def test_a_folder_that_found_no_room_is_not_in_flight_and_keeps_its_doubt() -> None:
    trie = trie_with({"a": {"x": 0}, "a/b": {"y": 0}})
    doubtful = trie.folder("a/b")
    doubtful.verify_until_ns = 5
    trie.put("a/b", doubtful)

    assign_whole(trie, "a", 0)

    assert [trie.folder(path).in_flight for path in ("a", "a/b")] == [{}, {}]
    assert [trie.folder(path).carried_by for path in ("a", "a/b")] == [0, 0]
    assert trie.folder("a/b").verify_until_ns == 5


def test_halves_of_a_task_know_their_own_paths() -> None:
    trie = trie_with({"": {"f": 1, "g": 1}, "a": {"x": 1}}, covers={"a": 1})

    renumber(trie, items_of(("g", False), ("a", True)), 1, 2)

    assert {name: record.task for name, record in trie.folder("").in_flight.items()} == {"f": 1, "g": 2}
    assert (trie.folder("a").in_flight["x"].task, trie.folder("a").carried_by) == (2, 2)


def test_the_folders_that_items_touch_are_named_with_their_files() -> None:
    trie = trie_with({"": {"f": 1}, "a": {"x": 1}, "a/b": {"y": 1}, "c": {"z": 1}})
    items = items_of(("f", False), ("a", True), ("c/z", False), ("c/w", False))

    assert list(touched_folders(trie, items)) == [("a", None), ("a/b", None), ("", {"f"}), ("c", {"z", "w"})]


def test_of_a_folder_that_is_gone_only_what_is_in_flight_is_kept_and_can_be_found() -> None:
    trie = trie_with({"g": {}, "g/p": {}, "g/p/c": {"x": 1}})
    for path in ("g", "g/p", "g/q"):
        folder = trie.folder(path)
        folder.delivered["old"] = Delivered(*FILE, NOW_NS, 1)
        trie.put(path, folder)
        trie.link(path)
    root = trie.folder("")

    dropped, carried = forget_gone(trie, "", root, ["g"])

    assert (dropped, carried) == (3, {"g"})
    assert list(trie.below("g")) == ["g", "g/p", "g/p/c"]
    assert (trie.folder("g").folders, trie.folder("g/p").folders) == ({"p"}, {"c"})
    assert root.verify_until_ns >= NOW_NS

    ended(trie, ("g/p/c/x", False), files={}).close(verified)

    assert forget_gone(trie, "", root, ["g"]) == (0, set())
    assert list(trie.below("g")) == []


def test_a_folder_below_that_another_task_carries_stays_carried() -> None:
    trie = trie_with({"a": {"x": 1}, "a/b": {"y": 2}}, covers={"a": 1, "a/b": 2})

    ended(trie, ("a", True), files={"a/x": FILE, "a/b/y": FILE}).close(verified)

    assert (trie.folder("a").carried_by, trie.folder("a/b").carried_by) == (0, 2)
    assert list(trie.folder("a/b").in_flight) == ["y"]
