//! The HTTP intake on a real Kafka: receipts are true, limits hold, and brokers that die lose nothing.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test says what it expects by failing"
)]

#[path = "intake/bounds.rs"]
mod bounds;
#[path = "intake/broker.rs"]
mod broker;
#[path = "intake/forms.rs"]
mod forms;
#[path = "intake/resume.rs"]
mod resume;
#[path = "intake/service.rs"]
mod service;
