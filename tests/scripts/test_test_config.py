"""test_config.py as a person and as cron see it: each thing that can be wrong, told with its remedy."""

from __future__ import annotations

import os
import pty
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from email.utils import formatdate
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import parse_qs, urlsplit

import pytest
from suite import DST_ID, ROOT, SRC_ID, Result, Route
from terminal import LINK, asked, code_from, on_a_terminal, sign_in
from waiting import until, until_held

from autotransfer.datastore.store import FORMAT_VERSION, Store
from emulator.http.server import Emulator
from emulator.world import Collection

ALL = (
    *("settings", "SRC_DIR", "CODE_PATH", "datastore", "permissions", "options", "globus_sdk", "clock", "login"),
    *("SRC_ID", "DST_ID", "consent", "SRC_PATH", "DST_DIR"),
)
UNKNOWN_ID = "aaaaaaaa-0000-4000-8000-0000000000ff"
LS_SOURCE = f"GET /v0.10/operation/endpoint/{SRC_ID}/ls"


class Failure(NamedTuple):
    """The one check that failed, and the names of those that were not made."""

    name: str
    words: str
    not_made: set[str]


def failure(route: Route, *options: str, status: int) -> Failure:
    """Check with --json without a terminal; exactly one check must fail."""
    document = route.run_here("test_config.py", "--json", *options, status=status).json
    assert document["ok"] is False
    assert tuple(check["name"] for check in document["checks"]) == ALL
    (failed,) = (check for check in document["checks"] if check["ok"] is False)
    not_made = {check["name"] for check in document["checks"] if check["ok"] is None}
    assert failed["remedy"]
    return Failure(failed["name"], "\n".join((failed["what"], failed["why"], failed["remedy"])), not_made)


def without_packages(route: Route) -> Result:
    """Run by a Python that has its own library and nothing else."""
    script, *options = route.command("test_config.py", "--json")[1:]
    words = [sys.executable, "-S", script, *options]
    bare = subprocess.run(words, env=route.bare_environment(), capture_output=True, text=True)
    return Result(bare.returncode, bare.stdout, bare.stderr)


@pytest.fixture
def person(route: Route) -> Route:
    """A route whose owner signs in as a person."""
    route.configure(CLIENT_SECRET_FILE="")
    return route


# ---- all is well ----------------------------------------------------------------------------------------------------


def test_all_checks_hold_and_nothing_is_left_behind(route: Route) -> None:
    route.write("a.txt")

    result = route.run("test_config.py", status=0, says="A run would work here, but not under cron, which does not set")

    assert [line.split()[:2] for line in result.stdout.splitlines()[: len(ALL)]] == [["ok", name] for name in ALL]
    assert result.stderr == ""
    assert list(route.code_path.iterdir()) == []
    assert {path.name for path in route.folder.iterdir()} == {"src", "state", "secret", "route.py"}
    assert route.sent() == []


def test_the_crontab_line_runs_as_pasted_whatever_the_path_is_called(tmp_path: Path, globus: Emulator) -> None:
    folder = tmp_path / "it's 50% $HOME"
    folder.mkdir()
    route = Route(folder, globus)
    route.write("a.txt")

    document = route.run("test_config.py", "--json").json
    *times, command = document["crontab"].split(maxsplit=5)
    unescaped = re.sub(r"(?<!\\)%.*", "", command, flags=re.DOTALL).replace("\\%", "%")  # as cron reads it
    subprocess.run(["sh", "-c", unescaped], cwd="/", env=route.bare_environment(), check=True)

    assert times == ["*/5", "*", "*", "*", "*"]
    assert sys.executable in command
    assert str(ROOT / "main.py") in command
    assert route.tree(route.dst) == route.tree()


def test_json_is_one_document_of_plain_checks(route: Route) -> None:
    result = route.run("test_config.py", "--json")

    assert set(result.json) == {"ok", "checks", "crontab"}
    assert result.json["ok"] is True
    assert {tuple(check) for check in result.json["checks"]} == {("name", "ok", "what", "why", "remedy")}
    assert all(check["ok"] is True for check in result.json["checks"])
    assert result.stderr == ""


def test_an_empty_src_dir_is_only_a_remark(route: Route) -> None:
    route.run("test_config.py", status=0, says="nothing to send yet")


def test_a_destination_that_is_missing_but_can_be_made_is_fine(route: Route) -> None:
    route.configure(DST_DIR=str(route.folder / "not" / "yet" / "there"))

    route.run("test_config.py", status=0, says=f"can be created: {route.folder} can be written")

    assert not (route.folder / "not").exists()
    assert list(route.folder.glob(".globus-automated-transfer-test-*")) == []


def test_a_lost_answer_to_making_the_test_folder_fails_nothing(route: Route, globus: Emulator) -> None:
    globus.world.add_fault("POST */mkdir", reset="after", times=1)

    route.run("test_config.py", status=0)

    assert list(route.folder.glob(".globus-automated-transfer-test-*")) == []


def test_it_works_while_a_run_is_active_and_stands_in_no_runs_way(route: Route, globus: Emulator) -> None:
    globus.world.set_progress("polls:1000")
    route.write("slow.dat")
    run = route.start("main.py", "--wait", "60")
    try:
        until(route.sent, run)
        result = route.run("test_config.py", status=0)

        assert run.poll() is None
    finally:
        run.terminate()
        run.communicate()
    assert "about this route; open tasks: 1" in result.stdout


def test_the_help_teaches(route: Route) -> None:
    result = route.run("test_config.py", "--help", says="--no-login")

    assert "exit status:" in result.stdout
    assert "examples:" in result.stdout
    route.run("test_config.py", "--jsn", status=2, says="See test_config.py --help")


# ---- settings and this machine --------------------------------------------------------------------------------------


def test_with_an_unedited_configuration_it_says_what_to_fill_in_and_points_to_the_demo(route: Route) -> None:
    shutil.copy(ROOT / "config.py", route.config)

    failed = failure(route, status=5)

    assert failed.name == "settings"
    assert all(f"{name} is empty" in failed.words for name in ("SRC_DIR", "DST_DIR", "SRC_ID", "DST_ID", "CLIENT_ID"))
    assert "make demo" in failed.words
    assert failed.not_made == set(ALL[1:])


def test_all_wrong_settings_are_reported_at_once_with_a_suggestion_for_an_unknown_name(route: Route) -> None:
    route.configure(SETTLE_SECOND=5, SYNC_LEVEL="newest", DST_ID="archive")

    result = route.run("test_config.py", status=5)

    assert "SETTLE_SECOND is not a setting; did you mean SETTLE_SECONDS?" in result.stdout
    assert "SYNC_LEVEL must be one of" in result.stdout
    assert "DST_ID must be a UUID" in result.stdout
    assert "*/5 * * * *" not in result.stdout


@pytest.mark.parametrize("kind", ["missing", "a file"])
def test_a_src_dir_that_cannot_be_read_fails(route: Route, kind: str) -> None:
    route.src.rmdir()
    if kind == "a file":
        route.src.write_text("")

    failed = failure(route, status=5)

    assert failed.name == "SRC_DIR"
    assert ("no such file" if kind == "missing" else "not a directory") in failed.words
    assert failed.not_made == {"SRC_PATH"}


@pytest.mark.parametrize("kind", ["missing", "a file"])
def test_a_code_path_that_cannot_be_written_fails(route: Route, kind: str) -> None:
    route.code_path.rmdir()
    if kind == "a file":
        route.code_path.write_text("")

    failed = failure(route, status=5)

    assert failed.name == "CODE_PATH"
    assert ("no such file" if kind == "missing" else "not a directory") in failed.words
    assert failed.not_made == {"datastore", "login", "SRC_ID", "DST_ID", "consent", "SRC_PATH", "DST_DIR"}


@pytest.mark.parametrize("content", [b"garbage" * 1000, b""], ids=["garbage", "empty"])
def test_a_damaged_datastore_fails_and_an_empty_one_does_not(route: Route, content: bytes) -> None:
    path = route.code_path / "datastore"
    path.write_bytes(content)
    path.chmod(0o600)

    result = route.run("test_config.py", status=5 if content else 0)

    assert ("FAIL  datastore" in result.stdout) == bool(content)
    assert path.read_bytes() == content


def test_a_datastore_of_an_unknown_format_fails_with_both_numbers(route: Route) -> None:
    with Store(str(route.code_path / "datastore")) as store:
        store.shelf["FORMAT_VERSION"] = 99
        store.commit()

    failed = failure(route, status=5)

    assert failed.name == "datastore"
    assert "format 99" in failed.words
    assert f"reads format {FORMAT_VERSION}" in failed.words


def test_a_datastore_about_another_route_fails(route: Route) -> None:
    route.write("a.txt")
    route.deliver_here()
    route.configure(DST_DIR=str(route.folder / "elsewhere"))

    failed = failure(route, status=5)

    assert failed.name == "datastore"
    assert f"DST_DIR was {route.dst}, is now {route.folder}/elsewhere" in failed.words


def test_a_datastore_that_a_killed_run_left_half_written_fails_nothing(route: Route) -> None:
    path = route.code_path / "datastore"
    killed = (
        f"import os\nfrom autotransfer.datastore.store import Store\nstore = Store({str(path)!r})\n"
        "for number in range(1000):\n    store.shelf[str(number)] = 'x' * 20000\n"  # more than SQLite's cache holds
        "os.kill(os.getpid(), 9)"
    )
    subprocess.run([sys.executable, "-c", killed], cwd=ROOT)
    assert (route.code_path / "datastore-journal").stat().st_size

    route.run("test_config.py", status=0)
    route.run("main.py", status=0)


def test_a_src_dir_that_is_suddenly_empty_fails_as_it_would_fail_a_run(route: Route) -> None:
    path = route.write("a.txt")
    route.deliver_here()
    path.unlink()

    failed = failure(route, status=5)

    assert failed.name == "datastore"
    assert "Is its disk mounted?" in failed.words


def test_files_that_are_open_to_others_fail_and_the_commands_given_mend_them(route: Route) -> None:
    route.write("a.txt")
    route.deliver_here()
    modes = {
        "route.py": 0o646,
        "state": 0o777,
        "state/log": 0o604,
        "state/datastore": 0o640,
        "state/tokens.db": 0o644,
        "secret": 0o602,
    }
    for name, mode in modes.items():
        (route.folder / name).touch()
        (route.folder / name).chmod(mode)

    failed = failure(route, status=5)
    first, *commands = failed.words[failed.words.index("Run:") :].splitlines()
    subprocess.run(["sh", "-ec", "\n".join(commands)], check=True)

    assert failed.name == "permissions"
    assert failed.not_made == set()
    assert [command.split()[-1] for command in commands] == [str(route.folder / name) for name in modes]
    assert first == "Run:"
    route.run("test_config.py", status=0)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_a_group_may_write_the_configuration_only_when_it_is_the_owners_alone(route: Route) -> None:
    route.config.chmod(0o664)  # what umask 002 makes
    os.chown(route.config, 0, 0)
    route.run("test_config.py", status=0)

    os.chown(route.config, 0, 54321)

    assert failure(route, status=5).name == "permissions"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_a_secret_of_another_user_may_reach_this_one_by_its_group(route: Route) -> None:
    secret = route.folder / "secret"
    os.chown(secret, 54321, -1)
    secret.chmod(0o640)
    route.run("test_config.py", status=0)

    secret.chmod(0o644)

    assert failure(route, status=5).name == "permissions"


def test_all_that_optional_settings_lack_is_reported_at_once_and_keeps_no_other_check_from_being_made(
    route: Route,
) -> None:
    route.config.chmod(0o600)  # as is right for one with PING_URL
    (route.folder / "folder.html").mkdir()
    route.configure(
        METRICS_FILE=str(route.folder / "nowhere" / "route.prom"),
        REPORT_FILE=str(route.folder / "folder.html"),
        ON_PROBLEM=["no-such-pager", "--now"],
        PING_URL="https://localhost/ping",
    )

    failed = failure(route, status=5)

    assert (failed.name, failed.not_made) == ("options", set())
    assert f"METRICS_FILE: there is no folder {route.folder}/nowhere" in failed.words
    assert f"REPORT_FILE: {route.folder}/folder.html is a folder" in failed.words
    assert "ON_PROBLEM: no-such-pager is not a program that this user may run (PATH is " in failed.words
    assert "PING_URL" not in failed.words
    assert "Until then runs go on without it and say so in the log alone." in failed.words
    assert "SCAN_EXECUTOR" not in failed.words and "scan" not in failed.words


def test_optional_settings_that_have_what_they_need_are_named_and_no_one_is_notified(route: Route) -> None:
    route.config.chmod(0o600)  # as is right for one with PING_URL
    told = route.folder / "told.txt"
    route.configure(
        METRICS_FILE=str(route.folder / "route.prom"),
        REPORT_FILE=str(route.folder / "page.html"),
        ON_PROBLEM=["/usr/bin/touch", str(told)],
        PING_URL="http://127.0.0.1:9/ping",
    )

    printed = route.run("test_config.py", "--json").json["checks"]

    (options,) = (check for check in printed if check["name"] == "options")
    assert options["what"] == "everything that METRICS_FILE, REPORT_FILE, PING_URL, ON_PROBLEM need is there"
    assert "PING_URL was not tried" in options["why"]
    assert options["remedy"] == ""
    assert not any((route.folder / name).exists() for name in ("told.txt", "route.prom", "page.html"))


def test_a_program_is_looked_for_where_a_run_would_start_it(route: Route) -> None:
    here = route.folder / "bin"
    here.mkdir()
    (here / "tell").write_text("#!/bin/sh\n")
    (here / "tell").chmod(0o755)

    route.configure(ON_PROBLEM=[str(here / "tell").lstrip("/")])  # from the folder "/"
    route.run("test_config.py", status=0)
    route.configure(ON_PROBLEM=["bin/tell"])
    assert failure(route, status=5).name == "options"
    route.configure(ON_PROBLEM=["logger"])
    assert "with its full path" in route.run("test_config.py", status=0).stdout


@pytest.mark.parametrize(
    ("setting", "value", "words"),
    [
        ("REPORT_FILE", "/tmp/page.html", "lacks the package jinja2 (extra [report])"),
        ("SCAN_EXECUTOR", "dask:tcp://127.0.0.1:1", "lacks the package distributed (extra [dask])"),
    ],
)
def test_a_package_that_a_setting_needs_is_missed_before_a_run_misses_it(
    route: Route, setting: str, value: str, words: str
) -> None:
    route.configure(**{setting: value})

    checks = {check["name"]: check for check in without_packages(route).json["checks"]}

    assert checks["options"]["why"] == f"{setting}: this Python {words}"


def test_without_globus_sdk_the_local_checks_are_made_and_the_remedy_is_reported(route: Route) -> None:
    result = without_packages(route)

    assert result.status == 5
    checks = {check["name"]: check for check in result.json["checks"]}
    assert [checks[name]["ok"] for name in ALL] == [True] * 6 + [False] + [None] * 7
    assert "make install" in checks["globus_sdk"]["remedy"]


def test_without_a_network_the_local_checks_are_made(lonely_route: Route) -> None:
    failed = failure(lonely_route, status=6)

    assert failed.name == "clock"
    assert "cannot be reached" in failed.words
    assert failed.not_made == {"login", "SRC_ID", "DST_ID", "consent", "SRC_PATH", "DST_DIR"}


# ---- clock and login ------------------------------------------------------------------------------------------------


@pytest.fixture
def shift_clock(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Let the emulator's answers carry another time than this machine's."""

    def shift(seconds: float) -> None:
        def date_time_string(handler: object, timestamp: float | None = None) -> str:
            return formatdate((timestamp or time.time()) + seconds, usegmt=True)

        monkeypatch.setattr("emulator.http.server._Handler.date_time_string", date_time_string)

    return shift


@pytest.mark.parametrize(("shift_seconds", "words"), [(-3600, "60 minutes fast"), (420, "7 minutes slow")])
def test_a_wrong_clock_fails_before_anyone_is_asked_to_sign_in(
    person: Route, shift_clock: Callable[[float], None], shift_seconds: int, words: str
) -> None:
    shift_clock(shift_seconds)

    result = on_a_terminal(person, "test_config.py")

    assert result.status == 5
    assert f"FAIL  clock       This machine's clock is {words}" in result.stdout
    assert asked(result) == []


def test_a_clock_a_little_off_is_fine(route: Route, shift_clock: Callable[[float], None]) -> None:
    shift_clock(-240)

    assert "within 24" in route.run("test_config.py", status=0).stdout


def test_a_person_signs_in_on_a_terminal_and_cron_goes_on_alone(person: Route, globus: Emulator) -> None:
    person.write("a.txt")

    first = on_a_terminal(person, "test_config.py")
    second = on_a_terminal(person, "test_config.py")
    person.deliver_here()

    assert first.status == second.status == 0
    assert "no login for this route is stored" in first.stdout
    assert "ok    login       signed in as researcher@example.org" in second.stdout
    assert (len(asked(first)), len(asked(second))) == (1, 0)
    assert person.tree(person.dst) == person.tree()
    assert (person.code_path / "tokens.db").stat().st_mode & 0o777 == 0o600


def test_tokens_and_secrets_are_never_printed(person: Route, globus: Emulator) -> None:
    shown = on_a_terminal(person, "test_config.py").stdout
    globus.world.change_auth(revoke="refresh_tokens")
    shown += "".join(person.run("test_config.py", "--json", status=4)[1:])
    secret = "the very secret"
    (person.folder / "secret").write_text(secret)
    person.configure(CLIENT_SECRET_FILE=str(person.folder / "secret"))
    shown += "".join(person.run("test_config.py", "--json", status=0)[1:])
    shown += "".join(person.run("test_config.py", status=0)[1:])

    hidden = [*globus.world.auth.tokens, secret]
    assert len(hidden) > 5
    assert [word for word in hidden if word in shown] == []


@pytest.mark.parametrize(
    ("typed", "words"),
    [("not-the-code", "Globus did not accept the code"), ("", "No code was given"), ("\x04", "No code was given")],
    ids=["wrong", "empty", "end of file"],
)
def test_a_code_that_is_no_good_ends_the_login_and_the_next_try_works(person: Route, typed: str, words: str) -> None:
    first = on_a_terminal(person, "test_config.py", answer=lambda link: typed)
    second = on_a_terminal(person, "test_config.py")

    assert first.status == 4
    assert f"FAIL  login       {words}" in first.stdout
    assert second.status == 0


def test_without_a_terminal_it_never_asks_and_says_what_to_run(person: Route) -> None:
    failed = failure(person, status=4)

    assert failed.name == "login"
    assert f"{sys.executable} {ROOT}/test_config.py --config {person.config}" in failed.words
    assert failed.not_made == {"SRC_ID", "DST_ID", "consent", "SRC_PATH", "DST_DIR"}


def test_with_no_login_it_never_asks_even_on_a_terminal(person: Route) -> None:
    without = on_a_terminal(person, "test_config.py", "--no-login")
    sign_in(person)
    stored = on_a_terminal(person, "test_config.py", "--no-login")

    assert (without.status, asked(without)) == (4, [])
    assert "FAIL  login       Not signed in to Globus" in without.stdout
    assert (stored.status, asked(stored)) == (0, [])


def test_a_revoked_refresh_token_is_found_though_the_access_token_still_works(person: Route, globus: Emulator) -> None:
    sign_in(person)
    globus.world.change_auth(revoke="refresh_tokens")

    failed = failure(person, status=4)
    again = on_a_terminal(person, "test_config.py")

    assert failed.name == "login"
    assert "invalid_grant" in failed.words
    assert (again.status, len(asked(again))) == (0, 1)
    person.run("test_config.py", status=0)


def test_json_on_a_terminal_asks_beside_the_document(person: Route) -> None:
    with (person.folder / "out.json").open("w") as document:
        ours, theirs = pty.openpty()
        process = subprocess.Popen(
            person.command("test_config.py", "--json"),
            env=person.bare_environment(),
            stdin=theirs,
            stdout=document,
            stderr=theirs,
        )
        os.close(theirs)
        shown = ""
        while "Code: " not in shown:
            shown += os.read(ours, 65536).decode()
        os.write(ours, code_from(LINK.findall(shown)[0]).encode() + b"\n")
        status = process.wait(timeout=60)
        os.close(ours)

    assert status == 0
    assert Result(0, (person.folder / "out.json").read_text(), "").json["ok"] is True


def test_a_wrong_secret_is_a_matter_of_the_configuration(route: Route, globus: Emulator) -> None:
    client = globus.world.auth.register_client("transfer", parent_id=None)
    route.configure(CLIENT_ID=client.id)

    failed = failure(route, status=5)

    assert failed.name == "login"
    assert "CLIENT_SECRET_FILE" in failed.words


def test_a_secret_from_the_environment_works_with_the_remark_that_cron_has_none(route: Route) -> None:
    route.configure(CLIENT_SECRET_FILE="")
    route.environment["GLOBUS_CLIENT_SECRET"] = "from the environment"

    result = route.run("test_config.py", status=0)

    assert "which a crontab's commands do not see" in result.stdout
    assert "under cron, which does not set GLOBUS_SDK_SERVICE_URL_TRANSFER and GLOBUS_CLIENT_SECRET." in result.stdout
    assert "from the environment" not in result.stdout


def test_an_expired_session_is_renewed_on_a_terminal(person: Route, globus: Emulator) -> None:
    sign_in(person)
    globus.world.change_auth(session_expired=[SRC_ID])

    failed = failure(person, status=4)
    again = on_a_terminal(person, "test_config.py")

    assert failed.name == "SRC_PATH"
    assert again.status == 0
    (link,) = LINK.findall(again.stdout)
    assert "session_required_identities" in parse_qs(urlsplit(link).query)


# ---- the two ends ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("setting", ["SRC_ID", "DST_ID"])
def test_a_wrong_id_fails_under_its_own_name(route: Route, setting: str) -> None:
    route.configure(**{setting: UNKNOWN_ID})

    failed = failure(route, status=5)

    assert failed.name == setting
    assert "EndpointNotFound" in failed.words
    assert f"Correct {setting}" in failed.words
    assert failed.not_made == {"SRC_PATH" if setting == "SRC_ID" else "DST_DIR"}


@pytest.mark.parametrize(
    ("setting", "collection_id", "change", "words"),
    [
        ("SRC_ID", SRC_ID, {"gcp_connected": False}, "is not connected"),
        ("DST_ID", DST_ID, {"gcp_paused": True}, "is paused"),
    ],
    ids=["offline", "paused"],
)
def test_a_personal_endpoint_that_is_not_there_fails(
    route: Route, globus: Emulator, setting: str, collection_id: str, change: dict[str, Any], words: str
) -> None:
    globus.world.change_collection(collection_id, **change)

    failed = failure(route, status=6)

    assert failed.name == setting
    assert words in failed.words


def test_a_mapped_collections_consent_is_asked_for_with_all_else_and_said_why(person: Route, globus: Emulator) -> None:
    person.write("a.txt")
    for collection_id in (SRC_ID, DST_ID):
        globus.world.change_collection(collection_id, type="mapped")

    first = on_a_terminal(person, "test_config.py")
    person.deliver_here()

    plain, full = asked(first)
    assert "data_access" not in plain
    assert all(f"{collection_id}/data_access" in full for collection_id in (SRC_ID, DST_ID))
    assert "openid" in full
    assert 'The data_access consent for "Beamline"' in first.stdout
    assert first.status == 0
    assert asked(on_a_terminal(person, "test_config.py")) == []
    assert person.tree(person.dst) == person.tree()


def test_who_is_signed_in_is_asked_once_for_a_missing_consent(person: Route, globus: Emulator) -> None:
    sign_in(person)
    globus.world.change_collection(DST_ID, type="mapped")

    failed = failure(person, status=4)
    again = on_a_terminal(person, "test_config.py")

    assert failed.name == "consent"
    assert failed.not_made == {"SRC_PATH", "DST_DIR"}
    assert (again.status, len(asked(again))) == (0, 1)


def test_a_service_account_gives_itself_the_consent(route: Route, globus: Emulator) -> None:
    globus.world.change_collection(DST_ID, type="mapped")

    route.write("a.txt")

    route.run("test_config.py", status=0, says='data_access is given for "Archive"')
    route.deliver_here()

    assert route.tree(route.dst) == route.tree()


def test_a_consent_that_the_person_refuses_fails(person: Route, globus: Emulator) -> None:
    sign_in(person)
    globus.world.change_collection(DST_ID, type="mapped")

    def without_the_consent(link: str) -> str:
        return code_from(re.sub(r"%5B[^+&]*%5D", "", link))  # the boxes that can be unticked, unticked

    result = on_a_terminal(person, "test_config.py", answer=without_the_consent)

    assert len(asked(result)) == 1
    assert result.status == 4
    assert "FAIL  consent     The data_access consent" in result.stdout


# ---- SRC_PATH -------------------------------------------------------------------------------------------------------


def test_a_wrong_src_path_fails_and_names_what_differs(route: Route) -> None:
    route.write("scan1.tif")
    other = route.folder / "other"
    other.mkdir()
    (other / "letter.txt").touch()
    route.configure(SRC_PATH=str(other))

    failed = failure(route, status=5)

    assert failed.name == "SRC_PATH"
    assert "only on disk: scan1.tif" in failed.words
    assert "only on the collection: letter.txt" in failed.words
    assert f"Set SRC_PATH = '{route.src}'" in failed.words  # the collection shows the whole machine


def test_a_src_path_that_is_missing_on_the_collection_is_found_where_it_is(route: Route, globus: Emulator) -> None:
    route.write("scan1.tif")
    globus.world.change_collection(SRC_ID, root=route.folder)

    failed = failure(route, status=5)
    route.configure(SRC_PATH="/src")
    route.run("test_config.py", status=0)

    assert failed.name == "SRC_PATH"
    assert f"There is no folder {route.src}" in failed.words
    assert "Set SRC_PATH = '/src': that folder shows the same names." in failed.words


def test_a_collection_of_another_machine_fails_and_says_which_settings_to_mend(
    route: Route, globus: Emulator, tmp_path: Path
) -> None:
    route.write("scan1.tif")
    (tmp_path / "machine").mkdir()
    globus.world.change_collection(SRC_ID, root=tmp_path / "machine")

    failed = failure(route, status=5)

    assert failed.name == "SRC_PATH"
    assert "SRC_PATH is not set" in failed.words
    assert "correct SRC_ID" in failed.words


@pytest.mark.parametrize("status", [403, 502])
def test_a_src_path_that_the_collection_refuses_is_found_where_it_is(
    route: Route, globus: Emulator, status: int
) -> None:
    route.write("scan1.tif")
    globus.world.change_collection(SRC_ID, root=route.folder)
    refusal = {"code": "EndpointPermissionDenied", "message": "Path not allowed"}
    if status == 502:
        refusal = {"code": "ExternalError.DirListingFailed.NotDirectory", "message": "Path is not a directory"}
    globus.world.add_fault(LS_SOURCE, status=status, json=refusal, times=1)

    failed = failure(route, status=5)

    assert failed.name == "SRC_PATH"
    assert refusal["message"] in failed.words
    assert "Set SRC_PATH = '/src'" in failed.words


def test_names_of_every_kind_are_the_same_on_both_sides(route: Route) -> None:
    for name in ("caf\u00e9", "cafe\u0301", "a\nb", " ", ".hidden", "[x]*?", "it's"):
        route.write(name)
    (route.src / os.fsdecode(b"not \xff utf-8")).touch()
    (route.src / "dangling").symlink_to("nowhere")
    (route.src / "empty").mkdir()

    route.run("test_config.py", status=0, says="shows what SRC_DIR holds")


@pytest.mark.parametrize("is_right", [True, False])
def test_a_folder_of_many_entries_is_compared_by_a_sample(route: Route, is_right: bool) -> None:
    other = route.folder / "other"
    other.mkdir()
    for number in range(1200):
        (route.src / f"{number:04}.tif").touch()
        (other / f"{number:04}.jpg").touch()
    if is_right:
        route.run("test_config.py", status=0, says="names compared: 1,000")
        return
    route.configure(SRC_PATH=str(other))

    failed = failure(route, status=5)

    assert failed.name == "SRC_PATH"
    assert "only on the collection: 0000.jpg, 0001.jpg, 0002.jpg, 0003.jpg, 0004.jpg and 995 more" in failed.words


def test_files_that_come_and_go_while_it_looks_fail_nothing(route: Route, globus: Emulator) -> None:
    for name in ("stays", "goes"):
        route.write(name)
    hold = globus.world.add_fault(LS_SOURCE, hold=True)
    script = route.start("test_config.py")
    until_held(hold, script)
    (route.src / "goes").unlink()
    route.write("comes")
    hold.release()

    stdout, stderr = script.communicate(timeout=60)

    assert (script.returncode, stderr) == (0, "")
    assert "ok    SRC_PATH" in stdout


def test_a_listing_that_lags_behind_the_disk_gets_a_second_look(route: Route, globus: Emulator) -> None:
    route.write("new.tif")
    stale = {"DATA_TYPE": "file_list", "DATA": [{"name": "old.tif", "type": "file"}]}
    globus.world.add_fault(LS_SOURCE, status=200, json=stale, times=1)

    route.run("test_config.py", status=0)


# ---- DST_DIR --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("is_there", [True, False])
def test_a_destination_that_cannot_be_written_fails(route: Route, globus: Emulator, is_there: bool) -> None:
    if is_there:
        route.dst.mkdir()
    globus.world.change_collection(DST_ID, read_only=True)

    failed = failure(route, status=6)

    assert failed.name == "DST_DIR"
    assert "EndpointPermissionDenied" in failed.words
    assert "administrator" in failed.words


def test_a_file_in_the_place_of_dst_dir_fails(route: Route) -> None:
    route.dst.write_text("")

    failed = failure(route, status=5)

    assert failed.name == "DST_DIR"
    assert "is not a folder" in failed.words


def test_a_test_folder_that_cannot_be_deleted_again_is_reported(route: Route, globus: Emulator) -> None:
    globus.world.add_fault("POST /v0.10/delete", status=403, json={"code": "PermissionDenied", "message": "No"})

    result = route.run("test_config.py", status=0, says="Delete it by hand.")

    (left,) = route.folder.glob(".globus-automated-transfer-test-*")
    assert str(left) in result.stdout


def test_a_guest_collection_that_shows_only_its_own_folder_is_fine(tmp_path: Path) -> None:
    guest_id, shared = UNKNOWN_ID, tmp_path / "shared"
    shared.mkdir()
    ends = [
        Collection(id=SRC_ID, root=Path("/"), name="Beamline"),
        Collection(id=DST_ID, root=tmp_path, type="mapped", name="Archive"),
        Collection(id=guest_id, type="guest", host_id=DST_ID, subfolder="/shared"),
    ]
    with Emulator(ends) as globus:
        route = Route(tmp_path, globus)
        route.configure(DST_ID=guest_id, DST_DIR="/deep/er")
        route.run("test_config.py", status=0, says="/deep/er can be created: / can be written")

    assert list(shared.iterdir()) == []


# ---- pytest ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("folder", "target"),
    [(ROOT, "."), (ROOT, "test_config.py"), (Path("/"), str(ROOT / "test_config.py"))],
    ids=["pytest .", "by name", "by absolute path from elsewhere"],
)
def test_pytest_collects_nothing_from_the_script(folder: Path, target: str) -> None:
    others = [path for path in (ROOT / "tests").iterdir() if path.name not in ("scripts", "support", "conftest.py")]
    ignored = [f"--ignore={path}" for path in others] if target == "." else []  # they take long, and matter to no root
    command = [sys.executable, "-m", "pytest", "--collect-only", "-q", "-p", "no:cacheprovider", *ignored, target]

    listed = subprocess.run(command, cwd=folder, capture_output=True, text=True)

    assert not any(re.match(r"(\S*/)?(?<!tests/scripts/)test_config\.py", line) for line in listed.stdout.splitlines())
    if target == ".":
        assert "tests/scripts/test_test_config.py::test_pytest_collects_nothing_from_the_script" in listed.stdout
    else:
        assert listed.returncode == pytest.ExitCode.NO_TESTS_COLLECTED
