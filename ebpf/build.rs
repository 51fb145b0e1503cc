// SPDX-License-Identifier: Apache-2.0
//! Compiles every `programs/<area>/<probe>.bpf.c` with clang and generates, for each of them, the
//! object's bytes, the names of its programs and maps, and the record types of its `<probe>.h`.

use std::env;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};
use bindgen::callbacks::{DeriveInfo, ParseCallbacks};
use object::{Object, ObjectSection, ObjectSymbol, SymbolKind};

/// Record types that several programs have, each generated once.
const SHARED: [&str; 3] = ["event_loss", "event_packet", "event_task"];

fn main() -> Result<()> {
    println!("cargo::rerun-if-changed=programs");
    println!("cargo::rerun-if-changed=include");
    println!("cargo::rerun-if-env-changed=CLANG");
    let out_dir = PathBuf::from(env::var("OUT_DIR")?);
    let (mut code, mut all) = (String::new(), String::new());
    for source in sources(Path::new("programs"))? {
        let stem = module_name(&source)?;
        let object = out_dir.join(format!("{stem}.bpf.o"));
        compile(&source, &object)?;
        bind(&source, &out_dir.join(format!("{stem}.rs")))?;
        write_module(&mut code, &stem, &object)?;
        write!(all, "({stem:?}, {stem}::OBJECT), ")?;
    }
    writeln!(code, "/// All objects, by name.\npub static OBJECTS: &[(&str, &[u8])] = &[{all}];")?;
    for shared in SHARED {
        let header = PathBuf::from(format!("include/{shared}.h"));
        let others: Vec<&str> = SHARED.into_iter().filter(|other| *other != shared).collect();
        bind_header(&header, &out_dir.join(format!("{shared}.rs")), &others)?;
    }
    fs::write(out_dir.join("objects.rs"), code).context("write objects.rs")
}

/// All `*.bpf.c` below `folder`, sorted so that builds are reproducible.
fn sources(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for area in fs::read_dir(folder).with_context(|| format!("read {}", folder.display()))? {
        for file in fs::read_dir(area?.path())? {
            let path = file?.path();
            if path.to_string_lossy().ends_with(".bpf.c") {
                found.push(path);
            }
        }
    }
    found.sort();
    ensure!(!found.is_empty(), "no *.bpf.c below {}", folder.display());
    Ok(found)
}

/// `programs/cpu/runqlat.bpf.c` → `cpu_runqlat`.
fn module_name(source: &Path) -> Result<String> {
    let name = source.file_name().and_then(|name| name.to_str()).context("file name")?;
    let area = source.parent().and_then(Path::file_name).and_then(|name| name.to_str());
    let stem = name.strip_suffix(".bpf.c").context("suffix .bpf.c")?;
    Ok(format!("{}_{stem}", area.context("area folder")?))
}

fn clang() -> String {
    env::var("CLANG").unwrap_or_else(|_| "clang".to_owned())
}

fn compile(source: &Path, object: &Path) -> Result<()> {
    let arch = match env::var("CARGO_CFG_TARGET_ARCH")?.as_str() {
        "x86_64" => "x86",
        "aarch64" => "arm64",
        other => bail!("no BPF register layout for {other} in include/vmlinux.h; add one there"),
    };
    let status = Command::new(clang())
        .args(["-target", "bpf", "-mcpu=v3", "-g", "-O2", "-Wall", "-Werror"])
        .arg(format!("-D__TARGET_ARCH_{arch}"))
        .args(["-I", "include", "-c"])
        .arg(source)
        .arg("-o")
        .arg(object)
        .status()
        .with_context(|| format!("run {} (install it with `make deps`)", clang()))?;
    ensure!(status.success(), "{}: clang failed", source.display());
    strip_debug(object)
}

/// Drops DWARF, which nothing reads; BTF stays.
fn strip_debug(object: &Path) -> Result<()> {
    let strip = env::var("LLVM_STRIP").unwrap_or_else(|_| "llvm-strip".to_owned());
    let status = Command::new(&strip)
        .arg("--strip-debug")
        .arg(object)
        .status()
        .with_context(|| format!("run {strip} (install it with `make deps`)"))?;
    ensure!(status.success(), "{}: {strip} failed", object.display());
    Ok(())
}

fn bind(source: &Path, bindings: &Path) -> Result<()> {
    let header = PathBuf::from(source.to_string_lossy().replace(".bpf.c", ".h"));
    bind_header(&header, bindings, &SHARED)
}

/// Lets user space read the records from bytes without `unsafe`: zerocopy checks at compile time
/// that every bit pattern is a valid value.
#[derive(Debug)]
struct ReadFromBytes;

impl ParseCallbacks for ReadFromBytes {
    fn add_derives(&self, _info: &DeriveInfo<'_>) -> Vec<String> {
        ["zerocopy::FromBytes", "zerocopy::Immutable", "zerocopy::KnownLayout"]
            .map(str::to_owned)
            .to_vec()
    }
}

fn bind_header(header: &Path, bindings: &Path, elsewhere: &[&str]) -> Result<()> {
    let mut builder = bindgen::Builder::default();
    for name in elsewhere {
        builder = builder
            .blocklist_file(format!(".*/{name}\\.h"))
            .raw_line(format!("#[allow(unused_imports)] use crate::{name}::*;"));
    }
    builder
        .header(header.to_string_lossy())
        .parse_callbacks(Box::new(ReadFromBytes))
        .layout_tests(true)
        .generate()
        .with_context(|| format!("generate record types of {}", header.display()))?
        .write_to_file(bindings)
        .with_context(|| format!("write {}", bindings.display()))
}

/// Emits `pub mod <stem>` with the object's bytes and its names.
fn write_module(code: &mut String, stem: &str, object: &Path) -> Result<()> {
    let bytes = fs::read(object)?;
    let file =
        object::File::parse(&*bytes).with_context(|| format!("parse {}", object.display()))?;
    writeln!(code, "/// Object `{stem}`.\npub mod {stem} {{")?;
    writeln!(code, "/// The compiled object.")?;
    writeln!(code, "pub static OBJECT: &[u8] = &crate::Aligned(*include_bytes!({object:?})).0;")?;
    writeln!(code, "/// Programs.\npub mod program {{")?;
    for name in symbols(&file, SymbolKind::Text, |section| section.contains('/')) {
        write_name(code, &name)?;
    }
    writeln!(code, "}}\n/// Maps.\npub mod map {{")?;
    for name in symbols(&file, SymbolKind::Data, |section| section == ".maps") {
        write_name(code, &name)?;
    }
    writeln!(code, "}}\n/// Values that are set before loading.\npub mod global {{")?;
    for name in symbols(&file, SymbolKind::Data, |section| section == ".rodata") {
        write_name(code, &name)?;
    }
    writeln!(code, "}}\n/// Record types.\npub mod records {{")?;
    writeln!(code, "#![allow(missing_docs, dead_code, clippy::all, clippy::pedantic)]")?;
    writeln!(code, "include!(concat!(env!(\"OUT_DIR\"), \"/{stem}.rs\"));\n}}\n}}")?;
    Ok(())
}

fn symbols(
    file: &object::File<'_>,
    kind: SymbolKind,
    wanted: impl Fn(&str) -> bool,
) -> Vec<String> {
    let mut names: Vec<String> = file
        .symbols()
        .filter(|symbol| symbol.kind() == kind)
        .filter(|symbol| {
            let section =
                symbol.section_index().and_then(|index| file.section_by_index(index).ok());
            section.is_some_and(|section| section.name().is_ok_and(&wanted))
        })
        .filter_map(|symbol| symbol.name().ok().map(str::to_owned))
        .collect();
    names.sort();
    names
}

fn write_name(code: &mut String, name: &str) -> Result<()> {
    writeln!(code, "/// `{name}`\npub const {}: &str = {name:?};", name.to_uppercase())?;
    Ok(())
}
