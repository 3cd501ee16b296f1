//! Sockets for our own errands beside IKE: marked, so that no route into a tunnel takes them.
use super::outside;
use socket2::{Domain, Protocol, Socket, Type};
use std::io;
use std::net::{SocketAddr, TcpStream, UdpSocket};

/// A TCP socket that is not connected yet, non-blocking; `mark` on all that it sends.
///
/// # Errors
/// What the system says: no descriptors, or no right to set a mark.
pub fn tcp(remote: SocketAddr, mark: u32) -> io::Result<TcpStream> {
    Ok(socket(remote, Type::STREAM, Protocol::TCP, mark)?.into())
}
/// A UDP socket bound to `local`, non-blocking.
///
/// # Errors
/// As [`tcp`].
pub fn udp(local: SocketAddr, mark: u32) -> io::Result<UdpSocket> {
    let socket = socket(local, Type::DGRAM, Protocol::UDP, mark)?;
    socket.bind(&local.into())?;
    Ok(socket.into())
}
fn socket(family: SocketAddr, kind: Type, protocol: Protocol, mark: u32) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(family), kind.nonblocking().cloexec(), Some(protocol))?;
    outside::bind(&socket)?;
    socket.set_mark(mark)?;
    Ok(socket)
}
