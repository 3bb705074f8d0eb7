//! One step of the story: its claim, its measurements, and what went wrong.

use serde_json::{Map, Value, json};

use super::client::{AnswerSource, PageAnswer};
use super::shop::Cents;

/// A step. It has succeeded until a check fails.
#[derive(Debug)]
pub(super) struct StoryStep {
    number: usize,
    name: &'static str,
    text: String,
    figures: Map<String, Value>,
    complaints: Vec<String>,
}

impl StoryStep {
    /// A step that has not shown anything yet.
    pub(super) fn new(number: usize, name: &'static str) -> Self {
        Self { number, name, text: String::new(), figures: Map::new(), complaints: Vec::new() }
    }

    pub(super) fn tell(&mut self, text: String) {
        self.text = text;
    }

    pub(super) fn measure(&mut self, name: &str, figure: impl Into<Value>) {
        drop(self.figures.insert(name.to_owned(), figure.into()));
    }

    /// Checks that a page came from where it must, with the right price.
    pub(super) fn must_be(
        &mut self,
        page: &str,
        answer: &PageAnswer,
        source: AnswerSource,
        price: Cents,
    ) {
        let is_right =
            answer.status.is_success() && answer.source == source && answer.price == Some(price);
        let shown = answer.price.map_or_else(|| "no price".to_owned(), |price| price.to_string());
        self.must(is_right, || {
            format!(
                "{page} must be a {} with {price}, was a {} with {shown} ({})",
                source.as_str(),
                answer.source.as_str(),
                answer.status.as_u16()
            )
        });
    }

    pub(super) fn must(&mut self, is_right: bool, complaint: impl FnOnce() -> String) {
        if !is_right {
            self.complaints.push(complaint());
        }
    }

    pub(super) const fn is_right(&self) -> bool {
        self.complaints.is_empty()
    }

    /// For people: a line, and one more for each complaint.
    pub(super) fn lines(&self) -> String {
        let mark = if self.is_right() { '✓' } else { '✗' };
        let Self { number, name, text, complaints, .. } = self;
        let mut lines = format!("{number:>3}  {name:<9} {text} {mark}");
        for complaint in complaints {
            lines.push_str("\n     ✗         ");
            lines.push_str(complaint);
        }
        lines
    }

    pub(super) fn document(&self) -> Value {
        json!({
            "name": self.name,
            "ok": self.is_right(),
            "text": self.text,
            "measured": self.figures,
            "complaints": self.complaints,
        })
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use http::StatusCode;

    use super::*;

    #[test]
    fn a_page_that_is_not_as_it_must_be_is_a_complaint() {
        let answer = PageAnswer {
            status: StatusCode::OK,
            source: AnswerSource::Hit,
            price: Some(Cents(1230)),
            took: Duration::ZERO,
        };
        let mut step = StoryStep::new(5, "fresh");
        step.must_be("/p/42", &answer, AnswerSource::Hit, Cents(1230));
        assert!(step.is_right());

        step.must_be("/p/42", &answer, AnswerSource::Miss, Cents(1340));

        assert!(!step.is_right());
        assert_eq!(
            step.document()["complaints"][0],
            "/p/42 must be a MISS with 13.40, was a HIT with 12.30 (200)"
        );
    }
}
