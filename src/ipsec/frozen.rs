//! What of the databases another process goes on with (design: Nonces).
use super::fitting::{Fitting, Mss, OuterFragments};
use super::path::{Encap, Path};
use super::sad::Mode;
use super::spd::{DeviceId, Slot};
use super::tables::{ChildCounters, Faults, Traffic};
use crate::esp::drop::Drop;
use crate::frozen::{Frozen, Reader, Thaw, Writer, frozen};
use std::sync::atomic::Ordering::Relaxed;

frozen! {
    struct Slot(number)
    struct DeviceId(number)
    enum Encap { 0 = Udp, 1 = Raw }
    struct Path { local, remote, encap, may_move, mtu }
    enum Mode { 0 = Tunnel, 1 = Transport { sent } }
    struct Fitting { mtu, mss, outer_fragments }
    enum Mss { 0 = Auto, 1 = Most(size), 2 = Off }
    enum OuterFragments { 0 = Auto, 1 = Always, 2 = Never }
}
impl Frozen for Traffic {
    fn freeze(&self, out: &mut Writer) {
        let Self { bytes, packets, faults: _ } = self;
        (bytes.load(Relaxed), packets.load(Relaxed)).freeze(out);
    }
    fn thaw(input: &mut Reader<'_>) -> Result<Self, Thaw> {
        let (bytes, packets) = <(u64, u64)>::thaw(input)?;
        Ok(Self { bytes: bytes.into(), packets: packets.into(), faults: Faults::default() })
    }
}
/// Drops by their names: there may be others in another version.
impl Frozen for ChildCounters {
    fn freeze(&self, out: &mut Writer) {
        let Self { bytes_in, packets_in, bytes_out, packets_out, drops: _ } = self;
        (bytes_in.load(Relaxed), packets_in.load(Relaxed)).freeze(out);
        (bytes_out.load(Relaxed), packets_out.load(Relaxed)).freeze(out);
        let dropped = Drop::ALL.iter().filter(|reason| self.dropped(**reason) > 0);
        let dropped: Vec<(String, u64)> =
            dropped.map(|reason| (reason.name().to_owned(), self.dropped(*reason))).collect();
        dropped.freeze(out);
    }
    fn thaw(input: &mut Reader<'_>) -> Result<Self, Thaw> {
        let counters = Self::new();
        let ((bytes, packets), (bytes_out, packets_out)) = <((u64, u64), (u64, u64))>::thaw(input)?;
        counters.add_in(bytes, packets);
        counters.add_out(bytes_out, packets_out);
        for (name, packets) in <Vec<(String, u64)>>::thaw(input)? {
            if let Some(reason) = Drop::ALL.iter().find(|reason| reason.name() == name) {
                counters.record_drops(*reason, packets);
            }
        }
        Ok(counters)
    }
}
