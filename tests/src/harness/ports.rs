//! Free ports, held against every other test on the machine by a lock file each.
//!
//! Asking the system for port 0 would not do: between its answer and the server's bind another
//! test may get the same port, and a broker that is killed and started again needs its own back.

use std::collections::hash_map::RandomState;
use std::fs::File;
use std::hash::BuildHasher;
use std::net::{Ipv4Addr, TcpListener};
use std::{env, fs};

use anyhow::{Context, bail};

/// Ports from 32768 up are given out by the kernel; these never are.
const FIRST: u16 = 20_000;
const COUNT: u16 = 10_000;

/// A port on the loopback that is this process's until the value is dropped, or the process
/// ends: the system itself releases the lock then.
#[derive(Debug)]
pub struct Port {
    number: u16,
    _lock: File,
}

impl Port {
    /// Takes a port that nothing listens on.
    ///
    /// # Errors
    /// Where lock files cannot be written, or no port is free.
    pub fn free() -> anyhow::Result<Self> {
        let folder = env::temp_dir().join("licenseflow-ports");
        fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
        let start = u16::try_from(RandomState::new().hash_one(0) % u64::from(COUNT))?;
        for step in 0..COUNT {
            let number = FIRST + (start + step) % COUNT;
            let path = folder.join(number.to_string());
            let lock =
                File::create(&path).with_context(|| format!("cannot write {}", path.display()))?;
            if lock.try_lock().is_ok() && TcpListener::bind((Ipv4Addr::LOCALHOST, number)).is_ok() {
                return Ok(Self {
                    number,
                    _lock: lock,
                });
            }
        }
        bail!("no port from {FIRST} on is free")
    }

    /// The number.
    pub fn number(&self) -> u16 {
        self.number
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_is_given_to_one_at_a_time() {
        let held: Vec<Port> = (0..50).map(|_| Port::free().unwrap()).collect();
        let mut numbers: Vec<u16> = held.iter().map(Port::number).collect();
        numbers.sort_unstable();
        numbers.dedup();
        assert_eq!(numbers.len(), 50);
        assert!(numbers.iter().all(|n| (20_000..30_000).contains(n)));
    }
}
