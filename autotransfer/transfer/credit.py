"""How the paths of an ended task are known to have arrived, by what Globus counts and lists. Pure.

The rules, from the surest on:

1. Without a list only this proves a delivery: SUCCEEDED, file items only, every count a whole number, as many files
   copied as there are items, nothing skipped, exactly their bytes, and no fault, after which bytes are counted twice.
2. Otherwise the list of successful transfers decides, path by path.
3. What is neither listed nor given up was taken for current at the destination, if the numbers agree: equal, if
   contents were compared; found, if it is new to us; not copied, if we know that it was modified. Not if we know that
   the copy has another size: then Globus sees the file as it was before.
4. Of a task that failed, only what is listed has arrived.
5. A path that Globus gave up must be one of ours, as many of them as it counts. Otherwise any may be missing, and only
   what is listed has arrived.

Globus's counts and rows: docs.globus.org/api/transfer/task. That a file which is an item of its own is copied, taken
for current or given up, and nothing else, is assumed.
"""

from __future__ import annotations

from collections.abc import Sequence

from autotransfer.common.paths import FOLDER_ITSELF
from autotransfer.datastore.evidence import EQUAL, FOUND, TRANSFERRED, VERIFIED
from autotransfer.datastore.record import NOT_LISTED
from autotransfer.datastore.tasks import SUCCEEDED, Item, Reading, Task
from autotransfer.transfer.results import NOT_COPIED, NOT_SEEN, SIZE_DIFFERS, Carried, Decide, Fate
from autotransfer.transfer.task_status import UNKNOWN, Counts

CHECKSUM = "checksum"

# How often a path is retried that Globus finds current, though its copy should have another size: for some 35 minutes.
# Hardly any node sees an older version for as long, so what is known of the copy may be wrong; but nothing is proved.
MOST_DOUBTS = 5

# Codes of retries.
UNNAMED, UNLISTED, BYTES_MISSING = "SKIPPED", "LIST_REFUSED", "BYTES_MISSING"


def copied_evidence(task: Task) -> int:
    """What a listed path of the task is."""
    return VERIFIED if task.verifies else TRANSFERRED


def is_proved(task: Task, items: Sequence[Item], state: str, counts: Counts) -> bool:
    """Whether the counts alone prove that all of a task's files were copied, and exactly so."""
    return (
        state == SUCCEEDED
        and not any(item.is_folder for item in items)
        and counts == Counts(len(items), len(items), task.size_bytes, 0, 0, 0)
    )


def agrees(reading: Reading) -> bool:
    """Whether a folder item found as many files as it carries, gave none up, and had something come of each."""
    counts = Counts(*reading.counts)
    return (
        reading.state == SUCCEEDED
        and counts.errors == 0
        and UNKNOWN not in (counts.files, counts.transferred, counts.current)
        and counts.files == counts.transferred + counts.current == reading.carried
    )


def unsized_fate(task: Task, reading: Reading) -> Fate:
    """What becomes of the paths that were listed without sizes: their bytes must be there together."""
    counts = Counts(*reading.counts)
    if UNKNOWN < counts.size_bytes < reading.listed_bytes:
        return BYTES_MISSING
    is_exact = (counts.size_bytes, counts.transferred, counts.faults) == (reading.listed_bytes, reading.listed, 0)
    return copied_evidence(task) if is_exact else TRANSFERRED


def rest_decider(task: Task, reading: Reading, *, is_list_whole: bool) -> Decide:
    """What becomes of the paths that no list names.

    Args:
        is_list_whole: Whether the lists were read to their ends.
    """
    counts = Counts(*reading.counts)
    is_summed = counts.current >= 0 and reading.listed + counts.current + reading.errors == reading.carried

    def decide(path: Carried) -> Fate:
        if reading.state != SUCCEEDED:
            return reading.code
        if not is_list_whole:
            return UNLISTED
        if counts.errors == UNKNOWN or reading.errors < counts.errors:
            return UNNAMED
        if path.name == FOLDER_ITSELF:
            return VERIFIED
        if not is_summed:
            return NOT_SEEN if path.is_known or task.sync_level == CHECKSUM else NOT_LISTED
        return _current_fate(path, task.sync_level)

    return decide


def _current_fate(path: Carried, sync_level: str) -> Fate:
    """What becomes of a path whose copy Globus took for current."""
    if path.last_code == SIZE_DIFFERS:  # the copy has another size, so what Globus compared is not what is here
        return SIZE_DIFFERS if path.attempts < MOST_DOUBTS else FOUND
    if path.is_item and sync_level == CHECKSUM:
        return EQUAL if path.last_code != BYTES_MISSING else FOUND  # some copy of its task is known to be short
    return NOT_COPIED if path.is_known else FOUND
