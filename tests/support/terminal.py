"""A person at a terminal: runs a script there, opens the link that it shows, and types the code."""

from __future__ import annotations

import os
import pty
import re
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Mapping
from html import unescape
from urllib.parse import parse_qs, urlsplit

import secrets_kept
from suite import Result, Route

LINK = re.compile(r"http://\S+/v2/oauth2/authorize\S+")
Answer = Callable[[str], str]


def code_from(link: str) -> str:
    """What a person does in the browser: open the link, read the code."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(link, timeout=60) as page:
        found = re.search(r'<code id="auth-code">(.*?)</code>', page.read().decode())
    assert found
    return unescape(found[1])


def on_a_terminal(route: Route, *words: str, answer: Answer = code_from) -> Result:
    """Run a script with a terminal for all three streams, answering each question for a code."""
    result = answered(route.command(*words), {**route.bare_environment(), "TERM": "xterm"}, answer, folder="/")
    secrets_kept.wrote(result.stdout)
    assert "Traceback" not in result.stdout
    return result


def sign_in(route: Route, *words: str) -> None:
    """Let the owner sign in with a script as if on a terminal, by `run_here`: for what a test starts from."""
    route.run_here(*(words or ("test_config.py",)), answer=lambda shown: code_from(LINK.findall(shown)[-1]))


def answered(command: list[str], environment: Mapping[str, str], answer: Answer, *, folder: str) -> Result:
    """Run a command on a terminal of its own, answering each question for a code; all that it shows is stdout."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        command, cwd=folder, env=environment, stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True
    )
    os.close(theirs)
    shown, answers = "", 0
    try:
        while True:
            try:
                piece = os.read(ours, 65536)
            except OSError:  # Linux says EIO when the other end is closed
                break
            if not piece:
                break
            shown += piece.decode()
            if shown.count("Code: ") > answers:
                answers = shown.count("Code: ")
                os.write(ours, answer(LINK.findall(shown)[-1]).encode() + b"\n")
        status = process.wait(timeout=60)
    finally:
        process.kill()
        process.wait()
        os.close(ours)
    return Result(status, shown.replace("\r\n", "\n"), "")


def asked(result: Result) -> list[str]:
    """The scopes that each login asked for, in order."""
    return [parse_qs(urlsplit(link).query)["scope"][0] for link in LINK.findall(result.stdout)]


if __name__ == "__main__":  # a command of a shell, in a terminal of its own
    done = answered(sys.argv[1:], os.environ, code_from, folder=os.getcwd())
    print(done.stdout, end="")
    sys.exit(done.status)
