"""Datastores of many folders in every state, made at once: for what is shown of them."""

from __future__ import annotations

import random
from pathlib import Path

from autotransfer.common.settings import Settings, check_settings
from autotransfer.common.summary import Notice, Summary
from autotransfer.common.times import DAY, HOUR, MINUTE, NS_PER_SECOND
from autotransfer.datastore.columns import pack_column
from autotransfer.datastore.evidence import ASSUMED, VERIFIED
from autotransfer.datastore.reader import Reader
from autotransfer.datastore.record import Delivered, Folder, InFlight, Retry
from autotransfer.datastore.store import LAST_RUN, Store
from autotransfer.datastore.tasks import Ledger, Task

TASK_ID = "11111111-1111-4111-8111-{:012d}"


def settings_in(folder: Path, **changes: object) -> Settings:
    """The settings of a route whose folders are in this one."""
    (folder / "state").mkdir(parents=True, exist_ok=True)
    values: dict[str, object] = {
        "SRC_DIR": "/data/beamline7",
        "DST_DIR": "/archive/beamline7",
        "SRC_ID": "aaaaaaaa-0000-4000-8000-000000000001",
        "DST_ID": "aaaaaaaa-0000-4000-8000-000000000002",
        "CLIENT_ID": "aaaaaaaa-0000-4000-8000-00000000000c",
        "CODE_PATH": str(folder / "state"),
    }
    return check_settings({**values, **changes}, config_file="/opt/transfer/config.py")


def open_store(settings: Settings) -> Store:
    """The route's datastore, claimed for it."""
    store = Store(settings.state_file("datastore"))
    store.claim(settings.route)
    return store


def put(store: Store, rel_path: str, **records: object) -> None:
    """Record one folder, linked from those above it."""
    folder = store.trie.folder(rel_path)
    for name, value in records.items():
        setattr(folder, name, value)
    store.trie.put(rel_path, folder)
    store.trie.link(rel_path)


def put_runs(store: Store, now_ns: int, *, status: int = 0, notices: tuple[str, ...] = (), **counts: int) -> None:
    """The summary of the last run, a minute ago, and marks of those that cron started every five minutes before."""
    summary = Summary(started_at_ns=now_ns - MINUTE * NS_PER_SECOND)
    for name, count in counts.items():
        setattr(summary, name, count)
    summary.notices = [Notice("", "", text) for text in notices]
    summary.close(seconds=3.2, in_flight_tasks=0)
    store.shelf[LAST_RUN] = {**summary.as_builtins(), "status": status, "problem": ""}
    store.shelf["RUNS"] = [
        (summary.started_at_ns - number * 5 * MINUTE * NS_PER_SECOND, 3.0, 0) for number in reversed(range(20))
    ]


def task(number: int, from_ns: int, to_ns: int = 0, *, state: str = "succeeded", **fields: object) -> Task:
    """A task that Globus accepted then; `to_ns` 0: it is open."""
    label = f"beamline7 {number:06d}"
    prepared = Task(
        number, "sub", label, "mtime", {}, "/data/beamline7", "/archive/beamline7", 120, 8 * 10**9, 4, from_ns
    )
    accepted = prepared.accepted(TASK_ID.format(number), now_ns=from_ns)._replace(**fields)  # type: ignore[arg-type]
    if not to_ns:
        return accepted
    arrived = 120 if state == "succeeded" else 90
    reason = "" if state == "succeeded" else "PERMISSION_DENIED: /data/beamline7/run041 (Beamline)"
    return accepted.ended(state, now_ns=to_ns, reason=reason, arrived=arrived, returned=120 - arrived)


def a_facility(store: Store, now_ns: int, seed: int = 1) -> None:
    """Forty days of a beamline: most delivered, the last scans in flight, a folder failing, two days assumed for."""
    chance = random.Random(seed)
    hour_ns = HOUR * NS_PER_SECOND
    for run in range(40):
        at_ns = now_ns - (40 - run) * DAY * NS_PER_SECOND + 20 * hour_ns
        if run % 7 in (5, 6):
            continue  # a weekend
        proposal = chance.choice(["2026-1187_protein", "2026-0934_battery", "2026-1402_alloys"])
        for scan in range(chance.randrange(4, 14)):
            rel_path = f"{proposal}/run{run:03d}/scan{scan:03d}"
            count = chance.randrange(5, 60)
            size = chance.randrange(2, 60) * 10**6
            written_ns = at_ns - chance.randrange(1, 12) * hour_ns
            number = 0 if run < 2 else run * 10 + scan % 3
            moment_ns = written_ns + int(chance.lognormvariate(6.2, 0.7) * NS_PER_SECOND)
            records = {
                f"img_{image:05d}.tif": Delivered(written_ns, size, moment_ns, number, VERIFIED)
                for image in range(count)
            }
            flying, retries = {}, {}
            if run == 39 and scan > 1:
                flying = {name: InFlight(now_ns - hour_ns, size, 402) for name in list(records)[: count // 2 or 1]}
                records = {name: record for name, record in records.items() if name not in flying}
            if run == 37 and scan == 2:
                retries = {
                    name: Retry(written_ns, size, 3, now_ns + hour_ns, "PERMISSION_DENIED", 371)
                    for name in list(records)[:4]
                }
            if run == 38 and scan == 1:
                retries = {
                    name: Retry(written_ns, size, 0, 0, "CHANGED_UNDER_TRANSFER", 381) for name in list(records)[:2]
                }
            put(store, rel_path, delivered=records, in_flight=flying, retries=retries)
    put(store, "2026-1402_alloys", delivered={"README.txt": Delivered(5, 4000, now_ns - 9 * DAY * NS_PER_SECOND, 12)})
    put(
        store,
        "calibration/dark",
        delivered={f"dark_{n}.h5": Delivered(5, 3 * 10**8, now_ns, 0, ASSUMED) for n in range(20)},
    )
    for number in range(300, 400):
        from_ns = now_ns - (400 - number) * hour_ns
        to_ns = from_ns + chance.randrange(4, 90) * MINUTE * NS_PER_SECOND
        store.archive(task(number, from_ns, to_ns, state="failed" if number in (371, 384) else "succeeded"))
    store.ledger = Ledger(
        {
            401: task(401, now_ns - hour_ns // 2, progress=(5 * 10**9, 61, 0), progress_at_ns=now_ns - hour_ns // 9),
            402: task(402, now_ns - hour_ns // 5, progress=(10**9, 11, 0), progress_at_ns=now_ns - hour_ns // 9),
        },
        403,
    )
    put_runs(store, now_ns, files=12_873, folders=300, in_flight_tasks=2, unsettled=2)
    store.commit()


def many_folders(store: Store, now_ns: int, *, folders: int, files_each: int) -> None:
    """That many folders of files, twenty to a folder above, with sizes that differ; straight into the records."""
    chance = random.Random(7)
    moments = pack_column([now_ns - DAY * NS_PER_SECOND] * files_each)
    names = [f"image_{number:06d}.cbf" for number in range(files_each)]
    above: dict[str, set[str]] = {}
    for number in range(folders):
        parts = [f"visit_{number // 400:04d}", f"sample_{number // 20 % 20:02d}", f"dataset_{number % 20:02d}"]
        for depth in range(3):
            above.setdefault("/".join(parts[:depth]), set()).add(parts[depth])
        folder = Folder()
        if number % 997 == 5:
            folder.retries = {name: Retry(5, 100, 2, 0, "FILE_NOT_FOUND", 1) for name in names[:2]}
        base = chance.randrange(10**4, 10**7)
        sizes = [base + chance.randrange(1000) for _ in names]
        mtimes = [now_ns - (DAY + 900 + at) * NS_PER_SECOND for at in range(files_each)]
        record = folder.pack()._replace(
            names="/".join(names),
            mtimes_ns=pack_column(mtimes),
            sizes_bytes=pack_column(sizes),
            transferred_at_ns=moments,
            tasks=1,
        )
        store.trie.put_record("/".join(parts), record)
    for rel_path, inner in above.items():
        folder = Folder()
        folder.folders = inner
        store.trie.put(rel_path, folder)
    put_runs(store, now_ns, files=folders * files_each, folders=folders)
    store.commit()


def reader_of(store: Store) -> Reader:
    """What looks at it."""
    return Reader(store)
