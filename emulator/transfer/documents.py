"""Renders tasks, events and collections as the documents of the Transfer service."""

from __future__ import annotations

import posixpath
import uuid
from typing import Any

from emulator.auth.state import AuthState
from emulator.clock import Clock, iso
from emulator.errors import new_request_id

from .collection import Collection
from .copy_job import item_paths
from .queue import TaskQueue
from .task import Event, SkippedError, Task, describe


def result(data_type: str, code: str, message: str, resource: str, **extra: Any) -> dict[str, Any]:
    """A result document (recorded)."""
    return {
        "DATA_TYPE": data_type,
        "code": code,
        "message": message,
        "request_id": new_request_id(),
        "resource": resource,
        **extra,
    }


def submission_result(task: Task, *, is_new: bool) -> dict[str, Any]:
    """The answer to a submission (recorded; the message of a Duplicate is assumed)."""
    kind = task.kind.lower()
    if is_new:
        message = f"The {kind} has been accepted and a task has been created and queued for execution"
    else:
        message = f"A {kind} with this submission id has already been accepted"
    return result(
        f"{kind}_result",
        "Accepted" if is_new else "Duplicate",
        message,
        f"/v0.10/{kind}",
        submission_id=task.submission.submission_id,
        task_id=task.task_id,
        task_link={
            "DATA_TYPE": "link",
            "href": f"/v0.10/task/{task.task_id}?format=json",
            "rel": "related",
            "resource": "task",
            "title": "related task",
        },
    )


def task_document(task: Task, queue: TaskQueue, auth: AuthState, clock: Clock) -> dict[str, Any]:
    """The whole task (recorded keys; those recorded for transfers only are null for deletions)."""
    submission = task.submission
    is_transfer = task.kind == "TRANSFER"
    flags = submission.flags
    owner = auth.identity(task.owner_id)
    end = task.completion_time or clock.now()
    seconds = max(1.0, (end - (task.started_at or end)).total_seconds())
    document: dict[str, Any] = {
        "DATA_TYPE": "task",
        "task_id": task.task_id,
        "type": task.kind,
        "status": task.status,
        "label": task.label,
        "owner_id": task.owner_id,
        "owner_string": owner.username,
        "username": short_username(task.owner_id),
        "request_time": iso(task.request_time),
        "completion_time": iso(task.completion_time),
        "deadline": iso(task.deadline),
        "command": "API 0.10",
        "sync_level": submission.sync_level,
        "encrypt_data": flags.get("encrypt_data", False),
        "verify_checksum": flags.get("verify_checksum", False),
        "delete_destination_extra": flags.get("delete_destination_extra", False),
        "preserve_timestamp": flags.get("preserve_timestamp", False),
        "skip_source_errors": flags.get("skip_source_errors", False),
        "fail_on_quota_errors": flags.get("fail_on_quota_errors", False),
        "recursive_symlinks": submission.recursive_symlinks if is_transfer else None,
        "filter_rules": submission.document.get("filter_rules"),
        "history_deleted": task.history_deleted,
        "faults": task.faults,
        "files": task.files,
        "directories": task.directories,
        "symlinks": task.symlinks,
        "files_skipped": task.files_skipped,
        "files_transferred": task.files_transferred,
        "subtasks_total": task.subtasks_total,
        "subtasks_pending": task.subtasks_pending,
        "subtasks_retrying": 0,
        "subtasks_succeeded": task.subtasks_succeeded,
        "subtasks_expired": task.subtasks_expired,
        "subtasks_canceled": task.subtasks_canceled,
        "subtasks_failed": task.subtasks_failed,
        "subtasks_skipped_errors": task.subtasks_skipped_errors,
        "bytes_transferred": task.bytes_transferred,
        "bytes_checksummed": task.bytes_checksummed,
        "effective_bytes_per_second": int(task.bytes_transferred / seconds),
        "is_paused": task.is_paused,
        "canceled_by_admin": task.canceled_by_admin,
        "canceled_by_admin_message": task.canceled_by_admin_message,
        "fatal_error": None,
        **_side("source", submission.source_id, queue),
        **_side("destination", submission.destination_id, queue),
        **_nice_status(task),
        **submission.local_users,
    }
    if task.fatal_error is not None:
        document["fatal_error"] = {"code": task.fatal_error[0], "description": task.fatal_error[1]}
    if flags.get("store_base_path_info"):
        document["source_base_path"] = _base_path([item.source_path for item in submission.items])
        document["destination_base_path"] = _base_path([item.destination_path for item in submission.items])
    return document


def _side(side: str, collection_id: str | None, queue: TaskQueue) -> dict[str, Any]:
    if collection_id is None:
        return {f"{side}_endpoint": None, f"{side}_endpoint_id": None, f"{side}_endpoint_display_name": None}
    collection = queue.collection(collection_id)
    return {
        f"{side}_endpoint": canonical_name(collection),
        f"{side}_endpoint_id": collection.id,
        f"{side}_endpoint_display_name": collection.display_name,
    }


def _nice_status(task: Task) -> dict[str, Any]:
    """How it goes in a word; all null once it has ended (documented)."""
    if not task.is_open:
        names = (
            "nice_status",
            "nice_status_short_description",
            "nice_status_details",
            "nice_status_expires_in",
            "is_ok",
        )
        return dict.fromkeys(names)
    is_ok = task.nice_status in ("OK", "Queued")
    return {
        "nice_status": task.nice_status,
        "nice_status_short_description": describe(task.nice_status),
        "nice_status_details": task.events[-1].details if not is_ok and task.events else None,
        "nice_status_expires_in": -1,
        "is_ok": is_ok,
    }


def _base_path(paths: list[str]) -> str:
    """The folder that all paths have in common, with a slash at the end (assumed: not documented)."""
    if len(paths) == 1:
        return paths[0]
    return posixpath.commonpath([posixpath.dirname(path.rstrip("/")) for path in paths]).rstrip("/") + "/"


def event_document(event: Event) -> dict[str, Any]:
    """One event (documented)."""
    return {
        "DATA_TYPE": "event",
        "code": event.code,
        "description": event.description,
        "details": event.details,
        "is_error": event.is_error,
        "time": iso(event.time),
    }


def arrival_document(task: Task, index: int) -> dict[str, Any]:
    """One file that was really copied (documented: sizes and checksums; null where none was made is assumed)."""
    arrival = task.arrivals[index]
    source_path, destination_path = item_paths(task.submission.items[arrival.item], arrival.below)
    return {
        "DATA_TYPE": "successful_transfer",
        "source_path": source_path,
        "destination_path": destination_path,
        "size": arrival.size_bytes,
        "checksum": arrival.checksum,
        "checksum_algorithm": "MD5" if arrival.checksum else None,  # MD5: the SDK's default
        "dynamic": False,
    }


def skipped_document(skipped: SkippedError) -> dict[str, Any]:
    """One path that was given up (documented)."""
    return {
        "DATA_TYPE": "skipped_error",
        "source_path": skipped.source_path,
        "destination_path": skipped.destination_path,
        "error_code": skipped.code,
        "error_details": skipped.details,
        "error_time": iso(skipped.time),
        "is_directory": skipped.is_directory,
        "is_symlink": False,
        "is_delete_destination_extra": False,
        "external_checksum": None,
        "checksum_algorithm": None,
    }


def pause_info_document(task: Task, queue: TaskQueue, clock: Clock) -> dict[str, Any]:
    """Why a task is paused (documented); one rule stands for the administrator's, with assumed content."""
    rules = []
    source = queue.collection(task.submission.source_id)
    if task.is_paused:
        switches = ("ls", "mkdir", "symlink", "rename", "task_delete", "task_transfer_write", "task_transfer_read")
        rule: dict[str, Any] = {
            "DATA_TYPE": "pause_rule_limited",
            "id": str(uuid.uuid5(uuid.NAMESPACE_URL, task.task_id)),
            "message": source.pause_message or "Paused by an administrator",
            "start_time": None,
            "endpoint_id": source.id,
            "endpoint_display_name": source.display_name,
            "identity_id": None,
            "modified_time": iso(clock.now()),
        }
        rule.update({f"pause_{switch}": switch.startswith("task_transfer") for switch in switches})
        rules.append(rule)
    return {
        "DATA_TYPE": "pause_info_limited",
        "pause_rules": rules,
        "source_pause_message": source.pause_message if task.is_paused else None,
        "destination_pause_message": None,
        "source_pause_message_share": None,
        "destination_pause_message_share": None,
    }


def short_username(identity_id: str) -> str:
    """The name Transfer makes of an identity: u_ and letters (recorded shape)."""
    return "u_" + uuid.UUID(identity_id).hex[:26] if _is_uuid(identity_id) else f"u_{identity_id}"


def _is_uuid(text: str) -> bool:
    try:
        uuid.UUID(text)
    except ValueError:
        return False
    return True


def collection_owner_id(collection: Collection, owner_id: str) -> str:
    """Who owns a collection: a person for Connect Personal and guests, the endpoint itself for mapped (recorded)."""
    if collection.type == "mapped":
        return str(uuid.uuid5(uuid.NAMESPACE_URL, f"endpoint of {collection.id}"))
    return owner_id


def canonical_name(collection: Collection) -> str:
    """The old-style name of a collection (recorded shape)."""
    return f"{short_username(collection.id)}#{collection.id}"


def endpoint_document(collection: Collection, owner_id: str, owner_username: str) -> dict[str, Any]:
    """A collection (recorded keys, and those that are documented beside them)."""
    is_gcp = collection.type == "gcp"
    domain = f"{collection.id[:6]}.emulator.data.globus.org"
    owner = collection_owner_id(collection, owner_id)
    server = {
        "DATA_TYPE": "server",
        "hostname": None if is_gcp else domain,
        "uri": None if is_gcp else f"tlsftp://{domain}:443",
        "port": None if is_gcp else 443,
        "scheme": None if is_gcp else "tlsftp",
        "id": 1,
        "subject": None if is_gcp else f"/C=US/CN={domain}",
    }
    nothing = dict.fromkeys(_NULL_KEYS)
    return {
        **nothing,
        "DATA_TYPE": "endpoint",
        "DATA": [server],
        "id": collection.id,
        "display_name": collection.display_name,
        "name": collection.id,
        "canonical_name": canonical_name(collection),
        "username": short_username(owner),
        "organization": "Example Institute",
        "description": collection.description,
        "entity_type": collection.entity_type,
        "owner_id": owner,
        "owner_string": owner_username if owner == owner_id else f"{owner}@clients.auth.globus.org",
        "public": collection.public,
        "default_directory": collection.default_directory,
        "force_encryption": collection.force_encryption,
        "is_globus_connect": is_gcp,
        "gcp_connected": collection.gcp_connected if is_gcp else None,
        "gcp_paused": collection.gcp_paused if is_gcp else None,
        "gcs_version": None if is_gcp else "5.4.80",
        "gcs_manager_url": None if is_gcp else f"https://{domain}",
        "tlsftp_server": None if is_gcp else f"tlsftp://{domain}:443",
        "https_server": None if is_gcp else f"https://{domain}",
        "host_endpoint_id": collection.host_id,
        "mapped_collection_id": collection.host_id,
        "high_assurance": collection.high_assurance,
        "my_effective_roles": ["administrator"] if is_gcp else [],
        "network_use": "normal",
        "expire_time": "2000-01-02 03:45:06+00:00",
        "expires_in": 0,
        **dict.fromkeys(_FALSE_KEYS, False),
        "disable_verify": collection.disable_verify,
        **collection.extra,
    }


_FALSE_KEYS = [
    "acl_available",
    "acl_editable",
    "activated",
    "disable_anonymous_writes",
    "force_verify",
    "french_english_bilingual",
    "in_use",
    "local_user_info_available",
    "mfa_required",
    "non_functional",
    "requester_pays",
    "s3_owner_activated",
    "shareable",
    "skip_auto_delete",
    "subscription_admin_verified",
]
_NULL_KEYS = [
    "acl_max_expiration_period_mins",
    "authentication_assurance_timeout",
    "authentication_policy_id",
    "authentication_timeout_mins",
    "auto_delete_timeout",
    "contact_email",
    "contact_info",
    "department",
    "globus_connect_setup_key",
    "host_endpoint_display_name",
    "host_path",
    "info_link",
    "keywords",
    "last_accessed_time",
    "mapped_collection_display_name",
    "max_concurrency",
    "max_parallelism",
    "myproxy_dn",
    "myproxy_server",
    "non_functional_endpoint_display_name",
    "non_functional_endpoint_id",
    "oauth_server",
    "preferred_concurrency",
    "preferred_parallelism",
    "preserve_modtime",
    "restrict_transfers_to_high_assurance",
    "s3_url",
    "subscription_id",
    "user_message",
    "user_message_link",
]
