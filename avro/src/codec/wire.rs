//! Confluent's wire format: a zero byte, four bytes of schema id, the body.

/// The first byte.
pub(super) const MAGIC: u8 = 0;
/// The length of all that stands before the body.
pub(crate) const PREFIX: usize = 5;

/// What the first bytes of a value say.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Prefix<'a> {
    /// Avro in the schema of this id.
    Avro(u32, &'a [u8]),
    /// Avro, but it ends before the schema id does.
    Truncated,
    /// Something else.
    Other,
}

/// Reads what stands before the body.
pub(crate) fn prefix(value: &[u8]) -> Prefix<'_> {
    if value.first() != Some(&MAGIC) {
        return Prefix::Other;
    }
    match value.split_at_checked(PREFIX) {
        Some(([_, a, b, c, d], body)) => Prefix::Avro(u32::from_be_bytes([*a, *b, *c, *d]), body),
        Some(_) | None => Prefix::Truncated,
    }
}
