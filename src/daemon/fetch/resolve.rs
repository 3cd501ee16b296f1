//! Names by sockets with our mark: the system's resolver would ask through the tunnel.
use crate::io::marked;
use hickory_resolver::net::runtime::iocompat::AsyncIoTokioAsStd;
use hickory_resolver::net::runtime::{RuntimeProvider, TokioHandle, TokioRuntimeProvider, TokioTime};
use hickory_resolver::proto::rr::RecordType;
use hickory_resolver::{Resolver, ResolverBuilder};
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
    /// Both families, IPv4 first.
    pub addresses: Vec<IpAddr>,
    /// The shortest time to live of all that led to them.
    pub good_for: Duration,
    /// True for addresses of which nothing is known, because the question for those of their family has failed.
    pub unknown: fn(&IpAddr) -> bool,
}

/// Asks the name servers of `/etc/resolv.conf`, as it is when this is made.
pub(in crate::daemon) struct Names {
    resolver: Resolver<Marked>,
}
impl Names {
    pub(in crate::daemon) fn new(mark: u32) -> Result<Self, String> {
        let provider = Marked { mark, tokio: TokioRuntimeProvider::new() };
        Self::with(Resolver::builder(provider).map_err(|e| e.to_string())?)
    }
    fn with(mut builder: ResolverBuilder<Marked>) -> Result<Self, String> {
        let options = builder.options_mut();
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
        let of = |family| self.resolver.lookup(&*whole, family);
        let (v4, v6) = tokio::join!(of(RecordType::A), of(RecordType::AAAA));
        // That there are none is an answer, too.
        let unknown = match (&v4, &v6) {
            (Err(error), Ok(_)) if !error.is_no_records_found() => IpAddr::is_ipv4,
            (Ok(_), Err(error)) if !error.is_no_records_found() => IpAddr::is_ipv6,
            _ => |_: &IpAddr| false,
        };
        let found = match (v4, v6) {
            (Err(error), Err(_)) => return Err(error.to_string()),
            (v4, v6) => [v4, v6].into_iter().flatten().collect::<Vec<_>>(),
        };
        let records = || found.iter().flat_map(|lookup| lookup.answers());
        let seconds = records().map(|record| record.ttl).min().unwrap_or_default();
        let addresses = records().filter_map(|record| record.data.ip_addr()).take(MAX_ADDRESSES).collect();
        Ok(Found { addresses, good_for: Duration::from_secs(seconds.into()), unknown })
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::io::netns::fresh;
    use hickory_resolver::config::{ConnectionConfig, NameServerConfig, ResolverConfig};
    use hickory_resolver::proto::op::{Message, ResponseCode};
    use hickory_resolver::proto::rr::{RData, Record};

    const V4: &str = "192.0.2.1";

    /// Answers for IPv4 with one address, for IPv6 with this code and nothing else.
    async fn serve(server: UdpSocket, v6: ResponseCode) {
        let mut buf = [0; 1500];
        while let Ok((len, from)) = server.recv_from(&mut buf).await {
            let asked = Message::from_vec(&buf[..len]).expect("a question");
            let query = asked.queries[0].clone();
            let mut answer = Message::error_msg(asked.metadata.id, asked.metadata.op_code, ResponseCode::NoError);
            if query.query_type() == RecordType::A {
                let data = RData::A(V4.parse().expect("address"));
                answer.add_answer(Record::from_rdata(query.name().clone(), 300, data));
            } else {
                answer.metadata.response_code = v6;
            }
            answer.add_query(query);
            server.send_to(&answer.to_vec().expect("encoded"), from).await.expect("sent");
        }
    }

    fn ask(v6: ResponseCode) -> Found {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("runtime");
        runtime.block_on(async {
            let server = UdpSocket::bind(("127.0.0.1", 0)).await.expect("bound");
            let at = server.local_addr().expect("address");
            let mut udp = ConnectionConfig::udp();
            udp.port = at.port();
            let config = ResolverConfig::from_name_servers(vec![NameServerConfig::new(at.ip(), true, vec![udp])]);
            let provider = Marked { mark: 0xdc, tokio: TokioRuntimeProvider::new() };
            let names = Names::with(Resolver::builder_with_config(config, provider)).expect("names");
            tokio::select! {
                found = names.look_up("gw.example") => found.expect("an address"),
                () = serve(server, v6) => panic!("the server has ended"),
            }
        })
    }

    #[test]
    fn that_there_are_no_addresses_of_a_family_is_not_that_nobody_could_tell() {
        fresh(|| {
            let (v4, v6) = (V4.parse().expect("address"), "2001:db8::1".parse().expect("address"));
            for (code, unknown) in
                [(ResponseCode::NoError, false), (ResponseCode::NXDomain, false), (ResponseCode::ServFail, true)]
            {
                let found = ask(code);
                assert_eq!((found.addresses.as_slice(), found.good_for.as_secs()), ([v4].as_slice(), 300), "{code}");
                assert_eq!(((found.unknown)(&v4), (found.unknown)(&v6)), (false, unknown), "{code}");
            }
        });
    }
}
