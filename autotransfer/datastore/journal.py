"""The rollback journal that a killed run leaves beside the datastore, and whether it belongs to that file.

SQLite rolls such a journal back into whatever file lies beside it: a copy that was restored there would be damaged. The
forms are those of SQLite's documentation (fileformat2: the database header, the rollback journal).
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import NamedTuple

from autotransfer.common.errors import ConfigurationProblem
from autotransfer.common.files import explained_as

MAGIC, DATABASE_MAGIC = b"\xd9\xd5\x05\xf9\x20\xa1\x63\xd7", b"SQLite format 3\0"
HEADER_BYTES, JOURNAL_HEADER_BYTES = 100, 28
FIRST_PAGE = b"\0\0\0\1"


class _Header(NamedTuple):
    """What a database's first page says: how often it was changed, and its size in pages."""

    changes: int
    pages: int
    is_sound: bool

    @classmethod
    def of(cls, page: bytes) -> _Header:
        if len(page) < HEADER_BYTES:
            return cls(0, 0, False)
        changes, pages = struct.unpack(">2I", page[24:32])
        return cls(changes, pages, page.startswith(DATABASE_MAGIC) and page[92:96] == page[24:28])


def is_foreign(path: str) -> bool:
    """Whether the journal beside a database cannot be that database's own, so that it must not be rolled back.

    A journal that is of use holds the first page as it was, and the file has that page or the one of the next change;
    or it does not, and the file has as many pages as before. What cannot be decided is left to SQLite.
    """
    with suppress(OSError), _opened(f"{path}-journal") as journal_fd, _opened(path) as file_fd:
        pages = _pages_before(journal_fd)
        before = _first_page_before(journal_fd)
        page = os.pread(file_fd, HEADER_BYTES, 0)
        header = _Header.of(page)
        if pages is None or not header.is_sound:
            return False
        if not pages:  # it is of the very first change, before which the file was empty
            return header.changes > 1
        if before is None:
            return pages != header.pages
        changes = _Header.of(before).changes
        return before != page if changes == header.changes else (changes + 1) & 0xFFFFFFFF != header.changes
    return False


def _pages_before(journal_fd: int) -> int | None:
    """The size of the database before the change, in pages; None if it is no journal that could be rolled back."""
    header = os.pread(journal_fd, JOURNAL_HEADER_BYTES, 0)
    is_sound = len(header) == JOURNAL_HEADER_BYTES and header.startswith(MAGIC)
    return int.from_bytes(header[16:20], "big") if is_sound else None


def _first_page_before(journal_fd: int) -> bytes | None:
    """The beginning of the database's first page before the change; None if it had not been changed yet.

    Cost: one read, since every transaction of ours changes that page first (see shelf); one per page in journals of
    versions that did not.
    """
    at = 0
    while (header := os.pread(journal_fd, JOURNAL_HEADER_BYTES, at)).startswith(MAGIC):
        records, _, _, sector_bytes, page_bytes = struct.unpack(">5I", header[8:].ljust(20, b"\0"))
        at += sector_bytes
        for _ in range(records):
            record = os.pread(journal_fd, 4 + HEADER_BYTES, at)
            if len(record) < 4 + HEADER_BYTES:
                return None
            if record.startswith(FIRST_PAGE):
                return record[4:]
            at += page_bytes + 8
        if not (records and sector_bytes):
            return None
        at += -at % sector_bytes
    return None


def set_aside(path: str) -> str:
    """Rename the journal beside the datastore if it is not its own; returns the new name, else "".

    The caller holds the run lock, so nobody else writes.

    Raises:
        ConfigurationProblem: It cannot be renamed.
    """
    if not is_foreign(path):
        return ""
    unused = f"{path}-journal.unused"
    remedy = "Remove it: it is not this datastore's own. Nothing was sent or recorded."
    with explained_as(ConfigurationProblem, f"Cannot set {path}-journal aside", remedy=remedy):
        os.replace(f"{path}-journal", unused)
    return unused


def refuse_foreign(path: str) -> None:
    """The same for those who only read, and may therefore meet a run that writes.

    Raises:
        ConfigurationProblem: The journal is not the datastore's own.
    """
    # While a run commits, the two files may be read at different moments; but not again and again.
    if all(is_foreign(path) for _ in range(3)):
        raise ConfigurationProblem(
            f"A journal of another datastore lies beside {path}, which was restored",
            remedy="The next run of main.py sets the journal aside; or remove it, if no run is active. Nothing was "
            "changed.",
        )


@contextmanager
def _opened(path: str) -> Iterator[int]:
    file_fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        yield file_fd
    finally:
        os.close(file_fd)
