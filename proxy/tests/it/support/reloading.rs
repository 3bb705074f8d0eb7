//! A proxy whose configuration is a file that can be written anew and read again.

use std::net::SocketAddr;
use std::path::PathBuf;

use process::clock::Clock;
use tempfile::TempDir;

use super::origin::Origin;
use super::proxy::{Proxy, START};
use shellac::app::reload::{ReloadError, ReloadReport};

#[derive(Debug)]
pub(crate) struct Reloading {
    pub(crate) proxy: Proxy,
    file: PathBuf,
    origin: SocketAddr,
    _folder: TempDir,
}

impl Reloading {
    /// Starts one before this origin, with more settings than that.
    pub(crate) fn start(origin: &Origin, settings: &str) -> Self {
        Self::start_with(origin, settings, Clock::manual(START))
    }

    pub(crate) fn start_in_real_time(origin: &Origin, settings: &str) -> Self {
        Self::start_with(origin, settings, Clock::system())
    }

    fn start_with(origin: &Origin, settings: &str, clock: Clock) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("shellac.toml");
        let origin = origin.address;
        std::fs::write(&file, configuration(origin, settings)).unwrap();
        let proxy = Proxy::start_from(&file, clock);
        Self { proxy, file, origin, _folder: folder }
    }

    /// Writes these settings instead.
    pub(crate) fn write(&self, settings: &str) {
        std::fs::write(&self.file, configuration(self.origin, settings)).unwrap();
    }

    pub(crate) async fn reload(&self) -> Result<ReloadReport, ReloadError> {
        self.proxy.app.reloads.reload("test", false).await
    }

    /// Writes these settings and has them applied.
    pub(crate) async fn apply(&self, settings: &str) -> ReloadReport {
        self.write(settings);
        self.reload().await.unwrap()
    }

    pub(crate) async fn metrics(&self) -> String {
        self.proxy.ask_admin("GET", "/metrics", &[], "").await.text().to_owned()
    }
}

/// Returns a file with this origin. Settings that begin with `[[listen]]` or a table go on from
/// there.
fn configuration(origin: SocketAddr, settings: &str) -> String {
    let listen = if settings.contains("[[listen]]") { "" } else { LISTEN };
    let admin = if settings.contains("[admin]") { "" } else { ADMIN };
    let workers = if settings.contains("workers") { "" } else { "workers = 2\n" };
    let (top, tables) = settings.split_at(settings.find('[').unwrap_or(settings.len()));
    format!(
        "{workers}{top}\n{listen}{admin}[origin.app]\nservers = [\"{origin}\"]\n\
         [storage.memory]\ncapacity = \"64MiB\"\n{tables}\n"
    )
}

const LISTEN: &str = "[[listen]]\naddress = \"127.0.0.1:0\"\n";
const ADMIN: &str = "[admin]\nlisten = [\"127.0.0.1:0\"]\n";
