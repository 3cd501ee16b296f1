//! The policy of a packet to a uniformly random destination, with 10,000 and 100,000 children on one device, no flow cache.
use criterion::{Criterion, criterion_group, criterion_main};
use sandhog::ipsec::spd::{Action, DeviceId, PolicyEntry, Slot, Spd};
use sandhog::wire::ip::Flow;
use sandhog::wire::selector::Selector;
use std::hint::black_box;
use std::net::IpAddr;

/// The remote network of a child: a /24 each, scattered over the address space.
fn network(child: u32) -> u32 {
    (child.wrapping_mul(0x9e37_79b1) % (1 << 24)) << 8
}

fn spd(children: u32) -> Spd {
    let local = Selector::prefix(IpAddr::from([10, 0, 0, 0]), 8);
    Spd::new((0..children).map(|child| {
        let remote = Selector::prefix(IpAddr::from(network(child).to_be_bytes()), 24);
        let entry = PolicyEntry {
            name: "office/lan".into(),
            local: vec![local],
            remote: vec![remote],
            priority: 0,
            action: Action::Protect(Slot(child)),
        };
        (DeviceId(0), entry)
    }))
}

fn benches(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("lookup");
    for children in [10_000, 100_000] {
        let spd = spd(children);
        let mut random = 1u64;
        group.bench_function(format!("{children} children"), |bencher| {
            bencher.iter(|| {
                random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                let child = (((random >> 32) * u64::from(children)) >> 32) as u32;
                let dst = IpAddr::from((network(child) | (random >> 24) as u32 & 0xff).to_be_bytes());
                let src = IpAddr::from([10, 1, 2, 3]);
                let flow = Flow { src, dst, proto: 6, sport: 40_000, dport: 443, later_fragment: false };
                black_box(spd.lookup(DeviceId(0), black_box(&flow)).map(|entry| entry.action))
            });
        });
    }
    group.finish();
}

criterion_group!(policy, benches);
criterion_main!(policy);
