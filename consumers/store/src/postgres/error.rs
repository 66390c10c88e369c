//! What PostgreSQL's errors mean to us.

use std::error::Error as _;
use std::io::ErrorKind;

use licenseflow_avro::causes::chain;
use tokio_postgres::error::SqlState;

use crate::Error;

/// Classes of errors that pass: no connection, no room, serialization and deadlock, an administrator's
/// word, the system's own troubles.
const PASSING: [&str; 5] = ["08", "53", "40", "57", "58"];

/// Classes of errors that are a row's: a value that cannot be, a rule of the table, an index entry that is too
/// large, a word of a trigger.
const OF_A_ROW: [&str; 4] = ["22", "23", "54", "P0"];

/// Classes of errors that a person must see to: who may log in, and which database.
const FOR_A_PERSON: [&str; 2] = ["28", "3D"];

impl From<tokio_postgres::Error> for Error {
    fn from(error: tokio_postgres::Error) -> Self {
        // Its own words are two ("db error").
        let words = chain(&error);
        if error.is_closed() || has_lost_its_connection(&error) {
            return Error::Away(words.into());
        }
        if is_of_tls(&error) {
            return Error::Unusable(format!("PostgreSQL: {words}"));
        }
        match error.code() {
            Some(code) if passes(code) => Error::Away(words.into()),
            Some(code) if needs_a_person(code) => Error::Unusable(format!("PostgreSQL: {words}")),
            Some(code) if is_of_a_row(code) => Error::Refused(words.into()),
            Some(_) | None => Error::Broken(words.into()),
        }
    }
}

/// The answer to one of several statements that were sent together in a transaction. Where one fails, those
/// behind it are refused for that alone: their error says nothing, and whoever asked them waits until the
/// others' error has ended them all.
pub(crate) async fn its_own<T>(
    answer: impl Future<Output = Result<T, tokio_postgres::Error>>,
) -> Result<T, Error> {
    match answer.await {
        Err(error) if error.code() == Some(&SqlState::IN_FAILED_SQL_TRANSACTION) => {
            std::future::pending().await
        }
        answered => Ok(answered?),
    }
}

fn passes(code: &SqlState) -> bool {
    let is_passing_class = PASSING.iter().any(|class| code.code().starts_with(class));
    let others = [
        &SqlState::LOCK_NOT_AVAILABLE,
        &SqlState::IDLE_IN_TRANSACTION_SESSION_TIMEOUT,
        // After a failover the old address may be a replica for a while.
        &SqlState::READ_ONLY_SQL_TRANSACTION,
    ];
    is_passing_class || others.contains(&code)
}

fn is_of_a_row(code: &SqlState) -> bool {
    OF_A_ROW.iter().any(|class| code.code().starts_with(class))
}

fn needs_a_person(code: &SqlState) -> bool {
    let class = FOR_A_PERSON.iter().any(|it| code.code().starts_with(it));
    class || *code == SqlState::INSUFFICIENT_PRIVILEGE
}

/// rustls' own words come as invalid data inside an error of the connection's.
fn has_lost_its_connection(error: &tokio_postgres::Error) -> bool {
    let io = error
        .source()
        .and_then(|it| it.downcast_ref::<std::io::Error>());
    io.is_some_and(|it| it.kind() != ErrorKind::InvalidData)
}

/// A certificate that is not trusted, or a server without TLS: the client says so in its words alone.
fn is_of_tls(error: &tokio_postgres::Error) -> bool {
    error.to_string().contains("TLS")
}
