"""Small things the routes share: query parameters, JSON bodies, bearer tokens, pages of a list."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from flask import Response, request

from emulator.errors import bad_request

MAX_PAGE = 1000


def json_response(document: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """A JSON response; the services always name that type."""
    response = Response(json.dumps(document), status=status, content_type="application/json")
    response.headers.extend(dict(headers or {}))
    return response


def json_body() -> Any:
    """The JSON document of the request; None when there is no body.

    Raises:
        TransferRefusal: 400, the body is no JSON.
    """
    raw = request.get_data()
    if not raw:
        return None
    try:
        return json.loads(raw)
    except ValueError:
        raise bad_request("The request body is not valid JSON") from None


def bearer() -> str | None:
    """The bearer token of the request."""
    kind, _, token = request.headers.get("Authorization", "").partition(" ")
    return token.strip() if kind.lower() == "bearer" else None


def number(name: str, default: int, *, least: int = 0, most: int | None = None) -> int:
    """A whole number among the query parameters.

    Raises:
        TransferRefusal: 400, no such number.
    """
    text = request.args.get(name)
    if text is None:
        return default
    try:
        value = int(text)
    except ValueError:
        raise bad_request(f"Parameter '{name}' must be a number") from None
    if value < least or (most is not None and value > most):
        raise bad_request(f"Parameter '{name}' is out of range")
    return value


def page(data_type: str, records: list[Any], render: Any, default_limit: int = 10) -> dict[str, Any]:
    """A page of a list by limit and offset (recorded)."""
    limit = number("limit", default_limit, least=1, most=MAX_PAGE)
    offset = number("offset", 0)
    shown = [render(record) for record in records[offset : offset + limit]]
    return {
        "DATA_TYPE": data_type,
        "DATA": shown,
        "length": len(shown),
        "limit": limit,
        "offset": offset,
        "total": len(records),
    }
