"""A record is judged by itself: an Event, or the first reason of the contract's §2 that fits."""

import avro_body
import event_schema
import json_form
import limits
from record import Event, Reject

VALUE_AND_KEY_MAX = 2 << 20
HEADERS_MAX = 64 << 10
FUTURE_SKEW_MICROS = 5 * 60 * 1_000_000
WIRE_PREFIX = 5  # the zero byte and the schema id


def judge(record, schemas):
    """An Event or a Rejection. `schemas` gives a writer's schema by id, or None."""
    try:
        return _event(record, schemas)
    except Reject as reject:
        return reject.rejection


def _event(record, schemas):
    value = record.value
    if len(value or b"") + len(record.key or b"") > VALUE_AND_KEY_MAX or headers_size(record) > HEADERS_MAX:
        raise Reject("too_large")
    if value is None:
        raise Reject("tombstone")
    if not value:
        raise Reject("empty")
    if value[0] == 0:
        envelope, kind, data = _avro(value, schemas)
    elif value[:1] == b"{":
        envelope, kind, data = json_form.decode(value)
    else:
        raise Reject("unknown_format")
    bad = limits.broken(envelope, kind, data)
    if bad:
        raise Reject("invalid_event", *bad)
    if record.key is not None and record.key != envelope["license_id"].encode():
        raise Reject("key_mismatch")
    if envelope["occurred_at"] > record.timestamp * 1000 + FUTURE_SKEW_MICROS:
        raise Reject("occurred_at_in_future")
    for members in (envelope, data):
        for name in event_schema.UUIDS & members.keys():
            members[name] = members[name].lower()
    return Event(type=kind, data=data, **envelope)


def headers_size(record):
    """Names and values, in bytes."""
    return sum(len(name.encode()) + len(value or b"") for name, value in record.headers)


def _avro(value, schemas):
    if len(value) < WIRE_PREFIX:
        raise Reject("truncated")
    writer = schemas(int.from_bytes(value[1:WIRE_PREFIX], "big"))
    if writer is None:
        raise Reject("unknown_schema")
    try:
        named, end = avro_body.decode(writer, value, WIRE_PREFIX)
    except avro_body.Truncated as error:
        raise Reject("truncated") from error
    except avro_body.BadAvro as error:
        raise Reject("bad_avro") from error
    if end != len(value):
        raise Reject("trailing_bytes")
    envelope, kind, data = event_schema.resolved(named)
    if data is None:
        raise Reject("unknown_type")
    return envelope, kind, data
