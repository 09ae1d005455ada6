"""Reports a run to a monitoring service with one POST, for which the run waits a limited time."""

from __future__ import annotations

import threading
import urllib.error
import urllib.request
from typing import Any

# Between two pieces of the answer, and for the connection. It limits neither the look-up of the name nor all pieces
# together: the thread does.
TIMEOUT_SECONDS = 5


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """Sends nothing anywhere but to the owner's URL."""

    def redirect_request(self, *_: Any) -> None:
        return None


def post_within(url: str, body: bytes, *, seconds: float) -> str:
    """Post the text, and wait for the answer at most that long; returns why it failed, or "".

    The reason does not hold the URL, which is a secret.
    """
    reasons: list[str] = []
    # Nothing waits for a daemon thread, neither here nor when Python ends.
    thread = threading.Thread(target=lambda: reasons.append(_post(url, body)), daemon=True)
    try:
        thread.start()
    except RuntimeError:
        return "no thread can be started"
    thread.join(seconds)
    return reasons[0] if reasons else f"no answer within {seconds:g} seconds"


def _post(url: str, body: bytes) -> str:
    try:
        request = urllib.request.Request(url, data=body, method="POST")  # noqa: S310 - settings let https and loopback in
        request.add_header("Content-Type", "text/plain; charset=utf-8")
        request.add_header("User-Agent", "globus-automated-transfer")
        with urllib.request.build_opener(_NoRedirect).open(request, timeout=TIMEOUT_SECONDS):
            return ""
    except urllib.error.HTTPError as error:
        return f"it answered HTTP {error.code}"
    except OSError as error:
        cause = getattr(error, "reason", error)
        return f"it cannot be reached: {getattr(cause, 'strerror', None) or type(cause).__name__}"
    except Exception as error:  # noqa: BLE001 - an answer may be anything, and the error's words may hold the URL
        return f"its answer is not HTTP: {type(error).__name__}"
