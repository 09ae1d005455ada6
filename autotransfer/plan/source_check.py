"""Refuse a SRC_DIR that looks like a disk that is not mounted."""

from __future__ import annotations

import os

from autotransfer.common.errors import ConfigurationProblem
from autotransfer.common.files import explained_as
from autotransfer.common.settings import Settings
from autotransfer.datastore.store import EMPTY_IS_MEANT, Store
from autotransfer.scan.folders import read_folder


def is_bare_folder(root_fd: int, settings: Settings) -> bool:
    """Whether SRC_DIR is completely empty.

    Raises:
        ConfigurationProblem: It cannot be read.
    """
    remedy = "Check its disk or its mount. Nothing was sent or recorded."
    refused = explained_as(ConfigurationProblem, f"Cannot read SRC_DIR {settings.src_dir}", remedy=remedy)
    with refused, os.scandir(root_fd) as entries:
        return next(entries, None) is None


def check_root(settings: Settings, store: Store, root_fd: int, device: int) -> None:
    """Refuse a SRC_DIR that looks like a disk that is not mounted.

    The device numbers of network and removable disks change at every boot, so another device alone is no reason; it is
    one if nothing that is recorded at the top is there.

    Raises:
        ConfigurationProblem: There are records, and SRC_DIR is empty or another disk.
    """
    recorded_device = store.shelf.get("DEVICE")
    is_bare = is_bare_folder(root_fd, settings)
    if is_bare and store.shelf.get(EMPTY_IS_MEANT):
        return
    if store.trie.is_empty or not (is_bare or recorded_device not in (None, device)):
        return
    root = store.trie.folder("")
    listing = read_folder(root_fd, "", None, follow_links=False)
    found = {*listing.files, *listing.folders, *(error.rel_path for error in listing.errors)}
    known = {*root.delivered, *root.in_flight, *root.retries, *root.folders}
    remedy = (
        "If not, mount it. If SRC_DIR is right as it is, run `set_time.py now`. Nothing was sent, and no record was "
        "dropped."
    )
    if is_bare:
        what = "is empty, but the datastore has records of files in it"
    elif not known & found:
        what = "is on a different device and contains nothing that was there before"
    else:
        return
    raise ConfigurationProblem(f"SRC_DIR {settings.src_dir} {what}. Is its disk mounted?", remedy=remedy)
