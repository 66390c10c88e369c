"""Other times, customers and totals, each worked out by hand."""

import dataclasses
import random
import unittest

from fold import fold, records_of
from generate import lines_of
from generate_timed import TENANTS, Timed
from moments import license_then, moments_of
from poison_cases import issued
from rollups import DAY, KEPT, MINUTE, Rollups, minute_is_kept
from test_fold import record, void
from times import parse_micros

SECOND = 1_000_000
TEN = parse_micros("2026-01-31T10:00:00Z")
WHO = ("t", "L")


def recorded(at_ms, a_record):
    """The same record with another timestamp of the brokers."""
    return dataclasses.replace(a_record, timestamp=at_ms)


class AtOtherTimes(unittest.TestCase):
    """`as_of` and `known_at`."""

    RECORDS = [
        recorded(TEN // 1000 + 9000, record(1, "LicenseIssued", issued(
            seats=1, valid_from="2026-01-31T10:00:03Z", expires_at="2026-01-31T10:00:06Z"), second=1)),
        recorded(TEN // 1000 + 9100, record(2, "DeviceActivated", {"device_id": "d"}, second=2)),
        recorded(TEN // 1000 + 9200, void(3, 2, second=4)),
        recorded(TEN // 1000 + 9300, record(4, "DeviceHeartbeat", {"device_id": "beats"}, second=1)),
        recorded(TEN // 1000 + 9400, record(5, "LicenseRevoked", {}, second=8)),
    ]
    FOLDED = fold(RECORDS)

    def status(self, as_of=None, known_at=None):
        then = license_then(self.FOLDED, WHO, as_of, known_at)
        return then and then[0]["status"]

    def test_before_its_first_event_it_is_not_there_and_a_heartbeat_is_no_event(self):
        self.assertIsNone(self.status(as_of=TEN + SECOND - 1))
        self.assertEqual(self.status(as_of=TEN + SECOND), "pending")
        beats = fold([record(1, "DeviceHeartbeat", {"device_id": "d"})])
        self.assertIsNone(license_then(beats, WHO, TEN + DAY, None))

    def test_the_status_turns_on_the_microsecond(self):
        turns = [(3, "pending", "active"), (6, "active", "expired"), (8, "expired", "revoked")]
        for second, before, after in turns:
            at = TEN + second * SECOND
            self.assertEqual((self.status(as_of=at - 1), self.status(as_of=at)), (before, after))

    def test_what_is_voided_later_counts_until_then_and_who_only_beat_is_not_among_the_devices(self):
        license, devices = license_then(self.FOLDED, WHO, TEN + 4 * SECOND - 1, None)
        self.assertEqual((license["seats_used"], license["event_count"], list(devices)), (1, 2, ["d"]))
        self.assertNotIn("last_seen_at", devices["d"])
        license, devices = license_then(self.FOLDED, WHO, TEN + 4 * SECOND, None)
        self.assertEqual((license["seats_used"], license["event_count"], devices), (0, 2, {}))

    def test_known_at_asks_when_it_was_recorded_and_gives_the_status_of_then_unless_as_of_is_asked_too(self):
        known = TEN + 9000 * 1000
        self.assertIsNone(self.status(known_at=known - 1))
        self.assertEqual(self.status(known_at=known), "expired")
        self.assertEqual(self.status(known_at=known + 400_000), "revoked")
        self.assertEqual(self.status(as_of=TEN + 9 * SECOND, known_at=known + 399_999), "expired")
        self.assertEqual(self.status(as_of=TEN + 2 * SECOND, known_at=known), "pending")
        license, _ = license_then(self.FOLDED, WHO, TEN + 9 * SECOND, known + 100_000)
        self.assertEqual((license["event_count"], license["seats_used"]), (2, 1))

    def test_a_license_whose_events_are_all_voided_is_there(self):
        folded = fold([record(1, "LicenseRevoked", {}), void(2, 1)])
        license, devices = license_then(folded, WHO, TEN, None)
        self.assertEqual((license["status"], license["event_count"], devices), ("unknown", 1, {}))

    def test_moments_lie_on_and_beside_what_happened(self):
        entries = self.FOLDED.timelines[WHO]
        chosen = [moment for seed in range(99) for moment in moments_of(entries, 0, random.Random(seed), 6)]
        for distance in (-1, 0, 1):
            for second in (1, 2, 3, 4, 6, 8):
                self.assertIn(TEN + second * SECOND + distance, {as_of for as_of, _ in chosen})
            self.assertIn(TEN + 9_100_000 + distance, {known_at for _, known_at in chosen})
        self.assertEqual(len(moments_of([], 5, random.Random(1), 6)), 6)


class Together(unittest.TestCase):
    """Customers and totals."""

    FOLDED = fold([
        record(1, "LicenseIssued", issued(seats=5, expires_at="2026-01-31T10:00:06Z"), license_id="ends"),
        record(2, "LicenseIssued", issued(seats=7, valid_from="2026-01-31T10:00:06Z"), license_id="starts"),
        record(3, "LicenseIssued", issued(seats=9, expires_at="2026-01-31T10:00:01Z"), license_id="rests"),
        record(4, "LicenseSuspended", {}, license_id="rests"),
        record(5, "LicenseIssued", issued(valid_from="2026-01-31T10:00:06Z", expires_at="2026-01-31T10:00:05Z"),
               license_id="never"),
        record(6, "LicenseTransferred", {"customer_id": "other"}, license_id="never"),
        record(7, "DeviceActivated", {"device_id": "d"}, license_id="ends"),
        record(8, "DeviceActivated", {"device_id": "d"}, license_id="bare"),
        record(9, "DeviceActivated", {"device_id": "e"}, license_id="bare"),
        void(10, 9, license_id="bare"),
        record(11, "LicenseIssued", issued(customer_id="alone"), tenant="u"),
    ])
    ROLLUPS = Rollups(FOLDED, "t")

    def test_a_customer_is_what_its_licenses_are_at_the_time(self):
        before = self.ROLLUPS.customer("c", TEN + 6 * SECOND - 1)
        self.assertEqual((before["licenses"], before["seats"], before["seats_used"]), (3, 21, 1))
        self.assertEqual({name: count for name, count in before["by_status"].items() if count},
                         {"active": 1, "pending": 1, "suspended": 1})
        self.assertEqual(before["next_expiry"], "2026-01-31T10:00:06.000000Z")
        after = self.ROLLUPS.customer("c", TEN + 6 * SECOND)
        self.assertEqual({name: count for name, count in after["by_status"].items() if count},
                         {"active": 1, "expired": 1, "suspended": 1})
        self.assertIsNone(after["next_expiry"])
        self.assertEqual(after["by_lifecycle"]["active"], {"licenses": 2, "seats": 12, "seats_used": 1})
        self.assertIsNone(self.ROLLUPS.customer("alone", TEN))

    def test_what_ends_before_it_starts_goes_from_pending_to_expired(self):
        at = [self.ROLLUPS.customer("other", TEN + second * SECOND)["by_status"] for second in (4, 5, 6)]
        self.assertEqual([[name for name, count in of.items() if count] for of in at],
                         [["pending"], ["expired"], ["expired"]])

    def test_a_tenant_has_all_and_products_only_those_that_have_one(self):
        totals = self.ROLLUPS.all_totals(TEN)
        self.assertEqual((totals["licenses"], totals["by_status"]["unknown"], totals["seats_used"]), (5, 1, 2))
        self.assertEqual(self.ROLLUPS.by("product_id", TEN)["p"]["licenses"], 4)

    def test_voided_events_are_not_counted_and_voids_are(self):
        kinds = {"LicenseIssued": 4, "LicenseSuspended": 1, "LicenseTransferred": 1, "DeviceActivated": 2, "EventVoided": 1}
        self.assertEqual(self.ROLLUPS.per_day(), {"2026-01-31": kinds})
        self.assertEqual(self.ROLLUPS.per_minute(), {TEN: kinds})

    def test_a_minute_is_kept_for_48_hours_and_one_may_be_either_way(self):
        for at, newest in ((TEN, 0), (0, TEN), (TEN, TEN)):
            kept = [minute_is_kept(TEN - KEPT + minute * MINUTE, at, newest) for minute in (-2, -1, 0, 1)]
            self.assertEqual(kept, [False, False, None, True])
        self.assertIsNone(minute_is_kept(TEN - KEPT - MINUTE, TEN - 1, 0))


class Generating(unittest.TestCase):
    """The history that the clock is moved over."""

    def test_same_seed_same_lines_and_all_kinds_of_trouble(self):
        def lines():
            return [line.encode() for line in lines_of(Timed(3, 20, TEN + 1), 900)]

        self.assertEqual(lines(), lines())
        folded = fold(records_of(lines()))
        self.assertEqual({tenant for tenant, _ in folded.licenses}, set(TENANTS))
        self.assertFalse(folded.rejected)
        rows = folded.licenses.values()
        turns = {row[name] for row in rows for name in ("valid_from", "expires_at")} - {None}
        self.assertTrue({turn % DAY for turn in turns} >= {0, DAY - 1})
        self.assertTrue(any(row["expires_at"] and row["valid_from"] and row["expires_at"] < row["valid_from"] for row in rows))
        self.assertTrue(folded.conflicts)
        self.assertTrue(any(entry["voided_by"] for entries in folded.timelines.values() for entry in entries))


if __name__ == "__main__":
    unittest.main()
