//! Is a packet within what was negotiated for its SA (RFC 4301 sections 5.1 and 5.2)?
use crate::esp::drop::Drop;
use crate::wire::ip::Flow;
use crate::wire::selector::Selector;
use std::net::IpAddr;

/// One end of a flow, and the selectors it has to match one of.
#[derive(Clone, Copy)]
pub(super) struct End<'a> {
    pub(super) addr: IpAddr,
    pub(super) port: u16,
    pub(super) selectors: &'a [Selector],
}

impl End<'_> {
    fn matches(&self, flow: &Flow) -> bool {
        self.selectors.iter().any(|selector| selector.matches(self.addr, flow, self.port))
    }

    fn matches_without_ports(&self, flow: &Flow) -> bool {
        self.selectors.iter().any(|selector| matches_without_ports(selector, self.addr, flow))
    }
}

/// Both ends must match. A non-first fragment has no ports: where only they are missing it is `LaterFragment`, unless
/// `fragments_pass` (NON_FIRST_FRAGMENTS_ALSO, RFC 4301 section 7.3). Everything else is `SelectorMismatch`.
pub(super) fn admits(ends: [End<'_>; 2], flow: &Flow, fragments_pass: bool) -> Result<(), Drop> {
    if ends.iter().all(|end| end.matches(flow)) {
        return Ok(());
    }
    match flow.later_fragment && ends.iter().all(|end| end.matches_without_ports(flow)) {
        true if fragments_pass => Ok(()),
        true => Err(Drop::LaterFragment),
        false => Err(Drop::SelectorMismatch),
    }
}

/// Address and protocol match.
pub(super) fn matches_without_ports(selector: &Selector, addr: IpAddr, flow: &Flow) -> bool {
    let family = addr.is_ipv4() == selector.start.is_ipv4();
    family && (selector.start..=selector.end).contains(&addr) && (selector.proto == 0 || selector.proto == flow.proto)
}
