//! The members of an event beside the schema: names, kinds of value, and what stands for a missing one.
//!
//! Both forms of an event, Avro and JSON, read their members into [`Slots`] and build the event from
//! these here, so that a default or a missing member cannot mean two things. A test proves the tables
//! equal to the schema. Knows neither bytes nor limits.

use uuid::Uuid;

use crate::event::{
    DeviceActivated, DeviceDeactivated, DeviceHeartbeat, EventKind, EventVoided, LicenseEvent,
    LicenseIssued, LicensePlanChanged, LicenseReinstated, LicenseRenewed, LicenseRevoked,
    LicenseSuspended, LicenseTransferred, Payload, TextMap, UsageRecorded,
};
use crate::reason::Fault;

/// What a member holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    Uuid,
    Text,
    NullableText,
    Int,
    Long,
    Time,
    NullableTime,
    Map,
}

/// What a member is where it was left out: the schema's default.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Absent {
    Refused,
    Null,
    Text(&'static str),
    EmptyMap,
}

/// One member of the envelope or of a payload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Member {
    pub(crate) name: &'static str,
    pub(crate) form: Form,
    pub(crate) absent: Absent,
}

const fn member(name: &'static str, form: Form, absent: Absent) -> Member {
    Member { name, form, absent }
}

const REASON: Member = member("reason", Form::Text, Absent::Text(""));
const DEVICE_ID: Member = member("device_id", Form::Text, Absent::Refused);
const PLAN: Member = member("plan", Form::Text, Absent::Refused);
const SEATS: Member = member("seats", Form::Int, Absent::Refused);
const CUSTOMER_ID: Member = member("customer_id", Form::Text, Absent::Refused);
const ENTITLEMENTS: Member = member("entitlements", Form::Map, Absent::EmptyMap);

const PRODUCT_ID: Member = member("product_id", Form::Text, Absent::Refused);
const VALID_FROM: Member = member("valid_from", Form::Time, Absent::Refused);
const EXPIRES_AT: Member = member("expires_at", Form::NullableTime, Absent::Null);
const METADATA: Member = member("metadata", Form::Map, Absent::EmptyMap);
const NEW_END: Member = member("expires_at", Form::NullableTime, Absent::Refused);
const FINGERPRINT: Member = member("fingerprint", Form::NullableText, Absent::Null);
const PLATFORM: Member = member("platform", Form::NullableText, Absent::Null);
const METRIC: Member = member("metric", Form::Text, Absent::Refused);
const QUANTITY: Member = member("quantity", Form::Long, Absent::Refused);
const VOIDED_EVENT_ID: Member = member("voided_event_id", Form::Uuid, Absent::Refused);

/// The envelope, without its payload.
pub(crate) const ENVELOPE: [Member; 6] = [
    member("event_id", Form::Uuid, Absent::Refused),
    member("license_id", Form::Text, Absent::Refused),
    member("tenant_id", Form::Text, Absent::Text(DEFAULT_TENANT)),
    member("occurred_at", Form::Time, Absent::Refused),
    member("source", Form::Text, Absent::Text("")),
    member("actor", Form::NullableText, Absent::Null),
];

/// Its place in [`ENVELOPE`].
pub(crate) const LICENSE_ID: usize = 1;
/// Its place in [`ENVELOPE`].
pub(crate) const TENANT_ID: usize = 2;

/// The tenant of an event that names none.
pub(crate) const DEFAULT_TENANT: &str = "default";

/// The members of a payload, in the schema's order.
pub(crate) const fn of(kind: EventKind) -> &'static [Member] {
    match kind {
        EventKind::LicenseIssued => &[
            CUSTOMER_ID,
            PRODUCT_ID,
            PLAN,
            SEATS,
            VALID_FROM,
            EXPIRES_AT,
            ENTITLEMENTS,
            METADATA,
        ],
        EventKind::LicenseRenewed => &[NEW_END],
        EventKind::LicensePlanChanged => &[PLAN, SEATS, ENTITLEMENTS],
        EventKind::LicenseTransferred => &[CUSTOMER_ID],
        EventKind::LicenseSuspended | EventKind::LicenseReinstated | EventKind::LicenseRevoked => {
            &[REASON]
        }
        EventKind::DeviceActivated => &[DEVICE_ID, FINGERPRINT, PLATFORM],
        EventKind::DeviceDeactivated => &[DEVICE_ID, REASON],
        EventKind::DeviceHeartbeat => &[DEVICE_ID],
        EventKind::UsageRecorded => &[METRIC, QUANTITY],
        EventKind::EventVoided => &[VOIDED_EVENT_ID, REASON],
    }
}

/// What was read for one member.
#[derive(Debug, Default)]
pub(crate) enum Slot {
    #[default]
    Missing,
    Null,
    Text(String),
    Number(i64),
    Map(TextMap),
    Uuid(Uuid),
    /// A value that the member cannot have: the rest of its JSON pointer, and the words.
    Broken(Box<(String, String)>),
}

impl Slot {
    pub(crate) fn broken(error: impl Into<String>) -> Self {
        Slot::Broken(Box::new((String::new(), error.into())))
    }
}

/// As many members as the largest payload has.
const MEMBERS_MAX: usize = 8;

/// What was read for the members of one object, by their place in its table.
#[derive(Debug)]
pub(crate) struct Slots {
    members: &'static [Member],
    /// Where the object stands, as a JSON pointer.
    at: &'static str,
    slots: [Slot; MEMBERS_MAX],
}

impl Slots {
    pub(crate) fn envelope() -> Self {
        Self::new(&ENVELOPE, "")
    }

    pub(crate) fn payload(kind: EventKind) -> Self {
        Self::new(of(kind), "/data")
    }

    fn new(members: &'static [Member], at: &'static str) -> Self {
        let slots = Default::default();
        Self { members, at, slots }
    }

    pub(crate) fn set(&mut self, index: usize, slot: Slot) {
        self.slots[index] = slot;
    }

    pub(crate) fn peek(&self, index: usize) -> &Slot {
        &self.slots[index]
    }

    pub(crate) fn is_missing(&self, index: usize) -> bool {
        matches!(self.slots[index], Slot::Missing)
    }

    fn fault(&self, index: usize, error: impl Into<String>) -> Fault {
        Fault::invalid(format!("{}/{}", self.at, self.members[index].name), error)
    }

    /// The fault of a member that does not hold what it should.
    fn misfit(&self, index: usize, slot: Slot) -> Fault {
        match slot {
            Slot::Missing => self.fault(index, "is missing"),
            Slot::Null => self.fault(index, "must not be null"),
            Slot::Broken(broken) => {
                let (rest, error) = *broken;
                let pointer = format!("{}/{}{rest}", self.at, self.members[index].name);
                Fault::invalid(pointer, error)
            }
            Slot::Text(_) | Slot::Number(_) | Slot::Map(_) | Slot::Uuid(_) => {
                self.fault(index, "is of another type")
            }
        }
    }

    pub(crate) fn text(&mut self, index: usize) -> Result<String, Fault> {
        match (
            std::mem::take(&mut self.slots[index]),
            self.members[index].absent,
        ) {
            (Slot::Text(text), _) => Ok(text),
            (Slot::Missing, Absent::Text(text)) => Ok(text.to_owned()),
            (slot, _) => Err(self.misfit(index, slot)),
        }
    }

    pub(crate) fn nullable_text(&mut self, index: usize) -> Result<Option<String>, Fault> {
        match (
            std::mem::take(&mut self.slots[index]),
            self.members[index].absent,
        ) {
            (Slot::Null, _) | (Slot::Missing, Absent::Null) => Ok(None),
            (Slot::Text(text), _) => Ok(Some(text)),
            (slot, _) => Err(self.misfit(index, slot)),
        }
    }

    pub(crate) fn long(&mut self, index: usize) -> Result<i64, Fault> {
        match std::mem::take(&mut self.slots[index]) {
            Slot::Number(number) => Ok(number),
            slot => Err(self.misfit(index, slot)),
        }
    }

    fn int(&mut self, index: usize) -> Result<i32, Fault> {
        let number = self.long(index)?;
        i32::try_from(number).map_err(|_| self.fault(index, format!("{number} is not an int")))
    }

    fn nullable_long(&mut self, index: usize) -> Result<Option<i64>, Fault> {
        match (
            std::mem::take(&mut self.slots[index]),
            self.members[index].absent,
        ) {
            (Slot::Null, _) | (Slot::Missing, Absent::Null) => Ok(None),
            (Slot::Number(number), _) => Ok(Some(number)),
            (slot, _) => Err(self.misfit(index, slot)),
        }
    }

    fn map(&mut self, index: usize) -> Result<TextMap, Fault> {
        match (
            std::mem::take(&mut self.slots[index]),
            self.members[index].absent,
        ) {
            (Slot::Map(map), _) => Ok(map),
            (Slot::Missing, Absent::EmptyMap) => Ok(TextMap::new()),
            (slot, _) => Err(self.misfit(index, slot)),
        }
    }

    pub(crate) fn uuid(&mut self, index: usize) -> Result<Uuid, Fault> {
        match std::mem::take(&mut self.slots[index]) {
            Slot::Uuid(id) => Ok(id),
            slot => Err(self.misfit(index, slot)),
        }
    }
}

/// The event of an envelope and a payload, or the first member that does not fit.
pub(crate) fn event(
    mut envelope: Slots,
    kind: EventKind,
    data: Slots,
) -> Result<LicenseEvent, Fault> {
    Ok(LicenseEvent {
        event_id: envelope.uuid(0)?,
        license_id: envelope.text(1)?,
        tenant_id: envelope.text(2)?,
        occurred_at: envelope.long(3)?,
        source: envelope.text(4)?,
        actor: envelope.nullable_text(5)?,
        payload: payload(kind, data)?,
    })
}

/// The payload of its members, or the first that does not fit. The numbers are places in [`of`].
pub(crate) fn payload(kind: EventKind, mut data: Slots) -> Result<Payload, Fault> {
    Ok(match kind {
        EventKind::LicenseIssued => Payload::LicenseIssued(LicenseIssued {
            customer_id: data.text(0)?,
            product_id: data.text(1)?,
            plan: data.text(2)?,
            seats: data.int(3)?,
            valid_from: data.long(4)?,
            expires_at: data.nullable_long(5)?,
            entitlements: data.map(6)?,
            metadata: data.map(7)?,
        }),
        EventKind::LicenseRenewed => Payload::LicenseRenewed(LicenseRenewed {
            expires_at: data.nullable_long(0)?,
        }),
        EventKind::LicensePlanChanged => Payload::LicensePlanChanged(LicensePlanChanged {
            plan: data.text(0)?,
            seats: data.int(1)?,
            entitlements: data.map(2)?,
        }),
        EventKind::LicenseTransferred => Payload::LicenseTransferred(LicenseTransferred {
            customer_id: data.text(0)?,
        }),
        EventKind::LicenseSuspended => Payload::LicenseSuspended(LicenseSuspended {
            reason: data.text(0)?,
        }),
        EventKind::LicenseReinstated => Payload::LicenseReinstated(LicenseReinstated {
            reason: data.text(0)?,
        }),
        EventKind::LicenseRevoked => Payload::LicenseRevoked(LicenseRevoked {
            reason: data.text(0)?,
        }),
        EventKind::DeviceActivated => Payload::DeviceActivated(DeviceActivated {
            device_id: data.text(0)?,
            fingerprint: data.nullable_text(1)?,
            platform: data.nullable_text(2)?,
        }),
        EventKind::DeviceDeactivated => Payload::DeviceDeactivated(DeviceDeactivated {
            device_id: data.text(0)?,
            reason: data.text(1)?,
        }),
        EventKind::DeviceHeartbeat => Payload::DeviceHeartbeat(DeviceHeartbeat {
            device_id: data.text(0)?,
        }),
        EventKind::UsageRecorded => Payload::UsageRecorded(UsageRecorded {
            metric: data.text(0)?,
            quantity: data.long(1)?,
        }),
        EventKind::EventVoided => Payload::EventVoided(EventVoided {
            voided_event_id: data.uuid(0)?,
            reason: data.text(1)?,
        }),
    })
}

#[cfg(test)]
mod tests {
    use apache_avro::Schema;
    use apache_avro::schema::RecordSchema;
    use serde_json::{Value, json};

    use super::*;
    use crate::schema::{LICENSE_EVENT, LICENSE_EVENT_NAME};

    fn form(schema: &Schema) -> Form {
        match schema {
            Schema::Uuid(_) => Form::Uuid,
            Schema::String => Form::Text,
            Schema::Int => Form::Int,
            Schema::Long => Form::Long,
            Schema::TimestampMicros => Form::Time,
            Schema::Map(map) if *map.types == Schema::String => Form::Map,
            Schema::Union(union) => match union.variants() {
                [Schema::Null, Schema::String] => Form::NullableText,
                [Schema::Null, Schema::TimestampMicros] => Form::NullableTime,
                other => panic!("{other:?}"),
            },
            other => panic!("{other:?}"),
        }
    }

    fn absent(default: Option<&Value>) -> Value {
        default.cloned().unwrap_or_else(|| json!("refused"))
    }

    fn table(record: &RecordSchema) -> Vec<(String, Form, Value)> {
        let fields = record.fields.iter().filter(|field| field.name != "payload");
        fields
            .map(|field| {
                (
                    field.name.clone(),
                    form(&field.schema),
                    absent(field.default.as_ref()),
                )
            })
            .collect()
    }

    fn as_table(members: &[Member]) -> Vec<(String, Form, Value)> {
        let absent = |member: &Member| match member.absent {
            Absent::Refused => json!("refused"),
            Absent::Null => Value::Null,
            Absent::Text(text) => json!(text),
            Absent::EmptyMap => json!({}),
        };
        let row = |member: &Member| (member.name.to_owned(), member.form, absent(member));
        members.iter().map(row).collect()
    }

    #[test]
    fn the_tables_are_the_schemas_names_order_types_and_defaults() {
        let Schema::Record(event) = Schema::parse_str(LICENSE_EVENT).unwrap() else {
            panic!("no record")
        };
        assert_eq!(event.name.to_string(), LICENSE_EVENT_NAME);
        assert_eq!(table(&event), as_table(&ENVELOPE));
        let payload = event.fields.last().unwrap();
        let Schema::Union(union) = &payload.schema else {
            panic!("no union")
        };
        assert_eq!(
            (payload.name.as_str(), union.variants().len()),
            ("payload", EventKind::ALL.len())
        );
        for (kind, variant) in EventKind::ALL.into_iter().zip(union.variants()) {
            let Schema::Record(record) = variant else {
                panic!("no record")
            };
            assert_eq!(record.name.name(), kind.name());
            assert_eq!(table(record), as_table(of(kind)), "{}", kind.name());
            assert!(record.fields.len() <= MEMBERS_MAX);
            assert_eq!(EventKind::ALL[kind as usize], kind);
        }
    }
}
