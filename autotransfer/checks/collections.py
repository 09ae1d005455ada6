"""Whether the source collection shows SRC_DIR, and whether DST_DIR can be written. For test_config.py."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from itertools import islice
from typing import TYPE_CHECKING, Any, NamedTuple, Optional

from autotransfer.checks.shared_ends import refuse_shared_ends
from autotransfer.common.errors import ConfigurationProblem, FolderTooLarge, GlobusProblem, Problem
from autotransfer.common.files import explained_as
from autotransfer.common.paths import can_be_sent, display, on_collection
from autotransfer.common.settings import Settings
from autotransfer.globus.trial_folder import TrialFolder
from autotransfer.scan.folders import open_folder

if TYPE_CHECKING:
    from autotransfer.globus.collections import Collections

# The number of names at the top of SRC_DIR that are compared; a listing is cut off there too.
MOST_NAMES = 1000
SHOWN_NAMES = 5

# A file server may show another machine's new file a little later.
SECOND_LISTING_SECONDS = 1.0

# U+FFFD in front of the bytes as Latin-1: how Globus shows names that are not UTF-8.
NOT_UNICODE = "\ufffd"

# Calls what it is given. If Globus requires a person to sign in for it, has them do so, and calls it once more.
SignedIn = Callable[[Callable[[], Any]], Any]


class SourceView(NamedTuple):
    """Whether the source collection shows SRC_DIR under SRC_PATH; a wrong SRC_PATH is the most common mistake.

    Args:
        root_fd: SRC_DIR, open.
        title: What messages call the collection.
    """

    settings: Settings
    root_fd: int
    collections: Collections
    title: str
    signed_in: SignedIn

    def check(self) -> str:
        """What was found, in one clause.

        Raises:
            ConfigurationProblem: The collection shows something else; the remedy names the setting to correct.
            SignInNeeded, GlobusProblem: It could not be listed.
        """
        path = self.settings.src_path
        before = [name for name in names_on_disk(self.settings, self.root_fd, MOST_NAMES) if can_be_sent(name)]
        try:
            shown = self.signed_in(lambda: self._listed(path))
        except FolderTooLarge:
            return f"{path} on the collection is too large to be listed, so no names were compared"
        except (ConfigurationProblem, GlobusProblem) as problem:
            # Personal endpoints and guest collections refuse paths outside what they share.
            if isinstance(problem, ConfigurationProblem) or self._right_src_path(before):
                raise self._wrong_src_path(problem.what, before, why=problem.why) from problem
            raise
        if shown is None:
            raise self._wrong_src_path(f"There is no folder {path} on collection {self.title}", before)
        hidden, foreign = self._differences(before, shown)
        if hidden or foreign:
            time.sleep(SECOND_LISTING_SECONDS)
            again = self.signed_in(lambda: self._listed(path)) or []
            still_hidden, still_foreign = self._differences(before, again)
            hidden, foreign = hidden & still_hidden, foreign & still_foreign
        if hidden or foreign:
            why = "\n".join(
                f"{label}: {_some(names)}"
                for label, names in (("only on disk", hidden), ("only on the collection", foreign))
                if names
            )
            raise self._wrong_src_path(
                f"{path} on collection {self.title} shows other names than SRC_DIR {self.settings.src_dir}",
                before,
                why=why,
            )
        if not shown:
            return f"{path} on the collection is empty, like SRC_DIR"
        return f"{path} on the collection shows what SRC_DIR holds; names compared: {len(shown):,}"

    def _listed(self, path: str) -> Optional[list[str]]:
        folder = on_collection(path, "", is_folder=True)
        return self.collections.names(self.settings.src_id, folder, most=MOST_NAMES)

    def _differences(self, before: list[str], shown: list[str]) -> tuple[set[str], set[str]]:
        """Names only on disk, and names only on the collection; not those that have disappeared since."""
        foreign = {name for name in shown if not name.startswith(NOT_UNICODE) and not self._is_on_disk(name)}
        if len(shown) >= MOST_NAMES:  # cut off, so a missing name means nothing
            return set(), foreign
        return {name for name in set(before).difference(shown) if self._is_on_disk(name)}, foreign

    def _is_on_disk(self, name: str) -> bool:
        try:
            os.stat(name, dir_fd=self.root_fd, follow_symlinks=False)
        except (OSError, ValueError):
            return False
        return True

    def _wrong_src_path(self, what: str, names: list[str], *, why: str = "") -> ConfigurationProblem:
        settings = self.settings
        right = self._right_src_path(names)
        if right:
            remedy = f"Set SRC_PATH = {right!r}: that folder shows the same names."
        else:
            is_unset = settings.src_path == settings.src_dir
            start = (
                "SRC_PATH is not set, so the path of SRC_DIR was used. Set SRC_PATH to"
                if is_unset
                else "Correct SRC_PATH:"
            )
            remedy = (
                f"{start} the path under which this collection shows SRC_DIR (its file manager in the Globus web app "
                "shows it), or correct SRC_ID."
            )
        return ConfigurationProblem(what, why=why, remedy=remedy)

    def _right_src_path(self, names: list[str]) -> str | None:
        """The end of SRC_DIR's path under which the collection shows these names; None if there is none."""
        parts = self.settings.src_dir.strip("/").split("/")
        for first in range(len(parts) + 1):
            path = "/" + "/".join(parts[first:])
            try:
                shown = self._listed(path)
            except Problem:
                continue
            if names and shown and not any(self._differences(names, shown)):
                return path
        return None


class DestinationView(NamedTuple):
    """Whether DST_DIR exists or can be created, and can be written: tested with a folder that is deleted again.

    Args:
        root_fd: SRC_DIR, open; None: it cannot be read.
    """

    settings: Settings
    root_fd: Optional[int]
    collections: Collections
    signed_in: SignedIn

    def check(self) -> tuple[str, str, str]:
        """What was found, a remark, and what to do about it.

        Raises:
            ConfigurationProblem: DST_DIR is not a folder, and none can be created; or it is SRC_DIR itself, lies inside
                it, or around it.
            SignInNeeded, GlobusProblem: It cannot be written or listed.
        """
        dst_dir = self.settings.dst_dir
        made = TrialFolder(self.collections, self.settings.dst_id, dst_dir)
        try:
            folder = self.signed_in(made.nearest_folder)
        except ConfigurationProblem as problem:
            remedy = "Correct DST_DIR: it must be a folder, or a path where one can be created."
            raise ConfigurationProblem(problem.what, why=problem.why, remedy=remedy) from problem
        path = self.signed_in(lambda: made.make(folder))
        remark = advice = ""
        try:
            if self.root_fd is not None:
                remark = refuse_shared_ends(self.settings, self.root_fd, folder, made.name)
        finally:
            try:
                made.remove(path)
            except Problem as problem:
                remark = f"{remark}\nThe empty folder {path} was not deleted: {problem}".strip()
                advice = "Delete it by hand."
        found = (
            f"{dst_dir} can be written" if folder == dst_dir else f"{dst_dir} can be created: {folder} can be written"
        )
        return found, remark, advice


def names_on_disk(settings: Settings, root_fd: int, most: int) -> list[str]:
    """At most `most` names at the top of SRC_DIR, in no particular order.

    Raises:
        ConfigurationProblem: It cannot be listed.
    """
    remedy = "Give this user read and search permission on it."
    with explained_as(ConfigurationProblem, f"Cannot list SRC_DIR {settings.src_dir}", remedy=remedy):
        folder_fd = open_folder(root_fd, "")
        try:
            with os.scandir(folder_fd) as entries:
                return [entry.name for entry in islice(entries, most)]
        finally:
            os.close(folder_fd)


def _some(names: set[str]) -> str:
    shown = ", ".join(map(display, sorted(names)[:SHOWN_NAMES]))
    return f"{shown} and {len(names) - SHOWN_NAMES:,} more" if len(names) > SHOWN_NAMES else shown
