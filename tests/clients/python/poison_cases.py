"""Records that are not events, one for every reason that a client can cause, and their close neighbours that are."""

import io
import json
from dataclasses import dataclass

import avro_datum
from times import format_micros

EVENT_ID = "6f2b1c3e-0d4a-4e5f-8a9b-0c1d2e3f4a5b"
UNREGISTERED = 2_000_000_000
GREAT = 2 << 20


@dataclass(frozen=True)
class Case:
    """`reason` is None where the record is an event after all."""

    name: str
    reason: str | None
    value: bytes | None
    key: bytes | None = None
    headers: tuple = ()


def event(license_id, kind="LicenseSuspended", data=None, **members):
    """An event in the JSON form, as a dict."""
    base = {"event_id": EVENT_ID, "tenant_id": "poison", "license_id": license_id,
            "occurred_at": "2026-01-31T10:00:00.000001Z", "type": kind, "data": {} if data is None else data}
    return base | members


def text(value):
    """Its JSON in bytes."""
    return json.dumps(value).encode()


def issued(**members):
    """A LicenseIssued's payload."""
    return {"customer_id": "c", "product_id": "p", "plan": "x", "seats": 1,
            "valid_from": "2026-01-01T00:00:00Z", **members}


def cases(license_id, schema_id, foreign_schema_id, now_micros):
    """All of them, about one license. `schema_id` is LicenseEvent's, `foreign_schema_id` another registered one's."""
    key = license_id.encode()
    yield from _shapes(license_id, key)
    yield from _avro(license_id, schema_id, foreign_schema_id)
    yield from _json(license_id)
    for name, reason, value in _limits(license_id):
        yield Case(name, reason, text(value), key)
    yield from _sized(license_id, key)
    yield Case("another license's key", "key_mismatch", text(event(license_id)), b"another")
    yield Case("an empty key", "key_mismatch", text(event(license_id)), b"")
    late = format_micros(now_micros + 3_600_000_000)
    yield Case("an hour ahead", "occurred_at_in_future", text(event(license_id, occurred_at=late)), key)


def _shapes(license_id, key):
    yield Case("no value", "tombstone", None, key)
    yield Case("no bytes", "empty", b"", key)
    yield Case("plain text", "unknown_format", b"hello", key)
    yield Case("JSON after a blank", "unknown_format", b" " + text(event(license_id)), key)
    yield Case("a JSON array", "unknown_format", text([event(license_id)]), key)


def _avro(license_id, schema_id, foreign_schema_id):
    def wire(body, of=schema_id):
        return b"\x00" + of.to_bytes(4, "big") + body

    line = text(event(license_id, data={"reason": "why"}))
    body = avro_datum.body(line)
    # The payload's branch is the one byte before the reason's length and its three bytes.
    branch = len(body) - 5
    yield Case("an id of no schema", "unknown_schema", wire(body, UNREGISTERED))
    yield Case("an id of another schema", "unknown_schema", wire(body, foreign_schema_id))
    yield Case("only the zero byte", "truncated", b"\x00")
    yield Case("half a schema id", "truncated", b"\x00\x00\x00")
    for cut in (0, 1, 20, branch, len(body) - 1):
        yield Case(f"cut after {cut} bytes", "truncated", wire(body[:cut]))
    yield Case("a branch of no union", "bad_avro", wire(body[:branch] + b"\x30" + body[branch + 1 :]))
    yield Case("a negative branch", "bad_avro", wire(body[:branch] + b"\x01" + body[branch + 1 :]))
    yield Case("a negative length", "bad_avro", wire(body[: branch + 1] + b"\x05why"))
    yield Case("a length of eleven bytes", "bad_avro", wire(body[: branch + 1] + b"\xff" * 11))
    yield Case("text that is not UTF-8", "bad_avro", wire(body[:-1] + b"\xff"))
    yield Case("a byte too many", "trailing_bytes", wire(body + b"\x00"))
    yield Case("a uuid without hyphens", "invalid_event", wire(_written(line, event_id="0" * 32)))
    yield Case("a control character in Avro", "invalid_event", wire(_written(line, source="a\rb")))
    yield Case("a negative time in Avro", "invalid_event", wire(_written(line, occurred_at=-1)))
    yield Case("the same in Avro", None, wire(body), license_id.encode())


def _written(line, **members):
    """An Avro body with members that fastavro would write but the contract refuses."""
    buffer = io.BytesIO()
    plain = json.loads(avro_datum.SCHEMA_TEXT)
    for member in plain["fields"]:
        if member["name"] in members:
            member["type"] = member["type"]["type"] if isinstance(member["type"], dict) else member["type"]
    avro_datum.fastavro.schemaless_writer(buffer, avro_datum.fastavro.parse_schema(plain),
                                          {**avro_datum.datum(line), **members})
    return buffer.getvalue()


def _json(license_id):
    good = text(event(license_id))
    yield Case("cut short", "bad_json", good[:-1])
    yield Case("something after it", "bad_json", good + b"x")
    yield Case("not UTF-8", "bad_json", good[:-1] + b', "source": "\xff"}')
    yield Case("NaN", "bad_json", good[:-1] + b', "source": NaN}')
    yield Case("a raw line feed in a string", "bad_json", good[:-1] + b', "source": "\n"}')
    yield Case("a comma too many", "bad_json", good[:-1] + b",}")
    yield Case("an unknown type", "unknown_type", text(event(license_id, "LicenseForgotten")))
    yield Case("an unknown type with unknown members", "unknown_type", text(event(license_id, "X", colour=1)))
    yield Case("a repeated member", "invalid_event", good[:-1] + b', "tenant_id": "poison"}')
    yield Case("a repeated member in data", "invalid_event",
               good.replace(b'"data": {}', b'"data": {"reason": "", "reason": ""}'))
    yield Case("a lone surrogate", "invalid_event", text(event(license_id, source="\ud800")))
    yield Case("a lone surrogate as a name", "invalid_event", text(event(license_id, **{"\udfff": 1})))
    yield Case("deep nesting", "invalid_event", good[:-1] + b', "x": ' + b"[" * 100_000 + b"]" * 100_000 + b"}")
    yield Case("deep and never closed", "bad_json", good[:-1] + b', "x": ' + b"[" * 100_000 + b"}")
    for number in (b"1.0", b"1e0", b"1E+0", b"-1", b"1000000001", b"9" * 5000, b'"1"', b"true", b"null"):
        value = text(event(license_id, "LicensePlanChanged", {"plan": "p", "seats": 77}))
        yield Case(f"seats {number[:12].decode()}", "invalid_event", value.replace(b"77", number))
    for name in ("event_id", "license_id", "occurred_at", "type", "data"):
        short = event(license_id)
        del short[name]
        yield Case(f"no {name}", "invalid_event", text(short))
        yield Case(f"a null {name}", "invalid_event", text(event(license_id) | {name: None}))
    yield Case("the least that will do", None, good, license_id.encode())


def _limits(license_id):
    def at(time):
        return event(license_id, occurred_at=time)

    def data(kind, **members):
        return event(license_id, kind, members)

    refused_times = ("2026-01-31T10:00:60Z", "2026-01-31T10:00:00.0000001Z", "2026-01-31T10:00:00", "1769853600",
                     "2026-02-30T10:00:00Z", "2026-01-31T24:00:00Z", "2026-01-31T10:00:00+24:00",
                     "1969-12-31T23:59:59.999999Z", "2200-01-01T00:00:00Z", "9999-12-31T23:59:59Z",
                     "2026-01-31T10:00:00.Z", "2026-1-31T10:00:00Z", "٢٠٢٦-01-31T10:00:00Z")
    for time in refused_times:
        yield f"at {time}", "invalid_event", at(time)
    for time in ("1970-01-01T00:00:00Z", "1970-01-01T01:00:00+01:00", "2016-02-29T23:59:59.1-23:59"):
        yield f"at {time}", None, at(time)
    yield "an unknown member", "invalid_event", event(license_id, colour="red")
    yield "an unknown member of data", "invalid_event", data("LicenseRenewed", expires_at=None, expire_at=None)
    yield "Renewed without expires_at", "invalid_event", data("LicenseRenewed")
    yield "Renewed for ever", None, data("LicenseRenewed", expires_at=None)
    yield "a null tenant", "invalid_event", event(license_id, tenant_id=None)
    yield "a null reason", "invalid_event", data("LicenseSuspended", reason=None)
    yield "data that is a list", "invalid_event", event(license_id) | {"data": []}
    yield "a type that is a number", "invalid_event", event(license_id, 1)
    for name in ("tenant_id",):
        for bad in ("", "-a", "a b", "ä", "a" * 129, "a/b", "a\n"):
            yield f"{name} {bad[:5]!r}", "invalid_event", event(license_id, **{name: bad})
    for bad in ("0" * 32, "{" + EVENT_ID + "}", "urn:uuid:" + EVENT_ID, EVENT_ID[:-1], EVENT_ID + "0", "", "g" + EVENT_ID[1:]):
        yield f"event_id {bad[:12]}", "invalid_event", event(license_id, event_id=bad)
    for name in ("source", "actor"):
        yield f"{name} of 257", "invalid_event", event(license_id, **{name: "ß" * 257})
        yield f"{name} of 256", None, event(license_id, **{name: "😀" * 256})
        yield f"{name} with a carriage return", "invalid_event", event(license_id, **{name: "a\rb"})
        yield f"{name} with a NUL", "invalid_event", event(license_id, **{name: "\0"})
        yield f"{name} with tab and line feed", None, event(license_id, **{name: "\t\n\x7f\u2028"})
    yield "a reason of 1025", "invalid_event", data("LicenseRevoked", reason="x" * 1025)
    yield "a bad customer", "invalid_event", data("LicenseTransferred", customer_id="no customer")
    yield "a bad device", "invalid_event", data("DeviceHeartbeat", device_id="")
    yield "a long fingerprint", "invalid_event", data("DeviceActivated", device_id="d", fingerprint="x" * 257)
    yield "a long platform", "invalid_event", data("DeviceActivated", device_id="d", platform="x" * 257)
    yield "usage below nothing", "invalid_event", data("UsageRecorded", metric="m", quantity=-1)
    yield "usage beyond bounds", "invalid_event", data("UsageRecorded", metric="m", quantity=10**12 + 1)
    yield "a bad metric", "invalid_event", data("UsageRecorded", metric=".m", quantity=1)
    yield "a void of no uuid", "invalid_event", data("EventVoided", voided_event_id="it")
    many = {f"k{number}": "v" for number in range(65)}
    for bad in ({"entitlements": many}, {"metadata": {"a b": "v"}}, {"metadata": {"": "v"}}, {"plan": "a plan"},
                {"metadata": {"k": "v" * 1025}}, {"metadata": {"k": None}}, {"metadata": {"k": 1}}, {"seats": 10**9 + 1},
                {"expires_at": "9999-12-31T00:00:00Z"}, {"valid_from": None}, {"product_id": "ü"}, {"metadata": None},
                {"entitlements": {"k": "\x1f"}}):
        yield f"issued with {str(bad)[:30]}", "invalid_event", event(license_id, "LicenseIssued", issued(**bad))


def _sized(license_id, key):
    value = text(event(license_id, source="x" * GREAT))
    yield Case("a value over 2 MiB", "too_large", value, key)
    exact = GREAT - len(key) - len(text(event(license_id, source="")))
    yield Case("value and key of 2 MiB and a byte", "too_large", text(event(license_id, source="x" * (exact + 1))), key)
    yield Case("value and key of 2 MiB", "invalid_event", text(event(license_id, source="x" * exact)), key)
    yield Case("headers over 64 KiB", "too_large", text(event(license_id)), key, (("h", b"x" * (64 << 10)),))
    yield Case("headers of 64 KiB", None, text(event(license_id)), key, (("h", b"x" * ((64 << 10) - 1)),))
    yield Case("no value, headers over 64 KiB", "too_large", None, key, (("h", b"x" * (64 << 10)),))
