//! The families of health: servers, probes, ejections and circuits.

use tokio::time::Instant;

use super::group::{CircuitState, HealthGroup};
use super::probe_result::LABELS;
use super::server_health::ServerHealth;
use crate::metrics::family::{Family, Sample};

/// The servers of an origin, as the metrics tell of them.
pub(in crate::origins) type GroupView<'a> =
    (&'a str, &'a HealthGroup, Vec<(&'a str, &'a ServerHealth)>);

/// Returns the families of these origins.
pub(in crate::origins) fn families(groups: &[GroupView<'_>], now: Instant) -> Vec<Family> {
    let mut all = server_families(groups, now);
    all.extend(origin_families(groups, now));
    all
}

fn server_families(groups: &[GroupView<'_>], now: Instant) -> Vec<Family> {
    let servers = || {
        groups.iter().flat_map(|(origin, _, servers)| {
            servers.iter().map(move |(name, health)| {
                ([("origin", (*origin).to_owned()), ("server", (*name).to_owned())], *health)
            })
        })
    };
    vec![
        Family::labelled(
            "shellac_origin_server_up",
            "Whether the server gets requests",
            servers().map(|(labels, health)| {
                Sample::labelled_gauge(labels, u64::from(health.state(now).is_in_use()))
            }),
        ),
        Family::labelled(
            "shellac_origin_server_share",
            "Thousandths of its due requests that the server gets",
            servers()
                .map(|(labels, health)| Sample::labelled_gauge(labels, health.share(now).into())),
        ),
        Family::labelled(
            "shellac_origin_probes",
            "Probes by their result",
            servers().flat_map(|(labels, health)| {
                LABELS.into_iter().zip(&health.probes).map(move |(result, count)| {
                    let [origin, server] = labels.clone();
                    let labels = [origin, server, ("result", result.to_owned())];
                    Sample::counter(labels, count.value())
                })
            }),
        ),
        Family::labelled(
            "shellac_origin_ejections",
            "Times that the server was left out because of its requests",
            servers().map(|(labels, health)| Sample::counter(labels, health.ejections.value())),
        ),
    ]
}

fn origin_families(groups: &[GroupView<'_>], now: Instant) -> Vec<Family> {
    let by_origin = |count: fn(&HealthGroup) -> u64| {
        groups.iter().map(move |(origin, group, _)| {
            Sample::counter([("origin", (*origin).to_owned())], count(group))
        })
    };
    vec![
        Family::labelled(
            "shellac_origin_ejections_refused",
            "Times that a failing server was kept because too few others were left",
            by_origin(|group| group.metrics.kept.value()),
        ),
        Family::labelled(
            "shellac_origin_circuit_open",
            "Whether the circuit of the origin lets requests wait or fail",
            groups.iter().map(|(origin, group, _)| {
                let is_open = group.circuit_state(now) != CircuitState::Closed;
                Sample::gauge("origin", origin, u64::from(is_open))
            }),
        ),
        Family::labelled(
            "shellac_origin_circuit_openings",
            "Times that the circuit of the origin opened",
            by_origin(|group| group.circuit().opened.value()),
        ),
        Family::labelled(
            "shellac_origin_circuit_refusals",
            "Requests that an open circuit kept from the origin",
            by_origin(|group| group.circuit().refused.value()),
        ),
        Family::labelled(
            "shellac_origin_unavailable",
            "Requests that found no usable server",
            by_origin(|group| group.metrics.unavailable.value()),
        ),
        Family::labelled(
            "shellac_origin_last_resorts",
            "Requests that went to a server that is left out because no other was usable",
            by_origin(|group| group.metrics.last_resorts.value()),
        ),
    ]
}
