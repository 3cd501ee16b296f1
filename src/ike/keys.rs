//! Key material, a type per stage: `HandshakeKeys` after IKE_SA_INIT, and of them only `SkD` and the `Channel` once the peer is authenticated
//! (RFC 7296 sections 2.13, 2.14 and 2.17).
use super::auth::Authenticated;
use super::channel::Channel;
use super::event::DirectionKeys;
use super::negotiate::IkeSuite;
use crate::crypto::cipher::Cipher;
use crate::crypto::prf::Prf;
use crate::crypto::rng::Rng;
use crate::crypto::secret::Secret;
use crate::frozen::frozen;
use crate::wire::message::IkeSpi;

/// Both sides' contributions to the keys of an IKE SA.
#[derive(Clone, Copy, Debug)]
pub(super) struct Contributions<'a> {
    /// The initiator's nonce.
    pub ni: &'a [u8],
    /// The responder's nonce.
    pub nr: &'a [u8],
    /// The initiator's SPI.
    pub spi_i: IkeSpi,
    /// The responder's SPI.
    pub spi_r: IkeSpi,
}

/// What both ends have after IKE_SA_INIT, before anybody is authenticated.
pub(super) struct HandshakeKeys {
    prf: Prf,
    sk_d: Secret,
    sk_pi: Secret,
    sk_pr: Secret,
    /// Protects what follows: the next IKE_INTERMEDIATE, or IKE_AUTH and everything after it.
    pub channel: Channel,
    said: Said,
}
/// What a post-quantum pre-shared key makes of some keys.
pub(super) struct PpkKeys {
    sk_d: Secret,
    sk_pi: Secret,
    sk_pr: Secret,
}
impl PpkKeys {
    /// The key that binds one side's identity to this IKE SA.
    pub(super) fn sk_p(&self, initiator: bool) -> &Secret {
        if initiator { &self.sk_pi } else { &self.sk_pr }
    }
}
/// What has been said in intermediate exchanges.
#[derive(Default)]
struct Said {
    exchanges: u32,
    /// IntAuth_iN of RFC 9242.
    initiator: Secret,
    /// IntAuth_rN.
    responder: Secret,
}
frozen! {
    struct HandshakeKeys { prf, sk_d, sk_pi, sk_pr, channel, said }
    struct PpkKeys { sk_d, sk_pi, sk_pr }
    struct Said { exchanges, initiator, responder }
    struct SkD { prf, key }
}
impl HandshakeKeys {
    /// SKEYSEED = prf(Ni | Nr, g^ir), and SK_d, SK_ai, SK_ar, SK_ei, SK_er, SK_pi, SK_pr from it, in this order.
    pub(super) fn derive(
        suite: &IkeSuite,
        g_ir: &Secret,
        from: &Contributions<'_>,
        initiator: bool,
        rng: &mut dyn Rng,
    ) -> Self {
        let seed = suite.prf.skeyseed(from.ni, from.nr, g_ir);
        Self::expand(suite, &seed, from, initiator, rng)
    }
    /// All keys of an IKE SA from its SKEYSEED.
    fn expand(suite: &IkeSuite, seed: &Secret, from: &Contributions<'_>, initiator: bool, rng: &mut dyn Rng) -> Self {
        let (prf, cipher) = (suite.prf, suite.cipher);
        let (a, e, p) = (cipher.integ_key_len(), cipher.encr_key_len(), prf.len());
        let all = prf.plus(seed.expose(), &[from.ni, from.nr, &from.spi_i.0, &from.spi_r.0], 3 * p + 2 * a + 2 * e);
        let mut cut = Cut(all.expose());
        let sk_d = cut.secret(p);
        let (ai, ar) = (cut.secret(a), cut.secret(a));
        let (ei, er) = (cut.secret(e), cut.secret(e));
        let (sk_pi, sk_pr) = (cut.secret(p), cut.secret(p));
        let channel = if initiator {
            Channel::new(cipher, (&ei, &ai), (&er, &ar), rng)
        } else {
            Channel::new(cipher, (&er, &ar), (&ei, &ai), rng)
        };
        Self { prf, sk_d, sk_pi, sk_pr, channel, said: Said::default() }
    }
    /// The keys after one more key exchange: SKEYSEED(n) = prf(SK_d(n-1), SK(n) | Ni | Nr) (RFC 9370 section 2.2.2). What the initiator and the
    /// responder have said in it goes into IntAuth by the SK_p that were in force (RFC 9242 section 3.3.2). Returns the old channel, too.
    pub(super) fn mix(
        self,
        suite: &IkeSuite,
        secret: &Secret,
        from: &Contributions<'_>,
        said: (&[u8], &[u8]),
        initiator: bool,
        rng: &mut dyn Rng,
    ) -> (Self, Channel) {
        let chained = |key: &Secret, before: &Secret, now| self.prf.mac(key.expose(), &[before.expose(), now]);
        let said = Said {
            exchanges: self.said.exchanges + 1,
            initiator: chained(&self.sk_pi, &self.said.initiator, said.0),
            responder: chained(&self.sk_pr, &self.said.responder, said.1),
        };
        let seed = self.prf.mac(self.sk_d.expose(), &[secret.expose(), from.ni, from.nr]);
        (Self { said, ..Self::expand(suite, &seed, from, initiator, rng) }, self.channel)
    }
    /// IntAuth of RFC 9242 section 3.3.2, with the message id that IKE_AUTH has; empty if there was no intermediate exchange.
    pub(super) fn int_auth(&self) -> Vec<u8> {
        if self.said.exchanges == 0 {
            return Vec::new();
        }
        let id = (self.said.exchanges + 1).to_be_bytes();
        [self.said.initiator.expose(), self.said.responder.expose(), &id].concat()
    }
    /// SK_d, SK_pi and SK_pr with a post-quantum pre-shared key in them: prf+(PPK, SK_..) (RFC 8784 section 3).
    pub(super) fn with_ppk(&self, ppk: &Secret) -> PpkKeys {
        let stir = |key: &Secret| self.prf.plus(ppk.expose(), &[key.expose()], key.len());
        PpkKeys { sk_d: stir(&self.sk_d), sk_pi: stir(&self.sk_pi), sk_pr: stir(&self.sk_pr) }
    }
    /// Goes on with them.
    pub(super) fn take_ppk(&mut self, keys: PpkKeys) {
        (self.sk_d, self.sk_pi, self.sk_pr) = (keys.sk_d, keys.sk_pi, keys.sk_pr);
    }
    /// The key that binds one side's identity to this IKE SA.
    pub(super) fn sk_p(&self, initiator: bool) -> &Secret {
        if initiator { &self.sk_pi } else { &self.sk_pr }
    }
    /// The negotiated PRF.
    pub(super) fn prf(&self) -> Prf {
        self.prf
    }
    /// What an established IKE SA keeps.
    pub(super) fn established(self, _proof: &Authenticated) -> (SkD, Channel) {
        (SkD { prf: self.prf, key: self.sk_d }, self.channel)
    }
}

/// SK_d of an established IKE SA: what children's keys are made of.
pub(super) struct SkD {
    prf: Prf,
    key: Secret,
}
impl SkD {
    /// KEYMAT = prf+(SK_d, SK(0) | Ni | Nr | SK(1) | ..), where the secrets are those of the key exchanges that made the child: none without
    /// PFS, one as in RFC 7296 section 2.17, more as in RFC 9370 section 2.2.4. First come all keys of the direction from the initiator of
    /// this exchange, then the others; in each encryption before integrity. Returns (initiator to responder, responder to initiator).
    pub(super) fn child(
        &self,
        cipher: Cipher,
        secrets: &[Secret],
        ni: &[u8],
        nr: &[u8],
    ) -> (DirectionKeys, DirectionKeys) {
        let (e, a) = (cipher.encr_key_len(), cipher.integ_key_len());
        let all = self.prf.plus(self.key.expose(), &mixed(secrets, ni, nr), 2 * (e + a));
        let mut cut = Cut(all.expose());
        let forth = DirectionKeys { encr: cut.secret(e), integ: cut.secret(a) };
        let back = DirectionKeys { encr: cut.secret(e), integ: cut.secret(a) };
        (forth, back)
    }
    /// Keys of the IKE SA that takes this one's place: SKEYSEED = prf(SK_d, SK(0) | Ni | Nr | SK(1) | ..) by the *old* PRF, and from it all keys
    /// by the new suite's (RFC 7296 section 2.18, RFC 9370 section 2.2.4). `initiator`: we asked for this rekey.
    pub(super) fn rekey(
        &self,
        suite: &IkeSuite,
        secrets: &[Secret],
        from: &Contributions<'_>,
        initiator: bool,
        rng: &mut dyn Rng,
    ) -> (Self, Channel) {
        let seed = self.prf.mac(self.key.expose(), &mixed(secrets, from.ni, from.nr));
        let keys = HandshakeKeys::expand(suite, &seed, from, initiator, rng);
        (Self { prf: keys.prf, key: keys.sk_d }, keys.channel)
    }
    /// Its PRF: that of every IKE SA that descends from this one.
    pub(super) fn prf(&self) -> Prf {
        self.prf
    }
}

/// SK(0) | Ni | Nr | SK(1) | .. of RFC 9370; with one secret it is the order of RFC 7296.
fn mixed<'a>(secrets: &'a [Secret], ni: &'a [u8], nr: &'a [u8]) -> Vec<&'a [u8]> {
    let (first, further) = secrets.split_at(secrets.len().min(1));
    let parts = first.iter().map(Secret::expose).chain([ni, nr]);
    parts.chain(further.iter().map(Secret::expose)).collect()
}

/// Cuts key material from the front.
struct Cut<'a>(&'a [u8]);
impl Cut<'_> {
    fn secret(&mut self, len: usize) -> Secret {
        let (head, tail) = self.0.split_at(len);
        self.0 = tail;
        Secret::new(head.to_vec())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto::cipher::PacketKey;
    use crate::crypto::rng::SeededRng;
    use crate::ike::channel::OpenError;
    use crate::ike::negotiate::EspSuite;
    use crate::wire::keyword;
    use crate::wire::message::{Header, ParseError};
    use crate::wire::payload::{Notify, Payload, Proposal};
    use crate::wire::registry::{ExchangeType, NotifyType, PayloadType, ProtocolId};
    use std::time::Duration;

    const SUITES: [&str; 8] = [
        "aes256-sha512-prfsha256-x25519",
        "aes128-sha1-modp1024",
        "aes192-sha384-modp2048",
        "aes256gcm16-prfsha384-x25519",
        "chacha20poly1305-prfsha512-x25519",
        "aes256ccm8-prfaescmac-ecp521",
        "aes192gcm12-prfaesxcbc-x25519",
        "aes128-aesxcbc-modp2048",
    ];
    fn suite(s: &str) -> (IkeSuite, Proposal) {
        let p = keyword::parse(ProtocolId::IKE, s).unwrap();
        (IkeSuite::of(&p).unwrap(), p)
    }
    const FROM: Contributions<'_> =
        Contributions { ni: &[1; 32], nr: &[2; 20], spi_i: IkeSpi([3; 8]), spi_r: IkeSpi([4; 8]) };
    fn keys(suite: &IkeSuite, initiator: bool) -> HandshakeKeys {
        let g_ir = Secret::new(vec![5; suite.group.public_len()]);
        HandshakeKeys::derive(suite, &g_ir, &FROM, initiator, &mut SeededRng::new(9))
    }
    fn header() -> Header {
        Header {
            spi_i: FROM.spi_i,
            spi_r: FROM.spi_r,
            first: PayloadType::NONE,
            version: (2, 0),
            exchange: ExchangeType::INFORMATIONAL,
            initiator: true,
            response: false,
            id: 7,
            length: 0,
        }
    }
    fn open(channel: &mut Channel, data: &[u8]) -> Result<Vec<Payload>, OpenError> {
        let opened = channel.open_within(Duration::ZERO, 65_536, data)?;
        opened.inner.payloads().map_err(OpenError::Inside)
    }
    fn seal(channel: &mut Channel, payloads: &[Payload]) -> Vec<u8> {
        channel.seal(header(), payloads, usize::MAX).datagrams()[0].clone()
    }

    /// SK_d | SK_ai | SK_ar | SK_ei | SK_er | SK_pi | SK_pr (RFC 7296 section 2.14), cut by hand.
    #[test]
    fn the_keys_of_an_ike_sa_stand_in_the_order_of_the_rfc() {
        for name in SUITES {
            let (suite, _) = suite(name);
            let (p, a, e) = (suite.prf.len(), suite.cipher.integ_key_len(), suite.cipher.encr_key_len());
            // Of the nonces the AES PRFs take 8 octets each.
            let first = if p == 16 { 8 } else { 32 };
            let key = [&[1; 32][..first], &[2; 20][..first.min(20)]].concat();
            let seed = suite.prf.mac(&key, &[&vec![5; suite.group.public_len()]]);
            let parts: [&[u8]; 4] = [&[1; 32], &[2; 20], &[3; 8], &[4; 8]];
            let all = suite.prf.plus(seed.expose(), &parts, 3 * p + 2 * a + 2 * e);
            let all = all.expose();
            let mut ours = keys(&suite, true);
            assert_eq!(ours.sk_d.expose(), &all[..p], "{name}");
            let at = p + 2 * a + 2 * e;
            assert_eq!((ours.sk_pi.expose(), ours.sk_pr.expose()), (&all[at..at + p], &all[at + p..]), "{name}");
            let (ai, ei) = (&all[p..p + a], &all[p + 2 * a..p + 2 * a + e]);
            let by_hand = PacketKey::new(suite.cipher, ei, ai, [0; 16]);
            let mut sealed = seal(&mut ours.channel, &[]);
            let (aad, body) = sealed.split_at_mut(32);
            assert!(by_hand.open(aad, body, &[]).is_ok(), "{name}: SK_ai, SK_ei");
            let (ar, er) = (&all[p + a..p + 2 * a], &all[p + 2 * a + e..p + 2 * a + 2 * e]);
            let by_hand = PacketKey::new(suite.cipher, er, ar, [0; 16]);
            let mut sealed = seal(&mut keys(&suite, false).channel, &[]);
            let (aad, body) = sealed.split_at_mut(32);
            assert!(by_hand.open(aad, body, &[]).is_ok(), "{name}: SK_ar, SK_er");
        }
    }

    /// SKEYSEED(n) = prf(SK_d(n-1), SK(n) | Ni | Nr), and IntAuth by the SK_p from before (RFC 9370 section 2.2.2, RFC 9242 section 3.3.2).
    #[test]
    fn each_intermediate_exchange_makes_new_keys_and_is_remembered_by_the_old_ones() {
        let (suite, _) = suite(SUITES[0]);
        let mix = |keys: HandshakeKeys, n: u8, initiator| {
            let (i, r) = (vec![n, 1], vec![n, 2]);
            keys.mix(&suite, &Secret::new(vec![n; 32]), &FROM, (&i, &r), initiator, &mut SeededRng::new(9)).0
        };
        let first = keys(&suite, true);
        assert!(first.int_auth().is_empty());
        let (sk_d, sk_pi, sk_pr) = (first.sk_d.clone(), first.sk_pi.clone(), first.sk_pr.clone());
        let second = mix(first, 7, true);
        let nonces = [[1; 32].as_slice(), &[2; 20]].concat();
        let seed = suite.prf.mac(sk_d.expose(), &[&[7; 32], &nonces]);
        let all = suite.prf.plus(seed.expose(), &[&nonces, &[3; 8], &[4; 8]], suite.prf.len());
        assert_eq!(second.sk_d.expose(), all.expose());
        let (i1, r1) = (suite.prf.mac(sk_pi.expose(), &[&[7, 1]]), suite.prf.mac(sk_pr.expose(), &[&[7, 2]]));
        assert_eq!(second.int_auth(), [i1.expose(), r1.expose(), &[0, 0, 0, 2]].concat());
        let (sk_pi, sk_pr) = (second.sk_pi.clone(), second.sk_pr.clone());
        let mut third = mix(second, 8, true);
        let i2 = suite.prf.mac(sk_pi.expose(), &[i1.expose(), &[8, 1]]);
        let r2 = suite.prf.mac(sk_pr.expose(), &[r1.expose(), &[8, 2]]);
        assert_eq!(third.int_auth(), [i2.expose(), r2.expose(), &[0, 0, 0, 3]].concat());
        let mut theirs = mix(mix(keys(&suite, false), 7, false), 8, false);
        assert_eq!(theirs.int_auth(), third.int_auth());
        let sealed = third.channel.seal(header(), &[], usize::MAX);
        assert_eq!(open(&mut theirs.channel, &sealed.datagrams()[0]).unwrap(), []);
    }

    /// RFC 8784 section 3, for PRFs whose output is as long as their key.
    #[test]
    fn a_ppk_changes_what_authenticates_and_what_children_grow_from_but_not_the_channel() {
        let (suite, _) = suite(SUITES[0]);
        let (mut ours, mut theirs) = (keys(&suite, true), keys(&suite, false));
        let ppk = Secret::new(b"a post-quantum pre-shared key of any length".to_vec());
        let stirred =
            [&ours.sk_d, &ours.sk_pi, &ours.sk_pr].map(|key| suite.prf.mac(ppk.expose(), &[key.expose(), &[1]]));
        let with = ours.with_ppk(&ppk);
        assert_eq!(with.sk_p(true).expose(), stirred[1].expose());
        assert_eq!(with.sk_p(false).expose(), stirred[2].expose());
        ours.take_ppk(with);
        assert_eq!([&ours.sk_d, &ours.sk_pi, &ours.sk_pr].map(Secret::expose), stirred.each_ref().map(Secret::expose));
        let sealed = ours.channel.seal(header(), &[], usize::MAX);
        assert_eq!(open(&mut theirs.channel, &sealed.datagrams()[0]).unwrap(), []);
    }

    /// [SK(0) |] Ni | Nr [| SK(1) ..]; all keys of initiator to responder first, encryption before integrity (RFC 7296 section 2.17).
    #[test]
    fn the_keys_of_a_child_stand_in_the_order_of_the_rfc() {
        let (ike, _) = suite(SUITES[0]);
        let esp = keyword::parse(ProtocolId::ESP, "aes256-sha384").unwrap();
        let cipher = EspSuite::of(&esp).unwrap().cipher;
        let sk_d = keys(&ike, true).sk_d;
        let secrets = [8, 9, 10].map(|n| Secret::new(vec![n; 32]));
        for (n, parts) in [
            (0, [[1; 16], [2; 16]].concat()),
            (1, [vec![8; 32], vec![1; 16], vec![2; 16]].concat()),
            (3, [vec![8; 32], vec![1; 16], vec![2; 16], vec![9; 32], vec![10; 32]].concat()),
        ] {
            let (forth, back) =
                SkD { prf: ike.prf, key: sk_d.clone() }.child(cipher, &secrets[..n], &[1; 16], &[2; 16]);
            let all = ike.prf.plus(sk_d.expose(), &[&parts], 2 * (32 + 48));
            let cut = [&forth.encr, &forth.integ, &back.encr, &back.integ].map(Secret::expose).concat();
            assert_eq!(cut, all.expose());
            assert_eq!((forth.encr.len(), forth.integ.len()), (32, 48));
        }
    }

    /// SKEYSEED = prf(SK_d, g^ir | Ni | Nr [| SK(1) ..]) with the PRF of the old one, the rest as ever (RFC 7296 section 2.18).
    #[test]
    fn the_keys_of_a_rekeyed_ike_sa_grow_from_the_old_one() {
        let ((old, _), (new, _)) = (suite(SUITES[3]), suite(SUITES[0]));
        let sk_d = keys(&old, true).sk_d;
        let secrets = [8, 9].map(|n| Secret::new(vec![n; 32]));
        for (n, parts) in [
            (1, [vec![8; 32], vec![1; 32], vec![2; 20]].concat()),
            (2, [vec![8; 32], vec![1; 32], vec![2; 20], vec![9; 32]].concat()),
        ] {
            let rekey = |initiator| {
                let old = SkD { prf: old.prf, key: sk_d.clone() };
                old.rekey(&new, &secrets[..n], &FROM, initiator, &mut SeededRng::new(9))
            };
            let ((ours, mut i), (theirs, mut r)) = (rekey(true), rekey(false));
            let seed = old.prf.mac(sk_d.expose(), &[&parts]);
            let spis: [&[u8]; 4] = [&[1; 32], &[2; 20], &[3; 8], &[4; 8]];
            let all = new.prf.plus(seed.expose(), &spis, new.prf.len());
            assert_eq!((ours.key.expose(), ours.prf()), (all.expose(), new.prf));
            assert_eq!(theirs.key.expose(), all.expose());
            let sealed = seal(&mut i, &[]);
            assert_eq!(open(&mut r, &sealed).unwrap(), []);
        }
    }

    #[test]
    fn what_one_seals_only_the_other_opens_and_not_when_it_was_touched() {
        for name in SUITES {
            let (suite, _) = suite(name);
            let (mut i, mut r) = (keys(&suite, true).channel, keys(&suite, false).channel);
            for len in 0..40 {
                let inside = vec![Payload::Notify(Notify::new(NotifyType::COOKIE2, vec![7; len]))];
                let data = seal(&mut i, &inside);
                assert_eq!(open(&mut r, &data).unwrap(), inside, "{name}");
                assert_eq!(open(&mut i, &data), Err(OpenError::Icv), "{name}: a reflected message");
            }
            let data = seal(&mut i, &[]);
            assert_eq!(open(&mut r, &data).unwrap(), [], "{name}: an empty one");
            for at in 0..data.len() {
                let mut bad = data.clone();
                bad[at] ^= 1;
                assert_eq!(open(&mut r, &bad).err(), Some(OpenError::Icv), "{name}: octet {at}");
            }
            let again = seal(&mut i, &[]);
            assert_ne!(data[32..40], again[32..40], "{name}: another IV each time");
        }
    }

    #[test]
    fn a_pad_length_beyond_the_plaintext_is_a_syntax_error() {
        let (suite, _) = suite(SUITES[3]);
        let (i, mut r) = (keys(&suite, true).channel, keys(&suite, false).channel);
        // 8 octets of IV, one of plaintext: the pad length, 200.
        let mut header = header();
        header.first = PayloadType::SK;
        header.length = 28 + 4 + 8 + 1 + 16;
        let mut message = header.encode().to_vec();
        message.extend([0, 0, 0, 29]);
        message.extend([0; 8]);
        message.push(200);
        message.extend([0; 16]);
        let (aad, buf) = message.split_at_mut(32);
        i.sealing().seal(1000, aad, buf, &[]);
        assert!(matches!(open(&mut r, &message), Err(OpenError::Inside(ParseError::Syntax(_)))));
    }
}
