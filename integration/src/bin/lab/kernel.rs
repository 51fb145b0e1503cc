// SPDX-License-Identifier: Apache-2.0
//! Kernels of Debian, fetched by apt with state of its own: it checks the signature of the suite and
//! the hash of each package, and this machine's packages are left alone.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};
use integration::expectations::{Catalogue, Entry};

use super::image;

const KEYS: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";

/// A kernel that can be booted.
pub struct Kernel {
    /// As `uname -r` prints it.
    pub release: String,
    /// With `vmlinux` and `modules`.
    pub folder: PathBuf,
}

/// The kernel of this version; fetched where it is not there yet.
pub fn fetched(version: &str) -> Result<Kernel> {
    let catalogue = Catalogue::read()?;
    let entry = catalogue.entry(version)?;
    let cache = cache()?;
    let folder = cache.join(version);
    // Another lab may fetch the same kernel now; the lock ends with this file.
    fs::create_dir_all(&cache)?;
    let lock = File::create(cache.join(format!("{version}.lock")))?;
    lock.lock()?;
    if !folder.join("release").exists() {
        fetch(entry, &folder)?;
    }
    drop(lock);
    Ok(Kernel { release: fs::read_to_string(folder.join("release"))?, folder })
}

fn cache() -> Result<PathBuf> {
    let base = std::env::var_os("XDG_CACHE_HOME")
        .map(PathBuf::from)
        .or_else(|| Some(Path::new(&std::env::var_os("HOME")?).join(".cache")));
    Ok(base.context("neither XDG_CACHE_HOME nor HOME is set")?.join("huatuo-otel/lab"))
}

fn fetch(entry: &Entry, folder: &Path) -> Result<()> {
    println!("lab: fetches Linux {}", entry.version);
    // Beside it, so that it can be renamed; removed where something fails.
    let beside = folder.parent().context("a cache without a parent")?;
    let temporary = tempfile::tempdir_in(beside)?;
    let work = temporary.path();
    let apt = Apt::new(&work.join("apt"), &entry.suites)?;
    let image = apt.newest_image(&entry.version)?;
    let release = image.trim_start_matches("linux-image-").to_owned();
    apt.unpack(&apt.parts_of(&release)?, &work.join("root"))?;

    let root = work.join("root");
    let lib = ["usr/lib/modules", "lib/modules"].map(|lib| root.join(lib).join(&release));
    let modules = lib.into_iter().find(|path| path.exists()).context("a kernel without modules")?;
    let kernels = [root.join(format!("boot/vmlinuz-{release}")), modules.join("vmlinuz")];
    let compressed = kernels.iter().find(|path| path.exists()).context("no vmlinuz")?;
    fs::write(work.join("vmlinux"), image::unpacked(&fs::read(compressed)?)?)?;
    fs::create_dir_all(work.join("lib/modules"))?;
    fs::rename(&modules, work.join("lib/modules").join(&release))?;
    run(Command::new("depmod").arg("-b").arg(work).arg(&release))?;
    fs::remove_dir_all(&root)?;
    fs::remove_dir_all(work.join("apt"))?;
    fs::write(work.join("release"), release)?;
    fs::rename(work, folder)?;
    Ok(())
}

/// apt with folders of its own.
struct Apt {
    folder: PathBuf,
    config: PathBuf,
}

impl Apt {
    fn new(folder: &Path, suites: &[String]) -> Result<Self> {
        fs::create_dir_all(folder.join("lists/partial"))?;
        fs::create_dir_all(folder.join("cache/archives/partial"))?;
        let source = |suite: &String| {
            let area = if suite.ends_with("-security") { "debian-security" } else { "debian" };
            format!("deb [arch=amd64 signed-by={KEYS}] http://deb.debian.org/{area} {suite} main\n")
        };
        fs::write(folder.join("sources.list"), suites.iter().map(source).collect::<String>())?;
        let config = folder.join("apt.conf");
        let at = folder.display();
        fs::write(
            &config,
            format!(
                "Dir::Etc::sourcelist \"{at}/sources.list\";\nDir::Etc::sourceparts \"/dev/null\";\n\
                 Dir::Etc::preferencesparts \"/dev/null\";\nDir::State::lists \"{at}/lists\";\n\
                 Dir::State::status \"/dev/null\";\nDir::Cache \"{at}/cache\";\n\
                 APT::Sandbox::User \"root\";\nAcquire::Languages \"none\";\n"
            ),
        )?;
        let apt = Self { folder: folder.to_owned(), config };
        apt.get(&["-qq", "update"])?;
        Ok(apt)
    }

    fn get(&self, args: &[&str]) -> Result<String> {
        run(Command::new("apt-get")
            .env("APT_CONFIG", &self.config)
            .current_dir(&self.folder)
            .args(args))
    }

    fn names(&self, pattern: &str) -> Result<Vec<String>> {
        let mut search = Command::new("apt-cache");
        search.env("APT_CONFIG", &self.config).args(["search", "--names-only", pattern]);
        let found = run(&mut search)?;
        Ok(found.lines().filter_map(|line| Some(line.split(' ').next()?.to_owned())).collect())
    }

    fn newest_image(&self, version: &str) -> Result<String> {
        let wanted = match version {
            "newest" => "[0-9]".to_owned(),
            version => format!("{}\\.", version.replace('.', "\\.")),
        };
        let pattern = format!("^linux-image-{wanted}.*-amd64$");
        let is_plain =
            |name: &String| !["cloud", "-rt-", "unsigned"].iter().any(|word| name.contains(word));
        let images = self.names(&pattern)?.into_iter().filter(is_plain);
        images.max_by_key(|name| numbers(name)).with_context(|| format!("no image {pattern}"))
    }

    /// One package for older kernels, several for newer ones.
    fn parts_of(&self, release: &str) -> Result<Vec<String>> {
        self.names(&format!("^linux-(image|binary|modules|base)-{}$", release.replace('+', "\\+")))
    }

    fn unpack(&self, packages: &[String], root: &Path) -> Result<()> {
        let mut args = vec!["-qq", "download"];
        args.extend(packages.iter().map(String::as_str));
        self.get(&args)?;
        fs::create_dir_all(root)?;
        for file in fs::read_dir(&self.folder)? {
            let path = file?.path();
            if path.extension().is_some_and(|ending| ending == "deb") {
                run(Command::new("dpkg-deb").arg("-x").arg(path).arg(root))?;
            }
        }
        Ok(())
    }
}

/// The numbers of a name, to compare versions by.
fn numbers(name: &str) -> Vec<u64> {
    name.split(|c: char| !c.is_ascii_digit()).filter_map(|part| part.parse().ok()).collect()
}

/// What a command prints; an error with its complaint where it fails.
pub fn run(command: &mut Command) -> Result<String> {
    let program = command.get_program().to_string_lossy().into_owned();
    let output = command.output().with_context(|| format!("{program}; run `make deps`"))?;
    if !output.status.success() {
        bail!("{program}: {}", String::from_utf8_lossy(&output.stderr));
    }
    ensure!(output.stdout.len() < 64 << 20, "{program} prints too much");
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}
