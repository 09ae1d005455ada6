"""`python -m emulator`: a local Globus in a terminal, or around a command."""

from __future__ import annotations

import argparse
import os
import shlex
import signal
import stat
import subprocess
import sys
import threading
import uuid
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from types import FrameType
from typing import NoReturn

from autotransfer.common.version import versions

from .http.server import Emulator
from .transfer.collection import ENTITY_TYPES, Collection
from .transfer.folding import FOLDS
from .transfer.queue import Progress

_DESCRIPTION = """\
A local Globus: Auth and Transfer on 127.0.0.1, with folders of this computer as
collections. Tasks really copy files, into folders that are given `write`, or
that are empty when it starts.
Who knows the URLs that it prints may do everything: keep them to yourself. Any
client id with any secret is accepted, and one person, researcher@example.org,
consents to whatever is asked. Nothing reaches the real service, and nothing is
remembered after the end.
"""
_EPILOG = """\
Without COMMAND it serves until it is stopped, and prints the lines that aim the
Globus SDK and command line at it. With COMMAND it runs that, aimed at it, and
exits with its status.

examples:
  # two folders as two collections, in one terminal
  python -m emulator --collection $SRC_ID=/data --collection $DST_ID=/tmp/archive,write

  # one command inside it
  python -m emulator --collection $SRC_ID=/data --collection $DST_ID=/tmp/archive,write -- python main.py

  # a Globus Connect Server collection, which asks for a data_access consent
  python -m emulator --collection "$DST_ID=/tmp/archive,write,type=mapped,name=Lab archive"

A DIR of "/" makes the paths of a collection those of this computer; it can only be
read. A comma in DIR is part of it unless write or one of type=, name=, host= or
folds= follows. Tests in other processes find more powers (clock, faults, outcomes) below /_emulator/.
"""
_WRITE = "write"
_OPTIONS = ("type", "name", "host", "folds")


class _Usage(Exception):
    """The arguments make no sense."""


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        """One line, exit 2."""
        raise _Usage(message)


def parse_collection(text: str) -> Collection:
    """The collection that ID=DIR[,write][,type=…][,name=…][,host=…] describes.

    Raises:
        ValueError: Why it describes none.
    """
    collection_id, equals, rest = text.partition("=")
    if not equals or not rest:
        raise ValueError(f"--collection {text!r} is not ID=DIR[,write][,type=gcp|mapped|guest][,name=NAME]")
    try:
        collection_id = str(uuid.UUID(collection_id))
    except ValueError:
        raise ValueError(f"--collection {text!r}: {collection_id!r} is not a UUID") from None
    directory, options = _options(rest)
    may_write = _WRITE in options
    root = Path(directory).expanduser()
    if not root.is_dir():
        raise ValueError(f"--collection {text!r}: {directory!r} is not a folder")
    if may_write and root.resolve() == Path("/"):
        raise ValueError(f"--collection {text!r}: a collection that shows / can only be read")
    if options.get("type", "gcp") not in ENTITY_TYPES:
        raise ValueError(f"--collection {text!r}: type must be gcp, mapped or guest")
    if options.get("folds", "") not in FOLDS:
        raise ValueError(f"--collection {text!r}: folds must be {', '.join(FOLDS[1:-1])} or {FOLDS[-1]}")
    return Collection(
        id=collection_id,
        root=root.resolve(),
        type=options.get("type", "gcp"),
        name=options.get("name", ""),
        host_id=options.get("host"),
        folds=options.get("folds", ""),
        read_only=not (may_write or _is_empty(root)),
    )


def _is_empty(folder: Path) -> bool:
    """Whether there is nothing in it that could be replaced; False where that cannot be read."""
    try:
        return next(folder.iterdir(), None) is None
    except OSError:
        return False


def _options(text: str) -> tuple[str, dict[str, str]]:
    """The folder and what is said of it, in DIR[,write][,type=…][,name=…]."""
    directory, *parts = text.split(",")
    options: dict[str, str] = {}
    last = ""
    for part in parts:
        key, has_value, value = part.partition("=")
        if part == _WRITE:
            options[_WRITE] = ""
        elif has_value and key in _OPTIONS:
            options[key] = value
            last = key
        elif last:
            options[last] += "," + part
        else:
            directory += "," + part
    return directory, options


def _parse(arguments: Sequence[str]) -> tuple[argparse.Namespace, list[str]]:
    own = list(arguments)
    command: list[str] = []
    has_command = "--" in own
    if has_command:
        at = own.index("--")
        own, command = own[:at], own[at + 1 :]
    parser = _Parser(
        prog="python -m emulator",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        usage="%(prog)s --collection ID=DIR[,write][,type=gcp|mapped|guest][,name=NAME] ... [options] [-- COMMAND ...]",
        allow_abbrev=False,
    )
    parser.add_argument(
        "--collection",
        metavar="ID=DIR",
        action="append",
        default=[],
        help="a UUID and the folder behind it; repeat for more. Without write it can only be read, unless it is empty. "
        "type is gcp (the default), mapped or guest; name is what people call it; host is a guest's mapped collection; "
        "folds is case, nfc or case+nfc where its file system takes names for one that differ in case or Unicode form",
    )
    parser.add_argument("--port", type=int, default=0, metavar="N", help="the port on 127.0.0.1 (default: a free one)")
    parser.add_argument(
        "--progress",
        default="immediate",
        metavar="MODE",
        help="how tasks progress: immediate (the default), polls:N (done when asked for N times), seconds:S",
    )
    parser.add_argument(
        "--version", action="version", version=versions(), help="print the versions of the suite, globus-sdk, Python"
    )
    parsed = parser.parse_args(own)
    if has_command and not command:
        raise _Usage("there is no COMMAND after --")
    if not 0 <= parsed.port <= 65535:
        raise _Usage(f"--port {parsed.port} is not between 0 and 65535")
    return parsed, command


def main(arguments: Sequence[str]) -> int:
    """Serve, or run a command; returns the exit status."""
    try:
        parsed, command = _parse(arguments)
        if not parsed.collection:
            raise _Usage("at least one --collection ID=DIR is needed; --help shows examples")
        Progress.parse(parsed.progress)
        collections = [parse_collection(text) for text in parsed.collection]
        ids = [collection.id for collection in collections]
        if len(set(ids)) < len(ids):
            raise _Usage("two --collection have the same ID")
    except (_Usage, ValueError) as problem:
        print(f"emulator: {problem}", file=sys.stderr)
        return 2
    try:
        emulator = Emulator(collections, progress=parsed.progress, port=parsed.port)
    except OSError as error:
        print(f"emulator: cannot listen on 127.0.0.1:{parsed.port}: {error.strerror}", file=sys.stderr)
        return 2
    with emulator:
        return _run(emulator, command) if command else _serve(emulator)


def _serve(emulator: Emulator) -> int:
    """Serve until SIGTERM or SIGINT."""
    stop = threading.Event()

    def end(signum: int, frame: FrameType | None) -> None:
        stop.set()

    for each in (signal.SIGTERM, signal.SIGINT):
        signal.signal(each, end)
    with suppress(OSError, ValueError):  # no file of ours, or none at all
        if stat.S_ISREG(os.fstat(sys.stdout.fileno()).st_mode):
            os.fchmod(sys.stdout.fileno(), 0o600)  # the secret is not for who may read a new file here
    for name, value in emulator.environment().items():
        print(f"export {name}={shlex.quote(value)}", flush=True)
    print("Serving until stopped (Ctrl-C). Run the lines above in another terminal.", file=sys.stderr)
    stop.wait()
    return 0


def _run(emulator: Emulator, command: list[str]) -> int:
    """Run a command aimed at the emulator; signals are passed on to it."""
    running: list[subprocess.Popen[bytes]] = []

    def pass_on(signum: int, frame: FrameType | None) -> None:
        # The Ctrl-C of a terminal reaches the command by itself. Its end is ours.
        if signum == signal.SIGTERM or not sys.stdin.isatty():
            for child in running:
                child.send_signal(signum)

    for each in (signal.SIGTERM, signal.SIGINT):
        signal.signal(each, pass_on)
    try:
        child = subprocess.Popen(command, env={**os.environ, **emulator.environment()})
    except OSError as error:
        print(f"emulator: cannot run {command[0]!r}: {error.strerror}", file=sys.stderr)
        return 127 if isinstance(error, FileNotFoundError) else 126
    running.append(child)
    status = child.wait()
    return status if status >= 0 else 128 - status


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
