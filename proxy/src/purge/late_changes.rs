//! `LateChanges`: what requests change that end after another process has taken over.

use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use http::Uri;
use parking_lot::Mutex;
use tokio::sync::oneshot;
use tokio::time::timeout;

/// The process that has taken over.
pub trait Successor: fmt::Debug + Send + Sync {
    /// Purges there what a request has changed. Blocks until it is done.
    fn invalidate(&self, uris: &[Uri], host: &[u8], groups: &[String]) -> io::Result<()>;
}

#[derive(Debug)]
struct Change {
    uris: Vec<Uri>,
    host: Vec<u8>,
    groups: Vec<String>,
}

#[derive(Debug, Default)]
pub(super) struct LateChanges(Mutex<LateState>);

#[derive(Debug, Default)]
struct LateState {
    successor: Option<Arc<dyn Successor>>,
    /// What was changed before the other process served, and who waits until it is told.
    waiting: Vec<(Change, oneshot::Sender<()>)>,
}

impl LateChanges {
    /// The other process serves. Blocks until it knows what was changed until now.
    pub(super) fn set(&self, successor: &Arc<dyn Successor>) {
        let waiting = {
            let mut state = self.0.lock();
            state.successor = Some(Arc::clone(successor));
            std::mem::take(&mut state.waiting)
        };
        for (change, told) in waiting {
            tell(&**successor, &change);
            let _answered_already = told.send(());
        }
    }

    /// Has a change purged in the other process, as soon as that one serves. Returns when it is
    /// purged, or has not been for [`SUCCESSOR_PATIENCE`]: it is told all the same then, but its
    /// client may be answered before.
    pub(super) async fn invalidate(&self, uris: &[Uri], (host, groups): (&[u8], &[String])) {
        let change = Change { uris: uris.to_vec(), host: host.to_vec(), groups: groups.to_vec() };
        let (told, telling) = oneshot::channel();
        {
            let mut state = self.0.lock();
            match &state.successor {
                Some(successor) => {
                    let successor = Arc::clone(successor);
                    drop(tokio::task::spawn_blocking(move || {
                        tell(&*successor, &change);
                        let _answered_already = told.send(());
                    }));
                }
                None if state.waiting.len() < WAITING_MAX => state.waiting.push((change, told)),
                None => {
                    return lost(&change, &"too many changes wait for the process that takes over");
                }
            }
        }
        match timeout(SUCCESSOR_PATIENCE, telling).await {
            Ok(Ok(())) => {}
            Ok(Err(_)) => tracing::error!("what a request has changed was not told"),
            Err(_) => {
                let waited = SUCCESSOR_PATIENCE;
                tracing::warn!(?uris, ?waited, "a request is answered before its change is purged");
            }
        }
    }
}

fn tell(successor: &dyn Successor, change: &Change) {
    if let Err(error) = successor.invalidate(&change.uris, &change.host, &change.groups) {
        lost(change, &error);
    }
}

fn lost(change: &Change, reason: &dyn fmt::Display) {
    let uris: Vec<String> = change.uris.iter().map(ToString::to_string).collect();
    tracing::error!(%reason, ?uris, "purge these: a request has changed them");
}

const WAITING_MAX: usize = 10_000;
/// For the process that takes over to purge a change. Its client waits meanwhile.
pub const SUCCESSOR_PATIENCE: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Default)]
    struct Recorder(Mutex<Vec<String>>);

    impl Successor for Recorder {
        fn invalidate(&self, uris: &[Uri], host: &[u8], _groups: &[String]) -> io::Result<()> {
            let host = String::from_utf8_lossy(host);
            self.0.lock().extend(uris.iter().map(|uri| format!("{host} {uri}")));
            Ok(())
        }
    }

    fn uri(text: &'static str) -> [Uri; 1] {
        [Uri::from_static(text)]
    }

    fn recorder() -> (Arc<Recorder>, Arc<dyn Successor>) {
        let recorder = Arc::new(Recorder::default());
        (Arc::clone(&recorder), recorder)
    }

    #[tokio::test]
    async fn a_change_before_the_other_process_serves_waits_until_it_is_told() {
        let late = Arc::new(LateChanges::default());
        let changing = Arc::clone(&late);
        let early = tokio::spawn(async move {
            changing.invalidate(&uri("http://a/1"), (b"a", &[])).await;
        });
        while late.0.lock().waiting.is_empty() {
            tokio::task::yield_now().await;
        }
        assert!(!early.is_finished());
        let (recorder, successor) = recorder();
        late.set(&successor);
        early.await.unwrap();
        late.invalidate(&uri("http://a/2"), (b"a", &[])).await;
        assert_eq!(*recorder.0.lock(), ["a http://a/1", "a http://a/2"]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_change_waits_no_longer_than_its_limit_and_is_told_all_the_same() {
        let late = LateChanges::default();
        let begun = tokio::time::Instant::now();
        late.invalidate(&uri("http://a/1"), (b"a", &[])).await;
        assert_eq!(begun.elapsed().as_secs(), SUCCESSOR_PATIENCE.as_secs());
        let (recorder, successor) = recorder();
        late.set(&successor);
        assert_eq!(*recorder.0.lock(), ["a http://a/1"]);
    }
}
