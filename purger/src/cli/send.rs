//! `shellac-purger send`: writes one purge event, and waits until every proxy has confirmed it.

use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use clap::Args;
use process::clock::Clock;
use process::exit::Exit;
use process::selectors::SelectorArguments;
use process::terminal::{print, say};
use purge_protocol::log::Rewarm;
use purge_protocol::{Deploy, PurgeMode, PurgeRequest, RequestError};
use serde::Serialize;
use settings::Config;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep};

use super::awaited::{Awaited, Before};
use super::fates::{EventFate, FateReader};
use super::forecast::Refusal;
use super::{CommonArguments, forecast, proxies};
use crate::delivery::target::Target;
use crate::event::{Priority, PurgeEvent, cloud_event};
use crate::kafka::cause::words;
use crate::kafka::context::TokenSource;
use crate::kafka::producer::{Producer, Written};
use crate::receipt::Confirmed;

/// The purge and its delivery.
#[derive(Clone, Debug, Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of the command line")]
#[command(group(clap::ArgGroup::new("selectors").required(true).multiple(true)
    .args(["tag", "url", "page", "path", "host", "prefix", "all_of", "any_of", "deploy", "site",
           "all"])))]
pub(super) struct SendArguments {
    #[command(flatten)]
    common: CommonArguments,
    #[command(flatten)]
    selectors: SelectorArguments,
    /// Responses that name another deployment than this one: stale at once, gone after the grace
    #[arg(long, value_name = "ID")]
    deploy: Option<String>,
    /// Time until they are gone
    #[arg(long, value_name = "DURATION", value_parser = humantime::parse_duration, default_value = "10m")]
    grace: Duration,
    /// The only host that the deploy concerns
    #[arg(long, value_name = "HOST", requires = "deploy")]
    deploy_host: Option<String>,
    /// A whole site; also the event's key
    #[arg(long, value_name = "SITE")]
    site: Option<String>,
    /// Everything; the event's source has to be in `purger.may_purge_all`
    #[arg(long)]
    all: bool,
    /// Mark as stale instead of deleting
    #[arg(long)]
    soft: bool,
    /// Send it without waiting for others
    #[arg(long)]
    urgent: bool,
    /// Purge again after this time, for renderers that read from lagging replicas; may be repeated
    #[arg(long, value_name = "DURATION", value_parser = humantime::parse_duration)]
    settle: Vec<Duration>,
    /// Do not store responses that report a lower revision
    #[arg(long, value_name = "N")]
    revision: Option<u64>,
    /// Fetch this URL again afterwards; may be repeated
    #[arg(long, value_name = "URL")]
    rewarm: Vec<String>,
    /// The reason, for logs
    #[arg(long, value_name = "TEXT", default_value = "command line")]
    reason: String,
    /// The sender
    #[arg(long, value_name = "SOURCE", default_value = "/shellac-purger/send")]
    source: String,
    /// Wait until every proxy has confirmed it, and print how long that took
    #[arg(long)]
    wait: bool,
    /// Longest time to wait
    #[arg(long, value_name = "DURATION", value_parser = humantime::parse_duration, default_value = "30s")]
    timeout: Duration,
    /// Print the event, and send nothing
    #[arg(long)]
    dry_run: bool,
    /// Print the result as JSON
    #[arg(long)]
    json: bool,
}

/// The result, as JSON.
#[derive(Debug, Serialize)]
struct Sent {
    id: String,
    topic: String,
    partition: i32,
    offset: i64,
    /// Milliseconds until Kafka had it.
    produced_ms: f64,
    /// Milliseconds from then until the last proxy had applied it; absent: not all have.
    #[serde(skip_serializing_if = "Option::is_none")]
    applied_ms: Option<f64>,
    #[serde(flatten)]
    outcome: Option<SendOutcome>,
}

/// The effect of the event.
#[derive(Debug, Default, Serialize)]
struct SendOutcome {
    confirmed: Vec<Confirmation>,
    /// Stored responses that were invalidated, by the receipt; absent without one.
    #[serde(skip_serializing_if = "Option::is_none")]
    objects: Option<u64>,
    /// The reason why the purger, or a proxy, gave it up.
    #[serde(skip_serializing_if = "Option::is_none")]
    given_up: Option<String>,
    /// A receipt was expected and did not come.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    receipt_missing: bool,
    /// The brokers answer about the topics of receipts and dead letters.
    #[serde(skip)]
    is_listening: bool,
}

/// The confirmation of one proxy.
#[derive(Debug, Serialize)]
struct Confirmation {
    proxy: String,
    /// Milliseconds since Kafka had it; absent: not in time.
    after_ms: Option<f64>,
    /// Stored responses that it invalidated, by the receipt.
    #[serde(skip_serializing_if = "Option::is_none")]
    objects: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

/// Sends.
pub(super) fn send(arguments: &SendArguments) -> ExitCode {
    let config = match arguments.common.load() {
        Ok(config) => config,
        Err(exit) => return exit.into(),
    };
    match super::block_on(send_and_wait(arguments, &config)) {
        Ok(exit) => exit.into(),
        Err(error) => {
            say(format_args!("shellac-purger: {error}"));
            Exit::Io.into()
        }
    }
}

async fn send_and_wait(arguments: &SendArguments, config: &Config) -> Exit {
    let clock = Clock::system();
    let event = event(arguments, &clock);
    let selectors = event.request.selectors(usize::MAX);
    if let Err(error) = selectors.as_ref()
        && !(*error == RequestError::Empty && arguments.site.is_some())
    {
        say(format_args!("shellac-purger: {error}"));
        return Exit::Usage;
    }
    let json = cloud_event(&event);
    let now = SystemTime::UNIX_EPOCH + Duration::from_millis(clock.wall().as_millis());
    if let Some(Refusal { why, exit }) = forecast::refusal(config, &event, &json, now) {
        say(format_args!("shellac-purger: not sent: {why}"));
        return exit;
    }
    if arguments.dry_run {
        return print(&format!("{}\n", String::from_utf8_lossy(&json)));
    }
    let Some(topic) = config.purger.topics.first() else { return Exit::Config };
    let targets = if arguments.wait { proxies::find(config).await } else { Vec::new() };
    let fates = if arguments.wait { fates(config).await } else { None };
    let before = if arguments.wait { Some(Before::ask(config, &targets).await) } else { None };
    let tokens = TokenSource { file: config.kafka.token_file.clone(), clock };
    let begun = Instant::now();
    let written = match Producer::new(&config.kafka, tokens) {
        Ok(producer) => {
            let key = arguments.site.as_deref().map(str::as_bytes);
            let written = producer.write(topic, key, &json).await;
            written.map_err(|error| (error, producer.causes()))
        }
        Err(error) => Err((error, Vec::new())),
    };
    let written = match written {
        Ok(written) => written,
        Err((error, causes)) => {
            let causes = causes.last().map(|cause| format!("; {cause}")).unwrap_or_default();
            say(format_args!(
                "shellac-purger: cannot write to {topic}: {}{causes}; `shellac-purger check` says more",
                words(&error)
            ));
            return Exit::Unavailable;
        }
    };
    let produced_ms = millis(begun.elapsed());
    let outcome = if let Some(before) = before {
        let has_receipts = fates.is_some() && !config.purger.receipts.is_empty();
        let heard = fates.map(|fates| fates.listen(topic.clone(), written));
        let wait = Wait { begun: Instant::now(), timeout: arguments.timeout, has_receipts };
        Some(wait.outcome(&targets, &before.awaits(topic, written), heard).await)
    } else {
        None
    };
    let Written { partition, offset } = written;
    let (id, topic) = (event.id, topic.clone());
    let applied_ms = outcome.as_ref().and_then(SendOutcome::applied_ms);
    report(arguments, Sent { id, topic, partition, offset, produced_ms, applied_ms, outcome })
}

/// Opens the topics in which the purger reports on the event. Without them, the proxies' positions
/// decide.
async fn fates(config: &Config) -> Option<FateReader> {
    if config.purger.receipts.is_empty() && config.purger.dead_letter.is_empty() {
        return None;
    }
    let config = config.clone();
    match tokio::task::spawn_blocking(move || FateReader::open(&config)).await.ok()? {
        Ok(fates) => fates,
        Err(error) => {
            say(format_args!("shellac-purger: receipts and dead letters cannot be read: {error}"));
            None
        }
    }
}

fn event(arguments: &SendArguments, clock: &Clock) -> PurgeEvent {
    let now = SystemTime::UNIX_EPOCH + Duration::from_millis(clock.wall().as_millis());
    let id = uuid::Uuid::now_v7().to_string();
    let rewarm = (!arguments.rewarm.is_empty()).then(|| Rewarm {
        urls: arguments.rewarm.clone(),
        max: u32::try_from(arguments.rewarm.len()).unwrap_or(u32::MAX),
    });
    let deploy = arguments.deploy.as_ref().map(|id| Deploy {
        id: id.clone(),
        grace_seconds: arguments.grace.as_secs(),
        host: arguments.deploy_host.clone(),
        at_ms: Some(clock.wall().as_millis()),
    });
    let mut settle = arguments.settle.clone();
    settle.sort_unstable();
    PurgeEvent {
        source: Some(arguments.source.clone()),
        time: Some(now),
        request: PurgeRequest {
            deploys: deploy.into_iter().collect(),
            all: arguments.all,
            mode: Some(if arguments.soft { PurgeMode::Soft } else { PurgeMode::Hard }),
            reason: Some(arguments.reason.clone()),
            id: Some(id.clone()),
            ..arguments.selectors.clone().request()
        },
        priority: if arguments.urgent { Priority::Urgent } else { Priority::Normal },
        settle,
        revision: arguments.revision,
        site: arguments.site.clone(),
        rewarm,
        id,
    }
}

/// A wait for proxies.
#[derive(Clone, Copy, Debug)]
struct Wait {
    begun: Instant,
    timeout: Duration,
    /// A receipt is expected.
    has_receipts: bool,
}

impl Wait {
    /// Polls the proxies' positions until all are past the event and the receipt, if one is
    /// expected, has come.
    async fn outcome(
        self,
        targets: &[Arc<Target>],
        awaited: &Awaited,
        mut heard: Option<mpsc::Receiver<EventFate>>,
    ) -> SendOutcome {
        let waiting = |target: &Arc<Target>| {
            let proxy = target.url.clone();
            Confirmation { proxy, after_ms: None, objects: None, error: None }
        };
        let mut outcome = SendOutcome {
            confirmed: targets.iter().map(waiting).collect(),
            receipt_missing: self.has_receipts,
            ..SendOutcome::default()
        };
        let mut pause = POLL_FIRST;
        loop {
            let log_statuses = proxies::log_statuses(targets).await;
            let answers = outcome.confirmed.iter_mut().zip(log_statuses).enumerate();
            for (proxy, (confirmation, log_status)) in answers {
                match log_status {
                    Ok(log_status) => {
                        confirmation.error = None;
                        let is_past = awaited.is_past(proxy, &log_status);
                        if is_past && confirmation.after_ms.is_none() {
                            confirmation.after_ms = Some(millis(self.begun.elapsed()));
                        }
                    }
                    Err(error) => confirmation.error = Some(error),
                }
            }
            while let Some(fate) = heard.as_mut().and_then(|heard| heard.try_recv().ok()) {
                outcome.take(fate);
            }
            if outcome.is_known() || self.begun.elapsed() >= self.timeout {
                return outcome;
            }
            sleep(pause).await;
            pause = (pause * 2).min(POLL_MAX);
        }
    }
}

impl SendOutcome {
    fn take(&mut self, fate: EventFate) {
        match fate {
            EventFate::Listening => self.is_listening = true,
            EventFate::GivenUp(letter) => {
                self.given_up = Some(format!("{}: {}", letter.code, letter.detail));
            }
            EventFate::Receipt(receipt) => {
                self.receipt_missing = false;
                self.objects = receipt.objects;
                for confirmation in &mut self.confirmed {
                    let own = |one: &&Confirmed| one.proxy == confirmation.proxy;
                    let own = receipt.confirmed.iter().find(own);
                    confirmation.objects = own.and_then(|own| own.objects);
                }
            }
        }
    }

    /// Returns when the last proxy had applied it, if all have.
    fn applied_ms(&self) -> Option<f64> {
        let times: Option<Vec<f64>> = self.confirmed.iter().map(|one| one.after_ms).collect();
        times?.into_iter().reduce(f64::max)
    }

    /// Returns whether there is nothing left to wait for.
    fn is_known(&self) -> bool {
        let all_are_past = self.confirmed.iter().all(|one| one.after_ms.is_some());
        self.given_up.is_some() || all_are_past && !self.receipt_missing
    }

    /// Returns the first problem with the delivery.
    fn complaint(&self) -> Option<(String, Exit)> {
        if let Some(why) = &self.given_up {
            return Some((format!("it was given up, and is a dead letter: {why}"), Exit::No));
        }
        if self.confirmed.is_empty() {
            let why = "there is no proxy to wait for: set purger.targets, or give --target";
            return Some((why.to_owned(), Exit::Partial));
        }
        if self.confirmed.iter().any(|one| one.after_ms.is_none()) {
            return Some(("not all proxies have confirmed it".to_owned(), Exit::Partial));
        }
        self.receipt_missing.then(|| {
            let why = if self.is_listening {
                "there is no receipt that says what was purged"
            } else {
                "the topics of receipts and dead letters cannot be read: `shellac-purger check` says more"
            };
            (format!("all proxies are past it, but {why}"), Exit::Partial)
        })
    }
}

fn report(arguments: &SendArguments, sent: Sent) -> Exit {
    let line = |one: &Confirmation| {
        let objects = one.objects.map(|count| format!("  {count} responses")).unwrap_or_default();
        match (one.after_ms, &one.error) {
            (Some(after), _) => format!("{after:>8.1} ms  {}{objects}\n", one.proxy),
            (None, Some(error)) => format!("         -  {}: {error}\n", one.proxy),
            (None, None) => format!("         -  {} has not confirmed\n", one.proxy),
        }
    };
    let text = if arguments.json {
        serde_json::to_string(&sent).unwrap_or_default() + "\n"
    } else {
        let Sent { id, topic, partition, offset, produced_ms, applied_ms, outcome } = &sent;
        let confirmed = outcome.iter().flat_map(|outcome| &outcome.confirmed);
        let lines: Vec<String> = confirmed.map(line).collect();
        let head = format!("sent {id} as {topic}/{partition}@{offset}");
        let count = lines.len();
        let applied = applied_ms.map(|applied| {
            format!("applied by {count} of {count} proxies {applied:.1} ms later\n")
        });
        let applied = applied.unwrap_or_default();
        format!("{head}, produced in {produced_ms:.1} ms\n{}{applied}", lines.concat())
    };
    let printed = print(&text);
    if sent.outcome.as_ref().is_some_and(|outcome| outcome.objects == Some(0)) {
        say(format_args!(
            "shellac-purger: no stored response matched; `shellac purge --help` says how pages are named"
        ));
    }
    match (printed, sent.outcome.and_then(|outcome| outcome.complaint())) {
        (Exit::Done, Some((why, exit))) => {
            say(format_args!("shellac-purger: {why}"));
            exit
        }
        (exit, _) => exit,
    }
}

fn millis(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1000.0
}

const POLL_FIRST: Duration = Duration::from_millis(2);
const POLL_MAX: Duration = Duration::from_millis(100);
