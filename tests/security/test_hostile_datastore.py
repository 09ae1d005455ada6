"""A datastore that is damaged, or written by someone else: never code, always one clear problem."""

from __future__ import annotations

import json
import os
import pickle
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
from hostile import corpus, opcodes_of, put
from suite import ROOT, Route

from autotransfer.datastore import pickles

# What can name, call or build.
DANGEROUS = {
    *("GLOBAL", "STACK_GLOBAL", "INST", "OBJ", "NEWOBJ", "NEWOBJ_EX", "REDUCE", "BUILD", "PERSID", "BINPERSID"),
    *("EXT1", "EXT2", "EXT4", "NEXT_BUFFER"),
}
TABLE = "CREATE TABLE Dict (key BLOB UNIQUE NOT NULL, value BLOB NOT NULL)"
ENDLESS = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n)"
SCHEMAS = {
    "view Dict": f"CREATE VIEW Dict AS {ENDLESS} SELECT x'41' AS key, max(i) AS value FROM n",
    "trigger t": f"{TABLE}; CREATE TRIGGER t AFTER INSERT ON Dict BEGIN DELETE FROM Dict WHERE value IN ({ENDLESS} "
    "SELECT i FROM n); END",
    "view other": f"{TABLE}; CREATE VIEW other AS SELECT 1",
    "table Dict": "CREATE TABLE Dict (key BLOB UNIQUE NOT NULL, value BLOB AS (zeroblob(1000000000)))",
}


def test_a_pickle_that_names_code_or_is_damaged_is_one_clear_problem(tmp_path: Path) -> None:
    pickles = corpus(tmp_path / "mark")
    assert opcodes_of(pickles) >= DANGEROUS

    done = subprocess.run(
        [sys.executable, str(ROOT / "tests/support/hostile.py"), str(tmp_path)],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=100,
    )

    assert done.returncode == 0, done.stderr[-2000:]
    found = json.loads(done.stdout)
    assert set(found) == set(pickles)
    refused = f"The datastore {tmp_path}/datastore cannot be used: "
    assert {name: said for name, said in found.items() if not said.startswith(refused)} == {}
    assert not (tmp_path / "mark").exists()


@pytest.mark.parametrize("script", [("main.py",), ("set_time.py", "now"), ("test_config.py", "--no-login")])
@pytest.mark.parametrize(
    ("key", "kind"),
    [
        ("FORMAT_VERSION", "os.system, protocol 4"),
        ("FORMAT_VERSION", "bytes of two exabytes"),
        ("ROUTE", "STACK_GLOBAL"),
        ("ROUTE", "a million dicts in each other"),
    ],
)
def test_every_script_names_the_damage_and_ends_with_5(
    route: Route, script: tuple[str, ...], key: str, kind: str
) -> None:
    route.write("a")
    route.deliver_here()
    mark = route.folder / "mark"
    put(route.code_path / "datastore", key, corpus(mark)[kind])

    route.run(*script, status=5, says=f"{route.code_path}/datastore cannot be used")

    assert not mark.exists()
    log = (route.code_path / "log").read_text()
    assert "Traceback" not in log


@pytest.mark.parametrize("what", SCHEMAS)
def test_a_file_that_computes_what_it_holds_is_refused(route: Route, what: str) -> None:
    connection = sqlite3.connect(route.code_path / "datastore")
    connection.executescript(SCHEMAS[what])
    connection.close()

    route.run("main.py", status=5, says=f"it holds the {what}, so another program made it")


def test_what_the_tool_writes_it_reads_also_where_a_value_stands_twice(route: Route) -> None:
    from autotransfer.datastore.store import Store

    one = ("a", 1)
    value = {
        "twice": [one, one],
        "same": [b"x" * 300, "é" * 300, 1.5, None, True, -1, 1 << 70, {7: ()}],
        "many": [0] * 3000,
    }
    key = "a key of a later version"

    with Store(str(route.code_path / "datastore")) as store:
        store.shelf[key] = value
        store.commit()
    with Store(str(route.code_path / "datastore")) as store:
        assert store.shelf[key] == value
        raw = store.shelf.table[key.encode()]

    assert pickle.loads(raw) == value


@pytest.mark.parametrize("protocol", [4, 5])
def test_plain_values_of_every_size_read_as_the_standard_library_reads_them(protocol: int) -> None:
    values = [
        *(0, 255, 256, 65535, 65536, -1, 1 << 31, -(1 << 63), 1 << 2000, True, False, None, 0.1, float("inf")),
        *("", "é", "x" * 255, "x" * 256, "x" * 70_000, "\udcff", b"", b"x" * 255, b"x" * 256, b"x" * 70_000),
        *((), (1,), (1, 2), (1, 2, 3), (1, 2, 3, 4), [], [1], [1, 2], {}, {"a": 1}, {"a": 1, 2: [{}]}),
    ]

    for value in [*values, values]:
        read = pickles.load(pickle.dumps(value, protocol))
        assert read == value
        assert type(read) is type(value)
