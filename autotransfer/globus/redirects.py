"""No request to Globus follows a redirect: the refresh token in its body would go along, to whoever answers there."""

from __future__ import annotations

from typing import Any, Callable

import globus_sdk
from globus_sdk.transport import RequestsTransport

from autotransfer.common.service import address_of


class Redirected(Exception):
    """The answer names another address."""


def follow_none() -> None:
    """From now on, have every client of the SDK in this process take a redirect for an answer that did not come.

    The SDK opens some clients by itself (for consents), and passes its own choice to the transport; so it is set there.
    """
    request: Callable[..., Any] = RequestsTransport.request
    if getattr(request, "follows_none", False):
        return

    def unredirected(transport: RequestsTransport, *given: Any, **options: Any) -> Any:
        answer = request(transport, *given, **{**options, "allow_redirects": False})
        if 300 <= answer.status_code < 400:
            target = address_of(str(answer.headers.get("Location", "")))[:200] or "another address"
            why = Redirected(f"HTTP {answer.status_code} leads to {target}, where nothing is sent")
            raise globus_sdk.NetworkError("redirected", why)
        return answer

    unredirected.follows_none = True  # type: ignore[attr-defined]
    RequestsTransport.request = unredirected  # type: ignore[method-assign,assignment]
