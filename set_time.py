"""Set the last-transfer time of paths: what is older counts as transferred, what is newer is sent by the next run."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

import autotransfer  # noqa: F401 - first: what it does is for all modules after it
import utils
from autotransfer.common import paths
from autotransfer.common.errors import ExitStatus, UsageProblem
from autotransfer.common.service import remark
from autotransfer.common.text import counted
from autotransfer.common.times import EXAMPLES as TIMES
from autotransfer.common.times import local_text, parse_moment_ns
from autotransfer.datastore.opening import open_route, restored_text
from autotransfer.plan.restored import REMEDY
from autotransfer.plan.set_times import Counts, set_times
from autotransfer.scan.folders import open_root

if TYPE_CHECKING:
    import argparse

    from autotransfer.common.settings import Settings
    from autotransfer.datastore.store import Store

EXAMPLES = """\
  python set_time.py 2026-03-01                    what was modified before March counts as transferred
  python set_time.py now                           everything there is counts as transferred
  python set_time.py 7d --path /data/run7/scan3    only below one folder: send what is new in the last week
  python set_time.py never --path broken.h5        send one file again (the path may be relative to here)
  python set_time.py never --dry-run               what would be sent again; changes nothing"""


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = utils.parser(
        "Set the last-transfer time of every path in SRC_DIR, or of some. Paths that were not modified\nafter it "
        "count as transferred; the others are sent by the next run.",
        EXAMPLES,
    )
    parser.add_argument(
        "time",
        metavar="TIME",
        nargs="?",
        help="an ISO 8601 time, an age such as 36h or 7d, now, or never; asked for if it is missing",
    )
    parser.add_argument(
        "--path",
        metavar="PATH",
        action="append",
        default=[],
        help="a file, or a folder with all in it; may be repeated",
    )
    parser.add_argument(
        "--service",
        metavar="NAME",
        default="",
        help="say that this service (Globus, local ...) serves the route from now on, in the place of another; drops "
        "all records",
    )
    parser.add_argument(
        "--wait", metavar="SECONDS", type=float, default=0.0, help="wait for an active run to end, at most this long"
    )
    parser.add_argument("-n", "--dry-run", action="store_true", help="only count; change nothing")
    chosen = parser.parse_args()
    if not chosen.wait >= 0:
        parser.error("--wait takes a number of seconds that is not negative")
    return chosen


def main() -> int:
    """Set the times. Returns the exit status."""
    chosen = arguments()
    settings = utils.load_settings(chosen.config)
    if chosen.service and (chosen.path or chosen.service != settings.service.name):
        raise UsageProblem(
            f"--service names {chosen.service}, which is for all of SRC_DIR, and the service here is "
            f"{settings.service.name}",
            why=settings.service.cause,
            remedy="Leave --path out, and name the service that answers here. Nothing was changed.",
        )
    text = chosen.time if chosen.time is not None else _asked()
    moment_ns = None if text.strip() == "never" else parse_moment_ns(text, now_ns=time.time_ns())
    scopes = [_scope(settings, path) for path in chosen.path] or [""]
    with utils.run_lock(settings, wait_seconds=chosen.wait, effect=utils.RUN_AGAIN):
        if not chosen.dry_run:
            utils.open_log(settings)
        root_fd = open_root(settings.src_dir)
        try:
            is_dry = chosen.dry_run
            with open_route(settings, is_dry=is_dry, may_be_lost="" in scopes) as store, store.explained():
                if restored := restored_text(store):
                    utils.warn(f"{restored} {REMEDY}")
                counts = set_times(
                    settings,
                    store,
                    root_fd,
                    moment_ns=moment_ns,
                    scopes=scopes,
                    clock_ns=time.time_ns,
                    is_now=text.strip() == "now",
                    new_service=chosen.service,
                )
                if not is_dry:
                    store.commit()
                    _log(counts, moment_ns, scopes, store)
        finally:
            os.close(root_fd)
    return _report(counts, moment_ns, scopes, settings.service.name, is_dry=is_dry)


def _asked() -> str:
    if not utils.has_terminal():
        raise UsageProblem(
            "TIME is missing, and there is no terminal to ask on",
            remedy=f"Give it as the first argument: {TIMES}. Nothing was changed.",
        )
    text = utils.typed(f"Last-transfer time ({TIMES}): ")
    if not text:
        raise UsageProblem("No time was given", remedy="Nothing was changed.")
    return text


def _scope(settings: Settings, path: str) -> str:
    cwd = utils.working_folder(settings.src_dir)
    rel_path = paths.typed(settings.src_dir, path, cwd=cwd, effect="Nothing was changed.")
    if not paths.can_be_sent(paths.split(rel_path)[0]):
        raise UsageProblem(
            f"{paths.display(path)} is in a folder whose name Globus cannot carry",
            remedy="Rename the folder. Nothing was changed.",
        )
    return rel_path


def _named(moment_ns: int | None, scopes: list[str]) -> tuple[str, str]:
    """The time and the scopes, in words."""
    when = "never" if moment_ns is None else local_text(moment_ns)
    return when, "SRC_DIR" if "" in scopes else ", ".join(map(paths.display, scopes))


def _log(counts: Counts, moment_ns: int | None, scopes: list[str], store: Store) -> None:
    utils.log.info(
        "set_time time=%s scope=%r transferred=%d to_send=%d in_flight=%d datastore=%s",
        *(*_named(moment_ns, scopes), counts.transferred, counts.to_send, counts.in_flight, store.left),
    )


def _report(counts: Counts, moment_ns: int | None, scopes: list[str], service: str, *, is_dry: bool) -> int:
    when, where = _named(moment_ns, scopes)
    said = (
        f"Last-transfer time of {where} {'would be' if is_dry else 'is now'} {when}: "
        f"{counted(counts.transferred, 'path')} count{'s' * (counts.transferred == 1)} as transferred, "
        f"{counts.to_send:,} will be sent by the next run."
    )
    if counts.deliveries_dropped:
        said += f" {counts.deliveries_dropped:,} of these had been delivered as they are now."
    if counts.in_flight:
        said += f" {counts.in_flight:,} {'is' if counts.in_flight == 1 else 'are'} in flight and not changed."
    if counts.forgotten:
        said += f" The disk is gone: {counted(counts.forgotten, 'record')} of what was on it dropped."
    if counts.abandoned_tasks:
        said += (
            f" Open at Globus and no longer followed: {counted(counts.abandoned_tasks, 'task')} of the former route."
        )
    utils.say(" ".join(filter(None, (said, "Dry run: nothing was changed." if is_dry else "", remark(service)))))
    for error in counts.errors:
        utils.warn(f"Skipped {error}.")
    return int(ExitStatus.PARTIAL if counts.errors else ExitStatus.DONE)


if __name__ == "__main__":
    utils.run_script(main)
