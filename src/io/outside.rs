//! The device that packets of our own leave by (`bind_device`): an uplink, or a VRF with its own table of routes.
//!
//! It is one for the whole process, known before its first socket and never another. A socket that is forgotten would leave by the routes that all
//! others shall not use, so each for packets of our own asks here instead of being told.
use nix::net::if_::if_nametoindex;
use socket2::{SockRef, Socket};
use std::io;
use std::os::fd::AsFd;
use std::sync::OnceLock;

static DEVICE: OnceLock<String> = OnceLock::new();

/// From now on every outer socket is bound to this device, and routes are asked for as it sees them. Only the first call counts.
pub fn bind_to(device: String) {
    let _ = DEVICE.set(device);
}

/// The number of that device, if there shall be one.
///
/// # Errors
/// `ENODEV` if there is no such device now.
pub(super) fn link() -> io::Result<Option<u32>> {
    Ok(DEVICE.get().map(|device| if_nametoindex(device.as_str())).transpose()?)
}

/// Binds a socket that has no address yet.
///
/// # Errors
/// `ENODEV` if there is no such device now.
pub(super) fn bind(socket: &Socket) -> io::Result<()> {
    DEVICE.get().map_or(Ok(()), |device| socket.bind_device(Some(device.as_bytes())))
}

/// The mark of what a socket sends, and the device that it is bound to.
///
/// # Errors
/// It is no socket, or its device is gone.
pub fn of(socket: &impl AsFd) -> io::Result<(u32, Option<String>)> {
    let socket = SockRef::from(socket);
    let device = socket.device()?.map(|name| String::from_utf8_lossy(&name).into_owned());
    Ok((socket.mark()?, device))
}
