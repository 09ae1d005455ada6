"""Submit, watch and cancel transfer tasks."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple, Optional

import globus_sdk
from globus_sdk.transport import RetryCheckCollection, RetryCheckResult, RetryContext

from autotransfer.common.errors import GlobusProblem, ListRefused, OutcomeUnknown, Problem, TaskUnknown
from autotransfer.globus.answers import PAGE, SUBMISSION_ID, SUBMITTED, TASK, TASKS, document_in, rows_in
from autotransfer.globus.failures import NEXT_RUN, answer_words, explained, is_definite, may_have_run

# The lists of an ended task.
SUCCESSFUL, SKIPPED = "successful_transfers", "skipped_errors"

# Of all tasks of an identity, that many are read. The service shows no more. Source: the SDK's `task_list`.
MOST_TASKS = 1000


class Row(NamedTuple):
    """A row of a task's list: a source path (None where it is withheld), the bytes copied if given, and a code."""

    source_path: Optional[str]
    size_bytes: Optional[int]
    code: str


class Page(NamedTuple):
    """A page of a task's list: its rows, and the marker of the next page.

    The marker is "" where the service says neither that this is the end nor where to go on; it is None at the end.
    """

    rows: list[Row]
    marker: Optional[str]


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
            value = document_in(self._client.get_submission_id(), SUBMISSION_ID)["value"]
        if value is None:
            raise GlobusProblem(
                "Globus did not give a usable submission_id",
                why="it is not a UUID",
                remedy=f"Nothing was sent or recorded. {NEXT_RUN}",
            )
        return str(value)

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
            answer = document_in(self._client.submit_transfer(data), SUBMITTED)
            code, task_id = answer["code"], answer["task_id"] or self._id_of(data["label"])
        if code not in ("Accepted", "Duplicate"):
            raise OutcomeUnknown(
                f"Globus answered {code!r} to task {data['label']!r}",
                remedy="The next run will submit it again with the same submission_id.",
            )
        if not task_id:
            raise OutcomeUnknown(
                f"Globus accepted task {data['label']!r} without a task_id",
                why="it is not a UUID, and no task has this label",
                remedy=effect,
            )
        if code == "Duplicate" and not self._has_label(task_id, data["label"]):
            raise OutcomeUnknown(
                f"Globus called task {data['label']!r} a duplicate of {task_id}, which does not have this label",
                remedy="It stays prepared; the next run will submit it again with the same submission_id.",
            )
        return str(task_id)

    def _has_label(self, task_id: str, label: str) -> bool:
        """Whether the task with this label, which is used once, is this one; False where that cannot be asked."""
        return self._id_of(label) == task_id

    def _id_of(self, label: str) -> str:
        """The task_id of the task with this label; "" where there is none, or that cannot be asked."""
        try:
            document = self.find_by_label(label)
        except Problem:
            return ""
        return "" if document is None else str(document["task_id"])

    def get(self, task_id: str) -> dict[str, Any]:
        """The task's document (GET /task/ID).

        Raises:
            TaskUnknown: Globus refused to show it, whatever the code. For a task that it no longer knows were observed
                404 ClientError.NotFound and 404 TaskNotFound; for another identity's, 403 PermissionDenied.
            SignInNeeded, GlobusProblem: The request failed, or brought another document.
        """
        with explained("show task {}", about=task_id, again=self._again):
            try:
                document = document_in(self._client.get_task(task_id), TASK)
            except globus_sdk.TransferAPIError as error:
                if is_definite(error):
                    raise TaskUnknown(
                        f"Globus did not show task {task_id}",
                        why=answer_words(error),
                        remedy="It may belong to another identity than the one now signed in.",
                        code=f"show task {{}}: HTTP {error.http_status} {error.code or ''}".rstrip(),
                    ) from error
                raise
            if document["task_id"] != task_id or document["status"] is None:
                raise GlobusProblem(
                    f"Globus showed another document than that of task {task_id}", code="show task {}: another document"
                )
            return document

    def cancel(self, task_id: str) -> None:
        """Request that a task be canceled; `get` shows the outcome."""
        with explained("cancel task {}", about=task_id):
            self._client.cancel_task(task_id)

    def page(self, task_id: str, list_name: str, marker: str) -> Page:
        """A page of a list of an ended task (GET /task/ID/LIST).

        Args:
            list_name: SUCCESSFUL: the files that it copied; SKIPPED: what it gave up at the source.
            marker: Where the page begins; "" for the first.

        Raises:
            ListRefused: Globus refused it, for now or for good.
            SignInNeeded, GlobusProblem: It could not be asked for.
        """
        ask = {SUCCESSFUL: self._client.task_successful_transfers, SKIPPED: self._client.task_skipped_errors}[list_name]
        with explained(f"list the {list_name} of task {{}}", about=task_id):
            try:
                document = document_in(ask(task_id, marker=marker) if marker else ask(task_id), PAGE)
            except globus_sdk.TransferAPIError as error:
                if is_definite(error):
                    raise ListRefused(
                        f"Globus did not show the {list_name} of task {task_id}", why=answer_words(error)
                    ) from error
                raise
            rows = [row or {} for row in rows_in(document)]
            return Page(
                [Row(row.get("source_path"), row.get("size"), row.get("error_code") or "SKIPPED") for row in rows],
                document.get("next_marker"),
            )

    def open_tasks(self) -> Iterator[dict[str, Any]]:
        """The documents of this identity's open transfer tasks, newest first; without those that have no task_id."""
        yield from self._listed({"status": ["ACTIVE", "INACTIVE"], "type": "TRANSFER"}, "list the open tasks")

    def find_by_label(self, label: str) -> dict[str, Any] | None:
        """The document of this identity's transfer task with exactly this label, open or ended, or None."""
        rows = self._listed({"type": "TRANSFER", "label": f"={label}"}, "find the task {}", repr(label))
        return next((row for row in rows if row.get("label") == label), None)

    def _listed(self, wanted: dict[str, Any], doing: str, about: str = "") -> Iterator[dict[str, Any]]:
        """The documents of tasks, each once, up to a page that brings no new one.

        The SDK's own pages end where the answer's `total` says; one that is wrong would hide tasks, or never end.
        """
        seen: set[str] = set()
        while len(seen) < MOST_TASKS:
            with explained(doing, about=about):
                answer = self._client.task_list(filter=wanted, limit=MOST_TASKS, offset=len(seen))
                rows = [row for row in rows_in(document_in(answer, TASKS)) if row and row.get("task_id")]
            new = {row["task_id"]: row for row in rows if row["task_id"] not in seen}
            if not new:
                return
            yield from new.values()
            seen.update(new)


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
