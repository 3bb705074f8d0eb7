//! `shellac demo`: the main job on one machine, in one process: an origin server, the proxy, traffic, purges, an outage.
//!
//! ```text
//!   story (eight steps) ─┐
//!   traffic (Zipf) ──────┴► proxy (free ports, threads of its own) ─► origin (shop: pages that take 50 to 150 ms)
//! ```
//!
//! It uses no file and no fixed port; when it ends, nothing is left.

mod shop;
mod origin;
mod proxy;
mod client;
mod figures;
mod traffic;
mod step;
mod story;
mod screen;

use std::future::pending;
use std::io;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use serde_json::{Value, json};
use tokio::task::JoinSet;
use tokio::time::{Instant, interval_at, sleep_until};

use self::client::ClientError;
use self::origin::Origin;
use self::proxy::Proxy;
use self::screen::{Form, Screen};
use self::shop::Shop;
use self::step::Step;
use self::story::Story;
use self::traffic::{FIRST_PRODUCT, Traffic};
use super::check::say;
use super::exit::Exit;
use super::{logging, run};
use crate::app::StartError;
use crate::config::{ConfigErrors, Log, LogLevel};

/// How much to show, and for how long.
#[derive(Debug, Args)]
pub(super) struct DemoArguments {
    /// Tell the story without traffic around it
    #[arg(long)]
    no_traffic: bool,
    /// End after this time, but not before the story is told [default: at Ctrl-C]
    #[arg(long = "for", value_name = "DURATION", value_parser = humantime::parse_duration)]
    lasts: Option<Duration>,
    /// Print one JSON document at the end; without --for, that is after the story
    #[arg(long)]
    json: bool,
    /// Pages that the traffic asks for
    #[arg(long, value_name = "NUMBER", default_value_t = 1000, value_parser = clap::value_parser!(u16).range(1..))]
    pages: u16,
}

/// Why there is nothing to show.
#[derive(Debug, thiserror::Error)]
enum DemoError {
    /// A socket, a thread or an event loop cannot be made. The user frees what the message says.
    #[error("cannot start: {0}")]
    Io(#[from] io::Error),
    /// The demonstration's own configuration is wrong: a bug.
    #[error("the demonstration's configuration is wrong: {0}")]
    Config(#[from] ConfigErrors),
    /// The proxy cannot start.
    #[error(transparent)]
    Start(#[from] StartError),
    /// The proxy does not answer at all.
    #[error("the proxy does not answer: {0}")]
    Client(#[from] ClientError),
    /// The proxy does not know where it listens.
    #[error("the proxy has no address")]
    NoAddress,
    /// The proxy's thread is gone: a bug.
    #[error("the proxy panicked")]
    Panicked,
}

/// Shows it. Fails when a step did not turn out as it must.
pub(super) fn demo(arguments: &DemoArguments) -> ExitCode {
    logging::start(&Log { level: LogLevel::Warn, ..Log::default() });
    run::raise_descriptor_limit(CONNECTIONS_MAX);
    match perform(arguments) {
        Ok(true) => Exit::Done.into(),
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            say(format_args!("shellac: {error}"));
            Exit::Io.into()
        }
    }
}

/// Sets the stage, plays, clears it away. Returns whether all turned out as it must.
fn perform(arguments: &DemoArguments) -> Result<bool, DemoError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let (proxy, is_right) = runtime.block_on(async {
        let origin = Origin::start(Shop::new(FIRST_PRODUCT + usize::from(arguments.pages)))?;
        let proxy = Proxy::start(origin.address)?;
        let is_right = play(arguments, &origin, &proxy).await?;
        Ok::<_, DemoError>((proxy, is_right))
    })?;
    drop(runtime); // closes every connection: the proxy has nobody to wait for
    proxy.stop()?;
    Ok(is_right)
}

/// Tells the story amid the traffic, then stays until it is time, or somebody says so.
async fn play(
    arguments: &DemoArguments,
    origin: &Origin,
    proxy: &Proxy,
) -> Result<bool, DemoError> {
    let started = Instant::now();
    let screen = Screen::new(arguments.json);
    let mut background = JoinSet::new();
    let traffic = (!arguments.no_traffic)
        .then(|| Traffic::new(Arc::clone(&origin.shop), usize::from(arguments.pages), proxy));
    if let Some(traffic) = &traffic {
        background.spawn(Arc::clone(traffic).run());
    }
    screen.say(&welcome(origin, proxy));
    let mut story = Story::begin(origin, proxy).await?;
    let mut told = Vec::new();
    let whole = async {
        story.tell(&screen, arguments.pause(), &mut told).await;
        screen.say(&invitation(proxy));
        arguments.stay(started).await;
    };
    tokio::select! {
        () = whole => {}
        () = show_traffic(traffic.as_deref(), &screen) => {}
        () = run::told_to_leave() => {}
        () = screen.closed() => {}
    }
    background.shutdown().await;
    screen.finish();
    let is_right =
        told.iter().all(Step::is_right) && traffic.as_deref().is_none_or(Traffic::is_sound);
    screen.document(&document(proxy, &told, traffic.as_deref(), is_right));
    Ok(is_right)
}

impl DemoArguments {
    /// The pause before each step of the story.
    fn pause(&self) -> Duration {
        self.lasts.map_or(PAUSE, |lasts| PAUSE.min(lasts / 20))
    }

    /// Waits for the end, if there is one to wait for.
    async fn stay(&self, started: Instant) {
        match self.lasts {
            Some(lasts) => sleep_until(started + lasts).await,
            None if self.json => {}
            None => pending().await,
        }
    }
}

/// Keeps the line with the traffic's figures up to date, forever.
async fn show_traffic(traffic: Option<&Traffic>, screen: &Screen) {
    let Some(traffic) = traffic else { return pending().await };
    let every = match screen.form() {
        Form::Terminal => Duration::from_millis(500),
        Form::Lines | Form::Document => Duration::from_secs(10),
    };
    let mut ticks = interval_at(Instant::now() + every, every);
    loop {
        ticks.tick().await;
        screen.show(format!("  {}", traffic.line()));
    }
}

fn welcome(origin: &Origin, proxy: &Proxy) -> String {
    format!(
        "  origin http://{}   proxy http://{}   admin http://{}\n",
        origin.address, proxy.traffic, proxy.admin
    )
}

fn invitation(proxy: &Proxy) -> String {
    let Proxy { traffic, admin, .. } = proxy;
    format!(
        "\n  try       curl -i http://{traffic}/p/42\
         \n            shellac purge --admin http://{admin} --tag product-42\
         \n            curl http://{admin}/api/v1/stats\
         \n  Ctrl-C ends it all\n"
    )
}

fn document(proxy: &Proxy, told: &[Step], traffic: Option<&Traffic>, is_right: bool) -> Value {
    json!({
        "version": env!("CARGO_PKG_VERSION"),
        "ok": is_right,
        "complete": told.len() == story::STEPS,
        "proxy": format!("http://{}", proxy.traffic),
        "admin": format!("http://{}", proxy.admin),
        "steps": told.iter().map(Step::document).collect::<Vec<_>>(),
        "traffic": traffic.map(Traffic::document),
    })
}

/// So that the story can be followed: it takes about a quarter of a minute.
const PAUSE: Duration = Duration::from_millis(1500);
/// The story's, the traffic's, and those to the origin server; each has two ends in this process.
const CONNECTIONS_MAX: usize = 1024;
