"""Names of one folder that may be one name at the destination, until both have been seen there. Pure.

Evidence is about a name. Where two names are one, the later copy replaced the earlier one, whose evidence is then
false, and so is that of everything below a folder of such a name. The records keep the evidence as it was given; what
is in doubt here counts as found at most, for all who read it.

Keys of the shelf: "twins /REL_PATH" for a folder with names in doubt, "apart /REL_PATH" for those that are two there.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from autotransfer.common.folding import twin_groups
from autotransfer.datastore.trie import Shelf

TWINS, APART = "twins /", "apart /"


class Doubt(NamedTuple):
    """The names of one folder that are in doubt.

    Args:
        names: All of them, sorted.
        sent: Those that some task carried, or things below them.
        folded: Those of which the destination has only one.
        attempts: How often the destination could not be asked since it last answered.
        not_before_ns: When it is asked again.
        why: Why it could not be asked.
    """

    names: tuple[str, ...]
    sent: tuple[str, ...] = ()
    folded: tuple[str, ...] = ()
    attempts: int = 0
    not_before_ns: int = 0
    why: str = ""


class Twins:
    """The doubts about the names of a tree, kept in the shelf of its trie."""

    def __init__(self, shelf: Shelf) -> None:
        self._shelf = shelf

    def __iter__(self) -> Iterator[tuple[str, Doubt]]:
        """Each folder with names in doubt, by rel_path, in order."""
        for key in self._shelf.keys_below(TWINS):
            yield key[len(TWINS) :], self._doubt(key)

    def note(self, rel_path: str, names: Iterable[str], *, swept: Iterable[str] = ()) -> None:
        """Put names of a folder in doubt that are twins of one another, unless they are known to be two there.

        Args:
            names: Of all that is recorded in the folder or will be sent.
            swept: Those of them that a task may have carried although they are not recorded.
        """
        groups = twin_groups(names)
        apart = frozenset((groups and self._shelf.get(APART + rel_path)) or ())
        found = {name for group in groups if not apart.issuperset(group) for name in group}
        if not found:
            return
        known = self._doubt(TWINS + rel_path)
        sent = tuple(sorted(found.intersection(swept).union(known.sent)))
        if not found.issubset(known.names):
            self.put(rel_path, Doubt(tuple(sorted(found.union(known.names))), sent, known.folded))
        elif sent != known.sent:
            self.put(rel_path, known._replace(sent=sent))

    def put(self, rel_path: str, doubt: Doubt) -> None:
        """Keep a doubt in place of the one before; one about no names is over."""
        if doubt.names:
            self._shelf[TWINS + rel_path] = (*map(list, doubt[:3]), *doubt[3:])
        else:
            self._shelf.pop(TWINS + rel_path, None)

    def set_apart(self, rel_path: str, names: Iterable[str]) -> None:
        """Keep that these names of a folder are as many at the destination."""
        self._shelf[APART + rel_path] = sorted({*names, *(self._shelf.get(APART + rel_path) or ())})

    def _doubt(self, key: str) -> Doubt:
        value = self._shelf.get(key)
        if value is None:
            return Doubt(())
        names, sent, folded, *rest = value
        return Doubt(tuple(names), tuple(sent), tuple(folded), *rest)

    def clear(self) -> None:
        """Forget everything: the destination is another."""
        for prefix in (TWINS, APART):
            for key in list(self._shelf.keys_below(prefix)):
                self._shelf.pop(key, None)


class Doubts:
    """Which paths are in doubt, for those who read evidence. Cost: all doubts are read when it is made."""

    def __init__(self, shelf: Shelf) -> None:
        self._names = {rel_path: frozenset(doubt.names) for rel_path, doubt in Twins(shelf)}

    def among(self, rel_path: str, names: Iterable[str]) -> frozenset[str]:
        """Those of a folder's names that are in doubt: all of them, where the folder or one above it is."""
        if not self._names:
            return frozenset()
        step = rel_path
        while step:
            step, _, name = step.rpartition("/")
            if name in self._names.get(step, ()):
                return frozenset(names)
        return self._names.get(rel_path, frozenset()).intersection(names)
