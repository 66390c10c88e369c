use super::*;
use crate::schema::Referred;

fn schema(text: &str) -> Schema {
    Schema::judge(text, &[], &Referred { schemas: vec![] }).unwrap()
}

fn record(fields: &str) -> String {
    format!(r#"{{"type":"record","name":"n.R","fields":[{fields}]}}"#)
}

/// Reader, writer, whether the reader can read.
fn pairs() -> Vec<(String, String, bool)> {
    let plain = |text: &str| format!("\"{text}\"");
    let mut pairs = Vec::new();
    for (reader, writer, fits) in [
        ("long", "int", true),
        ("int", "long", false),
        ("float", "long", true),
        ("double", "float", true),
        ("float", "double", false),
        ("string", "bytes", true),
        ("bytes", "string", true),
        ("boolean", "int", false),
        ("null", "int", false),
    ] {
        pairs.push((plain(reader), plain(writer), fits));
    }
    pairs.extend(records_and_unions());
    pairs.extend(other_types());
    pairs
}

fn records_and_unions() -> Vec<(String, String, bool)> {
    let plain = |text: &str| format!("\"{text}\"");
    let a = r#"{"name":"a","type":"int"}"#;
    let with_default = r#"{"name":"b","type":"int","default":0}"#;
    let without = r#"{"name":"b","type":"int"}"#;
    vec![
        (record(&format!("{a},{with_default}")), record(a), true),
        (record(&format!("{a},{without}")), record(a), false),
        (record(a), record(&format!("{a},{without}")), true),
        (
            record(r#"{"name":"z","aliases":["a"],"type":"long"}"#),
            record(a),
            true,
        ),
        (r#"["null","int"]"#.into(), plain("int"), true),
        (plain("int"), r#"["null","int"]"#.into(), false),
        (
            r#"["null","long"]"#.into(),
            r#"["int","null"]"#.into(),
            true,
        ),
        (
            r#"["null","int"]"#.into(),
            r#"["null","string"]"#.into(),
            false,
        ),
    ]
}

fn other_types() -> Vec<(String, String, bool)> {
    vec![
        (
            r#"{"type":"enum","name":"E","symbols":["A","B"]}"#.into(),
            r#"{"type":"enum","name":"E","symbols":["A"]}"#.into(),
            true,
        ),
        (
            r#"{"type":"enum","name":"E","symbols":["A"]}"#.into(),
            r#"{"type":"enum","name":"E","symbols":["A","B"]}"#.into(),
            false,
        ),
        (
            r#"{"type":"enum","name":"E","symbols":["A"],"default":"A"}"#.into(),
            r#"{"type":"enum","name":"E","symbols":["A","B"]}"#.into(),
            true,
        ),
        (
            r#"{"type":"fixed","name":"F","size":4}"#.into(),
            r#"{"type":"fixed","name":"F","size":8}"#.into(),
            false,
        ),
        (
            r#"{"type":"array","items":"long"}"#.into(),
            r#"{"type":"array","items":"int"}"#.into(),
            true,
        ),
        (
            r#"{"type":"map","values":"int"}"#.into(),
            r#"{"type":"map","values":"string"}"#.into(),
            false,
        ),
        (
            r#"{"type":"map","values":"int"}"#.into(),
            r#"{"type":"array","items":"int"}"#.into(),
            false,
        ),
        (
            r#"{"type":"record","name":"L","fields":[{"name":"next","type":["null","L"]}]}"#.into(),
            r#"{"type":"record","name":"L","fields":[{"name":"next","type":["null","L"]}]}"#.into(),
            true,
        ),
    ]
}

#[test]
fn a_reader_reads_what_the_rules_of_avro_say() {
    for (reader, writer, fits) in pairs() {
        let obstacles = Level::Backward.obstacles(&schema(&reader), &[&schema(&writer)]);
        assert_eq!(
            fits,
            obstacles.is_empty(),
            "{reader} of {writer}: {obstacles:?}"
        );
    }
}

#[test]
fn apache_avro_says_the_same_of_every_pair() {
    use apache_avro::schema_compatibility::{Compatibility, SchemaCompatibility};
    for (reader, writer, fits) in pairs() {
        let parse = |text: &str| apache_avro::Schema::parse_str(text).unwrap();
        let answer = SchemaCompatibility::can_read(&parse(&writer), &parse(&reader));
        assert_eq!(
            fits,
            matches!(answer, Ok(Compatibility::Full)),
            "{reader} of {writer}"
        );
    }
}

#[test]
fn a_renamed_record_reads_its_old_name_by_an_alias() {
    let old = schema(r#"{"type":"record","name":"n.Old","fields":[]}"#);
    let renamed = schema(r#"{"type":"record","name":"n.New","aliases":["Old"],"fields":[]}"#);
    let unrelated = schema(r#"{"type":"record","name":"n.New","fields":[]}"#);
    assert!(Level::Backward.obstacles(&renamed, &[&old]).is_empty());
    assert!(!Level::Backward.obstacles(&unrelated, &[&old]).is_empty());
}

#[test]
fn a_type_is_compared_wherever_it_is_defined_and_not_by_its_name_alone() {
    let inner = |t: &str| {
        format!(r#"{{"type":"record","name":"X","fields":[{{"name":"v","type":"{t}"}}]}}"#)
    };
    let first = |t: &str| {
        record(&format!(
            r#"{{"name":"a","type":{}}},{{"name":"b","type":"X"}}"#,
            inner(t)
        ))
    };
    let last = |t: &str| {
        record(&format!(
            r#"{{"name":"b","type":{}}},{{"name":"a","type":"X"}}"#,
            inner(t)
        ))
    };
    let level = Level::Backward;
    assert!(
        level
            .obstacles(&schema(&first("int")), &[&schema(&last("int"))])
            .is_empty()
    );
    let found = level.obstacles(&schema(&first("int")), &[&schema(&last("string"))]);
    assert!(!found.is_empty());
}

#[test]
fn a_decimal_may_change_its_scale_because_logical_types_do_not_count() {
    let decimal = |scale: u8| {
        let text = r#"{"type":"bytes","logicalType":"decimal","precision":9,"scale":S}"#;
        schema(&text.replace('S', &scale.to_string()))
    };
    assert!(
        Level::FullTransitive
            .obstacles(&decimal(2), &[&decimal(3)])
            .is_empty()
    );
}

#[test]
fn transitive_levels_look_at_all_and_the_others_at_the_latest() {
    // a; then a and b with a default; then b made mandatory: the second can be read, the first not.
    let one = schema(&record(r#"{"name":"a","type":"int"}"#));
    let two = schema(&record(
        r#"{"name":"a","type":"int"},{"name":"b","type":"int","default":0}"#,
    ));
    let three = schema(&record(
        r#"{"name":"a","type":"int"},{"name":"b","type":"int"}"#,
    ));
    assert!(Level::Backward.obstacles(&three, &[&one, &two]).is_empty());
    assert!(
        !Level::BackwardTransitive
            .obstacles(&three, &[&one, &two])
            .is_empty()
    );
    assert!(Level::Forward.obstacles(&one, &[&three, &two]).is_empty());
    assert!(
        !Level::ForwardTransitive
            .obstacles(&one, &[&three, &two])
            .is_empty()
    );
    assert!(
        !Level::FullTransitive
            .obstacles(&one, &[&three, &two])
            .is_empty()
    );
    assert!(Level::None.obstacles(&one, &[&three, &two]).is_empty());
}

#[test]
fn a_level_is_read_in_either_case() {
    assert_eq!(Ok(Level::FullTransitive), Level::parse("full_transitive"));
    assert_eq!(Ok(Level::None), Level::parse("NONE"));
    assert_eq!(Err(Error::InvalidLevel), Level::parse("SOME"));
}
