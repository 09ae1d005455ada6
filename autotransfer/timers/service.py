"""What timer.py does at Globus: sign-in and consents, timers, and the outcome of their last tasks."""

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
    """A timer: its document, its description, and the document of its last task, if Globus shows that."""

    document: dict[str, Any]
    job: describe.Job
    task: dict[str, Any] | None


class TimerService:
    """The timers of the identity that is signed in. Use it in a `with` block.

    Args:
        settings: The route, which has the login and two of the collections.
        command: How to call this script with the same configuration, for the remedies.
        ask: How to ask a person for a code; None when there is nobody to ask.
        must_hold: Whether there must be a login already.

    Raises:
        SignInNeeded: There must be a login, and there is none.
        ConfigurationProblem, GlobusProblem: The login cannot be read, or Globus cannot be reached.
    """

    def __init__(
        self, settings: Settings, *, command: str, ask: AskForCode | None = None, must_hold: bool = True
    ) -> None:
        self._settings = settings
        self._command = command
        sign_in = f"{command} session login"
        self.login = Login(settings, ask=ask, wants_timers=True, sign_in_command=sign_in, again=TRY_LATER)
        try:
            if must_hold:
                self.login.must_hold()
        except BaseException:
            self.__exit__()
            raise
        self.timers = Timers(self.login.timers, sign_in=sign_in)

    def __enter__(self) -> TimerService:
        return self

    def __exit__(self, *exception: object) -> None:
        self.login.__exit__(*exception)

    def sign_in(self, collection_ids: list[str], job_ids: list[str], *, on_second: Callable[[], None]) -> None:
        """Have a person sign in if necessary, with every consent that the route and these require; then test the login.

        Only with a login can Globus be asked what the collections require: when there is one, one sign-in is enough.

        Args:
            collection_ids, job_ids: Collections beside the route's, and timers that are inactive.
            on_second: Called before a second sign-in.

        Raises:
            SignInNeeded, UsageProblem, ConfigurationProblem, GlobusProblem: The sign-in failed.
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
                on_second()
                self.login.sign_in(demand=demand)
        self.login.prove()

    def _learn_wishes(self, collection_ids: list[str], job_ids: list[str]) -> dict[str, Any] | None:
        """Add the consents that the collections of the route, these, and those of the timers require.

        Returns what the timers require of the session, or None.
        """
        ids, demand = [self._settings.src_id, self._settings.dst_id, *collection_ids], None
        for job_id in job_ids:
            document = self.timers.get(job_id)
            ids += describe.collection_ids(document)
            demand = describe.session_demand(document) or demand
        self._want_consents(ids)
        return demand

    def _needs_sign_in(self) -> tuple[bool, SignInNeeded | None]:
        """Whether a person must sign in, and Globus's refusal of the stored login, if there was one."""
        try:
            if self.login.is_needed():
                return True, None
            self.login.prove()
        except SignInNeeded as refused:
            return True, refused
        return False, None

    def forget_login(self) -> bool:
        """Delete the stored login here, without asking Globus; returns whether there was one.

        Raises:
            UsageProblem: A service account is configured.
            ConfigurationProblem: The file cannot be written.
        """
        self._refuse_service_account()
        return self.login.forget()

    def revoke_login(self) -> int:
        """Revoke the stored login at Globus, then delete it here; returns how many refresh tokens were stored.

        Raises:
            UsageProblem: A service account is configured.
            SignInNeeded: No login is stored.
            GlobusProblem: Globus could not be reached, or still accepts the login.
        """
        self._refuse_service_account()
        revoked = self.login.revoke()
        self.login.forget()
        return revoked

    def _refuse_service_account(self) -> None:
        if self.login.is_service_account:
            raise UsageProblem(
                "A service account is configured: no login is stored here",
                remedy="To end its access, delete its secret on the developers' page of Globus. Nothing was changed.",
            )

    def must_reach(self, collection_ids: list[str], *, effect: str) -> None:
        """Make sure that a timer with these collections may act for the identity that is signed in.

        Raises:
            SignInNeeded: A consent is missing.
            UsageProblem, ConfigurationProblem, GlobusProblem: A collection cannot be used, or cannot be asked for.
        """
        wanted = self._want_consents(collection_ids)
        if wanted and not self.login.is_service_account and self.login.is_needed():
            login_command = " ".join([f"{self._command} session login", *(f"--collection {id_}" for id_ in wanted)])
            raise SignInNeeded(
                "A collection of the timer requires a consent that has not been given",
                remedy=f"Run `{login_command}` in a terminal once to give it. {effect}",
            )

    def _want_consents(self, collection_ids: list[str]) -> list[str]:
        """Add the consents that timers with these collections need; returns the IDs of those that require one."""
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
        """The documents of all timers, those of deleted ones only if asked for."""
        found = self.timers.all(with_deleted=with_deleted)
        return [document for document in found if with_deleted or "delete" not in str(document.get("status"))]

    def pause(self, job_id: str) -> dict[str, Any]:
        """Pause a timer; returns its document."""
        self.timers.pause(job_id)
        return self.timers.get(job_id)

    def resume(self, job_id: str, *, update_credentials: bool) -> dict[str, Any]:
        """Resume a timer, with the present login if asked for; returns its document.

        Raises:
            SignInNeeded: The present login lacks a consent that it needs.
        """
        if update_credentials:
            ends = describe.collection_ids(self.timers.get(job_id))
            self.must_reach(ends, effect=f"The timer {job_id} is as it was.")
        self.timers.resume(job_id, update_credentials=update_credentials)
        return self.timers.get(job_id)

    def update(self, job_id: str, changes: dict[str, Any]) -> dict[str, Any]:
        """Change a timer; returns its document.

        Raises:
            GlobusProblem: The service did not make all the changes.
        """
        document = self.timers.update(job_id, changes)
        left = describe.unchanged(document, changes)
        if left:
            done = [name for name in changes if name not in left]
            raise GlobusProblem(
                f"Globus left the {' and the '.join(left).replace('_', ' ')} of the timer {job_id} as it was",
                why="the service accepted the request and answered with the old value",
                remedy=f"{'The ' + ' and the '.join(done) + ' changed. ' if done else ''}Create a new timer with "
                "`job transfer`, then delete this one.",
            )
        return document

    def with_task(self, document: dict[str, Any], *, is_deleted: bool = False) -> Shown:
        """A timer's description, with the outcome of its last task.

        Args:
            is_deleted: Whether it was deleted just now: the service answers with what it was before.
        """
        shown = {**document, "status": "deleted"} if is_deleted else document
        job = describe.read_job(shown, command=self._command)
        if not job.task_id:
            return Shown(document, job, None)
        try:
            task = Tasks(self.login.transfer, again=TRY_LATER).get(job.task_id)
        except Unreachable:
            raise
        except GlobusProblem:  # Globus keeps tasks for some months, and shows them only to their owner
            task = None
        return Shown(document, job.with_task(task), task)

    def each(
        self, job_ids: Iterable[str], act: Callable[[TimerService, str], dict[str, Any]]
    ) -> tuple[list[dict[str, Any]], list[Problem]]:
        """Do one thing to each timer; returns the documents where it worked, and the problems of the others.

        Raises:
            Unreachable: The others would fail too.
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
