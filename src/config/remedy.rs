//! Words for the facts of `ike::diagnose`: what a failure means, and what to change where.
use crate::ike::diagnose::{Certainty, Failure, Values};

/// Explanation and fix of a failure, both of at least one sentence. Values of the peer are escaped.
pub fn explain(failure: &Failure) -> (String, String) {
    let place = Place::of(failure);
    let (mut text, fix) = words(failure.code, &place, failure);
    let (ours, theirs) = (told(&failure.local), told(&failure.peer));
    if !ours.is_empty() {
        text += &format!(" Ours: {ours}.");
    }
    if !theirs.is_empty() {
        text += &format!(" The peer's: {theirs}.");
    }
    if !failure.differing.is_empty() {
        text += &format!(" They differ in: {}.", failure.differing.join(", "));
    }
    if let Some(notify) = &failure.notify {
        text += &format!(" The peer said {}.", escaped(notify));
    }
    if failure.certainty == Certainty::Likely {
        text += " This is likely, not proven.";
        if !failure.candidates.is_empty() {
            text += &format!(" It may be any of: {}.", failure.candidates.join(", "));
        }
    }
    (text, fix)
}

/// Where in the configuration the failure is to be mended.
struct Place {
    connection: String,
    child: String,
    peer: String,
}
impl Place {
    fn of(failure: &Failure) -> Self {
        let name = failure.connection.as_deref().unwrap_or("NAME");
        let connection = format!("connections.{name}");
        let child = format!("{connection}.children.{}", failure.child.as_deref().unwrap_or("NAME"));
        let peer = failure.remote.map_or_else(|| "the peer".into(), |remote| remote.to_string());
        Self { connection, child, peer }
    }
}

fn words(code: &str, place: &Place, failure: &Failure) -> (String, String) {
    let family = code.split_once('.').map_or(code, |(family, _)| family);
    match family {
        "peer" | "config" => configuration(code, place),
        "proposal" | "pfs" => proposals(code, place),
        "auth" => authentication(code, place, failure),
        "ts" | "child" => children(code, place),
        "net" | "dpd" | "mobike" => network(code, place),
        "limit" => limits(code, place),
        "address" | "childless" => addresses(code, place),
        _ => others(code, place),
    }
}

fn configuration(code: &str, Place { connection, peer, .. }: &Place) -> (String, String) {
    match code {
        "peer.unknown" => (
            format!("No connection is configured for {peer} with the identity that it gave."),
            "Give a connection these remote_addrs and this remote.id, or correct the identity at the peer.".into(),
        ),
        "config.unknown" => (
            "There is no connection or child of this name.".into(),
            "`sandhog status` lists the names; `kill -HUP` makes sandhogd read the files again.".into(),
        ),
        "config.respond_only" => (
            "This connection only responds: it does not say where its peer is.".into(),
            format!("Let the peer call, or put its address into {connection}.remote_addrs instead of \"%any\"."),
        ),
        "peer.refused" => {
            (format!("{peer} refused, for a reason of its own."), "See what the peer logs at this time.".into())
        }
        _ => unknown(code, connection),
    }
}

fn proposals(code: &str, Place { connection, child, .. }: &Place) -> (String, String) {
    let (what, keys) = match code {
        "proposal.encr" => ("encryption algorithm", "proposals"),
        "proposal.integ" => ("integrity algorithm", "proposals"),
        "proposal.prf" => ("pseudorandom function", "proposals"),
        "proposal.ke" => ("key exchange group", "proposals"),
        "proposal.esn" => ("choice of sequence numbers (esn or noesn)", "esp_proposals"),
        "proposal.ike" => ("combination of algorithms for IKE", "proposals"),
        "proposal.esp" => ("combination of algorithms for ESP", "esp_proposals"),
        "pfs.mismatch" => {
            return (
                "The child's group for rekeys differs, which shows at its first rekey only.".into(),
                format!("Put the peer's PFS group into {child}.esp_proposals, or none where the peer uses none."),
            );
        }
        _ => ("combination of algorithms", "proposals"),
    };
    let path = if keys == "proposals" { connection } else { child };
    (
        format!("The two ends have no {what} in common."),
        format!("Add one that the peer has to {path}.{keys}, or one of ours to the peer's configuration."),
    )
}

fn authentication(code: &str, Place { connection, .. }: &Place, failure: &Failure) -> (String, String) {
    match code {
        "auth.psk" => (
            "The pre-shared keys of the two ends differ.".into(),
            format!(
                "Set the same secret at both ends; here it is the one in [secrets] whose id is {connection}.remote.id. A space or newline at its end counts."
            ),
        ),
        "auth.id" => (
            "The peer's identity is not the one that is expected.".into(),
            format!("Set {connection}.remote.id to what the peer sends, or change what the peer sends."),
        ),
        "auth.ppk" => (
            "The two ends do not use the same post-quantum preshared key, and one of them will not do without.".into(),
            format!("Set {connection}.ppk.id and the secret of that id to the same at both ends."),
        ),
        "auth.method" => (
            "The peer proves itself in a way that is not configured for it.".into(),
            format!("Set {connection}.remote.auth to \"psk\" or \"pubkey\", whichever the peer uses, or change it there."),
        ),
        "auth.signature" => (
            "The signature was not made by the key in the peer's certificate, or not over this exchange.".into(),
            "Check at the peer that its private key belongs to its certificate; if it does, somebody is in between.".into(),
        ),
        "auth.hash" => (
            "The two ends have no way to sign in common.".into(),
            "Let the peer use RSA with SHA-2, ECDSA over P-256 or P-384, or Ed25519; an RSA key needs a peer that knows RFC 7427.".into(),
        ),
        code if code.starts_with("auth.cert") => certificates(code, connection),
        _ if failure.initiator => (
            "The peer refused our authentication; it does not say why, and must not.".into(),
            format!(
                "Compare at both ends: the secret, {connection}.local.id with what the peer expects of us, and {connection}.remote.id with what it is."
            ),
        ),
        _ => (
            "The peer could not prove who it is.".into(),
            format!(
                "Compare at both ends: the secret in [secrets], and {connection}.remote.id with what the peer sends."
            ),
        ),
    }
}

fn certificates(code: &str, connection: &str) -> (String, String) {
    let (text, fix) = match code {
        "auth.cert.expired" => (
            "The peer's certificate, or its authority's, has ended.",
            "Issue a new one for the peer; if it is good still, correct the clock of this machine.".into(),
        ),
        "auth.cert.not_yet_valid" => {
            ("The peer's certificate is not valid yet.", "Correct the clock of this machine, or wait.".into())
        }
        "auth.cert.unknown_ca" => (
            "The peer's certificate does not lead to an authority that is trusted.",
            format!(
                "Add the authority's certificate to {connection}.remote.cacerts, or let the peer send the certificates in between."
            ),
        ),
        "auth.cert.revoked" => {
            ("The peer's certificate was revoked.", "Issue a new one for the peer, if it is still to come in.".into())
        }
        "auth.cert.name" => (
            "The identity that the peer claims is not in its certificate.",
            "Let the peer use a name of its subjectAltName or its whole subject as identity; a common name is none."
                .into(),
        ),
        "auth.cert.usage" => (
            "The peer's certificate, or one that it leads through, is not for this use.",
            "Issue one with the key usage digitalSignature and without extended key usages, or with ipsecIKE.".into(),
        ),
        "auth.cert.weak" => (
            "The peer's certificate has a key or a signature that is too weak or unknown.",
            "Issue one with RSA of 2048 bits or more, ECDSA over P-256 or P-384, or Ed25519, signed with SHA-2.".into(),
        ),
        "auth.cert.missing" => (
            "A certificate is missing.",
            format!(
                "Let the peer send its certificate (strongSwan: send_cert = always); ours is {connection}.local.certs."
            ),
        ),
        "auth.cert.crl_missing" => (
            "Whether the peer's certificate was revoked cannot be told: no current revocation list is at hand.",
            format!(
                "Put the list into {connection}.remote.crls, name its host in crl_hosts if it is inside, or set revocation to \"relaxed\"."
            ),
        ),
        "auth.cert.malformed" => {
            ("The peer's certificate breaks the rules of RFC 5280.", "Issue a new one for the peer.".into())
        }
        _ => (
            "The peer's certificate was not accepted.",
            format!("Check its dates, its issuer and its names against {connection}.remote."),
        ),
    };
    (text.into(), fix)
}

fn children(code: &str, Place { connection, child, .. }: &Place) -> (String, String) {
    match code {
        "ts.mismatch" => (
            "The two ends have no networks in common for this child.".into(),
            format!("Our {child}.local_ts is the peer's remote, our remote_ts its local: let them mirror each other."),
        ),
        "ts.widened" => (
            "The peer answered with networks that were not asked for; nothing was set up.".into(),
            format!("Correct the peer, or widen {child}.local_ts and remote_ts to what it insists on."),
        ),
        "ts.narrowed" => (
            "The tunnel is up, but it does not carry all networks that one of the ends has for it.".into(),
            format!(
                "Let {child}.local_ts and remote_ts and the peer's networks mirror each other, if more is to pass."
            ),
        ),
        "child.mode" => (
            "One end has transport mode for this child, the other a tunnel.".into(),
            format!("Set {child}.mode to the peer's, or change it there."),
        ),
        "ts.single_pair" => (
            "The peer takes one pair of networks in each child.".into(),
            format!("Split {child} into children with one local_ts and one remote_ts each."),
        ),
        "child.refused" => (
            "The peer refused this child; the connection itself stays up.".into(),
            format!("See what the peer logs; compare {child}.esp_proposals and its networks with the peer's."),
        ),
        _ => unknown(code, connection),
    }
}

fn network(code: &str, Place { connection, peer, .. }: &Place) -> (String, String) {
    match code {
        "net.no_response" => (
            format!("{peer} did not answer."),
            format!(
                "Check {connection}.remote_addrs, that the peer runs, and that UDP 500 and 4500 pass in both directions (firewalls, security groups, the peer's own)."
            ),
        ),
        "net.filtered" => (
            format!("Some packets of {peer} arrive and others do not: a filter is in the way."),
            "Let UDP 500, UDP 4500 and IP protocol 50 pass in both directions, fragments too.".into(),
        ),
        "net.nat" => (
            format!("There is a NAT between us and {peer}, and what is behind it does not get through."),
            format!("Let UDP 4500 pass, or set {connection}.encap = \"always\"."),
        ),
        "net.no_address" => (
            "The peer's name has no address, or none that this host can reach.".into(),
            format!("Check the name in {connection}.remote_addrs, the resolver of this host, and its routes."),
        ),
        "net.own_address" => (
            "What is configured as the peer's address, or what its name leads to, is this host itself.".into(),
            format!("Correct {connection}.remote_addrs, or the name's address: we do not speak with ourselves."),
        ),
        "net.no_route" => (
            "No address of ours can be used: this host has none that is configured, or no way from there to the peer."
                .into(),
            format!(
                "Check {connection}.local_addrs against `ip address`, and the routes of this host: `ip route get`."
            ),
        ),
        "dpd.no_response" => (
            format!("{peer} was there and no longer answers."),
            "See whether the peer restarted or lost its network; dpd_action says what we do about it.".into(),
        ),
        "mobike.refused" => (
            format!("{peer} does not follow us to our new address."),
            "Let the peer allow MOBIKE from any address, or take the connection down and up.".into(),
        ),
        "mobike.nat" => (
            format!("Somebody changes our addresses on the way to {peer}, which does not speak of NAT at all."),
            "Look for a NAT between the two; with mobike = false nobody minds it.".into(),
        ),
        "mobike.cookie" => (
            format!("{peer} could not show that it is where it says: the IKE SA was closed."),
            "If this is no attack, look for an update of the peer.".into(),
        ),
        _ => unknown(code, connection),
    }
}

fn others(code: &str, place: &Place) -> (String, String) {
    let Place { connection, child, peer } = place;
    match code {
        "version.ikev1_peer" => (
            format!("{peer} speaks IKEv1 only, which is recognised here but not spoken."),
            "Switch the peer to IKEv2.".into(),
        ),
        "answer.not_offered" => (
            "The peer chose what was not offered; such an answer is never accepted.".into(),
            format!(
                "Leave one proposal in {connection}.proposals and {child}.esp_proposals that the peer surely has, and look for an update of the peer."
            ),
        ),
        "answer.malformed" => (
            "The peer's answer breaks the rules of IKEv2.".into(),
            "Look for an update of the peer; `sandhog capture` records what it sent.".into(),
        ),
        "message.malformed" | "message.incomplete" => (
            format!("{peer} sent a message that breaks the rules of IKEv2 ({code})."),
            "Look for an update of the peer; `sandhog capture` records what it sent.".into(),
        ),
        "lifetime.peer_shorter" => (
            "The peer rekeys earlier than we do: its lifetime is shorter.".into(),
            format!("Nothing is broken; set {child}.rekey_time a little below the peer's lifetime to be first."),
        ),
        "replay.window" => (
            "Packets arrive too late for the replay window.".into(),
            format!("Raise {child}.replay_window; look for what reorders packets on the way."),
        ),
        "traffic.not_passing" => (
            format!("The tunnel to {peer} is up, but nothing passes through it: the probes of its monitor are not answered."),
            "See whether ESP (UDP 4500 or IP protocol 50) passes in both directions, and whether the monitor's target answers pings; monitor.action says what we do about it.".into(),
        ),
        "mtu.exceeded" => (
            "Packets are too large for the way to the peer.".into(),
            format!("Set {child}.mtu lower, to 1400 for example."),
        ),
        "esp.keys" => (
            "No packet of the peer can be verified: the two ends do not have the same keys.".into(),
            format!("Leave one suite in {child}.esp_proposals and look for an update of the peer."),
        ),
        "esp.truncation" => (
            "The peer cuts SHA2-256 to 96 bits, as old software did, instead of 128.".into(),
            format!("Switch the peer to 128 bits, or use AES-GCM in {child}.esp_proposals."),
        ),
        _ => unknown(code, connection),
    }
}

fn addresses(code: &str, Place { connection, .. }: &Place) -> (String, String) {
    match code {
        "address.none_left" => (
            "All addresses of the pools are in use, or none is of the family that the peer asks for.".into(),
            format!("Enlarge the pools that {connection}.pools names, or add one of that family."),
        ),
        "address.not_asked" => (
            "The peer has to take an address from a pool, and has not asked for one.".into(),
            format!(
                "Let the peer ask for a virtual address (strongSwan: vips = 0.0.0.0), or remove {connection}.pools."
            ),
        ),
        "address.refused" => (
            "The peer has no virtual address for us.".into(),
            format!("Look at the peer's pools, and whether {connection}.vips asks for the right families."),
        ),
        "childless.unsupported" => (
            "The peer does not take an IKE SA without a child.".into(),
            format!("Set {connection}.childless to \"prefer\" or \"allow\"."),
        ),
        _ => unknown(code, connection),
    }
}

fn limits(code: &str, Place { connection, .. }: &Place) -> (String, String) {
    let raise = |key: &str| format!("Raise [gateway] limits.{key}, if that many are meant to be.");
    match code {
        "limit.peer" => (
            "The peer has no room for another SA.".into(),
            "Take down what is not needed, or raise the peer's limits.".into(),
        ),
        "limit.connections" => ("This gateway has as many connections as it may have.".into(), raise("connections")),
        "limit.auth_failures" => (
            "Many have failed to authenticate with this identity lately.".into(),
            "Wait a minute; if it goes on, somebody tries secrets: make them long, or name the peer's address in remote_addrs.".into(),
        ),
        "limit.per_identity" => ("This identity has as many connections as it may have.".into(), raise("per_identity")),
        "limit.compute_queue" => {
            ("Too many key exchanges wait for a processor; it is tried again.".into(), raise("compute_queue"))
        }
        "limit.spis" => (
            "This gateway has no number left for another SA.".into(),
            "Take down what is not needed; `sandhog status` lists it.".into(),
        ),
        _ => unknown(code, connection),
    }
}

/// A code that has no words yet still leads somewhere.
fn unknown(code: &str, connection: &str) -> (String, String) {
    (
        format!("It failed with the code {code}."),
        format!("Compare {connection} with the peer's configuration, and look at the logs of both ends."),
    )
}

/// What one side has told, each under what it is.
fn told(values: &Values) -> String {
    let texts: Vec<_> = values.iter().map(|(what, values)| format!("{what} {}", list(values))).collect();
    texts.join("; ")
}
/// A few values, so that a peer cannot fill a screen.
fn list(values: &[String]) -> String {
    const MOST: usize = 8;
    let mut shown: Vec<String> = values.iter().take(MOST).map(|value| escaped(value)).collect();
    if values.len() > MOST {
        shown.push(format!("and {} more", values.len() - MOST));
    }
    shown.join(", ")
}

/// Without control characters, and not endless.
fn escaped(text: &str) -> String {
    const LONGEST: usize = 300;
    text.chars()
        .take(LONGEST)
        .flat_map(|c| if c.is_control() { c.escape_default().collect::<Vec<char>>() } else { vec![c] })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ike::diagnose::Phase;

    fn failure(code: &'static str) -> Failure {
        let mut failure = Failure::new(std::time::Duration::ZERO, Phase::IkeAuth, true, code);
        failure.connection = Some("office".into());
        failure.child = Some("lan".into());
        failure.remote = Some(([192, 0, 2, 7], 500).into());
        failure
    }

    #[test]
    fn every_code_has_words_of_its_own() {
        let codes = "peer.unknown peer.refused config.unknown config.respond_only proposal.encr proposal.integ proposal.prf proposal.ke \
            proposal.esn proposal.esp proposal.ike proposal.other pfs.mismatch auth.psk auth.ppk auth.id auth.failed auth.method auth.signature auth.hash \
            auth.cert.expired auth.cert.not_yet_valid auth.cert.unknown_ca auth.cert.revoked auth.cert.name auth.cert.usage auth.cert.weak \
            auth.cert.missing auth.cert.crl_missing auth.cert.malformed ts.mismatch ts.widened \
            child.refused net.no_response net.no_address net.own_address net.no_route net.filtered net.nat dpd.no_response version.ikev1_peer answer.not_offered \
            answer.malformed message.malformed message.incomplete limit.peer limit.connections limit.per_identity limit.auth_failures limit.compute_queue limit.spis \
            mobike.refused mobike.nat mobike.cookie address.none_left address.not_asked address.refused childless.unsupported \
            lifetime.peer_shorter replay.window mtu.exceeded esp.keys esp.truncation traffic.not_passing";
        let mut seen = std::collections::BTreeSet::new();
        for code in codes.split_whitespace() {
            let (explain, fix) = super::explain(&failure(code));
            assert!(!explain.contains("with the code"), "{code} has no words");
            assert!(explain.ends_with('.') && fix.ends_with('.'), "{code}: {explain} {fix}");
            assert!(seen.insert(explain), "{code} shares its words with another");
        }
    }

    #[test]
    fn a_code_without_words_still_leads_somewhere() {
        let (explain, fix) = explain(&failure("proposal.unheard_of"));
        assert!(explain.contains("combination") && fix.contains("connections.office.proposals"));
        let (explain, fix) = super::explain(&failure("moon.full"));
        assert!(explain.contains("moon.full") && fix.contains("connections.office"));
    }

    #[test]
    fn values_of_both_sides_are_told_and_those_of_the_peer_are_escaped() {
        let failure = failure("proposal.ke");
        let mut failure = failure.between("groups", vec!["modp2048".into()], vec!["modp1024\x1b[2J".into()]);
        failure.notify = Some("NO_PROPOSAL_CHOSEN".into());
        failure.certainty = Certainty::Likely;
        failure.candidates = vec!["proposal.encr", "proposal.ke"];
        let (explain, _) = explain(&failure);
        for part in [
            "Ours: groups modp2048.",
            "modp1024\\u{1b}[2J",
            "NO_PROPOSAL_CHOSEN",
            "not proven",
            "proposal.encr, proposal.ke",
        ] {
            assert!(explain.contains(part), "{part} is not in: {explain}");
        }
    }

    #[test]
    fn a_peer_cannot_fill_the_screen() {
        let failure = failure("ts.mismatch").between("local_ts", vec![], vec!["x".repeat(10_000); 255]);
        assert!(explain(&failure).0.len() < 4000);
    }
}
