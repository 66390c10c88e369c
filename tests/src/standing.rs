//! Where a read model stands, for whoever waits until it has caught up.

use licenseflow_store::Lookup;

/// How many offsets the store has dealt with; none where it does not answer.
pub fn dealt_with(lookup: &dyn Lookup) -> i64 {
    let freshness = lookup.freshness().map(|it| it.partitions);
    let partitions = freshness.unwrap_or_default();
    partitions.iter().map(|it| it.next_offset).sum()
}
