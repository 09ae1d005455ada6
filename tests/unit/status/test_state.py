"""The query room: what it adds up is what is recorded, in any order, and reading never holds up a run."""

from __future__ import annotations

import fcntl
import json
import os
import random
import sqlite3
import time
from datetime import date, datetime
from io import StringIO
from pathlib import Path

import pytest

from autotransfer.common.errors import ConfigurationProblem, RunActive, UsageProblem
from autotransfer.common.paths import FOLDER_ITSELF, join
from autotransfer.common.summary import Notice
from autotransfer.common.times import DAY, NS_PER_SECOND
from autotransfer.datastore.reader import Reader, patiently
from autotransfer.datastore.record import Delivered, Folder, InFlight, Retry
from autotransfer.datastore.store import IN_MEMORY, Store
from autotransfer.datastore.tasks import Task, find_task, pack_tasks, unpack_tasks
from autotransfer.status import manifest
from autotransfer.status.folders import Amount, DeliveredPath, FolderState, delivered_paths, tree
from autotransfer.status.state import active_run, add_up, bad_tasks, last_run

NOW_NS = 1_800_000_000 * NS_PER_SECOND
HOUR_NS = 3600 * NS_PER_SECOND


@pytest.fixture
def path(tmp_path: Path) -> str:
    return str(tmp_path / "datastore")


def ended(number: int, state: str = "succeeded", *, ended_at_ns: int = NOW_NS) -> Task:
    task = Task(number, "sub", f"label {number}", "mtime", {}, "/s", "/d", 5, 50, 2, 7, task_id=f"task-{number}")
    return task.ended(state, now_ns=ended_at_ns, reason="", arrived=1, returned=0)


def put(store: Store, rel_path: str, **records: object) -> None:
    """Record one folder, linked from those above it."""
    folder = store.trie.folder(rel_path)
    for name, value in records.items():
        setattr(folder, name, value)
    store.trie.put(rel_path, folder)
    store.trie.link(rel_path)


def random_store(store: Store, seed: int) -> dict[str, tuple[str, int]]:
    """Fill a store at random; gives what each path is and its bytes."""
    chance = random.Random(seed)
    truth: dict[str, tuple[str, int]] = {}
    for _ in range(chance.randrange(1, 25)):
        rel_path = "/".join(chance.choices(["a", "a b", "a-b", "ab", "z", "日"], k=chance.randrange(0, 4)))
        if store.trie.record(rel_path) is not None:
            continue
        folder = Folder()
        for number in range(chance.randrange(6)):
            name, size = f"f{number}", chance.randrange(1000)
            state = chance.choice(["delivered", "delivered", "in_flight", "retrying"])
            if state == "delivered" or chance.random() < 0.3:
                folder.delivered[name] = Delivered(5, size, NOW_NS, chance.choice([0, 1]))
            if state == "in_flight":
                folder.in_flight[name] = InFlight(6, size, 2)
            if state == "retrying" or (state == "in_flight" and chance.random() < 0.3):
                folder.retries[name] = Retry(7, size, chance.randrange(4), chance.choice([0, 2 * NOW_NS]), "CODE", 1)
            truth[join(rel_path, name)] = (state, size)
        store.trie.put(rel_path, folder)
        store.trie.link(rel_path)
    return truth


@pytest.mark.parametrize("seed", range(30))
def test_the_sums_are_those_of_the_records_along_the_keys_and_down_the_tree(seed: int) -> None:
    with Store(IN_MEMORY) as store:
        truth = random_store(store, seed)
        reader = Reader(store)

        total = add_up(reader, now_ns=NOW_NS).total
        folders = list(tree(reader, now_ns=NOW_NS))

    expected = {
        state: Amount(
            sum(kind == state for kind, _ in truth.values()),
            sum(size for kind, size in truth.values() if kind == state),
        )
        for state in ("delivered", "in_flight", "retrying")
    }
    assert (total.delivered, total.in_flight, total.retrying) == tuple(expected.values())
    assert folders[-1].rel_path == ""
    assert folders[-1].whole == total
    for folder in folders:
        below = [one.own for one in folders if one.rel_path == folder.rel_path or not folder.rel_path]
        below += [one.own for one in folders if folder.rel_path and one.rel_path.startswith(f"{folder.rel_path}/")]
        assert folder.whole.files == sum(own.files for own in below)
        assert folder.whole.size_bytes == sum(own.size_bytes for own in below)


def test_a_path_that_is_in_flight_again_counts_once_and_no_longer_as_delivered() -> None:
    with Store(IN_MEMORY) as store:
        put(
            store,
            "",
            delivered={"a": Delivered(1, 10, NOW_NS, 1), "b": Delivered(1, 20, NOW_NS, 1)},
            in_flight={"a": InFlight(2, 11, 2)},
            retries={"a": Retry(1, 10, 3, 0, "OLD", 1)},
        )

        found = add_up(Reader(store), now_ns=NOW_NS)

    assert (found.total.delivered, found.total.in_flight, found.total.retrying) == (
        Amount(1, 20),
        Amount(1, 11),
        Amount(),
    )
    assert found.failures == ()


def test_what_set_time_assumed_for_is_shown_apart_and_is_no_delivery() -> None:
    with Store(IN_MEMORY) as store:
        put(store, "", delivered={"a": Delivered(1, 10, NOW_NS, 0, 0), "b": Delivered(1, 10, NOW_NS - HOUR_NS, 4, 5)})

        found = add_up(Reader(store), now_ns=NOW_NS)

    assert (found.total.delivered.files, found.total.evidence_by_word) == (2, {"verified": 1, "assumed": 1})
    assert found.total.last_delivered_ns == NOW_NS - HOUR_NS
    assert sum(amount.files for amount in found.by_day.values()) == 1
    assert found.latency.files == 1


def test_deliveries_are_counted_on_the_day_of_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "Asia/Kolkata")
    time.tzset()
    try:
        late = int(datetime.fromisoformat("2026-03-01T23:45:00+05:30").timestamp()) * NS_PER_SECOND
        records = {
            "a": Delivered(late - HOUR_NS, 10, late, 1),
            "b": Delivered(late - HOUR_NS, 30, late + HOUR_NS, 1),
            "c": Delivered(late - HOUR_NS, 5, late, 2),
        }
        with Store(IN_MEMORY) as store:
            put(store, "", delivered=records)
            put(store, "one task", delivered={"d": Delivered(late - HOUR_NS, 7, late, 1)})

            days = add_up(Reader(store), now_ns=late).by_day
    finally:
        monkeypatch.undo()
        time.tzset()

    assert days == {date(2026, 3, 1): Amount(3, 22), date(2026, 3, 2): Amount(1, 30)}


def test_latencies_are_right_to_a_thirtieth_and_leave_out_what_arrived_long_ago() -> None:
    chance = random.Random(5)
    seconds = [chance.randrange(1, 100_000) for _ in range(2001)]
    with Store(IN_MEMORY) as store:
        fresh = {
            str(number): Delivered(NOW_NS - HOUR_NS - age * NS_PER_SECOND, 1, NOW_NS - HOUR_NS, 1 + number % 2)
            for number, age in enumerate(seconds)
        }
        put(store, "", delivered=fresh)
        put(store, "old", delivered={"x": Delivered(1, 1, NOW_NS - 40 * DAY * NS_PER_SECOND, 1)})
        put(store, "empty", delivered={FOLDER_ITSELF: Delivered(0, 0, NOW_NS, 1)})

        latency = add_up(Reader(store), now_ns=NOW_NS).latency

    assert latency.files == 2001
    assert latency.median_seconds == pytest.approx(sorted(seconds)[1000], rel=1 / 30)
    assert latency.p95_seconds == pytest.approx(sorted(seconds)[1900], rel=1 / 30)


def test_failures_are_gathered_by_code_with_the_next_try_and_a_few_examples() -> None:
    retries = {f"f{number}": Retry(1, 10, number, NOW_NS + number, "DENIED", number) for number in range(5)}
    with Store(IN_MEMORY) as store:
        put(store, "x", retries={**retries, "other": Retry(1, 1, 0, 0, "CHANGED", 9)})

        found = add_up(Reader(store), now_ns=NOW_NS)

    first, second = found.failures
    assert (first.code, first.amount, first.attempts, first.task) == ("DENIED", Amount(5, 50), 4, 4)
    assert (first.next_try_ns, len(first.examples), second.code) == (NOW_NS, 3, "CHANGED")
    assert (found.total.failing_files, found.total.backing_off_files) == (3, 4)


def test_the_manifest_is_ordered_names_each_task_and_marks_empty_folders() -> None:
    with Store(IN_MEMORY) as store:
        store.archive(ended(7))
        put(store, "b", delivered={"z": Delivered(1, 2, NOW_NS, 7), "a": Delivered(3, 4, NOW_NS, 0)})
        put(store, "b/empty", delivered={FOLDER_ITSELF: Delivered(0, 0, NOW_NS, 7)})
        put(store, "", delivered={"top": Delivered(5, 6, NOW_NS, 99)})

        rows = list(delivered_paths(Reader(store)))

    assert rows == [
        DeliveredPath("top", 6, 5, NOW_NS, "", "found"),
        DeliveredPath("b/a", 4, 3, NOW_NS, "", "found"),
        DeliveredPath("b/z", 2, 1, NOW_NS, "task-7", "found"),
        DeliveredPath("b/empty/", 0, 0, NOW_NS, "task-7", "found"),
    ]


ODD = DeliveredPath('日,"\n\\.h5', 12, 1_700_000_000_123_456_789, NOW_NS, "id", "verified")


def test_csv_and_json_lines_say_the_same_of_odd_names() -> None:
    import csv

    as_csv, as_json = StringIO(newline=""), StringIO(newline="")
    manifest.write([ODD], as_csv, "csv")
    manifest.write([ODD], as_json, "jsonl")

    (row,) = csv.DictReader(StringIO(as_csv.getvalue(), newline=""))
    (line,) = as_json.getvalue().splitlines()
    assert {name: str(value) for name, value in json.loads(line).items()} == row
    assert (row["path"], row["size_bytes"]) == (ODD.rel_path, "12")
    assert (row["mtime"], row["delivered_at"]) == ("2023-11-14T22:13:20.123456789Z", "2027-01-15T08:00:00Z")


def test_a_moment_that_no_calendar_has_does_not_end_the_manifest() -> None:
    written = StringIO(newline="")
    manifest.write([ODD._replace(mtime_ns=(1 << 62) * 1000)], written, "jsonl")

    assert json.loads(written.getvalue())["mtime"].startswith("@")


@pytest.mark.parametrize(
    ("name", "kind"), [("a.CSV", "csv"), ("a.jsonl", "jsonl"), ("a.ndjson", "jsonl"), ("-", "csv")]
)
def test_the_name_says_the_format(name: str, kind: str) -> None:
    assert manifest.format_of(name, None) == kind
    assert manifest.format_of("plain", kind) == kind


def test_a_name_that_says_no_format_is_refused() -> None:
    with pytest.raises(UsageProblem, match="--format"):
        manifest.format_of("manifest.txt", None)


# ---- while a run writes --------------------------------------------------------------------------------------------


def fill(path: str, folders: int) -> None:
    with Store(path) as store:
        for number in range(folders):
            put(store, f"f{number:04d}", delivered={"a": Delivered(1, 1, NOW_NS, 1)})
        store.commit()


def test_a_manifest_that_is_read_slowly_never_holds_up_a_commit(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("autotransfer.datastore.shelf.LOCKED_WAIT_SECONDS", 0)  # a commit that is held up fails
    fill(path, 1200)
    with Store(path, is_read_only=True) as reading, Store(path) as writing:
        rows = delivered_paths(Reader(reading))
        for number in range(1200):
            next(rows)
            if number % 100 == 0:
                writing.shelf["ITEM_LIMIT"] = number + 1
                writing.commit()

        assert list(rows) == []


def test_what_a_run_adds_and_drops_meanwhile_does_not_disturb_the_reading(path: str) -> None:
    fill(path, 1200)
    with Store(path, is_read_only=True) as reading, Store(path) as writing:
        rows = delivered_paths(Reader(reading))
        first = next(rows)
        writing.trie.put("f0001", Folder())  # it may be read already
        writing.trie.put("f1100", Folder())
        put(writing, "f1199/new", delivered={"b": Delivered(1, 1, NOW_NS, 1)})
        writing.commit()
        left = [row.rel_path for row in rows]

    assert first.rel_path == "f0000/a"
    assert "f1100/a" not in left
    assert left[-1] == "f1199/new/b"
    assert len(left) == len(set(left)) >= 1198


def test_a_commit_that_takes_long_is_waited_for_and_told(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(path, 3)
    told: list[str] = []
    monkeypatch.setattr("autotransfer.datastore.shelf.READER_WAIT_SECONDS", 0.05)
    with Store(path, is_read_only=True) as store:
        writing = sqlite3.connect(path, isolation_level=None)
        writing.execute("BEGIN EXCLUSIVE")

        def commit() -> None:
            told.append("waiting")
            writing.execute("COMMIT")

        assert len(list(delivered_paths(Reader(store, on_wait=commit)))) == 3

        writing.close()
    assert told == ["waiting"]


def test_a_run_that_writes_all_the_time_is_reported_in_words() -> None:
    moments = iter(range(0, 1000, 25))

    def locked() -> None:
        raise ConfigurationProblem("Cannot read", why="database is locked")

    with pytest.raises(RunActive, match="Try again when it has ended"):
        patiently(locked, clock=lambda: next(moments))


def test_another_fault_is_not_taken_for_a_run_that_writes(path: str) -> None:
    fill(path, 3)
    damaged = bytearray(Path(path).read_bytes())
    damaged[40000:] = os.urandom(len(damaged) - 40000)
    Path(path).write_bytes(damaged)

    with pytest.raises(ConfigurationProblem), Store(path, is_read_only=True) as store:
        list(delivered_paths(Reader(store)))


def test_a_reader_can_change_nothing(path: str) -> None:
    fill(path, 1)
    with Store(path, is_read_only=True) as store:
        reader = Reader(store)
        with pytest.raises(TypeError):
            reader.trie.put("f0000", Folder())
        with pytest.raises(TypeError):
            reader["LAST_RUN"] = {}


def test_a_run_that_holds_the_lock_is_seen_and_one_that_has_ended_is_not(tmp_path: Path) -> None:
    if not Path("/proc/locks").exists():
        pytest.skip("this system does not list its locks")
    lock = tmp_path / "lock"
    lock.write_text(f"pid {os.getpid()}\n")
    assert active_run(str(lock)) is None

    with lock.open() as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        active = active_run(str(lock))

    assert active is not None
    assert (active.pid, active.since_ns) == (os.getpid(), lock.stat().st_mtime_ns)
    assert active_run(str(lock)) is None


def test_tasks_that_went_wrong_lately_are_found_newest_first() -> None:
    with Store(IN_MEMORY) as store:
        for number, (state, age_days) in enumerate(
            [("failed", 30), ("failed", 3), ("succeeded", 2), ("canceled", 1), ("succeeded", 0)], start=1
        ):
            store.archive(ended(number, state, ended_at_ns=NOW_NS - age_days * DAY * NS_PER_SECOND))

        found = bad_tasks(Reader(store), now_ns=NOW_NS)

    assert [task.number for task in found] == [4, 2]


@pytest.mark.parametrize("kept", [{}, {"status": 3, "files": "many", "unlisted_notices": None, "scan": 5}])
def test_a_summary_that_another_version_kept_is_read_as_far_as_it_goes(kept: dict[str, object]) -> None:
    with Store(IN_MEMORY) as store:
        store.shelf["LAST_RUN"] = kept

        run = last_run(Reader(store))

    assert run is not None
    assert (run.status, run.counts["files"], run.unlisted_notices, run.scan) == (kept.get("status", 0), 0, 0, "full")


def test_notices_that_an_earlier_version_stored_as_texts_are_read() -> None:
    with Store(IN_MEMORY) as store:
        store.shelf["LAST_RUN"] = {"status": 3, "notices": ["Skipped a: gone."]}

        run = last_run(Reader(store))

    assert run is not None
    assert run.notices == (Notice("", "", "Skipped a: gone."),)


def test_notices_come_back_with_what_they_are_about() -> None:
    with Store(IN_MEMORY) as store:
        about = [("path_skipped", "a", "gone")]
        store.shelf["LAST_RUN"] = {"status": 3, "notices": ["Skipped a: gone."], "notices_about": about}

        run = last_run(Reader(store))

    assert run is not None
    assert run.notices == (Notice("path_skipped", "a", "Skipped a: gone.", "gone"),)


def test_one_task_among_packed_ones_is_found_by_its_number() -> None:
    tasks = [ended(number)._replace(task_id=f"{number:032x}") for number in range(3, 3000, 7)]
    value = pack_tasks(tasks)

    assert [find_task(value, task.number) for task in tasks] == unpack_tasks(value)
    assert [find_task(value, number) for number in (0, 4, 2998, 10**6)] == [None] * 4
    assert find_task(pack_tasks([]), 1) is None


def test_states_add_up_field_by_field() -> None:
    one = FolderState(Amount(1, 2), (1, 0, 0, 0, 0, 0), Amount(3, 4), Amount(5, 6), 1, 2, 50, 30)
    other = FolderState(Amount(10, 20), (2, 1, 0, 0, 0, 7), Amount(), Amount(), 0, 0, 70, 0)

    assert one + other == FolderState(Amount(11, 22), (3, 1, 0, 0, 0, 7), Amount(3, 4), Amount(5, 6), 1, 2, 70, 30)
    assert FolderState() + one == one
