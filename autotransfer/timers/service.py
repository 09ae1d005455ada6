"""The acts of timer.py at Globus: consents that let a timer act, timers one by one, what their last tasks came to."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

from autotransfer.common.errors import (
    ConfigurationProblem,
    GlobusProblem,
    Problem,
    SignInNeeded,
    Unreachable,
    UsageProblem,
)
from autotransfer.common.settings import Settings
from autotransfer.globus.collections import Collections, not_ready
from autotransfer.globus.login import AskForCode, Login
from autotransfer.globus.tasks import Tasks
from autotransfer.globus.timers import TRY_LATER, Timers
from autotransfer.timers import describe


class Shown(NamedTuple):
    """A timer: the service's own document, what it tells a person, and its last task's, if Globus shows that."""

    document: dict[str, Any]
    job: describe.Job
    task: dict[str, Any] | None


class TimerService:
    """The timers of who is signed in. Use it in a `with` block.

    Args:
        settings: The route, which gives the login and the collections that are always wanted.
        command: How a person calls this script with the same configuration, for the remedies.
        ask: How to reach a person; None where there is none.
        must_hold: Whether a person must have signed in before.

    Raises:
        SignInNeeded: They must, and have not.
        ConfigurationProblem, GlobusProblem: The login cannot be read, or Globus be asked.
    """

    def __init__(
        self, settings: Settings, *, command: str, ask: AskForCode | None = None, must_hold: bool = True
    ) -> None:
        self._settings = settings
        self._command = command
        sign_in = f"{command} session login"
        self.login = Login(settings, ask=ask, wants_timers=True, sign_in_command=sign_in, again=TRY_LATER)
        if must_hold:
            self.login.must_hold()
        self.timers = Timers(self.login.timers, sign_in=sign_in)

    def __enter__(self) -> TimerService:
        return self

    def __exit__(self, *exception: object) -> None:
        self.login.__exit__(*exception)

    def sign_in(self, collection_ids: list[str], job_ids: list[str], *, tell_again: Callable[[], None]) -> None:
        """Have a person sign in where that is needed, with all that the route and these want; then prove the login.

        What the collections want can only be asked with a login: one made by test_config.py, or before, spares a second
        sign-in.

        Args:
            collection_ids, job_ids: Collections beside the route's, and timers that stand still.
            tell_again: Called before a second sign-in.

        Raises:
            SignInNeeded, UsageProblem, ConfigurationProblem, GlobusProblem: It did not work.
        """
        try:
            demand, is_known = self._learn_wishes(collection_ids, job_ids), True
        except SignInNeeded:
            demand, is_known = None, False
        is_needed, refused = (True, None) if demand else self._needs_sign_in()
        if is_needed:
            self.login.sign_in(refused=refused, demand=demand)
        if not is_known:
            demand = self._learn_wishes(collection_ids, job_ids)
            if demand or self.login.is_needed():
                tell_again()
                self.login.sign_in(demand=demand)
        self.login.prove()

    def _learn_wishes(self, collection_ids: list[str], job_ids: list[str]) -> dict[str, Any] | None:
        """Have the login hold the consents that the route's, these and the timers' collections want.

        Gives what the timers ask of the session, if anything.
        """
        ids, demand = [self._settings.src_id, self._settings.dst_id, *collection_ids], None
        for job_id in job_ids:
            document = self.timers.get(job_id)
            ids += describe.collection_ids(document)
            demand = describe.session_demand(document) or demand
        self._want_consents(ids)
        return demand

    def _needs_sign_in(self) -> tuple[bool, SignInNeeded | None]:
        """Whether a person must sign in, and what Globus refused, if it did."""
        try:
            if self.login.is_needed():
                return True, None
            self.login.prove()
        except SignInNeeded as refused:
            return True, refused
        return False, None

    def forget_login(self) -> bool:
        """Delete the stored login, without asking Globus; gives whether there was one.

        Raises:
            UsageProblem: A service account is configured.
            ConfigurationProblem: The file cannot be written.
        """
        self._refuse_service_account()
        return self.login.forget()

    def revoke_login(self) -> int:
        """Make Globus refuse the stored login, then delete it; gives how many refresh tokens were stored.

        Raises:
            UsageProblem: A service account is configured.
            SignInNeeded: Nothing is stored.
            GlobusProblem: Globus could not be reached, or still takes it.
        """
        self._refuse_service_account()
        revoked = self.login.revoke()
        self.login.forget()
        return revoked

    def _refuse_service_account(self) -> None:
        if self.login.is_service_account:
            raise UsageProblem(
                "A service account is configured: no login is stored here",
                remedy="To end it, delete its secret on the developers' page of Globus. Nothing was changed.",
            )

    def must_reach(self, collection_ids: list[str], *, effect: str) -> None:
        """Make sure that a timer with these collections may act for who is signed in.

        Raises:
            SignInNeeded: A consent is missing.
            UsageProblem, ConfigurationProblem, GlobusProblem: A collection cannot be used, or not be asked for.
        """
        wanted = self._want_consents(collection_ids)
        if wanted and not self.login.is_service_account and self.login.is_needed():
            login_command = " ".join([f"{self._command} session login", *(f"--collection {id_}" for id_ in wanted)])
            raise SignInNeeded(
                "A collection of the timer wants a consent that was not given yet",
                remedy=f"Run `{login_command}` in a terminal once: it asks for it. {effect}",
            )

    def _want_consents(self, collection_ids: list[str]) -> list[str]:
        """Have the login hold the consents that timers with these collections need; gives those that want one."""
        collections, found = Collections(self.login.transfer, again=TRY_LATER), []
        for collection_id in dict.fromkeys(collection_ids):
            try:
                collection = collections.get(collection_id)
            except ConfigurationProblem as problem:
                if collection_id in (self._settings.src_id, self._settings.dst_id):
                    raise
                raise UsageProblem(
                    f"{collection_id} is not a collection", why=problem.why, remedy="Nothing was created or changed."
                ) from problem
            unusable = None if collection.is_functional else not_ready(collection)
            if unusable is not None:
                raise unusable
            found.append(collection)
        wanted = [collection.id for collection in found if collection.wants_data_access]
        self.login.want_data_access(wanted)
        return wanted

    def all(self, *, with_deleted: bool) -> list[dict[str, Any]]:
        """The documents of every timer; of deleted ones only when told so."""
        found = self.timers.all(with_deleted=with_deleted)
        return [document for document in found if with_deleted or "delete" not in str(document.get("status"))]

    def pause(self, job_id: str) -> dict[str, Any]:
        """Keep a timer from running until it is resumed; gives its document."""
        self.timers.pause(job_id)
        return self.timers.get(job_id)

    def resume(self, job_id: str, *, update_credentials: bool) -> dict[str, Any]:
        """Let a timer run again, with the login of today when told so; gives its document.

        Raises:
            SignInNeeded: Today's login lacks a consent that it needs.
        """
        if update_credentials:
            ends = describe.collection_ids(self.timers.get(job_id))
            self.must_reach(ends, effect=f"The timer {job_id} is as it was.")
        self.timers.resume(job_id, update_credentials=update_credentials)
        return self.timers.get(job_id)

    def update(self, job_id: str, changes: dict[str, Any]) -> dict[str, Any]:
        """Change a timer; gives its document.

        Raises:
            GlobusProblem: The service left something as it was.
        """
        document = self.timers.update(job_id, changes)
        left = describe.unchanged(document, changes)
        if left:
            done = [name for name in changes if name not in left]
            raise GlobusProblem(
                f"Globus left the {' and the '.join(left).replace('_', ' ')} of the timer {job_id} as it was",
                why="the service accepted the request and answered with the old value",
                remedy=f"{'The ' + ' and the '.join(done) + ' changed. ' if done else ''}Make a new timer with "
                "`job transfer`, then delete this one.",
            )
        return document

    def with_task(self, document: dict[str, Any]) -> Shown:
        """A timer for a person, with what its last task came to."""
        job = describe.read_job(document, command=self._command)
        if not job.task_id:
            return Shown(document, job, None)
        try:
            task = Tasks(self.login.transfer, again=TRY_LATER).get(job.task_id)
        except Unreachable:
            raise
        except GlobusProblem:  # Globus keeps tasks for some months only, and shows them to who made them only
            task = None
        return Shown(document, job.with_task(task), task)

    def each(
        self, job_ids: Iterable[str], act: Callable[[TimerService, str], dict[str, Any]]
    ) -> tuple[list[dict[str, Any]], list[Problem]]:
        """Do one thing to each timer; gives the documents of those it worked for, and the problems of the others.

        Raises:
            Unreachable: The rest would fare no better.
        """
        documents, problems = [], []
        for job_id in dict.fromkeys(job_ids):
            try:
                documents.append(act(self, job_id))
            except Unreachable:
                raise
            except Problem as refused:
                problems.append(refused)
        return documents, problems
