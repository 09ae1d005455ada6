"""Answers that do not come, come too late, or are not Globus's."""

from __future__ import annotations

import os
import time
from typing import Any

import pytest
import wire
from faulty import FaultCheck, assert_recovers
from small_globus import SmallGlobus
from struck import spare, strike
from suite import Result, Route
from waiting import until

from emulator.http.server import Emulator

ASKING = "GET /v0.10/endpoint/*"
SUBMITTING = "POST /v0.10/transfer"
NOT_SENT = "nothing"
REFUSED = "None of it was transferred or recorded."
PREPARED = "1 path in a prepared task"
KEPT = "It is recorded; the next run will submit it again with the same submission_id, so it cannot run twice."
UNSENT = "Nothing was sent or recorded."
DAY_SECONDS = 86400
HTML = "<html><body>Sign in to the guest network</body></html>"


def row(name: str, where: str, what: dict[str, Any], *, sees: str, status: int = 6, recorded: str) -> Any:
    """A parameter set with its row."""
    mark = pytest.mark.fault(name, sees=sees, status=status, recorded=recorded)
    return pytest.param(where, what, marks=mark, id=name)


def answer(status: int, code: str = "ServiceUnavailable", **more: Any) -> dict[str, Any]:
    """A refusal in the form of Transfer."""
    body = {"code": code, "message": "Not now", "request_id": "oRk4lxkbD"}
    return {"status": status, "json": body, **more}


@pytest.fixture
def hasty_there(there: Route, monkeypatch: pytest.MonkeyPatch) -> Route:
    """A route aimed at the second service; what is called here does not pause for long."""
    pause = time.sleep
    monkeypatch.setattr(time, "sleep", lambda seconds: pause(min(seconds, 0.02)))
    return there


def check_there(hasty_there: Route, service: SmallGlobus, fault: FaultCheck, *, tasks: int = 1) -> None:
    """Run with the fault, and then without."""
    fault.check(hasty_there.run_here("main.py", status=None), hasty_there)

    spare(service)
    assert_recovers(hasty_there, tasks=tasks, service=service)


FAILURES = [(500, "Internal"), (502, "BadGateway"), (503, "ServiceUnavailable"), (504, "GatewayTimeout")]


NO_ANSWER = pytest.mark.parametrize(
    ("where", "what"),
    [
        row(
            "429 with Retry-After, for good, while asking",
            ASKING,
            answer(429, "RateLimitExceeded", headers={"Retry-After": "3600"}),
            sees="Globus did not show the collection ...: Not now (HTTP 429, code RateLimitExceeded, request_id "
            f"oRk4lxkbD). {UNSENT} Globus asks for fewer requests",
            recorded=NOT_SENT,
        ),
        row(
            "429 with Retry-After, for good, at the submission",
            SUBMITTING,
            answer(429, "RateLimitExceeded", headers={"Retry-After": "3600"}),
            sees="Globus did not accept task ...: Not now (HTTP 429, code RateLimitExceeded, request_id oRk4lxkbD). "
            f"{REFUSED} Globus asks for fewer requests",
            recorded=NOT_SENT,
        ),
        *(
            row(
                f"{status} while asking",
                ASKING,
                answer(status, code),
                sees=f"Globus did not show the collection ...: Not now (HTTP {status}, code {code}, request_id "
                f"oRk4lxkbD). {UNSENT} You need not do anything. The next run tries again.",
                recorded=NOT_SENT,
            )
            for status, code in FAILURES
        ),
        *(
            row(
                f"{status} at the submission",
                SUBMITTING,
                answer(status, code),
                sees=f"Globus did not accept task ...: Not now (HTTP {status}, code {code}, request_id oRk4lxkbD). "
                f"{KEPT}",
                recorded=PREPARED,
            )
            for status, code in FAILURES
        ),
        row(
            "HTML of a guest network's login page, while asking",
            ASKING,
            {"status": 200, "text": HTML},
            sees="Globus did not show the collection ... in words that can be understood: HTTP 200 with text/html that "
            f"begins ... Sign in to the guest network ... {UNSENT} A proxy",
            recorded=NOT_SENT,
        ),
        row(
            "HTML of a guest network's login page, at the submission",
            SUBMITTING,
            {"status": 200, "text": HTML},
            sees="Globus did not accept task ... in words that can be understood: HTTP 200 with text/html that begins "
            f"... Sign in to the guest network ... {KEPT} A proxy",
            recorded=PREPARED,
        ),
        row(
            "HTML of a gateway's error page, while asking",
            ASKING,
            {"status": 502, "text": "<html><h1>502 Bad Gateway</h1></html>"},
            sees=f"Globus did not show the collection ... (HTTP 502). {UNSENT}",
            recorded=NOT_SENT,
        ),
        row(
            "HTML of a gateway's error page, at the submission",
            SUBMITTING,
            {"status": 502, "text": "<html><h1>502 Bad Gateway</h1></html>"},
            sees=f"Globus did not accept task ... (HTTP 502). {KEPT}",
            recorded=PREPARED,
        ),
        row(
            "HTML of a proxy that refuses, while asking",
            ASKING,
            {"status": 403, "text": "<html>Blocked by the firewall</html>"},
            sees=f"Globus did not show the collection ... (HTTP 403). {UNSENT}",
            recorded=NOT_SENT,
        ),
        row(
            "a truncated body, while asking",
            ASKING,
            {"truncate": True},
            sees="Globus did not show the collection ...: it cannot be reached: IncompleteRead: ... "
            f"{UNSENT} Check this machine's network",
            recorded=NOT_SENT,
        ),
        row(
            "a truncated body, at the submission",
            SUBMITTING,
            {"truncate": True},
            sees=f"Globus did not accept task ...: it cannot be reached: ... {KEPT}",
            recorded=PREPARED,
        ),
        row(
            "a body that is not JSON, while asking",
            ASKING,
            {"status": 200, "text": "OK", "content_type": "application/json"},
            sees=f"Globus did not show the collection ... in words that can be understood: ... {UNSENT}",
            recorded=NOT_SENT,
        ),
        row(
            "a body that is not JSON, at the submission",
            SUBMITTING,
            {"status": 202, "text": "OK", "content_type": "application/json"},
            sees=f"Globus did not accept task ... in words that can be understood: ... {KEPT}",
            recorded=PREPARED,
        ),
        *(
            row(
                f"JSON of the wrong shape ({shape!r}), while asking",
                ASKING,
                {"status": 200, "text": shape, "content_type": "application/json"},
                sees=f"Globus did not show the collection ... in words that can be understood: ... {UNSENT}",
                recorded=NOT_SENT,
            )
            for shape in ("[]", "null", "{}")
        ),
        *(
            row(
                f"JSON of the wrong shape ({shape!r}), at the submission",
                SUBMITTING,
                {"status": 202, "text": shape, "content_type": "application/json"},
                sees=f"Globus did not accept task ... in words that can be understood: ... {KEPT}",
                recorded=PREPARED,
            )
            for shape in ("[1]", "null", '{"code": "Accepted"}')
        ),
        row(
            "JSON of the wrong shape in a refusal",
            ASKING,
            {"status": 500, "text": '["out of order"]', "content_type": "application/json"},
            sees=f"Globus did not show the collection ... in words that can be understood: ... {UNSENT}",
            recorded=NOT_SENT,
        ),
        row(
            "a submission_id that is missing from its answer",
            "GET /v0.10/submission_id",
            {"status": 200, "json": {"DATA_TYPE": "submission_id"}},
            sees=f"Globus did not give a submission_id in words that can be understood: ... {UNSENT}",
            recorded=NOT_SENT,
        ),
        row(
            "the connection is reset before the request is processed, while asking",
            ASKING,
            {"reset": "before"},
            sees=f"Globus did not show the collection ...: it cannot be reached: ... {UNSENT}",
            recorded=NOT_SENT,
        ),
        row(
            "the connection is reset before the submission is processed",
            SUBMITTING,
            {"reset": "before"},
            sees=f"Globus did not accept task ...: it cannot be reached: ... {KEPT}",
            recorded=PREPARED,
        ),
        row(
            "the connection is reset after the submission is processed",
            SUBMITTING,
            {"reset": "after"},
            sees=f"Globus did not accept task ...: it cannot be reached: ... {KEPT}",
            recorded=PREPARED,
        ),
        row(
            "524 of a gateway that waited in vain, at the submission",
            SUBMITTING,
            {"status": 524, "text": "<html>A timeout occurred</html>"},
            sees=f"Globus did not accept task ... (HTTP 524). {KEPT}",
            recorded=PREPARED,
        ),
        row(
            "Globus Auth gives no token (503)",
            "POST /v2/oauth2/token",
            {"status": 503, "text": "Service Unavailable", "content_type": "text/plain"},
            sees="(HTTP 503)",
            recorded=NOT_SENT,
        ),
        row(
            "Globus Auth answers in HTML",
            "POST /v2/oauth2/token",
            {"status": 200, "text": HTML},
            sees=f"in words that can be understood: ... {UNSENT}",
            recorded=NOT_SENT,
        ),
    ],
)


@NO_ANSWER
def test_an_answer_that_is_none_is_reported_and_the_next_runs_deliver_once(
    hasty: Route, globus: Emulator, fault: FaultCheck, where: str, what: dict[str, Any]
) -> None:
    hasty.write("a.dat")
    globus.world.add_fault(where, times=None, **what)

    fault.check(hasty.run("main.py", status=None), hasty)

    globus.world.clear_faults()
    assert_recovers(hasty)


@NO_ANSWER
def test_an_answer_that_is_none_there_is_reported_and_the_next_runs_deliver_once(
    hasty_there: Route, service: SmallGlobus, fault: FaultCheck, where: str, what: dict[str, Any]
) -> None:
    hasty_there.write("a.dat")
    strike(service, where, **what)

    check_there(hasty_there, service, fault)


REFUSED_AGAIN = pytest.mark.fault(
    "the connection is reset after the submission is processed, and its repetition is refused (429)",
    sees=f"Globus did not accept task ...: Not now (HTTP 429, code RateLimitExceeded, request_id oRk4lxkbD). {KEPT}",
    status=6,
    recorded=PREPARED,
)


@REFUSED_AGAIN
def test_a_refused_repetition_of_a_lost_submission_makes_no_second_task(
    hasty: Route, globus: Emulator, fault: FaultCheck
) -> None:
    globus.world.set_progress("polls:3")
    hasty.write("a.dat")
    globus.world.add_fault(SUBMITTING, times=1, reset="after")
    globus.world.add_fault(SUBMITTING, times=None, **answer(429, "RateLimitExceeded"))

    fault.check(hasty.run("main.py", status=None), hasty)

    globus.world.clear_faults()
    hasty.write("b.dat")
    assert_recovers(hasty, tasks=2)


@REFUSED_AGAIN
def test_a_refused_repetition_there_of_a_lost_submission_makes_no_second_task(
    hasty_there: Route, service: SmallGlobus, fault: FaultCheck
) -> None:
    service.is_held = True
    hasty_there.write("a.dat")
    strike(service, SUBMITTING, times=1, reset="after")
    lose = service.answer
    strike(service, SUBMITTING, **answer(429, "RateLimitExceeded"))
    refuse = service.answer
    service.answer = lambda *request: lose(*request) or refuse(*request)

    fault.check(hasty_there.run_here("main.py", status=None), hasty_there)

    spare(service)
    hasty_there.write("b.dat")
    hasty_there.run_here("main.py")
    service.is_held = False
    assert_recovers(hasty_there, tasks=2, service=service)


LIMITED = pytest.mark.parametrize(
    "what",
    [
        pytest.param(
            answer(status, code, **({"headers": {"Retry-After": "3600"}} if code != "RateLimitExceeded" else {})),
            marks=pytest.mark.fault(
                f"{status} {code}, while three tasks are asked about",
                sees=f"Globus did not show task ...: Not now (HTTP {status}, code {code}, request_id oRk4lxkbD). ... "
                "The next run tries again.",
                status=6,
                recorded="3 paths under way",
            ),
            id=f"{status} {code}",
        )
        for status, code in ((429, "RateLimitExceeded"), (503, "ServiceUnavailable"))
    ],
)


@LIMITED
def test_a_rate_limit_ends_the_asking(hasty: Route, globus: Emulator, fault: FaultCheck, what: dict[str, Any]) -> None:
    """It is about all requests, so one task is asked about and no other."""
    hasty.configure(MAX_ITEMS_PER_TASK=1)
    globus.world.set_progress("polls:9")
    for name in "abc":
        hasty.write(name)
    hasty.run_here("main.py")
    before = len(globus.world.requests)
    globus.world.add_fault("GET /v0.10/*", times=None, **what)

    fault.check(hasty.run("main.py", status=None), hasty)

    asked = {call.path for call in globus.world.requests[before:] if "/v0.10/" in call.path}
    assert len(asked) == 1
    globus.world.clear_faults()
    globus.world.set_progress("immediate")
    assert_recovers(hasty, tasks=3)


@LIMITED
def test_a_rate_limit_there_ends_the_asking(
    hasty_there: Route, service: SmallGlobus, fault: FaultCheck, what: dict[str, Any]
) -> None:
    hasty_there.configure(MAX_ITEMS_PER_TASK=1)
    for name in "abc":
        hasty_there.write(name)
    hasty_there.run_here("main.py")
    service.requests.clear()
    strike(service, "GET /v0.10/*", **what)

    fault.check(hasty_there.run_here("main.py", status=None), hasty_there)

    assert len({request for request in service.requests if "/v0.10/" in request}) == 1
    spare(service)
    assert_recovers(hasty_there, tasks=3, service=service)


ONCE = pytest.mark.fault("429 with Retry-After, once", sees="", status=0, recorded="1 path under way")


@ONCE
def test_a_short_retry_after_there_is_waited_for_within_the_run(
    hasty_there: Route, service: SmallGlobus, fault: FaultCheck
) -> None:
    hasty_there.write("a.dat")
    strike(service, SUBMITTING, times=1, **answer(429, "RateLimitExceeded", headers={"Retry-After": "1"}))

    check_there(hasty_there, service, fault)


@ONCE
def test_a_short_retry_after_is_waited_for_within_the_run(route: Route, globus: Emulator, fault: FaultCheck) -> None:
    route.write("a.dat")
    globus.world.add_fault(SUBMITTING, **answer(429, "RateLimitExceeded", headers={"Retry-After": "1"}))
    started = time.monotonic()

    result = route.run("main.py", status=None)

    assert time.monotonic() - started >= 1
    fault.check(result, route)
    assert_recovers(route)


UNSHOWN = pytest.mark.parametrize(
    ("where", "what"),
    [
        row(
            f"{name}, when a task is asked for",
            "GET /v0.10/task/*",
            what,
            sees=f"Globus did not show task ...{words}",
            status=status,
            recorded="1 path under way",
        )
        for name, what, words, status in (
            ("503", answer(503), "Not now (HTTP 503, code ServiceUnavailable, request_id oRk4lxkbD)", 3),
            ("HTML", {"status": 200, "text": HTML}, "in words that can be understood", 3),
            ("JSON of the wrong shape", {"status": 200, "text": "[]"}, "in words that can be understood", 3),
            ("a reset connection", {"reset": "before"}, "it cannot be reached", 6),
        )
    ],
)


@UNSHOWN
def test_a_task_that_cannot_be_asked_for_stays_under_way(
    hasty: Route, globus: Emulator, fault: FaultCheck, where: str, what: dict[str, Any]
) -> None:
    hasty.write("a.dat")
    hasty.run_here("main.py")
    globus.world.add_fault(where, times=None, **what)

    fault.check(hasty.run("main.py", status=None), hasty)

    globus.world.clear_faults()
    assert_recovers(hasty)


@UNSHOWN
def test_a_task_that_cannot_be_asked_for_there_stays_under_way(
    hasty_there: Route, service: SmallGlobus, fault: FaultCheck, where: str, what: dict[str, Any]
) -> None:
    hasty_there.write("a.dat")
    hasty_there.run_here("main.py")
    strike(service, where, **what)

    check_there(hasty_there, service, fault)


@pytest.mark.parametrize(
    ("where", "what"),
    [
        row(
            "slow answers, while asking",
            ASKING,
            {"hold": True},
            sees="Globus did not show the collection ...: it cannot be reached: ReadTimeoutError: ... Read timed out. "
            f"... {UNSENT}",
            recorded=NOT_SENT,
        ),
        row(
            "slow answers, at the submission",
            SUBMITTING,
            {"hold": True},
            sees="Globus did not accept task ...: it cannot be reached: ReadTimeoutError: ... Read timed out. "
            f"... {KEPT}",
            recorded=PREPARED,
        ),
    ],
)
def test_an_answer_that_comes_too_late_is_not_waited_for(
    hasty: Route, globus: Emulator, fault: FaultCheck, where: str, what: dict[str, Any]
) -> None:
    hasty.environment["GLOBUS_SDK_HTTP_TIMEOUT"] = "1"
    hasty.write("a.dat")
    globus.world.add_fault(where, times=None, **what)

    fault.check(hasty.run("main.py", status=None), hasty)

    del hasty.environment["GLOBUS_SDK_HTTP_TIMEOUT"]
    globus.world.clear_faults()
    assert_recovers(hasty)


# ---- below HTTP ------------------------------------------------------------------------------------------------------


def check_away(route: Route, fault: FaultCheck, url: str) -> None:
    """Run with Transfer at another address, and then with the right one."""
    route.write("a.dat")
    right = dict(route.environment)
    route.environment["GLOBUS_SDK_SERVICE_URL_TRANSFER"] = url

    fault.check(route.run("main.py", status=None), route)

    route.environment.update(right)
    assert_recovers(route)


@pytest.mark.fault(
    "DNS failure",
    sees="it cannot be reached: NameResolutionError: ... Failed to resolve 'transfer.globus.invalid' ... "
    f"{UNSENT} Check this machine's network and name service.",
    status=6,
    recorded="nothing",
)
def test_a_name_that_is_not_found(hasty: Route, fault: FaultCheck) -> None:
    check_away(hasty, fault, "https://transfer.globus.invalid/")


@pytest.mark.fault(
    "connection refused",
    sees=f"it cannot be reached: ... Connection refused ... {UNSENT} Check this machine's network",
    status=6,
    recorded="nothing",
)
def test_a_port_that_nobody_serves(hasty: Route, fault: FaultCheck) -> None:
    with wire.server(wire.says(b"")) as port:
        pass
    check_away(hasty, fault, f"http://127.0.0.1:{port}/")


@pytest.mark.fault(
    "an answer that is not HTTP",
    sees=f"it cannot be reached: ... {UNSENT} Check this machine's network",
    status=6,
    recorded="nothing",
)
def test_a_server_of_another_kind(hasty: Route, fault: FaultCheck) -> None:
    with wire.server(wire.says(b"220 mail.example.org ESMTP\r\n")) as port:
        check_away(hasty, fault, f"http://127.0.0.1:{port}/")


@pytest.mark.fault(
    "TLS failure: a certificate that nobody vouches for",
    sees="it cannot be reached: SSLCertVerificationError: ... self-signed certificate ... "
    f"{UNSENT} The usual causes are a wrong clock",
    status=6,
    recorded="nothing",
)
def test_a_certificate_that_nobody_vouches_for(hasty: Route, fault: FaultCheck) -> None:
    with wire.server(wire.speaks_tls(wire.self_signed(hasty.folder / "server.pem"))) as port:
        check_away(hasty, fault, f"https://127.0.0.1:{port}/")


@pytest.mark.parametrize(
    ("name", "days"),
    [
        pytest.param(
            "elsewhere.example.org",
            (-1, 1),
            marks=pytest.mark.fault(
                "TLS failure: the certificate of another host",
                sees="it cannot be reached: SSLCertVerificationError: ... certificate is not valid for '127.0.0.1' "
                f"... {UNSENT} The usual causes are a wrong clock",
                status=6,
                recorded="nothing",
            ),
            id="host",
        ),
        pytest.param(
            "127.0.0.1",
            (-30, -1),
            marks=pytest.mark.fault(
                "TLS failure: an expired certificate, or a clock that is ahead",
                sees="it cannot be reached: SSLCertVerificationError: ... certificate has expired "
                f"... {UNSENT} The usual causes are a wrong clock",
                status=6,
                recorded="nothing",
            ),
            id="expired",
        ),
        pytest.param(
            "127.0.0.1",
            (1, 30),
            marks=pytest.mark.fault(
                "TLS failure: a certificate of the future, or a clock that is late",
                sees="it cannot be reached: SSLCertVerificationError: ... certificate is not yet valid "
                f"... {UNSENT} The usual causes are a wrong clock",
                status=6,
                recorded="nothing",
            ),
            id="future",
        ),
    ],
)
def test_a_certificate_that_does_not_hold(hasty: Route, fault: FaultCheck, name: str, days: tuple[int, int]) -> None:
    certificate = wire.self_signed(hasty.folder / "server.pem", name=name, days=days)
    hasty.environment["GLOBUS_SDK_VERIFY_SSL"] = str(certificate)  # as if a known authority had signed it
    with wire.server(wire.speaks_tls(certificate)) as port:
        check_away(hasty, fault, f"https://127.0.0.1:{port}/")


@pytest.mark.fault(
    "TLS failure: a server that speaks plain HTTP",
    sees=f"it cannot be reached: SSLError: ... wrong version number ... {UNSENT} The usual causes",
    status=6,
    recorded="nothing",
)
def test_a_server_without_tls(hasty: Route, globus: Emulator, fault: FaultCheck) -> None:
    check_away(hasty, fault, globus.url.replace("http:", "https:"))


@pytest.mark.fault(
    "an answer that comes a byte at a time and never ends (the run waits until it is stopped, here by SIGTERM; after a "
    "day the others tell of it)",
    sees="Interrupted. What was recorded is kept; the next run continues from there.",
    status=130,
    recorded="nothing",
)
def test_an_answer_that_drips_for_ever_holds_a_run_until_it_is_stopped(route: Route, fault: FaultCheck) -> None:
    route.write("a.dat")
    right = dict(route.environment)
    timeout_seconds = 2.0
    route.environment["GLOBUS_SDK_HTTP_TIMEOUT"] = str(timeout_seconds)
    drips = wire.Drips(every_seconds=0.05)
    with wire.server(drips) as port:
        route.environment["GLOBUS_SDK_SERVICE_URL_TRANSFER"] = f"http://127.0.0.1:{port}/"
        process = route.start("main.py")
        until(lambda: drips.lasted_seconds > 2 * timeout_seconds, process)  # each byte is in time
        route.run("main.py", "-v", status=7, says="Another run of this route is active")
        assert route.run("main.py", status=7).stderr == ""
        yesterday = time.time() - DAY_SECONDS - 3600
        os.utime(route.code_path / "lock", (yesterday, yesterday))
        route.run("main.py", status=7, says=f"has been active for 25 hours (pid {process.pid})")
        assert route.run("main.py", status=7).stderr == "", "once"
        process.terminate()
        stdout, stderr = process.communicate(timeout=60)

    fault.check(Result(process.returncode, stdout, stderr), route)

    route.environment = right
    assert_recovers(route)


# ---- clocks ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "ahead_days",
    [
        pytest.param(
            -30,
            marks=pytest.mark.fault(
                "this machine's clock is 30 days ahead",
                sees="",
                status=0,
                recorded="1 path delivered; 1 task succeeded",
            ),
            id="ahead",
        ),
        pytest.param(
            30,
            marks=pytest.mark.fault(
                "this machine's clock is 30 days late", sees="", status=0, recorded="1 path delivered; 1 task succeeded"
            ),
            id="late",
        ),
    ],
)
def test_a_wrong_clock_loses_nothing(route: Route, globus: Emulator, fault: FaultCheck, ahead_days: int) -> None:
    globus.world.advance_clock(ahead_days * DAY_SECONDS)
    route.write("a.dat", mtime_seconds=time.time() - 60)

    fault.check(route.run("main.py", "--wait", "30", status=None), route)
    globus.world.advance_clock(-ahead_days * DAY_SECONDS)
    route.write("b.dat", mtime_seconds=time.time() - 60)

    assert_recovers(route, tasks=2)


@pytest.mark.fault(
    "this machine's clock is 30 days late, with DEADLINE_HOURS",
    sees="ended expired ... the rest will be retried",
    status=3,
    recorded="1 path under way; 1 task expired",
)
def test_a_deadline_by_a_clock_that_is_late(route: Route, globus: Emulator, fault: FaultCheck) -> None:
    route.configure(DEADLINE_HOURS=24)
    globus.world.advance_clock(30 * DAY_SECONDS)
    route.write("a.dat")
    route.run_here("main.py")

    fault.check(route.run("main.py", status=None), route)

    globus.world.advance_clock(-30 * DAY_SECONDS)
    route.run("main.py", "-v", status=3, says="ended expired")
    route.run("set_time.py", "never")  # after two failures its pause is five minutes
    assert_recovers(route, tasks=3)


@pytest.mark.parametrize(
    "ahead_seconds",
    [
        pytest.param(
            -7200,
            marks=pytest.mark.fault(
                "a wrong clock, seen by test_config.py (ahead)",
                sees="This machine's clock is 120 minutes fast ... Set the clock",
                status=5,
                recorded="nothing",
            ),
            id="ahead",
        ),
        pytest.param(
            7200,
            marks=pytest.mark.fault(
                "a wrong clock, seen by test_config.py (late)",
                sees="This machine's clock is 120 minutes slow ... Set the clock",
                status=5,
                recorded="nothing",
            ),
            id="late",
        ),
    ],
)
def test_a_wrong_clock_is_reported_by_test_config(
    route: Route, globus: Emulator, fault: FaultCheck, ahead_seconds: int
) -> None:
    route.write("a.dat")
    globus.world.advance_clock(ahead_seconds)

    fault.check(route.run("test_config.py", status=None), route)

    globus.world.advance_clock(-ahead_seconds)
    route.run("test_config.py", status=0)
