"""What the API must show for folded rows: the shapes of the contract's §6."""

from event_schema import ENVELOPE, PAYLOADS, nullable
from times import format_micros

ROW_TIMES = {"expires_at", "first_event_at", "last_event_at", "last_seen_at", "valid_from"}
# With an Avro default, these may be left out of the JSON form; voided_by is there for voided events only.
DEFAULTS = {"source": "", "actor": None, "tenant_id": "default", "voided_by": None}


def row(folded):
    """A row's members, times in RFC 3339."""
    return {
        name: format_micros(value) if name in ROW_TIMES and value is not None else value
        for name, value in folded.items()
    }


def license_shape(folded, seats_used, at):
    """A license as answered at a time."""
    over_seat = folded["seats"] is not None and seats_used > folded["seats"]
    return {**row(folded), "status": status(folded, at), "seats_used": seats_used, "over_seat": over_seat}


def status(folded, at):
    """The status at a time in microseconds."""
    if folded["lifecycle"] != "active":
        return folded["lifecycle"]
    if folded["expires_at"] is not None and folded["expires_at"] <= at:
        return "expired"
    return "pending" if folded["valid_from"] is not None and folded["valid_from"] > at else "active"


def timeline_entry(entry):
    """An event of the timeline: the JSON form and where it lies."""
    event = entry["event"]
    shown = {name: _spelt(name, ENVELOPE, getattr(event, name)) for name in ENVELOPE}
    shown["type"] = event.type
    shown["data"] = {name: _spelt(name, PAYLOADS[event.type], value) for name, value in event.data.items()}
    coordinates = {name: entry[name] for name in ("topic", "partition", "offset", "request_id", "voided_by")}
    return {**shown, **coordinates, "recorded_at": format_micros(entry["recorded_at"])}


def _spelt(name, members, value):
    is_time = nullable(members[name])[1].get("logical") == "timestamp-micros"
    return format_micros(value) if is_time and value is not None else value


def differences(expected, actual, where):
    """Lines of what differs; members beyond the expected ones are an addition, and no difference."""
    if not isinstance(actual, dict):
        return [f"{where}: not an object: {actual!r}"]
    found = []
    for name, value in expected.items():
        if name == "data":
            found += _data_differences(expected["type"], value, actual.get("data"), where)
        elif name not in actual and not (name in DEFAULTS and "type" in expected):
            found.append(f"{where}.{name}: missing, expected {value!r}")
        elif not same(value, actual.get(name, DEFAULTS.get(name))):
            found.append(f"{where}.{name}: {actual.get(name)!r}, expected {value!r}")
    return found


def _data_differences(kind, expected, actual, where):
    if not isinstance(actual, dict):
        return [f"{where}.data: {actual!r}, expected {expected!r}"]
    filled = {name: member["default"] for name, member in PAYLOADS[kind].items() if "default" in member} | actual
    return [] if same(expected, filled) else [f"{where}.data: {actual!r}, expected {expected!r}"]


def same(expected, actual):
    """Equal, and of the same JSON types: 1 is not true, nor 1.0."""
    if isinstance(expected, dict) and isinstance(actual, dict):
        return expected.keys() == actual.keys() and all(same(value, actual[name]) for name, value in expected.items())
    return type(expected) is type(actual) and expected == actual
