"""Where a transfer arrives: what the destination refuses, and the folders made there."""

from __future__ import annotations

import os

from .collection import Collection
from .copying import ItemFault, Permissions, fault_of, size_bytes, used_bytes


class Destination:
    """The destination of one transfer. Remembers permissions and use of the quota; make a new one to look afresh."""

    def __init__(self, collection: Collection) -> None:
        self._collection = collection
        self._permissions = Permissions()
        self._used_bytes: int | None = None

    def check_file(self, destination: bytes, source: os.stat_result) -> None:
        """Refuse a file that may not, or should not, be written.

        Raises:
            ItemFault: Read-only, no permission, over the quota, or the very file that is to be copied.
        """
        self.check_may_write()
        if _is_file(destination, source):
            # Opening it for writing would empty it. What Globus does is not known; here no file is lost.
            raise ItemFault("ENDPOINT_ERROR", "Source and destination are the same file", is_at_source=False)
        self._permissions.check_searchable(destination, is_at_source=False)
        self._permissions.check_writable(destination)
        quota_bytes = self._collection.quota_bytes
        if quota_bytes is None:
            return
        if self._used_bytes is None:
            self._used_bytes = used_bytes(self._collection.local_path("/"))
        replaced_bytes = size_bytes(destination)
        if self._used_bytes - replaced_bytes + source.st_size > quota_bytes:
            raise ItemFault("QUOTA_EXCEEDED", "Disk quota exceeded", is_at_source=False)
        self._used_bytes -= replaced_bytes

    def note_written(self, count_bytes: int) -> None:
        """Count what was written against the quota."""
        if self._used_bytes is not None:
            self._used_bytes += count_bytes

    def make_parents(self, destination: bytes) -> None:
        """Make the folders above a root item.

        Raises:
            ItemFault: The collection or the file system refuses.
        """
        parent = os.path.dirname(destination)
        if os.path.isdir(parent):
            return
        missing = parent
        while not os.path.lexists(os.path.dirname(missing)):
            missing = os.path.dirname(missing)
        self.check_may_write()
        self._permissions.check_writable(missing)
        try:
            os.makedirs(parent, exist_ok=True)
        except OSError as error:
            raise fault_of(error, is_at_source=False) from None

    def make_directory(self, destination: bytes) -> None:
        """Make a folder, unless it is there.

        Raises:
            ItemFault: The collection or the file system refuses, or a file is in the way.
        """
        if os.path.isdir(destination):
            return
        self.check_may_write()
        self._permissions.check_writable(destination)
        try:
            os.mkdir(destination)
        except FileExistsError:
            raise ItemFault("NOT_A_DIRECTORY", "The destination is a file", is_at_source=False) from None
        except OSError as error:
            raise fault_of(error, is_at_source=False) from None

    def check_may_write(self) -> None:
        """Refuse to change anything in a collection that can only be read.

        Raises:
            ItemFault: It is one.
        """
        if self._collection.read_only:
            raise ItemFault("PERMISSION_DENIED", "The collection is read-only", is_at_source=False)


def _is_file(path: bytes, status: os.stat_result) -> bool:
    try:
        return os.path.samestat(os.stat(path), status)
    except OSError:
        return False
