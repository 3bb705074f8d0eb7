//! `shellac top`: what a running proxy does, on a screen that is drawn anew each second.

mod figures;
mod rows;
mod screen;
mod view;

use std::io::IsTerminal as _;
use std::process::ExitCode;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::time::Duration;

use clap::{Args, ValueEnum};
use http::Method;
use ratatui::buffer::Cell;
use ratatui::crossterm::event::{self, Event, KeyEventKind};
use ratatui::{DefaultTerminal, Terminal, backend::TestBackend};

use self::screen::{Colours, draw};
use self::view::{Next, View};
use super::admin_client::{AdminArguments, AdminClient};
use crate::live::snapshot::LiveSnapshot;
use process::exit::Exit;
use process::terminal::{print, print_more, say};

#[derive(Debug, Args)]
pub(super) struct LiveScreenArguments {
    #[command(flatten)]
    admin: AdminArguments,
    /// Time between two looks
    #[arg(long, value_name = "DURATION", default_value = "1s", value_parser = interval)]
    interval: Duration,
    /// Print one screen as text and end; so does an output that is no terminal
    #[arg(long)]
    once: bool,
    /// Print what `GET /api/v1/live` answers, a line each time
    #[arg(long)]
    json: bool,
    /// The order of URLs
    #[arg(long, value_enum, default_value_t)]
    sort: SortBy,
    /// The table to begin with
    #[arg(long, value_enum, default_value_t)]
    tab: Tab,
}

/// The figure that URLs are ordered by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
enum SortBy {
    #[default]
    Requests,
    Misses,
    Bytes,
    /// The time that the origin took for it
    Origin,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
enum Tab {
    #[default]
    Urls,
    /// Why responses are not cached
    Reasons,
    Tags,
    Origins,
    Storage,
    Purges,
}

impl Tab {
    const ALL: [Self; 6] =
        [Self::Urls, Self::Reasons, Self::Tags, Self::Origins, Self::Storage, Self::Purges];

    const fn title(self) -> &'static str {
        match self {
            Self::Urls => "URLs",
            Self::Reasons => "Why not cached",
            Self::Tags => "Tags",
            Self::Origins => "Origins",
            Self::Storage => "Storage",
            Self::Purges => "Purges",
        }
    }
}

impl SortBy {
    const fn next(self) -> Self {
        match self {
            Self::Requests => Self::Misses,
            Self::Misses => Self::Bytes,
            Self::Bytes => Self::Origin,
            Self::Origin => Self::Requests,
        }
    }
}

/// A look at the proxy, or why there was none.
type TopLook = Result<Box<LiveSnapshot>, String>;

/// Runs the command.
pub(super) fn top(arguments: &LiveScreenArguments) -> ExitCode {
    let exit = AdminClient::of(&arguments.admin).and_then(|client| {
        if arguments.json {
            print_lines(&client, arguments)
        } else if arguments.once || !std::io::stdout().is_terminal() {
            print_screen(&client, arguments)
        } else {
            follow(client, arguments)
        }
    });
    exit.unwrap_or_else(|exit| exit).into()
}

fn print_lines(client: &AdminClient, arguments: &LiveScreenArguments) -> Result<Exit, Exit> {
    let pause = sync_channel::<()>(1);
    loop {
        let answer = client.ask(&Method::GET, PATH, None)?;
        if !answer.status.is_success() {
            return Err(answer.refused());
        }
        let is_read = print_more(&[answer.text().trim_end(), "\n"].concat())?;
        if arguments.once || !is_read {
            return Ok(Exit::Done);
        }
        let _elapsed = pause.1.recv_timeout(arguments.interval);
    }
}

fn print_screen(client: &AdminClient, arguments: &LiveScreenArguments) -> Result<Exit, Exit> {
    let answer = client.ask(&Method::GET, PATH, None)?;
    if !answer.status.is_success() {
        return Err(answer.refused());
    }
    let look = read(&answer.body).map_err(|problem| {
        say(format_args!("shellac: {problem}"));
        Exit::Unavailable
    })?;
    let text = page(&look, &View::new(arguments.tab, arguments.sort), (WIDTH, HEIGHT));
    Ok(print(&text))
}

/// Draws a screen of this size as text.
fn page(snapshot: &LiveSnapshot, view: &View, (width, height): (u16, u16)) -> String {
    let Ok(mut terminal) = Terminal::new(TestBackend::new(width, height));
    let Ok(_drawn) = terminal.draw(|frame| draw(frame, Some(snapshot), view, Colours::Off));
    let buffer = terminal.backend().buffer();
    let mut text = String::new();
    for row in buffer.content().chunks(usize::from(width.max(1))) {
        let line: String = row.iter().map(Cell::symbol).collect();
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

/// Follows the proxy until the operator ends it.
fn follow(client: AdminClient, arguments: &LiveScreenArguments) -> Result<Exit, Exit> {
    let (sender, looks) = sync_channel(1);
    let (end, ended) = sync_channel::<()>(0);
    let interval = arguments.interval;
    let looking = move || look_again(&client, interval, &sender, &ended);
    if let Err(error) = std::thread::Builder::new().name("looks".into()).spawn(looking) {
        say(format_args!("shellac: {error}"));
        return Err(Exit::Io);
    }
    let mut terminal = ratatui::try_init().map_err(|error| {
        say(format_args!("shellac: this terminal cannot be drawn on: {error}; try --once"));
        Exit::Io
    })?;
    let done = run(&mut terminal, &looks, View::new(arguments.tab, arguments.sort));
    ratatui::restore();
    drop(end);
    match done {
        Ok(()) => Ok(Exit::Done),
        Err(error) => {
            say(format_args!("shellac: {error}"));
            Err(Exit::Io)
        }
    }
}

/// Looks at the proxy once in each interval, until the other end of `ended` is gone.
fn look_again(
    client: &AdminClient,
    interval: Duration,
    looks: &SyncSender<TopLook>,
    ended: &Receiver<()>,
) {
    loop {
        let look = client.try_ask(&Method::GET, PATH, None).and_then(|answer| {
            if answer.status.is_success() { read(&answer.body) } else { Err(answer.detail()) }
        });
        if looks.send(look).is_err() {
            return;
        }
        if ended.recv_timeout(interval) != Err(RecvTimeoutError::Timeout) {
            return;
        }
    }
}

fn read(body: &[u8]) -> TopLook {
    serde_json::from_slice(body).map(Box::new).map_err(|error| {
        format!("the proxy's answer is not understood: {error}; is it of the same version?")
    })
}

fn run(
    terminal: &mut DefaultTerminal,
    looks: &Receiver<TopLook>,
    mut view: View,
) -> std::io::Result<()> {
    let colours = Colours::of_environment();
    let mut shown: Option<Box<LiveSnapshot>> = None;
    loop {
        for look in looks.try_iter() {
            match look {
                Ok(snapshot) => {
                    view.problem = None;
                    if !view.is_frozen {
                        shown = Some(snapshot);
                    }
                }
                Err(problem) => view.problem = Some(problem),
            }
        }
        terminal.draw(|frame| draw(frame, shown.as_deref(), &view, colours))?;
        if event::poll(KEY_PATIENCE)?
            && let Event::Key(key) = event::read()?
            && key.kind != KeyEventKind::Release
            && view.press(key) == Next::End
        {
            return Ok(());
        }
    }
}

fn interval(text: &str) -> Result<Duration, String> {
    let parsed = humantime::parse_duration(text).map_err(|error| error.to_string())?;
    let range = Duration::from_millis(100)..=Duration::from_hours(1);
    if range.contains(&parsed) { Ok(parsed) } else { Err("must be 100ms to 1h".to_owned()) }
}

const PATH: &str = "/api/v1/live?series=240";
/// The size of a screen that is printed.
const WIDTH: u16 = 100;
const HEIGHT: u16 = 40;
/// The longest time until a look is drawn.
const KEY_PATIENCE: Duration = Duration::from_millis(100);

#[cfg(test)]
mod tests;
