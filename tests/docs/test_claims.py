"""What the documents claim rests on something: a figure on the product's own, a promise on the tests that would fail.

Whoever changes a figure's page, or adds one, meets `FIGURES`; whoever rewords a promise meets `PROMISES`.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

import pytest
from documents import rows, section
from suite import ROOT

from autotransfer.checks import shared_ends
from autotransfer.common.errors import MEANINGS
from autotransfer.common.times import MINUTE
from autotransfer.monitoring import notify
from autotransfer.plan import rescan
from autotransfer.run import RUNS_KEPT
from autotransfer.scan import feed
from autotransfer.status import state, verdict
from autotransfer.status.html import folders
from autotransfer.transfer import ended, task_status

# Written by programs, whose tests are their own.
GENERATED = {"benchmarks.md", "reliability.md", "configuration.md"}
NUMBER = r"[0-9][0-9,.]*|half an?|two|three|five|ten|twenty"
UNIT = (
    r"%|seconds?|minutes?|hours?|days?|weeks?|months?|ms|MB|GB|kB|bytes|pages?|names|files|folders|paths|runs?|tasks?|"
    r"requests|intervals|pending tasks"
)
FIGURE = re.compile(rf"\b(?:{NUMBER})[ -](?:{UNIT})(?!\w)")
# Figures of the product, as the manual writes them.
FIGURES = {
    "1,000,000 names": f"{feed.MAX_NAMED:,} names",
    "100,000 paths": f"{rescan.MOST_KEPT:,} paths",
    "three runs": {3: "three runs"}[rescan.MOVED_RUNS],
    "20,000 folders": f"{shared_ends.MOST_FOLDERS:,} folders",
    "200 pages": f"{ended.PAGES_A_RUN} pages",
    "10 seconds": f"{notify.PING_SECONDS:.0f} seconds",
    "30 days": f"{state.LATENCY_DAYS} days",
    "20 runs": f"{RUNS_KEPT} runs",
    "2 MB": f"{folders.MOST_BYTES // 1_000_000} MB",
    "ten minutes": {10 * MINUTE: "ten minutes"}[verdict.GRACE_SECONDS],
    "5 minutes": f"{task_status.FIRST_PAUSE_SECONDS // MINUTE:.0f} minutes",
}
# Figures that are not the product's: file and figure, with their source.
OTHERS = {
    ("troubleshooting.md", "30 days"): "docs.globus.org: how long lists of a task are kept",
    ("limits.md", "255 bytes"): "NAME_MAX of most file systems",
    ("limits.md", "30 seconds"): "dirty_expire_centisecs of Linux",
    ("limits.md", "1,000 folders"): "test_folders_that_are_too_deep_are_reported_and_all_else_arrives",
    ("limits.md", "100 pending tasks"): "docs.globus.org, task behavior",
    ("operating.md", "100 pending tasks"): "docs.globus.org, task behavior",
    ("troubleshooting.md", "ten names"): "test_a_list_of_names_that_do_not_exist_is_reported",
    ("feeds.md", "ten names"): "test_a_list_of_names_that_do_not_exist_is_reported",
    # Counted by the benchmark, which test_timer.py runs.
    ("timers.md", "10 files"): "",
    ("timers.md", "10,000 files"): "",
    ("timers.md", "200 folders"): "",
    ("timers.md", "7 requests"): "",
    # Advice, and words that count nothing.
    ("notifications.md", "two days"): "",
    ("operating.md", "three intervals"): "",
    ("README.md", "two runs"): "",
    ("how-it-works.md", "two runs"): "",
    ("alternatives.md", "two runs"): "",
    ("tutorial.md", "two folders"): "",
}
# What is promised, and the tests that fail when it is no longer so.
PROMISES: dict[str, dict[str, tuple[str, ...]]] = {
    "README.md": {
        "A file counts as delivered only when Globus reports it as delivered and it has not changed": (
            "test_a_task_that_did_not_succeed_does_not_count_as_a_transfer",
            "test_a_write_after_the_copy_and_before_the_task_is_settled_is_not_lost",
        ),
        "does not start a second transfer of the same files.": (
            "test_scripts_killed_forty_times_lose_nothing_and_send_nothing_twice",
            "test_a_refused_repetition_of_a_lost_submission_makes_no_second_task",
        ),
        "lists what would be sent now, what waits, and why.": (
            "test_a_dry_run_lists_every_path_and_why_and_changes_nothing",
            "test_a_dry_run_lists_what_waits_and_why",
        ),
        "neither at the source nor at the destination.": (
            "test_every_option_is_sent_explicitly_and_nothing_is_ever_deleted",
        ),
        "A run that finds another one active ends at once, with status 7 and without a message.": (
            "test_a_second_run_ends_at_once_and_in_silence",
        ),
        "It must not lie inside `SRC_DIR`.": ("test_our_own_files_may_not_lie_in_what_is_sent",),
    },
    "SECURITY.md": {
        "are readable by their owner only.": (
            "test_our_files_are_owner_only_from_their_first_instant",
            "test_the_login_is_owner_only_from_its_first_instant",
        ),
        "Nothing secret is logged or passed on a command line.": (
            "test_no_secret_is_written_when_all_goes_wrong_loudly",
            "test_the_url_is_in_no_list_of_processes",
        ),
        "Globus is contacted with TLS and a valid certificate only": (
            "test_every_script_that_uses_the_network_refuses_a_service_without_tls",
            "test_a_variable_that_turns_certificates_off_is_refused",
        ),
        "no request follows a redirect.": ("test_no_request_follows_a_redirect", "test_timers_follow_none_either"),
        "The scripts set the soft limit on core dumps to 0.": ("test_no_core_of_a_run_holds_the_login",),
        "refuse a `CODE_PATH`, secret or configuration that lies in `SRC_DIR`": (
            "test_a_code_path_inside_src_dir_by_a_link_is_refused",
            "test_a_secret_or_a_configuration_inside_src_dir_is_refused",
        ),
        "symlinks to folders are never followed": ("test_a_folder_that_becomes_a_link_under_the_scan_is_not_followed",),
        "It is read as plain values only, and ends in a message.": (
            "test_a_pickle_that_names_code_or_is_damaged_is_one_clear_problem",
        ),
    },
    "docs/feeds.md": {
        "While a path cannot be read or sent, each of these runs reports it and ends with 3.": (
            "test_what_cannot_be_sent_is_reported_by_each_run_until_that_changes",
        ),
        "reads nothing but what is named and what earlier runs kept": ("test_only_what_is_named_is_looked_at",),
    },
    "docs/notifications.md": {
        "The runs in between do not try it, but they end with 3 as well, until it is delivered.": (
            "test_between_the_tries_of_a_file_that_never_arrives_every_run_ends_with_3_and_one_mail_is_sent",
        ),
        "After a minute the command is killed": ("test_a_command_that_never_ends_is_ended_with_all_it_started",),
    },
    "docs/how-it-works.md": {
        "A run that finds nothing to do, with no task open, does not use the network at all.": (
            "test_a_run_with_nothing_to_do_calls_nobody_and_imports_no_sdk",
        ),
    },
    "docs/limits.md": {
        "Runs use it at least once a month, as long as cron starts them.": (
            "test_an_idle_route_uses_its_login_once_a_month",
            "test_an_idle_route_reports_a_login_that_expired",
        ),
    },
    "docs/operating.md": {
        "Everything that is there now is `verified` or `equal`": (
            "test_a_folder_with_something_that_is_never_sent_is_proved_only_where_that_is_accepted",
            "test_what_set_time_assumed_is_not_proved_unless_it_is_accepted",
        ),
    },
    "docs/status.md": {
        "It needs no network and no login, changes nothing, and works while a run is active.": (
            "test_it_needs_neither_the_network_nor_the_sdk",
            "test_it_answers_while_a_run_is_active_and_shows_it",
        ),
    },
}


def prose(page: str) -> str:
    """A page without its commands, on one line."""
    text = re.sub(r"^ *```.*?^ *```", "", (ROOT / page).read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    return " ".join(text.split())


def figures() -> Iterator[tuple[str, str]]:
    """The figures of the pages that people write, each with its page."""
    for path in (ROOT / "README.md", ROOT / "SECURITY.md", *ROOT.glob("docs/*.md")):
        if path.name in GENERATED or path.name == "from-globus-timer-cli.md":
            continue
        text = re.sub(r"`[^`]+`", "`", prose(str(path.relative_to(ROOT))))
        yield from ((path.name, found) for found in FIGURE.findall(text))


def test_each_figure_of_the_manual_is_that_of_the_product_or_has_a_source() -> None:
    found = set(figures())

    assert {figure for figure in found if figure[1] not in FIGURES} - OTHERS.keys() == set()
    assert OTHERS.keys() - found == set()
    assert {written for written, actual in FIGURES.items() if written != actual} == set()
    assert FIGURES.keys() <= {figure for _, figure in found}


def test_a_figure_is_recognized() -> None:
    assert FIGURE.findall("It takes half a second, 56 MB or 3 % of ten minutes; a 2nd, 3 words.") == [
        *("half a second", "56 MB", "3 %", "ten minutes"),
    ]


@pytest.mark.parametrize("page", PROMISES)
def test_each_promise_is_on_its_page(page: str) -> None:
    assert [promise for promise in PROMISES[page] if promise not in prose(page)] == []


def test_each_promise_has_its_tests() -> None:
    tests = {
        node.name
        for path in (ROOT / "tests").rglob("test_*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.FunctionDef)
    }
    named = {name for page in PROMISES.values() for names in page.values() for name in names}
    named |= {source for source in OTHERS.values() if source.startswith("test_")}

    assert named - tests == set()


def test_every_module_that_the_design_names_exists() -> None:
    named = set(re.findall(r"`((?:\w+)/(?:[a-z_]+))`", (ROOT / "DESIGN.md").read_text(encoding="utf-8")))
    tops = [ROOT, ROOT / "autotransfer", ROOT / "emulator"]

    assert len(named) > 10
    assert {name for name in named if not any((top / f"{name}.py").exists() for top in tops)} == set()


def test_every_status_has_its_row_for_the_night() -> None:
    page = (ROOT / "docs/operating.md").read_text(encoding="utf-8")
    night = [row[0] for row in rows(section("At three in the morning", page))]

    assert night == [*(str(int(status)) for status in MEANINGS), "130"]
