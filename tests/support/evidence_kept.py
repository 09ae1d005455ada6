"""What the datastore says of each path, for tests of evidence."""

from __future__ import annotations

from suite import Route

from autotransfer.datastore.evidence import WORDS
from autotransfer.datastore.store import Store


def recorded(route: Route) -> dict[str, str]:
    """rel_path to the evidence of its delivery, or to "retrying CODE" or "in flight"."""
    found = {}
    with Store(str(route.code_path / "datastore"), is_read_only=True) as store:
        for rel_path in store.trie.below(""):
            folder, prefix = store.trie.folder(rel_path), f"{rel_path}/" if rel_path else ""
            found.update({prefix + name: WORDS[one.evidence] for name, one in folder.delivered.items()})
            found.update({prefix + name: f"retrying {one.code}" for name, one in folder.retries.items()})
            found.update({prefix + name: "in flight" for name in folder.in_flight})
    return found


def recorded_text(route: Route) -> str:
    """The same in one line, as a row of the fault matrix has it."""
    return ", ".join(f"{rel_path} {word}" for rel_path, word in sorted(recorded(route).items()))
