// SPDX-License-Identifier: Apache-2.0
//! One thread reads the records of all probes and never waits for anyone.

use std::io;
use std::os::fd::{AsRawFd, RawFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{SyncSender, TrySendError};
use std::thread;

use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};
use tokio::task::{LocalSet, spawn_local};
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::kernel::RecordSource;

/// The thread. When the receiver of a source is behind, records are counted and given up here: the
/// kernel's buffers stay empty for the next.
pub(super) struct Reader {
    stop: CancellationToken,
    thread: Option<thread::JoinHandle<()>>,
    sources: UnboundedSender<Reading>,
}

/// A source that is being read; reading ends when this is dropped.
pub(super) struct ReadGuard {
    _stop: DropGuard,
    dropped: Arc<AtomicU64>,
}

impl ReadGuard {
    /// Records given up because the receiver was behind.
    pub fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }
}

struct Reading {
    source: Box<dyn RecordSource>,
    out: SyncSender<Vec<u8>>,
    dropped: Arc<AtomicU64>,
    stop: CancellationToken,
}

impl Reader {
    /// Starts the thread.
    pub fn start() -> io::Result<Self> {
        let stop = CancellationToken::new();
        let (sources, mut added) = unbounded_channel::<Reading>();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let stopped = stop.clone();
        let thread = thread::Builder::new().name("event-reader".to_owned()).spawn(move || {
            let local = LocalSet::new();
            let reader = stopped.run_until_cancelled(async {
                while let Some(reading) = added.recv().await {
                    spawn_local(async move {
                        let stop = reading.stop.clone();
                        stop.run_until_cancelled(drain(reading)).await
                    });
                }
            });
            local.block_on(&runtime, reader);
        })?;
        Ok(Self { stop, thread: Some(thread), sources })
    }

    /// Reads `source` too; its records go to `out`.
    pub fn add(&self, source: Box<dyn RecordSource>, out: SyncSender<Vec<u8>>) -> ReadGuard {
        let stop = CancellationToken::new();
        let dropped = Arc::new(AtomicU64::new(0));
        let guard = ReadGuard { _stop: stop.clone().drop_guard(), dropped: Arc::clone(&dropped) };
        if self.sources.send(Reading { source, out, dropped, stop }).is_err() {
            tracing::error!("the thread that reads events is gone; events are lost");
        }
        guard
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        self.stop.cancel();
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the thread that reads events panicked");
        }
    }
}

async fn drain(reading: Reading) {
    let Reading { source, out, dropped, .. } = reading;
    let mut source = match register(source) {
        Ok(source) => source,
        Err(error) => return tracing::error!(%error, "cannot wait for events of the kernel"),
    };
    loop {
        let mut ready = match source.readable_mut().await {
            Ok(ready) => ready,
            Err(error) => return tracing::error!(%error, "waiting for events failed"),
        };
        loop {
            while let Some(record) = ready.get_inner_mut().0.next_record() {
                match out.try_send(record) {
                    Ok(()) => {}
                    Err(TrySendError::Full(_)) => {
                        dropped.fetch_add(1, Ordering::Relaxed);
                    }
                    Err(TrySendError::Disconnected(_)) => return,
                }
            }
            let Some(pause) = ready.get_inner().0.pause() else { break };
            tokio::time::sleep(pause).await;
        }
        ready.clear_ready();
    }
}

/// A source as tokio wants it.
struct Registered(Box<dyn RecordSource>);

impl AsRawFd for Registered {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_raw_fd()
    }
}

fn register(source: Box<dyn RecordSource>) -> io::Result<AsyncFd<Registered>> {
    #[expect(unsafe_code, reason = "tokio cannot see that the descriptor stays open")]
    // SAFETY: a source owns its descriptor and never replaces it; the `AsyncFd` owns the source.
    let registered =
        unsafe { AsyncFd::register_with_interest(Registered(source), Interest::READABLE) };
    registered.map_err(io::Error::from)
}
