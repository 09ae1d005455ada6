"""Login and tokens, through the SDK's own applications."""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import globus_sdk
import pytest
import requests
from globus_sdk.gare import GlobusAuthorizationParameters
from globus_sdk.login_flows import LoginFlowManager

from emulator.auth.scopes import AUTH, TRANSFER, TRANSFER_ALL, Scope, ScopeError, parse_scopes
from emulator.auth.state import RESEARCHER
from emulator.http.server import Emulator

SOURCE = "5a0c9d5e-0000-4000-8000-000000000001"
MAPPED = "5a0c9d5e-0000-4000-8000-000000000003"
CLIENT = "5a0c9d5e-0000-4000-8000-00000000000c"
OPENID = "openid profile email"


class Browser(LoginFlowManager):
    """Does what a person does: opens the page and copies the code."""

    @classmethod
    def for_globus_app(cls, app_name: str, login_client: Any, config: Any) -> Browser:
        return cls(login_client, request_refresh_tokens=config.request_refresh_tokens)

    def run_login_flow(self, auth_parameters: GlobusAuthorizationParameters) -> Any:
        url = self._get_authorize_url(auth_parameters, self.login_client.base_url + "v2/web/auth-code")
        return self.login_client.oauth2_exchange_code_for_tokens(code_on_page(url))


def code_on_page(url: str, method: str = "GET") -> str:
    """The code that the page behind a login address shows."""
    page = requests.request(method, url, timeout=60)
    assert page.headers["Content-Type"].startswith("text/html")
    shown = re.search(r'<code id="auth-code">([^<]+)</code>', page.text)
    assert page.status_code == 200 and shown, page.text
    return shown.group(1)


@pytest.fixture
def app(globus: Emulator) -> Iterator[globus_sdk.UserApp]:
    """An application of a person, not signed in yet."""
    config = globus_sdk.GlobusAppConfig(
        request_refresh_tokens=True,
        token_validation_error_handler=None,
        token_storage="memory",
        login_flow_manager=Browser,
    )
    with globus_sdk.UserApp("tests", client_id=CLIENT, config=config) as app:
        yield app


@pytest.fixture
def user(app: globus_sdk.UserApp) -> Iterator[globus_sdk.TransferClient]:
    """The Transfer client of that application."""
    with globus_sdk.TransferClient(app=app) as client:
        client.retry_config.max_retries = 1  # the SDK counts the call after a refresh as one
        yield client


def test_a_person_signs_in_and_calls(app: globus_sdk.UserApp, user: globus_sdk.TransferClient) -> None:
    assert app.login_required()

    app.login()

    assert not app.login_required()
    assert uuid.UUID(user.get_submission_id()["value"])
    stored = app.token_storage.get_token_data(TRANSFER)
    assert stored is not None
    assert stored.identity_id == RESEARCHER.id


def test_an_expired_access_token_is_refreshed(
    globus: Emulator, app: globus_sdk.UserApp, user: globus_sdk.TransferClient
) -> None:
    app.login()
    globus.world.requests.clear()

    globus.world.advance_clock(172_801)
    user.get_submission_id()
    globus.world.change_auth(expire_access_tokens=True)
    user.get_submission_id()

    asked = [(entry.path.rpartition("/")[2], entry.status) for entry in globus.world.requests]
    assert asked == [("submission_id", 401), ("token", 200), ("submission_id", 200)] * 2


@pytest.mark.parametrize("revoke", ["refresh_tokens", "consents"])
def test_a_revoked_login_ends_in_invalid_grant(
    globus: Emulator, app: globus_sdk.UserApp, user: globus_sdk.TransferClient, revoke: str
) -> None:
    app.login()
    globus.world.change_auth(revoke=revoke, expire_access_tokens=True)

    with pytest.raises(globus_sdk.AuthAPIError) as caught:
        user.get_submission_id()

    assert caught.value.http_status == 400
    assert caught.value.raw_json == {"error": "invalid_grant"}


def test_a_refresh_token_dies_when_unused_for_half_a_year(
    globus: Emulator, app: globus_sdk.UserApp, user: globus_sdk.TransferClient
) -> None:
    app.login()
    for _ in range(3):
        globus.world.advance_clock(170 * 86_400)
        user.get_submission_id()
    globus.world.advance_clock(181 * 86_400)

    with pytest.raises(globus_sdk.AuthAPIError):
        user.get_submission_id()


def test_logging_out_revokes_the_tokens(globus: Emulator, app: globus_sdk.UserApp) -> None:
    app.login()
    tokens = list(globus.world.auth.tokens)

    app.logout()

    assert app.login_required()
    assert [globus.world.auth.active_token(token) for token in tokens] == [None] * len(tokens)


def test_a_data_access_consent_opens_a_mapped_collection(
    app: globus_sdk.UserApp, user: globus_sdk.TransferClient
) -> None:
    app.login()
    with pytest.raises(globus_sdk.TransferAPIError) as caught:
        user.operation_ls(MAPPED, path="/")
    assert caught.value.info.consent_required

    user.add_app_data_access_scope(MAPPED)
    assert app.login_required()
    app.login()

    assert not app.login_required()
    assert user.operation_ls(MAPPED, path="/")["path"] == "/"


def test_data_access_to_another_kind_of_collection_is_an_unknown_scope(globus: Emulator) -> None:
    scope = f"{TRANSFER_ALL}[*https://auth.globus.org/scopes/{SOURCE}/data_access]"
    redirect_uri = globus.url + "v2/web/auth-code"
    page = requests.get(
        globus.url + "v2/oauth2/authorize",
        params={"client_id": CLIENT, "redirect_uri": redirect_uri, "scope": scope, "response_type": "code"},
        timeout=60,
    )

    assert page.status_code == 400
    assert "Unknown Scope" in page.text
    form = {"grant_type": "client_credentials", "scope": scope}
    refused = requests.post(globus.url + "v2/oauth2/token", data=form, auth=(CLIENT, "s"), timeout=60)
    assert (refused.status_code, "Unknown Scope" in refused.text) == (400, True)


def test_a_login_cures_an_expired_session(
    globus: Emulator, app: globus_sdk.UserApp, user: globus_sdk.TransferClient
) -> None:
    app.login()
    globus.world.change_auth(session_expired=[SOURCE])
    with pytest.raises(globus_sdk.TransferAPIError) as caught:
        user.operation_ls(SOURCE)
    gare = globus_sdk.gare.to_gare(caught.value)
    assert gare is not None

    app.login(auth_params=gare.authorization_parameters)

    user.operation_ls(SOURCE)


def test_a_code_is_good_once_for_its_own_client_challenge_and_address(globus: Emulator) -> None:
    def flow(client_id: str) -> globus_sdk.NativeAppAuthClient:
        client = globus_sdk.NativeAppAuthClient(client_id)
        client.oauth2_start_flow(requested_scopes=OPENID)
        return client

    def exchange(client: globus_sdk.NativeAppAuthClient, code: str) -> int:
        try:
            return client.oauth2_exchange_code_for_tokens(code).http_status
        except globus_sdk.AuthAPIError as error:
            assert error.raw_json == {"error": "invalid_grant"}
            return error.http_status

    with flow(CLIENT) as mine, flow(CLIENT) as other_challenge, flow(str(uuid.uuid4())) as other_client:
        code = code_on_page(mine.oauth2_get_authorize_url())
        assert [exchange(mine, code), exchange(mine, code)] == [200, 401]
        for other in (other_challenge, other_client):
            code = code_on_page(mine.oauth2_get_authorize_url())
            assert exchange(other, code) == 401
        code = code_on_page(mine.oauth2_get_authorize_url())
        globus.world.advance_clock(3600)
        assert exchange(mine, code) == 401


def test_another_address_is_redirected_to_with_code_and_state(globus: Emulator) -> None:
    def visit() -> str:
        reply = requests.get(
            globus.url + "v2/oauth2/authorize",
            params={
                "client_id": CLIENT,
                "redirect_uri": "http://localhost:8123/back",
                "scope": OPENID,
                "response_type": "code",
                "state": "xyz",
            },
            allow_redirects=False,
            timeout=60,
        )
        assert reply.status_code == 302
        return reply.headers["Location"]

    assert re.fullmatch(r"http://localhost:8123/back\?code=[\w-]+&state=xyz", visit())
    globus.world.change_auth(consents_refused=True)
    assert visit().startswith("http://localhost:8123/back?error=access_denied&")


def test_the_login_page_can_wait_for_a_person(globus: Emulator) -> None:
    globus.world.change_auth(require_login=True)
    with globus_sdk.NativeAppAuthClient(CLIENT) as client:
        client.oauth2_start_flow(requested_scopes=OPENID)
        url = client.oauth2_get_authorize_url()

        assert "Sign in as researcher@example.org" in requests.get(url, timeout=60).text
        assert client.oauth2_exchange_code_for_tokens(code_on_page(url, "POST")).by_resource_server[AUTH]


def test_a_service_signs_in_with_its_own_credentials(globus: Emulator) -> None:
    config = globus_sdk.GlobusAppConfig(token_storage="memory")
    service = globus_sdk.ClientApp("service", client_id=CLIENT, client_secret="any", config=config)
    with service as app, globus_sdk.TransferClient(app=app) as client:
        client.add_app_data_access_scope(MAPPED)
        assert not app.login_required()
        client.operation_ls(MAPPED, path="/")
        globus.world.change_auth(expire_access_tokens=True)
        client.get_submission_id()
        stored = app.token_storage.get_token_data(TRANSFER)
    assert stored is not None


def test_a_token_for_another_service_is_not_accepted(bearer: Callable[..., str]) -> None:
    authorizer = globus_sdk.AccessTokenAuthorizer(bearer(OPENID))
    with (
        globus_sdk.TransferClient(authorizer=authorizer) as client,
        pytest.raises(globus_sdk.TransferAPIError) as caught,
    ):
        client.get_submission_id()

    assert (caught.value.http_status, caught.value.code) == (401, "ClientError.AuthenticationFailed")


def test_the_id_token_says_who_it_is_and_can_be_verified(globus: Emulator) -> None:
    with globus_sdk.NativeAppAuthClient(CLIENT) as client:
        client.oauth2_start_flow(requested_scopes=OPENID)
        tokens = client.oauth2_exchange_code_for_tokens(code_on_page(client.oauth2_get_authorize_url()))
        claims = tokens.decode_id_token()
        token = tokens["access_token"]

        assert client.get_openid_configuration()["id_token_signing_alg_values_supported"] == ["RS512"]
        assert (claims["sub"], claims["preferred_username"]) == (RESEARCHER.id, RESEARCHER.username)
    with globus_sdk.AuthClient(authorizer=globus_sdk.AccessTokenAuthorizer(token)) as auth:
        person = auth.userinfo()
        assert person["preferred_username"] == RESEARCHER.username
        assert person["identity_set"][0]["sub"] == RESEARCHER.id


def test_a_registered_client_needs_its_secret_and_can_be_deleted(globus: Emulator) -> None:
    made = requests.post(
        globus.url + "v2/api/clients", json={"client": {"template_id": str(uuid.uuid4()), "name": "CLI"}}, timeout=60
    )
    client_id = made.json()["client"]["id"]
    secret = made.json()["included"]["client_credential"]["secret"]

    def grant(with_secret: str) -> int:
        form = {"grant_type": "client_credentials", "scope": TRANSFER_ALL}
        return requests.post(
            globus.url + "v2/oauth2/token", data=form, auth=(client_id, with_secret), timeout=60
        ).status_code

    assert (made.status_code, grant(secret), grant("wrong")) == (201, 200, 401)
    gone = requests.delete(globus.url + f"v2/api/clients/{client_id}", auth=(client_id, secret), timeout=60)
    assert (gone.status_code, grant(secret)) == (200, 401)


def test_validate_and_introspect_know_which_tokens_live(globus: Emulator, bearer: Callable[..., str]) -> None:
    token = bearer()

    def ask(what: str) -> Any:
        return requests.post(
            globus.url + f"v2/oauth2/token/{what}", data={"token": token}, auth=(CLIENT, "s"), timeout=60
        ).json()

    assert ask("validate") == {"active": True}
    assert ask("introspect")["sub"] == RESEARCHER.id
    assert ask("revoke") == {"active": False}
    assert ask("validate") == ask("introspect") == {"active": False}


def test_scopes_are_parsed_with_what_they_depend_on() -> None:
    assert parse_scopes("a b[c *d[e]] a[f]") == [
        Scope("a", False, (Scope("f"),)),
        Scope("b", False, (Scope("c"), Scope("d", True, (Scope("e"),)))),
    ]
    for text in ("a[", "a]", "[a]", "a[]", "a *", "**a", "a[b *]"):
        with pytest.raises(ScopeError):
            parse_scopes(text)
