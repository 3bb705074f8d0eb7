//! `Workers`: the threads that serve, and the orders that they take while they do.

use std::io;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use tokio::runtime::{Builder, Runtime};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, sleep_until, timeout};
use tokio_util::sync::CancellationToken;

use crate::app::App;
use crate::listener::ListenerHandle;
use crate::listener::sockets::{ListenSocket, Opening};

#[derive(Debug)]
pub(super) struct Workers {
    threads: Vec<thread::JoinHandle<()>>,
}

/// The way to the workers. Clones lead to the same.
#[derive(Clone, Debug)]
pub(super) struct WorkerOrders(Vec<mpsc::Sender<WorkerOrder>>);

#[derive(Debug)]
enum WorkerOrder {
    Accept(ListenSocket, ListenerHandle, CancellationToken),
    /// Take a copy of the settings that hold now, and let go of the one before, whose origins may
    /// be gone.
    TakeSettings,
    /// Say that the worker is not stuck.
    Answer(oneshot::Sender<()>),
}

impl Workers {
    pub(super) fn start(app: &Arc<App>) -> io::Result<(Self, WorkerOrders)> {
        let (mut threads, mut senders) = (Vec::new(), Vec::new());
        for number in 0..app.config.workers {
            let (sender, orders) = mpsc::channel(ORDERS_MAX);
            threads.push(start(Arc::clone(app), number, orders)?);
            senders.push(sender);
        }
        Ok((Self { threads }, WorkerOrders(senders)))
    }

    /// Waits until all have drained.
    pub(super) fn join(self) {
        for thread in self.threads {
            if thread.join().is_err() {
                tracing::error!("a worker panicked");
            }
        }
    }
}

impl WorkerOrders {
    pub(super) async fn accept(&self, openings: Vec<Opening>) {
        for Opening { listener, closing, sockets } in openings {
            for (number, sockets) in sockets.into_iter().enumerate() {
                for socket in sockets {
                    let order = WorkerOrder::Accept(socket, listener.clone(), closing.clone());
                    self.give(number, order).await;
                }
            }
        }
    }

    pub(super) async fn take_settings(&self) {
        for number in 0..self.0.len() {
            self.give(number, WorkerOrder::TakeSettings).await;
        }
    }

    /// Returns the numbers of the workers that do not answer within this time.
    pub(super) async fn stuck(&self, patience: Duration) -> Vec<usize> {
        let mut answers = Vec::new();
        for (number, orders) in self.0.iter().enumerate() {
            let (answer, answered) = oneshot::channel();
            // A full queue stands for a worker that takes nothing.
            let is_asked = orders.try_send(WorkerOrder::Answer(answer)).is_ok();
            answers.push((number, is_asked.then_some(answered)));
        }
        let mut stuck = Vec::new();
        let deadline = Instant::now() + patience;
        for (number, answered) in answers {
            let answered = match answered {
                Some(answered) => {
                    tokio::time::timeout_at(deadline, answered).await.is_ok_and(|it| it.is_ok())
                }
                None => false,
            };
            if !answered {
                stuck.push(number);
            }
        }
        stuck
    }

    async fn give(&self, number: usize, order: WorkerOrder) {
        let Some(orders) = self.0.get(number) else { return };
        if !matches!(timeout(ORDER_PATIENCE, orders.send(order)).await, Ok(Ok(()))) {
            tracing::error!(worker = number, "a worker takes no orders");
        }
    }
}

fn start(
    app: Arc<App>,
    number: usize,
    orders: mpsc::Receiver<WorkerOrder>,
) -> io::Result<thread::JoinHandle<()>> {
    let runtime = runtime()?;
    let serve = move || {
        runtime.block_on(serve(app, orders));
        runtime.shutdown_background();
    };
    thread::Builder::new().name(format!("worker-{number}")).spawn(serve)
}

/// Measures how late the event loop is. Ends with the runtime.
async fn watch_lag(app: Arc<App>) {
    loop {
        let due = Instant::now() + LAG_TICK;
        sleep_until(due).await;
        app.live.lag.record(due.elapsed());
    }
}

async fn serve(app: Arc<App>, mut orders: mpsc::Receiver<WorkerOrder>) {
    tokio::spawn(watch_lag(Arc::clone(&app)));
    let drain = &app.listeners.drain;
    loop {
        tokio::select! {
            order = orders.recv() => match order {
                Some(order) => carry_out(&app, order),
                None => break,
            },
            () = drain.begun() => break,
        }
    }
    drain.begun().await;
    // Somebody may be connected to a socket that was given just before.
    while let Ok(order) = orders.try_recv() {
        carry_out(&app, order);
    }
    let drained = drain.ended();
    tokio::pin!(drained);
    loop {
        tokio::select! {
            biased;
            () = &mut drained => return,
            Some(order) = orders.recv() => carry_out(&app, order),
            else => break,
        }
    }
    drained.await;
}

fn carry_out(app: &App, order: WorkerOrder) {
    match order {
        WorkerOrder::Accept(socket, listener, closing) => match socket.into_acceptor() {
            Ok(acceptor) => app.listeners.start_accepting(acceptor, listener, closing),
            Err(error) => tracing::error!(%error, "a worker cannot use its socket"),
        },
        WorkerOrder::TakeSettings => drop(app.settings.local()),
        WorkerOrder::Answer(answer) => {
            let _asker_waits = answer.send(());
        }
    }
}

/// One thread, timers and sockets; blocking work gets threads of its own.
pub(super) fn runtime() -> io::Result<Runtime> {
    Builder::new_current_thread().enable_all().max_blocking_threads(BLOCKING_THREADS_MAX).build()
}

/// Blocking work is sweeping and large purges: each worker needs a few threads at most.
const BLOCKING_THREADS_MAX: usize = 8;
/// Orders that wait for a worker.
const ORDERS_MAX: usize = 64;
/// The longest wait for a worker that takes no orders.
const ORDER_PATIENCE: Duration = Duration::from_secs(5);

const LAG_TICK: Duration = Duration::from_millis(500);

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_worker_that_does_not_answer_in_time_is_named() {
        let (well, mut orders) = mpsc::channel(ORDERS_MAX);
        let answering = tokio::spawn(async move {
            while let Some(WorkerOrder::Answer(answer)) = orders.recv().await {
                answer.send(()).unwrap();
            }
        });
        let (stuck, untaken) = mpsc::channel(ORDERS_MAX);
        let (gone, _) = mpsc::channel(ORDERS_MAX);
        let orders = WorkerOrders(vec![well, stuck, gone]);

        // Again and again: the queue of one that is stuck fills up.
        for _ in 0..=ORDERS_MAX {
            assert_eq!(orders.stuck(Duration::from_secs(1)).await, [1, 2]);
        }
        drop(untaken);
        drop(orders);
        answering.await.unwrap();
    }
}
