//! How a writer's schema lays out its bytes: enough to read what we know and step over the rest.

use std::collections::HashMap;

use apache_avro::Schema;
use apache_avro::schema::{InnerDecimalSchema, Name, RecordSchema, UuidSchema};

use super::NotALicenseEvent;
use super::body::{Body, Stop};

/// Values nested deeper than this are refused: the writer's schema may be recursive, the stack ends.
const DEPTH_MAX: usize = 64;

/// The layout of one value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Shape {
    Null,
    Boolean,
    Int,
    Long,
    /// A long that counts microseconds since 1970.
    TimestampMicros,
    Bytes,
    Text,
    /// So many bytes.
    Fixed(usize),
    /// One of so many symbols.
    Enum(usize),
    Array(Box<Shape>),
    Map(Box<Shape>),
    Union(Vec<Shape>),
    /// A record, by its place in [`Shapes`], since it may hold itself.
    Record(usize),
    /// Laid out as another shape, but meaning something that no member of ours means.
    Foreign(Box<Shape>),
}

/// The named shapes of a writer's schema.
#[derive(Debug, Default)]
pub(super) struct Shapes {
    records: Vec<Vec<Shape>>,
    named: HashMap<Name, Shape>,
}

impl Shapes {
    /// The shape of a schema whose names were defined before it, as Avro has it.
    pub(super) fn of(&mut self, schema: &Schema) -> Result<Shape, NotALicenseEvent> {
        let foreign = |shape| Shape::Foreign(Box::new(shape));
        Ok(match schema {
            Schema::Null => Shape::Null,
            Schema::Boolean => Shape::Boolean,
            Schema::Int => Shape::Int,
            Schema::Long => Shape::Long,
            Schema::TimestampMicros => Shape::TimestampMicros,
            Schema::Bytes => Shape::Bytes,
            Schema::String | Schema::Uuid(UuidSchema::String) => Shape::Text,
            Schema::Float => Shape::Fixed(4),
            Schema::Double => Shape::Fixed(8),
            Schema::Date | Schema::TimeMillis => foreign(Shape::Int),
            Schema::TimeMicros
            | Schema::TimestampMillis
            | Schema::TimestampNanos
            | Schema::LocalTimestampMillis
            | Schema::LocalTimestampMicros
            | Schema::LocalTimestampNanos => foreign(Shape::Long),
            Schema::BigDecimal | Schema::Uuid(UuidSchema::Bytes) => foreign(Shape::Bytes),
            Schema::Decimal(decimal) => match &decimal.inner {
                InnerDecimalSchema::Bytes => foreign(Shape::Bytes),
                InnerDecimalSchema::Fixed(fixed) => {
                    self.name(&fixed.name, Shape::Fixed(fixed.size))
                }
            },
            Schema::Fixed(fixed)
            | Schema::Duration(fixed)
            | Schema::Uuid(UuidSchema::Fixed(fixed)) => {
                self.name(&fixed.name, Shape::Fixed(fixed.size))
            }
            Schema::Enum(symbols) => self.name(&symbols.name, Shape::Enum(symbols.symbols.len())),
            Schema::Array(array) => Shape::Array(Box::new(self.of(&array.items)?)),
            Schema::Map(map) => Shape::Map(Box::new(self.of(&map.types)?)),
            Schema::Union(union) => {
                let branches = union.variants().iter().map(|branch| self.of(branch));
                Shape::Union(branches.collect::<Result<_, _>>()?)
            }
            Schema::Record(record) => self.record(record)?,
            Schema::Ref { name } => {
                self.named.get(name).cloned().ok_or_else(|| {
                    NotALicenseEvent::new(format!("{name} is used but not defined"))
                })?
            }
        })
    }

    fn name(&mut self, name: &Name, shape: Shape) -> Shape {
        self.named.insert(name.clone(), shape.clone());
        shape
    }

    fn record(&mut self, record: &RecordSchema) -> Result<Shape, NotALicenseEvent> {
        let place = self.records.len();
        self.records.push(Vec::new());
        self.named.insert(record.name.clone(), Shape::Record(place));
        let fields = record.fields.iter().map(|field| self.of(&field.schema));
        self.records[place] = fields.collect::<Result<_, _>>()?;
        Ok(Shape::Record(place))
    }

    /// Steps over a value.
    pub(super) fn skip(&self, shape: &Shape, body: &mut Body<'_>) -> Result<(), Stop> {
        self.skip_at(shape, body, 0)
    }

    fn skip_at(&self, shape: &Shape, body: &mut Body<'_>, depth: usize) -> Result<(), Stop> {
        if depth > DEPTH_MAX {
            return Err(Stop::Bad("values nested deeper than we read"));
        }
        match shape {
            Shape::Null => Ok(()),
            Shape::Boolean => body.boolean(),
            Shape::Int => body.int().map(drop),
            Shape::Long | Shape::TimestampMicros => body.long().map(drop),
            Shape::Bytes => body.bytes().map(drop),
            Shape::Text => body.text().map(drop),
            Shape::Fixed(size) => body.take(*size).map(drop),
            Shape::Enum(symbols) => body.index(*symbols).map(drop),
            Shape::Foreign(shape) => self.skip_at(shape, body, depth),
            Shape::Union(branches) => {
                let branch = body.index(branches.len())?;
                self.skip_at(&branches[branch], body, depth + 1)
            }
            Shape::Record(place) => self.records[*place]
                .iter()
                .try_for_each(|field| self.skip_at(field, body, depth + 1)),
            Shape::Map(value) => blocks(body, |body| {
                body.text()?;
                self.skip_at(value, body, depth + 1)
            }),
            // Items without bytes would let a count of 2⁶² spin.
            Shape::Array(item) if self.is_empty(item, 0) => blocks_of_nothing(body),
            Shape::Array(item) => blocks(body, |body| self.skip_at(item, body, depth + 1)),
        }
    }

    /// Whether values of this shape have no bytes at all.
    fn is_empty(&self, shape: &Shape, depth: usize) -> bool {
        match shape {
            Shape::Null | Shape::Fixed(0) => true,
            Shape::Foreign(shape) => self.is_empty(shape, depth),
            Shape::Record(place) => {
                let mut fields = self.records[*place].iter();
                // A record that holds itself for ever has no values; `skip` refuses it.
                depth > DEPTH_MAX || fields.all(|field| self.is_empty(field, depth + 1))
            }
            Shape::Boolean
            | Shape::Int
            | Shape::Long
            | Shape::TimestampMicros
            | Shape::Bytes
            | Shape::Text
            | Shape::Fixed(_)
            | Shape::Enum(_)
            | Shape::Array(_)
            | Shape::Map(_)
            | Shape::Union(_) => false,
        }
    }
}

/// Reads the items of a map or an array, each of which has at least one byte.
pub(super) fn blocks<'a>(
    body: &mut Body<'a>,
    mut item: impl FnMut(&mut Body<'a>) -> Result<(), Stop>,
) -> Result<(), Stop> {
    loop {
        match body.block()? {
            0 => return Ok(()),
            count => (0..count).try_for_each(|_| item(body))?,
        }
    }
}

fn blocks_of_nothing(body: &mut Body<'_>) -> Result<(), Stop> {
    while body.block()? > 0 {}
    Ok(())
}
