"""Timers, and the scheduler that runs them.

Documented (docs.globus.org/api/timers, the service's OpenAPI description): ticks, skipping, retries, inactive
reasons, what resuming does. Assumed: a run that ends in an error counts as a run and as an error; one that is refused
for lack of consent or session counts as an error only, leaves no result, and is run again by resuming; which refusals
are transient (409, 429, 5xx) and that they are tried again every minute. Not built: at most one run a minute for all
timers of a person, and forgetting activity after 90 days.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from emulator.auth.consents import Consents
from emulator.auth.scopes import TIMER, TRANSFER_ALL, chain_text
from emulator.auth.state import Caller
from emulator.clock import Clock
from emulator.errors import TimersRefusal, TransferRefusal
from emulator.transfer.queue import TaskQueue
from emulator.transfer.submission import Submission
from emulator.transfer.task import Task

from .bodies import document_of_action, is_transfer_action
from .schedule import Schedule

RETRY_EVERY_SECONDS = 60
RETRY_AT_MOST_SECONDS = 45 * 60
THROUGH = (TIMER,)  # a timer reaches Transfer below its own scope
Submit = Callable[[Submission, Caller], "tuple[Task, bool]"]


@dataclass(frozen=True)
class Result:
    """The result of a run, as the service saw it when it submitted: it does not follow the task."""

    ran_at: datetime
    status: int
    action_id: str
    details: Mapping[str, Any] | None
    errors: Mapping[str, Any] | None


@dataclass
class Timer:
    """A timer, by either interface. `document` is the transfer of one made by the second.

    `consent_id` is the consent its credentials rest on: a consent given anew does not revive them.
    """

    owner: Caller
    consent_id: int
    name: str | None
    timer_type: str  # generic, transfer or flow
    schedule: Schedule
    callback_url: str
    callback_body: Mapping[str, Any]
    submitted_at: datetime
    next_run: datetime | None
    scope: str | None = None
    document: Mapping[str, Any] | None = None
    flow_id: str | None = None
    job_id: str = field(default_factory=lambda: str(uuid.uuid4()))
    n_runs: int = 0
    n_errors: int = 0
    last_ran_at: datetime | None = None
    results: list[Result] = field(default_factory=list)  # newest first
    task_ids: list[str] = field(default_factory=list)
    inactive_reason: Mapping[str, Any] | None = None
    retrying_since: datetime | None = None
    next_try: datetime | None = None
    is_deleted: bool = False
    is_updated: bool = False

    @property
    def status(self) -> str:
        """The word for its state; those of the first interface are documented by its former command line."""
        if self.is_deleted:
            return "deleted"
        if self.inactive_reason is not None:
            return "inactive"
        if self.next_run is None:
            return "ended"
        if self.is_updated:
            return "updated"
        return "new" if self.n_runs == 0 else "loaded"

    @property
    def due(self) -> datetime | None:
        """When it acts next, unless it is stopped."""
        if self.is_deleted or self.inactive_reason is not None:
            return None
        return self.next_run if self.next_try is None else self.next_try

    def transfer_document(self) -> Mapping[str, Any] | None:
        """The document that it submits to Transfer; None when it calls something else.

        Raises:
            TransferRefusal: 400, the body of its action holds no transfer.
        """
        if self.document is None and is_transfer_action(self.callback_url):
            return document_of_action(self.callback_body)
        return self.document


@dataclass
class Timers:
    """All timers, in the order they came."""

    clock: Clock
    queue: TaskQueue
    consents: Consents
    submit: Submit
    render: Callable[[Task], dict[str, Any]]
    submission_of: Callable[[Mapping[str, Any], int], Submission]
    timers: dict[str, Timer] = field(default_factory=dict)

    # --- what the routes ask ----------------------------------------------------------------------------------------

    def of(self, identity_id: str) -> list[Timer]:
        """The timers of a person, deleted ones too."""
        return [timer for timer in self.timers.values() if timer.owner.identity_id == identity_id]

    def find(self, job_id: str, identity_id: str, *, is_deleted_shown: bool = False) -> Timer:
        """A timer of a person.

        Raises:
            TimersRefusal: 404: there is none, it is somebody else's, or it was deleted (assumed).
        """
        timer = self.timers.get(job_id)
        if timer is None or timer.owner.identity_id != identity_id or (timer.is_deleted and not is_deleted_shown):
            raise TimersRefusal(404, f"Job {job_id} not found")
        return timer

    def credentials(self, caller: Caller) -> int:
        """The consent that a caller's timers rest on.

        Raises:
            TransferRefusal: 403 ConsentRequired, there is none.
        """
        consent = self.consents.find(caller.identity_id, caller.client_id, THROUGH)
        if consent is None:
            raise _lacks_consent("Missing required consent", (TIMER, TRANSFER_ALL))
        return consent.id

    def pause(self, timer: Timer) -> None:
        """Keep a timer from running.

        Raises:
            TimersRefusal: 409, it has ended (assumed).
        """
        if timer.inactive_reason is None:
            if timer.next_run is None:
                raise TimersRefusal(409, f"Job {timer.job_id} has ended")
            self._deactivate(timer, {"cause": "user", "detail": None})

    def resume(self, timer: Timer, caller: Caller, *, update_credentials: bool | None) -> None:
        """Let a timer run again; a run that was missed comes now, once.

        With `update_credentials` None, credentials are replaced when they were the trouble (documented).
        """
        reason = timer.inactive_reason
        if update_credentials is None:
            update_credentials = reason is not None and reason["cause"] != "user"
        if update_credentials:
            timer.consent_id = self.credentials(caller)
            timer.owner = caller
        if reason is None:
            return
        timer.inactive_reason = None
        now = self.clock.now()
        if timer.next_run is not None and timer.next_run <= now:
            timer.next_run = timer.schedule.within_end(now)

    def reschedule(self, timer: Timer, schedule: Schedule) -> None:
        """Give a timer another schedule; one that had ended goes on, until the new end (documented)."""
        now = self.clock.now()
        is_missed = timer.inactive_reason is not None and timer.next_run is not None and timer.next_run <= now
        timer.schedule = schedule
        if schedule.is_spent(timer.n_runs):
            timer.next_run = None
        elif is_missed or timer.next_try is not None:
            timer.next_run = schedule.within_end(timer.next_run or now)
        else:
            timer.next_run = schedule.tick_after(now)

    def delete(self, timer: Timer) -> None:
        """Take a timer out of operation for good; what it was can still be looked at."""
        timer.is_deleted = True

    # --- the scheduler ----------------------------------------------------------------------------------------------

    def next_moment(self, after: datetime) -> datetime | None:
        """The next moment at which something happens: a timer is due, or a task that one waits for ends."""
        moments = [timer.due for timer in self.timers.values()]
        for timer in self.timers.values():
            task = self.running_task(timer)
            end = None if task is None else self.queue.expected_end(task)
            if end is not None and end > after:
                moments.append(end)
        return min((moment for moment in moments if moment is not None), default=None)

    def run_due(self) -> None:
        """Run every timer whose time has come."""
        now = self.clock.now()
        for timer in list(self.timers.values()):
            if timer.due is not None and timer.due <= now:
                self._tick(timer, now)

    def settle(self) -> None:
        """End what is transient: a timer that was updated is scheduled again."""
        for timer in self.timers.values():
            timer.is_updated = False

    def running_task(self, timer: Timer) -> Task | None:
        """The task of the last run, if it has not ended."""
        task = self.queue.tasks.get(timer.task_ids[-1]) if timer.task_ids else None
        return task if task is not None and task.is_open else None

    def _tick(self, timer: Timer, now: datetime) -> None:
        if self.running_task(timer) is not None:  # skipped, and not counted (documented)
            timer.next_run = timer.schedule.tick_after(now)
            return
        try:
            result = self._run(timer, now)
        except TransferRefusal as refusal:
            parameters = refusal.extra.get("authorization_parameters")
            if parameters is not None:
                timer.n_errors += 1
                detail = {"code": refusal.code, "authorization_parameters": parameters}
                self._deactivate(timer, {"cause": "globus_auth_requirements", "detail": detail})
                return
            if _is_transient(refusal) and self._shall_retry(timer, now):
                return
            timer.n_errors += 1
            errors = {"code": refusal.code, "description": refusal.message}
            result = Result(now, refusal.status, _action_id(), None, errors)
        timer.results.insert(0, result)
        timer.retrying_since = timer.next_try = None
        timer.last_ran_at = now
        timer.n_runs += 1
        timer.next_run = None if timer.schedule.is_spent(timer.n_runs) else timer.schedule.tick_after(now)

    def _run(self, timer: Timer, now: datetime) -> Result:
        self._check_credentials(timer)
        document = timer.transfer_document()
        if document is None:
            message = f"The emulator makes no calls: POST {timer.callback_url} was not made"
            raise TransferRefusal(501, "NotImplemented", message)
        task, _ = self.submit(self.submission_of(document, timer.n_runs + 1), timer.owner)
        timer.task_ids.append(task.task_id)
        queued = Task(task.submission, task.owner_id, now, task.deadline, task.task_id)
        details = {**self.render(queued), "event_list": []}
        return Result(now, 202, _action_id(), details, None)

    def _check_credentials(self, timer: Timer) -> None:
        """See that the consent of old is still there: the timer's refresh token died with it (documented)."""
        consent = self.consents.find(timer.owner.identity_id, timer.owner.client_id, THROUGH)
        if consent is None or consent.id != timer.consent_id:
            raise _lacks_consent("The consent that this timer rests on was withdrawn", (TIMER, TRANSFER_ALL))

    def _deactivate(self, timer: Timer, reason: Mapping[str, Any]) -> None:
        timer.inactive_reason = reason
        timer.retrying_since = timer.next_try = None

    def _shall_retry(self, timer: Timer, now: datetime) -> bool:
        """Whether a run is tried again: for half the interval, at most 45 minutes, not below 2 minutes (documented)."""
        interval_seconds = timer.schedule.interval_seconds
        window_seconds: float = RETRY_AT_MOST_SECONDS
        if interval_seconds is not None:
            window_seconds = min(window_seconds, interval_seconds / 2 if interval_seconds >= 120 else 0)
        since = timer.retrying_since or now
        next_try = now + timedelta(seconds=RETRY_EVERY_SECONDS)
        if next_try > since + timedelta(seconds=window_seconds + 1):  # each try begins a little after its moment
            return False
        timer.retrying_since, timer.next_try = since, next_try
        return True


def _is_transient(refusal: TransferRefusal) -> bool:
    return refusal.status in (409, 429) or (refusal.status >= 500 and refusal.status != 501)


def _lacks_consent(message: str, chain: tuple[str, ...]) -> TransferRefusal:
    scopes = [chain_text(chain).replace("*", "")]
    parameters = {"required_scopes": scopes, "session_message": message}
    return TransferRefusal(403, "ConsentRequired", message, required_scopes=scopes, authorization_parameters=parameters)


def _action_id() -> str:
    """An id in the form of the action provider's (recorded)."""
    return uuid.uuid4().hex[:13]
