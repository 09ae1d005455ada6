"""METRICS_FILE: figures for Prometheus, as node_exporter's textfile collector reads them.

All figures come from the run and from `status.state`; this module only names them. Names and labels must not change:
alerts are built on them. They hold no name of a file, so anyone may read them.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple, Optional

from autotransfer.common.files import atomic_write
from autotransfer.common.settings import Settings
from autotransfer.common.times import NS_PER_SECOND
from autotransfer.datastore.evidence import WORDS
from autotransfer.datastore.reader import Reader
from autotransfer.status.state import RunMark, State, read_state
from autotransfer.status.verdict import verdict

PREFIX = "globus_transfer_"

# The collector runs as a user of its own.
MODE = 0o644

# Counts of a run that do not count paths, tasks or folders.
BYTES = ("bytes", "sent_bytes")
KINDS_OF_FINDING = ("late_run", "no_run", "failed_run", "long_run", "stuck_task", "failing_paths")
Labels = tuple[tuple[str, str], ...]


class Metric(NamedTuple):
    """One metric: its name without the prefix, what it means, and its samples by their labels."""

    name: str
    meaning: str
    samples: list[tuple[Labels, float]]
    type: str = "gauge"


def put(
    settings: Settings,
    reader: Optional[Reader],
    run: RunMark,
    counts: Mapping[str, int],
    *,
    succeeded_at: float,
    now_ns: int,
) -> None:
    """Replace METRICS_FILE, in one step.

    Args:
        reader: The datastore; None when it could not be opened: its figures are missing then.
        run: The run that ends now.
        counts: Its counts, by the names of the log's closing line.
        succeeded_at: When a run last ended with status 0, in seconds since the epoch; 0.0: not known.

    Raises:
        OSError: It cannot be written; the former one stays.
    """
    metrics = [*_of_run(run, counts, succeeded_at)]
    if reader is not None:
        metrics += _of_state(read_state(settings, reader, now_ns=now_ns))
        metrics.append(
            _single("datastore_size_bytes", "Size of the datastore.", os.path.getsize(settings.state_file("datastore")))
        )
    labels = (("route", settings.label), ("config", settings.config_file))
    # The collector skips a file that does not end in .prom, such as a half-written one.
    with atomic_write(settings.metrics_file, mode=MODE) as stream:
        stream.write(text(metrics, labels))


def text(metrics: Iterable[Metric], labels: Labels) -> str:
    """The metrics in Prometheus's text format, each sample with these labels before its own."""
    lines = []
    for metric in metrics:
        lines.append(f"# HELP {PREFIX}{metric.name} {metric.meaning}")
        lines.append(f"# TYPE {PREFIX}{metric.name} {metric.type}")
        for own, value in metric.samples:
            pairs = ",".join(f'{name}="{_escaped(held)}"' for name, held in (*labels, *own))
            lines.append(f"{PREFIX}{metric.name}{{{pairs}}} {_number(value)}")
    return "\n".join(lines) + "\n"


def _escaped(label: str) -> str:
    plain = label.encode("utf-8", "backslashreplace").decode("utf-8")
    return plain.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def _number(value: float) -> str:
    return str(value) if isinstance(value, int) else repr(round(value, 3))


def _single(name: str, meaning: str, value: float, kind: str = "gauge") -> Metric:
    return Metric(name, meaning, [((), value)], kind)


def _by(name: str, meaning: str, label: str, values: Mapping[str, float]) -> Metric:
    return Metric(name, meaning, [(((label, held),), value) for held, value in values.items()])


def _seconds(moment_ns: int) -> float:
    return moment_ns / NS_PER_SECOND


def _of_run(run: RunMark, counts: Mapping[str, int], succeeded_at: float) -> Iterator[Metric]:
    yield _single("last_run_timestamp_seconds", "When the last run started.", _seconds(run.started_at_ns))
    yield _single("last_run_duration_seconds", "How long the last run took.", run.seconds)
    yield _single("last_run_exit_status", "Exit status of the last run; 0 is well.", run.status)
    if succeeded_at:
        yield _single("last_success_timestamp_seconds", "When a run last ended with exit status 0.", succeeded_at)
    if counts:
        numbers: dict[str, float] = {name: count for name, count in counts.items() if name not in BYTES}
        yield _by("last_run_counts", "What the last run counted, as its line in the log.", "of", numbers)
        yield _single("last_run_found_bytes", "Bytes that the last run found to be sent.", counts.get("bytes", 0))
        yield _single("last_run_sent_bytes", "Bytes that the last run submitted.", counts.get("sent_bytes", 0))


def _of_state(state: State) -> Iterator[Metric]:
    judged = verdict(state)
    yield _by("service_info", "The service that serves the route: Globus, or another.", "service", {state.service: 1})
    total = state.records.total
    amounts = {
        "delivered": judged.delivered,
        "in_flight": total.in_flight,
        "retrying": total.retrying,
        "unsubmitted": judged.unsubmitted,
    }
    files: dict[str, float] = {name: amount.files for name, amount in amounts.items()}
    sizes: dict[str, float] = {name: amount.size_bytes for name, amount in amounts.items()}
    yield _by("files", "Files and empty folders by state.", "state", files)
    yield _by("evidence_files", "Delivered files by how that is known.", "evidence", dict(zip(WORDS, total.evidence)))
    yield _by("size_bytes", "Bytes of the files by state.", "state", sizes)
    yield _single("held_files", "Files modified too recently, or waiting for a task to end.", judged.held_files)
    yield _single("failing_files", "Files that failed more than once and will be retried.", total.failing_files)
    if total.last_delivered_ns:
        yield _single(
            "last_delivered_timestamp_seconds", "When a task last delivered a file.", _seconds(total.last_delivered_ns)
        )
    if total.oldest_ns:
        yield _single(
            "oldest_waiting_timestamp_seconds",
            "When the oldest file that is in flight or retrying was written.",
            _seconds(total.oldest_ns),
        )
    yield _single("tasks_in_flight", "Tasks under way.", len(state.open_tasks))
    yield _single("tasks_troubled", "Tasks under way that are stalled.", sum(bool(t.trouble) for t in state.open_tasks))
    if state.open_tasks:
        submitted_ns = min(task.submitted_at_ns or task.prepared_at_ns for task in state.open_tasks)
        yield _single(
            "oldest_task_timestamp_seconds", "When the oldest task under way was submitted.", _seconds(submitted_ns)
        )
    latency = state.records.latency
    if latency.files:
        quantiles = {"0.5": latency.median_seconds, "0.95": latency.p95_seconds}
        yield _by("latency_seconds", "From written to confirmed, in the last 30 days.", "quantile", quantiles)
    found = [finding.kind for finding in judged.findings]
    yield _by(
        "findings",
        "What needs attention, by kind, as status.py shows it.",
        "kind",
        {kind: found.count(kind) for kind in KINDS_OF_FINDING},
    )
