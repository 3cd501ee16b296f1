use super::*;
use crate::wire::tests::selector;
use proptest::prelude::*;

fn s(text: &str) -> Selector {
    text.parse().unwrap_or_else(|e| panic!("{text}: {e}"))
}
fn all(texts: &[&str]) -> Vec<Selector> {
    texts.iter().copied().map(s).collect()
}

#[test]
fn text_forms() {
    for text in [
        "10.2.0.0/16",
        "0.0.0.0/0",
        "::/0",
        "10.0.0.1/32",
        "10.0.0.1-10.0.0.9",
        "10.2.0.0/16[tcp/443]",
        "10.2.0.0/16[tcp]",
        "10.2.0.0/16[udp/1024-65535]",
        "10.2.0.0/16[udp/opaque]",
        "10.2.0.0/16[any/443]",
        "10.2.0.0/16[icmp/8]",
        "10.2.0.0/16[icmp/3.4]",
        "10.2.0.0/16[icmp/3-5]",
        "10.2.0.0/16[icmp/3.1-5.2]",
        "2001:db8::/32[ipv6-icmp/128]",
        "2001:db8::1-2001:db8::5[sctp/0]",
        "10.2.0.0/16[200]",
        "10.2.0.0/16[gre]",
    ] {
        assert_eq!(s(text).to_string(), text);
    }
    for (text, same) in [
        ("10.0.0.1", "10.0.0.1/32"),
        ("::1", "::1/128"),
        ("10.2.0.0/16[6/443]", "10.2.0.0/16[tcp/443]"),
        ("10.2.0.0/16[0]", "10.2.0.0/16"),
        ("10.2.0.0/16[any/any]", "10.2.0.0/16"),
        ("10.2.0.0/16[/443]", "10.2.0.0/16[any/443]"),
        ("10.2.0.0-10.2.255.255", "10.2.0.0/16"),
        ("10.2.0.0/16[udp/0-65535]", "10.2.0.0/16[udp]"),
    ] {
        assert_eq!(s(text).to_string(), same);
    }
}

#[test]
fn bad_text_says_what_to_write() {
    for (text, hint) in [
        ("", "not an IP address"),
        ("10.2.0.0/33", "0 to 32"),
        ("::/129", "0 to 128"),
        ("10.2.0.0/x", "0 to 32"),
        ("10.2.3.4/16", "10.2.0.0/16"),
        ("10.0.0.9-10.0.0.1", "10.0.0.1-10.0.0.9"),
        ("10.0.0.1-::1", "mixes"),
        ("10.2.0.0/16[tcp/443", "`]`"),
        ("10.2.0.0/16[tcq/443]", "unknown protocol"),
        ("10.2.0.0/16[tcp/65536]", "0 to 65535"),
        ("10.2.0.0/16[tcp/https]", "0 to 65535"),
        ("10.2.0.0/16[tcp/9-8]", "ends before"),
        ("10.2.0.0/16[icmp/256]", "ICMP type"),
        ("10.2.0.0/16[300]", "unknown protocol"),
    ] {
        let error = text.parse::<Selector>().unwrap_err();
        assert!(error.contains(hint), "{text}: {error}");
    }
}

#[test]
fn narrowing() {
    // RFC 7296 section 2.9: the offer's order, and only what both have.
    let offered = all(&["10.1.0.5[tcp/80]", "10.1.0.0/16", "2001:db8::/32"]);
    assert_eq!(narrow(&offered, &all(&["10.1.2.0/24", "2001:db8::/48"])), all(&["10.1.2.0/24", "2001:db8::/48"]));
    assert_eq!(
        narrow(&offered, &all(&["10.1.0.5", "10.9.0.0/16"])),
        all(&["10.1.0.5"]),
        "the whole swallows the part before it"
    );
    assert_eq!(
        narrow(&all(&["0.0.0.0/0"]), &all(&["10.1.0.0/16", "10.1.0.0/16", "10.1.1.0/24", "10.2.0.0/16"])),
        all(&["10.1.0.0/16", "10.2.0.0/16"])
    );
    assert_eq!(narrow(&all(&["10.1.0.0/16[tcp]"]), &all(&["10.1.0.0/16[any/22]"])), all(&["10.1.0.0/16[tcp/22]"]));
    assert_eq!(narrow(&all(&["10.1.0.0/16[tcp]"]), &all(&["10.1.0.0/16[udp]"])), []);
    assert_eq!(narrow(&all(&["10.1.0.0/16[udp/opaque]"]), &all(&["10.1.0.0/16[udp/53]"])), []);
    assert_eq!(narrow(&all(&["10.1.0.0/16"]), &[]), []);
    let many = |third: u8| (0..=255u8).map(|n| Selector::prefix([10, third, n, 0].into(), 24)).collect::<Vec<_>>();
    assert_eq!(narrow(&[many(1), many(2)].concat(), &all(&["0.0.0.0/0"])).len(), 255);
}

#[test]
fn answers() {
    let offered = all(&["10.1.0.0/16", "10.2.0.0/16[tcp/443]"]);
    assert!(is_subset(&all(&["10.1.3.0/24[udp/53]", "10.2.0.0/16[tcp/443]"]), &offered));
    for widened in [
        &[][..],
        &["10.2.0.0/16[tcp]"],
        &["10.2.0.0/16"],
        &["10.0.0.0/8"],
        &["10.1.0.0/16", "10.3.0.0/16"],
        &["10.1.0.0-10.2.0.0"],
        &["::/0"],
    ] {
        assert!(!is_subset(&all(widened), &offered), "{widened:?}");
    }
}

#[test]
fn packets() {
    let flow = |proto, sport, dport, later_fragment| Flow {
        src: [10, 1, 0, 1].into(),
        dst: [10, 2, 0, 1].into(),
        proto,
        sport,
        dport,
        later_fragment,
    };
    let hit = |text: &str, flow: Flow| s(text).matches(flow.dst, &flow, flow.dport);
    assert!(
        hit("10.2.0.0/16", flow(6, 1, 443, false))
            && !hit("10.3.0.0/16", flow(6, 1, 443, false))
            && !hit("::/0", flow(6, 1, 443, false))
    );
    assert!(hit("10.2.0.0/16[tcp/443]", flow(6, 1, 443, false)));
    assert!(
        !hit("10.2.0.0/16[tcp/443]", flow(6, 1, 444, false)) && !hit("10.2.0.0/16[tcp/443]", flow(17, 1, 443, false))
    );
    assert!(hit("10.2.0.0/16[any/443]", flow(17, 1, 443, false)));
    assert!(
        hit("10.2.0.0/16[icmp/8]", flow(1, 0x0800, 0x0800, false)) && !hit("10.2.0.0/16[icmp/8]", flow(1, 0, 0, false))
    );
    // RFC 4301 section 7.3: a later fragment has no ports, not port 0.
    assert!(!hit("10.2.0.0/16[udp/0-9]", flow(17, 0, 0, true)) && !hit("10.2.0.0/16[udp/443]", flow(17, 0, 0, true)));
    assert!(hit("10.2.0.0/16[udp]", flow(17, 0, 0, true)) && hit("10.2.0.0/16[udp/opaque]", flow(17, 0, 0, true)));
    assert!(!hit("10.2.0.0/16[udp/opaque]", flow(17, 0, 0, false)));
    // Nor has a protocol without ports.
    assert!(hit("10.2.0.0/16[gre/opaque]", flow(47, 0, 0, false)) && !hit("10.2.0.0/16[gre/0]", flow(47, 0, 0, false)));
    assert!(
        s("10.2.0.0/16[tcp/443]").has_ports()
            && !s("10.2.0.0/16[tcp]").has_ports()
            && !s("10.2.0.0/16[tcp/opaque]").has_ports()
    );
}

#[test]
fn longest_lists_of_prefixes() {
    assert_eq!(s("0.0.0.1-255.255.255.254").prefixes().len(), 62);
    assert_eq!(s("::1-ffff:ffff:ffff:ffff:ffff:ffff:ffff:fffe").prefixes().len(), 254);
    assert_eq!(s("::/0").prefixes(), [("::".parse().unwrap(), 0)]);
    assert_eq!(s("0.0.0.0/0").prefixes(), [("0.0.0.0".parse().unwrap(), 0)]);
    assert_eq!(s("10.0.0.1-10.0.0.4").prefixes().iter().map(|p| p.1).collect::<Vec<_>>(), [32, 31, 32]);
    assert_eq!(s("255.255.255.255").prefixes().len(), 1);
}

#[test]
fn prefixes_of_any_length() {
    let addr = "10.1.2.3".parse().unwrap();
    assert_eq!(Selector::prefix(addr, 200), s("10.1.2.3"));
    assert_eq!(Selector::prefix(addr, 0), s("0.0.0.0/0"));
    assert_eq!(Selector::prefix("fd00::1".parse().unwrap(), 0), s("::/0"));
}

proptest! {
    #[test]
    fn text_round_trip(a in selector()) {
        let text = a.to_string();
        prop_assert_eq!(text.parse(), Ok(a), "{}", text);
    }
    #[test]
    fn text_never_panics(text in "[0-9a-f.:/\\[\\]tcpudi-]{0,24}") {
        if let Ok(a) = text.parse::<Selector>() { prop_assert_eq!(a.to_string().parse(), Ok(a)) }
    }
    #[test]
    fn prefixes_cover_the_range_exactly(a in selector()) {
        let list = a.prefixes();
        prop_assert!(list.len() <= 254);
        let mut next = Some(to_bits(a.start));
        for (addr, len) in &list {
            let p = Selector::prefix(*addr, *len);
            prop_assert_eq!(Some(to_bits(p.start)), next);
            prop_assert_eq!(p.start, *addr);
            next = to_bits(p.end).checked_add(1);
        }
        prop_assert_eq!(next, to_bits(a.end).checked_add(1));
        prop_assert_eq!(a.as_prefix(), if list.len() == 1 { Some(list[0]) } else { None });
    }
    #[test]
    fn intersection(a in selector(), b in selector()) {
        prop_assert_eq!(a.intersect(&b), b.intersect(&a));
        prop_assert!(a.contains(&a));
        if let Some(both) = a.intersect(&b) {
            prop_assert!(a.contains(&both) && b.contains(&both));
        }
        if a.contains(&b) && b.contains(&a) { prop_assert_eq!(a, b) }
    }
    /// A packet is in the intersection if and only if it is in both.
    #[test]
    fn packets_of_the_intersection(a in selector(), b in selector(), proto in prop::sample::select(vec![1u8, 6, 17, 47]), port in any::<u16>(), later_fragment in any::<bool>(), pick in any::<bool>()) {
        let addr = if pick { a.start } else { b.end };
        let flow = Flow { src: addr, dst: addr, proto, sport: port, dport: port, later_fragment };
        let both = a.matches(addr, &flow, port) && b.matches(addr, &flow, port);
        // OPAQUE and a port have no packet in common, OPAQUE and any have.
        prop_assert_eq!(a.intersect(&b).is_some_and(|c| c.matches(addr, &flow, port)), both);
    }
    #[test]
    fn narrowed_is_in_both(offered in prop::collection::vec(selector(), 0..6), ours in prop::collection::vec(selector(), 0..6)) {
        let chosen = narrow(&offered, &ours);
        prop_assert!(chosen.is_empty() || (is_subset(&chosen, &offered) && is_subset(&chosen, &ours)));
        prop_assert!(chosen.iter().enumerate().all(|(i, a)| chosen.iter().enumerate().all(|(j, b)| i == j || !a.contains(b))));
        prop_assert!(ours.iter().all(|o| offered.iter().all(|p| o.intersect(p).is_none_or(|x| chosen.iter().any(|c| c.contains(&x))))));
    }
}
