"""Filter rules of transfers, and filters and order of lists: `key:value,value/key:value` (documented; observed)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from fnmatch import fnmatchcase
from typing import Any

from emulator.clock import parse_time
from emulator.errors import bad_request

from .submission import FilterRule

Record = Mapping[str, Any]
Test = Callable[[Any], bool]


def is_wanted(rules: Sequence[FilterRule], name: str, kind: str) -> bool:
    """Whether filter rules let a name in: the first that matches decides, no match lets it in (documented).

    `kind` is file or dir.
    """
    for rule in rules:
        if rule.type in (None, kind) and fnmatchcase(name, rule.name):
            return not rule.is_exclude
    return True


def parse_filter(text: str, keys: Mapping[str, str]) -> Callable[[Record], bool]:
    """A test for records. Clauses are ANDed by "/", values ORed by ",".

    Args:
        text: The filter.
        keys: The keys that may be filtered by; each is exact, pattern, time, number or flag.

    Raises:
        TransferRefusal: 400, an unknown key or a malformed value.
    """
    tests: list[tuple[str, Test]] = []
    for clause in _clauses(text, keys):
        key, colon, value = clause.partition(":")
        kind = keys.get(key)
        if kind is None:
            raise bad_request(f"Unknown filter key {key!r}")
        if not colon:
            raise bad_request(f"Malformed filter clause {clause!r}")
        tests.append((key, _TESTS[kind](value)))
    return lambda record: all(test(record.get(key)) for key, test in tests)


def _clauses(text: str, keys: Mapping[str, str]) -> list[str]:
    """The clauses; a "/" belongs to a value unless a known key and ":" follow it."""
    clauses: list[str] = []
    for part in text.split("/"):
        key = part.partition(":")[0]
        if clauses and key not in keys:
            clauses[-1] += "/" + part
        else:
            clauses.append(part)
    return [clause for clause in clauses if clause]


def _exact(value: str) -> Test:
    wanted = {each.strip().upper() for each in value.split(",")}
    return lambda found: str(found).upper() in wanted


def _flag(value: str) -> Test:
    wanted = value.strip().lower() in ("1", "true")
    return lambda found: bool(found) == wanted


def _pattern(value: str) -> Test:
    """Names and labels: `x`, `=x`, `~pat*`, `!x`, `!~pat*`; those with `!` must all hold, of the others one."""
    wanted: list[Test] = []
    unwanted: list[Test] = []
    for each in value.split(","):
        is_negated = each.startswith("!")
        text = each[1:] if is_negated else each
        (unwanted if is_negated else wanted).append(_matcher(text))
    return lambda found: (
        (not wanted or any(test(found) for test in wanted)) and not any(test(found) for test in unwanted)
    )


def _matcher(text: str) -> Test:
    if text.startswith("~"):
        pattern = text[1:].lower().replace("[", "[[]")
        return lambda found: fnmatchcase(str(found or "").lower(), pattern)
    exact = text[1:] if text.startswith("=") else text
    return lambda found: found == exact


def _time(value: str) -> Test:
    """A range `start,end`, one of which may be blank; one date alone is a start."""
    first, _, last = value.partition(",")
    try:
        start = parse_time(first) if first.strip() else None
        end = parse_time(last) if last.strip() else None
    except ValueError:
        raise bad_request(f"Malformed time range {value!r}") from None

    def test(found: Any) -> bool:
        if found is None:
            return False
        moment = found if isinstance(found, datetime) else parse_time(str(found))
        return (start is None or moment >= start) and (end is None or moment <= end)

    return test


def _number(value: str) -> Test:
    """`>n`, `>=n`, `<n`, `<=n`, `n`; several are alternatives."""
    compare: dict[str, Callable[[float, float], bool]] = {
        ">=": lambda found, limit: found >= limit,
        "<=": lambda found, limit: found <= limit,
        ">": lambda found, limit: found > limit,
        "<": lambda found, limit: found < limit,
        "=": lambda found, limit: found == limit,
        "": lambda found, limit: found == limit,
    }
    tests: list[tuple[Callable[[float, float], bool], float]] = []
    for each in value.split(","):
        sign = next(sign for sign in compare if each.startswith(sign))
        try:
            limit = float(each[len(sign) :])
        except ValueError:
            raise bad_request(f"Malformed number {each!r} in filter") from None
        tests.append((compare[sign], limit))
    return lambda found: any(is_met(float(found), limit) for is_met, limit in tests)


_TESTS: dict[str, Callable[[str], Test]] = {
    "exact": _exact,
    "flag": _flag,
    "pattern": _pattern,
    "time": _time,
    "number": _number,
}


def ordered(records: Sequence[Record], orderby: str, keys: Sequence[str]) -> list[Record]:
    """The records in the order `key [ASC|DESC], …`; nulls come first.

    Raises:
        TransferRefusal: 400, an unknown key or direction.
    """
    result = list(records)
    for part in reversed([part.split() for part in orderby.split(",") if part.strip()]):
        direction = part[1].upper() if len(part) > 1 else "ASC"
        if part[0] not in keys or direction not in ("ASC", "DESC") or len(part) > 2:
            raise bad_request(f"Malformed orderby {orderby!r}")
        result.sort(key=lambda record: (record[part[0]] is not None, record[part[0]]), reverse=direction == "DESC")
    return result
