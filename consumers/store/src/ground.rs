//! Which log a read model is built from: its positions mean nothing in another.

use crate::Error;

/// A log, as a projector finds it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ground {
    /// The id that the cluster gave itself.
    pub cluster_id: String,
    /// The topic of the interactive lane, which says the prefix.
    pub topic: String,
}

impl Ground {
    /// Whether a model that was built from this log may be gone on with from that one.
    pub(crate) fn check(&self, found: &Ground) -> Result<(), Error> {
        if self == found {
            return Ok(());
        }
        let Ground { cluster_id, topic } = self;
        Err(Error::Unusable(format!(
            "the read model was built from {topic} of the Kafka cluster {cluster_id}, and this is {} of the \
             cluster {}: its positions mean nothing there. Name the cluster and the prefix that it was built \
             from, or give --store another place and build anew",
            found.topic, found.cluster_id
        )))
    }
}
