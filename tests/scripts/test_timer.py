"""timer.py as a person and as cron see it: all that the former command line did, what it got wrong, and what is new."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import urllib.parse
import urllib.request
from contextlib import closing
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest
from globus_sdk.token_storage import SQLiteTokenStorage
from suite import CLIENT_ID, DST_ID, ROOT, SRC_ID, Result, Route
from terminal import Answer, asked, code_from, on_a_terminal, sign_in

from emulator.http.server import Emulator
from emulator.timers.scheduler import Timer
from emulator.world import Collection

HOUR = 3600
UNKNOWN_ID = "aaaaaaaa-0000-4000-8000-0000000000ff"
# What timer.py says first wherever a local service answers.
NAMED = "timer.py: Service: local, not Globus.\n"
OTHER_ID = "aaaaaaaa-0000-4000-8000-000000000003"
TRANSFER_ACTION = "https://transfer.actions.globus.org/transfer/run"


@pytest.fixture
def person(route: Route) -> Route:
    """A route whose owner signs in as a person."""
    route.configure(CLIENT_SECRET_FILE="")
    return route


def job(route: Route, *words: str, status: int | None = 0, says: str | None = None) -> Result:
    """Do a `timer.py job` command."""
    return route.run_here("timer.py", "job", *words, status=status, says=says)


def made(route: Route, *words: str) -> str:
    """Make a transfer timer; gives its id."""
    job_id: str = job(route, "transfer", *words, "--json").json["job_id"]
    return job_id


def fields(shown: str) -> dict[str, str]:
    """The titles and values of one timer as it is shown to a person."""
    return {title: value.strip() for title, _, value in (line.partition(":") for line in shown.splitlines()) if value}


def only_timer(globus: Emulator) -> Timer:
    """The one timer that the emulator has."""
    (timer,) = globus.world.timers.timers.values()
    return timer


def from_now(**how_long: float) -> str:
    """A moment as a person writes it, local time; so long from now also where summer time begins or ends between."""
    return (datetime.now(timezone.utc) + timedelta(**how_long)).astimezone().strftime("%Y-%m-%dT%H:%M:%S")


def at_a_terminal(route: Route, *words: str, answer: Answer = code_from, status: int = 0) -> list[str]:
    """Run timer.py at a terminal; gives the scopes that each login asked for."""
    result = on_a_terminal(route, "timer.py", *words, answer=answer)
    assert result.status == status, result.stdout
    return asked(result)


def refresh(globus: Emulator, token: str) -> int:
    """Ask the emulator's token endpoint for a new access token; gives the HTTP status."""
    form = {"grant_type": "refresh_token", "refresh_token": token, "client_id": CLIENT_ID}
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    request = urllib.request.Request(f"{globus.url}v2/oauth2/token", urllib.parse.urlencode(form).encode())
    try:
        with opener.open(request, timeout=60) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code


def stored_refresh_tokens(route: Route) -> list[str]:
    """The refresh tokens on disk."""
    with closing(SQLiteTokenStorage(str(route.code_path / "tokens.db"))) as storage:
        stored = storage.get_token_data_by_resource_server().values()
    return [one.refresh_token for one in stored if one.refresh_token]


# ---- the former command line, command by command --------------------------------------------------------------------


def test_an_interval_alone_schedules_src_dir_to_dst_dir_with_the_configured_options(
    route: Route, globus: Emulator
) -> None:
    route.configure(EXCLUDE=["*.tmp"], ENCRYPT_DATA=False, NOTIFY=["failed"], LABEL="Beamline 7", DEADLINE_HOURS=5)
    route.write("deep/a.txt")
    route.write("b.tmp")

    job(route, "transfer", "--interval", "8h")
    globus.world.advance()

    timer = only_timer(globus)
    assert timer.document is not None
    document = dict(timer.document)
    item = {"DATA_TYPE": "transfer_item", "source_path": f"{route.src}/", "destination_path": f"{route.dst}/"}
    assert document.pop("DATA") == [{**item, "recursive": True}]
    assert (timer.name, document["label"], timer.schedule.interval_seconds) == ("Beamline 7", "Beamline 7", 8 * HOUR)
    assert (document["source_endpoint"], document["destination_endpoint"], document["sync_level"]) == (
        SRC_ID,
        DST_ID,
        2,
    )
    assert (document["encrypt_data"], document["verify_checksum"], document["preserve_timestamp"]) == (
        False,
        True,
        True,
    )
    assert (document["notify_on_failed"], document["notify_on_succeeded"]) == (True, False)
    assert document["delete_destination_extra"] is False
    assert "deadline" not in document
    assert set(route.tree(route.dst)) == {"deep", "deep/a.txt"}


def test_the_example_of_the_former_readme_makes_the_same_timer(route: Route, globus: Emulator) -> None:
    one, two = route.write("file1.txt", "one"), route.write("file2.txt", "two")
    copies = route.folder / "new_file1.txt", route.folder / "new_file2.txt"
    start = from_now(hours=2)

    shown = job(
        route,
        *("transfer", "--name", "example-job", "--label", "Timer Transfer Job", "--interval", "28800"),
        *("--start", start, "--source-endpoint", SRC_ID, "--dest-endpoint", DST_ID),
        *("--item", str(one), str(copies[0]), "false", "-i", str(two), str(copies[1]), "no"),
    )
    globus.world.advance_clock(2 * HOUR + 1)

    row = fields(shown.stdout)
    assert (row["Name"], row["Status"], row["Interval"]) == ("example-job", "new (has not run yet)", "8h")
    assert row["Start"] == row["Next Run"] == f"{datetime.fromisoformat(start).astimezone():%Y-%m-%d %H:%M:%S %z}"
    assert [copy.read_text() for copy in copies] == ["one", "two"]
    (sent,) = route.sent()
    assert sent["label"] == "Timer Transfer Job, run 1"
    assert [item["recursive"] for item in sent["DATA"]] == [False, False]


def test_the_transfer_options_of_the_former_command_line_keep_their_meaning(route: Route, globus: Emulator) -> None:
    names = ("encrypt-data", "verify-checksum", "preserve-timestamp", "skip-source-errors", "fail-on-quota-errors")
    route.configure(**{name.upper().replace("-", "_"): False for name in names}, EXCLUDE=["*.tmp"])

    made(
        route,
        *("--interval", "1h", "--sync-level", "3", "--recursive-symlinks", "ignore", "-v"),
        *(f"--{name}" for name in names),
        *("--exclude", "*.bak", "--exclude", "core", "--notify", "succeeded,inactive"),
    )

    document = only_timer(globus).document
    assert document is not None
    assert document["sync_level"] == 3
    assert [document[name.replace("-", "_")] for name in names] == [True] * 5
    assert [rule["name"] for rule in document["filter_rules"]] == [
        "*.tmp",
        ".globus-automated-transfer-test-*",
        "*.bak",
        "core",
    ]
    assert [document[f"notify_on_{event}"] for event in ("succeeded", "failed", "inactive")] == [True, False, True]


def test_each_option_can_be_turned_off_against_the_configuration(route: Route, globus: Emulator) -> None:
    route.configure(FAIL_ON_QUOTA_ERRORS=True)
    names = ("encrypt-data", "verify-checksum", "preserve-timestamp", "skip-source-errors", "fail-on-quota-errors")

    made(route, "--interval", "1h", "--sync-level", "exists", "--notify", "off", *(f"--no-{name}" for name in names))

    document = only_timer(globus).document
    assert document is not None
    assert [document[name.replace("-", "_")] for name in names] == [False] * 5
    assert (document["sync_level"], document["notify_on_failed"]) == (0, False)


def test_an_items_file_does_what_items_on_the_command_line_do(route: Route, globus: Emulator) -> None:
    route.write("a file.txt", "one")
    route.write("folder/b.txt", "two")
    path = route.folder / "transfer_items.csv"
    lines = f"# my items\n\n{route.src}/a file.txt, {route.dst}/a, false\n{route.src}/folder/, {route.dst}/f/, TRUE\n"
    path.write_text(lines)

    made(route, "--interval", "1d", "--items-file", str(path))
    globus.world.advance()

    assert route.tree(route.dst) == {"a": b"one", "f": None, "f/b.txt": b"two"}


def test_a_timer_stops_after_so_many_runs_and_its_results_stay_visible(route: Route, globus: Emulator) -> None:
    job_id = made(route, "--interval", "1h", "--stop-after-runs", "2")

    globus.world.advance_clock(5 * HOUR)

    row = fields(job(route, "status", job_id).stdout)
    assert (row["Status"], row["Runs"], row["Stop After"]) == ("ended (will not run again)", "2", "2 runs")
    assert row["Last Result"].startswith("SUCCEEDED")
    assert len(route.sent()) == 2


def test_a_timer_stops_after_a_date_and_goes_on_when_that_is_moved(route: Route, globus: Emulator) -> None:
    job_id = made(route, "--interval", "1h", "--stop-after-date", from_now(hours=1, minutes=30))
    globus.world.advance_clock(5 * HOUR)
    before = fields(job(route, "status", job_id).stdout)

    job(route, "update", job_id, "--stop-after-date", from_now(hours=8, minutes=1))
    globus.world.advance_clock(5 * HOUR)

    after = fields(job(route, "status", job_id).stdout)
    assert (before["Status"], before["Runs"]) == ("ended (will not run again)", "2")
    assert (after["Status"], after["Runs"]) == ("ended (will not run again)", "5")


def test_a_single_run_needs_no_interval(route: Route, globus: Emulator) -> None:
    route.write("a.txt")

    job_id = made(route, "--stop-after-runs", "1", "--interval", "1h")
    made(route, "--stop-after-runs", "1", "--start", from_now(hours=1))
    globus.world.advance_clock(5 * HOUR)

    row = fields(job(route, "status", job_id).stdout)
    assert (row["Interval"], row["Stop After"], row["Runs"]) == ("once", "1 run", "1")
    assert len(route.sent()) == 2


@pytest.mark.parametrize(
    "form", ["%Y-%m-%d", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%d %H:%M:%S", "%Y-%m-%dT%H:%M:%S%z", "%Y-%m-%d %H:%M:%S%z"]
)
def test_every_form_of_a_date_that_the_former_command_line_took_is_taken(
    route: Route, globus: Emulator, form: str
) -> None:
    zone = timezone(timedelta(hours=5, minutes=30)) if "%z" in form else None
    text = (datetime.now(zone) + timedelta(days=3)).strftime(form)

    made(route, "--interval", "1d", "--start", text)

    assert only_timer(globus).schedule.start == datetime.strptime(text, form).astimezone(timezone.utc)


def test_job_submit_calls_an_action_provider_with_what_the_former_command_took(route: Route, globus: Emulator) -> None:
    (route.src / "target").mkdir(parents=True)
    route.write("target/a.txt")
    (route.src / "link").symlink_to("target")
    body = {
        "source_endpoint_id": SRC_ID,
        "destination_endpoint_id": DST_ID,
        "transfer_items": [{"source_path": f"{route.src}/", "destination_path": f"{route.dst}/", "recursive": True}],
        "recursive_symlinks": "keep",  # transfer timers know no such option any more
    }
    path = route.folder / "body.json"
    path.write_text(json.dumps({"body": body}))

    shown = job(
        route,
        *("submit", "--name", "by hand", "--interval", "1h", "--scope", "https://auth.globus.org/scopes/x/y"),
        *("--action-url", TRANSFER_ACTION, "--action-file", str(path), "--start", from_now(minutes=30)),
        *("--stop-after-runs", "2", "--stop-after-date", from_now(days=9), "-v"),
    )
    globus.world.advance_clock(5 * HOUR)

    row = fields(shown.stdout)
    assert row["Stop After"].startswith("2 runs or ")
    assert only_timer(globus).scope == "https://auth.globus.org/scopes/x/y"
    assert os.readlink(route.dst / "link") == "target"
    assert len(route.sent()) == 2


def test_job_submit_takes_its_body_on_the_command_line_and_shows_what_the_action_answered(
    route: Route, globus: Emulator
) -> None:
    submit = ("submit", "--name", "x", "--interval", "1h", "--scope", "s", "--action-url", "https://example.org/run")
    job_id = job(route, *submit, "--action-body", '{"body": {"a": 1}}', "--json").json["job_id"]

    result = job(route, "status", job_id, status=3)

    assert only_timer(globus).callback_body == {"body": {"a": 1}}
    assert fields(result.stdout)["Last Result"].startswith("FAILURE: NotImplemented: The emulator makes no calls")
    for wrong, words in (
        (("--action-body", "{"), "The action's body is not JSON"),
        (("--action-file", "/none"), "Cannot read /none: no such file or directory"),
        ((), "--action-body --action-file is required"),
        (("--action-body", "{}", "--action-file", "/none"), "not allowed with"),
        (("--action-body", "{}", "--action-url", "example.org"), "'example.org' is not a URL"),
    ):
        assert job(route, *submit, *wrong, status=2, says=words).stdout == ""


def test_job_list_shows_a_line_for_each_and_deleted_ones_when_asked(route: Route, globus: Emulator) -> None:
    nothing = job(route, "list")
    gone, kept = made(route, "--name", "gone", "--interval", "1h"), made(route, "--name", "kept", "--interval", "1h")
    job(route, "delete", gone)

    listed = job(route, "list").stdout.splitlines()
    with_deleted = job(route, "list", "--show-deleted").stdout
    verbose = job(route, "list", "-v").stdout

    assert nothing.stdout == "There are no timers. `timer.py job transfer --interval 8h` makes one.\n"
    assert [part.strip() for part in listed[0].split("|")] == ["Name", "Job ID", "Status", "Next Run", "Last Result"]
    assert [part.strip() for part in listed[1].split("|")][:3] == ["kept", kept, "loaded"]
    assert len(listed) == 2
    assert gone in with_deleted
    assert '"task_id"' in verbose
    assert [one["job_id"] for one in job(route, "list", "--json").json] == [kept]


def test_job_status_shows_one_or_several_or_all(route: Route, globus: Emulator) -> None:
    first, second = made(route, "--interval", "1h"), made(route, "--interval", "2h")
    made(route, "--interval", "3h")

    one = job(route, "status", first)
    two = job(route, "status", first, second)
    every = job(route, "status", "--all", "--show-deleted")
    verbose = job(route, "status", first, "--verbose").stdout

    assert {"Name", "Job ID", "Status", "Start", "Interval", "Next Run", "Last Result"} <= set(fields(one.stdout))
    assert [line for line in two.stdout.splitlines() if line.startswith("Job ID")] == [
        f"Job ID:      {job_id}" for job_id in (first, second)
    ]
    assert every.stdout.count("Job ID") == 3
    assert json.loads(verbose[verbose.index("{") :])["DATA_TYPE"] == "task"


def test_job_delete_shows_the_final_state_and_no_more_transfers_are_made(route: Route, globus: Emulator) -> None:
    first, second = made(route, "--interval", "1h"), made(route, "--interval", "1h")
    before = len(route.sent())

    shown = job(route, "delete", first, second)
    globus.world.advance_clock(5 * HOUR)

    assert shown.stdout.count("Status:      deleted") == 2
    assert len(route.sent()) == before
    assert fields(job(route, "status", first, "--show-deleted").stdout)["Status"].startswith("deleted (will not run")


def test_a_deleted_timer_is_not_offered_for_resuming(route: Route, globus: Emulator) -> None:
    job_id = made(route, "--interval", "1h")
    job(route, "pause", job_id)

    deleted = job(route, "delete", job_id).stdout
    shown = job(route, "status", job_id, "--show-deleted").stdout

    for text in (deleted, shown):
        assert "resume" not in text
        assert fields(text)["Status"] == "deleted (will not run again; a transfer that it started goes on)"


def test_a_timer_can_be_paused_resumed_and_updated(route: Route, globus: Emulator) -> None:
    job_id = made(route, "--interval", "1h", "--name", "before")
    globus.world.advance()

    paused = fields(job(route, "pause", job_id).stdout)
    globus.world.advance_clock(5 * HOUR)
    runs_while_paused = only_timer(globus).n_runs
    resumed = fields(job(route, "resume", job_id).stdout)
    updated = fields(
        job(route, "update", job_id, "--name", "after", "--interval", "1h30m", "--stop-after-runs", "9").stdout
    )

    assert paused["Inactive"] == (
        f"paused by a person; `timer.py --config {route.config} job resume {job_id}` resumes it"
    )
    assert (paused["Next Run"], runs_while_paused) == ("-", 1)
    assert (resumed["Status"], resumed["Runs"]) == ("loaded (runs on schedule)", "2")
    assert (updated["Name"], updated["Interval"], updated["Stop After"]) == ("after", "1h30m", "9 runs")


def test_config_may_stand_before_or_after_the_command(route: Route, globus: Emulator) -> None:
    script, before = route.command("timer.py")[1:2], ["--config", str(route.config)]
    results = [
        subprocess.run(
            [route.command("timer.py")[0], *script, *words],
            env=route.bare_environment(),
            capture_output=True,
            text=True,
            cwd="/",
        )
        for words in ([*before, "job", "list"], ["job", "list", *before])
    ]

    assert [(result.returncode, result.stderr) for result in results] == [(0, NAMED)] * 2
    assert results[0].stdout == results[1].stdout


def test_help_is_always_there_and_the_version_too(route: Route) -> None:
    assert "commands:" in route.run("timer.py").stdout
    assert "whoami" in route.run("timer.py", "session").stdout
    for command in ("transfer", "submit", "list", "status", "delete", "pause", "resume", "update"):
        assert "--config" in job(route, command, "--help").stdout
    for command in ("transfer", "submit"):
        assert "Each call makes a new timer" in job(route, command, "--help").stdout
    assert re.match(
        r"globus-automated-transfer \d+\.\d+\.\d+, globus-sdk 4\.", route.run("timer.py", "--version").stdout
    )


# ---- what a timer does on the clock ---------------------------------------------------------------------------------


def test_an_hourly_timer_brings_in_three_hours_what_came_in_between(route: Route, globus: Emulator) -> None:
    route.write("first.txt", "first")
    job_id = made(route, "--interval", "1h", "--start", from_now(hours=1))

    for number in range(3):
        route.write(f"added {number}.txt", "new")
        globus.world.advance_clock(HOUR + 1)

    row = fields(job(route, "status", job_id).stdout)
    assert len(route.sent()) == 3
    assert route.tree(route.dst) == route.tree()
    assert (row["Runs"], row["Errors"], row["Last Result"]) == ("3", "0", "SUCCEEDED: 1 file copied, 3 bytes")
    assert row["Last Task"] == list(globus.world.tasks)[-1]


def test_status_tells_what_the_task_itself_came_to_and_ends_with_3_when_a_person_should_look(
    route: Route, globus: Emulator
) -> None:
    route.write("a.txt")
    route.write("b.txt")
    globus.world.set_progress("seconds:60")
    job_id = made(route, "--interval", "1h")
    under_way = fields(job(route, "status", job_id).stdout)
    globus.world.set_progress("immediate")
    results: dict[str, str] = {}
    for outcome in ("skip", "fail"):
        globus.world.clear_outcomes()
        globus.world.add_outcome(outcome, path="*a.txt")
        route.write("a.txt", f"changed {outcome}", mtime_seconds=1_700_000_000 + len(outcome) + len(results))
        globus.world.advance_clock(HOUR + 1)
        results[outcome] = fields(job(route, "status", job_id, status=3).stdout)["Last Result"]

    assert under_way["Last Result"] == "ACTIVE (under way)"
    assert under_way["Activity"].startswith("a run is in progress since")
    assert "; 1 path SKIPPED because of errors" in results["skip"]
    assert results["fail"].startswith("FAILED: ENDPOINT_ERROR")
    assert "FAILED" in job(route, "list", status=0).stdout


def test_a_start_that_has_passed_sets_the_hours_of_the_day(route: Route, globus: Emulator) -> None:
    before = datetime.now(timezone.utc)
    result = job(route, "transfer", "--interval", "1d", "--start", "2020-01-01T03:30Z")

    start = only_timer(globus).schedule.start
    assert (start.hour, start.minute, start.second) == (3, 30, 0)
    assert before < start <= datetime.now(timezone.utc) + timedelta(days=1)
    assert "--start has passed; the first run is at its next tick" in result.stderr
    assert route.sent() == []


# ---- the bugs of the former command line -----------------------------------------------------------------------------


def test_revoke_really_revokes_the_stored_refresh_tokens(person: Route, globus: Emulator) -> None:
    sign_in(person, "timer.py", "session", "login")
    tokens = stored_refresh_tokens(person)
    before = [refresh(globus, token) for token in tokens]

    person.run("timer.py", "session", "revoke", says=f"Globus now refuses the {len(tokens)} refresh tokens")

    assert len(tokens) == 3
    assert before == [200] * 3
    assert [refresh(globus, token) for token in tokens] == [400] * 3
    assert stored_refresh_tokens(person) == []
    person.run("timer.py", "session", "revoke", status=4, says="Nothing was revoked")


def test_revoke_says_so_and_keeps_the_login_when_globus_cannot_be_reached(person: Route, globus: Emulator) -> None:
    sign_in(person, "timer.py", "session", "login")
    globus.world.add_fault("POST /v2/oauth2/token/revoke", status=403, times=None)

    result = person.run("timer.py", "session", "revoke", status=6, says="It may still be valid")

    assert result.stdout == ""
    assert len(stored_refresh_tokens(person)) == 3


def test_a_shorter_login_does_not_corrupt_the_longer_one_it_replaces(person: Route, globus: Emulator) -> None:
    sign_in(person, "timer.py", "session", "login")
    with closing(SQLiteTokenStorage(str(person.code_path / "tokens.db"))) as storage:
        stored = storage.get_token_data_by_resource_server()
        for token in stored.values():
            token.access_token += "x" * 20_000
        storage.store_token_data_by_resource_server(stored)
    globus.world.change_collection(DST_ID, type="mapped")

    sign_in(person, "timer.py", "session", "login")

    assert person.run("timer.py", "session", "whoami").stdout == "researcher@example.org\n"


@pytest.mark.parametrize(
    "interval",
    ["1month", "30m 1h", "1h foo", "0"],
)
def test_an_interval_that_is_only_half_understood_is_refused(route: Route, globus: Emulator, interval: str) -> None:
    result = job(route, "transfer", f"--interval={interval}", status=2)

    assert "interval" in result.stderr.lower()
    assert result.stdout == ""
    assert globus.world.requests == []


def test_90_minutes_are_90_minutes(route: Route, globus: Emulator) -> None:
    made(route, "--interval", "90 minutes")

    assert only_timer(globus).schedule.interval_seconds == 90 * 60


def test_stop_after_runs_0_does_not_run_for_ever(route: Route, globus: Emulator) -> None:
    job_id = made(route, "--interval", "1h")
    for words in (("transfer", "--interval", "1h"), ("update", job_id)):
        job(route, *words, "--stop-after-runs", "0", status=2, says="--stop-after-runs 0 would never run")

    assert len(globus.world.timers.timers) == 1


def test_sync_level_9_is_refused(route: Route, globus: Emulator) -> None:
    job(route, "transfer", "--interval", "1h", "--sync-level", "9", status=2, says="0 (exists), 1 (size), 2 (mtime)")

    assert globus.world.requests == []


def test_item_and_items_file_together_are_refused_where_one_silently_won(route: Route, globus: Emulator) -> None:
    both = ("--item", "/a", "/b", "no", "--items-file", "/none")

    job(route, "transfer", "--interval", "1h", *both, status=2, says="not allowed with")


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        ("", "holds no item"),
        ("/a, /b, true\n/c, /d\n", "Line 2 of the items file"),
        ("# one\n\n/a, /b, maybe\n", "Line 3 of the items file"),
        ("/a, /b, \xff\n", "utf-8"),
    ],
    ids=["empty", "column missing", "bad boolean", "no UTF-8"],
)
def test_an_items_file_that_is_wrong_is_refused_with_its_line(
    route: Route, globus: Emulator, lines: str, words: str
) -> None:
    path = route.folder / "items.csv"
    path.write_bytes(lines.encode("latin-1"))

    result = job(route, "transfer", "--interval", "1h", "--items-file", str(path), status=2, says=words)

    assert (result.stdout, str(path) in result.stderr) == ("", True)
    assert globus.world.requests == []


def test_the_service_names_the_action_and_no_url_is_made_up_here(route: Route, globus: Emulator) -> None:
    route.environment["GLOBUS_SDK_ENVIRONMENT"] = "production"
    made(route, "--interval", "1h")

    assert only_timer(globus).callback_url == TRANSFER_ACTION
    assert (
        "automate.globus.org"
        not in (ROOT / "autotransfer/globus/timers.py").read_text() + (ROOT / "timer.py").read_text()
    )


def test_an_expired_access_token_is_refreshed_and_not_a_crash(person: Route, globus: Emulator) -> None:
    sign_in(person, "timer.py", "session", "login")
    globus.world.change_auth(expire_access_tokens=True)

    made(person, "--interval", "1h")

    assert len(globus.world.timers.timers) == 1


def test_an_identity_without_an_organization_is_no_crash(person: Route, globus: Emulator) -> None:
    sign_in(person, "timer.py", "session", "login")
    who = {"sub": "x", "preferred_username": "nobody@example.org", "name": "N", "email": None}
    globus.world.add_fault("GET /v2/oauth2/userinfo", status=200, json=who)

    shown = person.run("timer.py", "session", "whoami", "--format", "full").stdout

    assert shown == "name: N\nemail: \npreferred_username: nobody@example.org\norganization: \n"


def test_nothing_that_newer_pythons_lack_is_imported(route: Route) -> None:
    program = (
        "import sys, runpy\nsys.argv = ['timer.py', '--version']\n"
        f"try: runpy.run_path({str(ROOT / 'timer.py')!r}, run_name='__main__')\nexcept SystemExit: pass\n"
        "import autotransfer.globus.timers, autotransfer.globus.login\n"
        "print([name for name in ('distutils', 'imp', 'click', 'pkg_resources') if name in sys.modules])"
    )
    done = subprocess.run(
        [route.command("timer.py")[0], "-W", "error::DeprecationWarning", "-c", program],
        env={**route.bare_environment(), "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )

    assert done.stdout.splitlines()[-1:] == ["[]"], done.stderr


@pytest.mark.parametrize(
    "words",
    [
        ("job", "transfer", "--interval", "1h"),
        ("job", "list"),
        ("job", "status", "--all"),
        ("job", "status", UNKNOWN_ID),
        ("job", "delete", UNKNOWN_ID),
        ("session", "whoami"),
    ],
    ids=" ".join,
)
def test_errors_of_the_service_go_to_stderr_with_a_status(route: Route, globus: Emulator, words: tuple[str]) -> None:
    error = {"error": {"code": "ERROR", "detail": "the disk of the service is full", "status": 507}}
    globus.world.add_fault("* /jobs/*", status=507, json=error, times=None)
    globus.world.add_fault("* /v2/timer", status=507, json=error, times=None)
    globus.world.add_fault("* /v2/oauth2/token", status=507, json=error, times=None) if words[0] == "session" else None
    route.configure(CLIENT_SECRET_FILE="" if words[0] == "session" else route.settings["CLIENT_SECRET_FILE"])

    result = route.run("timer.py", *words, status=None)

    assert result.status == (4 if words[0] == "session" else 6)
    assert result.stdout == ""
    assert words[0] == "session" or "the disk of the service is full (HTTP 507" in result.stderr


def test_a_network_that_is_down_is_reported_once_on_stderr(person: Route, hasty: Route, globus: Emulator) -> None:
    sign_in(person, "timer.py", "session", "login")
    globus.stop()

    result = hasty.run("timer.py", "job", "status", UNKNOWN_ID, SRC_ID, status=6, says="it cannot be reached")

    assert result.stdout == ""
    assert result.stderr.startswith(NAMED) and len(result.stderr.splitlines()) == 2


@pytest.mark.parametrize("words", [("transfer", "--interval", "1h"), ("list",)], ids=lambda words: words[0])
def test_no_next_run_is_promised_where_none_will_come(
    person: Route, hasty: Route, globus: Emulator, words: tuple[str, ...]
) -> None:
    sign_in(person, "timer.py", "session", "login")
    globus.stop()

    result = hasty.run("timer.py", "job", *words, status=6, says="Try again later")

    assert "next run" not in result.stderr


def test_delete_without_ids_is_no_silent_success(route: Route) -> None:
    for command in ("delete", "pause", "resume", "update"):
        job(route, command, status=2, says="JOB_ID")
    job(route, "status", status=2, says="Give JOB_IDs or --all")


def test_no_job_command_ever_prompts(person: Route, globus: Emulator) -> None:
    for words in (("list",), ("transfer", "--interval", "1h"), ("delete", UNKNOWN_ID)):
        result = job(person, *words, status=4)
        assert f"Run timer.py --config {person.config} session login in a terminal" in result.stderr
        assert at_a_terminal(person, "job", *words, status=4) == []


def test_logout_does_not_say_that_it_did_what_it_did_not(person: Route, globus: Emulator) -> None:
    person.run("timer.py", "session", "logout", says="there was nothing to delete")
    sign_in(person, "timer.py", "session", "login")
    (person.code_path / "tokens.db").write_bytes(b"garbage" * 1000)

    result = person.run("timer.py", "session", "logout", status=5)

    assert result.stdout == ""


# ---- the session ----------------------------------------------------------------------------------------------------


def test_a_person_signs_in_is_shown_and_signs_out(person: Route, globus: Emulator) -> None:
    scopes = at_a_terminal(person, "session", "login")
    again = at_a_terminal(person, "session", "login")

    brief = person.run("timer.py", "session", "whoami").stdout
    full = person.run("timer.py", "session", "whoami", "--format", "full").stdout
    document = person.run("timer.py", "session", "whoami", "--format", "json").json
    job_id = made(person, "--interval", "1h")
    person.run("timer.py", "session", "logout", says="was deleted")
    globus.world.advance_clock(HOUR + 1)

    assert (len(scopes), again) == (1, [])
    assert "timer[urn:globus:auth:scope:transfer.api.globus.org:all]" in scopes[0]
    assert brief == "researcher@example.org\n"
    assert set(document) == {"name", "email", "preferred_username", "organization"}
    assert full == "".join(f"{name}: {value}\n" for name, value in document.items())
    person.run("timer.py", "session", "whoami", status=4)
    assert (person.code_path / "tokens.db").stat().st_mode & 0o777 == 0o600
    assert globus.world.timers.timers[job_id].n_runs == 2  # the timer acts by itself


def test_login_without_a_terminal_never_prompts(person: Route) -> None:
    result = person.run("timer.py", "session", "login", status=4, says="Signing in needs a terminal")

    assert result.stdout == ""


@pytest.mark.parametrize("typed", ["not-the-code", "", "\x04"], ids=["wrong", "empty", "end of file"])
def test_a_code_that_is_no_good_ends_the_login(person: Route, typed: str) -> None:
    at_a_terminal(person, "session", "login", answer=lambda link: typed, status=4)

    person.run("timer.py", "session", "whoami", status=4)


def test_a_login_that_globus_no_longer_takes_is_made_anew(person: Route, globus: Emulator) -> None:
    sign_in(person, "timer.py", "session", "login")
    globus.world.change_auth(revoke="refresh_tokens")
    globus.world.change_auth(expire_access_tokens=True)

    job(person, "list", status=4, says="session login")
    sign_in(person, "timer.py", "session", "login")

    job(person, "list")


def test_a_service_account_has_no_session_of_its_own(route: Route) -> None:
    assert route.run("timer.py", "session", "whoami").stdout == f"{CLIENT_ID}@clients.auth.globus.org\n"
    route.run("timer.py", "session", "login", says="needs no sign-in")
    route.run("timer.py", "session", "logout", status=2, says="service account")
    route.run("timer.py", "session", "revoke", status=2, says="service account")


# ---- consents ------------------------------------------------------------------------------------------------------


def test_the_consents_of_mapped_collections_are_asked_for_inside_the_timers_chain(
    person: Route, globus: Emulator
) -> None:
    globus.world.change_collection(DST_ID, type="mapped")
    person.write("a.txt")

    scopes = at_a_terminal(person, "session", "login")
    again = at_a_terminal(person, "session", "login")
    made(person, "--interval", "1h")
    globus.world.advance()

    chain = f"timer[urn:globus:auth:scope:transfer.api.globus.org:all[*https://auth.globus.org/scopes/{DST_ID}/data_access]]"
    assert (len(scopes), again) == (2, [])  # what a collection wants can only be asked once signed in
    assert chain in scopes[-1]
    assert person.tree(person.dst) == person.tree()


def test_one_sign_in_is_enough_where_test_config_has_signed_in_before(person: Route, globus: Emulator) -> None:
    sign_in(person, "timer.py", "session", "login")
    globus.world.change_collection(SRC_ID, type="mapped")
    globus.world.change_collection(DST_ID, type="mapped")

    (scopes,) = at_a_terminal(person, "session", "login")

    assert scopes.count(f"{SRC_ID}/data_access") == scopes.count(f"{DST_ID}/data_access") == 2
    made(person, "--interval", "1h")


def test_a_timer_to_another_mapped_collection_names_the_login_that_it_needs(person: Route, globus: Emulator) -> None:
    globus.world.add_collection(Collection(id=OTHER_ID, root=Path("/"), type="mapped", name="Cluster"))
    sign_in(person, "timer.py", "session", "login")
    transfer = ("transfer", "--interval", "1h", "--dest-endpoint", OTHER_ID)

    refused = job(person, *transfer, status=4)
    login = re.search(r"`timer\.py --config \S+ (session login --collection \S+)`", refused.stderr)
    assert login, refused.stderr
    at_a_terminal(person, *login[1].split())

    job(person, *transfer)
    assert len(globus.world.timers.timers) == 1


def test_a_timer_that_stands_still_for_lack_of_a_consent_is_shown_with_its_remedy(
    person: Route, globus: Emulator
) -> None:
    sign_in(person, "timer.py", "session", "login")
    job_id = made(person, "--interval", "1h")
    globus.world.change_collection(DST_ID, type="mapped")
    person.write("a.txt")
    globus.world.advance_clock(HOUR + 1)

    row = fields(job(person, "status", job_id, status=3).stdout)
    job(person, "resume", job_id, status=4, says=f"session login --collection {DST_ID}")
    remedies = re.findall(r"`timer\.py --config \S+ ([^`]+)`", row["Inactive"])
    asked = at_a_terminal(person, *remedies[0].split())
    person.run("timer.py", *remedies[1].split())

    assert row["Status"] == "inactive (does not run)"
    assert row["Inactive"].startswith("Missing required data_access consent; ")
    assert len(asked) == 1
    assert only_timer(globus).n_runs == 2  # the refused one was no run
    job(person, "status", job_id, status=0)
    assert person.tree(person.dst) == person.tree()


def test_a_timer_whose_consents_were_all_rescinded_goes_on_after_login_and_resume(
    person: Route, globus: Emulator
) -> None:
    sign_in(person, "timer.py", "session", "login")
    job_id = made(person, "--interval", "1h")
    globus.world.change_auth(revoke="consents")
    globus.world.advance_clock(HOUR + 1)

    sign_in(person, "timer.py", "session", "login")
    shown = job(person, "status", "--all", status=3, says="The consent that this timer rests on was withdrawn")
    job(person, "resume", job_id)

    assert fields(shown.stdout)["Status"] == "inactive (does not run)"
    assert only_timer(globus).n_runs == 2
    assert job(person, "status", job_id).status == 0


def test_a_timer_that_wants_a_fresh_login_is_mended_by_one_sign_in(person: Route, globus: Emulator) -> None:
    sign_in(person, "timer.py", "session", "login")
    job_id = made(person, "--interval", "1h")
    globus.world.change_auth(session_expired=[DST_ID])
    globus.world.advance_clock(HOUR + 1)

    row = fields(job(person, "status", job_id, status=3).stdout)
    remedies = re.findall(r"`timer\.py --config \S+ ([^`]+)`", row["Inactive"])
    asked = at_a_terminal(person, *remedies[0].split())
    person.run("timer.py", *remedies[1].split())

    assert row["Inactive"].startswith("Session reauthentication required; ")
    assert len(asked) == 1
    assert fields(job(person, "status", job_id).stdout)["Runs"] == "2"


def test_resume_can_keep_the_login_that_the_timer_was_made_with(route: Route, globus: Emulator) -> None:
    job_id = made(route, "--interval", "1h")
    job(route, "pause", job_id)
    globus.world.requests.clear()

    job(route, "resume", job_id, "--keep-credentials")

    assert not any(call.path.startswith("/v0.10/endpoint/") for call in globus.world.requests)
    assert fields(job(route, "status", job_id).stdout)["Status"] == "loaded (runs on schedule)"


# ---- messages and documents ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ((), "--interval is missing"),
        (("--interval", "1h", "--stop-after-runs", "2", "--stop-after-date", "2099-01-01"), "cannot be combined"),
        (("--interval", "1h", "--start", "2099-01-01"), "the time must be within one year"),
        (("--interval", "1h", "--start", "tomorrow"), "--start 'tomorrow' is not a time"),
        (("--stop-after-runs", "1", "--start", "2020-01-01"), "has passed"),
        (("--interval", "1h", "--stop-after-date", "2020-01-01"), "--stop-after-date 2020-01-01 has passed"),
        (("--interval", "1h", "--label", "x" * 129), "--label is not a valid label: it has 129 characters"),
        (("--interval", "1h", "--name", "x" * 129), "--name, which is the label of its tasks too"),
        (("--interval", "1h", "--recursive-symlinks", "copy"), "transfer timers of the Timers service skip symlinks"),
        (("--interval", "1h", "-i", "/a", "/b", "maybe"), "'maybe' is neither true nor false"),
        (("--interval", "1h", "-i", "", "/b", "true"), "A path of an --item is empty"),
        (("--interval", "1h", "--items-file", "/none"), "Cannot read the items file /none: no such file"),
        (("--interval", "1h", "--notify", "sometimes"), "--notify sometimes is not valid"),
        (("--interval", "1h", "--dest-endpoint", UNKNOWN_ID), f"{UNKNOWN_ID} is not a collection"),
    ],
)
def test_what_cannot_be_is_refused_in_plain_words_and_nothing_is_created(
    route: Route, globus: Emulator, words: tuple[str, ...], says: str
) -> None:
    result = job(route, "transfer", *words, status=2, says=says)

    assert result.stdout == ""
    assert globus.world.timers.timers == {}


def test_an_unknown_timer_is_reported_with_the_words_of_the_service_and_the_others_are_served(
    route: Route, globus: Emulator
) -> None:
    job_id = made(route, "--interval", "1h")

    unknown = job(route, "status", UNKNOWN_ID, status=2)
    nonsense = job(route, "pause", "nonsense", status=2)
    mixed = job(route, "pause", UNKNOWN_ID, job_id, status=3)

    assert f"Job {UNKNOWN_ID} not found (HTTP 404" in unknown.stderr
    assert "`timer.py job list` shows the timers" in unknown.stderr
    assert "value is not a valid uuid" in nonsense.stderr
    assert fields(mixed.stdout)["Status"] == "inactive (does not run)"
    assert f"Job {UNKNOWN_ID} not found" in mixed.stderr


def test_a_creation_whose_answer_was_lost_is_not_repeated(route: Route, globus: Emulator) -> None:
    globus.world.add_fault("POST /v2/timer", reset="after")

    job(route, "transfer", "--interval", "1h", status=6, says="It is not known whether Globus created the timer")

    assert len(globus.world.timers.timers) == 1


def test_a_change_that_the_service_passes_over_is_not_called_done(route: Route, globus: Emulator) -> None:
    job_id = made(route, "--interval", "1h")
    globus.world.updatable_timer_fields = frozenset({"name"})

    job(route, "update", job_id, "--name", "other")
    result = job(route, "update", job_id, "--name", "third", "--interval", "2h", "--stop-after-runs", "3", status=6)

    assert f"Globus left the interval and the stop after of the timer {job_id} as it was" in result.stderr
    assert "The name changed." in result.stderr


def test_json_is_one_document_and_an_array_where_timers_are_named(route: Route, globus: Emulator) -> None:
    one = job(route, "transfer", "--interval", "1h", "--json", "-v").json
    job_id = one["job_id"]
    second = made(route, "--interval", "1h")

    shapes = {
        command: [document["job_id"] for document in job(route, *command.split(), "--json").json]
        for command in (
            "list",
            f"status {job_id}",
            f"pause {job_id} {second}",
            f"resume {job_id} {second}",
            f"delete {job_id}",
        )
    }

    assert one["last_task"] is None
    assert list(map(len, shapes.values())) == [2, 1, 2, 2, 1]
    assert job(route, "update", second, "--name", "x", "--json").json["name"] == "x"
    assert job(route, "delete", second, "--json").json[0]["last_task"]["status"] == "SUCCEEDED"
    assert job(route, "list", "--json").json == []
    assert set(route.run("timer.py", "session", "whoami", "--json").json) >= {"name", "email"}
    assert set(route.run("timer.py", "session", "login", "--json").json) == {"identity"}


def test_wide_and_hostile_names_do_not_break_the_table(route: Route, globus: Emulator) -> None:
    for name in ("日本語の実験", "e\u0301te\u0301", "a\nb\x1b[31m\u202e", "plain"):
        made(route, "--name", name, "--label", "x", "--interval", "1h")
    route.environment["PYTHONIOENCODING"] = "utf-8"

    lines = job(route, "list").stdout.splitlines()

    assert len(lines) == 5
    columns = [len(line.split("|")[0].encode("euc_jp", "ignore")) for line in (lines[0], lines[1], lines[4])]
    assert columns == [columns[0]] * 3
    assert lines[3].startswith("a\\nb\\x1b[31m\\u202e")
    assert lines[2].index("|") == lines[4].index("|") + 2  # two accents take no column


def test_a_task_that_globus_does_not_show_any_more_is_no_error(route: Route, globus: Emulator) -> None:
    job_id = made(route, "--interval", "1h")
    globus.world.advance()
    (task_id,) = globus.world.tasks
    globus.world.change_task(task_id, forget=True)

    result = job(route, "status", job_id, says="SUBMITTED (Globus does not show the outcome of the task)")

    assert result.stderr == NAMED


# ---- the manual's figures -------------------------------------------------------------------------------------------


def test_the_figures_that_speak_for_cron_are_those_of_the_benchmark() -> None:
    words = [sys.executable, str(ROOT / "benchmarks/cron_or_timers.py"), "--json"]
    found = json.loads(subprocess.run(words, capture_output=True, text=True, check=True, timeout=120).stdout)
    titles = ("cron, changed", "timer, changed", "cron, unchanged", "timer, unchanged")
    names = ("items", "compared_files", "listed_folders", "copied_files", "requests")
    _, table = (ROOT / "docs/timers.md").read_text(encoding="utf-8").split("| What Globus does |")
    lines = [line.strip("|").split("|")[1:] for line in table.split("\n\n")[0].splitlines()[2:]]
    shown = [
        [int(re.sub(r"\D", "", cell.replace("no task", "0").split(", the")[0])) for cell in line] for line in lines
    ]

    assert (found["files"], found["changed"]) == (10_000, 10)
    assert shown == [[found[title][name] for title in titles] for name in names]
