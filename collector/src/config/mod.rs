// SPDX-License-Identifier: Apache-2.0
//! The configuration.

mod otlp;
mod server;
mod storage;

pub use otlp::{Compression, Otlp, Protocol, SignalTarget};
pub use server::{EventsWatch, Journal, Server};
pub use storage::LocalFile;
