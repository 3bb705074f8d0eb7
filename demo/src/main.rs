//! `shellac-purger demo`: the main job on one machine, in one process: origin server, broker,
//! proxy, purger, traffic, an outage.
//!
//! ```text
//!   story, traffic ─┬─ pages ──► proxy (own threads) ─► origin (shop: pages take 50 to 150 ms)
//!                   │              ▲
//!                   └─ purges ─► broker (librdkafka's mock) ─► purger (own threads) ─► receipts
//! ```
//!
//! It uses no file and no fixed port; when it ends, nothing is left.

mod shop;
mod origin;
mod broker;
mod proxy;
mod purger;
mod stage;
mod client;
mod publisher;
mod receipts;
mod figures;
mod traffic;
mod step;
mod story;
mod screen;

use std::env;
use std::ffi::OsString;
use std::future::pending;
use std::io;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use clap::Parser;
use process::exit::Exit;
use process::signals::ExitSignals;
use process::terminal::say;
use process::{descriptors, logging};
use rdkafka::error::KafkaError;
use serde_json::{Value, json};
use settings::{ConfigErrors, LogLevel, LogSettings};
use shellac::server::StartError;
use shellac_purger::app::RunError;
use tokio::task::JoinSet;
use tokio::time::{Instant, interval_at, sleep_until};

use self::client::ClientError;
use self::publisher::Publisher;
use self::screen::{Form, Screen};
use self::stage::Stage;
use self::step::StoryStep;
use self::story::Story;
use self::traffic::{FIRST_PRODUCT, Traffic};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Show the whole story on this machine: renderer, Kafka, purger, proxy, traffic
#[derive(Debug, Parser)]
#[command(bin_name = "shellac-purger demo", version)]
struct Arguments {
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

/// The demonstration cannot go on.
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
    /// The broker cannot start.
    #[error("the broker cannot start: {0}")]
    Broker(#[from] KafkaError),
    /// The purger cannot start, or go on.
    #[error("the purger: {0}")]
    Purger(#[from] RunError),
    /// The purger could not commit in time what was confirmed.
    #[error("the purger did not end in time")]
    Cut,
    /// A thread is gone: a bug.
    #[error("the {0} panicked")]
    Panicked(&'static str),
}

/// Shows the story. Fails when a step does not turn out as it must.
fn main() -> ExitCode {
    let arguments = Arguments::parse_from(own_arguments());
    // Errors only: a first start logs warnings.
    logging::start(&LogSettings { level: LogLevel::Error, ..LogSettings::default() });
    descriptors::raise_descriptor_limit(CONNECTIONS_MAX);
    match perform(&arguments) {
        Ok(true) => Exit::Done.into(),
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            say(format_args!("shellac-purger: {error}"));
            Exit::Io.into()
        }
    }
}

/// Returns the arguments without the word `demo`, which `cargo run -- demo` writes.
fn own_arguments() -> Vec<OsString> {
    let mut arguments: Vec<OsString> = env::args_os().collect();
    if arguments.get(1).is_some_and(|first| first == "demo") {
        arguments.remove(1);
    }
    arguments
}

/// Sets the stage, plays, clears it away. Returns whether all turned out as it must.
fn perform(arguments: &Arguments) -> Result<bool, DemoError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let (stage, is_right) = runtime.block_on(async {
        let stage = Stage::set(FIRST_PRODUCT + usize::from(arguments.pages))?;
        let is_right = play(arguments, &stage).await?;
        Ok::<_, DemoError>((stage, is_right))
    })?;
    drop(runtime); // closes every connection, so that the proxy drains at once
    stage.clear()?;
    Ok(is_right)
}

/// Tells the story amid the traffic, then stays until the time is over or the user ends it.
async fn play(arguments: &Arguments, stage: &Stage) -> Result<bool, DemoError> {
    let exit = ExitSignals::listen()?; // before anything is said
    let started = Instant::now();
    let screen = Screen::new(arguments.json);
    let mut background = JoinSet::new();
    let traffic =
        (!arguments.no_traffic).then(|| Traffic::new(stage, usize::from(arguments.pages)));
    if let Some(traffic) = &traffic {
        let publisher = Publisher::open(stage).await?;
        background.spawn(Arc::clone(traffic).run(publisher));
    }
    let mut told = Vec::new();
    let whole = async {
        screen.say(&welcome(stage));
        Story::begin(stage).await?.tell(&screen, arguments.pause(), &mut told).await;
        screen.say(&invitation(stage));
        arguments.stay(started).await;
        Ok::<_, ClientError>(())
    };
    tokio::select! {
        _ = exit.told_to_leave(|| {}) => {}
        () = screen.closed() => {}
        () = show_traffic(traffic.as_deref(), &screen) => {}
        ended = whole => ended?,
    }
    background.shutdown().await;
    screen.finish();
    let is_right =
        told.iter().all(StoryStep::is_right) && traffic.as_deref().is_none_or(Traffic::is_sound);
    screen.document(&document(stage, &told, traffic.as_deref(), is_right));
    Ok(is_right)
}

impl Arguments {
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

fn welcome(stage: &Stage) -> String {
    let Stage { origin, broker, proxy, purger } = stage;
    format!(
        "  origin    http://{}\
         \n  proxy     http://{}   admin http://{}\
         \n  kafka     {}\
         \n  purger    admin http://{}\n",
        origin.address, proxy.traffic, proxy.admin, broker.address, purger.admin
    )
}

fn invitation(stage: &Stage) -> String {
    let Stage { broker, proxy, purger, .. } = stage;
    format!(
        "\n  try       curl -i http://{}/p/42\
         \n            shellac-purger send --broker {} --target {} --tag product-42 --wait\
         \n            curl http://{}/api/v1/status\
         \n  Ctrl-C ends it all\n",
        proxy.traffic, broker.address, proxy.admin, purger.admin
    )
}

fn document(stage: &Stage, told: &[StoryStep], traffic: Option<&Traffic>, is_right: bool) -> Value {
    json!({
        "version": env!("CARGO_PKG_VERSION"),
        "ok": is_right,
        "complete": told.len() == story::STEPS,
        "origin": format!("http://{}", stage.origin.address),
        "proxy": format!("http://{}", stage.proxy.traffic),
        "admin": format!("http://{}", stage.proxy.admin),
        "kafka": stage.broker.address,
        "purger": format!("http://{}", stage.purger.admin),
        "steps": told.iter().map(StoryStep::document).collect::<Vec<_>>(),
        "traffic": traffic.map(Traffic::document),
    })
}

/// So that the story can be followed: with the purger's joining it takes about 20 s.
const PAUSE: Duration = Duration::from_millis(1500);
/// The story's, the traffic's, and those to the origin server; each has two ends in this process.
const CONNECTIONS_MAX: usize = 1024;
