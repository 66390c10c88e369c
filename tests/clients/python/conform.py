"""Asks a running service everything that its OpenAPI document allows, and much that it does not.

schemathesis makes the requests (examples, boundary values, random ones) and compares each answer with
the document: status, media type, headers, body. Before that the document is closed: a member of an
answer that it does not name is a difference too, though clients must bear with one. No request may be
answered 500. Every operation must have been asked and have given an answer of success.

Prints counts as JSON; exit 1 on any difference.
"""

import argparse
import collections
import json
import os
import pathlib
import subprocess
import sys
import tempfile

import requests

HERE = pathlib.Path(__file__).parent
CHECKS = [
    "no_internal_error",
    "counted",
    "status_code_conformance",
    "content_type_conformance",
    "response_headers_conformance",
    "response_schema_conformance",
    "unsupported_method",
]


def close(schema, is_inner=False):
    """The same schema, of which an object has no members but those that are named."""
    if isinstance(schema, list):
        return [close(each, is_inner) for each in schema]
    if not isinstance(schema, dict):
        return schema
    closed = {}
    for name, value in schema.items():
        if name in ("examples", "example", "enum", "const", "default", "required"):
            closed[name] = value
        elif name == "properties":
            closed[name] = {member: close(each) for member, each in value.items()}
        else:
            # What allOf and oneOf hold is part of the object around it.
            closed[name] = close(value, is_inner or name in ("allOf", "oneOf"))
    names_members = "properties" in closed or "allOf" in closed
    if names_members and "additionalProperties" not in closed and not is_inner:
        closed["unevaluatedProperties"] = False
    return closed


# It never ends; what it says is for other tests.
ENDLESS = "/v1/stream"


def operations(document):
    return [f"{method.upper()} {path}" for path, item in document["paths"].items() for method in item
            if path != ENDLESS]


def ids(api):
    """What there is to ask for: some of it of other tenants, some with much behind it."""
    licenses = requests.get(f"{api}/v1/licenses?limit=40&sort=-last_event_at", timeout=30).json()["items"]
    assert licenses, "there is no license to ask for"
    events = requests.get(f"{api}/v1/licenses/{licenses[0]['license_id']}/events", timeout=30).json()["items"]
    letters = requests.get(f"{api}/v1/admin/dlq?limit=30", timeout=30).json()["items"]
    assert letters, "there is no dead letter to ask for"
    return {
        # Of one length, so that a path names one letter.
        "topic": [it["topic"] for it in letters],
        "partition": [it["partition"] for it in letters],
        "offset": [it["offset"] for it in letters],
        "license_id": [it["license_id"] for it in licenses],
        "customer_id": sorted({it["customer_id"] for it in licenses if it["customer_id"]}),
        "request_id": sorted({it["request_id"] for it in events}),
        "file": ["swagger-ui.css", "begin.js", "favicon-32x32.png"],
    }


def run(api, seed, examples, folder):
    document = requests.get(f"{api}/openapi.json", timeout=30).json()
    document["components"]["schemas"] = {
        name: close(schema) for name, schema in document["components"]["schemas"].items()
    }
    (folder / "document.json").write_text(json.dumps(document))
    (folder / "ids.json").write_text(json.dumps(ids(api)))
    # One worker: threads that parse Python at once trip over each other in CPython 3.11 (a SystemError of
    # its AST), and hypothesis does so.
    command = [
        sys.executable, "-W", "ignore", "-m", "schemathesis.cli", "run", str(folder / "document.json"),
        "--url", api, "--seed", str(seed), "--max-examples", str(examples), "--checks", ",".join(CHECKS),
        "--exclude-path", ENDLESS, "--phases", "examples,coverage,fuzzing", "--generation-database", "none", "--mode", "all",
        "--continue-on-failure", "--no-color", "--request-timeout", "25",
        "--suppress-health-check", "all", "--warnings", "off",
    ]
    counted = folder / "counted.ndjson"
    environment = dict(
        os.environ, SCHEMATHESIS_HOOKS="conform_hooks", PYTHONPATH=str(HERE), CONFORM_FOLDER=str(folder),
        CONFORM_API=api,
    )
    ended = subprocess.run(command, env=environment, cwd=folder, capture_output=True, text=True)
    counts = collections.defaultdict(collections.Counter)
    for line in counted.read_text().splitlines() if counted.exists() else []:
        operation, status = json.loads(line)
        counts[operation][str(status)] += 1
    return ended, operations(document), counts


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--api", required=True)
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--examples", type=int, default=20)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        ended, known, counts = run(asked.api, asked.seed, asked.examples, pathlib.Path(folder))
    if ended.returncode:
        print(ended.stdout[-20_000:], ended.stderr[-4000:])
        sys.exit(1)
    without = [it for it in known if not any(status < "300" for status in counts.get(it, {}))]
    report = {
        "seed": asked.seed,
        "requests": sum(sum(each.values()) for each in counts.values()),
        "operations": {it: dict(sorted(counts[it].items())) for it in known},
    }
    print(json.dumps(report, indent=1))
    if without:
        print(f"never answered with success: {without}", file=sys.stderr)
        sys.exit(1)


if __name__ == "__main__":
    main()
