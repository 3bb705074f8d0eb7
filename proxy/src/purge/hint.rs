//! The hint in the answer to a purge of which a selector has matched nothing.

use purge_protocol::hint::{Known, for_folded, for_no_match};
use purge_protocol::request::Target;
use purge_protocol::{PurgeReport, SelectorReport};

use super::PurgeExecutor;
use super::deploys::{self, DeployTime};
use settings::{Config, ListenAddress, ListenSettings, StorageKind};

#[derive(Clone, Debug, Default)]
pub struct Hints {
    /// Tags of stored responses may be in a file, where purges do not count them.
    pub has_file: bool,
}

impl Hints {
    pub fn new(config: &Config) -> Self {
        Self { has_file: config.storage.kind != StorageKind::Memory }
    }

    /// Returns a hint for the first selector that has matched nothing.
    pub(super) fn of(
        &self,
        report: &PurgeReport,
        executor: &PurgeExecutor,
        listen: &[ListenSettings],
    ) -> Option<String> {
        if let Some(hint) = report.selectors.iter().find_map(|it| superseded(it, executor)) {
            return Some(hint);
        }
        let missed = |count: &&SelectorReport| count.objects == 0;
        let Some(first) = report.selectors.iter().find(missed) else {
            let folded = report.selectors.iter().map(|count| count.folded).sum();
            return (folded > 0).then(|| for_folded(folded));
        };
        let target = first.selector.target().ok()?;
        let host = match &target {
            Target::Url(url) | Target::Page(url) | Target::Path(url) => Some(url.host()),
            Target::Host(host) => Some(host.as_str()),
            Target::Prefix(prefix) => prefix.host(),
            Target::Tag(_) | Target::Expression(_) | Target::Deploy(_) | Target::All => None,
        };
        let other = host.and_then(|host| stored_sibling(host, executor, listen));
        let known = Known { other_host: other.as_deref(), has_uncounted: self.has_file };
        let hint = for_no_match(&first.selector, known);
        let (count, all) = (report.selectors.iter().filter(missed).count(), report.selectors.len());
        Some(if all == 1 { hint } else { format!("{count} of {all} matched nothing: {hint}") })
    }
}

/// Says that a change of deployment came too late.
fn superseded(report: &SelectorReport, executor: &PurgeExecutor) -> Option<String> {
    let Target::Deploy(deployment) = report.selector.target().ok()? else { return None };
    let deployments = executor.invalidation.deployments();
    let mark = DeployTime::new(&executor.clock, deployments)
        .mark(&deployment, executor.invalidation.ids());
    let present = deploys::superseding(executor, &mark)?;
    Some(format!(
        "the deployment {present:?} was announced at a later time than {:?}, and stays: \
        leave the time out to go back to an earlier one",
        deployment.id.as_str()
    ))
}

/// Returns a host of the same name under another port of which responses are in memory.
fn stored_sibling(
    host: &str,
    executor: &PurgeExecutor,
    listen: &[ListenSettings],
) -> Option<String> {
    let ids = executor.invalidation.ids();
    let is_stored = |host: &str| ids.live(ids.host(host.as_bytes())) > 0;
    if is_stored(host) {
        return None;
    }
    let port_at = host.rfind(':').filter(|at| !host.get(*at..).unwrap_or("").contains(']'));
    let name = port_at.and_then(|at| host.get(..at)).unwrap_or(host);
    // Clients that name the port of a listener have it in the host of what they store.
    let addresses = listen.iter().flat_map(|listen| &listen.addresses);
    let ports = addresses.filter_map(ListenAddress::tcp).map(|address| address.port());
    let siblings = ports.map(|port| format!("{name}:{port}"));
    std::iter::once(name.to_owned()).chain(siblings).find(|sibling| is_stored(sibling))
}
