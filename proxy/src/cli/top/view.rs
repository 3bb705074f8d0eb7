//! `View`: what the operator looks at, changed by keys.

use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

use super::{SortBy, Tab};

#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct View {
    pub(super) tab: Tab,
    pub(super) sort: SortBy,
    /// Rows that have none of this are left out.
    pub(super) filter: String,
    pub(super) is_filtering: bool,
    /// The screen stays as it is.
    pub(super) is_frozen: bool,
    pub(super) shows_help: bool,
    /// Rows above the first one that is shown.
    pub(super) skipped: usize,
    /// Why the last look has failed.
    pub(super) problem: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next {
    Stay,
    End,
}

impl View {
    pub(super) fn new(tab: Tab, sort: SortBy) -> Self {
        Self { tab, sort, ..Self::default() }
    }

    /// Does what a key is for.
    pub(super) fn press(&mut self, key: KeyEvent) -> Next {
        if key.modifiers.contains(KeyModifiers::CONTROL) && key.code == KeyCode::Char('c') {
            return Next::End;
        }
        if self.is_filtering {
            self.type_filter(key.code);
            return Next::Stay;
        }
        match key.code {
            KeyCode::Char('q') => return Next::End,
            KeyCode::Char('?') => self.shows_help = !self.shows_help,
            KeyCode::Char('f') => self.is_frozen = !self.is_frozen,
            KeyCode::Char('s') => self.sort = self.sort.next(),
            KeyCode::Char('/') => self.is_filtering = true,
            KeyCode::Char(digit @ '1'..='6') => self.turn_to(digit),
            KeyCode::Tab | KeyCode::Right => self.turn(1),
            KeyCode::BackTab | KeyCode::Left => self.turn(Tab::ALL.len() - 1),
            KeyCode::Down => self.skipped = self.skipped.saturating_add(1),
            KeyCode::Up => self.skipped = self.skipped.saturating_sub(1),
            KeyCode::PageDown => self.skipped = self.skipped.saturating_add(PAGE),
            KeyCode::PageUp => self.skipped = self.skipped.saturating_sub(PAGE),
            KeyCode::Home => self.skipped = 0,
            KeyCode::Esc => {
                self.shows_help = false;
                self.filter.clear();
            }
            _ => {}
        }
        Next::Stay
    }

    fn type_filter(&mut self, code: KeyCode) {
        match code {
            KeyCode::Enter => self.is_filtering = false,
            KeyCode::Esc => {
                self.is_filtering = false;
                self.filter.clear();
            }
            KeyCode::Backspace => {
                self.filter.pop();
            }
            KeyCode::Char(one) => self.filter.push(one),
            _ => {}
        }
        self.skipped = 0;
    }

    fn turn(&mut self, by: usize) {
        let place = Tab::ALL.iter().position(|tab| *tab == self.tab).unwrap_or_default();
        let next = Tab::ALL.get((place + by) % Tab::ALL.len());
        self.tab = next.copied().unwrap_or_default();
        self.skipped = 0;
    }

    fn turn_to(&mut self, digit: char) {
        let place =
            digit.to_digit(10).and_then(|digit| usize::try_from(digit).ok()?.checked_sub(1));
        if let Some(tab) = place.and_then(|place| Tab::ALL.get(place)) {
            self.tab = *tab;
            self.skipped = 0;
        }
    }
}

/// Rows that a page key moves by.
const PAGE: usize = 10;
