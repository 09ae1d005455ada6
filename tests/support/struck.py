"""Faults of the HTTP layer for the second service, in the words of the emulator's: one row of the matrix for both."""

from __future__ import annotations

import json as json_text
from collections.abc import Mapping
from fnmatch import fnmatchcase
from typing import Any, Optional

from small_globus import DROPPED, Answer, Raw, SmallGlobus


def strike(
    service: SmallGlobus,
    where: str,
    *,
    times: Optional[int] = None,
    status: int = 200,
    headers: Optional[Mapping[str, str]] = None,
    json: Any = None,
    text: Optional[str] = None,
    content_type: Optional[str] = None,
    reset: Optional[str] = None,
    truncate: bool = False,
) -> None:
    """Have requests of this method and path ("GET /v0.10/endpoint/*") answered like this: the first `times`, or all.

    Args:
        reset: Close the connection in the place of an answer, "before" or "after" the request is carried out.
        truncate: Announce the whole of the usual answer, and send half of it.
    """
    left = [times]
    usual_type = "application/json" if text is None else "text/html"

    def answer(method: str, path: str, query: dict[str, str], body: Any) -> Optional[Answer]:
        if left[0] == 0 or not fnmatchcase(f"{method} {path}", where):
            return None
        left[0] = None if left[0] is None else left[0] - 1
        if reset == "before":
            return DROPPED
        if reset or truncate:
            usual = service.usual(method, path, query, body)
            content = json_text.dumps(usual[1]).encode()
            whole = {"Content-Length": str(len(content)), "Connection": "close"}
            return DROPPED if reset else (usual[0], Raw(content[: len(content) // 2], whole))
        sent = json if text is None else text.encode()
        return status, Raw(sent, {"Content-Type": content_type or usual_type, **(headers or {})})

    service.answer = answer


def spare(service: SmallGlobus) -> None:
    """The fault is over."""
    service.answer = lambda *request: None
