"""A strict Avro decoder of its own: it tells a body cut short from one that cannot be, which libraries do not.

It decodes by the writer's schema into plain values; a record becomes `Named(full name, {field: value})`.
"""

import json
import struct
from collections import namedtuple

Named = namedtuple("Named", "name value")
PRIMITIVES = {"null", "boolean", "int", "long", "float", "double", "bytes", "string"}


class Truncated(Exception):
    """The body ends before the value does."""


class BadAvro(Exception):
    """A union index, a length, a number or text that cannot be."""


class Unusable(Exception):
    """Not an Avro schema."""


def parse_schema(text):
    """A schema with every name resolved to its definition, objects shared, so recursion is a cycle."""
    try:
        return _resolve(json.loads(text), None, {})
    except (ValueError, KeyError, TypeError) as error:
        raise Unusable(str(error)) from error


def _resolve(schema, namespace, names):
    if isinstance(schema, list):
        return {"type": "union", "branches": [_resolve(branch, namespace, names) for branch in schema]}
    if isinstance(schema, str):
        if schema in PRIMITIVES:
            return {"type": schema}
        return names[schema if "." in schema or not namespace else f"{namespace}.{schema}"]
    kind = schema["type"]
    if not isinstance(kind, str) or kind not in PRIMITIVES | {"record", "enum", "fixed", "array", "map"}:
        return _resolve(kind, namespace, names)
    if kind in PRIMITIVES:
        return {"type": kind, "logical": schema.get("logicalType")}
    if kind in ("array", "map"):
        inner = "items" if kind == "array" else "values"
        return {"type": kind, "of": _resolve(schema[inner], namespace, names)}
    name = schema["name"]
    namespace = name.rpartition(".")[0] if "." in name else schema.get("namespace", namespace)
    full = name if "." in name or not namespace else f"{namespace}.{name}"
    node = names[full] = {"type": kind, "name": full}
    if kind == "enum":
        node["symbols"] = schema["symbols"]
    elif kind == "fixed":
        node["size"] = schema["size"]
    else:
        node["fields"] = []
        for member in schema["fields"]:
            entry = {"name": member["name"], "schema": _resolve(member["type"], namespace, names)}
            if "default" in member:
                entry["default"] = member["default"]
            node["fields"].append(entry)
    return node


class Body:
    """Bytes being read. What cannot be but does not hide where the next value starts is only noted
    in `fault`, so that a body that is also cut short is `truncated`, which the contract judges first."""

    def __init__(self, data, at):
        self.data, self.at, self.fault = data, at, None

    def take(self, count):
        if count < 0:
            raise BadAvro("a negative length")
        end = self.at + count
        if end > len(self.data):
            raise Truncated()
        piece = self.data[self.at : end]
        self.at = end
        return piece

    def long(self):
        number = shift = 0
        while True:
            byte = self.take(1)[0]
            number |= (byte & 0x7F) << shift
            if byte < 0x80:
                break
            shift += 7
            if shift > 63:
                raise BadAvro("a number of more than ten bytes")
        if number >> 64:
            raise BadAvro("a number of more than 64 bits")
        return (number >> 1) ^ -(number & 1)

    def int(self):
        number = self.long()
        if not -(1 << 31) <= number < 1 << 31:
            self.fault = "an int of more than 32 bits"
        return number

    def text(self):
        piece = self.take(self.long())
        try:
            return piece.decode("utf-8")
        except UnicodeDecodeError:
            self.fault = "text that is not UTF-8"
            return ""


def decode(schema, data, at):
    """The value and where it ends; Truncated or BadAvro."""
    body = Body(data, at)
    value = _read(schema, body)
    if body.fault:
        raise BadAvro(body.fault)
    return value, body.at


def _read(schema, body):
    kind = schema["type"]
    if kind == "record":
        return Named(schema["name"], {f["name"]: _read(f["schema"], body) for f in schema["fields"]})
    if kind == "union":
        return _read(_pick(schema["branches"], body.long()), body)
    if kind == "map":
        return dict(_items(body, lambda: (body.text(), _read(schema["of"], body))))
    if kind == "array":
        return list(_items(body, lambda: _read(schema["of"], body)))
    if kind == "enum":
        return _pick(schema["symbols"], body.int())
    return _primitive(kind, schema, body)


def _primitive(kind, schema, body):
    if kind == "null":
        return None
    if kind == "string":
        return body.text()
    if kind == "long":
        return body.long()
    if kind == "int":
        return body.int()
    if kind == "boolean":
        byte = body.take(1)[0]
        if byte > 1:
            body.fault = "a boolean that is neither"
        return byte == 1
    if kind in ("float", "double"):
        return struct.unpack("<f" if kind == "float" else "<d", body.take(4 if kind == "float" else 8))[0]
    return body.take(schema["size"] if kind == "fixed" else body.long())


def _pick(choices, index):
    if not 0 <= index < len(choices):
        raise BadAvro("an index of no branch")
    return choices[index]


def _items(body, read):
    """The blocks of a map or an array; a negative count is followed by the block's size in bytes."""
    while count := body.long():
        if count < 0:
            if body.long() < 0:
                raise BadAvro("a block of negative size")
            count = -count
        for _ in range(count):
            # Items of no size (an array of nulls) would let a count of 2^62 spin.
            if count > len(body.data):
                raise Truncated() if body.at == len(body.data) else BadAvro("a count beyond the body")
            yield read()
