//! Threads, and the words for a system that has no more of them.

use std::{io, thread};

/// The system has no thread. The caller tries again, or gives up.
#[derive(Debug, thiserror::Error)]
#[error(
    "cannot start the thread `{name}`: {source}; raise the limit on threads (TasksMax= of the systemd unit, the \
     container's limit on pids, `ulimit -u`, kernel.threads-max) or on memory"
)]
pub struct ThreadError {
    name: &'static str,
    source: io::Error,
}

/// Starts a thread that nobody waits for.
pub fn start(name: &'static str, body: impl FnOnce() + Send + 'static) -> Result<(), ThreadError> {
    start_with_stack(name, STACK_BYTES, body)
}

pub fn start_with_stack(
    name: &'static str,
    stack_bytes: usize,
    body: impl FnOnce() + Send + 'static,
) -> Result<(), ThreadError> {
    let thread = thread::Builder::new().name(name.to_owned()).stack_size(stack_bytes);
    drop(thread.spawn(body).map_err(|source| ThreadError { name, source })?);
    Ok(())
}

/// The size of a thread's stack that Rust chooses by itself.
pub const STACK_BYTES: usize = 2 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_that_there_is_not_is_an_error_that_names_the_limits() {
        let error = start_with_stack("reader", 1 << 60, || {}).unwrap_err().to_string();
        assert!(error.starts_with("cannot start the thread `reader`: "), "{error}");
        for limit in ["TasksMax=", "pids", "ulimit -u", "memory"] {
            assert!(error.contains(limit), "{error}");
        }
    }
}
