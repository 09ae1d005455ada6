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

# A folder's rel_path -> the files in it that the task still has to account for, and the folders in it.
NamesIn = Callable[[str], tuple[Collection[str], Collection[str]]]


class ListedPaths:
    """Finds the rel_path of each row.

    Args:
        src_path: The root that the task's items were submitted below.
        names_in: What may be meant in a folder.
        is_there: (folder, name) -> whether a file of exactly this name is recorded or on disk. A row that spells it
            means that file, never another whose name is alike.
    """

    def __init__(self, src_path: str, *, names_in: NamesIn, is_there: Callable[[str, str], bool]) -> None:
        self._src_path = src_path
        self._names_in = names_in
        self._is_there = is_there
        self._root = _words(src_path)
        # Another root, learned from the first row that leaves no choice; others must lie below it, too.
        self._other_root: Optional[list[str]] = None
        self._seen: dict[tuple[str, bool, bool], _Names] = {}

    def begin_page(self) -> None:
        """Ask anew what is in each folder."""
        self._seen.clear()

    def find(self, source_path: str, *, may_be_folder: bool = False) -> str | None:
        """The rel_path that the row means, or None. Cost: one look-up where the row spells it as it was submitted."""
        rel_path = from_collection(self._src_path, source_path)
        if rel_path:
            folder_path, name = split(rel_path)
            if name in self._names(folder_path, True, may_be_folder).names:
                return rel_path
            if self._is_there(folder_path, name):
                return None
        words = _words(source_path)
        for root in (self._root, self._other_root):
            if root is not None and _alike(words[: len(root)], root):
                return self._below(words[len(root) :], may_be_folder)
        return self._below_another_root(words, may_be_folder) if self._other_root is None else None

    def _below_another_root(self, words: list[str], may_be_folder: bool) -> str | None:
        fits = [
            (start, found)
            for start in range(len(words))
            if (found := self._below(words[start:], may_be_folder)) is not None
        ]
        if len(fits) != 1:
            return None
        start, found = fits[0]
        # A name alone may be that of many files, unless what stands above it is the end of our own root.
        tail = [word for word in self._root if word != "~"]
        if len(words) - start < 2 and not (tail and _alike(words[max(0, start - len(tail)) : start], tail)):
            return None
        self._other_root = words[:start]
        return found

    def _below(self, words: list[str], may_be_folder: bool) -> str | None:
        """The rel_path whose components are alike to these, each of them the only one."""
        path = ""
        for number, word in enumerate(words, 1):
            is_last = number == len(words)
            name = self._names(path, is_last, may_be_folder or not is_last).only(word)
            if name is None:
                return None
            path = f"{path}/{name}" if path else name
        return path or None

    def _names(self, folder_path: str, has_files: bool, has_folders: bool) -> _Names:
        key = folder_path, has_files, has_folders
        if key not in self._seen:
            files, folders = self._names_in(folder_path)
            self._seen[key] = _Names({*(files if has_files else ()), *(folders if has_folders else ())})
        return self._seen[key]


class _Names:
    """Names in a folder, and which of them are the only ones of their form; the forms are made when one is needed."""

    def __init__(self, names: set[str]) -> None:
        self.names = names
        self._by_form: dict[str, str | None] = {}

    def only(self, word: str) -> str | None:
        """The name itself, or the only one that is alike to it."""
        if word in self.names:
            return word
        if not self._by_form:
            for name in self.names:
                form = _form(name)
                self._by_form[form] = None if form in self._by_form else name
        return self._by_form.get(_form(word))


def _words(path: str) -> list[str]:
    return [word for word in unquote(path).split("/") if word]


def _alike(words: list[str], others: list[str]) -> bool:
    return [_form(word) for word in words] == [_form(word) for word in others]


def _form(name: str) -> str:
    """The one spelling of all that differ in Unicode form only; a name may itself hold percent signs."""
    return unicodedata.normalize("NFC", unquote(name))
