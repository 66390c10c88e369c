//! The description of the intake: what a client may send in each form, and what it is told.

use licenseflow_avro::event::EventKind;
use licenseflow_avro::json::CLOUDEVENTS_TYPE_PREFIX;
use licenseflow_avro::json::schema::{data, envelope};
use licenseflow_runtime::http::openapi::openapi_word;
use licenseflow_runtime::http::openapi::words::{
    ID_PATTERN, add_header, certain, header, named, optional, problem, reference, retry_after,
    schema,
};
use serde_json::{Map, Value, json};
use utoipa::openapi::path::{Operation, Parameter, ParameterIn};
use utoipa::openapi::request_body::{RequestBody, RequestBodyBuilder};
use utoipa::openapi::tag::TagBuilder;
use utoipa::openapi::{
    Components, Content, ContentBuilder, OpenApi, RefOr, Required, Response, ResponseBuilder,
    Schema,
};

/// The tag of the intake.
pub(super) const INTAKE: &str = "intake";

/// The problems of a request as a whole: status and words.
const PROBLEMS: [(&str, &str); 5] = [
    (
        "400",
        "A header is malformed (`invalid_tenant`, `invalid_priority`, `invalid_header`), the body is empty \
         (`empty_body`) or broken off (`broken_body`), or one event or the array is no JSON (`bad_json`).",
    ),
    (
        "413",
        "`request_too_large`, `too_many_events`, `event_too_large`, `record_too_large`: nothing was taken.",
    ),
    (
        "415",
        "The media type is missing or not one of these, or the body is encoded.",
    ),
    (
        "422",
        "The content of every event is at fault: `invalid_event`, `unknown_type`, `tenant_mismatch`, \
         `occurred_at_in_future`, `bad_json`; of many `no_event_taken`, with a problem for each in `receipts`.",
    ),
    (
        "503",
        "The brokers have not acknowledged (`brokers_away`, `not_acknowledged` and the like; of many \
         `no_event_acknowledged`), or too much is going on here (`too_busy`, `too_many_connections`). Where \
         `outcome` is `unknown` an event may have arrived: send it again with its `event_id` and `occurred_at`.",
    ),
];

fn of(name: &str) -> Value {
    json!({ "$ref": format!("#/components/schemas/{name}") })
}

fn data_name(kind: EventKind) -> String {
    format!("{}Data", kind.name())
}

openapi_word!(
    /// An event as a client may send it.
    EventToSend,
    json!({
        "description": "An event. `event_id` makes it safe to send again; `occurred_at` may be said only \
                        together with it. What is left out is set here, times rising from line to line.",
        "oneOf": EventKind::ALL.map(|kind| of(kind.name())),
        "discriminator": { "propertyName": "type" },
    })
);

openapi_word!(
    /// A CloudEvent as a client may send it.
    CloudEventToSend,
    json!({
        "description": "A CloudEvent 1.0 in structured mode: `id` is the event's id, `subject` the license, \
                        `time` when it occurred.",
        "oneOf": EventKind::ALL.map(cloud_event),
    })
);

openapi_word!(
    /// That the brokers have an event.
    Receipt,
    json!({
        "type": "object",
        "description": "The brokers have the event, at this place of the log.",
        "properties": {
            "event_id": of("EventId"),
            "topic": { "type": "string" },
            "partition": { "type": "integer", "minimum": 0 },
            "offset": { "type": "integer", "minimum": 0 },
        },
        "required": ["event_id", "topic", "partition", "offset"],
    })
);

openapi_word!(
    /// Why one event of many was not taken.
    LineProblem,
    json!({
        "type": "object",
        "description": "Why the event in this place was not taken.",
        "properties": {
            "type": { "type": "string", "format": "uri-reference" },
            "title": { "type": "string" },
            "status": { "enum": [413, 422, 503] },
            "code": { "type": "string", "pattern": "^[a-z][a-z_]*$" },
            "detail": { "type": "string" },
            "pointer": { "type": "string", "pattern": "^/[0-9]+$", "description": "Its place." },
            "outcome": of("Outcome"),
            "event_id": of("EventId"),
            "occurred_at": of("Time"),
            "errors": { "type": "array", "items": of("FieldProblem") },
        },
        "required": ["type", "title", "status", "code", "detail", "pointer", "outcome"],
    })
);

openapi_word!(
    /// What became of an event without a receipt.
    Outcome,
    json!({
        "type": "string",
        "enum": ["refused", "unknown"],
        "description": "`refused`: it did not arrive. `unknown`: it may have arrived; sent again with the \
                        same `event_id` and `occurred_at`, as the problem returns them, it counts once.",
    })
);

openapi_word!(
    /// The answer where some event has a receipt.
    Taken,
    taken(of("Receipt"))
);

openapi_word!(
    /// The answer where some have one, and others not.
    TakenInPart,
    taken(json!({ "oneOf": [of("Receipt"), of("LineProblem")] }))
);

openapi_word!(
    /// A problem of the intake.
    IntakeProblem,
    json!({
        "allOf": [of("Problem")],
        "properties": {
            "outcome": of("Outcome"),
            "event_id": of("EventId"),
            "occurred_at": of("Time"),
            "receipts": {
                "type": "array",
                "items": of("LineProblem"),
                "description": "Of many, the problem of each in their order.",
            },
        },
    })
);

fn taken(line: Value) -> Value {
    json!({
        "type": "object",
        "properties": {
            "request_id": of("RequestIdText"),
            "receipts": {
                "type": "array",
                "items": line,
                "minItems": 1,
                "description": "One for each event, in their order.",
            },
            "position": {
                "$ref": "#/components/schemas/PositionText",
                "description": "For `X-Min-Position` of the query API: the answer then has these events.",
            },
            "_links": {
                "type": "object",
                "properties": {
                    "status": {
                        "type": "object",
                        "properties": { "href": { "type": "string", "format": "uri-reference" } },
                        "required": ["href"],
                    },
                },
                "required": ["status"],
            },
        },
        "required": ["request_id", "receipts", "position", "_links"],
    })
}

/// An event of this type in our own form.
fn event(kind: EventKind) -> Value {
    let mut properties = envelope();
    properties.insert("type".to_owned(), json!({ "const": kind.name() }));
    properties.insert("data".to_owned(), of(&data_name(kind)));
    json!({
        "type": "object",
        "properties": properties,
        "required": ["license_id", "type", "data"],
        "dependentRequired": { "occurred_at": ["event_id"] },
        "additionalProperties": false,
    })
}

/// A CloudEvent of this type.
fn cloud_event(kind: EventKind) -> Value {
    let mut ours = envelope();
    let mut take = |name: &str| ours.remove(name).unwrap_or_default();
    let mut properties = Map::new();
    for (name, words) in [
        ("specversion", json!({ "const": "1.0" })),
        ("id", take("event_id")),
        ("source", take("source")),
        ("subject", take("license_id")),
        ("time", take("occurred_at")),
        ("tenantid", take("tenant_id")),
        ("actor", take("actor")),
        (
            "type",
            json!({ "const": format!("{CLOUDEVENTS_TYPE_PREFIX}{}", kind.name()) }),
        ),
        ("datacontenttype", json!({ "enum": ["application/json"] })),
        ("data", of(&data_name(kind))),
    ] {
        properties.insert(name.to_owned(), words);
    }
    json!({
        "type": "object",
        "properties": properties,
        "required": ["specversion", "id", "source", "subject", "time", "type", "data"],
        "propertyNames": { "pattern": "^[a-z0-9]+$" },
        "additionalProperties": { "type": "string" },
    })
}

/// Completes the description of the intake.
pub(super) fn lay(document: &mut OpenApi) {
    let tag = TagBuilder::new().name(INTAKE);
    let about = "Where events are sent to. Any Kafka client may write them to the log as well.";
    document.tags = Some(vec![tag.description(Some(about)).build()]);
    let components = document.components.get_or_insert_with(Components::new);
    for kind in EventKind::ALL {
        let schemas = &mut components.schemas;
        schemas.insert(kind.name().to_owned(), schema(event(kind)));
        schemas.insert(data_name(kind), schema(data(kind)));
    }
    components.schemas.extend([
        named::<CloudEventToSend>(),
        named::<EventToSend>(),
        named::<IntakeProblem>(),
        named::<LineProblem>(),
        named::<Outcome>(),
        named::<Receipt>(),
        named::<Taken>(),
        named::<TakenInPart>(),
    ]);
    for item in document.paths.paths.values_mut() {
        if let Some(post) = &mut item.post {
            describe(post);
        }
    }
}

fn describe(post: &mut Operation) {
    let parameters = post.parameters.get_or_insert_default();
    parameters.extend(headers().map(Into::into));
    post.request_body = Some(body().into());
    let responses = &mut post.responses.responses;
    let all = "Every event has its receipt: the brokers have it, in all replicas that are in sync.";
    let some = "Of many events some have a receipt; the others have a problem in their place.";
    for (status, about, body, is_in_part) in [
        ("202", all, reference::<Taken>(), false),
        ("207", some, reference::<TakenInPart>(), true),
    ] {
        let answer = receipts(about, body, is_in_part);
        responses.insert(status.to_owned(), answer.into());
    }
    for (status, words) in PROBLEMS {
        let body = content(reference::<IntakeProblem>());
        let media_type = licenseflow_runtime::http::problem::MEDIA_TYPE;
        let mut answer = problem(words).content(media_type, body).build();
        if status == "503" {
            add_header(&mut answer, "Retry-After", certain(retry_after()));
        }
        if status == "413" {
            add_header(&mut answer, "Retry-After", retry_after());
        }
        responses.insert(status.to_owned(), answer.into());
    }
}

fn receipts(about: &str, body: RefOr<Schema>, is_in_part: bool) -> Response {
    let answer = ResponseBuilder::new().description(about);
    let mut answer = answer.content("application/json", content(body)).build();
    let place = json!({ "type": "string", "format": "uri-reference", "examples": ["/v1/requests/order-1"] });
    let place = header("The journey of the request, at the query API.", place);
    add_header(&mut answer, "Location", certain(place));
    if is_in_part {
        add_header(&mut answer, "Retry-After", retry_after());
    }
    answer
}

fn content(body: RefOr<Schema>) -> Content {
    ContentBuilder::new().schema(Some(body)).build()
}

/// What a request says beside its body.
fn headers() -> impl Iterator<Item = Parameter> {
    let id = json!({ "type": "string", "pattern": ID_PATTERN, "maxLength": 128 });
    let lane =
        json!({ "type": "string", "enum": ["bulk", "interactive"], "default": "interactive" });
    let trace = json!({ "type": "string", "maxLength": 256 });
    let text = || json!({ "type": "string" });
    let own = [
        (
            "X-Tenant-Id",
            "The tenant of events that name none; one that names another is refused.",
            id,
        ),
        (
            "X-Priority",
            "`bulk`: an import, which yields to other events.",
            lane,
        ),
        ("traceparent", "W3C's; goes with the events.", trace.clone()),
        ("tracestate", "W3C's; goes with the events.", trace),
    ];
    let cloud = [
        (
            "ce-specversion",
            "CloudEvents in binary mode: attributes are headers, percent-encoded, and the \
            `application/json` body is the data alone.",
        ),
        ("ce-id", "The event's id."),
        ("ce-source", "The service that says it."),
        ("ce-type", "`licenseflow.v1.` and the type."),
        ("ce-subject", "The license."),
        ("ce-time", "When it occurred."),
        ("ce-tenantid", "The tenant."),
        ("ce-actor", "On whose behalf."),
    ];
    let cloud = cloud.map(|(name, about)| (name, about, text()));
    let all = own.into_iter().chain(cloud);
    all.map(|(name, about, words)| optional(ParameterIn::Header, name, about, words))
}

fn body() -> RequestBody {
    let one = || {
        json!({
            "license_id": "lic-1",
            "type": "LicenseIssued",
            "data": {
                "customer_id": "cust-1",
                "product_id": "editor",
                "plan": "team",
                "seats": 5,
                "valid_from": "2026-01-01T00:00:00Z",
            },
        })
    };
    let event = of("EventToSend");
    let datas = EventKind::ALL.map(|kind| of(&data_name(kind)));
    let binary =
        json!({ "anyOf": datas, "description": "The data of a CloudEvent in binary mode." });
    let many =
        |item: Value| json!({ "type": "array", "items": item, "minItems": 1, "maxItems": 10_000 });
    let forms = [
        (
            "application/json",
            json!({ "anyOf": [event.clone(), many(event), binary] }),
            one(),
        ),
        (
            "application/x-ndjson",
            json!({ "type": "string", "description": "One `EventToSend` a line; blank lines are none." }),
            json!(format!("{}\n", one())),
        ),
        (
            "application/cloudevents+json",
            of("CloudEventToSend"),
            cloud_example(),
        ),
        (
            "application/cloudevents-batch+json",
            many(of("CloudEventToSend")),
            json!([cloud_example()]),
        ),
    ];
    let body = RequestBodyBuilder::new()
        .description(Some("One event or many. Of many, each stands alone."))
        .required(Some(Required::True));
    let body = forms
        .into_iter()
        .fold(body, |body, (media_type, words, example)| {
            let content = ContentBuilder::new().schema(Some(schema(words)));
            body.content(media_type, content.example(Some(example)).build())
        });
    body.build()
}

fn cloud_example() -> Value {
    json!({
        "specversion": "1.0",
        "id": "0198e2f4-7c1a-7c3e-9a64-2f7a30c1d001",
        "source": "shop",
        "type": "licenseflow.v1.DeviceActivated",
        "subject": "lic-1",
        "time": "2026-01-31T10:00:00Z",
        "data": { "device_id": "laptop-1" },
    })
}
