"""The library that stands between a script and the system, interpose.c: how it is built, aimed and read."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from programs import REASON, find

SOURCE = Path(__file__).with_name("interpose.c")
WHEN = ("before", "partly", "after")
# Calls of which a part can be done.
DIVISIBLE = ("pwrite", "write", "send", "recv")


class Call(NamedTuple):
    """A call that a script made.

    Args:
        when: "after" it returned; "before" when the process was killed instead.
        call: open, create, pwrite, write, ftruncate, sync, unlink, rename, flock, connect, send or recv.
        name: Of the file in CODE_PATH, or of the request (see interpose.c).
        number: The offset of a write, the length of ftruncate.
        content: What was written; of a rename the new name.
    """

    when: str
    call: str
    name: str
    number: int
    content: bytes

    @property
    def kind(self) -> str:
        """Its name in the list of where scripts were killed."""
        return f"{self.call} {self.name}"


class Point(NamedTuple):
    """Where a script is to die: at the so-manyth call of a kind."""

    when: str
    kind: str
    nth: int

    def __str__(self) -> str:
        return f"{self.when} {self.kind} {self.nth}"


def why_not() -> str:
    """Why the library cannot be built and used here; "" when it can."""
    if not sys.platform.startswith("linux"):
        return "killing a script at its system calls needs Linux (LD_PRELOAD, /proc)"
    if find("cc") is None:
        return REASON.format("cc")
    return ""


def build(folder: Path) -> Path:
    """The library, built in a folder."""
    library = folder / "interpose.so"
    flags = ("-shared", "-fPIC", "-O1", "-Wall", "-Wextra", "-Werror")
    built = subprocess.run(
        ["cc", *flags, "-o", str(library), str(SOURCE), "-ldl"], capture_output=True, text=True, check=False
    )
    if built.returncode:
        raise RuntimeError(f"cc could not build {SOURCE.name}:\n{built.stderr}")
    return library


def environment(library: Path, *, code_path: Path, src: Path, log: Path, point: Point | None = None) -> dict[str, str]:
    """The environment with which a script loads the library, logs its calls, and dies at a point."""
    words = {
        "LD_PRELOAD": str(library),
        "PROVE_FOLDER": str(code_path),
        "PROVE_TREE": str(src),
        "PROVE_LOG": str(log),
    }
    return words if point is None else {**words, "PROVE_KILL": str(point)}


def calls(log: Path) -> Iterator[Call]:
    """The calls in a log, in order; without a last one that the process was killed in writing."""
    content = log.read_bytes() if log.exists() else b""
    position = 0
    while (end := content.find(b"\n", position)) >= 0:
        when, call, name, number, length, _ = content[position:end].decode().split(" ")
        position = end + 1 + int(length)
        if position > len(content):
            return
        yield Call(when, call, name, int(number), content[end + 1 : position])


def points(made: list[Call]) -> dict[str, int]:
    """The kinds of calls there were, each with how often."""
    counts: dict[str, int] = {}
    for call in made:
        if call.when == "after":
            counts[call.kind] = counts.get(call.kind, 0) + 1
    return counts
