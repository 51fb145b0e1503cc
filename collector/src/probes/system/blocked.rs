// SPDX-License-Identifier: Apache-2.0
//! Tasks that wait uninterruptibly, with their stacks.
//! Source: `/proc/<pid>/task/<tid>/stat` and `stack` (man proc(5)).

use std::fs;
use std::path::Path;

use crate::hostfs::{self, HostFs};
use crate::signal::Value;

/// Tasks that are listed.
const MOST: usize = 64;
/// Bytes of all their stacks.
const MOST_TEXT: usize = 64 * 1024;

/// A task that waits uninterruptibly.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Blocked {
    pub pid: i64,
    pub tid: i64,
    pub comm: String,
    /// As [`stack`] gives it.
    pub stack: String,
}

impl Blocked {
    /// For `linux.task.blocked`.
    pub fn into_value(self) -> Value {
        Value::Map(vec![
            ("process.pid", self.pid.into()),
            ("thread.id", self.tid.into()),
            ("thread.name", self.comm.into()),
            ("stack", self.stack.into()),
        ])
    }
}

/// The first of them.
pub(super) fn blocked(fs: &HostFs) -> Vec<Blocked> {
    let (mut found, mut room) = (Vec::new(), MOST_TEXT);
    for pid in numbers(&fs.proc("")) {
        for tid in numbers(&fs.proc(&format!("{pid}/task"))) {
            let Some(mut task) = uninterruptible(fs, pid, tid) else { continue };
            task.stack = stack(fs, pid, tid);
            if found.len() == MOST || task.stack.len() > room {
                return found;
            }
            room -= task.stack.len();
            found.push(task);
        }
    }
    found
}

/// The stack in text, as [`Symbols::trace`](crate::kernel::Symbols::trace) writes it; empty for a
/// task that is gone, and without `CAP_SYS_ADMIN`.
pub(super) fn stack(fs: &HostFs, pid: i64, tid: i64) -> String {
    let text = fs.read_proc(&format!("{pid}/task/{tid}/stack")).unwrap_or_default();
    // The kernel writes no addresses: `[<0>] io_schedule+0x46/0x80`.
    let frames = text.lines().map(|line| line.split_once("] ").map_or(line, |(_, frame)| frame));
    frames.collect::<Vec<_>>().join("\n")
}

fn uninterruptible(fs: &HostFs, pid: i64, tid: i64) -> Option<Blocked> {
    let stat = hostfs::read(&fs.proc(&format!("{pid}/task/{tid}/stat"))).ok()?;
    // A name may have any character.
    let (start, rest) = stat.rsplit_once(") ")?;
    let (_, comm) = start.split_once(" (")?;
    rest.starts_with("D ").then(|| Blocked { pid, tid, comm: comm.into(), stack: String::new() })
}

/// Names of a folder that are numbers.
fn numbers(folder: &Path) -> impl Iterator<Item = i64> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn task(root: &Path, pid: i64, tid: i64, comm: &str, state: char) {
        let folder = root.join(format!("proc/{pid}/task/{tid}"));
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join("stat"), format!("{tid} ({comm}) {state} 1 1 0\n")).unwrap();
        let stack = "[<0>] io_schedule+0x46/0x80\n[<0>] ext4_sync+0x1/0x2 [ext4]\n";
        fs::write(folder.join("stack"), stack).unwrap();
    }

    #[test]
    fn threads_in_state_d_are_found_whatever_their_names_are() {
        let root = tempfile::tempdir().unwrap();
        task(root.path(), 7, 7, "java", 'S');
        task(root.path(), 7, 9, "a) D (b", 'D');
        task(root.path(), 8, 8, "idle", 'I');
        let found = blocked(&HostFs::new(root.path()));
        let stack = "io_schedule+0x46/0x80\next4_sync+0x1/0x2 [ext4]".to_owned();
        assert_eq!(found, [Blocked { pid: 7, tid: 9, comm: "a) D (b".to_owned(), stack }]);
    }

    #[test]
    fn no_more_than_64_tasks_and_64_kib_are_listed() {
        let root = tempfile::tempdir().unwrap();
        (1..=100).for_each(|pid| task(root.path(), pid, pid, "dd", 'D'));
        assert_eq!(blocked(&HostFs::new(root.path())).len(), MOST);
        for pid in 1..=100 {
            let path = root.path().join(format!("proc/{pid}/task/{pid}/stack"));
            fs::write(path, "x".repeat(30_000)).unwrap();
        }
        assert_eq!(blocked(&HostFs::new(root.path())).len(), 2);
    }
}
