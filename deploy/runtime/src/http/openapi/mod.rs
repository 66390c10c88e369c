//! The description of what a process serves, OpenAPI 3.1, and the page that shows it.
//!
//! Rooms bring [`Routes`], each described where it is handled, so that the description is of the very
//! routes that are served. Here it is completed with what [`harden`](super::harden) lays around all of
//! them, and served. What the routes of a room have alike is for the room to say.

mod around;
mod page;
mod process;
pub mod words;

use axum::Router;
use utoipa::openapi::{Info, OpenApi, Paths};

/// Declares a type that stands for a schema of its name.
pub use crate::openapi_word;
pub use page::text;
/// Routes and their description.
pub use utoipa_axum::router::OpenApiRouter as Routes;

const ABOUT: &str = "Licenses as streams of events: what is sent to the intake is folded to what the \
query API answers, and a position leads from one to the other. Members may be added to any answer; none \
is renamed or dropped.";

/// The router of these routes, with their description at `/openapi.json` and its page at `/docs`.
pub fn served(routes: Routes) -> Router {
    let (router, parts) = routes.split_for_parts();
    router.merge(page::router(&document([parts])))
}

/// The description of a process that serves these parts beside what every process serves.
pub fn document(parts: impl IntoIterator<Item = OpenApi>) -> OpenApi {
    let mut document = nothing();
    document.info.description = Some(ABOUT.to_owned());
    document.merge(process::described());
    for part in parts {
        document.merge(part);
    }
    around::lay(&mut document);
    document
}

/// The description of nothing yet.
pub fn nothing() -> OpenApi {
    let info = Info::new("Licenseflow", env!("CARGO_PKG_VERSION"));
    OpenApi::new(info, Paths::new())
}
