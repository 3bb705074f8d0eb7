//! Comments: how many, how wide, and how they begin.

use std::collections::BTreeMap;

use super::report::Report;
use super::sources::{self, Source};

const COLUMNS_MAX: usize = 100;

/// Doc comments begin with the noun that they are about.
const WH_WORDS: [&str; 14] = [
    "what", "whatever", "who", "whoever", "whom", "whose", "which", "where", "when", "why", "how",
    "whether", "nobody", "nothing",
];
const WH_PERCENT_MAX: f64 = 3.0;

/// Doc comments in 1,000 lines.
const DENSITY_MAX: f64 = 49.0;

/// Crates that are an interface: every public item has a comment.
const INTERFACES: [&str; 2] = ["purge-protocol", "settings"];

/// The doc comments of a folder.
#[derive(Debug, Default)]
struct Figures {
    lines: usize,
    docs: usize,
    wh: usize,
}

#[test]
fn no_comment_is_wider_than_the_code() {
    let mut report = Report::new("comment lines over 100 columns");
    for source in sources::all() {
        let mut is_drawing = false;
        for (at, line) in source.text.lines().enumerate() {
            let text = line.trim_start();
            let is_comment = text.starts_with("//");
            let is_quoted = text.starts_with("//=") || text.starts_with("//#");
            is_drawing = is_comment && is_drawing ^ text.contains("```");
            if is_comment && !is_quoted && !is_drawing && line.chars().count() > COLUMNS_MAX {
                report.add(source.group(), format!("{}:{}", source.path, at + 1));
            }
        }
    }
    report.assert_empty();
}

#[test]
fn few_doc_comments_begin_with_a_question_word() {
    let mut report = Report::new("doc comments that begin with a question word");
    let mut groups: BTreeMap<String, Figures> = BTreeMap::new();
    let mut all = Figures::default();
    for source in sources::all().iter().filter(|source| source.in_crate().is_some()) {
        for (at, first) in doc_comments(source) {
            let word: String = first
                .trim_start_matches("///")
                .trim_start()
                .chars()
                .take_while(|letter| letter.is_alphabetic())
                .collect();
            let is_wh = WH_WORDS.contains(&word.to_lowercase().as_str());
            let figures = groups.entry(source.group()).or_default();
            figures.docs += 1;
            all.docs += 1;
            if is_wh {
                figures.wh += 1;
                all.wh += 1;
                report.add(source.group(), format!("{}:{}: {first}", source.path, at + 1));
            }
        }
    }
    report.print();
    for (group, figures) in groups {
        println!("{group}: {} of {} ({:.1} %)", figures.wh, figures.docs, figures.wh_percent());
    }
    println!("all: {} of {} ({:.1} %)", all.wh, all.docs, all.wh_percent());
    assert!(all.wh_percent() < WH_PERCENT_MAX, "{:.1} %", all.wh_percent());
}

#[test]
fn comments_say_what_names_and_types_cannot() {
    let mut groups: BTreeMap<String, Figures> = BTreeMap::new();
    let mut all = Figures::default();
    for source in sources::all() {
        let Some((krate, _)) = source.in_crate() else { continue };
        if INTERFACES.contains(&krate) {
            continue;
        }
        let lines = source.text.lines().count();
        let docs = doc_comments(&source).len();
        for figures in [groups.entry(source.group()).or_default(), &mut all] {
            figures.lines += lines;
            figures.docs += docs;
        }
    }
    for (group, figures) in groups {
        println!("{group}: {} in {} lines ({:.0})", figures.docs, figures.lines, figures.density());
    }
    println!("all: {} in {} lines ({:.1})", all.docs, all.lines, all.density());
    assert!(all.density() < DENSITY_MAX, "{:.1} doc comments per 1,000 lines", all.density());
}

impl Figures {
    #[expect(clippy::cast_precision_loss, reason = "counts of lines")]
    fn wh_percent(&self) -> f64 {
        self.wh as f64 * 100.0 / self.docs.max(1) as f64
    }

    #[expect(clippy::cast_precision_loss, reason = "counts of lines")]
    fn density(&self) -> f64 {
        self.docs as f64 * 1000.0 / self.lines.max(1) as f64
    }
}

/// The first line of every doc comment, with its place from zero. A file's head is none.
fn doc_comments(source: &Source) -> Vec<(usize, &str)> {
    let mut found = Vec::new();
    let mut is_inside = false;
    for (at, line) in source.text.lines().enumerate() {
        let line = line.trim_start();
        let is_doc = line.starts_with("///");
        if is_doc && !is_inside {
            found.push((at, line));
        }
        is_inside = is_doc;
    }
    found
}
