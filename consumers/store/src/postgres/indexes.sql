-- The indexes that nothing needs until a generation is read: one that is built makes them last, over rows that
-- lie there. It mirrors sqlite/indexes.sql.

-- What no batch has written yet is in none of the indexes that lists walk, or each new license would leave
-- a dead entry at the end of each.
create index if not exists license_by_customer on license (tenant_id, customer_id, lifecycle, expires_at)
  where lifecycle is not null;
create index if not exists license_by_expiry on license (tenant_id, coalesce(expires_at, 9223372036854775807), number)
  where lifecycle is not null;
create index if not exists license_by_last_event on license (tenant_id, coalesce(last_event_at, -1), number)
  where lifecycle is not null;
create index if not exists license_by_start on license (tenant_id, valid_from) where lifecycle = 1;
-- For who reads on from a position: appended to at the end of each partition's run.
create index if not exists timeline_by_record on timeline (tenant_id, lane, partition, log_offset);
create index if not exists timeline_in_order on timeline (tenant_id, license, standing) where standing is not null;
