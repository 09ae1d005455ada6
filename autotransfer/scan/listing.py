"""What reading one folder can return: that it is as recorded, or a listing to be compared. Pure."""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Callable
from typing import NamedTuple, Optional, Union

from autotransfer.common.settings import Settings
from autotransfer.datastore.record import Fingerprint, Record


def policy(settings: Settings) -> Policy:
    """The settings that a scan follows."""
    return Policy(settings.exclude, settings.symlinks == "follow", settings.compare == "ctime")


class PathError(NamedTuple):
    """A path that cannot be read or cannot be sent, and why, in plain words."""

    rel_path: str
    why: str


class Policy(NamedTuple):
    """Which entries a scan lists.

    Args:
        exclude: Name patterns with the meaning of Globus filter rules; an excluded folder hides all below it.
        follow_links: Whether links to files are listed as the files they point to.
        compares_ctime: Whether a folder in which a ctime alone has moved is listed.
    """

    exclude: tuple[str, ...] = ()
    follow_links: bool = False
    compares_ctime: bool = False

    def excludes(self) -> Callable[[str], object] | None:
        """A test for names, or None when nothing is excluded."""
        if not self.exclude:
            return None
        return re.compile("|".join(map(fnmatch.translate, self.exclude))).match


class Listing(NamedTuple):
    """What one folder held when it was read, in no particular order.

    Args:
        files: Name to fingerprint, for all that can be sent; an empty folder holds one entry named FOLDER_ITSELF.
        folders: Names of folders to go into, sorted.
        kept: Names whose records stay as they are: excluded ones, and those that could not be read.
        seen_at_ns: The clock when the folder had been read.
        mtime_ns, ctime_ns: The folder's own times, read before its entries.
        ctime_lags_ns: ctime - mtime of the files for which that is not 0.
        is_plain: Whether one recursive item would carry exactly these entries (no links followed, nothing unsendable).
        is_readable: Whether the folder could be listed at all; if not, all records below it stay.
        links: How many symlinks were skipped.
        special_files: How many devices, sockets and pipes were skipped.
        moved: Entries that the folder listed and that were not there when they were read, and why. Most were removed
            at that moment; plan/rescan knows those that never can be read.
    """

    rel_path: str
    files: dict[str, Fingerprint]
    folders: list[str]
    kept: frozenset[str]
    errors: tuple[PathError, ...]
    seen_at_ns: int
    mtime_ns: int
    is_plain: bool
    is_readable: bool
    links: int
    special_files: int
    moved: tuple[PathError, ...]
    ctime_ns: int = 0
    ctime_lags_ns: dict[str, int] = {}  # noqa: RUF012 - never changed


class Unchanged(NamedTuple):
    """A folder that holds exactly what is recorded as delivered or in flight.

    Args:
        files, links, special_files: How many; files include an empty folder's entry for itself.
        folders: Names of the folders in it, sorted.
        mtime_ns, ctime_ns: The folder's own.
        is_plain: As in Listing.
    """

    files: int
    links: int
    special_files: int
    folders: list[str]
    mtime_ns: int
    ctime_ns: int
    is_plain: bool


FolderResult = Union[Unchanged, Listing]


class ScannedFolder(NamedTuple):
    """One folder of a scan: what it holds, and the record that this was compared with.

    Args:
        record: None where there is none; a folder that a worker found unchanged comes without it, too.
    """

    rel_path: str
    result: FolderResult
    record: Optional[Record]
