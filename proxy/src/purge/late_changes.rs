//! `LateChanges`: what requests change that end after another process has taken over.

use std::fmt;
use std::io;
use std::sync::Arc;

use http::Uri;
use parking_lot::Mutex;

/// The process that has taken over.
pub trait Successor: fmt::Debug + Send + Sync {
    /// Purges there what a request has changed. Blocks until it is done.
    fn invalidate(&self, uris: &[Uri], host: &[u8], groups: &[String]) -> io::Result<()>;
}

#[derive(Clone, Debug)]
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
    /// What was changed before the other process served.
    waiting: Vec<Change>,
}

impl LateChanges {
    /// The other process serves. Blocks until it knows what was changed until now.
    pub(super) fn set(&self, successor: &Arc<dyn Successor>) {
        let waiting = {
            let mut state = self.0.lock();
            state.successor = Some(Arc::clone(successor));
            std::mem::take(&mut state.waiting)
        };
        for change in &waiting {
            tell(&**successor, change);
        }
    }

    /// Has a change purged in the other process, as soon as that one serves.
    pub(super) async fn invalidate(&self, uris: &[Uri], (host, groups): (&[u8], &[String])) {
        let change = Change { uris: uris.to_vec(), host: host.to_vec(), groups: groups.to_vec() };
        let successor = {
            let mut state = self.0.lock();
            match &state.successor {
                Some(successor) => Arc::clone(successor),
                None if state.waiting.len() < WAITING_MAX => return state.waiting.push(change),
                None => {
                    return lost(&change, &"too many changes wait for the process that takes over");
                }
            }
        };
        let telling = tokio::task::spawn_blocking(move || tell(&*successor, &change));
        if let Err(error) = telling.await {
            tracing::error!(%error, "what a request has changed was not told");
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
    tracing::error!(%reason, ?uris, "purge these in the process that took over: a request has changed them");
}

const WAITING_MAX: usize = 10_000;

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

    #[tokio::test]
    async fn what_was_changed_before_the_other_process_served_is_told_first() {
        let succession = LateChanges::default();
        let uri = |text: &'static str| [Uri::from_static(text)];
        succession.invalidate(&uri("http://a/1"), (b"a", &[])).await;
        let recorder = Arc::new(Recorder::default());
        let successor: Arc<dyn Successor> = Arc::<Recorder>::clone(&recorder);
        succession.set(&successor);
        succession.invalidate(&uri("http://a/2"), (b"a", &[])).await;
        assert_eq!(*recorder.0.lock(), ["a http://a/1", "a http://a/2"]);
    }
}
