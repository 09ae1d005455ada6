"""Everything that a run needs, checked one by one, each failure with its remedy; test_config.py shows them.

Local checks come first and need neither a network nor globus_sdk. A check that builds on a failed one is not made.
"""

from __future__ import annotations

import grp
import os
import pwd
import secrets
import shlex
import stat
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from itertools import islice
from typing import TYPE_CHECKING, NamedTuple, Optional, TypeVar

from autotransfer.errors import ConfigurationProblem, ExitStatus, GlobusProblem, Problem, SignInNeeded
from autotransfer.paths import can_be_sent, display, on_collection
from autotransfer.plan import check_root
from autotransfer.scan import open_folder, open_root
from autotransfer.settings import Settings
from autotransfer.store import FORMAT_VERSION, Store
from autotransfer.times import NS_PER_SECOND, utc_text

if TYPE_CHECKING:
    from autotransfer.globus.collections import Collection, Collections
    from autotransfer.globus.login import Login

# Source: the SDK accepts a proof of who signed in whose times are at most 300 s off (its leeway for id_tokens).
MOST_CLOCK_SECONDS = 300
# So many names of SRC_DIR's top are compared; a listing of Globus is cut off there too.
MOST_NAMES = 1000
SHOWN_NAMES = 5
# A file server may show another machine's new file a little later.
SECOND_LOOK_SECONDS = 1.0
# A login can lead to one more demand (a consent, a session), not to an endless row of them.
MOST_SIGN_INS = 3
TEST_PREFIX = ".globus-automated-transfer-test-"
# What SQLite says to a reader when all is well: a run that writes much keeps readers out until it commits, and after a
# crash only a writer can go back to the last commit.
BUSY = {
    "database is locked": "A run is writing in it at this moment.",
    "attempt to write a readonly database": "A run was cut off while it wrote; the next one takes that back first.",
}
# U+FFFD in front of the bytes as Latin-1: how Globus shows names that are not UTF-8.
NOT_UNICODE = "\ufffd"

Result = TypeVar("Result")
# Told why a person must sign in and the link to open; gives the code they bring back.
Ask = Callable[[str, str], str]


class Check(NamedTuple):
    """What one check came to.

    Args:
        name: The setting or thing that was checked.
        ok: Whether it holds; None when it was not checked, because it builds on what failed.
        what: What was found, in one clause; every check has it.
        why: The reason in the system's own words, or a remark; may have several lines.
        remedy: What to do; empty when nothing need be done.
        exit_status: What test_config.py ends with when this is the first check that fails.
    """

    name: str
    ok: bool | None
    what: str
    why: str = ""
    remedy: str = ""
    exit_status: ExitStatus = ExitStatus.DONE


class Found(NamedTuple):
    """What a check that holds has found, with an optional remark and advice."""

    what: str
    why: str = ""
    remedy: str = ""


class Checks:
    """All checks of one route. Use it in a `with` block; it takes no lock and changes no record.

    Args:
        load: Reads and checks the settings.
        ask: How to reach a person for signing in; None: never.
        sign_in_command: What a person types to sign in, for the remedies.
        clock: The wall clock in seconds since the epoch.
        pause: How to let time pass.
    """

    def __init__(
        self,
        load: Callable[[], Settings],
        *,
        ask: Ask | None,
        sign_in_command: str,
        clock: Callable[[], float] = time.time,
        pause: Callable[[float], None] = time.sleep,
    ) -> None:
        self._load = load
        self._ask = ask
        self._sign_in_command = sign_in_command
        self._clock = clock
        self._pause = pause
        self._stack = ExitStack()
        self._holds: set[str] = set()
        self._ends: dict[str, Collection] = {}
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
        """Make the checks one after the other."""
        table: tuple[tuple[str, tuple[str, ...], Callable[[], Found]], ...] = (
            ("settings", (), self._check_settings),
            ("SRC_DIR", ("settings",), self._check_src_dir),
            ("CODE_PATH", ("settings",), self._check_code_path),
            ("datastore", ("CODE_PATH",), self._check_datastore),
            ("permissions", ("settings",), self._check_permissions),
            ("globus_sdk", ("settings",), self._check_sdk),
            ("clock", ("globus_sdk",), self._check_clock),
            ("login", ("CODE_PATH", "clock"), self._check_login),
            ("SRC_ID", ("login",), lambda: self._check_end("SRC_ID", self._settings.src_id)),
            ("DST_ID", ("login",), lambda: self._check_end("DST_ID", self._settings.dst_id)),
            ("consent", ("login",), self._check_consent),
            ("SRC_PATH", ("SRC_DIR", "SRC_ID", "consent"), self._check_src_path),
            ("DST_DIR", ("DST_ID", "consent"), self._check_dst_dir),
        )
        for name, needs, check in table:
            missing = next((need for need in needs if need not in self._holds), None)
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
                self._holds.add(name)
                yield Check(name, True, *found)

    # ---- on this machine -----------------------------------------------------------------------------------------

    def _check_settings(self) -> Found:
        self._settings = self._load()
        return Found(f"{self._settings.config_file} is complete")

    def _check_src_dir(self) -> Found:
        self._root_fd = open_root(self._settings.src_dir)
        self._stack.callback(os.close, self._root_fd)
        names = self._names_on_disk(MOST_NAMES + 1)
        count = f"more than {MOST_NAMES:,}" if len(names) > MOST_NAMES else f"{len(names):,}"
        remark = "" if names else "It is empty, so there is nothing to send yet."
        return Found(f"{self._settings.src_dir} can be read; entries at its top: {count}", remark)

    def _names_on_disk(self, most: int) -> list[str]:
        try:
            folder_fd = open_folder(self._root_fd, "")
            try:
                with os.scandir(folder_fd) as entries:
                    return [entry.name for entry in islice(entries, most)]
            finally:
                os.close(folder_fd)
        except OSError as error:
            raise ConfigurationProblem(
                f"Cannot list SRC_DIR {self._settings.src_dir}",
                why=_reason(error),
                remedy="Give this user read and search permission on it.",
            ) from None

    def _check_code_path(self) -> Found:
        folder = self._settings.code_path
        try:
            with tempfile.NamedTemporaryFile(prefix=TEST_PREFIX, dir=folder) as probe:
                probe.write(b"written by test_config.py\n")
                probe.flush()
                os.fsync(probe.fileno())
        except OSError as error:
            raise ConfigurationProblem(
                f"Cannot write in CODE_PATH {folder}",
                why=_reason(error),
                remedy="Make the folder, give this user write permission on it, or free space on its disk.",
            ) from None
        return Found(f"{folder} can be written")

    def _check_datastore(self) -> Found:
        path = self._settings.state_file("datastore")
        if not os.path.lexists(path) or not os.path.getsize(path):
            return Found("none yet; the first run makes it")
        try:
            with Store(path, is_read_only=True) as store, store.explained():
                if store.shelf.get("ROUTE") is not None:
                    store.claim(self._settings.route)
                if "SRC_DIR" in self._holds:
                    check_root(self._settings, store, self._root_fd, os.fstat(self._root_fd).st_dev)
                tasks = len(store.ledger.open)
        except ConfigurationProblem as problem:
            for words, remark in BUSY.items():
                if words in problem.why:
                    return Found(f"{path} was not looked into", remark)
            raise
        return Found(f"{path} is of format {FORMAT_VERSION} and about this route; open tasks: {tasks:,}")

    def _check_permissions(self) -> Found:
        settings = self._settings
        findings, commands = [], []
        for path in (settings.config_file, settings.code_path):
            if _others_can_write(path):
                findings.append(f"{path} can be written by others, and what they write would be run or trusted")
                commands.append(f"chmod go-w {shlex.quote(path)}")
        names = ("datastore", "tokens.db", "log", "log.1")
        for path in (*map(settings.state_file, names), settings.client_secret_file):
            if path and _others_can_read(path):
                findings.append(f"{path} can be read or written by others")
                commands.append(f"chmod 600 {shlex.quote(path)}")
        if findings:
            raise ConfigurationProblem(
                "Files that hold secrets, or are run, are open to other users of this machine",
                details=tuple(findings),
                remedy="\n".join(("Run:", *commands)),
            )
        return Found("only this user can read the secrets and write the configuration")

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
        return Found(f"version {login.SDK_VERSION}")

    def _check_clock(self) -> Found:
        from autotransfer.globus.login import service_time_seconds

        theirs = service_time_seconds()
        ours = self._clock()
        # The header carries whole seconds, and the answer took a moment.
        if abs(ours - theirs) <= MOST_CLOCK_SECONDS:
            return Found(f"within {max(2, round(abs(ours - theirs)))} s of Globus's")
        raise ConfigurationProblem(
            f"This machine's clock is {abs(ours - theirs) / 60:,.0f} minutes {'fast' if ours > theirs else 'slow'}",
            why=f"it is {_utc(ours)} here and {_utc(theirs)} at Globus",
            remedy="Set the clock (for good: turn on NTP); signing in fails with a wrong one, and times of transfers "
            "mislead.",
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
            )
        return Found(f"signed in as {identity}")

    def _asked(self, url: str) -> str:
        assert self._ask is not None
        return self._ask(self._why_asked, url)

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
        """Do it; when Globus wants a person to sign in for it, let them, and do it once more."""
        try:
            return act()
        except SignInNeeded as needed:
            self._sign_in(needed)
        return act()

    # ---- the two ends --------------------------------------------------------------------------------------------

    def _check_end(self, setting: str, collection_id: str) -> Found:
        from autotransfer.globus.collections import not_ready

        try:
            end = self._signed_in(lambda: self._collections.get(collection_id))
        except ConfigurationProblem as problem:
            raise ConfigurationProblem(
                problem.what,
                why=problem.why,
                remedy=f"Correct {setting}: copy the UUID from the collection's page in the Globus web app.",
            ) from problem
        self._ends[setting] = end
        if reason := not_ready(end):
            raise reason
        return Found(f"collection {end.title} is ready")

    def _check_consent(self) -> Found:
        wanting = {end.id: end.title for end in self._ends.values() if end.wants_data_access}
        if not wanting:
            return Found("neither collection asks for one of its own" if self._ends else "none is known to be needed")
        titles = " and ".join(wanting.values())
        self._login.want_data_access(list(wanting))
        if not self._login.is_service_account and self._signed_in(self._login.is_needed):
            missing = SignInNeeded(
                f"The data_access consent for {titles} was not given",
                why="what kind a collection is can only be seen after signing in; this login asks for all consents",
            )
            self._sign_in(missing)
            if self._login.is_needed():
                raise SignInNeeded(
                    missing.what, remedy="Run test_config.py again and allow all that the page asks for."
                )
        return Found(f"data_access is given for {titles}")

    def _check_src_path(self) -> Found:
        path = self._settings.src_path
        before = [name for name in self._names_on_disk(MOST_NAMES) if can_be_sent(name)]
        title = self._ends["SRC_ID"].title
        try:
            shown = self._signed_in(lambda: self._listed(path))
        except (ConfigurationProblem, GlobusProblem) as problem:
            # Personal endpoints and guest collections refuse paths outside what they share.
            if isinstance(problem, ConfigurationProblem) or self._right_src_path(before):
                raise self._wrong_src_path(problem.what, before, why=problem.why) from problem
            raise
        if shown is None:
            raise self._wrong_src_path(f"There is no folder {path} on collection {title}", before)
        hidden, foreign = self._differences(before, shown)
        if hidden or foreign:
            self._pause(SECOND_LOOK_SECONDS)
            again = self._signed_in(lambda: self._listed(path)) or []
            still_hidden, still_foreign = self._differences(before, again)
            hidden, foreign = hidden & still_hidden, foreign & still_foreign
        if hidden or foreign:
            why = "\n".join(
                f"{label}: {_some(names)}"
                for label, names in (("only on disk", hidden), ("only on the collection", foreign))
                if names
            )
            raise self._wrong_src_path(
                f"{path} on collection {title} shows other names than SRC_DIR {self._settings.src_dir}", before, why=why
            )
        if not shown:
            return Found(f"{path} on the collection is empty, as SRC_DIR is")
        return Found(f"{path} on the collection shows what SRC_DIR holds; names compared: {len(shown):,}")

    def _listed(self, path: str) -> Optional[list[str]]:
        folder = on_collection(path, "", is_folder=True)
        return self._collections.names(self._settings.src_id, folder, most=MOST_NAMES)

    def _differences(self, before: list[str], shown: list[str]) -> tuple[set[str], set[str]]:
        """Names only on disk, and names only on the collection; what has gone meanwhile is neither."""
        foreign = {name for name in shown if not name.startswith(NOT_UNICODE) and not self._is_on_disk(name)}
        if len(shown) >= MOST_NAMES:  # cut off, so a name that is missing from it says nothing
            return set(), foreign
        return {name for name in set(before).difference(shown) if self._is_on_disk(name)}, foreign

    def _is_on_disk(self, name: str) -> bool:
        try:
            os.stat(name, dir_fd=self._root_fd, follow_symlinks=False)
        except (OSError, ValueError):
            return False
        return True

    def _wrong_src_path(self, what: str, names: list[str], *, why: str = "") -> ConfigurationProblem:
        settings = self._settings
        right = self._right_src_path(names)
        if right:
            remedy = f"Set SRC_PATH = {right!r}: that folder shows the same names."
        elif settings.src_path == settings.src_dir:
            remedy = (
                "SRC_PATH is not set, so SRC_DIR's own path was taken. Set SRC_PATH to the path under which this "
                "collection shows SRC_DIR (its file manager in the Globus web app shows it), or correct SRC_ID."
            )
        else:
            remedy = (
                "Correct SRC_PATH: the path under which this collection shows SRC_DIR (its file manager in the Globus "
                "web app shows it), or correct SRC_ID."
            )
        return ConfigurationProblem(what, why=why, remedy=remedy)

    def _right_src_path(self, names: list[str]) -> str | None:
        """The end of SRC_DIR's path under which the collection shows these names; None when none is."""
        parts = self._settings.src_dir.strip("/").split("/")
        for first in range(len(parts) + 1):
            path = "/" + "/".join(parts[first:])
            try:
                shown = self._listed(path)
            except Problem:
                continue
            if names and shown and not any(self._differences(names, shown)):
                return path
        return None

    def _check_dst_dir(self) -> Found:
        dst_dir = self._settings.dst_dir
        try:
            folder = self._signed_in(self._nearest_folder)
        except ConfigurationProblem as problem:
            remedy = "Correct DST_DIR: it must be a folder, or a path where one can be made."
            raise ConfigurationProblem(problem.what, why=problem.why, remedy=remedy) from problem
        path = on_collection(folder, TEST_PREFIX + secrets.token_hex(8), is_folder=False)
        try:
            self._signed_in(lambda: self._collections.make_folder(self._settings.dst_id, path))
        except GlobusProblem:
            if not self._is_at_destination(path):  # if it is, only the answer was lost
                raise
        found = f"{dst_dir} can be written" if folder == dst_dir else f"{dst_dir} can be made: {folder} can be written"
        try:
            self._collections.remove_folder(self._settings.dst_id, path)
        except Problem as problem:
            return Found(found, f"The empty folder {path} was left there: {problem}", "Delete it by hand.")
        return Found(found)

    def _nearest_folder(self) -> str:
        """DST_DIR, or the nearest folder above it that exists."""
        folder = self._settings.dst_dir
        while not self._is_at_destination(folder):
            if folder == "/":
                raise GlobusProblem(
                    f"DST_DIR {self._settings.dst_dir} cannot be made",
                    why="the collection shows no folder above it",
                    remedy="Correct DST_DIR: its path as the destination collection shows it in the Globus web app.",
                )
            folder = folder.rpartition("/")[0] or "/"
        return folder

    def _is_at_destination(self, folder: str) -> bool:
        path = on_collection(folder, "", is_folder=True)
        return self._collections.names(self._settings.dst_id, path, most=1) is not None


def _others_can_write(path: str) -> bool:
    try:
        status = os.stat(path)
    except OSError:
        return False  # another check says that it is missing
    mode = stat.S_IMODE(status.st_mode)
    return bool(mode & stat.S_IWOTH or (mode & stat.S_IWGRP and not _is_private_group(status)))


def _is_private_group(status: os.stat_result) -> bool:
    """Whether the group is the owner's alone: with the usual umask of RHEL every file is group-writable so."""
    try:
        owner, group = pwd.getpwuid(status.st_uid), grp.getgrgid(status.st_gid)
    except KeyError:
        return False
    return owner.pw_gid == group.gr_gid and owner.pw_name == group.gr_name and set(group.gr_mem) <= {owner.pw_name}


def _others_can_read(path: str) -> bool:
    try:
        status = os.stat(path)
    except OSError:
        return False
    # A secret that root owns can reach this user by its group only.
    forbidden = 0o037 if status.st_uid != os.geteuid() else 0o077
    return bool(stat.S_IMODE(status.st_mode) & forbidden)


def _some(names: set[str]) -> str:
    shown = ", ".join(map(display, sorted(names)[:SHOWN_NAMES]))
    return f"{shown} and {len(names) - SHOWN_NAMES:,} more" if len(names) > SHOWN_NAMES else shown


def _reason(error: OSError) -> str:
    return (error.strerror or str(error)).lower()


def _utc(seconds: float) -> str:
    return utc_text(int(seconds) * NS_PER_SECOND)
