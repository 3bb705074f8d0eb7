//! Housekeeping: what has to be done once in a while, on the control thread.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, MissedTickBehavior, sleep};

use crate::admin;
use crate::app::App;
use crate::purge::log::PurgeLog;
use crate::purge::{PurgeExecutor, deploys};

/// Removes useless responses and closes idle origin connections every `HOUSEKEEPING`. Never
/// returns.
pub(super) async fn keep_house(app: Arc<App>) {
    let mut pause = HOUSEKEEPING;
    loop {
        sleep(pause).await;
        app.origins().sweep();
        let sweeping = Arc::clone(&app);
        let started = Instant::now();
        if let Err(error) = tokio::task::spawn_blocking(move || sweeping.sweep()).await {
            tracing::error!(%error, "sweeping the store failed");
        }
        pause = HOUSEKEEPING.max(started.elapsed() * SWEEP_SHARE);
    }
}

/// Reads certificates again when their files change. Never returns.
pub(super) async fn keep_certificates(app: Arc<App>) {
    loop {
        sleep(CERTIFICATE_TICK).await;
        let settings = app.settings.current();
        if let Err(error) =
            tokio::task::spawn_blocking(move || settings.refresh_certificates()).await
        {
            tracing::error!(%error, "looking for new certificates failed");
        }
    }
}

/// Cuts the slowest clients while too much that left the store is held for them. Never returns.
pub(super) async fn keep_bounds(app: Arc<App>) {
    loop {
        sleep(PINNED_TICK).await;
        let most = app.settings.current().pinned_bytes_max;
        let pinned = app.pinned_bytes();
        if pinned > most {
            let cut = app.listeners.stalls.cut_slowest((pinned - most, pinned), app.clock().now());
            app.listeners.metrics.cut_slowest.add(cut as u64);
            if cut > 0 {
                tracing::warn!(
                    pinned,
                    most,
                    cut,
                    "too much is held for slow clients: the slowest are cut"
                );
            }
        }
    }
}

/// Probes the servers of all origins, and notices what time brings to them. Never returns.
pub(super) async fn keep_health(app: Arc<App>) {
    loop {
        app.settings.current().origins.watch_over();
        sleep(HEALTH_TICK).await;
    }
}

/// Keeps the figures of each second. Never returns.
pub(super) async fn keep_live(app: Arc<App>) {
    let mut seconds = tokio::time::interval(LIVE_TICK);
    seconds.set_missed_tick_behavior(MissedTickBehavior::Skip);
    let mut turn = 0_u64;
    loop {
        seconds.tick().await;
        admin::live::sample(&app);
        turn = turn.wrapping_add(1);
        if turn.is_multiple_of(LATENCY_TURN) {
            app.origins().turn_latencies();
        }
    }
}

/// Notices what time brings to the purge log and to deploys. Never returns.
pub(super) async fn keep_time(log: Arc<PurgeLog>, executor: Arc<PurgeExecutor>) {
    loop {
        sleep(PURGE_LOG_TICK).await;
        log.tick();
        deploys::end_graces(&executor);
    }
}

/// The longest time that slow clients hold more than their bound.
const PINNED_TICK: Duration = Duration::from_millis(100);
/// State changes are noticed, and logged, this much late; how responses are used changes at once.
const PURGE_LOG_TICK: Duration = Duration::from_millis(250);
const LIVE_TICK: Duration = Duration::from_secs(1);
/// Seconds after which latencies of servers begin anew.
const LATENCY_TURN: u64 = 30;
/// Probes begin this much late at most.
const HEALTH_TICK: Duration = Duration::from_millis(100);
/// The time until a changed certificate is noticed.
const CERTIFICATE_TICK: Duration = Duration::from_secs(2);
const HOUSEKEEPING: Duration = Duration::from_secs(5);
/// A sweep over all that is stored takes at most this part of one core.
const SWEEP_SHARE: u32 = 50;
