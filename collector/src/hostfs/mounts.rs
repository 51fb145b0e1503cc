// SPDX-License-Identifier: Apache-2.0
//! Where cgroup hierarchies are mounted (`/proc/self/mounts`, man proc(5)).

use std::path::PathBuf;

/// A mounted cgroup hierarchy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CgroupMount {
    /// Its mount point.
    pub root: PathBuf,
    /// cgroup v1.
    pub v1: bool,
}

/// The hierarchy that processes are attributed by: v1's memory controller, or v2.
pub(super) fn cgroup_mount(mounts: &str, memory_is_v1: bool) -> Option<CgroupMount> {
    mounts.lines().find_map(|line| {
        let mut fields = line.split(' ').skip(1);
        let (root, kind, options) = (fields.next()?, fields.next()?, fields.next()?);
        let wanted = if memory_is_v1 {
            kind == "cgroup" && options.split(',').any(|word| word == "memory")
        } else {
            kind == "cgroup2"
        };
        wanted.then(|| CgroupMount { root: PathBuf::from(unescape(root)), v1: memory_is_v1 })
    })
}

/// Undoes the kernel's octal escapes of blank, tab, newline and backslash.
fn unescape(path: &str) -> String {
    [("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")]
        .into_iter()
        .fold(path.to_owned(), |path, (escape, plain)| path.replace(escape, plain))
}

#[cfg(test)]
mod tests {
    use super::*;

    const HYBRID: &str = "cgroup /sys/fs/cgroup/memory cgroup rw,relatime,memory 0 0\n\
                          cgroup2 /sys/fs/cgroup/uni\\040fied cgroup2 rw,relatime 0 0\n";

    #[test]
    fn the_hierarchy_follows_the_memory_controller() {
        let v1 = cgroup_mount(HYBRID, true).unwrap();
        assert_eq!(v1.root, PathBuf::from("/sys/fs/cgroup/memory"));
        let v2 = cgroup_mount(HYBRID, false).unwrap();
        assert_eq!(v2.root, PathBuf::from("/sys/fs/cgroup/uni fied"));
        assert_eq!(cgroup_mount("", false), None);
    }
}
