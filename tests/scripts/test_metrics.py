"""METRICS_FILE: what Prometheus's own parser reads of it, and what becomes of it when things go wrong."""

from __future__ import annotations

import re
import stat
import subprocess
import time
from pathlib import Path

import pytest
from programs import path_of
from prometheus_client import Metric
from prometheus_client.parser import text_string_to_metric_families
from suite import ROOT, Result, Route
from waiting import until, until_held

from autotransfer.common.summary import Summary
from autotransfer.monitoring.metrics import KINDS_OF_FINDING
from emulator.http.server import Emulator

PREFIX = "globus_transfer_"


@pytest.fixture
def measured(route: Route) -> Route:
    """A route that writes metrics, as a textfile collector would read them."""
    (route.folder / "collector").mkdir()
    route.configure(METRICS_FILE=str(route.folder / "collector/run7.prom"), LABEL='Strahl "7" \\ \u00e9')
    return route


def families(route: Route) -> dict[str, Metric]:
    """The metrics by name, without the prefix; every sample must have the route's labels."""
    read = {}
    for family in text_string_to_metric_families(Path(route.settings["METRICS_FILE"]).read_text(encoding="utf-8")):
        assert family.name.startswith(PREFIX) and family.documentation and family.type == "gauge"
        for sample in family.samples:
            assert (sample.labels["route"], sample.labels["config"]) == (route.settings["LABEL"], str(route.config))
            assert sample.timestamp is None, "the collector takes no file with timestamps"
        read[family.name[len(PREFIX) :]] = family
    return read


def values(route: Route) -> dict[str, float]:
    """The samples by name and own labels, such as `files delivered`."""
    own = ("state", "of", "quantile", "kind")
    return {
        " ".join([name, *(sample.labels[label] for label in own if label in sample.labels)]): sample.value
        for name, family in families(route).items()
        for sample in family.samples
    }


def test_a_run_writes_what_it_did_and_where_the_route_stands(measured: Route, globus: Emulator) -> None:
    globus.world.set_progress("polls:2")
    measured.write("a.dat", "12345")
    measured.write("b.dat", "123")
    before = time.time()
    measured.summary_here()

    under_way = values(measured)
    assert measured.deliver()["in_flight_tasks"] == 0
    arrived = values(measured)

    assert (under_way["files in_flight"], under_way["size_bytes in_flight"]) == (2, 8)
    assert (under_way["files delivered"], under_way["tasks_in_flight"]) == (0, 1)
    assert before <= under_way["oldest_task_timestamp_seconds"] <= time.time()
    assert under_way["oldest_waiting_timestamp_seconds"] == 1_700_000_000
    assert (under_way["last_run_counts new"], under_way["last_run_sent_bytes"]) == (2, 8)
    assert (arrived["files delivered"], arrived["size_bytes delivered"], arrived["files in_flight"]) == (2, 8, 0)
    assert {"oldest_task_timestamp_seconds", "oldest_waiting_timestamp_seconds"} & arrived.keys() == set()
    assert before <= arrived["last_run_timestamp_seconds"] <= arrived["last_success_timestamp_seconds"] <= time.time()
    assert before <= arrived["last_delivered_timestamp_seconds"] <= time.time()
    assert (arrived["last_run_exit_status"], arrived["findings failed_run"]) == (0, 0)
    assert 0 < arrived["last_run_duration_seconds"] <= time.time() - before
    assert arrived["datastore_size_bytes"] == (measured.code_path / "datastore").stat().st_size
    found = [name.split()[1] for name in arrived if name.startswith("findings ")]
    assert found == list(KINDS_OF_FINDING)


def test_every_count_of_a_run_is_there_bytes_by_their_own_names(measured: Route) -> None:
    measured.write("a.dat", "12345")
    measured.summary_here()

    counts = {name.split()[1] for name in values(measured) if name.startswith("last_run_counts ")}

    assert counts == {*Summary.COUNTS} - {"bytes", "sent_bytes"}
    assert values(measured)["last_run_found_bytes"] == 5


def test_a_failing_route_keeps_the_moment_of_its_last_good_run(measured: Route, globus: Emulator) -> None:
    measured.write("a.dat")
    measured.deliver_here()
    good = values(measured)["last_success_timestamp_seconds"]
    globus.world.add_fault("GET /v0.10/endpoint/*", status=403, json={"code": "PermissionDenied", "message": "No"})
    measured.write("b.dat")
    until(lambda: time.time() >= good + 1)

    measured.run("main.py", "-v", status=6)
    failed = values(measured)

    assert (failed["last_run_exit_status"], failed["findings failed_run"]) == (6, 1)
    assert failed["last_success_timestamp_seconds"] == good < failed["last_run_timestamp_seconds"]


def test_a_run_that_cannot_open_its_datastore_writes_what_it_knows(measured: Route) -> None:
    measured.deliver_here()
    (measured.code_path / "datastore").write_bytes(b"no datastore" * 100)

    measured.run("main.py", status=5)
    told = values(measured)

    assert told["last_run_exit_status"] == 5
    assert told["last_success_timestamp_seconds"] > 0
    assert not any(name.startswith("files ") for name in told)


def test_the_file_is_readable_by_all_and_replaced_in_one_step(measured: Route) -> None:
    path = Path(measured.settings["METRICS_FILE"])
    measured.deliver_here()
    with path.open(encoding="utf-8") as held:
        measured.deliver_here()
        before = held.read()

    assert stat.S_IMODE(path.stat().st_mode) == 0o644
    assert before.endswith("\n") and before != path.read_text(encoding="utf-8")
    assert [entry.name for entry in path.parent.iterdir()] == ["run7.prom"]


def test_no_name_of_a_file_is_in_it(measured: Route, globus: Emulator) -> None:
    measured.write("confidential/patient-name.dat")
    globus.world.add_outcome("skip", path="*", times=None, code="PERMISSION_DENIED")
    for _ in range(3):
        measured.run("main.py", "--wait", "30", status=None)

    assert values(measured)["files retrying"] + values(measured)["files in_flight"] == 1
    assert "patient" not in Path(measured.settings["METRICS_FILE"]).read_text(encoding="utf-8")


@pytest.mark.parametrize("what", ["a missing folder", "a folder in its place"])
def test_a_file_that_cannot_be_written_harms_no_run(measured: Route, what: str) -> None:
    path = Path(measured.settings["METRICS_FILE"])
    if what == "a missing folder":
        path.parent.rmdir()
    else:
        path.mkdir()
    measured.write("a.dat")

    result = measured.run("main.py", "--wait", "30")

    assert result == Result(0, "", "")
    assert "METRICS_FILE" in (measured.code_path / "log").read_text()
    assert (measured.dst / "a.dat").exists()
    assert not path.parent.exists() or [entry.name for entry in path.parent.iterdir()] == ["run7.prom"]


def test_a_dry_run_and_one_that_finds_another_at_work_write_nothing(measured: Route, globus: Emulator) -> None:
    measured.write("a.dat")
    measured.run("main.py", "--dry-run")
    assert not Path(measured.settings["METRICS_FILE"]).exists()
    hold = globus.world.add_fault("GET /v0.10/endpoint/*", hold=True)
    first = measured.start("main.py")
    until_held(hold, first)

    measured.run("main.py", status=7)

    assert not Path(measured.settings["METRICS_FILE"]).exists()
    hold.release()
    first.communicate(timeout=60)
    assert values(measured)["last_run_exit_status"] == 0


def test_promtool_finds_nothing_to_say(measured: Route) -> None:
    promtool = path_of("promtool")
    measured.write("a.dat")
    measured.deliver_here()

    with Path(measured.settings["METRICS_FILE"]).open() as metrics:
        done = subprocess.run(
            [promtool, "check", "metrics"], stdin=metrics, capture_output=True, text=True, timeout=60, check=False
        )

    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_the_manual_names_every_metric(measured: Route, globus: Emulator) -> None:
    globus.world.set_progress("polls:2")
    measured.write("a.dat", mtime_seconds=time.time() - 3600)
    measured.summary_here()
    names = set(families(measured))
    measured.deliver_here()
    names |= set(families(measured))
    manual = (ROOT / "docs/notifications.md").read_text(encoding="utf-8")

    rows = manual.partition("| Metric | Meaning |")[2].partition("\n\n")[0].splitlines()[2:]
    told = [name for row in rows for name in re.findall(r"`([a-z_]+)`", row.split(" | ")[0])]

    assert sorted(told) == sorted(names)
