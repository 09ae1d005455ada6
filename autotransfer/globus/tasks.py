"""Submit, watch and cancel transfer tasks."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import globus_sdk
from globus_sdk.transport import RetryCheckCollection, RetryCheckResult, RetryContext

from autotransfer.common.errors import GlobusProblem, OutcomeUnknown, TaskUnknown
from autotransfer.globus.failures import NEXT_RUN, answer_words, document_in, explained, may_have_run


class Tasks:
    """The tasks of the signed-in identity in Globus Transfer.

    Args:
        again: For messages: when a failed request is repeated.
    """

    def __init__(self, client: globus_sdk.TransferClient, *, again: str = NEXT_RUN) -> None:
        self._client = client
        self._again = again

    def submission_id(self) -> str:
        """Get a new submission_id. It is the cheapest authenticated request, so it also tests the login.

        Raises:
            SignInNeeded, GlobusProblem: Nothing was submitted.
        """
        with explained("give a submission_id", effect="Nothing was sent or recorded."):
            return str(document_in(self._client.get_submission_id())["value"])

    def submit(self, data: globus_sdk.TransferData, *, effect: str, refused_effect: str) -> str:
        """Submit a transfer with the submission_id in its document (POST /transfer); returns the task_id.

        Globus runs a submission_id once: for one that it has seen, it returns the ID of the first task.

        Args:
            data: Complete, with its submission_id and items.
            effect: For messages: what is recorded if the outcome is unknown; refused_effect: if it was refused.

        Raises:
            OutcomeUnknown: It may have been accepted: submit it again later, with the same submission_id.
            IdenticalPaths, RequestTooLarge, SignInNeeded, ConfigurationProblem, GlobusProblem: It was refused.
        """
        lost: list[RetryContext] = []
        with (
            explained(
                "accept task {}",
                about=repr(data["label"]),
                effect=effect,
                refused_effect=refused_effect,
                is_submission=True,
                was_lost=lambda: bool(lost),
            ),
            _collecting_lost(self._client, lost),
        ):
            answer = document_in(self._client.submit_transfer(data))
            code, task_id = str(answer["code"]), str(answer["task_id"])
        if code not in ("Accepted", "Duplicate"):
            raise OutcomeUnknown(
                f"Globus answered {code!r} to task {data['label']!r}",
                remedy="The next run will submit it again with the same submission_id.",
            )
        return task_id

    def get(self, task_id: str) -> dict[str, Any]:
        """The task's document (GET /task/ID).

        Raises:
            TaskUnknown: Globus has no such task for this identity.
            SignInNeeded, GlobusProblem: The request failed.
        """
        with explained("show task {}", about=task_id, again=self._again):
            try:
                document = document_in(self._client.get_task(task_id))
            except globus_sdk.TransferAPIError as error:
                if (error.http_status, error.code) == (403, "PermissionDenied"):  # observed: another identity's task
                    raise TaskUnknown(
                        f"Globus did not show task {task_id}",
                        why=answer_words(error),
                        remedy="It belongs to another identity than the one now signed in.",
                    ) from error
                raise
            if document["task_id"] != task_id or "status" not in document:
                raise GlobusProblem(
                    f"Globus showed another document than that of task {task_id}", code="show task {}: another document"
                )
            return document

    def cancel(self, task_id: str) -> None:
        """Request that a task be canceled; `get` shows the outcome."""
        with explained("cancel task {}", about=task_id):
            self._client.cancel_task(task_id)

    def skipped(self, task_id: str) -> Iterator[tuple[str | None, str]]:
        """What an ended task skipped at the source: (source path, code); the path is None if it is withheld."""
        pages = self._client.paginated.task_skipped_errors(task_id)
        for row in self._rows(pages, "list what task {} skipped", task_id):
            yield row.get("source_path"), str(row.get("error_code") or "SKIPPED")

    def successful(self, task_id: str) -> Iterator[str]:
        """The source paths of the files that an ended task copied."""
        pages = self._client.paginated.task_successful_transfers(task_id)
        for row in self._rows(pages, "list what task {} transferred", task_id):
            if row.get("source_path"):
                yield str(row["source_path"])

    def open_tasks(self) -> Iterator[dict[str, Any]]:
        """The documents of this identity's open transfer tasks, newest first."""
        pages = self._client.paginated.task_list(filter={"status": ["ACTIVE", "INACTIVE"], "type": "TRANSFER"})
        yield from self._rows(pages, "list the open tasks")

    def find_by_label(self, label: str) -> dict[str, Any] | None:
        """The document of this identity's transfer task with exactly this label, open or ended, or None."""
        pages = self._client.paginated.task_list(filter={"type": "TRANSFER", "label": f"={label}"})
        rows = self._rows(pages, "find the task {}", repr(label))
        return next((row for row in rows if row.get("label") == label), None)

    @staticmethod
    def _rows(pages: Any, doing: str, about: str = "") -> Iterator[dict[str, Any]]:
        iterator = iter(pages)
        while True:
            with explained(doing, about=about):
                page = next(iterator, None)
                if page is None:
                    return
                rows = list(page["DATA"])
            yield from rows


@contextmanager
def _collecting_lost(client: globus_sdk.TransferClient, lost: list[RetryContext]) -> Iterator[None]:
    """Collect each attempt in the block that the SDK repeats although Globus may have carried it out."""

    def collect(context: RetryContext) -> RetryCheckResult:
        if context.response is None or may_have_run(context.response.status_code):
            lost.append(context)
        return RetryCheckResult.no_decision

    usual = client.retry_config.checks
    client.retry_config.checks = RetryCheckCollection()
    client.retry_config.checks.register_many_checks([collect, *usual])
    try:
        yield
    finally:
        client.retry_config.checks = usual
