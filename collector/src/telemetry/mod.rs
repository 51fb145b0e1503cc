// SPDX-License-Identifier: Apache-2.0
//! What the agent says about itself, carried by the OpenTelemetry SDK.

mod exporter;

pub use exporter::ExporterMeter;
