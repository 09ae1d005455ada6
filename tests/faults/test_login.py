"""Logins that have expired, were revoked or are not enough: nobody is asked a question, and nothing is lost."""

from __future__ import annotations

from typing import Any, Optional

import pytest
from faulty import FaultCheck, assert_recovers
from small_globus import Answer, SmallGlobus, refusal
from stored_login import store_login
from struck import spare, strike
from suite import CLIENT_ID, DST_ID, LONG_AGO, SRC_ID, Route, let_time_pass
from terminal import on_a_terminal, sign_in

from autotransfer.datastore.store import Store
from emulator.auth.state import AuthState, Client, Person
from emulator.http.server import Emulator

UNSENT = "Nothing was sent or recorded."
REFUSED = "None of it was transferred or recorded."
SIGN_IN = "Run test_config.py in a terminal once"
COLLEAGUE = Person("b1b1b1b1-0000-4000-8000-000000000001", "colleague@example.org", "Kim Colleague", None)


@pytest.fixture
def person(route: Route) -> Route:
    """A route whose owner has signed in, with a file to be sent."""
    route.configure(CLIENT_SECRET_FILE="")
    route.write("a.dat")
    sign_in(route)
    return route


@pytest.fixture
def person_there(there: Route) -> Route:
    """The same at the second service, with access tokens that have expired."""
    there.write("a.dat")
    store_login(there)
    return there


def check_there(there: Route, service: SmallGlobus, fault: FaultCheck, *, tasks: int = 1) -> None:
    """Run with the fault, and then without: what a new login brings."""
    fault.check(there.run_here("main.py", status=None), there)

    spare(service)
    assert_recovers(there, tasks=tasks, service=service)


def refusing(service: SmallGlobus, answer: Answer, *, end: str = "/transfer", skip: int = 0, times: int = 1000) -> None:
    """Refuse requests whose path ends like this: `skip` are answered first, then `times` are refused."""
    seen: list[str] = []

    def instead(method: str, path: str, *rest: Any) -> Optional[Answer]:
        seen.extend([path] * path.endswith(end))
        return answer if path.endswith(end) and skip < len(seen) <= skip + times else None

    service.answer = instead


def sign_in_again(route: Route) -> None:
    """What every message of status 4 says is to be done."""
    sign_in(route)


@pytest.mark.fault("never signed in", sees=f"Not signed in to Globus ... {SIGN_IN}", status=4, recorded="nothing")
def test_without_a_login_nothing_is_asked_or_sent(route: Route, fault: FaultCheck) -> None:
    route.configure(CLIENT_SECRET_FILE="")
    route.write("a.dat")

    fault.check(route.run("main.py", status=None), route)

    sign_in_again(route)
    assert_recovers(route)


EXPIRED = pytest.mark.fault("access token expired", sees="", status=0, recorded="1 path under way")


@EXPIRED
def test_an_expired_access_token_is_renewed_without_a_word(person: Route, globus: Emulator, fault: FaultCheck) -> None:
    globus.world.change_auth(expire_access_tokens=True)

    fault.check(person.run("main.py", status=None), person)

    assert_recovers(person)


@EXPIRED
def test_an_expired_access_token_there_is_renewed_without_a_word(
    person_there: Route, service: SmallGlobus, fault: FaultCheck
) -> None:
    check_there(person_there, service, fault)


REVOKED = pytest.mark.fault("access token revoked", sees="", status=0, recorded="1 path under way")


@REVOKED
def test_a_revoked_access_token_is_replaced_without_a_word(person: Route, globus: Emulator, fault: FaultCheck) -> None:
    globus.world.change_auth(revoke="access_tokens")

    fault.check(person.run("main.py", status=None), person)

    assert_recovers(person)


@REVOKED
def test_a_revoked_access_token_there_is_replaced_without_a_word(
    person_there: Route, service: SmallGlobus, fault: FaultCheck
) -> None:
    """The code: what globus-cli looks for."""
    refusing(service, refusal(401, "ClientError.AuthenticationFailed", "Token is not active"), end="_id", times=1)
    check_there(person_there, service, fault)


EXPIRED_WITHIN = pytest.mark.fault(
    "access token expired between two requests of a run", sees="", status=0, recorded="1 path under way"
)


@EXPIRED_WITHIN
def test_a_token_that_expires_within_a_run_is_renewed(person: Route, globus: Emulator, fault: FaultCheck) -> None:
    refusal = {"code": "AuthenticationFailed", "message": "Token is not active"}
    globus.world.add_fault("POST /v0.10/transfer", times=1, status=401, json=refusal)

    fault.check(person.run("main.py", status=None), person)

    assert_recovers(person)


@EXPIRED_WITHIN
def test_a_token_that_expires_there_within_a_run_is_renewed(
    person_there: Route, service: SmallGlobus, fault: FaultCheck
) -> None:
    refusing(service, refusal(401, "ClientError.AuthenticationFailed", "Token is not active"), times=1)
    check_there(person_there, service, fault)


WITHDRAWN = pytest.mark.parametrize(
    "name",
    [
        pytest.param(
            "refresh_tokens",
            id="refresh_tokens",
            marks=pytest.mark.fault(
                "refresh token revoked",
                sees="Globus did not show the collection ...: invalid_grant (HTTP 400, code invalid_grant). "
                f"{UNSENT} The stored login is no longer valid. {SIGN_IN}",
                status=4,
                recorded="nothing",
            ),
        ),
        pytest.param(
            "consents",
            id="consents",
            marks=pytest.mark.fault(
                "consents withdrawn by the person in the web app",
                sees="Globus did not show the collection ...: invalid_grant (HTTP 400, code invalid_grant). "
                f"{UNSENT} The stored login is no longer valid. {SIGN_IN}",
                status=4,
                recorded="nothing",
            ),
        ),
    ],
)


@WITHDRAWN
def test_a_withdrawn_login_is_reported_with_what_to_run(
    person: Route, globus: Emulator, fault: FaultCheck, name: str
) -> None:
    globus.world.change_auth(revoke=name, expire_access_tokens=True)

    fault.check(person.run("main.py", status=None), person)

    sign_in_again(person)
    assert_recovers(person)


@WITHDRAWN
def test_a_withdrawn_login_there_is_reported_with_what_to_run(
    person_there: Route, service: SmallGlobus, fault: FaultCheck, name: str
) -> None:
    """The refusal: as seen in public reports, for either."""
    refusing(service, (400, {"error": "invalid_grant"}), end="/token")
    check_there(person_there, service, fault)


LOST_UNDER_WAY = pytest.mark.fault(
    "refresh token revoked while a task is under way",
    sees=f"Globus did not show task ...: invalid_grant "
    f"(HTTP 400, code invalid_grant). The stored login is no longer valid. {SIGN_IN}",
    status=4,
    recorded="1 path under way",
)


@LOST_UNDER_WAY
def test_a_login_lost_under_way_keeps_the_task(person: Route, globus: Emulator, fault: FaultCheck) -> None:
    person.run_here("main.py")
    globus.world.change_auth(revoke="refresh_tokens", expire_access_tokens=True)
    person.write("b.dat")

    fault.check(person.run("main.py", status=None), person)

    sign_in_again(person)
    assert_recovers(person, tasks=2)


@LOST_UNDER_WAY
def test_a_login_lost_there_under_way_keeps_the_task(
    person_there: Route, service: SmallGlobus, fault: FaultCheck
) -> None:
    person_there.run_here("main.py")
    store_login(person_there)
    refusing(service, (400, {"error": "invalid_grant"}), end="/token")
    person_there.write("b.dat")
    check_there(person_there, service, fault, tasks=2)


NO_CONSENT = pytest.mark.fault(
    "consent missing",
    sees=f"Globus did not accept task ...: Missing required data_access consent (HTTP 403, code "
    f"ConsentRequired, request_id ...). {REFUSED} The collection requires a consent that was not given yet. Run "
    "test_config.py in a terminal once: it asks for it.",
    status=4,
    recorded="nothing",
)


@NO_CONSENT
def test_a_missing_consent_is_reported(person: Route, globus: Emulator, fault: FaultCheck) -> None:
    globus.world.change_collection(DST_ID, type="mapped")

    fault.check(person.run("main.py", status=None), person)

    sign_in_again(person)
    assert_recovers(person)


@NO_CONSENT
def test_a_missing_consent_there_is_reported(person_there: Route, service: SmallGlobus, fault: FaultCheck) -> None:
    """The older of the two recorded forms, with the scopes at the top alone (the SDK's tests of `err.info`)."""
    scope = f"urn:globus:auth:scope:transfer.api.globus.org:all[*https://auth.globus.org/scopes/{DST_ID}/data_access]"
    message = "Missing required data_access consent"
    refusing(service, refusal(403, "ConsentRequired", message, required_scopes=[scope]))
    check_there(person_there, service, fault)


NO_CONSENT_FOR_A_SERVICE = pytest.mark.fault(
    "consent missing, with a service account",
    sees="Globus did not grant the service account the collection's consent: The scope is not allowed (HTTP 400, code "
    f"invalid_scope). {UNSENT}",
    status=6,
    recorded="nothing",
)


@NO_CONSENT_FOR_A_SERVICE
def test_a_consent_that_is_refused_to_a_service_account_is_reported(
    route: Route, globus: Emulator, fault: FaultCheck
) -> None:
    route.write("a.dat")
    globus.world.change_collection(DST_ID, type="mapped")
    refusal = {"error": "invalid_scope", "error_description": "The scope is not allowed"}
    globus.world.add_fault("POST /v2/oauth2/token", skip=1, times=None, status=400, json=refusal)

    fault.check(route.run("main.py", status=None), route)

    globus.world.clear_faults()
    assert_recovers(route)


@NO_CONSENT_FOR_A_SERVICE
def test_a_consent_that_is_refused_there_to_a_service_account_is_reported(
    there: Route, service: SmallGlobus, fault: FaultCheck
) -> None:
    there.write("a.dat")
    service.collection = {"entity_type": "GCSv5_mapped_collection"}
    refused = {"error": "invalid_scope", "error_description": "The scope is not allowed"}  # RFC 6749, 5.2
    refusing(service, (400, refused), end="/token", skip=1)
    fault.check(there.run_here("main.py", status=None), there)

    spare(service)
    assert_recovers(there, service=service)


SESSION = pytest.mark.fault(
    "session expired",
    sees="Globus did not accept task ...: Session reauthentication required (HTTP 403, code AuthPolicyFailed, "
    f"request_id ...). {REFUSED} The collection requires a login of its own kind or a more recent one. Run "
    "test_config.py in a terminal.",
    status=4,
    recorded="nothing",
)


@SESSION
def test_an_expired_session_is_reported(person: Route, globus: Emulator, fault: FaultCheck) -> None:
    globus.world.change_auth(session_expired=[SRC_ID])

    fault.check(person.run("main.py", status=None), person)

    sign_in_again(person)
    assert_recovers(person)


@SESSION
def test_an_expired_session_there_is_reported(person_there: Route, service: SmallGlobus, fault: FaultCheck) -> None:
    """The form: recorded by the SDK (policies as one text); that a submission is refused so is assumed."""
    demand = {"session_message": "Session reauthentication required", "session_required_policies": f"{SRC_ID},{DST_ID}"}
    message = "Session reauthentication required"
    refusing(service, refusal(403, "AuthPolicyFailed", message, authorization_parameters=demand))
    check_there(person_there, service, fault)


UNKNOWN_THERE = pytest.mark.fault(
    "wrong identity: the collection does not know it",
    sees="Globus did not accept task ...: No effective ACL rules on the endpoint ... (HTTP 403, code PermissionDenied, "
    f"request_id ...). {REFUSED} Ask the collection's administrator to give the signed-in identity access",
    status=6,
    recorded="nothing",
)


@UNKNOWN_THERE
def test_an_identity_that_the_collection_does_not_know(person: Route, globus: Emulator, fault: FaultCheck) -> None:
    globus.world.change_collection(DST_ID, allowed_identities=[COLLEAGUE.id])

    fault.check(person.run("main.py", status=None), person)

    globus.world.change_collection(DST_ID, allowed_identities=None)
    assert_recovers(person)


@UNKNOWN_THERE
def test_an_identity_that_the_collection_there_does_not_know(
    person_there: Route, service: SmallGlobus, fault: FaultCheck
) -> None:
    refusing(service, refusal(403, "PermissionDenied", f"No effective ACL rules on the endpoint Archive ({DST_ID})"))
    check_there(person_there, service, fault)


@pytest.mark.fault(
    "wrong identity: somebody else signs in",
    sees="The stored login belongs to another identity ... Detected a change in identity ... Sign in as the "
    "first one; if you mean another one, delete tokens.db in CODE_PATH and run test_config.py in a terminal. Nothing "
    "was changed.",
    status=4,
    recorded="1 path under way",
)
def test_somebody_else_who_signs_in_is_refused_and_the_first_login_stays(
    person: Route, globus: Emulator, fault: FaultCheck
) -> None:
    person.run_here("main.py")
    first = globus.world.auth.person_at_the_browser
    globus.world.auth.people[COLLEAGUE.id] = COLLEAGUE
    globus.world.auth.person_at_the_browser = COLLEAGUE.id
    globus.world.change_auth(revoke="refresh_tokens", expire_access_tokens=True)

    fault.check(on_a_terminal(person, "test_config.py"), person)

    globus.world.auth.person_at_the_browser = first
    sign_in_again(person)
    assert_recovers(person)


@pytest.mark.fault(
    "wrong identity: the open task is of somebody else",
    sees="Globus did not show task ...: You do not have permission to view task ... (HTTP 403, code PermissionDenied, "
    "request_id ...). It may belong to another identity than the one now signed in. It carries 1 path",
    status=3,
    recorded="1 path under way",
)
def test_the_task_of_another_identity_counts_as_lost_after_a_day(
    person: Route, globus: Emulator, fault: FaultCheck
) -> None:
    person.run_here("main.py")
    globus.world.auth.people[COLLEAGUE.id] = COLLEAGUE
    globus.world.auth.person_at_the_browser = COLLEAGUE.id
    (person.code_path / "tokens.db").unlink()
    sign_in_again(person)
    let_time_pass(person, hours=1)

    fault.check(person.run("main.py", status=None), person)

    assert len(person.sent()) == 1
    let_time_pass(person, hours=24)
    person.run("main.py", status=3)
    person.run("main.py", status=3, says="is no longer known to Globus")
    assert_recovers(person, tasks=2)


WRONG_SECRET = pytest.mark.fault(
    "wrong secret of a service account",
    sees="Globus did not show the collection ...: Basic auth failed (HTTP 401, code UNAUTHORIZED, request_id ...). "
    f"{UNSENT} Check CLIENT_ID, and for a service account its secret",
    status=5,
    recorded="nothing",
)


@WRONG_SECRET
def test_a_wrong_secret_is_reported(route: Route, globus: Emulator, fault: FaultCheck) -> None:
    route.write("a.dat")
    globus.world.auth.clients[CLIENT_ID] = Client(CLIENT_ID, "service", "another")

    fault.check(route.run("main.py", status=None), route)

    globus.world.auth.clients.clear()
    assert_recovers(route)


@WRONG_SECRET
def test_a_wrong_secret_is_reported_there(there: Route, service: SmallGlobus, fault: FaultCheck) -> None:
    """Status, code and words: ssl-hep/ServiceX, issue 841; the form: recorded by the SDK."""
    there.write("a.dat")
    error = {"status": "401", "id": "0f429f54", "code": "UNAUTHORIZED", "detail": "Basic auth failed"}
    body = {"errors": [error], "error": "unauthorized", "error_description": "Unauthorized"}
    strike(service, "POST /v2/oauth2/token", status=401, json=body)
    check_there(there, service, fault)


# ---- a route with nothing to send ------------------------------------------------------------------------------------


def let_months_pass(person: Route) -> None:
    """Have the login used last long ago, by what is recorded."""
    with Store(str(person.code_path / "datastore")) as store:
        store.shelf["LAST_RUN"] = {**store.shelf["LAST_RUN"], "login_used_at_ns": LONG_AGO * 10**9}
        store.commit()


def requests_of(globus: Emulator) -> list[str]:
    return [request.path for request in globus.world.requests]


def test_an_idle_route_uses_its_login_once_a_month(person: Route, globus: Emulator) -> None:
    person.deliver_here()
    globus.world.requests.clear()
    person.run_here("main.py")
    idle = requests_of(globus)
    let_months_pass(person)
    person.run_here("main.py")
    used = requests_of(globus)
    person.run_here("main.py")

    assert idle == []
    assert used == requests_of(globus) == ["/v2/oauth2/token", "/v0.10/submission_id"]


def test_an_idle_route_whose_globus_is_away_ends_well_and_tries_again(person: Route, globus: Emulator) -> None:
    person.deliver_here()
    let_months_pass(person)
    globus.world.add_fault("GET /v0.10/submission_id", times=4, status=503, json={"code": "X", "message": "away"})
    globus.world.requests.clear()

    person.run_here("main.py")
    person.run_here("main.py")

    assert requests_of(globus)[-1] == "/v0.10/submission_id"
    with Store(str(person.code_path / "datastore")) as store:
        assert store.shelf["LAST_RUN"]["login_used_at_ns"] > LONG_AGO * 10**9


IDLE = pytest.mark.fault(
    "a login that was not used for months and is no longer valid, while nothing is to be sent",
    sees=f"invalid_grant (HTTP 400, code invalid_grant). ... The stored login is no longer valid. {SIGN_IN}",
    status=4,
    recorded="1 path delivered; 1 task succeeded",
)


@IDLE
def test_an_idle_route_reports_a_login_that_expired(person: Route, globus: Emulator, fault: FaultCheck) -> None:
    person.deliver_here()
    let_months_pass(person)
    globus.world.change_auth(revoke="refresh_tokens", expire_access_tokens=True)

    fault.check(person.run("main.py", status=None), person)

    sign_in_again(person)
    assert_recovers(person)


@IDLE
def test_an_idle_route_there_reports_a_login_that_expired(
    person_there: Route, service: SmallGlobus, fault: FaultCheck
) -> None:
    person_there.deliver_here()
    let_months_pass(person_there)
    store_login(person_there)
    refusing(service, (400, {"error": "invalid_grant"}), end="/token")
    check_there(person_there, service, fault)


def test_a_renewal_that_brings_no_refresh_token_keeps_the_old_one(
    person: Route, globus: Emulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    usual = AuthState.refresh

    def without(auth: AuthState, value: str, *, client_id: str) -> dict[str, Any]:
        return {**usual(auth, value, client_id=client_id), "refresh_token": None}

    monkeypatch.setattr(AuthState, "refresh", without)
    for number in range(3):
        globus.world.change_auth(expire_access_tokens=True)
        person.write(f"{number}.dat")
        person.deliver_here()

    assert person.tree(person.dst) == person.tree()
