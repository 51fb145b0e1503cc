// SPDX-License-Identifier: Apache-2.0
//! The ways out. An exporter reads snapshots and follows the journal; it knows no probe.

pub mod document;
pub mod localfile;
pub mod otlp;
pub mod prometheus;
