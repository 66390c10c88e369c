"""Compares what the query API answers about other times with the independent fold of the lanes: `as_of` and `known_at`
of every license, and, with the API's clock moved, statuses, lists, customers and stats.

The API's process has to run with ../clock/moved_clock.c and the file that --clock names. Prints a JSON summary with
the first differences; exit 1 if there are any.
"""

import json
import random
import sys
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import shapes
from api import Api
from clock import REAL, Clock
from compare import SHOWN, command_line, settled
from compare_clock import AtClock, chance_of
from compare_then import Then
from rollups import DAY, Rollups
from times import format_micros

CHUNK = 25  # licenses that a thread takes at once
STRANGERS = ("cust-none", "LIC", "c:ust-0")


def arguments():
    """The command line."""
    parser = command_line(__doc__)
    parser.add_argument("--clock", required=True, help="the file that the API's clock is read from")
    parser.add_argument("--seed", type=int, required=True, help="of the choice of times")
    parser.add_argument("--moments", type=int, default=6, help="other times that each license is asked about")
    parser.add_argument("--instants", type=int, default=4, help="starts and ends that the clock is moved over")
    parser.add_argument("--threads", type=int, default=4)
    return parser.parse_args()


def turns_of(folded):
    """When licenses start and end, of those to which that makes a difference: starts, ends, ends before starts."""
    starts, ends, crossed = set(), set(), set()
    for row in folded.licenses.values():
        start, end = row["valid_from"], row["expires_at"]
        if row["lifecycle"] == "active" and start is not None:
            starts.add(start)
            if end is not None:
                ends.add(end)
                crossed |= {start, end} if end < start else set()
    return sorted(starts), sorted(ends), sorted(crossed)


def instants_of(folded, now, chance, count):
    """Times for the clock, ascending: just before, at and after starts and ends, and about the ends of days on which
    many licenses turn."""
    starts, ends, crossed = turns_of(folded)
    found = {now}
    for number in range(count):
        turns = (starts, ends, crossed)[number % 3]
        # Every other one of those that are yet to come: those of the past are no less strange to the totals.
        some = [turn for turn in turns if (turn > now) == (number % 2 == 0)] or turns
        turn = chance.choice(some)
        found |= {turn - 1, turn, turn + 1}
    days = Counter(turn // DAY for turn in [*starts, *ends])
    for day, _ in days.most_common(2):
        found |= {day * DAY - 1, day * DAY, chance.choice([it for it in [*starts, *ends] if it // DAY == day])}
        found |= {(day + 1) * DAY - 1, (day + 1) * DAY}
    return sorted(found)


def singles_at(rollups, at, chance):
    """Which licenses to ask for one by one: those that turn here, and others."""
    near = [
        name for name, row in rollups.licenses.items()
        if any(time is not None and abs(time - at) <= 1 for time in (row["valid_from"], row["expires_at"]))
    ]
    names = sorted(rollups.licenses)
    return sorted({*near[:30], *chance.sample(names, min(10, len(names)))})


class Comparison:
    """Runs both halves in threads, each with a connection of its own, and collects what they found."""

    def __init__(self, options, folded, newest_record, make_api):
        self.options, self.folded, self.newest_record = options, folded, newest_record
        self.make_api, self.own = make_api, threading.local()
        self.differences, self.counts = [], Counter()
        self.rollups = {tenant: Rollups(folded, tenant) for tenant in sorted({of for of, _ in folded.licenses})}

    def api(self):
        """This thread's connection."""
        if not hasattr(self.own, "api"):
            self.own.api = self.make_api()
        return self.own.api

    def then(self, executor):
        """`as_of` and `known_at` of every license."""
        def asks(identities):
            asked = Then(self.folded, self.api(), self.options.seed, self.options.moments, self.newest_record)
            for identity in identities:
                asked.license(identity)
            return asked

        identities = sorted(self.folded.licenses)
        chunks = [identities[start : start + CHUNK] for start in range(0, len(identities), CHUNK)]
        self.collect(executor.map(asks, chunks))

    def at_clock(self, executor, at, licenses_of=1.0):
        """All that depends on the time of asking, the clock standing there; the licenses of a share of customers."""
        def asks(part):
            tenant, name = part
            rollups, chance = self.rollups[tenant], chance_of(self.options.seed, part, at)
            asked = AtClock(rollups, self.api(), at, chance, self.newest_record)
            if name == "lists":
                asked.lists()
                asked.stats()
            else:
                asked.singles(singles_at(rollups, at, chance))
                asked.customers(STRANGERS, licenses_of)
            return asked

        self.counts["instants"] += 1
        self.collect(executor.map(asks, [(tenant, name) for tenant in self.rollups for name in ("lists", "others")]))

    def collect(self, parts):
        """Adds up what threads found."""
        for part in parts:
            self.differences += part.differences
            self.counts.update(part.counts)

    def turned(self, before, after):
        """How many licenses have another status at one time than at another."""
        rows = self.folded.licenses.values()
        return sum(shapes.status(row, before) != shapes.status(row, after) for row in rows)


def main():
    """Compares, prints, and exits 0 where all is the same."""
    options = arguments()
    clock, began = Clock(options.clock), time.monotonic()
    clock.stand_at(REAL)
    records, folded, api, answered = settled(options)
    newest_record = max(record.timestamp for record in records) * 1000
    instants = instants_of(folded, time.time_ns() // 1000, random.Random(options.seed), options.instants)
    comparison = Comparison(options, folded, newest_record, lambda: Api(options.api, api.position, api.deadline + 600))
    if answered["digest"] != folded.digest():
        comparison.differences.append(f"digest: {answered['digest']}, expected {folded.digest()}")
    seconds = {"folded": round(time.monotonic() - began, 1)}
    with ThreadPoolExecutor(options.threads) as executor:
        # At another time, now must decide nothing; so it is a now at which many have ended.
        clock.stand_at(instants[-1])
        comparison.then(executor)
        seconds["then"] = round(time.monotonic() - began, 1)
        for before, at in zip([None, *instants], instants):
            clock.stand_at(at)
            # Of every customer at some times; of a few at all others, which the lists of all licenses are of too.
            number = comparison.counts["instants"]
            comparison.at_clock(executor, at, 1.0 if number % 7 == 0 else 0.15)
            comparison.counts["turned"] += comparison.turned(before, at) if before is not None else 0
    clock.stand_at(REAL)
    seconds["clock"] = round(time.monotonic() - began, 1)
    differences = comparison.differences
    summary = {"seed": options.seed, "position": answered["position"], "digest": folded.digest(),
               "records": len(records), "rejected": len(folded.rejected), "conflicts": len(folded.conflicts),
               "tenants": len(comparison.rollups), "voided": sum(
                   entry["voided_by"] is not None for entries in folded.timelines.values() for entry in entries),
               "clock": [format_micros(at) for at in instants], "seconds": seconds,
               "compared": dict(sorted(comparison.counts.items())),
               "differences": len(differences), "first_differences": differences[:SHOWN]}
    json.dump(summary, sys.stdout, indent=1, ensure_ascii=False)
    print()
    sys.exit(1 if differences else 0)


if __name__ == "__main__":
    main()
