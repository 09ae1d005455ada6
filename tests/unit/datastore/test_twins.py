"""Doubts about names: noted once, over when the names are known to be two, and spread over all below a folder."""

from __future__ import annotations

import pytest

from autotransfer.datastore.store import IN_MEMORY, Store
from autotransfer.datastore.twins import Doubt, Doubts, Twins


@pytest.fixture
def twins() -> Twins:
    return Store(IN_MEMORY).twins


def test_a_doubt_is_noted_once_and_grows(twins: Twins) -> None:
    twins.note("d", ["a", "A", "x"])
    twins.put("d", Doubt(("A", "a"), ("A",), (), 3, 7, "refused"))

    twins.note("d", ["a", "A", "x"])
    assert list(twins) == [("d", Doubt(("A", "a"), ("A",), (), 3, 7, "refused"))]
    twins.note("d", ["a", "A", "x", "X"], swept=["X", "y"])
    assert list(twins) == [("d", Doubt(("A", "X", "a", "x"), ("A", "X")))]


def test_names_that_are_two_there_are_in_doubt_only_with_a_third(twins: Twins) -> None:
    twins.set_apart("", ["a", "A"])

    twins.note("", ["a", "A", "b"])
    assert list(twins) == []
    twins.note("", ["a", "A", "a."])
    assert [doubt.names for _, doubt in twins] == [("A", "a", "a.")]


def test_a_doubt_about_no_names_is_over(twins: Twins) -> None:
    twins.note("d", ["a", "A"])
    twins.put("d", Doubt(()))

    assert list(twins) == []


def test_a_folder_in_doubt_spreads_it_to_all_below() -> None:
    store = Store(IN_MEMORY)
    store.twins.note("", ["Cam", "cam", "camera"])
    store.twins.note("other", ["a", "A"])
    doubts = Doubts(store.shelf)

    assert doubts.among("", ["Cam", "x"]) == {"Cam"}
    assert doubts.among("Cam", ["x", "."]) == {"x", "."}
    assert doubts.among("cam/deep/deeper", ["x"]) == {"x"}
    assert doubts.among("camera", ["x"]) == set()
    assert doubts.among("other", ["a", "b"]) == {"a"}


def test_a_datastore_without_doubts_has_none() -> None:
    assert Doubts(Store(IN_MEMORY).shelf).among("any/folder", ["a", "A"]) == set()


def test_what_is_stored_is_read_back_from_a_file(tmp_path: object) -> None:
    path = f"{tmp_path}/datastore"
    doubt = Doubt(("A", "a"), ("A",), ("A", "a"), 1, 5, "why")
    with Store(path) as store:
        store.twins.put("", doubt)
        store.twins.set_apart("d", ["b", "B"])
        store.commit()
    with Store(path, is_read_only=True) as store:
        assert list(store.twins) == [("", doubt)]
        store.twins.note("d", ["b", "B"])
        assert [rel_path for rel_path, _ in store.twins] == [""]
