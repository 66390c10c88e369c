"""The comparison is silent about an API that tells the fold's truth, and finds each single lie."""

import json
import threading
import time
import unittest
import urllib.parse
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import shapes
from api import Api, Unexpected
from compare import Comparison
from fold import fold, records_of
from letters import compare_letters, missing
from poison_cases import event, text
from record import Record
from test_golden import LINES

RECORDS = records_of(LINES) + [
    Record("license.events.v1", 1, 4, 1_800_000_000_000, b"k", b"{", (("own", b"\xff"), ("x-reason", b"earlier"))),
    Record("license.events.v1", 1, 5, 1_800_000_000_000, None, None, (("h", b"x" * 70_000),)),
    Record("license.events.v1", 1, 6, 1_800_000_000_000, None, text(event("L", source="a\0"))),
]
FOLDED = fold(RECORDS)
NOW = 1_900_000_000_000_000


class Truthful(Api):
    """Answers from the fold, two items a page; `lie` may change any answer."""

    def __init__(self, lie=lambda path, answer: None):
        super().__init__("http://none", "", 0)
        self.lie = lie

    def get(self, path, tenant="default"):
        url = urllib.parse.urlsplit(path)
        answer = self.answer(url.path.removeprefix("/v1/licenses").strip("/").split("/"), tenant,
                             int(urllib.parse.parse_qs(url.query).get("cursor", ["0"])[0]))
        self.lie(url.path, answer)
        return answer

    def answer(self, parts, tenant, start):
        license_id = parts[0]
        if license_id and len(parts) == 1:
            return self.license(tenant, license_id)
        if not license_id:
            items = [self.license(tenant, name) for of, name in FOLDED.licenses if of == tenant]
        elif parts[1] == "events":
            items = [shapes.timeline_entry(entry) for entry in FOLDED.timelines[tenant, license_id]]
        else:
            rows = getattr(FOLDED, parts[1])
            items = [shapes.row(row) for where, row in rows.items() if where[:2] == (tenant, license_id)]
        following = str(start + 2) if start + 2 < len(items) else None
        return {"items": items[start : start + 2], "next_cursor": following, "_links": {}}

    def license(self, tenant, license_id):
        active = sum(row["active"] for where, row in FOLDED.devices.items() if where[:2] == (tenant, license_id))
        return {**shapes.license_shape(FOLDED.licenses[tenant, license_id], active, NOW), "_links": {}}


def differences_of(lie=lambda path, answer: None):
    """What the comparison finds when the API lies so. The status is the clock's, and set right here."""
    comparison = Comparison(FOLDED, Truthful(lie), "2")
    original = comparison.license

    def with_status(tenant, license_id, item, how):
        if item.get("status") == shapes.status(FOLDED.licenses[tenant, license_id], NOW):
            item = {**item, "status": shapes.status(FOLDED.licenses[tenant, license_id], time.time_ns() // 1000)}
        original(tenant, license_id, item, how)

    comparison.license = with_status
    comparison.all()
    return comparison.differences


def lies():
    """One small change each."""
    def change(ending, how):
        def lie(path, answer):
            if path.endswith(ending):
                if "items" not in answer:
                    how(answer)
                elif answer["items"]:
                    how(answer["items"][0])
        return lie

    yield change("/LIC-o7ea-00000", lambda item: item.update(seats=item["seats"] + 1))
    yield change("/LIC-o7ea-00000", lambda item: item.update(seats=float(item["seats"])))
    yield change("/LIC-o7ea-00000", lambda item: item.pop("metadata"))
    yield change("/LIC-o7ea-00000", lambda item: item.update(status="gone"))
    yield change("/LIC-o7ea-00000", lambda item: item.update(over_seat=1))
    yield change("/licenses", lambda item: item.update(license_id="other"))
    yield change("/licenses", lambda item: item.pop("_links"))
    yield change("/devices", lambda item: item.update(active=not item["active"]))
    yield change("/devices", lambda item: item.update(device_id="dev-none"))
    yield change("/usage", lambda item: item.update(quantity=0))
    for name in ("topic", "offset", "partition", "recorded_at", "request_id", "source", "data", "occurred_at", "type"):
        yield change("/events", lambda item, name=name: item.update({name: "other"}))
    yield change("/events", lambda item: item.update(voided_by="other"))
    yield lambda path, answer: answer.get("items", []).reverse() if path.endswith("/events") else None
    yield lambda path, answer: answer.update(next_cursor=None) if "items" in answer else None


def letter(record, reason, error, offset=0):
    """A letter as it must be."""
    own = [(name, value) for name, value in record.headers if not name.startswith("x-reason")]
    ours = {"x-original-topic": record.topic, "x-original-partition": record.partition,
            "x-original-offset": record.offset, "x-original-timestamp": record.timestamp, "x-reason": reason,
            "x-error": error, "x-attempt": 1, "x-due": 0}
    spring = {"original-topic": record.topic.encode(), "original-partition": record.partition.to_bytes(4, "big"),
              "original-offset": record.offset.to_bytes(8, "big"),
              "original-timestamp": record.timestamp.to_bytes(8, "big"), "original-timestamp-type": b"LogAppendTime",
              "original-consumer-group": b"licenseflow", "exception-fqcn": b"Rejected", "exception-message": b"why"}
    headers = own + [(name, str(value).encode()) for name, value in ours.items()]
    headers += [(f"kafka_dlt-{name}", value) for name, value in spring.items()]
    value = None if reason == "too_large" else record.value
    return Record("license.events.dlq.v1", 0, offset, 0, record.key, value, tuple(headers))


LETTERS = [letter(record, rejection.reason, "source is bad") for record, rejection in FOLDED.rejected]
LETTERS += [letter(conflict.record, "event_conflict", "another content") for conflict in FOLDED.conflicts]


class Comparing(unittest.TestCase):
    """The comparison itself."""

    def test_the_truth_is_no_difference(self):
        self.assertEqual(differences_of(), [])
        self.assertEqual(compare_letters(FOLDED, RECORDS, LETTERS + LETTERS)[0], [])
        self.assertEqual(missing(FOLDED, LETTERS), 0)

    def test_every_lie_is_found(self):
        for number, lie in enumerate(lies()):
            with self.subTest(number):
                self.assertNotEqual(differences_of(lie), [])

    def test_every_letter_counts(self):
        self.assertEqual(len(LETTERS), 6)
        for number in range(len(LETTERS)):
            rest = LETTERS[:number] + LETTERS[number + 1 :]
            self.assertEqual(len(compare_letters(FOLDED, RECORDS, rest)[0]), 1)
            self.assertEqual(missing(FOLDED, rest), 1)

    def test_a_letter_of_an_event_is_found(self):
        event_record = next(record for record in RECORDS if record.coordinates not in FOLDED.contested)
        extra = letter(event_record, "bad_json", "none")
        self.assertEqual(len(compare_letters(FOLDED, RECORDS, [*LETTERS, extra])[0]), 1)

    def test_each_header_is_held_to_its_value(self):
        first = LETTERS[0]
        for number, (name, value) in enumerate(first.headers):
            changed = list(first.headers)
            del changed[number]
            if name not in ("kafka_dlt-exception-message",):
                changed.append((name, b"other" if name != "x-error" else b""))
            with self.subTest(name):
                wrong = Record(first.topic, 0, 0, 0, first.key, first.value, tuple(changed))
                found = compare_letters(FOLDED, RECORDS, [wrong, *LETTERS[1:]])[0]
                free = ("kafka_dlt-original-consumer-group", "kafka_dlt-exception-fqcn")
                self.assertEqual(bool(found), name not in free, found)

    def test_over_http_a_wait_that_ran_out_is_asked_again_and_a_stale_answer_is_refused(self):
        seen = []

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                seen.append((self.path, self.headers["X-Tenant-Id"], self.headers["X-Min-Position"]))
                body = json.dumps({"items": [len(seen)], "_links": {},
                                   "next_cursor": "a/b" if len(seen) < 3 else None}).encode()
                self.send_response(504 if len(seen) == 1 else 200)
                self.send_header("Content-Length", str(len(body)))
                if "stale" in self.path:
                    self.send_header("X-Stale", "true")
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_):
                pass

        with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
            threading.Thread(target=server.serve_forever).start()
            try:
                api = Api(f"http://127.0.0.1:{server.server_port}", "e:0:9", time.monotonic() + 10)
                self.assertEqual(list(api.items("/list?limit=2", "acme")), [2, 3])
                self.assertEqual(seen, [("/list?limit=2", "acme", "e:0:9")] * 2
                                 + [("/list?limit=2&cursor=a%2Fb", "acme", "e:0:9")])
                with self.assertRaises(Unexpected):
                    api.get("/stale")
            finally:
                server.shutdown()


if __name__ == "__main__":
    unittest.main()
