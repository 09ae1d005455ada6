"""What was delivered, what is in flight, what waits and why. Reads the datastore, asks no network, changes nothing."""

from __future__ import annotations

import io
import os
import shutil
import sys
import time
from typing import TYPE_CHECKING, Any

import autotransfer  # noqa: F401 - first: what it does is for all modules after it
import utils
from autotransfer.common import files, paths
from autotransfer.common.errors import ConfigurationProblem, ExitStatus, reason
from autotransfer.common.service import remark
from autotransfer.common.settings import ACCEPTABLE
from autotransfer.common.text import counted
from autotransfer.common.version import SCHEMA
from autotransfer.datastore.reader import Reader, open_reader
from autotransfer.scan.folders import open_root
from autotransfer.status import as_text, manifest
from autotransfer.status.folders import delivered_paths
from autotransfer.status.path import FileAnswer, FolderAnswer, answer
from autotransfer.status.state import known_service, read_state
from autotransfer.status.verdict import verdict

if TYPE_CHECKING:
    import argparse

    from autotransfer.common.settings import Settings
    from autotransfer.datastore.tasks import AnyTask

# Wide enough that nothing is cut off where there is no screen.
UNLIMITED_COLUMNS = 10_000
COLOURS = {as_text.GOOD: "32", as_text.BUSY: "36", as_text.BAD: "1;31", as_text.STRONG: "1"}
EXAMPLES = """\
  python status.py                                 is everything delivered, and if not, what waits and why
  python status.py --path /data/run7/scan42        is this file or folder safe: 0 when it is, 3 when not
  python status.py --tasks 20                      the last twenty tasks
  python status.py --json                          everything, for programs
  python status.py --html report.html              a page with drawings, for a browser
  python status.py --manifest delivered.csv        every delivered path with size, mtime, time and task_id"""


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = utils.parser(
        "Show what was delivered, what is in flight, and what waits and why. Changes nothing, and needs no network;\n"
        "a run may be active meanwhile. Ends with 3 when something needs attention.",
        EXAMPLES,
    )
    parser.add_argument(
        "--path",
        metavar="PATH",
        action="append",
        default=[],
        help="the state of a file, or of a folder with all in it; ends with 3 unless that is proved; may be repeated",
    )
    parser.add_argument(
        "--accept",
        metavar="EVIDENCE",
        default="",
        help="what is enough for --path beside verified and equal, as a list with commas: " + ", ".join(ACCEPTABLE),
    )
    parser.add_argument("--tasks", metavar="N", type=int, help="list the last N tasks, newest first")
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of text")
    parser.add_argument(
        "--manifest", metavar="FILE", help="write every delivered path into FILE (.csv or .jsonl), or - to print it"
    )
    parser.add_argument("--html", metavar="FILE", help="write a page for a browser into FILE (.html)")
    parser.add_argument(
        "--format", choices=manifest.FORMATS, help="the manifest's format, where its name has no such suffix"
    )
    chosen = parser.parse_args()
    if chosen.tasks is not None and chosen.tasks < 1:
        parser.error("--tasks takes a number from 1")
    if unknown := set(filter(None, chosen.accept.split(","))) - set(ACCEPTABLE):
        parser.error(f"--accept takes {', '.join(ACCEPTABLE)}; not {', '.join(sorted(unknown))}")
    if chosen.manifest is not None and (chosen.path or chosen.tasks or chosen.json):
        parser.error("--manifest goes with --format and --config only")
    if chosen.html is not None and (chosen.path or chosen.tasks or chosen.json or chosen.manifest is not None):
        parser.error("--html goes with --config only")
    if chosen.html is not None and not chosen.html.lower().endswith((".html", ".htm")):
        parser.error(f"--html takes a name that ends in .html, so that nothing else is replaced, not {chosen.html!r}")
    if chosen.format and chosen.manifest is None:
        parser.error("--format goes with --manifest")
    return chosen


def main() -> int:
    """Show it; returns the exit status."""
    chosen = arguments()
    settings = utils.load_settings(chosen.config)
    line = utils.ProgressLine()
    store, reader = open_reader(settings, on_wait=_say_that_it_waits)
    with store:
        try:
            if chosen.manifest is not None:
                return _export(settings, reader, chosen, line)
            if chosen.html is not None:
                return _page(settings, reader, chosen.html, line)
            if chosen.path or chosen.tasks:
                return _answer(settings, reader, chosen, line)
            return _overview(settings, reader, chosen, line)
        finally:
            line.clear()


def _say_that_it_waits() -> None:
    utils.warn("status.py: A run is writing its records; waiting until they can be read.")


def _overview(settings: Settings, reader: Reader, chosen: argparse.Namespace, line: utils.ProgressLine) -> int:
    state = read_state(
        settings, reader, now_ns=time.time_ns(), on_progress=lambda files: line.show(f"reading: {files:,} files")
    )
    line.clear()
    judged = verdict(state)
    if chosen.json:
        from autotransfer.status import as_json

        _say_json(as_json.overview(settings, state, judged))
    else:
        _say(as_text.overview(settings, state, judged, columns=_columns(), paint=_paint()))
    return int(judged.exit_status)


def _answer(settings: Settings, reader: Reader, chosen: argparse.Namespace, line: utils.ProgressLine) -> int:
    cwd = utils.working_folder(settings.src_dir)
    rel_paths = [paths.typed(settings.src_dir, path, cwd=cwd) for path in chosen.path]
    answers: list[FileAnswer | FolderAnswer] = []
    if rel_paths:
        root_fd = open_root(settings.src_dir)
        try:
            answers = [
                answer(
                    settings,
                    reader,
                    root_fd,
                    rel_path,
                    clock_ns=time.time_ns,
                    accept=[*settings.accept, *filter(None, chosen.accept.split(","))],
                    on_progress=lambda files: line.show(f"reading: {files:,} files"),
                )
                for rel_path in rel_paths
            ]
        finally:
            os.close(root_fd)
    tasks = _tasks(reader, chosen.tasks) if chosen.tasks else []
    service = known_service(settings, reader)
    line.clear()
    if chosen.json:
        _say_answers(answers, tasks, chosen, service)
    else:
        said = paths.display(remark(service))
        if said and answers:
            _say([said])
        for answered in answers:
            _say(as_text.path(answered, paint=_paint()))
        if chosen.tasks:
            _say([*as_text.tasks(tasks), *([said] if said and not answers else ())])
    return int(ExitStatus.DONE if all(answered.is_safe for answered in answers) else ExitStatus.PARTIAL)


def _say_answers(
    answers: list[FileAnswer | FolderAnswer], tasks: list[AnyTask], chosen: argparse.Namespace, service: str
) -> None:
    from autotransfer.status import as_json

    document: dict[str, Any] = {"schema": SCHEMA, "service": service}
    if chosen.path:
        document["paths"] = [as_json.path_document(answered) for answered in answers]
    if chosen.tasks:
        document["tasks"] = [as_json.task_document(task) for task in tasks]
    _say_json(document)


def _tasks(reader: Reader, count: int) -> list[AnyTask]:
    under_way = sorted(reader.read(lambda store: store.ledger).open.values(), reverse=True)
    return [*under_way, *reader.history(count)][:count]


def _export(settings: Settings, reader: Reader, chosen: argparse.Namespace, line: utils.ProgressLine) -> int:
    path: str = chosen.manifest
    kind = manifest.format_of(path, chosen.format)
    service = known_service(settings, reader)
    said = paths.display(remark(service))
    rows = delivered_paths(reader)
    if path == "-":
        if said:
            utils.warn(f"status.py: {said}")
        return _print_manifest(rows, kind, service)
    with files.replaced(path) as stream:

        def show(count: int) -> None:
            line.show(f"writing: {count:,} paths")

        count = manifest.write(rows, stream, kind, service=service, on_progress=show)
    line.clear()
    utils.say(f"Wrote {counted(count, 'delivered path')} to {paths.display(path)}. {said}".rstrip())
    return int(ExitStatus.DONE)


def _page(settings: Settings, reader: Reader, path: str, line: utils.ProgressLine) -> int:
    from autotransfer.status.html import page

    text, judged = page.make(
        settings,
        reader,
        clock_ns=time.time_ns,
        is_renewed=False,
        on_progress=lambda count: line.show(f"reading: {count:,} files and folders"),
    )
    with files.replaced(path, keeps_mode=True) as stream:
        stream.write(text)
    line.clear()
    said = remark(known_service(settings, reader))
    utils.say(f"Wrote {paths.display(path)}. {judged.headline} {said}".rstrip())
    return int(judged.exit_status)


def _print_manifest(rows: Any, kind: str, service: str) -> int:
    if sys.stdout is None:
        return int(ExitStatus.DONE)
    stream = io.TextIOWrapper(
        os.fdopen(os.dup(sys.stdout.fileno()), "wb"), encoding="utf-8", errors="surrogateescape", newline=""
    )
    try:
        with stream:
            manifest.write(rows, _Screen(stream) if sys.stdout.isatty() else stream, kind, service=service)
    except BrokenPipeError:
        pass  # the reader has read enough
    except OSError as error:
        remedy = "What was printed is not complete."
        raise ConfigurationProblem("Cannot print the manifest", why=reason(error), remedy=remedy) from None
    return int(ExitStatus.DONE)


class _Screen:
    """A stream whose lines a terminal shows and does not obey; what is a name's own newline becomes an escape, too."""

    def __init__(self, stream: io.TextIOWrapper) -> None:
        self._stream = stream

    def write(self, line: str) -> int:
        return self._stream.write(paths.display(line.rstrip("\n")) + "\n")


def _say(lines: list[str]) -> None:
    utils.say("\n".join(lines), has_colours=True)


def _say_json(document: dict[str, Any]) -> None:
    import json

    utils.say(json.dumps(document))


def _columns() -> int:
    return max(40, shutil.get_terminal_size().columns) if utils.is_screen(sys.stdout) else UNLIMITED_COLUMNS


def _paint() -> as_text.Paint:
    if not utils.is_screen(sys.stdout) or os.environ.get("NO_COLOR"):
        return as_text.plain
    return lambda style, text: f"\033[{COLOURS[style]}m{text}\033[0m"


if __name__ == "__main__":
    utils.run_script(main)
