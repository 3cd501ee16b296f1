//! Who asks for whom in IKE_AUTH: the connection that fits, or the one that comes nearest to it, so that a failure is told of that one.
use super::expected;
use crate::crypto::cert::Fault;
use crate::crypto::secret::Secret;
use crate::frozen::frozen;
use crate::ike::common::Cx;
use crate::ike::directory::{fits, id_of, same_id};
use crate::ike::exchange::half_open::HalfOpen;
use crate::ike::exchange::{Contents, proposal_code};
use crate::ike::keys::{HandshakeKeys, PpkKeys};
use crate::ike::negotiate::{KeRule, choose, differing, numbered};
use crate::ike::policy::{AuthKind, Connection, Remote};
use crate::ike::sa::Core;
use crate::wire::keyword;
use crate::wire::payload::{Id, Proposal};
use crate::wire::registry::ProtocolId;
use std::sync::Arc;

/// Who asks for whom.
pub(super) struct Case {
    /// The connection of this pair of identities, suite and kind of proof.
    pub found: Option<Arc<Connection>>,
    /// The connection that failures are told of.
    pub nearest: Option<Arc<Connection>>,
    pub local_id: Id,
    pub remote_id: Id,
    /// Why it cannot come in, whatever it proves: there is no such connection, or something else is missing. It has to prove it first.
    pub barred: Option<Fault>,
    /// The keys with a post-quantum pre-shared key in them.
    pub ppk: Option<PpkKeys>,
}
frozen! { struct Case { found, nearest, local_id, remote_id, barred, ppk } }
impl Case {
    /// What binds an identity to this IKE SA.
    pub(super) fn sk_p<'a>(&'a self, keys: &'a HandshakeKeys, initiator: bool) -> &'a Secret {
        self.ppk.as_ref().map_or(keys.sk_p(initiator), |ppk| ppk.sk_p(initiator))
    }
    /// The connection of this pair of identities, suite and kind of proof.
    pub(super) fn find(
        cx: &mut Cx<'_>,
        core: &Core,
        half: &HalfOpen,
        contents: &Contents,
        id: &Id,
        kind: AuthKind,
    ) -> Self {
        let candidates = cx.common.directory.between(core.local.ip(), core.remote.ip(), cx.host);
        let asks = Asks { core, suite: &half.proposal, contents, id, kind };
        let found = candidates.iter().find(|c| asks.all(c)).cloned();
        // Of equals the first, as everywhere.
        let nearest = candidates.iter().rev().max_by_key(|c| asks.nearness(c)).cloned();
        let of_whom = found.as_deref().or(nearest.as_deref());
        let local_id = of_whom.map_or_else(|| id_of(core.local.ip()), |c| asks.own_id(c));
        let barred = found.is_none().then(|| match &nearest {
            Some(nearest) => asks.fault(nearest),
            None => Fault::new("peer.unknown", "remote_id", "", id.to_string()),
        });
        Self { nearest, found, local_id, remote_id: id.clone(), barred, ppk: None }
    }
}
/// What the peer asks for.
struct Asks<'a> {
    core: &'a Core,
    suite: &'a Proposal,
    contents: &'a Contents,
    id: &'a Id,
    kind: AuthKind,
}
impl Asks<'_> {
    fn own_id(&self, c: &Connection) -> Id {
        c.local_id.clone().unwrap_or_else(|| id_of(self.core.local.ip()))
    }
    fn for_us(&self, c: &Connection) -> bool {
        self.contents.id_r.as_ref().is_none_or(|asked| same_id(&asked.id, &self.own_id(c)))
    }
    fn is_known(&self, c: &Connection) -> bool {
        fits(&c.remote_id, self.id)
    }
    fn suits(&self, c: &Connection) -> bool {
        let offer = numbered(std::slice::from_ref(self.suite), &[]);
        choose(&offer, &c.proposals, ProtocolId::IKE, KeRule::Prefer(None)).is_some()
    }
    fn all(&self, c: &Connection) -> bool {
        self.is_known(c) && self.for_us(c) && self.suits(c) && c.remote_auth == self.kind
    }
    /// How much speaks for this one being meant: both identities, then an address of its own, which nobody proves but few choose, then one of the
    /// identities. A connection for everybody fits many.
    fn nearness(&self, c: &Connection) -> u8 {
        let (known, for_us) = (self.is_known(c), self.for_us(c));
        let at_home = !c.remote_addrs.contains(&Remote::Any);
        let weigh = |holds: bool, weight: u8| if holds { weight } else { 0 };
        weigh(known && for_us, 32)
            + weigh(at_home, 16)
            + weigh(known, 8)
            + weigh(for_us, 4)
            + weigh(self.suits(c), 2)
            + weigh(c.remote_auth == self.kind, 1)
    }
    /// What keeps it from being that one.
    fn fault(&self, c: &Connection) -> Fault {
        let (known, for_us) = (self.is_known(c), self.for_us(c));
        if known && for_us && self.suits(c) {
            let ours = if c.remote_auth == AuthKind::Psk { "SHARED_KEY" } else { "a signature" };
            let theirs = self.contents.auth.as_ref().map_or_else(String::new, |auth| auth.method.to_string());
            return Fault::new("auth.method", "auth", ours, theirs);
        }
        if known && for_us {
            let differing = differing(std::slice::from_ref(self.suite), &c.proposals, KeRule::Prefer(None));
            let code = if let [one] = differing.as_slice() { proposal_code(one) } else { "proposal.ike" };
            let ours = c.proposals.iter().take(16).map(keyword::proposal).collect();
            let fault = Fault::of(code).and("proposals", ours, vec![keyword::proposal(self.suite)]);
            return fault.differs(differing);
        }
        let differs = [("local.id", for_us), ("remote.id", known)];
        let asked = self.contents.id_r.iter().map(|r| r.id.to_string()).collect();
        Fault::of("auth.id")
            .and("local_id", vec![self.own_id(c).to_string()], asked)
            .and("remote_id", vec![expected(&c.remote_id)], vec![self.id.to_string()])
            .differs(differs.into_iter().filter(|(_, equal)| !equal).map(|(what, _)| what).collect())
    }
}
