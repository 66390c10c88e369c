//! Whether this process can be relied on now, as far as only the binary can say it.

pub use licenseflow_runtime::http::Check;

/// What the roles of this process say of themselves: brokers reached, partitions assigned and moving
/// where the role has them. The store is asked by the query API itself. Must answer at once.
pub trait Readiness: Send + Sync {
    /// Every check of this process.
    fn checks(&self) -> Vec<Check>;
}
