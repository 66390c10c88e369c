//! Pages: where they end.

use crate::lookup::Page;

/// A page ends when its rows hold about this many bytes: a license may carry half a megabyte of
/// entitlements and metadata, and so may an event.
pub(crate) const PAGE_BYTES_MAX: usize = 8 * 1024 * 1024;

/// A page of the first `limit` of these, which hold one more where the list goes on.
pub(crate) fn page_of<T, K>(
    mut items: Vec<T>,
    limit: usize,
    key_of: impl Fn(&T) -> K,
) -> Page<T, K> {
    let goes_on = items.len() > limit;
    items.truncate(limit);
    let next = items.last().filter(|_| goes_on).map(key_of);
    Page { items, next }
}
