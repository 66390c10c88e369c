//! The JSON form of an event: its type is a tag, its times are RFC 3339.
//!
//! Strict, since a misspelt `expire_at` must not make a license perpetual: unknown or repeated members,
//! and null where the schema has none, are `invalid_event`. An unknown type is judged before members and
//! limits. Knows no limits and no HTTP.

mod cloudevents;
mod draft;
pub mod schema;
mod tree;
mod write;

pub use cloudevents::{CLOUDEVENTS_TYPE_PREFIX, CloudEvent, cloudevents_decode};
pub use draft::Draft;
pub use write::encode;

use crate::event::{EventKind, LicenseEvent, LicenseKey, NOT_A_UUID, Payload, TextMap, parse_uuid};
use crate::limits::{entry_pointer, escape};
use crate::members::{self, DEFAULT_TENANT, ENVELOPE, Form, Member, Slot, Slots};
use crate::reason::{Fault, Reason};
use crate::time::parse_rfc3339;
use tree::{Members, Node, NotJson, Text};

/// The event of a record's value, where `event_id` and `occurred_at` are required. Limits are not
/// checked.
///
/// # Errors
/// `bad_json`, `unknown_type`, or `invalid_event` with the first bad member's pointer.
pub fn decode(bytes: &[u8]) -> Result<LicenseEvent, Fault> {
    let event = decode_members(bytes)
        .and_then(|(envelope, kind, data)| members::event(envelope, kind, data));
    // Read once more, since nobody waits for what is rejected.
    event.map_err(|fault| fault.naming(named(bytes)))
}

/// The license that an object names, whatever else it says.
fn named(bytes: &[u8]) -> Option<LicenseKey> {
    let Ok(Node::Object(members)) = tree::parse(bytes) else {
        return None;
    };
    let text = |name: &str| {
        let mut nodes = members.iter().filter(|(it, _)| it == name);
        match (nodes.next(), nodes.next()) {
            (None, _) => Some(None),
            (Some((_, Node::Text(text))), None) if !text.is_broken => {
                Some(Some(text.value.clone().into_owned()))
            }
            (Some(_), _) => None,
        }
    };
    Some(LicenseKey {
        tenant_id: text("tenant_id")?.unwrap_or_else(|| DEFAULT_TENANT.to_owned()),
        license_id: text("license_id")??,
    })
}

/// An event as a client may send it over HTTP, where some members may be left out. Limits are not
/// checked.
///
/// # Errors
/// As [`decode`].
pub fn decode_draft(bytes: &[u8]) -> Result<Draft, Fault> {
    let (envelope, kind, data) = decode_members(bytes)?;
    Draft::of(envelope, kind, data)
}

/// The payload alone, from the text of `data`.
///
/// # Errors
/// As [`decode`].
pub fn decode_data(kind: EventKind, bytes: &[u8]) -> Result<Payload, Fault> {
    let node = tree::parse(bytes).map_err(bad_json)?;
    members::payload(kind, data_slots(kind, Some(node))?)
}

/// The texts of the elements of a JSON array, each to be decoded by itself.
///
/// # Errors
/// `bad_json` where the text as a whole is no JSON array.
pub fn split_array(bytes: &[u8]) -> Result<Vec<&[u8]>, Fault> {
    tree::parse_items(bytes).map_err(bad_json)
}

fn bad_json(error: NotJson) -> Fault {
    Fault::new(Reason::BadJson, error.to_string())
}

fn decode_members(bytes: &[u8]) -> Result<(Slots, EventKind, Slots), Fault> {
    let Node::Object(members) = tree::parse(bytes).map_err(bad_json)? else {
        return Err(Fault::invalid("", "expected an object"));
    };
    let kind = kind_of(&members, "")?;
    let mut envelope = Slots::envelope();
    let mut data = None;
    let mut has_type = false;
    for (name, node) in members {
        let is_repeated = match &*name {
            "type" => std::mem::replace(&mut has_type, true),
            "data" => data.replace(node).is_some(),
            name => place(&mut envelope, &ENVELOPE, "", name, node)?,
        };
        if is_repeated {
            return Err(repeated("", &name));
        }
    }
    let kind = kind.ok_or_else(|| Fault::invalid("/type", "is missing"))?;
    Ok((envelope, kind, data_slots(kind, data)?))
}

/// The type of an event, if it has one: judged first, so that a later release's events are told from
/// bad ones.
fn kind_of(members: &Members<'_>, prefix: &str) -> Result<Option<EventKind>, Fault> {
    let mut types = members.iter().filter(|(name, _)| name == "type");
    let (Some((_, node)), None) = (types.next(), types.next()) else {
        return Ok(None);
    };
    let Node::Text(text) = node else {
        return Err(Fault::invalid("/type", "expected a string"));
    };
    known_type(&text.value, prefix).map(Some)
}

fn known_type(name: &str, prefix: &str) -> Result<EventKind, Fault> {
    let kind = name.strip_prefix(prefix).and_then(EventKind::from_name);
    kind.ok_or_else(|| {
        let error = format!("this release does not know events of type {}", escape(name));
        Fault {
            pointer: Some("/type".to_owned()),
            ..Fault::new(Reason::UnknownType, error)
        }
    })
}

fn data_slots(kind: EventKind, data: Option<Node<'_>>) -> Result<Slots, Fault> {
    let members = match data {
        Some(Node::Object(members)) => members,
        Some(_) => return Err(Fault::invalid("/data", "expected an object")),
        None => return Err(Fault::invalid("/data", "is missing")),
    };
    let table = members::of(kind);
    let mut slots = Slots::payload(kind);
    for (name, node) in members {
        if place(&mut slots, table, "/data", &name, node)? {
            return Err(repeated("/data", &name));
        }
    }
    Ok(slots)
}

/// Puts a value where it belongs; whether one was there already.
fn place(
    slots: &mut Slots,
    table: &[Member],
    at: &str,
    name: &str,
    node: Node<'_>,
) -> Result<bool, Fault> {
    let Some(index) = table.iter().position(|member| member.name == name) else {
        let pointer = format!("{at}/{}", escape(name));
        return Err(Fault::invalid(pointer, "is no member of this object"));
    };
    let is_repeated = !slots.is_missing(index);
    slots.set(index, slot(node, table[index].form));
    Ok(is_repeated)
}

fn repeated(at: &str, name: &str) -> Fault {
    Fault::invalid(format!("{at}/{}", escape(name)), REPEATED)
}

const REPEATED: &str = "stands more than once";
const BROKEN_TEXT: &str = "holds half of a surrogate pair";

fn slot(node: Node<'_>, form: Form) -> Slot {
    match (node, form) {
        (Node::Null, _) => Slot::Null,
        (
            Node::Text(Text {
                is_broken: true, ..
            }),
            _,
        ) => Slot::broken(BROKEN_TEXT),
        (Node::Text(text), Form::Text | Form::NullableText) => Slot::Text(text.value.into_owned()),
        (Node::Text(text), Form::Uuid) => {
            parse_uuid(&text.value).map_or_else(|| Slot::broken(NOT_A_UUID), Slot::Uuid)
        }
        (Node::Text(text), Form::Time | Form::NullableTime) => {
            parse_rfc3339(&text.value).map_or_else(Slot::broken, Slot::Number)
        }
        (Node::Number(text), Form::Int | Form::Long) => integer(text),
        (Node::Object(entries), Form::Map) => map(entries),
        (_, form) => Slot::broken(expected(form)),
    }
}

fn expected(form: Form) -> &'static str {
    match form {
        Form::Uuid | Form::Text => "expected a string",
        Form::NullableText => "expected a string or null",
        Form::Int | Form::Long => "expected an integer",
        Form::Time => "expected a string with an RFC 3339 time",
        Form::NullableTime => "expected a string with an RFC 3339 time, or null",
        Form::Map => "expected an object of strings",
    }
}

fn integer(text: &str) -> Slot {
    if text.contains(['.', 'e', 'E']) {
        return Slot::broken("expected an integer without fraction or exponent");
    }
    let number = text.parse();
    number.map_or_else(|_| Slot::broken("is beyond 64 bits"), Slot::Number)
}

fn map(entries: Members<'_>) -> Slot {
    let mut map = TextMap::new();
    for (key, node) in entries {
        let broken =
            |error: &str| Slot::Broken(Box::new((entry_pointer("", &key), error.to_owned())));
        let value = match node {
            Node::Text(Text {
                is_broken: true, ..
            }) => return broken(BROKEN_TEXT),
            Node::Text(text) => text.value.into_owned(),
            Node::Null | Node::Boolean | Node::Number(_) | Node::Object(_) | Node::Other => {
                return broken("expected a string");
            }
        };
        if map.contains_key(&*key) {
            return broken(REPEATED);
        }
        map.insert(key.into_owned(), value);
    }
    Slot::Map(map)
}
