//! Where librdkafka's own words go: into our log, under one target, never above a warning, because
//! whether a lost connection is an error is for the caller to say.

use std::sync::Mutex;

use rdkafka::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::ConsumerContext;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};

/// The context of clients that need nothing but a place for librdkafka's log lines.
#[derive(Clone, Copy, Debug, Default)]
pub struct ClientLog;

impl ClientLog {
    /// Logs one line of librdkafka; for contexts that have callbacks of their own.
    pub fn line(level: RDKafkaLogLevel, facility: &str, message: &str) {
        match level {
            // Settings of producers on consumers and the reverse: we pass every override to both.
            _ if facility == "CONFWARN" => {
                tracing::debug!(target: "librdkafka", facility, "{message}");
            }
            RDKafkaLogLevel::Emerg
            | RDKafkaLogLevel::Alert
            | RDKafkaLogLevel::Critical
            | RDKafkaLogLevel::Error
            | RDKafkaLogLevel::Warning => {
                tracing::warn!(target: "librdkafka", facility, "{message}");
            }
            RDKafkaLogLevel::Notice | RDKafkaLogLevel::Info => {
                tracing::info!(target: "librdkafka", facility, "{message}");
            }
            RDKafkaLogLevel::Debug => {
                tracing::debug!(target: "librdkafka", facility, "{message}");
            }
        }
    }

    /// Logs one global error of librdkafka; for contexts that have callbacks of their own.
    pub fn trouble(error: &KafkaError, reason: &str) {
        if is_news(error) {
            tracing::warn!(target: "librdkafka", %error, "{reason}");
        } else {
            tracing::debug!(target: "librdkafka", %error, "{reason}");
        }
    }
}

/// Whether a global error says what is not known yet. That a partition has an end is asked for; and that
/// all brokers are down comes with each try to reach one, many times a second, while the line of the
/// connection that failed has said so, and why.
fn is_news(error: &KafkaError) -> bool {
    !matches!(
        error.rdkafka_error_code(),
        Some(RDKafkaErrorCode::PartitionEOF | RDKafkaErrorCode::AllBrokersDown)
    )
}

/// The context of a client that says why it was turned away: librdkafka's answer to whoever asks a
/// question is no more than that the time ran out.
#[derive(Debug, Default)]
pub(crate) struct Attentive {
    /// Of the last connection that failed, where the broker was there.
    turned_away: Mutex<Option<String>>,
}

impl Attentive {
    /// What is wrong with our password or with a certificate, where that is why nobody answers.
    pub(crate) fn turned_away(&self) -> Option<String> {
        let turned_away = self.turned_away.lock();
        turned_away.ok().and_then(|reason| reason.clone())
    }
}

impl ClientContext for Attentive {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        // The last failure counts: a broker that went away since did not turn anyone away.
        if facility == "FAIL"
            && let Ok(mut kept) = self.turned_away.lock()
        {
            *kept = fault_of(message);
        }
        ClientLog::line(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        ClientLog::trouble(&error, reason);
    }
}

impl ConsumerContext for Attentive {}

/// librdkafka names the fault only in a line of its log, after the thread and the broker:
/// `[thrd:…]: sasl_ssl://host:port/bootstrap: SASL authentication error: … (after 3ms in state …)`.
fn fault_of(message: &str) -> Option<String> {
    let faults = ["SASL authentication error", "SSL handshake failed"];
    let start = faults.iter().find_map(|fault| message.find(fault))?;
    let reason = message[start..].split(" (after ").next()?;
    Some(reason.trim_end().to_owned())
}

impl ClientContext for ClientLog {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        ClientLog::line(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        ClientLog::trouble(&error, reason);
    }
}

impl ConsumerContext for ClientLog {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_comes_many_times_a_second_and_says_nothing_new_is_no_warning() {
        let is_news = |code| is_news(&KafkaError::Global(code));
        assert!(!is_news(RDKafkaErrorCode::AllBrokersDown));
        assert!(!is_news(RDKafkaErrorCode::PartitionEOF));
        assert!(is_news(RDKafkaErrorCode::BrokerTransportFailure));
        assert!(is_news(RDKafkaErrorCode::Authentication));
    }

    #[test]
    fn a_password_or_a_certificate_is_told_from_a_broker_that_is_away() {
        let before = "[thrd:sasl_ssl://h:1/bootstrap]: sasl_ssl://h:1/bootstrap: ";
        let reason = |text: &str| fault_of(&format!("{before}{text}"));
        let password = "SASL authentication error: Authentication failed: Invalid username or password (after 5ms in state AUTH_REQ)";
        assert_eq!(
            reason(password).as_deref(),
            Some("SASL authentication error: Authentication failed: Invalid username or password")
        );
        let away =
            "Connect to ipv4#127.0.0.1:1 failed: Connection refused (after 0ms in state CONNECT)";
        assert_eq!(reason(away), None);
    }
}
