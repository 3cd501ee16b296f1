//! What the data path tells of ESP: where it comes from, that it comes at all, and how much of it.
use super::endpoint::{Endpoint, Owner};
use super::event::{Host, IkeId, Seen, Usage};
use super::sa::{Core, Established, IkeSa, Phase};
use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::Duration;

impl Endpoint {
    /// Authentic ESP came from another source.
    pub(super) fn on_esp_moved(&mut self, now: Duration, host: &mut dyn Host, spi: u32, remote: SocketAddr) {
        let Some(&id) = self.common.by_child.get(&spi) else { return };
        self.step(now, host, id, |cx, sa| {
            let local = sa.core.local;
            sa.moved(cx, local, remote);
            Ok(())
        });
    }
    /// The peer has the keys of an SPI that we have offered: it has our request, and its answer is late or lost (R3). Comes so rarely that there
    /// is no index for it.
    pub(super) fn on_larval_hit(&mut self, now: Duration, host: &mut dyn Host, spi: u32) {
        let Some(id) = self.sas.values().find(|sa| sa.offers(spi)).map(|sa| sa.core.id) else { return };
        self.step(now, host, id, |cx, sa| {
            // ESP with this SPI proves nothing else, so it counts once.
            if sa.core.hit.replace(spi) != Some(spi) {
                sa.core.resend(cx);
            }
            Ok(())
        });
    }
    /// ESP has come: the peer lives. Or none has, though we sent some. What is heard on one child counts for all of its IKE SA, so it is first.
    pub(super) fn on_esp_seen(&mut self, seen: &Seen) {
        let mut noted = BTreeSet::new();
        self.note(&seen.heard, &mut noted, |_, est| est.signs.heard(seen.since));
        self.note(&seen.unanswered, &mut noted, |_, est| est.signs.unanswered(seen.since));
        self.note(&seen.sent, &mut noted, |core, _| core.carried(seen.since));
        for id in noted {
            let deadline = self.sas.get(&id).and_then(IkeSa::deadline);
            self.timers.set(Owner::Sa(id), deadline);
        }
    }
    /// Once for each IKE SA is enough, however many children it has.
    fn note(&mut self, spis: &[u32], noted: &mut BTreeSet<IkeId>, sign: impl Fn(&mut Core, &mut Established)) {
        for id in spis.iter().filter_map(|spi| self.common.by_child.get(spi)) {
            if let Some(IkeSa { phase: Phase::Established(est), core, .. }) = self.sas.get_mut(id) {
                sign(core, est);
                noted.insert(*id);
            }
        }
    }
    /// So much has travelled.
    pub(super) fn on_esp_usage(&mut self, now: Duration, host: &mut dyn Host, usage: &[Usage]) {
        for usage in usage {
            let Some(&id) = self.common.by_id.get(&usage.id) else { continue };
            if let Some(IkeSa { phase: Phase::Established(est), .. }) = self.sas.get(&id)
                && est.is_worn(usage)
            {
                self.step(now, host, id, |cx, sa| {
                    if let Phase::Established(est) = &mut sa.phase {
                        est.worn(cx, usage);
                        est.pump(cx, &mut sa.core);
                    }
                    Ok(())
                });
            }
        }
    }
}
