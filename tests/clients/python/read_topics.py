"""Reads topics whole, `read_committed`, from the beginning to their end, and schemas from a registry over HTTP."""

import json
import time
import urllib.error
import urllib.request

from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, KafkaException, TopicPartition

import avro_body
import event_schema
from record import Record

LANES = {"e": "license.events.v1", "b": "license.events.bulk.v1"}
DEAD_LETTERS = "license.events.dlq.v1"
READ_DEADLINE_SECONDS = 120


def read_topic(bootstrap, topic):
    """All committed records, and each partition's end: the offset past every marker and aborted record too."""
    consumer = Consumer({
        "bootstrap.servers": bootstrap, "group.id": "reads-whole-topics", "enable.auto.commit": False,
        "isolation.level": "read_committed", "enable.partition.eof": True, "auto.offset.reset": "error",
        "check.crcs": True, "allow.auto.create.topics": False,
    })
    try:
        metadata = consumer.list_topics(topic, timeout=30).topics[topic]
        if metadata.error is not None:
            raise KafkaException(metadata.error)
        consumer.assign([TopicPartition(topic, partition, OFFSET_BEGINNING) for partition in metadata.partitions])
        return _read_to_the_end(consumer, topic, set(metadata.partitions))
    finally:
        consumer.close()


def _read_to_the_end(consumer, topic, unfinished):
    records, ends = [], {}
    deadline = time.monotonic() + READ_DEADLINE_SECONDS
    while unfinished:
        if time.monotonic() > deadline:
            raise TimeoutError(f"{topic}: partitions {sorted(unfinished)} did not end")
        for message in consumer.consume(10_000, timeout=0.5):
            error = message.error()
            if error is None:
                records.append(_record(message))
            elif error.code() == KafkaError._PARTITION_EOF:
                ends[message.partition()] = message.offset()
                unfinished.discard(message.partition())
            elif not error.retriable():
                raise KafkaException(error)
    # A partition may have grown after its end was seen; what lies past the end is not of this reading.
    return [record for record in records if record.offset < ends[record.partition]], ends


def _record(message):
    return Record(message.topic(), message.partition(), message.offset(), message.timestamp()[1], message.key(),
                  message.value(), tuple(message.headers() or ()))


def read_lanes(bootstrap, prefix):
    """The records of both lanes, and the position of their ends as the API writes it."""
    records, position = [], []
    for letter, name in LANES.items():
        lane, ends = read_topic(bootstrap, prefix + name)
        records += lane
        position += [f"{letter}:{partition}:{end}" for partition, end in sorted(ends.items()) if end]
    return records, ",".join(position)


class Schemas:
    """Writers' schemas by id; None for an id that the registry does not have or that gives no LicenseEvent."""

    def __init__(self, registry):
        self.registry, self.known = registry.rstrip("/"), {}

    def __call__(self, schema_id):
        if schema_id not in self.known:
            self.known[schema_id] = self._fetch(schema_id)
        return self.known[schema_id]

    def _fetch(self, schema_id):
        try:
            with urllib.request.urlopen(f"{self.registry}/schemas/ids/{schema_id}", timeout=10) as answer:
                found = json.load(answer)
        except urllib.error.HTTPError as error:
            # A registry's ids are positive 32-bit numbers; others it may call not found or not a number.
            if error.code in (404, 422, 400):
                return None
            raise
        if found.get("schemaType", "AVRO") != "AVRO" or found.get("references"):
            return None
        try:
            return event_schema.writer_from(found["schema"])
        except avro_body.Unusable:
            return None
