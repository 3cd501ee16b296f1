//! Batches of datagrams with control messages: recvmmsg, sendmmsg, sendmsg.
use super::sys::{check, set_option};
use super::{Destination, ReceiveBatch, Received};
use nix::poll::{PollFd, PollFlags, poll};
use nix::sys::socket::{setsockopt, sockopt};
use socket2::{MsgHdr, SockAddr, Socket};
use std::io;
use std::mem::{size_of, zeroed};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};
use std::os::fd::{AsFd, AsRawFd};

/// Messages per system call.
pub(super) const BATCH: usize = 64;
/// Octets of a slot of a [`ReceiveBatch`].
pub(super) const SLOT: usize = 65_536;
/// How long a full send buffer is waited for before the rest of a train is given up, in milliseconds. What waits has its sequence numbers, and
/// the other workers go on: at 10 Gbit/s they send some 830 full packets meanwhile, which a window of 1024 bears
/// if they do not wait in different queues of a network card besides.
const SEND_PATIENCE: u8 = 1;
/// Sending neither waits nor raises SIGPIPE.
const SEND_FLAGS: libc::c_int = libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL;

/// Room for the control messages of one datagram: addresses (32 with header), TOS (24), train (24), with reserve.
#[repr(C, align(8))]
#[derive(Clone, Copy)]
struct Control([u8; 128]);

/// What recvmmsg writes into beside the payload. Made once per socket, so that receiving does not allocate.
pub(super) struct Receiver {
    headers: Box<[libc::mmsghdr]>,
    vectors: Box<[libc::iovec]>,
    names: Box<[libc::sockaddr_in6]>,
    controls: Box<[Control]>,
}
// SAFETY: the raw pointers in `headers` and `vectors` are set anew right before each system call and followed by nobody else.
unsafe impl Send for Receiver {}
// SAFETY: as above; they are only used through `&mut self`.
unsafe impl Sync for Receiver {}
impl std::fmt::Debug for Receiver {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Receiver").field("batch", &self.headers.len()).finish()
    }
}

impl Receiver {
    pub(super) fn new() -> Self {
        // SAFETY: these are structs of the kernel's, of integers and pointers, for which zero is a value.
        let (header, vector, name) = unsafe { (zeroed(), zeroed(), zeroed()) };
        Self {
            headers: vec![header; BATCH].into_boxed_slice(),
            vectors: vec![vector; BATCH].into_boxed_slice(),
            names: vec![name; BATCH].into_boxed_slice(),
            controls: vec![Control([0; 128]); BATCH].into_boxed_slice(),
        }
    }

    /// Fills `batch` until the queue is empty or the batch is full. `bound` stands in for a missing destination address.
    pub(super) fn receive(&mut self, socket: &Socket, bound: SocketAddr, batch: &mut ReceiveBatch) -> io::Result<()> {
        batch.datagrams.clear();
        let mut slot = 0;
        while slot < batch.slots() {
            let wanted = (batch.slots() - slot).min(BATCH);
            let count = match self.receive_some(socket, &mut batch.buf[slot * SLOT..(slot + wanted) * SLOT]) {
                Ok(count) => count,
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => break,
                Err(e) if e.kind() == io::ErrorKind::Interrupted || is_echo_of_icmp(&e) => continue,
                Err(e) => return Err(e),
            };
            for i in 0..count {
                if let Some(received) = self.received(i, bound, (slot + i) * SLOT) {
                    batch.datagrams.push(received);
                }
            }
            slot += count;
            if count < wanted {
                break;
            }
        }
        Ok(())
    }

    /// One recvmmsg into as many slots as `buf` has, at most [`BATCH`].
    fn receive_some(&mut self, socket: &Socket, buf: &mut [u8]) -> io::Result<usize> {
        let mut count = 0;
        for slot in buf.chunks_exact_mut(SLOT).take(BATCH) {
            let vector = &mut self.vectors[count];
            *vector = libc::iovec { iov_base: slot.as_mut_ptr().cast(), iov_len: slot.len() };
            let header = &mut self.headers[count].msg_hdr;
            header.msg_name = (&raw mut self.names[count]).cast();
            header.msg_namelen = size_of::<libc::sockaddr_in6>() as libc::socklen_t;
            header.msg_iov = vector;
            header.msg_iovlen = 1;
            header.msg_control = (&raw mut self.controls[count]).cast();
            header.msg_controllen = size_of::<Control>() as _;
            header.msg_flags = 0;
            count += 1;
        }
        let headers = self.headers.as_mut_ptr();
        // SAFETY: the first `count` headers point at a slot, a name and a control buffer each, which are ours alone until the call returns.
        let result = unsafe {
            libc::recvmmsg(socket.as_raw_fd(), headers, count as _, libc::MSG_DONTWAIT as _, std::ptr::null_mut())
        };
        check(result).map(|n| n as usize)
    }

    /// What message `i` of the last call was; nothing if it was cut or has no sender.
    fn received(&self, i: usize, bound: SocketAddr, offset: usize) -> Option<Received> {
        let header = &self.headers[i];
        let len = header.msg_len as usize;
        if header.msg_hdr.msg_flags & libc::MSG_TRUNC != 0 || len > SLOT {
            return None;
        }
        let mut received =
            Received { remote: read_name(&self.names[i])?, local: bound, offset, len, segment: len, tos: 0 };
        // SAFETY: the kernel has set msg_controllen to what it wrote into the control buffer, which is still there.
        let mut message = unsafe { libc::CMSG_FIRSTHDR(&raw const header.msg_hdr) };
        while !message.is_null() {
            // SAFETY: CMSG_FIRSTHDR and CMSG_NXTHDR return null or a whole header with its data inside of the buffer.
            unsafe {
                read_control(message, &mut received);
                message = libc::CMSG_NXTHDR(&raw const header.msg_hdr, message);
            }
        }
        Some(received)
    }
}

/// Errors that an earlier send left behind: they say nothing about what is there to receive.
fn is_echo_of_icmp(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionRefused, HostUnreachable, NetworkUnreachable};
    matches!(error.kind(), ConnectionRefused | HostUnreachable | NetworkUnreachable)
}

/// Takes one control message over.
///
/// # Safety
/// `message` points at a control message from the kernel, with all of its data.
unsafe fn read_control(message: *const libc::cmsghdr, received: &mut Received) {
    // SAFETY: the caller says so; types and lengths are those of ip(7), ipv6(7) and udp(7), and reads are unaligned.
    unsafe {
        let data = libc::CMSG_DATA(message);
        match ((*message).cmsg_level, (*message).cmsg_type) {
            (libc::IPPROTO_IP, libc::IP_PKTINFO) => {
                let info = data.cast::<libc::in_pktinfo>().read_unaligned();
                received.local.set_ip(Ipv4Addr::from(u32::from_be(info.ipi_addr.s_addr)).into());
            }
            (libc::IPPROTO_IPV6, libc::IPV6_PKTINFO) => {
                let info = data.cast::<libc::in6_pktinfo>().read_unaligned();
                received.local.set_ip(Ipv6Addr::from(info.ipi6_addr.s6_addr).into());
            }
            (libc::IPPROTO_IP, libc::IP_TOS) => received.tos = data.read(),
            (libc::IPPROTO_IPV6, libc::IPV6_TCLASS) => {
                received.tos = data.cast::<libc::c_int>().read_unaligned() as u8;
            }
            (libc::SOL_UDP, libc::UDP_GRO) => {
                let segment = data.cast::<libc::c_int>().read_unaligned();
                received.segment = usize::try_from(segment).unwrap_or(0).clamp(1, received.len.max(1));
            }
            _ => {}
        }
    }
}

/// Where a message goes, as the kernel wants it: name and control messages, for one train or for each datagram of one.
pub(super) struct Address {
    name: SockAddr,
    control: Control,
    control_len: usize,
}

impl Address {
    /// `segment`: for UDP_SEGMENT.
    pub(super) fn new(to: &Destination, segment: Option<u16>) -> Self {
        let mut this = Self { name: to.remote.into(), control: Control([0; 128]), control_len: 0 };
        match to.local.ip() {
            ip if ip.is_unspecified() => {}
            IpAddr::V4(ip) => {
                let ipi_spec_dst = libc::in_addr { s_addr: u32::from(ip).to_be() };
                let info = libc::in_pktinfo { ipi_ifindex: 0, ipi_spec_dst, ipi_addr: libc::in_addr { s_addr: 0 } };
                this.push(libc::IPPROTO_IP, libc::IP_PKTINFO, info);
            }
            IpAddr::V6(ip) => {
                let ipi6_addr = libc::in6_addr { s6_addr: ip.octets() };
                // A link-local source needs the link that its scope names.
                let ipi6_ifindex = if let SocketAddr::V6(a) = to.local { a.scope_id() } else { 0 };
                this.push(libc::IPPROTO_IPV6, libc::IPV6_PKTINFO, libc::in6_pktinfo { ipi6_addr, ipi6_ifindex });
            }
        }
        if to.tos != 0 {
            let (level, kind) = match to.remote {
                SocketAddr::V4(_) => (libc::IPPROTO_IP, libc::IP_TOS),
                SocketAddr::V6(_) => (libc::IPPROTO_IPV6, libc::IPV6_TCLASS),
            };
            this.push(level, kind, libc::c_int::from(to.tos));
        }
        if let Some(segment) = segment {
            this.push(libc::SOL_UDP, libc::UDP_SEGMENT, segment);
        }
        this
    }

    /// Appends a control message.
    fn push<T: Copy>(&mut self, level: libc::c_int, kind: libc::c_int, value: T) {
        // SAFETY: these two only calculate.
        let (space, len) = unsafe { (libc::CMSG_SPACE(size_of::<T>() as u32), libc::CMSG_LEN(size_of::<T>() as u32)) };
        let start = self.control_len;
        assert!(start + space as usize <= size_of::<Control>(), "room for three control messages");
        // SAFETY: the header and the value that follows it lie inside of the buffer, as just checked; the buffer is aligned to 8, `start` is
        // a multiple of CMSG_SPACE's alignment, and the value is written unaligned.
        unsafe {
            let header = self.control.0.as_mut_ptr().add(start).cast::<libc::cmsghdr>();
            (*header).cmsg_len = len as _;
            (*header).cmsg_level = level;
            (*header).cmsg_type = kind;
            libc::CMSG_DATA(header).cast::<T>().write_unaligned(value);
        }
        self.control_len += space as usize;
    }

    /// A header for the data at `vector`, valid for as long as both are.
    fn header(&self, vector: *mut libc::iovec) -> libc::msghdr {
        // SAFETY: a struct of integers and pointers.
        let mut header: libc::msghdr = unsafe { zeroed() };
        header.msg_name = self.name.as_ptr().cast_mut().cast();
        header.msg_namelen = self.name.len();
        header.msg_iov = vector;
        header.msg_iovlen = 1;
        if self.control_len > 0 {
            header.msg_control = (&raw const self.control).cast_mut().cast();
            header.msg_controllen = self.control_len as _;
        }
        header
    }
}

/// How long a full send buffer is still waited for: once, until the patience is renewed. A link that takes nothing, or one train at a time, must
/// not keep its worker for a moment per train, while others wait to be heard.
#[derive(Debug, Default)]
pub(super) struct Patience {
    spent: bool,
}

/// Sends `data` as one message: one datagram, or a train if `address` has a segment size.
pub(super) fn send_one(socket: &Socket, patience: &mut Patience, address: &Address, data: &[u8]) -> io::Result<()> {
    let (vectors, control) = ([io::IoSlice::new(data)], &address.control.0[..address.control_len]);
    let header = MsgHdr::new().with_addr(&address.name).with_buffers(&vectors).with_control(control);
    patience.send(socket, || socket.sendmsg(&header, SEND_FLAGS)).map(drop)
}

/// Sends `data` as one datagram per `segment` octets. How many went out: fewer than all if the send buffer stays full; an error only if the first failed.
pub(super) fn send_each(
    socket: &Socket,
    patience: &mut Patience,
    address: &Address,
    data: &[u8],
    segment: usize,
) -> io::Result<usize> {
    let mut sent = 0;
    for group in data.chunks(segment.max(1) * BATCH) {
        // SAFETY: structs of integers and pointers.
        let (mut vectors, mut headers): ([libc::iovec; BATCH], [libc::mmsghdr; BATCH]) =
            unsafe { (zeroed(), zeroed()) };
        let mut count = 0;
        for datagram in group.chunks(segment.max(1)) {
            vectors[count] = libc::iovec { iov_base: datagram.as_ptr().cast_mut().cast(), iov_len: datagram.len() };
            headers[count].msg_hdr = address.header(&raw mut vectors[count]);
            count += 1;
        }
        let mut done = 0;
        while done < count {
            let result = patience.send(socket, || {
                let rest = &mut headers[done..count];
                // SAFETY: each header points at `address`, its vector and its part of `data`, which all outlive the call.
                let result =
                    unsafe { libc::sendmmsg(socket.as_raw_fd(), rest.as_mut_ptr(), rest.len() as _, SEND_FLAGS as _) };
                check(result).map(|n| n as usize)
            });
            match result {
                Ok(0) => return Ok(sent),
                Ok(n) => (done, sent) = (done + n, sent + n),
                Err(e) if sent == 0 => return Err(e),
                Err(_) => return Ok(sent),
            }
        }
    }
    Ok(sent)
}

impl Patience {
    /// Repeats a send that was interrupted, and one that found the send buffer full if there is patience left.
    fn send(&mut self, socket: &Socket, mut send: impl FnMut() -> io::Result<usize>) -> io::Result<usize> {
        loop {
            match send() {
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) if e.kind() == io::ErrorKind::WouldBlock && !self.spent => {
                    self.spent = true;
                    let _ = poll(&mut [PollFd::new(socket.as_fd(), PollFlags::POLLOUT)], SEND_PATIENCE);
                }
                result => return result,
            }
        }
    }

    /// A full buffer may be waited for again.
    pub(super) fn renew(&mut self) {
        self.spent = false;
    }

    /// A full buffer is not waited for again.
    #[cfg(test)]
    pub(super) fn is_spent(&self) -> bool {
        self.spent
    }
}

/// True for what a full buffer or queue answers: the datagrams are lost as on a wire, and the socket is well.
pub(super) fn is_full(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::WouldBlock || error.raw_os_error() == Some(libc::ENOBUFS)
}

/// An address from the kernel.
fn read_name(name: &libc::sockaddr_in6) -> Option<SocketAddr> {
    match libc::c_int::from(name.sin6_family) {
        libc::AF_INET => {
            // SAFETY: a sockaddr_in is smaller than a sockaddr_in6 and no more aligned.
            let short = unsafe { &*(&raw const *name).cast::<libc::sockaddr_in>() };
            let ip = Ipv4Addr::from(u32::from_be(short.sin_addr.s_addr));
            Some(SocketAddrV4::new(ip, u16::from_be(short.sin_port)).into())
        }
        libc::AF_INET6 => {
            let ip = Ipv6Addr::from(name.sin6_addr.s6_addr);
            Some(SocketAddrV6::new(ip, u16::from_be(name.sin6_port), 0, name.sin6_scope_id).into())
        }
        _ => None,
    }
}

/// Turns DF on or off for what follows. With DF a datagram longer than the device's MTU fails with EMSGSIZE instead of being fragmented here. The
/// kernel's own idea of the path MTU does not count then, since anybody can put ideas into it by ICMP; nor does it without DF for IPv4, which
/// is fragmented by whom it is too long for. IPv6 is fragmented by nobody else: there it must count, and lies cost fragments at worst.
pub(super) fn set_dont_fragment(socket: &Socket, ipv6: bool, on: bool) -> io::Result<()> {
    if ipv6 {
        let mode = if on { libc::IPV6_PMTUDISC_PROBE } else { libc::IPV6_PMTUDISC_DONT };
        set_option(socket.as_fd(), libc::IPPROTO_IPV6, libc::IPV6_MTU_DISCOVER, mode)
    } else {
        let mode = if on { libc::IP_PMTUDISC_PROBE } else { libc::IP_PMTUDISC_OMIT };
        set_option(socket.as_fd(), libc::IPPROTO_IP, libc::IP_MTU_DISCOVER, mode)
    }
}

/// Asks for destination address and TOS of what is received.
pub(super) fn set_receive_info(socket: &Socket, ipv6: bool) -> io::Result<()> {
    if ipv6 {
        setsockopt(socket, sockopt::Ipv6RecvPacketInfo, &true)?;
        socket.set_recv_tclass_v6(true)
    } else {
        setsockopt(socket, sockopt::Ipv4PacketInfo, &true)?;
        socket.set_recv_tos_v4(true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use socket2::{Domain, Type};

    /// How often a send was tried that finds the buffer full at first, and what came of it.
    fn tries(patience: &mut Patience) -> (usize, bool) {
        // A socket with room, so that nothing here waits.
        let socket = Socket::new(Domain::IPV4, Type::DGRAM, None).expect("socket");
        let mut tries = 0;
        let sent = patience.send(&socket, || {
            tries += 1;
            if tries == 1 { Err(io::ErrorKind::WouldBlock.into()) } else { Ok(1) }
        });
        (tries, sent.is_ok())
    }

    /// A slow link takes a train, is full again, takes the next one: that is not waited for again and again.
    #[test]
    fn a_full_buffer_is_waited_for_once_though_it_takes_something_again() {
        let mut patience = Patience::default();
        assert_eq!(tries(&mut patience), (2, true));
        assert_eq!([tries(&mut patience), tries(&mut patience)], [(1, false); 2]);
        patience.renew();
        assert_eq!([tries(&mut patience), tries(&mut patience)], [(2, true), (1, false)]);
    }
}
