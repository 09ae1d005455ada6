"""Names that may be one name at the destination: what is asked there, what counts meanwhile, and what is sent again.

Against the second service (support/small_globus.py).
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from typing import Any

import pytest
from small_globus import CHECKSUM, SmallGlobus, SmallTask
from suite import LONG_AGO, Route

from autotransfer.datastore.store import Store
from autotransfer.transfer import twin_names

NFC, NFD = "caf\u00e9", "cafe\u0301"
Form = Callable[[str], str]


def fold(service: SmallGlobus, form: Form = str.casefold) -> None:
    """Have the destination take names for one that have one form, and keep the first of them, as APFS and NTFS do."""
    names: dict[tuple[str, str], str] = {}

    def stored(path: str) -> str:
        place = ""
        for part in path.strip("/").split("/"):
            place += "/" + names.setdefault((place, form(part)), part)
        return place

    service.stored = stored


def evidence(route: Route) -> dict[str, str]:
    """What the manifest says."""
    file = route.folder / "manifest.jsonl"
    route.run_here("status.py", "--manifest", str(file))
    return {row["path"]: row["evidence"] for row in map(json.loads, file.read_text().splitlines())}


def answer(route: Route, rel_path: str, *, status: int) -> Any:
    return route.run_here("status.py", "--json", "--path", str(route.src / rel_path), status=status).json["paths"][0]


def listings(service: SmallGlobus) -> int:
    """How often the destination was listed since the first task."""
    first = service.requests.index("POST /v0.10/transfer")
    return sum(request.endswith("/ls") for request in service.requests[first:])


def sent_names(service: SmallGlobus) -> dict[str, Any]:
    """The names in the newest task, each with its sync level."""
    posted = service.newest.posted
    return {os.path.basename(item["source_path"].rstrip("/")): posted["sync_level"] for item in posted["DATA"]}


def refuse_listings(service: SmallGlobus, status: int = 403) -> None:
    def refused(method: str, path: str, query: dict[str, str], body: Any) -> Any:
        if path.endswith("/ls"):
            return status, {"code": "PermissionDenied", "message": "Permission denied", "request_id": "r"}
        return None

    service.answer = refused


def ask_again_now(route: Route) -> None:
    """Let the pauses pass."""
    with Store(str(route.code_path / "datastore")) as store:
        for rel_path, doubt in list(store.twins):
            store.twins.put(rel_path, doubt._replace(not_before_ns=0))
        store.commit()


@pytest.mark.parametrize("names", [("DSC1.JPG", "DSC1.jpg"), (NFC, NFD), ("run.", "run")])
def test_twins_that_the_destination_has_both_keep_their_evidence(
    there: Route, service: SmallGlobus, names: tuple[str, str]
) -> None:
    for name in names:
        there.write(f"cam/{name}", name)
    there.deliver_here()
    for _ in range(2):
        there.summary_here()

    assert listings(service) == 1
    assert set(evidence(there).values()) == {"verified"}
    assert answer(there, "cam", status=0)["evidence"] == {"verified": 2}


@pytest.mark.parametrize(
    ("names", "form"),
    [
        (("DSC1.JPG", "DSC1.jpg"), str.casefold),
        ((NFC, NFD), lambda name: name.replace(NFD, NFC)),
        (("run.", "run"), lambda name: name.rstrip(".")),
    ],
)
def test_twins_that_are_one_name_there_are_reported_and_never_proved(
    there: Route, service: SmallGlobus, names: tuple[str, str], form: Form
) -> None:
    fold(service, form)
    for number, name in enumerate(names):
        there.write(f"cam/{name}", f"content {number}")
    there.write("cam/other")

    first = there.run("main.py", "--wait", "60", status=3, says="are one name at the destination")
    again = there.summary_here(status=3)

    assert all(name in first.stderr for name in names)
    assert (again["submitted"], listings(service)) == (0, 1)
    assert evidence(there) == {f"cam/{names[0]}": "found", f"cam/{names[1]}": "found", "cam/other": "verified"}
    for name in names:
        answered = answer(there, f"cam/{name}", status=3)
        assert (answered["state"], answered["delivered"]["evidence"]) == ("twin", "found")
    assert answer(there, "cam/other", status=0)["state"] == "verified"
    assert answer(there, "", status=3)["weak"] == {"twin": 2}
    there.run("status.py", "--path", str(there.src), "--accept", "found,touched,transferred", status=3)


def test_what_was_verified_before_is_in_doubt_as_soon_as_its_twin_is_sent(there: Route, service: SmallGlobus) -> None:
    fold(service)
    there.write("cam/DSC1.JPG", "of last month")
    there.deliver_here()
    assert evidence(there) == {"cam/DSC1.JPG": "verified"}

    there.write("cam/DSC1.jpg", "of today", mtime_seconds=LONG_AGO + 100)
    service.is_held = True
    there.summary_here()
    assert evidence(there) == {"cam/DSC1.JPG": "found"}
    assert listings(service) == 0  # it cannot be there yet

    service.is_held = False
    there.run_here("main.py", "--wait", "60", status=3)
    assert (there.dst / "cam/DSC1.JPG").read_text() == "of today"
    assert set(evidence(there).values()) == {"found"}


def test_a_folder_that_folds_puts_all_below_it_in_doubt(there: Route, service: SmallGlobus) -> None:
    fold(service)
    for rel_path in ("Cam/deep/a", "cam/b", "camera/c"):
        there.write(rel_path, rel_path)

    there.run_here("main.py", "--wait", "60", status=3, says="Cam and cam are one name")

    assert evidence(there) == {"Cam/deep/a": "found", "cam/b": "found", "camera/c": "verified"}
    assert answer(there, "Cam/deep/a", status=3)["state"] == "twin"
    assert answer(there, "Cam/deep", status=3)["weak"] == {"twin": 1}
    answer(there, "camera", status=0)


def test_a_file_and_a_folder_can_be_twins(there: Route, service: SmallGlobus) -> None:
    there.write("Data", "a file")
    there.write("data/a", "in a folder")

    there.deliver_here()
    assert (listings(service), set(evidence(there).values())) == (1, {"verified"})


@pytest.mark.parametrize("is_removed", [True, False])
def test_what_lost_its_twin_is_compared_by_checksum(there: Route, service: SmallGlobus, is_removed: bool) -> None:
    fold(service)
    there.write("cam/DSC1.JPG", "one")
    there.write("cam/DSC1.jpg", "two")
    there.run_here("main.py", "--wait", "60", status=3)

    if is_removed:
        (there.src / "cam/DSC1.jpg").unlink()
    else:
        (there.src / "cam/DSC1.jpg").rename(there.src / "cam/DSC2.jpg")
    for _ in range(3):
        there.run_here("main.py", "--wait", "60", status=None)

    assert there.summary_here()["submitted"] == 0
    assert {path.name: path.read_text() for path in (there.dst / "cam").iterdir()}["DSC1.JPG"] == "one"
    assert set(evidence(there).values()) <= {"verified", "equal"}
    answer(there, "", status=0)


def test_a_folder_that_lost_its_twin_is_compared_whole(there: Route, service: SmallGlobus) -> None:
    fold(service)
    there.write("Cam/deep/a", "one")
    there.write("cam/deep/a", "two")
    there.run_here("main.py", "--wait", "60", status=3)

    (there.src / "cam").rename(there.src / "other")
    for _ in range(3):
        there.run_here("main.py", "--wait", "60", status=None)

    assert there.summary_here()["submitted"] == 0
    assert there.tree(there.dst) == there.tree()
    answer(there, "", status=0)


def test_twins_that_were_two_there_are_not_sent_again_when_one_goes(there: Route, service: SmallGlobus) -> None:
    there.write("cam/DSC1.JPG", "one")
    there.write("cam/DSC1.jpg", "two")
    there.deliver_here()
    (there.src / "cam/DSC1.jpg").unlink()

    for _ in range(2):
        assert there.summary_here()["submitted"] == 0
    assert evidence(there) == {"cam/DSC1.JPG": "verified"}


def test_a_twin_that_was_never_sent_does_no_harm(there: Route, service: SmallGlobus) -> None:
    there.configure(MAX_TASKS_IN_FLIGHT=1)
    there.write("cam/DSC1.JPG", "one")
    there.deliver_here()
    service.is_held = True
    there.write("elsewhere")
    there.summary_here()
    there.write("cam/DSC1.jpg", "two")
    assert there.summary_here()["waiting"] == 1
    (there.src / "cam/DSC1.jpg").unlink()
    service.is_held = False

    for _ in range(2):
        there.deliver_here()

    assert (len(service.tasks), listings(service)) == (2, 0)
    assert evidence(there) == {"cam/DSC1.JPG": "verified", "elsewhere": "verified"}


def test_a_refused_listing_proves_nothing_and_is_asked_for_again(there: Route, service: SmallGlobus) -> None:
    refuse_listings(service)
    there.write("cam/DSC1.JPG", "one")
    there.write("cam/DSC1.jpg", "two")

    there.deliver_here()
    for _ in range(3):
        there.summary_here()
    assert listings(service) == 1  # there is a pause
    assert set(evidence(there).values()) == {"found"}
    assert answer(there, "cam", status=3)["weak"] == {"twin": 2}

    ask_again_now(there)
    there.run("main.py", status=3, says="could not be listed (Permission denied")
    there.run_here("main.py", status=3)
    assert listings(service) == 2

    service.answer = lambda *request: None
    ask_again_now(there)
    there.run_here("main.py")
    assert (set(evidence(there).values()), len(service.tasks)) == ({"verified"}, 1)


def test_a_service_that_is_away_is_not_asked_about_the_next_folder(there: Route, service: SmallGlobus) -> None:
    there.write("first")
    there.deliver_here()
    refuse_listings(service, 503)
    for folder in ("a", "b"):
        for name in ("x", "X"):
            there.write(f"{folder}/{name}")
    there.deliver_here()

    assert listings(service) <= 4  # the SDK repeats each three times
    assert {word for path, word in evidence(there).items() if path != "first"} == {"found"}


def test_a_folder_with_more_names_than_are_listed_is_not_taken_for_folded(
    there: Route, service: SmallGlobus, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(twin_names, "MOST_NAMES", 2)
    for name in ("A", "a", "b", "z"):
        there.write(f"cam/{name}")
    there.deliver_here()
    assert evidence(there)["cam/a"] == "verified"

    (there.src / "cam/Z").write_text("later")
    os.utime(there.src / "cam/Z", (LONG_AGO, LONG_AGO))
    assert there.deliver_here()["status"] == 0
    assert (evidence(there)["cam/Z"], evidence(there)["cam/a"]) == ("found", "verified")


def test_few_folders_are_asked_about_in_a_run(
    there: Route, service: SmallGlobus, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(twin_names, "LISTED_A_RUN", 1)
    for folder in ("a", "b", "c"):
        for name in ("x", "X"):
            there.write(f"{folder}/{name}")
    there.deliver_here()
    counts = []
    for _ in range(3):
        counts.append(list(evidence(there).values()).count("verified"))
        there.summary_here()

    assert (counts, listings(service)) == ([2, 4, 6], 3)


def test_twins_of_a_destination_that_keeps_both_at_last_are_sent_again(there: Route, service: SmallGlobus) -> None:
    fold(service)
    there.write("cam/DSC1.JPG", "one")
    there.write("cam/DSC1.jpg", "two")
    there.run_here("main.py", "--wait", "60", status=3)

    service.stored = lambda path: path
    (there.dst / "cam/DSC1.jpg").write_text("of somebody")
    ask_again_now(there)
    there.deliver_here()

    assert sent_names(service) == {"DSC1.JPG": CHECKSUM, "DSC1.jpg": CHECKSUM}
    assert there.tree(there.dst) == there.tree()
    answer(there, "", status=0)


def test_a_twin_that_a_folder_item_carried_unseen_is_noticed(there: Route, service: SmallGlobus) -> None:
    fold(service)
    there.write("cam/DSC1.JPG", "one")
    service.is_held = True
    there.summary_here()
    there.write("cam/DSC1.jpg", "two", mtime_seconds=LONG_AGO + 100)
    seen: list[dict[str, str]] = []

    def look(task: SmallTask) -> None:
        seen.append({row["source_path"]: row["source_path"] for row in task.successful})
        (there.src / "cam/DSC1.jpg").unlink(missing_ok=True)  # nobody but the task ever saw it

    service.after, service.is_held = look, False
    there.run_here("main.py", "--wait", "60", status=None)
    for _ in range(2):
        there.deliver_here()

    assert len(seen[0]) == 2
    assert (there.dst / "cam/DSC1.JPG").read_text() == "one"
    assert set(evidence(there).values()) <= {"verified", "equal"}


def test_a_feed_that_names_a_twin_alone_is_enough(there: Route, service: SmallGlobus) -> None:
    fold(service)
    names = there.folder / "names"
    names.write_text("cam/DSC1.JPG\n")
    there.write("cam/DSC1.JPG", "one")
    there.run_here("main.py", "--paths-from", str(names), "--wait", "60")
    there.write("cam/DSC1.jpg", "two")
    names.write_text("cam/DSC1.jpg\n")

    there.run_here("main.py", "--paths-from", str(names), "--wait", "60", status=3, says="are one name")

    assert set(evidence(there).values()) == {"found"}


def test_a_dry_run_asks_and_records_nothing(there: Route, service: SmallGlobus) -> None:
    refuse_listings(service)
    there.write("cam/DSC1.JPG", "one")
    there.write("cam/DSC1.jpg", "two")
    there.deliver_here()
    service.answer = lambda *request: None
    ask_again_now(there)
    asked = listings(service)

    there.run_here("main.py", "--dry-run")

    assert listings(service) == asked
    assert set(evidence(there).values()) == {"found"}


def test_another_destination_is_asked_anew(there: Route, service: SmallGlobus) -> None:
    there.write("cam/DSC1.JPG", "one")
    there.write("cam/DSC1.jpg", "two")
    there.deliver_here()

    there.configure(DST_DIR=str(there.folder / "dst2"))
    there.run_here("set_time.py", "never")
    fold(service)
    there.run_here("main.py", "--wait", "60", status=3, says="are one name")
