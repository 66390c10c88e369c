//! A schema as it was given, with what is needed to tell it from others and to compare it.

mod normal;
mod tree;

use std::collections::BTreeMap;
use std::sync::Arc;

use sha2::{Digest, Sha256};

use crate::names::Reference;
use crate::{Error, Result};
pub(crate) use normal::normal_form;
pub(crate) use tree::{Definition, Definitions, Field, Primitive, Tree, Type};

/// The same for two texts that say the same: SHA-256 over the normal form and the references.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Identity([u8; 32]);

impl Identity {
    fn of(normal: &str, references: &[Reference]) -> Identity {
        let mut hash = Sha256::new();
        hash.update(normal.as_bytes());
        for reference in references {
            hash.update([0]);
            hash.update(reference.name.as_bytes());
            hash.update([0]);
            hash.update(reference.subject.as_str().as_bytes());
            hash.update([0]);
            hash.update(reference.version.to_be_bytes());
        }
        Identity(hash.finalize().into())
    }
}

/// A schema, the text kept as it was given: a parser's own output would lose attributes.
#[derive(Clone, Debug)]
pub(crate) struct Schema {
    pub(crate) text: String,
    /// None for AVRO.
    pub(crate) kind: Option<String>,
    pub(crate) references: Vec<Reference>,
    pub(crate) identity: Identity,
    /// None for a schema that another registry wrote and that we cannot read.
    pub(crate) tree: Option<Arc<Tree>>,
}

/// The schemas that a schema refers to, found before it is judged.
pub(crate) struct Referred<'a> {
    pub(crate) schemas: Vec<&'a Schema>,
}

impl Referred<'_> {
    fn definitions(&self) -> Definitions {
        let mut all = BTreeMap::new();
        for schema in &self.schemas {
            if let Some(tree) = &schema.tree {
                all.extend(tree.definitions.clone());
            }
        }
        all
    }
}

impl Schema {
    /// Judges a schema that somebody wants to register or to compare.
    ///
    /// # Errors
    /// [`Error::InvalidSchema`] with what is wrong.
    pub(crate) fn judge(
        text: &str,
        references: &[Reference],
        referred: &Referred<'_>,
    ) -> Result<Schema> {
        let wrong = |reason: String| Error::InvalidSchema(format!("{text}, details: {reason}"));
        if text.trim().is_empty() {
            return Err(Error::InvalidSchema("empty schema".into()));
        }
        let normal = normal_form(text).map_err(wrong)?;
        let tree = Tree::of(&normal, referred.definitions()).map_err(wrong)?;
        // Ours knows what is needed to compare; the rest of the specification is the library's to
        // check, with all that the schema refers to in one piece.
        let whole = tree.closed(&normal).to_string();
        apache_avro::Schema::parse_str(&whole).map_err(|error| wrong(error.to_string()))?;
        Ok(Schema {
            text: text.to_owned(),
            kind: None,
            references: references.to_vec(),
            identity: Identity::of(&normal.to_string(), references),
            tree: Some(Arc::new(tree)),
        })
    }

    /// A schema out of the log: it stands, whatever we think of it.
    pub(crate) fn recorded(
        text: String,
        kind: Option<String>,
        references: Vec<Reference>,
        referred: &Referred<'_>,
    ) -> Schema {
        let normal = normal_form(&text).ok().filter(|_| kind.is_none());
        let tree = normal
            .as_ref()
            .and_then(|normal| Tree::of(normal, referred.definitions()).ok())
            .map(Arc::new);
        let normal = normal.map_or_else(|| text.clone(), |normal| normal.to_string());
        let identity = Identity::of(&normal, &references);
        Schema {
            text,
            kind,
            references,
            identity,
            tree,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::names::Subject;

    fn judged(text: &str) -> Result<Schema> {
        Schema::judge(text, &[], &Referred { schemas: vec![] })
    }

    #[test]
    fn texts_that_say_the_same_have_one_identity() {
        let one = judged(r#"{"type":"record","name":"A","namespace":"n","fields":[]}"#).unwrap();
        let two = judged(r#"{ "fields": [], "name": "n.A", "type": "record" }"#).unwrap();
        let other = judged(r#"{"type":"record","name":"B","namespace":"n","fields":[]}"#).unwrap();
        assert_eq!(one.identity, two.identity);
        assert_ne!(one.identity, other.identity);
    }

    #[test]
    fn attributes_that_a_parser_would_drop_tell_schemas_apart_and_stay_in_the_text() {
        let plain = judged(r#"{"type":"string"}"#).unwrap();
        let text = r#"{"type":"string","avro.java.string":"String"}"#;
        let java = judged(text).unwrap();
        assert_eq!(judged(r#""string""#).unwrap().identity, plain.identity);
        assert_ne!(plain.identity, java.identity);
        assert_eq!(text, java.text);
    }

    #[test]
    fn what_is_no_schema_is_refused() {
        for wrong in [
            "",
            "  ",
            "{",
            "7",
            r#""no.such.Type""#,
            r#"{"type":"record","name":"A"}"#,
            r#"{"type":"record","fields":[]}"#,
            r#"{"type":"enum","name":"E"}"#,
            r#"{"type":"fixed","name":"F"}"#,
            r#"{"type":"array"}"#,
            r#"{"type":"record","name":"A","fields":[{"name":"1x","type":"int"}]}"#,
            r#"["int","int"]"#,
        ] {
            let error = judged(wrong).expect_err(wrong);
            assert_eq!(42201, error.code(), "{wrong}");
        }
    }

    #[test]
    fn a_schema_may_use_types_that_another_one_defines() {
        let base = judged(r#"{"type":"enum","name":"n.Plan","symbols":["A"]}"#).unwrap();
        let reference = Reference {
            name: "n.Plan".into(),
            subject: Subject::from("plan"),
            version: 1,
        };
        let text = r#"{"type":"record","name":"n.L","fields":[
            {"name":"a","type":"Plan"},{"name":"b","type":"n.Plan"}]}"#;
        let referred = Referred {
            schemas: vec![&base],
        };
        let schema = Schema::judge(text, std::slice::from_ref(&reference), &referred).unwrap();
        assert_eq!(text, schema.text);
        assert_eq!(42201, judged(text).expect_err("no reference").code());
    }
}
