"""The private prefix /_emulator/: the powers of the world for tests in other processes. JSON, no authentication.

    GET    state               now, tasks with their submitted documents, conflicts, collections, timers
    GET    requests            the imitated requests so far        DELETE  forget them
    POST   clock               {"advance_seconds": n} or {"set": ISO}
    POST   progress            {"mode": "immediate" | "polls:N" | "seconds:S"}
    POST   faults              the fields of gate_rules.Fault      DELETE  no more
    POST   outcomes            the fields of outcomes.OutcomeRule  DELETE  no more
    POST   odd_lists           the fields of odd_lists.OddList     DELETE  no more
    POST   keep_seeing         {"collection": ID, "path": path}    DELETE  see all as it is
    PATCH  tasks/ID            the arguments of World.change_task
    PATCH  collections/ID      any field of collection.Collection
    POST   auth                the arguments of World.change_auth
    PATCH  limits              items_per_task, request_bytes, page_size

What makes no sense is answered 400 with {"error": why}. Nothing here is logged or struck by faults.
"""

from __future__ import annotations

import dataclasses
from typing import Any

from flask import Blueprint, Response, request

from emulator.clock import iso, parse_time
from emulator.errors import ControlRefusal
from emulator.snapshot import collection_state, task_state, world_state
from emulator.world import World

from .middleware import CONTROL_PREFIX
from .requests import json_body, json_response


def control_blueprint(world: World) -> Blueprint:
    """The routes of the private prefix; each is one call of the world."""
    routes = Blueprint("control", __name__, url_prefix=CONTROL_PREFIX)

    @routes.get("/state")
    def state() -> Response:
        return json_response(world_state(world))

    @routes.get("/requests")
    def requests() -> Response:
        return json_response([dataclasses.asdict(entry) for entry in world.requests])

    @routes.delete("/requests")
    def forget_requests() -> Response:
        world.requests.clear()
        return json_response({})

    @routes.post("/clock")
    def clock() -> Response:
        body = _body()
        if "set" in body:
            world.set_clock(parse_time(str(body["set"])))
        else:
            world.advance_clock(float(body["advance_seconds"]))
        return json_response({"now": iso(world.clock.now())})

    @routes.post("/progress")
    def progress() -> Response:
        world.set_progress(str(_body()["mode"]))
        return json_response({"mode": str(world.queue.progress)})

    @routes.post("/faults")
    def add_fault() -> Response:
        world.add_fault(**_body())
        return json_response({}, 201)

    @routes.delete("/faults")
    def clear_faults() -> Response:
        world.clear_faults()
        return json_response({})

    @routes.post("/outcomes")
    def add_outcome() -> Response:
        body = _body()
        world.add_outcome(**{key: value for key, value in body.items() if value is not None or key == "times"})
        return json_response({}, 201)

    @routes.delete("/outcomes")
    def clear_outcomes() -> Response:
        world.clear_outcomes()
        return json_response({})

    @routes.post("/odd_lists")
    def add_odd_list() -> Response:
        world.add_odd_list(**_body())
        return json_response({}, 201)

    @routes.delete("/odd_lists")
    def clear_odd_lists() -> Response:
        world.clear_odd_lists()
        return json_response({})

    @routes.post("/keep_seeing")
    def keep_seeing() -> Response:
        body = _body()
        world.keep_seeing(str(body["collection"]), str(body["path"]))
        return json_response({}, 201)

    @routes.delete("/keep_seeing")
    def see_all() -> Response:
        world.see_all()
        return json_response({})

    @routes.patch("/tasks/<task_id>")
    def change_task(task_id: str) -> Response:
        world.change_task(task_id, **_body())
        known = world.tasks.get(task_id)
        return json_response({} if known is None else task_state(known))

    @routes.patch("/collections/<collection_id>")
    def change_collection(collection_id: str) -> Response:
        return json_response(collection_state(world.change_collection(collection_id, **_body())))

    @routes.post("/auth")
    def change_auth() -> Response:
        world.change_auth(**_body())
        return json_response({})

    @routes.patch("/limits")
    def change_limits() -> Response:
        for name, value in _body().items():
            if name == "page_size":
                world.page_size = int(value)
            elif name in ("items_per_task", "request_bytes"):
                if not (value is None or (isinstance(value, int) and value >= 0)):
                    raise ControlRefusal(f"{name} is a number that is not negative, or null for no limit")
                setattr(world.limits, name, value)
            else:
                raise ControlRefusal(f"there is no limit {name!r}")
        return json_response({**dataclasses.asdict(world.limits), "page_size": world.page_size})

    @routes.errorhandler(ValueError)
    @routes.errorhandler(TypeError)
    @routes.errorhandler(KeyError)
    def refuse(error: Exception) -> Response:
        # A wrong name or value in the body surfaces where it is used; the caller is a test, which wants to see it.
        return json_response(ControlRefusal(f"{type(error).__name__}: {error}").body(request.path), 400)

    return routes


def _body() -> dict[str, Any]:
    body = json_body()
    if not isinstance(body, dict):
        raise ControlRefusal("the body must be a JSON object")
    return body
