"""What reading one folder can return: that it is as recorded, or a listing to be compared. Pure."""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Callable
from typing import NamedTuple, Optional, Union

from autotransfer.common.paths import FOLDER_ITSELF, TEST_PREFIX, join, split
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
        missing: What is not read because a disk is missing, as folder to name to the reason.
        mounts: Folders that are mount points and must be so as long as the scan lasts.
    """

    exclude: tuple[str, ...] = ()
    follow_links: bool = False
    compares_ctime: bool = False
    missing: dict[str, dict[str, str]] = {}  # noqa: RUF012 - never changed
    mounts: frozenset[str] = frozenset()

    def excludes(self) -> Callable[[str], object]:
        """A test for names: those that an owner excludes, and those of test folders."""
        return re.compile("|".join(map(fnmatch.translate, (*self.exclude, f"{TEST_PREFIX}*")))).match

    def why_missing(self, rel_path: str) -> str:
        """Why a path is not read although it may be there; "" when nothing is in the way."""
        while self.missing and rel_path:
            rel_path, name = split(rel_path)
            if why := self.missing.get(rel_path, {}).get(name):
                return why
        return ""

    def hold(self, listing: Listing) -> Listing:
        """The listing of a folder without what must not be read, which is an error of its own; its records stay."""
        if listing.rel_path in self.mounts and listing.is_readable and not listing.is_mount:
            errors = (PathError(listing.rel_path, "its disk went away while it was read"),)
            return listing._replace(
                files={}, folders=[], errors=errors, is_plain=False, is_readable=False, links=0, special_files=0
            )
        names = self.missing.get(listing.rel_path)
        if not names or not listing.is_readable:
            return listing
        return listing._replace(
            files={name: seen for name, seen in listing.files.items() if name not in (FOLDER_ITSELF, *names)},
            folders=[name for name in listing.folders if name not in names],
            kept=listing.kept.union(names),
            errors=(*listing.errors, *(PathError(join(listing.rel_path, name), why) for name, why in names.items())),
            is_plain=False,
        )


class Listing(NamedTuple):
    """What one folder held when it was read, in no particular order.

    Args:
        files: Name to fingerprint, for all that can be sent; an empty folder holds one entry named FOLDER_ITSELF.
        folders: Names of folders to go into, sorted.
        kept: Names whose records stay as they are: excluded ones, and those that could not be read.
        seen_at_ns: The clock when the folder had been read.
        mtime_ns, ctime_ns: The folder's own times, read before its entries.
        ctime_lags_ns: ctime - mtime of the files for which that is not 0.
        is_mount: Whether a disk is mounted there: SRC_DIR itself does not count.
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
    is_mount: bool = False


class Unchanged(NamedTuple):
    """A folder that holds exactly what is recorded as delivered or in flight.

    Args:
        files, links, special_files: How many; files include an empty folder's entry for itself.
        folders: Names of the folders in it, sorted.
        mtime_ns, ctime_ns: The folder's own.
        is_plain, is_mount: As in Listing.
    """

    files: int
    links: int
    special_files: int
    folders: list[str]
    mtime_ns: int
    ctime_ns: int
    is_plain: bool
    is_mount: bool = False


FolderResult = Union[Unchanged, Listing]


class ScannedFolder(NamedTuple):
    """One folder of a scan: what it holds, and the record that this was compared with.

    Args:
        record: None where there is none; a folder that a worker found unchanged comes without it, too.
    """

    rel_path: str
    result: FolderResult
    record: Optional[Record]
