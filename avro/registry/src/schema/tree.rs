//! What of a schema decides whether one can read another's data: types, names, defaults.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};

use super::normal::is_primitive;

/// Avro's own types without inner ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Primitive {
    Null,
    Boolean,
    Int,
    Long,
    Float,
    Double,
    Bytes,
    String,
}

/// A type where it is used; logical types are their underlying ones, as for Java.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Type {
    Primitive(Primitive),
    Array(Box<Type>),
    Map(Box<Type>),
    Union(Vec<Type>),
    /// A named type, by its full name.
    Named(String),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Field {
    pub(crate) name: String,
    pub(crate) aliases: Vec<String>,
    pub(crate) has_default: bool,
    pub(crate) schema: Type,
}

/// What a named type is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Definition {
    Record {
        aliases: Vec<String>,
        fields: Vec<Field>,
    },
    Enum {
        aliases: Vec<String>,
        symbols: BTreeSet<String>,
        has_default: bool,
    },
    Fixed {
        aliases: Vec<String>,
        size: u64,
    },
}

/// Named types by full name, each with the normal JSON that defines it.
pub(crate) type Definitions = BTreeMap<String, (Definition, Value)>;

/// A schema for comparing.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Tree {
    pub(crate) root: Type,
    pub(crate) definitions: Definitions,
}

impl Tree {
    /// Of a normal form, and of the named types that it may refer to.
    pub(crate) fn of(normal: &Value, referred: Definitions) -> Result<Tree, String> {
        let mut tree = Tree {
            root: Type::Union(vec![]),
            definitions: referred,
        };
        tree.root = tree.type_of(normal)?;
        let known: BTreeSet<String> = tree.definitions.keys().cloned().collect();
        for (definition, _) in tree.definitions.values() {
            if let Definition::Record { fields, .. } = definition {
                for field in fields {
                    all_known(&field.schema, &known)?;
                }
            }
        }
        all_known(&tree.root, &known)?;
        Ok(tree)
    }

    /// The normal form with each type that it refers to put in where it is first used.
    pub(crate) fn closed(&self, normal: &Value) -> Value {
        let mut defined = BTreeSet::new();
        own_names(normal, &mut defined);
        self.put_in(normal, &mut defined)
    }

    fn put_in(&self, value: &Value, defined: &mut BTreeSet<String>) -> Value {
        match value {
            Value::String(name) => match self.definitions.get(name) {
                Some((_, json)) if defined.insert(name.clone()) => self.put_in(json, defined),
                Some(_) | None => value.clone(),
            },
            Value::Array(branches) => Value::Array(
                branches
                    .iter()
                    .map(|one| self.put_in(one, defined))
                    .collect(),
            ),
            Value::Object(members) => {
                let mut members = members.clone();
                for member in ["type", "items", "values"] {
                    if let Some(inner) = members.get(member).cloned() {
                        members.insert(member.to_owned(), self.put_in(&inner, defined));
                    }
                }
                if let Some(Value::Array(fields)) = members.get("fields").cloned() {
                    let fields = fields
                        .iter()
                        .map(|field| self.put_in(field, defined))
                        .collect();
                    members.insert("fields".to_owned(), Value::Array(fields));
                }
                Value::Object(members)
            }
            Value::Null | Value::Bool(_) | Value::Number(_) => value.clone(),
        }
    }

    fn type_of(&mut self, value: &Value) -> Result<Type, String> {
        match value {
            Value::String(name) => Ok(primitive(name).unwrap_or(Type::Named(name.clone()))),
            Value::Array(branches) => {
                let branches: Result<_, String> =
                    branches.iter().map(|branch| self.type_of(branch)).collect();
                Ok(Type::Union(branches?))
            }
            Value::Object(members) => self.type_of_object(members),
            Value::Null | Value::Bool(_) | Value::Number(_) => {
                Err(format!("{value} is not a type"))
            }
        }
    }

    fn type_of_object(&mut self, members: &Map<String, Value>) -> Result<Type, String> {
        let inner = |name: &str| {
            members
                .get(name)
                .ok_or_else(|| format!("a type without \"{name}\""))
        };
        let kind = match inner("type")? {
            Value::String(kind) => kind.as_str(),
            other => return self.type_of(other),
        };
        let definition = match kind {
            "array" => return Ok(Type::Array(Box::new(self.type_of(inner("items")?)?))),
            "map" => return Ok(Type::Map(Box::new(self.type_of(inner("values")?)?))),
            "record" | "error" => Definition::Record {
                aliases: texts(members.get("aliases")),
                fields: self.fields(inner("fields")?)?,
            },
            "enum" => Definition::Enum {
                aliases: texts(members.get("aliases")),
                symbols: texts(Some(inner("symbols")?)).into_iter().collect(),
                has_default: members.contains_key("default"),
            },
            "fixed" => Definition::Fixed {
                aliases: texts(members.get("aliases")),
                size: inner("size")?.as_u64().ok_or("a size that is no number")?,
            },
            other => return Ok(primitive(other).unwrap_or(Type::Named(other.to_owned()))),
        };
        let Value::String(name) = inner("name")? else {
            return Err("a name that is no text".into());
        };
        let json = Value::Object(members.clone());
        self.definitions.insert(name.clone(), (definition, json));
        Ok(Type::Named(name.clone()))
    }

    fn fields(&mut self, fields: &Value) -> Result<Vec<Field>, String> {
        let Value::Array(fields) = fields else {
            return Err("fields that are no list".into());
        };
        fields
            .iter()
            .map(|field| {
                let name = field.get("name").and_then(Value::as_str);
                let schema = field.get("type").ok_or("a field without \"type\"")?;
                Ok(Field {
                    name: name.ok_or("a field without \"name\"")?.to_owned(),
                    aliases: texts(field.get("aliases")),
                    has_default: field.get("default").is_some(),
                    schema: self.type_of(schema)?,
                })
            })
            .collect()
    }
}

/// The names that a normal form defines itself.
fn own_names(value: &Value, names: &mut BTreeSet<String>) {
    match value {
        Value::Array(items) => items.iter().for_each(|item| own_names(item, names)),
        Value::Object(members) => {
            let kind = members.get("type").and_then(Value::as_str);
            if matches!(kind, Some("record" | "error" | "enum" | "fixed")) {
                names.extend(
                    members
                        .get("name")
                        .and_then(Value::as_str)
                        .map(str::to_owned),
                );
            }
            for member in ["type", "items", "values", "fields"] {
                if let Some(inner) = members.get(member) {
                    own_names(inner, names);
                }
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

fn all_known(schema: &Type, known: &BTreeSet<String>) -> Result<(), String> {
    match schema {
        Type::Primitive(_) => Ok(()),
        Type::Array(inner) | Type::Map(inner) => all_known(inner, known),
        Type::Union(branches) => branches.iter().try_for_each(|one| all_known(one, known)),
        Type::Named(name) if known.contains(name) => Ok(()),
        Type::Named(name) => Err(format!("the type {name} is not defined")),
    }
}

fn texts(value: Option<&Value>) -> Vec<String> {
    let items = value
        .and_then(Value::as_array)
        .map_or(&[][..], Vec::as_slice);
    items
        .iter()
        .filter_map(Value::as_str)
        .map(str::to_owned)
        .collect()
}

fn primitive(name: &str) -> Option<Type> {
    if !is_primitive(name) {
        return None;
    }
    Some(Type::Primitive(match name {
        "null" => Primitive::Null,
        "boolean" => Primitive::Boolean,
        "int" => Primitive::Int,
        "long" => Primitive::Long,
        "float" => Primitive::Float,
        "double" => Primitive::Double,
        "bytes" => Primitive::Bytes,
        _ => Primitive::String,
    }))
}
