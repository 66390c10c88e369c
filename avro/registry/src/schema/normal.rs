//! The normal form of a schema's JSON, by which two texts are the same schema.
//!
//! Members sorted, no blanks, full names in place of namespaces, and a primitive as its bare name.
//! Everything else stays, documentation and unknown attributes included: libraries' "canonical
//! forms" drop more or less, each its own part, and so do not agree with one another.

use serde_json::{Map, Value};

const PRIMITIVES: [&str; 8] = [
    "null", "boolean", "int", "long", "float", "double", "bytes", "string",
];

/// Whether a type's name is one of Avro's own.
pub(crate) fn is_primitive(name: &str) -> bool {
    PRIMITIVES.contains(&name)
}

/// The normal form, or what is wrong in words.
pub(crate) fn normal_form(text: &str) -> Result<Value, String> {
    // A bare word is how some clients name a primitive type.
    let value = match serde_json::from_str(text) {
        Ok(value) => value,
        Err(_) if is_primitive(text.trim()) => Value::String(text.trim().to_owned()),
        Err(error) => return Err(error.to_string()),
    };
    of_type(&value, "")
}

/// A name with its namespace; a primitive's has none.
fn full_name(name: &str, namespace: &str) -> String {
    if name.contains('.') || namespace.is_empty() || is_primitive(name) {
        return name.trim_start_matches('.').to_owned();
    }
    format!("{namespace}.{name}")
}

fn of_type(value: &Value, namespace: &str) -> Result<Value, String> {
    match value {
        Value::String(name) => Ok(Value::String(full_name(name, namespace))),
        Value::Array(branches) => {
            let branches: Result<Vec<Value>, String> = branches
                .iter()
                .map(|branch| of_type(branch, namespace))
                .collect();
            Ok(Value::Array(branches?))
        }
        Value::Object(members) => of_object(members, namespace),
        Value::Null | Value::Bool(_) | Value::Number(_) => Err(format!("{value} is not a type")),
    }
}

fn of_object(members: &Map<String, Value>, namespace: &str) -> Result<Value, String> {
    let kind = members.get("type").ok_or("a type without \"type\"")?;
    let Value::String(kind) = kind else {
        // {"type": {…}} is the type inside, where it says no more than that.
        let inner = of_type(kind, namespace)?;
        if members.len() == 1 {
            return Ok(inner);
        }
        let mut normal = members.clone();
        normal.insert("type".into(), inner);
        return Ok(sorted(normal));
    };
    let mut normal = members.clone();
    match kind.as_str() {
        "record" | "error" | "enum" | "fixed" => name_it(&mut normal, namespace)?,
        "array" => inner_type(&mut normal, "items", namespace)?,
        "map" => inner_type(&mut normal, "values", namespace)?,
        other if members.len() == 1 => return Ok(Value::String(full_name(other, namespace))),
        other => {
            normal.insert("type".into(), Value::String(full_name(other, namespace)));
        }
    }
    Ok(sorted(normal))
}

fn inner_type(
    members: &mut Map<String, Value>,
    member: &str,
    namespace: &str,
) -> Result<(), String> {
    let inner = members
        .get(member)
        .ok_or_else(|| format!("a type without \"{member}\""))?;
    let inner = of_type(inner, namespace)?;
    members.insert(member.to_owned(), inner);
    Ok(())
}

/// Puts the full name in place of name and namespace, and goes into the fields.
fn name_it(members: &mut Map<String, Value>, outer: &str) -> Result<(), String> {
    let Some(Value::String(name)) = members.get("name") else {
        return Err("a named type without \"name\"".into());
    };
    let namespace = match members.get("namespace") {
        Some(Value::String(namespace)) => namespace.clone(),
        Some(Value::Null) | None => outer.to_owned(),
        Some(other) => return Err(format!("{other} is not a namespace")),
    };
    let full = full_name(name, &namespace);
    let within = full
        .rsplit_once('.')
        .map_or("", |(namespace, _)| namespace)
        .to_owned();
    members.remove("namespace");
    members.insert("name".into(), Value::String(full));
    if let Some(Value::Array(aliases)) = members.get_mut("aliases") {
        for alias in aliases {
            if let Value::String(text) = alias {
                *text = full_name(text, &within);
            }
        }
    }
    if let Some(Value::Array(fields)) = members.get_mut("fields") {
        for field in fields {
            let Value::Object(field) = field else {
                return Err("a field that is no object".into());
            };
            inner_type(field, "type", &within)?;
        }
    }
    Ok(())
}

/// The same members in the order of their names, all the way down.
fn sorted(members: Map<String, Value>) -> Value {
    let mut members: Vec<(String, Value)> = members.into_iter().collect();
    members.sort_by(|(one, _), (other, _)| one.cmp(other));
    let sorted = members
        .into_iter()
        .map(|(name, value)| (name, sorted_value(value)));
    Value::Object(sorted.collect())
}

fn sorted_value(value: Value) -> Value {
    match value {
        Value::Object(members) => sorted(members),
        Value::Array(items) => Value::Array(items.into_iter().map(sorted_value).collect()),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => value,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn normal(text: &str) -> String {
        normal_form(text).unwrap().to_string()
    }

    #[test]
    fn names_are_full_and_members_sorted() {
        let text = r#"{"type":"record","name":"A","namespace":"x","doc":"d","aliases":["Old"],
            "fields":[{"type":{"type":"enum","name":"E","symbols":["B","A"]},"name":"e"},
                      {"name":"f","type":["null","E","y.F"],"default":null}]}"#;
        assert_eq!(
            r#"{"aliases":["x.Old"],"doc":"d","fields":[{"name":"e","type":{"name":"x.E","symbols":["B","A"],"type":"enum"}},{"default":null,"name":"f","type":["null","x.E","y.F"]}],"name":"x.A","type":"record"}"#,
            normal(text)
        );
    }

    #[test]
    fn a_primitive_is_its_bare_name_unless_it_says_more() {
        assert_eq!(r#""int""#, normal(r#"{"type":"int"}"#));
        assert_eq!(r#""int""#, normal(r#"{"type":{"type":"int"}}"#));
        assert_eq!(r#""string""#, normal("string"));
        assert_eq!(
            r#"{"logicalType":"date","type":"int"}"#,
            normal(r#"{"type":"int","logicalType":"date"}"#)
        );
    }
}
