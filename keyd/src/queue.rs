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
    jobs: VecDeque<Job>,
    /// Workers that sleep. Waking nobody is a system call too.
    idle: usize,
}

impl Queue {
    /// Gives the job back when the queue is full.
    pub fn push(&self, job: Job) -> Result<(), Job> {
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        if inner.jobs.len() >= QUEUE_MAX {
            return Err(job);
        }
        inner.jobs.push_back(job);
        let wake = inner.idle > 0;
        drop(inner);
        if wake {
            self.filled.notify_one();
        }
        Ok(())
    }

    /// Waits for the next job.
    pub fn take(&self) -> Job {
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            if let Some(job) = inner.jobs.pop_front() {
                return job;
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
        assert_eq!(queue.push(job(999)).err().map(|job| job.id), Some(999));
        assert_eq!((queue.take().id, queue.take().id), (0, 1));
        assert!(queue.push(job(1000)).is_ok());
    }
}
