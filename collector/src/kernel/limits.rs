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

/// Has all threads take memory from one place. A snapshot is made by one thread and dropped by
/// another; with a place for each, each would keep room for the largest.
pub fn share_memory_between_threads() {
    #[cfg(target_env = "gnu")]
    #[expect(unsafe_code, reason = "only the C library can be told")]
    // SAFETY: has no precondition; called before there is a second thread.
    unsafe {
        libc::mallopt(libc::M_ARENA_MAX, 1);
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
