-- One generation of the read models. Times are integers: microseconds UTC where an event says them,
-- milliseconds UTC where Kafka or this process does (column names end in _ms).
-- `…_by` is the order key of the event that decided: 8 bytes occurred_at big-endian, 1 byte rank,
-- 16 bytes event id, so that keys compare as blobs do.
-- lane: 0 bulk, 1 interactive. lifecycle: 0 unknown, 1 active, 2 suspended, 3 revoked.

create table meta (name text primary key, value any) strict, without rowid;

-- The log that it is built from; one row, once a projector has begun.
create table ground (number integer primary key check (number = 1), cluster_id text not null, topic text not null) strict;

create table position (
  generation integer not null,
  lane integer not null,
  partition integer not null,
  next_offset integer not null,
  last_timestamp_ms integer,
  end_offset integer,
  caught_up_at_ms integer,
  primary key (generation, lane, partition)
) strict, without rowid;

create table digest (bucket integer primary key, sum blob not null) strict;

create table batch (number integer primary key, applied_at_ms integer not null, records integer not null) strict;

create table tenant (number integer primary key, tenant_id text not null unique) strict;

create table license (
  number integer primary key,
  tenant integer not null,
  license_id text not null,
  customer_id text, customer_by blob,
  plan text, seats integer, entitlements text, plan_by blob,
  expires_at integer, expiry_by blob,
  product_id text, valid_from integer, metadata text, issue_by blob,
  suspended integer, suspended_by blob, revoked_by blob,
  lifecycle integer not null,
  first_by blob, last_by blob, last_event_at integer,
  event_count integer not null,
  events blob not null,
  seats_used integer not null,
  ordered integer not null default 0,
  voids blob
) strict;
create unique index license_by_id on license (tenant, license_id);

create table device (
  license integer not null,
  device_id text not null,
  active integer, active_by blob,
  fingerprint text, platform text, activated_by blob,
  seen_in_event integer,
  seen_in_heartbeat integer,
  primary key (license, device_id)
) strict, without rowid;

create table usage (
  license integer not null,
  metric text not null,
  quantity integer not null,
  primary key (license, metric)
) strict, without rowid;

-- Appended in the order of arrival; only the index is sorted. `hash` is keyed by the store's own
-- secret, since clients choose event ids; it is not unique, and a hit is checked against event_id.
-- `standing` and `voided_by` are there for licenses with a long timeline alone, which are `ordered`: an
-- order key and behind it the type, its place in the schema's union; and the EventVoided that names it.
create table timeline (
  seq integer primary key,
  license integer not null,
  hash integer not null,
  event_id blob not null,
  timestamp_ms integer not null, lane integer not null, partition integer not null, offset integer not null,
  request_id text,
  standing blob, voided_by blob,
  body blob not null
) strict;
create index timeline_by_event on timeline (license, hash);
create index timeline_in_order on timeline (license, standing) where standing is not null;

-- Records that were given up on, each with its letter. A conflict has license, event_id and body;
-- its record is read from the lane when the letter is sent. tenant_id and license_id are there where the
-- record decodes far enough to name both. A letter is open while nobody has resolved or redriven it.
-- What may be long stands last, so that a list passes it by.
create table rejected (
  id integer primary key,
  timestamp_ms integer not null, lane integer not null, partition integer not null, offset integer not null,
  reason text not null,
  request_id text,
  tenant_id text, license_id text,
  license integer, event_id blob,
  rejected_at_ms integer not null,
  sent_at_ms integer,
  resolved_at_ms integer, resolved_reason text,
  redriven_at_ms integer, redrives integer not null default 0,
  error text not null,
  key blob, value blob, headers blob, body blob
) strict;
create index rejected_by_record on rejected (lane, partition, offset);
create index rejected_unsent on rejected (id, lane, partition) where sent_at_ms is null;
create index rejected_by_event on rejected (license, event_id) where license is not null;
create index rejected_open on rejected (id) where resolved_at_ms is null and redriven_at_ms is null;
create index rejected_by_license on rejected (tenant_id, license_id) where license_id is not null;
create index rejected_open_by_license on rejected (tenant_id, license_id)
  where license_id is not null and resolved_at_ms is null and redriven_at_ms is null;
create index rejected_by_request on rejected (request_id) where request_id is not null;

-- Records that wait for another try, each by where it lay first; open until a try of it was accepted or given
-- up on, which then lay at settled_offset. `content` is the SHA-256 of key and value.
create table waiting (
  id integer primary key,
  timestamp_ms integer not null, lane integer not null, partition integer not null, offset integer not null,
  content blob not null,
  reason text not null,
  request_id text,
  attempt integer not null,
  since_ms integer not null,
  due_ms integer not null,
  copied_ms integer, published_ms integer,
  settled_ms integer, settled_offset integer,
  error text not null,
  key blob, value blob, headers blob
) strict;
create unique index waiting_by_record on waiting (lane, partition, offset);
create index waiting_open on waiting (id) where settled_ms is null;
create unique index waiting_by_try on waiting (lane, partition, settled_offset) where settled_offset is not null;

-- `hash` is keyed like the timeline's: of the request id, or of (lane, partition, offset / 1024)
-- for records without one. Rows of one hash may belong to several requests.
create table journey (
  id integer primary key,
  hash integer not null,
  batch integer not null,
  tenant_id text,
  request_id text,
  entries blob not null
) strict;

-- Totals of licenses, and how many of those with lifecycle active start and end on each UTC day (days
-- since 1970). dimension: 0 the tenant, whose name is empty, 1 a customer, 2 a product, 3 a plan. What
-- comes to nothing has no row.
create table total (
  tenant integer not null, dimension integer not null, name text not null,
  lifecycle integer not null,
  licenses integer not null, seats integer not null, seats_used integer not null,
  primary key (tenant, dimension, name, lifecycle)
) strict, without rowid;

create table total_day (
  tenant integer not null, dimension integer not null, name text not null,
  day integer not null,
  starts integer not null, ends integer not null,
  primary key (tenant, dimension, name, day)
) strict, without rowid;

-- Numbers of events that count, by occurred_at (minutes and days since 1970) and type: its place in the
-- schema's union. Minutes are kept for 48 hours before meta's newest_record_ms.
create table event_minute (
  tenant integer not null, minute integer not null, kind integer not null, events integer not null,
  primary key (tenant, minute, kind)
) strict, without rowid;

create table event_day (
  tenant integer not null, day integer not null, kind integer not null, events integer not null,
  primary key (tenant, day, kind)
) strict, without rowid;
