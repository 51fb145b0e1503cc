// SPDX-License-Identifier: Apache-2.0
//! Limits of our own process.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Lets the process open as many files as it may be let: the files of each container are kept open.
/// The usual 1024 are enough for 150 containers.
pub fn raise_open_files() {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
    if limit.current != limit.maximum && setrlimit(Resource::Nofile, raised).is_err() {
        tracing::warn!(limit = limit.current, "the limit of open files cannot be raised");
    }
}

/// Bytes from which on memory is given back as soon as it is free.
const LARGE: libc::c_int = 512 * 1024;

/// Has all threads take memory from one place: a snapshot is made by one thread and dropped by
/// another, and with a place for each, each would keep room for the largest. And has large pieces
/// given back: after the kernel's types, which are read once, the C library would take ever larger
/// ones for what is worth keeping.
pub fn keep_memory_small() {
    #[cfg(target_env = "gnu")]
    #[expect(unsafe_code, reason = "only the C library can be told")]
    // SAFETY: has no precondition; called before there is a second thread.
    unsafe {
        libc::mallopt(libc::M_ARENA_MAX, 1);
        libc::mallopt(libc::M_MMAP_THRESHOLD, LARGE);
        libc::mallopt(libc::M_TRIM_THRESHOLD, 2 * LARGE);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_many_files_as_allowed_can_be_opened() {
        raise_open_files();
        let limit = getrlimit(Resource::Nofile);
        assert_eq!(limit.current, limit.maximum);
    }
}
