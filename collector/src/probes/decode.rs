// SPDX-License-Identifier: Apache-2.0
//! From records of the kernel to events.

use std::ffi::c_char;

use semconv::{EventDef, attribute};
use zerocopy::{FromBytes, Immutable, KnownLayout};

use crate::entity::Entities;
use crate::kernel::Symbols;
use crate::probes::KnownIssues;
use crate::signal::{Attribute, Event, Value};

/// Makes events of the records of one probe. It lives in a thread of its own: nothing else waits
/// for it, and it may look things up. What it does per record is bounded all the same.
pub trait Decode: Send {
    /// Events of what was there before the first record.
    fn begin(&mut self, _cx: &mut DecodeContext<'_>) {}

    /// The events of one record.
    fn decode(&mut self, record: &[u8], cx: &mut DecodeContext<'_>) -> Result<(), Malformed>;
}

/// A record that is not what it should be. It is counted and dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Malformed;

/// What a decoder may look at, and what it has found.
pub struct DecodeContext<'a> {
    /// Whose is it?
    pub entities: &'a Entities,
    /// Names of kernel functions.
    pub symbols: &'a Symbols,
    /// Labels of the configuration.
    pub known_issues: &'a KnownIssues,
    events: Vec<Event>,
    suppressed: Vec<Suppressed>,
}

/// An event that is not recorded, and why.
pub type Suppressed = (&'static EventDef, Suppression);

/// Why an event was understood and not recorded. The words are those of
/// `huatuo.suppression.reason`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Suppression {
    /// The same has just been recorded.
    Backoff,
    /// The configuration excludes it, or it is of nobody whom the event is about.
    Excluded,
    /// What was measured cannot be right, because a clock was set meanwhile.
    ClockStep,
}

impl Suppression {
    /// The word of the registry.
    pub fn as_str(self) -> &'static str {
        match self {
            Suppression::Backoff => "backoff",
            Suppression::Excluded => "excluded",
            Suppression::ClockStep => "clock_step",
        }
    }
}

impl<'a> DecodeContext<'a> {
    /// Nothing found yet.
    pub fn new(
        entities: &'a Entities,
        symbols: &'a Symbols,
        known_issues: &'a KnownIssues,
    ) -> Self {
        Self { entities, symbols, known_issues, events: Vec::new(), suppressed: Vec::new() }
    }

    /// Records an event.
    pub fn raise(&mut self, event: Event) {
        self.events.push(event);
    }

    /// Counts an event that is not recorded.
    pub fn suppress(&mut self, def: &'static EventDef, why: Suppression) {
        self.suppressed.push((def, why));
    }

    /// A stack, with the label of the known issue that it looks like; nothing where it is empty.
    pub fn of_stack(&self, stack: &str) -> Vec<Attribute> {
        if stack.is_empty() {
            return Vec::new();
        }
        let mut out: Vec<Attribute> = vec![(&attribute::CODE_STACKTRACE, stack.into())];
        let label = self.known_issues.label(stack);
        out.extend(label.map(|label| (&attribute::HUATUO_KNOWN_ISSUE, Value::from(label))));
        out
    }

    /// What was found.
    pub fn into_found(self) -> (Vec<Event>, Vec<Suppressed>) {
        (self.events, self.suppressed)
    }
}

/// A record of a BPF program, which has its whole size.
pub fn record<T: FromBytes + KnownLayout + Immutable>(bytes: &[u8]) -> Result<T, Malformed> {
    T::read_from_bytes(bytes).map_err(|_| Malformed)
}

/// Text of a fixed-size field, up to its NUL; bytes that are no UTF-8 are replaced.
pub fn kernel_text(field: &[c_char]) -> String {
    let bytes: Vec<u8> = field.iter().map(|c| c.cast_unsigned()).take_while(|b| *b != 0).collect();
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::config::Config;
    use crate::hostfs::HostFs;

    /// What a decoder makes of a record on a machine without containers.
    pub(crate) fn decode(decoder: &mut dyn Decode, record: &[u8]) -> Result<Vec<Event>, Malformed> {
        let entities = Entities::discover(&Config::default(), &HostFs::new("/nowhere"));
        let (symbols, known_issues) = (Symbols::default(), KnownIssues::default());
        let mut cx = DecodeContext::new(&entities, &symbols, &known_issues);
        decoder.decode(record, &mut cx)?;
        Ok(cx.into_found().0)
    }
}
