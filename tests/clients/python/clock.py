"""The clock of a running process that was started with `../clock/moved_clock.c` before its C library."""

import os
import sys

REAL = 0


class Clock:
    """Eight bytes in a file: nanoseconds since 1970, zero for the real time."""

    def __init__(self, path):
        self.file = os.open(path, os.O_RDWR)

    def stand_at(self, micros):
        """From now on it is this time there, in microseconds, until the next call."""
        os.pwrite(self.file, (micros * 1000).to_bytes(8, sys.byteorder, signed=True), 0)
