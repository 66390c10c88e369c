//! News of commits: a connection that listens, so that who waits for a write asks when there is
//! something to be told, whichever process has written it.
//!
//! A notification says only that something was committed; what, is read from the store as ever. While
//! nobody can be heard, every few milliseconds count as news: asking is what listening spares.

use std::convert::Infallible;
use std::time::Duration;

use futures::TryStreamExt;
use futures::stream::{self, BoxStream, StreamExt};
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_postgres::{AsyncMessage, Client, Error};

use crate::postgres::connection::Address;

/// How often those who wait ask while nothing is heard.
const ASK_EVERY: Duration = Duration::from_millis(10);

/// How long after a lost connection the next is tried.
const AGAIN_AFTER: Duration = Duration::from_secs(1);

pub(super) struct News {
    told: watch::Sender<u64>,
    /// Ends with the news.
    _listener: JoinSet<()>,
}

impl News {
    /// Begins to listen.
    pub(super) fn of(address: Address, runtime: &Handle) -> Self {
        let told = watch::Sender::new(0);
        let mut listener = JoinSet::new();
        listener.spawn_on(listen(address, told.clone()), runtime);
        Self {
            told,
            _listener: listener,
        }
    }

    pub(super) fn subscribe(&self) -> watch::Receiver<u64> {
        self.told.subscribe()
    }
}

async fn listen(address: Address, told: watch::Sender<u64>) {
    loop {
        let heard = tokio::select! {
            // Whoever reads meets the same trouble, and says it.
            line = Line::open(&address) => line.ok(),
            never = ask(&told) => match never {},
        };
        if let Some(mut line) = heard {
            // What was committed before the line was open was not heard.
            tell(&told);
            while line.wait().await {
                tell(&told);
            }
        }
        tokio::select! {
            () = tokio::time::sleep(AGAIN_AFTER) => {}
            never = ask(&told) => match never {},
        }
    }
}

fn tell(told: &watch::Sender<u64>) {
    told.send_modify(|news| *news += 1);
}

async fn ask(told: &watch::Sender<u64>) -> Infallible {
    loop {
        tell(told);
        tokio::time::sleep(ASK_EVERY).await;
    }
}

/// A connection on which commits are told.
struct Line {
    messages: BoxStream<'static, Result<AsyncMessage, Error>>,
    /// Dropped, it would close the connection.
    _client: Client,
}

impl Line {
    async fn open(address: &Address) -> Result<Self, Error> {
        let (client, mut connection) = address.config().connect(address.tls()).await?;
        let mut messages = stream::poll_fn(move |context| connection.poll_message(context)).boxed();
        {
            let sql = format!("listen {}", address.schema());
            let mut listening = std::pin::pin!(client.batch_execute(&sql));
            loop {
                // The connection moves only while its messages are asked for.
                tokio::select! {
                    listening = &mut listening => break listening?,
                    message = messages.try_next() => if message?.is_none() {
                        // It is closed, and the one who asked is told so.
                        break listening.await?;
                    },
                }
            }
        }
        Ok(Self {
            messages,
            _client: client,
        })
    }

    /// Waits for the next commit; false: the line is lost.
    async fn wait(&mut self) -> bool {
        loop {
            match self.messages.try_next().await {
                Ok(Some(AsyncMessage::Notification(_))) => return true,
                // A notice, of whatever kind, says nothing of commits.
                Ok(Some(_)) => {}
                Ok(None) | Err(_) => return false,
            }
        }
    }
}
