"""Makes sure that a folder of SRC_DIR that looks like DST_DIR is not DST_DIR, before anything is sent."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress

from autotransfer.common.errors import GLOBUS_AWAY, ConfigurationProblem, GlobusProblem, Problem
from autotransfer.common.paths import display, join
from autotransfer.common.settings import Settings
from autotransfer.datastore.store import APART, Store
from autotransfer.globus.trial_folder import Folders, TrialFolder

# Of the folders that were found to be another one than DST_DIR, that many are remembered.
MOST_APART = 1000

# At most this many names in DST_DIR are compared before the first transfer.
MOST_NAMES = 1000


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
    if made.nearest_folder() != settings.dst_dir:  # nothing has arrived there yet
        return
    inside = _place_of(made, settings.dst_dir, root_fd, suspects)
    if inside is None:
        store.shelf[APART] = [*(store.shelf.get(APART) or ()), *suspects][-MOST_APART:]
        return
    raise ConfigurationProblem(
        f"The new files in {display(join(settings.src_dir, inside))} are copies that this route has made",
        why=f"DST_DIR {settings.dst_dir} is that folder: what Globus makes there appears in it",
        remedy="Choose a DST_DIR apart from SRC_DIR, or name the folder of the copies in EXCLUDE. Nothing was sent or "
        "recorded.",
    )


def refuse_to_begin_inside(
    settings: Settings, store: Store, root_fd: int, folders: Folders, *, excludes: Callable[[str], object]
) -> None:
    """Refuse a route's first folder item where DST_DIR lies in SRC_DIR: a folder could be copied into itself for ever.

    DST_DIR, or the nearest folder above it, is listed; what is planned shows which folders of SRC_DIR look the same.
    Only if one does, a folder is made to find out. Cost: a listing, and reading what is planned.

    Args:
        root_fd: SRC_DIR, open.
        excludes: Whether EXCLUDE keeps a folder of this name apart.

    Raises:
        ConfigurationProblem: DST_DIR lies in SRC_DIR, or is it.
        SignInNeeded, GlobusProblem: That cannot be found out now.
    """
    made = TrialFolder(folders, settings.dst_id, settings.dst_dir)
    try:
        nearest, found = made.nearest_names(most=MOST_NAMES)
    except GlobusProblem as problem:
        if problem.kind == GLOBUS_AWAY:  # it passes, and a folder in itself does not
            raise
        return  # some destinations can be written to and not listed
    below = [word for word in settings.dst_dir[len(nearest) :].split("/") if word]  # still to be created
    if found is None or any(map(excludes, below)):
        return
    names = set(found)
    suspects = [place for place in store.trie.below("") if _is_alike(store.trie.folder(place).all_names(), names)]
    inside = _place_of(made, nearest, root_fd, suspects) if suspects else None
    if inside is not None:
        place = "/".join([inside, *below] if inside else below)
        raise ConfigurationProblem(
            f"DST_DIR {settings.dst_dir} lies inside SRC_DIR, as {display(place)}" if place else "DST_DIR is SRC_DIR",
            why=f"what Globus makes in {nearest} appears in {display(join(settings.src_dir, inside))}",
            remedy="Choose a DST_DIR apart from SRC_DIR, or name that folder in EXCLUDE. Nothing was sent or recorded.",
        )


def _is_alike(here: set[str], names: set[str]) -> bool:
    return 2 * len(here & names) >= len(names) if names else not here


def _place_of(made: TrialFolder, folder: str, root_fd: int, suspects: Iterable[str]) -> str | None:
    """Make the folder at the destination, and return the first of these places that it appears in; or None."""
    path = made.make(folder)
    try:
        return next((place for place in suspects if _is_there(root_fd, join(place, made.name))), None)
    finally:
        with suppress(Problem):  # an empty folder that no run reads
            made.remove(path)


def _is_there(root_fd: int, rel_path: str) -> bool:
    try:
        os.stat(rel_path, dir_fd=root_fd, follow_symlinks=False)
    except OSError:
        return False
    return True
