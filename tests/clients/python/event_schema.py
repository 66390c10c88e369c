"""The reader's schema: what an event's members are, taken from the .avsc, and how a writer's schema fits it."""

from pathlib import Path

import avro_body

AVSC = Path(__file__).resolve().parents[3] / "avro" / "schemas" / "license_event.avsc"
READER = avro_body.parse_schema(AVSC.read_text(encoding="utf-8"))
EVENT_NAME = READER["name"]
ENVELOPE = {member["name"]: member for member in READER["fields"] if member["name"] != "payload"}
PAYLOADS = {
    branch["name"].rpartition(".")[2]: {member["name"]: member for member in branch["fields"]}
    for member in READER["fields"]
    if member["name"] == "payload"
    for branch in member["schema"]["branches"]
}
UUIDS = {"event_id", "voided_event_id"}
# What a reader's type may be read from, as Avro promotes it.
PROMOTIONS = {("int", "long"), ("bytes", "string")}


def nullable(member):
    """Whether the schema has null for it, and the schema of what else it may be."""
    schema = member["schema"]
    if schema["type"] != "union":
        return False, schema
    return True, next(branch for branch in schema["branches"] if branch["type"] != "null")


def writer_from(text):
    """A writer's schema that gives LicenseEvents; avro_body.Unusable for any other."""
    writer = avro_body.parse_schema(text)
    if writer.get("name") != EVENT_NAME or writer["type"] != "record":
        raise avro_body.Unusable("not a LicenseEvent")
    members = {member["name"]: member["schema"] for member in writer["fields"]}
    _fits(members, ENVELOPE)
    for branch in _branches(members.get("payload", {"type": "union", "branches": []})):
        if branch["type"] != "record":
            raise avro_body.Unusable("a payload that is not a record")
        known = PAYLOADS.get(branch["name"].rpartition(".")[2])
        if known is not None:
            _fits({member["name"]: member["schema"] for member in branch["fields"]}, known)
    if "payload" not in members:
        raise avro_body.Unusable("no payload")
    return writer


def _branches(schema):
    return schema["branches"] if schema["type"] == "union" else [schema]


def _fits(writer, reader):
    for name, member in reader.items():
        if name not in writer:
            if "default" not in member:
                raise avro_body.Unusable(f"no {name}")
            continue
        for branch in _branches(writer[name]):
            if not any(_reads(branch, wanted) for wanted in _branches(member["schema"])):
                raise avro_body.Unusable(f"another type of {name}")


def _reads(writer, reader):
    if writer["type"] != reader["type"]:
        return (writer["type"], reader["type"]) in PROMOTIONS
    return reader["type"] != "map" or _reads(writer["of"], reader["of"])


def resolved(named):
    """Envelope, payload type and payload members, with the reader's defaults for what a writer does not know."""
    envelope = _take(named.value, ENVELOPE)
    payload = named.value["payload"]
    kind = payload.name.rpartition(".")[2]
    return envelope, kind, _take(payload.value, PAYLOADS[kind]) if kind in PAYLOADS else None


def _take(values, members):
    return {name: values[name] if name in values else member["default"] for name, member in members.items()}
