"""Recurring transfers hosted by the Globus Timers service.

Two interfaces meet here: POST /v2/timer makes transfer timers; everything else, also of those, goes through /jobs/.
Source: the service's OpenAPI description and docs.globus.org/api/timers.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Any

import globus_sdk

from autotransfer.globus import failures

NOTHING_CREATED = "Nothing was created."


class Timers:
    """Asks the Timers service."""

    def __init__(self, client: globus_sdk.TimersClient) -> None:
        self._client = client

    def create_transfer(self, document: dict[str, Any]) -> dict[str, Any]:
        """Make a transfer timer (POST /v2/timer); gives its document.

        Raises:
            SignInNeeded, ConfigurationProblem, GlobusProblem: It was refused, or the answer was lost.
        """
        with _explained(f"create the timer {document['name']!r}", effect=NOTHING_CREATED):
            timer: dict[str, Any] = self._client.create_timer(document)["timer"]
            return timer

    def create_generic(self, document: dict[str, Any]) -> dict[str, Any]:
        """Make a timer that calls any action provider (POST /jobs/); gives its document."""
        with _explained(f"create the timer {document['name']!r}", effect=NOTHING_CREATED):
            return dict(self._client.create_job(document).data)

    def all(self, *, with_deleted: bool) -> list[dict[str, Any]]:
        """The documents of this identity's timers (GET /jobs/); deleted ones too, as far as the service gives them."""
        with _explained("list the timers"):
            query = {"show_deleted": "true"} if with_deleted else {}
            return list(self._client.list_jobs(query_params=query)["jobs"])

    def get(self, job_id: str) -> dict[str, Any]:
        """The timer's document with its last results (GET /jobs/ID)."""
        with _explained(f"show the timer {job_id}"):
            return dict(self._client.get_job(job_id).data)

    def update(self, job_id: str, changes: dict[str, Any]) -> dict[str, Any]:
        """Change a timer (PATCH /jobs/ID); gives its document."""
        with _explained(f"update the timer {job_id}", effect="It is as it was."):
            return dict(self._client.update_job(job_id, changes).data)

    def delete(self, job_id: str) -> dict[str, Any]:
        """Take a timer out of operation (DELETE /jobs/ID); gives its last document."""
        with _explained(f"delete the timer {job_id}", effect="It goes on as before."):
            return dict(self._client.delete_job(job_id).data)

    def pause(self, job_id: str) -> None:
        """Keep a timer from running until it is resumed."""
        with _explained(f"pause the timer {job_id}", effect="It goes on as before."):
            self._client.pause_job(job_id)

    def resume(self, job_id: str, *, update_credentials: bool) -> None:
        """Let a timer run again, with this login in place of the one it was made with when told so."""
        with _explained(f"resume the timer {job_id}", effect="It still does not run."):
            self._client.resume_job(job_id, update_credentials=update_credentials)


def _explained(doing: str, *, effect: str = "") -> AbstractContextManager[None]:
    return failures.explained(doing, effect=effect, sign_in="timer.py session login")
