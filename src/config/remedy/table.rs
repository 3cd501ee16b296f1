//! What the words of a code are made of.
use super::Side;

/// Words in English and Chinese.
pub(super) type Words = [&'static str; 2];
/// All that is said about one code. In texts `{connection}` and `{child}` stand for the place in the configuration, `{name}` for the connection's
/// name, `{target}` for name and child, `{peer}` for the peer's address and port, `{address}` for its address, `{inside}` for its first network.
#[derive(Debug)]
pub(super) struct Entry {
    pub code: &'static str,
    pub text: Words,
    /// What to do where nothing more is known.
    pub advice: &'static [Advice],
    /// What Alibaba Cloud's API and Tencent's and AWS' logs call it.
    pub names: [Name; 2],
}
/// Something to do.
#[derive(Clone, Copy, Debug)]
pub(super) struct Advice {
    pub side: Side,
    /// Of ours, where in the document; of the peer's, what its administrator calls it.
    pub path: &'static str,
    /// JSON; empty where the value is not known.
    pub set: &'static str,
    pub command: &'static str,
    pub text: Words,
}
impl Advice {
    /// With the value.
    pub const fn to(self, set: &'static str) -> Self {
        Self { set, ..self }
    }
}
/// At our side.
pub(super) const fn us(path: &'static str, text: Words) -> Advice {
    Advice { side: Side::Us, path, set: "", command: "", text }
}
/// At the peer.
pub(super) const fn peer(path: &'static str, text: Words) -> Advice {
    Advice { side: Side::Peer, path, set: "", command: "", text }
}
/// A command of this host.
pub(super) const fn run(command: &'static str, text: Words) -> Advice {
    Advice { side: Side::Us, path: "", set: "", command, text }
}

/// What a vendor calls it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Name {
    /// This.
    Own(&'static str),
    /// It has no name for it; this comes nearest.
    Near(&'static str),
}
impl Name {
    /// As it is shown.
    pub fn shown(self) -> String {
        match self {
            Self::Own(name) => name.into(),
            Self::Near(name) => format!("{name} (nearest)"),
        }
    }
}
pub(super) const fn own(name: &'static str) -> Name {
    Name::Own(name)
}
pub(super) const fn near(name: &'static str) -> Name {
    Name::Near(name)
}

/// Of a code.
pub(super) fn find(code: &str) -> Option<&'static Entry> {
    all().find(|entry| entry.code == code)
}
/// All of them.
pub(super) fn all() -> impl Iterator<Item = &'static Entry> {
    use super::{authentication, negotiation, network};
    negotiation::ENTRIES.iter().chain(authentication::ENTRIES).chain(network::ENTRIES)
}
