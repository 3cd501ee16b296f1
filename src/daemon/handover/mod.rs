//! Replacing the daemon by the installed executable without losing an SA or a packet (design.md, "Nonces").
//!
//! # Who starts whom
//!
//! `sandhogd` is two processes. The *front* ([`front`]) is the one that was started: it keeps its number, starts the *daemon* as its child, passes
//! signals on, tells systemd, and ends as the daemon ends. It holds no keys, reads no configuration and nothing of the network, and restarts nothing
//! by itself. The daemon is everything else; it may be confined, and asks the front for what it may not do itself: starting a program.
//!
//! ```text
//!            front ──────────────── starts, once asked ────┐
//!   Order ↓   ↑ Word                               Order ↓ │ ↑ Word
//!          old daemon ── Offer, descriptors, memfd ──→ new daemon
//!                     ←────────────── Answer ─────────
//! ```
//!
//! There is one mechanism, with systemd and without: the front. It is the main process of the unit, so `MAINPID` never changes, and only it
//! speaks to systemd (`READY=1`, `RELOADING=1`, `WATCHDOG=1`). Nothing is put into systemd's store of descriptors: the new daemon gets its from the old
//! one, and what systemd hands over after a crash (`LISTEN_FDS`) nobody has announced; it is closed unread. The front itself is replaced last, by an
//! execve of the new file under its own number, when the new daemon is at work.
//!
//! # What runs
//!
//! The executable that lies where the front's own lay when it was started, opened once, without following links; it and every folder above it belong to
//! root and nobody else may write there ([`crate::io::executable`]). No path comes over a socket.
//!
//! # Order
//!
//! 1. A client asks the old daemon, that asks the front; the front looks at the executable and starts the new daemon, gives both an end of a channel
//!    and the same serial.
//! 2. The new one reads its configuration, says which version it is and which formats it reads ([`Answer::Hello`]).
//! 3. The old one hands over what it has open, and goes on; the new one makes all ready that needs no state ([`Answer::Prepared`]).
//! 4. Once the hook has heard of all that has changed, or takes too long, the old one stops its workers and hands over the state; the new one says what it
//!    has read of it. Packets wait only from here on.
//! 5. *Commit*: the old one tells the front, then the new one. From here on only the new one may seal. The old one wipes its keys and ends without a
//!    word to its peers; the new one starts, and tells the front.
//!
//! What fails before the commit has not happened: the front kills the new daemon, and the old one goes on; a new one that hangs while packets wait for it has
//! half a second, and a little more for each SA. What fails after it costs the keys: the front
//! kills what is left and starts its own executable afresh, without state; everything is negotiated anew behind routes and guard that stay closed. No
//! key is ever with two: before the commit the new daemon seals nothing, after it the old one seals nothing, and there is no way back from it.
//! What the front makes of what it hears, in whatever order, is in `course`.
pub mod channel;
mod course;
pub mod front;
pub mod give;
pub mod take;

use super::descriptors::Kind;
use serde::{Deserialize, Serialize};
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::time::Duration;

/// The new daemon is at work, or gone, within this time after the commit. Everything that takes time was done before.
const AFTER_COMMIT: Duration = Duration::from_millis(1500);
/// And committed within this time after it was started: it may have a large configuration to read.
const BEFORE_COMMIT: Duration = Duration::from_secs(20);
/// The new daemon has read everything within this time: packets wait meanwhile, and for no longer than they have room in sockets and queues.
const READING: Duration = Duration::from_millis(500);
/// And within so much more for each SA.
const READING_ONE: Duration = Duration::from_micros(200);
/// It takes what is open within this time: nothing waits for that.
const PREPARING: Duration = Duration::from_secs(2);
/// Who has read everything hears within this time that it is theirs, or that it is not.
const COMMITTING: Duration = Duration::from_secs(2);
/// The old daemon has ended within this time after the new one has begun.
const PARTING: Duration = Duration::from_secs(5);

// Who hangs before the commit is known for it before the old daemon's client gives up.
const _: () = assert!(BEFORE_COMMIT.as_secs() + PARTING.as_secs() < 30);

/// What the front says to a daemon. Beside [`Order::Take`] and [`Order::Give`] comes an end of the channel between the two.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Order {
    /// Begin afresh.
    Start {
        /// Say that you are alive this often, in milliseconds.
        alive_ms: Option<u64>,
        /// Why there is nothing to take over, if there was to be something.
        lost: Option<String>,
    },
    /// Begin with what another daemon hands over under this serial.
    Take {
        /// As in [`Order::Start`].
        alive_ms: Option<u64>,
        /// Announced to both.
        serial: u64,
    },
    /// Hand over under this serial.
    Give {
        /// Announced to both.
        serial: u64,
    },
    /// There will be no new daemon, and why.
    Refused {
        /// What is wrong and what to do.
        sentence: String,
    },
    /// The new daemon of this serial has ended before the commit, or was ended, and why.
    Failed {
        /// Which.
        serial: u64,
        /// What has become of it.
        sentence: String,
    },
}

/// What a daemon says to the front.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Word {
    /// At work.
    Ready,
    /// Alive still.
    Alive,
    /// Start another.
    Upgrade,
    /// The keys are the other's from now on.
    Committed {
        /// Of which hand-over.
        serial: u64,
    },
    /// Nothing comes of a hand-over: whoever was to take over is not wanted any more.
    Failed {
        /// Of which.
        serial: u64,
    },
}

/// What leads to a daemon besides packets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Door {
    /// The API's socket and its lock.
    Control,
    /// Its read-only twin, and that one's lock.
    Observe,
    /// The socket for Prometheus.
    Metrics,
}
/// A door with its descriptors.
pub type DoorHandle = (Door, Vec<OwnedFd>);

/// What a new daemon has got from the old one.
#[derive(Debug)]
pub struct Heritage {
    /// What it has open.
    pub descriptors: Vec<(Kind, OwnedFd)>,
    /// Ways to it.
    pub doors: Vec<DoorHandle>,
    /// Where its routes are, if it has any.
    pub route_table: Option<u32>,
    /// Where it keeps its revisions.
    pub state_dir: PathBuf,
}

/// What the old daemon says to the new one.
#[derive(Debug, Serialize, Deserialize)]
pub enum Offer {
    /// Beside it are the descriptors of a door.
    Door(Door),
    /// Beside it are some of the descriptors, in the order of the list.
    Descriptors,
    /// All descriptors have come, and beside it is the list of what they are.
    List,
    /// Beside it is the state, in memory that lies in no file; no worker is at work any more.
    State {
        /// IKE SAs and pairs of ESP SAs in it.
        sas: (u64, u64),
    },
    /// Everything is yours.
    Commit {
        /// Of this hand-over.
        serial: u64,
        /// When the old workers stopped, milliseconds since boot.
        stopped_ms: u64,
        /// Who handed over.
        version: String,
        /// Its number.
        pid: u32,
    },
}

/// What the new daemon says to the old one.
#[derive(Debug, Serialize, Deserialize)]
pub enum Answer {
    /// Who is here.
    Hello {
        /// Of the new executable.
        version: String,
        /// Formats of the hand-over that it knows.
        formats: Vec<u16>,
    },
    /// All is ready but for the state.
    Prepared,
    /// The state was read, and all is ready.
    Read {
        /// IKE SAs and pairs of ESP SAs that were found in it.
        sas: (u64, u64),
    },
    /// It cannot go on, and why. Nothing was taken over.
    Refused {
        /// What is wrong and what to do.
        sentence: String,
    },
}

/// How long it may take to read all of this, while packets wait: IKE SAs and pairs of ESP SAs.
fn reading(sas: (u64, u64)) -> Duration {
    let count = u32::try_from(sas.0.saturating_add(sas.1)).unwrap_or(u32::MAX);
    READING + READING_ONE.saturating_mul(count)
}
