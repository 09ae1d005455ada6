"""The Globus app: a person's login kept fresh by refresh tokens, or a service account's client credentials."""

from __future__ import annotations

import os
from email.utils import parsedate_to_datetime
from typing import Any, Callable

import globus_sdk
from globus_sdk.gare import GlobusAuthorizationParameters, to_gare
from globus_sdk.globus_app import GlobusApp
from globus_sdk.login_flows import LoginFlowManager
from globus_sdk.token_storage import SQLiteTokenStorage
from globus_sdk.transport import RetryCheckResult, RetryContext

from autotransfer.common.errors import ConfigurationProblem, GlobusProblem, Problem, SignInNeeded
from autotransfer.common.files import explained_as
from autotransfer.common.service import AUTH, TIMER, TRANSFER
from autotransfer.common.settings import Settings
from autotransfer.globus.answers import IDENTITY, document_in
from autotransfer.globus.failures import NEXT_RUN, explained
from autotransfer.globus.redirects import follow_none
from autotransfer.globus.service_urls import refuse_mixed_services, refuse_unsafe_urls
from autotransfer.globus.token_storage import InMemory, in_file

APP_NAME = "Globus Automated Transfer"
TOKEN_FILE = "tokens.db"  # noqa: S105 - a file name
SECRET_VARIABLE = "GLOBUS_CLIENT_SECRET"  # noqa: S105 - a variable's name

# The next run tries again anyway, so a run gives up after 4 attempts, not after the SDK's 6.
MAX_RETRIES = 3
SDK_VERSION = globus_sdk.__version__

# Shows the link to a person, and returns the code that they enter.
AskForCode = Callable[[str], str]


class Login:
    """An open login. Use it in a `with` block.

    Args:
        settings: Whose CLIENT_ID, secret and CODE_PATH are used.
        ask: Asks a person to sign in; None: there is nobody to ask.
        wants_timers: Whether the login must reach the Timers service, and let it start transfers by itself.
        sign_in_command: The command that messages name for signing in.
        again: A sentence on who repeats a failed request, and when.

    Raises:
        ConfigurationProblem: The secret or the token file cannot be used, or a service URL is not safe.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        ask: AskForCode | None = None,
        wants_timers: bool = False,
        sign_in_command: str = "test_config.py",
        again: str = NEXT_RUN,
    ) -> None:
        follow_none()
        refuse_unsafe_urls(os.environ)
        refuse_mixed_services(os.environ, (AUTH, TRANSFER, TIMER) if wants_timers else (AUTH, TRANSFER))
        self._secret = client_secret(settings)
        self._storage = InMemory() if self._secret else in_file(settings.state_file(TOKEN_FILE))
        self._sign_in_command = sign_in_command
        self._again = again
        self._native: _NativeClient | None = None
        self._app = self._open_app(settings, ask)
        self._timers = globus_sdk.TimersClient(app=self._app) if wants_timers else None
        if self._timers is not None:
            _be_patient(self._timers)
            if ask is not None:  # what a person is asked to agree to; afterwards the service checks it
                scope = globus_sdk.scopes.TimersScopes.timer.with_dependency(globus_sdk.scopes.TransferScopes.all)
                self._timers.add_app_scope(scope)
        self.transfer = globus_sdk.TransferClient(app=self._app)
        if not self.is_service_account:  # so that test_config.py can say who is signed in
            self._app.add_scope_requirements({"auth.globus.org": ["openid", "profile", "email"]})
        _be_patient(self.transfer)

    @property
    def is_service_account(self) -> bool:
        """Whether client credentials are used, so that no person has to sign in."""
        return self._secret is not None

    @property
    def timers(self) -> globus_sdk.TimersClient:
        """The client of the Timers service; there is one only if wants_timers was set."""
        assert self._timers is not None
        return self._timers

    def __enter__(self) -> Login:
        return self

    def __exit__(self, *exception: object) -> None:
        self.transfer.close()
        if self._timers is not None:
            self._timers.close()
        self._app.close()
        if self._native is not None:  # the app closes only what it opened itself
            self._native.close()
        if isinstance(self._storage, SQLiteTokenStorage):
            self._storage.close()

    def want_data_access(self, collection_ids: list[str]) -> None:
        """Require the data_access consent for these mapped collections in this process's logins from now on.

        A service account grants it to itself at once.

        Raises:
            ConfigurationProblem, GlobusProblem: A service account's grant was refused.
        """
        if not collection_ids:
            return
        self.transfer.add_app_data_access_scope(collection_ids)
        if self._timers is not None:  # a timer acts by itself, so the consent belongs in its own chain
            self._timers.add_app_transfer_data_access_scope(collection_ids)
        if self.is_service_account:
            doing = "grant the service account the collection's consent"
            with explained(doing, effect="Nothing was sent or recorded.", again=self._again):
                self._app.login(force=True)

    def is_needed(self) -> bool:
        """Whether a person must sign in. A local check, unless consents are required.

        Raises:
            GlobusProblem, SignInNeeded: The check itself was refused.
        """
        with explained("report which consents were given", again=self._again):
            return self._app.login_required()

    def must_hold(self) -> None:
        """Make sure that nobody has to sign in first.

        Raises:
            SignInNeeded: They must.
        """
        if not self.is_service_account and self.is_needed():
            raise SignInNeeded(
                "Not signed in to Globus with all the consents that this needs",
                remedy=f"Run {self._sign_in_command} in a terminal once; it then continues by itself. Nothing was sent "
                "or recorded.",
            )

    def sign_in(self, *, refused: Problem | None = None, demand: dict[str, Any] | None = None) -> None:
        """Have a person sign in for all required scopes at once, and store the tokens.

        Args:
            refused: What Globus refused before, if anything. It names what to ask for.
            demand: The same, as it stands in a timer's document.

        Raises:
            SignInNeeded, GlobusProblem: The sign-in failed.
        """
        cause = refused.__cause__ if refused else None
        named = demand or (cause if isinstance(cause, globus_sdk.GlobusAPIError) else None)
        with explained("sign you in", effect="Nothing was changed.", again=self._again):
            found = to_gare(named) if named else None
            self._app.login(auth_params=found.authorization_parameters if found else None, force=True)

    def prove(self) -> None:
        """Make sure that Globus accepts the login now.

        A person's access token is dropped first: the refresh token, which cron's runs depend on, must yield a new one.

        Raises:
            SignInNeeded, ConfigurationProblem, GlobusProblem: Globus did not accept it.
        """
        with explained("accept the login", effect="Nothing was changed.", again=self._again):
            if not self.is_service_account:
                servers = [self.transfer.resource_server]
                if self._timers is not None:
                    servers.append(self._timers.resource_server)
                for server in servers:
                    self._app.get_authorizer(server).handle_missing_authorization()
            self.transfer.get_submission_id()

    def identity(self) -> str:
        """The user name of the signed-in identity, such as researcher@example.org."""
        return self.who()["preferred_username"]

    def who(self) -> dict[str, str]:
        """The name, email, preferred_username and organization of the signed-in identity; "" where Globus has none."""
        if self.is_service_account:
            user_name = f"{self._app.client_id}@clients.auth.globus.org"
            return {"name": APP_NAME, "email": "", "preferred_username": user_name, "organization": ""}
        client = globus_sdk.AuthClient(app=self._app)
        with explained("report who is signed in", again=self._again):
            try:
                found = document_in(client.userinfo(), IDENTITY)
            finally:
                client.close()
            identities = filter(None, found.get("identity_set") or ())
            own: dict[str, object] = next((one for one in identities if one.get("sub") == found["sub"]), {})
            organization = found.get("organization") or own.get("organization")
            fields = {name: found.get(name) for name in ("name", "email", "preferred_username")}
            return {name: str(value or "") for name, value in {**fields, "organization": organization}.items()}

    def revoke(self) -> int:
        """Revoke every stored token, and make sure that Globus refuses it. Returns the number of refresh tokens.

        Raises:
            SignInNeeded: Nothing is stored.
            GlobusProblem: Globus could not be reached, or still accepts one.
        """
        stored = self._storage.get_token_data_by_resource_server().values()
        refresh_tokens = [one.refresh_token for one in stored if one.refresh_token]
        if not refresh_tokens:
            raise SignInNeeded("No login is stored here", remedy="Nothing was revoked.")
        client = globus_sdk.NativeAppAuthClient(self._app.client_id, app_name=APP_NAME)
        client.retry_config.max_retries = MAX_RETRIES
        try:
            with explained("revoke the stored login", effect="It may still be valid."):
                for token in [*refresh_tokens, *(one.access_token for one in stored)]:
                    client.oauth2_revoke_token(token)
            for token in refresh_tokens:
                self._make_sure_refused(client, token)
        finally:
            client.close()
        return len(refresh_tokens)

    @staticmethod
    def _make_sure_refused(client: globus_sdk.NativeAppAuthClient, token: str) -> None:
        with explained("show that the stored login is revoked", effect="It may still be valid."):
            try:
                client.oauth2_refresh_token(token)
            except globus_sdk.AuthAPIError as error:
                if error.http_status in (400, 401):
                    return
                raise
        raise GlobusProblem(
            "Globus still accepts a stored refresh token", remedy="Withdraw the consent in the Globus web app."
        )

    def forget(self) -> bool:
        """Delete the stored login, without contacting Globus. Returns whether there was one.

        Raises:
            ConfigurationProblem: The file cannot be written.
        """
        with explained("delete the login"):
            stored = list(self._storage.get_token_data_by_resource_server())
            for resource_server in stored:
                self._storage.remove_token_data(resource_server)
        return bool(stored)

    def _open_app(self, settings: Settings, ask: AskForCode | None) -> GlobusApp:
        with explained("open the stored login"):
            if self._secret is not None:
                memory = globus_sdk.GlobusAppConfig(token_storage=self._storage, token_validation_error_handler=None)
                return globus_sdk.ClientApp(
                    APP_NAME, client_id=settings.client_id, client_secret=self._secret, config=memory
                )
            config = globus_sdk.GlobusAppConfig(
                request_refresh_tokens=True,
                # The default handler asks a person; under cron nobody answers.
                token_validation_error_handler=None,
                token_storage=self._storage,
                # Without a person the default is kept. Only the handler above would call it.
                login_flow_manager=None if ask is None else _flow(settings.client_id, ask),
            )
            self._native = _NativeClient(settings.client_id, app_name=APP_NAME)
            return globus_sdk.UserApp(APP_NAME, login_client=self._native, config=config)


class _NativeClient(globus_sdk.NativeAppAuthClient):
    """Keeps a refresh token where its use is answered without a new one, which is optional (RFC 6749, section 6)."""

    def oauth2_refresh_token(
        self, refresh_token: str, *, body_params: dict[str, Any] | None = None
    ) -> globus_sdk.OAuthRefreshTokenResponse:
        response = super().oauth2_refresh_token(refresh_token, body_params=body_params)
        for tokens in response.by_resource_server.values():
            tokens["refresh_token"] = tokens.get("refresh_token") or refresh_token
        return response


def _be_patient(client: globus_sdk.BaseClient) -> None:
    client.retry_config.max_retries = MAX_RETRIES
    client.retry_config.checks.register_check(_renew_late)


def _renew_late(context: RetryContext) -> RetryCheckResult:
    """Retry with a new token when Globus refuses the old one after another fault.

    The SDK does so only if the first answer is the refusal. Otherwise a person would have to sign in for no reason.
    """
    is_refused = context.response is not None and context.response.status_code == 401
    authorizer = context.caller_info.authorizer
    if is_refused and context.attempt > 0 and authorizer is not None and authorizer.handle_missing_authorization():
        return RetryCheckResult.do_retry
    return RetryCheckResult.no_decision


class _AskAPerson(LoginFlowManager):
    """The command-line login of a native app; the script asks the person."""

    def __init__(self, login_client: globus_sdk.AuthLoginClient, ask: AskForCode) -> None:
        super().__init__(login_client, request_refresh_tokens=True, native_prefill_named_grant=APP_NAME)
        self._ask = ask

    def run_login_flow(self, auth_parameters: GlobusAuthorizationParameters) -> globus_sdk.OAuthTokenResponse:
        url = self._get_authorize_url(auth_parameters, f"{self.login_client.base_url}v2/web/auth-code")
        code = self._ask(url).strip()
        try:
            return self.login_client.oauth2_exchange_code_for_tokens(code)
        except globus_sdk.AuthAPIError as error:
            if not isinstance(error.raw_json, dict) or error.raw_json.get("error") != "invalid_grant":
                raise
            raise SignInNeeded(
                "Globus did not accept the code",
                why=f"invalid_grant (HTTP {error.http_status})",
                remedy="Start again and copy the complete code. It can be used once, within a few minutes. "
                "Nothing was changed.",
            ) from error


def service_time_seconds() -> float:
    """The time at Globus Auth, in whole seconds since the epoch; needs no login.

    Raises:
        GlobusProblem: Globus did not report it.
        ConfigurationProblem: A service URL is not safe.
    """
    follow_none()
    refuse_unsafe_urls(os.environ)
    refuse_mixed_services(os.environ, (AUTH, TRANSFER))
    client = globus_sdk.AuthClient()
    client.retry_config.max_retries = MAX_RETRIES
    with explained("report the time"):
        try:
            return parsedate_to_datetime(client.get_openid_configuration().headers["Date"]).timestamp()
        finally:
            client.close()


def client_secret(settings: Settings) -> str | None:
    """The service account's secret, or None when a person signs in.

    Raises:
        ConfigurationProblem: The file cannot be read or is empty.
    """
    if not settings.client_secret_file:
        return os.environ.get(SECRET_VARIABLE) or None
    remedy = "Give this user permission to read it, or correct its path. Nothing was sent or recorded."
    what, errors = f"Cannot read CLIENT_SECRET_FILE {settings.client_secret_file}", (OSError, UnicodeDecodeError)
    refused = explained_as(ConfigurationProblem, what, remedy=remedy, errors=errors)
    with refused, open(settings.client_secret_file, encoding="utf-8") as secret_file:
        secret = secret_file.read().strip()
    if not secret:
        raise ConfigurationProblem(
            f"CLIENT_SECRET_FILE {settings.client_secret_file} is empty",
            remedy="Put the secret of CLIENT_ID into it. Nothing was sent or recorded.",
        )
    return secret


def _flow(client_id: str, ask: AskForCode) -> LoginFlowManager:
    return _AskAPerson(globus_sdk.NativeAppAuthClient(client_id, app_name=APP_NAME), ask)
