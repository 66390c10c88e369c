//! What one generation takes over from another before it is the live one: the marks of what was done. The
//! same as in SQLite.

use super::session::Work;
use crate::Error;

/// Takes the marks over; done again it changes nothing.
pub(super) async fn take_marks(work: &Work<'_>, live: &str, next: &str) -> Result<(), Error> {
    let marks = "sent_at_ms = l.sent_at_ms, resolved_at_ms = l.resolved_at_ms,
           resolved_reason = l.resolved_reason, redriven_at_ms = l.redriven_at_ms, redrives = l.redrives";
    // What was done about records that were rejected for their own faults; about conflicts, which are the
    // same where license, event id and content are; and about records that wait, at the try that both have
    // seen.
    let statements = [
        format!(
            "update {next}.rejected as n set {marks} from {live}.rejected as l
             where n.event_id is null and l.event_id is null
               and l.lane = n.lane and l.partition = n.partition and l.log_offset = n.log_offset"
        ),
        format!(
            "update {next}.rejected as n set {marks} from {live}.rejected as l
             where n.event_id is not null and l.license_id is not null
               and l.tenant_id = n.tenant_id and l.license_id = n.license_id
               and l.event_id = n.event_id and l.body = n.body"
        ),
        format!(
            "update {next}.waiting as n set since_ms = l.since_ms, due_ms = l.due_ms,
               copied_ms = l.copied_ms, published_ms = l.published_ms
             from {live}.waiting as l
             where n.settled_ms is null and l.settled_ms is null and l.attempt = n.attempt
               and l.lane = n.lane and l.partition = n.partition and l.log_offset = n.log_offset"
        ),
    ];
    for sql in statements {
        work.execute(&sql, &[]).await?;
    }
    Ok(())
}
