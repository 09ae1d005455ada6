"""The middleware around every request: cleans up its path, logs it, applies faults, and locks the world for it."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from emulator.clock import iso
from emulator.faults import Fault, LoggedRequest

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

    from emulator.world import World

CONTROL_PREFIX = "/_emulator"


class Answer:
    """A whole response, kept until it is decided what becomes of it."""

    def __init__(self, status: str, headers: list[tuple[str, str]], body: bytes) -> None:
        self.status = status
        self.headers = headers
        self.body = body


class Middleware:
    """A WSGI application around another one. Requests to the private prefix are neither logged nor struck by faults."""

    def __init__(self, app: WSGIApplication, world: World) -> None:
        self._app = app
        self._world = world

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        path = re.sub("//+", "/", environ.get("PATH_INFO", "/"))
        environ["PATH_INFO"] = path
        method = environ["REQUEST_METHOD"]
        _read_body(environ)
        if path == CONTROL_PREFIX or path.startswith(CONTROL_PREFIX + "/"):
            return _send(self._ask(environ), start_response)
        with self._world.lock:
            fault = self._world.fault_rules.take(method, path)
        try:
            answer = self._answer(environ, fault)
        except ConnectionResetError:
            self._log(environ, None)
            raise
        self._log(environ, int(answer.status.split()[0]))
        if fault is not None and fault.reset == "after":
            _drop(environ)
        if fault is not None and fault.truncate:
            return _send_half(answer, start_response, environ)
        return _send(answer, start_response)

    def _answer(self, environ: WSGIEnvironment, fault: Fault | None) -> Answer:
        if fault is None:
            return self._ask(environ)
        fault.wait()
        if fault.reset == "before":
            _drop(environ)
        if fault.status is not None:
            return _made_up(fault, fault.status)
        return self._ask(environ)

    def _ask(self, environ: WSGIEnvironment) -> Answer:
        kept: list[tuple[str, list[tuple[str, str]]]] = []

        def keep(status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> Any:
            kept.append((status, headers))

        with self._world.lock:
            self._world.advance()
            chunks = self._app(environ, keep)
            try:
                body = b"".join(chunks)
            finally:
                close = getattr(chunks, "close", None)
                if close is not None:
                    close()
        status, headers = kept[-1]
        return Answer(status, headers, body)

    def _log(self, environ: WSGIEnvironment, status: int | None) -> None:
        with self._world.lock:
            at = iso(self._world.clock.now()) or ""
            method, path, query = environ["REQUEST_METHOD"], environ["PATH_INFO"], environ.get("QUERY_STRING", "")
            self._world.requests.append(LoggedRequest(method, path, query, status, at))


def _read_body(environ: WSGIEnvironment) -> None:
    """Read the body before the world is locked, so that a slow client blocks no other."""
    if environ.get("wsgi.input_terminated"):
        body = environ["wsgi.input"].read()  # chunked
    else:
        length = int(environ.get("CONTENT_LENGTH") or 0)
        body = environ["wsgi.input"].read(length) if length else b""
    environ["wsgi.input"] = io.BytesIO(body)


def _made_up(fault: Fault, status: int) -> Answer:
    content_type = fault.content_type
    if fault.text is not None:
        body = fault.text.encode()
        content_type = content_type or "text/html"
    else:
        document = fault.json
        if document is None:
            document = {"code": "ServiceUnavailable", "message": "Fault on demand", "request_id": "emulator0"}
        body = json.dumps(document).encode()
        content_type = content_type or "application/json"
    headers = [("Content-Type", content_type), ("Content-Length", str(len(body)))]
    headers.extend((fault.headers or {}).items())
    return Answer(f"{status} Fault on demand", headers, body)


def _drop(environ: WSGIEnvironment) -> None:
    """Cut the connection; the client sees it closed without an answer."""
    environ["werkzeug.socket"].shutdown(2)
    raise ConnectionResetError("dropped on demand")


def _send(answer: Answer, start_response: StartResponse) -> Iterable[bytes]:
    start_response(answer.status, answer.headers)
    return [answer.body]


def _send_half(answer: Answer, start_response: StartResponse, environ: WSGIEnvironment) -> Iterable[bytes]:
    start_response(answer.status, answer.headers)
    yield answer.body[: len(answer.body) // 2]
    _drop(environ)
