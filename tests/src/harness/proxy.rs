//! A TCP proxy on this machine that can be told to misbehave: to delay, cut, stall, or to leave connections
//! half open, for everyone or for chosen callers.
//!
//! Owns the connections that go through it; what they carry it does not know. What a network loses is lost
//! here one layer up: bytes are acknowledged to whoever sent them, and then kept or thrown away.

use std::convert::Infallible;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use anyhow::Context;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};

use super::callers::process_of;
use super::ports::Port;

/// What a proxy does wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Every piece of data comes so much later.
    Delay(Duration),
    /// Connections are reset, and so is each new one.
    Cut,
    /// Nothing passes, and nobody is told; all of it comes once the fault is over.
    Stall,
    /// One end is gone, and the other is not told: what it sends is lost, and nothing comes. Once the fault
    /// is over its next word is answered by a reset, as by a machine that has started anew, and until it says
    /// one it waits in vain. A new connection hears nothing until then.
    HalfOpen(Gone),
}

/// Which end of a half-open connection is gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Gone {
    /// Who opened it.
    Caller,
    /// Whom it leads to.
    Called,
}

/// Whose connections a fault is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Whose {
    /// Everyone's.
    All,
    /// Those of the processes with these ids.
    Of(Vec<u32>),
}

type Order = Option<(Fault, Whose)>;

/// A port that leads to another one.
#[derive(Debug)]
pub struct Proxy {
    port: Port,
    orders: watch::Sender<Order>,
    work: JoinHandle<Infallible>,
}

impl Proxy {
    /// Opens a port that leads to the port `to`, where nothing needs to listen yet.
    ///
    /// # Errors
    /// Where there is no free port.
    pub fn to(to: u16, runtime: &Handle) -> anyhow::Result<Self> {
        let port = Port::free()?;
        let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, port.number()))?;
        listener.set_nonblocking(true)?;
        let _within = runtime.enter();
        let listener = TcpListener::from_std(listener).context("cannot open a proxy")?;
        let (orders, told) = watch::channel(None);
        let work = runtime.spawn(serve(listener, to, told));
        Ok(Self { port, orders, work })
    }

    /// Where callers reach it.
    pub fn number(&self) -> u16 {
        self.port.number()
    }

    /// From now on it misbehaves, in this way alone.
    pub fn begin(&self, fault: Fault, whose: Whose) {
        self.orders.send_replace(Some((fault, whose)));
    }

    /// From now on it behaves.
    pub fn end(&self) {
        self.orders.send_replace(None);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.work.abort();
    }
}

async fn serve(listener: TcpListener, to: u16, told: watch::Receiver<Order>) -> Infallible {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            // Where no connection can be accepted, the next may be.
            Ok((caller, from)) = listener.accept() => {
                connections.spawn(connection(caller, from, to, told.clone()));
            }
            Some(_) = connections.join_next() => {}
        }
    }
}

async fn connection(caller: TcpStream, from: SocketAddr, to: u16, told: watch::Receiver<Order>) {
    let Ok(called) = caller.local_addr() else {
        return;
    };
    let looked_up = tokio::task::spawn_blocking(move || process_of(from, called));
    let process = looked_up.await.ok().flatten();
    let mut rules = Rules { told, process };
    if rules.first_word().await == Some(Fault::Cut) {
        return reset(caller);
    }
    match TcpStream::connect((Ipv4Addr::LOCALHOST, to)).await {
        Ok(called) => carry(caller, called, rules).await,
        Err(_) => reset(caller),
    }
}

/// What holds for one connection.
#[derive(Clone)]
struct Rules {
    told: watch::Receiver<Order>,
    process: Option<u32>,
}

impl Rules {
    fn of(&self, order: &Order) -> Option<Fault> {
        let (fault, whose) = order.as_ref()?;
        let is_meant = match whose {
            Whose::All => true,
            Whose::Of(processes) => self.process.is_some_and(|it| processes.contains(&it)),
        };
        is_meant.then_some(*fault)
    }

    fn now(&self) -> Option<Fault> {
        self.of(&self.told.borrow())
    }

    /// Waits until it is so; without end once there is no proxy any more, which ends whoever waits.
    async fn until(&mut self, is_so: impl Fn(Option<Fault>) -> bool) -> Option<Fault> {
        let rules = self.clone();
        let waited = self.told.wait_for(|order| is_so(rules.of(order))).await;
        match waited.map(|order| rules.of(&order)) {
            Ok(fault) => fault,
            Err(_) => std::future::pending().await,
        }
    }

    /// What a connection that begins is told: nothing as long as nothing passes.
    async fn first_word(&mut self) -> Option<Fault> {
        let silent = |it| matches!(it, Some(Fault::Stall | Fault::HalfOpen(_)));
        self.until(|fault| !silent(fault)).await
    }

    /// Comes back when data may pass.
    async fn pass(&mut self) {
        if let Some(Fault::Delay(time)) = self.now() {
            tokio::time::sleep(time).await;
        }
        self.until(|fault| fault != Some(Fault::Stall)).await;
    }

    /// Comes back when the connection breaks.
    async fn breaks(&mut self) -> Option<Fault> {
        let broken = |it| matches!(it, Some(Fault::Cut | Fault::HalfOpen(_)));
        self.until(broken).await
    }
}

async fn carry(mut caller: TcpStream, mut called: TcpStream, mut rules: Rules) {
    // Without these each piece of data would wait for the acknowledgement of the one before it.
    let _ = (caller.set_nodelay(true), called.set_nodelay(true));
    let broken = {
        let ((there, mine), (back, yours)) = (caller.split(), called.split());
        let both = async {
            let to = pump(there, yours, rules.clone());
            let fro = pump(back, mine, rules.clone());
            tokio::try_join!(to, fro).map(drop)
        };
        let mut watch = rules.clone();
        tokio::select! {
            done = both => done.err().map(|_| Fault::Cut),
            fault = watch.breaks() => fault,
        }
    };
    match broken {
        Some(Fault::HalfOpen(Gone::Caller)) => {
            reset(caller);
            forget(called, &mut rules).await;
        }
        Some(Fault::HalfOpen(Gone::Called)) => {
            reset(called);
            forget(caller, &mut rules).await;
        }
        Some(Fault::Cut) => (reset(caller), reset(called)).0,
        Some(Fault::Delay(_) | Fault::Stall) | None => {}
    }
}

async fn pump(
    mut from: tokio::net::tcp::ReadHalf<'_>,
    mut to: tokio::net::tcp::WriteHalf<'_>,
    mut rules: Rules,
) -> io::Result<()> {
    let mut room = vec![0; 64 * 1024];
    loop {
        let length = from.read(&mut room).await?;
        rules.pass().await;
        if length == 0 {
            return to.shutdown().await;
        }
        to.write_all(&room[..length]).await?;
    }
}

/// The other end is gone: takes what comes, and answers nothing until it can be told.
async fn forget(mut left: TcpStream, rules: &mut Rules) {
    let mut room = vec![0; 64 * 1024];
    let mut has_spoken = false;
    loop {
        let gone = |it: Option<Fault>| matches!(it, Some(Fault::HalfOpen(_)));
        let is_over = !gone(rules.now());
        // What was said meanwhile is sent again by the system until it is answered.
        if is_over && has_spoken {
            return reset(left);
        }
        tokio::select! {
            read = left.read(&mut room) => match read {
                Ok(length @ 1..) => has_spoken = length > 0,
                Ok(0) | Err(_) => return,
            },
            _ = rules.until(|it| !gone(it)), if !is_over => {}
        }
    }
}

/// Ends a connection by a reset, not by an end.
fn reset(stream: TcpStream) {
    // A connection that is gone already needs no reset.
    let _ = stream.set_zero_linger();
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use tokio::time::timeout;

    use super::*;

    /// Longer than anything takes here that comes at all.
    const LONG: Duration = Duration::from_secs(20);

    /// How long is waited for what must not come. A test that waits too short passes in vain, never wrongly.
    const SILENCE: Duration = Duration::from_millis(300);

    /// Someone who says back what he hears, behind a proxy; and each connection that he has got.
    async fn echo() -> (
        Proxy,
        tokio::sync::mpsc::UnboundedReceiver<io::Result<usize>>,
    ) {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let proxy = Proxy::to(listener.local_addr().unwrap().port(), &Handle::current()).unwrap();
        let (ends, told) = tokio::sync::mpsc::unbounded_channel();
        Handle::current().spawn(async move {
            loop {
                let (mut caller, _) = listener.accept().await.unwrap();
                let ends = ends.clone();
                Handle::current().spawn(async move {
                    let (mut read, mut write) = caller.split();
                    let copied = tokio::io::copy(&mut read, &mut write).await;
                    let _ = ends.send(copied.map(|it| it as usize));
                });
            }
        });
        (proxy, told)
    }

    async fn call(proxy: &Proxy) -> TcpStream {
        let called = TcpStream::connect((Ipv4Addr::LOCALHOST, proxy.number()));
        called.await.unwrap()
    }

    async fn say(stream: &mut TcpStream, word: &[u8]) {
        stream.write_all(word).await.unwrap();
    }

    async fn hears(stream: &mut TcpStream, word: &[u8]) {
        let mut heard = vec![0; word.len()];
        let read = timeout(LONG, stream.read_exact(&mut heard)).await;
        read.unwrap().unwrap();
        assert_eq!(heard, word);
    }

    async fn hears_nothing(stream: &mut TcpStream) {
        let mut room = [0; 1];
        let read = timeout(SILENCE, stream.read(&mut room)).await;
        assert!(read.is_err(), "{read:?}");
    }

    async fn is_reset(stream: &mut TcpStream) {
        let mut room = [0; 1];
        let read = timeout(LONG, stream.read(&mut room)).await.unwrap();
        assert_eq!(read.unwrap_err().kind(), io::ErrorKind::ConnectionReset);
    }

    /// A connection that has been heard of at both ends.
    async fn made(proxy: &Proxy) -> TcpStream {
        let mut stream = call(proxy).await;
        say(&mut stream, b"hello").await;
        hears(&mut stream, b"hello").await;
        stream
    }

    #[tokio::test]
    async fn without_a_fault_all_passes_and_an_end_is_an_end() {
        let (proxy, mut ends) = echo().await;
        let mut stream = made(&proxy).await;
        let much = vec![7; 1 << 20];
        let (mut read, mut write) = stream.split();
        let mut heard = vec![0; much.len()];
        let both = async { tokio::join!(write.write_all(&much), read.read_exact(&mut heard)) };
        let (written, _) = timeout(LONG, both).await.unwrap();
        written.unwrap();
        assert!(heard == much);
        stream.shutdown().await.unwrap();
        assert_eq!(ends.recv().await.unwrap().unwrap(), much.len() + 5);
        assert_eq!(stream.read(&mut [0; 1]).await.unwrap(), 0);
    }

    #[tokio::test]
    async fn nobody_behind_it_is_a_reset() {
        let nobody = Port::free().unwrap();
        let proxy = Proxy::to(nobody.number(), &Handle::current()).unwrap();
        is_reset(&mut call(&proxy).await).await;
    }

    #[tokio::test]
    async fn a_delay_is_at_least_as_long_as_was_said() {
        let (proxy, _ends) = echo().await;
        let mut stream = made(&proxy).await;
        let late = Duration::from_millis(120);
        proxy.begin(Fault::Delay(late), Whose::All);
        let begun = Instant::now();
        say(&mut stream, b"late").await;
        hears(&mut stream, b"late").await;
        assert!(begun.elapsed() >= late * 2, "there and back");
    }

    #[tokio::test]
    async fn a_cut_resets_both_ends_and_each_who_comes_until_it_is_over() {
        let (proxy, mut ends) = echo().await;
        let mut stream = made(&proxy).await;
        proxy.begin(Fault::Cut, Whose::All);
        is_reset(&mut stream).await;
        assert!(timeout(LONG, ends.recv()).await.unwrap().unwrap().is_err());
        is_reset(&mut call(&proxy).await).await;
        proxy.end();
        made(&proxy).await;
    }

    #[tokio::test]
    async fn what_is_stalled_comes_in_full_once_it_is_over() {
        let (proxy, _ends) = echo().await;
        let mut stream = made(&proxy).await;
        proxy.begin(Fault::Stall, Whose::All);
        let mut new = call(&proxy).await;
        say(&mut stream, b"kept").await;
        say(&mut new, b"also").await;
        hears_nothing(&mut stream).await;
        hears_nothing(&mut new).await;
        proxy.end();
        hears(&mut stream, b"kept").await;
        hears(&mut new, b"also").await;
    }

    #[tokio::test]
    async fn a_caller_whose_other_end_is_gone_learns_of_it_when_it_says_something_after_that() {
        let (proxy, mut ends) = echo().await;
        let (mut silent, mut speaks, mut spoke) =
            (made(&proxy).await, made(&proxy).await, made(&proxy).await);
        proxy.begin(Fault::HalfOpen(Gone::Called), Whose::All);
        for _ in 0..3 {
            assert!(timeout(LONG, ends.recv()).await.unwrap().unwrap().is_err());
        }
        say(&mut spoke, b"lost").await;
        let mut new = call(&proxy).await;
        say(&mut new, b"new").await;
        for stream in [&mut silent, &mut speaks, &mut spoke, &mut new] {
            hears_nothing(stream).await;
        }
        proxy.end();
        is_reset(&mut spoke).await;
        hears_nothing(&mut silent).await;
        say(&mut speaks, b"are you there").await;
        is_reset(&mut speaks).await;
        hears(&mut new, b"new").await;
    }

    #[tokio::test]
    async fn one_who_is_called_is_not_told_that_the_caller_is_gone() {
        let (proxy, mut ends) = echo().await;
        let mut stream = made(&proxy).await;
        proxy.begin(Fault::HalfOpen(Gone::Caller), Whose::All);
        is_reset(&mut stream).await;
        proxy.end();
        assert!(
            timeout(SILENCE, ends.recv()).await.is_err(),
            "it still waits"
        );
    }

    #[tokio::test]
    async fn a_fault_of_others_is_none_of_ones_own() {
        let (proxy, _ends) = echo().await;
        let mut stream = made(&proxy).await;
        let me = std::process::id();
        proxy.begin(Fault::Cut, Whose::Of(vec![me + 1]));
        say(&mut stream, b"still").await;
        hears(&mut stream, b"still").await;
        proxy.begin(Fault::Cut, Whose::Of(vec![me]));
        is_reset(&mut stream).await;
    }
}
