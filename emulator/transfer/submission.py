"""Checks submitted documents and gives them a form to work with. Rules are documented, refusal texts assumed."""

from __future__ import annotations

import dataclasses
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from typing import Any

from emulator.clock import parse_time
from emulator.errors import TransferRefusal, bad_request

from .collection import check_path

_LABEL_MAX_CHARACTERS = 128
_NO_ITEMS = "ClientError.BadRequest.NoTransferItems"  # recorded
_TRANSFER_FLAGS = {  # the service's defaults (documented)
    "encrypt_data": False,
    "verify_checksum": False,
    "preserve_timestamp": False,
    "delete_destination_extra": False,
    "skip_source_errors": False,
    "fail_on_quota_errors": False,
    "store_base_path_info": False,
    "notify_on_succeeded": True,
    "notify_on_failed": True,
    "notify_on_inactive": True,
}
_DELETE_FLAGS = {
    "recursive": False,
    "ignore_missing": False,
    "interpret_globs": False,
    "notify_on_succeeded": True,
    "notify_on_failed": True,
    "notify_on_inactive": True,
}


@dataclass(frozen=True)
class Item:
    """One entry of DATA. For a deletion only `source_path` is used."""

    source_path: str
    destination_path: str = ""
    recursive: bool | None = None
    is_symlink: bool = False
    external_checksum: str | None = None
    checksum_algorithm: str | None = None


@dataclass(frozen=True)
class FilterRule:
    """One filter rule: what to do with names like `name` during recursion."""

    name: str
    is_exclude: bool
    type: str | None


@dataclass(frozen=True)
class Submission:
    """A checked transfer or delete document.

    `flags` holds every switch of the document with the service's default where it was silent. `document` is the body
    as it came.
    """

    kind: str  # "TRANSFER" or "DELETE"
    submission_id: str
    source_id: str
    destination_id: str | None
    items: tuple[Item, ...]
    label: str | None
    deadline: datetime | None
    flags: Mapping[str, bool]
    document: Mapping[str, Any]
    sync_level: int | None = None
    filter_rules: tuple[FilterRule, ...] = ()
    recursive_symlinks: str = "ignore"
    local_users: Mapping[str, str | None] = field(default_factory=dict)

    def changed(self, **fields: Any) -> Submission:
        """The same submission with another label or deadline."""
        return dataclasses.replace(self, **fields)

    @cached_property
    def identity(self) -> tuple[str, str | None, frozenset[tuple[str, str]]]:
        """The key by which two transfers have "identical paths": both collections and the set of path pairs."""
        pairs = frozenset((item.source_path, item.destination_path) for item in self.items)
        return self.source_id, self.destination_id, pairs

    @cached_property
    def source_trees(self) -> dict[str, bool]:
        """The source paths, without a slash at the end, and whether each may be a whole tree."""
        return {item.source_path.rstrip("/"): item.recursive is not False for item in self.items}


@dataclass
class Limits:
    """How large a request may be. None is no limit: Globus publishes none.

    A request beyond them is refused with 413 RequestTooLarge. That answer is assumed.
    """

    items_per_task: int | None = None
    request_bytes: int | None = None

    def check_items(self, count: int) -> None:
        """Refuse a document with too many items."""
        if self.items_per_task is not None and count > self.items_per_task:
            raise too_large(f"A task may hold at most {self.items_per_task} items; this one holds {count}")

    def check_bytes(self, count: int) -> None:
        """Refuse a request body that is too long."""
        if self.request_bytes is not None and count > self.request_bytes:
            raise too_large(f"A request may hold at most {self.request_bytes} bytes; this one holds {count}")


def too_large(message: str) -> TransferRefusal:
    """The refusal of a request beyond the limits (assumed)."""
    return TransferRefusal(413, "RequestTooLarge", message)


def check_transfer(document: object, limits: Limits) -> Submission:
    """The submission in a transfer document.

    Raises:
        TransferRefusal: 400, what is wrong with it; 413 beyond the limits.
    """
    body = _typed(document, "transfer")
    items = _items(body, limits)
    return Submission(
        kind="TRANSFER",
        submission_id=_uuid(body, "submission_id"),
        source_id=_uuid(body, "source_endpoint"),
        destination_id=_uuid(body, "destination_endpoint"),
        items=tuple(_transfer_item(entry) for entry in items),
        label=_label(body),
        deadline=_deadline(body),
        flags=_flags(body, _TRANSFER_FLAGS),
        document=body,
        sync_level=_sync_level(body),
        filter_rules=_filter_rules(body),
        recursive_symlinks=_choice(body, "recursive_symlinks", ("ignore", "keep", "copy")) or "ignore",
        local_users={key: _text(body, key) for key in ("source_local_user", "destination_local_user")},
    )


def check_delete(document: object, limits: Limits) -> Submission:
    """The submission in a delete document; raises as `check_transfer`."""
    body = _typed(document, "delete")
    items = []
    for entry in _items(body, limits):
        if not isinstance(entry, dict) or entry.get("DATA_TYPE") != "delete_item":
            raise bad_request("Every item of a delete needs DATA_TYPE 'delete_item'")
        items.append(Item(_path(entry, "path")))
    return Submission(
        kind="DELETE",
        submission_id=_uuid(body, "submission_id"),
        source_id=_uuid(body, "endpoint"),
        destination_id=None,
        items=tuple(items),
        label=_label(body),
        deadline=_deadline(body),
        flags=_flags(body, _DELETE_FLAGS),
        document=body,
        local_users={"source_local_user": _text(body, "local_user")},
    )


def check_label(label: str | None) -> str | None:
    """The label, if it may be one: at most 128 characters, one line, no blank ends (documented)."""
    if label is None:
        return None
    if len(label) > _LABEL_MAX_CHARACTERS:
        raise bad_request(f"Label is longer than {_LABEL_MAX_CHARACTERS} characters")
    if "\r" in label or "\n" in label:
        raise bad_request("Label must not contain carriage return or newline")
    if label != label.strip():
        raise bad_request("Label must not begin or end with whitespace")
    try:
        label.encode("utf-8")
    except UnicodeEncodeError:
        raise bad_request("Label is not valid Unicode") from None
    return label


def check_deadline(text: str | None) -> datetime | None:
    """The moment a deadline names."""
    if text is None:
        return None
    try:
        return parse_time(text)
    except ValueError:
        raise bad_request(f"Invalid deadline {text!r}") from None


def _typed(document: object, data_type: str) -> dict[str, Any]:
    if not isinstance(document, dict):
        raise bad_request("The request body must be a JSON object")
    if document.get("DATA_TYPE") != data_type:
        raise bad_request(f"DATA_TYPE must be {data_type!r}, not {document.get('DATA_TYPE')!r}")
    return document


def _items(body: Mapping[str, Any], limits: Limits) -> list[Any]:
    items = body.get("DATA")
    if items is None or items == []:
        raise bad_request(f"A {body['DATA_TYPE']} requires at least one item", _NO_ITEMS)
    if not isinstance(items, list):
        raise bad_request("DATA must be a list")
    limits.check_items(len(items))
    return items


def _transfer_item(entry: object) -> Item:
    if not isinstance(entry, dict) or entry.get("DATA_TYPE") not in ("transfer_item", "transfer_symlink_item"):
        raise bad_request("Every item of a transfer needs DATA_TYPE 'transfer_item'")
    return Item(
        source_path=_path(entry, "source_path"),
        destination_path=_path(entry, "destination_path"),
        recursive=_flag(entry, "recursive"),
        is_symlink=entry["DATA_TYPE"] == "transfer_symlink_item",
        external_checksum=_text(entry, "external_checksum"),
        checksum_algorithm=_text(entry, "checksum_algorithm"),
    )


def _uuid(body: Mapping[str, Any], key: str) -> str:
    value = _text(body, key)
    if not value:
        raise bad_request(f"Missing required field '{key}'")
    try:
        return str(uuid.UUID(value))
    except ValueError:
        raise bad_request(f"Field '{key}' is not a UUID: {value!r}") from None


def _path(entry: Mapping[str, Any], key: str) -> str:
    path = _text(entry, key)
    if not path:
        raise bad_request(f"Missing required field '{key}' in an item")
    check_path(path)
    return path


def _text(body: Mapping[str, Any], key: str) -> str | None:
    value = body.get(key)
    if value is not None and not isinstance(value, str):
        raise bad_request(f"Field '{key}' must be a string")
    return value


def _flag(body: Mapping[str, Any], key: str) -> bool | None:
    value = body.get(key)
    if value is not None and not isinstance(value, bool):
        raise bad_request(f"Field '{key}' must be a boolean")
    return value


def _flags(body: Mapping[str, Any], defaults: Mapping[str, bool]) -> dict[str, bool]:
    flags = {}
    for key, default in defaults.items():
        value = _flag(body, key)
        flags[key] = default if value is None else value
    return flags


def _choice(body: Mapping[str, Any], key: str, choices: tuple[str, ...]) -> str | None:
    value = _text(body, key)
    if value is not None and value not in choices:
        raise bad_request(f"Field '{key}' must be one of {', '.join(choices)}")
    return value


def _label(body: Mapping[str, Any]) -> str | None:
    return check_label(_text(body, "label"))


def _deadline(body: Mapping[str, Any]) -> datetime | None:
    return check_deadline(_text(body, "deadline"))


def _sync_level(body: Mapping[str, Any]) -> int | None:
    level = body.get("sync_level")
    if level is None:
        return None
    if isinstance(level, bool) or not isinstance(level, int) or not 0 <= level <= 3:
        raise bad_request("Field 'sync_level' must be 0, 1, 2, 3 or null")
    return level


def _filter_rules(body: Mapping[str, Any]) -> tuple[FilterRule, ...]:
    rules = body.get("filter_rules")
    if rules is None:
        return ()
    if not isinstance(rules, list):
        raise bad_request("Field 'filter_rules' must be a list")
    checked = []
    for rule in rules:
        if not isinstance(rule, dict) or rule.get("DATA_TYPE") != "filter_rule":
            raise bad_request("Every filter rule needs DATA_TYPE 'filter_rule'")
        name = _text(rule, "name")
        method = _choice(rule, "method", ("include", "exclude"))
        if not name or method is None:
            raise bad_request("Every filter rule needs a name and a method")
        checked.append(FilterRule(name, method == "exclude", _choice(rule, "type", ("file", "dir"))))
    return tuple(checked)
