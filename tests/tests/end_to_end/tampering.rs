//! Changes by hand, one at a time, in each table of a read model; and how they are taken back.

use std::fmt::Write as _;

use licenseflow_tests::harness::Platform;
use tokio::runtime::Handle;
use tokio_postgres::{Client, NoTls};

/// What a change is found as.
pub(crate) enum Changed {
    /// The license that it says, in this part.
    License(&'static str),
    /// A number or a digest, in this part.
    Number(&'static str),
}

/// A change.
pub(crate) struct Tampered {
    pub(crate) what: &'static str,
    pub(crate) by: Change,
    pub(crate) changed: Changed,
}

/// The SQL of a change: first which license it is about, then what is done about it. `{l}` is its number, `{id}`
/// its id, `{offset}` the offset's column, `{x…}` bytes in hexadecimal.
pub(crate) struct Change {
    which: &'static str,
    does: &'static str,
}

fn license(
    what: &'static str,
    part: &'static str,
    which: &'static str,
    does: &'static str,
) -> Tampered {
    Tampered {
        what,
        by: Change { which, does },
        changed: Changed::License(part),
    }
}

fn number(what: &'static str, part: &'static str, does: &'static str) -> Tampered {
    Tampered {
        what,
        by: Change { which: ANY, does },
        changed: Changed::Number(part),
    }
}

/// One that no letter names, so that what is done to it changes it alone; two events decided it, so that one can be
/// taken for the other.
const ANY: &str =
    "select min(license_id) from license where plan is not null and customer_by <> first_by
    and not exists (select 1 from rejected where rejected.license = license.number)";
const WITH_DEVICE: &str =
    "select license_id from license where number = (select min(license) from device)";
const WITH_USAGE: &str =
    "select license_id from license where number = (select min(license) from usage)";
const WITH_VOIDS: &str =
    "select min(license_id) from license where voids is not null and event_count < 400";
const LONG: &str =
    "select min(license_id) from license where event_count > 500 and voids is not null";
const WITH_CONFLICT: &str = "select license_id from license
    where number = (select min(license) from rejected where event_id is not null)";
/// A record at fault that names a license.
const POISONED: &str =
    "select min(license_id) from rejected where event_id is null and license_id is not null";

const FIRST_EVENT: &str =
    "license = {l} and seq = (select min(seq) from timeline where license = {l})";
const FIRST_DEVICE: &str =
    "license = {l} and device_id = (select min(device_id) from device where license = {l})";

/// One change of each kind in each table.
pub(crate) fn all_changes() -> Vec<Tampered> {
    let mut all = of_licenses();
    all.extend(of_parts());
    all.extend(of_timelines());
    all.extend(of_fates());
    all.extend([
        number(
            "a bucket of the digest",
            "digest",
            "update digest set sum = {x00000000000000000000000000000001}
               where bucket = (select min(bucket) from digest)",
        ),
        number(
            "a total",
            "total",
            "update total set licenses = licenses + 1 where dimension = 0 and lifecycle = 1",
        ),
        number(
            "a total's seats used",
            "total",
            "update total set seats_used = seats_used + 1 where dimension = 1 and lifecycle = 1
               and name = (select min(name) from total where dimension = 1 and lifecycle = 1)",
        ),
        number(
            "a total that is gone",
            "total",
            "delete from total where dimension = 2 and lifecycle = 1
               and name = (select min(name) from total where dimension = 2 and lifecycle = 1)",
        ),
        number(
            "a day of a total",
            "total",
            "update total_day set starts = starts + 1 where dimension = 0
               and day = (select min(day) from total_day where dimension = 0)",
        ),
        number(
            "a minute's events",
            "counts",
            "update event_minute set events = events + 1
               where minute = (select max(minute) from event_minute)
               and kind = (select min(kind) from event_minute where minute = (select max(minute) from event_minute))",
        ),
        number(
            "a day's events that are gone",
            "counts",
            "delete from event_day where day = (select min(day) from event_day)
               and kind = (select min(kind) from event_day where day = (select min(day) from event_day))",
        ),
    ]);
    all
}

fn of_licenses() -> Vec<Tampered> {
    vec![
        license(
            "a plan",
            "license",
            ANY,
            "update license set plan = 'tampered' where number = {l}",
        ),
        license(
            "a lifecycle of lists",
            "license",
            ANY,
            "update license set lifecycle = (lifecycle + 1) % 4 where number = {l}",
        ),
        license(
            "seats used",
            "license",
            ANY,
            "update license set seats_used = seats_used + 1 where number = {l}",
        ),
        license(
            "the time of lists",
            "license",
            ANY,
            "update license set last_event_at = last_event_at + 1 where number = {l}",
        ),
        license(
            "what decided its plan",
            "license",
            ANY,
            "update license set plan_by = customer_by, customer_by = first_by where number = {l}
               and customer_by <> first_by",
        ),
        license(
            "a map that is none",
            "license",
            ANY,
            "update license set entitlements = '{' where number = {l}",
        ),
        license(
            "voids",
            "license",
            WITH_VOIDS,
            "update license set voids = null where number = {l}",
        ),
        license(
            "a license that is gone",
            "license",
            ANY,
            "delete from license where number = {l}",
        ),
    ]
}

fn of_parts() -> Vec<Tampered> {
    vec![
        license(
            "a platform",
            "device",
            WITH_DEVICE,
            "update device set fingerprint = 'tampered' where license = {l} and device_id =
               (select min(device_id) from device where license = {l} and activated_by is not null)",
        ),
        license(
            "a heartbeat",
            "device",
            WITH_DEVICE,
            "update device set seen_in_heartbeat = coalesce(seen_in_heartbeat, 0) + 99999999999999999
               where {first_device}",
        ),
        license(
            "a device that is gone",
            "device",
            WITH_DEVICE,
            "delete from device where {first_device}",
        ),
        license(
            "a device too many",
            "device",
            WITH_DEVICE,
            "create temporary table one as select * from device where {first_device};
             update one set device_id = 'tampered'; insert into device select * from one; drop table one",
        ),
        license(
            "a sum of usage",
            "usage",
            WITH_USAGE,
            "update usage set quantity = quantity + 1 where license = {l}
               and metric = (select min(metric) from usage where license = {l})",
        ),
        license(
            "usage that is gone",
            "usage",
            WITH_USAGE,
            "delete from usage where license = {l}
               and metric = (select min(metric) from usage where license = {l})",
        ),
    ]
}

fn of_timelines() -> Vec<Tampered> {
    let first = |what, does| (what, does, ANY);
    let changes = [
        first("an event that is gone", "delete from timeline where {first}"),
        first(
            "where an event lies",
            "update timeline set {offset} = {offset} + 100000 where {first}",
        ),
        first(
            "when an event was recorded",
            "update timeline set timestamp_ms = timestamp_ms + 1 where {first}",
        ),
        first(
            "an event's content",
            "update timeline set body = (select other.body from timeline as other where other.license = {l}
               and other.body <> timeline.body order by other.seq limit 1) where {first}",
        ),
        first("an event's bytes", "update timeline set body = {x02} where {first}"),
        first(
            "an event's request",
            "update timeline set request_id = 'tampered' where {first}",
        ),
        first(
            "an event's id",
            "update timeline set event_id = {u0123456789abcdef0123456789abcdef} where {first}",
        ),
        (
            "what voids an event of a long timeline",
            "update timeline set voided_by = null where license = {l} and voided_by is not null",
            LONG,
        ),
        (
            "where an event of a long timeline stands",
            "update timeline set standing = null where {first}",
            LONG,
        ),
    ];
    let each = changes.into_iter();
    each.map(|(what, does, which)| license(what, "timeline", which, does))
        .collect()
}

fn of_fates() -> Vec<Tampered> {
    vec![
        license(
            "a conflict that is gone",
            "rejected",
            WITH_CONFLICT,
            "delete from rejected where license = {l}",
        ),
        license(
            "where a conflict lies",
            "rejected",
            WITH_CONFLICT,
            "update rejected set {offset} = {offset} + 100000 where license = {l}",
        ),
        license(
            "a dead letter that is gone",
            "rejected",
            POISONED,
            "delete from rejected where event_id is null and license_id = '{id}'",
        ),
        license(
            "why a record was rejected",
            "rejected",
            POISONED,
            "update rejected set reason = 'tombstone' where event_id is null and license_id = '{id}'",
        ),
        license(
            "what a letter keeps",
            "rejected",
            POISONED,
            "update rejected set value = {x00} where event_id is null and license_id = '{id}'",
        ),
        number(
            "a dead letter that names no license and is gone",
            "rejected",
            "delete from rejected where id =
               (select min(id) from rejected where event_id is null and license_id is null)",
        ),
        number(
            "a record that waits and is gone",
            "rejected",
            "delete from waiting where id = (select min(id) from waiting)",
        ),
        number(
            "what a record that waits says",
            "waiting",
            "update waiting set value = {x00} where id = (select min(id) from waiting)",
        ),
        number(
            "where a record that waits lay",
            "waiting",
            "update waiting set timestamp_ms = timestamp_ms + 1 where id = (select min(id) from waiting)",
        ),
    ]
}

/// Tables that are changed, and so saved before.
const TABLES: [&str; 11] = [
    "license",
    "device",
    "usage",
    "timeline",
    "digest",
    "total",
    "total_day",
    "event_minute",
    "event_day",
    "rejected",
    "waiting",
];

/// A store, as somebody has it who knows SQL.
pub(crate) trait Store {
    const NAME: &'static str;
    /// What the offset's column is called.
    const OFFSET: &'static str;
    /// Behind `insert into TABLE`, so that numbers can be given.
    const WITH_NUMBERS: &'static str;

    fn execute(&self, sql: &str);

    fn text(&self, sql: &str) -> String;

    fn bytes(hexadecimal: &str) -> String;

    fn uuid(hexadecimal: &str) -> String;

    /// Keeps all tables as they are.
    fn save(&self) {
        let mut sql = String::new();
        for table in TABLES {
            let _ = writeln!(sql, "create table saved_{table} as select * from {table};");
        }
        self.execute(&sql);
    }

    /// Brings all tables back.
    fn restore(&self) {
        let mut sql = String::from("begin;");
        for table in TABLES {
            let with = Self::WITH_NUMBERS;
            let _ = writeln!(
                sql,
                "delete from {table}; insert into {table} {with} select * from saved_{table};"
            );
        }
        sql.push_str("commit;");
        self.execute(&sql);
    }

    /// Does it; the license that it is about.
    fn change(&self, change: &Change) -> String {
        let id = self.text(change.which);
        let sql = format!(
            "select coalesce(cast(min(number) as text), '0') from license where license_id = '{id}'"
        );
        let number = self.text(&sql);
        let does = change
            .does
            .replace("{first_device}", FIRST_DEVICE)
            .replace("{first}", FIRST_EVENT)
            .replace("{l}", &number)
            .replace("{id}", &id)
            .replace("{offset}", Self::OFFSET);
        let does = literals(&does, "{x", Self::bytes);
        self.execute(&literals(&does, "{u", Self::uuid));
        id
    }

    /// A license that nothing is done about.
    fn good(&self) -> String {
        self.text(
            "select max(license_id) from license where event_count between 10 and 200
               and number in (select license from device)",
        )
    }
}

/// Writes bytes as the store does.
fn literals(sql: &str, begin: &str, write: fn(&str) -> String) -> String {
    let Some((before, rest)) = sql.split_once(begin) else {
        return sql.to_owned();
    };
    let (hexadecimal, after) = rest.split_once('}').unwrap();
    format!(
        "{before}{}{}",
        write(hexadecimal),
        literals(after, begin, write)
    )
}

/// A file.
pub(crate) struct File(rusqlite::Connection);

impl File {
    pub(crate) fn open(platform: &Platform) -> Self {
        let file = Self(rusqlite::Connection::open(platform.store()).unwrap());
        file.save();
        file
    }
}

impl Store for File {
    const NAME: &'static str = "sqlite";
    const OFFSET: &'static str = "offset";
    const WITH_NUMBERS: &'static str = "";

    fn execute(&self, sql: &str) {
        self.0
            .execute_batch(sql)
            .unwrap_or_else(|error| panic!("{error}: {sql}"));
    }

    fn text(&self, sql: &str) -> String {
        let found = self.0.query_row(sql, [], |row| row.get(0));
        found.unwrap_or_else(|error| panic!("{error}: {sql}"))
    }

    fn bytes(hexadecimal: &str) -> String {
        format!("x'{hexadecimal}'")
    }

    fn uuid(hexadecimal: &str) -> String {
        Self::bytes(hexadecimal)
    }
}

/// A database.
pub(crate) struct Database(Client);

impl Database {
    pub(crate) fn open(url: &str) -> Self {
        let runtime = Handle::current();
        let (client, connection) = runtime
            .block_on(tokio_postgres::connect(url, NoTls))
            .unwrap();
        runtime.spawn(async move {
            let _ = connection.await;
        });
        let database = Self(client);
        database.execute("set search_path to licenseflow_g1");
        database.save();
        database
    }
}

impl Store for Database {
    const NAME: &'static str = "postgres";
    const OFFSET: &'static str = "log_offset";
    const WITH_NUMBERS: &'static str = "overriding system value";

    fn execute(&self, sql: &str) {
        let runtime = Handle::current();
        tokio::task::block_in_place(|| runtime.block_on(self.0.batch_execute(sql)))
            .unwrap_or_else(|error| panic!("{error:?}: {sql}"));
    }

    fn text(&self, sql: &str) -> String {
        let runtime = Handle::current();
        let row = tokio::task::block_in_place(|| runtime.block_on(self.0.query_one(sql, &[])));
        let row = row.unwrap_or_else(|error| panic!("{error:?}: {sql}"));
        row.try_get(0)
            .unwrap_or_else(|error| panic!("{error:?}: {sql}"))
    }

    fn bytes(hexadecimal: &str) -> String {
        format!("'\\x{hexadecimal}'::bytea")
    }

    fn uuid(hexadecimal: &str) -> String {
        format!("'{hexadecimal}'::uuid")
    }
}
