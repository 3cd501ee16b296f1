//! A socket that takes a part of a train, or nothing: what is lost is counted, what follows is not, and no number is given twice.
use super::build::*;
use super::gateway::*;
use crate::dataplane::worker::{Ends, PATIENCE, Socket, Worker};
use crate::esp::drop::Drop;
use crate::io::{Datagrams, Destination, ReceiveBatch};
use crate::ipsec::path::Encap;
use std::collections::VecDeque;
use std::io;
use std::time::Duration;

/// Answers as it is told, then takes everything. Notes the sequence numbers of every train.
#[derive(Default)]
struct Script {
    answers: VecDeque<Answer>,
    trains: Vec<Vec<u32>>,
    renewed: usize,
}

#[derive(Clone, Copy, Debug)]
enum Answer {
    /// So many went out.
    Sent(usize),
    /// Nothing did.
    Error(i32),
}

impl Datagrams for Script {
    fn receive(&mut self, batch: &mut ReceiveBatch) -> io::Result<()> {
        batch.datagrams.clear();
        Ok(())
    }
    fn send(&mut self, _to: &Destination, data: &[u8], segment: usize) -> io::Result<usize> {
        let number = |datagram: &[u8]| u32::from_be_bytes(datagram[4..8].try_into().unwrap());
        self.trains.push(data.chunks(segment).map(number).collect());
        match self.answers.pop_front() {
            None => Ok(data.len().div_ceil(segment)),
            Some(Answer::Sent(n)) => Ok(n),
            Some(Answer::Error(errno)) => Err(io::Error::from_raw_os_error(errno)),
        }
    }
    fn renew_patience(&mut self) {
        self.renewed += 1;
    }
}

#[test]
fn what_a_socket_does_not_take_is_counted_and_its_numbers_are_gone() {
    use Answer::*;
    // 130 segments leave as trains of 64, 64 and 2.
    type Case = (&'static [Answer], &'static [(Drop, u64)]);
    let cases: [Case; 7] = [
        (&[], &[]),
        (&[Sent(64), Sent(20), Sent(2)], &[(Drop::QueueFull, 44)]),
        (&[Sent(0), Sent(64), Sent(2)], &[(Drop::QueueFull, 64)]),
        (&[Sent(64), Error(libc::EAGAIN), Sent(2)], &[(Drop::QueueFull, 64)]),
        (&[Sent(64), Error(libc::EMSGSIZE), Sent(1)], &[(Drop::QueueFull, 1), (Drop::Device, 64)]),
        (&[Error(libc::EPERM), Error(libc::ENETUNREACH), Error(libc::EINVAL)], &[(Drop::Device, 130)]),
        (&[Sent(usize::MAX)], &[]),
    ];
    for (answers, lost) in cases {
        let (left, _) = pair(&Setup::default());
        let local = left.worker.ends.sockets[0].local;
        let io = Script { answers: answers.iter().copied().collect(), ..Script::default() };
        let sockets = vec![Socket { encap: Encap::Udp, local, io }];
        let (shared, _told) = left.share(left.stats.clone());
        let mut worker =
            Worker::new(Ends { sockets, devices: [(DEVICE, left.host.clone())].into_iter().collect() }, shared);
        let build = Build::udp(false, 130);
        left.host.push(build.gso(1), build.partial());
        worker.turn(Duration::ZERO);
        left.host.push(build.gso(1), build.partial());
        worker.turn(Duration::ZERO);
        let trains = &worker.ends.sockets[0].io.trains;
        assert_eq!(trains.iter().map(Vec::len).collect::<Vec<_>>(), [64, 64, 2, 64, 64, 2], "{answers:?}");
        assert!(trains.concat().into_iter().eq(1..=260), "{answers:?}");
        assert_eq!(left.drops(), lost, "{answers:?}");
    }
}

/// Two slow links take no more of the time than one.
#[test]
fn sockets_are_patient_for_a_share_of_the_time() {
    for count in [1, 2] {
        let (left, _) = pair(&Setup::default());
        let local = left.worker.ends.sockets[0].local;
        let socket = |_| Socket { encap: Encap::Udp, local, io: Script::default() };
        let sockets = (0..count).map(socket).collect();
        let (shared, _told) = left.share(left.stats.clone());
        let mut worker =
            Worker::new(Ends { sockets, devices: [(DEVICE, left.host.clone())].into_iter().collect() }, shared);
        let renewed = |now: Duration| {
            worker.turn(now);
            worker.turn(now);
            worker.ends.sockets.iter().map(|socket| socket.io.renewed).sum::<usize>()
        };
        let (start, all, moment) = (Duration::from_secs(7), PATIENCE * count, Duration::from_millis(1));
        let times = [start, start + all - moment, start + all, start + 2 * all - moment, start + 2 * all];
        assert_eq!(times.map(renewed), [1, 1, 2, 2, 3].map(|times| times * count as usize));
    }
}
