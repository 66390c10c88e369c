"""The comparison of other times is silent about an API that tells the fold's truth, and finds each single lie."""

import copy
import dataclasses
import random
import sys
import tempfile
import unittest
import urllib.parse
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

from api import Api
from clock import REAL, Clock
from compare_moments import Comparison, instants_of
from fold import fold, records_of
from generate import lines_of
from generate_timed import Timed
from moments import license_then
from rollups import MINUTE, Rollups
from times import format_micros, parse_micros

NOW = parse_micros("2026-01-31T10:00:00Z")
NEWEST = NOW + 5 * MINUTE
LINES = [line.encode() for line in lines_of(Timed(11, 7, NOW), 350)]
FOLDED = fold(
    dataclasses.replace(record, timestamp=(NOW // 1000) + 100 * (record.offset // 50)) for record in records_of(LINES)
)
ROLLUPS = {tenant: Rollups(FOLDED, tenant) for tenant in {of for of, _ in FOLDED.licenses}}
MISSING, EXTRA = "missing", "extra"


def listed(items, start):
    """A page of two, the rest behind a cursor."""
    following = str(start + 2) if start + 2 < len(items) else None
    return {"items": items[start : start + 2], "next_cursor": following, "_links": {}}


class Truthful(Api):
    """Answers from the fold as of a clock; `lie` may change any answer, say that it is missing, or make one up."""

    def __init__(self, at, lie):
        super().__init__("http://none", "", 0)
        self.at, self.lie = at, lie

    def get(self, path, tenant="default", may_be_missing=False):
        url = urllib.parse.urlsplit(path)
        query = dict(urllib.parse.parse_qsl(url.query))
        answer = copy.deepcopy(self.answer(url.path.removeprefix("/v1/").split("/"), query, ROLLUPS[tenant]))
        told = self.lie(url.path, query, answer)
        return {MISSING: None, EXTRA: {"status": "active"}}.get(applied(told), answer)

    def answer(self, parts, query, of):
        start = int(query.get("cursor", "0"))
        if parts[0] == "stats":
            return self.stats(of)
        if parts[0] == "customers" and len(parts) == 2:
            return of.customer(parts[1], self.at)
        if parts[0] == "customers":
            query = {**query, "customer_id": parts[1]}
        elif len(parts) > 1:
            return self.license(of, parts[1], query, start, parts[2:] == ["devices"])
        items = [{**of.license(name, self.at), "_links": {}} for name in sorted(of.licenses)]
        for name in ("status", "customer_id", "product_id", "plan", "lifecycle"):
            items = [item for item in items if query.get(name, item[name]) == item[name]]
        items = [item for item in items if query.get("over_seat") in (None, str(item["over_seat"]).lower())]
        by = query["sort"].lstrip("-")
        items.sort(key=lambda item: item[by] or "", reverse=query["sort"].startswith("-"))
        return listed(items, start)

    def license(self, of, license_id, query, start, only_devices):
        times = {name: parse_micros(query[name]) for name in ("as_of", "known_at") if name in query}
        if not times:
            license = {**of.license(license_id, self.at), "_links": {}}
            return {**license, "customer": of.customer(license["customer_id"], self.at)} if "include" in query else license
        then = license_then(FOLDED, (of.tenant, license_id), times.get("as_of"), times.get("known_at"))
        if then is None:
            return None
        devices = [then[1][name] for name in sorted(then[1])]
        included = {"devices": {"items": devices}} if "include" in query else {}
        return listed(devices, start) if only_devices else {**then[0], **included, "_links": {}}

    def stats(self, of):
        by = {f"by_{name.removesuffix('_id')}": {"items": list(of.by(name, self.at).values()), "goes_on": False}
              for name in ("product_id", "plan")}
        kept = max(self.at, NEWEST) - 48 * 60 * MINUTE
        return {"totals": {**of.all_totals(self.at), **by}, "degraded": [],
                "events_per_day": [{"day": day, "events": events} for day, events in of.per_day().items()],
                "events_per_minute": [{"minute": format_micros(start), "events": events}
                                      for start, events in of.per_minute().items() if start > kept]}


def applied(told):
    """What a lie said, where it was one of the two words that an answer is replaced by."""
    return told if isinstance(told, str) and told in (MISSING, EXTRA) else None


def differences_of(lie=lambda path, query, answer: None, off_by=0, half="both"):
    """What the comparison finds at some times, of an API that lies so and whose clock is off by so much."""
    options = SimpleNamespace(seed=5, moments=4)
    instants = [NOW, *TURNS]
    api = Truthful(NOW, lie)
    comparison = Comparison(options, FOLDED, NEWEST, lambda: api)
    with ThreadPoolExecutor(1) as executor:
        if half != "clock":
            comparison.then(executor)
        for at in instants if half != "then" else ():
            api.at = at + off_by
            comparison.at_clock(executor, at)
    return comparison.differences


# A start and an end of a license, neither of them another's.
TURNS = sorted({max(row["valid_from"] for row in FOLDED.licenses.values() if row["lifecycle"] == "active" and row["valid_from"]),
                min(row["expires_at"] for row in FOLDED.licenses.values() if row["lifecycle"] == "active" and row["expires_at"])})


def lie_about(half, ending, how, **asked):
    """`how` changes the answers of paths that end so, or of the first thing in their lists."""
    def lie(path, query, answer):
        fits = path.endswith(ending) and all((name in query) == there for name, there in asked.items())
        return how(answer) if fits and answer is not None else None
    return half, lie


def first(how):
    """A change of the first item of a list, where there is one."""
    return lambda answer: how(answer["items"][0]) if answer["items"] else None


def lies():
    """One change each."""
    then = {"as_of": True, "known_at": False}
    for asked in (then, {"as_of": False, "known_at": True}, {"as_of": True, "known_at": True}):
        yield lie_about("then", "", lambda it: it.update(status="gone") if "status" in it else None, **asked)
        yield lie_about("then", "", lambda it: it.update(event_count=-1) if "status" in it else None, **asked)
        yield lie_about("then", "", lambda it: MISSING, **asked)
    for name in ("seats_used", "decided_by", "events", "expires_at", "first_event_at", "last_event_id", "over_seat", "plan"):
        yield lie_about("then", "", lambda it, name=name: it.update({name: "other"}) if "status" in it else None)
    yield lie_about("then", "", lambda it: it.pop("_links") if "status" in it else None)
    yield "then", lambda path, query, answer: EXTRA if answer is None else None
    for devices in (lambda it: it.get("items", []), lambda it: it.get("devices", {}).get("items", [])):
        yield lie_about("then", "", lambda it, of=devices: [one.update(active="no") for one in of(it)])
        yield lie_about("then", "", lambda it, of=devices: [one.update(last_seen_at=None) for one in of(it)])
        yield lie_about("then", "", lambda it, of=devices: of(it).clear())
        yield lie_about("then", "", lambda it, of=devices: of(it).append({"device_id": "dev-none"}))
    yield lie_about("then", "/devices", lambda it: it.update(next_cursor=None))

    for asked in ({"status": True}, {"status": False}):
        yield lie_about("clock", "/licenses", first(lambda it: it.update(status="gone")), **asked)
        yield lie_about("clock", "/licenses", first(lambda it: it.update(license_id="other")), **asked)
        yield lie_about("clock", "/licenses", lambda it: it["items"].extend(it["items"][:1]), **asked)
        yield lie_about("clock", "/licenses", lambda it: it.update(next_cursor=None), **asked)
        yield lie_about("clock", "/licenses", lambda it: it["items"].reverse(), **asked)
    yield lie_about("clock", "", lambda it: it.update(status="gone") if "_links" in it else None)
    yield lie_about("clock", "", lambda it: it["customer"].update(next_expiry="x") if it.get("customer") else None)
    for name in ("licenses", "seats", "seats_used", "next_expiry", "by_status", "by_lifecycle", "tenant_id", "customer_id"):
        yield lie_about("clock", "/cust-3", lambda it, name=name: it.pop(name))
        yield lie_about("clock", "/cust-3", lambda it, name=name: it.update({name: -1}))
    yield lie_about("clock", "/cust-3", lambda it: it["by_status"].update(expired=it["by_status"]["expired"] + 1))
    yield lie_about("clock", "/cust-3", lambda it: MISSING)
    yield "clock", lambda path, query, answer: EXTRA if path.endswith("/cust-none") else None

    def stats(how):
        return lie_about("clock", "/stats", how)

    for name in ("licenses", "seats", "seats_used", "by_status", "by_lifecycle"):
        yield stats(lambda it, name=name: it["totals"].update({name: -1}))
        for part in ("by_product", "by_plan"):
            yield stats(lambda it, name=name, part=part: it["totals"][part]["items"][-1].update({name: -1}))
    yield stats(lambda it: it["totals"]["by_status"].update(pending=it["totals"]["by_status"]["pending"] - 1))
    for part in ("by_product", "by_plan"):
        yield stats(lambda it, part=part: it["totals"][part]["items"].pop())
        yield stats(lambda it, part=part: it["totals"].pop(part))
    for part in ("events_per_day", "events_per_minute"):
        yield stats(lambda it, part=part: it.update({part: it[part][:-1]}))
        yield stats(lambda it, part=part: it[part].extend(it[part][:1]))
        yield stats(lambda it, part=part: [one["events"].update(LicenseIssued=999) for one in it[part]])
        yield stats(lambda it, part=part: it.update({part: None}))
    yield stats(lambda it: it["events_per_minute"].append({"minute": "2026-01-20T00:00:00.000000Z", "events": {}}))
    yield stats(lambda it: it.update(degraded=["totals"]))
    yield stats(lambda it: it.update(totals=None))


class Comparing(unittest.TestCase):
    """Both halves of the comparison."""

    def test_the_truth_is_no_difference(self):
        self.assertEqual(differences_of(), [])

    def test_every_lie_is_found(self):
        for number, (half, lie) in enumerate(lies()):
            with self.subTest(number):
                self.assertNotEqual(differences_of(lie, half=half), [])

    def test_a_clock_that_is_off_by_a_microsecond_is_found(self):
        for off_by in (-1, -86_400_000_000):
            found = differences_of(off_by=off_by, half="clock")
            for where in ("/v1/stats", "/v1/customers/", "/v1/licenses?status="):
                self.assertTrue(any(where in line for line in found), where)

    def test_the_clock_is_moved_over_starts_and_ends_and_days(self):
        instants = instants_of(FOLDED, NOW, random.Random(1), 4)
        self.assertEqual(instants, sorted(set(instants)))
        comparison = Comparison(SimpleNamespace(), FOLDED, NEWEST, None)
        self.assertTrue(any(comparison.turned(at, at + 1) for at in instants))
        for rest in (0, 86_400_000_000 - 1):
            self.assertTrue(any(at % 86_400_000_000 == rest for at in instants))

    def test_the_clocks_file_holds_nanoseconds(self):
        with tempfile.NamedTemporaryFile() as file:
            clock = Clock(file.name)
            clock.stand_at(NOW + 1)
            self.assertEqual(int.from_bytes(file.read(), sys.byteorder), NOW * 1000 + 1000)
            clock.stand_at(REAL)
            file.seek(0)
            self.assertEqual(file.read(), bytes(8))


if __name__ == "__main__":
    unittest.main()
