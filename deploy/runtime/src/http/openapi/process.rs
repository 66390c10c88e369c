//! What every process serves: whether it is alive and ready, its numbers, and this description.

use serde_json::{Value, json};
use utoipa::openapi::path::{HttpMethod, OperationBuilder, PathItem};
use utoipa::openapi::tag::TagBuilder;
use utoipa::openapi::{ContentBuilder, OpenApi, Response, ResponseBuilder};

use super::nothing;
use super::words::{add_header, certain, path, problem, retry_after, schema};

/// The tag of these routes.
const PROCESS: &str = "process";

const HTML: &str = "text/html; charset=utf-8";

pub(super) fn described() -> OpenApi {
    let mut part = nothing();
    let tag = TagBuilder::new().name(PROCESS);
    let tag = tag.description(Some(
        "Whether the process is alive and ready, its numbers, and this document.",
    ));
    part.tags = Some(vec![tag.build()]);
    for (path, operation) in [
        ("/healthz", alive()),
        ("/readyz", ready()),
        ("/metrics", metrics()),
        ("/openapi.json", document()),
        ("/docs", page()),
        ("/docs/{file}", file()),
    ] {
        let item = PathItem::new(HttpMethod::Get, operation.tag(PROCESS));
        part.paths.paths.insert(path.to_owned(), item);
    }
    part
}

fn get(id: &str, summary: &str, answer: Response) -> OperationBuilder {
    OperationBuilder::new()
        .operation_id(Some(id))
        .summary(Some(summary))
        .response("200", answer)
}

fn answer(description: &str, media_type: &str, words: Value) -> Response {
    let content = ContentBuilder::new().schema(Some(schema(words))).build();
    let answer = ResponseBuilder::new().description(description);
    answer.content(media_type, content).build()
}

fn alive() -> OperationBuilder {
    let words = json!({
        "type": "object",
        "properties": { "alive": { "const": true } },
        "required": ["alive"],
    });
    let answer = answer("It answers.", "application/json", words);
    get("alive", "Is the process alive?", answer)
}

fn ready() -> OperationBuilder {
    let words = json!({
        "type": "object",
        "properties": {
            "ready": { "const": true },
            "checks": {
                "type": "array",
                "items": {
                    "type": "object",
                    "properties": {
                        "name": { "type": "string", "examples": ["store"] },
                        "ready": { "type": "boolean" },
                        "problem": { "type": ["string", "null"], "description": "Why it does not hold." },
                    },
                    "required": ["name", "ready", "problem"],
                },
            },
        },
        "required": ["ready", "checks"],
    });
    let answer = answer("Every check holds.", "application/json", words);
    let mut not_ready = problem(
        "`not_ready`: a check does not hold; `checks` says which and why. Or `too_many_connections`.",
    )
    .build();
    add_header(&mut not_ready, "Retry-After", certain(retry_after()));
    get("ready", "Can the process be relied on?", answer).response("503", not_ready)
}

fn metrics() -> OperationBuilder {
    let media_type = "text/plain; version=0.0.4; charset=utf-8";
    let answer = answer("The numbers.", media_type, json!({ "type": "string" }));
    get("metrics", "Numbers for Prometheus", answer)
}

fn document() -> OperationBuilder {
    let words = json!({
        "type": "object",
        "properties": { "openapi": { "type": "string", "pattern": "^3\\.1\\." } },
        "required": ["openapi", "info", "paths"],
        "additionalProperties": true,
    });
    let answer = answer("The document.", "application/json", words);
    get("document", "This document, as OpenAPI 3.1", answer)
}

fn page() -> OperationBuilder {
    let answer = answer("The page.", HTML, json!({ "type": "string" }));
    get("page", "This document as a page", answer)
}

fn file() -> OperationBuilder {
    let words = json!({ "type": "string", "minLength": 1, "examples": ["swagger-ui.css"] });
    let any = || ContentBuilder::new().build();
    let files = ResponseBuilder::new()
        .description("The file.")
        .content("text/css", any())
        .content("text/javascript", any())
        .content("image/png", any())
        .build();
    get("pageFile", "A file of the page", files)
        .parameter(path("file", "The file's name.", words))
        .response("400", problem("The name cannot be read.").build())
        .response(
            "404",
            problem("`not_found`: the page has no such file.").build(),
        )
}
