"""Compares what a license and its devices were at other times with the independent fold's answer."""

import random
import urllib.parse
from collections import Counter

import shapes
from moments import license_then, moments_of
from times import format_micros


class Then:
    """Asks about other times of each license. One per thread; `differences` and `counts` are its own."""

    def __init__(self, folded, api, seed, moments_each, otherwise):
        self.folded, self.api, self.seed = folded, api, seed
        self.moments_each, self.otherwise = moments_each, otherwise
        self.differences, self.counts = [], Counter()

    def license(self, identity):
        """All moments of one license; the same seed asks about the same moments of the same log."""
        chance = random.Random(f"moments {self.seed} {identity}")
        entries = self.folded.timelines[identity]
        self.counts["licenses"] += 1
        for as_of, known_at in moments_of(entries, self.otherwise, chance, self.moments_each):
            self.moment(identity, as_of, known_at, chance)

    def moment(self, identity, as_of, known_at, chance):
        """The license at that time, and its devices by one of three ways."""
        tenant, license_id = identity
        asked = {"as_of": as_of, "known_at": known_at}
        query = "&".join(f"{name}={format_micros(time)}" for name, time in asked.items() if time is not None)
        base = f"/v1/licenses/{urllib.parse.quote(license_id, safe='')}"
        expected = license_then(self.folded, identity, as_of, known_at)
        where = f"{tenant} {base}?{query}"
        way = chance.choice(("license", "include", "pages"))
        self.counts["moments"] += 1
        self.counts["moments_before_it_was"] += expected is None
        self.counts["both"] += as_of is not None and known_at is not None
        include = "&include=devices" if way == "include" else ""
        license = self.api.get(f"{base}?{query}{include}", tenant, may_be_missing=True)
        if self.both_are_there(expected, license, where):
            self.same_license(expected, license, where)
            if way == "include":
                self.same_devices(expected, license.get("devices", {}).get("items", []), f"{where} included")
        if way == "pages" or expected is None:
            self.paged(f"{base}/devices?{query}", tenant, expected, chance.choice((1, 2, 1000)))

    def both_are_there(self, expected, actual, where):
        """Whether there is something to compare further."""
        if (expected is None) != (actual is None):
            self.differences.append(f"{where}: {'is' if expected is None else 'is not'} there, against the fold")
        return expected is not None and actual is not None

    def same_license(self, expected, license, where):
        """Its members."""
        self.differences += shapes.differences(expected[0], license, where)
        self.counts[f"status {expected[0]['status']}"] += 1
        if not isinstance(license.get("_links"), dict):
            self.differences.append(f"{where}: no _links")

    def paged(self, path, tenant, expected, limit):
        """Its devices, page by page; the cursor must keep the time."""
        first = self.api.get(f"{path}&limit={limit}", tenant, may_be_missing=True)
        where = f"{tenant} {path}"
        if self.both_are_there(expected, first, where):
            items = first["items"]
            if first["next_cursor"] is not None:
                items = list(self.api.items(f"{path}&limit={limit}", tenant))
            self.same_devices(expected, items, where)

    def same_devices(self, expected, items, where):
        """Each once and with the same members, `last_seen_at` not among them."""
        self.counts["devices"] += len(items)
        names = [item.get("device_id") for item in items]
        if sorted(map(str, names)) != sorted(expected[1]):
            self.differences.append(f"{where}: devices {names}, expected {sorted(expected[1])}")
            return
        for item in items:
            name = item["device_id"]
            self.differences += shapes.differences(expected[1][name], item, f"{where} {name}")
            if "last_seen_at" in item:
                self.differences.append(f"{where} {name}: has last_seen_at, which is not known of then")
