"""The rules of the fold, one by one, each worked out by hand."""

import itertools
import unittest

from fold import fold
from poison_cases import issued, text
from record import Record

AT = "2026-01-31T10:00:0{}Z"


def identifier(number):
    """A uuid that sorts as its number."""
    return f"00000000-0000-4000-8000-{number:012x}"


def record(offset, kind, data, *, second=0, number=None, tenant="t", license_id="L", headers=(), **members):
    """A record at an offset; its event id follows the offset unless given."""
    value = {"event_id": identifier(offset if number is None else number), "tenant_id": tenant,
             "license_id": license_id, "occurred_at": AT.format(second), "type": kind, "data": data, **members}
    return Record("license.events.v1", 0, offset, 1_800_000_000_000, None, text(value), headers)


def void(offset, target, **options):
    """An EventVoided of the event with that number."""
    return record(offset, "EventVoided", {"voided_event_id": identifier(target)}, **options)


class Folding(unittest.TestCase):
    """Every case is folded in each order of its records, with the same result."""

    def folded(self, *records):
        results = [fold(order) for order in itertools.permutations(records)]
        for result in results[1:]:
            self.assertEqual((result.digest(), result.timelines), (results[0].digest(), results[0].timelines))
        self.assertEqual(results[0].rejected, [])
        return results[0]

    def license(self, *records):
        return self.folded(*records).licenses["t", "L"]

    def test_ties_go_by_rank_then_by_event_id(self):
        row = self.license(record(9, "LicenseIssued", issued()), record(1, "LicenseSuspended", {}),
                           record(2, "LicenseReinstated", {}), record(3, "LicenseReinstated", {}))
        self.assertEqual((row["lifecycle"], row["last_event_id"]), ("suspended", identifier(1)))

    def test_a_void_takes_effect_whenever_it_comes_and_is_itself_never_voided(self):
        first, second = record(1, "LicenseTransferred", {"customer_id": "a"}), record(2, "LicenseTransferred", {"customer_id": "b"})
        folded = self.folded(first, second, void(3, 2, second=5), void(4, 3, second=6))
        row = folded.licenses["t", "L"]
        self.assertEqual((row["customer_id"], row["event_count"], row["decided_by"]["customer"]), ("a", 3, identifier(1)))
        self.assertEqual([entry["voided_by"] for entry in folded.timelines["t", "L"]], [None, identifier(3), None, None])

    def test_a_void_of_itself_or_of_nothing_counts_and_changes_nothing(self):
        row = self.license(void(1, 1), void(2, 77), record(3, "LicenseIssued", issued()))
        self.assertEqual((row["event_count"], row["lifecycle"]), (3, "active"))

    def test_voids_and_events_of_another_tenant_or_license_do_not_meet(self):
        folded = self.folded(record(1, "LicenseRevoked", {}), void(2, 1, tenant="u"), void(3, 1, license_id="M"))
        self.assertEqual(folded.licenses["t", "L"]["lifecycle"], "revoked")
        self.assertEqual(folded.licenses["u", "L"]["lifecycle"], "unknown")

    def test_a_license_whose_only_event_is_voided_is_there_and_empty(self):
        row = self.license(record(1, "LicenseIssued", issued()), void(2, 1))
        self.assertEqual((row["plan"], row["event_count"], row["decided_by"]["plan"]), (None, 1, None))

    def test_revoked_is_for_ever_and_decided_by_the_first(self):
        row = self.license(record(1, "LicenseRevoked", {}, second=3), record(2, "LicenseRevoked", {}, second=2),
                           record(3, "LicenseReinstated", {}, second=9))
        self.assertEqual((row["lifecycle"], row["decided_by"]["lifecycle"]), ("revoked", identifier(2)))

    def test_the_least_record_is_the_event_and_another_content_a_conflict(self):
        folded = self.folded(record(5, "LicenseTransferred", {"customer_id": "b"}, number=1),
                             record(4, "LicenseTransferred", {"customer_id": "a"}, number=1),
                             record(6, "LicenseTransferred", {"customer_id": "b"}, number=1),
                             record(7, "LicenseTransferred", {"customer_id": "a"}, number=1, actor=None))
        self.assertEqual(folded.licenses["t", "L"]["customer_id"], "a")
        self.assertEqual([[at.offset for at in conflict.records] for conflict in folded.conflicts], [[5, 6]])
        self.assertEqual(folded.timelines["t", "L"][0]["offset"], 4)

    def test_the_case_of_a_uuid_and_the_spelling_of_a_time_are_no_content(self):
        upper = record(2, "LicenseRevoked", {}, event_id=identifier(1).upper(), occurred_at="2026-01-31T11:00:00.0+01:00")
        self.assertEqual(self.folded(record(1, "LicenseRevoked", {}), upper).conflicts, [])

    def test_a_heartbeat_only_says_when_and_shares_its_event_id_with_anyone(self):
        folded = self.folded(record(1, "DeviceHeartbeat", {"device_id": "d"}, second=8),
                             record(2, "DeviceHeartbeat", {"device_id": "d"}, number=1, second=7),
                             record(3, "LicenseRevoked", {}, number=1), void(4, 1, second=1))
        row = folded.licenses["t", "L"]
        self.assertEqual((row["event_count"], row["lifecycle"], folded.conflicts), (1, "unknown", []))
        device = folded.devices["t", "L", "d"]
        self.assertEqual((device["active"], device["decided_by"], device["activated_by"]), (False, None, None))
        self.assertEqual(device["last_seen_at"] % 10_000_000, 8_000_000)

    def test_a_device_keeps_its_last_activation_through_a_deactivation(self):
        device = self.folded(record(1, "DeviceActivated", {"device_id": "d", "platform": "x"}),
                             record(2, "DeviceDeactivated", {"device_id": "d"})).devices["t", "L", "d"]
        self.assertEqual((device["active"], device["platform"], device["activated_by"], device["decided_by"]),
                         (False, "x", identifier(1), identifier(2)))

    def test_a_voided_device_or_metric_is_not_there(self):
        folded = self.folded(record(1, "DeviceActivated", {"device_id": "d"}),
                             record(2, "UsageRecorded", {"metric": "m", "quantity": 0}), void(3, 1), void(4, 2))
        self.assertEqual((folded.devices, folded.usage), ({}, {}))

    def test_usage_stops_at_its_ceiling(self):
        records = [record(number, "UsageRecorded", {"metric": "m", "quantity": 10**12}) for number in range(9008)]
        self.assertEqual(fold(records).usage["t", "L", "m"]["quantity"], 2**53 - 1)
        self.assertEqual(fold(records[:-1]).usage["t", "L", "m"]["quantity"], 9007 * 10**12)

    def test_the_last_good_request_id_counts_else_the_coordinates(self):
        def known(*headers):
            return fold([record(3, "LicenseRevoked", {}, headers=headers)]).timelines["t", "L"][0]["request_id"]

        self.assertEqual(known(("x-request-id", b"a"), ("x-request-id", b"b")), "b")
        for bad in (b"", b"a b", b"x" * 129, b"\xff", None):
            self.assertEqual(known(("x-request-id", b"a"), ("x-request-id", bad)), "license.events.v1:0:3")


if __name__ == "__main__":
    unittest.main()
