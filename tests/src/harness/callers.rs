//! Whose connection it is: the process at the other end of a connection on this machine.
//!
//! Linux says so in two steps: which socket has the two ports, and which process holds that socket.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;

/// The process that connected from `caller` to `called`; none where it has closed the connection or may not
/// be looked at.
pub fn process_of(caller: SocketAddr, called: SocketAddr) -> Option<u32> {
    let socket = format!("socket:[{}]", inode(caller.port(), called.port())?);
    let numbered = |entry: fs::DirEntry| entry.file_name().to_str()?.parse::<u32>().ok();
    let mut processes = fs::read_dir("/proc").ok()?.flatten().filter_map(numbered);
    processes.find(|id| holds(*id, &socket))
}

/// A machine without IPv6 has the first file alone; Java calls with IPv6's sockets to IPv4's addresses.
fn inode(from: u16, to: u16) -> Option<String> {
    let tables = ["/proc/net/tcp", "/proc/net/tcp6"];
    let read = |table| fs::read_to_string(table).unwrap_or_default();
    tables
        .iter()
        .find_map(|table| inode_in(&read(table), from, to))
}

/// Lines are: number, own address, the other's address, state, …, and tenth the inode.
fn inode_in(table: &str, from: u16, to: u16) -> Option<String> {
    let port = |address: &str| u16::from_str_radix(address.rsplit(':').next()?, 16).ok();
    table.lines().find_map(|line| {
        let words: Vec<&str> = line.split_whitespace().collect();
        let ports = (port(words.get(1)?)?, port(words.get(2)?)?);
        let inode = *words.get(9)?;
        (ports == (from, to) && inode != "0").then(|| inode.to_owned())
    })
}

fn holds(process: u32, socket: &str) -> bool {
    let files = fs::read_dir(format!("/proc/{process}/fd"));
    let mut files = files.into_iter().flatten().flatten();
    files.any(|it| fs::read_link(it.path()).is_ok_and(|to| to == Path::new(socket)))
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, TcpListener, TcpStream};

    use super::*;

    #[test]
    fn a_connection_of_this_process_is_known_as_such_and_a_closed_one_is_nobodys() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let caller = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (called, from) = listener.accept().unwrap();
        let to = called.local_addr().unwrap();
        assert_eq!(process_of(from, to), Some(std::process::id()));
        drop(caller);
        assert_eq!(process_of(from, to), None);
    }
}
