"""Recurring transfers hosted by the Globus Timers service.

Two interfaces meet here: POST /v2/timer makes transfer timers; everything else, also of those, goes through /jobs/.
Source: the service's OpenAPI description and docs.globus.org/api/timers.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import globus_sdk
from globus_sdk.transport import RetryCheckCollection
from globus_sdk.transport.default_retry_checks import check_expired_authorization

from autotransfer.common.errors import OutcomeUnknown
from autotransfer.globus import failures

NOTHING_CREATED = "Nothing was created."


UNCHANGED = "Nothing was changed."


# Nothing here runs by itself: a person does it again.
TRY_LATER = "Try again later."


class Timers:
    """Asks the Timers service.

    Args:
        sign_in: The command that lets a person sign in for this, for the messages.
    """

    def __init__(self, client: globus_sdk.TimersClient, *, sign_in: str) -> None:
        self._client = client
        self._sign_in = sign_in

    def create_transfer(self, document: dict[str, Any]) -> dict[str, Any]:
        """Make a transfer timer (POST /v2/timer); gives its document.

        Raises:
            UsageProblem: The service says what is wrong with it.
            SignInNeeded, ConfigurationProblem, GlobusProblem: It was refused.
            OutcomeUnknown: The answer was lost.
        """
        with self._created(document["name"]):
            timer: dict[str, Any] = self._client.create_timer(document)["timer"]
            return timer

    def create_generic(self, document: dict[str, Any]) -> dict[str, Any]:
        """Make a timer that calls any action provider (POST /jobs/); gives its document. Raises as the other."""
        with self._created(document["name"]):
            return dict(self._client.create_job(document).data)

    def all(self, *, with_deleted: bool) -> list[dict[str, Any]]:
        """The documents of this identity's timers (GET /jobs/); deleted ones too, as far as the service gives them."""
        with self._explained("list the timers"):
            query = {"show_deleted": "true"} if with_deleted else {}
            return list(self._client.list_jobs(query_params=query)["jobs"])

    def get(self, job_id: str) -> dict[str, Any]:
        """The timer's document with its last results (GET /jobs/ID).

        Raises:
            UsageProblem: There is no such timer.
            SignInNeeded, GlobusProblem: It could not be asked for.
        """
        with self._explained(f"show the timer {job_id}"):
            return dict(self._client.get_job(job_id).data)

    def update(self, job_id: str, changes: dict[str, Any]) -> dict[str, Any]:
        """Change a timer (PATCH /jobs/ID); gives its document. The service may leave out what it does not change."""
        with self._explained(f"update the timer {job_id}", effect=UNCHANGED):
            return dict(self._client.update_job(job_id, changes).data)

    def delete(self, job_id: str) -> dict[str, Any]:
        """Take a timer out of operation (DELETE /jobs/ID); gives its last document."""
        with self._explained(f"delete the timer {job_id}", effect=UNCHANGED):
            return dict(self._client.delete_job(job_id).data)

    def pause(self, job_id: str) -> None:
        """Keep a timer from running until it is resumed."""
        with self._explained(f"pause the timer {job_id}", effect=UNCHANGED):
            self._client.pause_job(job_id)

    def resume(self, job_id: str, *, update_credentials: bool) -> None:
        """Let a timer run again, with this login in place of the one it was made with when told so."""
        with self._explained(f"resume the timer {job_id}", effect=UNCHANGED):
            self._client.resume_job(job_id, update_credentials=update_credentials)

    @contextmanager
    def _created(self, name: str) -> Iterator[None]:
        # The service knows no submission_id: a creation whose answer was lost must not be repeated by the SDK, or there
        # would be two timers. Only a request refused for an expired token is sent again.
        usual = self._client.retry_config
        checks = RetryCheckCollection()
        checks.register_check(check_expired_authorization)
        self._client.retry_config = dataclasses.replace(usual, checks=checks)
        try:
            with self._explained(f"create the timer {name!r}", effect=NOTHING_CREATED, is_submission=True):
                yield
        except OutcomeUnknown as problem:
            raise OutcomeUnknown(
                f"It is not known whether Globus created the timer {name!r}",
                why=problem.why,
                remedy="`timer.py job list` shows whether it did; if not, do the same again.",
            ) from problem
        finally:
            self._client.retry_config = usual

    def _explained(self, doing: str, *, effect: str = "", is_submission: bool = False) -> AbstractContextManager[None]:
        return failures.explained(
            doing, effect=effect, is_submission=is_submission, sign_in=self._sign_in, again=TRY_LATER
        )
