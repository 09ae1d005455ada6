"""Reads pickles of plain values, and nothing else: a datastore that someone else can write must not become code.

The unpickler of the standard library, even one that finds no names, can be made to take all memory (a memo index of two
thousand million), all time (a key whose hash takes years) or the whole process (a key nested deeper than the stack) by
a hundred bytes. This one reads only what pickling None, truth values, numbers, text, bytes, tuples, lists and dicts
writes. Its time and memory grow with the length of the pickle and with nothing else.
"""

from __future__ import annotations

import struct
from typing import Any

# SHORT_BINUNICODE, BINUNICODE, BINUNICODE8
_TEXTS = (0x8C, 0x58, 0x8D)


# How many bytes the length takes that comes first: of those, of SHORT_BINBYTES, BINBYTES, BINBYTES8, and of LONG1.
_LENGTHS = {0x8C: 1, 0x58: 4, 0x8D: 8, 0x43: 1, 0x42: 4, 0x8E: 8, 0x8A: 1}


_INTS = {0x4D: (2, False), 0x4A: (4, True)}


# GLOBAL, INST, OBJ, NEWOBJ, NEWOBJ_EX, STACK_GLOBAL, REDUCE, BUILD, PERSID, BINPERSID, EXT1, EXT2, EXT4
_CODE = (0x63, 0x69, 0x6F, 0x81, 0x92, 0x93, 0x52, 0x62, 0x50, 0x51, 0x82, 0x83, 0x84)


# A larger number could be chosen to have the hash of many others.
_MOST_KEY = 1 << 60


_CONTAINERS = (tuple, list, dict)


_MOST_DEPTH = 50


class NotPlain(Exception):
    """The bytes are no pickle of plain values."""


def load(pickled: bytes) -> Any:
    """The value.

    Raises:
        NotPlain: It is damaged, or holds something else than plain values.
    """
    try:
        value = _load(pickled)
    except NotPlain:
        raise
    except (IndexError, ValueError, TypeError, struct.error) as error:
        raise NotPlain(f"a value in it is damaged: {error}") from None
    _refuse_deep(value)
    return value


def _load(pickled: bytes) -> Any:
    stack: list[Any] = []
    outer: list[list[Any]] = []  # the stacks below each mark
    memo: list[Any] = []
    whole = len(pickled)
    at = _after_header(pickled)
    while True:  # what the record of a folder is made of comes first: a scan reads one for each folder
        opcode = pickled[at]
        at += 1
        if opcode in _LENGTHS:  # text, bytes, LONG1
            start = at + _LENGTHS[opcode]
            end = start + (pickled[at] if start == at + 1 else int.from_bytes(pickled[at:start], "little"))
            if end > whole:
                raise NotPlain("a value in it is damaged: it is cut off")
            at = end
            if opcode in _TEXTS:
                stack.append(str(pickled[start:end], "utf-8", "surrogatepass"))
            elif opcode == 0x8A:
                stack.append(int.from_bytes(pickled[start:end], "little", signed=True))
            else:
                stack.append(pickled[start:end])
        elif opcode == 0x4B:  # BININT1
            stack.append(pickled[at])
            at += 1
        elif opcode == 0x29:  # EMPTY_TUPLE
            stack.append(())
        elif opcode == 0x7D:  # EMPTY_DICT
            stack.append({})
        elif opcode in _INTS:  # BININT2, BININT
            size, is_signed = _INTS[opcode]
            stack.append(int.from_bytes(pickled[at : at + size], "little", signed=is_signed))
            at += size
        elif opcode == 0x86:  # TUPLE2
            stack[-2:] = [(stack[-2], stack[-1])]
        elif opcode == 0x28:  # MARK
            outer.append(stack)
            stack = []
        elif opcode == 0x74:  # TUPLE
            marked, stack = stack, outer.pop()
            stack.append(tuple(marked))
        elif opcode == 0x2E:  # STOP
            if outer or len(stack) != 1:
                raise NotPlain("a value in it is damaged: it ends too early")
            return stack[0]
        elif opcode == 0x94:  # MEMOIZE
            memo.append(stack[-1])
        elif opcode == 0x87:  # TUPLE3
            stack[-3:] = [(stack[-3], stack[-2], stack[-1])]
        elif opcode == 0x75:  # SETITEMS
            marked, stack = stack, outer.pop()
            _fill(stack[-1], marked)
        elif opcode == 0x65:  # APPENDS
            marked, stack = stack, outer.pop()
            _append(stack[-1], marked)
        elif opcode == 0x4E:  # NONE
            stack.append(None)
        elif opcode in (0x88, 0x89):  # NEWTRUE, NEWFALSE
            stack.append(opcode == 0x88)
        elif opcode in (0x68, 0x6A):  # BINGET, LONG_BINGET
            size = 1 if opcode == 0x68 else 4
            stack.append(_shared(memo[int.from_bytes(pickled[at : at + size], "little")]))
            at += size
        elif opcode == 0x85:  # TUPLE1
            stack[-1] = (stack[-1],)
        elif opcode == 0x5D:  # EMPTY_LIST
            stack.append([])
        elif opcode == 0x61:  # APPEND
            _append(stack[-2], [stack.pop()])
        elif opcode == 0x73:  # SETITEM
            value, key = stack.pop(), stack.pop()
            _fill(stack[-1], [key, value])
        elif opcode == 0x47:  # BINFLOAT
            stack.append(struct.unpack(">d", pickled[at : at + 8])[0])
            at += 8
        elif opcode == 0x80:  # PROTO
            at += 1
        elif opcode == 0x95:  # FRAME
            at += 8
        else:
            what = "names code" if opcode in _CODE else "is of another kind"
            raise NotPlain(f"a value in it {what} (opcode {opcode:#04x}); it may hold only plain values")


def _after_header(pickled: bytes) -> int:
    """Where the first value begins when the protocol and a frame come first, as they mostly do."""
    at = 2 if pickled[:1] == b"\x80" else 0
    return at + 9 if pickled[at : at + 1] == b"\x95" else at


def _refuse_deep(value: Any) -> None:
    # Whoever shows or compares a value goes into it as deep as it is.
    level = [value] if type(value) in _CONTAINERS else []
    for _ in range(_MOST_DEPTH):
        if not level:
            return
        level = [
            member
            for container in level
            for member in (container.values() if type(container) is dict else container)
            if type(member) in _CONTAINERS
        ]
    raise NotPlain(f"a value in it is nested deeper than {_MOST_DEPTH} levels; it may hold only plain values")


def _fill(target: Any, keys_and_values: list[Any]) -> None:
    if type(target) is not dict or len(keys_and_values) % 2:
        raise NotPlain("a value in it is damaged: keys that belong to no dict")
    for key in keys_and_values[::2]:
        if type(key) is not str and not (type(key) is int and abs(key) < _MOST_KEY):
            raise NotPlain("a key in it is neither text nor a number; it may hold only plain values")
    target.update(zip(keys_and_values[::2], keys_and_values[1::2]))


def _append(target: Any, values: list[Any]) -> None:
    if type(target) is not list:
        raise NotPlain("a value in it is damaged: members that belong to no list")
    target.extend(values)


def _shared(value: Any) -> Any:
    # Containers are never shared: a few dozen pairs of twice the pair before are without end to whoever walks them.
    if type(value) not in (str, bytes):
        raise NotPlain("a value in it names a container twice; it may hold only plain values")
    return value
