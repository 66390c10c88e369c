//! Generations as JSON.

use licenseflow_core::contract::{Offset, PartitionId, Position, Topics};
use licenseflow_runtime::http::openapi::words::{Id, PositionText, Time};
use licenseflow_store::generations::{Different, Gate, Made, Number, Wish};
use licenseflow_store::loading::Loading;
use licenseflow_store::progress::{Partition, Progress, Standing};
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use super::words::{LIST, ReplayFrom, ReplayStateName, ReplayWishName, RowOfGate};
use crate::links::Links;
use crate::openapi::LinksByRelation;
use crate::shapes::time_ms;

/// All generations.
#[derive(Serialize, ToSchema)]
pub(crate) struct ReplayList {
    /// The number of the one that readers see.
    #[schema(value_type = i64, minimum = 1)]
    live: Number,
    /// The live one, and the others in the order of their numbers.
    items: Vec<ReplayShape>,
    #[schema(value_type = LinksByRelation)]
    _links: Links,
}

/// A generation: one complete build of the read models.
#[derive(Serialize, ToSchema)]
#[schema(as = Replay)]
pub(crate) struct ReplayShape {
    #[schema(value_type = i64, minimum = 1)]
    generation: Number,
    /// Whether readers see it.
    is_live: bool,
    #[schema(value_type = ReplayStateName)]
    state: &'static str,
    /// The version of the fold that builds it.
    fold: i64,
    #[schema(value_type = ReplayFrom)]
    from: FromShape,
    /// Null: it was there from the beginning.
    #[schema(required = true, value_type = Option<Time>)]
    begun_at: Option<String>,
    /// Where it stands; null: nothing is stored of it yet.
    #[schema(required = true, value_type = Option<PositionText>)]
    position: Option<Position>,
    #[schema(inline)]
    partitions: Vec<PartitionShape>,
    /// How many offsets it has gone through since it began.
    #[schema(minimum = 0)]
    records_done: i64,
    /// How far it is behind the ends that are known; null: none is.
    #[schema(required = true, minimum = 0)]
    lag_events: Option<i64>,
    /// How far it puts what it has read in its place; null: all is there.
    #[schema(required = true)]
    loading: Option<LoadingShape>,
    is_paused: bool,
    /// So many records a second are read for it at most.
    #[schema(required = true, minimum = 1)]
    records_per_second: Option<u32>,
    /// It waits while the live one is further behind than so many milliseconds.
    #[schema(required = true, minimum = 1)]
    live_lag_max_ms: Option<i64>,
    #[schema(value_type = ReplayWishName)]
    wish: Wish,
    /// Why it did not go on when that was last tried, in words.
    #[schema(required = true)]
    trouble: Option<String>,
    /// The last comparison with the live one.
    #[schema(required = true)]
    gate: Option<GateShape>,
    /// When it stopped being the live one; null: it is, or never was.
    #[schema(required = true, value_type = Option<Time>)]
    was_live_until: Option<String>,
    #[schema(value_type = LinksByRelation)]
    _links: Links,
}

/// A generation that is built reads first, and then loads what it has read, license by license.
#[derive(Serialize, ToSchema)]
#[schema(as = ReplayLoading)]
pub(crate) struct LoadingShape {
    /// So many shares of licenses it has put aside.
    collected: u64,
    /// So many of these are in their place.
    loaded: u64,
}

/// Which records a generation is made of.
#[derive(Serialize)]
#[serde(rename_all = "snake_case")]
enum FromShape {
    Beginning,
    Position(Position),
}

/// How far a generation is in a partition.
#[derive(Serialize, ToSchema)]
struct PartitionShape {
    topic: String,
    #[schema(value_type = i32, minimum = 0)]
    partition: PartitionId,
    /// Where it began.
    #[schema(value_type = i64, minimum = 0)]
    begin: Offset,
    /// The next offset to read.
    #[schema(value_type = i64, minimum = 0)]
    next_offset: Offset,
    /// The end of the partition when any generation last saw it; null: none has.
    #[schema(required = true, value_type = Option<i64>, minimum = 0)]
    end_offset: Option<Offset>,
    #[schema(required = true, minimum = 0)]
    lag_events: Option<i64>,
}

/// What a comparison with the live generation gave, both at one position.
#[derive(Serialize, ToSchema)]
#[schema(as = ReplayGate)]
pub(crate) struct GateShape {
    /// The number of the one that was live then.
    #[schema(value_type = i64, minimum = 1)]
    with: Number,
    #[schema(value_type = Time)]
    at: String,
    #[schema(value_type = PositionText)]
    position: Position,
    /// Whether all rows and all fates are the same.
    is_equal: bool,
    /// How many licenses differ.
    #[schema(minimum = 0)]
    licenses: u64,
    /// The first of them.
    #[schema(inline)]
    differences: Vec<DifferentShape>,
    /// How many records have another fate: rejected or waiting in one, and not in the other.
    #[schema(minimum = 0)]
    fates: u64,
    /// The first of them, in words.
    fates_that_differ: Vec<String>,
}

/// A license that differs.
#[derive(Serialize, ToSchema)]
struct DifferentShape {
    #[schema(value_type = Id)]
    tenant_id: String,
    #[schema(value_type = Id)]
    license_id: String,
    /// Its rows in the live generation that the other has not.
    #[schema(value_type = Vec<RowOfGate>)]
    live: Vec<Value>,
    /// Its rows in the other that the live one has not.
    #[schema(value_type = Vec<RowOfGate>)]
    next: Vec<Value>,
    /// Where its first events lie, as topic:partition:offset.
    events: Vec<String>,
}

/// All generations, with what can be done next.
pub(super) fn list(all: &[Progress], topics: &Topics) -> ReplayList {
    let live = all.iter().find(|it| it.is_live);
    let others = || all.iter().filter(|it| !it.is_live);
    let was_live = |it: &Progress| it.generation.was_live_until.is_some();
    let mut links = Links::itself(LIST);
    if others().all(was_live) {
        links = links.and_post("begin", LIST);
    }
    if others().any(was_live) {
        links = links.and_post("rollback", format!("{LIST}/rollback"));
    }
    ReplayList {
        live: live.map_or(0, |it| it.generation.number),
        items: all.iter().map(|it| replay(it, topics)).collect(),
        _links: links,
    }
}

/// A generation, with what can be done next.
pub(super) fn replay(of: &Progress, topics: &Topics) -> ReplayShape {
    shape(of, topics, links(of))
}

/// A generation as it was before it was struck out.
pub(super) fn struck(of: &Progress, topics: &Topics) -> ReplayShape {
    shape(of, topics, Links::default().and("replays", LIST))
}

/// The address of a generation.
pub(super) fn address(number: Number) -> String {
    format!("{LIST}/{number}")
}

fn links(of: &Progress) -> Links {
    let generation = &of.generation;
    let itself = address(generation.number);
    let links = Links::itself(&*itself);
    if of.is_live {
        return links;
    }
    let and = |links: Links, deed: &'static str| links.and_post(deed, format!("{itself}/{deed}"));
    let pause = match generation.is_paused {
        true => "resume",
        false => "pause",
    };
    let (is_whole, was_live) = (
        generation.of == Made::Whole,
        generation.was_live_until.is_some(),
    );
    let deeds: &[&'static str] = match (was_live, is_whole) {
        (true, _) => &["compare", "rollback", "drop"],
        (false, true) => &["compare", "switch", "cancel"],
        // What it has not read the live one has, so that there is nothing to compare.
        (false, false) => &["cancel"],
    };
    let links = and(links, pause);
    deeds.iter().fold(links, |links, deed| and(links, deed))
}

fn shape(of: &Progress, topics: &Topics, links: Links) -> ReplayShape {
    let generation = &of.generation;
    let standing = of.standing.as_ref();
    let partitions = standing.map_or(&[][..], |it| &it.partitions);
    let is_known = partitions.iter().any(|it| it.end_offset.is_some());
    let begun_at = Some(generation.begun_at).filter(|at| *at > 0);
    ReplayShape {
        generation: generation.number,
        is_live: of.is_live,
        state: of.state().name(),
        fold: generation.fold,
        from: match &generation.of {
            Made::Whole => FromShape::Beginning,
            Made::Part { begin } => FromShape::Position(begin.clone()),
        },
        begun_at: begun_at.map(time_ms),
        position: standing.map(|it| it.position.clone()),
        partitions: partitions.iter().map(|it| partition(it, topics)).collect(),
        records_done: standing.map_or(0, Standing::done),
        lag_events: standing.filter(|_| is_known).map(Standing::behind),
        loading: standing.and_then(|it| it.loading).map(loading),
        is_paused: generation.is_paused,
        records_per_second: generation.records_per_second,
        live_lag_max_ms: generation.live_lag_max_ms,
        wish: generation.wish,
        trouble: generation.trouble.clone(),
        gate: generation.gate.as_ref().map(gate),
        was_live_until: generation.was_live_until.map(time_ms),
        _links: links,
    }
}

fn partition(it: &Partition, topics: &Topics) -> PartitionShape {
    PartitionShape {
        topic: topics.lane(it.lane),
        partition: it.partition,
        begin: it.begin,
        next_offset: it.next_offset,
        end_offset: it.end_offset,
        // The end was seen some time ago, and may have been gone past since.
        lag_events: it.end_offset.map(|end| (end - it.next_offset).max(0)),
    }
}

fn loading(it: Loading) -> LoadingShape {
    LoadingShape {
        collected: it.collected,
        loaded: it.loaded,
    }
}

fn gate(it: &Gate) -> GateShape {
    GateShape {
        with: it.with,
        at: time_ms(it.at),
        position: it.position.clone(),
        is_equal: it.is_equal,
        licenses: it.licenses,
        differences: it.differences.iter().map(different).collect(),
        fates: it.fates,
        fates_that_differ: it.fates_that_differ.clone(),
    }
}

fn different(it: &Different) -> DifferentShape {
    // A row that is no canonical JSON is shown as it was noted.
    let row = |text: &String| serde_json::from_str(text).unwrap_or_else(|_| text.clone().into());
    DifferentShape {
        tenant_id: it.tenant_id.clone(),
        license_id: it.license_id.clone(),
        live: it.live.iter().map(row).collect(),
        next: it.next.iter().map(row).collect(),
        events: it.events.clone(),
    }
}
