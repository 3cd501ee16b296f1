//! Counters on the way of packets through the host: what was seen at one place and not at the next, something between has eaten.
//!
//! The table belongs to the socket that made it and goes with it, whatever becomes of who asked (kernels from 5.12 on; others have no counters).
//! No rule decides anything.
use super::{
    ACCEPT, BITWISE_DREG, BITWISE_LEN, BITWISE_MASK, BITWISE_SREG, BITWISE_XOR, Batch, CHAIN_HOOK, CHAIN_NAME,
    CHAIN_POLICY, CHAIN_TABLE, CHAIN_TYPE, DATA_VALUE, DROP, EXPR_DATA, EXPR_NAME, FAMILY_INET, FAMILY_UNSPEC,
    HOOK_NUMBER, HOOK_PRIORITY, Message, NEWCHAIN, NEWRULE, NEWTABLE, Prefix, REGISTER, RULE_CHAIN, RULE_EXPRESSIONS,
    RULE_TABLE, SUBSYSTEM, TABLE_NAME, address, addresses_at, carries, check_prefix, compare, equals, expression, load,
    mask, meta, network, of_family, open, unsupported,
};
use nix::sys::socket::{MsgFlags, NetlinkAddr, sendto};
use socket2::Socket;
use std::collections::BTreeMap;
use std::io::{self, Read};
use std::os::fd::AsRawFd;

/// A place on the way of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Hook {
    /// It has come in, and its way is not known yet.
    Prerouting,
    /// It is for this host.
    Input,
    /// It is to leave again.
    Forward,
    /// This host has made it.
    Output,
    /// It leaves.
    Postrouting,
}

impl Hook {
    const fn number(self) -> u32 {
        match self {
            Self::Prerouting => 0,
            Self::Input => 1,
            Self::Forward => 2,
            Self::Output => 3,
            Self::Postrouting => 4,
        }
    }
    const fn name(self) -> &'static str {
        match self {
            Self::Prerouting => "prerouting",
            Self::Input => "input",
            Self::Forward => "forward",
            Self::Output => "output",
            Self::Postrouting => "postrouting",
        }
    }
}

/// What a packet must be like to be counted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Test {
    /// Its source is in there.
    From(Prefix),
    /// Its destination is in there.
    To(Prefix),
    /// It came in by this device, or by another one.
    In(String, bool),
    /// It leaves by this device, or by another one.
    Out(String, bool),
    /// It has not this mark.
    NotMarked(u32),
    /// It begins a TCP connection.
    Begins,
    /// It is longer than this, must not be cut, and is no TCP, whose segments may come in one piece and leave in several.
    Longer {
        /// Octets.
        than: u16,
        /// Of IPv6.
        ipv6: bool,
    },
    /// It asks for an echo, by the ICMP of IPv4, or of IPv6.
    Echo {
        /// Of IPv6.
        ipv6: bool,
    },
}

/// One counter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Counter {
    /// Where.
    pub hook: Hook,
    /// Behind everybody else there, instead of before them.
    pub last: bool,
    /// All of these.
    pub tests: Vec<Test>,
}

/// Counters that count until this is dropped.
#[derive(Debug)]
pub struct Counters {
    socket: Socket,
    table: String,
    /// The chain of each, and its place there.
    places: Vec<(String, usize)>,
}

/// Before and behind everybody; the very ends are the kernel's own.
const ENDS: [i32; 2] = [i32::MIN + 1000, i32::MAX - 1000];
/// NFTA_TABLE_FLAGS, and NFT_TABLE_F_OWNER.
const TABLE_FLAGS: u16 = 2;
/// See there.
const OWNER: u32 = 2;
const GETRULE: u16 = SUBSYSTEM | libc::NFT_MSG_GETRULE as u16;
const GETCHAIN: u16 = SUBSYSTEM | libc::NFT_MSG_GETCHAIN as u16;
const COUNTER_PACKETS: u16 = 2;
const TCP: u8 = libc::IPPROTO_TCP as u8;

impl Counters {
    /// Puts them into a table `name` of family inet. `Unsupported` if the kernel has no nftables, or none whose tables go with their owner.
    pub fn place(name: &str, counters: &[Counter]) -> io::Result<Self> {
        let mut batch = Batch::new();
        batch.message(NEWTABLE, libc::NLM_F_CREATE | libc::NLM_F_EXCL, |m| {
            m.text(TABLE_NAME, name);
            m.number(TABLE_FLAGS, OWNER);
        });
        let mut rules = BTreeMap::<(Hook, bool), usize>::new();
        let mut places = Vec::with_capacity(counters.len());
        for counter in counters {
            let (hook, last) = (counter.hook, counter.last);
            let chain = format!("{}-{}", hook.name(), if last { "last" } else { "first" });
            let nth = rules.entry((hook, last)).or_insert_with(|| {
                batch.message(NEWCHAIN, libc::NLM_F_CREATE, |m| base_chain(m, name, &chain, (hook, last)));
                0
            });
            for test in &counter.tests {
                if let Test::From(prefix) | Test::To(prefix) = test {
                    check_prefix(*prefix)?;
                }
            }
            batch.message(NEWRULE, libc::NLM_F_CREATE | libc::NLM_F_APPEND, |m| {
                m.text(RULE_TABLE, name);
                m.text(RULE_CHAIN, &chain);
                m.nested(RULE_EXPRESSIONS, |m| {
                    counter.tests.iter().for_each(|test| passes(m, test));
                    expression(m, "counter", |_| {});
                });
            });
            places.push((chain, *nth));
            *nth += 1;
        }
        let mut socket = open()?;
        batch.commit_on(&mut socket).map_err(unsupported)?;
        Ok(Self { socket, table: name.to_owned(), places })
    }

    /// What each of them has counted, in packets.
    pub fn read(&mut self) -> io::Result<Vec<u64>> {
        let mut found = BTreeMap::<String, Vec<u64>>::new();
        let question = |m: &mut Message| m.text(RULE_TABLE, &self.table);
        dump(&mut self.socket, (GETRULE, FAMILY_INET), question, |_, rule| {
            let chain = of_kind(rule, RULE_CHAIN).map(text).unwrap_or_default();
            let expressions = of_kind(rule, RULE_EXPRESSIONS).unwrap_or_default();
            found.entry(chain).or_default().push(attributes(expressions).filter_map(|(_, e)| packets(e)).sum());
        })?;
        let count = |(chain, nth): &(String, usize)| found.get(chain)?.get(*nth).copied();
        self.places.iter().map(|place| count(place).ok_or_else(|| io::ErrorKind::InvalidData.into())).collect()
    }
}

/// A chain of somebody through which packets go at a hook.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chain {
    /// `ip`, `ip6`, `inet`.
    pub family: &'static str,
    /// Its table.
    pub table: String,
    /// Its name.
    pub name: String,
    /// What none of its rules takes, it drops.
    pub drops: bool,
}

/// Everybody's chains at a hook, in IPv4 and IPv6; but those of tables whose name begins as ours do. What the older iptables have is not among them.
pub fn chains(hook: Hook) -> io::Result<Vec<Chain>> {
    let mut found = Vec::new();
    dump(
        &mut open()?,
        (GETCHAIN, FAMILY_UNSPEC),
        |_| {},
        |family, chain| {
            let name = |kind| of_kind(chain, kind).map(text).unwrap_or_default();
            let family = match i32::from(family) {
                libc::NFPROTO_IPV4 => "ip",
                libc::NFPROTO_IPV6 => "ip6",
                libc::NFPROTO_INET => "inet",
                _ => return,
            };
            let at = of_kind(chain, CHAIN_HOOK).and_then(|at| of_kind(at, HOOK_NUMBER)).and_then(number);
            let table = name(CHAIN_TABLE);
            if at == Some(hook.number()) && !table.starts_with("sandhog") {
                let drops = of_kind(chain, CHAIN_POLICY).and_then(number) == Some(DROP);
                found.push(Chain { family, table, name: name(CHAIN_NAME), drops });
            }
        },
    )?;
    Ok(found)
}

fn base_chain(m: &mut Message, table: &str, name: &str, (hook, last): (Hook, bool)) {
    m.text(CHAIN_TABLE, table);
    m.text(CHAIN_NAME, name);
    m.nested(CHAIN_HOOK, |m| {
        m.number(HOOK_NUMBER, hook.number());
        m.number(HOOK_PRIORITY, ENDS[usize::from(last)] as u32);
    });
    m.number(CHAIN_POLICY, ACCEPT);
    m.text(CHAIN_TYPE, "filter");
}

/// Goes on with the rule if the packet is like this.
fn passes(m: &mut Message, test: &Test) {
    match test {
        Test::From(prefix) => within(m, *prefix, 0),
        Test::To(prefix) => within(m, *prefix, 1),
        Test::In(device, is) => by(m, libc::NFT_META_IIFNAME, device, *is),
        Test::Out(device, is) => by(m, libc::NFT_META_OIFNAME, device, *is),
        Test::NotMarked(mark) => {
            meta(m, libc::NFT_META_MARK as u32);
            compare(m, libc::NFT_CMP_NEQ, &mark.to_ne_bytes());
        }
        Test::Begins => {
            carries(m, TCP, None);
            load(m, REGISTER, libc::NFT_PAYLOAD_TRANSPORT_HEADER as u32, 13, 1);
            // SYN without ACK.
            masked(m, 0x12);
            equals(m, &[0x02]);
        }
        Test::Longer { than, ipv6 } => {
            meta(m, libc::NFT_META_L4PROTO as u32);
            compare(m, libc::NFT_CMP_NEQ, &[TCP]);
            // IPv6 does not count its header, and cuts nothing on the way.
            let (at, than) = if *ipv6 { (4, than.saturating_sub(40)) } else { (2, *than) };
            load(m, REGISTER, libc::NFT_PAYLOAD_NETWORK_HEADER as u32, at, 2);
            compare(m, libc::NFT_CMP_GT, &than.to_be_bytes());
            if !ipv6 {
                load(m, REGISTER, libc::NFT_PAYLOAD_NETWORK_HEADER as u32, 6, 1);
                masked(m, 0x40);
                equals(m, &[0x40]);
            }
        }
        Test::Echo { ipv6 } => {
            let (protocol, request) = if *ipv6 { (libc::IPPROTO_ICMPV6, 128) } else { (libc::IPPROTO_ICMP, 8) };
            carries(m, protocol as u8, None);
            load(m, REGISTER, libc::NFT_PAYLOAD_TRANSPORT_HEADER as u32, 0, 1);
            equals(m, &[request]);
        }
    }
}

/// These bits of the octet in the register.
fn masked(m: &mut Message, bits: u8) {
    expression(m, "bitwise", |m| {
        m.number(BITWISE_SREG, REGISTER);
        m.number(BITWISE_DREG, REGISTER);
        m.number(BITWISE_LEN, 1);
        m.nested(BITWISE_MASK, |m| m.attribute(DATA_VALUE, &[bits]));
        m.nested(BITWISE_XOR, |m| m.attribute(DATA_VALUE, &[0]));
    });
}

/// `end`: source, or destination.
fn within(m: &mut Message, prefix: Prefix, end: usize) {
    let ipv6 = prefix.0.is_ipv6();
    of_family(m, ipv6);
    if prefix.1 > 0 {
        address(m, REGISTER, addresses_at(ipv6)[end], &mask(ipv6, prefix.1));
        equals(m, &network(prefix));
    }
}

fn by(m: &mut Message, key: libc::c_int, device: &str, is: bool) {
    let mut name = [0; libc::IFNAMSIZ];
    let len = device.len().min(libc::IFNAMSIZ - 1);
    name[..len].copy_from_slice(&device.as_bytes()[..len]);
    meta(m, key as u32);
    compare(m, if is { libc::NFT_CMP_EQ } else { libc::NFT_CMP_NEQ }, &name);
}

/// Asks for a list: `each` gets the family of an object, and its attributes.
fn dump(
    socket: &mut Socket,
    (kind, family): (u16, u8),
    question: impl FnOnce(&mut Message),
    mut each: impl FnMut(u8, &[u8]),
) -> io::Result<()> {
    let mut message = Message::default();
    message.header(kind, libc::NLM_F_REQUEST | libc::NLM_F_DUMP, family, 0, 1);
    question(&mut message);
    message.finish(0);
    sendto(socket.as_raw_fd(), &message.0, &NetlinkAddr::new(0, 0), MsgFlags::empty())?;
    let mut buf = vec![0; 65_536];
    loop {
        let len = socket.read(&mut buf)?;
        let mut rest = &buf[..len];
        while let Some(head) = rest.first_chunk::<16>() {
            let size = u32::from_ne_bytes([head[0], head[1], head[2], head[3]]) as usize;
            let kind = i32::from(u16::from_ne_bytes([head[4], head[5]]));
            let body = rest.get(16..size).ok_or(io::ErrorKind::InvalidData)?;
            match (kind, body.first_chunk::<4>()) {
                (libc::NLMSG_DONE, _) => return Ok(()),
                (libc::NLMSG_ERROR, Some(code)) => {
                    let code = i32::from_ne_bytes(*code).saturating_neg();
                    return Err(unsupported(io::Error::from_raw_os_error(code)));
                }
                (_, Some([family, ..])) => each(*family, &body[4..]),
                _ => {}
            }
            rest = rest.get(size.next_multiple_of(4)..).unwrap_or_default();
        }
    }
}

/// What stands in a row of attributes.
fn attributes(mut rest: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    std::iter::from_fn(move || {
        let head = rest.first_chunk::<4>()?;
        let (len, kind) = (usize::from(u16::from_ne_bytes([head[0], head[1]])), u16::from_ne_bytes([head[2], head[3]]));
        let value = rest.get(4..len)?;
        rest = rest.get(len.next_multiple_of(4)..).unwrap_or_default();
        // Without NLA_F_NESTED and NLA_F_NET_BYTEORDER.
        Some((kind & 0x3fff, value))
    })
}

fn of_kind(all: &[u8], wanted: u16) -> Option<&[u8]> {
    attributes(all).find(|(kind, _)| *kind == wanted).map(|(_, value)| value)
}

fn number(value: &[u8]) -> Option<u32> {
    value.first_chunk().map(|octets| u32::from_be_bytes(*octets))
}

fn text(value: &[u8]) -> String {
    String::from_utf8_lossy(value).trim_end_matches('\0').to_owned()
}

/// Of an expression, if it is a counter.
fn packets(element: &[u8]) -> Option<u64> {
    of_kind(element, EXPR_NAME).filter(|name| text(name) == "counter")?;
    let counted = of_kind(of_kind(element, EXPR_DATA)?, COUNTER_PACKETS)?;
    counted.first_chunk().map(|octets| u64::from_be_bytes(*octets))
}

#[cfg(test)]
mod tests {
    use super::super::super::netns::fresh;
    use super::super::exists;
    use super::*;
    use std::net::{TcpListener, TcpStream, UdpSocket};

    fn prefix(text: &str) -> Prefix {
        let (ip, len) = text.split_once('/').expect("prefix");
        (ip.parse().expect("address"), len.parse().expect("length"))
    }

    #[test]
    fn what_passes_is_counted_where_it_passes_and_the_table_goes_with_its_owner() {
        fresh(|| {
            let counter = |hook, last, tests: &[Test]| Counter { hook, last, tests: tests.to_vec() };
            let (lo, other) = (|is| Test::Out("lo".into(), is), || Test::To(prefix("127.0.1.0/24")));
            let mut counters = Counters::place(
                "sandhog-count",
                &[
                    counter(Hook::Output, false, &[Test::From(prefix("127.0.0.0/8")), other()]),
                    counter(Hook::Input, true, &[Test::In("lo".into(), true), other()]),
                    counter(Hook::Output, false, &[other(), lo(false)]),
                    counter(Hook::Postrouting, true, &[other(), lo(true), Test::NotMarked(9)]),
                    counter(Hook::Output, false, &[Test::To(prefix("::/0"))]),
                    counter(Hook::Output, false, &[Test::Begins]),
                    counter(Hook::Output, false, &[Test::Longer { than: 927, ipv6: false }, other()]),
                    counter(Hook::Output, false, &[Test::Longer { than: 928, ipv6: false }, other()]),
                ],
            )
            .expect("place");
            assert!(exists("sandhog-count").expect("exists"));
            let sender = UdpSocket::bind("127.0.0.1:0").expect("bind");
            for _ in 0..3 {
                sender.send_to(b"?", "127.0.1.7:9").expect("send");
            }
            sender.send_to(b"?", "127.0.2.7:9").expect("send");
            sender.send_to(&[0; 900], "127.0.1.7:9").expect("send");
            let listener = TcpListener::bind("127.0.2.1:0").expect("listen");
            let _client = TcpStream::connect(listener.local_addr().expect("address")).expect("connect");
            assert_eq!(counters.read().expect("read"), [4, 4, 0, 4, 0, 1, 1, 0]);
            drop(counters);
            assert!(!exists("sandhog-count").expect("gone"));
        });
    }

    #[test]
    fn chains_of_others_are_listed_with_their_policy() {
        fresh(|| {
            let mut batch = Batch::new();
            for (name, policy) in [("theirs", DROP), ("sandhog", DROP), ("open", ACCEPT)] {
                batch.message(NEWTABLE, libc::NLM_F_CREATE, |m| m.text(TABLE_NAME, name));
                batch.message(NEWCHAIN, libc::NLM_F_CREATE, |m| {
                    m.text(CHAIN_TABLE, name);
                    m.text(CHAIN_NAME, "FORWARD");
                    m.nested(CHAIN_HOOK, |m| {
                        m.number(HOOK_NUMBER, Hook::Forward.number());
                        m.number(HOOK_PRIORITY, 0);
                    });
                    m.number(CHAIN_POLICY, policy);
                    m.text(CHAIN_TYPE, "filter");
                });
            }
            batch.commit().expect("tables");
            let mut found = chains(Hook::Forward).expect("list");
            found.sort_by(|a, b| a.table.cmp(&b.table));
            let said: Vec<_> = found.iter().map(|c| (c.family, &*c.table, &*c.name, c.drops)).collect();
            assert_eq!(said, [("inet", "open", "FORWARD", false), ("inet", "theirs", "FORWARD", true)]);
            assert_eq!(chains(Hook::Input).expect("list"), []);
        });
    }

    #[test]
    fn answers_that_are_cut_off_end_nothing_but_themselves() {
        assert_eq!(attributes(&[8, 0, 1]).count(), 0);
        assert_eq!(attributes(&[9, 0, 1, 0, 5, 5]).count(), 0);
        assert_eq!(attributes(&[2, 0, 1, 0, 5, 5, 0, 0]).count(), 0, "shorter than its head");
        let good = [5, 0, 1, 0x80, 7, 0, 0, 0, 4, 0, 2, 0];
        assert_eq!(attributes(&good).collect::<Vec<_>>(), [(1, &[7][..]), (2, &[][..])]);
        assert_eq!((number(&[1, 2]), packets(&good)), (None, None));
    }
}
