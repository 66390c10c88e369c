"""What one Kafka record and one decoded event are, for the independent fold.

This folder is a second reading of the contract by other hands: it shares no code with the product,
so that agreement between the two means something. Nothing here may import from the product.
"""

from dataclasses import dataclass, field
from typing import Any, Optional

HEARTBEAT = "DeviceHeartbeat"


@dataclass(frozen=True)
class Record:
    """A record as a consumer hands it over: raw bytes, and the broker's coordinates."""

    topic: str
    partition: int
    offset: int
    timestamp: int  # milliseconds since 1970, the broker's
    key: Optional[bytes] = None
    value: Optional[bytes] = None
    headers: tuple = ()  # pairs of a name and bytes or None, in the record's order

    @property
    def coordinates(self):
        """The record's identity."""
        return (self.topic, self.partition, self.offset)

    @property
    def rank(self):
        """The least of these among the records of one event is the event."""
        return (self.timestamp, self.topic.encode(), self.partition, self.offset)


@dataclass(frozen=True)
class Event:
    """A decoded event: defaults filled, uuids in lower case, times in integer microseconds."""

    event_id: str
    license_id: str
    tenant_id: str
    occurred_at: int
    source: str
    actor: Optional[str]
    type: str
    data: dict[str, Any] = field(hash=False)


@dataclass(frozen=True)
class Rejection:
    """Why a record is not an event; `fields` names the members that an `invalid_event` is about."""

    reason: str
    fields: tuple = ()


class Reject(Exception):
    """Carries a Rejection out of the decoders."""

    def __init__(self, reason, *fields):
        super().__init__(reason)
        self.rejection = Rejection(reason, tuple(fields))
