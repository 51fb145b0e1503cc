// SPDX-License-Identifier: Apache-2.0
//! What the agent says about itself, carried by the OpenTelemetry SDK.

mod collection;
mod exporter;
mod instrument;
mod log;
mod observe;
mod process;
mod sdk;

pub use collection::{CollectionMeter, EventMeter};
pub use exporter::ExporterMeter;
pub use log::{Level, LogConfig, LogError, start as start_log};
pub use observe::{Observed, observe};
pub use sdk::{Providers, SdkError};
