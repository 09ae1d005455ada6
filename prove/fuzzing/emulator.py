"""Targets that ask the emulator: every route, with documents that are nearly right."""

from __future__ import annotations

import json
import logging
import uuid
from datetime import datetime, timezone
from pathlib import Path
from typing import Any
from urllib.parse import quote

from hypothesis import strategies as st

from emulator.auth.scopes import TIMER, TRANSFER_ALL, parse_scopes
from emulator.auth.state import RESEARCHER
from emulator.http.server import create_app
from emulator.world import Collection, World, make_world
from prove.mutations import JSON_VALUES, SOME_TEXT, mutated, mutated_bytes

SOURCE = "5a0c9d5e-0000-4000-8000-000000000001"
DESTINATION = "5a0c9d5e-0000-4000-8000-000000000002"
CLIENT = "5a0c9d5e-0000-4000-8000-00000000000c"
REQUESTS_PER_WORLD = 6
CONTROL = "/_emulator"
ITEM = {"DATA_TYPE": "transfer_item", "source_path": "/", "destination_path": "/copy/", "recursive": True}
TRANSFER = {
    "DATA_TYPE": "transfer",
    "submission_id": "5a0c9d5e-0000-4000-8000-0000000000aa",
    "source_endpoint": SOURCE,
    "destination_endpoint": DESTINATION,
    "label": "label",
    "sync_level": 2,
    "verify_checksum": True,
    "deadline": "2030-01-01T00:00:00+00:00",
    "filter_rules": [{"DATA_TYPE": "filter_rule", "method": "exclude", "name": "*.tmp", "type": "file"}],
    "DATA": [ITEM, {"DATA_TYPE": "transfer_item", "source_path": "/a.dat", "destination_path": "/b.dat"}],
}
SCHEDULE = {
    "type": "recurring",
    "interval_seconds": 3600,
    "start": "2030-01-01T00:00:00Z",
    "end": {"condition": "iterations", "count": 3},
}
BODY = {name: value for name, value in TRANSFER.items() if name != "submission_id"}
JOB = {
    "name": "job",
    "start": "2030-01-01T00:00:00+00:00",
    "interval": 3600,
    "stop_after": {"n_runs": 2},
    "callback_url": "https://actions.automate.globus.org/transfer/transfer/run",
    "callback_body": {
        "body": {
            "source_endpoint_id": SOURCE,
            "destination_endpoint_id": DESTINATION,
            "transfer_items": [{"source_path": "/", "destination_path": "/copy/", "recursive": True}],
        }
    },
}
# What each route that takes a document is sent, more or less.
DOCUMENTS: dict[str, Any] = {
    "POST /v0.10/transfer": TRANSFER,
    "POST /v0.10/delete": {
        "DATA_TYPE": "delete",
        "submission_id": "5a0c9d5e-0000-4000-8000-0000000000ab",
        "endpoint": DESTINATION,
        "recursive": True,
        "DATA": [{"DATA_TYPE": "delete_item", "path": "/copy/"}],
    },
    "PUT /v0.10/task/<task_id>": {"DATA_TYPE": "task", "label": "new", "deadline": "2030-01-01T00:00:00+00:00"},
    "POST /v0.10/operation/endpoint/<collection_id>/mkdir": {"DATA_TYPE": "mkdir", "path": "/new/"},
    "POST /v0.10/operation/endpoint/<collection_id>/rename": {
        "DATA_TYPE": "rename",
        "old_path": "/a.dat",
        "new_path": "/z",
    },
    "POST /v2/timer": {"timer": {"timer_type": "transfer", "name": "timer", "schedule": SCHEDULE, "body": BODY}},
    "POST /jobs/": JOB,
    "PATCH /jobs/<job_id>": {"name": "other", "interval": 7200},
    "POST /jobs/<job_id>/resume": {"update_credentials": True},
    "POST /v2/api/clients": {"client": {"name": "client", "visibility": "private", "redirect_uris": []}},
    "POST /_emulator/clock": {"advance_seconds": 3600, "set": "2030-01-01T00:00:00Z"},
    "POST /_emulator/progress": {"mode": "polls:3"},
    "POST /_emulator/faults": {"route": "GET /v0.10/*", "times": 1, "status": 503, "headers": {"a": "b"}, "json": {}},
    "POST /_emulator/outcomes": {"outcome": "fail", "path": "*", "times": 1, "code": "X", "after_files": 1},
    "PATCH /_emulator/tasks/<task_id>": {"pause": True, "inactive": False, "message": "x"},
    "POST /_emulator/auth": {"expire_access_tokens": True, "revoke": "refresh_tokens"},
    "PATCH /_emulator/limits": {"items_per_task": 5, "request_bytes": 1000, "page_size": 3},
}
FORMS = {
    "/v2/oauth2/token": {"grant_type": "client_credentials", "scope": TRANSFER_ALL, "code": "c", "refresh_token": "r"},
    "/v2/oauth2/authorize": {"client_id": CLIENT, "scope": TRANSFER_ALL, "redirect_uri": "http://x", "state": "s"},
    "/v2/oauth2/": {"token": "t", "client_id": CLIENT},
}
QUERIES = {
    "limit": "10",
    "offset": "0",
    "fields": "task_id",
    "filter": "status:ACTIVE/label:x",
    "path": "/",
    "marker": "0",
    "orderby": "name ASC",
    "filter_fulltext": "arch",
    "filter_scope": "all",
    "show_hidden": "0",
    "last_key": "x",
    "client_id": CLIENT,
    "scope": TRANSFER_ALL,
    "response_type": "code",
    "redirect_uri": "http://x",
    "state": "s",
    "ids": RESEARCHER.id,
    "usernames": RESEARCHER.username,
    "code_challenge": "x",
    "page_size": "3",
}


class EmulatorTargets:
    """Worlds with two small collections, asked without HTTP between. Use it in a `with`."""

    def __init__(self, folder: Path) -> None:
        self._source, self._destination = folder / "source", folder / "destination"
        for each in (self._source, self._destination):
            each.mkdir(parents=True)
        (self._source / "a.dat").write_text("a")
        logging.getLogger("emulator.http.server").setLevel(logging.CRITICAL + 1)  # the answer says what failed

    def __enter__(self) -> EmulatorTargets:
        return self

    def __exit__(self, *exception: object) -> None:
        logging.getLogger("emulator.http.server").setLevel(logging.NOTSET)

    def services(self, data: st.DataObject) -> None:
        """The imitated services: whatever is asked, the answer is one of theirs."""
        self._ask(data, is_control=False)

    def control(self, data: st.DataObject) -> None:
        """The private prefix: whatever is asked, it is done or refused, and what is asked then is answered."""
        self._ask(data, is_control=True)

    def _ask(self, data: st.DataObject, *, is_control: bool) -> None:
        ends = [Collection(id=SOURCE, root=self._source), Collection(id=DESTINATION, root=self._destination)]
        world = make_world(ends, data.draw(st.sampled_from(["immediate", "polls:3"])))
        app = create_app(world)
        client = app.test_client()
        authorization = [f"Bearer {_token(world, scope)}" for scope in (TRANSFER_ALL, TIMER)]
        _prepare(client, authorization)
        rules = [
            (method, rule.rule)
            for rule in app.url_map.iter_rules()
            for method in sorted((rule.methods or set()) - {"HEAD", "OPTIONS"})
            # Settings of a collection may give it another folder: of this machine.
            if rule.rule.startswith(CONTROL) == is_control and "/collections/" not in rule.rule
        ]
        ids = [SOURCE, DESTINATION, CLIENT, str(uuid.UUID(int=1)), *world.tasks, *world.timers.timers]
        for _ in range(REQUESTS_PER_WORLD):
            method, rule = data.draw(st.sampled_from(rules))
            path = "/".join(
                quote(data.draw(st.one_of(st.sampled_from(ids), SOME_TEXT)), safe="", errors="surrogatepass")
                if part.startswith("<")
                else part
                for part in rule.split("/")
            )
            headers = {
                "Authorization": data.draw(st.sampled_from([*authorization, *authorization, "Bearer x", "Basic x"]))
            }
            body, content_type = _body(data, method, rule)
            query = data.draw(_query())
            world.advance()
            answer = client.open(
                path, method=method, query_string=query, data=body, content_type=content_type, headers=headers
            )
            said = answer.get_data(as_text=True)[:500]
            assert answer.status_code != 500, f"{method} {path} {query} {body!r}: {said}"
        world.advance()


def _token(world: World, scope: str) -> str:
    scopes = parse_scopes(scope)
    world.auth.consents.grant(RESEARCHER.id, CLIENT, scopes, at=world.clock.now(), allows_refresh=True)
    token: str = world.auth.grant(CLIENT, RESEARCHER.id, scopes, is_offline=False)["access_token"]
    return token


def _prepare(client: Any, authorization: list[str]) -> None:
    """Let there be a task and a timer."""
    task = client.post("/v0.10/transfer", json=TRANSFER, headers={"Authorization": authorization[0]})
    job = {**JOB, "start": datetime.now(timezone.utc).isoformat()}
    timer = client.post("/jobs/", json=job, headers={"Authorization": authorization[1]})
    assert (task.status_code, timer.status_code) == (202, 201), (task.text, timer.text)


def _body(data: st.DataObject, method: str, rule: str) -> tuple[bytes, str]:
    for beginning, form in FORMS.items():
        if rule.startswith(beginning):
            fields = data.draw(mutated(form, SOME_TEXT))
            pairs = fields.items() if isinstance(fields, dict) else [("text", fields)]
            text = "&".join(f"{name}={quote(str(value), errors='surrogatepass')}" for name, value in pairs)
            return text.encode("utf-8", "surrogatepass"), "application/x-www-form-urlencoded"
    document = DOCUMENTS.get(f"{method} {rule}")
    if document is None:
        return b"", "application/json"
    body = json.dumps(data.draw(st.one_of(mutated(document, JSON_VALUES), JSON_VALUES))).encode()
    return (data.draw(mutated_bytes(body)) if data.draw(st.integers(0, 9)) == 0 else body), "application/json"


@st.composite
def _query(draw: st.DrawFn) -> str:
    names = draw(st.lists(st.sampled_from(sorted(QUERIES)), max_size=5, unique=True))
    values = {name: draw(SOME_TEXT) if draw(st.integers(0, 3)) == 0 else QUERIES[name] for name in names}
    return "&".join(f"{name}={quote(value, errors='surrogatepass')}" for name, value in values.items())
