// SPDX-License-Identifier: Apache-2.0
//! `huatuo-otel`: kernel observability that speaks OpenTelemetry.
//!
//! Data goes one way: `bpf`/`hostfs` → `probes` → `signal` → `export`. A probe knows no exporter
//! and an exporter knows no probe; `docs/architecture.md` has the picture.

#[cfg(not(target_os = "linux"))]
compile_error!("huatuo-otel observes the Linux kernel and builds on Linux only");

pub mod agent;
pub mod bpf;
pub mod cause;
pub mod check;
pub mod cli;
pub mod collect;
pub mod command;
pub mod config;
pub mod crypto;
pub mod entity;
pub mod events;
pub mod export;
pub mod follow;
pub mod gpu;
pub mod hostfs;
pub mod journal;
pub mod kernel;
pub mod kubelet;
pub mod netlink;
pub mod probes;
pub mod rate;
pub mod server;
pub mod signal;
pub mod status;
pub mod sync;
pub mod telemetry;
