"""The page: the facts of `state` and the judgement of `verdict` in one HTML file that needs no other.

Its policy loads nothing from outside, and allows only the one style and the two scripts whose checksums it holds.
Whatever a file is called, its name is shown and never executed.
"""

from __future__ import annotations

import base64
import hashlib
import os
import sys
from collections.abc import Callable
from datetime import datetime
from typing import TYPE_CHECKING, Any

from autotransfer.common.errors import MEANINGS, ConfigurationProblem
from autotransfer.common.paths import display
from autotransfer.common.settings import Settings
from autotransfer.common.text import age_text, counted, moment_text, size_text
from autotransfer.common.times import NS_PER_SECOND
from autotransfer.datastore.reader import Reader
from autotransfer.datastore.tasks import READING, SUCCEEDED, AnyTask, Task
from autotransfer.status.as_text import EVIDENCE_TITLES
from autotransfer.status.folders import Amount, tree
from autotransfer.status.html.folders import choose, columns
from autotransfer.status.state import LATENCY_DAYS, read_state
from autotransfer.status.verdict import Verdict, progress, remedy, task_link, verdict

if TYPE_CHECKING:
    import jinja2

# More than anybody reads, and little in the page.
TASKS_DRAWN, TASKS_LISTED, DAYS_LISTED, MOST_DETAILS = 500, 50, 92, 20

# What the script calls the standings of a task.
DONE, OPEN, BAD = "done", "open", "bad"

# For a person; the keys are folders.STANDINGS.
STANDING_WORDS = {
    "failing": "failing",
    "retrying": "will be retried",
    "in_flight": "in flight",
    "delivered": "delivered",
    "unproved": "delivered, not all of it proved",
    "assumed": "assumed (set_time.py)",
    "empty": "nothing recorded",
}

OnProgress = Callable[[int], None]


def make(
    settings: Settings,
    reader: Reader,
    *,
    clock_ns: Callable[[], int],
    is_renewed: bool,
    on_progress: OnProgress | None = None,
) -> tuple[str, Verdict]:
    """The page, and the verdict that it shows.

    Args:
        clock_ns: The clock.
        is_renewed: Whether runs renew it; then it warns when it has become too old.
        on_progress: Called with the number of files and folders read so far.

    Raises:
        ConfigurationProblem: Jinja, which the extra `report` brings, is not installed.
    """
    environment = _environment()
    now_ns = clock_ns()
    state = read_state(settings, reader, now_ns=now_ns, on_progress=on_progress)
    judged = verdict(state)
    chosen = choose(tree(reader, now_ns=now_ns), on_progress=on_progress)
    tasks = [*reversed(state.open_tasks), *reader.history(TASKS_DRAWN)]  # newest first
    style, library, script = _part("page.css"), _part("d3.min.js"), _part("page.js")
    seconds = (clock_ns() - now_ns) / NS_PER_SECOND
    text = environment.get_template("page.html").render(
        settings=settings,
        state=state,
        total=state.records.total,
        run=state.last_run,
        judged=judged,
        evidence=EVIDENCE_TITLES,
        tasks=tasks[:TASKS_LISTED],
        task_count=len(tasks),
        days=sorted(state.records.by_day.items(), reverse=True)[:DAYS_LISTED],
        day_count=len(state.records.by_day),
        latency_days=LATENCY_DAYS,
        most_details=MOST_DETAILS,
        style=style,
        library=library,
        script=script,
        policy=_policy([style], [library, script]),
        mark=f"seconds={seconds:.2f} verdict={judged.kind}",
        facts={
            "made": now_ns // NS_PER_SECOND,
            "offset": _offset_seconds(now_ns),
            "stale": _stale_seconds(judged, seconds) if is_renewed else 0,
            "root": display(settings.src_dir),
            "words": STANDING_WORDS,
            "days": [[day.isoformat(), *amount] for day, amount in sorted(state.records.by_day.items())],
            "tasks": [_drawn(task, now_ns) for task in reversed(tasks[:TASKS_DRAWN]) if isinstance(task, Task)],
            "tree": columns(chosen, now_ns=now_ns),
        },
    )
    return text, judged


def _environment() -> jinja2.Environment:
    try:
        import jinja2
    except ImportError:
        raise ConfigurationProblem(
            "The page needs Jinja, which is not installed",
            remedy=f"Install the extra `report`, in the folder of the scripts: `{sys.executable} -m pip install "
            "'.[report]'`. No page was written; status.py without --html needs nothing more.",
        ) from None
    made = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_parts_folder()),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.policies["json.dumps_kwargs"] = {"separators": (",", ":")}
    made.filters.update(
        size=size_text,
        age=age_text,
        moment=moment_text,
        shown=display,
        amount=_amount_text,
        ago=lambda moment_ns, now_ns: age_text(max(0, now_ns - moment_ns) / NS_PER_SECOND) + " ago",
        counted=counted,
        remedy=remedy,
        link=task_link,
        progress=progress,
        standing=_task_standing,
        meaning=lambda status: MEANINGS.get(status, "unknown"),
    )
    made.tests["whole"] = lambda task: isinstance(task, Task)
    return made


def _parts_folder() -> str:
    return os.path.join(os.path.dirname(os.path.realpath(__file__)), "parts")


def _part(name: str) -> str:
    with open(os.path.join(_parts_folder(), name), encoding="utf-8", newline="\n") as part:
        return part.read().strip()


def _policy(styles: list[str], scripts: list[str]) -> str:
    """The Content-Security-Policy that allows these and nothing else."""
    return (
        f"default-src 'none'; style-src {_checksums(styles)}; script-src {_checksums(scripts)}; "
        "base-uri 'none'; form-action 'none'"
    )


def _checksums(texts: list[str]) -> str:
    digests = [base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() for text in texts]
    return " ".join(f"'sha256-{digest}'" for digest in digests)


def _drawn(task: Task, now_ns: int) -> list[Any]:
    """One task for the timeline: label, standing, start, end, state, files, bytes, and the part that is done."""
    started_ns = task.submitted_at_ns or task.prepared_at_ns
    return [
        display(task.label),
        _task_standing(task),
        started_ns // NS_PER_SECOND,
        (task.ended_at_ns or now_ns) // NS_PER_SECOND,
        task.state,
        task.files,
        task.size_bytes,
        round(progress(task).part, 3) if not task.ended_at_ns else 1,
    ]


def _task_standing(task: AnyTask) -> str:
    if not task.ended_at_ns or task.state == READING:
        return OPEN
    return DONE if task.state == SUCCEEDED else BAD


def _stale_seconds(judged: Verdict, seconds: float) -> int:
    """The age at which a run must have renewed the page (see `refresh`)."""
    return int(3600 + 1.5 * judged.next_run.interval_seconds + 600 + 21 * seconds)


def _offset_seconds(now_ns: int) -> int:
    offset = datetime.fromtimestamp(now_ns // NS_PER_SECOND).astimezone().utcoffset()
    return int(offset.total_seconds()) if offset is not None else 0


def _amount_text(amount: Amount) -> str:
    return f"{counted(amount.files, 'file')}, {size_text(amount.size_bytes)}"
