"""Seeded events that are hard to fold: two tenants that share license ids, voids in every direction, conflicts,
late events, ties, heartbeats, and every spelling of a time or a uuid that the contract allows.

Prints one event a line in the JSON form; all are within the limits. Same seed, same bytes.
"""

import argparse
import json
import random
import sys
import uuid

from times import format_micros, parse_micros

TENANTS = ("default", "acme")
PLANS = ("trial", "team", "pro", "site", "plan:1.x_Y-z")
TEXTS = ("plain", "日本", 'quo"te\\', "two\nlines\tand a tab", "😀 e\u0301", "", "\x7f\u2028", "ß" * 256)
SOURCES = ("billing", "other-service", "", "πηγή")
SPAN = 30 * 86_400 * 1_000_000
WEIGHTS = {
    "LicenseIssued": 4, "LicenseRenewed": 8, "LicensePlanChanged": 8, "LicenseTransferred": 6, "LicenseSuspended": 7,
    "LicenseReinstated": 7, "LicenseRevoked": 0.4, "DeviceActivated": 16, "DeviceDeactivated": 10,
    "DeviceHeartbeat": 18, "UsageRecorded": 12, "EventVoided": 8,
}


class Generator:
    """Makes events one by one; what it made before is what voids and conflicts are made from."""

    def __init__(self, seed, licenses, until, tenants=TENANTS):
        self.tenants = tenants
        self.random = random.Random(seed)
        self.until = until
        self.tag = uuid.UUID(int=random.Random(f"tag {seed}").getrandbits(128)).hex[:6]
        self.licenses = licenses
        self.made = {}  # (tenant, license): events
        self.promised = {}  # (tenant, license): ids voided before their event comes

    def identifier(self):
        return str(uuid.UUID(int=self.random.getrandbits(128), version=self.random.choice((4, 4, 1, 5))))

    def time(self, past):
        """Often the time of another event of the license, or a whole second, so that ties happen."""
        if past and self.random.random() < 0.25:
            return self.random.choice(past)["at"]
        at = self.until - self.random.randrange(SPAN)
        return at - at % 1_000_000 if self.random.random() < 0.3 else at

    def event(self):
        """The next event, as a dict with `at` beside the members of the JSON form."""
        where = (self.random.choice(self.tenants), f"LIC-{self.tag}-{self.random.randrange(self.licenses):05}")
        past = self.made.setdefault(where, [])
        promised = self.promised.setdefault(where, [])
        kind = self.random.choices(tuple(WEIGHTS), tuple(WEIGHTS.values()))[0]
        if not past and self.random.random() < 0.8:
            kind = "LicenseIssued"
        event_id = promised.pop() if promised and self.random.random() < 0.5 else self.identifier()
        if self.random.random() < 0.01 and self.made:
            other = self.made[self.random.choice(tuple(self.made))]
            event_id = self.random.choice(other)["event_id"] if other else event_id
        event = {
            "event_id": event_id, "tenant_id": where[0], "license_id": where[1], "at": self.time(past),
            "source": self.random.choice(SOURCES), "actor": self.random.choice((None, "ops@example.test", "Zoë")),
            "type": kind, "data": self.data(kind, past, promised, event_id),
        }
        past.append(event)
        return event

    def conflict(self):
        """A known event id with another content, a second type now and then."""
        past = self.random.choice([events for events in self.made.values() if events])
        event = dict(self.random.choice(past))
        how = self.random.randrange(4)
        if how == 0:
            event["source"] += "x"
        elif how == 1:
            event["at"] = max(0, event["at"] - self.random.choice((1, 1_000_000)))
        else:
            event["type"] = self.random.choice(tuple(WEIGHTS))
            event["data"] = self.data(event["type"], past, [], event["event_id"])
        return event

    def data(self, kind, past, promised, own_id):
        """The payload's members."""
        pick, number = self.random.choice, self.random.randrange
        moment = self.until + number(-SPAN, 4 * SPAN)
        entitlements = {name: pick(("on", "off", "日本")) for name in ("sso", "audit", "a.b:c_d-E") if number(2)}
        plan = {"plan": pick(PLANS), "seats": pick((0, 1, 2, 3, 5, 10**9)), "entitlements": entitlements}
        device = {"device_id": f"dev-{number(6)}"}
        if kind == "LicenseIssued":
            return {"customer_id": f"cust-{number(40)}", "product_id": f"prod-{number(4)}", **plan,
                    "valid_from": moment - SPAN, "expires_at": pick((None, moment)),
                    "metadata": {"note": pick(TEXTS), "n": "1"} if number(3) else {}}
        if kind == "LicenseRenewed":
            return {"expires_at": pick((None, moment, 0))}
        if kind == "LicensePlanChanged":
            return plan
        if kind == "LicenseTransferred":
            return {"customer_id": f"cust-{number(40)}"}
        if kind == "DeviceActivated":
            return {**device, "fingerprint": pick((None, f"fp-{number(99)}")), "platform": pick((None, *TEXTS))}
        if kind == "DeviceHeartbeat":
            return device
        if kind == "UsageRecorded":
            return {"metric": pick(("api-calls", "exports")), "quantity": pick((0, 1, number(10**6), 10**12))}
        if kind == "EventVoided":
            return {"voided_event_id": self.target(past, promised, own_id), "reason": pick(TEXTS)}
        reason = {"reason": pick(TEXTS)}
        return {**device, **reason} if kind == "DeviceDeactivated" else reason

    def target(self, past, promised, own_id):
        """Any earlier event (heartbeats and voids too), one that comes later, one that never comes, itself."""
        chance = self.random.random()
        if chance < 0.6 and past:
            return self.random.choice(past)["event_id"]
        if chance < 0.95:
            promised.append(self.identifier())
            return promised[-1]
        return own_id

    def line(self, event):
        """The JSON form, spelt in one of the ways that mean the same."""
        shown = {name: value for name, value in event.items() if name != "at"}
        shown["occurred_at"] = self.spelt(event["at"])
        shown["data"] = {
            name: self.spelt(value) if name in ("valid_from", "expires_at") and value is not None else value
            for name, value in event["data"].items()
        }
        if self.random.random() < 0.1:
            shown["event_id"] = shown["event_id"].upper()
        if self.random.random() < 0.3:
            left_out = {"tenant_id": "default", "source": "", "actor": None}
            shown = {name: value for name, value in shown.items() if left_out.get(name, self) != value}
            empty = {"reason": "", "entitlements": {}, "metadata": {}, "fingerprint": None, "platform": None}
            shown["data"] = {name: value for name, value in shown["data"].items() if empty.get(name, self) != value}
        return json.dumps(shown, ensure_ascii=self.random.random() < 0.5)

    def spelt(self, micros):
        """One moment in UTC or another offset, trailing zeros cut."""
        chance = self.random.random()
        if chance < 0.1 and 86_400_000_000 < micros:
            return format_micros(micros - 5_400_000_000).replace("Z", "-01:30")
        if chance < 0.2:
            return format_micros(micros + 3_600_000_000).replace("Z", "+01:00")
        if chance < 0.3:
            return format_micros(micros).rstrip("0Z").rstrip(".") + "Z"
        return format_micros(micros)


def lines(seed, events, licenses, until):
    """`events` lines, about one in forty a conflict."""
    return lines_of(Generator(seed, licenses, until), events)


def lines_of(generator, events):
    """`events` lines of a generator."""
    for number in range(events):
        conflict = number > 5 and generator.random.random() < 0.025
        yield generator.line(generator.conflict() if conflict else generator.event())


def main():
    """Writes the lines to standard output."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--events", type=int, default=1000)
    parser.add_argument("--licenses", type=int, default=50, help="license ids, each used by two tenants")
    parser.add_argument("--until", default="2026-01-31T10:00:00Z", help="no event occurred later than this")
    arguments = parser.parse_args()
    sys.stdout.reconfigure(encoding="utf-8", newline="\n")
    for line in lines(arguments.seed, arguments.events, arguments.licenses, parse_micros(arguments.until)):
        print(line)


if __name__ == "__main__":
    main()
