"""What of a run's problems is news: once, again while it lasts, and no more when it is over."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Optional

import globus_sdk
import pytest
import requests

from autotransfer.common.errors import (
    GLOBUS_AWAY,
    ConfigurationProblem,
    OutcomeUnknown,
    Problem,
    RunActive,
    SignInNeeded,
    Unreachable,
)
from autotransfer.common.summary import (
    NAMES_FOLD,
    PATH_SKIPPED,
    PATH_UNREAD,
    PATHS_FAILING,
    TASK_ENDED,
    TASK_STALLED,
    Notice,
)
from autotransfer.common.times import DAY, HOUR, MINUTE
from autotransfer.globus.failures import explained
from autotransfer.monitoring.alerts import (
    Alerts,
    Memory,
    Outcome,
    as_builtins,
    from_builtins,
    name_of_problem,
    select_alerts,
)

WEEK = 7.0 * DAY
START = 1_800_000_000.0
AWAY_NOW = Unreachable("Globus did not show the collection", why="timed out", remedy="The next run tries again.")


def skipped(path: str, why: str = "permission denied") -> Notice:
    """The notice of a path that could not be read."""
    return Notice(PATH_SKIPPED, path, f"Skipped /data/{path}: {why}.", why)


def ended(number: int) -> Notice:
    """The notice of one of many tasks that failed for one reason."""
    text = f"Task {number} ended failed (ENDPOINT_ERROR: {number}): 0 of {number} paths arrived."
    return Notice(TASK_ENDED, f"task-{number}", text, "failed ENDPOINT_ERROR")


SKIPPED = skipped("a")


class Route:
    """A route whose runs end as told, by a clock that a test moves."""

    def __init__(self, *, remind_seconds: float = WEEK) -> None:
        self.now = START
        self.memory: Memory = {}
        self.remind_seconds = remind_seconds

    def after(
        self,
        seconds: float,
        *notices: Notice,
        problem: Optional[Problem] = None,
        has_failed_paths: bool = False,
        is_partial: bool = False,
        interval_seconds: float = 5.0 * MINUTE,
    ) -> Alerts:
        """The news of a run that starts so long after the last one; the memory goes through its file's form."""
        self.now += seconds
        status = int(problem.exit_status) if problem else 3 if notices else 0
        outcome = Outcome(status, problem, notices, has_failed_paths, is_partial, interval_seconds)
        news, memory = select_alerts(outcome, self.memory, now=self.now, remind_seconds=self.remind_seconds)
        self.memory = from_builtins(json.loads(json.dumps(as_builtins(memory))))
        assert self.memory == memory
        return news


# ---- what a problem is known by ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (ended(1), ended(2)),
        (
            Notice(TASK_STALLED, "1", "It holds 3 paths.", "PAUSED"),
            Notice(TASK_STALLED, "2", "12,345 paths.", "PAUSED"),
        ),
    ],
)
def test_what_varies_does_not_make_another_problem(one: Notice, other: Notice) -> None:
    route = Route()

    assert [route.after(HOUR, notice).notices for notice in (one, other)] == [(one.text,), ()]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (skipped("a"), skipped("a", "input/output error")),
        (Notice(PATH_UNREAD, "a", "One.", "PERMISSION_DENIED"), Notice(PATH_UNREAD, "a", "Two.", "FILE_NOT_FOUND")),
        (Notice(TASK_STALLED, "1", "One.", "QUOTA_EXCEEDED"), Notice(TASK_STALLED, "1", "Two.", "PAUSED")),
    ],
)
def test_another_cause_is_another_problem(one: Notice, other: Notice) -> None:
    route = Route()

    assert [route.after(HOUR, notice).notices for notice in (one, other)] == [(one.text,), (other.text,)]


def globus_problem(code: str, *, http_status: int = 403, label: str = "a", request_id: str = "x") -> Problem:
    """What `failures` makes of one answer."""
    error = globus_sdk.TransferAPIError(wire_answer(http_status, code, request_id))
    with pytest.raises(Problem) as caught, explained("accept task {}", about=repr(label)):
        raise error
    return caught.value


def wire_answer(http_status: int, code: str, request_id: str) -> requests.Response:
    """An answer of Globus's transfer service."""
    answer = requests.Response()
    answer.status_code = http_status
    answer.headers["Content-Type"] = "application/json"
    answer.request = requests.Request("POST", "https://transfer.example/v0.10/transfer").prepare()
    answer._content = json.dumps({"code": code, "message": f"No, {request_id}", "request_id": request_id}).encode()
    return answer


def test_a_refusal_is_known_by_what_was_refused_and_its_code() -> None:
    first = globus_problem("PermissionDenied")

    assert name_of_problem(first) == name_of_problem(globus_problem("PermissionDenied", label="b", request_id="y"))
    assert name_of_problem(first) != name_of_problem(globus_problem("EndpointNotFound"))


@pytest.mark.parametrize(
    "problem",
    [
        Unreachable("Globus did not show the collection: it cannot be reached", why="ConnectionError"),
        OutcomeUnknown("Globus did not accept task 'a'", why="Busy (HTTP 503, code X, request_id a)"),
        globus_problem("LimitExceeded", http_status=429),
        globus_problem("Gateway", http_status=502),
        globus_problem("Timeout", http_status=408),
    ],
)
def test_all_ways_in_which_globus_does_not_answer_are_one_problem(problem: Problem) -> None:
    assert name_of_problem(problem) == GLOBUS_AWAY


def test_a_bug_is_known_by_its_place_whatever_its_words() -> None:
    def broken(words: str) -> Exception:
        try:
            raise ValueError(words)
        except ValueError as error:
            return error

    assert name_of_problem(broken("one")) == name_of_problem(broken("two")) != name_of_problem(ValueError("one"))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (
            ConfigurationProblem("Cannot read X", why="no such file"),
            ConfigurationProblem("Cannot read X", why="a folder"),
        ),
        (ConfigurationProblem("The disk is full"), SignInNeeded("The disk is full")),
    ],
)
def test_problems_that_ended_runs_differ_by_class_and_reason(one: Problem, other: Problem) -> None:
    assert name_of_problem(one) != name_of_problem(other)


# ---- once -----------------------------------------------------------------------------------------------------------


def test_a_problem_is_reported_once_and_again_after_a_week_with_the_day_since_when() -> None:
    route = Route()
    told = [route.after(HOUR, SKIPPED).notices for _ in range(24 * 8)]

    again = [number for number, texts in enumerate(told) if texts]
    assert again == [0, 24 * 7]
    assert told[0] == (SKIPPED.text,)
    assert told[again[1]][0].startswith(f"{SKIPPED.text} It has lasted since 20")


def failing(code: str) -> Notice:
    return Notice(PATHS_FAILING, "", f"1 path failed more than once ({code}).", code)


@pytest.mark.parametrize(
    "before", [Notice(PATH_UNREAD, "a", "Not read.", "DENIED"), ended(1)._replace(cause="failed DENIED")]
)
def test_between_its_tries_a_failure_that_was_reported_is_reported_again_only_after_a_week(before: Notice) -> None:
    route = Route()
    said = [route.after(HOUR, before if number == 0 else failing("DENIED")).notices for number in range(24 * 8)]

    assert [number for number, texts in enumerate(said) if texts] == [0, 24 * 7]
    assert said[24 * 7][0].startswith(f"{failing('DENIED').text} It has lasted since 20")


def test_between_its_tries_a_failure_that_was_not_reported_is_reported_once() -> None:
    route = Route()

    said = [route.after(HOUR, notice).notices for notice in (SKIPPED, failing("SIZE"), failing("SIZE"), failing(""))]

    assert said == [(SKIPPED.text,), (failing("SIZE").text,), (), ()]


def test_with_no_time_to_remind_everything_is_reported_by_every_run() -> None:
    route = Route(remind_seconds=0.0)

    told = [route.after(MINUTE, SKIPPED, problem=AWAY_NOW) for _ in range(3)]

    assert [len(news.texts) for news in told] == [2, 2, 2]


def twins(path: str) -> Notice:
    """The notice of names that are one at the destination."""
    return Notice(NAMES_FOLD, path, f"{path} and another are one name at the destination.")


@pytest.mark.parametrize("notice", [skipped, twins])
def test_further_paths_with_the_same_problem_are_reported_once_a_day_together(notice: Callable[[str], Notice]) -> None:
    route = Route()
    notices = [notice(str(number)) for number in range(40)]

    told = [route.after(HOUR, *notices[: number + 1]).notices for number in range(30)]

    assert told[0] == (notices[0].text,)
    assert [number for number, texts in enumerate(told) if texts] == [0, 24]
    assert told[24] == tuple(notice.text for notice in notices[1:25])


def test_another_problem_is_reported_at_once_and_that_the_first_one_lasts() -> None:
    route = Route()
    route.after(0, SKIPPED)

    news = route.after(
        MINUTE,
        SKIPPED,
        problem=ConfigurationProblem("The disk is full", remedy="Act."),
    )

    assert (news.notices, news.problem, news.lasting) == ((), "The disk is full. Act.", 1)


def test_two_paths_with_one_problem_are_both_named() -> None:
    notices = (SKIPPED, skipped("b"))

    assert Route().after(0, *notices).notices == tuple(notice.text for notice in notices)


def test_two_tasks_with_one_problem_are_both_named() -> None:
    notices = tuple(Notice(TASK_STALLED, task_id, f"Task {task_id} is stalled.", "PAUSED") for task_id in "ab")

    assert Route().after(0, *notices).notices == tuple(notice.text for notice in notices)


# ---- blips ----------------------------------------------------------------------------------------------------------


def test_globus_away_for_less_than_an_hour_is_no_news_where_runs_come_often() -> None:
    route = Route()

    told = [route.after(5 * MINUTE, problem=AWAY_NOW) for _ in range(11)]
    well = route.after(5 * MINUTE)

    assert [news.problem for news in told] == [""] * 11
    assert all(news.is_waited_for for news in told)
    assert not well.is_over


def test_globus_away_for_an_hour_is_reported_once_whatever_it_says() -> None:
    route = Route()
    problems = [
        AWAY_NOW,
        OutcomeUnknown("Globus did not accept task 'a'", why="Busy (HTTP 503)"),
        globus_problem("LimitExceeded", http_status=429),
    ]

    told = [route.after(5 * MINUTE, problem=problems[number % 3]) for number in range(48)]

    assert [number for number, news in enumerate(told) if news.problem] == [12]
    assert [news.is_waited_for for news in told].count(True) == 12


def test_a_run_that_gets_through_in_between_begins_the_hour_anew() -> None:
    route = Route()

    for _ in range(20):
        assert not route.after(30 * MINUTE, problem=AWAY_NOW).texts
        assert not route.after(20 * MINUTE, has_failed_paths=True).texts


@pytest.mark.parametrize("interval_seconds", [0.0, 2.0 * HOUR, 1.0 * DAY], ids=["unknown", "two hours", "a day"])
def test_globus_away_is_reported_at_once_where_the_next_run_is_far(interval_seconds: float) -> None:
    assert Route().after(0, problem=AWAY_NOW, interval_seconds=interval_seconds).problem


@pytest.mark.parametrize("problem", [SignInNeeded("Not signed in"), ConfigurationProblem("The disk is full")])
def test_what_does_not_pass_by_itself_is_reported_at_once(problem: Problem) -> None:
    assert Route().after(0, problem=problem).problem == str(problem)


def test_an_overlong_run_is_reported_once_however_its_age_grows() -> None:
    route = Route()
    told = [
        route.after(5 * MINUTE, problem=RunActive(f"Active for {number} hours", remedy="", is_silent=False)).problem
        for number in range(24, 30)
    ]

    assert [bool(text) for text in told] == [True, *[False] * 5]


# ---- over -----------------------------------------------------------------------------------------------------------


def test_a_problem_that_is_over_is_reported_so_once_and_anew_when_it_comes_back() -> None:
    route = Route()
    route.after(0, SKIPPED)

    over, later = route.after(MINUTE), route.after(MINUTE)
    back = route.after(MINUTE, SKIPPED)

    assert (over.is_over, later.is_over, len(back.texts)) == (True, False, 1)


def test_a_task_that_fails_again_and_again_is_one_problem_until_nothing_of_it_is_left() -> None:
    route = Route()
    told = []
    for number in range(12):
        told.append(bool(route.after(HOUR, ended(number), has_failed_paths=True).texts))
        assert not route.after(HOUR, has_failed_paths=True).is_over

    assert told == [True, *[False] * 11]
    assert route.after(HOUR).is_over


def test_a_run_that_looks_at_a_part_only_does_not_end_what_it_cannot_see() -> None:
    route = Route()
    route.after(0, SKIPPED)

    part = route.after(MINUTE, is_partial=True)

    assert not part.is_over
    assert not route.after(MINUTE, SKIPPED).texts


def test_a_run_that_ends_early_does_not_end_what_it_did_not_come_to() -> None:
    route = Route()
    route.after(0, SKIPPED)
    route.after(MINUTE, problem=SignInNeeded("Not signed in"))

    assert not route.after(MINUTE, SKIPPED).texts


def test_what_was_not_met_for_two_days_is_forgotten_though_others_last() -> None:
    route = Route()
    route.after(0, SKIPPED, skipped("b", "input/output error"))
    for _ in range(49):
        route.after(HOUR, skipped("b", "input/output error"), has_failed_paths=True)

    assert route.after(HOUR, SKIPPED).texts


def test_a_clock_that_went_back_tells_again_rather_than_never() -> None:
    route = Route()
    route.after(0, SKIPPED)

    assert route.after(-30 * DAY, SKIPPED).texts


# ---- the memory -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "kept",
    [
        None,
        [],
        {"a": None},
        {"a": [1, 2, 3]},
        {"a": [1, 2, 3, "4", True, []]},
        {"a": [1, 2, 3, 1e300, True, []]},
        {"a": [1, 2, float("nan"), 4, True, []]},
        {"a": [1, 2, 3, 4, 5, []]},
        {"a": [1, 2, 3, 4, True, ["x"]]},
    ],
)
def test_a_memory_of_another_form_is_none(kept: object) -> None:
    assert from_builtins(kept) == {}


def test_the_memory_stays_small() -> None:
    route = Route()

    for number in range(60):
        route.after(MINUTE, *(skipped("a", f"{word}{number} is broken") for word in "abcdefgh"))
    route.after(MINUTE, *(skipped(str(number)) for number in range(5000)))

    assert len(json.dumps(as_builtins(route.memory))) < 64 * 1024
