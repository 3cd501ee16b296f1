//! Public-key work on threads of its own, so that a retransmission never waits for a modular exponentiation.
use crate::crypto::ke::{BadPublic, Group};
use crate::crypto::secret::Secret;
use crate::io::fds::EventFd;
use std::io;
use std::sync::mpsc::{self, Receiver, Sender, SyncSender};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{Builder, JoinHandle};

/// One key agreement.
#[derive(Debug)]
pub struct Job {
    /// Its number.
    pub job: u64,
    /// Group.
    pub group: Group,
    /// Our private value.
    pub private: Secret,
    /// The peer's public value.
    pub public: Vec<u8>,
}
/// g^ir of a job, or why not.
pub type Done = (u64, Result<Secret, BadPublic>);

/// The threads and their bounded queue.
#[derive(Debug)]
pub struct Pool {
    jobs: Option<SyncSender<Job>>,
    done: Receiver<Done>,
    refused: Sender<Done>,
    wake: Arc<EventFd>,
    threads: Vec<JoinHandle<()>>,
}
impl Pool {
    /// `queue`: jobs that wait (`limits.compute_queue`). `wake` is signalled when one is done.
    pub fn start(threads: usize, queue: usize, wake: Arc<EventFd>) -> io::Result<Self> {
        let (jobs, waiting) = mpsc::sync_channel::<Job>(queue.max(1));
        let (results, done) = mpsc::channel();
        let waiting = Arc::new(Mutex::new(waiting));
        let spawn = |index| {
            let (waiting, results, wake) = (waiting.clone(), results.clone(), wake.clone());
            Builder::new().name(format!("compute{index}")).spawn(move || work(&waiting, &results, &wake))
        };
        let threads = (0..threads.max(1)).map(spawn).collect::<io::Result<_>>()?;
        Ok(Self { jobs: Some(jobs), done, refused: results, wake, threads })
    }
    /// Queues a job; where the queue is full it comes back as refused, so that the endpoint never waits in vain.
    pub fn submit(&self, job: Job) {
        let number = job.job;
        if self.jobs.as_ref().is_none_or(|jobs| jobs.try_send(job).is_err()) {
            let _ = self.refused.send((number, Err(BadPublic("too many key exchanges at once"))));
            self.wake.signal();
        }
    }
    /// A job that is done.
    pub fn next(&self) -> Option<Done> {
        self.done.try_recv().ok()
    }
}
impl Drop for Pool {
    fn drop(&mut self) {
        drop(self.jobs.take());
        // Nobody waits for what is still queued: a thread ends when nobody takes its result.
        self.done = mpsc::channel().1;
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

fn work(waiting: &Mutex<Receiver<Job>>, results: &Sender<Done>, wake: &EventFd) {
    loop {
        // The lock is held while waiting: one thread waits for the next job, the others for their turn.
        let next = waiting.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(job) = next else { return };
        let result = job.group.agree(&job.private, &job.public);
        if results.send((job.job, result)).is_err() {
            return;
        }
        wake.signal();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto::rng::SeededRng;
    use crate::wire::registry::KeId;

    fn job(job: u64, public: Vec<u8>) -> Job {
        let group = Group::from_id(KeId(31)).unwrap();
        Job { job, group, private: group.private(&mut SeededRng::new(1)), public }
    }
    fn wait(pool: &Pool) -> Done {
        pool.done.recv().unwrap()
    }

    #[test]
    fn both_ends_agree_and_a_bad_value_is_refused() {
        let wake = Arc::new(EventFd::new().unwrap());
        let pool = Pool::start(2, 8, wake.clone()).unwrap();
        let group = Group::from_id(KeId(31)).unwrap();
        let other = group.private(&mut SeededRng::new(2));
        pool.submit(job(7, group.public(&other)));
        let (number, ours) = wait(&pool);
        let theirs = group.agree(&other, &group.public(&group.private(&mut SeededRng::new(1)))).unwrap();
        assert_eq!((number, ours.unwrap().expose()), (7, theirs.expose()));
        pool.submit(job(8, vec![0; 32]));
        assert!(wait(&pool).1.is_err());
    }

    #[test]
    fn what_does_not_fit_comes_back_refused() {
        let wake = Arc::new(EventFd::new().unwrap());
        let mut pool = Pool::start(1, 1, wake.clone()).unwrap();
        drop(pool.jobs.take());
        pool.submit(job(9, vec![0; 32]));
        let (number, result) = pool.next().unwrap();
        assert_eq!((number, result.is_err()), (9, true));
        assert!(wake.drain());
    }
}
