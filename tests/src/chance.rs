//! Chance that can be repeated: a seed gives the same schedule on every machine.

/// The seed that whoever runs the tests has chosen by `SEED`, to see again what one had seen.
///
/// # Panics
/// Where it is no number.
#[allow(
    clippy::panic,
    reason = "a test that was to repeat another must not run with a seed of its own"
)]
pub fn chosen_seed() -> Option<u64> {
    let chosen = std::env::var("SEED").ok()?;
    let seed = chosen.parse();
    Some(seed.unwrap_or_else(|error| panic!("SEED={chosen}: {error}")))
}

/// Marsaglia's xorshift64*.
#[derive(Debug, Clone)]
pub struct Chance(u64);

impl Chance {
    /// The same numbers for the same seed.
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    /// Any number.
    #[allow(
        clippy::should_implement_trait,
        reason = "it has no end, and nobody goes over it"
    )]
    pub fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    /// A number below `bound`.
    pub fn below(&mut self, bound: u64) -> u64 {
        (self.next() >> 16) % bound.max(1)
    }

    /// Once in `n` times.
    pub fn once_in(&mut self, n: u64) -> bool {
        n > 0 && self.below(n) == 0
    }

    /// One of these, of which there is at least one.
    pub fn pick<'a, T>(&mut self, items: &'a [T]) -> &'a T {
        &items[self.below(items.len() as u64) as usize]
    }
}
