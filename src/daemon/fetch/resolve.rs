//! Names by sockets with our mark: the system's resolver would ask through the tunnel.
use crate::io::marked;
use hickory_resolver::Resolver;
use hickory_resolver::config::LookupIpStrategy;
use hickory_resolver::net::runtime::iocompat::AsyncIoTokioAsStd;
use hickory_resolver::net::runtime::{RuntimeProvider, TokioHandle, TokioRuntimeProvider, TokioTime};
use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::time::Duration;
use tokio::net::{TcpSocket, TcpStream, UdpSocket};

/// Addresses of one name that are looked at.
const MAX_ADDRESSES: usize = 8;

/// Each question to one name server; it is asked once more.
const TIMEOUT: Duration = Duration::from_millis(1500);

/// Addresses of a name.
#[derive(Debug)]
pub(in crate::daemon) struct Found {
    /// Both families.
    pub addresses: Vec<IpAddr>,
    /// The shortest time to live of all that led to them.
    pub good_for: Duration,
}

/// Asks the name servers of `/etc/resolv.conf`, as it is when this is made.
pub(in crate::daemon) struct Names {
    resolver: Resolver<Marked>,
}
impl Names {
    pub(in crate::daemon) fn new(mark: u32) -> Result<Self, String> {
        let provider = Marked { mark, tokio: TokioRuntimeProvider::new() };
        let mut builder = Resolver::builder(provider).map_err(|e| e.to_string())?;
        let options = builder.options_mut();
        options.ip_strategy = LookupIpStrategy::Ipv4AndIpv6;
        (options.timeout, options.attempts) = (TIMEOUT, 1);
        Ok(Self { resolver: builder.build().map_err(|e| e.to_string())? })
    }
    /// The addresses of a name, or the address that it is.
    pub(super) async fn resolve(&self, host: &str) -> Result<Vec<IpAddr>, String> {
        if let Ok(address) = host.parse() {
            return Ok(vec![address]);
        }
        Ok(self.look_up(host).await?.addresses)
    }
    /// The addresses of a name, and for how long they are good.
    pub(in crate::daemon) async fn look_up(&self, host: &str) -> Result<Found, String> {
        // As it stands: no domain of ours is put behind it.
        let whole = format!("{}.", host.trim_end_matches('.'));
        let found = self.resolver.lookup_ip(whole).await.map_err(|e| e.to_string())?;
        let seconds = found.as_lookup().answers().iter().map(|record| record.ttl).min().unwrap_or_default();
        let addresses = found.iter().take(MAX_ADDRESSES).collect();
        Ok(Found { addresses, good_for: Duration::from_secs(seconds.into()) })
    }
}

#[derive(Clone)]
struct Marked {
    mark: u32,
    tokio: TokioRuntimeProvider,
}
impl RuntimeProvider for Marked {
    type Handle = TokioHandle;
    type Timer = TokioTime;
    type Udp = UdpSocket;
    type Tcp = AsyncIoTokioAsStd<TcpStream>;

    fn create_handle(&self) -> Self::Handle {
        self.tokio.create_handle()
    }
    fn connect_tcp(
        &self,
        server: SocketAddr,
        _bind: Option<SocketAddr>,
        patience: Option<Duration>,
    ) -> Pin<Box<dyn Send + Future<Output = io::Result<Self::Tcp>>>> {
        let mark = self.mark;
        Box::pin(async move {
            let socket = TcpSocket::from_std_stream(marked::tcp(server, mark)?);
            let connected = tokio::time::timeout(patience.unwrap_or(super::PATIENCE), socket.connect(server)).await;
            Ok(AsyncIoTokioAsStd(connected.map_err(|_| io::ErrorKind::TimedOut)??))
        })
    }
    fn bind_udp(
        &self,
        local: SocketAddr,
        _server: SocketAddr,
    ) -> Pin<Box<dyn Send + Future<Output = io::Result<Self::Udp>>>> {
        let mark = self.mark;
        Box::pin(async move { UdpSocket::from_std(marked::udp(local, mark)?) })
    }
}
