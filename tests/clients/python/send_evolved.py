"""A producer of a later release: it registers its schema with Confluent's serializer, and writes what that has beyond
version 1. Prints the schema's id, and where the records lie whose type version 1 does not know.
"""

import argparse
import json
import random
import sys
import uuid
from datetime import datetime, timezone
from pathlib import Path

from confluent_kafka import KafkaException, Producer
from confluent_kafka.schema_registry import SchemaRegistryClient
from confluent_kafka.schema_registry.avro import AvroSerializer
from confluent_kafka.serialization import MessageField, SerializationContext

import avro_datum


def arguments():
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--bootstrap", required=True)
    parser.add_argument("--topic", required=True)
    parser.add_argument("--registry", required=True)
    parser.add_argument("--schema", required=True, help="the file of the later schema")
    parser.add_argument("--file", required=True, help="NDJSON of events in version 1's JSON form")
    parser.add_argument("--merges", type=int, default=0, help="events of a type that version 1 does not have")
    return parser.parse_args()


def later(line, chance):
    """A version 1 event with what later versions say more."""
    datum = avro_datum.datum(line) | {"region": chance.choice(["", "eu-west", "ap-south"])}
    name, data = datum["payload"]
    if name.endswith(".DeviceActivated"):
        data = data | {"labels": chance.choice([None, [], ["a", "b"]])}
    return datum | {"payload": (name, data)}


def merge(number):
    """An event that version 1 has no branch for."""
    data = {"into_license_id": f"LIC-into-{number}", "shares": {"a": 0.5, "b": float(number)}}
    return {"event_id": str(uuid.uuid4()), "license_id": f"LIC-merged-{number}", "tenant_id": "default",
            "occurred_at": datetime(2026, 1, 31, 10, tzinfo=timezone.utc), "source": "later", "actor": None,
            "region": "eu-west", "payload": ("licenseflow.v1.LicenseMerged", data)}


def main():
    """Sends all of it, and says so."""
    options = arguments()
    chance = random.Random("evolved")
    registry = SchemaRegistryClient({"url": options.registry})
    text = Path(options.schema).read_text(encoding="utf-8")
    serializer = AvroSerializer(registry, text, lambda datum, _: datum)
    producer = Producer({"bootstrap.servers": options.bootstrap, "acks": "all", "delivery.timeout.ms": 30_000})
    failed, unknown = [], []
    context = SerializationContext(options.topic, MessageField.VALUE)

    def send(datum, place):
        def delivered(error, message):
            if error is not None:
                failed.append(str(error))
            elif place is not None:
                place.append([message.partition(), message.offset()])

        producer.produce(options.topic, key=datum["license_id"], value=serializer(datum, context), on_delivery=delivered)
        producer.poll(0)

    lines = [line for line in Path(options.file).read_bytes().split(b"\n") if line.strip()]
    for line in lines:
        send(later(line, chance), None)
    for number in range(options.merges):
        send(merge(number), unknown)
    if producer.flush(60) or failed:
        raise KafkaException(f"not all were acknowledged: {failed[:3]}")
    schema_id = int.from_bytes(serializer(later(lines[0], chance), context)[1:5], "big")
    json.dump({"schema_id": schema_id, "sent": len(lines), "unknown": unknown}, sys.stdout)
    print()


if __name__ == "__main__":
    main()
