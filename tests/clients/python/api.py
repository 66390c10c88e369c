"""A small client of the query API: one tenant a request, lists followed to their end, stale answers waited for."""

import http.client
import json
import time
import urllib.parse


class Unexpected(Exception):
    """An answer that the contract does not allow here."""


class Api:
    """One kept-alive connection; not for several threads at once."""

    def __init__(self, base, position, deadline):
        self.address, self.position, self.deadline = urllib.parse.urlsplit(base), position, deadline
        self.connection = None
        self.requests = 0

    def get(self, path, tenant="default", may_be_missing=False):
        """The JSON of a 200 that is as new as the position; a 504 is asked again until the deadline. None for a 404
        where there may be one."""
        headers = {"X-Tenant-Id": tenant, "X-Min-Position": self.position, "X-Wait-Ms": "15000",
                   "Accept": "application/json"}
        while True:
            status, found_headers, body = self._once(path, headers)
            if status == 200:
                if found_headers.get("X-Stale"):
                    raise Unexpected(f"{path}: stale, though asked to wait")
                return json.loads(body)
            if status == 404 and may_be_missing:
                problem = json.loads(body)
                if problem.get("status") != 404 or not problem.get("code"):
                    raise Unexpected(f"{path} of {tenant}: no problem of the contract's kind: {body[:500]!r}")
                return None
            if status not in (503, 504) or time.monotonic() > self.deadline:
                raise Unexpected(f"{path} of {tenant}: {status} {body[:500]!r}")
            time.sleep(0.2)

    def _once(self, path, headers):
        self.requests += 1
        for attempt in (1, 2):
            if self.connection is None:
                self.connection = http.client.HTTPConnection(self.address.netloc, timeout=30)
            try:
                self.connection.request("GET", path, headers=headers)
                answer = self.connection.getresponse()
                return answer.status, answer.headers, answer.read()
            except (http.client.RemoteDisconnected, ConnectionResetError, BrokenPipeError):
                # A server may close an idle connection at any time; a new one must do.
                self.connection.close()
                self.connection = None
                if attempt == 2:
                    raise
        raise AssertionError("unreachable")

    def items(self, path, tenant):
        """All items of a list, page by page."""
        cursor, seen = "", set()
        while True:
            more = f"{'&' if '?' in path else '?'}cursor={urllib.parse.quote(cursor, safe='')}" if cursor else ""
            page = self.get(path + more, tenant)
            if not {"items", "next_cursor", "_links"} <= page.keys():
                raise Unexpected(f"{path}: a list with the members {sorted(page)}")
            yield from page["items"]
            cursor = page["next_cursor"]
            if cursor is None:
                return
            if cursor in seen:
                raise Unexpected(f"{path}: the cursor {cursor!r} comes twice")
            seen.add(cursor)
