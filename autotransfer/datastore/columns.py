"""Columns of numbers, packed for the datastore: one entry for a whole folder, a few bytes a number. Pure."""

from __future__ import annotations

import sys
from array import array
from collections.abc import Iterable, Sequence
from typing import Union

# One number when all are equal; else a type code of `array` and the bytes, little-endian; a list when one is too large.
# OFFSETS is a code of its own: the smallest number in 64 bits, and what each is more than that in 32.
Column = Union[int, "tuple[str, bytes]", "list[int]"]

# Names are joined by it: no name can hold it.
SEPARATOR = "/"
OFFSETS, BASE_BYTES = "+", 8
ITEM_BYTES = {"B": 1, "I": 4, "q": 8, OFFSETS: 4}
UNSIGNED_BITS = {"B": 8, "I": 32}


def pack_column(numbers: Sequence[int], *, may_be_offsets: bool = False) -> Column:
    """The numbers as a Column; 0 when there are none.

    Args:
        may_be_offsets: Whether large numbers that lie close together take 4 bytes each, and not the 8 that a scan can
            compare as they are.
    """
    first = numbers[0] if numbers else 0
    if numbers.count(first) == len(numbers):
        return first
    smallest, largest = min(numbers), max(numbers)
    if smallest < -(1 << 63) or largest >= 1 << 63:  # a file dated after the year 2262
        return list(numbers)
    code = next((code for code, bits in UNSIGNED_BITS.items() if smallest >= 0 and largest < 1 << bits), "q")
    if code == "q" and may_be_offsets and largest - smallest < 1 << 32:
        return OFFSETS, _packed("q", [smallest]) + _packed("I", [number - smallest for number in numbers])
    return code, _packed(code, numbers)


def _packed(code: str, numbers: Sequence[int]) -> bytes:
    column = array(code, numbers)
    if sys.byteorder == "big":
        column.byteswap()
    return column.tobytes()


def pack_columns(rows: Iterable[Sequence[int]], count: int) -> list[Column]:
    """The `count` columns of a table, each packed, the last perhaps as offsets; all 0 when it has no rows."""
    columns = list(zip(*rows))
    return [pack_column(numbers, may_be_offsets=numbers is columns[-1]) for numbers in columns] or [0] * count


def unpack_column(column: Column, count: int) -> list[int]:
    """The `count` numbers that were packed."""
    if isinstance(column, int):
        return [column] * count
    if isinstance(column, list):
        return column
    code, packed = column
    if code == OFFSETS:
        (base,) = unpack_column(("q", packed[:BASE_BYTES]), 1)
        return [base + offset for offset in unpack_column(("I", packed[BASE_BYTES:]), count)]
    numbers = array(code)
    numbers.frombytes(packed)
    if sys.byteorder == "big":
        numbers.byteswap()
    return numbers.tolist()


def column_holds(column: Column, numbers: bytes) -> bool:
    """Whether a column holds exactly these numbers: 64 bits each, signed, little-endian.

    Cost: times, and a column of one number, are compared as bytes; only small numbers are unpacked.
    """
    if isinstance(column, tuple) and column[0] == "q":
        return column[1] == numbers
    if isinstance(column, int) and -(1 << 63) <= column < 1 << 63:
        return numbers == column.to_bytes(8, "little", signed=True) * (len(numbers) // 8)
    found = unpack_column(("q", numbers), len(numbers) // 8)
    return found == unpack_column(column, len(found))
