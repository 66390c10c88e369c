"""JSON as the contract takes it: text that is JSON at all is told apart from members that must not be.

Repeated members, numbers with a fraction or an exponent, and nesting beyond any event are kept as marks
for the judge, since they make a record `invalid_event`, not `bad_json`.
"""

import json
import re
from json.decoder import scanstring


class BadJson(Exception):
    """Not JSON, or not UTF-8."""


class Mark:
    """A JSON value that no member of an event takes."""


class Members(list):
    """An object's members as pairs, in order, repeated names kept."""


def _integer(text):
    return int(text) if len(text) <= 30 else Mark()


def _constant(text):
    raise BadJson(text)


DECODER = json.JSONDecoder(
    object_pairs_hook=Members, parse_int=_integer, parse_float=lambda _: Mark(), parse_constant=_constant
)
BLANKS = " \t\n\r"


def parse(data):
    """The value of a JSON text in UTF-8; objects are `Members`."""
    try:
        text = data.decode("utf-8")
        if text[:1] in BLANKS:
            text = text.lstrip(BLANKS)
        value, end = DECODER.raw_decode(text)
        if text[end:].strip(BLANKS):
            raise BadJson("something follows")
        return value
    except RecursionError:
        return _parse_deep(text)
    except ValueError as error:
        raise BadJson(str(error)) from error


TOKEN = re.compile(
    r'[ \t\n\r]*(?:([{}\[\],:])|(")|(-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?)|(true|false|null))'
)


def _parse_deep(text):
    """Without recursion: the outermost object, with a mark for whatever is nested in it."""
    members, name, stack, position = Members(), None, [], 0
    expected = "value"
    while expected != "end":
        match = TOKEN.match(text, position)
        if match is None:
            raise BadJson("no token")
        position = match.end()
        sign, quote = match[1], match[2]
        string = None
        if quote:
            string, position = scanstring(text, position, True)
        expected, done, name = _step(stack, expected, sign, string, name)
        if done and len(stack) == 1 and stack[0] == "{":
            members.append((name, string if sign is None and string is not None else Mark()))
    if text[position:].strip(BLANKS):
        raise BadJson("something follows")
    return members


def _step(stack, expected, sign, string, name):
    """One token: what may come next, whether it ended a value, and the outermost member's name."""
    if expected in ("value", "value or ]"):
        if sign in ("{", "["):
            stack.append(sign)
            return ("name or }" if sign == "{" else "value or ]"), False, name
        if sign is None:
            return _after(stack), True, name
    elif expected in ("name", "name or }") and string is not None:
        return ":", False, string if len(stack) == 1 else name
    elif expected == ":" and sign == ":":
        return "value", False, name
    elif expected == ", or close" and sign == ",":
        return ("name" if stack[-1] == "{" else "value"), False, name
    closes = {"}": "{", "]": "["}.get(sign)
    if closes and stack[-1] == closes and expected in (", or close", f"name or {sign}", f"value or {sign}"):
        stack.pop()
        return _after(stack), True, name
    raise BadJson("unexpected token")


def _after(stack):
    return ", or close" if stack else "end"
