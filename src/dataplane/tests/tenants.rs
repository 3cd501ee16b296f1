//! Two tenants with the same networks on one worker: each has a device and a child of its own, and no packet of one meets the other.
use super::build::*;
use super::gateway::*;
use crate::dataplane::worker::{Source, Worker};
use crate::esp::drop::Drop;
use crate::esp::inbound::InboundSa;
use crate::esp::outbound::OutboundSa;
use crate::io::VnetHeader;
use crate::io::memory::{Device, Port};
use crate::ipsec::sad::{InboundEntry, Mode};
use crate::ipsec::settings::Settings;
use crate::ipsec::spd::{Action, DeviceId, PolicyEntry, Slot, Spd};
use crate::ipsec::tables::{Child, OutboundEntry, Traffic};
use std::sync::Arc;
use std::time::Duration;

const OTHER: DeviceId = DeviceId(9);
const OTHER_SLOT: Slot = Slot(6);
const OTHER_IN: u32 = OTHER_SLOT.0 << 4 | 0x3000_0000;
const OTHER_OUT: u32 = OTHER_SLOT.0 << 4 | 0x4000_0000;

/// The left gateway with a second tenant.
struct Tenants {
    left: Gateway,
    /// The host's side of both devices, the second tenant's behind the first one's.
    hosts: [Device; 2],
    other: Arc<Child>,
}

impl Tenants {
    fn new(setup: &Setup) -> Self {
        let (mut left, _) = pair(setup);
        let host = Device::new(setup.offloads);
        left.worker.ends.devices.insert(OTHER, 0, host.clone());
        let other = Child::new(OTHER_SLOT, "other/all".into(), OTHER, true);
        let live = Settings { waits: setup.waits, home: setup.home, ..other.settings() }.into();
        let other = Arc::new(Child { live, ..other });
        left.tables.insert_child(other.clone());
        let policy = |name: &str, slot| {
            let (local, remote) = (setup.left.clone().into(), setup.right.clone().into());
            PolicyEntry { name: name.into(), local, remote, priority: 0, action: Action::Protect(slot) }
        };
        let policies = [(DEVICE, policy("office/lan", SLOT)), (OTHER, policy("other/all", OTHER_SLOT))];
        left.tables.publish_policies(Spd::new(policies));
        left.tables.publish_inbound(Arc::new(InboundEntry {
            spi: OTHER_IN,
            sa: InboundSa::new(&params(setup, OTHER_IN), 4096),
            child: other.clone(),
            local_ts: setup.left.clone().into(),
            remote_ts: setup.right.clone().into(),
            check_fragments: true,
            mode: Mode::Tunnel,
            traffic: Traffic::default(),
        }));
        let hosts = [left.host.clone(), host];
        let tenants = Self { left, hosts, other };
        tenants.other_sends(setup);
        tenants
    }

    fn other_sends(&self, setup: &Setup) {
        let entry = OutboundEntry {
            sa: OutboundSa::new(&params(setup, OTHER_OUT), [9; 16]),
            local_ts: setup.left.clone().into(),
            remote_ts: setup.right.clone().into(),
            path: self.left.path.clone(),
            transport: false,
            traffic: Traffic::default(),
        };
        self.left.tables.swap_outbound(OTHER_SLOT, Some(Arc::new(entry)));
    }

    /// SPIs of what went out, in order.
    fn sent(&self) -> Vec<u32> {
        let spi = |packet: &[u8]| u32::from_be_bytes(packet[..4].try_into().unwrap());
        let trains = self.left.port.sent();
        trains.iter().flat_map(|train| train.data.chunks(train.segment)).map(spi).collect()
    }

    /// What came to each host.
    fn came(&self) -> [Vec<Vec<u8>>; 2] {
        self.hosts.each_ref().map(|host| std::iter::from_fn(|| host.pop()).map(|(_, packet)| packet).collect())
    }
}

/// Numbers that look drawn, the same in every run.
fn drawn() -> impl FnMut(u64) -> u64 {
    let mut state = 7_u64;
    move |below| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % below
    }
}

#[test]
fn what_comes_from_a_tenant_leaves_on_its_own_sa_alone() {
    let mut tenants = Tenants::new(&Setup::default());
    let mut draw = drawn();
    for _ in 0..200 {
        let mut expected = [0, 0];
        for _ in 0..draw(20) {
            // The same packets, from either.
            let tenant = draw(2) as usize;
            let packet = Build { src: 1 + draw(3) as u8, ..Build::udp(draw(2) == 0, 100) }.packet();
            tenants.hosts[tenant].push(VnetHeader::default(), packet);
            expected[tenant] += 1;
        }
        tenants.left.turn();
        let sent = tenants.sent();
        let of = |spi| sent.iter().filter(|sent| **sent == spi).count();
        assert_eq!(([of(RIGHT_SPI), of(OTHER_OUT)], sent.len()), (expected, expected.iter().sum()));
    }
    assert_eq!(tenants.left.drops(), []);
}

#[test]
fn what_comes_for_a_tenant_goes_to_its_own_device_alone() {
    let mut tenants = Tenants::new(&Setup { offloads: (false, false), ..Setup::default() });
    let sas = [tenants.left.peer_sa(), tenants.left.peer_sa_of(OTHER_IN)];
    let mut draw = drawn();
    let mut seq = [0, 0];
    for _ in 0..200 {
        let mut expected: [Vec<Vec<u8>>; 2] = Default::default();
        for _ in 0..1 + draw(20) {
            let tenant = draw(2) as usize;
            let mut answer = Build::udp(false, 60 + draw(100) as usize).packet();
            // Source and destination exchanged, which no checksum notices.
            let (src, dst) = answer[12..20].split_at_mut(4);
            src.swap_with_slice(dst);
            seq[tenant] += 1;
            tenants.left.port.inject(tenants.left.train(&[tenants.left.forge(&sas[tenant], seq[tenant], &answer, 4)]));
            expected[tenant].push(answer);
        }
        tenants.left.turn();
        tenants.left.turn();
        assert!(tenants.came() == expected);
    }
}

/// Neither what waits for an SA, nor what another worker hands over, nor an answer goes to the other tenant.
#[test]
fn without_its_own_sa_or_device_a_tenant_has_none() {
    let setup = Setup { waits: true, ..Setup::default() };
    let mut tenants = Tenants::new(&setup);
    let packet = Build::udp(false, 100).packet();
    tenants.left.tables.swap_outbound(OTHER_SLOT, None);
    tenants.hosts[1].push(VnetHeader::default(), packet.clone());
    tenants.left.turn();
    assert_eq!((tenants.sent(), tenants.came()), (vec![], [vec![], vec![]]));
    // It waited, and leaves when its own is there; a second one does not, for its device is left before.
    tenants.other_sends(&setup);
    tenants.left.turn();
    assert_eq!(tenants.sent(), [OTHER_OUT]);
    tenants.left.tables.swap_outbound(OTHER_SLOT, None);
    tenants.hosts[1].push(VnetHeader::default(), packet.clone());
    tenants.left.turn();
    leave(&mut tenants.left.worker, OTHER);
    tenants.other_sends(&setup);
    tenants.left.turn();
    assert_eq!((tenants.sent(), tenants.left.drops()), (vec![], vec![(Drop::Device, 1)]));
    assert_eq!(tenants.other.counters.dropped(Drop::Device), 1);
    // What comes for it now goes nowhere.
    let mut answer = packet.clone();
    let (src, dst) = answer[12..20].split_at_mut(4);
    src.swap_with_slice(dst);
    let sealed = tenants.left.forge(&tenants.left.peer_sa_of(OTHER_IN), 1, &answer, 4);
    tenants.left.port.inject(tenants.left.train(&[sealed]));
    tenants.left.turn();
    assert_eq!((tenants.came(), tenants.left.drops()), ([vec![], vec![]], vec![(Drop::Device, 2)]));
    // A device without policies: its sender hears of it, nobody else does.
    tenants.left.worker.ends.devices.insert(DeviceId(2), 0, tenants.hosts[1].clone());
    tenants.hosts[1].push(VnetHeader::default(), packet);
    tenants.left.turn();
    let [first, second] = tenants.came();
    assert_eq!((tenants.sent(), first.len(), second.len()), (vec![], 0, 1));
}

fn leave(worker: &mut Worker<Port, Device>, device: DeviceId) {
    assert!(worker.leave(device).is_some());
    assert!(worker.serve(Duration::ZERO, Source::Device(device)).is_ok(), "as if it had been ready");
}
