//! Producers at work while things go wrong: some over HTTP through both intakes, one with a Kafka client of
//! its own that knows nothing of a registry.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use licenseflow_tests::chance::Chance;
use rdkafka::ClientConfig;
use rdkafka::producer::{FutureProducer, FutureRecord};
use tokio::runtime::Handle;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::book::{Book, Receipt, chance_of};
use crate::events::Event;
use crate::intake::{Priority, client, deliver};

/// Over HTTP.
const PRODUCERS: usize = 3;

/// Between two requests of a producer.
const PAUSE: Duration = Duration::from_millis(60);

/// How long what is under way may take once nothing is wrong any more.
const LAST_WORDS: Duration = Duration::from_secs(90);

/// A while that no run takes.
const FAR: Duration = Duration::from_secs(86_400);

/// Where producers send to.
#[derive(Debug, Clone)]
pub(crate) struct Ways {
    /// The intakes, through their proxies.
    pub(crate) intakes: Vec<String>,
    pub(crate) bootstrap: String,
    /// The interactive lane and the bulk lane.
    pub(crate) topics: [String; 2],
}

/// All producers at work.
pub(crate) struct Load {
    producers: JoinSet<anyhow::Result<()>>,
    stop: CancellationToken,
}

impl Load {
    pub(crate) fn begin(
        runtime: &Handle,
        seed: u64,
        ways: &Ways,
        book: &Arc<Book>,
    ) -> anyhow::Result<Self> {
        let (mut producers, stop) = (JoinSet::new(), CancellationToken::new());
        for number in 0..PRODUCERS {
            let producer = Producer::new(chance_of(seed, number), ways, book, &stop);
            producers.spawn_on(producer.over_http(), runtime);
        }
        let plain = ClientConfig::new()
            .set("bootstrap.servers", &ways.bootstrap)
            .set("acks", "all")
            .set("message.timeout.ms", "10000")
            .create()?;
        let producer = Producer::new(chance_of(seed, PRODUCERS), ways, book, &stop);
        producers.spawn_on(producer.with_a_client(plain), runtime);
        Ok(Self { producers, stop })
    }

    /// Ends it once everything that is under way has been acknowledged.
    pub(crate) async fn end(mut self) -> anyhow::Result<()> {
        self.stop.cancel();
        while let Some(ended) = self.producers.join_next().await {
            ended.context("a producer")??;
        }
        Ok(())
    }
}

struct Producer {
    chance: Chance,
    ways: Ways,
    book: Arc<Book>,
    stop: CancellationToken,
    last: Option<Event>,
    /// Until when it goes on trying, once it was asked to end.
    until: Option<Instant>,
}

impl Producer {
    fn new(chance: Chance, ways: &Ways, book: &Arc<Book>, stop: &CancellationToken) -> Self {
        Self {
            chance,
            ways: ways.clone(),
            book: Arc::clone(book),
            stop: stop.clone(),
            last: None,
            until: None,
        }
    }

    async fn pause(&self) {
        let asked = self.stop.cancelled();
        // Whether time is over or it was asked to end, it goes on at once.
        let _ = tokio::time::timeout(PAUSE, asked).await;
    }

    fn events(&mut self, most: u64) -> Vec<Event> {
        let count = 1 + self.chance.below(most);
        let made = (0..count).map(|_| {
            let event = Event::any(&mut self.chance, self.last.as_ref());
            self.book.sends(&event);
            if !event.is_heartbeat && event.body["type"] != "EventVoided" {
                self.last = Some(event.clone());
            }
            event
        });
        made.collect()
    }

    fn until(&mut self) -> Instant {
        if self.stop.is_cancelled() {
            *self
                .until
                .get_or_insert_with(|| Instant::now() + LAST_WORDS)
        } else {
            Instant::now() + FAR
        }
    }

    async fn over_http(mut self) -> anyhow::Result<()> {
        let http = client();
        while !self.stop.is_cancelled() {
            let events = self.events(6);
            self.deliver(&http, &events).await?;
            // On purpose, too: perhaps through the other intake, perhaps into the other lane.
            if self.chance.once_in(20) {
                self.deliver(&http, &events).await?;
            }
            self.pause().await;
        }
        Ok(())
    }

    async fn deliver(&mut self, http: &reqwest::Client, events: &[Event]) -> anyhow::Result<()> {
        let priority = match self.chance.once_in(4) {
            true => Priority::Bulk,
            false => Priority::Interactive,
        };
        let book = Arc::clone(&self.book);
        let choose = || {
            let api = self.chance.pick(&self.ways.intakes).clone();
            (api, self.until())
        };
        deliver(http, &book, events, priority, choose)
            .await
            .map(drop)
    }

    async fn with_a_client(mut self, client: FutureProducer) -> anyhow::Result<()> {
        while !self.stop.is_cancelled() {
            let topic = self.ways.topics[usize::from(self.chance.once_in(4))].clone();
            if self.chance.once_in(40) {
                self.send(&client, &topic, None, "no event\n").await?;
            }
            for event in self.events(3) {
                let body = event.body.to_string();
                let receipt = self
                    .send(&client, &topic, Some(&event.license), &body)
                    .await?;
                self.book.receives(&event, &receipt);
            }
            self.pause().await;
        }
        Ok(())
    }

    /// One record, sent again until it is acknowledged.
    async fn send(
        &mut self,
        client: &FutureProducer,
        topic: &str,
        key: Option<&str>,
        value: &str,
    ) -> anyhow::Result<Receipt> {
        loop {
            let mut record = FutureRecord::to(topic).payload(value);
            record.key = key;
            match client.send(record, Duration::ZERO).await {
                Ok(there) => {
                    return Ok(Receipt {
                        topic: topic.to_owned(),
                        partition: there.partition.into(),
                        offset: there.offset,
                    });
                }
                Err((error, _)) => {
                    anyhow::ensure!(Instant::now() < self.until(), "Kafka's client: {error}");
                    self.book.must_send_again();
                    self.pause().await;
                }
            }
        }
    }
}
