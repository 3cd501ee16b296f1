//! What the host is set to and what we may do on it.
use std::io;

/// Settings that decide whether packets pass this host; `None` where the kernel does not tell.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Settings {
    /// net.ipv4.ip_forward.
    pub ipv4_forward: Option<bool>,
    /// net.ipv6.conf.all.forwarding.
    pub ipv6_forward: Option<bool>,
    /// The stricter of net.ipv4.conf.{all,DEVICE}.rp_filter: 0 off, 1 strict, 2 loose. As the kernel does, the larger number counts.
    pub rp_filter: Option<u8>,
    /// net.ipv4.conf.all.send_redirects or that of the device.
    pub send_redirects: Option<bool>,
    /// net.ipv4.conf.{all or DEVICE}.src_valid_mark: rp_filter looks at marks.
    pub src_valid_mark: Option<bool>,
}
/// Reads the settings as they hold for packets of one device, in the network namespace of the calling thread.
pub fn settings(device: &str) -> Settings {
    let _ = device;
    todo!()
}
/// Reads a setting by its name under /proc/sys, such as `net/ipv4/ip_forward`, without the line's end.
pub fn sysctl(name: &str) -> io::Result<String> {
    let _ = name;
    todo!()
}
/// Writes a setting.
pub fn set_sysctl(name: &str, value: &str) -> io::Result<()> {
    let _ = (name, value);
    todo!()
}
/// A privilege that we can need.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Capability {
    /// CAP_NET_BIND_SERVICE: ports below 1024.
    NetBindService,
    /// CAP_NET_ADMIN: devices, routes, marks.
    NetAdmin,
    /// CAP_NET_RAW: raw sockets.
    NetRaw,
    /// CAP_SYS_ADMIN: namespaces.
    SysAdmin,
}
/// Whether the calling thread has it in effect.
pub fn has(capability: Capability) -> bool {
    let _ = capability;
    todo!()
}
/// Cores that this process may use, at least 1.
pub fn usable_cores() -> usize {
    todo!()
}
/// Keeps the calling thread on the `index`-th of the cores that the process may use (modulo their number).
pub fn pin_to_core(index: usize) -> io::Result<()> {
    let _ = index;
    todo!()
}
