"""Random and mutated input, in short; `python -m prove fuzzing` does it for half an hour."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import strategies

from prove.fuzzing import fuzz
from prove.fuzzing.border import BorderTargets
from prove.fuzzing.emulator import EmulatorTargets
from prove.fuzzing.store import StoreTargets
from prove.fuzzing.text import dates, intervals, items, moments


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StoreTargets]:
    with StoreTargets(tmp_path_factory.mktemp("fuzzing") / "store") as targets:
        yield targets


@pytest.mark.parametrize(("name", "examples"), [("reader", 60), ("values", 60), ("file", 25), ("scripts", 3)])
def test_a_damaged_datastore_is_read_or_refused_in_words(store: StoreTargets, name: str, examples: int) -> None:
    assert fuzz(name, getattr(store, name), seconds=0, seed=5, examples=examples).failures == ()


@pytest.mark.parametrize("target", [moments, dates, intervals, items])
def test_what_a_person_writes_is_understood_or_refused_in_words(target: object) -> None:
    assert callable(target)
    fuzzed = fuzz("text", target, seconds=0, seed=5, examples=60)

    assert fuzzed.failures == ()
    assert fuzzed.examples >= 60


@pytest.mark.parametrize("name", ["services", "control"])
def test_the_emulator_answers_whatever_it_is_asked(tmp_path: Path, name: str) -> None:
    with EmulatorTargets(tmp_path / "emulator") as emulator:
        assert fuzz(name, getattr(emulator, name), seconds=0, seed=5, examples=12).failures == ()


@pytest.mark.parametrize(("name", "examples"), [("runs", 5), ("timers", 10)])
def test_whatever_the_service_answers_concerns_one_task_and_ends_in_words(
    tmp_path: Path, name: str, examples: int
) -> None:
    with BorderTargets(tmp_path / "border") as border:
        assert fuzz(name, getattr(border, name), seconds=0, seed=5, examples=examples).failures == ()
        assert border.mutations >= examples


def test_a_target_that_breaks_is_reported_with_its_seed() -> None:
    def breaks(data: strategies.DataObject) -> None:
        assert data.draw(strategies.integers()) < 5

    (failure,) = fuzz("breaks", breaks, seconds=0, seed=7, examples=100).failures

    assert failure.startswith("seed 7: AssertionError")
