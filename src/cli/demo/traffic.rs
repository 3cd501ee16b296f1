//! What goes through the tunnel: pings and one TCP connection.
use super::place::INNER;
use super::{Failure, Interrupt, milliseconds};
use crate::io::fds::{EventFd, boot_time};
use crate::io::netns::Namespace;
use crate::io::ping::Pinger;
use std::io::{self, Read, Write};
use std::net::{IpAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::time::Duration;

/// Pings, and how far apart they are.
const PINGS: u16 = 20;
const PING_INTERVAL: Duration = Duration::from_millis(50);
/// How long the last reply is waited for.
const PING_PATIENCE: Duration = Duration::from_secs(2);
const PING_OCTETS: usize = 56;
/// How long TCP sends.
const TRANSFER: Duration = Duration::from_secs(3);
const TRANSFER_PORT: u16 = 5001;
/// A connection that stands still for so long has failed.
const TRANSFER_PATIENCE: Duration = Duration::from_secs(10);

/// Round trips.
#[derive(Clone, Debug, serde::Serialize)]
pub struct Pings {
    pub sent: u16,
    pub received: u16,
    pub loss_percent: f64,
    pub min_ms: f64,
    pub avg_ms: f64,
    pub max_ms: f64,
}
impl Pings {
    fn new(sent: u16, times: &[Duration]) -> Self {
        let lost = f64::from(sent) - times.len() as f64;
        let sum: Duration = times.iter().sum();
        let count = u32::try_from(times.len()).unwrap_or(u32::MAX).max(1);
        Self {
            sent,
            received: times.len() as u16,
            loss_percent: 100.0 * lost / f64::from(sent.max(1)),
            min_ms: milliseconds(times.iter().min().copied().unwrap_or_default()),
            avg_ms: milliseconds(sum / count),
            max_ms: milliseconds(times.iter().max().copied().unwrap_or_default()),
        }
    }
}
impl std::fmt::Display for Pings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { sent, received, loss_percent, min_ms, avg_ms, max_ms } = self;
        write!(
            f,
            "{received} of {sent} answered, {loss_percent:.0} % loss, round trip min/avg/max {min_ms:.3}/{avg_ms:.3}/{max_ms:.3} ms"
        )
    }
}

/// One TCP connection from the left to the right.
#[derive(Clone, Debug, serde::Serialize)]
pub struct Transfer {
    pub bytes: u64,
    pub seconds: f64,
    pub mbit_per_s: f64,
}
impl std::fmt::Display for Transfer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { bytes, seconds, mbit_per_s } = self;
        write!(f, "{mbit_per_s:.0} Mbit/s: one connection, {} MB in {seconds:.1} s", bytes / 1_000_000)
    }
}

/// Pings from the left to the right.
pub fn ping(left: &Namespace, interrupt: &Interrupt) -> Result<Pings, Failure> {
    left.run(|| ping_here(INNER[0].into(), INNER[1].into(), interrupt)).map_err(Failure::at("network namespace"))?
}

fn ping_here(local: IpAddr, remote: IpAddr, interrupt: &Interrupt) -> Result<Pings, Failure> {
    let mut pinger = Pinger::open(local, remote, std::process::id() as u16, None).map_err(Failure::at("ping"))?;
    let mut sent_at: Vec<Duration> = Vec::new();
    let mut answered: Vec<Option<Duration>> = vec![None; usize::from(PINGS)];
    for sequence in 0..PINGS {
        sent_at.push(boot_time());
        // One that the kernel refuses to send is lost.
        let _ = pinger.send(sequence, &[0; PING_OCTETS]);
        let last = sequence == PINGS - 1;
        let until = boot_time() + if last { PING_PATIENCE } else { PING_INTERVAL };
        while boot_time() < until && !(last && answered.iter().all(Option::is_some)) {
            interrupt.wait_for(&pinger, until.saturating_sub(boot_time()))?;
            while let Some(reply) = pinger.receive().map_err(Failure::at("ping"))? {
                let sequence = usize::from(reply.sequence);
                if let (Some(at), Some(answer)) = (sent_at.get(sequence), answered.get_mut(sequence)) {
                    answer.get_or_insert(boot_time().saturating_sub(*at));
                }
            }
        }
    }
    Ok(Pings::new(PINGS, &answered.into_iter().flatten().collect::<Vec<_>>()))
}

/// Sends zeros by one connection from the left to the right for some seconds.
pub fn transfer(left: &Namespace, right: &Namespace, interrupt: &Interrupt) -> Result<Transfer, Failure> {
    let failed = || Failure::at::<io::Error>("TCP through the tunnel");
    let listener =
        right.run(|| TcpListener::bind((INNER[1], TRANSFER_PORT))).and_then(|result| result).map_err(failed())?;
    let done = Arc::new(EventFd::new().map_err(failed())?);
    let receiver = {
        let done = done.clone();
        std::thread::spawn(move || {
            let result = receive(&listener);
            done.signal();
            result
        })
    };
    let sender = {
        let done = done.clone();
        left.spawn(move || send().inspect_err(|_| done.signal())).map_err(failed())?
    };
    while !interrupt.wait_for(&*done, Duration::from_secs(1))? {}
    // A sender that failed leaves a receiver that waits for it: it ends with this process.
    if sender.is_finished() || receiver.is_finished() {
        sender.join().map_err(|_| Failure::Failed("TCP sender".into()))?.and_then(|result| result).map_err(failed())?;
    }
    receiver.join().map_err(|_| Failure::Failed("TCP receiver".into()))?.map_err(failed())
}

fn send() -> io::Result<()> {
    let mut stream = TcpStream::connect_timeout(&(INNER[1], TRANSFER_PORT).into(), TRANSFER_PATIENCE)?;
    stream.set_write_timeout(Some(TRANSFER_PATIENCE))?;
    let (zeros, end) = (vec![0; 256 << 10], boot_time() + TRANSFER);
    while boot_time() < end {
        stream.write_all(&zeros)?;
    }
    stream.shutdown(std::net::Shutdown::Write)
}

fn receive(listener: &TcpListener) -> io::Result<Transfer> {
    let (mut stream, _) = listener.accept()?;
    stream.set_read_timeout(Some(TRANSFER_PATIENCE))?;
    let (mut buf, mut bytes, start) = (vec![0; 256 << 10], 0, boot_time());
    loop {
        match stream.read(&mut buf)? {
            0 => break,
            n => bytes += n as u64,
        }
    }
    let seconds = boot_time().saturating_sub(start).as_secs_f64().max(1e-9);
    Ok(Transfer { bytes, seconds, mbit_per_s: (bytes as f64 * 8.0 / seconds / 1e6).round() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statistics_of_pings() {
        let times = [1, 2, 6].map(Duration::from_millis);
        let pings = Pings::new(4, &times);
        assert_eq!((pings.received, pings.loss_percent), (3, 25.0));
        assert_eq!((pings.min_ms, pings.avg_ms, pings.max_ms), (1.0, 3.0, 6.0));
        assert_eq!(Pings::new(4, &[]).loss_percent, 100.0);
    }
}
