// SPDX-License-Identifier: Apache-2.0
//! The agent takes the first way of a hook that a kernel has. Here the kernel verifies the programs of
//! the other ways too: those of kernels without BTF trampolines.

#![allow(clippy::unwrap_used, reason = "helpers of tests may panic as tests do")]

use std::collections::BTreeSet;

use aya::EbpfLoader;
use aya::programs::Program;

/// Stands in for another program of its object.
fn is_second(name: &str, all: &BTreeSet<String>) -> bool {
    let first =
        |first: &str| all.contains(&format!("{}_{first}", name.rsplit_once('_').unwrap().0));
    name.ends_with("_kprobe") || (name.ends_with("_raw") && first("btf")) || name == "console_raw"
}

#[test]
fn the_kernel_takes_programs_that_stand_in_for_others() {
    let mut loaded = Vec::new();
    for (object, bytes) in ebpf::OBJECTS {
        let mut file = EbpfLoader::new().load(bytes).unwrap();
        let all = file.programs().map(|(name, _)| name.to_owned()).collect();
        for (name, program) in file.programs_mut().filter(|(name, _)| is_second(name, &all)) {
            match program {
                Program::KProbe(program) => program.load(),
                Program::RawTracePoint(program) => program.load(),
                other => panic!("{object}, {name}: {:?}", other.prog_type()),
            }
            .unwrap_or_else(|error| panic!("{object}, {name}: {error:?}"));
            loaded.push(name.to_owned());
        }
    }
    println!("{}", loaded.join(" "));
    assert_eq!(loaded.len(), 9, "a new one? {loaded:?}");
}
