// SPDX-License-Identifier: Apache-2.0
//! What this kernel is and can.

mod clock;
mod clock_watch;
mod kmsg;
mod limits;
mod records;
mod support;
mod symbols;

pub use clock::{
    boot_now, boot_offset, boot_to_unix, counter_start, tick, ticks_per_second, unix_now,
};
pub use clock_watch::ClockWatch;
pub use kmsg::{log_message, sysrq};
pub use limits::{keep_memory_small, raise_open_files};
pub use records::RecordSource;
pub use support::KernelSupport;
pub use symbols::{Symbols, interrupted};
