//! What waits for a worker: bounded, first come first served, one for each socket.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Instant;

use wire::Request;

use crate::connection::Connection;

/// Most requests that wait at once; the next is told so at once.
pub const QUEUE_MAX: usize = 128;

/// A permitted request that needs the token, and who waits for its answer.
pub struct Job {
    /// Where the reply goes.
    pub connection: Arc<Connection>,
    /// The id that the reply echoes.
    pub id: u64,
    /// What was asked.
    pub request: Request,
    /// When it was asked.
    pub since: Instant,
}

/// Jobs of one socket.
#[derive(Default)]
pub struct Queue {
    inner: Mutex<Inner>,
    filled: Condvar,
}

#[derive(Default)]
struct Inner {
    /// keyd is ending: what waits is done, nothing is added.
    closed: bool,
    jobs: VecDeque<Job>,
    /// Workers that sleep. Waking nobody is a system call too.
    idle: usize,
}

/// Why a job was not taken.
pub enum Declined {
    /// Too many wait already.
    Full(Job),
    /// keyd is ending.
    Closed,
}

impl Queue {
    /// Adds a job, unless the queue is full or closed.
    pub fn push(&self, job: Job) -> Result<(), Declined> {
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        if inner.closed {
            return Err(Declined::Closed);
        }
        if inner.jobs.len() >= QUEUE_MAX {
            return Err(Declined::Full(job));
        }
        inner.jobs.push_back(job);
        let wake = inner.idle > 0;
        drop(inner);
        if wake {
            self.filled.notify_one();
        }
        Ok(())
    }

    /// Takes no more jobs, and sends workers home once there are none left.
    pub fn close(&self) {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner).closed = true;
        self.filled.notify_all();
    }

    /// Waits for the next job; `None` when there will be none.
    pub fn take(&self) -> Option<Job> {
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            if let Some(job) = inner.jobs.pop_front() {
                return Some(job);
            }
            if inner.closed {
                return None;
            }
            inner.idle += 1;
            inner = self.filled.wait(inner).unwrap_or_else(PoisonError::into_inner);
            inner.idle -= 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixStream;

    use super::*;
    use crate::permit::Peer;

    #[test]
    fn w172_a_full_queue_says_so_at_once_and_keeps_the_order() {
        let (ours, _theirs) = UnixStream::pair().unwrap();
        let connection = Connection::new(ours, Peer::Authd).unwrap();
        let queue = Queue::default();
        let job = |id| Job {
            connection: Arc::clone(&connection),
            id,
            request: Request::Health,
            since: Instant::now(),
        };
        for id in 0..QUEUE_MAX as u64 {
            assert!(queue.push(job(id)).is_ok());
        }
        assert!(matches!(queue.push(job(999)), Err(Declined::Full(job)) if job.id == 999));
        let next = || queue.take().map(|job| job.id);
        assert_eq!((next(), next()), (Some(0), Some(1)));
        assert!(queue.push(job(1000)).is_ok());
        queue.close();
        assert!(matches!(queue.push(job(1001)), Err(Declined::Closed)));
        let rest: Vec<u64> = std::iter::from_fn(next).collect();
        assert_eq!(rest.len(), QUEUE_MAX - 1, "what waited is done");
        assert_eq!(rest.last(), Some(&1000));
    }
}
