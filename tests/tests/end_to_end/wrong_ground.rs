//! A store that was built from one log is not gone on with from another.

use licenseflow_tests::harness::{Kafka, Platform, Role, unique_prefix};

#[test]
fn a_store_is_refused_on_another_log_and_good_on_its_own() {
    let bootstrap = Kafka::shared().bootstrap();
    let own = Platform::new(bootstrap, &unique_prefix()).unwrap();
    Platform::stop(own.start(Role::Up).unwrap()).unwrap();
    let store = own.store();
    let other = Platform::new(bootstrap, &unique_prefix())
        .unwrap()
        .with("LICENSEFLOW_STORE", store.to_str().unwrap());
    for role in ["up", "project"] {
        let output = other.command(&[role]).unwrap().output().unwrap();
        let words = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(1), "{role}: {words}");
        let built_from = format!("the read model was built from {}", own.events_topic());
        assert!(words.contains(&built_from), "{role}: {words}");
    }
    Platform::stop(own.start(Role::Up).unwrap()).unwrap();
}
