//! Rows become tags: both sides of a change, no snapshots, no guesses.

use purge_protocol::PurgeMode;

use super::super::{
    Code, EventReader, Filter, Format, Ignored, Pattern, Reading, Record, Rules, TableRule,
};
use super::{ignored, now, purge, record, unreadable};

fn table(pattern: &str, tags: &[&str], site: Option<&str>) -> TableRule {
    TableRule {
        table: Pattern::new(pattern),
        tags: tags.iter().map(|text| text.parse().unwrap()).collect(),
        site: site.map(str::to_owned),
        truncate: Vec::new(),
        mode: None,
    }
}

fn rules() -> Rules {
    Rules {
        tables: vec![
            table("public.product", &["{table}:{id}", "category-{category_id}"], Some("site_id")),
            table("inventory.page", &[], Some("site")),
        ],
        ..Rules::default()
    }
}

fn envelope(op: &str, before: &str, after: &str, source: &str) -> String {
    format!(
        r#"{{"op":"{op}","before":{before},"after":{after},"source":{{"name":"shop","schema":"public","db":"inventory","table":"product","snapshot":"false","ts_ms":1795300000000{source}}},"ts_ms":1795300000999}}"#
    )
}

#[test]
fn both_rows_of_an_update_count() {
    let text = envelope(
        "u",
        r#"{"id":42,"category_id":1,"site_id":"old"}"#,
        r#"{"id":42,"category_id":2,"site_id":"new"}"#,
        "",
    );
    let event = purge(&rules(), &text);
    assert_eq!(event.request.tags, ["product:42", "category-2", "category-1"]);
    assert_eq!(event.site.as_deref(), Some("new"));
    assert_eq!(event.source.as_deref(), Some("debezium:shop"));
    assert_eq!(event.request.event_time.as_deref(), Some("2026-11-21T22:26:40Z"));
    assert_eq!(event.request.reason.as_deref(), Some("u product"));
    assert_eq!(event.id, "t/3@14");
}

#[test]
fn an_envelope_with_its_schema_around_it_is_the_same() {
    let bare = envelope("d", r#"{"id":42,"category_id":1,"site_id":"s"}"#, "null", "");
    let framed = format!(r#"{{"schema":{{"type":"struct"}},"payload":{bare}}}"#);
    assert_eq!(purge(&rules(), &bare), purge(&rules(), &framed));
    let format = Rules { format: Format::Debezium, ..rules() };
    assert_eq!(purge(&format, &bare), purge(&format, &framed));
    assert_eq!(ignored(&format, r#"{"schema":{},"payload":null}"#), Ignored::Tombstone);
}

#[test]
fn a_table_without_tags_is_purged_by_the_sites_of_its_rows() {
    let text = r#"{"op":"u","before":{"site":"old"},"after":{"site":7},"source":{"db":"inventory","table":"page"}}"#;
    let event = purge(&rules(), text);
    assert_eq!(event.request.tags, ["7", "old"]);
    // A filter that knows only the old site lets the event pass.
    let filter = Filter { only: vec![Pattern::new("old")], except: Vec::new() };
    let event = purge(&Rules { sites: filter, ..rules() }, text);
    assert_eq!(event.site.as_deref(), Some("old"));
}

#[test]
fn snapshots_messages_and_tables_without_a_rule_are_ignored() {
    let row = r#"{"id":1}"#;
    assert_eq!(ignored(&rules(), &envelope("r", "null", row, "")), Ignored::Snapshot);
    for flag in ["true", "\"true\"", "\"last\"", "\"incremental\""] {
        let text = format!(
            r#"{{"op":"c","after":{row},"source":{{"table":"product","schema":"public","snapshot":{flag}}}}}"#
        );
        assert_eq!(ignored(&rules(), &text), Ignored::Snapshot, "{flag}");
    }
    assert_eq!(ignored(&rules(), &envelope("m", "null", "null", "")), Ignored::OtherType);
    let text = r#"{"op":"c","after":{"id":1},"source":{"schema":"private","table":"product"}}"#;
    assert_eq!(ignored(&rules(), text), Ignored::OtherTable);
    let format = Rules { format: Format::Debezium, ..rules() };
    for text in [r#"{"ts_ms":1}"#, r#"{"status":"BEGIN","id":"x"}"#] {
        assert_eq!(ignored(&format, text), Ignored::OtherType);
    }
}

#[test]
fn values_have_one_text() {
    let mut rules = rules();
    rules.tables = vec![table("product", &["{a}-{b}-{c}-{d}"], None)];
    let text = envelope("c", "null", r#"{"a":true,"b":-1,"c":1.50,"d":"x"}"#, "");
    assert_eq!(purge(&rules, &text).request.tags, ["true--1-1.5-x"]);
    let text = envelope("c", "null", r#"{"a":1,"b":2,"c":[1],"d":"x"}"#, "");
    let (code, detail) = unreadable(&rules, &text);
    assert_eq!(
        (code, detail.starts_with("after.c: is a list")),
        (Code::Template, true),
        "{detail}"
    );
    let text = envelope("c", "null", r#"{"a":1,"b":2,"c":12345678901234567890123,"d":"x"}"#, "");
    assert_eq!(unreadable(&rules, &text).0, Code::Template);
}

#[test]
fn a_missing_column_leaves_its_template_out_but_not_all_of_them() {
    let text = envelope("c", "null", r#"{"id":42,"category_id":null}"#, "");
    assert_eq!(purge(&rules(), &text).request.tags, ["product:42"]);
    let text =
        envelope("u", "null", r#"{"id":42,"category_id":"__debezium_unavailable_value"}"#, "");
    assert_eq!(purge(&rules(), &text).request.tags, ["product:42"]);
    let (code, detail) = unreadable(&rules(), &envelope("c", "null", r#"{"name":"x"}"#, ""));
    assert_eq!(code, Code::Template);
    assert!(detail.contains("{table}:{id} of after"), "{detail}");
    assert_eq!(unreadable(&rules(), &envelope("c", "null", "null", "")).0, Code::Template);
    assert_eq!(unreadable(&rules(), r#"{"op":"c","after":{"id":1}}"#).0, Code::Field);
    assert_eq!(unreadable(&rules(), &envelope("c", "null", "\"{}\"", "")).0, Code::Type);
    assert_eq!(unreadable(&rules(), &envelope("x", "null", "{}", "")).0, Code::Shape);
}

#[test]
fn a_column_that_makes_no_tag_names_the_template() {
    let (code, detail) = unreadable(&rules(), &envelope("c", "null", r#"{"id":"a b"}"#, ""));
    assert_eq!(code, Code::Tag);
    assert!(detail.starts_with("tag {table}:{id} of after: \"product:a b\""), "{detail}");
}

#[test]
fn a_column_may_have_the_name_of_something_else() {
    let mut rules = rules();
    rules.tables = vec![table("product", &["{table}/{row.table}/{site}/{schema}"], Some("s"))];
    let text = envelope("c", "null", r#"{"table":"t","site":"no","s":"yes"}"#, "");
    assert_eq!(purge(&rules, &text).request.tags, ["product/t/yes/public"]);
}

#[test]
fn a_truncation_is_the_table_as_a_whole() {
    let text = envelope("t", "null", "null", "");
    assert_eq!(purge(&rules(), &text).request.tags, ["product"]);
    let mut rules = rules();
    rules.tables[0].truncate = vec!["all-{db}-{table}".parse().unwrap()];
    rules.tables[0].mode = Some(PurgeMode::Soft);
    let request = purge(&rules, &text).request;
    assert_eq!(
        (request.tags, request.mode),
        (vec!["all-inventory-product".into()], Some(PurgeMode::Soft))
    );
    rules.tables[0].truncate = vec!["{id}".parse().unwrap()];
    assert_eq!(unreadable(&rules, &text).0, Code::Template);
}

#[test]
fn a_tombstone_after_a_delete_purges_no_site() {
    let rules =
        Rules { format: Format::Debezium, tombstone: super::super::Tombstone::Site, ..rules() };
    let record = Record { key: Some(b"42"), payload: None, ..record(b"") };
    assert_eq!(EventReader::new(rules).read(&record, now()), Reading::Ignored(Ignored::Tombstone));
}
