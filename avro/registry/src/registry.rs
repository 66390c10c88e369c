//! The registry in a process: started with settings, asked in-process or over HTTP.

use std::sync::mpsc::{SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use axum::Router;
use licenseflow_runtime::log::KafkaSettings;
use tokio::sync::oneshot;

use crate::decide::{Answer, Change, Given};
use crate::log::{Keeper, Order, Shared, Where};
use crate::state::State;
use crate::{Error, Level, Result, Subject, api};

/// Orders that may wait; more than that are refused at once.
const ORDERS_MAX: usize = 1024;

/// Where the registry keeps its log.
#[derive(Clone, Debug)]
pub struct RegistrySettings {
    /// How Kafka is reached.
    pub kafka: KafkaSettings,
    /// The compacted topic; one partition.
    pub topic: String,
    /// The one writer's id, the same for all instances of a registry.
    pub transactional_id: String,
    /// Replicas of the topic where it is created; none for three where there are three brokers.
    pub replication: Option<i32>,
    /// The bound of each question to the brokers, and how long brokers that refuse for the moment
    /// are asked again before a reading fails.
    pub broker_timeout: Duration,
    /// The bound of each request; under the service's timeout.
    pub request_timeout: Duration,
}

impl RegistrySettings {
    /// The usual settings, with the prefix of topics and transactional ids.
    pub fn new(kafka: KafkaSettings, prefix: &str) -> RegistrySettings {
        RegistrySettings {
            kafka,
            topic: format!("{prefix}_schemas"),
            transactional_id: format!("{prefix}licenseflow-registry"),
            replication: None,
            broker_timeout: Duration::from_secs(4),
            request_timeout: Duration::from_secs(14),
        }
    }
}

/// A running registry; clones share it.
#[derive(Clone)]
pub struct Registry {
    inner: Arc<Inner>,
}

struct Inner {
    shared: Arc<Shared>,
    orders: SyncSender<Order>,
    thread: Mutex<Option<JoinHandle<()>>>,
    request_timeout: Duration,
}

impl Registry {
    /// Starts the thread that follows the topic. It does not wait for the brokers: while they are
    /// away, requests are answered with [`Error::Unavailable`].
    ///
    /// # Errors
    /// [`Error::Store`] for Kafka settings that cannot be taken.
    pub fn start(settings: RegistrySettings) -> Result<Registry> {
        settings
            .kafka
            .check_overrides()
            .map_err(|error| Error::Store(error.to_string()))?;
        let place = Where {
            kafka: settings.kafka,
            topic: settings.topic,
            transactional_id: settings.transactional_id,
            replication: settings.replication,
            timeout: settings.broker_timeout,
        };
        let shared = Arc::new(Shared::default());
        let (orders, received) = sync_channel(ORDERS_MAX);
        let keeper = Keeper::new(place, Arc::clone(&shared), received);
        let thread = std::thread::Builder::new()
            .name("registry".into())
            .spawn(move || keeper.run())
            .map_err(|error| Error::Store(error.to_string()))?;
        let thread = Mutex::new(Some(thread));
        let request_timeout = settings.request_timeout;
        Ok(Registry {
            inner: Arc::new(Inner {
                shared,
                orders,
                thread,
                request_timeout,
            }),
        })
    }

    /// Confluent's HTTP API.
    pub fn router(&self) -> Router {
        api::router(self.clone())
    }

    /// Registers a schema, as `POST /subjects/{subject}/versions` does, and gives its id.
    ///
    /// # Errors
    /// As the API's.
    pub async fn register(&self, subject: &str, schema: &str) -> Result<i32> {
        let subject = Subject::parse(subject)?;
        let given = Given {
            text: schema.to_owned(),
            references: vec![],
        };
        match self.change(Change::Register { subject, given }).await? {
            Answer::Id(id) => Ok(id),
            other => Err(unexpected(&other)),
        }
    }

    /// Sets a subject's level, as `PUT /config/{subject}` does; nothing is written where it is set.
    ///
    /// # Errors
    /// As the API's.
    pub async fn set_level(&self, subject: &str, level: Level) -> Result<()> {
        let subject = Some(Subject::parse(subject)?);
        self.change(Change::SetLevel { subject, level })
            .await
            .map(|_| ())
    }

    /// The text of the schema with that id.
    ///
    /// # Errors
    /// [`Error::SchemaNotFound`], or [`Error::Unavailable`] where that cannot be told.
    pub async fn schema(&self, id: i32) -> Result<String> {
        self.read(|state| Ok(state.by_id(id)?.value.schema.clone()))
            .await
    }

    /// Reads the topic to where it ends now; after the first time the registry is ready.
    ///
    /// # Errors
    /// [`Error::Unavailable`] while the brokers are away, [`Error::Store`] where the topic is not
    /// as it must be.
    pub async fn catch_up(&self) -> Result<()> {
        let (reply, answer) = oneshot::channel();
        self.order(Order::CatchUp(reply))?;
        self.wait(answer).await
    }

    /// Ends the thread, after what it is doing.
    pub async fn shutdown(&self) {
        let inner = Arc::clone(&self.inner);
        let ended = tokio::task::spawn_blocking(move || {
            // The thread may be gone already.
            let _ = inner.orders.send(Order::Stop);
            let thread = inner
                .thread
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .take();
            thread.map(JoinHandle::join)
        });
        if let Ok(Some(Err(_))) = ended.await {
            tracing::error!("the registry's thread had panicked");
        }
    }

    pub(crate) async fn change(&self, change: Change) -> Result<Answer> {
        let (reply, answer) = oneshot::channel();
        self.order(Order::Change(change, reply))?;
        self.wait(answer).await
    }

    /// Answers from memory; an absence only after reading the topic to where it ends now.
    pub(crate) async fn read<T>(&self, question: impl Fn(&State) -> Result<T>) -> Result<T> {
        if !self.inner.shared.is_loaded() {
            self.catch_up().await?;
        }
        match self.inner.shared.read(&question) {
            Err(error) if error.is_absence() => {
                self.catch_up().await?;
                self.inner.shared.read(&question)
            }
            answer => answer,
        }
    }

    fn order(&self, order: Order) -> Result<()> {
        self.inner
            .orders
            .try_send(order)
            .map_err(|error| match error {
                TrySendError::Full(_) => {
                    Error::Unavailable(format!("{ORDERS_MAX} requests are waiting already"))
                }
                TrySendError::Disconnected(_) => {
                    Error::Unavailable("the registry has stopped".into())
                }
            })
    }

    async fn wait<T>(&self, answer: oneshot::Receiver<Result<T>>) -> Result<T> {
        match tokio::time::timeout(self.inner.request_timeout, answer).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(_)) => Err(Error::Unavailable("the registry has stopped".into())),
            Err(_) => Err(Error::Unavailable(format!(
                "the schemas' topic gave no answer within {} s",
                self.inner.request_timeout.as_secs()
            ))),
        }
    }
}

/// A change was answered as another kind of change would be.
pub(crate) fn unexpected(answer: &Answer) -> Error {
    Error::Store(format!("unexpected answer {answer:?}"))
}
