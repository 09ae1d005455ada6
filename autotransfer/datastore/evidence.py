"""How it is known that a path was delivered. Pure.

A delivered path has one of these, from the weakest to the strongest; docs/status.md explains each to a person.
"""

from __future__ import annotations

ASSUMED, FOUND, COUNTED, TRANSFERRED, EQUAL, VERIFIED = 0, 1, 2, 3, 4, 5

# How each is called in JSON, in the manifest and on the screen.
WORDS = ("assumed", "found", "counted", "transferred", "equal", "verified")

# Contents were compared after the copy was made, or found equal: enough to delete the original by.
PROVED = frozenset((EQUAL, VERIFIED))
PROVED_WORDS = frozenset(("equal", "verified"))
