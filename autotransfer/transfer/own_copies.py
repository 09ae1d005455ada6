"""Makes sure that a folder that looks like DST_DIR is not DST_DIR, before anything is sent."""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import suppress

from autotransfer.common.errors import ConfigurationProblem, Problem
from autotransfer.common.paths import display, join
from autotransfer.common.settings import Settings
from autotransfer.datastore.store import APART, Store
from autotransfer.globus.trial_folder import Folders, TrialFolder

# Of the folders that were found to be another one than DST_DIR, that many are remembered.
MOST_APART = 1000


def refuse_own_copies(
    settings: Settings, store: Store, root_fd: int, folders: Folders, suspects: Sequence[str]
) -> None:
    """Have Globus make a folder in DST_DIR, and see whether it appears in one of these folders of SRC_DIR.

    Those in which it does not are remembered; the caller commits.

    Args:
        root_fd: SRC_DIR, open.
        suspects: rel_paths.

    Raises:
        ConfigurationProblem: It does: what is new there are copies that this route has made.
        SignInNeeded, GlobusProblem: It could not be made.
    """
    if not suspects:
        return
    made = TrialFolder(folders, settings.dst_id, settings.dst_dir)
    folder = made.nearest_folder()
    if folder != settings.dst_dir:  # nothing has arrived there yet
        return
    path = made.make(folder)
    try:
        inside = next((place for place in suspects if _is_there(root_fd, join(place, made.name))), None)
    finally:
        with suppress(Problem):  # an empty folder that no run reads
            made.remove(path)
    if inside is None:
        store.shelf[APART] = [*(store.shelf.get(APART) or ()), *suspects][-MOST_APART:]
        return
    raise ConfigurationProblem(
        f"The new files in {display(join(settings.src_dir, inside))} are copies that this route has made",
        why=f"DST_DIR {settings.dst_dir} is that folder: what Globus makes there appears in it",
        remedy="Choose a DST_DIR apart from SRC_DIR, or name the folder of the copies in EXCLUDE. Nothing was sent or "
        "recorded.",
    )


def _is_there(root_fd: int, rel_path: str) -> bool:
    try:
        os.stat(rel_path, dir_fd=root_fd, follow_symlinks=False)
    except OSError:
        return False
    return True
