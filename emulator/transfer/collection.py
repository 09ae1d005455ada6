"""A collection: a folder on this machine under a Globus name."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from emulator.errors import bad_request

from .folding import FOLDS, stored

ENTITY_TYPES = {
    "gcp": "GCP_mapped_collection",
    "mapped": "GCSv5_mapped_collection",
    "guest": "GCSv5_guest_collection",
}
_MARK = "\ufffd"


@dataclass
class Collection:
    """A folder that Globus clients can read and write.

    Attributes:
        id: The collection's UUID.
        root: The folder that the collection shows as "/". A guest collection may leave it out: it is then
            `subfolder` of its host's root.
        type: "gcp" (Globus Connect Personal), "mapped" (Globus Connect Server) or "guest".
        default_directory: Where "/~/" leads, a path inside the collection.
        quota_bytes: Most bytes the folder may hold; None is no limit.
        host_id: For a guest collection: its mapped collection.
        allowed_identities: The identities that may use it; None is everyone.
        disable_verify: Whether transfers with it verify no checksums, whatever their documents say (the field is
            documented, its effect by the option --disable-verify of the globus command line).
        keeps_times: Whether copies get the times of their sources where a transfer asks for it; some storage cannot
            (assumed: the task goes on without).
        folds: Which names its file system takes for one: "case", "nfc" (all Unicode forms) or "case+nfc"; "" is none.
    """

    id: str
    root: Path | None = None
    type: str = "gcp"
    name: str = ""
    high_assurance: bool = False
    gcp_connected: bool = True
    gcp_paused: bool = False
    read_only: bool = False
    quota_bytes: int | None = None
    default_directory: str = "/"
    host_id: str | None = None
    subfolder: str = ""
    public: bool = False
    force_encryption: bool = False
    allowed_identities: list[str] | None = None
    disable_verify: bool = False
    keeps_times: bool = True
    folds: str = ""
    description: str | None = None
    pause_message: str | None = None
    extra: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.type not in ENTITY_TYPES:
            raise ValueError(f"collection {self.id}: type {self.type!r} is not one of {', '.join(ENTITY_TYPES)}")
        if self.folds not in FOLDS:
            raise ValueError(f"collection {self.id}: folds {self.folds!r} is not one of {', '.join(FOLDS[1:])}")
        if self.root is not None:
            self.root = Path(self.root)

    @property
    def display_name(self) -> str:
        """Its display name."""
        return self.name or f"Collection {self.id[:8]}"

    @property
    def entity_type(self) -> str:
        """The kind, in the words of an endpoint document."""
        return ENTITY_TYPES[self.type]

    @property
    def demands_data_access(self) -> bool:
        """Whether a data_access consent is needed: mapped, Globus Connect Server 5, not high assurance (documented)."""
        return self.type == "mapped" and not self.high_assurance

    @property
    def is_offline(self) -> bool:
        """Whether this is a personal endpoint that is not connected."""
        return self.type == "gcp" and not self.gcp_connected

    @property
    def is_halted(self) -> bool:
        """Whether this is a personal endpoint that its owner paused."""
        return self.type == "gcp" and self.gcp_paused

    @property
    def title(self) -> str:
        """Name and id, as error messages write them."""
        return f"{self.display_name} ({self.id})"

    def local_path(self, path: str) -> bytes:
        """Where a path of the collection is on this machine. ".." is resolved inside the collection.

        Raises:
            TransferRefusal: 400, the path cannot be a path of any collection.
        """
        check_path(path)
        parts: list[str] = []
        for part in self.full_path(path).split("/"):
            if part == "..":
                del parts[-1:]
            elif part not in ("", "."):
                parts.append(part)
        assert self.root is not None
        local = os.fsencode(self.root)
        for part in parts:
            local = self.stored(os.path.join(local, encode_name(part)))
        return local

    def stored(self, local: bytes) -> bytes:
        """Where the collection's file system keeps an entry on this machine (see folding)."""
        return stored(local, self.folds)

    def full_path(self, path: str) -> str:
        """The path with "/~/" or "~/" replaced by the default directory."""
        for home in ("/~", "~"):
            if path == home or path.startswith(home + "/"):
                return self.default_directory.rstrip("/") + "/" + path[len(home) :].lstrip("/")
        return path


def check_path(path: str) -> None:
    """Refuse what no path may be: relative, with "\\r\\n" or NUL in it, or not encodable as UTF-8.

    Raises:
        TransferRefusal: 400 (documented rules, assumed texts).
    """
    if not path.startswith(("/", "~/")) and path != "~":
        raise bad_request(f"Path must be absolute: {path[:200]!r}")
    if "\r\n" in path or "\0" in path:
        raise bad_request("Path contains characters that are not allowed")
    try:
        path.encode("utf-8")
    except UnicodeEncodeError:
        raise bad_request("Path is not valid Unicode") from None


def encode_name(name: str) -> bytes:
    """A name as bytes on disk: UTF-8, or what a name marked by U+FFFD stands for (documented round trip)."""
    if name.startswith(_MARK):
        try:
            return name[1:].encode("latin-1")
        except UnicodeEncodeError:
            pass  # the mark is part of an ordinary name
    return name.encode("utf-8")


def decode_name(name: bytes) -> str:
    """A name on disk as JSON text: UTF-8, else U+FFFD and the bytes as latin-1 (documented)."""
    try:
        return name.decode("utf-8")
    except UnicodeDecodeError:
        return _MARK + name.decode("latin-1")
