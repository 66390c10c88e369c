"""The limits of the contract's §3 on the members of a decoded event. Names the members that break one."""

import re

from event_schema import ENVELOPE, PAYLOADS, UUIDS, nullable

IDENTIFIER = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:-]{0,127}")
UUID = re.compile(r"[0-9A-Fa-f]{8}-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{12}")
# Control characters but tab and line feed, and surrogates that stand alone.
FORBIDDEN = re.compile("[\x00-\x08\x0b-\x1f\ud800-\udfff]")
IDENTIFIERS = {"tenant_id", "license_id", "customer_id", "product_id", "plan", "device_id", "metric"}
NUMBERS = {"seats": 10**9, "quantity": 10**12}
TEXT_MAX, LONG_TEXT_MAX, MAP_MAX = 256, 1024, 64
TIME_END = 7_258_118_400_000_000  # 2200-01-01


def broken(envelope, kind, data):
    """The names of the members that break a limit, `entitlements.sso` for an entry of a map."""
    found = []
    for members, values in ((ENVELOPE, envelope), (PAYLOADS[kind], data)):
        for name, member in members.items():
            found += _broken_member(name, member, values[name])
    return found


def _broken_member(name, member, value):
    may_be_null, schema = nullable(member)
    if value is None:
        return [] if may_be_null else [name]
    if schema["type"] == "map":
        if len(value) > MAP_MAX:
            return [name]
        return [f"{name}.{key}" for key, text in value.items() if not (_identifier(key) and _text(text, LONG_TEXT_MAX))]
    if schema.get("logical") == "timestamp-micros":
        fits = 0 <= value < TIME_END
    elif name in NUMBERS:
        fits = 0 <= value <= NUMBERS[name]
    elif name in UUIDS:
        fits = UUID.fullmatch(value) is not None
    elif name in IDENTIFIERS:
        fits = _identifier(value)
    else:
        fits = _text(value, LONG_TEXT_MAX if name == "reason" else TEXT_MAX)
    return [] if fits else [name]


def _identifier(text):
    return IDENTIFIER.fullmatch(text) is not None


def _text(text, longest):
    return len(text) <= longest and FORBIDDEN.search(text) is None
