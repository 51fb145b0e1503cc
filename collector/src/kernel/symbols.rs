// SPDX-License-Identifier: Apache-2.0
//! Names of kernel functions (`/proc/kallsyms`), read when a stack is to be named and dropped when
//! none was for a while: the table takes some MiB.

use std::fmt::Write as _;
use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use crate::sync::lock;

/// How long the table is kept after its last use.
const IDLE: Duration = Duration::from_secs(60);

/// What lies between the place that is hooked and our program.
const MACHINERY: [&str; 7] = [
    "bpf_prog_",
    "bpf_trampoline_",
    "bpf_trace_run",
    "bpf_get_stack",
    "__bpf_trace_",
    "__traceiter_",
    "__bpf_prog_",
];

/// Where an interrupt enters the kernel: of x86 (arch/x86/include/asm/idtentry.h) and of arm64
/// (arch/arm64/kernel/entry.S), there with other names until v5.13.
const INTERRUPT_ENTRIES: [&str; 6] =
    ["asm_sysvec_", "asm_common_interrupt+", "el1h_64_irq+", "el0t_64_irq+", "el1_irq+", "el0_irq"];

/// Of a stack that was taken in an interrupt, what was interrupted; empty where that was user space.
/// The whole stack where none of its frames is the entry of an interrupt.
pub fn interrupted(stack: &str) -> &str {
    let mut rest = stack;
    loop {
        let (frame, below) = rest.split_once('\n').unwrap_or((rest, ""));
        if INTERRUPT_ENTRIES.iter().any(|entry| frame.starts_with(entry)) {
            return below;
        }
        if below.is_empty() {
            return stack;
        }
        rest = below;
    }
}

/// Names of kernel functions.
#[derive(Debug, Default)]
pub struct Symbols(Mutex<Option<Loaded>>);

#[derive(Debug)]
struct Loaded {
    table: Table,
    used: Instant,
}

impl Symbols {
    /// Those of a text like `/proc/kallsyms`, in place of the running kernel's.
    pub fn read(kallsyms: impl io::Read) -> io::Result<Self> {
        let loaded = Loaded { table: Table::read(kallsyms)?, used: Instant::now() };
        Ok(Self(Mutex::new(Some(loaded))))
    }

    /// The stack in text: leaf first, a line `function+0x1a/0x40 [module]` per frame, as the kernel
    /// prints it. Empty where there is no frame, or where the kernel hides its symbols
    /// (`kernel.kptr_restrict`, without `CAP_SYSLOG`).
    pub fn trace(&self, frames: &[u64]) -> String {
        let end = frames.iter().position(|frame| *frame == 0).unwrap_or(frames.len());
        if end == 0 {
            return String::new();
        }
        let mut loaded = lock(&self.0);
        if loaded.is_none() {
            let table = match File::open("/proc/kallsyms").and_then(Table::read) {
                Ok(table) => table,
                Err(error) => {
                    tracing::warn!(%error, "/proc/kallsyms cannot be read; stacks have no names");
                    return String::new();
                }
            };
            *loaded = Some(Loaded { table, used: Instant::now() });
        }
        let Some(Loaded { table, used }) = loaded.as_mut() else { return String::new() };
        *used = Instant::now();
        table.trace(&frames[..end])
    }

    /// Drops the table where it was not used for a minute.
    pub fn forget_idle(&self) {
        let mut loaded = lock(&self.0);
        if loaded.as_ref().is_some_and(|loaded| loaded.used.elapsed() > IDLE) {
            *loaded = None;
        }
    }
}

/// Functions by address.
#[derive(Debug, Default)]
struct Table {
    symbols: Vec<Symbol>,
    names: String,
    modules: Vec<Box<str>>,
}

#[derive(Debug, Clone, Copy)]
struct Symbol {
    address: u64,
    name: u32,
    length: u16,
    /// Number of its module; 0 is the kernel itself.
    module: u16,
}

impl Table {
    /// Lines of `address type name [module]`; text symbols only.
    fn read(file: impl io::Read) -> io::Result<Self> {
        let mut reader = BufReader::with_capacity(64 * 1024, file);
        let mut table = Self { modules: vec!["".into()], ..Self::default() };
        let mut line = String::new();
        while reader.read_line(&mut line)? > 0 {
            table.add(&line);
            line.clear();
        }
        table.symbols.sort_unstable_by_key(|symbol| symbol.address);
        table.symbols.shrink_to_fit();
        table.names.shrink_to_fit();
        Ok(table)
    }

    fn add(&mut self, line: &str) -> Option<()> {
        let mut words = line.split_ascii_whitespace();
        let address = u64::from_str_radix(words.next()?, 16).ok()?;
        let kind = words.next()?;
        let name = words.next()?;
        if address == 0 || !matches!(kind, "t" | "T" | "w" | "W") {
            return None;
        }
        let module = words.next().map_or(Some(0), |module| self.module(module))?;
        let start = u32::try_from(self.names.len()).ok()?;
        let length = u16::try_from(name.len()).ok()?;
        self.names.push_str(name);
        self.symbols.push(Symbol { address, name: start, length, module });
        Some(())
    }

    fn module(&mut self, name: &str) -> Option<u16> {
        // Symbols of a module come together.
        let found = self.modules.iter().rposition(|module| **module == *name);
        let index = found.unwrap_or_else(|| {
            self.modules.push(name.into());
            self.modules.len() - 1
        });
        u16::try_from(index).ok()
    }

    fn trace(&self, frames: &[u64]) -> String {
        let mut text = String::new();
        for (depth, frame) in frames.iter().enumerate() {
            // A return address may be the first byte after a function that never returns.
            let within = frame.wrapping_sub(u64::from(depth > 0));
            let Some((symbol, size)) = self.find(within) else { continue };
            let name = self.name(symbol);
            if text.is_empty() && MACHINERY.iter().any(|start| name.starts_with(start)) {
                continue;
            }
            if !text.is_empty() {
                text.push('\n');
            }
            let _ = write!(text, "{name}+{:#x}/{size:#x}", frame.wrapping_sub(symbol.address));
            if symbol.module != 0 {
                let _ = write!(text, " {}", self.modules[usize::from(symbol.module)]);
            }
        }
        text
    }

    /// The function at an address, with its size: up to the next one.
    fn find(&self, address: u64) -> Option<(&Symbol, u64)> {
        let next = self.symbols.partition_point(|symbol| symbol.address <= address);
        let last = self.symbols.get(next.checked_sub(1)?)?;
        // Of several names for one place the kernel prints the first.
        let first = self.symbols.partition_point(|symbol| symbol.address < last.address);
        let end = self.symbols.get(next)?.address;
        Some((&self.symbols[first], end - last.address))
    }

    fn name(&self, symbol: &Symbol) -> &str {
        let start = symbol.name as usize;
        self.names.get(start..start + usize::from(symbol.length)).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KALLSYMS: &str = "ffffffff81000100 T tcp_rcv\nffffffff81000100 t tcp_rcv_alias\n\
        ffffffff81000200 T kfree_skb\nffffffff81000300 T do_exit\nffffffff81000340 D jiffies\n\
        ffffffff81000400 T _etext\nffffffffc0000000 t bpf_prog_1234_drop\t[bpf]\n\
        ffffffffc0000080 t bond_xmit\t[bonding]\nffffffffc0000100 t bond_end\t[bonding]\n\
        0000000000000000 T hidden\nnonsense\n\n";

    fn table() -> Table {
        Table::read(KALLSYMS.as_bytes()).unwrap()
    }

    #[test]
    fn frames_are_written_as_the_kernel_writes_them_without_our_own_machinery() {
        let frames = [0xffff_ffff_c000_0010, 0xffff_ffff_8100_0210, 0xffff_ffff_c000_00a0];
        assert_eq!(table().trace(&frames), "kfree_skb+0x10/0x100\nbond_xmit+0x20/0x80 [bonding]");
    }

    #[test]
    fn a_return_address_behind_the_end_of_a_function_belongs_to_it() {
        let frames = [0xffff_ffff_8100_0180, 0xffff_ffff_8100_0300, 0x1234];
        assert_eq!(table().trace(&frames), "tcp_rcv+0x80/0x100\nkfree_skb+0x100/0x100");
    }

    #[test]
    fn of_a_stack_in_an_interrupt_what_was_interrupted_is_left() {
        let tick = "hrtimer_interrupt+0xf/0x2\nasm_sysvec_apic_timer_interrupt+0x1a/0x20";
        let below = "net_rx_action+0x5/0x9\nasm_common_interrupt+0x26/0x40\ndo_idle+0x1/0x2";
        assert_eq!(interrupted(&format!("{tick}\n{below}")), below);
        assert_eq!(interrupted(tick), "");
        for whole in ["", "do_exit+0x1/0x2", "do_exit+0x1/0x2\ndo_syscall_64+0x3/0x4"] {
            assert_eq!(interrupted(whole), whole);
        }
    }

    #[test]
    fn the_running_kernel_names_its_functions_where_it_may_and_forgets_them() {
        let symbols = Symbols::default();
        assert_eq!(symbols.trace(&[0, 1, 2]), "");
        assert!(lock(&symbols.0).is_none());
        symbols.trace(&[u64::MAX]);
        symbols.forget_idle();
        assert!(lock(&symbols.0).is_some());
    }
}
