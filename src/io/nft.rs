//! The guard against clear text from outside: one nftables table that drops packets which should have come through a tunnel.
//!
//! Spoken to the kernel directly (NETLINK_NETFILTER, as in `linux/netfilter/nf_tables.h`), so that a host needs no `nft` program.
//!
//! Every packet of the host meets the table, so pairs are not rules: those whose prefixes have the same two lengths are one set, in which a
//! packet's masked addresses are looked up. What a packet costs grows with the number of such shapes, never with the number of pairs, and
//! pairs may overlap as they like (the kernel's interval sets refuse that).
pub mod count;

use super::sys::context;
use nix::sys::socket::{MsgFlags, NetlinkAddr, sendto, setsockopt, sockopt};
use socket2::{Domain, Protocol, Socket, Type};
use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Read};
use std::net::IpAddr;
use std::os::fd::AsRawFd;

/// An address and the length of its prefix.
pub type Prefix = (IpAddr, u8);

/// A pair of prefixes of one family, as an inbound packet carries them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Pair {
    /// Of the source address (a child's remote_ts).
    pub source: Prefix,
    /// Of the destination address (a child's local_ts).
    pub destination: Prefix,
}

/// Packets to the gateway itself that may always come from outside, such as those that carry the tunnel where `protected` covers the outer addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Open {
    /// Destinations.
    pub destination: Prefix,
    /// IP protocol: 50 for ESP, 17 for UDP (in IPv6 without extension headers).
    pub protocol: u8,
    /// Destination port, for protocols that have one there (not looked at in later fragments: those do not match).
    pub port: Option<u16>,
}

/// What the table holds. In order: packets that came in by `lo` or one of `devices` pass; so does IPv6 neighbour discovery, which no router
/// forwards, or a peer on our own link whose address is protected could not be found; `open` and `exceptions` pass; `protected` are counted
/// and dropped; the rest passes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Guard {
    /// Names of our TUN devices.
    pub devices: Vec<String>,
    /// What the gateway itself receives.
    pub open: Vec<Open>,
    /// Pairs that may come in the clear (`mode = "pass"`).
    pub exceptions: Vec<Pair>,
    /// Pairs that may not.
    pub protected: Vec<Pair>,
}

/// Puts the table `name` of family inet into place, instead of what it held before, in one transaction. A prefix longer than its family
/// allows and a pair of two families are `InvalidInput`; `Unsupported` if the kernel has no nftables.
pub fn replace(name: &str, guard: &Guard) -> io::Result<()> {
    let mut batch = Batch::new();
    // Deleting what does not exist would fail the transaction.
    batch.message(NEWTABLE, libc::NLM_F_CREATE, |m| m.text(TABLE_NAME, name));
    batch.message(DELTABLE, 0, |m| m.text(TABLE_NAME, name));
    batch.message(NEWTABLE, libc::NLM_F_CREATE, |m| m.text(TABLE_NAME, name));
    batch.message(NEWCHAIN, libc::NLM_F_CREATE, |m| {
        m.text(CHAIN_TABLE, name);
        m.text(CHAIN_NAME, CHAIN);
        m.nested(CHAIN_HOOK, |m| {
            m.number(HOOK_NUMBER, PRE_ROUTING);
            m.number(HOOK_PRIORITY, RAW_PRIORITY as u32);
        });
        m.number(CHAIN_POLICY, ACCEPT);
        m.text(CHAIN_TYPE, "filter");
    });
    for device in std::iter::once("lo").chain(guard.devices.iter().map(String::as_str)) {
        batch.rule(name, |m| {
            came_in_by(m, device);
            verdict(m, ACCEPT);
        });
    }
    batch.rule(name, |m| {
        discovers_neighbours(m);
        verdict(m, ACCEPT);
    });
    for open in &guard.open {
        check_prefix(open.destination)?;
        batch.rule(name, |m| {
            addressed(m, open.destination);
            carries(m, open.protocol, open.port);
            verdict(m, ACCEPT);
        });
    }
    for (kind, pairs, drop) in [("exceptions", &guard.exceptions, false), ("protected", &guard.protected, true)] {
        for (shape, keys) in by_shape(pairs)? {
            let set =
                format!("{kind}-{}-{}-{}", if shape.ipv6 { "ip6" } else { "ip" }, shape.source, shape.destination);
            let id = batch.set(name, &set, shape, &keys, drop);
            batch.rule(name, |m| {
                among(m, shape, &set, id);
                if drop {
                    expression(m, "counter", |_| {});
                }
                verdict(m, if drop { DROP } else { ACCEPT });
            });
        }
    }
    batch.commit().map_err(|e| context(&e, format_args!("nftables table {name}")))
}

/// Removes the table `name`. False if there was none.
pub fn delete(name: &str) -> io::Result<bool> {
    let mut batch = Batch::new();
    batch.message(DELTABLE, 0, |m| m.text(TABLE_NAME, name));
    match batch.commit() {
        Ok(()) => Ok(true),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(e) => Err(context(&e, format_args!("delete nftables table {name}"))),
    }
}

/// Whether there is a table `name` of family inet.
pub fn exists(name: &str) -> io::Result<bool> {
    let mut message = Message::default();
    message.header(GETTABLE, libc::NLM_F_REQUEST | libc::NLM_F_ACK, FAMILY_INET, 0, 1);
    message.text(TABLE_NAME, name);
    message.finish(0);
    match transact(&message.0, 1) {
        Ok(()) => Ok(true),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(e) => Err(context(&e, "nftables")),
    }
}

fn check_prefix((ip, len): Prefix) -> io::Result<()> {
    let longest = if ip.is_ipv6() { 128 } else { 32 };
    if len <= longest {
        Ok(())
    } else {
        Err(io::Error::new(io::ErrorKind::InvalidInput, format!("{ip}/{len} is no prefix")))
    }
}

fn check_pair(pair: &Pair) -> io::Result<()> {
    check_prefix(pair.source)?;
    check_prefix(pair.destination)?;
    if pair.source.0.is_ipv6() == pair.destination.0.is_ipv6() {
        return Ok(());
    }
    Err(io::Error::new(
        io::ErrorKind::InvalidInput,
        format!("{} and {} are of two families", pair.source.0, pair.destination.0),
    ))
}

/// What pairs of one set have in common.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Shape {
    ipv6: bool,
    /// Length of the prefix.
    source: u8,
    /// Length of the prefix.
    destination: u8,
}

/// Pairs as their sets have them: the networks' octets, source before destination.
fn by_shape(pairs: &[Pair]) -> io::Result<BTreeMap<Shape, BTreeSet<Vec<u8>>>> {
    let mut found = BTreeMap::<_, BTreeSet<_>>::new();
    for pair in pairs {
        check_pair(pair)?;
        let shape = Shape { ipv6: pair.source.0.is_ipv6(), source: pair.source.1, destination: pair.destination.1 };
        found.entry(shape).or_default().insert([pair.source, pair.destination].map(network).concat());
    }
    Ok(found)
}

fn network((ip, len): Prefix) -> Vec<u8> {
    let and = |octets: &[u8]| octets.iter().zip(mask(ip.is_ipv6(), len)).map(|(a, m)| a & m).collect();
    match ip {
        IpAddr::V4(ip) => and(&ip.octets()),
        IpAddr::V6(ip) => and(&ip.octets()),
    }
}

fn mask(ipv6: bool, len: u8) -> Vec<u8> {
    let len = u32::from(len);
    if ipv6 {
        u128::MAX.checked_shl(128 - len).unwrap_or_default().to_be_bytes().to_vec()
    } else {
        u32::MAX.checked_shl(32 - len).unwrap_or_default().to_be_bytes().to_vec()
    }
}

const CHAIN: &str = "guard";
const PRE_ROUTING: u32 = 0;
/// Before connection tracking and everybody else's rules.
const RAW_PRIORITY: i32 = -300;
const DROP: u32 = 0;
const ACCEPT: u32 = 1;

// Expressions of a rule. All work on register 1, but for the two addresses of a pair, which lie from there on.

/// Devices by name, so that the rule holds for a device that comes later.
fn came_in_by(m: &mut Message, device: &str) {
    let mut name = [0; libc::IFNAMSIZ];
    let len = device.len().min(libc::IFNAMSIZ - 1);
    name[..len].copy_from_slice(&device.as_bytes()[..len]);
    meta(m, libc::NFT_META_IIFNAME as u32);
    equals(m, &name);
}

/// Packets to these addresses.
fn addressed(m: &mut Message, destination: Prefix) {
    let ipv6 = destination.0.is_ipv6();
    of_family(m, ipv6);
    address(m, REGISTER, addresses_at(ipv6)[1], &mask(ipv6, destination.1));
    equals(m, &network(destination));
}

/// Packets whose addresses, masked to this shape, are in the set.
fn among(m: &mut Message, shape: Shape, set: &str, id: u32) {
    of_family(m, shape.ipv6);
    let mut register = REGISTER;
    for (offset, len) in addresses_at(shape.ipv6).into_iter().zip([shape.source, shape.destination]) {
        let mask = mask(shape.ipv6, len);
        address(m, register, offset, &mask);
        register += mask.len() as u32 / 4;
    }
    expression(m, "lookup", |m| {
        m.text(LOOKUP_SET, set);
        m.number(LOOKUP_SREG, REGISTER);
        m.number(LOOKUP_SET_ID, id);
    });
}

fn of_family(m: &mut Message, ipv6: bool) {
    meta(m, libc::NFT_META_NFPROTO as u32);
    equals(m, &[if ipv6 { libc::NFPROTO_IPV6 } else { libc::NFPROTO_IPV4 } as u8]);
}

/// Where source and destination begin in the header.
fn addresses_at(ipv6: bool) -> [u32; 2] {
    if ipv6 { [8, 24] } else { [12, 16] }
}

/// From a neighbour: with another hop limit it came over a router, and is no neighbour discovery (RFC 4861 section 6.1.1 and the like).
fn discovers_neighbours(m: &mut Message) {
    meta(m, libc::NFT_META_NFPROTO as u32);
    equals(m, &[libc::NFPROTO_IPV6 as u8]);
    carries(m, libc::IPPROTO_ICMPV6 as u8, None);
    load(m, REGISTER, libc::NFT_PAYLOAD_NETWORK_HEADER as u32, 7, 1);
    equals(m, &[255]);
    // From router solicitation to redirect.
    load(m, REGISTER, libc::NFT_PAYLOAD_TRANSPORT_HEADER as u32, 0, 1);
    compare(m, libc::NFT_CMP_GTE, &[133]);
    compare(m, libc::NFT_CMP_LTE, &[137]);
}

/// Packets of an IP protocol, to a port.
fn carries(m: &mut Message, protocol: u8, port: Option<u16>) {
    meta(m, libc::NFT_META_L4PROTO as u32);
    equals(m, &[protocol]);
    if let Some(port) = port {
        load(m, REGISTER, libc::NFT_PAYLOAD_TRANSPORT_HEADER as u32, 2, 2);
        equals(m, &port.to_be_bytes());
    }
}

/// The address at an offset of the header, masked.
fn address(m: &mut Message, register: u32, offset: u32, mask: &[u8]) {
    let len = mask.len() as u32;
    load(m, register, libc::NFT_PAYLOAD_NETWORK_HEADER as u32, offset, len);
    if mask.iter().all(|&octet| octet == 0xff) {
        return;
    }
    expression(m, "bitwise", |m| {
        m.number(BITWISE_SREG, register);
        m.number(BITWISE_DREG, register);
        m.number(BITWISE_LEN, len);
        m.nested(BITWISE_MASK, |m| m.attribute(DATA_VALUE, mask));
        m.nested(BITWISE_XOR, |m| m.attribute(DATA_VALUE, &[0; 16][..mask.len()]));
    });
}

fn load(m: &mut Message, register: u32, base: u32, offset: u32, len: u32) {
    expression(m, "payload", |m| {
        m.number(PAYLOAD_DREG, register);
        m.number(PAYLOAD_BASE, base);
        m.number(PAYLOAD_OFFSET, offset);
        m.number(PAYLOAD_LEN, len);
    });
}

fn meta(m: &mut Message, key: u32) {
    expression(m, "meta", |m| {
        m.number(META_DREG, REGISTER);
        m.number(META_KEY, key);
    });
}

fn equals(m: &mut Message, value: &[u8]) {
    compare(m, libc::NFT_CMP_EQ, value);
}

fn compare(m: &mut Message, operation: libc::c_int, value: &[u8]) {
    expression(m, "cmp", |m| {
        m.number(CMP_SREG, REGISTER);
        m.number(CMP_OP, operation as u32);
        m.nested(CMP_DATA, |m| m.attribute(DATA_VALUE, value));
    });
}

fn verdict(m: &mut Message, code: u32) {
    expression(m, "immediate", |m| {
        m.number(IMMEDIATE_DREG, libc::NFT_REG_VERDICT as u32);
        m.nested(IMMEDIATE_DATA, |m| m.nested(DATA_VERDICT, |m| m.number(VERDICT_CODE, code)));
    });
}

fn expression(m: &mut Message, name: &str, data: impl FnOnce(&mut Message)) {
    m.nested(LIST_ELEMENT, |m| {
        m.text(EXPR_NAME, name);
        m.nested(EXPR_DATA, data);
    });
}

/// The first of 16 registers of four octets, which the four of 16 octets are made of.
const REGISTER: u32 = libc::NFT_REG32_00 as u32;
const FAMILY_UNSPEC: u8 = libc::NFPROTO_UNSPEC as u8;
const FAMILY_INET: u8 = libc::NFPROTO_INET as u8;
const SUBSYSTEM: u16 = (libc::NFNL_SUBSYS_NFTABLES as u16) << 8;
const NEWTABLE: u16 = SUBSYSTEM | libc::NFT_MSG_NEWTABLE as u16;
const GETTABLE: u16 = SUBSYSTEM | libc::NFT_MSG_GETTABLE as u16;
const DELTABLE: u16 = SUBSYSTEM | libc::NFT_MSG_DELTABLE as u16;
const NEWCHAIN: u16 = SUBSYSTEM | libc::NFT_MSG_NEWCHAIN as u16;
const NEWRULE: u16 = SUBSYSTEM | libc::NFT_MSG_NEWRULE as u16;
const NEWSET: u16 = SUBSYSTEM | libc::NFT_MSG_NEWSET as u16;
const NEWSETELEM: u16 = SUBSYSTEM | libc::NFT_MSG_NEWSETELEM as u16;
const BATCH_BEGIN: u16 = 0x10;
const BATCH_END: u16 = 0x11;

// Attributes of nf_tables.h, under shorter names.
const TABLE_NAME: u16 = 1;
const CHAIN_TABLE: u16 = 1;
const CHAIN_NAME: u16 = 3;
const CHAIN_HOOK: u16 = 4;
const CHAIN_POLICY: u16 = 5;
const CHAIN_TYPE: u16 = 7;
const HOOK_NUMBER: u16 = 1;
const HOOK_PRIORITY: u16 = 2;
const RULE_TABLE: u16 = 1;
const RULE_CHAIN: u16 = 2;
const RULE_EXPRESSIONS: u16 = 4;
const SET_TABLE: u16 = 1;
const SET_NAME: u16 = 2;
const SET_KEY_TYPE: u16 = 4;
const SET_KEY_LEN: u16 = 5;
const SET_DESC: u16 = 9;
const SET_ID: u16 = 10;
const DESC_SIZE: u16 = 1;
const ELEMENTS_TABLE: u16 = 1;
const ELEMENTS_SET: u16 = 2;
const ELEMENTS_LIST: u16 = 3;
const ELEMENTS_SET_ID: u16 = 4;
const ELEMENT_KEY: u16 = 1;
const ELEMENT_EXPR: u16 = 7;
const LOOKUP_SET: u16 = 1;
const LOOKUP_SREG: u16 = 2;
const LOOKUP_SET_ID: u16 = 4;
/// What `nft list` calls the parts of a key.
const IPV4_ADDR: u32 = 7;
/// See there.
const IPV6_ADDR: u32 = 8;
const LIST_ELEMENT: u16 = 1;
const EXPR_NAME: u16 = 1;
const EXPR_DATA: u16 = 2;
const META_DREG: u16 = 1;
const META_KEY: u16 = 2;
const CMP_SREG: u16 = 1;
const CMP_OP: u16 = 2;
const CMP_DATA: u16 = 3;
const PAYLOAD_DREG: u16 = 1;
const PAYLOAD_BASE: u16 = 2;
const PAYLOAD_OFFSET: u16 = 3;
const PAYLOAD_LEN: u16 = 4;
const BITWISE_SREG: u16 = 1;
const BITWISE_DREG: u16 = 2;
const BITWISE_LEN: u16 = 3;
const BITWISE_MASK: u16 = 4;
const BITWISE_XOR: u16 = 5;
const IMMEDIATE_DREG: u16 = 1;
const IMMEDIATE_DATA: u16 = 2;
const DATA_VALUE: u16 = 1;
const DATA_VERDICT: u16 = 2;
const VERDICT_CODE: u16 = 1;

/// How many elements of a set stand in one message: an attribute's length has 16 bits, and an element takes at most 64 octets.
const ELEMENTS: usize = 512;

/// Messages that take effect together or not at all.
struct Batch {
    messages: Message,
    sequence: u32,
    /// How many sets there are.
    sets: u32,
    /// Where the last message begins.
    last: usize,
}

impl Batch {
    fn new() -> Self {
        let mut messages = Message::default();
        messages.header(BATCH_BEGIN, libc::NLM_F_REQUEST, FAMILY_UNSPEC, SUBSYSTEM >> 8, 0);
        messages.finish(0);
        Self { messages, sequence: 0, sets: 0, last: 0 }
    }

    /// Appends a message of family inet.
    fn message(&mut self, kind: u16, flags: libc::c_int, attributes: impl FnOnce(&mut Message)) {
        self.sequence += 1;
        self.last = self.messages.0.len();
        self.messages.header(kind, flags | libc::NLM_F_REQUEST, FAMILY_INET, 0, self.sequence);
        attributes(&mut self.messages);
        self.messages.finish(self.last);
    }

    fn rule(&mut self, table: &str, expressions: impl FnOnce(&mut Message)) {
        self.message(NEWRULE, libc::NLM_F_CREATE | libc::NLM_F_APPEND, |m| {
            m.text(RULE_TABLE, table);
            m.text(RULE_CHAIN, CHAIN);
            m.nested(RULE_EXPRESSIONS, expressions);
        });
    }

    /// A set of pairs of one shape, each with a counter if that is wanted (kernels before 5.7 leave it out); the number that a rule of this batch
    /// finds it by.
    fn set(&mut self, table: &str, set: &str, shape: Shape, keys: &BTreeSet<Vec<u8>>, counted: bool) -> u32 {
        self.sets += 1;
        let id = self.sets;
        let (part, len) = if shape.ipv6 { (IPV6_ADDR, 32) } else { (IPV4_ADDR, 8) };
        self.message(NEWSET, libc::NLM_F_CREATE, |m| {
            m.text(SET_TABLE, table);
            m.text(SET_NAME, set);
            m.number(SET_KEY_TYPE, (part << 6) | part);
            m.number(SET_KEY_LEN, len);
            m.nested(SET_DESC, |m| m.number(DESC_SIZE, keys.len() as u32));
            m.number(SET_ID, id);
        });
        let keys: Vec<_> = keys.iter().collect();
        for some in keys.chunks(ELEMENTS) {
            self.message(NEWSETELEM, libc::NLM_F_CREATE, |m| {
                m.text(ELEMENTS_TABLE, table);
                m.text(ELEMENTS_SET, set);
                m.number(ELEMENTS_SET_ID, id);
                m.nested(ELEMENTS_LIST, |m| some.iter().for_each(|key| m.element(key, counted)));
            });
        }
        id
    }

    /// Errors are always answered, success only where it is asked for: at the last message (kernels before 6.10 do not answer the end of a batch).
    fn commit(self) -> io::Result<()> {
        self.commit_on(&mut open()?)
    }

    /// The same by this socket.
    fn commit_on(mut self, socket: &mut Socket) -> io::Result<()> {
        let flags = u16::from_ne_bytes([self.messages.0[self.last + 6], self.messages.0[self.last + 7]]);
        let flags = flags | libc::NLM_F_ACK as u16;
        self.messages.0[self.last + 6..self.last + 8].copy_from_slice(&flags.to_ne_bytes());
        let start = self.messages.0.len();
        self.messages.header(BATCH_END, libc::NLM_F_REQUEST, FAMILY_UNSPEC, SUBSYSTEM >> 8, self.sequence + 1);
        self.messages.finish(start);
        speak(socket, &self.messages.0, self.sequence)
    }
}

/// Netlink messages in the making.
#[derive(Default)]
struct Message(Vec<u8>);

impl Message {
    /// nlmsghdr (its length comes later) and nfgenmsg.
    fn header(&mut self, kind: u16, flags: libc::c_int, family: u8, resource: u16, sequence: u32) {
        self.0.extend_from_slice(&[0; 4]);
        self.0.extend_from_slice(&kind.to_ne_bytes());
        self.0.extend_from_slice(&(flags as u16).to_ne_bytes());
        self.0.extend_from_slice(&sequence.to_ne_bytes());
        self.0.extend_from_slice(&[0; 4]);
        self.0.extend_from_slice(&[family, 0]);
        self.0.extend_from_slice(&resource.to_be_bytes());
    }

    /// Sets the length of the message that begins at `start`.
    fn finish(&mut self, start: usize) {
        let len = (self.0.len() - start) as u32;
        self.0[start..start + 4].copy_from_slice(&len.to_ne_bytes());
    }

    fn attribute(&mut self, kind: u16, value: &[u8]) {
        self.0.extend_from_slice(&(value.len() as u16 + 4).to_ne_bytes());
        self.0.extend_from_slice(&kind.to_ne_bytes());
        self.0.extend_from_slice(value);
        self.0.resize(self.0.len().next_multiple_of(4), 0);
    }

    fn number(&mut self, kind: u16, value: u32) {
        self.attribute(kind, &value.to_be_bytes());
    }

    /// A string with its NUL, cut to what the kernel takes at most.
    fn text(&mut self, kind: u16, value: &str) {
        let mut bytes = value.as_bytes()[..value.len().min(127)].to_vec();
        bytes.push(0);
        self.attribute(kind, &bytes);
    }

    /// An element of a set.
    fn element(&mut self, key: &[u8], counted: bool) {
        self.nested(LIST_ELEMENT, |m| {
            m.nested(ELEMENT_KEY, |m| m.attribute(DATA_VALUE, key));
            if counted {
                m.nested(ELEMENT_EXPR, |m| {
                    m.text(EXPR_NAME, "counter");
                    m.nested(EXPR_DATA, |_| {});
                });
            }
        });
    }

    fn nested(&mut self, kind: u16, inside: impl FnOnce(&mut Self)) {
        let start = self.0.len();
        self.attribute(kind | libc::NLA_F_NESTED as u16, &[]);
        inside(self);
        let len = (self.0.len() - start) as u16;
        self.0[start..start + 2].copy_from_slice(&len.to_ne_bytes());
    }
}

/// Sends messages in one piece and reads answers until the one to `last`, or to the first error.
fn transact(messages: &[u8], last: u32) -> io::Result<()> {
    speak(&mut open()?, messages, last)
}

fn unsupported(error: io::Error) -> io::Error {
    match error.raw_os_error() {
        Some(libc::EPROTONOSUPPORT | libc::EOPNOTSUPP | libc::EAFNOSUPPORT) => io::Error::new(
            io::ErrorKind::Unsupported,
            "this kernel has no nftables: load the module with `modprobe nf_tables`, or use a kernel with CONFIG_NF_TABLES_INET",
        ),
        _ => error,
    }
}

fn open() -> io::Result<Socket> {
    let (domain, protocol) = (Domain::from(libc::AF_NETLINK), Protocol::from(libc::NETLINK_NETFILTER));
    Socket::new(domain, Type::RAW.nonblocking(), Some(protocol)).map_err(unsupported)
}

fn speak(socket: &mut Socket, messages: &[u8], last: u32) -> io::Result<()> {
    let room = (messages.len() * 2 + 65_536).min(libc::c_int::MAX as usize);
    // What is too large for the buffer then fails with EMSGSIZE.
    let _ = socket.set_send_buffer_size(room);
    let _ = setsockopt(&*socket, sockopt::SndBufForce, &room);
    let kernel = NetlinkAddr::new(0, 0);
    sendto(socket.as_raw_fd(), messages, &kernel, MsgFlags::empty())?;
    answers(socket, last).map_err(unsupported)
}

/// The kernel has answered everything by the time that sending returns, so there is nothing to wait for.
fn answers(socket: &mut Socket, last: u32) -> io::Result<()> {
    let mut buf = [0; 16_384];
    loop {
        let len = socket.read(&mut buf)?;
        let mut rest = &buf[..len];
        while let Some(head) = rest.first_chunk::<16>() {
            let word = |i: usize| u32::from_ne_bytes([head[i], head[i + 1], head[i + 2], head[i + 3]]);
            let (size, kind, sequence) = (word(0) as usize, word(4) as u16, word(8));
            if i32::from(kind) == libc::NLMSG_ERROR
                && let Some(&code) = rest.get(16..).and_then(|body| body.first_chunk::<4>())
            {
                match i32::from_ne_bytes(code) {
                    0 if sequence == last => return Ok(()),
                    0 => {}
                    code => return Err(io::Error::from_raw_os_error(code.saturating_neg())),
                }
            }
            rest = rest.get(size.next_multiple_of(4).max(16)..).unwrap_or_default();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::netlink::{Address, Netlink, Route};
    use super::super::netns::{Namespace, fresh};
    use super::super::tun;
    use super::*;
    use std::net::UdpSocket;
    use std::os::fd::AsFd;
    use std::time::Duration;

    fn prefix(text: &str) -> Prefix {
        let (ip, len) = text.split_once('/').expect("prefix");
        (ip.parse().expect("address"), len.parse().expect("length"))
    }

    fn pair(source: &str, destination: &str) -> Pair {
        Pair { source: prefix(source), destination: prefix(destination) }
    }

    /// Gives `name` these addresses, brings it up, and makes it the way to everywhere.
    fn configure(name: &str, addresses: &[&str]) {
        let netlink = Netlink::open().expect("netlink");
        netlink.set_up(1, true).expect("lo");
        let link = netlink.link(name).expect("link").index;
        netlink.set_up(link, true).expect("up");
        for address in addresses {
            let (addr, prefix_len) = prefix(address);
            netlink.add_address(&Address { link, addr, prefix_len }).expect("address");
        }
        for all in ["0.0.0.0/0", "::/0"] {
            netlink.add_route(&Route { link: Some(link), ..Route::new(prefix(all), 83) }).expect("route");
        }
    }

    /// Two namespaces on a cable, `outside` and `inside`; then what a plain packet from one address to another does.
    struct Wire {
        outside: Namespace,
    }
    impl Wire {
        fn new() -> Self {
            let outside = Namespace::create().expect("namespace");
            let netlink = Netlink::open().expect("netlink");
            netlink.add_veth("outer", "peer").expect("veth");
            let peer = netlink.link("peer").expect("peer").index;
            netlink.move_link(peer, outside.as_fd(), "peer").expect("move");
            let from = ["192.0.2.2/32", "10.2.0.1/32", "10.2.1.1/32", "10.3.0.1/32", "fd00:2::1/128", "fd00:3::1/128"];
            outside.run(|| configure("peer", &from)).expect("outside");
            configure("outer", &["192.0.2.1/32", "10.1.0.1/32", "10.1.9.1/32", "fd00:1::1/128"]);
            Self { outside }
        }

        /// Whether a packet arrives. One from 10.3.0.1 goes behind it, which nobody stops: the cable keeps the order.
        fn passes(&self, from: &str, to: &str) -> bool {
            let receiver = UdpSocket::bind(format!("{to}:5000")).expect("receiver");
            let sentinel = if to.contains(':') { "[fd00:3::1]:0" } else { "10.3.0.1:0" };
            receiver.set_read_timeout(Some(Duration::from_secs(5))).expect("timeout");
            self.outside
                .run(|| {
                    for (source, data) in [(format!("{from}:0"), b"?"), (sentinel.into(), b"!")] {
                        let sender = UdpSocket::bind(source).expect("sender");
                        sender.send_to(data, format!("{to}:5000")).expect("send");
                    }
                })
                .expect("outside");
            let mut buf = [0; 8];
            receiver.recv_from(&mut buf).expect("at least the sentinel");
            buf[0] == b'?'
        }
    }

    #[test]
    fn protected_pairs_are_dropped_and_nothing_else() {
        fresh(|| {
            let wire = Wire::new();
            assert!(wire.passes("10.2.0.1", "10.1.0.1"), "without guard");
            let guard = Guard {
                devices: vec!["tun0".into()],
                open: vec![],
                exceptions: vec![pair("10.2.1.0/24", "10.1.0.0/16")],
                protected: vec![pair("10.2.0.0/17", "10.1.0.0/21"), pair("fd00:2::/33", "fd00:1::/64")],
            };
            replace("sandhog-test", &guard).expect("replace");
            assert!(!wire.passes("10.2.0.1", "10.1.0.1"));
            assert!(wire.passes("10.2.0.1", "10.1.9.1"), "another destination");
            assert!(wire.passes("192.0.2.2", "10.1.0.1"), "another source");
            assert!(wire.passes("10.2.1.1", "10.1.0.1"), "an exception");
            assert!(!wire.passes("[fd00:2::1]", "[fd00:1::1]"));
            let devices = vec!["tun0".into(), "outer".into()];
            replace("sandhog-test", &Guard { devices, ..guard.clone() }).expect("replace");
            assert!(wire.passes("10.2.0.1", "10.1.0.1"), "by one of our devices");
            replace("sandhog-test", &Guard { protected: vec![pair("0.0.0.0/0", "10.1.0.1/32")], ..Guard::default() })
                .expect("replace");
            assert!(exists("sandhog-test").expect("exists"));
            assert!(delete("sandhog-test").expect("delete"));
            assert!(!delete("sandhog-test").expect("gone"));
            assert!(!exists("sandhog-test").expect("gone"));
            assert!(wire.passes("10.2.0.1", "10.1.0.1"), "without guard again");
        });
    }

    /// Numbers that look random, the same each time.
    struct Numbers(u64);
    impl Numbers {
        fn below(&mut self, end: u32) -> u32 {
            self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (self.0 >> 33) as u32 % end
        }

        /// A prefix at or beside an address; most are long.
        fn around(&mut self, ip: IpAddr) -> Prefix {
            let short = [(); 3].map(|()| self.below(9) as u8).into_iter().min().unwrap_or_default();
            match ip {
                IpAddr::V4(ip) => (IpAddr::from((ip.to_bits() ^ self.below(16)).to_be_bytes()), 32 - short),
                IpAddr::V6(ip) => {
                    (IpAddr::from((ip.to_bits() ^ u128::from(self.below(16))).to_be_bytes()), 128 - short)
                }
            }
        }

        /// Pairs around some of these.
        fn pairs(&mut self, count: usize, sources: &[IpAddr], destinations: &[IpAddr]) -> Vec<Pair> {
            let one = |numbers: &mut Self, of: &[IpAddr]| {
                let ip = of[numbers.below(of.len() as u32) as usize];
                numbers.around(ip)
            };
            (0..count).map(|_| Pair { source: one(self, sources), destination: one(self, destinations) }).collect()
        }
    }

    fn contains(prefix: Prefix, ip: IpAddr) -> bool {
        prefix.0.is_ipv6() == ip.is_ipv6() && network(prefix) == network((ip, prefix.1))
    }

    /// What `Guard` says of a packet, one pair after the other.
    fn judged(guard: &Guard, source: IpAddr, destination: IpAddr) -> bool {
        let matches = |pair: &Pair| contains(pair.source, source) && contains(pair.destination, destination);
        guard.exceptions.iter().any(matches) || !guard.protected.iter().any(matches)
    }

    #[test]
    fn masks() {
        assert_eq!([0, 1, 17, 32].map(|len| mask(false, len)), [[0; 4], [128, 0, 0, 0], [255, 255, 128, 0], [255; 4]]);
        assert_eq!((mask(true, 0), mask(true, 128)), (vec![0; 16], vec![255; 16]));
        assert_eq!(mask(true, 9)[..3], [255, 128, 0]);
        assert_eq!(network(prefix("10.1.255.1/17")), [10, 1, 128, 0]);
        assert!(
            contains(prefix("0.0.0.0/0"), [10, 1, 2, 3].into())
                && !contains(prefix("0.0.0.0/0"), "::1".parse().unwrap())
        );
    }

    #[test]
    fn a_packet_meets_one_rule_for_each_shape() {
        let pairs: Vec<_> = (0..10_000_u32)
            .map(|i| Pair {
                source: ((0x0a00_0000 + (i << 8)).to_be_bytes().into(), 24 + (i % 2) as u8),
                ..pair("0.0.0.0/0", "10.1.0.0/16")
            })
            .chain([pair("fd00::/16", "fd01::/16"), pair("10.0.0.7/24", "10.1.2.3/16")])
            .collect();
        let shapes = by_shape(&pairs).expect("pairs");
        let of = |ipv6, source, destination| shapes[&Shape { ipv6, source, destination }].len();
        assert_eq!((shapes.len(), of(false, 24, 16), of(false, 25, 16), of(true, 16, 16)), (3, 5000, 5000, 1));
    }

    /// Of pairs that overlap in all ways the kernel's sets say what the pairs say.
    #[test]
    fn thousands_of_pairs_are_judged_like_one_after_the_other() {
        fresh(|| {
            let wire = Wire::new();
            let host = |net: u8, i: u8| IpAddr::from([10, net, i / 4, 1 + 11 * i]);
            let host6 = |net: u16, i: u16| IpAddr::from([0xfd00, net, 0, 0, 0, 0, 0, 1 + i * 377]);
            let hosts = |net: u8| (0..20).map(move |i| host(net, i)).chain((0..5).map(move |i| host6(net.into(), i)));
            let (sources, destinations): (Vec<_>, Vec<_>) = (hosts(7).collect(), hosts(8).collect());
            let give = |name: &str, hosts: &[IpAddr]| {
                let netlink = Netlink::open().expect("netlink");
                let link = netlink.link(name).expect("link").index;
                for &addr in hosts {
                    let prefix_len = if addr.is_ipv6() { 128 } else { 32 };
                    netlink.add_address(&Address { link, addr, prefix_len }).expect("address");
                }
            };
            wire.outside.run(|| give("peer", &sources)).expect("outside");
            give("outer", &destinations);
            let mut numbers = Numbers(1);
            let mut of = |count| {
                let (four, six) = ((&sources[..20], &destinations[..20]), (&sources[20..], &destinations[20..]));
                [numbers.pairs(count, four.0, four.1), numbers.pairs(count / 20, six.0, six.1)].concat()
            };
            let guard = Guard { exceptions: of(50), protected: of(2000), ..Guard::default() };
            replace("sandhog-test", &guard).expect("replace");
            let text = |ip: &IpAddr| if ip.is_ipv6() { format!("[{ip}]") } else { ip.to_string() };
            let mut verdicts = [0; 2];
            for (source, destination) in sources.iter().flat_map(|s| destinations.iter().map(move |d| (s, d))) {
                if source.is_ipv6() == destination.is_ipv6() {
                    let expected = judged(&guard, *source, *destination);
                    assert_eq!(wire.passes(&text(source), &text(destination)), expected, "{source} to {destination}");
                    verdicts[usize::from(expected)] += 1;
                }
            }
            assert!(verdicts.iter().all(|&count| count > 40), "{verdicts:?}");
        });
    }

    #[test]
    fn what_the_gateway_receives_stays_open() {
        fresh(|| {
            let wire = Wire::new();
            let open = |port| Open { destination: prefix("10.1.0.1/32"), protocol: 17, port };
            let guard = Guard { protected: vec![pair("10.2.0.0/16", "0.0.0.0/0")], ..Guard::default() };
            for (port, passes) in [(Some(5000), true), (Some(5001), false), (None, true)] {
                replace("sandhog-test", &Guard { open: vec![open(port)], ..guard.clone() }).expect("replace");
                assert_eq!(wire.passes("10.2.0.1", "10.1.0.1"), passes, "{port:?}");
                assert!(!wire.passes("10.2.0.1", "10.1.9.1"));
            }
        });
    }

    /// The peer's neighbour advertisement has two protected addresses.
    #[test]
    fn a_neighbour_with_a_protected_address_can_be_found() {
        fresh(|| {
            let wire = Wire::new();
            let protected = vec![pair("fd00:2::1/128", "fd00:1::1/128")];
            replace("sandhog-test", &Guard { protected, ..Guard::default() }).expect("replace");
            let receiver = wire.outside.run(|| UdpSocket::bind("[fd00:2::1]:5000")).expect("outside").expect("bind");
            receiver.set_read_timeout(Some(Duration::from_secs(5))).expect("timeout");
            let sender = UdpSocket::bind("[fd00:1::1]:0").expect("sender");
            sender.send_to(b"?", "[fd00:2::1]:5000").expect("send");
            assert_eq!(receiver.recv(&mut [0; 8]).expect("it arrives"), 1);
            assert!(!wire.passes("[fd00:2::1]", "[fd00:1::1]"));
        });
    }

    #[test]
    fn a_failed_replacement_leaves_the_old_table() {
        fresh(|| {
            let guard = Guard { protected: vec![pair("10.2.0.0/16", "10.1.0.0/16")], ..Guard::default() };
            replace("sandhog-test", &guard).expect("replace");
            for bad in
                [pair("10.2.0.0/33", "10.1.0.0/16"), pair("10.2.0.0/16", "fd00::/64"), pair("fd00::/129", "fd00::/64")]
            {
                let error =
                    replace("sandhog-test", &Guard { protected: vec![bad], ..Guard::default() }).expect_err("bad");
                assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
            }
            assert!(exists("sandhog-test").expect("exists"));
        });
    }

    #[test]
    fn thousands_of_pairs_fit() {
        fresh(|| {
            let protected = (0..10_000_u32).map(|i| Pair {
                source: ((0x0a00_0000 + (i << 8)).to_be_bytes().into(), 24),
                ..pair("0.0.0.0/0", "10.1.0.0/16")
            });
            let six = (0..10_000_u16).map(|i| Pair {
                source: (IpAddr::from([0xfd00, i, 0, 0, 0, 0, 0, 0]), 32),
                ..pair("::/0", "fd01::/64")
            });
            let guard = Guard { protected: protected.chain(six).collect(), ..Guard::default() };
            replace("sandhog-test", &guard).expect("replace");
            replace("sandhog-test", &guard).expect("replace what is there");
            assert!(delete("sandhog-test").expect("delete"));
        });
    }

    #[test]
    fn without_permission_it_says_so() {
        fresh(|| {
            let error = std::thread::spawn(|| {
                // SAFETY: no pointers; the raw call changes this thread only. Capabilities go with the user.
                unsafe { libc::syscall(libc::SYS_setresuid, 65_534, 65_534, 65_534) };
                replace("sandhog-test", &Guard::default()).expect_err("not allowed")
            });
            assert_eq!(error.join().expect("no panic").kind(), io::ErrorKind::PermissionDenied);
            assert!(tun::Device::create("tun0", 1).is_ok(), "the test's own thread still may");
        });
    }
}
