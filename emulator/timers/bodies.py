"""The bodies of timers: transfer documents as both interfaces of the service write them.

The fields of the second interface are documented in the service's OpenAPI description; fields it does not know
(`recursive_symlinks`, `submission_id`) are dropped in silence, as services of its making do (assumed). The first
interface passes the body of an action on as it is (field names recorded).
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Mapping
from typing import Any

from emulator.errors import InvalidTimer, TimersRefusal, TransferRefusal, bad_request
from emulator.transfer.submission import Limits, Submission, check_transfer

from .schedule import Location

TRANSFER_ACTION_URL = "https://transfer.actions.globus.org/transfer/run"
_TRANSFER_ACTION = re.compile(
    r"https://(transfer\.actions\.globus\.org/transfer|actions\.automate\.globus\.org/transfer/transfer)/run/?"
)
_DEFAULTS = {
    "delete_destination_extra": False,
    "encrypt_data": False,
    "fail_on_quota_errors": False,
    "notify_on_failed": True,
    "notify_on_inactive": True,
    "notify_on_succeeded": True,
    "preserve_timestamp": False,
    "skip_source_errors": False,
    "store_base_path_info": False,
    "verify_checksum": False,
}
_REQUIRED = ("source_endpoint", "destination_endpoint", "DATA")
_OPTIONAL = ("deadline", "filter_rules", "label", "sync_level", "source_local_user", "destination_local_user")
_ITEM_FIELDS = ("source_path", "destination_path", "recursive", "external_checksum", "checksum_algorithm")
_LABEL_MAX_CHARACTERS = 128


def is_transfer_action(url: str) -> bool:
    """Whether a URL is the Transfer action provider's, by its present or its former name (both documented)."""
    return _TRANSFER_ACTION.fullmatch(url) is not None


def check_body(body: object, limits: Limits, where: Location) -> dict[str, Any]:
    """The transfer document of a timer, with the service's defaults filled in (recorded).

    Raises:
        InvalidTimer: What is wrong with it.
        TimersRefusal: 413, it is beyond the limits.
    """
    if not isinstance(body, dict):
        raise InvalidTimer(where, "value is not a valid dict", "type_error.dict")
    for name in _REQUIRED:
        if body.get(name) is None:
            raise InvalidTimer((*where, name))
    document: dict[str, Any] = {"DATA_TYPE": body.get("DATA_TYPE", "transfer")}
    document.update({name: body[name] for name in _REQUIRED})
    document.update({name: body[name] for name in _OPTIONAL if body.get(name) is not None})
    document.update({name: default if body.get(name) is None else body[name] for name, default in _DEFAULTS.items()})
    if isinstance(document["DATA"], list):
        document["DATA"] = [_checked_item(item, (*where, "DATA")) for item in document["DATA"]]
    try:
        submission(document, limits, run=1)
    except TransferRefusal as refusal:
        if refusal.status != 400:
            raise TimersRefusal(refusal.status, refusal.message) from None
        raise InvalidTimer(where, refusal.message, "value_error") from None
    return document


def _checked_item(item: object, where: Location) -> dict[str, Any]:
    if not isinstance(item, dict) or item.get("DATA_TYPE", "transfer_item") != "transfer_item":
        raise InvalidTimer(where, "every item is a transfer_item", "value_error")
    kept = {name: item[name] for name in _ITEM_FIELDS if item.get(name) is not None}
    return {"DATA_TYPE": "transfer_item", **kept}


def submission(document: Mapping[str, Any], limits: Limits, *, run: int) -> Submission:
    """The document that a run submits: with a submission id of its own, and a label that counts (recorded for v1).

    Raises:
        TransferRefusal: 400 or 413, what is wrong with the document.
    """
    body = {**document, "submission_id": str(uuid.uuid4())}
    label = body.get("label")
    if isinstance(label, str):
        count = f", run {run}"
        # A label that is too long as it came is refused; only the count may cost it its end (assumed).
        body["label"] = (label[: _LABEL_MAX_CHARACTERS - len(count)] if len(label) <= 128 else label) + count
    return check_transfer(body, limits)


def action_body(document: Mapping[str, Any]) -> dict[str, Any]:
    """A transfer document as the first interface shows it: the input of the Transfer action provider."""
    items = [{key: value for key, value in item.items() if key != "DATA_TYPE"} for item in document["DATA"]]
    renamed = {"source_endpoint", "destination_endpoint", "DATA", "DATA_TYPE"}
    body = {key: value for key, value in document.items() if key not in renamed}
    body["source_endpoint_id"] = document["source_endpoint"]
    body["destination_endpoint_id"] = document["destination_endpoint"]
    body["transfer_items"] = items
    return {"body": body}


def document_of_action(callback_body: Mapping[str, Any]) -> dict[str, Any]:
    """The transfer document in the input of the Transfer action provider.

    Raises:
        TransferRefusal: 400, it holds none.
    """
    body = callback_body.get("body")
    items = body.get("transfer_items") if isinstance(body, dict) else None
    if not isinstance(body, dict) or not isinstance(items, list) or not all(isinstance(item, dict) for item in items):
        raise bad_request("The action's body needs source_endpoint_id, destination_endpoint_id and transfer_items")
    renamed = {"source_endpoint_id", "destination_endpoint_id", "transfer_items"}
    document = {key: value for key, value in body.items() if key not in renamed}
    document["DATA_TYPE"] = "transfer"
    document["source_endpoint"] = body.get("source_endpoint_id")
    document["destination_endpoint"] = body.get("destination_endpoint_id")
    document["DATA"] = [{"DATA_TYPE": "transfer_item", **item} for item in items]
    return document
