"""The edits of the model: what may happen to the source tree, as strategies to draw from."""

from __future__ import annotations

from typing import Any, NamedTuple

from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

NS = 10**9
HOUR_SECONDS = 3600
NAMES = ("a", "b", "b.c", "d", "é", "t.tmp")  # few, so that paths meet again
SIZES = (0, 3, 6, 6, 13)  # half of one is another: a half-written copy may have the right size


class Moment(NamedTuple):
    """A modification time to be: some seconds from a base."""

    base: str
    seconds: int


WHICH = st.integers(0, 40)
NAME = st.sampled_from(NAMES)
SIZE = st.sampled_from(SIZES)
MOMENT = st.one_of(
    st.builds(Moment, st.just("long ago"), st.integers(0, 3)),
    st.builds(Moment, st.just("as before"), st.integers(-1, 1)),
    st.builds(Moment, st.just("now"), st.integers(-3, 0)),
    st.builds(Moment, st.just("now"), st.sampled_from([1000 * HOUR_SECONDS, 9_000_000_000])),
    st.builds(Moment, st.just("1970"), st.integers(-2, 0)),
)
NEW_PATH = {"where": WHICH, "name": NAME}
# Every edit and what it is told; the machine makes a rule of each, and lets them happen in the middle of a run too.
EDITS: dict[str, dict[str, SearchStrategy[Any]]] = {
    "create": {**NEW_PATH, "size": SIZE, "moment": MOMENT},
    "plant": {**NEW_PATH, "shape": st.lists(st.tuples(NAME, st.lists(NAME, max_size=2)), max_size=3), "size": SIZE},
    "append": {"which": WHICH, "moment": MOMENT},
    "rewrite": {"which": WHICH, "size": st.one_of(st.none(), SIZE), "moment": MOMENT},
    "rewrite_in_the_same_second": {"which": WHICH},
    "replace_by_older": {"which": WHICH, "size": st.one_of(st.none(), SIZE), "seconds": st.sampled_from([1, 0, 2000])},
    "touch": {"which": WHICH, "moment": MOMENT},
    "put_back": {"which": WHICH},
    "rename_over": {"which": WHICH},
    "rename": {"which": WHICH, **NEW_PATH},
    "delete": {"which": WHICH},
    "mkdir": NEW_PATH,
    "rmdir": {"which": WHICH},
    "change_kind": {"which": WHICH},
    "symlink": {**NEW_PATH, "which": WHICH, "aim": st.sampled_from(["file", "folder", "nowhere", "itself"])},
    "hard_link": {"which": WHICH, **NEW_PATH},
    "chmod": {"which": WHICH},
}
EDIT = st.one_of(*(st.tuples(st.just(kind), st.fixed_dictionaries(how)) for kind, how in EDITS.items()))
Edit = tuple[str, dict[str, Any]]
