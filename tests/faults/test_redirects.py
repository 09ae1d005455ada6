"""A redirect is an answer that did not come: nothing is sent, or believed, where it leads."""

from __future__ import annotations

import pytest
from faulty import FaultCheck, assert_recovers
from small_globus import SmallGlobus
from suite import Route
from terminal import on_a_terminal, sign_in

from emulator.http.server import Emulator

SEES = "it cannot be reached: Redirected: HTTP {} leads to http://127.0.0.1:"


def lead_away(globus: Emulator, service: SmallGlobus, request: str, status: int = 308) -> None:
    """Have a request redirected to another service, which would take it."""
    path = request.split()[1]
    target = service.environment()["GLOBUS_SDK_SERVICE_URL_AUTH"].rstrip("/") + path
    globus.world.add_fault(request, status=status, headers={"Location": target})


@pytest.mark.fault(
    "a token request is redirected",
    sees=f"{SEES.format(308)}...where nothing is sent",
    status=6,
    recorded="nothing",
)
def test_a_refresh_token_goes_nowhere_else(
    route: Route, globus: Emulator, service: SmallGlobus, fault: FaultCheck
) -> None:
    route.configure(CLIENT_SECRET_FILE="")
    route.write("a.dat")
    sign_in(route)
    globus.world.change_auth(expire_access_tokens=True)
    lead_away(globus, service, "POST /v2/oauth2/token")

    fault.check(route.run("main.py", "-v", status=None), route)

    assert service.requests == []
    globus.world.clear_faults()
    assert_recovers(route)


@pytest.mark.fault(
    "the submission of a task is redirected",
    sees=f"Globus did not accept task...{SEES.format(307)}...where nothing is sent",
    status=6,
    recorded="1 path in a prepared task",
)
def test_a_submission_that_is_redirected_was_not_accepted(
    route: Route, globus: Emulator, service: SmallGlobus, fault: FaultCheck
) -> None:
    route.write("a.dat")
    lead_away(globus, service, "POST /v0.10/transfer", 307)

    fault.check(route.run("main.py", "-v", status=None), route)

    assert service.requests == []
    globus.world.clear_faults()
    assert_recovers(route)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("request_", ["POST /v2/oauth2/token", "GET /v0.10/submission_id", "GET /v0.10/endpoint/*"])
def test_no_request_follows_a_redirect(
    route: Route, globus: Emulator, service: SmallGlobus, request_: str, status: int
) -> None:
    route.write("a.dat")
    lead_away(globus, service, request_, status)

    route.run_here("main.py", "-v", status=6, says=SEES.format(status))

    assert service.requests == []


@pytest.mark.parametrize(
    ("request_", "words"),
    [
        ("POST /v2/oauth2/token", ["job", "list"]),
        ("GET /jobs/", ["job", "list"]),
        ("POST /v2/timer", ["job", "transfer", "--interval", "8h"]),
    ],
)
def test_timers_follow_none_either(
    route: Route, globus: Emulator, service: SmallGlobus, request_: str, words: list[str]
) -> None:
    lead_away(globus, service, request_)

    route.run_here("timer.py", *words, status=6, says=SEES.format(308).partition(": ")[2])

    assert service.requests == []


def test_neither_a_code_nor_a_token_to_be_revoked_goes_elsewhere(
    route: Route, globus: Emulator, service: SmallGlobus
) -> None:
    route.configure(CLIENT_SECRET_FILE="")
    lead_away(globus, service, "POST /v2/oauth2/token")
    shown = on_a_terminal(route, "timer.py", "session", "login")
    assert shown.status == 6 and SEES.format(308) in shown.stdout, shown
    globus.world.clear_faults()
    sign_in(route, "timer.py", "session", "login")
    lead_away(globus, service, "POST /v2/oauth2/token/revoke")

    route.run_here("timer.py", "session", "revoke", status=6, says=SEES.format(308))

    assert service.requests == []


def test_the_script_that_checks_the_setup_follows_none_either(
    route: Route, globus: Emulator, service: SmallGlobus
) -> None:
    lead_away(globus, service, "GET /.well-known/openid-configuration")

    route.run("test_config.py", "--no-login", status=6, says="Redirected: HTTP 308 leads to http:")

    assert service.requests == []
