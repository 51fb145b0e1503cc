// SPDX-License-Identifier: Apache-2.0
//! What the agent says about itself, carried by the OpenTelemetry SDK.

mod collection;
mod exporter;
mod instrument;
mod observe;
mod process;

pub use collection::{CollectionMeter, EventMeter};
pub use exporter::ExporterMeter;
pub use observe::{Observed, observe};
