// SPDX-License-Identifier: Apache-2.0
//! What was measured and what happened, neutral of how it leaves.

mod event;
mod recorder;
mod resource;
mod snapshot;
mod value;

pub use event::{Event, RunType, Severity};
pub use recorder::{Audience, EntityRecorder, Recorder, Sizes};
pub use resource::{EntityKind, Resource};
pub use snapshot::{EntityPoints, Histogram, Point, PointValue, Snapshot};
pub use value::{Attribute, Value};

/// A moment: nanoseconds since the Unix epoch.
pub type UnixNanos = u64;
