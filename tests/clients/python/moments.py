"""What a license was at another time, `as_of` and `known_at`, by the contract's §6: the same fold over fewer events.

Heartbeats have no history, so there is no `last_seen_at` then, and no device that only beat.
"""

import license_fold
import shapes


def events_then(entries, as_of, known_at):
    """The events of a timeline that had occurred by `as_of` and whose record was there by `known_at`, in order."""
    return [
        entry["event"] for entry in entries
        if (as_of is None or entry["event"].occurred_at <= as_of)
        and (known_at is None or entry["recorded_at"] <= known_at)
    ]


def license_then(folded, identity, as_of, known_at):
    """The license as it must be shown, and its devices by name; None where it did not exist then."""
    events = events_then(folded.timelines[identity], as_of, known_at)
    # A voided event brings a license into being as any other does.
    if not events:
        return None
    row, devices, _ = license_fold.rows(*identity, events, [])
    seats_used = sum(device["active"] for device in devices.values())
    at = as_of if as_of is not None else known_at
    shown = {name: without_last_seen(device) for name, device in devices.items()}
    return shapes.license_shape(row, seats_used, at), shown


def without_last_seen(device):
    """A device's members at another time."""
    return {name: value for name, value in shapes.row(device).items() if name != "last_seen_at"}


def moments_of(entries, otherwise, chance, count):
    """Pairs of `as_of` and `known_at` worth asking about, `count` of them: on, just before and just after whatever
    happened to the license, before its first event and after its last. `otherwise` is a time for a license to
    which nothing happened but heartbeats."""
    occurred = [entry["event"].occurred_at for entry in entries]
    recorded = [entry["recorded_at"] for entry in entries]
    turns = [
        time for entry in entries for name in ("valid_from", "expires_at")
        if (time := entry["event"].data.get(name)) is not None
    ]
    as_ofs = [*occurred, *turns] or [otherwise]
    known_ats = [*recorded, *turns] or as_ofs

    def near(times):
        return max(0, chance.choice(times) + chance.choice((-1, 0, 0, 1)))

    always = [(max(0, min(as_ofs) - 1), None), (max(as_ofs) + 1, None), (None, max(0, min(known_ats) - 1)),
              (None, max(known_ats) + 1)]
    found = [chance.choice(always)]
    makers = (lambda: (near(as_ofs), None), lambda: (None, near(known_ats)),
              lambda: (near(as_ofs), near(known_ats)), lambda: (near(as_ofs), near(recorded or as_ofs)))
    while len(found) < count:
        found.append(makers[len(found) % len(makers)]())
    return found
