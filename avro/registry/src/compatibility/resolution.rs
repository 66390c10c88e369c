//! Whether data written with one schema can be read with another, by the rules of Avro's Java
//! implementation, which is what a Confluent registry answers.
//!
//! Written here rather than taken from apache-avro, whose comparison ignores aliases of records,
//! compares references by name only, and refuses a decimal whose scale changed. As for Java,
//! logical types do not matter and the namespace of a named type does not either.

use std::collections::BTreeSet;

use crate::schema::{Definition, Field, Primitive, Tree, Type};

/// What keeps the reader from reading the writer's data; nothing if it can.
pub(super) fn can_read(reader: &Tree, writer: &Tree) -> Vec<String> {
    let mut comparison = Comparison {
        reader,
        writer,
        assumed: BTreeSet::new(),
        found: Vec::new(),
        path: vec![],
    };
    comparison.types(&reader.root, &writer.root);
    comparison.found
}

struct Comparison<'a> {
    reader: &'a Tree,
    writer: &'a Tree,
    /// Pairs of named types under comparison or compared: a recursive type rests on itself.
    assumed: BTreeSet<(&'a str, &'a str)>,
    found: Vec<String>,
    path: Vec<String>,
}

impl<'a> Comparison<'a> {
    fn types(&mut self, reader: &'a Type, writer: &'a Type) {
        match (reader, writer) {
            (_, Type::Union(branches)) => {
                for branch in branches {
                    self.types(reader, branch);
                }
            }
            (Type::Union(branches), _) => self.any_branch(branches, writer),
            (Type::Array(reader), Type::Array(writer)) => self.inside("items", reader, writer),
            (Type::Map(reader), Type::Map(writer)) => self.inside("values", reader, writer),
            (Type::Primitive(reader), Type::Primitive(writer)) => {
                if !promotes(*reader, *writer) {
                    self.obstacle(&format!("{writer:?} is not read as {reader:?}"));
                }
            }
            (Type::Named(reader), Type::Named(writer)) => self.named(reader, writer),
            (
                Type::Array(_) | Type::Map(_) | Type::Primitive(_) | Type::Named(_),
                Type::Array(_) | Type::Map(_) | Type::Primitive(_) | Type::Named(_),
            ) => self.obstacle(&format!("{} is not read as {}", word(writer), word(reader))),
        }
    }

    fn inside(&mut self, step: &str, reader: &'a Type, writer: &'a Type) {
        self.path.push(step.to_owned());
        self.types(reader, writer);
        self.path.pop();
    }

    fn any_branch(&mut self, branches: &'a [Type], writer: &'a Type) {
        for branch in branches {
            let mut attempt = Comparison {
                reader: self.reader,
                writer: self.writer,
                assumed: self.assumed.clone(),
                found: Vec::new(),
                path: self.path.clone(),
            };
            attempt.types(branch, writer);
            if attempt.found.is_empty() {
                self.assumed = attempt.assumed;
                return;
            }
        }
        self.obstacle(&format!("no branch of the union reads {}", word(writer)));
    }

    fn named(&mut self, reader_name: &'a str, writer_name: &'a str) {
        if !self.assumed.insert((reader_name, writer_name)) {
            return;
        }
        let reader = self
            .reader
            .definitions
            .get(reader_name)
            .map(|(definition, _)| definition);
        let writer = self
            .writer
            .definitions
            .get(writer_name)
            .map(|(definition, _)| definition);
        let (Some(reader), Some(writer)) = (reader, writer) else {
            return self.obstacle(&format!("{reader_name} or {writer_name} is not defined"));
        };
        if !same_name(reader_name, aliases(reader), writer_name) {
            return self.obstacle(&format!("{writer_name} is not read as {reader_name}"));
        }
        match (reader, writer) {
            (Definition::Record { fields: reader, .. }, Definition::Record { fields, .. }) => {
                self.fields(reader, fields);
            }
            (
                Definition::Enum {
                    symbols: reader,
                    has_default,
                    ..
                },
                Definition::Enum { symbols, .. },
            ) => {
                let missing: Vec<&str> = symbols.difference(reader).map(String::as_str).collect();
                if !missing.is_empty() && !has_default {
                    self.obstacle(&format!("{reader_name} lacks {}", missing.join(", ")));
                }
            }
            (Definition::Fixed { size: reader, .. }, Definition::Fixed { size, .. }) => {
                if reader != size {
                    self.obstacle(&format!("{reader_name} has {reader} bytes, not {size}"));
                }
            }
            (
                Definition::Record { .. } | Definition::Enum { .. } | Definition::Fixed { .. },
                Definition::Record { .. } | Definition::Enum { .. } | Definition::Fixed { .. },
            ) => self.obstacle(&format!("{reader_name} is another kind of type")),
        }
    }

    fn fields(&mut self, reader: &'a [Field], writer: &'a [Field]) {
        for field in reader {
            let known =
                |other: &&Field| other.name == field.name || field.aliases.contains(&other.name);
            self.path.push(field.name.clone());
            match writer.iter().find(known) {
                Some(other) => self.types(&field.schema, &other.schema),
                None if field.has_default => {}
                None => self.obstacle("the field is not in the data and has no default"),
            }
            self.path.pop();
        }
    }

    fn obstacle(&mut self, what: &str) {
        self.found.push(format!("/{}: {what}", self.path.join("/")));
    }
}

/// Whether data of the second is read as the first.
fn promotes(reader: Primitive, writer: Primitive) -> bool {
    use Primitive::{Bytes, Double, Float, Int, Long, String};
    reader == writer
        || match reader {
            Long => writer == Int,
            Float => matches!(writer, Int | Long),
            Double => matches!(writer, Int | Long | Float),
            Bytes => writer == String,
            String => writer == Bytes,
            Primitive::Null | Primitive::Boolean | Int => false,
        }
}

fn aliases(definition: &Definition) -> &[String] {
    match definition {
        Definition::Record { aliases, .. }
        | Definition::Enum { aliases, .. }
        | Definition::Fixed { aliases, .. } => aliases,
    }
}

fn same_name(reader: &str, aliases: &[String], writer: &str) -> bool {
    let bare = |name: &str| name.rsplit('.').next().map(str::to_owned);
    bare(reader) == bare(writer) || aliases.iter().any(|alias| alias == writer)
}

fn word(schema: &Type) -> String {
    match schema {
        Type::Primitive(primitive) => format!("{primitive:?}"),
        Type::Array(_) => "Array".into(),
        Type::Map(_) => "Map".into(),
        Type::Union(_) => "Union".into(),
        Type::Named(name) => name.clone(),
    }
}
