"""What conform.py has schemathesis do beside its own: ask for what is there, wait for nothing long, and
count what was answered."""

import json
import os
import pathlib
import threading
import time

import requests
import schemathesis

FOLDER = pathlib.Path(os.environ["CONFORM_FOLDER"])
IDS = json.loads((FOLDER / "ids.json").read_text())
REPLAYS = os.environ["CONFORM_API"] + "/v1/admin/replays"
LOCK = threading.Lock()
TURNS = {}

# A line of many: schemathesis knows no such form.
LINE = {"license_id": "conform-1", "type": "DeviceHeartbeat", "data": {"device_id": "d-1"}}


@schemathesis.serializer("application/x-ndjson")
def lines(_context, value):
    """Texts as they are, now and then after a line that is an event."""
    text = value if isinstance(value, str) else json.dumps(value)
    if len(text) % 3 == 0:
        return (json.dumps(LINE) + "\n" + text).encode("utf-8", "surrogatepass")
    return text.encode("utf-8", "surrogatepass")


def beside(was_live):
    """The generations beside the live one that were live before, or never were."""
    items = requests.get(REPLAYS, timeout=30).json()["items"]
    return [it["generation"] for it in items if not it["is_live"] and bool(it["was_live_until"]) == was_live]


def begun():
    """A generation that was never live."""
    return beside(False) or [requests.post(REPLAYS, json={"from": "beginning"}, timeout=30).json()["generation"]]


def former():
    """One that was live before: where there is none, another takes the place of the one that is."""
    if not beside(True):
        # One that is there may be a part of the log, or slow.
        for number in beside(False):
            requests.post(f"{REPLAYS}/{number}/cancel", timeout=30)
        number = begun()[0]
        requests.post(f"{REPLAYS}/{number}/switch", timeout=30)
        until = time.monotonic() + 90
        while not beside(True):
            assert time.monotonic() < until, requests.get(REPLAYS, timeout=30).text
            time.sleep(0.05)
    return beside(True)


def generations(path):
    """Of which generations a deed can be done."""
    if path.endswith(("/rollback", "/drop")):
        return former()
    return begun()


@schemathesis.hook
def before_call(_context, case, _kwargs):
    """Of three requests with an id in their path, two ask for one that is there, of the tenant that has it."""
    with LOCK:
        turn = TURNS[case.operation.label] = TURNS.get(case.operation.label, -1) + 1
    headers = case.headers if case.headers is not None else {}
    for name in case.path_parameters or {}:
        there = IDS.get(name)
        if there and turn % 3:
            case.path_parameters[name] = there[turn % len(there)]
            headers.pop("X-Tenant-Id", None)
    path = case.operation.path
    if path.startswith("/v1/admin/replays") and turn % 3:
        if path == "/v1/admin/replays" and case.operation.method.upper() == "POST":
            for number in beside(False):
                requests.post(f"{REPLAYS}/{number}/cancel", timeout=30)
        elif path != "/v1/admin/replays":
            numbers = generations(path)
            if "generation" in (case.path_parameters or {}):
                case.path_parameters["generation"] = numbers[0]
    query = case.query if isinstance(case.query, dict) else {}
    if turn % 3:
        # Few positions and lags that are made are ever reached, and no cursor is one that a list gave.
        for name in ("X-Min-Position", "X-Max-Staleness-Ms"):
            headers.pop(name, None)
        for name in ("min_position", "cursor"):
            query.pop(name, None)
    elif "X-Wait-Ms" not in headers or str(headers["X-Wait-Ms"]).isdigit():
        headers["X-Wait-Ms"] = str(turn % 7)
    if turn % 3 == 2:
        # Most times that are made are long before the first event.
        for name in ("as_of", "known_at"):
            query.pop(name, None)
    case.headers = headers


@schemathesis.check
def no_internal_error(_context, response, _case):
    """The service never fails by its own fault."""
    assert response.status_code != 500, "answered 500"


@schemathesis.check
def counted(_context, response, case):
    """Counts answers by operation, where the method is the operation's own."""
    if response.request.method == case.operation.method.upper():
        line = json.dumps([case.operation.label, response.status_code])
        with LOCK, (FOLDER / "counted.ndjson").open("a") as file:
            file.write(line + "\n")
