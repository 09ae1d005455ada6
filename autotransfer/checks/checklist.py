"""Everything that a run needs, checked item by item, with a remedy for each failure. For test_config.py.

Local checks come first, and need neither a network nor globus_sdk. A check that depends on a failed one is skipped.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import TYPE_CHECKING, NamedTuple, Protocol, TypeVar

from autotransfer.checks.collections import MOST_NAMES, DestinationView, SourceView, names_on_disk
from autotransfer.checks.optional import options_set, refuse_unmet
from autotransfer.checks.permissions import refuse_open_files
from autotransfer.common.config_files import RESTORE
from autotransfer.common.errors import ConfigurationProblem, ExitStatus, Problem, SignInNeeded, reason
from autotransfer.common.files import NAMES, refuse_unusable, what_to_do
from autotransfer.common.paths import TEST_PREFIX
from autotransfer.common.service import remark
from autotransfer.common.settings import Settings
from autotransfer.common.times import NS_PER_SECOND, utc_text
from autotransfer.datastore.opening import compare_marks, refuse_lost, restored_text
from autotransfer.datastore.store import FORMAT_VERSION, Store
from autotransfer.datastore.traces import newest
from autotransfer.plan.own_places import refuse_own_files_inside
from autotransfer.plan.source_check import check_root
from autotransfer.scan.folders import open_root

if TYPE_CHECKING:
    from autotransfer.globus.collections import Collection, Collections
    from autotransfer.globus.login import Login

# Source: the SDK accepts an id_token whose times are at most 300 s off (its leeway).
MOST_CLOCK_SECONDS = 300

# A sign-in can lead to one more requirement (a consent, a session), but not to an endless series.
MOST_SIGN_INS = 3

# Errors that a reader of SQLite gets although nothing is wrong: a run that writes much locks readers out until it
# commits, and after a crash only a writer can restore the last commit.
BUSY = {
    "database is locked": "A run is writing to it at the moment.",
    "attempt to write a readonly database": "A run was cut off while it wrote; the next run rolls that back.",
}

Result = TypeVar("Result")


class Ask(Protocol):
    """Shows a person the link for signing in and the reason, and returns the code that they enter."""

    def __call__(self, url: str, *, why: str) -> str: ...


class Check(NamedTuple):
    """The result of one check.

    Args:
        name: The setting or thing that was checked.
        ok: Whether it passed; None if it was skipped, because it depends on one that failed.
        what: What was found, in one clause; every check has it.
        why: The reason in the system's own words, or a remark; may have several lines.
        remedy: What to do; empty if nothing has to be done.
        exit_status: What test_config.py ends with if this is the first check that fails.
        variable: The variable of this shell that it rests on, which cron does not set.
    """

    name: str
    ok: bool | None
    what: str
    why: str = ""
    remedy: str = ""
    exit_status: ExitStatus = ExitStatus.DONE
    variable: str = ""


class Found(NamedTuple):
    """What a check that passed found, with an optional remark, advice, and variable of this shell that it rests on."""

    what: str
    why: str = ""
    remedy: str = ""
    variable: str = ""


class Checks:
    """All checks of one route, for use in a `with` block. They take no lock and change no record.

    Args:
        load: Returns the settings, or raises what is wrong with them.
        ask: Asks a person to sign in; None: nobody is asked.
        sign_in_command: The command for signing in that remedies name.
        clock: Returns the time in seconds since the epoch.
    """

    def __init__(
        self,
        load: Callable[[], Settings],
        *,
        ask: Ask | None,
        sign_in_command: str,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._load = load
        self._ask = ask
        self._sign_in_command = sign_in_command
        self._clock = clock
        self._stack = ExitStack()
        self._passed: set[str] = set()
        self._found_collections: dict[str, Collection] = {}
        self._sign_ins = 0
        self._why_asked = ""
        self._settings: Settings
        self._root_fd: int
        self._login: Login
        self._collections: Collections

    def __enter__(self) -> Checks:
        return self

    def __exit__(self, *exception: object) -> None:
        self._stack.close()

    def each(self) -> Iterator[Check]:
        """Run the checks in order; each depends only on earlier ones."""
        table: tuple[tuple[str, tuple[str, ...], Callable[[], Found]], ...] = (
            ("settings", (), self._check_settings),
            ("SRC_DIR", ("settings",), self._check_src_dir),
            ("CODE_PATH", ("settings",), self._check_code_path),
            ("datastore", ("CODE_PATH",), self._check_datastore),
            ("permissions", ("settings",), self._check_permissions),
            ("options", ("settings",), self._check_options),
            ("globus_sdk", ("settings",), self._check_sdk),
            ("clock", ("globus_sdk",), self._check_clock),
            ("login", ("CODE_PATH", "clock"), self._check_login),
            ("SRC_ID", ("login",), lambda: self._check_collection("SRC_ID", self._settings.src_id)),
            ("DST_ID", ("login",), lambda: self._check_collection("DST_ID", self._settings.dst_id)),
            ("consent", ("login",), self._check_consent),
            ("SRC_PATH", ("SRC_DIR", "SRC_ID", "consent"), self._check_src_path),
            ("DST_DIR", ("DST_ID", "consent"), self._check_dst_dir),
        )
        for name, needs, check in table:
            missing = next((need for need in needs if need not in self._passed), None)
            if missing:
                yield Check(name, None, f"not checked, because it needs {missing}")
                continue
            try:
                found = check()
            except Problem as problem:
                details = problem.details if isinstance(problem, ConfigurationProblem) else ()
                why = "\n".join(details) if details else problem.why
                yield Check(name, False, problem.what, why, problem.remedy, problem.exit_status)
            else:
                self._passed.add(name)
                yield Check(name, True, found.what, found.why, found.remedy, variable=found.variable)

    # ---- on this machine -----------------------------------------------------------------------------------------

    def _check_settings(self) -> Found:
        self._settings = self._load()
        settings = self._settings
        refuse_own_files_inside(settings)
        is_local = bool(settings.local_file) and os.path.exists(settings.local_file)
        found = f"{settings.local_file if is_local else settings.config_file} is complete"
        if not settings.edited:
            return Found(found)
        return Found(
            found,
            f"{settings.config_file} itself was edited ({', '.join(settings.edited)}), so `git pull` may refuse to "
            "replace it.",
            f"Move these lines to {settings.local_file}, which wins where both have one. Then restore the original: "
            f"{RESTORE}",
        )

    def _check_src_dir(self) -> Found:
        self._root_fd = open_root(self._settings.src_dir)
        self._stack.callback(os.close, self._root_fd)
        names = names_on_disk(self._settings, self._root_fd, MOST_NAMES + 1)
        count = f"more than {MOST_NAMES:,}" if len(names) > MOST_NAMES else f"{len(names):,}"
        remark = "" if names else "It is empty, so there is nothing to send yet."
        return Found(f"{self._settings.src_dir} can be read; entries at its top: {count}", remark)

    def _check_code_path(self) -> Found:
        folder = self._settings.code_path
        try:
            with tempfile.NamedTemporaryFile(prefix=TEST_PREFIX, dir=folder) as probe:
                probe.write(b"written by test_config.py\n")
                probe.flush()
                os.fsync(probe.fileno())
        except OSError as error:
            remedy = what_to_do(os.path.join(folder, TEST_PREFIX), error)
            raise ConfigurationProblem(
                f"Cannot write in CODE_PATH {folder}", why=reason(error), remedy=remedy
            ) from None
        for name in NAMES:
            refuse_unusable(self._settings.state_file(name))
        return Found(f"{folder} and this tool's own files in it can be written")

    def _check_datastore(self) -> Found:
        path = self._settings.state_file("datastore")
        marks = newest(self._settings)
        is_there = refuse_unusable(path)
        if not is_there or not os.path.getsize(path):
            refuse_lost(path, marks, "empty" if is_there else "gone")
            return Found("none yet; the first run creates it")
        try:
            with Store(path, is_read_only=True) as store, store.explained():
                if store.is_blank:
                    refuse_lost(path, marks, "empty")
                compare_marks(store, marks)
                remark = restored_text(store)
                if store.shelf.get("ROUTE") is not None:
                    store.claim(self._settings.route)
                    store.refuse_other_service(self._settings.service)
                if "SRC_DIR" in self._passed:
                    check_root(self._settings, store, self._root_fd)
                tasks = len(store.ledger.open)
        except ConfigurationProblem as problem:
            for words, remark in BUSY.items():
                if words in problem.why:
                    return Found(f"{path} was not read", remark)
            raise
        return Found(f"{path} is of format {FORMAT_VERSION} and about this route; open tasks: {tasks:,}", remark)

    def _check_permissions(self) -> Found:
        refuse_open_files(self._settings)
        return Found("only this user can read the secrets and write the configuration")

    def _check_options(self) -> Found:
        names = options_set(self._settings)
        refuse_unmet(self._settings)
        remark = "PING_URL was not tried: a ping would report a successful run." if "PING_URL" in names else ""
        command = self._settings.on_problem
        is_bare = bool(command) and "/" not in command[0]
        advice = "Name the program of ON_PROBLEM with its full path: cron's PATH is short." if is_bare else ""
        return Found(
            f"everything that {', '.join(names)} need is there" if names else "none that needs anything is set",
            remark,
            advice,
        )

    # ---- Globus itself -------------------------------------------------------------------------------------------

    def _check_sdk(self) -> Found:
        try:
            from autotransfer.globus import login
        except ImportError as error:
            raise ConfigurationProblem(
                "This Python has no globus_sdk, or one that is too old",
                why=str(error),
                remedy="Run `make install` beside the scripts and use the Python of its .venv, or install "
                "`globus-sdk>=4.2,<5` for this one.",
            ) from None
        service = self._settings.service
        if service.is_globus:
            return Found(f"version {login.SDK_VERSION}")
        what = f"version {login.SDK_VERSION}. {remark(service.name)} {service.cause}."
        return Found(what, variable=service.variable)

    def _check_clock(self) -> Found:
        from autotransfer.globus.login import service_time_seconds

        theirs = service_time_seconds()
        ours = self._clock()
        # The header has whole seconds, and the answer took a moment.
        if abs(ours - theirs) <= MOST_CLOCK_SECONDS:
            return Found(f"within {max(2, round(abs(ours - theirs)))} s of Globus's")
        raise ConfigurationProblem(
            f"This machine's clock is {abs(ours - theirs) / 60:,.0f} minutes {'fast' if ours > theirs else 'slow'}",
            why=f"it is {_utc(ours)} here and {_utc(theirs)} at Globus",
            remedy="Set the clock, best with NTP. While it is wrong, signing in fails and times of transfers mislead.",
        )

    def _check_login(self) -> Found:
        from autotransfer.globus.collections import Collections
        from autotransfer.globus.login import SECRET_VARIABLE, Login

        ask = None if self._ask is None else self._asked
        self._login = self._stack.enter_context(Login(self._settings, ask=ask))
        self._collections = Collections(self._login.transfer)
        if not self._login.is_service_account and self._login.is_needed():
            self._sign_in(SignInNeeded("Not signed in to Globus", why="no login for this route is stored in CODE_PATH"))
        self._signed_in(self._login.prove)
        identity = self._signed_in(self._login.identity)
        if self._login.is_service_account and not self._settings.client_secret_file:
            return Found(
                f"signed in as {identity}",
                f"The secret came from {SECRET_VARIABLE}, which a crontab's commands do not see.",
                "Put the secret into a file that only this user can read, and name it in CLIENT_SECRET_FILE.",
                variable=SECRET_VARIABLE,
            )
        return Found(f"signed in as {identity}")

    def _asked(self, url: str) -> str:
        assert self._ask is not None
        return self._ask(url, why=self._why_asked)

    def _sign_in(self, needed: SignInNeeded) -> None:
        if self._ask is None or self._login.is_service_account or self._sign_ins >= MOST_SIGN_INS:
            raise SignInNeeded(
                needed.what,
                why=needed.why,
                remedy=needed.remedy
                if self._login.is_service_account
                else f"Run this in a terminal once; cron then continues by itself:\n{self._sign_in_command}",
            ) from needed
        self._sign_ins += 1
        self._why_asked = str(Problem(needed.what, why=needed.why))
        self._login.sign_in(refused=needed)

    def _signed_in(self, act: Callable[[], Result]) -> Result:
        """Do it. If Globus requires a person to sign in for it, have them do so, and do it once more."""
        try:
            return act()
        except SignInNeeded as needed:
            self._sign_in(needed)
        return act()

    # ---- the two collections ----------------------------------------------------------------------------------------

    def _check_collection(self, setting: str, collection_id: str) -> Found:
        from autotransfer.globus.collections import not_ready

        try:
            end = self._signed_in(lambda: self._collections.get(collection_id))
        except ConfigurationProblem as problem:
            raise ConfigurationProblem(
                problem.what,
                why=problem.why,
                remedy=f"Correct {setting}: copy the UUID from the collection's page in the Globus web app.",
            ) from problem
        self._found_collections[setting] = end
        if refusal := not_ready(end):
            raise refusal
        return Found(f"collection {end.title} is ready")

    def _check_consent(self) -> Found:
        wanting = {end.id: end.title for end in self._found_collections.values() if end.wants_data_access}
        if not wanting:
            return Found("neither collection requires one" if self._found_collections else "none is known to be needed")
        titles = " and ".join(wanting.values())
        self._login.want_data_access(list(wanting))
        if not self._login.is_service_account and self._signed_in(self._login.is_needed):
            missing = SignInNeeded(
                f"The data_access consent for {titles} was not given",
                why="the kind of a collection is only known after signing in; this sign-in asks for all consents",
            )
            self._sign_in(missing)
            if self._login.is_needed():
                raise SignInNeeded(
                    missing.what, remedy="Run test_config.py again and allow everything that the page asks for."
                )
        return Found(f"data_access is given for {titles}")

    def _check_src_path(self) -> Found:
        title = self._found_collections["SRC_ID"].title
        view = SourceView(self._settings, self._root_fd, self._collections, title=title, signed_in=self._signed_in)
        return Found(view.check())

    def _check_dst_dir(self) -> Found:
        root_fd = self._root_fd if "SRC_DIR" in self._passed else None
        return Found(*DestinationView(self._settings, root_fd, self._collections, signed_in=self._signed_in).check())


def _utc(seconds: float) -> str:
    return utc_text(int(seconds) * NS_PER_SECOND)
