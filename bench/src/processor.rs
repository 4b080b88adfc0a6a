//! Processor time and memory, by process, from /proc.

use std::fs;
use std::time::Duration;

/// What is watched while something is measured.
#[derive(Debug, Clone, Copy)]
pub struct Watched {
    /// Who answers HTTP: authd, or the bare endpoint.
    pub http: u32,
    /// Who signs: keyd.
    pub signing: Option<u32>,
    /// PostgreSQL's first process; its children count too.
    pub postmaster: Option<u32>,
}

/// Processor time of all cores.
#[derive(Debug, Clone, Copy, Default)]
pub struct Spent {
    /// Of the HTTP server.
    pub http: Duration,
    /// Of keyd.
    pub signing: Duration,
    /// Of PostgreSQL.
    pub postgres: Duration,
    /// Of this process, which makes the load.
    pub load: Duration,
}

impl Spent {
    /// Since an earlier reading.
    #[must_use]
    pub fn since(self, before: Self) -> Self {
        Self {
            http: self.http.saturating_sub(before.http),
            signing: self.signing.saturating_sub(before.signing),
            postgres: self.postgres.saturating_sub(before.postgres),
            load: self.load.saturating_sub(before.load),
        }
    }
}

impl Watched {
    /// What they have used since they began.
    pub fn spent(&self) -> Spent {
        let of = |pid: Option<u32>| pid.map_or(Duration::ZERO, used);
        Spent {
            http: used(self.http),
            signing: of(self.signing),
            postgres: self.postmaster.map_or(Duration::ZERO, used_by_family),
            load: used(std::process::id()),
        }
    }
}

/// What one process has used.
pub fn used(pid: u32) -> Duration {
    let stat = Stat::of(pid).unwrap_or_else(|| panic!("process {pid} has gone"));
    ticks(stat.own)
}

/// What a process, its living children and those that it has waited for have used.
pub fn used_by_family(parent: u32) -> Duration {
    let first = Stat::of(parent).unwrap_or_else(|| panic!("process {parent} has gone"));
    let numbers = fs::read_dir("/proc")
        .unwrap()
        .filter_map(|entry| entry.unwrap().file_name().to_str().and_then(|name| name.parse().ok()));
    let children = numbers.filter_map(Stat::of).filter(|stat| stat.parent == parent);
    ticks(first.own + first.waited_for + children.map(|stat| stat.own).sum::<u64>())
}

/// What a process holds in memory now.
pub fn resident_kib(pid: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches("kB").trim().parse().unwrap()
}

/// The fields of /proc/PID/stat that matter here, in ticks (proc(5)).
#[derive(Debug, PartialEq, Eq)]
struct Stat {
    parent: u32,
    own: u64,
    waited_for: u64,
}

impl Stat {
    /// `None` when the process has ended.
    fn of(pid: u32) -> Option<Self> {
        Self::parse(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
    }

    /// The name in parentheses may hold anything, so what counts begins after the last one.
    fn parse(text: &str) -> Option<Self> {
        let (_, rest) = text.rsplit_once(')')?;
        let fields: Vec<&str> = rest.split_whitespace().collect();
        let number = |at: usize| fields.get(at).and_then(|field| field.parse::<u64>().ok());
        Some(Self {
            parent: fields.get(1)?.parse().ok()?,
            own: number(11)? + number(12)?,
            waited_for: number(13)? + number(14)?,
        })
    }
}

fn ticks(count: u64) -> Duration {
    Duration::from_millis(count * 1000 / rustix::param::clock_ticks_per_second())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_parentheses_moves_no_field() {
        let text = "7 (a) 1 (b) S 3 7 7 0 -1 4194560 100 0 0 0 11 22 33 44 20 0 1 0 5 6 7";
        assert_eq!(Stat::parse(text), Some(Stat { parent: 3, own: 33, waited_for: 77 }));
        assert_eq!(Stat::parse("7 (a) S 3"), None);
    }

    #[test]
    fn a_process_sees_its_own_time_pass() {
        let me = std::process::id();
        let before = used(me);
        let end = std::time::Instant::now() + Duration::from_secs(20);
        let mut sum = 0_u64;
        while used(me) < before + Duration::from_millis(50) {
            assert!(std::time::Instant::now() < end, "no time is counted");
            sum = (0..100_000).fold(sum, |sum, n| std::hint::black_box(sum.wrapping_add(n)));
        }
        assert!(used_by_family(me) >= used(me));
        assert!(resident_kib(me) > 100);
    }
}
