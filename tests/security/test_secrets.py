"""Secrets stay in tokens.db and in their own file, however loud a script is asked to be, whatever fails."""

from __future__ import annotations

from pathlib import Path

import pytest
import secrets_kept
from suite import SECRET, Route
from terminal import on_a_terminal

from emulator.http.server import Emulator

LOUD = {"LOG_LEVEL": "DEBUG"}


def test_the_watch_sees_secrets_in_what_is_printed_and_in_files(route: Route, globus: Emulator, tmp_path: Path) -> None:
    """What `no_secret_is_written` looks for after every test: it would fail this one if it were not cleared away."""
    route.write("a")
    route.deliver()
    token = next(iter(globus.world.auth.tokens))
    other = "Ag" + "x" * 40  # as an emulator in another process would make it
    log = route.code_path / "log"
    log.write_text(f"INFO Authorization: Bearer {token}\n")
    (tmp_path / "datastore").write_bytes(b"\0\xff" + SECRET.encode() + b"\0")

    told = secrets_kept.leaks([f"{other} was refused", "all is well"], [tmp_path])

    assert [words.split(":")[0] for words in told] == ["printed", "written", "written"]
    assert not any(secret in "\n".join(told) for secret in (token, other, SECRET))
    said = route.run("main.py", "-v").stdout
    assert said in secrets_kept.outputs
    assert secrets_kept.leaks(secrets_kept.outputs, []) == []
    log.unlink()
    (tmp_path / "datastore").unlink()


@pytest.mark.parametrize("is_service_account", [True, False], ids=["secret", "login"])
def test_no_secret_is_written_when_all_goes_wrong_loudly(
    route: Route, globus: Emulator, is_service_account: bool
) -> None:
    route.configure(**LOUD)
    if not is_service_account:
        route.configure(CLIENT_SECRET_FILE="")
        on_a_terminal(route, "test_config.py")
        assert (route.code_path / "tokens.db").exists()
    route.write("a")
    world = globus.world
    route.run("main.py", "-v", "--wait", "60")
    before = len(secrets_kept.secrets)
    for trouble in (
        lambda: world.change_auth(expire_access_tokens=True),
        lambda: world.add_fault("POST /v2/oauth2/token", status=400, text="<html>no</html>"),
        lambda: world.add_fault("GET /v0.10/endpoint/*", status=401, json={"code": "AuthenticationFailed"}),
        lambda: world.change_auth(revoke="refresh_tokens"),
        lambda: world.change_auth(revoke="access_tokens"),
    ):
        trouble()
        route.write("a", "again")
        route.run("main.py", "-v", status=None)
        world.clear_faults()
    route.run("test_config.py", "--no-login", status=None)
    route.run("timer.py", "job", "list", "-v", status=None)
    assert secrets_kept.leaks([globus.url], []), "the emulator's address is one of them"
    for left_over in ("AUTH", "TRANSFER"):
        variable = f"GLOBUS_SDK_SERVICE_URL_{left_over}"
        route.environment = {variable: globus.url}
        for words in (["main.py", "-v"], ["set_time.py", "now"], ["test_config.py"], ["status.py"]):
            route.run(*words, status=None)
    assert f"{variable} is {globus.url[:17]}" in "".join(secrets_kept.outputs)

    assert len(secrets_kept.secrets) > before
    assert SECRET in secrets_kept.secrets
    assert secrets_kept.leaks(secrets_kept.outputs, [route.folder]) == []


def test_a_bug_shows_no_secret_in_its_traceback(route: Route) -> None:
    route.write("a")
    (route.folder / "sitecustomize.py").write_text(
        "import globus_sdk\n"
        "def broken(self, *arguments, **options):\n"
        "    header = self._app.get_authorizer(self.resource_server).get_authorization_header()\n"
        "    raise RuntimeError('a bug beside a header of %d characters' % len(header))\n"
        "globus_sdk.TransferClient.get_submission_id = broken\n"
    )
    route.environment["PYTHONPATH"] = str(route.folder)

    result = route.run("main.py", "-v", status=1, says="This is a bug: RuntimeError: a bug beside a header of")

    assert "header of 49 characters" in result.stderr  # "Bearer " and a token
    assert "Traceback" in (route.code_path / "log").read_text()
    assert secrets_kept.leaks(secrets_kept.outputs, [route.folder]) == []
