// SPDX-License-Identifier: Apache-2.0
//! What an input of the target `container_files` has, in this order, with NULs between.

pub const FILES: [&str; 10] = [
    "cpu.max",
    "cpu.stat",
    "cpuset.cpus.effective",
    "memory.current",
    "memory.max",
    "memory.events",
    "memory.stat",
    "cpu.pressure",
    "io.pressure",
    "memory.pressure",
];
