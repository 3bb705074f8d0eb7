//! The proxies from the outside, for commands.

use std::sync::Arc;

use purge_protocol::log::{LogId, Standing};
use settings::Config;

use crate::delivery::discovery::{Discovered, Discovery};
use crate::delivery::outcome::DeliveryOutcome;
use crate::delivery::target::{Target, TargetOptions};

pub(super) async fn find(config: &Config) -> Vec<Arc<Target>> {
    let rules = &config.purger;
    let options = TargetOptions {
        http: rules.targets.http,
        token: rules.targets.token.clone(),
        timeout: rules.timeout,
    };
    let found = Discovery::new(rules.targets.clone()).look().await;
    let target = |(proxy, id): (Discovered, _)| Arc::new(Target::new(id, proxy.url, &options));
    found.into_iter().zip(1..).map(target).collect()
}

/// Asks all proxies for their positions concurrently.
pub(super) async fn standings(targets: &[Arc<Target>]) -> Vec<Result<Standing, String>> {
    let asked: Vec<_> = targets
        .iter()
        .map(|target| {
            let target = Arc::clone(target);
            tokio::spawn(async move { target.standing().await })
        })
        .collect();
    let mut standings = Vec::new();
    for answer in asked {
        standings.push(match answer.await {
            Ok(Ok(standing)) => Ok(standing),
            Ok(Err(outcome)) => Err(reason(&outcome)),
            Err(error) => Err(error.to_string()),
        });
    }
    standings
}

pub(super) fn position(standing: &Standing, log: &LogId) -> Option<i64> {
    let found = standing.positions.iter().find(|position| {
        position.log.topic == log.topic && position.log.partition == log.partition
    });
    found.map(|position| position.next)
}

/// Returns the reason why a proxy does not report its positions, with the remedy.
pub(super) fn reason(outcome: &DeliveryOutcome) -> String {
    match outcome {
        DeliveryOutcome::NotAllowed(text) => {
            format!("{text}; set purger.targets.token to the proxy's admin.token")
        }
        DeliveryOutcome::Failed(text) if text.starts_with("404") => {
            format!("{text}; is this the admin listener of a shellac proxy?")
        }
        DeliveryOutcome::Failed(text) => text.clone(),
        DeliveryOutcome::Refused(refusal) => refusal.detail.clone(),
        DeliveryOutcome::Wait(_) => "it asks for a pause".to_owned(),
        DeliveryOutcome::Hole(_) | DeliveryOutcome::Applied(_) => {
            "it answers something else".to_owned()
        }
    }
}
