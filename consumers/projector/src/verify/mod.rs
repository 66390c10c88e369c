//! Whether a read model is what the log says: what `licenseflow verify` and the gate of a replay stand on.
//!
//! The log is folded anew and held against the rows as they are stored, in one snapshot, while writes go on.
//! It shares the judgement of records with the loop; the fold is the naive one, or, where it is to be fast, the
//! projector's own. Knows no librdkafka and no SQL: the log is [`Lanes`], the store is
//! [`Audit`](licenseflow_store::Audit).
//!
//! | file | idea |
//! |---|---|
//! | `digests` | the log's digest against a store's, and nothing else |
//! | `whole` | a whole generation: what is read when, and what follows from it |
//! | `one` | one license, by the records that its rows name |
//! | `reading` | records become what is kept of them |
//! | `expected`, `naively`, `fast` | what the log says of a license |
//! | `held` | what the store says of one, in the same terms |
//! | `ledger` | sums by which licenses that differ are found |
//! | `telling` | the differences of one license, member by member |
//! | `anew`, `share` | one license as it is to be written, and what the kept sums have of it |
//! | `mending` | letters of one license as they should be |
//! | `fates`, `letters` | records that did not count then, or would not now |
//! | `numbers` | totals, numbers of events and the kept digest |

mod anew;
mod difference;
mod digests;
mod expected;
mod fast;
mod fates;
mod held;
mod lanes;
mod ledger;
mod letters;
mod mending;
mod naively;
mod numbers;
mod one;
mod reading;
mod report;
mod share;
mod telling;
mod whole;

pub(crate) use anew::{Anew, Folded};
pub use difference::{Difference, Part};
pub use digests::{Report, Stored, verify};
pub use fates::Apart;
pub use lanes::{Lanes, Records};
pub use one::{Extent, License, LicenseReport, verify_license};
pub use report::WholeReport;
pub(crate) use share::Share;
pub use whole::{Progress, Way, Whole, verify_whole};
