"""As generate.py, of three tenants, with starts and ends of licenses crowded where totals by day could go wrong:
today and tomorrow, first and last microseconds of days, many at once, ends before starts. Most events are of the
last two days, about the bound past which minutes are not kept.

Prints one event a line in the JSON form. Same seed and `--until`, same bytes.
"""

import argparse
import sys
import time

from generate import SPAN, Generator, lines_of
from times import format_micros, parse_micros

TENANTS = ("default", "acme", "third:T")
DAY, MINUTE = 86_400_000_000, 60_000_000


class Timed(Generator):
    """The same events, at other times."""

    def __init__(self, seed, licenses, until):
        super().__init__(seed, licenses, until, TENANTS)
        self.shared = [self.turn_alone() for _ in range(12)]

    def time(self, past):
        """Mostly about 48 hours back and later, often on the edge of a minute."""
        if self.random.random() < 0.4:
            return super().time(past)
        at = self.until - self.random.randrange(50 * 60 * MINUTE)
        edge = at - at % MINUTE
        return self.random.choice((at, at, at, edge, edge - 1))

    def turn(self):
        """When a license starts or ends; some times are those of many licenses."""
        return self.random.choice(self.shared) if self.random.random() < 0.15 else self.turn_alone()

    def turn_alone(self):
        midnight = self.until - self.until % DAY
        chance, number = self.random.random(), self.random.randrange
        if chance < 0.3:
            return midnight + number(2 * DAY)
        if chance < 0.5:
            return midnight + number(-3, 5) * DAY - number(2)
        return self.until + number(-SPAN, SPAN)

    def data(self, kind, past, promised, own_id):
        """The payload's members."""
        data = super().data(kind, past, promised, own_id)
        if kind == "LicenseIssued":
            data["valid_from"] = self.turn()
        if "expires_at" in data:
            data["expires_at"] = self.random.choice((None, self.turn(), self.turn(), self.turn()))
        return data


def main():
    """Writes the lines to standard output."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--events", type=int, default=1000)
    parser.add_argument("--licenses", type=int, default=50, help="license ids, each used by three tenants")
    parser.add_argument("--until", help="no event occurred later than this; now, where left out")
    arguments = parser.parse_args()
    now = time.time_ns() // 1000
    until = parse_micros(arguments.until) if arguments.until else now
    print(f"seed {arguments.seed}, until {format_micros(until)}", file=sys.stderr)
    sys.stdout.reconfigure(encoding="utf-8", newline="\n")
    for line in lines_of(Timed(arguments.seed, arguments.licenses, until), arguments.events):
        print(line)


if __name__ == "__main__":
    main()
