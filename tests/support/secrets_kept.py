"""Watches, through all tests, that no secret is written where it does not belong.

A secret is every token, code and client secret that an emulator in this process gives out, the path of its address, and
the secret of a route's service account. They belong into tokens.db and the secret's own file; not into any output, log,
datastore or page.
"""

from __future__ import annotations

import base64
import re
import subprocess
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from emulator.auth.state import AuthState
from emulator.http.server import Emulator

# An access or refresh token of an emulator in another process, and a signed statement of who logged in.
LOOKS_SECRET = re.compile(r"\bAg[\w-]{40}\b|\beyJ[\w-]{10,}\.eyJ[\w-]{10,}\.[\w-]{10,}")
WORD = re.compile(r"[\w-]{20,}")
SIGN_IN = re.compile(r"^(Code: \S+|http://127\.0\.0\.1:\d+/[\w-]+/v2/oauth2/authorize\?\S+)", re.MULTILINE)
MAY_HOLD = re.compile(r"tokens\.db(-\w+)?|.*secret.*")
MOST_BYTES = 50_000_000

secrets: set[str] = set()
odd_secrets: set[str] = set()  # those that are no single WORD
outputs: list[str] = []


def keep(secret: str | None) -> None:
    """Note a secret."""
    if secret:
        (secrets if WORD.fullmatch(secret) else odd_secrets).add(secret)


def wrote(text: str | bytes | None) -> None:
    """Note what a process printed, but for the sign-in page's link and the code that the person typed."""
    if text:
        shown = text.decode("utf-8", "replace") if isinstance(text, bytes) else text
        outputs.append(SIGN_IN.sub("", shown))


def found_in(text: str) -> set[str]:
    """The secrets that a text holds."""
    found = secrets & set(WORD.findall(text)) | {secret for secret in odd_secrets if secret in text}
    return found | set(LOOKS_SECRET.findall(text))


def leaks(printed: Iterable[str], folders: Iterable[Path], *, skipped: Iterable[Path] = ()) -> list[str]:
    """Where secrets stand that should not: in what was printed, and in the files below folders but the skipped ones."""
    told = [
        f"printed: {_shortened(secret)} in {text.replace(secret, '...')!r}"
        for text in printed
        for secret in found_in(text)
    ]
    for folder in folders:
        for path in _files(folder, set(skipped)):
            text = path.read_bytes().decode("utf-8", "replace")
            told += [f"written: {_shortened(secret)} in {path}" for secret in found_in(text)]
    return told


def _files(folder: Path, skipped: set[Path]) -> Iterable[Path]:
    try:
        entries = list(folder.iterdir())
    except OSError:
        return
    for path in entries:
        if path.is_symlink() or path in skipped or MAY_HOLD.fullmatch(path.name):
            continue
        if path.is_dir():
            yield from _files(path, skipped)
        elif path.is_file() and path.stat().st_size < MOST_BYTES:
            yield path


def _shortened(secret: str) -> str:
    return f"{secret[:6]}... ({len(secret)} characters)"


def watch() -> None:
    """Note from now on every secret that an emulator here gives out, and what every process waited for prints."""
    _after(AuthState, "token_document", lambda made: [made["access_token"], made.get("refresh_token")])
    _after(AuthState, "authorize", lambda code: [code])
    _after(AuthState, "register_client", lambda client: [client.secret, *_as_sent(client.id, client.secret)])
    _after(AuthState, "id_token", lambda signed: [signed])
    _after(Emulator, "environment", lambda variables: [variables["GLOBUS_SDK_SERVICE_URL_AUTH"].split("/")[3]])
    communicate = subprocess.Popen.communicate

    def and_note(self: subprocess.Popen[Any], *arguments: Any, **options: Any) -> tuple[Any, Any]:
        out, err = communicate(self, *arguments, **options)
        wrote(out)
        wrote(err)
        return out, err

    subprocess.Popen.communicate = and_note  # type: ignore[method-assign]


def _as_sent(client_id: str, secret: str | None) -> list[str]:
    """A client's secret as the header of a request has it."""
    return [base64.b64encode(f"{client_id}:{secret}".encode()).decode()] if secret else []


def _after(kind: type, name: str, given_out: Callable[[Any], Iterable[str | None]]) -> None:
    method = getattr(kind, name)

    def and_keep(*arguments: Any, **options: Any) -> Any:
        made = method(*arguments, **options)
        for secret in given_out(made):
            keep(secret)
        return made

    setattr(kind, name, and_keep)
