//! All processes of the story, started in the order of their dependencies and stopped in the
//! opposite one.

use super::DemoError;
use super::broker::Broker;
use super::origin::DemoOrigin;
use super::proxy::Proxy;
use super::purger::Purger;
use super::shop::Shop;

/// An origin server, a broker, a proxy and a purger, all of them running.
#[derive(Debug)]
pub(super) struct Stage {
    /// The origin server; it runs on the runtime that the stage was set on.
    pub(super) origin: DemoOrigin,
    pub(super) broker: Broker,
    pub(super) proxy: Proxy,
    pub(super) purger: Purger,
}

impl Stage {
    pub(super) fn set(products: usize) -> Result<Self, DemoError> {
        let origin = DemoOrigin::start(Shop::new(products))?;
        let broker = Broker::start()?;
        let proxy = Proxy::start(origin.address)?;
        let purger = Purger::start(&broker, &proxy)?;
        Ok(Self { origin, broker, proxy, purger })
    }

    pub(super) fn clear(self) -> Result<(), DemoError> {
        let Self { origin, broker, proxy, purger } = self;
        purger.stop()?;
        drop(broker);
        proxy.stop()?;
        drop(origin);
        Ok(())
    }
}
