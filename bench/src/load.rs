//! A closed loop: every worker asks again as soon as it is answered.

use std::sync::Barrier;
use std::thread;
use std::time::{Duration, Instant};

use crate::processor::{Spent, Watched};

/// Somebody with one connection, which stays open.
pub trait Worker: Send {
    /// Asks once and checks the answer; false when there is nothing left to ask.
    ///
    /// # Errors
    /// An answer that is not the wanted one: the run stops, since its figures would mean nothing.
    fn step(&mut self) -> Result<bool, String>;
}

/// What a load did.
#[derive(Debug, Clone)]
pub struct Driven {
    /// From the first question to the last answer.
    pub wall: Duration,
    /// Of every answer, ascending.
    latencies: Vec<Duration>,
    /// Processor time.
    pub spent: Spent,
}

impl Driven {
    /// Answers.
    pub fn count(&self) -> usize {
        self.latencies.len()
    }

    /// Answers per second.
    #[expect(clippy::cast_precision_loss, reason = "a count of seconds' work")]
    pub fn rate(&self) -> f64 {
        self.count() as f64 / self.wall.as_secs_f64()
    }

    /// The latency that `percent` of all answers kept.
    pub fn percentile(&self, percent: usize) -> Duration {
        let rank = (self.count() * percent).div_ceil(100);
        self.latencies.get(rank.saturating_sub(1)).copied().unwrap_or_default()
    }

    /// Processor time of one answer, in microseconds.
    #[expect(clippy::cast_precision_loss, reason = "a count of seconds' work")]
    pub fn each_us(&self, total: Duration) -> f64 {
        total.as_secs_f64() * 1e6 / self.count().max(1) as f64
    }
}

/// Lets all workers go for `length`, or until one of them has nothing left; watches who pays.
pub fn drive<W: Worker>(workers: &mut [W], length: Duration, watched: Watched) -> Driven {
    let start = Barrier::new(workers.len() + 1);
    let (latencies, spent, wall) = thread::scope(|scope| {
        let threads: Vec<_> = workers
            .iter_mut()
            .map(|worker| {
                let start = &start;
                scope.spawn(move || {
                    start.wait();
                    run(worker, length)
                })
            })
            .collect();
        let before = watched.spent();
        start.wait();
        let began = Instant::now();
        let mut latencies = Vec::new();
        for thread in threads {
            latencies.extend(thread.join().expect("a worker ends in its own way"));
        }
        (latencies, watched.spent().since(before), began.elapsed())
    });
    let mut latencies = latencies;
    latencies.sort_unstable();
    Driven { wall, latencies, spent }
}

fn run<W: Worker>(worker: &mut W, length: Duration) -> Vec<Duration> {
    let mut latencies = Vec::new();
    let end = Instant::now() + length;
    loop {
        let asked = Instant::now();
        if asked >= end {
            return latencies;
        }
        match worker.step() {
            Ok(true) => latencies.push(asked.elapsed()),
            Ok(false) => return latencies,
            Err(what) => panic!("not the answer that was wanted: {what}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Countdown(usize);

    impl Worker for Countdown {
        fn step(&mut self) -> Result<bool, String> {
            let any = self.0 > 0;
            self.0 = self.0.saturating_sub(1);
            Ok(any)
        }
    }

    #[test]
    fn every_answer_is_counted_once() {
        let watched = Watched { http: std::process::id(), signing: None, postmaster: None };
        let mut workers = [Countdown(3), Countdown(0), Countdown(40)];
        let driven = drive(&mut workers, Duration::from_secs(60), watched);
        assert_eq!(driven.count(), 43);
        assert!(driven.rate() > 0.0 && driven.percentile(50) <= driven.percentile(99));
    }

    #[test]
    fn percentiles_are_answers_that_were_seen() {
        let latencies = (1..=100).map(Duration::from_millis).collect();
        let driven = Driven { wall: Duration::from_secs(1), latencies, spent: Spent::default() };
        assert_eq!(driven.percentile(50), Duration::from_millis(50));
        assert_eq!(driven.percentile(99), Duration::from_millis(99));
        assert_eq!(driven.percentile(100), Duration::from_millis(100));
        let none = Driven { latencies: Vec::new(), ..driven };
        assert_eq!((none.percentile(99), none.count()), (Duration::ZERO, 0));
    }
}
