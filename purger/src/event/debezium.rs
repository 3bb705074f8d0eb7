//! Debezium envelopes: a row was created, updated or deleted.
//!
//! The row before and the row after both count: a product that moves from one category to another
//! changes both categories' pages. A database says what a row was before only if it is asked to
//! (`PostgreSQL`: `REPLICA IDENTITY FULL`).

use std::borrow::Cow;

use super::Ignored;
use super::draft::{Draft, Stop};
use super::fields::Fields;
use super::json::{Json, Object};
use super::rules::{Rules, TableRule};
use super::template::Template;
use super::time;
use super::unreadable::{Code, Problem, shown};

/// Debezium's placeholder for a large column that did not change.
const UNAVAILABLE: &str = "__debezium_unavailable_value";

/// Reads an envelope, with its schema around it or without.
pub(super) fn read(object: &Object<'_>, rules: &Rules) -> Result<Draft, Stop> {
    let object = match object.object("payload") {
        Some(payload) if !object.has("op") => payload,
        None if object.has("schema") && !object.has("op") => return Err(Ignored::Tombstone.into()),
        _ => object,
    };
    let fields = Fields { object, path: "" };
    let Some(op) = fields.text("op")? else { return Err(without_op(object)) };
    let source = fields.object("source")?;
    if op == "r" || source.is_some_and(is_snapshot) {
        return Err(Ignored::Snapshot.into());
    }
    let table = Table::of(source)?;
    let Some(rule) = rules.tables.iter().find(|rule| table.is_meant_by(rule)) else {
        return Err(Ignored::OtherTable.into());
    };
    let mut draft = match op {
        "c" | "u" | "d" => rows(fields, &table, rule, rules)?,
        "t" => truncation(&table, rule)?,
        "m" => return Err(Ignored::OtherType.into()),
        _ => {
            let detail = format!("op: {} is none; Debezium writes c, u, d, r, t or m", shown(op));
            return Err(Problem::new(Code::Shape, detail).into());
        }
    };
    draft.mode = rule.mode;
    draft.reason = Some(format!("{op} {}", table.name));
    draft.source =
        source.and_then(|source| source.text("name")).map(|name| format!("debezium:{name}"));
    draft.time = source.and_then(millis).or_else(|| millis(object));
    Ok(draft)
}

pub(super) fn is_one(object: &Object<'_>) -> bool {
    let is_envelope = |object: &Object<'_>| {
        object.has("op") && ["before", "after", "source"].iter().any(|name| object.has(name))
    };
    is_envelope(object) || object.object("payload").is_some_and(is_envelope)
}

/// Heartbeats, transactions and changes of schemas share the connector's topics.
fn without_op(object: &Object<'_>) -> Stop {
    if ["ts_ms", "ddl", "status", "databaseName"].iter().any(|name| object.has(name)) {
        return Ignored::OtherType.into();
    }
    let detail = "op: is not there; this is no Debezium envelope (is a transform unwrapping it?)";
    Problem::new(Code::Shape, detail).into()
}

fn is_snapshot(source: &Object<'_>) -> bool {
    match source.get("snapshot") {
        Some(Json::Bool(flag)) => *flag,
        Some(Json::Text(text)) => text != "false",
        _ => false,
    }
}

fn millis(object: &Object<'_>) -> Option<std::time::SystemTime> {
    match object.get("ts_ms") {
        Some(Json::Unsigned(millis)) => time::of_millis(i64::try_from(*millis).ok()?),
        _ => None,
    }
}

struct Table<'a> {
    name: &'a str,
    schema: Option<&'a str>,
    db: Option<&'a str>,
}

impl<'a> Table<'a> {
    fn of(source: Option<&'a Object<'a>>) -> Result<Self, Problem> {
        let text = |name: &str| source.and_then(|source| source.text(name));
        let missing = "source.table: is not there; a row without its table has no templates";
        let name = text("table").or_else(|| text("collection"));
        let name = name.ok_or_else(|| Problem::new(Code::Field, missing))?;
        Ok(Self { name, schema: text("schema"), db: text("db") })
    }

    fn is_meant_by(&self, rule: &TableRule) -> bool {
        let is_meant = |parts: &[Option<&str>]| {
            let parts: Option<Vec<&str>> = parts.iter().copied().collect();
            parts.is_some_and(|parts| rule.table.matches(&parts.join(".")))
        };
        let name = Some(self.name);
        is_meant(&[name])
            || is_meant(&[self.schema, name])
            || is_meant(&[self.db, name])
            || is_meant(&[self.db, self.schema, name])
    }

    fn value(&self, name: &str) -> Option<&'a str> {
        match name {
            "table" => Some(self.name),
            "schema" => self.schema,
            "db" => self.db,
            _ => None,
        }
    }
}

fn rows(
    fields: Fields<'_>,
    table: &Table<'_>,
    rule: &TableRule,
    rules: &Rules,
) -> Result<Draft, Problem> {
    let mut draft = Draft::default();
    let mut missing = Vec::new();
    // The row as it is now names the event's site.
    for side in ["after", "before"] {
        let Some(row) = fields.object(side)? else { continue };
        let row = Row { side, columns: row };
        if let Some(site) =
            rule.site.as_deref().map(|column| row.column(column)).transpose()?.flatten()
        {
            draft.note_site(&site, side)?;
            if rule.tags.is_empty() {
                draft.add_site(&site, rules, side)?;
            }
        }
        for template in &rule.tags {
            match template.render(|name| row.value(name, table, rule))? {
                Some(tag) => draft.add_tag(&tag, || format!("tag {template} of {side}"))?,
                None => missing.push(format!("{template} of {side}")),
            }
        }
    }
    if draft.tags.is_empty() && draft.hosts.is_empty() {
        let detail = if missing.is_empty() {
            "before and after: hold no row, or no site; give the table templates for its tags"
                .to_owned()
        } else {
            let missing = shown(&missing.join(", "));
            format!(
                "table {}: none of its tags could be made: {missing}: columns are missing or null",
                table.name
            )
        };
        return Err(Problem::new(Code::Template, detail));
    }
    Ok(draft)
}

fn truncation(table: &Table<'_>, rule: &TableRule) -> Result<Draft, Problem> {
    let mut draft = Draft::default();
    let whole = [Template::of_name("table")];
    let templates = if rule.truncate.is_empty() { &whole[..] } else { &rule.truncate };
    for template in templates {
        let value = |name: &str| Ok::<_, Problem>(table.value(name).map(Cow::Borrowed));
        if let Some(tag) = template.render(value)? {
            draft.add_tag(&tag, || format!("tag {template} of the table"))?;
        }
    }
    if draft.tags.is_empty() {
        let detail = format!(
            "table {}: a truncation has no columns; use table, schema and db only",
            table.name
        );
        return Err(Problem::new(Code::Template, detail));
    }
    Ok(draft)
}

struct Row<'a> {
    side: &'static str,
    columns: &'a Object<'a>,
}

impl<'a> Row<'a> {
    fn value(
        &self,
        name: &str,
        table: &Table<'a>,
        rule: &TableRule,
    ) -> Result<Option<Cow<'a, str>>, Problem> {
        if let Some(column) = name.strip_prefix("row.") {
            return self.column(column);
        }
        match (name, &rule.site) {
            ("site", Some(column)) => self.column(column),
            ("table" | "schema" | "db", _) => Ok(table.value(name).map(Cow::Borrowed)),
            _ => self.column(name),
        }
    }

    /// Returns the column's text; `None` where it is missing, null, or left out by Debezium.
    fn column(&self, name: &str) -> Result<Option<Cow<'a, str>>, Problem> {
        let Some(value) = self.columns.get(name) else { return Ok(None) };
        match value.scalar() {
            Some(text) if text == UNAVAILABLE => Ok(None),
            Some(text) => Ok(Some(text)),
            None => {
                let wanted = "take a column of strings, whole numbers or booleans";
                let detail = format!(
                    "{}.{name}: is {} without one exact text; {wanted}",
                    self.side,
                    value.kind()
                );
                Err(Problem::new(Code::Template, detail))
            }
        }
    }
}
