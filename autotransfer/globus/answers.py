"""Reads documents of the service into plain values of known types: the one place where that is done.

Whatever JSON can hold may come. What has not the form that it should have counts as null, so nobody who reads an answer
meets a text where a number belongs, nor anything that the datastore could not hold.
"""

from __future__ import annotations

import math
import uuid
from typing import Any, Callable, Optional, Union

import globus_sdk

from autotransfer.common.paths import display

# A check that returns the value or None; an object with the forms of its fields; an array of one form.
Form = Union[Callable[[Any], Any], "dict[str, Form]", "list[Form]"]
MOST_COUNT = (1 << 63) - 1

# Of what nobody here reads.
MOST_LEVELS = 40

# What reading an answer raises that is not what it should be.
ODD = (KeyError, TypeError, ValueError, AttributeError, IndexError, OverflowError, RecursionError)

# Of words that are shown and recorded.
MOST_WORDS = 500
MOST_QUOTED = 80


def text(value: object) -> Optional[str]:
    """The text, if UTF-8 can carry it: JSON may hold half a character."""
    return value if isinstance(value, str) and plain(value) == value else None


def words(value: object) -> Optional[str]:
    """Words for a person or a code: on one line, without control characters, cut off where they do not end."""
    return display(" ".join(value.split()))[:MOST_WORDS] if isinstance(value, str) else None


def count(value: object) -> Optional[int]:
    """A whole number within 64 bits, not below 0; true is none."""
    return value if type(value) is int and 0 <= value <= MOST_COUNT else None


def flag(value: object) -> Optional[bool]:
    """True or false."""
    return value if isinstance(value, bool) else None


def identifier(value: object) -> Optional[str]:
    """A UUID in lower case, as Globus writes them."""
    try:
        found = str(uuid.UUID(value)) if isinstance(value, str) else None
    except ValueError:
        return None
    return found if found == str(value).lower() else None  # UUID also takes braces and underscores


def _marker(value: object) -> Optional[str]:
    """Where the next page begins; "" where that is said in no way that can be asked for."""
    return None if value is None else str(value) if count(value) is not None else text(value) or ""


def _whole(value: object) -> Optional[int]:
    return count(int(value) if isinstance(value, float) and value.is_integer() else value)


def _results(value: object) -> Any:
    """The results of a timer's runs, from either interface of the service."""
    results: Form = [{"status": count}]
    return shaped(value, {"data": results} if isinstance(value, dict) else results)


def _fault(value: object) -> Optional[dict[str, Any]]:
    return {"description": words(value)} if isinstance(value, str) else shaped(value, FAULT)


FAULT: Form = {"code": words, "description": words}
TASK: Form = {
    **dict.fromkeys(("task_id", "source_endpoint_id", "destination_endpoint_id"), identifier),
    **dict.fromkeys(("status", "nice_status", "nice_status_short_description", "canceled_by_admin"), words),
    **dict.fromkeys(("canceled_by_admin_message", "completion_time"), words),
    **dict.fromkeys(("files", "files_skipped", "files_transferred", "directories", "bytes_transferred"), count),
    **dict.fromkeys(("faults", "subtasks_succeeded", "subtasks_skipped_errors"), count),
    **dict.fromkeys(("history_deleted", "is_ok", "is_paused", "verify_checksum"), flag),
    "label": text,
    "fatal_error": _fault,
}
TASKS: Form = {"DATA": [TASK]}
PAGE: Form = {"DATA": [{"source_path": text, "size": count, "error_code": words}], "next_marker": _marker}
SUBMITTED: Form = {"code": words, "task_id": identifier}
SUBMISSION_ID: Form = {"value": identifier}
COLLECTION: Form = {
    **dict.fromkeys(("id", "entity_type", "display_name", "canonical_name"), words),
    **dict.fromkeys(("high_assurance", "gcp_connected", "gcp_paused", "non_functional", "disable_verify"), flag),
}
LISTING: Form = {"DATA": [{"name": text}]}
PERSON: dict[str, Form] = dict.fromkeys(("sub", "name", "email", "preferred_username", "organization"), words)
IDENTITY: Form = {**PERSON, "identity_set": [PERSON]}


ENDS: dict[str, Form] = dict.fromkeys(
    [f"{end}_endpoint{rest}" for end in ("source", "destination") for rest in ("", "_id")], words
)
TIMER: Form = {
    **dict.fromkeys(("job_id", "status", "start", "next_run", "last_ran_at"), words),
    **dict.fromkeys(("interval", "n_runs", "number_of_runs", "n_errors", "number_of_errors"), _whole),
    "name": text,
    "schedule": {
        **dict.fromkeys(("type", "start", "datetime"), words),
        "interval_seconds": _whole,
        "end": {"datetime": words, "count": _whole, "iterations": _whole},
    },
    "stop_after": {"date": words, "n_runs": _whole},
    "activity": {"code": words, "start_timestamp": words},
    "inactive_reason": {
        "cause": words,
        "detail": {"code": words, "authorization_parameters": {"session_message": words}},
    },
    "results": _results,
    "body": ENDS,
    "callback_body": {**ENDS, "body": ENDS},
}
TIMERS: Form = {"jobs": [TIMER]}
CREATED: Form = {"timer": TIMER}


def plain(value: Any, *, levels: int = MOST_LEVELS) -> Any:
    """The value without half characters, numbers that are none, and what is nested too deep."""
    if isinstance(value, str):
        return value if value.isascii() else value.encode("utf-8", "replace").decode("utf-8")
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, (dict, list)) and not levels:
        return None
    if isinstance(value, dict):
        return {plain(name): plain(held, levels=levels - 1) for name, held in value.items()}
    return [plain(one, levels=levels - 1) for one in value] if isinstance(value, list) else value


def shaped(value: Any, form: Form) -> Any:
    """The value in this form; what has another one is None. Fields that the form does not name are only made plain."""
    if isinstance(form, dict):
        if not isinstance(value, dict):
            return None
        return {plain(name): shaped(held, form.get(name, plain)) for name, held in value.items()}
    if isinstance(form, list):
        return [shaped(one, form[0]) for one in value] if isinstance(value, list) else None
    return form(value)


def document_in(response: globus_sdk.GlobusHTTPResponse, form: Form) -> dict[str, Any]:
    """The JSON object in an answer, in this form.

    Raises:
        ValueError: There is none; the text says what there is.
        RecursionError: It is nested too deep.
    """
    document = shaped(response.data, form)
    if not isinstance(document, dict):
        begin = " ".join(response.text[: 2 * MOST_QUOTED].split())[:MOST_QUOTED]
        kind = words(response.content_type) or "no content type"
        raise ValueError(f"HTTP {response.http_status} with {kind} that begins {begin!r}")
    return document


def rows_in(document: dict[str, Any]) -> list[Any]:
    """The rows of a page; None for each that is no object.

    Raises:
        ValueError: There are none.
    """
    rows = document.get("DATA")
    if not isinstance(rows, list):
        raise ValueError("the answer lacks its rows (DATA)")
    return rows
