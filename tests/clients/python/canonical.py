"""Canonical JSON and the digests made of it."""

import json

import xxhash

MODULUS = 1 << 128


def canonical_json(value):
    """RFC 8785, except that integers are written in full; no floating-point number occurs."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), sort_keys=True)


def row_digest(row):
    """XXH3-128 of a row's canonical JSON, as an integer."""
    return xxhash.xxh3_128_intdigest(canonical_json(row).encode())


def event_id_digest(event_id):
    """XXH3-128 of the 16 bytes of an event id, as an integer."""
    return xxhash.xxh3_128_intdigest(bytes.fromhex(event_id.replace("-", "")))


def bucket_of(tenant_id, license_id):
    """Which of the 256 buckets holds the rows of a license."""
    return xxhash.xxh3_64_intdigest(f"{tenant_id}/{license_id}".encode()) & 0xFF


def hexadecimal(number):
    """32 lower-case digits."""
    return f"{number % MODULUS:032x}"
