"""REPORT_FILE: when a run makes the page anew, and that this never harms the run."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest
from archive import settings_in
from suite import Route

from autotransfer.common.errors import ConfigurationProblem
from autotransfer.common.summary import Summary
from autotransfer.status.html.refresh import LastPage, is_due, last_page

IDLE = LastPage(600, 0.3, "delivered")


def summary(**counts: int) -> Summary:
    made = Summary(started_at_ns=1)
    for name, count in counts.items():
        setattr(made, name, count)
    return made


@pytest.mark.parametrize(
    ("last", "counts", "status", "due"),
    [
        (None, {}, 0, True),
        (IDLE, {"files": 5, "folders": 2, "links": 1}, 0, False),
        (IDLE, {"delivered": 1}, 0, True),
        (IDLE, {"submitted": 1, "new": 3}, 0, True),
        (IDLE, {"vanished": 1}, 0, True),
        (IDLE, {"in_flight_tasks": 1}, 0, True),
        (IDLE, {}, 6, True),
        # What the page says is waiting may have arrived by a run that had no time for a page.
        (IDLE._replace(kind="waiting"), {}, 0, True),
        (IDLE._replace(kind="attention"), {}, 0, True),
        # It tells whoever opens it that the runs go on.
        (IDLE._replace(age_seconds=3599), {}, 0, False),
        (IDLE._replace(age_seconds=3600), {}, 0, True),
        # A page that takes long is made seldom.
        (LastPage(600, 40, "waiting"), {"delivered": 1}, 0, False),
        (LastPage(800, 40, "waiting"), {"delivered": 1}, 0, True),
        # The clock was put back.
        (IDLE._replace(age_seconds=-5), {}, 0, True),
    ],
)
def test_it_is_made_anew_when_there_is_news_and_at_least_hourly(
    last: LastPage | None, counts: dict[str, int], status: int, due: bool
) -> None:
    assert is_due(last, summary(**counts), status) is due


def test_each_run_that_did_something_renews_it_and_an_idle_one_does_not(route: Route) -> None:
    page = route.folder / "page.html"
    route.configure(REPORT_FILE=str(page))
    route.write("a.txt")
    route.deliver_here()
    first = page.read_text()
    kept = last_page(str(page), now_seconds=time.time())
    os.utime(page, (time.time() - 60, time.time() - 60))
    before_ns = page.stat().st_mtime_ns

    route.run_here("main.py")
    assert page.stat().st_mtime_ns == before_ns

    route.write("b.txt")
    result = route.run("main.py")

    assert kept is not None
    assert kept.kind == "delivered"
    assert "Everything delivered as of " in first
    assert page.read_text() != first
    assert (result.stdout, result.stderr) == ("", "")
    assert f"wrote {page}" in (route.code_path / "log").read_text()


def test_a_run_that_met_a_problem_renews_it_and_the_page_says_so(lonely_route: Route) -> None:
    page = lonely_route.folder / "page.html"
    lonely_route.configure(REPORT_FILE=str(page))
    lonely_route.src.rmdir()

    lonely_route.run("main.py", status=5)

    assert "The last run ended with status 5" in page.read_text()


@pytest.mark.parametrize("obstacle", ["no folder", "a folder in its place", "no jinja"])
def test_a_page_that_cannot_be_made_is_a_line_in_the_log_and_nothing_else(route: Route, obstacle: str) -> None:
    page = route.folder / "pages" / "page.html"
    if obstacle == "a folder in its place":
        page.mkdir(parents=True)
    if obstacle == "no jinja":
        page.parent.mkdir()
        page.write_text("the last one")
        package = route.folder / "without" / "jinja2"
        package.mkdir(parents=True)
        (package / "__init__.py").write_text("raise ImportError('not here')\n")
        route.environment["PYTHONPATH"] = str(package.parent)
    route.configure(REPORT_FILE=str(page))
    route.write("a.txt")

    result = route.run("main.py")

    assert (result.stdout, result.stderr) == ("", "")
    (line,) = [line for line in (route.code_path / "log").read_text().splitlines() if "REPORT_FILE" in line]
    assert " WARNING REPORT_FILE was not renewed: " in line
    if obstacle == "no jinja":
        assert page.read_text() == "the last one"


def test_a_dry_run_makes_no_page(lonely_route: Route) -> None:
    page = lonely_route.folder / "page.html"
    lonely_route.configure(REPORT_FILE=str(page))
    lonely_route.write("a.txt")

    lonely_route.run("main.py", "--dry-run")

    assert not page.exists()


def test_a_route_without_it_does_not_load_what_makes_it(lonely_route: Route) -> None:
    lonely_route.environment["PYTHONVERBOSE"] = "1"

    result = lonely_route.run("main.py")

    assert "autotransfer.run" in result.stderr
    assert "autotransfer.status.html" not in result.stderr


@pytest.mark.parametrize(
    ("path", "finding"),
    [
        ("/data/beamline7/page.html", "lies inside SRC_DIR"),
        ("page.html", "must be the absolute path of a page"),
        ("/opt/transfer/datastore", "must be the absolute path of a page"),
        (7, "must be the absolute path of a page"),
    ],
)
def test_a_place_where_it_would_do_harm_is_refused(tmp_path: Path, path: object, finding: str) -> None:
    with pytest.raises(ConfigurationProblem) as met:
        settings_in(tmp_path, REPORT_FILE=path)

    assert finding in str(met.value)
