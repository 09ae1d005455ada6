"""Trees of odd shapes, at full size: deep, wide, oddly named, sparse, and full of what is no file."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from shapes import (
    NAMES,
    TERABYTE,
    Compared,
    deliver,
    dig,
    make_sparse,
    make_special,
    opens_in,
    pieces,
    remove,
    rewrite_deepest,
)
from suite import DST_ID, SRC_ID, Route

from emulator.http.server import Emulator
from emulator.world import Collection
from prove.proof import Effort, Proof

CLAIM = """\
Every tree below was sent by `main.py`, compared with its copy byte for byte, and then left alone by a second run and by
one after `set_time.py now`. Where Globus itself draws the line is not documented today (in 2011 it was a path of 1,024
characters, soon to be raised); the emulator has no such line, so this shows that the tool has none. What an endpoint
cannot take becomes a path that the task skipped, and is reported as such. Names that are not UTF-8, hold CR LF or begin
with U+FFFD cannot be written in a request: the summary names them, and the exit status is 3."""
DEEP_NAME = "a_level_of_a_deep_tree"
Row = tuple[str, str, str]


def prove(effort: Effort) -> Proof:
    """Send each shape."""
    levels, files = effort.times(1000, 300), effort.times(200_000, 5000)
    shapes: tuple[tuple[str, Callable[[Route], str]], ...] = (
        (f"{levels:,} folders in each other", lambda route: _deep(route, levels)),
        (f"one folder of {files:,} files", lambda route: _wide(route, files)),
        (f"{len(NAMES)} odd names, of files and folders", _names),
        ("a sparse file of 1 TiB", _sparse),
        ("a pipe, a socket, devices, and links to them", _special),
    )
    rows: list[Row] = [("shape", "what was seen", "seconds")]
    failures = []
    for number, (name, send) in enumerate(shapes):
        started = time.monotonic()
        with _route(effort.folder / str(number)) as route:
            try:
                seen = send(route)
            except AssertionError as error:
                seen = "it did not hold"
                failures.append(f"{name}: {error}")
        rows.append((name, seen, f"{time.monotonic() - started:.0f}"))
    return Proof("Shapes", CLAIM, table=tuple(rows), failures=tuple(failures))


@contextmanager
def _route(folder: Path) -> Iterator[Route]:
    ends = [Collection(id=SRC_ID, root=Path("/")), Collection(id=DST_ID, root=Path("/"))]
    folder.mkdir()
    try:
        with Emulator(ends) as globus:
            route = Route(folder, globus)
            route.patience_seconds = 3600
            yield route
    finally:
        remove(folder)


def _equal(route: Route, *, files: int) -> Compared:
    compared = Compared(route.src, route.dst)
    assert compared.differing == [], f"differ: {compared.differing[:5]}"
    assert compared.files == files, f"{compared.files} files were compared, not {files}"
    return compared


def _deep(route: Route, levels: int) -> str:
    dig(route.src, DEEP_NAME, levels)
    deliver(route, new=levels, submitted=1, items=1)
    _equal(route, files=levels)
    rewrite_deepest(route.src, DEEP_NAME, b"changed at the very bottom")
    deliver(route, modified=1, new=0)
    _equal(route, files=levels)
    length = levels * (len(DEEP_NAME) + 1)
    return f"a path of {length:,} bytes (the system takes {os.pathconf('/', 'PC_PATH_MAX'):,}); a change at its end too"


def _wide(route: Route, files: int) -> str:
    for number in range(files):
        route.write(f"wide/{number:06d}.dat", str(number))
    deliver(route, new=files, submitted=1, items=1)
    route.write("wide/000001.dat", "changed", mtime_seconds=time.time() - 60)
    before = time.monotonic()
    deliver(route, modified=1, items=1)
    seconds = time.monotonic() - before
    _equal(route, files=files)
    return f"one item; then one changed file alone, its four runs in {seconds:.1f} s"


def _names(route: Route) -> str:
    for name in NAMES:
        route.write(f"files/{name}", f"content of {name!r}")
        route.write(f"folders/{name}/{name}", f"below {name!r}")
    deliver(route, new=2 * len(NAMES))
    _equal(route, files=2 * len(NAMES))
    printed = route.run("set_time.py", "never", *(f"--path={route.src}/files/{name}" for name in NAMES)).stdout
    assert f"{len(NAMES)} count" not in printed, printed
    again = route.deliver()
    assert again["delivered"] == len(NAMES), again
    return "equal; each was sent again when `set_time.py never --path` named it"


def _sparse(route: Route) -> str:
    folder, view = route.src / "data", route.folder / "view/data"
    folder.mkdir()
    view.mkdir(parents=True)
    # Globus reads the file by another name of it, so that whoever opens it in SRC_DIR is this tool.
    route.configure(SRC_PATH=str(view.parent))
    with opens_in(folder) as opens:
        make_sparse(folder / "image.raw", TERABYTE)
        os.link(folder / "image.raw", view / "image.raw")
        opens.names()
        deliver(route, new=1, bytes=TERABYTE)
        opened = opens.names()
    assert opened == set(), f"opened: {opened}"
    found = pieces(route.dst / "data/image.raw")
    assert [at for at, _ in found] == [0, TERABYTE // 2, TERABYTE - 4], f"arrived: {found}"
    return "arrived with its holes; the tool never opened it"


def _special(route: Route) -> str:
    folder = route.src / "data"
    for policy in ("ignore", "follow"):
        route.configure(SYMLINKS=policy)
        route.write(f"data/{policy}")
        with opens_in(folder) as opens:
            special = make_special(folder)
            for name in special:
                (folder / f"link to {name}").symlink_to(name)
            opens.names()
            deliver(route, new=1, special_files=len(special), links=len(special))
            opened = opens.names() - {"ignore", "follow"}
        assert opened == set(), f"opened: {opened}"
        for path in [folder / name for name in os.listdir(folder) if name not in ("ignore", "follow")]:
            path.unlink()
    return f"{', '.join(special)}: counted, never opened (inotify), with either SYMLINKS"
