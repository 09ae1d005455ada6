"""What of a run's problems is news: once, again while it lasts, and no more when it is over."""

from __future__ import annotations

import json
from typing import Optional

import pytest

from autotransfer.common.errors import (
    ConfigurationProblem,
    GlobusProblem,
    OutcomeUnknown,
    Problem,
    RunActive,
    SignInNeeded,
    Unreachable,
)
from autotransfer.common.times import DAY, HOUR, MINUTE
from autotransfer.monitoring.alerts import (
    AWAY,
    Ending,
    Memory,
    News,
    as_builtins,
    from_builtins,
    judge,
    kind_of,
    kind_of_problem,
)

WEEK = 7.0 * DAY
START = 1_800_000_000.0
TASK = "Task 11111111-1111-4111-8111-{:012d} (run7 {} 2026-11-22T05:00:00Z 1f2e)"
AWAY_NOW = Unreachable("Globus did not show the collection", why="timed out", remedy="The next run tries again.")


class Route:
    """A route whose runs end as told, by a clock that a test moves."""

    def __init__(self, *, remind_seconds: float = WEEK) -> None:
        self.now = START
        self.memory: Memory = {}
        self.remind_seconds = remind_seconds

    def after(
        self,
        seconds: float,
        *notices: str,
        problem: Optional[Problem] = None,
        has_failed_paths: bool = False,
        is_partial: bool = False,
        interval_seconds: float = 5.0 * MINUTE,
    ) -> News:
        """The news of a run that starts so long after the last one; the memory goes through its file's form."""
        self.now += seconds
        status = int(problem.exit_status) if problem else 3 if notices else 0
        ending = Ending(status, problem, notices, has_failed_paths, is_partial, interval_seconds)
        news, memory = judge(ending, self.memory, now=self.now, remind_seconds=self.remind_seconds)
        self.memory = from_builtins(json.loads(json.dumps(as_builtins(memory))))
        assert self.memory == memory
        return news


# ---- what a problem is known by ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (
            f"{TASK.format(1, 4)} is not getting on: QUOTA_EXCEEDED at a.dat. It holds 3 paths; ...",
            f"{TASK.format(2, 15)} is not getting on: QUOTA_EXCEEDED at other.dat. It holds 12,345 paths; ...",
        ),
        (
            f"{TASK.format(1, 4)} ended failed (ENDPOINT_ERROR: 17): 0 of 3 paths arrived, the rest is sent again.",
            f"{TASK.format(2, 5)} ended failed (ENDPOINT_ERROR: 18): 1 of 9 paths arrived, the rest is sent again.",
        ),
        (
            "Globus did not accept task 'a': No (HTTP 403, code X, request_id abC). Ask.",
            "Globus did not accept task 'a': No (HTTP 403, code X, request_id xyZ). Ask.",
        ),
        ("Skipped /data/a 1.dat: permission denied.", "Skipped /data/b: 2/c.dat: permission denied."),
        (
            f"{TASK.format(1, 4)} left out a: Globus could not read it (CODE). Mend. `... --path=/a/b`.",
            f"{TASK.format(2, 5)} left out b (1).h5: Globus could not read it (CODE). Mend. `... --path=c`.",
        ),
    ],
)
def test_what_varies_does_not_make_another_kind(one: str, other: str) -> None:
    assert kind_of(one).name == kind_of(other).name


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Skipped /data/a: permission denied.", "Skipped /data/a: input/output error."),
        (f"{TASK.format(1, 4)} is not getting on: QUOTA_EXCEEDED.", f"{TASK.format(1, 4)} is not getting on: PAUSED."),
        ("Globus did not accept task 'a': No (HTTP 403).", "Globus did not accept task 'a': No (HTTP 500)."),
    ],
)
def test_another_cause_is_another_kind(one: str, other: str) -> None:
    assert kind_of(one).name != kind_of(other).name


@pytest.mark.parametrize(
    "problem",
    [
        Unreachable("Globus did not show the collection: it cannot be reached", why="ConnectionError"),
        OutcomeUnknown("Globus did not accept task 'a'", why="Busy (HTTP 503, code X, request_id a)"),
        GlobusProblem("Globus did not show the collection", why="Slow down (HTTP 429, code X)"),
        GlobusProblem("Globus did not tell the task's state", why="Gateway (HTTP 502)"),
    ],
)
def test_all_ways_in_which_globus_does_not_answer_are_one_kind(problem: Problem) -> None:
    assert kind_of_problem(problem).name == AWAY


# ---- once -----------------------------------------------------------------------------------------------------------


def test_a_problem_is_told_once_and_again_after_a_week_with_the_day_since_when() -> None:
    route = Route()
    text = "Skipped /data/a: permission denied."

    told = [route.after(HOUR, text).notices for _ in range(24 * 8)]

    again = [number for number, notices in enumerate(told) if notices]
    assert again == [0, 24 * 7]
    assert told[0] == (text,)
    assert told[again[1]][0].startswith(f"{text} It has lasted since 20")


def test_with_no_time_to_remind_everything_is_told_by_every_run() -> None:
    route = Route(remind_seconds=0.0)

    told = [route.after(MINUTE, "Skipped /data/a: permission denied.", problem=AWAY_NOW) for _ in range(3)]

    assert [len(news.texts) for news in told] == [2, 2, 2]


def test_further_paths_with_the_same_problem_are_told_once_a_day_together() -> None:
    route = Route()
    texts = [f"Skipped /data/{number}: permission denied." for number in range(40)]

    told = [route.after(HOUR, *texts[: number + 1]).notices for number in range(30)]

    assert told[0] == (texts[0],)
    assert [number for number, notices in enumerate(told) if notices] == [0, 24]
    assert told[24] == tuple(texts[1:25])


def test_another_problem_is_told_at_once_and_that_the_first_one_lasts() -> None:
    route = Route()
    route.after(0, "Skipped /data/a: permission denied.")

    news = route.after(
        MINUTE,
        "Skipped /data/a: permission denied.",
        problem=ConfigurationProblem("The disk is full", remedy="Act."),
    )

    assert (news.notices, news.problem, news.lasting) == ((), "The disk is full. Act.", 1)


def test_two_paths_with_one_problem_are_both_named() -> None:
    texts = ("Skipped /data/a: permission denied.", "Skipped /data/b: permission denied.")

    assert Route().after(0, *texts).notices == texts


def test_two_tasks_with_one_problem_are_both_named() -> None:
    texts = tuple(f"{TASK.format(number, number)} is not getting on: PAUSED." for number in (1, 2))

    assert Route().after(0, *texts).notices == texts


# ---- blips ----------------------------------------------------------------------------------------------------------


def test_globus_away_for_less_than_an_hour_is_no_news_where_runs_come_often() -> None:
    route = Route()

    told = [route.after(5 * MINUTE, problem=AWAY_NOW) for _ in range(11)]
    well = route.after(5 * MINUTE)

    assert [news.problem for news in told] == [""] * 11
    assert all(news.is_waited_for for news in told)
    assert not well.is_over


def test_globus_away_for_an_hour_is_told_once_whatever_it_says() -> None:
    route = Route()
    problems = [
        AWAY_NOW,
        OutcomeUnknown("Globus did not accept task 'a'", why="Busy (HTTP 503)"),
        GlobusProblem("Globus did not show it", why="Slow down (HTTP 429)"),
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
def test_globus_away_is_told_at_once_where_the_next_run_is_far(interval_seconds: float) -> None:
    assert Route().after(0, problem=AWAY_NOW, interval_seconds=interval_seconds).problem


@pytest.mark.parametrize("problem", [SignInNeeded("Not signed in"), ConfigurationProblem("The disk is full")])
def test_what_does_not_pass_by_itself_is_told_at_once(problem: Problem) -> None:
    assert Route().after(0, problem=problem).problem == str(problem)


def test_an_overlong_run_is_told_once_however_its_age_grows() -> None:
    route = Route()
    told = [
        route.after(5 * MINUTE, problem=RunActive(f"Active for {number} hours", remedy="", is_silent=False)).problem
        for number in range(24, 30)
    ]

    assert [bool(text) for text in told] == [True, *[False] * 5]


# ---- over -----------------------------------------------------------------------------------------------------------


def test_a_problem_that_is_over_is_told_so_once_and_told_anew_when_it_comes_back() -> None:
    route = Route()
    route.after(0, "Skipped /data/a: permission denied.")

    over, later = route.after(MINUTE), route.after(MINUTE)
    back = route.after(MINUTE, "Skipped /data/a: permission denied.")

    assert (over.is_over, later.is_over, len(back.texts)) == (True, False, 1)


def test_a_task_that_fails_again_and_again_is_one_problem_until_nothing_of_it_is_left() -> None:
    route = Route()
    told = []
    for number in range(12):
        failed = f"{TASK.format(number, number)} ended failed (ENDPOINT_ERROR): 0 of 3 paths arrived, the rest is sent."
        told.append(bool(route.after(HOUR, failed, has_failed_paths=True).texts))
        assert not route.after(HOUR, has_failed_paths=True).is_over

    assert told == [True, *[False] * 11]
    assert route.after(HOUR).is_over


def test_a_run_that_looks_at_a_part_only_does_not_end_what_it_cannot_see() -> None:
    route = Route()
    route.after(0, "Skipped /data/a: permission denied.")

    part = route.after(MINUTE, is_partial=True)

    assert not part.is_over
    assert not route.after(MINUTE, "Skipped /data/a: permission denied.").texts


def test_a_run_that_ends_early_does_not_end_what_it_did_not_come_to() -> None:
    route = Route()
    route.after(0, "Skipped /data/a: permission denied.")
    route.after(MINUTE, problem=SignInNeeded("Not signed in"))

    assert not route.after(MINUTE, "Skipped /data/a: permission denied.").texts


def test_what_was_not_met_for_two_days_is_forgotten_though_others_last() -> None:
    route = Route()
    route.after(0, "Skipped /data/a: permission denied.", "Skipped /data/b: input/output error.")
    for _ in range(49):
        route.after(HOUR, "Skipped /data/b: input/output error.", has_failed_paths=True)

    assert route.after(HOUR, "Skipped /data/a: permission denied.").texts


def test_a_clock_that_went_back_tells_again_rather_than_never() -> None:
    route = Route()
    route.after(0, "Skipped /data/a: permission denied.")

    assert route.after(-30 * DAY, "Skipped /data/a: permission denied.").texts


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
        names = (f"{word}{number}" for word in "abcdefgh")
        route.after(MINUTE, *(f"Skipped /data/a: {''.join(map(chr, map(ord, name)))} broken." for name in names))
    route.after(MINUTE, *(f"Skipped /data/{number}: permission denied." for number in range(5000)))

    assert len(json.dumps(as_builtins(route.memory))) < 64 * 1024
