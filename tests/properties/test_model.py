"""The state machine of support/model.py, for as long as a test run has time; `python -m prove model` plays on.

MODEL_SEED chooses all chance, MODEL_EXAMPLES and MODEL_STEPS how much of it; MODEL_BLOB, which a failure prints in
@reproduce_failure, plays its one example again.
"""

from __future__ import annotations

import os
import random
from collections.abc import Iterator
from pathlib import Path

import pytest
from model import ROUTES, RUNS, TASKS, Model, play
from model_edits import HOUR_SECONDS, NS, Moment
from model_oracle import Oracle
from model_route import Interruptions, Route

from autotransfer.datastore.store import Store

VALUES = {"SETTLE_SECONDS": 0, "EXCLUDE": [], "SYMLINKS": "ignore", "MAX_ITEMS_PER_TASK": 9, "MAX_TASKS_IN_FLIGHT": 9}
A_FILE = {"where": 0, "name": "a", "size": 6, "moment": Moment("long ago", 0)}


def test_whatever_happens_what_was_written_arrives() -> None:
    seed = int(os.environ.get("MODEL_SEED") or random.SystemRandom().randrange(10**6))
    examples, steps = int(os.environ.get("MODEL_EXAMPLES", 8)), int(os.environ.get("MODEL_STEPS", 50))
    print(f"To repeat it: MODEL_SEED={seed} MODEL_EXAMPLES={examples} MODEL_STEPS={steps}")
    print("To play only what failed: MODEL_BLOB=, with the bytes that @reproduce_failure has, without b and quotes")
    blob = os.environ.get("MODEL_BLOB", "")
    Model.tally.clear()
    play(examples=examples, steps=steps, seed=seed, blob=blob, may_mislead=True)
    print(dict(Model.tally))
    assert Model.tally[ROUTES] >= 1 if blob else Model.tally[RUNS] > Model.tally[ROUTES] >= examples
    assert Model.tally[TASKS] > 0


@pytest.fixture
def oracle(tmp_path: Path) -> Iterator[Oracle]:
    """An oracle over a route with one file that has arrived."""
    route = Route(tmp_path, VALUES)
    route.edit("create", A_FILE)
    oracle = Oracle(route)
    oracle.run()
    oracle.run()
    assert "a" in route.delivered()
    yield oracle
    route.close()


def test_the_oracle_sees_a_file_that_counts_as_delivered_and_is_not(oracle: Oracle) -> None:
    (oracle.route.dst / "a").write_bytes(b"wrong!")
    with pytest.raises(AssertionError, match="safe to delete, and \\['a'\\] differ"):
        oracle.run()


def test_the_oracle_sees_a_file_that_is_sent_again_for_no_reason(oracle: Oracle) -> None:
    with Store(oracle.route.datastore) as store:
        root = store.trie.folder("")
        root.forget("a")
        store.trie.put("", root)
        store.commit()
    with pytest.raises(AssertionError, match=r"a .* was sent again"):
        oracle.run()


def test_the_oracle_sees_a_file_that_nobody_mentions(oracle: Oracle) -> None:
    summary = oracle.run()
    assert summary is not None
    oracle.route.edit("touch", {"which": 0, "moment": Moment("long ago", 1)})
    oracle.route.edit("append", {"which": 0, "moment": Moment("long ago", 2)})
    with pytest.raises(AssertionError, match=r"'a'. differ and are not in flight"):
        oracle.check_accounted(summary, has_waited=False)


@pytest.mark.parametrize("is_file_new", [True, False])
def test_a_quick_scan_sends_nothing_of_what_it_left_out(tmp_path: Path, is_file_new: bool) -> None:
    route = Route(tmp_path, {**VALUES, "SCAN": "quick"})
    try:
        route.edit("plant", {"where": 0, "name": "a", "shape": [("b", ["x"]), ("d", [])], "size": 3})
        for _ in range(3):
            route.run(Interruptions())
            route.pass_time(60)
        route.edit("delete", {"which": route.tree.everything().index("a/d")})
        if is_file_new:
            route.edit("create", {**A_FILE, "where": route.tree.folders().index("a")})
            route.pass_time(60)
        summary = route.run(Interruptions())
        assert summary is not None
        assert summary.is_quick
        assert [path for task in route.world.tasks.values() for path in route.items_of(task)][2:] == [
            "a/a"
        ] * is_file_new
    finally:
        route.close()


def test_a_clock_days_behind_does_not_let_half_a_file_pass_for_a_new_one(tmp_path: Path) -> None:
    route = Route(tmp_path, VALUES)
    oracle = Oracle(route)
    hours_behind = 240
    route.skew_ns = -hours_behind * HOUR_SECONDS * NS
    new_now = {"where": 0, "name": "a", "moment": Moment("now", -hours_behind * HOUR_SECONDS)}
    try:
        route.world.add_outcome("half", path="*/a", times=1)
        route.edit("create", {**new_now, "size": 6})
        oracle.run()
        route.edit("delete", {"which": 0})
        oracle.run()
        route.pass_time(48 * HOUR_SECONDS)
        route.edit("create", {**new_now, "size": 3})
        oracle.run()
        oracle.run()
    finally:
        route.close()
