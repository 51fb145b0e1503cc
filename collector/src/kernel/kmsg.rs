// SPDX-License-Identifier: Apache-2.0
//! What the kernel writes into its log when it is asked to.

use std::fs::OpenOptions;
use std::io::{self, ErrorKind, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::hostfs::HostFs;

/// A record of `/dev/kmsg` has at most so many bytes; a shorter buffer gets none of it.
const LONGEST_RECORD: usize = 8192;
/// What is kept of an answer.
const LONGEST_ANSWER: usize = 256 * 1024;
/// CPUs answer one after the other. When none has for so long, all have.
const PAUSE: Duration = Duration::from_millis(200);
/// How long the kernel may take.
const PATIENCE: Duration = Duration::from_secs(2);

/// The new lines of the kernel's log after a command to `/proc/sysrq-trigger`
/// (Documentation/admin-guide/sysrq.rst). Lines of others that come meanwhile are among them.
pub fn sysrq(fs: &HostFs, command: char) -> io::Result<String> {
    let mut log = OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_NONBLOCK)
        .open(fs.rooted(Path::new("/dev/kmsg")))?;
    log.seek(SeekFrom::End(0))?;
    let mut trigger = OpenOptions::new().write(true).open(fs.proc("sysrq-trigger"))?;
    trigger.write_all(command.to_string().as_bytes())?;
    answer(&mut log)
}

fn answer(log: &mut impl Read) -> io::Result<String> {
    let (mut text, mut buffer) = (String::new(), vec![0; LONGEST_RECORD]);
    let begin = Instant::now();
    let mut last = begin;
    while begin.elapsed() < PATIENCE && text.len() < LONGEST_ANSWER {
        match log.read(&mut buffer) {
            Ok(0) => break,
            Ok(length) => {
                text.push_str(&log_message(&buffer[..length]));
                text.push('\n');
                last = Instant::now();
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                if !text.is_empty() && last.elapsed() >= PAUSE {
                    break;
                }
                sleep(PAUSE / 10);
            }
            // The kernel has written over what we had not read.
            Err(error) if error.kind() == ErrorKind::BrokenPipe => {}
            Err(error) => return Err(error),
        }
    }
    Ok(text)
}

/// The message of a record of `/dev/kmsg`: `priority,number,time,flags;message`, and lines that
/// describe the device (Documentation/ABI/testing/dev-kmsg).
pub fn log_message(record: &[u8]) -> String {
    let text = String::from_utf8_lossy(record);
    let line = text.lines().next().unwrap_or_default();
    line.split_once(';').map_or(line, |(_, message)| message).to_owned()
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use super::*;

    /// A record is read whole; an error is one of the kernel's.
    struct Log(VecDeque<Result<&'static str, ErrorKind>>);

    impl Read for Log {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let record = self.0.pop_front().unwrap_or(Err(ErrorKind::WouldBlock))?;
            buffer[..record.len()].copy_from_slice(record.as_bytes());
            Ok(record.len())
        }
    }

    #[test]
    fn messages_are_read_until_none_comes_for_a_while() {
        let records = [
            Err(ErrorKind::WouldBlock),
            Ok("4,1,99,-;sysrq: Show backtrace of all active CPUs\n"),
            Err(ErrorKind::BrokenPipe),
            Err(ErrorKind::WouldBlock),
            Ok("4,2,99,-;NMI backtrace for cpu 1; x\n SUBSYSTEM=cpu\n"),
        ];
        let text = answer(&mut Log(records.into())).unwrap();
        assert_eq!(text, "sysrq: Show backtrace of all active CPUs\nNMI backtrace for cpu 1; x\n");
    }

    #[test]
    fn an_answer_that_does_not_come_or_does_not_end_is_bounded() {
        let begin = Instant::now();
        assert_eq!(answer(&mut Log(VecDeque::new())).unwrap(), "");
        assert!(begin.elapsed() >= PATIENCE);
        assert!(answer(&mut io::repeat(b'x')).unwrap().len() < LONGEST_ANSWER + LONGEST_RECORD * 2);
        let refused = VecDeque::from([Err(ErrorKind::PermissionDenied)]);
        assert!(answer(&mut Log(refused)).is_err());
    }
}
