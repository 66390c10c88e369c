"""Customers and totals, which are functions of the rows, and numbers of events, which are of the timeline.

By the contract's §4 and §6. `at` is the time of asking, in microseconds.
"""

from collections import Counter, defaultdict

import shapes
from times import format_micros

STATUSES = ("active", "expired", "pending", "revoked", "suspended", "unknown")
LIFECYCLES = ("active", "revoked", "suspended", "unknown")
MINUTE, DAY = 60_000_000, 86_400_000_000
KEPT = 48 * 60 * MINUTE


class Rollups:
    """The licenses of one tenant, counted together."""

    def __init__(self, folded, tenant):
        self.tenant = tenant
        self.licenses = {name: row for (of, name), row in folded.licenses.items() if of == tenant}
        self.active_devices = Counter()
        for (of, license_id, _), device in folded.devices.items():
            if of == tenant and device["active"]:
                self.active_devices[license_id] += 1
        self.counting = [
            (entry["event"].occurred_at, entry["event"].type)
            for (of, _), entries in folded.timelines.items() if of == tenant
            for entry in entries if entry["voided_by"] is None
        ]
        self.groups = {member: defaultdict(list) for member in ("customer_id", "product_id", "plan")}
        for row in self.licenses.values():
            for member, groups in self.groups.items():
                if row[member] is not None:
                    groups[row[member]].append(row)

    def license(self, license_id, at):
        """A license as it must be shown."""
        return shapes.license_shape(self.licenses[license_id], self.active_devices[license_id], at)

    def totals(self, rows, at):
        """Of some licenses: how many, by status and by lifecycle, their seats and their active devices."""
        by_lifecycle = {name: self.sums(row for row in rows if row["lifecycle"] == name) for name in LIFECYCLES}
        by_status = Counter(shapes.status(row, at) for row in rows)
        return {**self.sums(rows), "by_status": {name: by_status[name] for name in STATUSES},
                "by_lifecycle": by_lifecycle}

    def sums(self, rows):
        """Licenses, seats (none counts as zero) and active devices."""
        rows = list(rows)
        return {"licenses": len(rows), "seats": sum(row["seats"] or 0 for row in rows),
                "seats_used": sum(self.active_devices[row["license_id"]] for row in rows)}

    def customer(self, customer_id, at):
        """The roll-up of a customer's licenses; None for one that holds none."""
        rows = self.groups["customer_id"].get(customer_id)
        if rows is None:
            return None
        # Only what is active expires: a suspended or revoked license stays what it is past its end.
        ends = [row["expires_at"] for row in rows if row["lifecycle"] == "active" and row["expires_at"] is not None]
        following = min((end for end in ends if end > at), default=None)
        return {"tenant_id": self.tenant, "customer_id": customer_id, **self.totals(rows, at),
                "next_expiry": None if following is None else format_micros(following)}

    def all_totals(self, at):
        """Of the tenant, without what it is by product and plan."""
        return self.totals(list(self.licenses.values()), at)

    def by(self, member, at):
        """Totals by product or by plan; a license that has none is in none."""
        return {name: {member: name, **self.totals(rows, at)} for name, rows in self.groups[member].items()}

    def per_day(self):
        """Numbers of counting events by UTC day and type."""
        return counted((format_micros(time)[:10], kind) for time, kind in self.counting)

    def per_minute(self):
        """The same by the minute's first microsecond, of all time."""
        return counted((time - time % MINUTE, kind) for time, kind in self.counting)


def counted(pairs):
    """Numbers by time and type."""
    found = defaultdict(Counter)
    for time, kind in pairs:
        found[time][kind] += 1
    return {time: dict(kinds) for time, kinds in found.items()}


def minute_is_kept(start, at, newest_record):
    """Whether a minute must be shown, must not be, or (None) may be, since it is the one in which 48 hours end. They
    are those of the time of asking, and nothing that is older than the newest record by more is kept for it."""
    oldest = max(at, newest_record) - KEPT
    if start > oldest:
        return True
    return False if start + MINUTE <= oldest else None
