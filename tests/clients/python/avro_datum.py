"""From the JSON form to what fastavro writes: logical types as its own types, the payload's branch by name."""

import io
import json
from datetime import timedelta

import fastavro

import json_form
from event_schema import AVSC, ENVELOPE, PAYLOADS, nullable
from times import EPOCH

SCHEMA_TEXT = AVSC.read_text(encoding="utf-8")
PARSED = fastavro.parse_schema(json.loads(SCHEMA_TEXT))


def datum(line):
    """A line of the JSON form as a fastavro datum."""
    envelope, kind, data = json_form.decode(line)
    return {**_logical(envelope, ENVELOPE), "payload": (f"licenseflow.v1.{kind}", _logical(data, PAYLOADS[kind]))}


def body(line):
    """The Avro body without the wire format's five bytes."""
    buffer = io.BytesIO()
    fastavro.schemaless_writer(buffer, PARSED, datum(line))
    return buffer.getvalue()


def _logical(values, members):
    times = {name for name, member in members.items() if nullable(member)[1].get("logical") == "timestamp-micros"}
    return {
        name: EPOCH + timedelta(microseconds=value) if name in times and value is not None else value
        for name, value in values.items()
    }
