//! `OwnListener`: where a running purger is asked.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use clap::Args;
use process::exit::Exit;
use settings::TargetHttp;

use super::CommonArguments;
use crate::delivery::target::{Target, TargetOptions};

#[derive(Debug, Args)]
pub(super) struct OwnListener {
    #[command(flatten)]
    common: CommonArguments,
    /// The purger's own listener, instead of the configured `purger.admin`
    #[arg(long, value_name = "URL")]
    purger: Option<String>,
}

impl OwnListener {
    /// Returns the purger to ask. The configuration is read only if it is not named.
    pub(super) fn purger(&self) -> Result<Target, Exit> {
        let url = match &self.purger {
            Some(url) if url.contains("://") => url.trim_end_matches('/').to_owned(),
            Some(address) => format!("http://{address}"),
            None => url_of(self.common.load()?.purger.admin),
        };
        let options = TargetOptions { http: TargetHttp::Http1, token: None, timeout: PATIENCE };
        Ok(Target::new(0, url, &options))
    }
}

/// Returns the URL of a listener. One that listens on all interfaces is asked on this machine.
fn url_of(address: SocketAddr) -> String {
    let ip =
        if address.ip().is_unspecified() { IpAddr::V4(Ipv4Addr::LOCALHOST) } else { address.ip() };
    format!("http://{}", SocketAddr::new(ip, address.port()))
}

const PATIENCE: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listener_of_all_interfaces_is_asked_on_this_machine() {
        assert_eq!(url_of("0.0.0.0:8082".parse().unwrap()), "http://127.0.0.1:8082");
        assert_eq!(url_of("10.0.0.1:8082".parse().unwrap()), "http://10.0.0.1:8082");
    }

    #[test]
    fn a_purger_is_named_with_its_scheme_or_without() {
        let config = Some("/nowhere/config.toml".into());
        let common = CommonArguments { config, ..CommonArguments::default() };
        for named in ["10.0.0.1:8082", "http://10.0.0.1:8082", "http://10.0.0.1:8082/"] {
            let purger = Some(named.to_owned());
            let listener = OwnListener { common: common.clone(), purger };
            assert_eq!(listener.purger().unwrap().url, "http://10.0.0.1:8082");
        }
    }
}
