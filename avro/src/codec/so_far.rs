//! What was read of a body before it could not go on, for who looks at it. Nothing is decided by it.

use serde_json::Value;

use crate::members::{Form, Slot};
use crate::time::format_rfc3339;

/// What was read of a body, in its order.
#[derive(Debug, Default)]
pub(crate) struct SoFar {
    pub(crate) members: Vec<(String, Value)>,
    /// The payload's type, once it is known.
    pub(crate) kind: Option<String>,
    pub(crate) data: Vec<(String, Value)>,
    /// Where it could not go on: the field, where that begins, and why.
    pub(crate) stopped: Option<(String, usize, String)>,
}

impl SoFar {
    /// Notes where it could not go on; the first place counts.
    pub(crate) fn stop(&mut self, field: &str, offset: usize, error: &str) {
        let place = (field.to_owned(), offset, error.to_owned());
        self.stopped.get_or_insert(place);
    }
}

impl Slot {
    /// The value as a person reads it.
    pub(crate) fn shown(self, form: Form) -> Option<Value> {
        Some(match self {
            Slot::Missing => return None,
            Slot::Null => Value::Null,
            Slot::Text(text) => text.into(),
            Slot::Number(micros) if matches!(form, Form::Time | Form::NullableTime) => {
                format_rfc3339(micros).into()
            }
            Slot::Number(number) => number.into(),
            Slot::Map(map) => map.into_iter().collect(),
            Slot::Uuid(id) => id.to_string().into(),
            Slot::Broken(broken) => format!("({})", broken.1).into(),
        })
    }
}
