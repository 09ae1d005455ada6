"""Listings of a collection's folder, and the small changes made there at once: ls, stat, mkdir, rename."""

from __future__ import annotations

import grp
import os
import pwd
import stat
from datetime import datetime, timezone
from functools import lru_cache
from typing import Any

from emulator.clock import spaced_iso
from emulator.errors import TransferRefusal

from .collection import Collection, decode_name
from .copying import ItemFault, Permissions, fault_of

_TYPES = {
    stat.S_IFREG: "file",
    stat.S_IFDIR: "dir",
    stat.S_IFCHR: "chr",
    stat.S_IFBLK: "blk",
    stat.S_IFIFO: "pipe",
}


@lru_cache(maxsize=256)
def _user(number: int) -> str:
    try:
        return pwd.getpwuid(number).pw_name
    except KeyError:
        return str(number)


@lru_cache(maxsize=256)
def _group(number: int) -> str:
    try:
        return grp.getgrgid(number).gr_name
    except KeyError:
        return str(number)


def _moment(status: os.stat_result) -> str:
    return spaced_iso(datetime.fromtimestamp(status.st_mtime_ns // 1_000_000_000, timezone.utc))


def file_document(path: bytes, name: str) -> dict[str, Any]:
    """One file or directory (recorded). A symlink shows what it leads to, and its own text beside it (documented).

    Raises:
        OSError: Nothing is there.
    """
    link = os.lstat(path)
    is_link = stat.S_ISLNK(link.st_mode)
    status = link
    kind = _TYPES.get(stat.S_IFMT(link.st_mode), "other")
    if is_link:
        try:
            status = os.stat(path)
            kind = _TYPES.get(stat.S_IFMT(status.st_mode), "other")
        except OSError:
            kind = "invalid_symlink"
    return {
        "DATA_TYPE": "file",
        "name": name,
        "type": kind,
        "size": status.st_size,
        "permissions": f"{stat.S_IMODE(status.st_mode):04o}",
        "user": _user(status.st_uid),
        "group": _group(status.st_gid),
        "last_modified": _moment(status),
        "link_target": decode_name(os.readlink(path)) if is_link else None,
        "link_size": link.st_size if is_link else None,
        "link_user": _user(link.st_uid) if is_link else None,
        "link_group": _group(link.st_gid) if is_link else None,
        "link_last_modified": _moment(link) if is_link else None,
    }


def _check_online(collection: Collection, operation: str) -> None:
    if collection.is_offline or collection.is_halted:
        family = {"list": "DirListingFailed", "mkdir": "MkdirFailed", "rename": "RenameFailed"}.get(operation, "Failed")
        state = "not currently connected" if collection.is_offline else "paused"
        reason = "GCDisconnected" if collection.is_offline else "GCPaused"  # the first is recorded
        raise TransferRefusal(502, f"ExternalError.{family}.{reason}", f"The GCP endpoint is {state} to Globus")


def _message(collection: Collection, operation: str, reason: str) -> str:
    """The form of messages that come from an endpoint (recorded)."""
    return f"Error ({operation})\nEndpoint: {collection.title}\nMessage: {reason}\n---\n"


def list_directory(collection: Collection, path: str, *, is_showing_hidden: bool) -> list[dict[str, Any]]:
    """The entries of a directory, unsorted.

    Raises:
        TransferRefusal: 404, 403 or 502: missing, refused, no directory, or offline.
    """
    _check_online(collection, "list")
    local = collection.local_path(path)
    try:
        status = os.stat(local)
        permissions = Permissions()
        permissions.check_searchable(local, is_at_source=True)
        if stat.S_ISDIR(status.st_mode):
            permissions.check_readable(local, status)
        names = os.listdir(local)
    except FileNotFoundError as error:
        message = f"Directory '{path}' not found on endpoint '{collection.id}': {error.strerror}"
        raise TransferRefusal(404, "ClientError.NotFound", message) from None
    except NotADirectoryError:
        message = _message(collection, "list", "Path is not a directory")
        raise TransferRefusal(502, "ExternalError.DirListingFailed.NotDirectory", message) from None
    except (PermissionError, ItemFault):
        message = _message(collection, "list", "Permission denied")
        raise TransferRefusal(403, "EndpointPermissionDenied", message) from None
    documents = []
    for name in names:
        if name.startswith(b".") and not is_showing_hidden:
            continue
        try:
            documents.append(file_document(os.path.join(local, name), decode_name(name)))
        except OSError:
            continue  # gone since the listing
    return documents


def stat_path(collection: Collection, path: str) -> dict[str, Any]:
    """One path (recorded, refusals too).

    Raises:
        TransferRefusal: 404, 403 or 502.
    """
    _check_online(collection, "stat")
    local = collection.local_path(path)
    try:
        Permissions().check_searchable(local, is_at_source=True)
        name = "/" if local.rstrip(b"/") == os.fsencode(collection.root or "/").rstrip(b"/") else None
        return file_document(local, name or decode_name(os.path.basename(local.rstrip(b"/"))))
    except (FileNotFoundError, NotADirectoryError):
        message = f"Path not found, {_message(collection, 'list', 'No such file or directory')}"
        raise TransferRefusal(404, "NotFound", message) from None
    except (OSError, ItemFault):
        message = f"Denied by endpoint, {_message(collection, 'list', 'Fatal FTP Response')}"
        raise TransferRefusal(403, "EndpointPermissionDenied", message) from None


def make_directory(collection: Collection, path: str) -> None:
    """Make one directory, not its parents.

    Raises:
        TransferRefusal: 502 ExternalError.MkdirFailed.Exists (assumed), or as `_refuse_change`.
    """
    _check_online(collection, "mkdir")
    local = collection.local_path(path)
    if os.path.lexists(local):
        message = _message(collection, "mkdir", "Path already exists")
        raise TransferRefusal(502, "ExternalError.MkdirFailed.Exists", message)
    _change(collection, "mkdir", local, lambda: os.mkdir(local))


def rename(collection: Collection, old_path: str, new_path: str) -> None:
    """Give a file, directory or symlink another path; the parent of the new one must exist.

    Raises:
        TransferRefusal: 502 ExternalError.RenameFailed.Exists (assumed), or as `_refuse_change`.
    """
    _check_online(collection, "rename")
    old, new = collection.local_path(old_path), collection.local_path(new_path)
    if os.path.lexists(new):
        raise TransferRefusal(502, "ExternalError.RenameFailed.Exists", _message(collection, "rename", "Path exists"))
    _change(collection, "rename", new, lambda: os.rename(old, new))


def _change(collection: Collection, operation: str, local: bytes, make: Any) -> None:
    try:
        if collection.read_only:
            raise ItemFault("PERMISSION_DENIED", "The collection is read-only", is_at_source=False)
        Permissions().check_writable(local)
        make()
    except OSError as error:
        _refuse_change(collection, operation, fault_of(error, is_at_source=False))
    except ItemFault as fault:
        _refuse_change(collection, operation, fault)


def _refuse_change(collection: Collection, operation: str, fault: ItemFault) -> None:
    """403 where the endpoint forbids it (recorded code); 404 or 502 otherwise (assumed codes)."""
    message = _message(collection, operation, fault.details)
    if fault.code == "PERMISSION_DENIED":
        raise TransferRefusal(403, "EndpointPermissionDenied", message)
    if fault.code == "FILE_NOT_FOUND":
        raise TransferRefusal(404, "ClientError.NotFound", message)
    raise TransferRefusal(502, f"ExternalError.{operation.capitalize()}Failed", message)
