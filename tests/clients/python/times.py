"""RFC 3339 to integer microseconds and back, as strict as the contract: no leap second, at most six decimals."""

import re
from datetime import datetime, timedelta, timezone

EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
MICROSECOND = timedelta(microseconds=1)
RFC3339 = re.compile(
    r"([0-9]{4})-([0-9]{2})-([0-9]{2})[Tt]([0-9]{2}):([0-9]{2}):([0-9]{2})(?:\.([0-9]{1,6}))?"
    r"(?:[Zz]|([+-])([0-9]{2}):([0-9]{2}))"
)


def parse_micros(text):
    """Microseconds since 1970, or ValueError."""
    match = RFC3339.fullmatch(text)
    if match is None:
        raise ValueError("not an RFC 3339 time")
    year, month, day, hour, minute, second = (int(part) for part in match.groups()[:6])
    fraction = int((match[7] or "").ljust(6, "0"))
    # `datetime` refuses a sixtieth second, a thirteenth month and the thirtieth of February.
    local = datetime(year, month, day, hour, minute, second, fraction, tzinfo=timezone.utc)
    micros = (local - EPOCH) // MICROSECOND
    if match[8]:
        hours, minutes = int(match[9]), int(match[10])
        if hours > 23 or minutes > 59:
            raise ValueError("not an offset")
        offset = (hours * 60 + minutes) * 60_000_000
        micros += -offset if match[8] == "+" else offset
    return micros


def format_micros(micros):
    """UTC with six decimals, the only form that the API answers with."""
    return (EPOCH + micros * MICROSECOND).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
