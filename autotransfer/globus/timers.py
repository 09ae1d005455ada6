"""The timers of the Globus Timers service: recurring transfers.

It has two interfaces: POST /v2/timer creates transfer timers; everything else goes through /jobs/, for these too.
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
from autotransfer.globus.answers import CREATED, TIMER, TIMERS, document_in

UNCHANGED = "Nothing was changed."

# Nothing here runs by itself: a person has to try again.
TRY_LATER = "Try again later."


class Timers:
    """Asks the Timers service.

    Args:
        sign_in: The command for signing in that messages name.
    """

    def __init__(self, client: globus_sdk.TimersClient, *, sign_in: str) -> None:
        self._client = client
        self._sign_in = sign_in

    def create_transfer(self, document: dict[str, Any]) -> dict[str, Any]:
        """Create a transfer timer (POST /v2/timer). Returns its document.

        Raises:
            UsageProblem: The service reports a mistake in it.
            SignInNeeded, ConfigurationProblem, GlobusProblem: It was refused.
            OutcomeUnknown: The answer was lost.
        """
        with self._created(document["name"]):
            return dict(document_in(self._client.create_timer(document), CREATED)["timer"])

    def create_generic(self, document: dict[str, Any]) -> dict[str, Any]:
        """Create a timer that calls an action provider (POST /jobs/). Returns its document; raises the same."""
        with self._created(document["name"]):
            return document_in(self._client.create_job(document), TIMER)

    def all(self, *, with_deleted: bool) -> list[dict[str, Any]]:
        """The documents of this identity's timers (GET /jobs/); also deleted ones, as far as the service lists them."""
        with self._explained("list the timers"):
            query = {"show_deleted": "true"} if with_deleted else {}
            jobs = document_in(self._client.list_jobs(query_params=query), TIMERS)["jobs"]
            return [job for job in jobs if job is not None]

    def get(self, job_id: str) -> dict[str, Any]:
        """The timer's document with its last results (GET /jobs/ID).

        Raises:
            UsageProblem: There is no such timer.
            SignInNeeded, GlobusProblem: The service did not show it.
        """
        with self._explained(f"show the timer {job_id}"):
            return document_in(self._client.get_job(job_id), TIMER)

    def update(self, job_id: str, changes: dict[str, Any]) -> dict[str, Any]:
        """Change a timer (PATCH /jobs/ID). Returns its document. The service may silently ignore a change."""
        with self._explained(f"update the timer {job_id}", effect=UNCHANGED):
            return document_in(self._client.update_job(job_id, changes), TIMER)

    def delete(self, job_id: str) -> dict[str, Any]:
        """Delete a timer (DELETE /jobs/ID). Returns its last document."""
        with self._explained(f"delete the timer {job_id}", effect=UNCHANGED):
            return document_in(self._client.delete_job(job_id), TIMER)

    def pause(self, job_id: str) -> None:
        """Suspend a timer until it is resumed."""
        with self._explained(f"pause the timer {job_id}", effect=UNCHANGED):
            self._client.pause_job(job_id)

    def resume(self, job_id: str, *, update_credentials: bool) -> None:
        """Resume a timer, with update_credentials under this login in place of the one it was created with."""
        with self._explained(f"resume the timer {job_id}", effect=UNCHANGED):
            self._client.resume_job(job_id, update_credentials=update_credentials)

    @contextmanager
    def _created(self, name: str) -> Iterator[None]:
        # The service knows no submission_id: a creation whose answer was lost must not be repeated by the SDK, or there
        # would be two timers. Only a request that was refused for an expired token is repeated.
        usual = self._client.retry_config
        checks = RetryCheckCollection()
        checks.register_check(check_expired_authorization)
        self._client.retry_config = dataclasses.replace(usual, checks=checks)
        try:
            with self._explained(f"create the timer {name!r}", effect="Nothing was created.", is_submission=True):
                yield
        except OutcomeUnknown as problem:
            raise OutcomeUnknown(
                f"It is not known whether Globus created the timer {name!r}",
                why=problem.why,
                remedy="`timer.py job list` shows whether it did; if not, run the same command again.",
            ) from problem
        finally:
            self._client.retry_config = usual

    def _explained(self, doing: str, *, effect: str = "", is_submission: bool = False) -> AbstractContextManager[None]:
        return failures.explained(
            doing, effect=effect, is_submission=is_submission, sign_in=self._sign_in, again=TRY_LATER
        )
