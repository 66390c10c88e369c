"""The golden file gives the expected rows and digest, in whatever order and however often it is read."""

import json
import random
import unittest
from pathlib import Path

from canonical import canonical_json, hexadecimal, row_digest
from fold import fold, records_of

GOLDEN = Path(__file__).resolve().parents[2] / "golden"
LINES = (GOLDEN / "events.ndjson").read_bytes().splitlines()
EXPECTED = json.loads((GOLDEN / "expected.json").read_text(encoding="utf-8"))


def shown(rows):
    """Rows as the expected file shows them."""
    return sorted((canonical_json(row), hexadecimal(row_digest(row))) for row in rows.values())


class Golden(unittest.TestCase):
    """Against tests/golden."""

    def assert_expected(self, folded):
        self.assertEqual(folded.rejected, [])
        for model, rows in (("license", folded.licenses), ("device", folded.devices), ("usage", folded.usage)):
            expected = sorted((row["canonical"], row["digest"]) for row in EXPECTED["rows"][model])
            self.assertEqual(shown(rows), expected)
        self.assertEqual({str(bucket): total for bucket, total in folded.buckets().items()}, EXPECTED["buckets"])
        self.assertEqual(folded.digest(), EXPECTED["digest"])
        self.assertEqual(len(folded.conflicts), EXPECTED["conflicts_dead_lettered"])

    def test_gives_the_expected_rows_buckets_and_digest(self):
        self.assert_expected(fold(records_of(LINES)))

    def test_gives_them_in_any_order(self):
        records = records_of(LINES)
        for seed in range(20):
            random.Random(seed).shuffle(records)
            self.assert_expected(fold(records))


if __name__ == "__main__":
    unittest.main()
