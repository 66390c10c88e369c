//! The embedded schema registry on a real Kafka: Confluent's API and errors, several instances,
//! restarts, a broker that goes away, and clients of other hands.

mod registry {
    mod api;
    mod clients;
    mod instances;
    mod served;
    mod trouble;
}
