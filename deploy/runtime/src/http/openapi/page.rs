//! `/openapi.json` and `/docs`: the document, and Swagger UI over it. All that the page needs is in the
//! binary, and a browser is told to ask no other host.

use std::sync::Arc;

use axum::Router;
use axum::extract::Path;
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use utoipa::openapi::OpenApi;
use utoipa_swagger_ui::Config;

use crate::http::Problem;

/// The page; addresses are relative, so that it works behind a prefix too.
const PAGE: &str = r#"<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Licenseflow: the API</title>
<link rel="stylesheet" href="docs/swagger-ui.css">
<link rel="icon" type="image/png" href="docs/favicon-32x32.png">
</head>
<body>
<div id="api"></div>
<script src="docs/swagger-ui-bundle.js"></script>
<script src="docs/begin.js"></script>
</body>
</html>
"#;

/// Begins the page. No validator: it would be another host.
const BEGIN: &str = r##"SwaggerUIBundle({
  url: "openapi.json",
  dom_id: "#api",
  deepLinking: true,
  docExpansion: "list",
  validatorUrl: null,
});
"##;

/// The files of Swagger UI that the page names.
const FILES: [&str; 3] = [
    "swagger-ui.css",
    "swagger-ui-bundle.js",
    "favicon-32x32.png",
];

/// What a browser may do on the page: ask this host, and nothing else. Swagger UI sets styles and has
/// images in itself.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; \
    img-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// The routes of the document and its page.
pub(super) fn router(document: &OpenApi) -> Router {
    let document: Arc<str> = text(document).into();
    let json = [(header::CONTENT_TYPE, "application/json")];
    let document = move || std::future::ready((json, document.to_string()));
    Router::new()
        .route("/openapi.json", get(document))
        .route("/docs", get(page))
        .route("/docs/{file}", get(file))
}

/// The document as it is served: members sorted, each on a line of its own.
pub fn text(document: &OpenApi) -> String {
    let value = serde_json::to_value(document).unwrap_or_else(|error| {
        tracing::error!(%error, "the description cannot be written");
        serde_json::Value::Null
    });
    format!("{value:#}\n")
}

async fn page() -> Response {
    of_type("text/html; charset=utf-8", PAGE)
}

async fn file(Path(name): Path<String>) -> Response {
    if name == "begin.js" {
        return of_type("text/javascript", BEGIN);
    }
    let known = FILES.contains(&name.as_str());
    let config = || Arc::new(Config::new(["openapi.json"]));
    let found = known.then(|| utoipa_swagger_ui::serve(&name, config()));
    match found {
        Some(Ok(Some(file))) => {
            let media_type = file.content_type.clone();
            of_type(&media_type, file.bytes.into_owned())
        }
        Some(Ok(None) | Err(_)) | None => {
            let problem = Problem::new(StatusCode::NOT_FOUND, "not_found");
            problem.detail("the page has no such file").into_response()
        }
    }
}

fn of_type(media_type: &str, body: impl IntoResponse) -> Response {
    let mut response = body.into_response();
    let headers = response.headers_mut();
    for (name, value) in [
        (header::CONTENT_TYPE, media_type),
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::CACHE_CONTROL, "no-cache"),
    ] {
        set(headers, name, value);
    }
    response
}

fn set(headers: &mut axum::http::HeaderMap, name: HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        headers.insert(name, value);
    }
}
