//! What fits a path and how: DF and fragments of the outer packet, and the MSS that TCP announces.
use super::build::*;
use super::gateway::*;
use crate::dataplane::mss;
use crate::esp::drop::Drop;
use crate::io::VnetHeader;
use crate::io::memory::Train;
use crate::ipsec::fitting::{Fitting, Mss, OuterFragments};
use crate::ipsec::sad::Mode;
use proptest::prelude::*;

fn with(outer_fragments: OuterFragments) -> Setup {
    Setup { fitting: Fitting { outer_fragments, ..Fitting::default() }, ..Setup::default() }
}

fn of_len(ipv6: bool, len: usize) -> Build {
    Build::udp(ipv6, len - if ipv6 { 48 } else { 28 })
}

/// Outer packets and their DF, and what is refused and told: one packet through a path that takes 1198 octets.
fn through(setup: &Setup, packet: Vec<u8>) -> (Vec<bool>, Vec<(Drop, u64)>, Option<u16>) {
    let (mut left, _) = pair(&Setup { mtu: 1260, ..setup.clone() });
    assert_eq!(left.path.load().inner_mtu(setup.cipher), 1198);
    let trains = left.send(VnetHeader::default(), packet);
    let outer = trains.iter().flat_map(|train| train.datagrams().map(|_| train.dont_fragment));
    let told = left.delivered().first().map(|answer| {
        let at = if answer[0] >> 4 == 4 { 26 } else { 46 };
        u16::from_be_bytes([answer[at], answer[at + 1]])
    });
    (outer.collect(), left.drops(), told)
}

/// One outer packet with DF, whatever the inner one says: a path that takes less than we think is found.
#[test]
fn what_fits_has_df() {
    for outer_fragments in [OuterFragments::Auto, OuterFragments::Never] {
        for build in [Build { dont_fragment: false, ..of_len(false, 1198) }, of_len(false, 1198), of_len(true, 1198)] {
            assert_eq!(through(&with(outer_fragments), build.packet()), (vec![true], vec![], None));
        }
    }
}

#[test]
fn what_does_not_fit_is_cut_refused_or_left_to_the_path() {
    use OuterFragments::{Always, Auto, Never};
    let cut = Build { dont_fragment: false, ..of_len(false, 1199) };
    let refused = |told| (vec![], vec![(Drop::TooBig, 1)], told);
    let (one, two) = ((vec![false], vec![], None), (vec![true, true], vec![], None));
    for (outer_fragments, inner, smallest) in
        [(Auto, two.clone(), one.clone()), (Never, two, refused(None)), (Always, one.clone(), one.clone())]
    {
        let setup = with(outer_fragments);
        assert_eq!(through(&setup, cut.packet()), inner, "{outer_fragments:?}");
        assert_eq!(through(&setup, of_len(true, 1280).packet()), smallest, "{outer_fragments:?}");
        let always = outer_fragments == Always;
        let expected = |told| if always { one.clone() } else { refused(Some(told)) };
        assert_eq!(through(&setup, of_len(false, 1199).packet()), expected(1198));
        assert_eq!(through(&setup, of_len(true, 1281).packet()), expected(1280));
        // The peer could not check fragments of these.
        let ports = Setup { right: selectors(&["10.2.0.0/24[udp]", "10.2.0.0/24[udp/443]"]), ..setup };
        let expected = if outer_fragments == Never { refused(Some(1198)) } else { one.clone() };
        assert_eq!(through(&ports, cut.packet()), expected, "{outer_fragments:?}");
    }
}

/// `mtu` of a child is a bound of its own, below what the path takes and never above.
#[test]
fn a_configured_mtu_is_a_bound() {
    for (mtu, fits) in [(1100, 1100), (1400, 1198)] {
        let setup = Setup { fitting: Fitting { mtu: Some(mtu), ..Fitting::default() }, ..Setup::default() };
        assert_eq!(through(&setup, of_len(false, fits).packet()), (vec![true], vec![], None));
        assert_eq!(through(&setup, of_len(false, fits + 1).packet()).2, Some(fits as u16));
    }
}

/// A SYN with these options.
fn syn(ipv6: bool, options: &[u8]) -> Build {
    Build { flags: SYN, options: options.to_vec(), ..Build::tcp(ipv6, 0) }
}

const fn announcing(mss: u16) -> [u8; 4] {
    let [high, low] = mss.to_be_bytes();
    [2, 4, high, low]
}

/// What our host and the peer's announce, one side clamping at a time; the path takes 1438 octets.
#[test]
fn what_both_announce_is_lowered_on_either_side() {
    let off = Setup { fitting: Fitting { mss: Mss::Off, ..Fitting::default() }, ..Setup::default() };
    for ipv6 in [false, true] {
        let fits = if ipv6 { 1378 } else { 1398 };
        for flags in [SYN, SYN | ACK] {
            for (sending, receiving) in [(Setup::default(), off.clone()), (off.clone(), Setup::default())] {
                let ((mut left, _), (_, mut right)) = (pair(&sending), pair(&receiving));
                let announce = |mss| Build { flags, ..syn(ipv6, &announcing(mss)) };
                let cases = [(announce(1460), fits), (announce(fits + 1), fits), (announce(1000), 1000)];
                for (build, expected) in cases {
                    for partial in [false, true] {
                        let (header, packet) = match partial {
                            true => (build.needs_csum(), build.partial()),
                            false => (VnetHeader::default(), build.packet()),
                        };
                        left.send(header, packet).into_iter().for_each(|train| right.port.inject(train));
                        right.turn();
                        let delivered = right.delivered();
                        assert_eq!(delivered, [announce(expected).packet()], "{flags} {expected}");
                    }
                }
            }
        }
        // What is no SYN may say so in its options.
        let (mut left, mut right) = pair(&Setup::default());
        let data = Build { flags: ACK, ..syn(ipv6, &announcing(9000)) };
        left.send(VnetHeader::default(), data.packet()).into_iter().for_each(|train| right.port.inject(train));
        right.turn();
        assert_eq!(right.delivered(), [data.packet()]);
    }
}

/// As hosts in transport mode see it, the IP header stays outside, and so leaves more room inside.
#[test]
fn transport_mode_announces_what_its_packets_hold() {
    let hosts = ["10.1.0.1", "10.2.0.1"].map(|host| selectors(&[host]));
    let [left, right] = hosts;
    let setup = Setup { left, right, mode: Mode::Transport { sent: None }, ..Setup::default() };
    let off = Setup { fitting: Fitting { mss: Mss::Off, ..Fitting::default() }, ..setup.clone() };
    for (sending, receiving) in [(setup.clone(), off.clone()), (off, setup)] {
        let ((mut left, _), (_, mut right)) = (pair(&sending), pair(&receiving));
        let addr = |text: &str| std::net::SocketAddr::new(text.parse().unwrap(), 4500);
        let (local, remote) = (addr("10.1.0.1"), addr("10.2.0.1"));
        left.path.store(std::sync::Arc::new(crate::ipsec::path::Path { local, remote, ..**left.path.load() }));
        let trains: Vec<Train> = left.send(VnetHeader::default(), syn(false, &announcing(1460)).packet());
        trains.into_iter().for_each(|train| right.port.inject(train));
        right.turn();
        let delivered = right.delivered();
        assert_sound(&delivered[0]);
        assert_eq!(delivered[0][40..], announcing(1418));
    }
}

#[test]
fn an_mss_anywhere_among_the_options_is_found_and_nothing_else_is_touched() {
    let lowered = |options: &[u8]| {
        let mut packet = syn(false, options).packet();
        mss::clamp(&mut packet[20..], 1000, false);
        assert_sound(&packet);
        packet[40..].to_vec()
    };
    let [high, low] = 1000u16.to_be_bytes();
    // Behind one, two and three octets: its halves are in one word, or in two.
    assert_eq!(lowered(&[1, 2, 4, 5, 180, 0, 0, 0]), [1, 2, 4, high, low, 0, 0, 0]);
    assert_eq!(lowered(&[4, 2, 2, 4, 5, 180, 0, 0]), [4, 2, 2, 4, high, low, 0, 0]);
    assert_eq!(lowered(&[3, 3, 7, 2, 4, 5, 180, 0]), [3, 3, 7, 2, 4, high, low, 0]);
    assert_eq!(lowered(&[2, 4, 5, 180, 2, 4, 9, 9]), [2, 4, high, low, 2, 4, high, low], "both");
    // Behind the end, in another option, of another length, or cut off.
    for none in [
        [0, 2, 4, 5, 180, 0, 0, 0],
        [8, 8, 2, 4, 5, 180, 1, 1],
        [2, 6, 5, 180, 0, 0, 0, 0],
        [1, 1, 1, 1, 1, 2, 4, 5],
        [1, 1, 1, 1, 1, 1, 1, 2],
        [5, 0, 2, 4, 5, 180, 0, 0],
        [5, 1, 2, 4, 5, 180, 0, 0],
        [5, 255, 2, 4, 5, 180, 0, 0],
    ] {
        assert_eq!(lowered(&none), none);
    }
}

/// No host makes one, but a header that says so must not break anything.
#[test]
fn a_super_packet_with_syn_is_lowered_in_each_segment() {
    let build = Build { payload: vec![7; 3000], ..syn(false, &announcing(9000)) };
    let (mut left, mut right) = pair(&Setup::default());
    left.send(build.gso(1000), build.partial()).into_iter().for_each(|train| right.port.inject(train));
    right.turn();
    let delivered = right.delivered();
    assert_eq!(delivered.len(), 3);
    delivered.iter().for_each(|packet| {
        assert_sound(packet);
        assert_eq!(packet[40..44], announcing(1398));
    });
}

proptest! {
    #[test]
    fn no_options_break_it(words in prop::collection::vec(prop_oneof![0u8..6, 0u8..6, any::<u8>()], 40), most in 64u16.., offset: u8, cut in 0usize..60) {
        let mut packet = syn(false, &words).packet();
        mss::clamp(&mut packet[20..], most, false);
        assert_sound(&packet);
        packet[32] = offset;
        let end = packet.len().min(20 + cut);
        mss::clamp(&mut packet[20..end], most, false);
    }
}
