"""A folder with a random name, made at a destination to see where else it appears, and deleted again."""

from __future__ import annotations

import secrets
from typing import Protocol

from autotransfer.common.errors import FolderTooLarge, GlobusProblem
from autotransfer.common.paths import TEST_PREFIX, on_collection


class Folders(Protocol):
    """What is needed of `Collections`."""

    def names(self, collection_id: str, path: str, *, most: int) -> list[str] | None: ...

    def make_folder(self, collection_id: str, path: str) -> None: ...

    def remove_folder(self, collection_id: str, path: str) -> None: ...


class TrialFolder:
    """One such folder.

    Args:
        collection_id, dst_dir: Where it is made: in DST_DIR, or in the nearest folder above it.

    Attributes:
        name: Its name, which no run ever reads or sends.
    """

    def __init__(self, collections: Folders, collection_id: str, dst_dir: str) -> None:
        self._collections = collections
        self._collection_id = collection_id
        self._dst_dir = dst_dir
        self.name = TEST_PREFIX + secrets.token_hex(8)

    def nearest_folder(self) -> str:
        """DST_DIR, or the nearest folder above it that exists.

        Raises:
            GlobusProblem: Not even "/" can be listed.
        """
        return self.nearest_names(most=1)[0]

    def nearest_names(self, *, most: int) -> tuple[str, list[str] | None]:
        """The same folder, and at most `most` of the names in it; None where it is too large to be listed.

        Raises:
            GlobusProblem: Not even "/" can be listed.
        """
        folder = self._dst_dir
        while True:
            try:
                names = self._names(folder, most)
            except FolderTooLarge:
                return folder, None
            if names is not None:
                return folder, names
            if folder == "/":
                raise GlobusProblem(
                    f"DST_DIR {self._dst_dir} cannot be created",
                    why="the collection shows no folder above it",
                    remedy="Correct DST_DIR: its path as the destination collection shows it in the Globus web app.",
                )
            folder = folder.rpartition("/")[0] or "/"

    def make(self, folder: str) -> str:
        """Make it in a folder of the destination; returns its path there.

        Raises:
            SignInNeeded, GlobusProblem: It could not be made.
        """
        path = on_collection(folder, self.name, is_folder=False)
        try:
            self._collections.make_folder(self._collection_id, path)
        except GlobusProblem:
            if self._names(path, 1) is None:  # if it is there, only the answer was lost
                raise
        return path

    def remove(self, path: str) -> None:
        """Have Globus delete it."""
        self._collections.remove_folder(self._collection_id, path)

    def _names(self, folder: str, most: int) -> list[str] | None:
        path = on_collection(folder, "", is_folder=True)
        return self._collections.names(self._collection_id, path, most=most)
