"""Values and bytes that are nearly right: strategies of hypothesis that change real ones here and there."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

SOME_TEXT = st.one_of(
    st.text(max_size=20), st.sampled_from(["", "/", "..", "\0", "\ud800", "9" * 5000, "\u202e", "1e999"])
)
SOME_NUMBERS = st.one_of(
    st.integers(),
    st.integers(min_value=-(1 << 80), max_value=1 << 80),
    st.sampled_from([0, -1, 1 << 31, 1 << 32, 1 << 63, -(1 << 63), 1 << 64, 10**400]),
)
PLAIN = st.one_of(st.none(), st.booleans(), SOME_NUMBERS, st.floats(), SOME_TEXT, st.binary(max_size=40))
PLAIN_VALUES = st.recursive(
    PLAIN,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.lists(inner, max_size=4).map(tuple),
        st.dictionaries(st.one_of(SOME_TEXT, st.integers()), inner, max_size=4),
    ),
    max_leaves=8,
)
JSON_LEAVES = st.one_of(st.none(), st.booleans(), SOME_NUMBERS, st.floats(), SOME_TEXT)
JSON_VALUES = st.recursive(
    JSON_LEAVES,
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(SOME_TEXT, inner, max_size=4)),
    max_leaves=8,
)


@st.composite
def mutated(draw: st.DrawFn, value: Any, others: st.SearchStrategy[Any]) -> Any:
    """The value with up to three of its parts replaced, taken away or doubled."""
    for _ in range(draw(st.integers(1, 3))):
        value = _mutated(draw, value, others)
    return value


def _mutated(draw: st.DrawFn, value: Any, others: st.SearchStrategy[Any]) -> Any:
    if isinstance(value, (dict, list, tuple)) and value and draw(st.integers(0, 5)):
        keys = list(value) if isinstance(value, dict) else list(range(len(value)))
        key = draw(st.sampled_from(keys))
        members = dict(value) if isinstance(value, dict) else dict(enumerate(value))
        act = draw(st.integers(0, 7))
        if act == 0:
            del members[key]
        elif act == 1:
            members[draw(SOME_TEXT) if isinstance(value, dict) else len(members)] = members[key]
        else:
            members[key] = _mutated(draw, members[key], others)
        return members if isinstance(value, dict) else type(value)(members.values())
    if isinstance(value, bytes) and draw(st.booleans()):
        return draw(mutated_bytes(value))
    if isinstance(value, int) and draw(st.booleans()):
        return value + draw(st.sampled_from([1, -1, 1 << 32, -(1 << 62), 1 << 62]))
    return draw(others)


@st.composite
def mutated_bytes(draw: st.DrawFn, content: bytes) -> bytes:
    """The bytes with some changed, taken out, put in, moved or cut off."""
    changed = bytearray(content)
    for _ in range(draw(st.integers(1, 6))):
        at = draw(st.integers(0, max(0, len(changed) - 1)))
        length = draw(st.sampled_from([1, 1, 1, 2, 4, 16, 512, 4096]))
        act = draw(st.integers(0, 5))
        if act <= 1:
            new = draw(st.binary(min_size=1, max_size=4))
            changed[at : at + len(new)] = new
        elif act == 2:
            del changed[at : at + length]
        elif act == 3:
            changed[at:at] = draw(st.binary(min_size=1, max_size=8))
        elif act == 4:
            source = draw(st.integers(0, max(0, len(changed) - 1)))
            changed[at : at + length] = changed[source : source + length]
        else:
            changed[at : at + length] = bytes(min(length, len(changed) - at))
    return bytes(changed[: draw(st.integers(0, len(changed)))] if draw(st.integers(0, 9)) == 0 else changed)
