//! Which build this is.

/// The name of the product.
pub const NAME: &str = "licenseflow";

/// The release.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");
