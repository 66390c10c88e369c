//! Several instances of one registry, and one that is started again.

use std::collections::{BTreeMap, BTreeSet};

use licenseflow_tests::harness::unique_prefix;
use serde_json::{Value, json};
use tokio::task::JoinSet;

use super::served::Served;

fn schema(number: usize) -> String {
    format!(r#"{{"type":"record","name":"R{number}","fields":[]}}"#)
}

/// All versions of all subjects, the deleted ones too.
async fn everything(served: &Served) -> Value {
    served.ask("GET /schemas?deleted=true", None).await.1
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn two_instances_give_each_schema_one_id_of_its_own() {
    let prefix = unique_prefix();
    let instances = [Served::start(&prefix).await, Served::start(&prefix).await];
    let mut tasks = JoinSet::new();
    // Four clients of each instance register the same fifty schemas, each from another beginning.
    for client in 0..8 {
        let registry = instances[client % 2].registry.clone();
        tasks.spawn(async move {
            let mut given = BTreeMap::new();
            for step in 0..50 {
                let number = (step + client * 6) % 50;
                let subject = format!("s{number}");
                let id = registry.register(&subject, &schema(number)).await.unwrap();
                // What was given can be read at once.
                assert_eq!(schema(number), registry.schema(id).await.unwrap());
                given.insert(number, id);
            }
            given
        });
    }
    let given = tasks.join_all().await;
    for other in &given[1..] {
        assert_eq!(&given[0], other, "every client was given the same ids");
    }
    let ids: BTreeSet<i32> = given[0].values().copied().collect();
    assert_eq!((1..=50).collect::<BTreeSet<i32>>(), ids);
    for instance in &instances {
        instance.registry.catch_up().await.unwrap();
    }
    let first = everything(&instances[0]).await;
    assert_eq!(first, everything(&instances[1]).await);
    assert_eq!(50, first.as_array().unwrap().len());
    for instance in instances {
        instance.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_one_instance_registered_the_other_knows_at_once() {
    let prefix = unique_prefix();
    let (writer, reader) = (Served::start(&prefix).await, Served::start(&prefix).await);
    reader.registry.catch_up().await.unwrap();
    for number in 0..10 {
        let id = writer
            .register("s", &schema(number).replace(&format!("R{number}"), "R"))
            .await;
        assert_eq!(1, id);
        let id = writer
            .register(&format!("t{number}"), &schema(number))
            .await;
        let (status, answer) = reader.ask(&format!("GET /schemas/ids/{id}"), None).await;
        assert_eq!((200, json!({ "schema": schema(number) })), (status, answer));
        let line = format!("GET /subjects/t{number}/versions/latest");
        assert_eq!(200, reader.ask(&line, None).await.0);
    }
    writer.stop().await;
    reader.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_registry_that_is_started_again_gives_the_same_answers() {
    let prefix = unique_prefix();
    let first = Served::start(&prefix).await;
    for number in 0..5 {
        first
            .register(
                "s",
                &format!(
                    r#"{{"type":"enum","name":"E","symbols":["A{number}"],"default":"A{number}"}}"#
                ),
            )
            .await;
        first.register(&format!("t{number}"), &schema(number)).await;
    }
    let level = json!({"compatibility": "FULL_TRANSITIVE"});
    first.ask("PUT /config/s", Some(level)).await;
    first.ask("DELETE /subjects/s/versions/2", None).await;
    first.ask("DELETE /subjects/t1", None).await;
    first.ask("DELETE /subjects/t4", None).await;
    first.ask("DELETE /subjects/t4?permanent=true", None).await;
    let before = everything(&first).await;
    first.stop().await;
    let second = Served::start(&prefix).await;
    assert_eq!(before, everything(&second).await);
    assert_eq!(
        json!([1, 3, 4, 5]),
        second.ask("GET /subjects/s/versions", None).await.1
    );
    let level = second.ask("GET /config/s", None).await.1;
    assert_eq!(json!({"compatibilityLevel": "FULL_TRANSITIVE"}), level);
    // t4's id was the greatest; it is gone and not given again.
    assert_eq!(11, second.register("new", "\"long\"").await);
    second.stop().await;
}
