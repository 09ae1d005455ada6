"""Transfer documents: every option explicit, and what is kept of them is enough to submit them again."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from globus_sdk import MISSING
from suite import CLIENT_ID, DST_ID, SRC_ID

from autotransfer.common.settings import Settings, check_settings
from autotransfer.datastore.store import IN_MEMORY, Store
from autotransfer.globus.documents import as_plain, submission, transfer_data

# The rule that keeps test folders out of folder items.
RESERVED = {"DATA_TYPE": "filter_rule", "method": "exclude", "name": ".globus-automated-transfer-test-*"}


def settings_with(**values: Any) -> Settings:
    required = {"SRC_DIR": "/s", "DST_DIR": "/d", "SRC_ID": SRC_ID, "DST_ID": DST_ID, "CODE_PATH": "/c"}
    return check_settings({**required, "CLIENT_ID": CLIENT_ID, **values}, config_file="c.py")


def document_with(*, has_folders: bool = False, sync_level: str = "mtime", **values: Any) -> dict[str, Any]:
    settings = settings_with(**values)
    now_ns = 1_700_000_000 * 10**9
    return as_plain(transfer_data(settings, sync_level=sync_level, label="l", now_ns=now_ns, has_folders=has_folders))


def test_every_option_is_sent_explicitly_and_nothing_is_ever_deleted() -> None:
    document = document_with()

    assert document == {
        "DATA_TYPE": "transfer",
        "source_endpoint": SRC_ID,
        "destination_endpoint": DST_ID,
        "label": "l",
        "sync_level": 2,
        "verify_checksum": True,
        "preserve_timestamp": True,
        "encrypt_data": True,
        "skip_source_errors": True,
        "fail_on_quota_errors": False,
        "delete_destination_extra": False,
        "notify_on_succeeded": False,
        "notify_on_failed": False,
        "notify_on_inactive": False,
    }


@pytest.mark.parametrize(("level", "number"), [("exists", 0), ("size", 1), ("mtime", 2), ("checksum", 3)])
def test_sync_levels_go_by_number(level: str, number: int) -> None:
    assert document_with(sync_level=level)["sync_level"] == number


def test_what_is_excluded_is_a_filter_rule_of_tasks_with_folders() -> None:
    rules = [
        {"DATA_TYPE": "filter_rule", "method": "exclude", "name": "*.tmp"},
        {"DATA_TYPE": "filter_rule", "method": "exclude", "name": "scratch"},
        RESERVED,
    ]

    assert document_with(has_folders=True, EXCLUDE=["*.tmp", "scratch"])["filter_rules"] == rules
    assert "filter_rules" not in document_with(has_folders=False, EXCLUDE=["*.tmp"])
    assert document_with(has_folders=True)["filter_rules"] == [RESERVED]


def test_a_deadline_counts_from_now() -> None:
    assert document_with(DEADLINE_HOURS=1.5)["deadline"] == "2023-11-14 23:43:20+00:00"


def test_what_is_kept_of_a_document_is_builtins_that_a_plain_shelf_can_hold() -> None:
    document = document_with(has_folders=True, EXCLUDE=["*.tmp"], DEADLINE_HOURS=1)

    with Store(IN_MEMORY) as store:
        store.shelf["document"] = document

        assert store.shelf["document"] == document


def test_a_submission_is_what_was_kept_with_its_items_under_both_roots() -> None:
    document = document_with(has_folders=True, EXCLUDE=["*.tmp"], NOTIFY=["failed"])
    kept = copy.deepcopy(document)

    for _ in range(2):  # it may be submitted again
        data = submission(document, [("a/b.txt", False), ("c", True)], submission_id="id", src_path="/s", dst_dir="/")

        assert document == kept
        assert as_plain(data) == {**kept, "submission_id": "id"}
        assert [{name: value for name, value in item.items() if value is not MISSING} for item in data["DATA"]] == [
            {
                "DATA_TYPE": "transfer_item",
                "source_path": "/s/a/b.txt",
                "destination_path": "/a/b.txt",
                "recursive": False,
            },
            {"DATA_TYPE": "transfer_item", "source_path": "/s/c/", "destination_path": "/c/", "recursive": True},
        ]
