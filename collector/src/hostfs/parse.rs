// SPDX-License-Identifier: Apache-2.0
//! Kernel text into numbers, without allocation. Anything may be malformed: a line that is not
//! understood gives nothing.

/// `name value` lines, e.g. `/proc/vmstat`, `memory.stat`. Negative or over-long numbers are left
/// out.
pub fn fields(text: &str) -> impl Iterator<Item = (&str, u64)> {
    text.lines().filter_map(|line| {
        let (name, value) = line.split_once(' ')?;
        Some((name, value.trim().parse().ok()?))
    })
}

/// The value of one `name value` line.
pub fn field(text: &str, name: &str) -> Option<u64> {
    fields(text).find(|(found, _)| *found == name).map(|(_, value)| value)
}

/// One interface of `/proc/net/dev` with its 16 columns, receive first
/// (net/core/net-procfs.c).
pub fn interfaces(text: &str) -> impl Iterator<Item = (&str, [u64; 16])> {
    text.lines().skip(2).filter_map(|line| {
        // The name may itself hold a colon (an alias): columns never do.
        let (name, columns) = line.rsplit_once(':')?;
        let mut values = [0; 16];
        let mut columns = columns.split_ascii_whitespace();
        for value in &mut values {
            *value = columns.next()?.parse().ok()?;
        }
        Some((name.trim(), values))
    })
}

/// The three averages of `/proc/loadavg`.
pub fn load_averages(text: &str) -> Option<[f64; 3]> {
    let mut words = text.split_ascii_whitespace();
    let mut next = || words.next()?.parse::<f64>().ok().filter(|load| load.is_finite());
    Some([next()?, next()?, next()?])
}

/// The `cpu` line of `/proc/stat` in clock ticks: user, nice, system, idle, iowait, irq, softirq,
/// steal, guest, guest_nice. Old kernels have fewer columns; those are 0.
pub fn cpu_ticks(text: &str) -> Option<[u64; 10]> {
    let line = text.lines().find_map(|line| line.strip_prefix("cpu "))?;
    let mut ticks = [0; 10];
    let mut seen = 0;
    for (tick, word) in ticks.iter_mut().zip(line.split_ascii_whitespace()) {
        *tick = word.parse().ok()?;
        seen += 1;
    }
    (seen >= 4).then_some(ticks)
}

/// Number of `cpuN` lines of `/proc/stat`: the CPUs that are online.
pub fn online_cpus(text: &str) -> usize {
    let is_cpu = |line: &&str| {
        line.strip_prefix("cpu").is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()))
    };
    text.lines().filter(is_cpu).count()
}

/// CPUs in a list such as `0-3,8` (man cpuset(7)); `None` where it is empty or no list.
pub fn cpu_list(text: &str) -> Option<u64> {
    text.trim().split(',').try_fold(0, |count: u64, range| {
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        let (first, last): (u32, u32) = (first.parse().ok()?, last.parse().ok()?);
        Some(count + u64::from(last.checked_sub(first)?) + 1)
    })
}

/// One zone of a NUMA node in `/proc/buddyinfo`.
pub struct BuddyZone<'a> {
    /// The node.
    pub node: u32,
    /// The zone, e.g. `DMA32`.
    pub name: &'a str,
    counts: &'a str,
}

impl BuddyZone<'_> {
    /// Free blocks of 1, 2, 4 … pages.
    pub fn blocks(&self) -> impl Iterator<Item = u64> {
        self.counts.split_ascii_whitespace().map_while(|count| count.parse().ok())
    }
}

/// The zones of `/proc/buddyinfo` (mm/vmstat.c).
pub fn buddy_zones(text: &str) -> impl Iterator<Item = BuddyZone<'_>> {
    text.lines().filter_map(|line| {
        let (node, rest) = line.strip_prefix("Node ")?.split_once(", zone")?;
        let (name, counts) = rest.trim_start().split_once(' ')?;
        Some(BuddyZone { node: node.trim().parse().ok()?, name, counts })
    })
}

/// One line of a file of pressure.
#[derive(Debug, PartialEq)]
pub struct Stall<'a> {
    /// `some` or `full`.
    pub kind: &'a str,
    /// Percent of the last 10, 60 and 300 seconds.
    pub averages: [f64; 3],
    /// Microseconds since the start of the count.
    pub total_us: u64,
}

/// The lines of a file of pressure (Documentation/accounting/psi.rst).
pub fn stalls(text: &str) -> impl Iterator<Item = Stall<'_>> {
    text.lines().filter_map(|line| {
        let mut words = line.split_ascii_whitespace();
        let kind = words.next()?;
        let mut average = |key: &str| {
            let percent: f64 = words.next()?.strip_prefix(key)?.parse().ok()?;
            percent.is_finite().then_some(percent)
        };
        let averages = [average("avg10=")?, average("avg60=")?, average("avg300=")?];
        let total_us = words.next()?.strip_prefix("total=")?.parse().ok()?;
        Some(Stall { kind, averages, total_us })
    })
}

/// Neighbours listed in `/proc/net/arp`, below its head.
pub fn neighbors(text: &str) -> u64 {
    text.lines().skip(1).filter(|line| !line.trim().is_empty()).count() as u64
}

/// Neighbours of all network namespaces: the first column of `/proc/net/stat/arp_cache`, in hex,
/// the same on each CPU's line.
pub fn neighbor_table(text: &str) -> Option<u64> {
    u64::from_str_radix(text.lines().nth(1)?.split_ascii_whitespace().next()?, 16).ok()
}

/// One group of `/proc/net/netstat` or `/proc/net/snmp`.
pub struct Protocol<'a> {
    /// E.g. `TcpExt`.
    pub name: &'a str,
    /// Names of its columns.
    pub words: &'a str,
    /// Their values, in the same order.
    pub values: &'a str,
}

/// The groups of a file of pairs of lines, names and values (net/ipv4/proc.c).
pub fn protocols(text: &str) -> impl Iterator<Item = Protocol<'_>> {
    let mut lines = text.lines();
    std::iter::from_fn(move || {
        loop {
            let (name, words) = lines.next()?.split_once(':')?;
            let (of, values) = lines.next()?.split_once(':')?;
            if of == name {
                return Some(Protocol { name, words, values });
            }
        }
    })
}

/// Protocol, state and count of each number of `/proc/net/sockstat`.
pub fn sockets(text: &str) -> impl Iterator<Item = (&str, &str, u64)> {
    text.lines().filter_map(|line| line.split_once(':')).flat_map(|(group, rest)| {
        let mut words = rest.split_ascii_whitespace();
        std::iter::from_fn(move || Some((group, words.next()?, words.next()?.parse().ok()?)))
    })
}

/// Names and bytes of `/proc/meminfo`; lines that count pages of their own are left out.
pub fn memory(text: &str) -> impl Iterator<Item = (&str, u64)> {
    text.lines().filter_map(|line| {
        let (name, value) = line.split_once(':')?;
        let kib: u64 = value.trim().strip_suffix(" kB")?.parse().ok()?;
        Some((name, kib.checked_mul(1024)?))
    })
}

/// One block device of `/proc/diskstats` with what it counts: reads, of them merged, sectors and
/// milliseconds, the same for writes, and the milliseconds it was busy.
pub fn disks(text: &str) -> impl Iterator<Item = (&str, [u64; 9])> {
    text.lines().filter_map(|line| {
        let mut words = line.split_ascii_whitespace().skip(2);
        let name = words.next()?;
        let mut values = [0; 9];
        for value in &mut values[..8] {
            *value = words.next()?.parse().ok()?;
        }
        // Between them is what is in flight.
        values[8] = words.nth(1)?.parse().ok()?;
        Some((name, values))
    })
}

#[cfg(test)]
mod tests {
    use super::super::{bonding, mounts};
    use super::*;

    #[test]
    fn fields_leave_out_what_is_no_number() {
        let text = "nr_free_pages 12\nbroken\nnegative -4\nbig 99999999999999999999\npgfault 7";
        assert_eq!(fields(text).collect::<Vec<_>>(), [("nr_free_pages", 12), ("pgfault", 7)]);
        assert_eq!(field(text, "pgfault"), Some(7));
        assert_eq!(field(text, "absent"), None);
    }

    #[test]
    fn interfaces_may_touch_their_first_column_and_hold_a_colon() {
        let text = "Inter-| Receive\n face |bytes\n  lo:1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16\n\
                    eth0:1: 1 0 0 0 0 0 0 0 0 0 0 0 0 0 0 2\nshort: 1 2\n";
        let found: Vec<_> = interfaces(text).collect();
        assert_eq!(found.len(), 2);
        assert_eq!((found[0].0, found[0].1[0], found[0].1[15]), ("lo", 1, 16));
        assert_eq!((found[1].0, found[1].1[15]), ("eth0:1", 2));
    }

    #[test]
    fn load_averages_need_three_numbers() {
        assert_eq!(load_averages("0.20 0.18 0.12 1/80 11206\n"), Some([0.2, 0.18, 0.12]));
        assert_eq!(load_averages("0.20 0.18"), None);
        assert_eq!(load_averages("nan 1 2"), None);
    }

    #[test]
    fn cpu_ticks_of_old_kernels_are_padded() {
        let text = "cpu  1 2 3 4\ncpu0 1 2 3 4\ncpu1 0 0 0 0\nintr 5\n";
        assert_eq!(cpu_ticks(text), Some([1, 2, 3, 4, 0, 0, 0, 0, 0, 0]));
        assert_eq!(online_cpus(text), 2);
        assert_eq!(cpu_ticks("cpu  1 2\n"), None);
        assert_eq!(cpu_ticks("cpu  1 x 3 4\n"), None);
    }

    #[test]
    fn a_list_of_cpus_has_numbers_and_ranges() {
        assert_eq!(cpu_list("0-3,8\n"), Some(5));
        assert_eq!(cpu_list("7\n"), Some(1));
        for text in ["", "\n", "3-1", "a", "0-", "0,,1", "0-4294967296"] {
            assert_eq!(cpu_list(text), None, "{text}");
        }
    }

    #[test]
    fn no_text_makes_a_parser_panic() {
        let mut random = fastrand::Rng::with_seed(3);
        let words = [
            "cpu ",
            "cpu0",
            ":",
            " ",
            "\n",
            "18446744073709551616",
            "-1",
            "7",
            "nan",
            "é",
            "\0",
            ",",
            "4294967295",
            "Node 0, zone",
            "some avg10=",
            "avg60=0 avg300=0",
            "total=",
            " kB",
            "Slave Interface: ",
            "MII Status: up",
            " - ",
            "cgroup",
            "\\040",
        ];
        for _ in 0..20_000 {
            let text: String =
                (0..random.usize(..40)).map(|_| words[random.usize(..words.len())]).collect();
            fields(&text).for_each(drop);
            interfaces(&text).for_each(drop);
            load_averages(&text);
            cpu_ticks(&text);
            online_cpus(&text);
            cpu_list(&text);
            buddy_zones(&text).for_each(|zone| zone.blocks().for_each(drop));
            stalls(&text).for_each(drop);
            neighbors(&text);
            neighbor_table(&text);
            protocols(&text).for_each(drop);
            sockets(&text).for_each(drop);
            memory(&text).for_each(drop);
            disks(&text).for_each(drop);
            bonding::bond(&text);
            mounts::mounts(&text).for_each(drop);
            mounts::controller(&text, "memory");
        }
    }

    #[test]
    fn zones_tell_their_free_blocks_by_size() {
        let text = "Node 0, zone      DMA      0      1      3 \nNode 1, zone   Normal 7\njunk\n";
        let zones: Vec<_> = buddy_zones(text)
            .map(|zone| (zone.node, zone.name, zone.blocks().collect::<Vec<_>>()))
            .collect();
        assert_eq!(zones, [(0, "DMA", vec![0, 1, 3]), (1, "Normal", vec![7])]);
        assert_eq!(buddy_zones("Node x, zone DMA 1\nNode 0, zone\n").count(), 0);
    }

    #[test]
    fn stalls_have_three_averages_and_a_total() {
        let text = "some avg10=10.26 avg60=4.93 avg300=5.06 total=234247866\n\
                    full avg10=0.00 avg60=0.00 avg300=0.00 total=0\n";
        let found: Vec<_> = stalls(text).collect();
        assert_eq!(found.len(), 2);
        assert_eq!((found[0].kind, found[0].total_us), ("some", 234_247_866));
        assert_eq!(found[0].averages, [10.26, 4.93, 5.06]);
        for broken in ["some", "some avg10=NaN avg60=0 avg300=0 total=1", "some avg10=1 total=1"] {
            assert_eq!(stalls(broken).count(), 0, "{broken}");
        }
    }

    #[test]
    fn neighbours_are_lines_and_the_table_is_hexadecimal() {
        assert_eq!(neighbors("IP address HW type\n192.0.2.1 0x1\n192.0.2.2 0x1\n"), 2);
        assert_eq!(neighbors(""), 0);
        assert_eq!(neighbor_table("entries allocs\n0000001a 00000001\n"), Some(26));
        assert_eq!(neighbor_table("entries\n"), None);
    }

    #[test]
    fn protocols_are_pairs_of_lines_that_belong_together() {
        let text =
            "Tcp: RtoMin MaxConn\nTcp: 200 -1\nUdp: In\nIp: 5\nTcpExt: A B\nTcpExt: 1 2\nX: y\n";
        let found: Vec<_> =
            protocols(text).map(|group| (group.name, group.words, group.values)).collect();
        assert_eq!(found, [("Tcp", " RtoMin MaxConn", " 200 -1"), ("TcpExt", " A B", " 1 2")]);
        assert_eq!(protocols("no colon\n").count(), 0);
    }

    #[test]
    fn sockets_are_words_with_numbers() {
        let text = "sockets: used 12\nTCP: inuse 1 orphan\nUDP: inuse x mem 3\n";
        let found: Vec<_> = sockets(text).collect();
        assert_eq!(found, [("sockets", "used", 12), ("TCP", "inuse", 1)]);
    }

    #[test]
    fn memory_is_in_bytes_and_counts_of_pages_are_left_out() {
        let text = "MemTotal: 16 kB\nHugePages_Total: 3\nMemFree:   2 kB\njunk\nX: 99999999999999999999 kB\n";
        assert_eq!(memory(text).collect::<Vec<_>>(), [("MemTotal", 16384), ("MemFree", 2048)]);
    }

    #[test]
    fn a_disk_has_nine_counters_on_any_kernel() {
        let old = "   8       0 sda 1 2 3 4 5 6 7 8 9 10 11\n";
        let new = " 259       0 nvme0n1 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17\n";
        let expected = [1, 2, 3, 4, 5, 6, 7, 8, 10];
        assert_eq!(disks(old).collect::<Vec<_>>(), [("sda", expected)]);
        assert_eq!(disks(new).collect::<Vec<_>>(), [("nvme0n1", expected)]);
        assert_eq!(disks("8 0 sda 1 2\n8 0\n").count(), 0);
    }
}
