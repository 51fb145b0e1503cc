// SPDX-License-Identifier: Apache-2.0
//! From records of the kernel to events in the journal. One thread reads all sources; each probe
//! with events has a thread that makes events of its records, so that one which is slow or flooded
//! holds up no other. Nothing behind the journal can hold up any of them.

mod reader;

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, sync_channel};
use std::sync::{Arc, Mutex};
use std::thread;

use crate::entity::Entities;
use crate::journal::Journal;
use crate::kernel::{RecordSource, Symbols};
use crate::probes::{Decode, DecodeContext, KnownIssues};
use crate::sync::lock;
use crate::telemetry::EventMeter;
use reader::{ReadGuard, Reader};

/// Records of one probe that wait between the reader and its decoder.
const QUEUE: usize = 1024;

/// What all decoders share.
pub struct Surroundings {
    /// Whose is it?
    pub entities: Arc<Entities>,
    /// Where events go.
    pub journal: Arc<dyn Journal>,
    /// Labels of the configuration.
    pub known_issues: KnownIssues,
}

/// The threads of all events. They end when this is dropped, after the last record.
pub struct Events {
    // Dropped first: then the queues end, and with them the threads.
    reader: Option<Reader>,
    decoders: Mutex<Vec<thread::JoinHandle<()>>>,
    shared: Arc<Shared>,
}

struct Shared {
    surroundings: Surroundings,
    symbols: Symbols,
    meter: EventMeter,
}

/// The events of one probe; they end when this is dropped.
pub struct Feed {
    reading: ReadGuard,
    malformed: Arc<AtomicU64>,
}

impl Feed {
    /// Records given up because the decoder was behind.
    pub fn dropped(&self) -> u64 {
        self.reading.dropped()
    }

    /// Records that were not what they should be.
    pub fn malformed(&self) -> u64 {
        self.malformed.load(Ordering::Relaxed)
    }
}

impl Events {
    /// Starts the thread that reads.
    pub fn start(surroundings: Surroundings) -> io::Result<Self> {
        let (symbols, meter) = (Symbols::default(), EventMeter::new());
        Ok(Self {
            reader: Some(Reader::start()?),
            decoders: Mutex::default(),
            shared: Arc::new(Shared { surroundings, symbols, meter }),
        })
    }

    /// Gives back memory that was needed for a while only.
    pub fn tidy(&self) {
        self.shared.symbols.forget_idle();
        lock(&self.decoders).retain(|decoder| !decoder.is_finished());
    }

    /// Reads `source` of `probe` and makes events of its records.
    pub fn add(
        &self,
        probe: &'static str,
        source: Box<dyn RecordSource>,
        decoder: Box<dyn Decode>,
    ) -> io::Result<Feed> {
        let reader = self.reader.as_ref().ok_or(io::ErrorKind::BrokenPipe)?;
        let (out, records) = sync_channel(QUEUE);
        let malformed = Arc::new(AtomicU64::new(0));
        let decoding = Decoding {
            probe,
            decoder,
            shared: Arc::clone(&self.shared),
            malformed: Arc::clone(&malformed),
        };
        let name = probe.rsplit('.').next().unwrap_or(probe).to_owned();
        let thread = thread::Builder::new().name(name).spawn(move || decoding.run(records))?;
        lock(&self.decoders).push(thread);
        Ok(Feed { reading: reader.add(source, out), malformed })
    }
}

impl Drop for Events {
    fn drop(&mut self) {
        self.reader = None;
        for decoder in lock(&self.decoders).drain(..) {
            if decoder.join().is_err() {
                tracing::error!("a thread that decodes events panicked");
            }
        }
    }
}

struct Decoding {
    probe: &'static str,
    decoder: Box<dyn Decode>,
    shared: Arc<Shared>,
    malformed: Arc<AtomicU64>,
}

impl Decoding {
    fn run(mut self, records: Receiver<Vec<u8>>) {
        self.step(None);
        for record in records {
            self.step(Some(&record));
        }
    }

    /// A decoder that panics on a record has not understood it.
    fn step(&mut self, record: Option<&[u8]>) {
        let Shared { surroundings, symbols, meter } = &*self.shared;
        let Surroundings { entities, journal, known_issues } = surroundings;
        let mut cx = DecodeContext::new(entities, symbols, known_issues);
        let decoder = &mut self.decoder;
        let outcome = catch_unwind(AssertUnwindSafe(|| match record {
            Some(record) => decoder.decode(record, &mut cx),
            None => {
                decoder.begin(&mut cx);
                Ok(())
            }
        }));
        let (events, suppressed) = cx.into_found();
        for event in events {
            let name = event.def.name;
            journal.append(Arc::new(event));
            meter.recorded(name);
        }
        for (def, why) in suppressed {
            meter.suppressed(def.name, why.as_str());
        }
        if !matches!(outcome, Ok(Ok(()))) {
            self.malformed.fetch_add(1, Ordering::Relaxed);
            let length = record.map_or(0, <[u8]>::len);
            tracing::debug!(probe = self.probe, length, "malformed record");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::os::fd::{AsRawFd, RawFd};
    use std::os::unix::net::UnixStream;
    use std::time::{Duration, Instant};

    use super::*;
    use crate::config::Config;
    use crate::hostfs::HostFs;
    use crate::journal::MemoryJournal;
    use crate::probes::Malformed;

    /// A record is a byte.
    struct Bytes(UnixStream);

    impl AsRawFd for Bytes {
        fn as_raw_fd(&self) -> RawFd {
            self.0.as_raw_fd()
        }
    }

    impl RecordSource for Bytes {
        fn next_record(&mut self) -> Option<Vec<u8>> {
            let mut byte = [0];
            let read = io::Read::read(&mut self.0, &mut byte);
            read.is_ok_and(|length| length == 1).then(|| byte.to_vec())
        }
    }

    /// Has its record only when it is asked again after a pause, and nothing can be read any more.
    struct Tired(UnixStream, bool);

    impl AsRawFd for Tired {
        fn as_raw_fd(&self) -> RawFd {
            self.0.as_raw_fd()
        }
    }

    impl RecordSource for Tired {
        fn next_record(&mut self) -> Option<Vec<u8>> {
            if std::mem::take(&mut self.1) {
                return Some(b"-".to_vec());
            }
            self.1 = io::Read::read(&mut self.0, &mut [0]).is_ok();
            None
        }

        fn pause(&self) -> Option<Duration> {
            self.1.then_some(Duration::from_millis(1))
        }
    }

    struct Picky;

    impl Decode for Picky {
        fn begin(&mut self, cx: &mut DecodeContext<'_>) {
            cx.raise(crate::export::document::tests::oom(""));
        }

        fn decode(&mut self, record: &[u8], cx: &mut DecodeContext<'_>) -> Result<(), Malformed> {
            match record {
                [b'+'] => cx.raise(crate::export::document::tests::oom("c0ffee")),
                [b'!'] => panic!("not understood"),
                _ => return Err(Malformed),
            }
            Ok(())
        }
    }

    /// Events of a machine without anything.
    fn events() -> (Events, Arc<MemoryJournal>) {
        let root = tempfile::tempdir().unwrap();
        let entities = Arc::new(Entities::discover(&Config::default(), &HostFs::new(root.path())));
        let journal = Arc::new(MemoryJournal::new(8));
        let surroundings = Surroundings {
            entities,
            journal: Arc::clone(&journal) as Arc<dyn Journal>,
            known_issues: KnownIssues::default(),
        };
        (Events::start(surroundings).unwrap(), journal)
    }

    fn wait_for_malformed(feed: &Feed, count: u64) {
        let begin = Instant::now();
        while feed.malformed() < count && begin.elapsed() < Duration::from_secs(10) {
            thread::sleep(Duration::from_millis(1));
        }
        assert_eq!((feed.malformed(), feed.dropped()), (count, 0));
    }

    /// What the kernel would write to, and what we read.
    fn pipe() -> (UnixStream, UnixStream) {
        let (kernel, ours) = UnixStream::pair().unwrap();
        ours.set_nonblocking(true).unwrap();
        (kernel, ours)
    }

    #[test]
    fn a_source_that_pauses_is_asked_again_though_nothing_can_be_read() {
        let ((events, _), (mut kernel, ours)) = (events(), pipe());
        let source = Box::new(Tired(ours, false));
        let feed = events.add("memory.oom", source, Box::new(Picky)).unwrap();
        kernel.write_all(b"x").unwrap();
        wait_for_malformed(&feed, 1);
    }

    #[test]
    fn malformed_records_are_counted_and_the_next_ones_are_decoded() {
        let ((events, journal), (mut kernel, ours)) = (events(), pipe());
        let feed = events.add("memory.oom", Box::new(Bytes(ours)), Box::new(Picky)).unwrap();
        kernel.write_all(b"-!+-").unwrap();
        wait_for_malformed(&feed, 3);
        drop(events);
        // What was there at the start, and one of the records.
        assert_eq!(*journal.head().borrow(), 2);
    }
}
