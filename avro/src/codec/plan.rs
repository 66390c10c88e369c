//! A plan: how bytes of one writer's schema become an event of ours.
//!
//! Made once for each schema id. It resolves the writer's schema against ours by name, as Avro has it:
//! fields that we do not know are stepped over, fields that the writer does not know take our defaults,
//! a payload that we do not know is `unknown_type`. One way for every schema, ours included: it reads
//! straight into the event, and tells bytes that end early from bytes that cannot be.

use apache_avro::Schema;
use apache_avro::schema::RecordSchema;

use uuid::Uuid;

use super::NotALicenseEvent;
use super::body::{Body, Stop};
use super::shape::{Shape, Shapes, blocks};
use super::so_far::SoFar;
use crate::event::{EventKind, LicenseEvent, LicenseKey, NOT_A_UUID, TextMap, parse_uuid};
use crate::members::{
    self, Absent, DEFAULT_TENANT, Form, LICENSE_ID, Member, Slot, Slots, TENANT_ID,
};
use crate::reason::{Fault, Reason};
use crate::schema;

/// How bytes of one writer's schema become an event of ours.
#[derive(Debug)]
pub struct Plan {
    shapes: Shapes,
    steps: Vec<Step>,
    /// Why no event can be read, where the schema is registered but none of ours.
    unusable: Option<NotALicenseEvent>,
}

/// What to do with the next field of the writer's record.
#[derive(Debug)]
enum Step {
    /// It is the member of this place in our table.
    Member(usize, Form, Shape),
    /// It is something that we do not know, by its name.
    Skip(Box<str>, Shape),
    /// It is the payload.
    Payload(Payloads),
}

#[derive(Debug)]
enum Payloads {
    /// The writer knows but one payload, and writes no index.
    One(Branch),
    Union(Vec<Branch>),
}

#[derive(Debug)]
enum Branch {
    Known(EventKind, Vec<Step>),
    /// A payload of a later release, by its name.
    Unknown(String, Shape),
}

/// What a body's payload turned out to be.
#[expect(
    clippy::large_enum_variant,
    reason = "one lives on the stack while an event is read"
)]
enum Found<'a> {
    Nothing,
    Known(EventKind, Slots),
    Unknown(&'a str),
}

impl Plan {
    /// The plan for a writer's schema, from its text.
    ///
    /// # Errors
    /// The text is no Avro schema, or none that gives LicenseEvents.
    pub fn new(schema_text: &str) -> Result<Self, NotALicenseEvent> {
        let schema = Schema::parse_str(schema_text)
            .map_err(|error| NotALicenseEvent::new(format!("not an Avro schema: {error}")))?;
        let Schema::Record(record) = &schema else {
            return Err(NotALicenseEvent::new("not a record"));
        };
        let name = record.name.to_string();
        if name != schema::LICENSE_EVENT_NAME {
            return Err(NotALicenseEvent::new(format!("the record is {name}")));
        }
        let mut shapes = Shapes::default();
        let mut steps = Vec::with_capacity(record.fields.len());
        for field in &record.fields {
            steps.push(if field.name == "payload" {
                Step::Payload(payloads(&mut shapes, &field.schema)?)
            } else {
                member_step(&mut shapes, &members::ENVELOPE, &field.name, &field.schema)?
            });
        }
        all_there(&members::ENVELOPE, record)?;
        if !steps.iter().any(|step| matches!(step, Step::Payload(_))) {
            return Err(NotALicenseEvent::new("it has no payload"));
        }
        Ok(Self {
            shapes,
            steps,
            unusable: None,
        })
    }

    /// The plan for a registered schema that gives no LicenseEvents: everything is `unknown_schema`.
    #[must_use]
    pub fn unusable(error: NotALicenseEvent) -> Self {
        Self {
            shapes: Shapes::default(),
            steps: Vec::new(),
            unusable: Some(error),
        }
    }

    /// The event of an Avro body, without the five bytes of the wire format. Limits are not checked.
    ///
    /// # Errors
    /// `unknown_schema`, `truncated`, `bad_avro`, `trailing_bytes`, `unknown_type`, or `invalid_event`
    /// for a uuid that is none.
    pub fn decode(&self, bytes: &[u8]) -> Result<LicenseEvent, Fault> {
        if let Some(error) = &self.unusable {
            let fault = Fault::new(Reason::UnknownSchema, error.to_string());
            return Err(fault.pointing_at_us());
        }
        let event = self.decode_steps(&self.steps, Slots::envelope(), bytes);
        event.map_err(|fault| fault.naming(self.named(bytes)))
    }

    /// The license that a body names, however far it can be read.
    fn named(&self, bytes: &[u8]) -> Option<LicenseKey> {
        let mut envelope = Slots::envelope();
        // What was read before it could not go on is in there all the same.
        let _ = self.read_steps(&self.steps, &mut envelope, bytes);
        self.license(&envelope)
    }

    /// As [`Plan::decode`] for the plan of our own schema, of bytes that begin behind the ids.
    pub(super) fn decode_content(
        &self,
        license: &LicenseKey,
        event_id: Uuid,
        content: &[u8],
    ) -> Result<LicenseEvent, Fault> {
        let mut envelope = Slots::envelope();
        envelope.set(0, Slot::Uuid(event_id));
        envelope.set(1, Slot::Text(license.license_id.clone()));
        envelope.set(2, Slot::Text(license.tenant_id.clone()));
        self.decode_steps(&self.steps[3..], envelope, content)
    }

    fn decode_steps(
        &self,
        steps: &[Step],
        mut envelope: Slots,
        bytes: &[u8],
    ) -> Result<LicenseEvent, Fault> {
        match self.read_steps(steps, &mut envelope, bytes)? {
            Found::Known(kind, data) => members::event(envelope, kind, data),
            Found::Unknown(name) => {
                let error = format!("this release does not know events of type {name}");
                Err(Fault::new(Reason::UnknownType, error).pointing_at_us())
            }
            Found::Nothing => Err(Fault::invalid("/type", "is missing")),
        }
    }

    /// Reads all of a body; what was read before it could not go on is in `envelope`.
    fn read_steps<'s>(
        &'s self,
        steps: &'s [Step],
        envelope: &mut Slots,
        bytes: &[u8],
    ) -> Result<Found<'s>, Fault> {
        let mut body = Body::new(bytes);
        let mut found = Found::Nothing;
        for step in steps {
            match step {
                Step::Member(place, form, shape) => {
                    envelope.set(*place, read(shape, *form, &mut body)?);
                }
                Step::Skip(_, shape) => self.shapes.skip(shape, &mut body)?,
                Step::Payload(payloads) => found = self.payload(payloads, &mut body)?,
            }
        }
        body.finish()?;
        Ok(found)
    }

    /// The license that what was read names. A writer that knows no tenants has the default's.
    fn license(&self, envelope: &Slots) -> Option<LicenseKey> {
        let tenants = |step: &Step| matches!(step, Step::Member(TENANT_ID, ..));
        let tenant_id = match envelope.peek(TENANT_ID) {
            Slot::Text(text) => text.clone(),
            Slot::Missing if !self.steps.iter().any(tenants) => DEFAULT_TENANT.to_owned(),
            _ => return None,
        };
        let Slot::Text(license_id) = envelope.peek(LICENSE_ID) else {
            return None;
        };
        Some(LicenseKey {
            tenant_id,
            license_id: license_id.clone(),
        })
    }

    fn payload<'p>(
        &'p self,
        payloads: &'p Payloads,
        body: &mut Body<'_>,
    ) -> Result<Found<'p>, Stop> {
        let branch = match payloads {
            Payloads::One(branch) => branch,
            Payloads::Union(branches) => &branches[body.index(branches.len())?],
        };
        match branch {
            Branch::Unknown(name, shape) => {
                self.shapes.skip(shape, body)?;
                Ok(Found::Unknown(name))
            }
            Branch::Known(kind, steps) => {
                let mut data = Slots::payload(*kind);
                for step in steps {
                    match step {
                        Step::Member(place, form, shape) => {
                            data.set(*place, read(shape, *form, body)?);
                        }
                        Step::Skip(_, shape) => self.shapes.skip(shape, body)?,
                        // Only an envelope has a payload.
                        Step::Payload(_) => return Err(Stop::Bad("a payload in a payload")),
                    }
                }
                Ok(Found::Known(*kind, data))
            }
        }
    }
}

impl Plan {
    /// Reads a body as far as it goes, for who looks at it.
    pub(crate) fn read_so_far(&self, bytes: &[u8]) -> SoFar {
        let mut so_far = SoFar::default();
        if let Some(error) = &self.unusable {
            so_far.stop("", 0, &error.to_string());
            return so_far;
        }
        let mut body = Body::new(bytes);
        if self.look(&self.steps, &members::ENVELOPE, &mut body, &mut so_far) {
            let offset = body.offset();
            if let Err(fault) = body.finish() {
                so_far.stop("", offset, &fault.error);
            }
        }
        so_far
    }

    /// Reads one record's fields; false: it could not go on.
    fn look(
        &self,
        steps: &[Step],
        table: &[Member],
        body: &mut Body<'_>,
        so_far: &mut SoFar,
    ) -> bool {
        for step in steps {
            let begins = body.offset();
            let (name, read) = match step {
                Step::Member(place, form, shape) => {
                    let member = table.get(*place).map_or("", |member| member.name);
                    let slot = read(shape, *form, body);
                    (member, slot.map(|slot| slot.shown(*form)))
                }
                Step::Skip(name, shape) => (&**name, self.shapes.skip(shape, body).map(|()| None)),
                Step::Payload(payloads) => match self.look_at_payload(payloads, body, so_far) {
                    Ok(true) => ("payload", Ok(None)),
                    Ok(false) => return false,
                    Err(stop) => ("payload", Err(stop)),
                },
            };
            match (read, body.flaw()) {
                (Ok(Some(value)), None) => so_far.members.push((name.to_owned(), value)),
                (Ok(None), None) => {}
                (Ok(_), Some(flaw)) => {
                    so_far.stop(name, begins, flaw);
                    return false;
                }
                (Err(stop), _) => {
                    so_far.stop(name, begins, &Fault::from(stop).error);
                    return false;
                }
            }
        }
        true
    }

    fn look_at_payload(
        &self,
        payloads: &Payloads,
        body: &mut Body<'_>,
        so_far: &mut SoFar,
    ) -> Result<bool, Stop> {
        let branch = match payloads {
            Payloads::One(branch) => branch,
            Payloads::Union(branches) => &branches[body.index(branches.len())?],
        };
        match branch {
            Branch::Unknown(name, shape) => {
                so_far.kind = Some(name.clone());
                self.shapes.skip(shape, body).map(|()| true)
            }
            Branch::Known(kind, steps) => {
                so_far.kind = Some(kind.name().to_owned());
                let mut data = SoFar::default();
                let whole = self.look(steps, members::of(*kind), body, &mut data);
                so_far.data = data.members;
                if let Some((field, offset, error)) = data.stopped {
                    so_far.stop(&format!("data/{field}"), offset, &error);
                }
                Ok(whole)
            }
        }
    }
}

fn payloads(shapes: &mut Shapes, schema: &Schema) -> Result<Payloads, NotALicenseEvent> {
    match schema {
        Schema::Union(union) => {
            let branches = union
                .variants()
                .iter()
                .map(|variant| branch(shapes, variant));
            Ok(Payloads::Union(branches.collect::<Result<_, _>>()?))
        }
        single => Ok(Payloads::One(branch(shapes, single)?)),
    }
}

fn branch(shapes: &mut Shapes, schema: &Schema) -> Result<Branch, NotALicenseEvent> {
    let Schema::Record(record) = schema else {
        return Err(NotALicenseEvent::new("a payload that is not a record"));
    };
    let Some(kind) = EventKind::from_name(record.name.name()) else {
        return Ok(Branch::Unknown(
            record.name.name().to_owned(),
            shapes.of(schema)?,
        ));
    };
    // Its name may be used further on, in a payload that we do not know.
    shapes.of(schema)?;
    let table = members::of(kind);
    all_there(table, record)?;
    let steps = record.fields.iter();
    let steps = steps.map(|field| member_step(shapes, table, &field.name, &field.schema));
    Ok(Branch::Known(kind, steps.collect::<Result<_, _>>()?))
}

fn member_step(
    shapes: &mut Shapes,
    table: &[Member],
    name: &str,
    schema: &Schema,
) -> Result<Step, NotALicenseEvent> {
    let shape = shapes.of(schema)?;
    let Some(place) = table.iter().position(|member| member.name == name) else {
        return Ok(Step::Skip(name.into(), shape));
    };
    let form = table[place].form;
    if !fits(&shape, form) {
        return Err(NotALicenseEvent::new(format!("{name} is of another type")));
    }
    Ok(Step::Member(place, form, shape))
}

/// Whether the writer has every member that has no default.
fn all_there(table: &[Member], record: &RecordSchema) -> Result<(), NotALicenseEvent> {
    let missing = table.iter().find(|member| {
        let is_written = record.fields.iter().any(|field| field.name == member.name);
        member.absent == Absent::Refused && !is_written
    });
    missing.map_or(Ok(()), |member| {
        let record = record.name.name();
        Err(NotALicenseEvent::new(format!(
            "{record} has no {}",
            member.name
        )))
    })
}

/// Whether every value of this shape can be read as such a member, as Avro promotes it.
fn fits(shape: &Shape, form: Form) -> bool {
    match (shape, form) {
        (Shape::Union(branches), _) => branches.iter().all(|branch| fits(branch, form)),
        (Shape::Null, Form::NullableText | Form::NullableTime) => true,
        (Shape::Text | Shape::Bytes, Form::Uuid | Form::Text | Form::NullableText) => true,
        (Shape::Int, Form::Int | Form::Long | Form::Time | Form::NullableTime) => true,
        (Shape::Long, Form::Long | Form::Time | Form::NullableTime) => true,
        (Shape::TimestampMicros, Form::Time | Form::NullableTime) => true,
        (Shape::Map(values), Form::Map) => matches!(**values, Shape::Text | Shape::Bytes),
        _ => false,
    }
}

/// The next value, whose shape [`fits`] the form.
#[inline]
fn read(shape: &Shape, form: Form, body: &mut Body<'_>) -> Result<Slot, Stop> {
    match shape {
        Shape::Union(branches) => {
            let branch = body.index(branches.len())?;
            read(&branches[branch], form, body)
        }
        Shape::Null => Ok(Slot::Null),
        Shape::Int => body.int().map(Slot::Number),
        Shape::Map(_) => read_map(body).map(Slot::Map),
        Shape::Text | Shape::Bytes if form == Form::Uuid => {
            Ok(parse_uuid(body.text()?).map_or_else(|| Slot::broken(NOT_A_UUID), Slot::Uuid))
        }
        Shape::Text | Shape::Bytes => Ok(Slot::Text(body.text()?.to_owned())),
        Shape::Long | Shape::TimestampMicros => body.long().map(Slot::Number),
        Shape::Boolean
        | Shape::Fixed(_)
        | Shape::Enum(_)
        | Shape::Array(_)
        | Shape::Record(_)
        | Shape::Foreign(_) => Err(Stop::Bad("a member of a shape that does not fit")),
    }
}

/// A map of texts; where a key stands twice the last counts, as in every Avro library.
fn read_map(body: &mut Body<'_>) -> Result<TextMap, Stop> {
    let mut map = TextMap::new();
    blocks(body, |body| {
        let key = body.text()?.to_owned();
        map.insert(key, body.text()?.to_owned());
        Ok(())
    })?;
    Ok(map)
}
