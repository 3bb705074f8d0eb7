//! The task of a name: looks it up, notes the result, pauses, and begins again.

use std::sync::{Arc, Weak};
use std::time::Duration;

use settings::DnsSettings;
use tokio::time::{Instant, sleep, sleep_until, timeout};

use super::Lookups;
use super::answer::{FoundRecords, NoAnswer, Question};
use super::resolved_name::ResolvedName;

/// How long a look-up waits for the addresses of the other kind.
#[derive(Clone, Copy, Debug)]
pub(super) struct KindPatience {
    /// From the addresses of the first kind on.
    pub(super) after_first: Duration,
    /// In any case. The look-up ends soon after, and what it has found would be lost.
    pub(super) until: Instant,
}

impl KindPatience {
    pub(super) fn due(&self) -> Instant {
        self.until.min(Instant::now() + self.after_first)
    }
}

pub(super) trait NameLookup: Send + Sync + 'static {
    /// Looks a name up. Once there are addresses of one kind, those of the other are waited for as
    /// long as the patience lasts.
    fn look_up(
        &self,
        question: &Question,
        dns: &DnsSettings,
        patience: KindPatience,
    ) -> impl Future<Output = Result<FoundRecords, NoAnswer>> + Send;
}

/// Keeps a name's answer up to date until nobody needs the name.
pub(super) async fn keep<L: NameLookup>(name: Weak<ResolvedName>, lookups: Arc<Lookups<L>>) {
    let Some((doubts, gone)) = name.upgrade().map(|name| name.signals()) else { return };
    let keeping = async {
        let mut settings = lookups.settings.subscribe();
        loop {
            let dns = settings.borrow_and_update().clone();
            let Some(pause) = look_up_once(&name, &lookups, &dns).await else { return };
            let looked = Instant::now();
            tokio::select! {
                () = sleep(pause) => {}
                () = doubts.notified() => sleep_until(looked + pause.min(dns.min_ttl)).await,
                _changed = settings.changed() => {}
            }
        }
    };
    gone.run_until_cancelled(keeping).await;
}

/// Looks the name up. Returns the pause before the next time, or `None` if nobody needs the name.
async fn look_up_once<L: NameLookup>(
    name: &Weak<ResolvedName>,
    lookups: &Lookups<L>,
    dns: &DnsSettings,
) -> Option<Duration> {
    let permit = lookups.permits.acquire().await.ok()?;
    let (question, has_answer) = {
        let name = name.upgrade()?;
        (name.question().clone(), name.last_answer().is_some())
    };
    let after_first = if has_answer { dns.timeout } else { RESOLUTION_DELAY };
    // A question that was lost is asked again after half of the time-out.
    let patience = KindPatience { after_first, until: Instant::now() + dns.timeout * 3 / 4 };
    let result = timeout(dns.timeout, lookups.resolver.look_up(&question, dns, patience)).await;
    drop(permit);
    let result = result.unwrap_or(Err(NoAnswer::TimedOut));
    Some(name.upgrade()?.note(result, dns))
}

/// The time for which the first answer waits for the other kind of addresses (RFC 8305 §3).
const RESOLUTION_DELAY: Duration = Duration::from_millis(50);
