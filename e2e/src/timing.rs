//! Are two kinds of request told apart by how long they take? Medians, and the rank-sum test of Mann and
//! Whitney, which asks nothing of how times are distributed.

use std::fmt;
use std::time::Duration;

/// Two samples beside each other.
#[derive(Clone, Copy, Debug)]
pub struct Comparison {
    /// The medians, in microseconds.
    pub medians_us: (f64, f64),
    /// How many standard deviations the sum of the ranks lies from what chance would make it.
    pub z: f64,
    /// How likely chance alone makes a difference as large as this.
    pub p: f64,
}

impl Comparison {
    /// Compare what was measured in turns; neither is empty.
    pub fn of(one: &[Duration], other: &[Duration]) -> Self {
        let mut all: Vec<(Duration, bool)> = one.iter().map(|time| (*time, true)).collect();
        all.extend(other.iter().map(|time| (*time, false)));
        all.sort_unstable();
        let mut ranks = 0.0;
        let mut ties = 0.0;
        let mut below = 0;
        for equal in all.chunk_by(|a, b| a.0 == b.0) {
            let count = float(equal.len());
            // Equal times share the mean of their ranks.
            let rank = float(below) + f64::midpoint(count, 1.0);
            ranks += rank * float(equal.iter().filter(|(_, of_one)| *of_one).count());
            ties += count.powi(3) - count;
            below += equal.len();
        }
        let (m, n) = (float(one.len()), float(other.len()));
        let u = ranks - m * (m + 1.0) / 2.0;
        let total = m + n;
        let variance = m * n / 12.0 * (total + 1.0 - ties / (total * (total - 1.0)));
        let z = if variance > 0.0 { (u - m * n / 2.0) / variance.sqrt() } else { 0.0 };
        Self { medians_us: (median_us(one), median_us(other)), z, p: two_sided(z) }
    }

    /// How far the medians lie apart, in microseconds.
    pub fn apart_us(&self) -> f64 {
        (self.medians_us.0 - self.medians_us.1).abs()
    }
}

impl fmt::Display for Comparison {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (one, other) = self.medians_us;
        write!(f, "medians {one:.1} µs and {other:.1} µs, z = {:.2}, p = {:.4}", self.z, self.p)
    }
}

fn float(count: usize) -> f64 {
    f64::from(u32::try_from(count).expect("fewer samples than four milliards"))
}

fn median_us(times: &[Duration]) -> f64 {
    let mut sorted = times.to_vec();
    sorted.sort_unstable();
    let at = |index: usize| sorted.get(index).expect("there are samples").as_secs_f64() * 1e6;
    f64::midpoint(at((sorted.len() - 1) / 2), at(sorted.len() / 2))
}

/// The weight of both tails of the normal distribution beyond `z` (Abramowitz and Stegun 7.1.26, good to
/// seven digits).
fn two_sided(z: f64) -> f64 {
    let x = z.abs() / std::f64::consts::SQRT_2;
    let t = 1.0 / 0.327_591_1_f64.mul_add(x, 1.0);
    let weights = [1.061_405_429, -1.453_152_027, 1.421_413_741, -0.284_496_736, 0.254_829_592];
    let sum = weights.into_iter().fold(0.0_f64, |sum, weight| sum.mul_add(t, weight));
    sum * t * (-x * x).exp()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn times(us: impl Iterator<Item = u64>) -> Vec<Duration> {
        us.map(Duration::from_micros).collect()
    }

    #[test]
    fn the_tails_of_the_normal_distribution_have_their_known_weight() {
        for (z, p) in [(0.0, 1.0), (1.0, 0.317_310_5), (-1.959_964, 0.05), (2.575_829, 0.01)] {
            assert!((two_sided(z) - p).abs() < 1e-6, "{z}: {}", two_sided(z));
        }
    }

    #[test]
    fn samples_of_one_kind_are_not_told_apart() {
        let found = Comparison::of(&times((0..1000).step_by(2)), &times((1..1001).step_by(2)));
        assert!(found.p > 0.9 && found.apart_us() < 1.5, "{found}");
        let same = times(std::iter::repeat_n(7, 100));
        assert!(Comparison::of(&same, &same).p > 0.99);
    }

    #[test]
    fn a_shift_is_found() {
        let found = Comparison::of(&times(0..1000), &times(100..1100));
        assert!(found.p < 1e-9 && (found.apart_us() - 100.0).abs() < 0.01, "{found}");
        assert!(found.z < 0.0, "the first is the quicker one");
    }

    /// By hand: ranks of the first are 1, 2.5 and 4, so U = 1.5 of 9, and the one tie takes 6/30 off.
    #[test]
    fn equal_times_share_their_ranks() {
        let found = Comparison::of(&times([1, 2, 3].into_iter()), &times([2, 4, 5].into_iter()));
        let expected = (1.5 - 4.5) / (9.0 / 12.0 * (7.0 - 6.0 / 30.0_f64)).sqrt();
        assert!((found.z - expected).abs() < 1e-9, "{found}");
    }
}
