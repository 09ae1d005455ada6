"""Submitting when things go wrong: nothing is lost, nothing runs twice, and the message says what was recorded."""

from __future__ import annotations

import pytest
from suite import Route, let_time_pass, start_with_one_file_away

from autotransfer.common.paths import TEST_PREFIX
from autotransfer.datastore.record import Retry
from autotransfer.datastore.store import Store
from emulator.http.server import Emulator

pytestmark = pytest.mark.usefixtures("hasty")  # most runs here try again and again

LOST_ANSWERS = {
    "the connection drops after Globus processed the request": {"reset": "after"},
    "the connection drops before Globus sees it": {"reset": "before"},
    "a gateway fails": {"status": 502, "json": {"code": "BadGateway", "message": "upstream"}},
    "a proxy answers in HTML": {"status": 200, "text": "<html>Sign in to the guest network</html>"},
}


def test_globus_is_sent_every_option_and_nothing_else(route: Route) -> None:
    route.configure(EXCLUDE=["*.tmp"], NOTIFY=["failed"])
    route.write("a.txt")
    route.write("new/b.txt")
    source, destination = str(route.src), str(route.dst)

    route.summary_here()

    (document,) = route.sent()
    assert isinstance(document.pop("submission_id"), str)
    assert isinstance(document.pop("label"), str)
    assert document == {
        "DATA_TYPE": "transfer",
        "source_endpoint": route.settings["SRC_ID"],
        "destination_endpoint": route.settings["DST_ID"],
        "sync_level": 2,
        "verify_checksum": True,
        "preserve_timestamp": True,
        "encrypt_data": True,
        "skip_source_errors": True,
        "fail_on_quota_errors": False,
        "delete_destination_extra": False,
        "notify_on_succeeded": False,
        "notify_on_failed": True,
        "notify_on_inactive": False,
        "filter_rules": [
            {"DATA_TYPE": "filter_rule", "method": "exclude", "name": name} for name in ("*.tmp", f"{TEST_PREFIX}*")
        ],
        "DATA": [
            {
                "DATA_TYPE": "transfer_item",
                "source_path": f"{source}/a.txt",
                "destination_path": f"{destination}/a.txt",
                "recursive": False,
            },
            {
                "DATA_TYPE": "transfer_item",
                "source_path": f"{source}/new/",
                "destination_path": f"{destination}/new/",
                "recursive": True,
            },
        ],
    }


def test_what_is_submitted_again_is_what_was_prepared_whatever_the_settings_say_now(
    route: Route, globus: Emulator
) -> None:
    route.write("a.txt")
    globus.world.add_fault("POST /v0.10/transfer", times=4, reset="before")
    route.run("main.py", status=6)
    globus.world.clear_faults()
    route.configure(VERIFY_CHECKSUM=False, NOTIFY=["failed"])

    route.summary_here()

    (document,) = route.sent()
    assert (document["verify_checksum"], document["notify_on_failed"]) == (True, False)


@pytest.mark.parametrize("fault", LOST_ANSWERS.values(), ids=LOST_ANSWERS.keys())
def test_a_submission_whose_answer_is_lost_becomes_one_task(
    route: Route, globus: Emulator, fault: dict[str, object]
) -> None:
    route.write("a.txt")
    globus.world.add_fault("POST /v0.10/transfer", times=4, **fault)

    first = route.run("main.py", status=6)
    globus.world.clear_faults()
    route.deliver_here()

    assert "submit it again with the same submission_id" in first.stderr
    assert len(route.sent()) == 1
    assert len({document["submission_id"] for document in route.sent()}) == 1
    assert route.tree(route.dst) == route.tree()


@pytest.mark.parametrize(
    ("status", "code", "exit_status"),
    [(403, "PermissionDenied", 6), (404, "EndpointNotFound", 5), (429, "TooManyRequests", 6)],
)
def test_a_refused_submission_records_nothing_and_the_next_run_finds_its_paths_again(
    route: Route, globus: Emulator, status: int, code: str, exit_status: int
) -> None:
    route.write("a.txt")
    route.write("new/b.txt")
    refusal = {"code": code, "message": "No.", "request_id": "abc123DEF"}
    globus.world.add_fault("POST /v0.10/transfer", times=4, status=status, json=refusal)

    result = route.run("main.py", status=exit_status)
    globus.world.clear_faults()
    summary = route.deliver()

    assert f"No. (HTTP {status}, code {code}, request_id abc123DEF)" in result.stderr
    assert summary["new"] == 2
    assert route.tree(route.dst) == route.tree()


def test_a_refused_login_keeps_a_task_whose_answer_was_lost(route: Route, globus: Emulator) -> None:
    route.write("a.txt")
    globus.world.add_fault("POST /v0.10/transfer", times=4, reset="after")
    route.run("main.py", status=6)
    refusal = {"code": "ClientError.AuthenticationFailed", "message": "Token is not valid"}
    globus.world.clear_faults()
    globus.world.add_fault("POST /v0.10/transfer", times=4, status=401, json=refusal)

    route.run("main.py", status=4, says="Run test_config.py")
    globus.world.clear_faults()
    route.deliver_here()

    assert len(route.sent()) == 1
    assert route.tree(route.dst) == route.tree()


def test_a_lost_task_that_globus_refuses_the_second_time_is_found_by_its_label(route: Route, globus: Emulator) -> None:
    route.write("a.txt")
    globus.world.add_fault("POST /v0.10/transfer", times=4, reset="after")
    route.run("main.py", status=6)
    globus.world.clear_faults()
    refusal = {"code": "BadRequest", "message": "The deadline is in the past"}
    globus.world.add_fault("POST /v0.10/transfer", times=1, status=400, json=refusal)

    summary = route.summary()

    assert (summary["succeeded"], summary["delivered"], len(route.sent())) == (1, 1, 1)


def test_a_prepared_task_that_globus_refuses_for_good_does_not_block_the_route(route: Route, globus: Emulator) -> None:
    route.write("a.txt")
    globus.world.add_fault("POST /v0.10/transfer", times=4, reset="before")
    route.run("main.py", status=6)
    globus.world.clear_faults()
    refusal = {"code": "BadRequest", "message": "The deadline is in the past"}
    globus.world.add_fault("POST /v0.10/transfer", times=1, status=400, json=refusal)

    assert route.deliver()["new"] == 1  # by the same run, with a deadline of today
    assert route.tree(route.dst) == route.tree()


def test_an_open_task_with_the_same_paths_is_adopted_when_the_datastore_was_begun_anew(
    route: Route, globus: Emulator
) -> None:
    globus.world.set_progress("polls:3")
    route.write("a.txt")
    route.summary_here()
    route.begin_anew()

    first = route.summary(status=3)
    for _ in range(8):
        route.summary_here()

    assert first["submitted"] == 0
    assert "already has an open task" in first["notices"][0]
    assert [document["sync_level"] for document in route.sent()] == [2, 3]
    assert globus.world.conflicts == []
    assert route.summary()["in_flight_tasks"] == 0


def test_an_offline_personal_endpoint_is_named_and_nothing_is_recorded(route: Route, globus: Emulator) -> None:
    route.write("a.txt")
    globus.world.change_collection(route.settings["SRC_ID"], gcp_connected=False)

    route.run("main.py", status=6, says='"Beamline"')
    globus.world.change_collection(route.settings["SRC_ID"], gcp_connected=True)

    assert route.deliver()["new"] == 1


def test_a_task_without_progress_is_reported_then_canceled_and_its_files_are_sent_again(
    route: Route, globus: Emulator
) -> None:
    route.configure(STUCK_HOURS=0.1)
    globus.world.set_progress("polls:2")
    globus.world.add_outcome("stall", path="*", times=None, code="QUOTA_EXCEEDED")
    route.write("a.txt")
    route.summary_here()
    reported = route.summary(status=3)
    route.run("main.py", status=3)
    let_time_pass(route, hours=1.2)
    canceled = route.summary(status=3)
    globus.world.clear_outcomes()
    route.deliver_here()

    assert "QUOTA_EXCEEDED" in reported["notices"][0]
    assert any("so it was canceled" in notice for notice in canceled["notices"])
    assert route.tree(route.dst) == route.tree()


def test_a_reconciliation_that_breaks_off_between_two_pages_records_none_of_it(route: Route, globus: Emulator) -> None:
    globus.world.page_size = 2
    start_with_one_file_away(route, "abcdefg")
    failure = {"status": 502, "json": {"code": "ExternalError", "message": "upstream"}}
    globus.world.add_fault("GET /v0.10/task/*/successful_transfers", skip=2, times=1, **failure)

    route.run("main.py", status=3, says="upstream")
    route.write("other.dat")
    for _ in range(3):
        route.summary("--wait", "20", status=None)

    assert route.tree(route.dst) == route.tree()


def test_skipped_files_do_not_hide_one_that_was_away(route: Route, globus: Emulator) -> None:
    globus.world.add_outcome("skip", path="*/b.dat", times=1, code="PERMISSION_DENIED")
    start_with_one_file_away(route, "abcde")

    for _ in range(3):
        route.summary("--wait", "20", status=None)

    assert route.tree(route.dst) == route.tree()


def test_many_skipped_files_in_one_folder_are_settled_in_one_go(route: Route, globus: Emulator) -> None:
    """Each was once a rewrite of the whole folder: 4,000 took 17 s."""
    for number in range(4000):
        (route.src / "many").mkdir(exist_ok=True)
        (route.src / "many" / f"{number}.dat").touch()
    globus.world.add_outcome("skip", path="*/many/*.dat", times=None, code="PERMISSION_DENIED")
    route.summary_here()

    settled = route.summary(status=3)

    assert settled["retrying"] == 4000
    assert settled["seconds"] < 10


def test_a_task_that_is_never_answered_does_not_keep_the_others_from_being_settled(
    route: Route, globus: Emulator
) -> None:
    globus.world.set_progress("polls:2")
    route.write("a.txt")
    route.summary_here()
    globus.world.add_fault("POST /v0.10/transfer", times=1000, status=500, json={"code": "Bug", "message": "Oh."})
    route.write("b.txt")
    route.run("main.py", status=6)

    assert route.summary(status=6)["delivered"] == 1
    let_time_pass(route, hours=48)
    route.run("main.py", status=6)
    globus.world.clear_faults()
    route.deliver_here()

    assert route.tree(route.dst) == route.tree()


def test_a_task_refused_for_what_is_in_it_does_not_hold_up_the_others(route: Route, globus: Emulator) -> None:
    route.configure(MAX_ITEMS_PER_TASK=1)
    for name in "abcd":
        route.write(f"{name}.txt")
    refusal = {"code": "ClientError.BadRequest", "message": "The path is too long"}
    globus.world.add_fault("POST /v0.10/transfer", times=1, status=400, json=refusal)

    route.run("main.py", status=3, says="Globus accepts no task with")

    assert len(route.sent()) == 3


def test_a_new_destination_gets_also_what_was_excluded_when_the_route_moved(route: Route) -> None:
    route.write("a.log")
    route.write("keep.dat")
    route.run_here("set_time.py", "now")
    route.configure(DST_DIR=str(route.folder / "elsewhere"), EXCLUDE=["*.log"])
    route.run_here("set_time.py", "never")
    route.configure(EXCLUDE=[])

    assert route.deliver()["delivered"] == 2


def test_a_pause_set_by_a_wrong_clock_ends_when_the_clock_is_set_right(route: Route, globus: Emulator) -> None:
    route.write("a.txt")
    globus.world.add_outcome("fail", path="*", times=1, code="ENDPOINT_ERROR")
    route.summary_here()
    route.summary("--dry-run", status=3)
    route.run("main.py", status=3)
    route.deliver_here()
    with Store(str(route.code_path / "datastore")) as store:
        folder = store.trie.folder("")
        record = folder.delivered.pop("a.txt")
        folder.retries["a.txt"] = Retry(*record.fingerprint, 5, record.transferred_at_ns + 10**18, "X", 1)
        store.trie.put("", folder)
        store.commit()

    assert route.summary(status=3)["retried"] == 1


def test_the_kept_summary_has_the_exit_status_that_cron_saw(route: Route, globus: Emulator) -> None:
    globus.world.set_progress("polls:2")
    globus.world.add_outcome("stall", path="*", times=None, code="QUOTA_EXCEEDED")
    route.write("a.txt")
    route.summary_here()
    route.summary_here(status=3)

    with Store(str(route.code_path / "datastore")) as store:
        kept = store.shelf["LAST_RUN"]

    assert kept["status"] == 3
    assert "QUOTA_EXCEEDED" in kept["notices"][0]
