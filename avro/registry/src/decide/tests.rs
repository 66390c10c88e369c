use super::*;
use crate::state::Deleted;

fn subject() -> Subject {
    Subject::from("s")
}

fn given(text: &str) -> Given {
    Given {
        text: text.to_owned(),
        references: vec![],
    }
}

fn register(subject: &str, text: &str) -> Change {
    Change::Register {
        subject: Subject::from(subject),
        given: given(text),
    }
}

fn done(state: &mut State, change: &Change) -> Answer {
    let decision = state.decide(change).unwrap();
    // Through the bytes, as the log would carry it.
    for entry in &decision.entries {
        let (key, value) = entry.bytes().unwrap();
        state.apply(&Entry::read(&key, value.as_deref()).unwrap());
    }
    decision.answer
}

fn refused(state: &State, change: &Change) -> u32 {
    state.decide(change).unwrap_err().code()
}

fn record(fields: &str) -> String {
    format!(r#"{{"type":"record","name":"R","fields":[{fields}]}}"#)
}

const A: &str = r#"{"name":"a","type":"int"}"#;
const B: &str = r#"{"name":"b","type":"int","default":0}"#;

fn soft() -> Change {
    Change::DeleteSubject {
        subject: subject(),
        depth: Depth::Soft,
    }
}

fn permanent() -> Change {
    Change::DeleteSubject {
        subject: subject(),
        depth: Depth::Permanent,
    }
}

fn version(number: i32, depth: Depth) -> Change {
    Change::DeleteVersion {
        subject: subject(),
        version: VersionId::Number(number),
        depth,
    }
}

#[test]
fn the_same_schema_has_one_id_under_every_subject_and_one_version_under_each() {
    let mut state = State::default();
    assert_eq!(Answer::Id(1), done(&mut state, &register("s", "\"int\"")));
    assert_eq!(
        Answer::Id(1),
        done(&mut state, &register("other", r#"{"type": "int"}"#))
    );
    assert_eq!(
        Answer::Id(1),
        done(&mut state, &register("s", r#"{"type":"int"}"#))
    );
    assert_eq!(
        Answer::Id(2),
        done(&mut state, &register("third", "\"long\""))
    );
    assert_eq!(
        Ok(vec![1]),
        state.version_numbers(&subject(), Deleted::Shown)
    );
    // Each subject keeps its own text, the id stands for the first.
    let other = state
        .version(&Subject::from("other"), VersionId::Latest, Deleted::Hidden)
        .unwrap();
    assert_eq!(r#"{"type": "int"}"#, other.1.value.schema);
    assert_eq!("\"int\"", state.by_id(1).unwrap().value.schema);
}

#[test]
fn a_schema_that_the_level_forbids_is_refused_with_409() {
    let mut state = State::default();
    done(&mut state, &register("s", &record(A)));
    let other = record(r#"{"name":"z","type":"int"}"#);
    assert_eq!(409, refused(&state, &register("s", &other)));
    done(
        &mut state,
        &Change::SetLevel {
            subject: Some(subject()),
            level: Level::None,
        },
    );
    assert_eq!(Answer::Id(2), done(&mut state, &register("s", &other)));
}

#[test]
fn a_subject_is_deleted_softly_and_then_for_good() {
    let mut state = State::default();
    assert_eq!(40401, refused(&state, &soft()));
    done(&mut state, &register("s", &record(A)));
    done(&mut state, &register("s", &record(&format!("{A},{B}"))));
    assert_eq!(40405, refused(&state, &permanent()));
    assert_eq!(Answer::Versions(vec![1, 2]), done(&mut state, &soft()));
    assert_eq!(40404, refused(&state, &soft()));
    assert!(
        state.by_id(2).is_ok(),
        "a hidden schema can still be read by its id"
    );
    assert_eq!(Answer::Versions(vec![1, 2]), done(&mut state, &permanent()));
    assert_eq!(40401, refused(&state, &permanent()));
    assert!(state.by_id(2).is_err());
}

#[test]
fn a_version_is_deleted_softly_and_then_for_good() {
    let mut state = State::default();
    done(&mut state, &register("s", &record(A)));
    assert_eq!(40402, refused(&state, &version(2, Depth::Soft)));
    assert_eq!(40407, refused(&state, &version(1, Depth::Permanent)));
    assert_eq!(
        Answer::Version(1),
        done(&mut state, &version(1, Depth::Soft))
    );
    assert_eq!(40406, refused(&state, &version(1, Depth::Soft)));
    // Registered again it is a new version with its old id.
    assert_eq!(Answer::Id(1), done(&mut state, &register("s", &record(A))));
    assert_eq!(
        Ok(vec![2]),
        state.version_numbers(&subject(), Deleted::Hidden)
    );
    assert_eq!(
        Answer::Version(1),
        done(&mut state, &version(1, Depth::Permanent))
    );
    assert!(state.by_id(1).is_ok());
}

#[test]
fn an_id_is_not_given_again_after_its_schema_is_gone_and_the_topic_was_compacted() {
    let mut state = State::default();
    done(&mut state, &register("s", "\"int\""));
    done(&mut state, &soft());
    let decision = state.decide(&permanent()).unwrap();
    // After compaction the records of the schema are gone, those without a value as well.
    let mut compacted = State::default();
    for entry in decision
        .entries
        .iter()
        .filter(|entry| entry.value.is_some())
    {
        compacted.apply(entry);
    }
    assert_eq!(
        Answer::Id(2),
        done(&mut compacted, &register("s", "\"long\""))
    );
}

#[test]
fn a_schema_that_others_refer_to_cannot_be_deleted() {
    let mut state = State::default();
    done(
        &mut state,
        &register("s", r#"{"type":"enum","name":"n.P","symbols":["A"]}"#),
    );
    let reference = Reference {
        name: "n.P".into(),
        subject: subject(),
        version: 1,
    };
    let text = record(r#"{"name":"p","type":"n.P"}"#);
    let given = Given {
        text,
        references: vec![reference],
    };
    let using = Change::Register {
        subject: Subject::from("using"),
        given,
    };
    assert_eq!(Answer::Id(2), done(&mut state, &using));
    assert_eq!(Answer::Id(2), done(&mut state, &using));
    assert_eq!(42206, refused(&state, &soft()));
    assert_eq!(42206, refused(&state, &version(1, Depth::Soft)));
    let lost = Reference {
        name: "x".into(),
        subject: Subject::from("gone"),
        version: 1,
    };
    let given = Given {
        text: record(r#"{"name":"p","type":"x"}"#),
        references: vec![lost],
    };
    assert_eq!(
        42201,
        refused(
            &state,
            &Change::Register {
                subject: Subject::from("u"),
                given
            }
        )
    );
}

#[test]
fn a_read_only_subject_takes_no_new_schema_but_knows_the_old_ones() {
    let mut state = State::default();
    done(&mut state, &register("s", "\"int\""));
    let mode = |subject: Option<Subject>, mode| Change::SetMode { subject, mode };
    done(&mut state, &mode(Some(subject()), Mode::ReadOnly));
    assert_eq!(Answer::Id(1), done(&mut state, &register("s", "\"int\"")));
    assert_eq!(42205, refused(&state, &register("s", "\"bytes\"")));
    assert_eq!(42205, refused(&state, &soft()));
    assert!(state.decide(&register("other", "\"bytes\"")).is_ok());
    done(&mut state, &mode(Some(subject()), Mode::ReadWrite));
    done(&mut state, &mode(None, Mode::ReadOnlyOverride));
    assert_eq!(42205, refused(&state, &register("s", "\"bytes\"")));
}

#[test]
fn deleting_a_subject_takes_its_level_and_mode_along() {
    let mut state = State::default();
    done(&mut state, &register("s", "\"int\""));
    done(
        &mut state,
        &Change::SetLevel {
            subject: Some(subject()),
            level: Level::Full,
        },
    );
    done(&mut state, &soft());
    assert_eq!(Level::Backward, state.level_of(&subject()));
    assert_eq!(
        40401,
        refused(
            &state,
            &Change::ClearLevel {
                subject: Some(subject())
            }
        )
    );
}

#[test]
fn a_level_that_is_set_already_is_not_written_again() {
    let mut state = State::default();
    let change = Change::SetLevel {
        subject: Some(subject()),
        level: Level::BackwardTransitive,
    };
    done(&mut state, &change);
    assert!(state.decide(&change).unwrap().entries.is_empty());
}

#[test]
fn the_log_read_again_gives_the_same_answers() {
    let mut state = State::default();
    let mut log: Vec<Entry> = Vec::new();
    for change in [
        register("s", &record(A)),
        register("s", &record(&format!("{A},{B}"))),
        register("t", "\"int\""),
        soft(),
        register("s", &record(A)),
        version(1, Depth::Permanent),
    ] {
        let entries = state.decide(&change).unwrap().entries;
        entries.iter().for_each(|entry| state.apply(entry));
        log.extend(entries);
    }
    let mut again = State::default();
    log.iter().for_each(|entry| again.apply(entry));
    let all = |state: &State| -> Vec<_> {
        let subjects = state.subjects("", Deleted::Shown).into_iter();
        let versions = subjects.flat_map(|subject| {
            let versions = state.versions(&subject, Deleted::Shown);
            versions
                .map(|(_, one)| (one.shown(), one.value.deleted))
                .collect::<Vec<_>>()
        });
        versions.collect()
    };
    assert_eq!(all(&state), all(&again));
    assert_eq!(3, all(&again).len());
}
