"""Whether SRC_DIR and DST_DIR are one folder, or one lies inside the other, under whatever paths. For test_config.py.

A folder with a random name was made at the destination. It is looked for where the paths suggest, then folder by folder
below SRC_DIR. Excluded folders do not count, since runs do not read them.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterator
from contextlib import suppress

from autotransfer.common.errors import ConfigurationProblem
from autotransfer.common.paths import display, join
from autotransfer.common.settings import Settings
from autotransfer.scan.folders import open_folder
from autotransfer.scan.listing import policy

# A search must not take as long as a scan of a large tree.
MOST_FOLDERS, MOST_ENTRIES = 20_000, 1_000_000

Identity = tuple[int, int]


def refuse_shared_ends(settings: Settings, root_fd: int, folder: str, name: str) -> str:
    """Make sure that neither end holds the other; returns what could not be found out, in a sentence, or "".

    Args:
        root_fd: SRC_DIR, open.
        folder: DST_DIR, or the nearest folder above it on its collection, in which the test folder is.
        name: That of the test folder.

    Raises:
        ConfigurationProblem: One holds the other, or they are one.

    Cost: up to a hundred calls, then one and a listing for each folder below SRC_DIR, at most MOST_FOLDERS.
    """
    below = settings.dst_dir[len(folder.rstrip("/")) :].strip("/")  # what is still to be created of DST_DIR
    for place in _guesses(settings, folder):
        if os.path.lexists(os.path.join(place, name)):
            _refuse(settings, root_fd, place, below, name)
    # Also after a guess was right: the same folder may be mounted below SRC_DIR, too.
    found, is_complete = _searched(settings, root_fd, name)
    if found is not None:
        _refuse(settings, root_fd, found, below, name)
    if is_complete:
        return ""
    return "Only a part of SRC_DIR was searched, so DST_DIR may still lie inside it, deeper down."


def _guesses(settings: Settings, folder: str) -> Iterator[str]:
    """Folders of this machine that may be the one at the destination: each end of its path below each folder that
    SRC_DIR is in."""
    words = [word for word in folder.split("/") if word]
    tails = ["/".join(words[first:]) for first in range(len(words) + 1)]
    for top in dict.fromkeys((settings.src_dir, os.path.realpath(settings.src_dir))):
        while True:
            yield from (os.path.join(top, tail) if tail else top for tail in tails)
            if top == "/":
                break
            top = os.path.dirname(top)


def _searched(settings: Settings, root_fd: int, name: str) -> tuple[str | None, bool]:
    """The folder below SRC_DIR that holds the test folder, level by level; and whether all were searched."""
    excludes = policy(settings).excludes()
    todo, folders, entries = deque([""]), 0, 0
    while todo:
        rel_path = todo.popleft()
        if folders >= MOST_FOLDERS or entries >= MOST_ENTRIES:
            return None, False
        folders += 1
        with suppress(OSError):
            folder_fd = open_folder(root_fd, rel_path)
            try:
                if _is_in(folder_fd, name):  # asked by name: a listing may come from a cache
                    return join(settings.src_dir, rel_path) if rel_path else settings.src_dir, True
                with os.scandir(folder_fd) as found:
                    for entry in found:
                        entries += 1
                        if entry.is_dir(follow_symlinks=False) and not excludes(entry.name):
                            todo.append(join(rel_path, entry.name))
            finally:
                os.close(folder_fd)
    return None, True


def _is_in(folder_fd: int, name: str) -> bool:
    try:
        os.stat(name, dir_fd=folder_fd, follow_symlinks=False)
    except OSError:
        return False
    return True


def _refuse(settings: Settings, root_fd: int, place: str, below: str, name: str) -> None:
    """Refuse what the place of DST_DIR on this machine means, if it means anything."""
    dst, where = os.path.join(place, below) if below else place, ""
    inside = _between(dst, _identity(root_fd))
    if inside == []:
        where = "is SRC_DIR itself, so files would be copied onto themselves"
    elif inside is not None:
        if not any(map(policy(settings).excludes(), inside)):
            where = f"lies inside SRC_DIR, as {display('/'.join(inside))}, so each run would send the last one's copies"
    elif os.path.isdir(dst) and _between(settings.src_dir, _identity(dst)):
        where = "holds SRC_DIR, so a copy could replace its own original"
    if where:
        raise ConfigurationProblem(
            f"DST_DIR {settings.dst_dir} {where}",
            why=f"the folder that was made at the destination appeared here as {display(os.path.join(place, name))}",
            remedy="Choose a DST_DIR apart from SRC_DIR. If the copies must stay inside SRC_DIR, name their folder in "
            "EXCLUDE.",
        )


def _identity(place: int | str) -> Identity:
    status = os.stat(place)
    return status.st_dev, status.st_ino


def _between(path: str, top: Identity) -> list[str] | None:
    """The names that lead from a folder down to a path, some of which may not exist; None if the path is not in it."""
    at, names = os.path.realpath(path), list[str]()
    while True:
        with suppress(OSError):
            if _identity(at) == top:
                return names
        if at == "/":
            return None
        at, name = os.path.split(at)
        names.insert(0, name)
