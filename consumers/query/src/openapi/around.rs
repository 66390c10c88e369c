//! What every route of `/v1` has alike: the tenant, how fresh the answer must be and says that it is,
//! and the errors of that.

use licenseflow_core::contract::EventKind;
use licenseflow_core::contract::json::schema::data;
use licenseflow_runtime::http::openapi::words::{
    ID_PATTERN, POSITION_PATTERN, add_header, certain, header, named, optional, problem,
    retry_after, schema,
};
use serde_json::json;
use utoipa::openapi::header::Header;
use utoipa::openapi::path::{Operation, Parameter, ParameterIn};
use utoipa::openapi::tag::{Tag, TagBuilder};
use utoipa::openapi::{Components, OpenApi, Ref, RefOr, Response, ResponseBuilder, Schema};
use utoipa::{PartialSchema, ToResponse, ToSchema};

use super::lists::{
    Batch, BatchAsked, DeviceList, EventList, Journey, LicenseAnswer, LicenseList,
    LicenseWithParts, MetricList, SparseLicense, Stats,
};
use super::words::{
    CountsByType, EventType, LifecycleName, Link, LinksByRelation, ReasonName, StatusName,
    data_name,
};
use super::{CUSTOMERS, FRESHNESS, LICENSES};
use crate::push::STREAM;
use crate::shapes;

/// Errors of any route: status, name, words.
const ERRORS: [(&str, &str, &str); 5] = [
    (
        "400",
        "BadRequest",
        "`unknown_parameter`, `invalid_parameter`, `invalid_header`, `invalid_tenant`, \
        `unknown_partition` and the like: something in path, query string or headers cannot be taken.",
    ),
    (
        "412",
        "Stale",
        "`stale`: the read model is not as fresh as asked, and `X-On-Stale` is `fail`. \
        `position` and `lag_ms` say where it is.",
    ),
    (
        "500",
        "StoreBroken",
        "`internal`: an error of the service; its log knows it by the request's id.",
    ),
    (
        "503",
        "StoreAway",
        "`store_away`, `store_busy`, `too_many_waiters`, `too_many_connections`, `too_many_streams`, \
        `stopping`: try again.",
    ),
    (
        "504",
        "StillStale",
        "`still_stale`: the read model did not become as fresh as asked in `X-Wait-Ms`; \
        `position` and `lag_ms` say where it is. `timeout`: the answer took too long.",
    ),
];

const NOT_FOUND: &str = "`license_not_found`, `customer_not_found`, `request_not_found`, `no_event_by_then`: \
    there is none for this tenant, or it was not read yet: `X-Min-Position` waits for it. `not_found`: no \
    such path.";

/// Completes the description of the query API.
pub(crate) fn lay(document: &mut OpenApi) {
    document.tags = Some(vec![
        tag(
            LICENSES,
            "Licenses with their devices, usage and timeline; as they are, were, or were known.",
        ),
        tag(CUSTOMERS, "Customers, and the tenant as a whole."),
        tag(
            FRESHNESS,
            "What became of a request, and how far the read model is.",
        ),
    ]);
    let components = document.components.get_or_insert_with(Components::new);
    add_schemas(components);
    let not_found = [("404", "NotFound", NOT_FOUND)];
    for (status, name, words) in ERRORS.into_iter().chain(not_found) {
        let mut response = problem(words).build();
        if status == "503" {
            add_header(&mut response, "Retry-After", certain(retry_after()));
        }
        say_where_read(&mut response, false);
        components
            .responses
            .insert(name.to_owned(), response.into());
    }
    for (path, item) in &mut document.paths.paths {
        if let Some(get) = &mut item.get {
            around(get, path);
            if path == STREAM {
                never_kept(get);
                continue;
            }
            get.responses
                .responses
                .insert("304".to_owned(), unchanged().into());
            let known = json!({ "type": "string", "examples": ["W/\"0123456789abcdef\""] });
            add(
                get,
                optional(
                    ParameterIn::Header,
                    "If-None-Match",
                    "The `ETag` of an answer at hand: 304 where it is still the same.",
                    known,
                ),
            );
        }
        if let Some(post) = &mut item.post {
            around(post, path);
        }
    }
}

/// A page of another origin asked for a socket.
#[derive(Debug)]
pub(crate) enum OriginNotAllowed {}

impl ToResponse<'static> for OriginNotAllowed {
    fn response() -> (&'static str, RefOr<Response>) {
        let words = "`origin_not_allowed`: a page of this origin may not open a socket.";
        ("OriginNotAllowed", problem(words).build().into())
    }
}

/// What a stream answers has no tag, and nobody keeps it.
fn never_kept(stream: &mut Operation) {
    let answer = stream.responses.responses.get_mut("200");
    if let Some(RefOr::T(answer)) = answer {
        answer.headers.remove("ETag");
        let cache = header("Nobody keeps a stream.", json!({ "const": "no-store" }));
        add_header(answer, "Cache-Control", certain(cache));
    }
}

fn tag(name: &str, about: &str) -> Tag {
    TagBuilder::new()
        .name(name)
        .description(Some(about))
        .build()
}

fn around(operation: &mut Operation, path: &str) {
    for parameter in asked() {
        add(operation, parameter);
    }
    let responses = &mut operation.responses.responses;
    if path.contains('{') {
        let not_found = Ref::from_response_name("NotFound");
        responses.insert("404".to_owned(), not_found.into());
    }
    for (status, name, _) in ERRORS {
        let error = Ref::from_response_name(name);
        responses.insert(status.to_owned(), error.into());
    }
    for (status, response) in responses {
        let RefOr::T(response) = response else {
            continue;
        };
        say_where_read(response, status == "200");
        if status == "200" {
            add_header(response, "ETag", certain(tag_header()));
        }
    }
}

fn add(operation: &mut Operation, parameter: Parameter) {
    let parameters = operation.parameters.get_or_insert_default();
    parameters.push(parameter.into());
}

/// How a request says whose world it is about, and how fresh the answer must be.
fn asked() -> Vec<Parameter> {
    let header = |name: &str, about: &str, words| optional(ParameterIn::Header, name, about, words);
    let position =
        json!({ "type": "string", "pattern": POSITION_PATTERN, "examples": ["e:2:431"] });
    let wait = json!({ "type": "integer", "minimum": 0, "maximum": 15_000, "default": 1000 });
    vec![
        header(
            "X-Tenant-Id",
            "The tenant.",
            json!({ "type": "string", "pattern": ID_PATTERN, "maxLength": 128, "default": "default" }),
        ),
        header(
            "X-Min-Position",
            "The answer is to have all below this position: that of a receipt reads one's own write.",
            position.clone(),
        ),
        optional(
            ParameterIn::Query,
            "min_position",
            "As `X-Min-Position`; both hold.",
            position,
        ),
        header(
            "X-Max-Staleness-Ms",
            "The lag that the answer may have at most, in milliseconds.",
            json!({ "type": "integer", "minimum": 0, "maximum": u64::MAX }),
        ),
        header(
            "X-On-Stale",
            "What happens where the read model is not as fresh as asked: wait for it (then 504), fail at \
             once (412), or serve what is there, marked by `X-Stale`.",
            json!({ "type": "string", "enum": ["wait", "fail", "serve"], "default": "wait" }),
        ),
        header("X-Wait-Ms", "How long to wait for it at most.", wait),
    ]
}

/// Where the read model was when the answer was read. Where the store is away nobody knows.
fn say_where_read(response: &mut Response, always: bool) {
    let position = header(
        "Where the read model was when this was read.",
        json!({ "type": "string", "pattern": POSITION_PATTERN }),
    );
    let position = if always { certain(position) } else { position };
    add_header(response, "X-Read-Position", position);
    let lag = header(
        "Since when the end of the interactive lane was not seen applied, in milliseconds. Left out while \
         that is not known.",
        json!({ "type": "integer", "minimum": 0 }),
    );
    add_header(response, "X-Lag-Ms", lag);
    if always {
        let stale = header(
            "The read model is not as fresh as asked, and `X-On-Stale` is `serve`.",
            json!({ "const": "true" }),
        );
        add_header(response, "X-Stale", stale);
        let cache = header(
            "A copy may be kept, and is asked after each time.",
            json!({ "const": "private, no-cache" }),
        );
        add_header(response, "Cache-Control", certain(cache));
        let vary = header(
            "What else the answer depends on.",
            json!({ "type": "string" }),
        );
        add_header(response, "Vary", certain(vary));
    }
}

fn tag_header() -> Header {
    let words = json!({ "type": "string", "pattern": "^W/\"[0-9a-f]{32}\"$" });
    header("Of everything in the answer, for `If-None-Match`.", words)
}

fn unchanged() -> Response {
    let about = "The answer at hand is still the same; it is not sent again.";
    let mut response = ResponseBuilder::new().description(about).build();
    add_header(&mut response, "ETag", certain(tag_header()));
    say_where_read(&mut response, true);
    response
}

fn add_schemas(components: &mut Components) {
    for kind in EventKind::ALL {
        let words = schema(data(kind));
        components.schemas.insert(data_name(kind), words);
    }
    components.schemas.extend([
        named::<Batch>(),
        named::<BatchAsked>(),
        named::<CountsByType>(),
        named::<DeviceList>(),
        named::<EventList>(),
        named::<EventType>(),
        named::<Journey>(),
        named::<LicenseAnswer>(),
        named::<LicenseList>(),
        named::<LicenseWithParts>(),
        named::<LifecycleName>(),
        named::<Link>(),
        named::<LinksByRelation>(),
        named::<MetricList>(),
        named::<ReasonName>(),
        named::<SparseLicense>(),
        named::<Stats>(),
        named::<StatusName>(),
        named::<shapes::TimelineEvent>(),
    ]);
    let mut shapes = Vec::new();
    collect::<shapes::Customer<'_>>(&mut shapes);
    collect::<shapes::Device<'_>>(&mut shapes);
    collect::<shapes::EventsOfDay>(&mut shapes);
    collect::<shapes::EventsOfMinute>(&mut shapes);
    collect::<shapes::JourneyStep<'_>>(&mut shapes);
    collect::<shapes::License<'_>>(&mut shapes);
    collect::<shapes::Metric<'_>>(&mut shapes);
    collect::<shapes::TenantTotals<'_>>(&mut shapes);
    components.schemas.extend(shapes);
}

/// A shape with all that it refers to.
fn collect<T: ToSchema>(shapes: &mut Vec<(String, RefOr<Schema>)>) {
    shapes.push((T::name().into_owned(), <T as PartialSchema>::schema()));
    T::schemas(shapes);
}
