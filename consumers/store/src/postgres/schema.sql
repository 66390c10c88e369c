-- One generation of the read models, in a schema of its own; mirrors sqlite/schema.sql. Times are
-- integers: microseconds UTC where an event says them, milliseconds UTC where Kafka or this process
-- does (column names end in _ms). `…_by` is the order key of the event that decided: 8 bytes
-- occurred_at big-endian, 1 byte rank, 16 bytes event id, so that keys compare as bytes do.
-- lane: 0 bulk, 1 interactive. lifecycle: 0 unknown, 1 active, 2 suspended, 3 revoked.
--
-- license, device, usage, timeline, journey, total, total_day, event_minute and event_day are distributed
-- by tenant_id: every statement on them names it, and every key begins with it. The other tables are
-- small. Ids compare by their bytes.

create table meta (name text primary key, value bigint not null);

-- The log that it is built from; one row, once a projector has begun.
create table ground (number smallint primary key check (number = 1), cluster_id text not null, topic text not null);

create table position (
  generation bigint not null,
  lane smallint not null,
  partition integer not null,
  next_offset bigint not null,
  last_timestamp_ms bigint,
  end_offset bigint,
  caught_up_at_ms bigint,
  primary key (generation, lane, partition)
) with (fillfactor = 50);

-- Digest and totals are kept in parts, one for each applier, so that they do not queue behind one row. A
-- bucket's sum is that of its parts, modulo 2^128, each 16 bytes big-endian.
create table digest (
  applier integer not null,
  bucket integer not null,
  sum bytea not null,
  primary key (applier, bucket)
) with (fillfactor = 50);

create table batch (
  number bigint generated always as identity primary key,
  applied_at_ms bigint not null,
  records bigint not null
);

-- `number` is what the other tables know a license by, and where lists break ties. A row without
-- lifecycle is made and locked by a batch, and never committed so.
create table license (
  tenant_id text collate "C" not null,
  license_id text collate "C" not null,
  number bigint generated always as identity,
  customer_id text collate "C", customer_by bytea,
  plan text collate "C", seats integer, entitlements text, plan_by bytea,
  expires_at bigint, expiry_by bytea,
  product_id text collate "C", valid_from bigint, metadata text, issue_by bytea,
  suspended boolean, suspended_by bytea, revoked_by bytea,
  lifecycle smallint,
  first_by bytea, last_by bytea, last_event_at bigint,
  event_count bigint not null default 0,
  events bytea not null default '\x00000000000000000000000000000000',
  seats_used bigint not null default 0,
  ordered boolean not null default false,
  voids bytea,
  primary key (tenant_id, license_id)
) with (fillfactor = 80);
create unique index license_by_number on license (tenant_id, number);

create table device (
  tenant_id text collate "C" not null,
  license bigint not null,
  device_id text collate "C" not null,
  active boolean, active_by bytea,
  fingerprint text, platform text, activated_by bytea,
  seen_in_event bigint,
  seen_in_heartbeat bigint,
  primary key (tenant_id, license, device_id)
) with (fillfactor = 80);

create table usage (
  tenant_id text collate "C" not null,
  license bigint not null,
  metric text collate "C" not null,
  quantity bigint not null,
  primary key (tenant_id, license, metric)
) with (fillfactor = 80);

-- `hash` is keyed by the store's own secret, since clients choose event ids; it is not unique, and a
-- hit is checked against event_id. `standing` and `voided_by` are there for licenses with a long timeline
-- alone, which are `ordered`: an order key and behind it the type, its place in the schema's union; and the
-- EventVoided that names it.
create table timeline (
  tenant_id text collate "C" not null,
  license bigint not null,
  hash bigint not null,
  seq bigint generated always as identity,
  event_id uuid not null,
  timestamp_ms bigint not null, lane smallint not null, partition integer not null, log_offset bigint not null,
  request_id text collate "C",
  standing bytea, voided_by uuid,
  body bytea not null,
  primary key (tenant_id, license, hash, seq)
);

-- Records that were given up on, each with its letter. A conflict has license, event_id and body; its record
-- is read from the lane when the letter is sent. tenant_id and license_id are there where the record decodes
-- far enough to name both. A letter is open while nobody has resolved or redriven it.
create table rejected (
  id bigint generated always as identity primary key,
  timestamp_ms bigint not null, lane smallint not null, partition integer not null, log_offset bigint not null,
  reason text not null,
  error text not null,
  key bytea, value bytea, headers bytea,
  request_id text collate "C",
  tenant_id text collate "C", license_id text collate "C", license bigint, event_id uuid, body bytea,
  rejected_at_ms bigint not null,
  sent_at_ms bigint,
  resolved_at_ms bigint, resolved_reason text,
  redriven_at_ms bigint, redrives bigint not null default 0
);
create index rejected_by_record on rejected (lane, partition, log_offset);
create index rejected_unsent on rejected (id, lane, partition) where sent_at_ms is null;
create index rejected_by_event on rejected (tenant_id, license, event_id) where license is not null;
create index rejected_open on rejected (id) where resolved_at_ms is null and redriven_at_ms is null;
create index rejected_by_license on rejected (tenant_id, license_id, id) where license_id is not null;
create index rejected_open_by_license on rejected (tenant_id, license_id, id)
  where license_id is not null and resolved_at_ms is null and redriven_at_ms is null;
create index rejected_by_request on rejected (request_id, id) where request_id is not null;

-- Records that wait for another try, each by where it lay first; open until a try of it was accepted or given
-- up on, which then lay at settled_offset. `content` is the SHA-256 of key and value.
create table waiting (
  id bigint generated always as identity primary key,
  timestamp_ms bigint not null, lane smallint not null, partition integer not null, log_offset bigint not null,
  content bytea not null,
  reason text not null,
  error text not null,
  request_id text collate "C",
  attempt bigint not null,
  since_ms bigint not null,
  due_ms bigint not null,
  copied_ms bigint, published_ms bigint,
  settled_ms bigint, settled_offset bigint,
  key bytea, value bytea, headers bytea
);
create unique index waiting_by_record on waiting (lane, partition, log_offset);
create index waiting_open on waiting (id) where settled_ms is null;
create unique index waiting_by_try on waiting (lane, partition, settled_offset) where settled_offset is not null;

-- Whose turn it is to send letters, in one row: writers beside one another would send each letter several
-- times. It ends by itself at until_ms of the server's clock, since whoever has it may be stopped.
create table letters_turn (
  turn integer primary key,
  holder uuid not null,
  until_ms bigint not null
) with (fillfactor = 50);

-- `hash` is keyed like the timeline's: of the request id, or of (lane, partition, offset / 1024) for
-- records without one. Rows of one hash may belong to several requests. tenant_id is '' where the
-- record names no tenant.
create table journey (
  tenant_id text collate "C" not null,
  hash bigint not null,
  id bigint generated always as identity,
  batch bigint not null,
  request_id text collate "C",
  entries bytea not null,
  primary key (tenant_id, hash, id)
);

-- The newest record's time, as each applier has seen it.
create table newest_record (
  applier integer primary key,
  record_ms bigint not null
) with (fillfactor = 50);

-- Totals of licenses, and how many of those with lifecycle active start and end on each UTC day (days
-- since 1970): the sums over the appliers' parts, each of which may be negative. dimension: 0 the tenant,
-- whose name is empty, 1 a customer, 2 a product, 3 a plan. A part that comes to nothing has no row.
create table total (
  tenant_id text collate "C" not null,
  dimension smallint not null,
  name text collate "C" not null,
  lifecycle smallint not null,
  applier integer not null,
  licenses bigint not null, seats bigint not null, seats_used bigint not null,
  primary key (tenant_id, dimension, name, lifecycle, applier)
) with (fillfactor = 50);

create table total_day (
  tenant_id text collate "C" not null,
  dimension smallint not null,
  name text collate "C" not null,
  day bigint not null,
  applier integer not null,
  starts bigint not null, ends bigint not null,
  primary key (tenant_id, dimension, name, day, applier)
) with (fillfactor = 80);

-- Numbers of events that count, by occurred_at (minutes and days since 1970) and type: its place in the
-- schema's union; in parts too. Minutes are kept for 48 hours before the newest record.
create table event_minute (
  tenant_id text collate "C" not null,
  applier integer not null,
  minute bigint not null,
  kind smallint not null,
  events bigint not null,
  primary key (tenant_id, applier, minute, kind)
) with (fillfactor = 50);

create table event_day (
  tenant_id text collate "C" not null,
  applier integer not null,
  day bigint not null,
  kind smallint not null,
  events bigint not null,
  primary key (tenant_id, applier, day, kind)
) with (fillfactor = 50);
