//! CloudEvents 1.0 to events: structured JSON whole, binary mode from its attributes.
//!
//! `id` is the event id, `subject` the license, `time` when it happened, `type` our type behind a
//! prefix, the extension `tenantid` the tenant and `actor` on whose behalf. Other extensions, such as a
//! trace context, are another's and passed over.

use super::tree::{self, Node, Text};
use super::{BROKEN_TEXT, Draft, bad_json, data_slots, kind_of, known_type, repeated};
use crate::event::{NOT_A_UUID, parse_uuid};
use crate::limits::escape;
use crate::members::{Slot, Slots};
use crate::reason::Fault;
use crate::time::parse_rfc3339;

/// What stands before our type in a CloudEvent's `type`.
pub const CLOUDEVENTS_TYPE_PREFIX: &str = "licenseflow.v1.";

/// The attributes of a CloudEvent that mean something to us; in binary mode, the headers' values,
/// already percent-decoded.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct CloudEvent {
    pub specversion: Option<String>,
    pub id: Option<String>,
    pub source: Option<String>,
    pub event_type: Option<String>,
    pub subject: Option<String>,
    pub time: Option<String>,
    pub tenantid: Option<String>,
    pub actor: Option<String>,
    pub datacontenttype: Option<String>,
}

/// The event of a CloudEvent in structured JSON. Limits are not checked.
///
/// # Errors
/// As [`super::decode`]; pointers are into the CloudEvent.
pub fn cloudevents_decode(bytes: &[u8]) -> Result<Draft, Fault> {
    let Node::Object(members) = tree::parse(bytes).map_err(bad_json)? else {
        return Err(Fault::invalid("", "expected an object"));
    };
    kind_of(&members, CLOUDEVENTS_TYPE_PREFIX)?;
    let mut attributes = CloudEvent::default();
    let mut data = None;
    let mut seen = std::collections::BTreeSet::new();
    for (name, node) in members {
        if !seen.insert(name.clone()) {
            return Err(repeated("", &name));
        }
        if name == "data" {
            data = Some(node);
        } else {
            attributes.set(&name, node)?;
        }
    }
    attributes.draft(data)
}

impl CloudEvent {
    /// The event of these attributes and the text of `data`, as binary mode has them.
    ///
    /// # Errors
    /// As [`cloudevents_decode`].
    pub fn with_data(self, data: &[u8]) -> Result<Draft, Fault> {
        // The type is judged before the data, as in every form.
        if let Some(event_type) = &self.event_type {
            known_type(event_type, CLOUDEVENTS_TYPE_PREFIX)?;
        }
        let data = tree::parse(data).map_err(bad_json)?;
        self.draft(Some(data))
    }

    fn set(&mut self, name: &str, node: Node<'_>) -> Result<(), Fault> {
        let pointer = || format!("/{}", escape(name));
        let attribute = match name {
            "specversion" => &mut self.specversion,
            "id" => &mut self.id,
            "source" => &mut self.source,
            "type" => &mut self.event_type,
            "subject" => &mut self.subject,
            "time" => &mut self.time,
            "tenantid" => &mut self.tenantid,
            "actor" => &mut self.actor,
            "datacontenttype" => &mut self.datacontenttype,
            _ if !is_attribute_name(name) => {
                return Err(Fault::invalid(pointer(), "is no attribute of a CloudEvent"));
            }
            _ => return Ok(()),
        };
        *attribute = match node {
            // CloudEvents has null for an attribute that is not set.
            Node::Null => None,
            Node::Text(Text {
                is_broken: true, ..
            }) => {
                return Err(Fault::invalid(pointer(), BROKEN_TEXT));
            }
            Node::Text(text) => Some(text.value.into_owned()),
            Node::Boolean | Node::Number(_) | Node::Object(_) | Node::Other => {
                return Err(Fault::invalid(pointer(), "expected a string"));
            }
        };
        Ok(())
    }

    fn draft(self, data: Option<Node<'_>>) -> Result<Draft, Fault> {
        let event_type = needed("/type", self.event_type)?;
        let kind = known_type(&event_type, CLOUDEVENTS_TYPE_PREFIX)?;
        if needed("/specversion", self.specversion)? != "1.0" {
            return Err(Fault::invalid("/specversion", "expected 1.0"));
        }
        if !self.datacontenttype.as_deref().is_none_or(is_json) {
            return Err(Fault::invalid(
                "/datacontenttype",
                "expected application/json",
            ));
        }
        let id = parse_uuid(&needed("/id", self.id)?);
        let id = id.ok_or_else(|| Fault::invalid("/id", NOT_A_UUID))?;
        let time = parse_rfc3339(&needed("/time", self.time)?);
        let time = time.map_err(|error| Fault::invalid("/time", error))?;
        let mut envelope = Slots::envelope();
        envelope.set(0, Slot::Uuid(id));
        envelope.set(1, Slot::Text(needed("/subject", self.subject)?));
        if let Some(tenant_id) = self.tenantid {
            envelope.set(2, Slot::Text(tenant_id));
        }
        envelope.set(3, Slot::Number(time));
        envelope.set(4, Slot::Text(needed("/source", self.source)?));
        if let Some(actor) = self.actor {
            envelope.set(5, Slot::Text(actor));
        }
        Draft::of(envelope, kind, data_slots(kind, data)?)
    }
}

fn needed(pointer: &str, attribute: Option<String>) -> Result<String, Fault> {
    attribute.ok_or_else(|| Fault::invalid(pointer, "is missing"))
}

/// CloudEvents' names are lower-case letters and digits; `data_base64` is no such name.
fn is_attribute_name(name: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    !name.is_empty() && name.bytes().all(fits)
}

fn is_json(media_type: &str) -> bool {
    let essence = media_type.split(';').next().unwrap_or_default().trim();
    let essence = essence.to_ascii_lowercase();
    essence == "application/json" || essence.ends_with("+json")
}
