"""What Globus's counts and lists prove of a path, and what they do not."""

from __future__ import annotations

from typing import Any

import pytest

from autotransfer.common.paths import FOLDER_ITSELF
from autotransfer.datastore.evidence import EQUAL, FOUND, TRANSFERRED, VERIFIED
from autotransfer.datastore.record import NOT_LISTED
from autotransfer.datastore.tasks import FAILED, SUCCEEDED, Item, Reading, Task
from autotransfer.transfer.credit import (
    BYTES_MISSING,
    MOST_DOUBTS,
    UNLISTED,
    UNNAMED,
    agrees,
    copied_evidence,
    is_proved,
    rest_decider,
    unsized_fate,
)
from autotransfer.transfer.results import NOT_COPIED, NOT_SEEN, SIZE_DIFFERS, Carried, Fate
from autotransfer.transfer.task_status import UNKNOWN, Counts


def task(*, sync_level: str = "mtime", verifies: bool = True) -> Task:
    return Task(1, "s", "l", sync_level, {}, "/s", "/d", 3, 30, 3, 0, verifies=verifies)


ALL_COPIED = Counts(3, 3, 30, 0, 0, 0)


def reading(*, state: str = SUCCEEDED, counts: Counts = ALL_COPIED, **fields: Any) -> Reading:
    return Reading(state, "", "BROKEN", tuple(counts), 3)._replace(**fields)


EMPTY = Carried(FOLDER_ITSELF, False, False, "")
FILES = [Item("", name, 1, 10) for name in "abc"]


@pytest.mark.parametrize(
    ("counts", "is_proof"),
    [
        (Counts(3, 3, 30, 0, 0, 0), True),
        (Counts(3, 3, 29, 0, 0, 0), False),
        (Counts(3, 3, 31, 0, 0, 0), False),
        (Counts(3, 2, 30, 1, 0, 0), False),
        (Counts(3, 3, 30, 0, 1, 0), False),
        (Counts(4, 3, 30, 0, 0, 0), False),
        (Counts(3, 3, 30, 0, 0, 1), False),
        *((Counts(3, 3, 30, 0, 0, 0)._replace(**{field: UNKNOWN}), False) for field in Counts._fields),
    ],
)
def test_counts_alone_prove_a_task_of_files_only_when_they_all_say_so(counts: Counts, is_proof: bool) -> None:
    assert is_proved(task(), FILES, SUCCEEDED, counts) is is_proof
    assert not is_proved(task(), [*FILES[:2], Item("c", "", 1, 10)], SUCCEEDED, counts)
    assert not is_proved(task(), FILES, FAILED, counts)


def test_without_verification_what_is_listed_is_transferred() -> None:
    assert (copied_evidence(task()), copied_evidence(task(verifies=False))) == (VERIFIED, TRANSFERRED)


@pytest.mark.parametrize(
    ("counts", "is_agreed"),
    [
        (Counts(3, 3, 30, 0, 0, 0), True),
        (Counts(3, 2, 20, 1, 0, 0), True),
        (Counts(2, 2, 20, 0, 0, 0), False),
        (Counts(3, 2, 20, 0, 1, 0), False),
        (Counts(3, 2, 20, 0, 0, 0), False),
        (Counts(UNKNOWN, 3, 30, 0, 0, 0), False),
    ],
)
def test_counts_of_a_folder_item_agree_when_each_file_is_accounted_for(counts: Counts, is_agreed: bool) -> None:
    assert agrees(reading(counts=counts)) is is_agreed


@pytest.mark.parametrize(
    ("copied_bytes", "fate"), [(30, VERIFIED), (31, TRANSFERRED), (29, BYTES_MISSING), (UNKNOWN, TRANSFERRED)]
)
def test_rows_without_sizes_need_all_their_bytes(copied_bytes: int, fate: Fate) -> None:
    counts = Counts(3, 3, copied_bytes, 0, 0, 0)

    assert unsized_fate(task(), reading(counts=counts, listed=3, listed_bytes=30)) == fate


ONE_CURRENT: dict[str, Any] = {"counts": Counts(3, 2, 20, 1, 0, 0), "listed": 2}


@pytest.mark.parametrize(
    ("sync_level", "is_known", "is_item", "read", "fate"),
    [
        ("checksum", True, True, ONE_CURRENT, EQUAL),
        ("checksum", False, True, ONE_CURRENT, EQUAL),
        ("checksum", False, False, ONE_CURRENT, FOUND),
        ("mtime", False, True, ONE_CURRENT, FOUND),
        ("mtime", True, True, ONE_CURRENT, NOT_COPIED),
        ("mtime", False, False, ONE_CURRENT, FOUND),
        ("mtime", True, False, ONE_CURRENT, NOT_COPIED),
        # One is missing, and none was taken for current.
        ("mtime", False, False, {"listed": 2}, NOT_LISTED),
        ("mtime", True, True, {"listed": 2}, NOT_SEEN),
        ("checksum", False, True, {"listed": 2}, NOT_SEEN),
        ("mtime", False, True, {"counts": Counts(3, 2, 20, UNKNOWN, 0, 0), "listed": 2}, NOT_LISTED),
        # One was given up; is it this one?
        ("checksum", True, True, {"counts": Counts(3, 2, 20, 0, 1, 0), "listed": 2}, UNNAMED),
        ("checksum", True, True, {"counts": Counts(3, 2, 20, 1, UNKNOWN, 0), "listed": 2}, UNNAMED),
        ("checksum", True, True, {"counts": Counts(3, 1, 10, 1, 1, 0), "listed": 1, "errors": 1}, EQUAL),
        ("mtime", False, True, {"state": FAILED}, "BROKEN"),
    ],
)
def test_what_no_list_names_is_current_only_if_the_numbers_agree(
    sync_level: str, is_known: bool, is_item: bool, read: dict[str, Any], fate: Fate
) -> None:
    decide = rest_decider(task(sync_level=sync_level), reading(**read), is_list_whole=True)

    assert decide(Carried("a", is_known, is_item, "")) == fate


def test_a_copy_of_another_size_is_not_equal_whatever_globus_compared() -> None:
    decide = rest_decider(task(sync_level="checksum"), reading(**ONE_CURRENT), is_list_whole=True)

    assert decide(Carried("a", True, True, SIZE_DIFFERS)) == SIZE_DIFFERS
    assert decide(Carried("a", True, True, SIZE_DIFFERS, MOST_DOUBTS - 1)) == SIZE_DIFFERS
    assert decide(Carried("a", True, True, SIZE_DIFFERS, MOST_DOUBTS)) == FOUND
    assert decide(Carried("a", True, True, BYTES_MISSING)) == FOUND


def test_nothing_is_credited_without_the_lists() -> None:
    decide = rest_decider(task(sync_level="checksum"), reading(**ONE_CURRENT), is_list_whole=False)

    assert decide(Carried("a", False, True, "")) == UNLISTED


def test_an_empty_folder_needs_no_row_of_its_own() -> None:
    decide = rest_decider(task(), reading(listed=0), is_list_whole=True)
    skipped = rest_decider(task(), reading(counts=Counts(0, 0, 0, 0, 1, 0)), is_list_whole=True)

    assert decide(EMPTY) == VERIFIED
    assert skipped(EMPTY) == UNNAMED
