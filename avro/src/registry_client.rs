//! The client of a schema registry: Confluent's API, whoever serves it.
//!
//! Owns the plans of the schemas it has seen. A schema id stands for one text for ever, so plans are
//! kept; an id that is absent now may be registered a moment later, so that is kept but briefly. Any
//! answer but a schema or "no such schema" means that the registry is away, and that no record is to
//! blame. Schemas that refer to other subjects are not read.

use std::collections::HashMap;
use std::error::Error as _;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use schema_registry_converter::async_impl::schema_registry::{
    SrSettings, get_schema_by_id, post_schema,
};
use schema_registry_converter::error::SRCError;
use schema_registry_converter::schema_registry_common::{
    RawError, RegisteredSchema, SchemaType, SuppliedSchema,
};
use tokio::runtime::Handle;

use crate::causes::chain;
use crate::codec::{NotALicenseEvent, Plan};
use crate::judgement::{Schemas, SchemasAway};

/// How long one call may take.
const TIMEOUT: Duration = Duration::from_secs(5);
/// How long an id counts as absent before the registry is asked again: less than the first wait of a record
/// that is tried again.
const ABSENT_FOR: Duration = Duration::from_millis(500);
/// So many ids may turn out to be absent in a second: a client whose ids are garbage must not have the registry
/// asked for each. Beyond that an id counts as absent without being asked for.
const ABSENT_A_SECOND: usize = 50;
/// So much of a second whoever judges records may wait for ids that turn out to be absent, since all other
/// records wait meanwhile. Beyond that an id counts as absent at once, and is asked for beside: its record is
/// tried again, and the answer is there by then.
const WAITED_A_SECOND: Duration = Duration::from_millis(50);
const SECOND: Duration = Duration::from_secs(1);
/// How many absent ids are remembered: ids out of garbage must not grow the memory.
const ABSENT_MAX: usize = 1024;
/// How many plans are kept; far more than versions of one schema.
const PLANS_MAX: usize = 4096;
/// Confluent's error code for an id that no schema has.
const NO_SUCH_SCHEMA: u32 = 40403;
/// Ids are positive numbers of 32 bits with a sign.
const ID_MAX: u32 = i32::MAX as u32;

/// The media type of Confluent's API.
const MEDIA_TYPE: &str = "application/vnd.schemaregistry.v1+json";

/// Why the registry did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The registry refused, or did not answer.
    #[error("{what}: {reason}")]
    Call {
        /// What was asked.
        what: String,
        /// What it said, or what went wrong on the way.
        reason: String,
    },
    /// No HTTP client can be made of the address.
    #[error("{address} is not the address of a schema registry: {reason}")]
    Address {
        /// The address as it was given.
        address: String,
        /// What is wrong with it.
        reason: String,
    },
}

/// The client of a schema registry. Clones share what they have seen.
#[derive(Debug, Clone)]
pub struct RegistryClient {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    addresses: Vec<String>,
    settings: SrSettings,
    http: reqwest::Client,
    seen: Mutex<Seen>,
}

#[derive(Debug, Default)]
struct Seen {
    plans: HashMap<u32, Arc<Plan>>,
    absent: HashMap<u32, Instant>,
    /// The second in which ids turned out to be absent last.
    second: Option<AbsentIds>,
}

/// What ids that turned out to be absent have cost in a second.
#[derive(Debug, Clone, Copy)]
struct AbsentIds {
    began: Instant,
    count: usize,
    /// How long records were not judged for them.
    waited: Duration,
}

impl RegistryClient {
    /// A client of the registry at `url`, or at the first that answers of several, joined by commas.
    ///
    /// # Errors
    /// There is no address, or no client can be made.
    pub fn new(url: &str) -> Result<Self, Error> {
        let bad_address = |reason: String| Error::Address {
            address: url.to_owned(),
            reason,
        };
        let addresses = url.split(',').map(|part| part.trim().trim_end_matches('/'));
        let addresses: Vec<String> = addresses
            .filter(|address| !address.is_empty())
            .map(str::to_owned)
            .collect();
        for address in &addresses {
            reqwest::Url::parse(address).map_err(|error| bad_address(error.to_string()))?;
        }
        let Some((first, others)) = addresses.split_first() else {
            return Err(bad_address("it is empty".to_owned()));
        };
        let mut builder = SrSettings::new_builder(first.clone());
        for other in others {
            builder.add_url(other.clone());
        }
        builder.set_timeout(TIMEOUT);
        let settings = builder
            .build()
            .map_err(|error| bad_address(reason(&error)))?;
        let http = reqwest::Client::builder().timeout(TIMEOUT).build();
        let http = http.map_err(|error| bad_address(error.to_string()))?;
        let inner = Inner {
            addresses,
            settings,
            http,
            seen: Mutex::default(),
        };
        Ok(Self {
            inner: Arc::new(inner),
        })
    }

    /// The same client for a thread that may block, such as the one that judges records.
    #[must_use]
    pub fn blocking(&self, runtime: Handle) -> BlockingSchemas {
        BlockingSchemas {
            client: self.clone(),
            runtime,
        }
    }

    /// The plan for a schema id; see [`Schemas::plan`].
    ///
    /// # Errors
    /// The registry cannot be asked now.
    pub async fn plan(&self, id: u32) -> Result<Option<Arc<Plan>>, SchemasAway> {
        if id > ID_MAX {
            return Ok(None);
        }
        if let Some(known) = self.seen().get(id, Instant::now()) {
            return Ok(known);
        }
        let asked = self.ask(id).await?;
        self.seen().put(id, asked.clone(), Instant::now());
        Ok(asked)
    }

    async fn ask(&self, id: u32) -> Result<Option<Arc<Plan>>, SchemasAway> {
        match get_schema_by_id(id, &self.inner.settings).await {
            Ok(schema) => Ok(Some(Arc::new(plan_of(&schema)))),
            Err(error) if is_no_such_schema(&error) => Ok(None),
            Err(error) => Err(SchemasAway {
                reason: reason(&error),
            }),
        }
    }

    /// Registers an Avro schema under a subject, and gives its id; the same text again gives the same id.
    ///
    /// # Errors
    /// The registry is away, or refuses the schema, such as for its compatibility.
    pub async fn register(&self, subject: &str, schema_text: &str) -> Result<u32, Error> {
        let schema = SuppliedSchema::new(None, SchemaType::Avro, schema_text.to_owned());
        let registered = post_schema(&self.inner.settings, subject.to_owned(), schema).await;
        let registered = registered.map_err(|error| Error::Call {
            what: format!("registering a schema for {subject}"),
            reason: reason(&error),
        })?;
        Ok(registered.id)
    }

    /// Sets the compatibility of a subject, such as `BACKWARD_TRANSITIVE`.
    ///
    /// # Errors
    /// The registry is away, or does not know the level.
    pub async fn set_compatibility(&self, subject: &str, level: &str) -> Result<(), Error> {
        let body = serde_json::json!({ "compatibility": level }).to_string();
        let mut failure = String::new();
        for address in &self.inner.addresses {
            let request = self.inner.http.put(format!("{address}/config/{subject}"));
            let request = request
                .header("content-type", MEDIA_TYPE)
                .body(body.clone());
            match request.send().await {
                Ok(response) if response.status().is_success() => return Ok(()),
                Ok(response) => {
                    let status = response.status();
                    let text = response.text().await.unwrap_or_default();
                    failure = format!("{status} {}", text.chars().take(512).collect::<String>());
                }
                Err(error) => failure = chain(&error),
            }
        }
        Err(Error::Call {
            what: format!("setting the compatibility of {subject}"),
            reason: failure,
        })
    }

    /// Nothing can be half-done under this lock, so a panic elsewhere leaves it usable.
    fn seen(&self) -> MutexGuard<'_, Seen> {
        let seen = self.inner.seen.lock();
        seen.unwrap_or_else(PoisonError::into_inner)
    }
}

impl Seen {
    /// What is known of an id: its plan, that it is absent, or nothing.
    fn get(&self, id: u32, now: Instant) -> Option<Option<Arc<Plan>>> {
        if let Some(plan) = self.plans.get(&id) {
            return Some(Some(plan.clone()));
        }
        let age = |since: Instant| now.saturating_duration_since(since);
        let is_absent = self
            .absent
            .get(&id)
            .is_some_and(|since| age(*since) < ABSENT_FOR);
        let of_second = self.in_this_second(now);
        let are_too_many = of_second.is_some_and(|it| it.count >= ABSENT_A_SECOND);
        (is_absent || are_too_many).then_some(None)
    }

    fn in_this_second(&self, now: Instant) -> Option<AbsentIds> {
        let is_over = |it: &AbsentIds| now.saturating_duration_since(it.began) >= SECOND;
        self.second.filter(|it| !is_over(it))
    }

    /// Whether whoever judges records may wait for an answer.
    fn may_wait(&self, now: Instant) -> bool {
        let of_second = self.in_this_second(now);
        of_second.is_none_or(|it| it.waited < WAITED_A_SECOND)
    }

    /// Records were not judged for so long, for an id that is absent.
    fn was_waited(&mut self, waited: Duration, now: Instant) {
        let known = self.in_this_second(now);
        let so_far = known.unwrap_or(AbsentIds::from(now));
        self.second = Some(AbsentIds {
            waited: so_far.waited + waited,
            ..so_far
        });
    }

    fn put(&mut self, id: u32, plan: Option<Arc<Plan>>, now: Instant) {
        match plan {
            Some(plan) => {
                if self.plans.len() >= PLANS_MAX {
                    self.plans.clear();
                }
                self.absent.remove(&id);
                self.plans.insert(id, plan);
            }
            None => {
                if self.absent.len() >= ABSENT_MAX {
                    let fresh =
                        |since: &Instant| now.saturating_duration_since(*since) < ABSENT_FOR;
                    self.absent.retain(|_, since| fresh(since));
                }
                if self.absent.len() >= ABSENT_MAX {
                    self.absent.clear();
                }
                self.absent.insert(id, now);
                let so_far = self.in_this_second(now).unwrap_or(AbsentIds::from(now));
                self.second = Some(AbsentIds {
                    count: so_far.count + 1,
                    ..so_far
                });
            }
        }
    }
}

impl AbsentIds {
    fn from(began: Instant) -> Self {
        Self {
            began,
            count: 0,
            waited: Duration::ZERO,
        }
    }
}

/// A [`RegistryClient`] for a thread that may block. Must not be used within asynchronous code, where
/// tokio refuses to block.
#[derive(Debug, Clone)]
pub struct BlockingSchemas {
    client: RegistryClient,
    runtime: Handle,
}

impl Schemas for BlockingSchemas {
    fn plan(&self, id: u32) -> Result<Option<Arc<Plan>>, SchemasAway> {
        // Nearly always known, and then without the runtime.
        if id > ID_MAX {
            return Ok(None);
        }
        let begun = Instant::now();
        let may_wait = {
            let mut seen = self.client.seen();
            if let Some(known) = seen.get(id, begun) {
                return Ok(known);
            }
            let may_wait = seen.may_wait(begun);
            if !may_wait {
                // Asked for once, however many records have it.
                seen.put(id, None, begun);
            }
            may_wait
        };
        if !may_wait {
            self.ask_beside(id);
            return Ok(None);
        }
        let plan = self.runtime.block_on(self.client.plan(id))?;
        if plan.is_none() {
            let mut seen = self.client.seen();
            seen.was_waited(begun.elapsed(), Instant::now());
        }
        Ok(plan)
    }
}

impl BlockingSchemas {
    /// Whoever comes for the id again finds the answer; where there was none, the id is asked for anew then.
    fn ask_beside(&self, id: u32) {
        let client = self.client.clone();
        self.runtime.spawn(async move {
            if let Ok(Some(plan)) = client.ask(id).await {
                client.seen().put(id, Some(plan), Instant::now());
            }
        });
    }
}

fn plan_of(schema: &RegisteredSchema) -> Plan {
    if schema.schema_type != SchemaType::Avro {
        return Plan::unusable(NotALicenseEvent::new("not an Avro schema"));
    }
    if !schema.references.is_empty() {
        return Plan::unusable(NotALicenseEvent::new("it refers to other subjects"));
    }
    Plan::new(&schema.schema).unwrap_or_else(Plan::unusable)
}

/// A plain 404 is not enough: a wrong address says that too.
fn is_no_such_schema(error: &SRCError) -> bool {
    let said = error
        .source()
        .and_then(|source| source.downcast_ref::<RawError>());
    said.is_some_and(|said| said.error_code == NO_SUCH_SCHEMA)
}

fn reason(error: &SRCError) -> String {
    match &error.cause {
        Some(cause) => format!("{}: {cause}", error.error),
        None => error.error.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_asked_for_anew_but_not_one_after_the_other_of_garbage() {
        let begun = Instant::now();
        let mut seen = Seen::default();
        let is_asked = |seen: &Seen, id, after| seen.get(id, begun + after).is_none();
        seen.put(1, None, begun);
        assert!(!is_asked(&seen, 1, Duration::ZERO));
        assert!(is_asked(&seen, 1, ABSENT_FOR));
        for id in 2..=ABSENT_A_SECOND {
            assert!(is_asked(&seen, id as u32, Duration::ZERO));
            seen.put(id as u32, None, begun);
        }
        assert!(!is_asked(&seen, 9999, Duration::ZERO));
        assert!(is_asked(&seen, 9999, SECOND));
        assert!(seen.may_wait(begun));
        seen.was_waited(WAITED_A_SECOND, begun);
        assert!(!seen.may_wait(begun) && seen.may_wait(begun + SECOND));
        let plan = Arc::new(Plan::new(crate::schema::LICENSE_EVENT).unwrap());
        seen.put(8, Some(plan), begun);
        assert!(
            matches!(seen.get(8, begun), Some(Some(_))),
            "what is known is no garbage"
        );
    }
}
