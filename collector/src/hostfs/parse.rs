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

#[cfg(test)]
mod tests {
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
    fn no_text_makes_a_parser_panic() {
        let mut random = fastrand::Rng::with_seed(3);
        let words =
            ["cpu ", "cpu0", ":", " ", "\n", "18446744073709551616", "-1", "7", "nan", "é", "\0"];
        for _ in 0..20_000 {
            let text: String =
                (0..random.usize(..40)).map(|_| words[random.usize(..words.len())]).collect();
            fields(&text).for_each(drop);
            interfaces(&text).for_each(drop);
            load_averages(&text);
            cpu_ticks(&text);
            online_cpus(&text);
        }
    }
}
