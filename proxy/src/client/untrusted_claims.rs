//! `UntrustedClaims`: what peers say that are not believed.

use std::sync::atomic::{AtomicBool, Ordering};

use process::metrics::Counter;

use super::end_address::EndAddress;

#[derive(Debug, Default)]
pub struct UntrustedClaims {
    schemes: Counter,
    has_warned: AtomicBool,
}

impl UntrustedClaims {
    /// Counts a request whose peer names the client's scheme in vain, and warns of the first one.
    pub fn note_scheme(&self, peer: EndAddress) {
        self.schemes.add(1);
        if !self.has_warned.load(Ordering::Relaxed)
            && !self.has_warned.swap(true, Ordering::Relaxed)
        {
            tracing::warn!(
                %peer,
                "a peer that is not trusted sends X-Forwarded-Proto, which is not believed: if it \
                is your load balancer, name it in listen.trusted_proxies, or an origin that \
                redirects to https may do so for ever"
            );
        }
    }

    pub fn schemes(&self) -> u64 {
        self.schemes.value()
    }
}
