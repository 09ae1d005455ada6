"""Transfer documents as Globus takes them. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from autotransfer.common.paths import on_collection
from autotransfer.common.settings import Settings
from autotransfer.common.times import HOUR, NS_PER_SECOND

SYNC_LEVELS = {"exists": 0, "size": 1, "mtime": 2, "checksum": 3}


def transfer_document(
    settings: Settings, *, sync_level: str, label: str, now_ns: int, has_folders: bool
) -> dict[str, Any]:
    """A task's document without its items and its submission_id; every option is sent explicitly.

    The service's own defaults are not relied on: it would not verify checksums and would mail on every task.
    Source: docs.globus.org/api/transfer/task_submit.
    """
    document: dict[str, Any] = {
        "DATA_TYPE": "transfer",
        "source_endpoint": settings.src_id,
        "destination_endpoint": settings.dst_id,
        "label": label,
        "sync_level": SYNC_LEVELS[sync_level],
        "verify_checksum": settings.verify_checksum,
        "preserve_timestamp": settings.preserve_timestamp,
        "encrypt_data": settings.encrypt_data,
        "skip_source_errors": settings.skip_source_errors,
        "fail_on_quota_errors": settings.fail_on_quota_errors,
        "delete_destination_extra": False,
        **{f"notify_on_{event}": event in settings.notify for event in ("succeeded", "failed", "inactive")},
    }
    if settings.deadline_hours:
        document["deadline"] = _deadline(now_ns + int(settings.deadline_hours * HOUR) * NS_PER_SECOND)
    if has_folders and settings.exclude:
        document["filter_rules"] = [
            {"DATA_TYPE": "filter_rule", "method": "exclude", "name": pattern} for pattern in settings.exclude
        ]
    return document


def item_documents(items: Iterable[tuple[str, bool]], *, src_path: str, dst_dir: str) -> list[dict[str, Any]]:
    """The items of a task, each (rel_path, is_folder), as Globus takes them."""
    return [
        {
            "DATA_TYPE": "transfer_item",
            "source_path": on_collection(src_path, rel_path, is_folder=is_folder),
            "destination_path": on_collection(dst_dir, rel_path, is_folder=is_folder),
            "recursive": is_folder,
        }
        for rel_path, is_folder in items
    ]


def _deadline(moment_ns: int) -> str:
    from datetime import datetime, timezone

    return datetime.fromtimestamp(moment_ns // NS_PER_SECOND, timezone.utc).strftime("%Y-%m-%d %H:%M:%S+00:00")
