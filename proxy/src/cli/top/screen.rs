//! The screen, as a function of the snapshot and the view.

use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Clear, Paragraph, Row, Sparkline, Table};

use super::Tab;
use super::figures::{percent, rate, seconds, size_of_rate, span};
use super::rows::rows;
use super::view::View;
use crate::live::snapshot::{LatencyCounts, LiveSnapshot, Quantiles};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Colours {
    On,
    Off,
}

impl Colours {
    /// Off where `NO_COLOR` is set, or the terminal is dumb.
    pub(super) fn of_environment() -> Self {
        let is_off = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty())
            || std::env::var("TERM").is_ok_and(|term| term == "dumb");
        if is_off { Self::Off } else { Self::On }
    }

    fn of(self, colour: Color) -> Style {
        match self {
            Self::On => Style::new().fg(colour),
            Self::Off => Style::new(),
        }
    }
}

pub(super) fn draw(
    frame: &mut Frame<'_>,
    snapshot: Option<&LiveSnapshot>,
    view: &View,
    colours: Colours,
) {
    let area = frame.area();
    let is_small = area.height < SMALL_HEIGHT;
    let (graph, histogram) = if is_small { (2, 3) } else { (5, 3) };
    let [head, graph, histogram, tabs, table, footer] = Layout::vertical([
        Constraint::Length(HEAD_LINES),
        Constraint::Length(graph),
        Constraint::Length(histogram),
        Constraint::Length(1),
        Constraint::Min(3),
        Constraint::Length(1),
    ])
    .areas(area);
    if let Some(snapshot) = snapshot {
        frame.render_widget(Paragraph::new(head_lines(snapshot, view, colours)), head);
        draw_requests(frame, graph, snapshot, colours);
        draw_latencies(frame, histogram, &snapshot.histogram, colours);
        frame.render_widget(Paragraph::new(tab_line(view, colours)), tabs);
        draw_table(frame, table, snapshot, view);
    } else {
        let text = view.problem.as_deref().unwrap_or("waiting for the proxy ...");
        frame.render_widget(Paragraph::new(text.to_owned()), head);
    }
    frame.render_widget(Paragraph::new(footer_line(view)), footer);
    if view.shows_help {
        draw_help(frame, area);
    }
}

fn head_lines(snapshot: &LiveSnapshot, view: &View, colours: Colours) -> Vec<Line<'static>> {
    let bold = Style::new().add_modifier(Modifier::BOLD);
    let LiveSnapshot { hit_ratio, rates, outcomes, latency_seconds, connections, .. } = snapshot;
    let saved = (rates.requests > 0.0).then(|| 1.0 - rates.origin_requests / rates.requests);
    let answers = [
        ("hit", outcomes.hit, Color::Green),
        ("stale", outcomes.stale, Color::Yellow),
        ("revalidated", outcomes.revalidated, Color::Cyan),
        ("miss", outcomes.miss, Color::Magenta),
        ("bypass", outcomes.bypass, Color::Blue),
        ("uncacheable", outcomes.uncacheable, Color::Blue),
        ("error", outcomes.error, Color::Red),
    ];
    let mut line = vec![Span::raw("answers/s  ")];
    let always = ["hit", "miss", "error"];
    let shown =
        answers.into_iter().filter(|(name, value, _)| *value > 0.0 || always.contains(name));
    for (name, value, colour) in shown {
        let style = if value > 0.0 { colours.of(colour) } else { Style::new() };
        line.push(Span::styled(format!("{name} {}  ", rate(value)), style));
    }
    vec![
        status_line(snapshot, view, colours),
        Line::from(vec![
            Span::raw("hit ratio  "),
            Span::styled(format!("10s {}", percent(hit_ratio.ten_seconds)), bold),
            Span::raw(format!(
                "   1s {}   1m {}   15m {}   saved {}",
                percent(hit_ratio.second),
                percent(hit_ratio.minute),
                percent(hit_ratio.quarter),
                percent(saved.map(|saved| saved.max(0.0)))
            )),
        ]),
        Line::raw(format!(
            "requests   {}/s  origin {}/s  in {}/s  out {}/s  open {} tls {} h2 {}",
            rate(rates.requests),
            rate(rates.origin_requests),
            size_of_rate(rates.bytes_in),
            size_of_rate(rates.bytes_out),
            connections.open,
            connections.tls,
            connections.http2
        )),
        Line::from(line),
        latency_line("hits", latency_seconds.hit, colours.of(Color::Green)),
        latency_line("misses", latency_seconds.miss, colours.of(Color::Magenta)),
    ]
}

fn status_line(snapshot: &LiveSnapshot, view: &View, colours: Colours) -> Line<'static> {
    let config = &snapshot.config;
    let hash: String = config.hash.chars().take(8).collect();
    let ready = match &snapshot.unready_because {
        None => Span::styled("ready", colours.of(Color::Green)),
        Some(reason) => Span::styled(format!("not ready: {reason}"), colours.of(Color::Red)),
    };
    let reload = match &config.problem {
        None => Span::raw(format!("config {hash}")),
        Some(_) => {
            Span::styled(format!("config {hash}, last reload FAILED"), colours.of(Color::Red))
        }
    };
    let mut parts = vec![
        Span::styled(
            format!("shellac {}", snapshot.version),
            Style::new().add_modifier(Modifier::BOLD),
        ),
        Span::raw(format!("   up {}   ", span(snapshot.uptime_seconds))),
        ready,
        Span::raw("   "),
        reload,
    ];
    if view.is_frozen {
        parts.push(Span::styled("   FROZEN", colours.of(Color::Yellow)));
    }
    if let Some(problem) = &view.problem {
        parts.push(Span::styled(format!("   {problem}"), colours.of(Color::Red)));
    }
    Line::from(parts)
}

fn latency_line(name: &str, quantiles: Quantiles, style: Style) -> Line<'static> {
    let Quantiles { p50, p95, p99 } = quantiles;
    Line::from(vec![
        Span::styled(format!("{name:<11}"), style),
        Span::raw(format!("p50 {:<9}p95 {:<9}p99 {}", seconds(p50), seconds(p95), seconds(p99))),
    ])
}

/// Draws the requests of the last seconds, one column each.
fn draw_requests(frame: &mut Frame<'_>, area: Rect, snapshot: &LiveSnapshot, colours: Colours) {
    let requests = &snapshot.series.requests;
    let skipped = requests.len().saturating_sub(usize::from(area.width));
    let newest = requests.get(skipped..).unwrap_or_default();
    let graph = Sparkline::default().data(newest).style(colours.of(Color::Green));
    frame.render_widget(graph, area);
}

/// Draws hits and misses over one logarithmic axis, one column for each bucket.
fn draw_latencies(frame: &mut Frame<'_>, area: Rect, counts: &LatencyCounts, colours: Colours) {
    let [hits, misses, axis] = Layout::vertical([Constraint::Length(1); 3]).areas(area);
    for (area, name, counts, colour) in [
        (hits, "hits", &counts.hits, Color::Green),
        (misses, "misses", &counts.misses, Color::Magenta),
    ] {
        let [label, graph] =
            Layout::horizontal([Constraint::Length(LABEL_COLUMNS), Constraint::Min(1)]).areas(area);
        frame.render_widget(Paragraph::new(name), label);
        let graph_of = Sparkline::default().data(counts.as_slice()).style(colours.of(colour));
        frame.render_widget(graph_of, graph);
    }
    frame.render_widget(Paragraph::new(AXIS), axis);
}

fn tab_line(view: &View, colours: Colours) -> Line<'static> {
    let chosen = match colours {
        Colours::On => Style::new().add_modifier(Modifier::REVERSED),
        Colours::Off => Style::new(),
    };
    let tabs = Tab::ALL.into_iter().enumerate().flat_map(|(place, tab)| {
        let (text, style) = if tab == view.tab {
            (format!("[{} {}]", place + 1, tab.title()), chosen)
        } else {
            (format!(" {} {} ", place + 1, tab.title()), Style::new())
        };
        [Span::styled(text, style), Span::raw(" ")]
    });
    Line::from(tabs.collect::<Vec<_>>())
}

fn draw_table(frame: &mut Frame<'_>, area: Rect, snapshot: &LiveSnapshot, view: &View) {
    let table = rows(snapshot, view);
    let [note, area] = Layout::vertical([Constraint::Length(1), Constraint::Min(1)]).areas(area);
    let more = table.cells.len();
    let filter = if view.filter.is_empty() && !view.is_filtering {
        String::new()
    } else {
        let cursor = if view.is_filtering { "_" } else { "" };
        format!("   filter: {}{cursor} ({more})", view.filter)
    };
    frame.render_widget(Paragraph::new(format!("{}{filter}", table.note)), note);
    let widths = table.columns.iter().map(|(_, width)| match width {
        0 => Constraint::Min(10),
        width => Constraint::Length(*width),
    });
    let titles = table.columns.iter().map(|(title, _)| *title);
    let head = Row::new(titles).style(Style::new().add_modifier(Modifier::BOLD));
    let skipped = view.skipped.min(more.saturating_sub(1));
    let shown = table.cells.into_iter().skip(skipped).map(Row::new);
    frame.render_widget(Table::new(shown, widths).header(head), area);
}

fn footer_line(view: &View) -> &'static str {
    if view.is_filtering {
        "type to filter   Enter keep   Esc clear"
    } else {
        "1-6 Tab tables   / filter   s sort   f freeze   ? help   q quit"
    }
}

fn draw_help(frame: &mut Frame<'_>, area: Rect) {
    let width = area.width.min(HELP_COLUMNS);
    let height = u16::try_from(HELP.len()).unwrap_or_default().min(area.height);
    let window = Rect { x: (area.width - width) / 2, y: (area.height - height) / 2, width, height };
    frame.render_widget(Clear, window);
    frame.render_widget(Paragraph::new(HELP.map(Line::raw).to_vec()), window);
}

const HEAD_LINES: u16 = 6;
/// Below this, the graph of requests has two lines.
const SMALL_HEIGHT: u16 = 30;
const LABEL_COLUMNS: u16 = 8;
/// Five buckets to a decade.
const AXIS: &str = "        1µs  10µs 100µs1ms  10ms 100ms1s   10s  100s";
const HELP_COLUMNS: u16 = 66;
const HELP: [&str; 17] = [
    "",
    "  1 to 6, Tab, arrows   the tables",
    "  up, down, page keys   move in a table",
    "  /                     show only rows with this text; Esc ends it",
    "  s                     order of URLs: requests, misses, bytes,",
    "                        time of the origin",
    "  f                     freeze the screen, and go on",
    "  q, Ctrl-C             end",
    "",
    "  hit ratio  hits and stale responses of all that could be hits",
    "  saved      requests that did not reach the origin",
    "  graph      requests of each second, the newest at the right",
    "  hits and misses over one logarithmic axis: the last minute",
    "",
    "  Hits are timed by sample, one each 10 ms; misses all.",
    "  shellac top --json has every number.",
    "",
];
