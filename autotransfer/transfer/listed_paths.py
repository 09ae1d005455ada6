"""Which carried path a row of Globus's lists means. Pure.

Globus names paths as they were submitted, as far as is known. Here a row also counts when it spells a path otherwise:
percent-encoded, in another Unicode form, with doubled slashes, or below another root, as "/~/" is expanded. What fits
two paths fits none.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Collection
from typing import Optional
from urllib.parse import unquote

from autotransfer.common.paths import from_collection, split

# (folder's rel_path) -> the names in it that may be meant: files that the task carries, and folders.
NamesIn = Callable[[str], Collection[str]]


class ListedPaths:
    """Finds the rel_path of each row.

    Args:
        src_path: The root that the task's items were submitted below.
        files_in: The names of the files that may be meant in a folder.
        folders_in: The names of the folders in it.
    """

    def __init__(self, src_path: str, *, files_in: NamesIn, folders_in: NamesIn) -> None:
        self._src_path = src_path
        self._ask_files = files_in
        self._ask_folders = folders_in
        self._files: dict[str, Collection[str]] = {}
        self._folders: dict[str, Collection[str]] = {}
        # Learned from the first row that leaves no choice; others must lie below it, too.
        self._root: Optional[list[str]] = None
        self._may_be_folder = False

    def begin_page(self) -> None:
        """Ask anew what is in each folder."""
        self._files.clear()
        self._folders.clear()

    def find(self, source_path: str, *, may_be_folder: bool = False) -> str | None:
        """The rel_path that the row means, or None. Cost: one look-up where the row spells it as it was submitted."""
        self._may_be_folder = may_be_folder
        rel_path = from_collection(self._src_path, source_path)
        if rel_path:
            folder_path, name = split(rel_path)
            if name in self._last_names(folder_path):
                return rel_path
        words = [word for word in unquote(source_path).split("/") if word]
        root = [word for word in unquote(self._src_path).split("/") if word]
        if _alike(words[: len(root)], root):
            return self._below(words[len(root) :])
        if self._root is not None:
            return self._below(words[len(self._root) :]) if _alike(words[: len(self._root)], self._root) else None
        fits = [(start, found) for start in range(len(words)) if (found := self._below(words[start:])) is not None]
        if len(fits) != 1:
            return None
        start, found = fits[0]
        self._root = words[:start]
        return found

    def _files_in(self, folder_path: str) -> Collection[str]:
        if folder_path not in self._files:
            self._files[folder_path] = self._ask_files(folder_path)
        return self._files[folder_path]

    def _folders_in(self, folder_path: str) -> Collection[str]:
        if folder_path not in self._folders:
            self._folders[folder_path] = self._ask_folders(folder_path)
        return self._folders[folder_path]

    def _last_names(self, folder_path: str) -> Collection[str]:
        """What the last component of a row may name."""
        files = self._files_in(folder_path)
        return {*files, *self._folders_in(folder_path)} if self._may_be_folder else files

    def _below(self, words: list[str]) -> str | None:
        """The rel_path whose components are alike to these, each of them the only one."""
        if not words:
            return None
        path = ""
        for word in words[:-1]:
            name = _only(word, self._folders_in(path))
            if name is None:
                return None
            path = f"{path}/{name}" if path else name
        name = _only(words[-1], self._last_names(path))
        if name is None:
            return None
        return f"{path}/{name}" if path else name


def _only(word: str, names: Collection[str]) -> str | None:
    if word in names:
        return word
    wanted = _form(word)
    fits = [name for name in names if _form(name) == wanted]
    return fits[0] if len(fits) == 1 else None


def _alike(words: list[str], others: list[str]) -> bool:
    return [_form(word) for word in words] == [_form(word) for word in others]


def _form(name: str) -> str:
    """The one spelling of all that differ in Unicode form only; a name may itself hold percent signs."""
    return unicodedata.normalize("NFC", unquote(name))
