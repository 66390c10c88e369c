"""What the events of one license give: its row, its devices and its usage, by the contract's §4."""

from canonical import event_id_digest, hexadecimal

RANKS = {"LicenseIssued": 0, "LicenseSuspended": 2, "DeviceDeactivated": 2}
USAGE_MAX = (1 << 53) - 1
# Which types decide which group of fields, and the fields that the group sets from the event's data.
GROUPS = {
    "customer": (("LicenseIssued", "LicenseTransferred"), ("customer_id",)),
    "expiry": (("LicenseIssued", "LicenseRenewed"), ("expires_at",)),
    "issue": (("LicenseIssued",), ("product_id", "valid_from", "metadata")),
    "plan": (("LicenseIssued", "LicensePlanChanged"), ("plan", "seats", "entitlements")),
}
LIFECYCLES = {"LicenseIssued": "active", "LicenseReinstated": "active", "LicenseSuspended": "suspended"}


def order(event):
    """The order of a license's events; where they lie in the log decides nothing."""
    return (event.occurred_at, RANKS.get(event.type, 1), bytes.fromhex(event.event_id.replace("-", "")))


def voids(events):
    """Which events are voided, by the first in order of those that name them; `events` are in order."""
    kinds = {event.event_id: event.type for event in events}
    found = {}
    for event in events:
        if event.type == "EventVoided":
            target = event.data["voided_event_id"]
            if kinds.get(target, "EventVoided") != "EventVoided":
                found.setdefault(target, event.event_id)
    return found


def rows(tenant_id, license_id, events, heartbeats):
    """The license's row, and its devices' and metrics' by name. `events` are in order, without heartbeats."""
    voided = voids(events)
    counting = [event for event in events if event.event_id not in voided]
    identity = {"tenant_id": tenant_id, "license_id": license_id}
    return (
        {**identity, **_license(events, counting)},
        {name: {**identity, **row} for name, row in _devices(counting, heartbeats).items()},
        {name: {**identity, **row} for name, row in _usage(counting).items()},
    )


def _license(events, counting):
    row, decided_by = {}, {}
    for group, (types, fields) in GROUPS.items():
        last = _last(counting, types)
        decided_by[group] = last.event_id if last else None
        for name in fields:
            row[name] = last.data[name] if last else None
    revoked = next((event for event in counting if event.type == "LicenseRevoked"), None)
    decisive = revoked or _last(counting, LIFECYCLES)
    decided_by["lifecycle"] = decisive.event_id if decisive else None
    row["lifecycle"] = "revoked" if revoked else LIFECYCLES[decisive.type] if decisive else "unknown"
    row["decided_by"] = decided_by
    row["event_count"] = len(counting)
    row["first_event_at"] = counting[0].occurred_at if counting else None
    row["last_event_at"] = counting[-1].occurred_at if counting else None
    row["last_event_id"] = counting[-1].event_id if counting else None
    row["events"] = hexadecimal(sum(event_id_digest(event.event_id) for event in events))
    return row


def _last(events, types):
    return next((event for event in reversed(events) if event.type in types), None)


def _devices(counting, heartbeats):
    devices = {}
    for event in [*counting, *heartbeats]:
        if event.type not in ("DeviceActivated", "DeviceDeactivated", "DeviceHeartbeat"):
            continue
        name = event.data["device_id"]
        blank = dict.fromkeys(("activated_by", "decided_by", "fingerprint", "last_seen_at", "platform"))
        device = devices.setdefault(name, {**blank, "active": False, "device_id": name})
        device["last_seen_at"] = max(device["last_seen_at"] or 0, event.occurred_at)
        if event.type != "DeviceHeartbeat":
            device["active"] = event.type == "DeviceActivated"
            device["decided_by"] = event.event_id
        if event.type == "DeviceActivated":
            device["activated_by"] = event.event_id
            device["fingerprint"] = event.data["fingerprint"]
            device["platform"] = event.data["platform"]
    return devices


def _usage(counting):
    usage = {}
    for event in counting:
        if event.type == "UsageRecorded":
            name = event.data["metric"]
            metric = usage.setdefault(name, {"metric": name, "quantity": 0})
            metric["quantity"] = min(metric["quantity"] + event.data["quantity"], USAGE_MAX)
    return usage
