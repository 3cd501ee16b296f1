//! Public-key work on threads of its own, so that a retransmission never waits for a modular exponentiation.
use crate::crypto::work::{self, Work};
use crate::io::fds::EventFd;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{Builder, JoinHandle};

/// One piece of work.
#[derive(Debug)]
pub struct Job {
    /// Its number.
    pub job: u64,
    /// What is to be done.
    pub work: Work,
}
/// The number of a job, and what came of it.
pub type Done = (u64, work::Done);

/// The threads and their queue, which is as long as the endpoint lets it be (`limits.compute_queue`, and what peers have granted us).
#[derive(Debug)]
pub struct Pool {
    jobs: Option<Sender<Job>>,
    done: Receiver<Done>,
    refused: Sender<Done>,
    wake: Arc<EventFd>,
    threads: Vec<JoinHandle<()>>,
}
impl Pool {
    /// `wake` is signalled when a job is done.
    pub fn start(threads: usize, wake: Arc<EventFd>) -> io::Result<Self> {
        let (jobs, waiting) = mpsc::channel::<Job>();
        let (results, done) = mpsc::channel();
        let waiting = Arc::new(Mutex::new(waiting));
        let spawn = |index| {
            let (waiting, results, wake) = (waiting.clone(), results.clone(), wake.clone());
            Builder::new().name(format!("compute{index}")).spawn(move || work(&waiting, &results, &wake))
        };
        let threads = (0..threads.max(1)).map(spawn).collect::<io::Result<_>>()?;
        Ok(Self { jobs: Some(jobs), done, refused: results, wake, threads })
    }
    /// Queues a job; where no thread is left it comes back as refused, so that the endpoint never waits in vain.
    pub fn submit(&self, job: Job) {
        let number = job.job;
        if self.jobs.as_ref().is_none_or(|jobs| jobs.send(job).is_err()) {
            let _ = self.refused.send((number, work::Done::Refused));
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
        if results.send((job.job, done(|| job.work.run()))).is_err() {
            return;
        }
        wake.signal();
    }
}
/// A defect of ours in one job must not leave its endpoint waiting, nor take a thread from the others.
fn done(run: impl FnOnce() -> work::Done) -> work::Done {
    catch_unwind(AssertUnwindSafe(run)).unwrap_or(work::Done::Refused)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto::ke::Group;
    use crate::crypto::rng::SeededRng;
    use crate::wire::registry::KeId;

    fn job(job: u64, public: Vec<u8>) -> Job {
        let group = Group::from_id(KeId(31)).unwrap();
        let private = group.private(&mut SeededRng::new(1));
        Job { job, work: Work::Agree { group, private, public } }
    }
    fn wait(pool: &Pool) -> Done {
        pool.done.recv().unwrap()
    }

    #[test]
    fn both_ends_agree_and_a_bad_value_is_refused() {
        let wake = Arc::new(EventFd::new().unwrap());
        let pool = Pool::start(2, wake.clone()).unwrap();
        let group = Group::from_id(KeId(31)).unwrap();
        let other = group.private(&mut SeededRng::new(2));
        pool.submit(job(7, group.public(&other)));
        let (number, ours) = wait(&pool);
        let theirs = group.agree(&other, &group.public(&group.private(&mut SeededRng::new(1)))).unwrap();
        assert_eq!((number, ours.agreed().unwrap().expose()), (7, theirs.expose()));
        pool.submit(job(8, vec![0; 32]));
        assert!(wait(&pool).1.agreed().is_none());
    }

    /// What an authenticated peer has granted us is computed, however long the queue is: to refuse it would cost a tunnel.
    #[test]
    fn whatever_is_asked_for_is_done() {
        let pool = Pool::start(1, Arc::new(EventFd::new().unwrap())).unwrap();
        (0..1000).for_each(|number| pool.submit(job(number, vec![0; 32])));
        let refused = (0..1000).filter(|_| matches!(wait(&pool).1, work::Done::Refused)).count();
        assert_eq!(refused, 0);
    }

    #[test]
    fn a_job_that_panics_comes_back_refused() {
        assert!(matches!(done(|| panic!("a defect")), work::Done::Refused));
        assert!(matches!(done(|| work::Done::Signed(None)), work::Done::Signed(None)));
    }

    #[test]
    fn what_nobody_can_do_comes_back_refused() {
        let wake = Arc::new(EventFd::new().unwrap());
        let mut pool = Pool::start(1, wake.clone()).unwrap();
        drop(pool.jobs.take());
        pool.submit(job(9, vec![0; 32]));
        let (number, done) = pool.next().unwrap();
        assert!(number == 9 && matches!(done, work::Done::Refused));
        assert!(wake.drain());
    }
}
