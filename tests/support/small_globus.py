"""A second Globus, smaller than the emulator and written apart from it, so that client and emulator share no mistake.

Transfer and the token endpoint of Auth on loopback, by `http.server` alone. A task copies real files when it is first
asked for. What a test wants to be odd it puts into the attributes: what the transfer node sees, where the destination
stores a name, what the ended task's document and lists say, which requests are refused.

Shapes: the SDK's recorded responses (`globus_sdk.testing`). Observed: 404 `ClientError.NotFound` for an unknown task
(terraref/computing-pipeline, issue 425); 409 `Conflict` for identical paths (brockpalen/archivetar, pull request 65);
the fatal errors CANCELED (the SDK's tests against the service, 2017) and EXPIRED, "deadline expired".
"""

from __future__ import annotations

import json
import os
import shutil
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple, Optional
from urllib.parse import parse_qs, urlsplit

EXISTS, SIZE, MTIME, CHECKSUM = range(4)
TIMERS = "524230d7-ea86-4a52-8312-86065a9e0417"  # the client ID of the Timers service
Answer = tuple[int, Any]  # a status, and a document, bytes or Raw
DROPPED: Answer = (0, b"")  # no answer: the connection is closed
IDENTITY = {"sub": "11111111-2222-4333-8444-555555555555", "name": "R. Researcher", "organization": "Example"}
PERSON = {**IDENTITY, "preferred_username": "r@example.org", "email": "r@example.org", "identity_set": [IDENTITY]}


class Raw(NamedTuple):
    """A document or bytes, and headers in the place of the usual ones."""

    content: Any
    headers: dict[str, str]


class SmallTask:
    """One transfer task.

    Attributes:
        posted: The submitted document.
        document: What GET /task/ID answers.
        successful, skipped: The rows of its two lists.
    """

    def __init__(self, posted: dict[str, Any]) -> None:
        self.posted = posted
        self.task_id = str(uuid.uuid4())
        self.successful: list[dict[str, Any]] = []
        self.skipped: list[dict[str, Any]] = []
        counts = ("files", "files_skipped", "files_transferred", "directories", "bytes_transferred", "faults")
        subtasks = ("total", "pending", "succeeded", "failed", "retrying", "canceled", "expired", "skipped_errors")
        self.document: dict[str, Any] = {
            "DATA_TYPE": "task",
            "type": "TRANSFER",
            "task_id": self.task_id,
            "status": "ACTIVE",
            "label": posted.get("label"),
            "source_endpoint_id": posted["source_endpoint"],
            "destination_endpoint_id": posted["destination_endpoint"],
            "sync_level": posted.get("sync_level"),
            "verify_checksum": posted.get("verify_checksum"),
            "completion_time": None,
            "fatal_error": None,
            "history_deleted": False,
            "is_ok": True,
            "is_paused": False,
            "nice_status": "OK",
            **dict.fromkeys(counts, 0),
            **{f"subtasks_{name}": 0 for name in subtasks},
        }

    @property
    def is_open(self) -> bool:
        return bool(self.document["status"] == "ACTIVE")


class SmallGlobus:
    """The service, for the length of a with-statement.

    Attributes:
        tasks: Every accepted task by its id, in order.
        is_held: Whether tasks stay ACTIVE.
        seen: Source path -> the path of the file that the transfer node reads, or None: it sees none.
        stored: Destination path -> the path where the destination keeps it.
        after: Called with each task when it has ended, to change what is said of it.
        answer: (method, path, query, body) -> an answer that stands in for the usual one, or None.
        row_sizes: Whether the rows of successful transfers have sizes.
        page_size: Rows a page of a list.
        collection: What collections say beside the usual.
        overlaps: Paths that were accepted while another open task had them.
    """

    def __init__(self) -> None:
        self.tasks: dict[str, SmallTask] = {}
        self.is_held = False
        self.seen: Callable[[str], Optional[str]] = lambda path: path
        self.stored: Callable[[str], str] = lambda path: path
        self.after: Callable[[SmallTask], None] = lambda task: None
        self.answer: Callable[[str, str, dict[str, str], Any], Optional[Answer]] = lambda *request: None
        self.row_sizes = True
        self.page_size = 1000
        self.collection: dict[str, Any] = {"disable_verify": False}
        self.overlaps: list[set[tuple[str, str]]] = []
        self.requests: list[str] = []
        self._lock = threading.RLock()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)

    def __enter__(self) -> SmallGlobus:
        self._thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def environment(self) -> dict[str, str]:
        """What aims the SDK at this service."""
        url = f"http://127.0.0.1:{self._server.server_address[1]}/"
        return {**{f"GLOBUS_SDK_SERVICE_URL_{name}": url for name in ("AUTH", "TRANSFER", "TIMER")}, "NO_PROXY": "*"}

    @property
    def newest(self) -> SmallTask:
        return list(self.tasks.values())[-1]

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        service = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def do_GET(self) -> None:
                self._serve("GET")

            def do_POST(self) -> None:
                self._serve("POST")

            def log_message(self, format: str, *args: Any) -> None:
                """Say nothing."""

            def _serve(self, method: str) -> None:
                url = urlsplit(self.path)
                raw = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                body = json.loads(raw) if raw.startswith(b"{") else raw.decode()
                query = {name: values[-1] for name, values in parse_qs(url.query).items()}
                with service._lock:
                    service.requests.append(f"{method} {url.path}")
                    answer = service.answer(method, url.path, query, body) or service.usual(
                        method, url.path, query, body
                    )
                if answer[0] == 0:
                    self.close_connection = True
                    return
                content, headers = answer[1] if isinstance(answer[1], Raw) else (answer[1], {})
                content = content if isinstance(content, bytes) else json.dumps(content).encode()
                usual = {"Content-Type": "application/json", "Content-Length": str(len(content))}
                self.send_response(answer[0])
                for name, value in {**usual, **headers}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(content)

        return Handler

    def usual(self, method: str, path: str, query: dict[str, str], body: Any) -> Answer:
        """The answer to a request when nothing stands in for it."""
        if path.startswith(("/v2/oauth2/", "/.well-known/")):  # the latter is asked for its Date header
            return 200, _token(body) if path.endswith("token") else PERSON
        _, version, *words = path.split("/")
        if version != "v0.10":
            return refusal(404, "ClientError.NotFound", f"No such route {path}")
        if words == ["submission_id"]:
            return 200, {"value": str(uuid.uuid4())}
        if words[0] == "endpoint" and len(words) == 2:
            return 200, {**_collection(words[1]), **self.collection}
        if (method, words) == ("POST", ["transfer"]):
            return self._accept(body)
        if words[:2] == ["operation", "endpoint"]:
            return self._operate(words[3], query, body)
        if words == ["delete"]:
            return self._delete(body)
        if words == ["task_list"]:
            return 200, self._task_list(query)
        if words[0] == "task":
            return self._task(words[1:], query)
        return refusal(404, "ClientError.NotFound", f"No such route {path}")

    def _accept(self, posted: dict[str, Any]) -> Answer:
        known = [task for task in self.tasks.values() if task.posted["submission_id"] == posted["submission_id"]]
        carried = [_paths(task.posted) for task in self.tasks.values() if task.is_open and task not in known]
        if _paths(posted) in carried:
            return refusal(409, "Conflict", "A transfer with identical paths has not yet completed")
        self.overlaps += [paths & _paths(posted) for paths in carried if paths & _paths(posted)]
        task = known[0] if known else SmallTask(posted)
        self.tasks[task.task_id] = task
        code, status = ("Duplicate", 200) if known else ("Accepted", 202)
        return status, {
            "DATA_TYPE": "transfer_result",
            "code": code,
            "message": code,
            "request_id": "small",
            "resource": "/transfer",
            "submission_id": posted["submission_id"],
            "task_id": task.task_id,
        }

    def _operate(self, operation: str, query: dict[str, str], body: Any) -> Answer:
        if operation == "ls":
            return self._list(query["path"], int(query.get("limit") or 100_000))
        os.makedirs(self.stored(str(body["path"]).rstrip("/")))
        return 202, {"DATA_TYPE": "mkdir_result", "code": "DirectoryCreated", "message": "made", "request_id": "small"}

    def _delete(self, posted: dict[str, Any]) -> Answer:
        for item in posted["DATA"]:
            shutil.rmtree(self.stored(str(item["path"]).rstrip("/")), ignore_errors=True)
        return 202, {"DATA_TYPE": "delete_result", "code": "Accepted", "message": "ok", "task_id": str(uuid.uuid4())}

    def _task_list(self, query: dict[str, str]) -> dict[str, Any]:
        documents = [task.document for task in self.tasks.values()]
        for part in query.get("filter", "").split("/"):
            name, _, wanted = part.partition(":")
            if name == "label":
                documents = [one for one in documents if one["label"] == wanted.lstrip("=")]
            elif name in ("status", "type"):
                documents = [one for one in documents if one[name] in wanted.split(",")]
        count = len(documents)
        return {
            "DATA_TYPE": "task_list",
            "offset": 0,
            "limit": 1000,
            "length": count,
            "total": count,
            "DATA": documents,
        }

    def _task(self, words: list[str], query: dict[str, str]) -> Answer:
        task = self.tasks.get(words[0])
        if task is None:
            return refusal(404, "ClientError.NotFound", f"No task found with id '{words[0]}'")
        if words[1:] == ["cancel"]:
            self.fail(task, "CANCELED", "canceled")
            return 200, {"DATA_TYPE": "result", "code": "Canceled", "message": "canceled", "request_id": "small"}
        if not words[1:]:
            if task.is_open and not self.is_held:
                self._carry_out(task)
            return 200, task.document
        rows = {"successful_transfers": task.successful, "skipped_errors": task.skipped}[words[1]]
        marker = query.get("marker") or "0"
        if not marker.isdecimal():
            return refusal(400, "ClientError.BadRequest", "The marker is not one of this list")
        start = int(marker)
        end = start + self.page_size
        more = end if end < len(rows) else None
        return 200, {"DATA_TYPE": words[1], "marker": start, "next_marker": more, "DATA": rows[start:end]}

    def _list(self, path: str, limit: int) -> Answer:
        """A folder as the destination keeps it. The refusal: as the SDK recorded it for a path that is not there."""
        place = self.stored(path.rstrip("/"))
        if not os.path.isdir(place):
            return refusal(404, "ClientError.NotFound", f"Directory '{path}' not found on endpoint")
        entries = [{"DATA_TYPE": "file", "name": name} for name in sorted(os.listdir(place))[:limit]]
        return 200, {"DATA_TYPE": "file_list", "path": path, "length": len(entries), "DATA": entries}

    # --- copying

    def fail(self, task: SmallTask, code: str, description: str, *, items: int = 0) -> None:
        """End a task as FAILED once this number of further items is copied."""
        self.copy(task, items)
        fatal = {"code": code, "description": description}
        task.document.update(status="FAILED", completion_time=_now(), is_ok=None, nice_status=None, fatal_error=fatal)

    def _carry_out(self, task: SmallTask) -> None:
        self.copy(task)
        task.document.update(
            status="SUCCEEDED",
            completion_time=_now(),
            nice_status=None,
            subtasks_skipped_errors=len(task.skipped),
        )
        self.after(task)

    def copy(self, task: SmallTask, most: Optional[int] = None) -> None:
        """Copy the task's items, or only the first ones."""
        for item in task.posted["DATA"][:most]:
            source, destination = str(item["source_path"]), str(item["destination_path"])
            if not item.get("recursive"):
                self._copy(task, source, destination)
                continue
            seen = self.seen(source)
            if seen is not None and os.path.isdir(seen):
                os.makedirs(self.stored(destination), exist_ok=True)
            for path, below in _files_below(source, self.seen):
                if below.endswith("/"):
                    os.makedirs(self.stored(os.path.join(destination, below)), exist_ok=True)
                else:
                    self._copy(task, path, os.path.join(destination, below))

    def _copy(self, task: SmallTask, source: str, destination: str) -> None:
        seen = self.seen(source)
        if seen is None or not os.path.isfile(seen):
            task.skipped.append(
                {"DATA_TYPE": "skipped_error", "source_path": source, "error_code": "FILE_NOT_FOUND"},
            )
            return
        document, place = task.document, self.stored(destination)
        document["files"] += 1
        if _is_current(seen, place, task.posted.get("sync_level")):
            document["files_skipped"] += 1
            return
        os.makedirs(os.path.dirname(place), exist_ok=True)
        shutil.copyfile(seen, place)
        state = os.stat(seen)
        if task.posted.get("preserve_timestamp"):
            os.utime(place, ns=(state.st_atime_ns, state.st_mtime_ns))
        document["files_transferred"] += 1
        document["bytes_transferred"] += state.st_size
        row = {"DATA_TYPE": "successful_transfer", "source_path": source, "destination_path": destination}
        task.successful.append({**row, "size": state.st_size} if self.row_sizes else row)


def _now() -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S+00:00", time.gmtime())


def _paths(posted: dict[str, Any]) -> set[tuple[str, str]]:
    return {(str(item["source_path"]), str(item["destination_path"])) for item in posted["DATA"]}


def _files_below(top: str, seen: Callable[[str], Optional[str]]) -> Iterator[tuple[str, str]]:
    """Every file (source path, path below top) and folder (the same, with a slash at the end) that the node sees."""
    here = seen(top)
    for folder, names, files in os.walk(here) if here is not None else ():
        below = os.path.relpath(folder, here)
        prefix = "" if below == "." else f"{below}/"
        for name in sorted(names):
            yield f"{top.rstrip('/')}/{prefix}{name}", f"{prefix}{name}/"
        for name in sorted(files):
            yield f"{top.rstrip('/')}/{prefix}{name}", f"{prefix}{name}"


def _is_current(source: str, place: str, sync_level: Optional[int]) -> bool:
    if sync_level is None or not os.path.exists(place):
        return False
    ours, theirs = os.stat(source), os.stat(place)
    if sync_level == EXISTS:
        return True
    if ours.st_size != theirs.st_size:
        return False
    if sync_level == SIZE:
        return True
    if sync_level == MTIME:
        return int(ours.st_mtime) <= int(theirs.st_mtime)
    with open(source, "rb") as one, open(place, "rb") as other:
        return one.read() == other.read()


def _token(form: str) -> dict[str, Any]:
    asked = parse_qs(form).get("scope", ["urn:globus:auth:scope:transfer.api.globus.org:all"])[-1]
    asked = asked.partition("[")[0]  # an answer names scopes without what they depend on
    return {
        "access_token": f"token-{uuid.uuid4().hex}",
        "scope": asked,
        "expires_in": 172800,
        "token_type": "Bearer",
        "resource_server": TIMERS if TIMERS in asked else "transfer.api.globus.org",
        "other_tokens": [],
    }


def _collection(collection_id: str) -> dict[str, Any]:
    return {
        "DATA_TYPE": "endpoint",
        "id": collection_id,
        "display_name": "small",
        "entity_type": "GCSv5_guest_collection",
        "gcp_connected": None,
        "gcp_paused": None,
        "non_functional": False,
        "high_assurance": False,
        "DATA": [],
    }


def refusal(status: int, code: str, message: str, **more: Any) -> Answer:
    """A refusal in the form of Transfer, as the SDK recorded it."""
    return status, {"code": code, "message": message, "request_id": "small", "resource": "/", **more}
