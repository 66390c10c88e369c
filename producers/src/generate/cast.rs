//! Who plays in a history: tenants, customers of very different size, products and plans.

use licenseflow_avro::event::TextMap;
use rand::Rng;

use super::GenerateOptions;

pub(super) const PRODUCTS: [&str; 5] = ["editor", "compiler", "profiler", "render-farm", "sync"];

/// A plan: its name, its usual seats, and what it allows.
pub(super) struct Plan {
    pub(super) name: &'static str,
    pub(super) seats: i32,
    entitlements: &'static [(&'static str, &'static str)],
}

pub(super) const PLANS: [Plan; 4] = [
    Plan {
        name: "trial",
        seats: 2,
        entitlements: &[],
    },
    Plan {
        name: "team",
        seats: 10,
        entitlements: &[("support", "mail")],
    },
    Plan {
        name: "business",
        seats: 50,
        entitlements: &[("support", "day"), ("sso", "on")],
    },
    Plan {
        name: "enterprise",
        seats: 400,
        entitlements: &[("support", "always"), ("sso", "on"), ("audit", "on")],
    },
];

impl Plan {
    pub(super) fn entitlements(&self) -> TextMap {
        let entries = self.entitlements.iter();
        entries
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect()
    }
}

pub(super) struct Cast {
    tenants: usize,
    customers: usize,
}

impl Cast {
    pub(super) fn new(options: &GenerateOptions) -> Self {
        Self {
            tenants: options.tenants,
            customers: options.licenses / 3 + 1,
        }
    }

    /// The first tenant is `default`, and has most of the licenses.
    pub(super) fn tenant(&self, rng: &mut impl Rng) -> String {
        match few_large(self.tenants, rng) {
            0 => "default".to_owned(),
            number => format!("tenant-{number}"),
        }
    }

    pub(super) fn customer(&self, rng: &mut impl Rng) -> String {
        format!("cust-{:05}", few_large(self.customers, rng))
    }
}

/// One of `count`, the first often and the last seldom, as Zipf found it in towns and words: each
/// power of two of ranks has the same share.
pub(super) fn few_large(count: usize, rng: &mut impl Rng) -> usize {
    let uniform: f64 = rng.random();
    let rank = ((count + 1) as f64).powf(uniform) as usize;
    rank.clamp(1, count) - 1
}
