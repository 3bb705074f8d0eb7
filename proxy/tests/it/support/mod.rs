//! What the tests stand on: a scripted origin, a proxy in this process, a client that sees every
//! byte.

pub(crate) mod case;
pub(crate) mod client;
pub(crate) mod frames;
pub(crate) mod hostile;
pub(crate) mod hpack;
pub(crate) mod impostor;
pub(crate) mod message;
pub(crate) mod origin;
pub(crate) mod program;
pub(crate) mod reloading;
pub(crate) mod proxy;
pub(crate) mod secure;
pub(crate) mod tap;
pub(crate) mod windows;

use std::time::Duration;

use tokio::time::{sleep, timeout};

/// What hangs is a failure, not a wait for ever.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// Waits for something that takes time.
pub(crate) async fn in_time<T>(what: &str, future: impl Future<Output = T>) -> T {
    timeout(PATIENCE, future).await.unwrap_or_else(|_elapsed| panic!("{what} takes for ever"))
}

/// Waits for something that shows nowhere but in a number of the proxy.
pub(crate) async fn until(what: &str, is_so: impl Fn() -> bool) {
    let poll = async {
        while !is_so() {
            sleep(Duration::from_millis(1)).await;
        }
    };
    in_time(what, poll).await;
}

/// Runs all at once, each in a task of its own, and returns what they return in their order.
pub(crate) async fn join_all<F>(futures: impl IntoIterator<Item = F>) -> Vec<F::Output>
where
    F: Future<Output: Send> + Send + 'static,
{
    let tasks: Vec<_> = futures.into_iter().map(tokio::spawn).collect();
    let mut all = Vec::new();
    for task in tasks {
        all.push(task.await.unwrap());
    }
    all
}
