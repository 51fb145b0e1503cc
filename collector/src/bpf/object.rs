// SPDX-License-Identifier: Apache-2.0
//! Loading one BPF object and attaching its hooks.

use std::cell::RefCell;
use std::hash::Hash;
use std::io::{self, Read};
use std::ops::Range;

use aya::maps::Map;
use aya::programs::links::LinkError;
use aya::programs::{Iter, ProgramError};
use aya::{Btf, Ebpf, EbpfError, EbpfLoader};
use object::{File, Object as _, ObjectSection, ObjectSymbol};
use thiserror::Error;

use zerocopy::IntoBytes;

use super::attach::{self, Hook, HookState, HookVerdict, NEEDS_CAPABILITIES};
use super::enumeration::{self, Enumeration, Members};
use super::map::{Cell, Keys, PerCpuTotal, Record, Table};
use super::ring::RingSource;
use super::stats::ProgramStats;
use crate::cause::{causes, io_cause};
use crate::kernel::KernelSupport;

/// A value set in the object before it is loaded.
#[derive(Debug)]
pub enum Global {
    /// A `bool`.
    Bool(&'static str, bool),
    /// An array of `u64`.
    Words(&'static str, Vec<u64>),
}

impl Global {
    /// Its name, and its value as it lies in memory.
    fn bytes(&self) -> (&'static str, Vec<u8>) {
        match self {
            Self::Bool(name, value) => (name, vec![u8::from(*value)]),
            Self::Words(name, words) => (name, words.as_bytes().to_vec()),
        }
    }
}

/// What a probe wants from the kernel.
#[derive(Debug, Default)]
pub struct Plan {
    /// The compiled object.
    pub object: &'static [u8],
    /// Its hooks.
    pub hooks: &'static [Hook],
    /// Values set before loading.
    pub globals: Vec<Global>,
    /// Maps whose size is decided here; no other object may have one of that name.
    pub map_sizes: Vec<(&'static str, u32)>,
}

/// Why an object could not be loaded; its hooks could not even be tried.
#[derive(Debug, Error)]
pub enum LoadError {
    /// The kernel does not let us.
    #[error("the kernel does not permit BPF; {NEEDS_CAPABILITIES}")]
    NotPermitted,
    /// There is no type information to relocate against.
    #[error("this kernel has no BTF (/sys/kernel/btf/vmlinux); it needs CONFIG_DEBUG_INFO_BTF=y")]
    NoBtf,
    /// Anything else.
    #[error("load: {0}")]
    Other(String),
    /// The object lacks a variable that the probe sets.
    #[error("variable {0} is missing or of another size")]
    Global(&'static str),
    /// The object lacks a map that the probe reads.
    #[error("map {0} is missing or of another type")]
    Map(&'static str),
}

impl LoadError {
    /// Whether the kernel lacks something, or refuses it.
    pub fn state(&self) -> HookState {
        match self {
            Self::NoBtf => HookState::Unsupported,
            Self::NotPermitted | Self::Other(_) | Self::Global(_) | Self::Map(_) => {
                HookState::Failed
            }
        }
    }
}

/// Bytes that one walk may write: a million tasks.
const MAX_WALK: u64 = 16 << 20;

/// An iterator could not be run.
#[derive(Debug, Error)]
pub enum WalkError {
    /// The object has no such program.
    #[error("no program {0} in the object")]
    Missing(&'static str),
    /// The kernel refused it.
    #[error("run BPF iterator: {0}")]
    Refused(#[from] ProgramError),
    /// The kernel refused to open it.
    #[error("open BPF iterator: {0}")]
    Open(#[from] LinkError),
    /// It broke off.
    #[error("read BPF iterator: {0}")]
    Read(#[from] io::Error),
}

/// The types of the running kernel (`/sys/kernel/btf/vmlinux`), which programs are fitted to.
pub struct KernelTypes {
    btf: Btf,
    /// It has read them too, and would for each object that it is made for.
    loader: RefCell<EbpfLoader<'static>>,
    // Dropped after the fields above.
    _trim: TrimMemory,
}

impl KernelTypes {
    /// `None` where the kernel has none.
    pub fn read() -> Option<Self> {
        let btf = Btf::from_sys_fs().ok()?;
        let loader = RefCell::new(EbpfLoader::new());
        Some(Self { btf, loader, _trim: TrimMemory })
    }

    /// Name and number of each member of these enumerations, in the kernel's order; empty where the
    /// kernel has no such one. Reads all types of the kernel anew.
    pub fn enumerations<const N: usize>(&self, wanted: [Enumeration; N]) -> [Members; N] {
        let btf = std::fs::read("/sys/kernel/btf/vmlinux").unwrap_or_default();
        wanted.map(|wanted| enumeration::members(&btf, wanted))
    }
}

/// Hands free memory back to the kernel when it is dropped.
struct TrimMemory;

impl Drop for TrimMemory {
    /// The types of a kernel are a hundred thousand small pieces. The allocator would keep their
    /// room, more than all the rest of the agent takes.
    fn drop(&mut self) {
        #[cfg(target_env = "gnu")]
        #[expect(unsafe_code, reason = "only the C library can hand its free memory back")]
        // SAFETY: has no precondition, and touches free memory only.
        unsafe {
            libc::malloc_trim(0);
        }
    }
}

/// A loaded object; dropping it detaches everything.
pub struct Object {
    ebpf: Ebpf,
    /// What became of each hook.
    pub hooks: Vec<HookVerdict>,
}

/// A map, taken out of its object to be read.
type Taken<T> = Result<T, LoadError>;

impl Object {
    /// Loads the object and tries each hook.
    pub fn load(
        plan: &Plan,
        support: &KernelSupport,
        types: Option<&KernelTypes>,
    ) -> Result<Self, LoadError> {
        let types = types.ok_or(LoadError::NoBtf)?;
        let bytes = with_globals(plan.object, &plan.globals)?;
        let mut loader = types.loader.borrow_mut();
        for (map, size) in &plan.map_sizes {
            loader.map_max_entries(map, *size);
        }
        let mut ebpf = loader.load(&bytes).map_err(|error| load_error(&error))?;
        let attach = |hook| attach::attach(&mut ebpf, &types.btf, support, hook);
        let hooks = plan.hooks.iter().map(attach).collect();
        Ok(Self { ebpf, hooks })
    }

    /// A map of one value per CPU.
    pub fn per_cpu_total<T: Record>(&mut self, name: &'static str) -> Taken<PerCpuTotal<T>> {
        self.take(name, PerCpuTotal::new)
    }

    /// A map of one value, that programs read and we write.
    pub fn cell<T: Record>(&mut self, name: &'static str) -> Taken<Cell<T>> {
        self.take(name, Cell::new)
    }

    /// A map of keys, that programs look up and we write.
    pub fn keys<K: Record + Eq + Hash>(&mut self, name: &'static str) -> Taken<Keys<K>> {
        self.take(name, Keys::new)
    }

    /// A map of one value per key.
    pub fn table<K: Record, T: Record>(&mut self, name: &'static str) -> Taken<Table<K, T>> {
        self.take(name, Table::shared)
    }

    /// A map of one value per key and CPU; `total` adds up the CPUs.
    pub fn table_by<K: Record, T: Record>(
        &mut self,
        name: &'static str,
        total: fn(&[T]) -> T,
    ) -> Taken<Table<K, T>> {
        self.take(name, |map| Table::per_cpu(map, total))
    }

    /// Runs the iterator `program` over all objects of its kind and returns what it wrote.
    pub fn walk(&mut self, program: &'static str, written: &mut Vec<u8>) -> Result<(), WalkError> {
        written.clear();
        let found = self.ebpf.program_mut(program).ok_or(WalkError::Missing(program))?;
        let iter: &mut Iter = found.try_into()?;
        let link = iter.attach()?;
        let file = iter.take_link(link)?.into_file()?;
        file.take(MAX_WALK).read_to_end(written)?;
        Ok(())
    }

    /// Whether a program runs at the hook on `target`.
    pub fn is_attached(&self, target: &str) -> bool {
        let attached = |hook: &HookVerdict| hook.state == HookState::Attached;
        self.hooks.iter().any(|hook| hook.hook == target && attached(hook))
    }

    /// A ring buffer of records.
    pub fn ring(&mut self, name: &'static str) -> Taken<RingSource> {
        self.take(name, RingSource::new)
    }

    fn take<T>(&mut self, name: &'static str, typed: impl FnOnce(Map) -> Option<T>) -> Taken<T> {
        self.ebpf.take_map(name).and_then(typed).ok_or(LoadError::Map(name))
    }

    /// Run time and count of the programs that run.
    pub fn stats(&self) -> ProgramStats {
        ProgramStats::of(&self.ebpf)
    }
}

/// The object with these values in place of its own. The loader can set them too, but keeps them for
/// the next object.
fn with_globals(object: &'static [u8], globals: &[Global]) -> Result<Vec<u8>, LoadError> {
    let mut bytes = object.to_vec();
    let file = File::parse(object).map_err(|error| LoadError::Other(error.to_string()))?;
    for global in globals {
        let (name, value) = global.bytes();
        let place = place_of(&file, name).filter(|place| place.len() == value.len());
        let place = place.and_then(|place| bytes.get_mut(place)).ok_or(LoadError::Global(name))?;
        place.copy_from_slice(&value);
    }
    Ok(bytes)
}

/// Where the value of a variable lies in an object.
fn place_of(file: &File<'_>, name: &str) -> Option<Range<usize>> {
    let symbol = file.symbol_by_name(name)?;
    let section = file.section_by_index(symbol.section_index()?).ok()?;
    let (start, _) = section.file_range()?;
    let start = usize::try_from(start + symbol.address()).ok()?;
    Some(start..start + usize::try_from(symbol.size()).ok()?)
}

fn load_error(error: &EbpfError) -> LoadError {
    let errno = io_cause(error).and_then(io::Error::raw_os_error);
    if matches!(errno, Some(libc::EPERM | libc::EACCES)) {
        return LoadError::NotPermitted;
    }
    let deepest = causes(error).last().map(ToString::to_string).unwrap_or_default();
    LoadError::Other(attach::telling_lines(&format!("{error}: {deepest}")))
}
