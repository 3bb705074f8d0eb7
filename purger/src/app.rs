//! The composition root: makes every part, starts the threads, and stops them in order.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use process::clock::Clock;
use process::threads::{self, ThreadError};
use rdkafka::consumer::Consumer as _;
use rdkafka::error::KafkaError;
use settings::{Config, EventFormat};
use tokio::runtime::Handle;
use tokio::sync::{Semaphore, oneshot, watch};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::admin;
use crate::dead_letter::DeadLetters;
use crate::delivery::context::{DeliveryContext, QUESTIONS_MAX};
use crate::delivery::cursor_threads::CursorThreads;
use crate::delivery::discovery::Discovery;
use crate::delivery::fleet::Fleet;
use crate::delivery::refusal::{REFUSALS_MAX, REFUSED_READERS_MAX};
use crate::event::{EventLimits, EventReader, Filter, Format, Pattern, Rules, SiteRule, TableRule};
use crate::instance::Instance;
use crate::intake::Intake;
use crate::intake::rereader::Rereader;
use crate::kafka::assignment::Assignment;
use crate::kafka::cause::words;
use crate::kafka::client;
use crate::kafka::consumer::{ConsumeError, ConsumerLoop};
use crate::kafka::context::TokenSource;
use crate::kafka::cursor::Cursors;
use crate::kafka::end_offsets::EndOffsetPoller;
use crate::kafka::group_consumer::GroupConsumer;
use crate::kafka::producer::Producer;
use crate::memory::Memory;
use crate::metrics::PurgerMetrics;
use crate::partition::window;
use crate::receipt::Receipts;
use crate::settle::Settler;

/// A purger that is ready to run: its parts are made and its admin listener is bound.
#[derive(Debug)]
pub struct App {
    pub fleet: Arc<Fleet>,
    config: Config,
    consumer: GroupConsumer,
    cursors: Arc<Cursors>,
    intake: Intake,
    admin: TcpListener,
    instance: Instance,
}

#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The configuration names no brokers.
    #[error("there is no Kafka to read from: set kafka.brokers, for example [\"kafka-0:9092\"]")]
    NoBrokers,
    #[error("{setting}: {why}")]
    Rule { setting: &'static str, why: String },
    #[error("cannot listen on {address}: {source}; free it, or set purger.admin")]
    Bind { address: SocketAddr, source: io::Error },
    #[error("Kafka: {}", words(.0))]
    Kafka(#[from] KafkaError),
    #[error(transparent)]
    Consume(#[from] ConsumeError),
    #[error(transparent)]
    Thread(#[from] ThreadError),
    #[error("cannot listen to signals: {0}")]
    Signals(io::Error),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ShutdownResult {
    /// Every record that was read is confirmed and committed, or will be read again.
    Clean,
    /// Kafka did not answer in time. Records that were not committed will be read again.
    Cut,
}

impl App {
    /// Makes every part, without connecting to anything. Must be called on a runtime.
    pub fn new(mut config: Config, clock: Clock) -> Result<Self, RunError> {
        if config.kafka.brokers.is_empty() {
            return Err(RunError::NoBrokers);
        }
        let instance = Instance::take(&config.kafka, &config.purger);
        config.purger.instance.clone_from(&instance.name);
        let rules = &config.purger;
        let tokens = TokenSource { file: config.kafka.token_file.clone(), clock: clock.clone() };
        let memory = Memory::new(rules.memory);
        let limits = window::WindowLimits {
            records: rules.window,
            bytes: rules.window_bytes,
            batch: memory.of_batch(0),
        };
        let cluster = config.kafka.cluster.clone();
        let assignment = Assignment::new(cluster, (limits, memory), rules.session_timeout);
        let group = client::group(&config.kafka, rules);
        let consumer = GroupConsumer::new(group, tokens.clone(), Arc::clone(&assignment))?;
        let producer = Producer::new(&config.kafka, tokens.clone())?;
        let metrics = Arc::new(PurgerMetrics::default());
        let receipts = (!rules.receipts.is_empty()).then(|| {
            Receipts::start(&rules.receipts, producer.clone(), rules.receipt_timeout, clock.clone())
        });
        let dead_letters = DeadLetters::new(&rules.dead_letter, producer.clone());
        let intake = Intake {
            reader: Arc::new(EventReader::new(event_rules(rules)?)),
            dead_letters: dead_letters.clone(),
            settler: Settler::new(producer),
            receipts: receipts.clone(),
            clock: clock.clone(),
            runtime: Handle::current(),
            metrics: Arc::clone(&metrics),
        };
        let cursors = Arc::new(Cursors::new(config.kafka.clone(), rules.clone(), tokens));
        let context = Arc::new(DeliveryContext {
            name: name(rules),
            rules: rules.clone(),
            cursors: Arc::clone(&cursors),
            cursor_threads: Arc::new(CursorThreads::new(memory.cursors())),
            brokers: consumer.clone(),
            questions: Arc::new(Semaphore::new(QUESTIONS_MAX)),
            intake: intake.clone(),
            dead_letters,
            refusals: Arc::new(Semaphore::new(REFUSALS_MAX)),
            refused_readers: Arc::new(Semaphore::new(REFUSED_READERS_MAX)),
            receipts,
            metrics,
            clock,
        });
        let admin = bind(rules.admin)?;
        let fleet = Fleet::new(context, assignment);
        Ok(Self { fleet, config, consumer, cursors, intake, admin, instance })
    }

    pub fn admin_address(&self) -> Result<SocketAddr, RunError> {
        let address = self.config.purger.admin;
        self.admin.local_addr().map_err(|source| RunError::Bind { address, source })
    }

    /// Consumes and delivers until `leave` ends or librdkafka fails for good.
    pub async fn run(self, leave: impl Future<Output = ()>) -> Result<ShutdownResult, RunError> {
        let Self { fleet, config, consumer, cursors, intake, admin, instance: _until_the_end } =
            self;
        let topics: Vec<&str> = config.purger.topics.iter().map(String::as_str).collect();
        consumer.current().subscribe(&topics)?;
        let address = config.purger.admin;
        let listener = tokio::net::TcpListener::from_std(admin)
            .map_err(|source| RunError::Bind { address, source })?;
        drop(tokio::spawn(admin::accept(Arc::clone(&fleet), listener)));
        let stop_deliveries = CancellationToken::new();
        let discovery = Discovery::new(config.purger.targets.clone());
        let (found, targets) = watch::channel(Vec::new());
        let known = Arc::clone(&fleet);
        drop(tokio::spawn(discovery.run(found, move |url| known.silence(url))));
        let deliveries = tokio::spawn(Arc::clone(&fleet).run(targets, stop_deliveries.clone()));

        let stop = Arc::new(AtomicBool::new(false));
        let lookout = EndOffsetPoller {
            consumer: consumer.clone(),
            assignment: Arc::clone(fleet.assignment()),
            cursors: Arc::clone(&cursors),
            topic: config.purger.topics.first().cloned().unwrap_or_default(),
            start: config.purger.start,
            interval: (config.purger.heartbeat / 2).min(LOOK),
        };
        let is_stopped = Arc::clone(&stop);
        threads::start("lookout", move || lookout.run(&is_stopped))?;
        let assignment = Arc::clone(fleet.assignment());
        let rereader = Rereader { assignment, cursors, intake: intake.clone() };
        let is_stopped = Arc::clone(&stop);
        threads::start("rereader", move || rereader.run(&is_stopped))?;
        let consumer_loop = ConsumerLoop::new(consumer, Arc::clone(fleet.assignment()));
        let is_stopped = Arc::clone(&stop);
        let (done, mut consumed) = oneshot::channel();
        threads::start("consumer", move || {
            let _nobody_waits = done.send(
                consumer_loop
                    .run(&is_stopped, |partition, message| intake.take(partition, message)),
            );
        })?;

        let ended = tokio::select! {
            () = leave => None,
            result = &mut consumed => Some(result),
        };
        stop.store(true, Ordering::Relaxed);
        let ended = match ended {
            Some(result) => Ok(result),
            None => timeout(LEAVE_TIMEOUT, consumed).await,
        };
        stop_deliveries.cancel();
        if timeout(DELIVERIES_TIMEOUT, deliveries).await.is_err() {
            tracing::warn!("some deliveries did not end in time");
        }
        match ended {
            Ok(Ok(result)) => result.map(|()| ShutdownResult::Clean).map_err(RunError::from),
            Ok(Err(_)) | Err(_) => Ok(ShutdownResult::Cut),
        }
    }
}

/// Turns the operator's settings into the rules for events, or returns the first setting that
/// cannot be used.
pub fn event_rules(rules: &settings::PurgerSettings) -> Result<Rules, RunError> {
    let site = match rules.site.as_str() {
        "host" => SiteRule::Host,
        template => SiteRule::tag(template).map_err(|error| rule("purger.site", &error))?,
    };
    let mut tables = Vec::new();
    for (table, templates) in &rules.tables {
        let tags =
            templates.split_ascii_whitespace().map(str::parse).collect::<Result<Vec<_>, _>>();
        let tags = tags.map_err(|error| rule("purger.tables", &error))?;
        let table = Pattern::new(table.as_str());
        tables.push(TableRule { table, tags, site: None, truncate: Vec::new(), mode: None });
    }
    let payload_max = usize::try_from(rules.max_event).unwrap_or(usize::MAX);
    Ok(Rules {
        format: match rules.format {
            EventFormat::Auto => Format::Auto,
            EventFormat::CloudEvents => Format::CloudEvents,
            EventFormat::Plain => Format::Plain,
            EventFormat::ResourceChange => Format::ResourceChange,
            EventFormat::Debezium => Format::Debezium,
            EventFormat::Site => Format::Site,
        },
        site,
        tables,
        max_age: Some(rules.max_age).filter(|age| !age.is_zero()),
        hosts: filter(&rules.hosts),
        sites: filter(&rules.sites),
        may_purge_all: rules.may_purge_all.clone(),
        may_purge_hard: rules.may_purge_hard.clone(),
        limits: EventLimits { payload_bytes: payload_max, ..EventLimits::default() },
        ..Rules::default()
    })
}

fn filter(patterns: &[String]) -> Filter {
    let only = patterns.iter().map(|text| Pattern::new(text.as_str())).collect();
    Filter { only, except: Vec::new() }
}

fn rule(setting: &'static str, why: &dyn std::fmt::Display) -> RunError {
    RunError::Rule { setting, why: why.to_string() }
}

/// Returns the name that proxies log: the static member's, else the host's with the process id.
fn name(rules: &settings::PurgerSettings) -> String {
    if !rules.instance.is_empty() {
        return rules.instance.clone();
    }
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    format!("{}:{}", host.trim(), std::process::id())
}

fn bind(address: SocketAddr) -> Result<TcpListener, RunError> {
    let bound = TcpListener::bind(address).and_then(|listener| {
        listener.set_nonblocking(true)?;
        Ok(listener)
    });
    bound.map_err(|source| RunError::Bind { address, source })
}

/// Longest interval between two questions for the end of a partition.
const LOOK: Duration = Duration::from_secs(1);
const LEAVE_TIMEOUT: Duration = Duration::from_secs(15);
const DELIVERIES_TIMEOUT: Duration = Duration::from_secs(5);
