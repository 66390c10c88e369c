"""Sends every poison that a client can make, and its harmless neighbours; prints where each lies and its reason."""

import argparse
import json
import sys
import time

from confluent_kafka import KafkaException, Producer
from confluent_kafka.schema_registry import Schema, SchemaRegistryClient

import poison_cases


def arguments():
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--bootstrap", required=True)
    parser.add_argument("--topic", required=True)
    parser.add_argument("--registry", required=True)
    parser.add_argument("--subject-topic", help="the topic whose subject has the schema, if not the one sent to")
    parser.add_argument("--foreign-schema-id", type=int, help="a registered schema that is no LicenseEvent; else made")
    parser.add_argument("--license", default="LIC-poison")
    parser.add_argument("--codec", choices=("gzip", "snappy", "lz4", "zstd"), default="gzip")
    return parser.parse_args()


def main():
    """Sends all of it, and says so."""
    options = arguments()
    registry = SchemaRegistryClient({"url": options.registry})
    schema_id = registry.get_latest_version(f"{options.subject_topic or options.topic}-value").schema_id
    foreign = options.foreign_schema_id or registry.register_schema(f"{options.topic}-foreign", Schema('"string"'))
    # The client's own bound is on bytes before compression, and these compress well.
    producer = Producer({"bootstrap.servers": options.bootstrap, "acks": "all", "compression.type": options.codec,
                         "message.max.bytes": 16 << 20, "delivery.timeout.ms": 30_000})
    sent, failed = [], []
    cases = poison_cases.cases(options.license, schema_id, foreign, time.time_ns() // 1000)
    for case in cases:
        def delivered(error, message, case=case):
            if error is not None:
                failed.append(f"{case.name}: {error}")
            else:
                sent.append({"name": case.name, "reason": case.reason, "topic": message.topic(),
                             "partition": message.partition(), "offset": message.offset()})

        headers = list(case.headers) or [("x-request-id", f"poison-{len(sent) + 1}".encode())]
        producer.produce(options.topic, value=case.value, key=case.key, headers=headers, on_delivery=delivered)
        # One by one, since a batch of several great values may pass the broker's bound.
        if producer.flush(60):
            raise KafkaException(f"{case.name}: no answer")
    if failed:
        raise KafkaException("; ".join(failed))
    json.dump(sent, sys.stdout, indent=1)
    print()


if __name__ == "__main__":
    main()
