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

/// The hierarchy with `controller`: one of v1 that has it, else v2.
pub(super) fn controller(mounts: &str, controller: &str) -> Option<CgroupMount> {
    find(mounts, |kind, options| {
        kind == "cgroup" && options.split(',').any(|word| word == controller)
    })
    .map(|root| CgroupMount { root, v1: true })
    .or_else(|| {
        let root = find(mounts, |kind, _| kind == "cgroup2")?;
        Some(CgroupMount { root, v1: false })
    })
}

fn find(mounts: &str, wanted: impl Fn(&str, &str) -> bool) -> Option<PathBuf> {
    mounts.lines().find_map(|line| {
        let mut fields = line.split(' ').skip(1);
        let (root, kind, options) = (fields.next()?, fields.next()?, fields.next()?);
        wanted(kind, options).then(|| PathBuf::from(unescape(root)))
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
    fn a_controller_is_looked_for_in_v1_first() {
        let memory = controller(HYBRID, "memory").unwrap();
        assert_eq!(memory, CgroupMount { root: "/sys/fs/cgroup/memory".into(), v1: true });
        let cpu = controller(HYBRID, "cpu").unwrap();
        assert_eq!(cpu, CgroupMount { root: "/sys/fs/cgroup/uni fied".into(), v1: false });
        assert_eq!(controller("", "memory"), None);
    }
}
