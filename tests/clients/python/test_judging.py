"""Every poison is told apart, and what is just within a limit is an event."""

import json
import unittest

import avro_body
import avro_datum
import event_schema
import poison_cases
from judging import judge
from record import Event, Record

LICENSE_EVENT, FOREIGN, WIDER = 7, 8, 9
NOW = 1_769_940_000_000


def wider():
    """A later version: another member, another type, and the old ones at other places."""
    schema = json.loads(avro_datum.SCHEMA_TEXT)
    schema["fields"].insert(0, {"name": "region", "type": "string", "default": ""})
    schema["fields"][-1]["type"].insert(0, {"type": "record", "name": "LicenseForgotten", "fields": []})
    schema["fields"] = [member for member in schema["fields"] if member["name"] != "actor"]
    return json.dumps(schema)


WRITERS = {LICENSE_EVENT: avro_datum.SCHEMA_TEXT, WIDER: wider(), FOREIGN: '"string"'}


def schemas(schema_id):
    """A registry of three."""
    try:
        return event_schema.writer_from(WRITERS[schema_id]) if schema_id in WRITERS else None
    except avro_body.Unusable:
        return None


def judged(value, key=None, headers=()):
    """One record's fate."""
    return judge(Record("license.events.v1", 0, 0, NOW, key, value, headers), schemas)


class Judging(unittest.TestCase):
    """One record at a time."""

    def test_every_poison_has_its_reason(self):
        for case in poison_cases.cases("LIC-1", LICENSE_EVENT, FOREIGN, NOW * 1000):
            with self.subTest(case.name):
                outcome = judged(case.value, case.key, case.headers)
                self.assertEqual(None if isinstance(outcome, Event) else outcome.reason, case.reason)

    def test_avro_and_json_of_one_event_are_one_content(self):
        for line in poison_cases.text(poison_cases.event("L")), FULL_LINE:
            wire = b"\x00" + LICENSE_EVENT.to_bytes(4, "big") + avro_datum.body(line)
            self.assertEqual(judged(wire), judged(line))
            self.assertIsInstance(judged(line), Event)

    def test_a_later_version_is_read_by_its_own_schema(self):
        schema = avro_datum.fastavro.parse_schema(json.loads(WRITERS[WIDER]))
        datum = {**avro_datum.datum(FULL_LINE), "region": "eu"}
        self.assertEqual(judged(self.wire(schema, datum)), judged(FULL_LINE))
        forgotten = {**datum, "payload": ("licenseflow.v1.LicenseForgotten", {})}
        self.assertEqual(judged(self.wire(schema, forgotten)).reason, "unknown_type")

    def wire(self, schema, datum):
        buffer = avro_datum.io.BytesIO()
        avro_datum.fastavro.schemaless_writer(buffer, schema, datum)
        return b"\x00" + WIDER.to_bytes(4, "big") + buffer.getvalue()

    def test_cut_anywhere_it_is_truncated(self):
        body = avro_datum.body(FULL_LINE)
        for end in range(len(body)):
            outcome = judged(b"\x00" + LICENSE_EVENT.to_bytes(4, "big") + body[:end])
            self.assertEqual(getattr(outcome, "reason", None), "truncated", end)


FULL_LINE = poison_cases.text(poison_cases.event("LIC-2", "LicenseIssued", poison_cases.issued(
    expires_at="2027-01-31T10:00:00.000001+05:30", metadata={"a": "日本", "b": "\t"}, entitlements={"sso": "on"})))

if __name__ == "__main__":
    unittest.main()
