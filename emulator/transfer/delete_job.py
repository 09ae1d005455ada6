"""A deletion, step by step, and the removal of what a transfer finds too much at its destination."""

from __future__ import annotations

import glob
import os
import shutil
import stat
from collections.abc import Callable, Iterator

from emulator.clock import Clock

from .collection import Collection, decode_name
from .copying import fault_of
from .task import Task


class DeletionFailed(Exception):
    """A deletion ends: unlike transfers, it does not wait for a missing path (recorded).

    Attributes:
        code: The fatal error's code.
    """

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


def delete_steps(task: Task, collection: Collection, clock: Clock) -> Iterator[int]:
    """Delete the paths of a task, one step each. Symlinks go themselves, never what they point to (documented).

    Raises:
        DeletionFailed: A path is missing (without ignore_missing), a directory (without recursive), or refused.
    """
    task.subtasks_total = len(task.submission.items)
    flags = task.submission.flags
    for item in task.submission.items:
        if collection.read_only:
            raise DeletionFailed("PERMISSION_DENIED")
        paths = [collection.local_path(item.source_path)]
        if flags["interpret_globs"]:
            root = collection.local_path("/")
            paths = sorted(glob.glob(glob.escape(root) + paths[0][len(root) :])) or paths
        for path in paths:
            try:
                _delete(task, path, is_recursive=flags["recursive"], may_miss=flags["ignore_missing"])
            except DeletionFailed as failure:
                details = f"Error (delete)\nEndpoint: {collection.title}\nFile: {item.source_path}\n---\n"
                task.record_fault(failure.code, details, clock.now())
                raise
        task.subtasks_succeeded += 1
        yield 1


def _delete(task: Task, path: bytes, *, is_recursive: bool, may_miss: bool) -> None:
    try:
        mode = os.lstat(path).st_mode
    except OSError as error:
        if may_miss and isinstance(error, FileNotFoundError):
            return
        raise DeletionFailed(fault_of(error, is_at_source=True).code) from None
    parent_mode = os.stat(os.path.dirname(path)).st_mode
    if not parent_mode & (stat.S_IWUSR | stat.S_IWGRP | stat.S_IWOTH):
        raise DeletionFailed("PERMISSION_DENIED")
    if stat.S_ISDIR(mode):
        if not is_recursive:
            raise DeletionFailed("IS_A_DIRECTORY")
        for _, _, names in os.walk(path):
            task.directories += 1
            task.files += len(names)
    else:
        task.files += 1
    try:
        remove_tree(path)
    except OSError as error:
        raise DeletionFailed(fault_of(error, is_at_source=True).code) from None


def remove_tree(path: bytes) -> None:
    """Remove a file, a symlink, or a directory with all it holds."""
    if os.path.isdir(path) and not os.path.islink(path):
        shutil.rmtree(path)
    else:
        os.unlink(path)


def remove_extra(source: bytes, destination: bytes, is_wanted: Callable[[str, str], bool]) -> Iterator[bytes]:
    """Remove what the destination has and the source has not; yields each path once it is gone.

    What the filter rules exclude stays where it is (assumed: no document says).
    """
    present = set(os.listdir(source))
    for name in sorted(os.listdir(destination)):
        path = os.path.join(destination, name)
        is_directory = os.path.isdir(path) and not os.path.islink(path)
        if not is_wanted(decode_name(name), "dir" if is_directory else "file"):
            continue
        if name not in present:
            remove_tree(path)
            yield path
        elif is_directory and os.path.isdir(os.path.join(source, name)):
            yield from remove_extra(os.path.join(source, name), path, is_wanted)
