"""Documents of the service become values of known types, whatever JSON holds."""

from __future__ import annotations

import json
from typing import Any

import pytest

from autotransfer.globus.answers import MOST_WORDS, PAGE, TASK, TIMER, identifier, plain, shaped

HALF = "\ud800"
ID = "5a0c9d5e-0000-4000-8000-000000000001"
NO_COUNTS: list[Any] = [True, -1, 1 << 63, 10**400, 1.5, float("nan"), float("inf"), "1 kB", [1], {"a": 1}, None]


@pytest.mark.parametrize("value", NO_COUNTS, ids=lambda value: repr(value)[:20])
def test_what_is_no_count_is_none(value: Any) -> None:
    assert shaped({"files": value}, TASK) == {"files": None}


def test_counts_flags_and_words_stay() -> None:
    document = {"files": (1 << 63) - 1, "is_ok": False, "status": "ACTIVE", "task_id": ID, "label": "a\nb"}

    assert shaped(document, TASK) == document


@pytest.mark.parametrize(
    ("field", "value", "read"),
    [
        ("status", f"A{HALF}\n\x1b[31m b", "A\\ud800 \\x1b[31m b"),
        ("status", "x" * 10_000, "x" * MOST_WORDS),
        ("label", f"a{HALF}", None),
        ("is_ok", "yes", None),
        ("is_ok", 1, None),
        ("task_id", ID.upper().replace("A", "a"), ID),
        ("fatal_error", "ENDPOINT_ERROR", {"description": "ENDPOINT_ERROR"}),
        ("fatal_error", {"code": 5, "description": "d"}, {"code": None, "description": "d"}),
        ("fatal_error", ["x"], None),
        ("of no interest", [HALF, float("nan"), {HALF: 1}], ["?", None, {"?": 1}]),
    ],
)
def test_each_field_has_its_form_or_is_none(field: str, value: Any, read: Any) -> None:
    assert shaped({field: value}, TASK) == {field: read}


@pytest.mark.parametrize("value", ["", "x", f"{{{ID}}}", ID.replace("-", ""), ID[:-1] + "_", f"urn:uuid:{ID}", 5, None])
def test_only_a_uuid_as_globus_writes_it_is_an_identifier(value: Any) -> None:
    assert identifier(value) is None


@pytest.mark.parametrize(
    ("marker", "read"), [(None, None), ("", ""), ("abc", "abc"), (7, "7"), (HALF, ""), (True, ""), ([], ""), (1.5, "")]
)
def test_a_marker_that_cannot_be_asked_for_is_neither_an_end_nor_a_place(marker: Any, read: str | None) -> None:
    assert shaped({"next_marker": marker}, PAGE) == {"next_marker": read}


def test_rows_that_are_no_objects_keep_their_places() -> None:
    right = {"source_path": "/b", "size": 3}
    rows = [None, 5, {"source_path": f"/a{HALF}", "size": True, "error_code": 7}, right]

    read = shaped({"DATA": rows}, PAGE)["DATA"]

    assert read == [
        None,
        None,
        {"source_path": None, "size": None, "error_code": None},
        {"source_path": "/b", "size": 3},
    ]


@pytest.mark.parametrize("document", [[], "text", 5, None, True])
def test_what_is_no_object_is_none(document: Any) -> None:
    assert shaped(document, TASK) is None


def test_what_nobody_reads_is_cut_where_it_is_nested_too_deep() -> None:
    deep = json.loads('{"a":' * 60 + "1" + "}" * 60)

    assert json.dumps(plain(deep)).count("{") < 50


@pytest.mark.parametrize("results", [{"data": [{"status": 202}]}, [{"status": 202}]])
def test_results_of_a_timer_are_read_from_either_interface(results: Any) -> None:
    assert shaped({"results": results, "interval": 3600.0}, TIMER) == {"results": results, "interval": 3600}
