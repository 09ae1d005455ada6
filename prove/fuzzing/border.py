"""Targets that read what the service answers: every document that a run or timer.py asks for, changed at random.

Through the real SDK over HTTP, from the small service of the tests, which is written apart from the emulator.
"""

from __future__ import annotations

import copy
import json
import random
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Optional

from evidence_kept import recorded
from hypothesis import strategies as st
from small_globus import Answer, SmallGlobus
from stored_login import store_login
from suite import Result, Route, let_time_pass

from autotransfer.datastore.store import Store

# Every exit status but those that say "a bug", or that a setting or a file of ours is wrong.
STATUSES = (0, 3, 4, 6, 8)
TIMER_STATUSES = (*STATUSES, 2)
CHECK_STATUSES = (*STATUSES, 5)
MOST_ROUNDS = 8
HOURS_A_ROUND = 80  # longer than anything is waited for

WORDS = ["", "x" * 5000, "\ud800", "\x1b[31m\r\n", "1 kB", "9999-12-31T23:59:59+00:00", "SUCCEEDED", "FAILED", "ACTIVE"]
NUMBERS = [0, -1, 1, 1.5, 1 << 31, 1 << 63, 10**400, float("nan"), float("inf"), -(10**30)]
SHAPES: list[Any] = [None, True, False, [], {}, [[]], [None], {"a": {"b": [1]}}, {"\ud800": "\ud800"}, {"code": 5}]
DEEP = "[" * 30_000 + "]" * 30_000
PAGES: list[bytes] = [
    b"",
    b"null",
    b"[]",
    b"{",
    b"<html>Sign in</html>",
    b"\xff\xfe",
    DEEP.encode(),
    b'{"a":%s}' % DEEP.encode(),
]
# Without what the SDK repeats after a pause.
REFUSED = (400, 401, 403, 404, 409, 410, 413, 422)
REFUSAL = {
    "code": "ClientError.NotFound",
    "message": "Not found",
    "request_id": "small",
    "resource": "/x",
    "error": "odd",
    "required_scopes": ["a"],
    "authorization_parameters": {"session_message": "again", "session_required_single_domain": ["example.org"]},
    "errors": [{"code": "X", "message": "x"}],
}
SIGN_IN = 4
EVIDENCE = {"verified", "equal", "transferred", "found"}
TIMER_ID = "7a0c9d5e-0000-4000-8000-000000000001"


class BorderTargets:
    """Episodes against one service; each has a route of its own. Use it in a `with`.

    Attributes:
        mutations: How many answers were changed.
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True)
        self._folder = folder
        self._service = SmallGlobus()
        self._tries = 0
        self.mutations = 0

    def __enter__(self) -> BorderTargets:
        self._service.__enter__()
        return self

    def __exit__(self, *exception: object) -> None:
        self._service.__exit__(*exception)

    def runs(self, data: st.DataObject) -> None:
        """Runs while answers are changed: each ends in words, no other task suffers, and in the end all arrives."""
        rng = random.Random(data.draw(st.integers(0, 1 << 60)))
        with self._route(rng, is_person=rng.random() < 0.4) as route:
            route.configure(MAX_ITEMS_PER_TASK=1, MAX_TASKS_IN_FLIGHT=10)
            for name in ("bad", "scan/a", "scan/b", *rng.choice([(), ("scan/A",)])):
                route.write(name, name)
            is_early = rng.random() < 0.5
            if is_early:  # nothing has been accepted yet
                self._spoil(rng, lambda method, path: not path.startswith("/v0.10/task/"))
                self._run(route)
                self._run(route, "test_config.py", statuses=CHECK_STATUSES)
            self._service.answer = lambda *request: None
            route.write("good", "good")
            self._run(route)
            good = [task.task_id for task in self._service.tasks.values() if _carries(task.posted, "/good")]
            # What is asked about the good task is answered right, and so is what concerns all of them.
            self._spoil(rng, lambda method, path: path.startswith("/v0.10/task/") and path.split("/")[3] not in good)
            ended = [self._run(route).status for _ in range(rng.randint(1, 3))]
            if SIGN_IN not in ended:  # what demands a sign-in is about all requests
                assert recorded(route)["good"] == "verified", recorded(route)
            self._service.answer = lambda *request: None
            self._settle(route)

    def timers(self, data: st.DataObject) -> None:
        """What timer.py shows of timers and of their tasks."""
        rng = random.Random(data.draw(st.integers(0, 1 << 60)))
        with self._route(rng, is_person=rng.random() < 0.2) as route:
            documents = {"": {"jobs": [_timer(), _timer()]}, TIMER_ID: _timer()}

            def answer(method: str, path: str, query: dict[str, str], body: Any) -> Optional[Answer]:
                if not path.startswith(("/jobs", "/v2/oauth2/userinfo")):
                    return None
                if path.startswith("/v2/"):
                    return self._changed(rng, self._service.usual(method, path, query, body))
                return self._changed(rng, (200, documents.get(path.split("/")[2], _timer())))

            self._service.answer = answer
            for words in ("job list", "job list --verbose", f"job status {TIMER_ID}", "session whoami --verbose"):
                self._run(route, "timer.py", *words.split(), *rng.choice([(), ("--json",)]), statuses=TIMER_STATUSES)

    @contextmanager
    def _route(self, rng: random.Random, *, is_person: bool) -> Iterator[Route]:
        self._tries += 1
        folder = self._folder / str(self._tries)
        folder.mkdir()
        self._service.tasks.clear()
        self._service.page_size = rng.choice([1, 1000])
        self._service.answer = lambda *request: None
        route = Route(folder, None)
        route.environment = self._service.environment()
        if is_person:
            store_login(route)
        try:
            yield route
        finally:
            shutil.rmtree(folder)

    def _spoil(self, rng: random.Random, is_spoiled: Any) -> None:
        """Change answers to the requests (method, path) of which this holds."""

        def answer(method: str, path: str, query: dict[str, str], body: Any) -> Optional[Answer]:
            if not is_spoiled(method, path) or rng.random() < 0.3:
                return None
            return self._changed(rng, self._service.usual(method, path, query, body))

        self._service.answer = answer

    def _changed(self, rng: random.Random, answer: Answer) -> Answer:
        self.mutations += 1
        status, document = answer
        if rng.random() < 0.1:
            return status, rng.choice(PAGES)
        if rng.random() < 0.1:
            status, document = rng.choice(REFUSED), REFUSAL
        document = copy.deepcopy(document)
        for _ in range(rng.randint(1, 3)):
            document = _mutated(rng, document)
        return status, json.dumps(document).encode()

    def _run(self, route: Route, *words: str, statuses: tuple[int, ...] = STATUSES) -> Result:
        words = words or ("main.py",)
        result = route.run_here(*words, status=None)
        story = f"{words} ended with {result.status}: {result.stdout[-500:]} {result.stderr[-1500:]}"
        assert result.status in statuses, story
        if (route.code_path / "datastore").exists():
            with Store(str(route.code_path / "datastore"), is_read_only=True) as store, store.explained():
                for key in store.shelf:
                    store.shelf.get(key)
            status = route.run_here("status.py", status=None)
            assert status.status in (0, 3), f"{status} after {story}"
        return result

    def _settle(self, route: Route) -> None:
        """The service is well: everything arrives, though time may have to pass."""
        for number in range(MOST_ROUNDS):
            result = self._run(route, "main.py", "--json")
            if {"in flight"}.isdisjoint(states := set(recorded(route).values())) and states <= EVIDENCE:
                break
            if number % 3 == 2:
                let_time_pass(route, hours=HOURS_A_ROUND)
                route.run_here("set_time.py", "never", status=None)
        else:
            raise AssertionError(f"not at rest: {recorded(route)} {result.stdout} {result.stderr}")
        assert route.tree(route.dst) == route.tree(), recorded(route)


def _carries(posted: dict[str, Any], ending: str) -> bool:
    return any(str(item["source_path"]).endswith(ending) for item in posted["DATA"])


def _mutated(rng: random.Random, value: Any) -> Any:
    """The document with one of its parts replaced, taken away or doubled."""
    if isinstance(value, (dict, list)) and value and rng.random() < 0.95:
        keys = list(value) if isinstance(value, dict) else list(range(len(value)))
        key, act = rng.choice(keys), rng.random()
        if act < 0.1:
            del value[key]
        elif act < 0.15 and isinstance(value, list):
            value.append(value[key])
        else:
            value[key] = _mutated(rng, value[key])
        return value
    pool: list[Any] = rng.choice([WORDS, NUMBERS, SHAPES, [str(uuid.UUID(int=rng.getrandbits(128)))]])
    if isinstance(value, str) and rng.random() < 0.2:
        return value.upper() if rng.random() < 0.5 else value[: len(value) // 2]
    return copy.deepcopy(rng.choice(pool))


def _timer() -> dict[str, Any]:
    """A timer's document, after the SDK's recorded ones."""
    return {
        "job_id": TIMER_ID,
        "name": "nightly",
        "status": "loaded",
        "start": "2026-01-01T00:00:00+00:00",
        "interval": 3600.0,
        "schedule": {
            "type": "recurring",
            "start": "2026-01-01T00:00:00+00:00",
            "interval_seconds": 3600,
            "end": {"condition": "iterations", "count": 3},
        },
        "next_run": "2026-01-01T01:00:00+00:00",
        "last_ran_at": "2026-01-01T00:00:00+00:00",
        "n_runs": 2,
        "n_errors": 0,
        "stop_after": {"date": None, "n_runs": 3},
        "activity": {"code": "retrying", "start_timestamp": "2026-01-01T00:00:00+00:00"},
        "inactive_reason": {
            "cause": "globus_auth_requirements",
            "detail": {"code": "ConsentRequired", "authorization_parameters": {"session_message": "sign in"}},
        },
        "results": {"data": [{"status": 202, "data": {"details": {"task_id": TIMER_ID}}, "errors": None}]},
        "body": {"source_endpoint": TIMER_ID, "destination_endpoint": TIMER_ID},
        "callback_body": {"body": {"source_endpoint_id": TIMER_ID}},
    }
