"""Pickles that name code, and damaged ones. What only takes memory or time is not among them (DESIGN.md, datastore).

Run as a script it reads each of them as the datastore does, with little memory, and prints as JSON what came of it.
"""

from __future__ import annotations

import json
import os
import pickle
import pickletools
import resource
import sqlite3
import struct
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

MOST_BYTES = 1 << 30
PROTO = b"\x80\x04"


class Call:
    """Pickles as a call of a function with arguments."""

    def __init__(self, function: Any, *arguments: Any, state: Any = None) -> None:
        self.words = (function, arguments) if state is None else (function, arguments, state)

    def __reduce__(self) -> Any:
        return self.words


def _text(words: str) -> bytes:
    return b"\x8c" + bytes([len(words)]) + words.encode()


def corpus(mark: Path) -> dict[str, bytes]:
    """The pickles by what they try; those that run code would make the file `mark`."""
    touch = f"touch {mark}"
    makes = f"open({str(mark)!r}, 'w')"
    calls: dict[str, Any] = {
        "os.system": Call(os.system, touch),
        "builtins.eval": Call(eval, makes),
        "builtins.exec": Call(exec, makes),
        "builtins.open": Call(open, str(mark), "w"),
        "builtins.getattr": Call(getattr, "text", "upper"),
        "__import__": Call(__import__, "antigravity"),
        "a call with a state": Call(list, state={"a": 1}),
        "a class": dict,
        "a set": {1, 2},
        "a frozenset": frozenset((1, 2)),
        "a bytearray": bytearray(b"x"),
        "a complex number": 1j,
        "an exception": ValueError("x"),
        "a path": Path("/"),
    }
    found = {
        f"{name}, protocol {protocol}": pickle.dumps(value, protocol)
        for name, value in calls.items()
        for protocol in (0, 2, 4, 5)
    }
    loop: list[Any] = []
    loop.append(loop)
    ring: dict[str, Any] = {}
    ring["self"] = ring
    knot: tuple[Any, ...] = ([],)
    knot[0].append(knot)
    found.update(
        {
            "STACK_GLOBAL": PROTO + _text("os") + _text("system") + b"\x93" + _text(touch) + b"\x85R.",
            "STACK_GLOBAL through a dotted name": PROTO + _text("posixpath") + _text("os.system") + b"\x93.",
            "GLOBAL": b"cos\nsystem\n(S'" + touch.encode() + b"'\ntR.",
            "INST": b"(S'" + touch.encode() + b"'\nios\nsystem\n.",
            "OBJ": b"(cos\nsystem\nS'" + touch.encode() + b"'\no.",
            "NEWOBJ": b"\x80\x02cos\nsystem\n)\x81.",
            "NEWOBJ_EX": PROTO + b"cos\nsystem\n)}\x92.",
            "BUILD on a dict": PROTO + b"}" + b"}" + _text("__class__") + b"K\x01sb.",
            "BUILD without anything": PROTO + b"Nb.",
            "REDUCE of text": PROTO + _text("os.system") + _text(touch) + b"\x85R.",
            "a persistent id": b"Pos.system\n.",
            "a binary persistent id": PROTO + _text("os.system") + b"Q.",
            "EXT1": b"\x80\x02\x82\x01.",
            "EXT2": b"\x80\x02\x83\x01\x01.",
            "EXT4": b"\x80\x02\x84\x01\x00\x00\x00.",
            "an out-of-band buffer": b"\x80\x05\x97.",
            "a list in itself": pickle.dumps(loop, 4),
            "a dict in itself": pickle.dumps(ring, 4),
            "a tuple in itself": pickle.dumps(knot, 4),
            "a memo index of a million": PROTO + b"Nr\x40\x42\x0f\x00.",
            "the same in text": b"Np1000000\n.",
            "a memo index that is not there": PROTO + b"h\x07.",
            "text of two exabytes": PROTO + b"\x8d" + struct.pack("<Q", 1 << 61) + b"a.",
            "text of four gigabytes": PROTO + b"X\xff\xff\xff\xff.",
            "bytes of two exabytes": PROTO + b"\x8e" + struct.pack("<Q", 1 << 61) + b"a.",
            "bytes of four gigabytes": PROTO + b"B\xff\xff\xff\xff.",
            "a bytearray of a terabyte": b"\x80\x05\x96" + struct.pack("<Q", 1 << 40) + b"a.",
            "a number of two gigabytes": PROTO + b"\x8b\xff\xff\xff\x7fa.",
            "a number of negative length": PROTO + b"\x8b\xff\xff\xff\xffa.",
            "a number of a million digits": b"I" + b"9" * 1_000_000 + b"\n.",
            "a frame of an exabyte": PROTO + b"\x95" + struct.pack("<Q", 1 << 60) + b".",
            "a key that is a list": PROTO + b"}]Ns.",
            "a million dicts in each other": PROTO + b"}K\x01" * 1_000_000 + b"N" + b"s" * 1_000_000 + b".",
            "a million marks": PROTO + b"(" * 1_000_000 + b".",
            "a tuple of nothing": PROTO + b"\x87.",
            "members of no list": PROTO + b"N(K\x01e.",
            "keys of no dict": PROTO + b"](K\x01K\x02u.",
            "a key without a value": PROTO + b"}(K\x01u.",
            "text that is not UTF-8": PROTO + b"\x8c\x01\xff.",
            "half a float": PROTO + b"G\x00\x00.",
            "an unknown opcode": PROTO + b"\xff.",
            "nothing at the end": PROTO + b".",
            "no end": PROTO + b"N",
            "nothing": b"",
        }
    )
    return found


def put(datastore: Path, key: str, pickled: Any) -> None:
    """Put a raw value into a datastore."""
    connection = sqlite3.connect(datastore)
    try:
        connection.execute("CREATE TABLE IF NOT EXISTS Dict (key BLOB UNIQUE NOT NULL, value BLOB NOT NULL)")
        connection.execute("REPLACE INTO Dict VALUES (?, ?)", (key.encode(), pickled))
        connection.commit()
    finally:
        connection.close()


def outcomes(folder: Path) -> Iterator[tuple[str, str]]:
    """The name of each pickle, and the problem that reading it ended with, or what was read."""
    from autotransfer.common.errors import ConfigurationProblem
    from autotransfer.datastore.store import Store

    for name, pickled in corpus(folder / "mark").items():
        datastore = folder / "datastore"
        datastore.unlink(missing_ok=True)
        with Store(str(datastore)) as store:
            store.commit()
        put(datastore, "LEDGER", pickled)
        try:
            with Store(str(datastore)) as store, store.explained():
                outcome = f"read: {type(store.shelf.get('LEDGER')).__name__}"
        except ConfigurationProblem as problem:
            outcome = str(problem)
        yield name, outcome


def opcodes_of(pickles: dict[str, bytes]) -> set[str]:
    """The names of the opcodes that the pickles hold, as far as the standard library can tell them apart."""
    found: set[str] = set()
    for pickled in pickles.values():
        try:
            found.update(opcode.name for opcode, _, _ in pickletools.genops(pickled))
        except Exception:
            continue
    return found


if __name__ == "__main__":
    resource.setrlimit(resource.RLIMIT_AS, (MOST_BYTES, MOST_BYTES))
    sys.stdout.write(json.dumps(dict(outcomes(Path(sys.argv[1])))))
