"""One table that maps errors of Globus to problems and remedies.

Every message carries Globus's own words with the HTTP status, the code and the request_id, so that support can trace
it. Source of the codes: docs.globus.org/api/transfer and the SDK's recorded responses; they are matched by parts,
because older services write them as dotted hierarchies, and the HTTP status is the fallback.
"""

from __future__ import annotations

import sqlite3
import ssl
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NamedTuple, Union

import globus_sdk
import jwt
from globus_sdk.token_storage.validating_token_storage import IdentityMismatchError, TokenValidationError

from autotransfer.common.errors import (
    GLOBUS_AWAY,
    ConfigurationProblem,
    GlobusProblem,
    IdenticalPaths,
    OutcomeUnknown,
    Problem,
    RateLimited,
    RequestRefused,
    RequestTooLarge,
    SignInNeeded,
    Unreachable,
    UsageProblem,
)
from autotransfer.globus.answers import ODD, words

SIGN_IN = "Run {sign_in} in a terminal once; what runs unattended then continues by itself."
NEXT_RUN = "The next run tries again."
Api = globus_sdk.GlobusAPIError
Kind = Callable[..., Problem]


class Row(NamedTuple):
    """One line of the table: when it applies, the class of the problem, and what to do."""

    applies: Callable[[Api], bool]
    kind: Kind
    remedy: str


def _code(*parts: str) -> Callable[[Api], bool]:
    return lambda error: any(part.lower() in (error.code or "").lower() for part in parts)


def _text(*parts: str) -> Callable[[Api], bool]:
    return lambda error: any(part in (error.message or "").lower() for part in parts)


def _status(*statuses: int) -> Callable[[Api], bool]:
    return lambda error: error.http_status in statuses


def _auth(*words: str) -> Callable[[Api], bool]:
    def applies(error: Api) -> bool:
        body = error.raw_json if isinstance(error, globus_sdk.AuthAPIError) else None
        return isinstance(body, dict) and body.get("error") in words

    return applies


def _timers(*statuses: int) -> Callable[[Api], bool]:
    return lambda error: isinstance(error, globus_sdk.TimersAPIError) and error.http_status in statuses


def _all(*conditions: Callable[[Api], bool]) -> Callable[[Api], bool]:
    return lambda error: all(condition(error) for condition in conditions)


def _any(*conditions: Callable[[Api], bool]) -> Callable[[Api], bool]:
    return lambda error: any(condition(error) for condition in conditions)


def _needs_consent(error: Api) -> bool:
    return _has_form(error) and bool(error.info.consent_required)


def _needs_session(error: Api) -> bool:
    return _has_form(error) and bool(error.info.authorization_parameters)


def _has_form(error: Api) -> bool:
    """Whether the refusal says what it demands in a form that the SDK can read."""
    body = error.raw_json
    return isinstance(body, dict) and isinstance(body.get("authorization_parameters", {}), dict)


# Observed for a hundred pending tasks: 409 ClientError.Conflict.TooManyPendingJobs.
_asks_for_less = _any(_status(429), _code("RateLimit", "LimitExceeded", "TooManyPending"))


def _asks_for_a_pause(error: Api) -> bool:
    return error.http_status == 503 and "Retry-After" in error.headers


def is_definite(error: Api) -> bool:
    """Whether Globus refused what was asked for, not a login or too many requests."""
    if _asks_for_less(error):
        return False
    is_about_login = error.http_status == 401 or _needs_consent(error) or _needs_session(error)
    return 400 <= error.http_status < 500 and error.http_status not in (408, 429) and not is_about_login


# The first row that applies counts.
TABLE = (
    Row(_auth("invalid_grant"), SignInNeeded, f"The stored login is no longer valid. {SIGN_IN}"),
    Row(
        # Observed for a wrong secret: 401 UNAUTHORIZED, "Basic auth failed" (ssl-hep/ServiceX, issue 841).
        _any(_auth("invalid_client", "unauthorized_client"), _text("basic auth failed")),
        ConfigurationProblem,
        "Check CLIENT_ID, and for a service account its secret (CLIENT_SECRET_FILE or GLOBUS_CLIENT_SECRET).",
    ),
    Row(
        _needs_consent,
        SignInNeeded,
        "The collection requires a consent that was not given yet. Run {sign_in} in a terminal once: it asks for it.",
    ),
    Row(
        _needs_session,
        SignInNeeded,
        "The collection requires a login of its own kind or a more recent one. Run {sign_in} in a terminal. If this "
        "happens every few days, ask its administrator for a guest collection that lasts longer.",
    ),
    Row(_status(401), SignInNeeded, f"Globus did not accept the stored login. {SIGN_IN}"),
    Row(_timers(404), UsageProblem, "`timer.py job list` shows the timers of the identity that is signed in now."),
    Row(_timers(400, 422), UsageProblem, "Correct that, and try again."),
    Row(
        # Observed for one that was deleted: 404 EndpointDeleted (the SDK's tests against the service, 2017).
        _any(_code("EndpointNotFound", "EndpointDeleted"), _text("endpoint not found", "no such endpoint")),
        ConfigurationProblem,
        "Check SRC_ID and DST_ID against the collections' pages in the Globus web app.",
    ),
    Row(
        _any(_code("GCDisconnected", "GCNotConnected"), _text("is not currently connected")),
        GlobusProblem,
        f"Start Globus Connect Personal on that machine. {NEXT_RUN}",
    ),
    Row(
        _any(_code("GCPaused"), _text("globus connect personal is paused", "is paused")),
        GlobusProblem,
        f"Unpause Globus Connect Personal on that machine, or ask the collection's administrator. {NEXT_RUN}",
    ),
    Row(_all(_status(409), _text("identical paths")), IdenticalPaths, "A task with the same paths is still under way."),
    Row(
        _asks_for_less,
        RateLimited,
        f"Globus asks for fewer requests or fewer pending tasks. {NEXT_RUN}",
    ),
    Row(
        _any(_status(413), _code("TooLarge", "TooManyItems"), _text("too large", "too many items")),
        RequestTooLarge,
        "Lower MAX_ITEMS_PER_TASK.",
    ),
    Row(
        _any(_code("PermissionDenied"), _text("permission denied")),
        GlobusProblem,
        "Ask the collection's administrator to give the signed-in identity access, then run test_config.py. "
        f"{NEXT_RUN}",
    ),
    Row(
        _code("LoginFailed"),  # observed with 502, where a collection has no account or credential for the identity
        GlobusProblem,
        "Open the collection in the Globus web app once: it may ask for a credential. If not, ask its administrator to "
        f"map the signed-in identity to an account. {NEXT_RUN}",
    ),
    Row(_asks_for_a_pause, RateLimited, f"You need not do anything. {NEXT_RUN}"),
    Row(_status(500, 502, 503, 504), GlobusProblem, f"You need not do anything. {NEXT_RUN}"),
    Row(_status(400, 422), RequestRefused, f"{NEXT_RUN} If the same happens, run test_config.py."),
    Row(lambda error: True, GlobusProblem, f"{NEXT_RUN} If the same happens, run test_config.py."),
)

NETWORK = "Check this machine's network and name service."

CERTIFICATE = (
    "The usual causes are a wrong clock on this machine and a proxy that opens encrypted connections; a file with the "
    "proxy's certificate can be named in GLOBUS_SDK_VERIFY_SSL."
)


def _is_away(http_status: int) -> bool:
    """Whether an answer only means that Globus is busy or out of service."""
    return http_status in (408, 429) or http_status >= 500


def may_have_run(http_status: int) -> bool:
    """Whether a POST with this answer may have been carried out nevertheless."""
    return http_status >= 500 or http_status == 408


@contextmanager
def explained(
    doing: str,
    *,
    about: str = "",
    effect: str = "",
    refused_effect: str | None = None,
    is_submission: bool = False,
    was_lost: Callable[[], bool] = lambda: False,
    sign_in: str = "test_config.py",
    again: str = NEXT_RUN,
) -> Iterator[None]:
    """Turn what Globus, the network or the token file raises in the block into a Problem.

    Args:
        doing: The end of the sentence "Globus did not ...", such as "accept task {}".
        about: What replaces {}: an ID or a label.
        effect: What was or was not sent or recorded.
        refused_effect: The same for a clear refusal, if it differs.
        is_submission: Whether a lost answer leaves it unknown if the block's request was carried out.
        was_lost: Whether the answer to an earlier attempt at the same submission was lost. It may then have been
            carried out although the last attempt was refused.
        sign_in: The command for signing in.
        again: A sentence on who tries again, and when.
    """
    code, doing = doing, doing.replace("{}", about, 1)
    try:
        yield
    except Problem:
        raise
    except globus_sdk.GlobusAPIError as error:
        is_open = is_submission and (was_lost() or may_have_run(error.http_status))
        outcome = effect if is_open or refused_effect is None else refused_effect
        problem = _from_answer(error, doing, outcome, is_open, sign_in, again)
        problem.code = f"{code}: HTTP {error.http_status} {error.code or ''}".rstrip()
        if _is_away(error.http_status):
            problem.kind = GLOBUS_AWAY
        raise problem from error
    except TokenValidationError as error:
        raise _from_token(error, sign_in) from error
    except globus_sdk.NetworkError as error:
        kind: Kind = OutcomeUnknown if is_submission else Unreachable
        cause = _innermost(error.underlying_exception)
        raise kind(
            f"Globus did not {doing}: it cannot be reached",
            why=f"{type(cause).__name__}: {words(str(cause))}",
            remedy=_joined(effect, CERTIFICATE if isinstance(cause, ssl.SSLError) else NETWORK, again),
        ) from error
    except jwt.exceptions.PyJWTError as error:
        raise SignInNeeded(
            "Globus's proof of identity is not valid here",
            why=str(error),
            remedy="The usual cause is a wrong clock on this machine: set it, then run test_config.py.",
        ) from error
    except sqlite3.Error as error:
        raise ConfigurationProblem(
            "The stored login (tokens.db in CODE_PATH) cannot be read or written",
            why=str(error),
            remedy="Check that its disk is not full and that it is this user's; if it is damaged, delete it and run "
            "test_config.py.",
        ) from error
    except (*ODD, globus_sdk.GlobusError) as error:
        kind = OutcomeUnknown if is_submission else GlobusProblem
        raise kind(
            f"Globus did not {doing} in words that can be understood",
            why=_answer_reason(error),
            code=f"{code}: no document",
            remedy=_joined(effect, "A proxy between this machine and Globus is a common cause.", again),
        ) from error


def _from_answer(error: Api, doing: str, effect: str, is_open: bool, sign_in: str, again: str) -> Problem:
    row = next(row for row in TABLE if row.applies(error))
    kind = OutcomeUnknown if is_open else row.kind
    remedy = row.remedy.replace("{sign_in}", sign_in).replace(NEXT_RUN, again)
    return kind(f"Globus did not {doing}", why=answer_words(error), remedy=_joined(effect, remedy))


def answer_words(error: Api) -> str:
    """A refusal in Globus's own words, with everything that support needs to trace it."""
    body = error.raw_json if isinstance(error.raw_json, dict) else {}
    message = error.message or str(body.get("error_description") or body.get("error") or "") or error.http_reason
    labels = [f"HTTP {error.http_status}"]
    if code := error.code or body.get("error"):
        labels.append(f"code {code}")
    if request_id := error.request_id or body.get("request_id"):
        labels.append(f"request_id {request_id}")
    return f"{words(str(message))} ({words(', '.join(labels))})"


def _from_token(error: Union[TokenValidationError, Exception], sign_in: str) -> Problem:
    if isinstance(error, IdentityMismatchError):
        return SignInNeeded(
            "The stored login belongs to another identity",
            why=str(error),
            remedy="Sign in as the first one; if you mean another one, delete tokens.db in CODE_PATH and run "
            "test_config.py in a terminal. Nothing was changed.",
        )
    return SignInNeeded("Not signed in to Globus", why=str(error), remedy=SIGN_IN.replace("{sign_in}", sign_in))


def _innermost(error: BaseException) -> BaseException:
    """The cause that the network library has wrapped, often several times, as `reason` or as an argument."""
    inner: BaseException | None = error
    while inner is not None:
        error = inner
        inner = next((one for one in (getattr(error, "reason", None), *error.args) if isinstance(one, Exception)), None)
    return error


def _answer_reason(error: Exception) -> str:
    if isinstance(error, KeyError):
        return f"the answer lacks {error}"
    return str(error) if isinstance(error, ValueError) else f"{type(error).__name__}: {error}"


def _joined(*sentences: str) -> str:
    return " ".join(sentence for sentence in sentences if sentence)
