//! Connects that no vendor answers, as they are seen on the wire.
//!
//! Knows: raw sockets, and what a first SYN looks like. Must not know: rules, or who connects.
//!
//! A program that is told "refused", or nothing at all, leaves no trace at the vendor: the kernel
//! answers for a port that nobody listens on, and drops what a full backlog cannot take. Both
//! happen after raw sockets had their copy of the packet (raw(7)). Such sockets need root or
//! CAP_NET_RAW.

use std::collections::BTreeSet;
use std::io;
use std::net::SocketAddr;

use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::UdpSocket;

/// The first octet of a TCP header's ports, sequence number, and flags (RFC 9293 §3.1).
const SOURCE: usize = 0;
const SEQUENCE: usize = 4;
const FLAGS: u32 = 13;
const SYN: u32 = 0x02;
const ACK: u32 = 0x10;

/// Sees who connects to one port, whether or not anybody listens there.
pub(crate) struct Witness {
    /// Read as datagrams are: a packet at a time.
    socket: UdpSocket,
    /// Connects that were seen, by their port and first sequence number: a SYN may come again.
    seen: BTreeSet<(u16, u32)>,
}

/// Whether this process may look at the wire.
pub(crate) fn sees_connects() -> bool {
    raw().is_ok()
}

fn raw() -> io::Result<Socket> {
    Socket::new(Domain::IPV4, Type::RAW, Some(Protocol::TCP))
}

impl Witness {
    /// Looks from now on.
    ///
    /// # Errors
    /// If this process may not.
    pub fn of(vendor: SocketAddr) -> io::Result<Witness> {
        let socket = raw()?;
        only_first_syns(&socket, vendor.port())?;
        socket.set_nonblocking(true)?;
        Ok(Witness { socket: UdpSocket::from_std(socket.into())?, seen: BTreeSet::new() })
    }

    /// The port from which the next connect comes.
    ///
    /// # Errors
    /// If the socket can no longer be read.
    pub async fn next(&mut self) -> io::Result<u16> {
        loop {
            let mut packet = [0; 128];
            let read = self.socket.recv(&mut packet).await?;
            if let Some(connect) = connect(&packet[..read])
                && self.seen.insert(connect)
            {
                return Ok(connect.0);
            }
        }
    }
}

/// The port and the sequence number that an IPv4 packet with a SYN came with.
fn connect(packet: &[u8]) -> Option<(u16, u32)> {
    // The length of the IPv4 header, in words (RFC 791 §3.1).
    let tcp = packet.get(usize::from(packet.first()? & 0x0f) * 4..)?;
    let port = tcp.get(SOURCE..SOURCE + 2)?.try_into().ok()?;
    let sequence = tcp.get(SEQUENCE..SEQUENCE + 4)?.try_into().ok()?;
    Some((u16::from_be_bytes(port), u32::from_be_bytes(sequence)))
}

#[cfg(target_os = "linux")]
fn only_first_syns(socket: &Socket, port: u16) -> io::Result<()> {
    use socket2::SockFilter;
    // Classic BPF (Documentation/networking/filter.rst): X is the length of the IPv4 header; a SYN
    // without ACK to this port passes whole, anything else not at all.
    let program = [
        SockFilter::new(0xb1, 0, 0, 0),               // ldxb 4 * ([0] & 0xf)
        SockFilter::new(0x48, 0, 0, 2),               // ldh [x + 2]: the port of destination
        SockFilter::new(0x15, 0, 4, u32::from(port)), // jne #port, drop
        SockFilter::new(0x50, 0, 0, FLAGS),           // ldb [x + 13]
        SockFilter::new(0x54, 0, 0, SYN | ACK),       // and
        SockFilter::new(0x15, 0, 1, SYN),             // jne #SYN, drop
        SockFilter::new(0x06, 0, 0, u32::MAX),        // ret: pass
        SockFilter::new(0x06, 0, 0, 0),               // ret: drop
    ];
    socket.attach_filter(&program)
}

#[cfg(not(target_os = "linux"))]
fn only_first_syns(_: &Socket, _: u16) -> io::Result<()> {
    Err(io::Error::other("connects are seen on Linux only"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{Ipv4Addr, TcpListener, TcpStream};
    use std::time::Duration;

    /// A port of ours that nobody listens on.
    fn shut() -> (Socket, SocketAddr) {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        socket.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into()).unwrap();
        let address = socket.local_addr().unwrap().as_socket().unwrap();
        (socket, address)
    }

    #[tokio::test]
    async fn each_refused_connect_to_this_port_is_seen_once() {
        if !sees_connects() {
            eprintln!("skipped: looking at the wire needs CAP_NET_RAW");
            return;
        }
        let (_shut, address) = shut();
        let other = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut witness = Witness::of(address).unwrap();
        for _ in 0..3 {
            TcpStream::connect(other.local_addr().unwrap()).unwrap();
            assert!(TcpStream::connect(address).is_err());
        }
        let mut ports = BTreeSet::new();
        for _ in 0..3 {
            ports.insert(witness.next().await.unwrap());
        }
        assert_eq!(ports.len(), 3);
        let more = tokio::time::timeout(Duration::from_millis(100), witness.next()).await;
        assert!(more.is_err(), "{more:?}");
    }

    #[test]
    fn a_packet_cut_short_is_none() {
        assert_eq!(connect(&[]), None);
        assert_eq!(connect(&[0x45; 22]), None);
        let mut packet = [0u8; 40];
        packet[0] = 0x45;
        packet[20..28].copy_from_slice(&[0x12, 0x34, 0, 80, 0, 0, 0, 7]);
        assert_eq!(connect(&packet), Some((0x1234, 7)));
    }
}
