"""Compares what depends on the time of asking with the independent fold's answer at that time: statuses, lists by
status, customers and stats."""

import random
import urllib.parse
from collections import Counter

import shapes
from rollups import LIFECYCLES, MINUTE, STATUSES, minute_is_kept
from times import parse_micros

FILTERS = ("customer_id", "product_id", "plan")


class AtClock:
    """One tenant at one time of asking, which the API's clock stands at. `differences` and `counts` are its own."""

    def __init__(self, rollups, api, at, chance, newest_record):
        self.rollups, self.api, self.at = rollups, api, at
        self.chance, self.newest_record = chance, newest_record
        self.differences, self.counts = [], Counter()
        self.expected = {name: rollups.license(name, at) for name in rollups.licenses}

    def get(self, path, **more):
        """An answer within the tenant."""
        return self.api.get(path, self.rollups.tenant, **more)

    def lists(self):
        """The licenses of each status, at times all together, and some filters and sorts by chance."""
        if self.chance.random() < 0.3:
            self.list({}, self.chance.choice((1000, 97)))
        for status in STATUSES:
            self.list({"status": status}, 1000)
        for _ in range(3):
            some = self.chance.choice(list(self.expected.values()))
            filters = {name: some[name] for name in FILTERS if some[name] is not None and self.chance.random() < 0.4}
            filters["status"] = some["status"]
            if self.chance.random() < 0.3:
                filters["over_seat"] = some["over_seat"]
            if self.chance.random() < 0.3:
                filters["lifecycle"] = self.chance.choice(LIFECYCLES)
            self.list(filters, 1000, self.chance.choice(("license_id", "expires_at", "last_event_at")))

    def list(self, filters, limit, sort="license_id", path="/v1/licenses", more=None):
        """A list with filters that licenses have as members; `more` is a filter that stands in the path."""
        said = {name: str(value).lower() if isinstance(value, bool) else value for name, value in filters.items()}
        direction = self.chance.choice(("", "-"))
        query = urllib.parse.urlencode({**said, "limit": limit, "sort": direction + sort})
        where = self.where(f"{path}?{query}")
        items = list(self.api.items(f"{path}?{query}", self.rollups.tenant))
        wanted = {**filters, **(more or {})}
        expected = {
            name for name, shown in self.expected.items()
            if all(shown[member] == value for member, value in wanted.items())
        }
        self.counts["list_items"] += len(items)
        names = Counter(item.get("license_id") for item in items)
        odd = {name for name, count in names.items() if count > 1 or name not in expected} | (expected - names.keys())
        if odd:
            self.differences.append(f"{where}: not once as expected: {sorted(map(str, odd))[:5]}")
        # Times are all of one length, so that their text sorts as they do; where what has none comes is not said.
        keys = [key for item in items if (key := item.get(sort)) is not None]
        if keys != sorted(keys, reverse=direction == "-"):
            self.differences.append(f"{where}: not in the order asked for")
        for item in items:
            if item.get("license_id") in expected:
                shown = self.expected[item["license_id"]]
                self.differences += shapes.differences(shown, item, f"{where} {item['license_id']}")

    def singles(self, names):
        """Licenses by themselves, some with their customer included."""
        for name in names:
            expected = self.expected[name]
            including = self.chance.random() < 0.3
            path = f"/v1/licenses/{urllib.parse.quote(name, safe='')}" + ("?include=customer" if including else "")
            license = self.get(path)
            self.counts["singles"] += 1
            self.differences += shapes.differences(expected, license, self.where(path))
            if including:
                holder = expected["customer_id"]
                customer = self.rollups.customer(holder, self.at)
                self.same(customer, license.get("customer"), self.where(f"{path} customer"))

    def customers(self, strangers, licenses_of):
        """Every customer, and the licenses of this share of them; `strangers` hold none and are not there."""
        for customer_id in sorted(self.rollups.groups["customer_id"]):
            path = f"/v1/customers/{urllib.parse.quote(customer_id, safe='')}"
            expected = self.rollups.customer(customer_id, self.at)
            self.counts["customers"] += 1
            self.same(expected, self.get(path, may_be_missing=True), self.where(path))
            if self.chance.random() >= licenses_of:
                continue
            self.counts["customers_licenses"] += 1
            filters = {"status": self.chance.choice(STATUSES)} if self.chance.random() < 0.3 else {}
            limit = self.chance.choice((1000, 1000, 7))
            self.list(filters, limit, path=f"{path}/licenses", more={"customer_id": customer_id})
        for customer_id in strangers:
            path = f"/v1/customers/{customer_id}"
            self.same(None, self.get(path, may_be_missing=True), self.where(path))

    def stats(self):
        """Totals, by product and plan too, and numbers of events."""
        answered = self.get("/v1/stats")
        where = self.where("/v1/stats")
        self.counts["stats"] += 1
        if answered.get("degraded") != []:
            self.differences.append(f"{where}: degraded {answered.get('degraded')}")
        totals = answered.get("totals")
        self.same(self.rollups.all_totals(self.at), totals, f"{where} totals")
        for member, listed in (("product_id", "by_product"), ("plan", "by_plan")):
            found = ((totals or {}).get(listed) or {}).get("items") or []
            self.same_keyed(self.rollups.by(member, self.at), found, member, f"{where} {listed}")
        self.same_counts(self.rollups.per_day(), answered.get("events_per_day"), "day", where)
        minutes = self.rollups.per_minute()
        shown = [item for item in answered.get("events_per_minute") or [] if isinstance(item, dict)]
        starts = {parse_micros(item["minute"]): item for item in shown}
        if len(starts) != len(answered.get("events_per_minute") or ()):
            self.differences.append(f"{where}: minutes that come twice")
        for start in sorted(starts.keys() | minutes.keys()):
            self.minute(start, minutes.get(start), starts.get(start), where)

    def minute(self, start, expected, shown, where):
        """A minute in which something happened, or that is shown."""
        kept = minute_is_kept(start, self.at, self.newest_record)
        wrongly_there = shown is not None and (kept is False or expected is None or start % MINUTE != 0)
        if wrongly_there or (shown is None and kept is True):
            self.differences.append(f"{where}: the minute from {start} is {shown}, expected {expected}, kept: {kept}")
        elif shown is not None and not shapes.same(expected, shown.get("events")):
            self.differences.append(f"{where}: {shown}, expected {expected}")
        self.counts["minutes"] += shown is not None

    def same_counts(self, expected, items, member, where):
        """Numbers of events by time."""
        keyed = {name: {member: name, "events": events} for name, events in expected.items()}
        self.same_keyed(keyed, items or [], member, f"{where} by {member}")

    def same_keyed(self, expected, items, member, where):
        """Objects that are told apart by a member, each once."""
        names = [item.get(member) for item in items]
        if sorted(map(str, names)) != sorted(expected):
            self.differences.append(f"{where}: {names[:9]}, expected {sorted(expected)[:9]}")
            return
        for item in items:
            self.same(expected[item[member]], item, f"{where} {item[member]}")

    def same(self, expected, actual, where):
        """Both there with the same members, or both not."""
        if expected is None or actual is None:
            if expected is not actual:
                self.differences.append(f"{where}: {actual!r}, expected {expected!r}")
            return
        self.differences += shapes.differences(expected, actual, where)

    def where(self, path):
        """An address with its tenant and time."""
        return f"{self.rollups.tenant} {path} at {self.at}"


def chance_of(seed, tenant, at):
    """The choices for a tenant at a time."""
    return random.Random(f"clock {seed} {tenant} {at}")
