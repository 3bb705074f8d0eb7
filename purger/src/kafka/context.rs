//! Callbacks of librdkafka: logs, errors, tokens, and the group's changes of partitions.

use std::error::Error;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use process::clock::Clock;
use rdkafka::client::OAuthToken;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, ConsumerContext, Rebalance};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::{ClientContext, TopicPartitionList};
use serde::Deserialize;

use super::assignment::Assignment;
use super::cause::{LOG_LIMITER, words};
use super::connection::Connection;

/// The callbacks of one client; `G` follows the partitions of its group.
#[derive(Debug)]
pub struct Context<G> {
    tokens: TokenSource,
    pub connection: Connection,
    group: G,
    /// Whether another client has taken its place, so that the group's partitions are not its
    /// business any more.
    is_replaced: AtomicBool,
}

/// The context of a client without a group.
pub type PlainContext = Context<()>;

pub type GroupContext = Context<Arc<Assignment>>;

#[derive(Clone, Debug)]
pub struct TokenSource {
    /// Read for each token.
    pub file: Option<PathBuf>,
    /// For tokens without an expiry.
    pub clock: Clock,
}

impl PlainContext {
    pub fn plain(tokens: TokenSource) -> Self {
        Self {
            tokens,
            connection: Connection::default(),
            group: (),
            is_replaced: AtomicBool::new(false),
        }
    }
}

impl GroupContext {
    pub fn of_group(tokens: TokenSource, assignment: Arc<Assignment>) -> Self {
        let connection = assignment.connection.clone();
        Self { tokens, connection, group: assignment, is_replaced: AtomicBool::new(false) }
    }

    /// Ends its influence on the group's partitions.
    pub(super) fn replace(&self) {
        self.is_replaced.store(true, Ordering::Relaxed);
    }

    fn is_replaced(&self) -> bool {
        self.is_replaced.load(Ordering::Relaxed)
    }
}

impl<G: Send + Sync> ClientContext for Context<G> {
    const ENABLE_REFRESH_OAUTH_TOKEN: bool = true;

    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        log(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.connection.note_error(&error, reason);
    }

    fn generate_oauth_token(&self, _config: Option<&str>) -> Result<OAuthToken, Box<dyn Error>> {
        self.tokens.read().inspect_err(|error| self.connection.causes.add(&error.to_string()))
    }
}

impl ConsumerContext for PlainContext {}

impl ConsumerContext for GroupContext {
    fn pre_rebalance(&self, consumer: &BaseConsumer<Self>, rebalance: &Rebalance<'_>) {
        match rebalance {
            _ if self.is_replaced() => {}
            Rebalance::Revoke(partitions) => self.group.revoke(consumer, partitions),
            Rebalance::Assign(_) => {}
            Rebalance::Error(error) => {
                tracing::warn!(error = words(error), "rebalancing failed");
            }
        }
    }

    fn post_rebalance(&self, consumer: &BaseConsumer<Self>, rebalance: &Rebalance<'_>) {
        match rebalance {
            _ if self.is_replaced() => {}
            Rebalance::Assign(partitions) => {
                self.group.assign(consumer, partitions);
                tracing::info!(partitions = names(partitions), "partitions assigned");
            }
            Rebalance::Revoke(partitions) => {
                tracing::info!(partitions = names(partitions), "partitions revoked");
            }
            Rebalance::Error(_) => {} // logged in pre_rebalance
        }
    }

    fn commit_callback(
        &self,
        result: rdkafka::error::KafkaResult<()>,
        _offsets: &TopicPartitionList,
    ) {
        match result {
            Ok(()) | Err(KafkaError::ConsumerCommit(RDKafkaErrorCode::NoOffset)) => {
                self.group.metrics.commits.add(1);
            }
            Err(error) => {
                self.group.metrics.failed_commits.add(1);
                tracing::warn!(error = words(&error), "cannot commit offsets");
            }
        }
    }
}

impl TokenSource {
    /// Reads a token. Expiry and principal come from a JWT's claims.
    fn read(&self) -> Result<OAuthToken, Box<dyn Error>> {
        let path = self.file.as_ref().ok_or("kafka.token_file is not set")?;
        let token = std::fs::read_to_string(path)
            .map_err(|error| format!("cannot read {}: {error}", path.display()))?
            .trim()
            .to_owned();
        let claims = claims(&token).unwrap_or_default();
        let soon = self.clock.wall().plus(TOKEN_LIFETIME).as_millis();
        let lifetime_ms = claims.exp.map_or(soon, |seconds| seconds.saturating_mul(1000));
        Ok(OAuthToken {
            token,
            principal_name: claims.sub.unwrap_or_default(),
            lifetime_ms: i64::try_from(lifetime_ms).unwrap_or(i64::MAX),
        })
    }
}

/// Claims of a JSON Web Token (RFC 7519 §4.1).
#[derive(Debug, Default, Deserialize)]
struct Claims {
    sub: Option<String>,
    exp: Option<u64>,
}

fn claims(token: &str) -> Option<Claims> {
    use base64::Engine as _;
    let payload = token.split('.').nth(1)?;
    let json = base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(payload).ok()?;
    serde_json::from_slice(&json).ok()
}

fn log(level: RDKafkaLogLevel, facility: &str, message: &str) {
    match level {
        // No error is reported besides: what a broker answered is lost.
        RDKafkaLogLevel::Error if facility == "PROTOERR" => {
            if let Some(repeated) = LOG_LIMITER.admit(message) {
                tracing::warn!(error = message, repeated, "librdkafka cannot read an answer");
            }
        }
        RDKafkaLogLevel::Emerg
        | RDKafkaLogLevel::Alert
        | RDKafkaLogLevel::Critical
        | RDKafkaLogLevel::Error => tracing::debug!(facility, message, "librdkafka error"),
        RDKafkaLogLevel::Warning => tracing::debug!(facility, message, "librdkafka warning"),
        RDKafkaLogLevel::Notice | RDKafkaLogLevel::Info | RDKafkaLogLevel::Debug => {
            tracing::trace!(facility, message, "librdkafka");
        }
    }
}

fn names(partitions: &TopicPartitionList) -> String {
    let name = |(topic, number): (String, i32)| format!("{topic}/{number}");
    let mut names: Vec<String> = partitions.to_topic_map().into_keys().map(name).collect();
    names.sort();
    names.join(", ")
}

/// Lifetime of a token without an expiry.
const TOKEN_LIFETIME: Duration = Duration::from_mins(5);
