"""Settings, and Globus's tasks without Globus: for tests of what is done with each answer. What is really answered is
tested over HTTP, in tests/scripts and tests/faults."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Union, cast

from autotransfer.common.errors import GlobusProblem, TaskUnknown
from autotransfer.common.settings import Settings, check_settings
from autotransfer.globus.tasks import Page, Tasks

SRC_ID = "aaaaaaaa-0000-4000-8000-000000000001"
DST_ID = "aaaaaaaa-0000-4000-8000-000000000002"
Answer = Union[str, Exception]


def settings_of(folder: Path, **values: Any) -> Settings:
    """The settings of a route whose SRC_DIR is `src` in that folder; nothing in it is too young to be sent."""
    required = {
        "SRC_DIR": str(folder / "src"),
        "DST_DIR": "/archive/src",
        "SRC_ID": SRC_ID,
        "DST_ID": DST_ID,
        "CLIENT_ID": SRC_ID,
        "CODE_PATH": str(folder / "state"),
        "SETTLE_SECONDS": 0,
    }
    return check_settings({**required, **values}, config_file="route.py")


class TasksInMemory:
    """Answers what a test has laid down.

    Attributes:
        answers: To the next submissions, in order: a task_id, or what is raised; without one, each is accepted.
        posted: The submissions, as (submission_id, label, paths).
        documents: task_id to its document, or what is raised when it is asked for.
        by_label: Label to document, for what was accepted although the answer was lost.
        open: The documents of open tasks, newest first.
        pages: The next pages of lists, in order, or what is raised; asked: for which (list, marker).
        canceled: The task_ids that were to be canceled; after_cancel: the document of such a task from then on.
    """

    def __init__(self) -> None:
        self.answers: list[Answer] = []
        self.posted: list[tuple[str, str, list[str]]] = []
        self.documents: dict[str, dict[str, Any] | Exception] = {}
        self.by_label: dict[str, dict[str, Any]] = {}
        self.open: list[dict[str, Any]] = []
        self.pages: list[Page | Exception] = []
        self.asked: list[tuple[str, str]] = []
        self.canceled: list[str] = []
        self.cancel_raises: Exception | None = None
        self.after_cancel: dict[str, Any] | None = None
        self.next_ids: list[str] = []
        self._ids = 0

    @property
    def as_tasks(self) -> Tasks:
        return cast(Tasks, self)

    def submission_id(self) -> str:
        self._ids += 1
        return self.next_ids.pop(0) if self.next_ids else f"{self._ids:08}-0000-4000-8000-000000000000"

    def submit(self, data: Any, *, effect: str, refused_effect: str) -> str:
        paths = [item["source_path"] for item in data["DATA"]]
        self.posted.append((data["submission_id"], data["label"], paths))
        answer = self.answers.pop(0) if self.answers else f"task-{len(self.posted)}"
        if isinstance(answer, Exception):
            raise answer
        return answer

    def get(self, task_id: str) -> dict[str, Any]:
        document = self.documents.get(task_id, TaskUnknown(f"Globus did not show task {task_id}", why="404"))
        if isinstance(document, Exception):
            raise document
        return {"task_id": task_id, **document}

    def cancel(self, task_id: str) -> None:
        self.canceled.append(task_id)
        if self.cancel_raises is not None:
            raise self.cancel_raises
        if self.after_cancel is not None:
            self.documents[task_id] = self.after_cancel

    def page(self, task_id: str, list_name: str, marker: str) -> Page:
        self.asked.append((list_name, marker))
        page = self.pages.pop(0) if self.pages else GlobusProblem("no page was laid down")
        if isinstance(page, Exception):
            raise page
        return page

    def open_tasks(self) -> Iterator[dict[str, Any]]:
        yield from self.open

    def find_by_label(self, label: str) -> dict[str, Any] | None:
        return self.by_label.get(label)
