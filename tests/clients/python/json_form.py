"""The JSON form of an event: every member checked against the schema, unknown and repeated ones refused."""

from event_schema import ENVELOPE, PAYLOADS, nullable
from record import Reject
from strict_json import BadJson, Members, parse
from times import parse_micros

TAGS = {"type", "data"}


def decode(value):
    """Envelope, type and payload members; Reject with `bad_json`, `unknown_type` or `invalid_event`."""
    try:
        top = parse(value)
    except BadJson as error:
        raise Reject("bad_json") from error
    tags = [member for name, member in top if name == "type"]
    if len(tags) == 1 and isinstance(tags[0], str) and tags[0] not in PAYLOADS:
        raise Reject("unknown_type")
    bad = []
    members = _object(top, ENVELOPE.keys() | TAGS, bad)
    kind, data = members.get("type"), members.get("data")
    bad += [name for name, fits in (("type", kind in PAYLOADS if isinstance(kind, str) else False),
                                    ("data", isinstance(data, Members))) if not fits]
    envelope = _take(members, ENVELOPE, bad)
    payload = {}
    if "type" not in bad and "data" not in bad:
        payload = _take(_object(data, PAYLOADS[kind].keys(), bad), PAYLOADS[kind], bad)
    if bad:
        raise Reject("invalid_event", *bad)
    return envelope, kind, payload


def _object(pairs, known, bad):
    found = {}
    for name, value in pairs:
        if name in found or (known is not None and name not in known):
            bad.append(name)
        found[name] = value
    return found


def _take(found, members, bad):
    taken = {}
    for name, member in members.items():
        if name not in found:
            if "default" not in member:
                bad.append(name)
            taken[name] = member.get("default")
            continue
        try:
            taken[name] = _typed(found[name], member)
        except ValueError:
            bad.append(name)
    return taken


def _typed(value, member):
    """The value as the schema has it, or ValueError."""
    may_be_null, schema = nullable(member)
    if value is None and may_be_null:
        return None
    if schema.get("logical") == "timestamp-micros" and isinstance(value, str):
        return parse_micros(value)
    if schema["type"] == "map" and isinstance(value, Members):
        bad = []
        entries = _object(value, None, bad)
        if not bad and all(isinstance(text, str) for text in entries.values()):
            return entries
    elif schema["type"] == "string" and isinstance(value, str):
        return value
    elif schema["type"] in ("int", "long") and schema.get("logical") is None and type(value) is int:
        return value
    raise ValueError("another type")
