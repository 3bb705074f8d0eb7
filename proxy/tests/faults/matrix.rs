//! The table of docs/faults.md, which each test is compared with.

use std::path::Path;

use super::site::Seen;

/// A row of the table: what holds during one fault.
#[derive(Debug)]
pub(crate) struct Row {
    fault: String,
    cells: Vec<String>,
}

impl Row {
    /// Returns the row whose first cell is this fault.
    pub(crate) fn of(fault: &str) -> Self {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/faults.md");
        let text = std::fs::read_to_string(path).unwrap();
        let rows = text.lines().filter_map(|line| line.strip_prefix("| "));
        let found = rows.map(cells).find(|cells| cells[0] == fault);
        let cells = found.unwrap_or_else(|| panic!("docs/faults.md has no row {fault:?}"));
        assert_eq!(cells.len(), COLUMNS, "{cells:?}");
        Self { fault: fault.to_owned(), cells }
    }

    /// Compares a page that is not stored with the second column.
    pub(crate) fn check_miss(&self, seen: &Seen) {
        self.check(1, seen);
    }

    /// Compares a page of which a stale response is stored with the third column.
    pub(crate) fn check_stale(&self, seen: &Seen) {
        self.check(2, seen);
    }

    /// Asserts that the last but one column quotes what was logged.
    pub(crate) fn check_logged(&self, text: &str) {
        assert!(
            self.cells[4].contains(text),
            "{}: {text:?} is not in {:?}",
            self.fault,
            self.cells[4]
        );
    }

    fn check(&self, column: usize, seen: &Seen) {
        let cell = &self.cells[column];
        let is_right = cell.starts_with(&seen.status.to_string())
            && seen.error().is_none_or(|error| cell.contains(&format!("`{error}`")));
        let (fault, status, error) = (&self.fault, seen.status, seen.error());
        assert!(is_right, "{fault}: {status} with {error:?} is seen, not {cell:?}");
    }
}

fn cells(row: &str) -> Vec<String> {
    row.split(" | ").map(|cell| cell.trim_end_matches(" |").to_owned()).collect()
}

/// Fault, miss, stale response, after, logged, test.
const COLUMNS: usize = 6;
