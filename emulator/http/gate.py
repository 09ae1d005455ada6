"""Who is let in: whoever knows the secret of this run, on this machine, and no page of another site in a browser."""

from __future__ import annotations

import hmac
import json
import re
from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

_OWN_NAMES = ("127.0.0.1", "localhost", "[::1]")
_FORM, _JSON = "application/x-www-form-urlencoded", "application/json"
_FORMS_BELOW = "/v2/oauth2/"


class Gate:
    """A WSGI application around another one, which sees neither the secret nor a request that is refused here.

    Args:
        secret: The first part of every path.
    """

    def __init__(self, app: WSGIApplication, secret: str) -> None:
        self._app = app
        self._prefix = f"/{secret}"

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        path = re.sub("//+", "/", environ.get("PATH_INFO", "/"))
        prefix, rest = path[: len(self._prefix)], path[len(self._prefix) :]
        is_known = hmac.compare_digest(prefix.encode("utf-8", "replace"), self._prefix.encode())
        if not is_known or not rest.startswith("/"):
            return _refuse(start_response, "403 Forbidden", "The address of this emulator has a path, as it printed it")
        if why := _foreign(environ):
            return _refuse(start_response, "403 Forbidden", why)
        if why := _unfit(environ, rest):
            return _refuse(start_response, "415 Unsupported Media Type", why)
        environ["SCRIPT_NAME"], environ["PATH_INFO"] = self._prefix, rest
        return self._app(environ, start_response)


def _foreign(environ: WSGIEnvironment) -> str:
    """Why a request comes from elsewhere: by a name that was made to lead here, or from another site's page."""
    host, origin = environ.get("HTTP_HOST", ""), environ.get("HTTP_ORIGIN")
    if host.lower().removesuffix(f":{environ['SERVER_PORT']}") not in _OWN_NAMES:
        return "This emulator has no such name"
    return "" if origin in (None, f"http://{host}") else "This emulator serves no page of another origin"


def _unfit(environ: WSGIEnvironment, path: str) -> str:
    """Why a body is refused: any page can have a browser send forms and text. Only logins are forms, as documented."""
    if not environ.get("wsgi.input_terminated") and environ.get("CONTENT_LENGTH") in (None, "", "0"):
        return ""
    kind = environ.get("CONTENT_TYPE", "").partition(";")[0].strip().lower()
    wanted = _FORM if path.startswith(_FORMS_BELOW) else _JSON
    return "" if kind == wanted else f"The body must be {wanted}"


def _refuse(start_response: StartResponse, status: str, why: str) -> Iterable[bytes]:
    body = json.dumps({"code": "Refused", "message": why, "request_id": "emulator0"}).encode()
    # The body of the request was not read, so nothing more can be read from this connection.
    close = ("Connection", "close")
    start_response(status, [("Content-Type", _JSON), ("Content-Length", str(len(body))), close])
    return [body]
