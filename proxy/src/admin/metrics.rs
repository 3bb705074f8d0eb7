//! `/metrics`: the families of all modules, one list after the other. The names are an interface: a
//! test holds them.

use std::fmt;

use process::metrics_page::PageFormat;

use super::{process_metrics, storage};
use crate::app::App;
use crate::client::peer::ListenerId;
use crate::live::latency::LatencyHistogram;
use crate::metrics::family::{self, Family, Sample};
use crate::policy::rules::CompiledRules;
use crate::{front, invalidation, origins, purge, store, tls};

pub(super) fn page(app: &App, format: PageFormat) -> Result<String, fmt::Error> {
    family::page_in(families(app), format)
}

fn families(app: &App) -> Vec<Family> {
    let settings = app.settings.current();
    let listeners = settings.listen.iter().enumerate();
    let listeners = listeners.map(|(place, it)| (ListenerId::at(place), it.name.as_str()));
    let requests = app.front.metrics.by_name(listeners);
    let (store, invalidation, origins) = (&*app.store, &*app.invalidation, app.origins());
    let fetcher = app.front.cache.fetcher();
    let mut all = front::metrics::families(&requests);
    all.extend(front::metrics::site_families(&app.front.sites.by_host(&settings.sites)));
    all.extend(app.front.cache.bypass_cookies().families());
    all.extend(settings.policies.rules().map(CompiledRules::families).unwrap_or_default());
    all.extend(app.listeners.metrics.families(app.listeners.connections()));
    all.extend(settings.tls.families());
    all.extend(store::metrics::families(store));
    all.push(invalidation::metrics::tags(invalidation));
    all.extend(fetcher.metrics().families(fetcher.in_flight()));
    all.push(store::metrics::pinned(app.pinned_bytes()));
    all.extend(fetcher.metrics().failure_families());
    all.extend(fetcher.encodings().families());
    all.extend(origins::metrics::failure_families(&origins, app.clock().now()));
    all.extend(origins::metrics::families(&origins));
    all.push(origins::metrics::phase_family(&origins));
    all.extend(origins::metrics::extra_families(&origins));
    all.extend(origins::metrics::server_families(&origins));
    all.extend(tls::origin_families(&origins.tls()));
    all.extend(origins::metrics::health_families(&origins));
    all.extend(origins.name_families());
    all.extend(app.front.purge_endpoint.executor().metrics.families());
    all.extend(invalidation::metrics::families(invalidation));
    all.extend(purge::log::metrics::families(&app.purge_log));
    all.extend(invalidation::metrics::fence_families(invalidation));
    all.extend(process_families(app));
    all.extend(live_families(app));
    all.extend(process_metrics::families());
    all.extend(app.live.streams.families());
    all.extend(app.logs.families());
    #[cfg(feature = "otlp")]
    all.extend(app.spans.families());
    all.extend(app.reloads.families());
    all.extend(storage::families(app));
    all
}

fn live_families(app: &App) -> Vec<Family> {
    let times = |name, help, times: &LatencyHistogram| Family::single(name, help, times.sample());
    vec![
        times(
            "shellac_http_hit_seconds",
            "Time from the head of a request to that of a response from the store: of one hit each 10 ms",
            app.live.hits.histogram(),
        ),
        times(
            "shellac_worker_lag_seconds",
            "Time by which the event loop of a worker came late to a timer, looked at twice a second",
            &app.live.lag,
        ),
    ]
}

fn process_families(app: &App) -> Vec<Family> {
    let build = Sample::gauge("version", env!("CARGO_PKG_VERSION"), 1);
    let is_draining = app.listeners.drain.is_begun();
    vec![
        Family::single("shellac_build_info", "What is running", build),
        Family::gauge("shellac_uptime_seconds", "Time since the start", app.uptime().as_secs()),
        Family::gauge(
            "shellac_ready",
            "Whether requests are welcome",
            u64::from(
                !is_draining
                    && !app.is_leaving()
                    && !app.is_withdrawn()
                    && app.purge_log.unready().is_none(),
            ),
        ),
        Family::gauge("shellac_draining", "Whether the end has begun", u64::from(is_draining)),
    ]
}
