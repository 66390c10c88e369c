"""The whole: records in any order to rows, digest, timelines, conflicts and rejections.

`fold.py FILE` folds an NDJSON file as the golden one is folded, and prints the digest.
"""

import json
import re
import sys
from collections import defaultdict
from dataclasses import dataclass, field

import license_fold
from canonical import MODULUS, bucket_of, canonical_json, hexadecimal, row_digest
from judging import judge
from record import HEARTBEAT, Event, Record

REQUEST_ID = re.compile(rb"[\x21-\x7e]{1,128}")


@dataclass
class Folded:
    """What a set of records gives. Rows are keyed by tenant, license and the device's or metric's name."""

    licenses: dict = field(default_factory=dict)
    devices: dict = field(default_factory=dict)
    usage: dict = field(default_factory=dict)
    timelines: dict = field(default_factory=dict)  # (tenant, license): entries in order
    conflicts: list = field(default_factory=list)  # one for each other content of an event
    contested: set = field(default_factory=set)  # coordinates of all records of events with a conflict
    rejected: list = field(default_factory=list)  # (record, rejection)

    def rows(self):
        """All rows that the digest is made of."""
        for rows in (self.licenses, self.devices, self.usage):
            yield from rows.values()

    def buckets(self):
        """The digest's parts by bucket, 32 hexadecimal digits each, empty ones left out."""
        sums = defaultdict(int)
        for row in self.rows():
            sums[bucket_of(row["tenant_id"], row["license_id"])] += row_digest(row)
        return {bucket: hexadecimal(total) for bucket, total in sorted(sums.items()) if total % MODULUS}

    def digest(self):
        """The digest of the whole."""
        return "d1:" + hexadecimal(sum(row_digest(row) for row in self.rows()))

    def rejections(self):
        """(topic, partition, offset, reason), sorted."""
        return sorted((*record.coordinates, rejection.reason) for record, rejection in self.rejected)


@dataclass(frozen=True)
class Conflict:
    """A content that an event id also had: shown at its least record, with all records that have it."""

    tenant_id: str
    license_id: str
    event_id: str
    event: Event
    records: tuple

    @property
    def record(self):
        """The least record that has the content."""
        return self.records[0]


def fold(records, schemas=lambda _: None):
    """Folds a set of records; their order in the iterable decides nothing."""
    folded = Folded()
    accepted = defaultdict(list)
    for record in sorted(records, key=lambda record: record.rank):
        outcome = judge(record, schemas)
        if isinstance(outcome, Event):
            accepted[outcome.tenant_id, outcome.license_id].append((record, outcome))
        else:
            folded.rejected.append((record, outcome))
    for identity in sorted(accepted):
        _fold_license(folded, identity, accepted[identity])
    return folded


def _fold_license(folded, identity, accepted):
    """`accepted` is sorted by the records' rank, so the first record of an event id is the event."""
    heartbeats = [event for _, event in accepted if event.type == HEARTBEAT]
    contents = defaultdict(dict)  # event id: content: records, least first
    for record, event in accepted:
        if event.type != HEARTBEAT:
            content = canonical_json(vars(event))
            contents[event.event_id].setdefault(content, (event, []))[1].append(record)
    winners = []
    for event_id, by_content in contents.items():
        (event, records), *others = by_content.values()
        winners.append((event, records[0]))
        for other, other_records in others:
            folded.conflicts.append(Conflict(*identity, event_id, other, tuple(other_records)))
            folded.contested.update(record.coordinates for record in [*records, *other_records])
    winners.sort(key=lambda winner: license_fold.order(winner[0]))
    events = [event for event, _ in winners]
    license, devices, usage = license_fold.rows(*identity, events, heartbeats)
    folded.licenses[identity] = license
    folded.devices.update({(*identity, name): row for name, row in devices.items()})
    folded.usage.update({(*identity, name): row for name, row in usage.items()})
    voided = license_fold.voids(events)
    folded.timelines[identity] = [_entry(event, record, voided.get(event.event_id)) for event, record in winners]


def _entry(event, record, voided_by):
    return {"event": event, "voided_by": voided_by, "topic": record.topic, "partition": record.partition,
            "offset": record.offset, "recorded_at": record.timestamp * 1000, "request_id": request_id(record)}


def request_id(record):
    """What its header says last, or where the record lies."""
    values = [value for name, value in record.headers if name == "x-request-id"]
    if values and values[-1] is not None and REQUEST_ID.fullmatch(values[-1]):
        return values[-1].decode()
    return ":".join(str(part) for part in record.coordinates)


def records_of(lines, topic="license.events.v1", timestamp=4_102_444_800_000):
    """Line n is the record at offset n-1 of partition 0, all with one timestamp later than any of their times."""
    return [Record(topic, 0, offset, timestamp, None, line) for offset, line in enumerate(lines)]


def main():
    """Prints the digest, buckets and counts of an NDJSON file of events."""
    with open(sys.argv[1], "rb") as file:
        folded = fold(records_of(line.rstrip(b"\n") for line in file))
    summary = {"digest": folded.digest(), "buckets": folded.buckets(), "licenses": len(folded.licenses),
               "conflicts": len(folded.conflicts), "rejected": folded.rejections()}
    print(json.dumps(summary, indent=1))


if __name__ == "__main__":
    main()
