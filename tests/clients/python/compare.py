"""Compares everything that the query API answers, and the dead-letter topic, with the independent fold of the lanes.

Prints a JSON summary with the first differences; exit 1 if there are any.
"""

import argparse
import json
import sys
import time
import urllib.parse
from collections import Counter, defaultdict

import shapes
from api import Api, Unexpected
from fold import fold
from letters import compare_letters, missing
from read_topics import DEAD_LETTERS, Schemas, read_lanes, read_topic

SHOWN = 20


def command_line(about):
    """What every comparison is told: where the lanes, the registry and the API are."""
    parser = argparse.ArgumentParser(description=about.splitlines()[0])
    parser.add_argument("--bootstrap", required=True)
    parser.add_argument("--prefix", default="")
    parser.add_argument("--registry", required=True)
    parser.add_argument("--api", required=True, help="http://127.0.0.1:PORT")
    parser.add_argument("--deadline", type=int, default=120, help="seconds until the API must have caught up")
    return parser


def arguments():
    """The command line."""
    parser = command_line(__doc__)
    parser.add_argument("--page", choices=("1000", "7"), default="1000", help="licenses a page; other lists as the API pages them")
    parser.add_argument("--no-letters", action="store_true", help="leave the dead-letter topic alone")
    return parser.parse_args()


def settled(options):
    """The lanes folded at their end, and the API's digest there; once more where they grew meanwhile."""
    until = time.monotonic() + options.deadline
    schemas = Schemas(options.registry)
    while True:
        records, position = read_lanes(options.bootstrap, options.prefix)
        api = Api(options.api, position, until)
        answered = api.get("/v1/position")
        if offsets(answered["position"]) == offsets(position):
            return records, fold(records, schemas), api, answered
        if time.monotonic() > until:
            raise Unexpected(f"the API is at {answered['position']}, the lanes end at {position}")


def offsets(position):
    """A position as a set, empty partitions left out."""
    return {part for part in position.split(",") if part and not part.endswith(":0")}


class Comparison:
    """Collects differences over all that the API lists."""

    def __init__(self, folded, api, page):
        self.folded, self.api, self.page = folded, api, page
        self.differences, self.counts = [], Counter()
        self.devices, self.usage, self.licenses = (defaultdict(dict) for _ in range(3))
        for (tenant, license_id, name), row in folded.devices.items():
            self.devices[tenant, license_id][name] = row
        for (tenant, license_id, name), row in folded.usage.items():
            self.usage[tenant, license_id][name] = row
        for (tenant, license_id), row in folded.licenses.items():
            self.licenses[tenant][license_id] = row

    def all(self):
        """Every tenant, license, device, metric and timeline."""
        for tenant, licenses in sorted(self.licenses.items()):
            listed = list(self.api.items(f"/v1/licenses?limit={self.page}", tenant))
            self.counts["licenses"] += len(listed)
            names = [item.get("license_id") for item in listed]
            self.same_names(f"licenses of {tenant}", names, licenses)
            for item in listed:
                if item.get("license_id") in licenses:
                    self.license(tenant, item["license_id"], item, "listed")
            for license_id in sorted(licenses):
                self.in_full(tenant, license_id)

    def same_names(self, where, names, expected):
        """Each once, and no other."""
        for name, count in Counter(names).items():
            if count > 1 or name not in expected:
                self.differences.append(f"{where}: {name!r} {count} times, expected {int(name in expected)}")
        self.differences += [f"{where}: no {name!r}" for name in sorted(set(expected) - set(names))]

    def license(self, tenant, license_id, item, how):
        """One license; the status may be that of any moment while it was asked for."""
        row = self.licenses[tenant][license_id]
        active = sum(device["active"] for device in self.devices[tenant, license_id].values())
        now = time.time_ns() // 1000
        expected = shapes.license_shape(row, active, now)
        if item.get("status") == shapes.status(row, now - 60_000_000):
            expected["status"] = item["status"]
        where = f"{how} license {tenant}/{license_id}"
        self.differences += shapes.differences(expected, item, where)
        if not isinstance(item.get("_links"), dict):
            self.differences.append(f"{where}: no _links")

    def in_full(self, tenant, license_id):
        """A license asked for by itself, with all that hangs on it."""
        base = f"/v1/licenses/{urllib.parse.quote(license_id, safe='')}"
        self.license(tenant, license_id, self.api.get(base, tenant), "single")
        for model, member, rows in (("devices", "device_id", self.devices), ("usage", "metric", self.usage)):
            items = list(self.api.items(f"{base}/{model}", tenant))
            self.counts[model] += len(items)
            expected = rows[tenant, license_id]
            where = f"{model} of {tenant}/{license_id}"
            self.same_names(where, [item.get(member) for item in items], expected)
            for item in items:
                if item.get(member) in expected:
                    row = shapes.row(expected[item[member]])
                    self.differences += shapes.differences(row, item, f"{where} {item[member]}")
        self.timeline(tenant, license_id, base)

    def timeline(self, tenant, license_id, base):
        """All events in their order, voided ones with what voided them."""
        items = list(self.api.items(f"{base}/events", tenant))
        self.counts["events"] += len(items)
        expected = [shapes.timeline_entry(entry) for entry in self.folded.timelines[tenant, license_id]]
        where = f"timeline of {tenant}/{license_id}"
        ids = [item.get("event_id") for item in items]
        if ids != [entry["event_id"] for entry in expected]:
            self.differences.append(f"{where}: {ids}, expected {[entry['event_id'] for entry in expected]}")
            return
        for item, entry in zip(items, expected):
            self.differences += shapes.differences(entry, item, f"{where} {entry['event_id']}")


def letters_of(options, folded, records):
    """The dead-letter topic's differences; letters are sent after the position, so they are waited for."""
    until = time.monotonic() + options.deadline
    while True:
        letters, _ = read_topic(options.bootstrap, options.prefix + DEAD_LETTERS)
        if not missing(folded, letters) or time.monotonic() > until:
            return compare_letters(folded, records, letters)
        time.sleep(0.5)


def main():
    """Compares, prints, and exits 0 where all is the same."""
    options = arguments()
    records, folded, api, answered = settled(options)
    comparison = Comparison(folded, api, options.page)
    if answered["digest"] != folded.digest():
        comparison.differences.append(f"digest: {answered['digest']}, expected {folded.digest()}")
    comparison.all()
    summary = {"position": answered["position"], "digest": folded.digest(), "records": len(records),
               "rejected": len(folded.rejected), "conflicts": len(folded.conflicts),
               "expected": {"licenses": len(folded.licenses), "devices": len(folded.devices),
                            "usage": len(folded.usage), "events": sum(map(len, folded.timelines.values()))}}
    if not options.no_letters:
        differences, summary["dead_letters"] = letters_of(options, folded, records)
        comparison.differences += differences
    summary |= {"compared": dict(comparison.counts), "requests": api.requests,
                "differences": len(comparison.differences), "first_differences": comparison.differences[:SHOWN]}
    json.dump(summary, sys.stdout, indent=1, ensure_ascii=False)
    print()
    sys.exit(1 if comparison.differences else 0)


if __name__ == "__main__":
    main()
