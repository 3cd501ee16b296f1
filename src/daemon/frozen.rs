//! All that a daemon knows, for the one that goes on in its place without losing an SA (design: Nonces).
//!
//! # In which order
//!
//! The old daemon stops and joins every worker, feeds the endpoint what they have said, and freezes ([`super::engine::Engine::freeze`]). That changes nothing:
//! if nothing comes of it, it starts its workers again. The new one reads all of it ([`State::read`], [`State::install`],
//! [`super::engine::Engine::resume`]) before it says that it has: nothing is sealed by that, no socket is written to. Whatever does not fit is an
//! error, and there is no commit. Then the old one shuts all keys ([`super::install::Installer::shut`]), and says so by its commit.
//!
//! # Where the counters are
//!
//! | counter | guard |
//! | --- | --- |
//! | ESP sequence, which is the IV of an AEAD | workers are joined before it is read; `esp::frozen::GAP` is left out; shut before the commit |
//! | IVs of ESP in CBC | a new key for them |
//! | IVs of IKE, per direction and key | `ike::channel::GAP` is left out; requests and responses that were sealed are sent again as octets |
//! | replay windows | bit by bit |
//! | message ids of IKE | with their window |
//!
//! # What is not in it
//!
//! Secrets and certificates of the configuration, which the new daemon reads itself; what the kernel knows (routes, guard, addresses: they are
//! found and adopted); what can be asked again (names, revocation lists). Packets in the workers that wait for an SA that there is not yet: the
//! negotiation goes on, and the next packet waits for it as the first one did. Who waits for an answer of the API hears that the daemon has gone.
use super::clock;
use super::descriptors::Kind;
use super::install::Installer;
use super::places::Places;
use crate::config::Config;
use crate::crypto::rng::Rng;
use crate::crypto::secret::Secret;
use crate::frozen::{Frozen, Known, Reader, Thaw, Writer, frozen};
use crate::ike::endpoint::Endpoint;
use std::path::Path;
use std::time::Duration;

/// The name of the whole, and of its parts that have none of their own.
const WHOLE: &str = "sandhogd";
const LIST: &str = "descriptors";
const TABLES: &str = "tables";
/// How each is written now.
const VERSION: u16 = 3;

/// A state is read at once or never.
const OLDEST: Duration = Duration::from_secs(30);

/// Which hand-over, in which life of the machine, and when by its clock: an older state must never come to life again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stamp {
    /// As it was announced to both.
    pub serial: u64,
    /// The kernel's own name for this boot.
    pub boot: String,
    /// Since the boot.
    pub at: Duration,
}
frozen! { struct Stamp { serial, boot, at } }
impl Stamp {
    /// Of this hand-over, here and now.
    pub fn now(serial: u64) -> Self {
        // Without it, both have none.
        let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
        Self { serial, boot: boot.trim().to_owned(), at: clock::now() }
    }
}

/// What descriptors are, the table of the routes, and where revisions are kept, as octets.
pub fn list(kinds: &[Kind], route_table: Option<u32>, state_dir: &Path) -> Secret {
    let mut out = Writer::new(LIST, VERSION);
    kinds.to_vec().freeze(&mut out);
    route_table.freeze(&mut out);
    // From a file in UTF-8.
    state_dir.to_string_lossy().into_owned().freeze(&mut out);
    out.finish()
}

/// The same again.
///
/// # Errors
/// They are no such list.
pub fn read_list(octets: &[u8]) -> Result<(Vec<Kind>, Option<u32>, String), Thaw> {
    let known = Known::default();
    let mut input = Reader::new(octets, LIST, VERSION, &known)?;
    let list = Frozen::thaw(&mut input)?;
    input.finish().map(|()| list)
}

/// The state of a daemon in parts, each by itself.
#[derive(Debug)]
pub struct State {
    /// What the descriptors are that have come before it: if they are others by now, it is not for who has them.
    pub descriptors: Vec<Kind>,
    pub(super) endpoint: Secret,
    pub(super) tables: Secret,
    pub(super) engine: Secret,
}
frozen! { struct State { descriptors, endpoint, tables, engine } }

impl State {
    /// All of it as octets, for the hand-over with this serial.
    pub fn write(&self, stamp: &Stamp) -> Secret {
        let mut out = Writer::new(WHOLE, VERSION);
        stamp.freeze(&mut out);
        self.freeze(&mut out);
        out.finish()
    }
    /// The parts of those octets. `stamp`: the serial that was announced, and when and where this is read.
    ///
    /// # Errors
    /// They are no state, or one of a version that is not known here, or of another hand-over.
    pub fn read(octets: &[u8], stamp: &Stamp) -> Result<Self, Thaw> {
        let known = Known::default();
        let mut input = Reader::new(octets, WHOLE, VERSION, &known)?;
        let written = Stamp::thaw(&mut input)?;
        let age = stamp.at.checked_sub(written.at);
        if (written.serial, &written.boot) != (stamp.serial, &stamp.boot) || age.is_none_or(|age| age > OLDEST) {
            return Err(Thaw::Value("stamp: it is of another boot or hand-over, or too old"));
        }
        let this = Self::thaw(&mut input)?;
        input.finish().map(|()| this)
    }
    /// The part about the tables.
    pub(super) fn tables(installer: &Installer, places: &Places) -> Secret {
        let mut out = Writer::new(TABLES, VERSION);
        places.freeze(&mut out);
        installer.freeze(&mut out);
        out.finish()
    }
    /// Puts the SAs into empty tables. The configuration is to follow.
    ///
    /// # Errors
    /// They are no SAs.
    pub fn install(&self, installer: &mut Installer, rng: &mut dyn Rng) -> Result<Places, Thaw> {
        let known = Known::default();
        let mut input = Reader::new(self.tables.expose(), TABLES, VERSION, &known)?;
        let places = Places::thaw(&mut input)?;
        installer.thaw(&mut input, rng)?;
        input.finish().map(|()| places)
    }
    /// The endpoint; its policy is to follow.
    ///
    /// # Errors
    /// It is none.
    pub fn endpoint(&self, config: &Config) -> Result<Endpoint, Thaw> {
        Endpoint::thaw(self.endpoint.expose(), &config.policy)
    }
}

/// A fuzz target: whatever is said to be SAs, behind the name and version of them.
#[cfg(any(test, feature = "fuzzing"))]
pub fn thaw_any(data: &[u8]) -> Option<usize> {
    use crate::crypto::rng::SeededRng;
    use crate::ipsec::spd::DeviceId;
    let mut octets = Writer::new(TABLES, VERSION);
    octets.put(data);
    let nothing = Secret::default;
    let state = State { descriptors: Vec::new(), endpoint: nothing(), tables: octets.finish(), engine: nothing() };
    let mut installer = Installer::new(Default::default(), DeviceId(0), |_, _| 1500, 0);
    state.install(&mut installer, &mut SeededRng::new(1)).ok()?;
    Some(installer.pairs().count())
}
/// Seeds of it.
#[cfg(test)]
pub(crate) fn seeds() -> Vec<Vec<u8>> {
    let head = 4 + TABLES.len() + 2;
    super::install::seeds().into_iter().map(|(i, p)| State::tables(&i, &p).expose()[head..].to_vec()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_of_another_hand_over_boot_or_time_is_refused() {
        let part = |text: &str| Secret::new(text.as_bytes().to_vec());
        let state = State {
            descriptors: vec![Kind::Engine { gro: true }, Kind::Queue],
            endpoint: part("e"),
            tables: part("t"),
            engine: part("n"),
        };
        let stamp = Stamp { serial: 7, boot: "b".into(), at: Duration::from_secs(100) };
        let octets = state.write(&stamp);
        let at = |seconds| Stamp { at: Duration::from_secs(seconds), ..stamp.clone() };
        let again = State::read(octets.expose(), &at(101)).unwrap();
        assert_eq!(again.descriptors, state.descriptors);
        assert_eq!([again.endpoint, again.tables, again.engine].each_ref().map(Secret::expose), [b"e", b"t", b"n"]);
        for other in [at(131), at(99), Stamp { serial: 8, ..at(101) }, Stamp { boot: "c".into(), ..at(101) }] {
            assert!(State::read(octets.expose(), &other).is_err(), "{other:?}");
        }
        assert_eq!(Stamp::now(1).boot.len(), 36);
    }
}
