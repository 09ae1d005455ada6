"""What is new, modified, to be retried, unsettled or vanished, and the sync level that cannot skip it."""

from __future__ import annotations

from typing import Any

import pytest

from autotransfer.common.paths import FOLDER_ITSELF
from autotransfer.datastore.record import EMPTY_FOLDER, LAG_UNKNOWN, Delivered, Fingerprint, Folder, InFlight, Retry
from autotransfer.plan.compare import (
    CHECKSUM,
    MODIFIED,
    NEW,
    OLDER,
    RETRY,
    SendRules,
    compare,
    forget_vanished,
    gone_folders,
)
from autotransfer.scan.listing import Listing, PathError
from autotransfer.scan.worker import is_unchanged

NS = 10**9
NOW_NS = 5_000 * NS
RULES = SendRules(
    settled_before_ns=NOW_NS - 10 * NS, settle_ns=10 * NS, sync_level="mtime", preserve_timestamp=True, now_ns=NOW_NS
)
FILE: Fingerprint = (1_000 * NS + 5, 7)


def listed(files: dict[str, Fingerprint], folders: list[str] | None = None, **fields: Any) -> Listing:
    listing = Listing("d", files, folders or [], frozenset(), (), NOW_NS, 900 * NS, True, True, 0, 0, ())
    return listing._replace(**fields)


def folder_with(**records: Any) -> Folder:
    folder = Folder()
    for name, value in records.items():
        setattr(folder, name, value)
    return folder


def delivered(fingerprint: Fingerprint = FILE, *, at_ns: int = 1_100 * NS, task: int = 1) -> Delivered:
    return Delivered(*fingerprint, at_ns, task)


@pytest.mark.parametrize(
    ("seen", "why", "level"),
    [
        ((1_200 * NS, 7), MODIFIED, "mtime"),
        ((1_200 * NS, 8), MODIFIED, "mtime"),
        ((1_000 * NS + 6, 7), MODIFIED, CHECKSUM),  # the same whole second: Globus would see no change
        ((999 * NS, 7), OLDER, CHECKSUM),
        ((1_000 * NS + 4, 7), OLDER, CHECKSUM),
        ((1_000 * NS + 5, 8), MODIFIED, CHECKSUM),
        ((1_050 * NS, 7), MODIFIED, CHECKSUM),  # a copy with the time of its arrival would be newer
    ],
)
def test_any_difference_is_a_change_and_goes_with_a_level_that_cannot_skip_it(
    seen: Fingerprint, why: str, level: str
) -> None:
    change = compare(listed({"x": seen}), folder_with(delivered={"x": delivered()}), RULES, is_known=True)

    assert (change.outgoing["x"].why, change.outgoing["x"].sync_level) == (why, level)


@pytest.mark.parametrize("rules", [RULES._replace(preserve_timestamp=False), RULES._replace(sync_level="size")])
def test_a_known_modification_is_never_left_to_a_level_that_could_skip_it(rules: SendRules) -> None:
    folder = folder_with(delivered={"x": delivered()})

    change = compare(listed({"x": (2_000 * NS, 7)}), folder, rules, is_known=True)

    assert change.outgoing["x"].sync_level == CHECKSUM


def test_a_modification_of_what_a_person_assumed_for_is_compared_by_checksum() -> None:
    """An earlier transfer may have left a newer copy than the one that set_time.py recorded."""
    folder = folder_with(delivered={"x": delivered(task=0)})

    change = compare(listed({"x": (2_000 * NS, 7)}), folder, RULES, is_known=True)

    assert change.outgoing["x"].sync_level == CHECKSUM


@pytest.mark.parametrize(
    ("verify_until_ns", "rules", "level"),
    [
        (0, RULES, "mtime"),
        (999 * NS, RULES, "mtime"),
        (1_000 * NS, RULES, CHECKSUM),
        (2_000 * NS, RULES, CHECKSUM),
        (0, RULES._replace(sync_level="exists"), "exists"),
        (999 * NS, RULES._replace(sync_level="exists"), CHECKSUM),  # however new, `exists` would skip it
        (999 * NS, RULES._replace(sync_level="size"), CHECKSUM),
        (0, RULES._replace(preserve_timestamp=False), "mtime"),
        (999 * NS, RULES._replace(preserve_timestamp=False), CHECKSUM),
    ],
)
def test_a_new_path_in_doubt_is_compared_by_checksum(verify_until_ns: int, rules: SendRules, level: str) -> None:
    change = compare(listed({"x": FILE}), folder_with(verify_until_ns=verify_until_ns), rules, is_known=False)

    assert (change.outgoing["x"].why, change.outgoing["x"].sync_level) == (NEW, level)


def test_what_is_the_same_is_not_sent() -> None:
    change = compare(listed({"x": FILE}), folder_with(delivered={"x": delivered()}), RULES, is_known=True)

    assert (change.outgoing, change.is_dirty) == ({}, False)


def test_a_retry_goes_by_checksum_once_its_pause_is_over_or_the_file_has_changed() -> None:
    def outgoing(seen: Fingerprint, not_before_ns: int) -> tuple[list[tuple[str, str]], int]:
        folder = folder_with(retries={"x": Retry(*FILE, 2, not_before_ns, "FAILED", 1)})
        change = compare(listed({"x": seen}), folder, RULES, is_known=True)
        return [(sent.why, sent.sync_level) for sent in change.outgoing.values()], change.backing_off

    assert outgoing(FILE, NOW_NS) == ([(RETRY, CHECKSUM)], 0)
    assert outgoing(FILE, NOW_NS + 1) == ([], 1)
    assert outgoing((FILE[0] + 1, 7), NOW_NS + 1) == ([(RETRY, CHECKSUM)], 0)


@pytest.mark.parametrize(
    ("mtime_ns", "is_settled"),
    [
        (NOW_NS - 10 * NS - 1, True),
        (NOW_NS - 10 * NS, False),
        (NOW_NS, False),
        (NOW_NS + 10 * NS, False),
        (NOW_NS + 10 * NS + 1, True),  # a wrong instrument clock must not hold a file back for ever
    ],
)
def test_what_was_touched_a_moment_ago_is_unsettled(mtime_ns: int, is_settled: bool) -> None:
    change = compare(listed({"x": (mtime_ns, 7)}), Folder(), RULES, is_known=False)

    assert (len(change.outgoing), change.unsettled) == ((1, 0) if is_settled else (0, 1))
    assert change.is_whole is is_settled


def test_an_empty_folder_is_settled_by_its_own_time() -> None:
    listing = listed({FOLDER_ITSELF: EMPTY_FOLDER}, mtime_ns=NOW_NS - 1)

    assert compare(listing, Folder(), RULES, is_known=False).unsettled == 1
    assert list(compare(listing._replace(mtime_ns=FILE[0]), Folder(), RULES, is_known=False).outgoing) == ["."]


def test_what_is_in_flight_or_covered_waits_when_it_changed() -> None:
    folder = folder_with(in_flight={"x": InFlight(*FILE, 1), "y": InFlight(*FILE, 1)})
    changed = compare(listed({"x": FILE, "y": (FILE[0], 8)}), folder, RULES, is_known=True)
    covered = compare(listed({"late": FILE}), folder_with(carried_by=3), RULES, is_known=True)

    assert (changed.outgoing, changed.waiting) == ({}, 1)
    assert (covered.outgoing, covered.waiting) == ({}, 1)


def test_a_file_waits_while_a_task_carries_something_in_the_folder_it_replaced() -> None:
    folder = folder_with(folders={"x"})

    change = compare(listed({"x": FILE, "y": FILE}), folder, RULES, is_known=True, taken=frozenset({"x"}))

    assert (list(change.outgoing), change.waiting, change.folder.folders) == (["y"], 1, {"x"})
    assert change.is_dirty


@pytest.mark.parametrize(
    ("folder", "taken"),
    [(folder_with(in_flight={"gone": InFlight(*FILE, 1)}), []), (folder_with(folders={"gone"}), ["gone"])],
)
def test_an_emptied_folder_waits_while_a_task_carries_something_in_it(folder: Folder, taken: list[str]) -> None:
    listing = listed({FOLDER_ITSELF: EMPTY_FOLDER})

    change = compare(listing, folder, RULES, is_known=True, taken=frozenset(taken))

    assert (change.outgoing, change.waiting) == ({}, 1)


def test_a_folder_waits_while_a_task_carries_the_file_it_replaced() -> None:
    folder = folder_with(in_flight={"x": InFlight(*FILE, 1)})

    assert compare(listed({}, ["w", "x"]), folder, RULES, is_known=True).taken_folders == ("x",)


def test_vanished_names_are_forgotten_with_doubt() -> None:
    folder = folder_with(delivered={"x": delivered(), "y": delivered()}, retries={"z": Retry(*FILE, 1, 0, "", 1)})

    change = compare(listed({"y": FILE}), folder, RULES, is_known=True)

    assert (change.vanished, change.is_dirty, set(folder.delivered), folder.retries) == (2, True, {"y"}, {})
    assert folder.verify_until_ns == 1_100 * NS


def test_a_folder_that_is_no_longer_empty_loses_its_entry_for_good() -> None:
    """The record used to be dropped in memory only, so that the folder was never at rest again."""
    folder = folder_with(delivered={FOLDER_ITSELF: delivered(EMPTY_FOLDER), "x": delivered()})

    change = compare(listed({"x": FILE}), folder, RULES, is_known=True)

    assert (change.vanished, change.is_dirty, set(change.folder.delivered)) == (0, True, {"x"})


def test_names_that_could_not_be_looked_at_keep_their_records() -> None:
    folder = folder_with(delivered={"x": delivered()}, folders={"f", "g"})
    listing = listed({}, kept=frozenset({"x", "f"}))

    assert forget_vanished(listing, folder) == 0
    assert gone_folders(listing, folder) == ["g"]
    assert set(folder.delivered) == {"x"}


def test_a_folder_that_cannot_be_read_keeps_everything() -> None:
    folder = folder_with(delivered={"x": delivered()}, folders={"f"})
    listing = listed({}, is_readable=False)

    change = compare(listing, folder, RULES, is_known=True)

    assert (change.vanished, change.is_dirty, change.outgoing) == (0, False, {})
    assert (set(folder.delivered), gone_folders(listing, folder)) == ({"x"}, [])


@pytest.mark.parametrize(
    ("listing", "records", "is_whole"),
    [
        (listed({"x": FILE}), {}, True),
        (listed({"x": FILE}), {"delivered": {"gone": delivered()}}, True),
        (listed({"x": FILE}), {"in_flight": {"gone": InFlight(1, 1, 3)}}, False),
        (listed({"x": FILE, "y": FILE}), {"delivered": {"y": delivered()}}, False),
        (listed({"x": FILE}, rel_path=""), {}, False),
        (listed({"x": FILE}, is_plain=False), {}, False),
        (listed({"x": FILE, "y": (NOW_NS, 1)}), {}, False),
        (listed({}, ["f"]), {}, True),
    ],
)
@pytest.mark.parametrize("is_known", [False, True])
def test_a_folder_is_whole_when_all_in_it_is_new_settled_and_sendable(
    listing: Listing, records: dict[str, Any], is_whole: bool, is_known: bool
) -> None:
    folder = folder_with(**{name: dict(value) for name, value in records.items()})

    assert compare(listing, folder, RULES, is_known=is_known).is_whole is is_whole


BY_CTIME = RULES._replace(compares_ctime=True)
LAG_NS = 100 * NS


@pytest.mark.parametrize(
    ("recorded_lag_ns", "rules", "is_sent"),
    [
        (LAG_NS - 1, RULES, False),
        (LAG_NS - 1, BY_CTIME, True),
        (LAG_NS, BY_CTIME, False),
        (LAG_UNKNOWN, BY_CTIME, False),
    ],
)
def test_a_path_whose_ctime_alone_moved_is_modified_only_by_setting(
    recorded_lag_ns: int, rules: SendRules, is_sent: bool
) -> None:
    folder = folder_with(delivered={"x": delivered()._replace(ctime_lag_ns=recorded_lag_ns)})
    listing = listed({"x": FILE}, ctime_lags_ns={"x": LAG_NS})

    change = compare(listing, folder, rules, is_known=True)

    assert [(item.why, item.sync_level, item.ctime_lag_ns) for item in change.outgoing.values()] == (
        [(MODIFIED, CHECKSUM, LAG_NS)] if is_sent else []
    )
    assert is_unchanged(listing, folder.pack(), compares_ctime=rules.compares_ctime) is not is_sent


def test_a_path_whose_ctime_moved_a_moment_ago_is_unsettled() -> None:
    folder = folder_with(delivered={"x": delivered()._replace(ctime_lag_ns=1)})
    listing = listed({"x": FILE}, ctime_lags_ns={"x": NOW_NS - 3 * NS - FILE[0]})

    assert compare(listing, folder, BY_CTIME, is_known=True).unsettled == 1


def test_a_path_in_flight_whose_ctime_moved_waits() -> None:
    folder = folder_with(in_flight={"x": InFlight(*FILE, 3, 1)})
    listing = listed({"x": FILE}, ctime_lags_ns={"x": 2})

    assert compare(listing, folder, BY_CTIME, is_known=True).waiting == 1
    assert compare(listing, folder, RULES, is_known=True).waiting == 0
    assert not is_unchanged(listing, folder.pack(), compares_ctime=True)


def test_a_folder_at_rest_with_what_was_delivered_is_unchanged() -> None:
    folder = folder_with(delivered={"x": delivered()}, folders={"f", "g"})
    listing = listed({"x": FILE}, ["f", "g"])

    assert is_unchanged(listing, folder.pack())
    assert not is_unchanged(listing, None)
    assert not is_unchanged(listing._replace(folders=["f"]), folder.pack())
    assert not is_unchanged(listing._replace(files={}), folder.pack())
    assert is_unchanged(listing._replace(kept=frozenset({"k"})), folder.pack())
    assert not is_unchanged(listing._replace(errors=(PathError("k", "denied"),)), folder.pack())
    assert not is_unchanged(listing._replace(moved=(PathError("k", "gone"),)), folder.pack())
    assert not is_unchanged(listing._replace(is_readable=False), folder.pack())
    folder.retries["x"] = Retry(*FILE, 1, 0, "", 1)
    assert not is_unchanged(listing, folder.pack())


def test_a_folder_in_flight_as_it_was_submitted_is_unchanged() -> None:
    folder = folder_with(delivered={"x": delivered(), "y": delivered()})
    folder.in_flight["y"] = InFlight(FILE[0] + 1, FILE[1], 7)
    folder.carried_by = 7

    assert is_unchanged(listed({"x": FILE, "y": (FILE[0] + 1, FILE[1])}), folder.pack())
    assert not is_unchanged(listed({"x": FILE, "y": FILE}), folder.pack())
    assert not is_unchanged(listed({"x": FILE}), folder.pack())
