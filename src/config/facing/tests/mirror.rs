//! The mirror itself.
use super::*;

#[test]
fn both_ends_change_places() {
    let facing = facing(sample("cbc"));
    assert_eq!(facing.us.places, [Place::Addr("192.0.2.1".parse().unwrap())]);
    assert_eq!(facing.peer.places, [Place::Addr("203.0.113.7".parse().unwrap())]);
    assert_eq!(facing.peer.id, Some("203.0.113.7".parse().unwrap()));
    assert_eq!(facing.us.id, Some("192.0.2.1".parse().unwrap()));
    let [child] = &facing.children[..] else { panic!() };
    assert_eq!(
        (&child.peer_ts, &child.our_ts),
        (&vec!["10.2.0.0/16".parse().unwrap()], &vec!["10.1.0.0/16".parse().unwrap()])
    );
    assert!(facing.routed().is_none());
}

fn with(keys: &str, local: &str) -> Facing {
    let text = format!(
        "[connections.c]\nremote_addrs = [\"203.0.113.7\"]\n{keys}\nlocal = {{ auth = \"psk\"{local} }}\n{LAN}[secrets.s]\nid = [\"%any\"]\nsecret = {SECRET:?}\n"
    );
    Facing::of(&parse(&text).unwrap_or_else(|e| panic!("{e}")), "c").unwrap()
}

/// What the other end sees of us is not always what we have.
#[test]
fn a_private_address_is_not_told_to_the_internet() {
    let private = with("local_addrs = [\"10.0.0.5\"]", "");
    assert_eq!((private.us.places, private.behind_nat), (vec![Place::Unknown], true));
    let known = with("local_addrs = [\"10.0.0.5\"]", ", id = \"198.51.100.4\"");
    assert_eq!(known.us.places, [Place::Addr("198.51.100.4".parse().unwrap())]);
    let unknown = with("", "");
    assert_eq!((unknown.us.places.clone(), unknown.us.id.clone()), (vec![Place::Unknown], None));
    let text = text(&unknown, "strongswan", None).unwrap();
    assert!(text.contains("remote_addrs = REPLACE-WITH-ADDRESS-OF-SANDHOG\n"), "{text}");
    let seen = unknown.seen_at("198.51.100.9".parse().unwrap());
    let text = super::text(&seen, "strongswan", None).unwrap();
    assert!(!text.contains("REPLACE-WITH-ADDRESS") && text.contains("remote_addrs = 198.51.100.9\n"), "{text}");
}

#[test]
fn a_private_network_between_them_hides_nobody() {
    let text = format!(
        "[connections.c]\nlocal_addrs = [\"10.0.0.5\"]\nremote_addrs = [\"10.0.0.6\"]\n{LAN}[secrets.s]\nid = [\"10.0.0.6\"]\nsecret = {SECRET:?}\n"
    );
    let facing = Facing::of(&parse(&text).unwrap(), "c").unwrap();
    assert_eq!((facing.us.places, facing.behind_nat), (vec![Place::Addr("10.0.0.5".parse().unwrap())], false));
}

#[test]
fn lifetimes_say_who_comes_first() {
    let life = |ours, peer_first| Lifetime { ours: Duration::from_secs(ours), peer_first };
    assert_eq!(life(3600, false).for_peer((60, 86_400), 0, "x"), Ok(4500));
    assert_eq!(life(3600, true).for_peer((60, 86_400), 0, "x"), Ok(2880));
    assert_eq!(life(0, false).for_peer((60, 86_400), 3600, "x"), Ok(3600));
    // A limit is kept where it leaves us a tenth, else said.
    assert_eq!(life(3000, false).for_peer((900, 3600), 0, "x"), Ok(3600));
    let refusal = life(3600, false).for_peer((900, 3600), 0, "x").unwrap_err();
    assert!(refusal.way_out.contains("\"2880s\"") && refusal.way_out.contains("peer"), "{refusal}");
    assert_eq!(life(2880, false).for_peer((900, 3600), 0, "x"), Ok(3600));
    assert!(life(100, true).for_peer((900, 3600), 0, "x").is_err());
}

#[test]
fn inner_addresses_of_two_hosts() {
    for (ours, len, peers) in
        [("169.254.1.1", 30, Some("169.254.1.2")), ("10.0.0.3", 31, Some("10.0.0.2")), ("10.0.0.3", 24, None)]
    {
        let found = inner(&(ours.parse().unwrap(), len));
        assert_eq!(found.peers, peers.map(|addr| addr.parse().unwrap()));
    }
}

#[test]
fn the_secret_is_that_of_the_peer() {
    let text = format!(
        "[connections.c]\nlocal_addrs = [\"192.0.2.1\"]\nremote_addrs = [\"203.0.113.7\"]\nremote = {{ id = \"GW.example\" }}\n{LAN}\
         [secrets.all]\nid = [\"%any\"]\nsecret = \"that of everybody else\"\n[secrets.s]\nid = [\"gw.example\"]\nsecret = {SECRET:?}\n"
    );
    let config = parse(&text).unwrap();
    let facing = Facing::of(&config, "c").unwrap();
    let known = Known::of(&config, &facing);
    assert_eq!(known.psk.unwrap().expose(), SECRET.as_bytes());
}

#[test]
fn what_cannot_be_mirrored_is_said() {
    let config = config_of(sample("cbc"), None);
    let refusal = Facing::of(&config, "d").unwrap_err();
    assert!(refusal.what.contains("`d`") && refusal.way_out.contains('c'), "{refusal}");
    let facing = facing(sample("cbc"));
    assert!(facing.clone().called("a b").is_err());
    let text = text(&facing.called("other").unwrap(), "strongswan", None).unwrap();
    assert!(text.contains("connection c:") && text.contains("  other {\n"), "{text}");
}
