"""A producer that the product did not write: confluent-kafka, with Avro through the registry's serializer or JSON.

Takes an NDJSON file of events in the JSON form, or generates them from a seed. Prints what was sent as JSON.
"""

import argparse
import json
import random
import sys
import uuid

from confluent_kafka import KafkaException, Producer
from confluent_kafka.schema_registry import SchemaRegistryClient
from confluent_kafka.schema_registry.avro import AvroSerializer
from confluent_kafka.serialization import MessageField, SerializationContext

import avro_datum
import generate
from times import parse_micros

DELIVERY_DEADLINE_SECONDS = 60


def arguments():
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--bootstrap", required=True)
    parser.add_argument("--topic", required=True, action="append", help="more than one: each record to any of them")
    parser.add_argument("--file", help="NDJSON; else --seed generates")
    parser.add_argument("--seed", type=int, default=1, help="of the events, where generated, and of all choices here")
    parser.add_argument("--events", type=int, default=1000)
    parser.add_argument("--licenses", type=int, default=50)
    parser.add_argument("--until", default="2026-01-31T10:00:00Z")
    parser.add_argument("--format", choices=("json", "avro", "mixed"), default="json")
    parser.add_argument("--registry", help="needed for avro; the subject is looked up, not registered")
    parser.add_argument("--subject-topic", help="the topic whose subject has the schema, if not the one sent to")
    parser.add_argument("--codec", choices=("none", "gzip", "snappy", "lz4", "zstd"), default="none")
    parser.add_argument("--partitioner", default="murmur2_random")
    parser.add_argument("--random-partitions", action="store_true", help="each record to an explicit random one")
    parser.add_argument("--shuffle", action="store_true")
    parser.add_argument("--twice", action="store_true", help="one record in five is sent twice")
    parser.add_argument("--null-keys", action="store_true", help="one record in five without a key")
    parser.add_argument("--headers", action="store_true", help="x-request-id and others on most records")
    parser.add_argument("--transactional-id", help="send in transactions, and abort some beside them")
    parser.add_argument("-X", action="append", default=[], metavar="KEY=VALUE", help="any setting of librdkafka")
    return parser.parse_args()


def lines_of(options, chance):
    """The events to send, in the order to send them."""
    if options.file:
        with open(options.file, "rb") as file:
            lines = [line for line in file.read().split(b"\n") if line.strip()]
    else:
        made = generate.lines(options.seed, options.events, options.licenses, parse_micros(options.until))
        lines = [line.encode() for line in made]
    if options.twice:
        lines += [line for line in lines if chance.random() < 0.2]
    if options.shuffle:
        chance.shuffle(lines)
    return lines


class Sender:
    """Serializes, partitions and counts."""

    def __init__(self, options, chance):
        self.options, self.chance, self.failed, self.acknowledged = options, chance, [], 0
        settings = {"bootstrap.servers": options.bootstrap, "acks": "all", "compression.type": options.codec,
                    "partitioner": options.partitioner, "linger.ms": 5, "delivery.timeout.ms": 30_000}
        settings |= dict(setting.split("=", 1) for setting in options.X)
        if options.transactional_id:
            settings["transactional.id"] = options.transactional_id
        self.producer = Producer(settings)
        self.partitions = {topic: self.partition_count(topic) for topic in options.topic}
        self.serializer = None
        if options.format != "json":
            registry = SchemaRegistryClient({"url": options.registry})
            self.serializer = AvroSerializer(
                registry, None, lambda line, _: avro_datum.datum(line),
                {"auto.register.schemas": False, "use.latest.version": True},
            )

    def partition_count(self, topic):
        """How many there are; a topic that is not there is an error, not none."""
        metadata = self.producer.list_topics(topic, timeout=30).topics[topic]
        if metadata.error is not None:
            raise KafkaException(metadata.error)
        return len(metadata.partitions)

    def send(self, line):
        """One record; the queue's own bound is the back-pressure."""
        topic = self.chance.choice(self.options.topic)
        license_id = json.loads(line)["license_id"]
        keyless = self.options.null_keys and self.chance.random() < 0.2
        where = {"partition": self.chance.randrange(self.partitions[topic])} if self.options.random_partitions else {}
        record = {"topic": topic, "value": self.value(topic, line), "key": None if keyless else license_id,
                  "headers": self.headers(), "on_delivery": self.delivered, **where}
        while True:
            try:
                self.producer.produce(**record)
                break
            except BufferError:
                self.producer.poll(1)
        self.producer.poll(0)

    def value(self, topic, line):
        """Avro or JSON bytes."""
        avro = self.options.format == "avro" or (self.options.format == "mixed" and self.chance.random() < 0.5)
        if not avro:
            return line
        return self.serializer(line, SerializationContext(self.options.subject_topic or topic, MessageField.VALUE))

    def headers(self):
        """Good request ids mostly; missing, unusable and repeated ones too."""
        if not self.options.headers:
            return []
        request_id = f"req-{self.chance.getrandbits(48):012x}".encode()
        foreign = [("foreign", b"\xff\x00"), ("", None), ("foreign", b"again")]
        return self.chance.choice((
            [("x-request-id", request_id)], [("x-request-id", request_id)], [("x-request-id", request_id), *foreign],
            [("x-request-id", b"not the last"), ("x-request-id", request_id)], [("x-request-id", b"two words")],
            [("x-request-id", b"x" * 129)], [("x-request-id", None)], foreign, [],
        ))

    def delivered(self, error, _message):
        """Called for each record once its fate is known."""
        if error is None:
            self.acknowledged += 1
        else:
            self.failed.append(str(error))

    def flush(self):
        """Waits until every record's fate is known."""
        left = self.producer.flush(DELIVERY_DEADLINE_SECONDS)
        if left or self.failed:
            raise KafkaException(f"{left} records without an answer, failures: {self.failed[:3]}")


def impostor(line):
    """An event that would show if an aborted transaction were read."""
    event = json.loads(line)
    event |= {"event_id": str(uuid.uuid4()), "source": "aborted"}
    return json.dumps(event).encode()


def send_in_transactions(sender, lines):
    """Commits every line, and aborts transactions of impostors between and after."""
    sender.producer.init_transactions(30)
    aborted = position = 0
    while position < len(lines):
        batch = lines[position : position + sender.chance.randint(1, 200)]
        position += len(batch)
        if sender.chance.random() < 0.5 or position >= len(lines):
            sender.producer.begin_transaction()
            for line in batch:
                sender.send(impostor(line))
            sender.flush()
            sender.producer.abort_transaction(30)
            aborted += len(batch)
        sender.producer.begin_transaction()
        for line in batch:
            sender.send(line)
        sender.producer.commit_transaction(30)
    return aborted


def main():
    """Sends all of it, and says so."""
    options = arguments()
    chance = random.Random(f"send {options.seed}")
    lines = lines_of(options, chance)
    sender = Sender(options, chance)
    aborted = 0
    if options.transactional_id:
        aborted = send_in_transactions(sender, lines)
    else:
        for line in lines:
            sender.send(line)
    sender.flush()
    json.dump({"sent": len(lines), "aborted": aborted, "acknowledged": sender.acknowledged}, sys.stdout)
    print()


if __name__ == "__main__":
    main()
