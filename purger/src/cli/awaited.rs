//! `Awaited`: an event in its log, and the positions that confirm it.

use std::sync::Arc;

use purge_protocol::log::{LogId, LogStatus, Position};
use settings::Config;

use super::proxies;
use super::topic::BrokerClient;
use crate::delivery::target::Target;
use crate::kafka::producer::Written;

/// The state before the event is written.
#[derive(Debug)]
pub(super) struct Before {
    cluster: String,
    /// By proxy; none of one that did not answer.
    positions: Vec<Vec<Position>>,
}

/// The event in its log.
#[derive(Debug)]
pub(super) struct Awaited {
    log: LogId,
    offset: i64,
    /// Positions of another log of the same name, by proxy: a topic that was made anew begins at 0
    /// again.
    foreign: Vec<Option<Position>>,
}

impl Before {
    pub(super) async fn ask(config: &Config, targets: &[Arc<Target>]) -> Self {
        let statuses = proxies::log_statuses(targets).await.into_iter();
        let positions =
            statuses.map(|status| status.map_or_else(|_| Vec::new(), |it| it.positions));
        let positions = positions.collect();
        let config = config.clone();
        let connect =
            move || BrokerClient::connect(&config).map(|broker| broker.cluster().to_owned());
        let cluster = tokio::task::spawn_blocking(connect).await;
        let cluster = cluster.ok().and_then(Result::ok).unwrap_or_default();
        Self { cluster, positions }
    }

    pub(super) fn awaits(self, topic: &str, written: Written) -> Awaited {
        let Written { partition, offset } = written;
        let log = LogId { cluster: self.cluster, topic: topic.to_owned(), partition };
        // An event that has just been written lies above every position in its log.
        let is_foreign = |position: &Position| position.log == log && position.next > offset;
        let foreign = self.positions.into_iter();
        let foreign = foreign.map(|positions| positions.into_iter().find(is_foreign)).collect();
        Awaited { log, offset, foreign }
    }
}

impl Awaited {
    pub(super) fn is_past(&self, proxy: usize, log_status: &LogStatus) -> bool {
        let Some(position) = proxies::position(log_status, &self.log) else { return false };
        let foreign = self.foreign.get(proxy).and_then(Option::as_ref);
        let is_foreign =
            |before: &Position| (before.next, before.last) == (position.next, position.last);
        position.next > self.offset && !foreign.is_some_and(is_foreign)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn position(cluster: &str, next: i64) -> Position {
        let log = LogId { cluster: cluster.into(), topic: "t".into(), partition: 0 };
        Position { log, next, last: Some(next.unsigned_abs()), clean_ms: None }
    }

    #[test]
    fn a_position_of_another_log_confirms_nothing() {
        let written = Written { partition: 0, offset: 5 };
        let before = |positions: Vec<Position>| {
            Before { cluster: "c".into(), positions: vec![positions] }.awaits("t", written)
        };
        let is_past = |awaited: &Awaited, position: Position| {
            awaited.is_past(0, &LogStatus { positions: vec![position], ..LogStatus::default() })
        };
        let known = before(vec![position("c", 5)]);
        assert!(!is_past(&known, position("c", 5)));
        assert!(is_past(&known, position("c", 6)));
        assert!(!is_past(&known, position("other", 6)), "another cluster");
        let made_anew = before(vec![position("c", 500)]);
        assert!(!is_past(&made_anew, position("c", 500)), "it has not seen the new topic");
        assert!(is_past(&made_anew, position("c", 6)));
        assert!(is_past(&made_anew, position("c", 501)));
        let unknown = before(Vec::new());
        assert!(is_past(&unknown, position("c", 6)));
    }
}
