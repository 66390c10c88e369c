-- The indexes that nothing needs until a generation is read, and whose entries would each go to a place of its
-- own: one that is built makes them last, over rows that lie there. Those in the order of the licenses grow at
-- their end while it loads, and are in schema.sql.

create index if not exists license_by_customer on license (tenant, customer_id, lifecycle, expires_at);
create index if not exists license_by_expiry on license (tenant, ifnull(expires_at, 9223372036854775807));
create index if not exists license_by_last_event on license (tenant, ifnull(last_event_at, -1));
create index if not exists license_by_start on license (tenant, valid_from);
-- For who reads on from a position: appended to at the end of each partition's run.
create index if not exists timeline_by_record on timeline (lane, partition, offset);
create index if not exists journey_by_hash on journey (hash);
