// SPDX-License-Identifier: Apache-2.0
//! Sockets in use: of the host, and of each network namespace.
//! Source: `/proc/<pid>/net/sockstat` (net/ipv4/proc.c).   Signals: the family `linux.sockstat.*`.

use semconv::family;

use crate::hostfs::parse;
use crate::probes::{Collect, CollectError, Fields, Filter, Probe, ProbeDef, Started};
use crate::signal::{EntityRecorder, Recorder, UnixNanos};

/// The probe.
pub static PROBE: ProbeDef = ProbeDef {
    name: "network.sockstat",
    legacy_names: &["sockstat"],
    start: |_| {
        let fields = Fields::new(&family::SOCKSTAT, Filter::new("", ""));
        let words = Sockets { fields, word: String::new() };
        Started::from_files(Sockstat { words, text: Vec::new() })
    },
    decoder: None,
};

struct Sockstat {
    words: Sockets,
    /// Room for the files of network namespaces.
    text: Vec<u8>,
}

struct Sockets {
    fields: Fields,
    /// Room for one word.
    word: String,
}

impl Probe for Sockstat {
    fn collect(&mut self, cx: &mut Collect<'_>, out: &mut Recorder) -> Result<(), CollectError> {
        for network in cx.networks.list(cx.entities, cx.now) {
            // A namespace that goes while we look costs its own points only.
            let Some(text) = network.read("sockstat", &mut self.text) else { continue };
            self.words.record(text, false, network.started, &mut out.entity(&network.owner));
        }
        let text = cx.files.first_of(["1/net/sockstat", "net/sockstat"])?;
        self.words.record(text, true, cx.boot_time, &mut out.host());
        Ok(())
    }
}

impl Sockets {
    fn record(
        &mut self,
        text: &str,
        is_host: bool,
        start: UnixNanos,
        out: &mut EntityRecorder<'_>,
    ) {
        for (group, name, value) in parse::sockets(text) {
            self.word.clear();
            self.word.extend([group, "_", name]);
            let Some(field) = self.fields.get(&self.word) else { continue };
            if is_host || !field.host_only {
                out.sum(field.metric, Vec::new(), start, value);
            }
        }
    }
}
