//! How the memory ceiling is divided.
//!
//! | share | of what is left after the program itself |
//! |---|---|
//! | librdkafka's queues | 1/8, at most 64 MiB, a quarter of it named to librdkafka |
//! | one fetch on top of them | 1/24, at most 16 MiB as it comes, four times as much unpacked |
//! | the batch that grows, and the one that the store writes | 1/5 each |
//! | the store's cache | what remains, a quarter or more |
//!
//! librdkafka counts keys and values, but holds headers and some hundred bytes more for each record. It
//! unpacks a whole fetch at once, and counts only what it has unpacked. Events shrink to a
//! quarter or so; records made to shrink more can go over, up to what one fetch unpacks to.

/// What the program takes before it has read a record, and letters on their way: code, clients,
/// threads, and each letter as the store gave it, as it is sent, and as it is packed.
const PROGRAM_MIB: u32 = 48;
/// The least ceiling that can be divided.
const CEILING_MIN_MIB: u32 = 96;
const QUEUES_MAX_MIB: u32 = 64;
const FETCH_MAX_MIB: u32 = 16;
/// A fetch must have room for the largest batch that a lane takes.
const FETCH_MIN_MIB: u32 = 2;
/// How much larger a fetch is once it is unpacked.
const UNPACKED: u32 = 4;

/// What one of several appliers can do with at least.
const APPLIER_MIN_MIB: u32 = CEILING_MIN_MIB - PROGRAM_MIB;

/// The shares of a memory ceiling.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shares {
    /// The consumer's queues, in KiB.
    pub queued_kbytes: u32,
    /// The most that one fetch brings, in bytes.
    pub fetch_bytes: u32,
    /// The bound of a batch, in bytes: two of them exist at a time.
    pub batch_bytes: usize,
    /// The store's cache, in bytes.
    pub store_cache_bytes: usize,
}

/// How much more a queue of small records holds than it counts.
const UNCOUNTED: u32 = 4;

impl Shares {
    /// Divides a ceiling in MiB; one that is too small is taken as the least that can be divided.
    #[must_use]
    pub fn of(ceiling_mib: u32) -> Shares {
        Shares::of_one(left(ceiling_mib))
    }

    /// Divides a ceiling among as many appliers as are asked for, or fewer where that leaves them too
    /// little: how many there are, and what each of them gets.
    #[must_use]
    pub fn among(ceiling_mib: u32, appliers: u32) -> (u32, Shares) {
        let left = left(ceiling_mib);
        let appliers = appliers.clamp(1, left / APPLIER_MIN_MIB);
        (appliers, Shares::of_one(left / appliers))
    }

    fn of_one(left: u32) -> Shares {
        let queues = (left / 8).min(QUEUES_MAX_MIB);
        let fetch = (left / 24).clamp(FETCH_MIN_MIB, FETCH_MAX_MIB);
        let batch = left / 5;
        let cache = left - queues - UNPACKED * fetch - 2 * batch;
        Shares {
            queued_kbytes: queues * 1024 / UNCOUNTED,
            fetch_bytes: fetch << 20,
            batch_bytes: bytes(batch),
            store_cache_bytes: bytes(cache),
        }
    }
}

/// What is left of a ceiling after the program itself.
fn left(ceiling_mib: u32) -> u32 {
    ceiling_mib.max(CEILING_MIN_MIB) - PROGRAM_MIB
}

fn bytes(mib: u32) -> usize {
    usize::try_from(u64::from(mib) << 20).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shares_of_every_ceiling_stay_under_it_and_leave_none_empty() {
        for ceiling in (CEILING_MIN_MIB..4096).chain([1_048_576]) {
            let shares = Shares::of(ceiling);
            let queues = u64::from(UNCOUNTED * shares.queued_kbytes) << 10;
            let held = queues
                + u64::from(UNPACKED * shares.fetch_bytes)
                + 2 * shares.batch_bytes as u64
                + shares.store_cache_bytes as u64;
            let limit = u64::from(ceiling - PROGRAM_MIB) << 20;
            assert!(held <= limit, "{ceiling}: {shares:?}");
            assert!(shares.batch_bytes >= 8 << 20, "{ceiling}: {shares:?}");
            assert!(shares.store_cache_bytes >= 8 << 20, "{ceiling}: {shares:?}");
            assert!(
                shares.fetch_bytes >= 2 << 20 && queues >= 4 << 20,
                "{ceiling}: {shares:?}"
            );
        }
    }

    #[test]
    fn appliers_share_a_ceiling_and_are_fewer_where_it_is_too_small_for_all() {
        for (ceiling, asked, expected) in [(96, 4, 1), (144, 4, 2), (512, 4, 4), (512, 1, 1)] {
            let (appliers, each) = Shares::among(ceiling, asked);
            assert_eq!(appliers, expected, "{ceiling}");
            assert!(each.batch_bytes >= 8 << 20);
            let batches = appliers as usize * 2 * each.batch_bytes;
            assert!(batches <= bytes(left(ceiling)), "{ceiling}");
        }
        assert_eq!(Shares::among(512, 1), (1, Shares::of(512)));
    }

    #[test]
    fn letters_on_their_way_take_no_more_than_half_of_the_programs_share() {
        let settings = crate::Settings::default();
        // A round's letters, or a portion of originals, with the one that reaches the bound; each as it
        // was read, as librdkafka holds it, and as it is packed.
        let largest = settings
            .letters_bytes_max
            .max(licenseflow_store::read_model::LETTERS_BYTES);
        let held = 3 * (largest + licenseflow_avro::topics::MAX_RECORD_BYTES);
        assert!(held <= bytes(PROGRAM_MIB) / 2, "{held}");
    }

    #[test]
    fn a_ceiling_that_is_too_small_is_not_divided_further() {
        assert_eq!(Shares::of(1), Shares::of(CEILING_MIN_MIB));
    }
}
