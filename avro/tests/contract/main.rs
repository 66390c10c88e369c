//! The contract crate against its schema, against apache-avro and against what clients may send.

mod avro;
mod bytes;
mod evolution;
mod json;
mod judging;
mod limits;
mod registry;
mod samples;
