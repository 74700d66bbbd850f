//! The first step of a connection: a socket, from one of our addresses.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use tokio::net::{TcpSocket, TcpStream, UnixStream};

use crate::address::Address;
use crate::socket::Socket;
use crate::words::span;

/// Connects to `address`, from one of `sources` if there are any: the one whose `turn` it is, or the next that this
/// machine has.
///
/// # Errors
/// Why not, in words.
pub(crate) async fn connect(
    address: &Address,
    (sources, turn): (&[IpAddr], impl FnOnce() -> usize),
    wait: Duration,
) -> Result<Socket, String> {
    let connecting = async {
        match address {
            Address::Tcp(to) => {
                let tcp = match bound(*to, sources, turn)? {
                    Some(socket) => socket.connect(*to).await,
                    None => TcpStream::connect(to).await,
                };
                let tcp = tcp.map_err(|error| unreachable(&error))?;
                // Small writes are put together before they go out; waiting for more only adds time.
                tcp.set_nodelay(true).map_err(|error| unreachable(&error))?;
                Ok(Socket::Clear(tcp))
            }
            Address::Unix(path) => {
                let unix = UnixStream::connect(path).await;
                unix.map(Socket::Unix).map_err(|error| unreachable(&error))
            }
        }
    };
    let late = |_| format!("did not answer within {}", span(wait));
    tokio::time::timeout(wait, connecting).await.map_err(late)?
}

/// A socket that comes from a source address; none if there are no source addresses.
fn bound(
    to: SocketAddr,
    sources: &[IpAddr],
    turn: impl FnOnce() -> usize,
) -> Result<Option<TcpSocket>, String> {
    if sources.is_empty() {
        return Ok(None);
    }
    let fits = |source: &&IpAddr| source.is_ipv4() == to.is_ipv4();
    let count = sources.iter().filter(fits).count();
    let Some(start) = turn().checked_rem(count) else {
        let family = if to.is_ipv4() { "IPv4" } else { "IPv6" };
        return Err(format!("is passed over: no address in `source_addresses` is {family}"));
    };
    let mut refused = String::new();
    for source in sources.iter().filter(fits).cycle().skip(start).take(count) {
        match bind(*source) {
            Ok(socket) => return Ok(Some(socket)),
            Err(error) => {
                refused = format!(
                    "cannot be connected to from source address {source}: {}",
                    plain(&error)
                );
                tracing::warn!(%source, error = plain(&error), "source address cannot be used");
            }
        }
    }
    Err(refused)
}

/// A socket that comes from `source`; an error if this machine has not got the address.
pub(crate) fn bind(source: IpAddr) -> io::Result<TcpSocket> {
    let socket = if source.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    socket.bind(SocketAddr::new(source, 0))?;
    Ok(socket)
}

fn unreachable(error: &io::Error) -> String {
    format!("cannot be connected to: {}", plain(error))
}

/// The system's words without its error number.
pub(crate) fn plain(error: &io::Error) -> String {
    let words = error.to_string();
    words.split(" (os error").next().unwrap_or(&words).to_lowercase()
}
