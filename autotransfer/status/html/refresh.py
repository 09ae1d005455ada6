"""REPORT_FILE: when a run renews the page."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from typing import NamedTuple

from autotransfer.common.settings import Settings
from autotransfer.common.summary import Summary
from autotransfer.common.times import HOUR

# Where nothing happens the page is still renewed this often: it shows that runs still come.
OLDEST_SECONDS = HOUR

# Making pages takes no more than a twentieth of the time.
REST_PER_SECOND = 20
MARK = re.compile(r'<meta name="autotransfer" content="seconds=([0-9.]{1,12}) verdict=([a-z]{1,12})">')
HEAD_CHARACTERS = 2000


class LastPage(NamedTuple):
    """The page that exists: its age, how long making it took, and the verdict on it."""

    age_seconds: float
    seconds: float
    kind: str


def is_due(last: LastPage | None, summary: Summary, status: int) -> bool:
    """Whether a run with this summary and exit status renews the page."""
    from autotransfer.status.verdict import DELIVERED

    if last is None or last.age_seconds < 0:
        return True
    if last.age_seconds < REST_PER_SECOND * last.seconds:
        return False
    counts = summary.counts()
    del counts["folders"], counts["files"], counts["links"], counts["special_files"]  # these are found, not done
    return bool(status or any(counts.values())) or last.kind != DELIVERED or last.age_seconds >= OLDEST_SECONDS


def refresh(settings: Settings, summary: Summary, status: int, *, clock_ns: Callable[[], int]) -> bool:
    """Renew REPORT_FILE if that is due; returns whether it was.

    Raises:
        ConfigurationProblem, RunActive: It could not be written; the old one is unharmed.
    """
    path = settings.report_file
    if not is_due(last_page(path, now_seconds=clock_ns() / 1e9), summary, status):
        return False
    from autotransfer.common.files import replaced
    from autotransfer.datastore.reader import open_reader
    from autotransfer.status.html.page import make

    store, reader = open_reader(settings)
    with store:
        text, _ = make(settings, reader, clock_ns=clock_ns, is_renewed=True)
    with replaced(path, keeps_mode=True) as stream:
        stream.write(text)
    return True


def last_page(path: str, *, now_seconds: float) -> LastPage | None:
    """What the head of the existing page says; None when there is none, or it is not one of ours."""
    try:
        with open(path, encoding="utf-8", errors="replace") as page:
            age_seconds = now_seconds - os.fstat(page.fileno()).st_mtime
            found = MARK.search(page.read(HEAD_CHARACTERS))
            return LastPage(age_seconds, float(found[1]), found[2]) if found else None
    except (OSError, ValueError):
        return None
