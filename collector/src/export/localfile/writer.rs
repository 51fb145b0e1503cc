// SPDX-License-Identifier: Apache-2.0
//! Appends to files and rotates them.

use std::collections::HashMap;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::PathBuf;

use jiff::Timestamp;

use super::LocalFileConfig;

/// The files of a folder, open ones kept. They are the agent's user's alone: events tell what runs
/// on the host.
pub(super) struct Writer {
    folder: PathBuf,
    max_size: u64,
    max_rotated: usize,
    files: HashMap<&'static str, Open>,
}

struct Open {
    file: File,
    size: u64,
}

impl Writer {
    /// Makes the folder where it is missing, and a file in it for a try.
    pub fn open(config: &LocalFileConfig) -> io::Result<Self> {
        let folder = config.path.clone();
        DirBuilder::new().recursive(true).mode(0o700).create(&folder)?;
        let trial = folder.join(".huatuo-otel");
        File::create(&trial)?;
        fs::remove_file(&trial)?;
        Ok(Self {
            folder,
            max_size: config.rotation_size.saturating_mul(1 << 20),
            max_rotated: config.max_rotation,
            files: HashMap::new(),
        })
    }

    /// Appends `text` to the file of `tracer`.
    pub fn append(&mut self, tracer: &'static str, text: &str) -> io::Result<()> {
        let wanted = text.len() as u64;
        let open = self.file(tracer)?;
        if open.size > 0 && open.size + wanted > self.max_size {
            self.rotate(tracer)?;
        }
        let open = self.file(tracer)?;
        if let Err(error) = open.file.write_all(text.as_bytes()) {
            // What was written of it would break the next line.
            let _ = open.file.set_len(open.size);
            self.files.remove(tracer);
            return Err(error);
        }
        open.size += wanted;
        Ok(())
    }

    /// A file that was moved away by somebody else is made anew.
    fn file(&mut self, tracer: &'static str) -> io::Result<&mut Open> {
        let path = self.folder.join(tracer);
        if !path.exists() {
            self.files.remove(tracer);
        }
        if !self.files.contains_key(tracer) {
            let file = OpenOptions::new().create(true).append(true).mode(0o600).open(&path)?;
            let size = file.metadata()?.len();
            self.files.insert(tracer, Open { file, size });
        }
        self.files.get_mut(tracer).ok_or_else(|| io::Error::other("the file is gone"))
    }

    fn rotate(&mut self, tracer: &'static str) -> io::Result<()> {
        self.files.remove(tracer);
        let stamp = Timestamp::now().strftime("%Y%m%dT%H%M%S.%9fZ");
        let rotated = self.folder.join(format!("{tracer}-{stamp}"));
        fs::rename(self.folder.join(tracer), rotated)?;
        let mut old = self.rotated(tracer)?;
        old.sort();
        let surplus = old.len().saturating_sub(self.max_rotated);
        old.into_iter().take(surplus).try_for_each(fs::remove_file)
    }

    fn rotated(&self, tracer: &str) -> io::Result<Vec<PathBuf>> {
        let prefix = format!("{tracer}-");
        let mut found = Vec::new();
        for entry in fs::read_dir(&self.folder)? {
            let entry = entry?;
            if entry.file_name().to_string_lossy().starts_with(&prefix) {
                found.push(entry.path());
            }
        }
        Ok(found)
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn writer(folder: &std::path::Path) -> Writer {
        let path = folder.join("events");
        let config = LocalFileConfig { path, rotation_size: 1, max_rotation: 2 };
        Writer::open(&config).unwrap()
    }

    #[test]
    fn a_full_file_is_rotated_and_only_so_many_are_kept() {
        let folder = tempfile::tempdir().unwrap();
        let mut writer = writer(folder.path());
        let text = "x".repeat(600 * 1024);
        for _ in 0..5 {
            writer.append("oom", &text).unwrap();
        }
        assert_eq!(writer.rotated("oom").unwrap().len(), 2);
        let current = fs::metadata(folder.path().join("events/oom")).unwrap();
        assert_eq!(current.len(), text.len() as u64);
    }

    #[test]
    fn files_are_private_and_go_on_where_they_ended() {
        let folder = tempfile::tempdir().unwrap();
        writer(folder.path()).append("oom", "1\n").unwrap();
        writer(folder.path()).append("oom", "2\n").unwrap();
        let path = folder.path().join("events/oom");
        assert_eq!(fs::read_to_string(&path).unwrap(), "1\n2\n");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let events = fs::metadata(folder.path().join("events")).unwrap();
        assert_eq!(events.permissions().mode() & 0o777, 0o700);
    }

    #[test]
    fn a_file_that_was_taken_away_is_made_anew() {
        let folder = tempfile::tempdir().unwrap();
        let mut writer = writer(folder.path());
        writer.append("oom", "1\n").unwrap();
        fs::remove_file(folder.path().join("events/oom")).unwrap();
        writer.append("oom", "2\n").unwrap();
        assert_eq!(fs::read_to_string(folder.path().join("events/oom")).unwrap(), "2\n");
    }
}
