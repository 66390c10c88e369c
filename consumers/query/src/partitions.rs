//! How many partitions there are, as far as this process knows: a position that names another one is
//! refused at once, because nobody could ever come to it.

use std::sync::Arc;

use licenseflow_core::contract::{Lane, Position, Topics};
use licenseflow_runtime::http::Problem;

use crate::answer::Failure;

/// Gives the number of a lane's partitions; none where the brokers have not said it to this process.
/// Must answer at once.
pub type PartitionCount = Arc<dyn Fn(Lane) -> Option<usize> + Send + Sync>;

/// Refuses a position that names a partition which its topic does not have.
pub(crate) fn check(
    position: &Position,
    count: &PartitionCount,
    topics: &Topics,
) -> Result<(), Failure> {
    for (lane, partition, next_offset) in position.iter() {
        let known = count(lane);
        if known.is_some_and(|known| usize::try_from(partition).is_ok_and(|it| it >= known)) {
            let mut asked = Position::default();
            asked.raise(lane, partition, next_offset);
            let (topic, known) = (topics.lane(lane), known.unwrap_or_default());
            let detail = format!(
                "the position {asked} can never be reached: partition {partition} is none of the {known} of \
                 the topic {topic}"
            );
            return Err(Problem::bad_request("unknown_partition", detail).into());
        }
    }
    Ok(())
}
