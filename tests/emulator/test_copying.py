"""Bytes really move: sync levels, recursion, filter rules, symlinks, timestamps, checksums."""

from __future__ import annotations

import hashlib
import os
import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import globus_sdk
import pytest

from emulator.http.server import Emulator

DESTINATION = "5a0c9d5e-0000-4000-8000-000000000002"
Copy = Callable[..., "dict[str, Any]"]
HOUR_SECONDS = 3600


def write(path: Path, text: str = "new", age_seconds: float = 0) -> Path:
    """A file of that text and age; its folders are made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    moment = time.time() - age_seconds
    os.utime(path, (moment, moment))
    return path


def test_a_file_arrives_at_its_full_path_and_missing_folders_are_made(
    copy: Copy, source: Path, destination: Path
) -> None:
    write(source / "a.txt", "hello")

    task = copy(("/a.txt", "/deep/er/b.txt"))

    assert (destination / "deep/er/b.txt").read_text() == "hello"
    assert task["status"] == "SUCCEEDED"
    assert (task["files"], task["files_transferred"], task["bytes_transferred"]) == (1, 1, 5)
    assert (task["subtasks_total"], task["subtasks_succeeded"], task["subtasks_pending"]) == (2, 2, 0)
    assert (task["nice_status"], task["is_ok"], task["is_paused"]) == (None, None, False)


@pytest.mark.parametrize(
    ("level", "there", "is_copied"),
    [
        (None, ("new", 0), True),
        (0, None, True),
        (0, ("other", 0), False),
        (1, ("other", 0), True),
        (1, ("old", 9), False),
        (2, ("other", -9), True),
        (2, ("old", 9), True),
        (2, ("old", -9), False),
        (3, ("other", -9), True),
        (3, ("old", -9), True),
        (3, ("new", 9), False),
    ],
)
def test_a_sync_level_decides_what_is_copied(
    copy: Copy, source: Path, destination: Path, level: int | None, there: tuple[str, float] | None, is_copied: bool
) -> None:
    write(source / "f", "new", age_seconds=HOUR_SECONDS)
    if there is not None:
        write(destination / "f", there[0], age_seconds=HOUR_SECONDS + there[1])

    task = copy(("/f", "/f"), sync_level=level if level is not None else globus_sdk.MISSING)

    assert (task["files_transferred"], task["files_skipped"]) == ((1, 0) if is_copied else (0, 1))
    assert (destination / "f").read_text() == ("new" if is_copied else there[0] if there else "")
    assert task["bytes_checksummed"] == (3 if level == 3 and there and len(there[0]) == 3 else 0)


def test_times_are_compared_in_whole_seconds(copy: Copy, source: Path, destination: Path) -> None:
    for folder, mtime_ns, text in (
        (source, 1_700_000_000_900_000_000, "new"),
        (destination, 1_700_000_000_100_000_000, "old"),
    ):
        os.utime(write(folder / "f", text), ns=(mtime_ns, mtime_ns))

    assert copy(("/f", "/f"), sync_level=2)["files_skipped"] == 1


def test_preserve_timestamp_keeps_the_whole_second(copy: Copy, source: Path, destination: Path) -> None:
    write(source / "f")
    os.utime(source / "f", ns=(1_600_000_000_123_456_789, 1_600_000_000_123_456_789))

    before = int(time.time())
    copy(("/f", "/kept"), preserve_timestamp=True)
    copy(("/f", "/arrived"))

    assert (destination / "kept").stat().st_mtime_ns == 1_600_000_000_000_000_000
    assert (destination / "arrived").stat().st_mtime >= before


def test_a_directory_arrives_with_all_below_it(copy: Copy, source: Path, destination: Path) -> None:
    for name in ("x/1", "x/y/2", "x/y/z/3"):
        write(source / name, name)
    (source / "x/empty").mkdir()

    task = copy(("/x/", "/copy/of/x/", True))

    assert sorted(str(path.relative_to(destination)) for path in destination.rglob("*") if path.is_file()) == [
        "copy/of/x/1",
        "copy/of/x/y/2",
        "copy/of/x/y/z/3",
    ]
    assert (destination / "copy/of/x/empty").is_dir()
    assert (task["files"], task["directories"], task["subtasks_pending"]) == (3, 4, 0)


def test_whether_an_item_is_a_directory_is_found_out_when_nobody_says(
    copy: Copy, source: Path, destination: Path
) -> None:
    write(source / "x/1")
    write(source / "2")

    copy(("/x", "/x"), ("/2", "/2"))

    assert (destination / "x/1").exists()
    assert (destination / "2").exists()


@pytest.mark.parametrize(
    ("rules", "arrived"),
    [
        ([("exclude", "*.tmp", "file")], ["keep/b", "keep/cache.d/c"]),
        ([("exclude", "cache*", "dir")], ["a.tmp", "keep/b"]),
        ([("exclude", "cache*", "dir"), ("include", "c", None)], ["a.tmp", "keep/b"]),
        ([("include", "a.tmp", None), ("exclude", "*", "file")], ["a.tmp"]),
        ([("exclude", "[!a]", None)], ["a.tmp"]),
    ],
)
def test_filter_rules_decide_during_recursion(
    submit: Callable[..., str], source: Path, destination: Path, rules: list[tuple[str, str, str | None]], arrived: Any
) -> None:
    for name in ("t/a.tmp", "t/keep/b", "t/keep/cache.d/c"):
        write(source / name)
    documents = [
        {"DATA_TYPE": "filter_rule", "method": method, "name": name, **({"type": kind} if kind else {})}
        for method, name, kind in rules
    ]

    submit(("/t/", "/", True), additional_fields={"filter_rules": documents})

    assert sorted(str(path.relative_to(destination)) for path in destination.rglob("*") if path.is_file()) == arrived


def test_a_link_at_the_root_is_followed_and_links_below_are_ignored(
    copy: Copy, source: Path, destination: Path
) -> None:
    write(source / "real/f")
    (source / "link").symlink_to("real")
    (source / "real/inner").symlink_to("f")

    copy(("/link/", "/out/", True))

    assert [path.name for path in (destination / "out").iterdir()] == ["f"]


def test_links_below_can_be_kept_or_followed(copy: Copy, source: Path, destination: Path) -> None:
    write(source / "t/f", "text")
    (source / "t/inner").symlink_to("f")

    copy(("/t/", "/keep/", True), additional_fields={"recursive_symlinks": "keep"})
    copy(("/t/", "/copy/", True), additional_fields={"recursive_symlinks": "copy"})

    assert os.readlink(destination / "keep/inner") == "f"
    assert not (destination / "copy/inner").is_symlink()
    assert (destination / "copy/inner").read_text() == "text"


def test_a_link_can_be_an_item_of_its_own(copy: Copy, source: Path, destination: Path) -> None:
    (source / "link").symlink_to("some/where")
    item = {"DATA_TYPE": "transfer_symlink_item", "source_path": "/link", "destination_path": "/made/link"}

    task = copy(fields={"DATA": [item]})

    assert (task["status"], task["symlinks"]) == ("SUCCEEDED", 1)
    assert os.readlink(destination / "made/link") == "some/where"


def test_a_file_is_never_copied_onto_itself(copy: Copy, globus: Emulator, source: Path) -> None:
    write(source / "f", "precious")
    globus.world.change_collection(DESTINATION, root=source)

    task = copy(("/f", "/f"))

    assert (task["status"], task["is_ok"]) == ("ACTIVE", False)
    assert (source / "f").read_text() == "precious"


def test_a_collection_can_show_the_whole_computer(
    copy: Copy, globus: Emulator, source: Path, destination: Path
) -> None:
    write(source / "run/f")
    for collection in globus.world.collections.values():
        globus.world.change_collection(collection.id, root="/")

    copy((f"{source}/run/", f"{destination}/run/", True))

    assert (destination / "run/f").exists()


def test_special_files_are_never_opened(copy: Copy, source: Path, destination: Path) -> None:
    write(source / "t/f")
    os.mkfifo(source / "t/pipe")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(os.path.relpath(source / "t/socket"))

    task = copy(("/t/", "/", True))

    assert (task["status"], task["files"]) == ("SUCCEEDED", 1)
    assert [path.name for path in destination.iterdir()] == ["f"]


def test_names_of_any_script_survive(copy: Copy, source: Path, destination: Path) -> None:
    names = ["Größe µm.dat", "データ", "a\nb", "tab\t", "'quote\"", "back\\slash", " lead", "%41"]
    for name in names:
        write(source / "t" / name)

    copy(("/t/", "/t/", True), *((f"/t/{name}", f"/one/{name}") for name in names))

    assert sorted(path.name for path in (destination / "t").iterdir()) == sorted(names)
    assert sorted(path.name for path in (destination / "one").iterdir()) == sorted(names)


def test_a_name_that_is_not_utf8_is_a_fault_and_can_be_skipped(copy: Copy, source: Path, destination: Path) -> None:
    (source / "t").mkdir()
    with open(os.fsencode(source / "t") + b"/bad\xff", "wb"):
        pass
    write(source / "t/good")

    stuck = copy(("/t/", "/1/", True))
    skipped = copy(("/t/", "/2/", True), skip_source_errors=True)

    assert (stuck["status"], stuck["nice_status"]) == ("ACTIVE", "INVALID_PATH_NAME")
    assert (skipped["status"], skipped["subtasks_skipped_errors"]) == ("SUCCEEDED", 1)
    assert (destination / "1/good").exists()
    assert (destination / "2/good").exists()


def test_delete_destination_extra_removes_what_the_source_has_not(copy: Copy, source: Path, destination: Path) -> None:
    write(source / "t/f")
    write(source / "t/sub/g")
    write(destination / "t/old/h")
    write(destination / "t/sub/extra")
    (destination / "t/f").mkdir()

    copy(("/t/", "/t/", True), delete_destination_extra=True)

    assert sorted(str(path.relative_to(destination)) for path in destination.rglob("*")) == [
        "t",
        "t/f",
        "t/sub",
        "t/sub/g",
    ]
    assert (destination / "t/f").is_file()


def test_after_skipped_errors_nothing_is_deleted(
    copy: Copy, transfer: globus_sdk.TransferClient, source: Path, destination: Path
) -> None:
    write(source / "t/f").chmod(0)
    write(destination / "t/extra")

    task = copy(("/t/", "/t/", True), delete_destination_extra=True, skip_source_errors=True)

    assert (destination / "t/extra").exists()
    codes = [event["code"] for event in transfer.task_event_list(task["task_id"])]
    assert "DELETE_DESTINATION_EXTRA_SKIPPED" in codes


def test_a_corrupted_copy_is_noticed_and_sent_again(
    globus: Emulator, copy: Copy, transfer: globus_sdk.TransferClient, source: Path, destination: Path
) -> None:
    write(source / "f", "precious")
    globus.world.add_outcome("corrupt", path="/f")

    unseen = copy(("/f", "/unseen"))
    task = copy(("/f", "/seen"), verify_checksum=True)

    assert (unseen["status"], unseen["faults"]) == ("SUCCEEDED", 0)
    assert (destination / "unseen").read_bytes() != b"precious"
    assert (task["status"], task["faults"], task["bytes_checksummed"]) == ("SUCCEEDED", 1, 16)
    assert (destination / "seen").read_text() == "precious"
    assert "VERIFY_CHECKSUM" in [event["code"] for event in transfer.task_event_list(task["task_id"])]


def test_a_given_checksum_is_compared_with_what_arrived(
    submit: Callable[..., str], transfer: globus_sdk.TransferClient, source: Path
) -> None:
    write(source / "f", "text")
    item = {"DATA_TYPE": "transfer_item", "source_path": "/f", "checksum_algorithm": "md5"}
    right, wrong = hashlib.md5(b"text").hexdigest(), hashlib.md5(b"else").hexdigest()

    good = submit(fields={"DATA": [{**item, "destination_path": "/1", "external_checksum": right}]})
    bad = submit(fields={"DATA": [{**item, "destination_path": "/2", "external_checksum": wrong}]})

    assert transfer.get_task(good)["status"] == "SUCCEEDED"
    assert transfer.get_task(bad)["fatal_error"]["code"] == "EXTERNAL_CHECKSUM_MISMATCH"


def test_the_common_path_is_reported_when_asked_for(
    submit: Callable[..., str], transfer: globus_sdk.TransferClient, source: Path
) -> None:
    write(source / "x/y/1")
    write(source / "x/z/2")

    task = transfer.get_task(
        submit(("/x/y/1", "/out/y/1"), ("/x/z/2", "/out/z/2"), additional_fields={"store_base_path_info": True})
    )

    assert (task["source_base_path"], task["destination_base_path"]) == ("/x/", "/out/")


def test_a_path_cannot_leave_its_collection(copy: Copy, source: Path, tmp_path: Path) -> None:
    write(source / "f")

    copy(("/../../f", "/../../../out"))

    assert not (tmp_path / "out").exists()
    assert (tmp_path / "archive/out").exists()


def test_a_tree_of_a_thousand_files_is_copied_in_one_task(copy: Copy, source: Path) -> None:
    for folder in range(10):
        (source / f"t/{folder}").mkdir(parents=True)
        for number in range(100):
            (source / f"t/{folder}/{number}").write_bytes(b"x")

    task = copy(("/t/", "/t/", True), sync_level=2, verify_checksum=True, preserve_timestamp=True)

    assert task["files_transferred"] == 1000
