//! Where librdkafka's own words go: into our log, under one target, never above a warning, because
//! whether a lost connection is an error is for the caller to say.

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
        // That a partition has an end is asked for, and no trouble.
        if error.rdkafka_error_code() == Some(RDKafkaErrorCode::PartitionEOF) {
            return;
        }
        tracing::warn!(target: "librdkafka", %error, "{reason}");
    }
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
