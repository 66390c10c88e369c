//! Over a real Kafka.
