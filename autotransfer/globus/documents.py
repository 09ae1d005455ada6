"""Transfer documents, built with the SDK's TransferData. Nothing is sent here."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timezone
from typing import Any

from globus_sdk import MISSING, TransferData

from autotransfer.common.paths import TEST_PREFIX, on_collection
from autotransfer.common.settings import SYNC_LEVELS, Settings
from autotransfer.common.times import HOUR, NS_PER_SECOND


def transfer_data(settings: Settings, *, sync_level: str, label: str, now_ns: int, has_folders: bool) -> TransferData:
    """A task's document without its items and its submission_id.

    Every option is sent explicitly, because the service's own defaults differ: it would not verify checksums, and would
    send a mail about every task. Source: docs.globus.org/api/transfer/task_submit.
    """
    data = TransferData(
        settings.src_id,
        settings.dst_id,
        label=label,
        sync_level=SYNC_LEVELS.index(sync_level),
        verify_checksum=settings.verify_checksum,
        preserve_timestamp=settings.preserve_timestamp,
        encrypt_data=settings.encrypt_data,
        deadline=_deadline(settings, now_ns) if settings.deadline_hours else MISSING,
        skip_source_errors=settings.skip_source_errors,
        fail_on_quota_errors=settings.fail_on_quota_errors,
        delete_destination_extra=False,
        notify_on_succeeded="succeeded" in settings.notify,
        notify_on_failed="failed" in settings.notify,
        notify_on_inactive="inactive" in settings.notify,
    )
    for pattern in (*settings.exclude, f"{TEST_PREFIX}*") if has_folders else ():
        data.add_filter_rule(pattern)
    return data


def as_plain(data: TransferData) -> dict[str, Any]:
    """The document as builtins, without the fields that the SDK does not send and without items."""
    return {name: value for name, value in _present(data).items() if name != "DATA"}


def submission(
    document: dict[str, Any], items: Iterable[tuple[str, bool]], *, submission_id: str, src_path: str, dst_dir: str
) -> TransferData:
    """The document to submit, complete.

    Args:
        document: As `as_plain` returned it, in this run or in an earlier one.
        items: Each (rel_path, is_folder).
        src_path, dst_dir: The roots of the items on the two collections.
    """
    data = TransferData(
        document["source_endpoint"],
        document["destination_endpoint"],
        submission_id=submission_id,
        additional_fields=document,
    )
    for rel_path, is_folder in items:
        data.add_item(
            on_collection(src_path, rel_path, is_folder=is_folder),
            on_collection(dst_dir, rel_path, is_folder=is_folder),
            recursive=is_folder,
        )
    return data


def _present(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _present(held) for name, held in value.items() if held is not MISSING}
    return list(map(_present, value)) if isinstance(value, list) else value


def _deadline(settings: Settings, now_ns: int) -> str:
    moment_ns = now_ns + int(settings.deadline_hours * HOUR) * NS_PER_SECOND
    return datetime.fromtimestamp(moment_ns // NS_PER_SECOND, timezone.utc).strftime("%Y-%m-%d %H:%M:%S+00:00")
