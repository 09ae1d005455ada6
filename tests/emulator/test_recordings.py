"""Every reply holds at least the keys of the response that the SDK has recorded for that call, with the same types."""

from __future__ import annotations

import base64
import uuid
from collections.abc import Callable
from typing import Any

import pytest
import requests
from globus_sdk.testing import RegisteredResponse, get_response_set

from emulator.auth.scopes import TIMER, TRANSFER_ALL
from emulator.auth.state import RESEARCHER
from emulator.clock import iso
from emulator.http.server import Emulator

SOURCE = "5a0c9d5e-0000-4000-8000-000000000001"
DESTINATION = "5a0c9d5e-0000-4000-8000-000000000002"
MAPPED = "5a0c9d5e-0000-4000-8000-000000000003"
CLIENT = "5a0c9d5e-0000-4000-8000-00000000000c"
DATA_ACCESS = f"{TRANSFER_ALL}[*https://auth.globus.org/scopes/{MAPPED}/data_access]"
AUTH_SCOPES = "openid profile email urn:globus:auth:scope:auth.globus.org:view_identity_set"
TRANSFER_TIMER = {
    "timer_type": "transfer",
    "name": "Very Cool Timer",
    "schedule": {"type": "recurring", "interval_seconds": 604800, "end": {"condition": "iterations", "count": 2}},
    "body": {
        "DATA_TYPE": "transfer",
        "source_endpoint": SOURCE,
        "destination_endpoint": DESTINATION,
        "DATA": [{"DATA_TYPE": "transfer_item", "source_path": "/a", "destination_path": "/a"}],
    },
}
FLOW_TIMER = {
    "timer_type": "flow",
    "name": "Very Cool Timer",
    "flow_id": str(uuid.uuid4()),
    "schedule": {"type": "once"},
    "body": {"body": {"input_key": "input_value"}, "run_managers": []},
}

Call = Callable[["Caller"], requests.Response]


class Caller:
    """Makes the calls that the recordings are of."""

    def __init__(self, globus: Emulator, bearer: Callable[..., str]) -> None:
        self.globus = globus
        self.bearer = bearer

    def ask(self, method: str, path: str, scope: str | None = DATA_ACCESS, **what: Any) -> requests.Response:
        headers = {} if scope is None else {"Authorization": f"Bearer {self.bearer(scope)}"}
        return requests.request(method, self.globus.url + path, headers=headers, timeout=60, **what)

    def form(self, path: str, secret: str | None = "s", **fields: str) -> requests.Response:
        credentials = base64.b64encode(f"{CLIENT}:{secret}".encode()).decode()
        headers = {"Authorization": f"Basic {credentials}"}
        return requests.post(self.globus.url + path, data=fields, headers=headers, timeout=60)

    def submit(self, items: int = 1) -> requests.Response:
        item = {"DATA_TYPE": "transfer_item", "source_path": "/a", "destination_path": "/a"}
        return self.ask(
            "POST",
            "v0.10/transfer",
            json={
                "DATA_TYPE": "transfer",
                "submission_id": str(uuid.uuid4()),
                "source_endpoint": SOURCE,
                "destination_endpoint": DESTINATION,
                "DATA": [item] * items,
            },
        )

    def delete(self) -> requests.Response:
        item = {"DATA_TYPE": "delete_item", "path": "/a"}
        document = {"DATA_TYPE": "delete", "submission_id": str(uuid.uuid4()), "endpoint": SOURCE, "DATA": [item]}
        return self.ask("POST", "v0.10/delete", json=document)

    def task(self, rest: str, method: str = "GET") -> requests.Response:
        return self.ask(method, f"v0.10/task/{self.submit().json()['task_id']}{rest}")

    def task_list(self) -> requests.Response:
        root = self.globus.world.collections[SOURCE].root
        assert root is not None
        (root / "a").write_text("four")
        self.submit()
        return self.ask("GET", "v0.10/task_list", params={"limit": 1000})

    def operation(self, method: str, name: str, **what: Any) -> requests.Response:
        return self.ask(method, f"v0.10/operation/endpoint/{MAPPED}/{name}", **what)

    def rename(self) -> requests.Response:
        self.mkdir()
        return self.operation("POST", "rename", json={"DATA_TYPE": "rename", "old_path": "/new", "new_path": "/newer"})

    def mkdir(self) -> requests.Response:
        return self.operation("POST", "mkdir", json={"DATA_TYPE": "mkdir", "path": "/new"})

    def timer(self, document: dict[str, Any]) -> requests.Response:
        return self.ask("POST", "v2/timer", TIMER, json={"timer": document})

    def action(self) -> dict[str, Any]:
        ends = {"source_endpoint_id": SOURCE, "destination_endpoint_id": MAPPED, "label": "example timer"}
        options = {"skip_source_errors": True, "sync_level": 3, "verify_checksum": True}
        items = [{"source_path": "/a", "destination_path": "/a", "recursive": False}]
        return {
            "name": "example timer",
            "start": iso(self.globus.world.clock.now()),
            "interval": 864000.0,
            "callback_url": "https://actions.automate.globus.org/transfer/transfer/run",
            "callback_body": {"body": {**ends, **options, "transfer_items": items}},
        }

    def create_job(self) -> requests.Response:
        return self.ask("POST", "jobs/", f"{TIMER}[{DATA_ACCESS}]", json=self.action())

    def job(self, rest: str, method: str, first: str | None = None, **what: Any) -> requests.Response:
        job_id = self.create_job().json()["job_id"]
        if first is not None:
            self.ask("POST", f"jobs/{job_id}/{first}", TIMER)
        return self.ask(method, f"jobs/{job_id}{rest}", TIMER, **what)

    def inactive(self) -> requests.Response:
        job_id = self.job("", "GET").json()["job_id"]
        world = self.globus.world
        world.change_auth(revoke="consents")
        world.advance_clock(864000.0)
        return self.ask("GET", f"jobs/{job_id}", TIMER)

    def denied(self) -> requests.Response:
        root = self.globus.world.collections[MAPPED].root
        assert root is not None
        (root / "locked").mkdir(mode=0)
        return self.operation("GET", "stat", params={"path": "/locked/x"})

    def exchange(self, scope: str, code: str | None = None) -> requests.Response:
        redirect_uri = self.globus.url + "v2/web/auth-code"
        page = requests.get(
            self.globus.url + "v2/oauth2/authorize",
            params={
                "client_id": CLIENT,
                "redirect_uri": redirect_uri,
                "scope": scope,
                "response_type": "code",
                "state": "_default",
            },
            timeout=60,
        )
        code = code or page.url.partition("code=")[2].partition("&")[0]
        return self.form("v2/oauth2/token", grant_type="authorization_code", code=code, redirect_uri=redirect_uri)

    def credentials(self, scope: str) -> requests.Response:
        return self.form("v2/oauth2/token", grant_type="client_credentials", scope=scope)

    def dependent(self, **more: str) -> requests.Response:
        token = self.bearer(TRANSFER_ALL + "[urn:globus:auth:scope:groups.api.globus.org:view_my_groups]")
        grant_type = "urn:globus:auth:grant_type:dependent_token"
        return self.form("v2/oauth2/token", grant_type=grant_type, token=token, **more)

    def create_client(self, **fields: Any) -> requests.Response:
        body = {"client": {"name": "FOO", "project": str(uuid.uuid4()), **fields}}
        return self.ask("POST", "v2/api/clients", AUTH_SCOPES, json=body)

    def with_client(self, method: str) -> requests.Response:
        client = self.globus.world.auth.register_client("FOO", parent_id=None)
        return self.ask(method, f"v2/api/clients/{client.id}", AUTH_SCOPES)

    def identities(self, **params: str) -> requests.Response:
        return self.ask("GET", "v2/api/identities", AUTH_SCOPES, params=params)


CALLS: dict[tuple[str, str], Call] = {
    ("transfer.get_submission_id", "default"): lambda it: it.ask("GET", "v0.10/submission_id"),
    ("transfer.submit_transfer", "default"): lambda it: it.submit(),
    ("transfer.submit_transfer", "failure"): lambda it: it.submit(items=0),
    ("transfer.submit_delete", "default"): lambda it: it.delete(),
    ("transfer.task_list", "default"): lambda it: it.task_list(),
    ("transfer.cancel_task", "default"): lambda it: it.task("/cancel", "POST"),
    ("transfer.get_endpoint", "default"): lambda it: it.ask("GET", f"v0.10/endpoint/{MAPPED}"),
    ("transfer.operation_mkdir", "default"): lambda it: it.mkdir(),
    ("transfer.operation_rename", "default"): lambda it: it.rename(),
    ("transfer.operation_stat", "default"): lambda it: it.operation("GET", "stat", params={"path": "/shared"}),
    ("transfer.operation_stat", "not_found"): lambda it: it.operation("GET", "stat", params={"path": "/none"}),
    ("transfer.operation_stat", "permission_denied"): lambda it: it.denied(),
    ("auth.oauth2_client_credentials_tokens", "default"): lambda it: it.credentials(TRANSFER_ALL),
    ("auth.oauth2_client_credentials_tokens", "openid"): lambda it: it.credentials("openid"),
    ("auth.oauth2_exchange_code_for_tokens", "default"): lambda it: it.exchange(TRANSFER_ALL),
    ("auth.oauth2_exchange_code_for_tokens", "openid"): lambda it: it.exchange("openid"),
    ("auth.oauth2_exchange_code_for_tokens", "invalid_grant"): lambda it: it.exchange("openid", code="old"),
    ("auth.oauth2_get_dependent_tokens", "groups"): lambda it: it.dependent(),
    ("auth.oauth2_get_dependent_tokens", "groups_with_refresh_token"): lambda it: it.dependent(access_type="offline"),
    ("auth.oauth2_revoke_token", "default"): lambda it: it.form("v2/oauth2/token/revoke", token=it.bearer()),
    ("auth.oauth2_token_introspect", "default"): lambda it: it.form("v2/oauth2/token/introspect", token=it.bearer()),
    ("auth.userinfo", "unauthorized"): lambda it: it.ask("GET", "v2/oauth2/userinfo", None),
    ("auth.userinfo", "forbidden"): lambda it: it.ask("GET", "v2/oauth2/userinfo", TRANSFER_ALL),
    ("auth.get_consents", "default"): lambda it: (
        it.bearer(DATA_ACCESS),
        it.ask("GET", f"v2/api/identities/{RESEARCHER.id}/consents", AUTH_SCOPES),
    )[1],
    ("auth.get_identities", "default"): lambda it: it.identities(ids=RESEARCHER.id),
    ("auth.get_identities", "empty"): lambda it: it.identities(usernames="nobody@example.org"),
    ("auth.get_identities", "multiple"): lambda it: it.identities(ids=f"{RESEARCHER.id},{CLIENT}"),
    ("auth.get_identities", "globusid"): lambda it: it.identities(usernames=RESEARCHER.username),
    ("auth.get_identities", "sirosen"): lambda it: it.identities(usernames=RESEARCHER.username),
    ("auth.get_identities", "unauthorized"): lambda it: it.ask("GET", "v2/api/identities", None),
    ("auth.create_native_app_instance", "default"): lambda it: it.ask(
        "POST", "v2/api/clients", None, json={"client": {"template_id": str(uuid.uuid4()), "name": "CLI"}}
    ),
    ("auth.create_client", "public_client"): lambda it: it.create_client(public_client=True),
    ("auth.create_client", "private_client"): lambda it: it.create_client(public_client=False),
    ("auth.get_client", "default"): lambda it: it.with_client("GET"),
    ("auth.delete_client", "default"): lambda it: it.with_client("DELETE"),
    ("timer.create_timer", "default"): lambda it: it.timer(TRANSFER_TIMER),
    ("timer.create_timer", "flow_timer_success"): lambda it: it.timer(FLOW_TIMER),
    ("timer.create_job", "default"): lambda it: it.create_job(),
    ("timer.create_job", "validation_error"): lambda it: it.ask("POST", "jobs/", TIMER, json={"callback_body": {}}),
    ("timer.list_jobs", "default"): lambda it: (it.job("", "GET"), it.ask("GET", "jobs/", TIMER))[1],
    ("timer.get_job", "default"): lambda it: it.job("", "GET"),
    ("timer.get_job", "inactive_user"): lambda it: it.job("", "GET", first="pause"),
    ("timer.get_job", "inactive_gare"): lambda it: it.inactive(),
    ("timer.get_job", "simple_500_error"): lambda it: it.ask("GET", f"jobs/{uuid.uuid4()}", TIMER),
    ("timer.update_job", "default"): lambda it: it.job("", "PATCH", json={"name": "updated name"}),
    ("timer.delete_job", "default"): lambda it: it.job("", "DELETE"),
    ("timer.pause_job", "default"): lambda it: it.job("/pause", "POST"),
    ("timer.resume_job", "default"): lambda it: it.job("/resume", "POST"),
}
BUILT_ELSEWHERE = {
    "auth.create_client": "the other cases differ in the request only",
    "auth.create_native_app_instance": "the other cases differ in the request only",
    "auth.get_client": "a client by its domain name is not built",
}


@pytest.mark.parametrize(("call", "case"), sorted(CALLS), ids=lambda part: str(part))
def test_a_reply_has_the_keys_and_types_of_the_recording(
    call: str, case: str, globus: Emulator, bearer: Callable[..., str]
) -> None:
    recorded = get_response_set(call).lookup(case)
    assert isinstance(recorded, RegisteredResponse)
    # This recording wraps the whole body in "client" once more than the command line can read.
    document: Any = recorded.json
    if call == "auth.create_native_app_instance":
        document = document["client"]
    # This one is of a timer that has run, as no new one has.
    if call == "timer.create_job" and case == "default":
        document = {**document, "last_ran_at": None}

    reply = CALLS[call, case](Caller(globus, bearer))

    assert reply.headers["Content-Type"] == "application/json"
    assert (reply.status_code >= 400) == (recorded.status >= 400)
    # The emulator does not fail by itself; where a 500 is recorded, another error lends its shape.
    assert not 400 <= recorded.status < 500 or reply.status_code == recorded.status
    assert differences(document, reply.json()) == []


@pytest.mark.parametrize("call", sorted({call for call, _ in CALLS}))
def test_every_recorded_case_of_a_built_call_is_compared(call: str) -> None:
    left_out = set(get_response_set(call).cases()) - {case for known, case in CALLS if known == call}

    if left_out and call in BUILT_ELSEWHERE:
        pytest.skip(f"{', '.join(sorted(left_out))}: {BUILT_ELSEWHERE[call]}")
    assert left_out == set()


def differences(recorded: Any, given: Any, where: str = "") -> list[str]:
    """What the given document lacks of the recorded one. A null in the recording may be anything."""
    if recorded is None:
        return []
    if isinstance(recorded, dict) and isinstance(given, dict):
        missing = [f"{where}.{key} is missing" for key in recorded if key not in given]
        shared = [key for key in recorded if key in given]
        return missing + [line for key in shared for line in differences(recorded[key], given[key], f"{where}.{key}")]
    if isinstance(recorded, list) and isinstance(given, list):
        return differences(recorded[0], given[0], f"{where}[0]") if recorded and given else []
    if type(recorded) is not type(given):
        return [f"{where} is {given!r}, recorded as {recorded!r}"]
    return []
