"""Compares the dead-letter topic with what the fold rejects: every letter by value, none missing, none beside."""

from collections import defaultdict

from judging import headers_size

OURS = ("x-original-topic", "x-original-partition", "x-original-offset", "x-original-timestamp", "x-reason", "x-error",
        "x-attempt", "x-due")
SPRING = "kafka_dlt-"
ERROR_MAX = 1024
LETTER_HEADERS_MAX = 3 << 20  # More would not fit the topic.


def compare_letters(folded, records, letters):
    """Differences, and counts for the summary."""
    by_coordinates = {record.coordinates: record for record in records}
    expected = {record.coordinates: rejection for record, rejection in folded.rejected}
    found, differences = defaultdict(list), []
    for letter in letters:
        identity = _identity(letter)
        found[identity].append(letter)
        original = by_coordinates.get(identity)
        name = f"letter {letter.topic}:{letter.partition}:{letter.offset} of {identity}"
        if original is None:
            differences.append(f"{name}: no such record in the lanes")
        elif identity in expected:
            differences += _letter(name, letter, original, expected[identity])
        elif identity in folded.contested:
            differences += _letter(name, letter, original, None)
        else:
            differences.append(f"{name}: {_last(letter, 'x-reason')!r}, but the record is an event")
    differences += [f"no letter of {coordinates}, {rejection.reason}"
                    for coordinates, rejection in sorted(expected.items()) if coordinates not in found]
    differences += [f"no letter of the conflict {conflict.event_id} of {conflict.license_id} at {conflict.record.coordinates}"
                    for conflict in folded.conflicts
                    if not any(record.coordinates in found for record in conflict.records)]
    return differences, {"letters": len(letters), "records": len(found)}


def missing(folded, letters):
    """How many rejected records and open conflicts have no letter yet."""
    found = {_identity(letter) for letter in letters}
    rejected = sum(record.coordinates not in found for record, _ in folded.rejected)
    return rejected + sum(not any(record.coordinates in found for record in conflict.records)
                          for conflict in folded.conflicts)


def _last(letter, name):
    """The header's last value as text."""
    values = [value for key, value in letter.headers if key == name]
    return values[-1].decode("utf-8", "replace") if values and values[-1] is not None else None


def _identity(letter):
    topic, partition, offset = (_last(letter, f"x-original-{part}") for part in ("topic", "partition", "offset"))
    numbers = [int(text) if text and text.isdecimal() else None for text in (partition, offset)]
    return (topic, *numbers)


def _letter(name, letter, original, rejection):
    """One letter by value; `rejection` is None for a conflict's."""
    reason = rejection.reason if rejection else "event_conflict"
    differences = [f"{name}: {line}" for line in _headers(letter, original, reason)]
    if rejection and rejection.fields:
        error = _last(letter, "x-error") or ""
        # A header is UTF-8, which has no way to write a surrogate that stands alone.
        names = [field.partition(".")[0].encode("utf-16", "surrogatepass").decode("utf-16", "replace")
                 for field in rejection.fields if len(field) < 200]
        if not any(name in error for name in names):
            differences.append(f"{name}: x-error {error!r} names none of {rejection.fields}")
    if letter.key != original.key:
        differences.append(f"{name}: another key")
    if letter.value != (None if reason == "too_large" else original.value):
        differences.append(f"{name}: another value than the original's bytes")
    return differences


def _headers(letter, original, reason):
    wanted = {"x-original-topic": original.topic, "x-original-partition": str(original.partition),
              "x-original-offset": str(original.offset), "x-original-timestamp": str(original.timestamp),
              "x-reason": reason}
    for name, value in wanted.items():
        if _last(letter, name) != value:
            yield f"{name} is {_last(letter, name)!r}, expected {value!r}"
    for name in ("x-attempt", "x-due"):
        if not (_last(letter, name) or "").isdecimal():
            yield f"{name} is {_last(letter, name)!r}, expected a number"
    error = _last(letter, "x-error")
    if not error or len(error.encode()) > ERROR_MAX:
        yield f"x-error of {len(error or '')} characters"
    yield from _spring(letter, original)
    yield from _kept(letter, original)


def _spring(letter, original):
    """Spring's own forms: text in UTF-8, numbers as big-endian int and long."""
    found = {name.removeprefix(SPRING): value for name, value in letter.headers if name.startswith(SPRING)}
    wanted = {
        "original-topic": original.topic.encode(),
        "original-partition": original.partition.to_bytes(4, "big"),
        "original-offset": original.offset.to_bytes(8, "big"),
        "original-timestamp": original.timestamp.to_bytes(8, "big", signed=True),
    }
    for name, value in wanted.items():
        if found.get(name) != value:
            yield f"{SPRING}{name} is {found.get(name)!r}, expected {value!r}"
    if found.get("original-timestamp-type") not in (b"LogAppendTime", b"CreateTime"):
        yield f"{SPRING}original-timestamp-type is {found.get('original-timestamp-type')!r}"
    for name in ("original-consumer-group", "exception-fqcn", "exception-message"):
        if not found.get(name):
            yield f"{SPRING}{name} is missing or empty"


def _kept(letter, original):
    """The original's headers stand first and in their order; ours stand once, in place of any of the same name."""
    names = [name for name, _ in letter.headers]
    for name in OURS:
        if names.count(name) != 1:
            yield f"{name} stands {names.count(name)} times"
    if headers_size(original) <= LETTER_HEADERS_MAX and _foreign(letter.headers) != _foreign(original.headers):
        yield "the original's own headers are not kept as they were"


def _foreign(headers):
    return [(name, value) for name, value in headers if name not in OURS and not name.startswith(SPRING)]
