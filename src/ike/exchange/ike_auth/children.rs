//! What becomes of children that IKE_AUTH, or an exchange after it, was to make.
use crate::ike::child::Offer;
use crate::ike::common::Cx;
use crate::ike::diagnose::Failure;
use crate::ike::event::Event;
use crate::ike::sa::{Core, Established};
use crate::ike::virtuals::Virtuals;

impl Established {
    /// Addresses were given in one of the directions: they have to be installed, or may be used as a hint.
    pub(in crate::ike) fn tell_addresses(&self, cx: &mut Cx<'_>, core: &Core) {
        let Virtuals { ours, theirs } = self.virtuals.clone();
        if !ours.is_empty() || !theirs.is_empty() {
            let connection = self.connection.name.clone();
            cx.emit(Event::Addresses { ike: core.id, connection, ours, theirs });
        }
    }
    /// A child that we asked for is refused: it is tried again later.
    pub(in crate::ike) fn child_failed(&mut self, cx: &mut Cx<'_>, core: &Core, offer: &Offer, failure: Failure) {
        cx.host.release_spi(offer.spi_in);
        self.child_failed_but_keep(cx, core, offer, failure);
    }
    /// The same, but the SPI is released later, when the peer has deleted its side.
    pub(in crate::ike) fn child_failed_but_keep(
        &mut self,
        cx: &mut Cx<'_>,
        core: &Core,
        offer: &Offer,
        failure: Failure,
    ) {
        self.wait_for_child(cx, &offer.policy.name);
        cx.fail(Failure { remote: Some(core.remote), ..failure }, Some(&self.connection));
    }
    /// A child is not asked for again before its wait is over.
    pub(in crate::ike) fn wait_for_child(&self, cx: &mut Cx<'_>, child: &str) {
        if let Some(wish) = cx.common.links.get_mut(&self.connection.name).and_then(|l| l.wish(child)) {
            wish.retry.failed(cx.now);
        }
        cx.touch(&self.connection);
    }
}
