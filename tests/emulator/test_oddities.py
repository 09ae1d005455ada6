"""What the emulator plays so that nobody is misled by it: old views, odd lists and counts, storage without times."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import globus_sdk
import pytest
import requests

from emulator.http.server import Emulator

SOURCE = "5a0c9d5e-0000-4000-8000-000000000001"
DESTINATION = "5a0c9d5e-0000-4000-8000-000000000002"
Copy = Callable[..., "dict[str, Any]"]
EXISTS, SIZE, MTIME, CHECKSUM = range(4)


def rows(transfer: globus_sdk.TransferClient, task: dict[str, Any]) -> list[dict[str, Any]]:
    return list(transfer.paginated.task_successful_transfers(task["task_id"]).items())


def test_a_node_sees_a_file_as_it_was_until_it_is_told_otherwise(
    globus: Emulator, copy: Copy, transfer: globus_sdk.TransferClient, source: Path, destination: Path
) -> None:
    (source / "run").mkdir()
    (source / "run/a").write_text("old")
    globus.world.keep_seeing(SOURCE, "/run/a")
    globus.world.keep_seeing(SOURCE, "/run/new")
    (source / "run/a").write_text("newer")
    (source / "run/new").write_text("new")

    first = copy(("/run/", "/run/", True))
    seen = {path.name: path.read_text() for path in (destination / "run").iterdir()}
    skipped = copy(("/run/new", "/run/new"), skip_source_errors=True)
    globus.world.see_all()
    second = copy(("/run/", "/run/", True))

    assert seen == {"a": "old"}
    assert [row["size"] for row in rows(transfer, first)] == [3]
    assert (first["files"], skipped["subtasks_skipped_errors"], second["files"]) == (1, 1, 2)
    assert {path.name: path.read_text() for path in (destination / "run").iterdir()} == {"a": "newer", "new": "new"}


@pytest.mark.parametrize(("level", "content"), [("mtime", "old"), ("checksum", "new"), (None, "new")])
def test_a_copy_can_be_taken_for_current_below_checksum(
    globus: Emulator, copy: Copy, source: Path, destination: Path, level: Any, content: str
) -> None:
    (source / "a").write_text("new")
    (destination / "a").write_text("old")
    os.utime(destination / "a", (0, 0))
    globus.world.add_outcome("current")

    task = copy(("/a", "/a"), sync_level=level)

    assert (destination / "a").read_text() == content
    assert (task["files_skipped"], task["files_transferred"]) == ((1, 0) if content == "old" else (0, 1))


def test_rows_have_sizes_and_the_checksums_that_were_verified(
    copy: Copy, transfer: globus_sdk.TransferClient, source: Path
) -> None:
    (source / "a").write_text("content")

    verified, unverified = copy(("/a", "/a"), verify_checksum=True), copy(("/a", "/b"))

    md5 = hashlib.md5(b"content", usedforsecurity=False).hexdigest()
    assert [(row["size"], row["checksum"], row["checksum_algorithm"]) for row in rows(transfer, verified)] == [
        (7, md5, "MD5")
    ]
    assert [(row["size"], row["checksum"]) for row in rows(transfer, unverified)] == [(7, None)]


def test_a_collection_can_switch_verification_off_and_keep_no_times(
    globus: Emulator, copy: Copy, transfer: globus_sdk.TransferClient, source: Path, destination: Path
) -> None:
    (source / "a").write_text("content")
    os.utime(source / "a", (1_000_000_000,) * 2)
    globus.world.change_collection(DESTINATION, disable_verify=True, keeps_times=False)
    globus.world.add_outcome("corrupt")

    task = copy(("/a", "/a"), preserve_timestamp=True, verify_checksum=True)

    assert transfer.get_endpoint(DESTINATION)["disable_verify"] is True
    assert (task["status"], task["bytes_checksummed"]) == ("SUCCEEDED", 0)
    assert (destination / "a").read_bytes() != b"content"
    assert (destination / "a").stat().st_mtime != 1_000_000_000


@pytest.mark.parametrize(
    ("kind", "names"),
    [
        ("missing", ["/a b", "/c"]),
        ("twice", ["/a b", "/b é", "/b é", "/c"]),
        ("percent", ["/a b", "/b%20%C3%A9", "/c"]),
        ("nfd", ["/a b", "/b e\u0301", "/c"]),
        ("slashes", ["/a b", "//b é", "/c"]),
        ("no_paths", ["/a b", None, "/c"]),
        ("no_sizes", ["/a b", "/b é", "/c"]),
    ],
)
def test_rows_of_one_task_can_be_odd(
    globus: Emulator, copy: Copy, transfer: globus_sdk.TransferClient, source: Path, kind: str, names: list[str]
) -> None:
    paths = ["/a b", "/b é", "/c"]
    for path in paths:
        (source / path[1:]).write_text("content")
    globus.world.page_size = 2
    globus.world.add_odd_list(kind, path="/b*", times=1)

    odd, plain = (copy(*[(path, f"/{to}{path}") for path in paths]) for to in ("odd", "plain"))

    assert [row["source_path"] for row in rows(transfer, odd)] == names
    assert [row["size"] for row in rows(transfer, odd)].count(None) == (kind == "no_sizes")
    assert [row["source_path"] for row in rows(transfer, plain)] == paths


@pytest.mark.parametrize(("kind", "count"), [("null", None), ("text", "2"), ("larger", 3)])
def test_a_count_can_be_odd_once_a_task_has_ended(
    globus: Emulator, copy: Copy, source: Path, kind: str, count: Any
) -> None:
    for name in "ab":
        (source / name).write_text("content")
    base = globus.url + "_emulator/odd_lists"
    assert requests.post(base, json={"kind": kind, "count": "files"}, timeout=60).status_code == 201

    odd = copy(("/a", "/a"), ("/b", "/b"))
    assert requests.delete(base, timeout=60).ok
    plain = copy(("/a", "/c"), ("/b", "/d"))

    assert (odd["files"], plain["files"]) == (count, 2)


def test_an_oddity_that_does_not_exist_is_refused(globus: Emulator) -> None:
    base = globus.url + "_emulator/odd_lists"

    assert requests.post(base, json={"kind": "purple"}, timeout=60).status_code == 400
    assert requests.post(base, json={"kind": "null", "count": "purple"}, timeout=60).status_code == 400


def test_another_process_can_have_a_file_seen_as_it_was(globus: Emulator, copy: Copy, source: Path) -> None:
    (source / "a").write_text("old")
    base = globus.url + "_emulator/keep_seeing"
    assert requests.post(base, json={"collection": SOURCE, "path": "/a"}, timeout=60).status_code == 201
    (source / "a").write_text("longer")

    sizes = [copy(("/a", "/a"))["bytes_transferred"]]
    assert requests.delete(base, timeout=60).ok
    sizes.append(copy(("/a", "/b"))["bytes_transferred"])

    assert sizes == [3, 6]


@pytest.mark.parametrize(
    ("folds", "kept"),
    [
        ("", {"A.dat", "a.dat", "\u00e9", "e\u0301", "Run/x", "run/y"}),
        ("case", {"A.dat", "\u00e9", "e\u0301", "Run/x", "Run/y"}),
        ("nfc", {"A.dat", "a.dat", "\u00e9", "Run/x", "run/y"}),
        ("case+nfc", {"A.dat", "\u00e9", "Run/x", "Run/y"}),
    ],
)
def test_a_file_system_can_take_two_names_for_one(
    globus: Emulator,
    copy: Copy,
    transfer: globus_sdk.TransferClient,
    source: Path,
    destination: Path,
    folds: str,
    kept: set[str],
) -> None:
    globus.world.change_collection(DESTINATION, folds=folds)
    for name in ("A.dat", "a.dat", "\u00e9", "e\u0301", "Run/x", "run/y"):
        (source / name).parent.mkdir(exist_ok=True)
        (source / name).write_text(name)

    files = [(f"/{name}", f"/{name}") for name in ("A.dat", "a.dat", "\u00e9", "e\u0301")]
    copy(*files, ("/Run/", "/Run/", True), ("/run/", "/run/", True))

    found = [path for path in destination.rglob("*") if path.is_file()]
    assert {str(path.relative_to(destination)) for path in found} == kept
    listed = [entry["name"] for entry in transfer.operation_ls(DESTINATION, path="/")]
    assert ("a.dat" in listed, len(listed)) == ("a.dat" in kept, len({name.split("/")[0] for name in kept}))
    if "case" in folds:
        assert (destination / "A.dat").read_text() == "a.dat"


def test_names_fold_inside_one_folder_item_too(globus: Emulator, copy: Copy, source: Path, destination: Path) -> None:
    globus.world.change_collection(DESTINATION, folds="case")
    (source / "run").mkdir()
    for name in ("A.dat", "a.dat"):
        (source / "run" / name).write_text(name)

    copy(("/run/", "/run/", True))

    assert len(list((destination / "run").iterdir())) == 1
