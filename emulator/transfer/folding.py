"""File systems that take two names for one, and keep the name that came first.

Case: NTFS and FAT (learn.microsoft.com, "Naming Files, Paths, and Namespaces"), shares by SMB, APFS and HFS+ as macOS
makes them. Unicode form: APFS and HFS+ (Apple, "APFS FAQ": normalization-insensitive). Both documented. How a
collection on such a file system answers Globus is assumed: as any program there sees it.
"""

from __future__ import annotations

import os
import unicodedata

FOLDS = ("", "case", "nfc", "case+nfc")


def _form(name: str, folds: str) -> str:
    if "nfc" in folds:
        name = unicodedata.normalize("NFC", name)
    return name.casefold() if "case" in folds else name


def stored(path: bytes, folds: str) -> bytes:
    """The path of an entry as its file system keeps it: with the name of the entry that this one is taken for.

    Only the last component is searched for; nothing need be there.
    """
    if not folds or os.path.lexists(path):
        return path
    folder, name = os.path.split(path)
    wanted = _form(os.fsdecode(name), folds)
    try:
        alike = [other for other in os.listdir(folder) if _form(os.fsdecode(other), folds) == wanted]
    except OSError:
        return path
    return os.path.join(folder, min(alike, default=name))
