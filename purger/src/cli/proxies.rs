//! The proxies from the outside, for commands.

use std::sync::Arc;

use purge_protocol::log::{LogId, LogStatus, Position};
use settings::Config;

use crate::admin::LiveSummary;
use crate::delivery::discovery::{Discovered, Discovery};
use crate::delivery::outcome::DeliveryOutcome;
use crate::delivery::target::{Target, TargetOptions, no_answer};

pub(super) async fn find(config: &Config) -> Vec<Arc<Target>> {
    let rules = &config.purger;
    let options = TargetOptions {
        http: rules.targets.http,
        token: rules.targets.token.clone(),
        timeout: rules.timeout,
    };
    let found = Discovery::new(rules.targets.clone()).look(|_| None).await;
    let target = |(proxy, id): (Discovered, _)| Arc::new(Target::new(id, proxy.url, &options));
    found.into_iter().zip(1..).map(target).collect()
}

pub(super) async fn log_statuses(targets: &[Arc<Target>]) -> Vec<Result<LogStatus, String>> {
    let asked: Vec<_> = targets
        .iter()
        .map(|target| {
            let target = Arc::clone(target);
            tokio::spawn(async move { target.log_status().await })
        })
        .collect();
    let mut log_statuses = Vec::new();
    for answer in asked {
        log_statuses.push(match answer.await {
            Ok(Ok(log_status)) => Ok(log_status),
            Ok(Err(outcome)) => Err(reason(&outcome)),
            Err(error) => Err(error.to_string()),
        });
    }
    log_statuses
}

/// Asks for their traffic; one that does not say is `None`.
pub(super) async fn lives(targets: &[Arc<Target>]) -> Vec<Option<LiveSummary>> {
    let ask = |target: &Arc<Target>| {
        let target = Arc::clone(target);
        tokio::spawn(async move { LiveSummary::ask(&target).await.ok() })
    };
    let asked: Vec<_> = targets.iter().map(ask).collect();
    let mut lives = Vec::new();
    for answer in asked {
        lives.push(answer.await.ok().flatten());
    }
    lives
}

/// Returns the position in exactly this log.
pub(super) fn position<'a>(log_status: &'a LogStatus, log: &LogId) -> Option<&'a Position> {
    log_status.positions.iter().find(|position| position.log == *log)
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
        DeliveryOutcome::Late(patience) => no_answer(*patience),
        DeliveryOutcome::Refused(refusal) => refusal.detail.clone(),
        DeliveryOutcome::Wait(_) => "it asks for a pause".to_owned(),
        DeliveryOutcome::Gap(_) | DeliveryOutcome::Applied(_) => {
            "it answers something else".to_owned()
        }
    }
}
