// SPDX-License-Identifier: Apache-2.0
//! What is mounted where (`/proc/self/mounts`, `/proc/self/mountinfo`, man proc(5)).

use std::borrow::Cow;
use std::path::PathBuf;

/// A mounted cgroup hierarchy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CgroupMount {
    /// Its mount point.
    pub root: PathBuf,
    /// cgroup v1.
    pub v1: bool,
}

/// A mounted file system.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mount<'a> {
    /// Major and minor number of its device.
    pub device: &'a str,
    /// Where it is mounted.
    pub point: Cow<'a, str>,
    /// All of it, and not a folder of it that is mounted a second time.
    pub is_whole: bool,
    /// Its type.
    pub kind: &'a str,
    /// What is mounted: a device, or a word.
    pub source: Cow<'a, str>,
    /// It cannot be written there: so mounted, or made so by the kernel after an error.
    pub read_only: bool,
}

/// The mounts of a `mountinfo`, in the order in which they were made.
pub fn mounts(mountinfo: &str) -> impl Iterator<Item = Mount<'_>> {
    mountinfo.lines().filter_map(|line| {
        let (before, after) = line.split_once(" - ")?;
        let mut before = before.split(' ').skip(2);
        let (device, root, point) = (before.next()?, before.next()?, before.next()?);
        let options = before.next()?;
        let mut after = after.split(' ');
        let (kind, source, of_all) = (after.next()?, after.next()?, after.next()?);
        let is_read_only = |options: &str| options.split(',').any(|option| option == "ro");
        Some(Mount {
            device,
            point: unescape(point),
            is_whole: root == "/",
            kind,
            source: unescape(source),
            read_only: is_read_only(options) || is_read_only(of_all),
        })
    })
}

/// The hierarchy with `controller`: one of v1 that has it, else v2.
pub fn controller(mounts: &str, controller: &str) -> Option<CgroupMount> {
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
        wanted(kind, options).then(|| PathBuf::from(&*unescape(root)))
    })
}

/// Undoes the kernel's octal escapes of blank, tab, newline and backslash.
fn unescape(path: &str) -> Cow<'_, str> {
    if !path.contains('\\') {
        return Cow::Borrowed(path);
    }
    let escapes = [("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")];
    let plain = |path: String, (escape, plain)| path.replace(escape, plain);
    Cow::Owned(escapes.into_iter().fold(path.to_owned(), plain))
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

    #[test]
    fn a_mount_is_read_only_by_its_options_or_by_those_of_its_file_system() {
        let text = "\
22 27 0:21 / /proc rw,relatime - proc proc rw\n\
30 1 254:1 / /my\\040disk rw,relatime shared:1 master:2 - ext4 /dev/vda1 ro,errors=remount-ro\n\
31 1 8:1 / /boot ro - vfat /dev/sda1 rw\n\
torn - line\n\
32 1 8:1\n";
        let mounts: Vec<Mount<'_>> = mounts(text).collect();
        let seen: Vec<_> = mounts.iter().map(|mount| (&*mount.point, mount.read_only)).collect();
        assert_eq!(seen, [("/proc", false), ("/my disk", true), ("/boot", true)]);
        assert_eq!((&*mounts[1].source, mounts[1].device), ("/dev/vda1", "254:1"));
    }
}
