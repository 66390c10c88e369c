"""Exercises a schema registry with Confluent's own Python client, as any service team would.

Uses subjects of its own and removes them. Prints what was seen as JSON; exit 1 on any surprise.
"""

import argparse
import json
import sys
import traceback
import uuid

from confluent_kafka.schema_registry import Schema, SchemaReference, SchemaRegistryClient
from confluent_kafka.schema_registry.avro import AvroDeserializer, AvroSerializer
from confluent_kafka.schema_registry.error import SchemaRegistryError
from confluent_kafka.serialization import MessageField, SerializationContext

import avro_datum
from poison_cases import event, issued, text

LINE = text(event("LIC-registry", "LicenseIssued", issued(
    expires_at="2027-01-31T10:00:00.000001Z", metadata={"note": "日本"}), actor="ops"))


class Surprise(Exception):
    """The registry did what Confluent's would not."""


class Visit:
    """One subject's life, step by step; `seen` is what is printed."""

    def __init__(self, url):
        self.url = url
        self.client = self.fresh()
        self.topic = f"visit-{uuid.uuid4().hex[:12]}"
        self.subject = f"{self.topic}-value"
        self.seen = {}

    def equal(self, name, actual, expected):
        """Notes a value, and is surprised by any other."""
        self.seen[name] = actual
        if actual != expected:
            raise Surprise(f"{name}: {actual!r}, expected {expected!r}")

    def refused(self, name, status, codes, call):
        """The call must fail with this HTTP status and one of these error codes."""
        try:
            answer = call()
        except SchemaRegistryError as error:
            self.seen[name] = [error.http_status_code, error.error_code]
            if error.http_status_code != status or error.error_code not in codes:
                raise Surprise(f"{name}: {error}") from error
            return
        raise Surprise(f"{name}: answered {answer!r}")

    def versions(self):
        """Register, look up, and register again; a second version; what is not there."""
        first = self.schema()
        self.refused("latest of nothing", 404, {40401}, lambda: self.fresh().get_latest_version(self.subject))
        first_id = self.client.register_schema(self.subject, first)
        self.equal("id is a positive integer", isinstance(first_id, int) and first_id > 0, True)
        self.equal("registered again", self.fresh().register_schema(self.subject, first), first_id)
        self.equal("looked up", self.fresh().lookup_schema(self.subject, first).schema_id, first_id)
        found = self.fresh().get_schema(first_id)
        self.equal("by id the same", json.loads(found.schema_str) == json.loads(first.schema_str), True)
        self.equal("type by id", found.schema_type, "AVRO")
        second_id = self.client.register_schema(self.subject, self.schema("region"))
        self.equal("another id", second_id != first_id, True)
        self.equal("versions", self.fresh().get_versions(self.subject), [1, 2])
        latest = self.fresh().get_latest_version(self.subject)
        self.equal("latest", [latest.subject, latest.version, latest.schema_id], [self.subject, 2, second_id])
        self.equal("version 1", self.fresh().get_version(self.subject, 1).schema_id, first_id)
        self.equal("listed", self.subject in self.fresh().get_subjects(), True)
        self.equal("the same elsewhere has the same id",
                   self.client.register_schema(f"{self.topic}-other-value", first), first_id)
        self.refused("unknown subject", 404, {40401}, lambda: self.client.get_versions(f"{self.subject}-none"))
        self.refused("unknown version", 404, {40402}, lambda: self.client.get_version(self.subject, 99))
        self.refused("unknown id", 404, {40403}, lambda: self.client.get_schema(2_000_000_000))
        self.refused("unknown schema of a subject", 404, {40403},
                     lambda: self.client.lookup_schema(self.subject, Schema('"bytes"', "AVRO")))
        self.refused("not a schema", 422, {42201},
                     lambda: self.client.register_schema(self.subject, Schema('{"type": "nothing"}', "AVRO")))

    def compatibility(self):
        """Settings of a subject and of all, and what they refuse."""
        for level in ("FULL_TRANSITIVE", "NONE", "BACKWARD_TRANSITIVE"):
            self.client.set_compatibility(self.subject, level)
            self.equal(f"set to {level}", self.client.get_compatibility(self.subject), level)
        self.equal("a default is compatible", self.client.test_compatibility(self.subject, self.schema("zone")), True)
        self.equal("no default is not", self.client.test_compatibility(self.subject, self.schema("zone", None)), False)
        self.refused("incompatible", 409, {409}, lambda: self.client.register_schema(self.subject, self.schema("zone", None)))
        self.equal("of all is one of seven", self.client.get_compatibility() in {
            "BACKWARD", "BACKWARD_TRANSITIVE", "FORWARD", "FORWARD_TRANSITIVE", "FULL", "FULL_TRANSITIVE", "NONE"}, True)
        self.refused("a level of no name", 422, {42203}, lambda: self.client.set_compatibility(self.subject, "SIDEWAYS"))

    def round_trip(self):
        """The serializers, with and without registering, and a reader of the first version."""
        where = SerializationContext(self.topic, MessageField.VALUE)
        latest = AvroSerializer(self.fresh(), None, None, {"auto.register.schemas": False, "use.latest.version": True})
        wire = latest(avro_datum.datum(LINE) | {"region": "eu"}, where)
        self.equal("wire's first byte", wire[0], 0)
        latest_id = self.fresh().get_latest_version(self.subject).schema_id
        self.equal("wire's id", int.from_bytes(wire[1:5], "big"), latest_id)
        read = AvroDeserializer(self.fresh(), avro_datum.SCHEMA_TEXT)(wire, where)
        expected = avro_datum.datum(LINE)
        self.equal("read back", all(str(read[name]) == str(expected[name]) for name in expected if name != "payload"), True)
        self.equal("payload read back", read["payload"] == expected["payload"][1], True)
        registering = AvroSerializer(self.fresh(), avro_datum.SCHEMA_TEXT)
        elsewhere = SerializationContext(f"{self.topic}-auto", MessageField.VALUE)
        wire = registering(avro_datum.datum(LINE), elsewhere)
        self.equal("registered by the serializer", self.fresh().get_versions(f"{self.topic}-auto-value"), [1])
        self.equal("and read", AvroDeserializer(self.fresh())(wire, elsewhere)["license_id"], "LIC-registry")

    def references(self):
        """A schema that names another subject's."""
        inner = Schema('{"type":"record","name":"Inner","namespace":"visit","fields":[{"name":"n","type":"long"}]}')
        self.client.register_schema(f"{self.topic}-inner", inner)
        outer = Schema('{"type":"record","name":"Outer","namespace":"visit","fields":[{"name":"i","type":"visit.Inner"}]}',
                       "AVRO", [SchemaReference("visit.Inner", f"{self.topic}-inner", 1)])
        outer_id = self.client.register_schema(f"{self.topic}-outer", outer)
        found = self.fresh().get_schema(outer_id).references
        self.equal("references", [[found[0].name, found[0].subject, found[0].version]],
                   [["visit.Inner", f"{self.topic}-inner", 1]])

    def deletion(self):
        """A version, then whole subjects; soft first, then for good."""
        self.equal("version deleted", self.client.delete_version(self.subject, 1), 1)
        self.equal("versions left", self.fresh().get_versions(self.subject), [2])
        self.refused("deleted version", 404, {40402}, lambda: self.fresh().get_version(self.subject, 1))
        subjects = [f"{self.topic}{name}" for name in ("-value", "-other-value", "-auto-value", "-outer", "-inner")]
        for subject in subjects:
            self.client.delete_subject(subject)
            self.refused(f"deleted {subject.removeprefix(self.topic)}", 404, {40401},
                         lambda subject=subject: self.fresh().get_versions(subject))
            self.client.delete_subject(subject, permanent=True)
        self.equal("not listed", [name for name in self.fresh().get_subjects() if name.startswith(self.topic)], [])

    def schema(self, extra=None, default=""):
        """LicenseEvent, with another member if named; without a default where it is None."""
        schema = json.loads(avro_datum.SCHEMA_TEXT)
        if extra:
            schema["fields"].insert(0, {"name": "region", "type": "string", "default": ""})
            member = {"name": extra, "type": "string"} | ({} if default is None else {"default": default})
            if extra != "region":
                schema["fields"].insert(0, member)
        return Schema(json.dumps(schema), "AVRO")

    def fresh(self):
        """A client that has cached nothing."""
        return SchemaRegistryClient({"url": self.url})


def main():
    """All steps; what was seen is printed also after a surprise."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--url", required=True)
    options = parser.parse_args()
    visit = Visit(options.url)
    steps = [visit.versions, visit.compatibility, visit.round_trip, visit.references, visit.deletion]
    try:
        for step in steps:
            step()
    except Exception:  # Whatever it is, it is the finding.
        traceback.print_exc()
        visit.seen["surprise"] = traceback.format_exc().splitlines()[-1]
    json.dump(visit.seen, sys.stdout, indent=1, ensure_ascii=False)
    print()
    sys.exit(1 if "surprise" in visit.seen else 0)


if __name__ == "__main__":
    main()
