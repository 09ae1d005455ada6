"""What a look at one folder can come to: as recorded, all new, or a listing to be thought about. Pure."""

from __future__ import annotations

from typing import NamedTuple, Union

from autotransfer.scan import Fingerprint, Listing
from autotransfer.trie import SEPARATOR, Column, unpacked_column


class Same(NamedTuple):
    """A folder that holds exactly what is recorded as delivered or in flight.

    Args:
        files, links, others: How many; files include an empty folder's entry for itself.
        folders: Names of the folders in it, sorted.
        mtime_ns, ctime_ns: The folder's own.
        is_plain: As in Listing.
    """

    files: int
    links: int
    others: int
    folders: list[str]
    mtime_ns: int
    ctime_ns: int
    is_plain: bool


class New(NamedTuple):
    """A folder without a record, all of whose entries are settled and could travel as one item with it.

    Args:
        names: Joined by SEPARATOR, in the order of the listing.
        mtimes_ns, sizes_bytes: Columns in the same order.
        files, size_bytes: How many entries, and the bytes of all together.
        kept: As in Listing.
    """

    rel_path: str
    names: str
    mtimes_ns: Column
    sizes_bytes: Column
    files: int
    size_bytes: int
    folders: list[str]
    kept: frozenset[str]
    links: int
    mtime_ns: int
    ctime_ns: int

    def fingerprints(self) -> dict[str, Fingerprint]:
        """Name to fingerprint."""
        if not self.files:
            return {}
        columns = (unpacked_column(column, self.files) for column in (self.mtimes_ns, self.sizes_bytes))
        return dict(zip(self.names.split(SEPARATOR), zip(*columns)))

    def as_listing(self, *, seen_at_ns: int) -> Listing:
        """The same, entry by entry."""
        return Listing(
            self.rel_path,
            self.fingerprints(),
            self.folders,
            self.kept,
            (),
            seen_at_ns,
            self.mtime_ns,
            is_plain=True,
            is_readable=True,
            links=self.links,
            others=0,
            moved=0,
            ctime_ns=self.ctime_ns,
        )


Sight = Union[Same, New, Listing]
