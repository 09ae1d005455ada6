"""The refusals of the imitated services. An exception is the response; server.py renders it."""

from __future__ import annotations

import secrets
import string
from collections.abc import Sequence
from typing import Any

_REQUEST_ID_LETTERS = string.ascii_letters + string.digits


def new_request_id() -> str:
    """Nine letters and digits, as in every Transfer response (recorded)."""
    return "".join(secrets.choice(_REQUEST_ID_LETTERS) for _ in range(9))


class Refusal(Exception):
    """A request that ends in an error response.

    Attributes:
        status: HTTP status of the response.
    """

    status: int

    def body(self, resource: str) -> dict[str, Any]:
        """The JSON document of the response. `resource` is the path that was asked for."""
        raise NotImplementedError


class TransferRefusal(Refusal):
    """An error of the Transfer service: code, message, request_id, resource (recorded)."""

    def __init__(self, status: int, code: str, message: str, **extra: Any) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self.extra = extra

    def body(self, resource: str) -> dict[str, Any]:
        return {
            "code": self.code,
            "message": self.message,
            "request_id": new_request_id(),
            "resource": resource,
            **self.extra,
        }


class OAuthRefusal(Refusal):
    """An error of the token endpoint, in the shape of RFC 6749 (recorded for invalid_grant)."""

    def __init__(self, status: int, error: str, description: str | None = None) -> None:
        super().__init__(description or error)
        self.status = status
        self.error = error
        self.description = description

    def body(self, resource: str) -> dict[str, Any]:
        body = {"error": self.error}
        if self.description is not None:
            body["error_description"] = self.description
        return body


class AuthApiRefusal(Refusal):
    """An error of the rest of the Auth service: a list of errors, and RFC 6749 beside it (recorded)."""

    def __init__(self, status: int, code: str, detail: str, title: str) -> None:
        super().__init__(detail)
        self.status = status
        self.code = code
        self.detail = detail
        self.title = title

    def body(self, resource: str) -> dict[str, Any]:
        entry = {
            "status": str(self.status),
            "id": new_request_id(),
            "code": self.code,
            "detail": self.detail,
            "title": self.title,
        }
        return {
            "errors": [entry],
            "error_description": self.title,
            "error": self.title.lower().replace(" ", "_"),
        }


class TimersRefusal(Refusal):
    """An error of the Timers service: one object (recorded for a 500), and what a login lacks beside it (assumed)."""

    def __init__(self, status: int, detail: str, code: str = "ERROR", **extra: Any) -> None:
        super().__init__(detail)
        self.status = status
        self.code = code
        self.detail = detail
        self.extra = extra

    def body(self, resource: str) -> dict[str, Any]:
        body: dict[str, Any] = {"error": {"code": self.code, "detail": self.detail, "status": self.status}}
        return {**body, "code": self.code, **self.extra} if self.extra else body


class InvalidTimer(Refusal):
    """422 of the Timers service: a list of what is wrong where (recorded)."""

    status = 422

    def __init__(
        self, where: Sequence[str], message: str = "field required", kind: str = "value_error.missing"
    ) -> None:
        super().__init__(f"{message}: {'.'.join(where)}")
        self.problems = [{"loc": list(where), "msg": message, "type": kind}]

    def body(self, resource: str) -> dict[str, Any]:
        return {"detail": self.problems}


class ControlRefusal(Refusal):
    """A request to the private prefix that makes no sense."""

    def __init__(self, message: str, status: int = 400) -> None:
        super().__init__(message)
        self.status = status
        self.message = message

    def body(self, resource: str) -> dict[str, Any]:
        return {"error": self.message}


def bad_request(message: str, code: str = "BadRequest") -> TransferRefusal:
    """400: the document or a parameter is malformed. The code is observed, most texts are assumed."""
    return TransferRefusal(400, code, message)


def unauthenticated(message: str) -> TransferRefusal:
    """401 in the code both SDK and command line key on (read in their source)."""
    return TransferRefusal(401, "ClientError.AuthenticationFailed", message)


def not_built(method: str, path: str) -> TransferRefusal:
    """501 for a route of Globus that this emulator does not have, by name (ours: Globus has no such answer)."""
    return TransferRefusal(501, "NotImplemented", f"The emulator has not built {method} {path}")


def task_not_found(task_id: str) -> TransferRefusal:
    """404 for an unknown task (documented code, assumed text)."""
    return TransferRefusal(404, "TaskNotFound", f"No task with id '{task_id}'")


def endpoint_not_found(collection_id: str) -> TransferRefusal:
    """404 for an unknown collection (documented code, assumed text)."""
    return TransferRefusal(404, "EndpointNotFound", f"No such endpoint '{collection_id}'")
