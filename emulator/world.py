"""Everything the emulated Globus is: time, collections, people, tasks, faults. No HTTP here."""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from .auth.scopes import TIMERS, TRANSFER, TRANSFER_ALL, chain_text, data_access_scope
from .auth.state import AuthState, Caller, Token
from .clock import Clock
from .errors import TimersRefusal, TransferRefusal, endpoint_not_found, unauthenticated
from .faults import Fault, FaultRules, LoggedRequest
from .timers.bodies import submission
from .timers.requests import UPDATABLE
from .timers.scheduler import THROUGH, Timer, Timers
from .transfer.collection import Collection
from .transfer.documents import task_document
from .transfer.odd_lists import OddList, OddLists
from .transfer.outcome_rules import OutcomeRule, OutcomeRules
from .transfer.queue import PathConflict, Progress, TaskQueue
from .transfer.submission import Limits, Submission
from .transfer.task import Task

__all__ = ["Collection", "Fault", "Limits", "OutcomeRule", "Task", "World"]

_JUST_AFTER_MICROSECONDS = 10  # so that rounding cannot put the present before the moment


@dataclass
class World:
    """The state behind the emulator, and everything a test may do to it.

    Every public method may be called from any thread; `lock` is held while a request is served.

    Attributes:
        clock: The present; move it with `clock.advance(seconds)` or `clock.set(moment)`.
        collections: By id.
        queue: The queue and its tasks.
        auth: People, clients, tokens, consents.
        limits: How large requests may be; no limit by default.
        page_size: Entries on a page of successful_transfers and skipped_errors.
        timers: Everything about recurring transfers.
        updatable_timer_fields: What PATCH changes of a timer; other fields are ignored.
        faults: HTTP faults to come.
        outcomes: Rules about how tasks go.
        odd_lists: What is odd about the lists and counts of ended tasks.
        requests: The imitated requests so far.
    """

    clock: Clock = field(default_factory=Clock)
    collections: dict[str, Collection] = field(default_factory=dict)
    limits: Limits = field(default_factory=Limits)
    page_size: int = 1000
    updatable_timer_fields: frozenset[str] = UPDATABLE
    requests: list[LoggedRequest] = field(default_factory=list)
    lock: threading.RLock = field(default_factory=threading.RLock, repr=False)
    _faults: FaultRules = field(default_factory=FaultRules)
    _outcomes: OutcomeRules = field(default_factory=OutcomeRules)
    odd_lists: OddLists = field(default_factory=OddLists)

    def __post_init__(self) -> None:
        self.auth = AuthState(self.clock, self._has_scope)
        self.queue = TaskQueue(self.clock, self._outcomes, self.collection, Progress("immediate"))
        self.timers = Timers(
            clock=self.clock,
            queue=self.queue,
            consents=self.auth.consents,
            submit=self.submit,
            render=lambda task: task_document(task, self.queue, self.auth, self.clock),
            submission_of=lambda document, run: submission(document, self.limits, run=run),
        )
        self._followed_until = self.clock.now()

    # --- what there is ----------------------------------------------------------------------------------------------

    @property
    def tasks(self) -> dict[str, Task]:
        """All tasks by id, in the order they were accepted."""
        return self.queue.tasks

    @property
    def conflicts(self) -> list[PathConflict]:
        """Every path that two open tasks carried at once."""
        return self.queue.conflicts

    @property
    def faults(self) -> list[Fault]:
        """The HTTP faults to come."""
        return self._faults.faults

    @property
    def fault_rules(self) -> FaultRules:
        """The HTTP faults, as the middleware asks for them."""
        return self._faults

    @property
    def outcomes(self) -> list[OutcomeRule]:
        """The rules about how tasks go."""
        return self._outcomes.rules

    def add_collection(self, collection: Collection) -> None:
        """Add a collection; a guest without a root takes its host's.

        Raises:
            ValueError: No root, and no host to take one from.
        """
        if collection.root is None:
            host = self.collections.get(collection.host_id or "")
            if host is None or host.root is None:
                raise ValueError(f"collection {collection.id} has neither a root nor a known host")
            collection.root = host.root / collection.subfolder.strip("/")
        collection.id = collection.id.lower()
        self.collections[collection.id] = collection

    def collection(self, collection_id: str) -> Collection:
        """The collection with this id.

        Raises:
            TransferRefusal: 404 EndpointNotFound.
        """
        collection = self.collections.get(collection_id.lower())
        if collection is None:
            raise endpoint_not_found(collection_id)
        return collection

    def _has_scope(self, collection_id: str, kind: str) -> bool:
        collection = self.collections.get(collection_id)
        if collection is None:
            return False
        return collection.demands_data_access if kind == "data_access" else collection.type != "gcp"

    # --- what services ask ------------------------------------------------------------------------------------------

    def transfer_caller(self, bearer: str | None) -> Caller:
        """Who a bearer token speaks for at the Transfer service.

        Raises:
            TransferRefusal: 401: none, unknown, expired, revoked, or a token for another service.
        """
        if not bearer:
            raise unauthenticated("No credentials supplied")
        token = self._access_token(bearer, TRANSFER)
        if token is None:
            raise unauthenticated("Token is not active")
        return Caller(token.identity_id, token.client_id)

    def timers_caller(self, bearer: str | None) -> Caller:
        """Who a bearer token speaks for at the Timers service, as its timers will speak to Transfer.

        Raises:
            TimersRefusal: 401 (assumed text).
        """
        token = self._access_token(bearer or "", TIMERS)
        if token is None:
            raise TimersRefusal(401, "Missing or invalid credentials")
        return Caller(token.identity_id, token.client_id, THROUGH)

    def _access_token(self, bearer: str, server: str) -> Token | None:
        token = self.auth.active_token(bearer)
        is_good = token is not None and token.kind == "access" and token.resource_server == server
        return token if is_good else None

    def usable_collection(self, collection_id: str, caller: Caller) -> Collection:
        """A collection the caller may use now: permission, session and consent are in order.

        Raises:
            TransferRefusal: 404, or 403 with what is missing.
        """
        collection = self.collection(collection_id)
        if collection.allowed_identities is not None and caller.identity_id not in collection.allowed_identities:
            message = f"No effective ACL rules on the endpoint {collection.title}"  # observed
            raise TransferRefusal(403, "PermissionDenied", message)
        if collection.id in self.auth.session_expired:
            self._refuse_session(caller)
        needed = data_access_scope(collection.id)
        chain = (*caller.through, TRANSFER_ALL, needed)
        if collection.demands_data_access and not self.auth.consents.has_chain(
            caller.identity_id, caller.client_id, chain
        ):
            message = "Missing required data_access consent"
            scopes = [chain_text(chain)]
            parameters = {"required_scopes": scopes, "session_message": message}
            raise TransferRefusal(
                403, "ConsentRequired", message, required_scopes=scopes, authorization_parameters=parameters
            )
        return collection

    def _refuse_session(self, caller: Caller) -> None:
        message = "Session reauthentication required"
        parameters = {"session_message": message, "session_required_identities": [caller.identity_id]}
        raise TransferRefusal(403, "AuthPolicyFailed", message, authorization_parameters=parameters)

    def submit(self, submission: Submission, caller: Caller) -> tuple[Task, bool]:
        """The task a submission makes, and whether it is new. The same submission id always returns the same task.

        Raises:
            TransferRefusal: A collection is unknown, not usable or offline, or the paths are in a task already.
        """
        known = self.queue.duplicate_of(submission.submission_id)
        if known is not None:
            return known, False
        for collection_id in (submission.source_id, submission.destination_id):
            if collection_id is None:
                continue
            side = self.usable_collection(collection_id, caller)
            if side.is_offline:
                message = f"The Globus Connect Personal endpoint '{side.title}' is not currently connected to Globus"
                raise TransferRefusal(409, "GCDisconnectedException", message)  # observed
            if side.is_halted:
                message = f"The Globus Connect Personal endpoint '{side.title}' is paused"
                raise TransferRefusal(409, "GCPausedException", message)  # assumed
        return self.queue.accept(submission, caller.identity_id), True

    def add_timer(self, timer: Timer) -> None:
        """Let a new timer run, if its owner may use the collections now (assumed: unknown ones show at the runs).

        Raises:
            TransferRefusal: 403, a consent, the session or the permission is missing.
        """
        try:
            document = timer.transfer_document() or {}
        except TransferRefusal:
            document = {}  # the first interface takes any body; what it is worth shows at the runs
        for name in ("source_endpoint", "destination_endpoint"):
            if str(document.get(name)).lower() in self.collections:
                self.usable_collection(document[name], timer.owner)
        self.timers.timers[timer.job_id] = timer

    def poll(self, task_id: str, caller: Caller) -> Task:
        """A task, asked for by its owner: the asking itself can move it on.

        Raises:
            TransferRefusal: 404 or 403.
        """
        task = self.queue.find(task_id, caller.identity_id)
        self.queue.poll(task)
        return self.queue.find(task_id, caller.identity_id)

    def advance(self) -> None:
        """Let everything that follows the clock catch up with it, timers at the moments they were due."""
        with self.lock:
            now = self.clock.now()
            moment = self.timers.next_moment(min(self._followed_until, now))
            while moment is not None and moment <= now:
                with self.clock.at(moment + timedelta(microseconds=_JUST_AFTER_MICROSECONDS)):
                    self.queue.advance()
                    self.timers.run_due()
                moment = self.timers.next_moment(moment)
            self._followed_until = now
            self.queue.advance()
            self.timers.settle()

    # --- what tests do ----------------------------------------------------------------------------------------------

    def set_progress(self, mode: str) -> None:
        """How tasks progress from now: `immediate`, `polls:N`, `seconds:S`."""
        with self.lock:
            self.queue.progress = Progress.parse(mode)

    def advance_clock(self, seconds: float) -> None:
        """Move the present, and let everything follow."""
        with self.lock:
            self.clock.advance(seconds)
            self.advance()

    def set_clock(self, moment: datetime) -> None:
        """Make `moment` the present, and let everything follow."""
        with self.lock:
            self.clock.set(moment)
            self.advance()

    def add_fault(self, route: str, **what: Any) -> Fault:
        """An HTTP fault for requests that match "METHOD /path-pattern"; see `Fault` for the rest."""
        with self.lock:
            fault = Fault(route=route, **what)
            self._faults.faults.append(fault)
            return fault

    def clear_faults(self) -> None:
        """No more HTTP faults; requests that are held go on."""
        with self.lock:
            self._faults.clear()

    def add_outcome(self, outcome: str, **what: Any) -> OutcomeRule:
        """A rule about how tasks go; see `OutcomeRule` for the rest."""
        with self.lock:
            rule = OutcomeRule(outcome=outcome, **what)
            self._outcomes.rules.append(rule)
            return rule

    def clear_outcomes(self) -> None:
        """No more rules about how tasks go."""
        with self.lock:
            self._outcomes.rules.clear()

    def add_odd_list(self, kind: str, **what: Any) -> OddList:
        """An oddity of what is said about ended tasks; see `OddList` for the rest."""
        with self.lock:
            rule = OddList(kind=kind, **what)
            self.odd_lists.rules.append(rule)
            return rule

    def clear_odd_lists(self) -> None:
        """No more oddities, also of tasks that had them."""
        with self.lock:
            self.odd_lists.rules.clear()

    def keep_seeing(self, collection_id: str, path: str) -> None:
        """Let transfer nodes see a file as it is now, or see none, until `see_all`."""
        with self.lock:
            self.queue.view.keep(self.collection(collection_id).local_path(path))

    def see_all(self) -> None:
        """Let transfer nodes see all files as they are."""
        with self.lock:
            self.queue.view.clear()

    def change_task(
        self,
        task_id: str,
        *,
        pause: bool | None = None,
        inactive: bool | None = None,
        cancel_by_admin: str | None = None,
        message: str | None = None,
        forget: bool = False,
        history_deleted: bool = False,
    ) -> None:
        """Do to a task what its owner cannot.

        Raises:
            TransferRefusal: 404, no such task.
        """
        with self.lock:
            task = self.queue.find(task_id)
            if pause is not None:
                self.queue.pause(task, pause)
            if inactive is not None:
                self.queue.set_inactive(task, inactive)
            if cancel_by_admin is not None:
                self.queue.cancel(task, by_admin=cancel_by_admin, message=message)
            if history_deleted:
                task.forget_details()
            if forget:
                self.queue.forget(task)
            self.advance()

    def change_collection(self, collection_id: str, **fields: Any) -> Collection:
        """Change any field of a collection.

        Raises:
            ValueError: No such field, or no such type.
            TransferRefusal: 404, no such collection.
        """
        with self.lock:
            collection = self.collection(collection_id)
            known = {entry.name for entry in dataclasses.fields(Collection)} - {"id"}
            for name, value in fields.items():
                if name not in known:
                    raise ValueError(f"a collection has no field {name!r}")
                setattr(collection, name, Path(value) if name == "root" else value)
            collection.__post_init__()
            return collection

    def change_auth(
        self,
        *,
        revoke: str | None = None,
        expire_access_tokens: bool = False,
        access_token_lifetime_seconds: int | None = None,
        consents_refused: bool | None = None,
        require_login: bool | None = None,
        session_expired: Iterable[str] | None = None,
    ) -> None:
        """Change what Globus Auth allows. `revoke` is refresh_tokens, access_tokens or consents.

        Raises:
            ValueError: Nothing of that name can be revoked.
        """
        with self.lock:
            if revoke == "consents":
                self.auth.rescind_consents()
            elif revoke in ("refresh_tokens", "access_tokens"):
                self.auth.revoke_all(revoke.partition("_")[0])
            elif revoke is not None:
                raise ValueError("revoke is one of refresh_tokens, access_tokens, consents")
            if expire_access_tokens:
                self.auth.expire_access_tokens()
            if access_token_lifetime_seconds is not None:
                self.auth.access_token_lifetime_seconds = access_token_lifetime_seconds
            if consents_refused is not None:
                self.auth.are_consents_refused = consents_refused
            if require_login is not None:
                self.auth.is_login_required = require_login
            if session_expired is not None:
                self.auth.session_expired = set(session_expired)


def make_world(collections: Iterable[Collection], progress: str, options: Mapping[str, Any] | None = None) -> World:
    """A world with these collections, hosts before guests."""
    world = World(**dict(options or {}))
    world.set_progress(progress)
    for collection in sorted(collections, key=lambda each: each.root is None):
        world.add_collection(collection)
    return world
