"""The emulator as an HTTP server on loopback, in a thread of its own."""

from __future__ import annotations

import logging
import os
import secrets
import socket
import threading
from collections.abc import Iterable, Mapping
from email.utils import formatdate
from types import TracebackType
from typing import TYPE_CHECKING, Any

from flask import Flask, Response, request
from werkzeug.exceptions import HTTPException
from werkzeug.serving import ThreadedWSGIServer, WSGIRequestHandler

from emulator.clock import Clock
from emulator.errors import Refusal, TransferRefusal, not_built
from emulator.world import Collection, World, make_world

from .auth_api_routes import auth_api_blueprint
from .auth_routes import auth_blueprint
from .control import control_blueprint
from .file_routes import file_blueprint
from .gate import Gate
from .middleware import Middleware
from .requests import json_response
from .timer_routes import timer_blueprint
from .transfer_routes import transfer_blueprint

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

# Never anything else. Every user of the machine reaches it there, so each run has a secret, in the path of its URLs.
HOST = "127.0.0.1"
# The SDK's variables. Whatever is asked of a service that is not imitated ends here too, never at the real one.
SERVICES = ("AUTH", "TRANSFER", "TIMER", "TIMERS", "GROUPS", "SEARCH", "FLOWS", "COMPUTE")
_LOG = logging.getLogger(__name__)

NO_PROXY = ("NO_PROXY", "no_proxy")

# Where the real services have routes: whatever is asked for below and not built here is answered 501 by name.
_IMITATED_PREFIXES = (
    *("/v0.10/", "/v2/", "/jobs", "/p/", "/.well-known/"),
    *("/v1/", "/v3/", "/flows", "/runs"),  # Search, Compute, Flows
)


def create_app(world: World) -> Flask:
    """The Flask application of all imitated services and the private prefix."""
    app = Flask("emulator", static_folder=None)
    app.url_map.strict_slashes = False
    for blueprint in (
        auth_blueprint(world),
        auth_api_blueprint(world),
        transfer_blueprint(world),
        file_blueprint(world),
        timer_blueprint(world),
        control_blueprint(world),
    ):
        app.register_blueprint(blueprint)

    @app.errorhandler(Refusal)
    def refuse(refusal: Refusal) -> Response:
        return json_response(refusal.body(request.path), refusal.status)

    @app.errorhandler(HTTPException)
    def explain(error: HTTPException) -> Response:
        if error.code in (404, 405) and request.path.startswith(_IMITATED_PREFIXES):
            refusal = not_built(request.method, request.path)
        else:
            refusal = TransferRefusal(error.code or 500, "ClientError.NotFound", f"No route {request.path}")
        return json_response(refusal.body(request.path), refusal.status)

    @app.errorhandler(Exception)
    def confess(error: Exception) -> Response:
        _LOG.exception("The emulator failed on %s %s", request.method, request.path)
        refusal = TransferRefusal(500, "EmulatorBug", f"{type(error).__name__}: {error}")
        return json_response(refusal.body(request.path), 500)

    return app


class _Handler(WSGIRequestHandler):
    """HTTP/1.1 with connections kept open, nothing on stderr, and one Date: the answer's own, or the world's time."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # headers and body are two writes: together with delayed ACKs, 40 ms a request
    _needs_date = False

    def date_time_string(self, timestamp: float | None = None) -> str:
        """The emulator's present, as HTTP writes it."""
        assert isinstance(self.server, _Server)
        return formatdate(self.server.clock.now_seconds() if timestamp is None else timestamp, usegmt=True)

    def send_response(self, code: int, message: str | None = None) -> None:
        """Begin an answer; unlike the base class's, without a Date that a header of the answer could only double."""
        self.send_response_only(code, message)
        self.send_header("Server", self.version_string())
        self._needs_date = True

    def send_header(self, keyword: str, value: str) -> None:
        """Add a header."""
        if keyword.lower() == "date":
            self._needs_date = False
        super().send_header(keyword, value)

    def end_headers(self) -> None:
        """End the headers, with a Date if none was given."""
        if self._needs_date:
            self.send_header("Date", self.date_time_string())
        super().end_headers()

    def log(self, type: str, message: str, *args: Any) -> None:
        """Say nothing: the requests are in the world's log."""


class _Server(ThreadedWSGIServer):
    """Knows its open connections, so that closing it closes them."""

    def __init__(self, port: int, app: WSGIApplication, clock: Clock) -> None:
        self.clock = clock
        self._open: set[socket.socket] = set()
        # A socket of our own, since the base class answers a taken port with print and sys.exit. It listens from
        # here on, so that no client comes too early.
        with socket.create_server((HOST, port), backlog=128) as listener:
            super().__init__(HOST, port, app, handler=_Handler, fd=listener.fileno())

    def get_request(self) -> tuple[socket.socket, Any]:
        connection, address = super().get_request()
        self._open.add(connection)
        return connection, address

    def shutdown_request(self, request: Any) -> None:
        self._open.discard(request)
        super().shutdown_request(request)

    def close_connections(self) -> None:
        """Cut every connection; the threads that serve them come to their end."""
        for connection in list(self._open):
            try:
                connection.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass  # the client was faster


def _exempt_from_proxies(around: Mapping[str, str]) -> str:
    """What both spellings of NO_PROXY say, and this host; programs read only one of them. "*" stands alone."""
    hosts = [host.strip() for name in NO_PROXY for host in around.get(name, "").split(",")]
    return "*" if "*" in hosts else ",".join(dict.fromkeys([*filter(None, hosts), HOST]))


class Emulator:
    """A local Globus for the length of a with-statement.

    Args:
        collections: The folders it shows.
        progress: How tasks progress: `immediate`, `polls:N` or `seconds:S`.
        port: 0 picks a free one.
        options: Fields of `World`, such as `limits` or `page_size`.
    """

    def __init__(
        self, collections: Iterable[Collection] = (), *, progress: str = "immediate", port: int = 0, **options: Any
    ) -> None:
        self.world = make_world(collections, progress, options)
        self._secret = secrets.token_urlsafe(24)
        app = Middleware(create_app(self.world), self.world)
        self._server = _Server(port, Gate(app, self._secret), self.world.clock)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)

    @property
    def url(self) -> str:
        """The base of every service, with a slash at the end. Its path is this run's secret."""
        return f"http://{HOST}:{self._server.port}/{self._secret}/"

    def environment(self, around: Mapping[str, str] | None = None) -> dict[str, str]:
        """The environment variables that aim the SDK, and everything built on it, at this emulator.

        Args:
            around: The variables that hold already, by default this process's. What they exempt stays exempt.
        """
        exempt = _exempt_from_proxies(os.environ if around is None else around)
        return {**{f"GLOBUS_SDK_SERVICE_URL_{name}": self.url for name in SERVICES}, **dict.fromkeys(NO_PROXY, exempt)}

    def start(self) -> None:
        """Serve, in a thread."""
        self._thread.start()

    def stop(self) -> None:
        """Serve no more; returns when the port is free."""
        self.world.clear_faults()
        if self._thread.is_alive():
            self._server.shutdown()
            self._thread.join()
        self._server.close_connections()
        self._server.server_close()

    def __enter__(self) -> Emulator:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
