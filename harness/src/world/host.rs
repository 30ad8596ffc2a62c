//! A vendor on a socket: its port, its connections, and the faults that hit before any request.
//!
//! Knows: how to listen, refuse, swallow and come back on the same port. Must not know: what a
//! request means; `exchange` answers it.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use socket2::{Domain, SockRef, Socket, Type};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use super::World;
use super::canon::Origin;
use super::connection::{Conn, Cut};
use super::exchange::Place;
use super::socket::Wire;
use super::tls::{self, Authority};
use super::witness::Witness;
use super::{http1, http2, spawn};
use crate::fault::{Act, BadCertificate};
use crate::schedule::{Bite, Outage};
use crate::subject::AttemptOutcome;
use crate::time::{At, Span};
use crate::trace::{Alias, CallId, FaultRef, Handshake, Outcome, What};
use crate::vendor::{Profile, Vendor};
use crate::wire::Protocol;

/// Connections that may wait to be accepted.
const BACKLOG: i32 = 1024;

/// A vendor and its place on the network.
pub(crate) struct Host {
    /// Its alias in the scenario.
    pub alias: Alias,
    /// Facts about it.
    pub profile: Profile,
    /// The model. Never borrowed over an await.
    pub vendor: RefCell<Box<dyn Vendor>>,
    /// Where it really is: `http://127.0.0.1:PORT`.
    pub base_url: String,
    /// Who vouches for it, if it is met over TLS.
    tls: Option<Rc<Authority>>,
    /// The host that the trace shows.
    pub canonical_host: String,
    /// Its origin's two names.
    pub names: Origin,
    /// Requests written to the trace.
    pub requests: Cell<u64>,
    /// Requests that the subject may count although the vendor never had them whole.
    pub unseen: Cell<u64>,
    address: SocketAddr,
    listener: RefCell<Option<TcpListener>>,
    acceptor: RefCell<Option<Waker>>,
    conns: RefCell<BTreeMap<u32, Rc<Conn>>>,
    accepted: Cell<u32>,
    tapped: Cell<u64>,
    /// Refused and unanswered connects of the subject that are accounted for.
    settled: Cell<(u64, u64)>,
    /// The door, the last time it was not open.
    shut: RefCell<Option<Door>>,
    /// Fills the backlog of a black hole.
    fillers: RefCell<Vec<Socket>>,
    /// Bound, never listening: keeps the port ours while nothing listens.
    _reservation: Socket,
}

/// How a vendor can be met.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Door {
    /// It listens.
    Open,
    /// It refuses.
    Refusing(FaultRef),
    /// It swallows.
    Swallowing(FaultRef),
}

impl Host {
    /// Puts a vendor on this loopback port, zero for any that is free; over TLS if there is an
    /// authority.
    ///
    /// # Errors
    /// If the port cannot be had.
    pub fn on(
        alias: &str,
        vendor: Box<dyn Vendor>,
        port: u16,
        tls: Option<Rc<Authority>>,
    ) -> io::Result<Host> {
        let reservation = bound(SocketAddr::from((Ipv4Addr::LOCALHOST, port)))?;
        let address = reservation
            .local_addr()?
            .as_socket()
            .ok_or_else(|| io::Error::other("a loopback socket has no address"))?;
        let profile = vendor.profile().clone();
        let canonical_host =
            profile.origin.split_once("://").map_or(profile.origin.as_str(), |(_, host)| host).to_owned();
        let base_url = format!("{}://{address}", if tls.is_some() { "https" } else { "http" });
        Ok(Host {
            alias: alias.into(),
            vendor: RefCell::new(vendor),
            names: Origin::new(&profile.origin, &base_url),
            profile,
            base_url,
            tls,
            canonical_host,
            requests: Cell::new(0),
            unseen: Cell::new(0),
            address,
            listener: RefCell::new(Some(listening(address, BACKLOG)?)),
            acceptor: RefCell::default(),
            conns: RefCell::default(),
            accepted: Cell::new(0),
            tapped: Cell::new(0),
            settled: Cell::default(),
            shut: RefCell::default(),
            fillers: RefCell::default(),
            _reservation: reservation,
        })
    }

    /// The calls that are open on its connections, each with its stream.
    pub fn open_calls(&self) -> Vec<(CallId, u32, Rc<Conn>)> {
        let conns = self.conns.borrow();
        let of = |conn: &Rc<Conn>| {
            let conn = conn.clone();
            conn.traffic.open_calls().into_iter().map(move |(call, stream)| (call, stream, conn.clone()))
        };
        conns.values().flat_map(of).collect()
    }

    /// Whole requests that came over its connections, by the independent count.
    pub fn tapped(&self) -> u64 {
        self.tapped.get() + self.conns.borrow().values().map(|c| c.traffic.whole_requests()).sum::<u64>()
    }

    fn poll_accept(&self, cx: &mut Context<'_>) -> Poll<io::Result<TcpStream>> {
        *self.acceptor.borrow_mut() = Some(cx.waker().clone());
        match &*self.listener.borrow() {
            Some(listener) if self.fillers.borrow().is_empty() => {
                listener.poll_accept(cx).map_ok(|(socket, _)| socket)
            }
            _ => Poll::Pending,
        }
    }

    /// Opens, closes or blocks the vendor's door.
    ///
    /// # Errors
    /// If the port cannot be listened on again.
    fn set_door(&self, door: &Door, world: &World) -> io::Result<()> {
        self.fillers.borrow_mut().clear();
        self.listener.borrow_mut().take();
        match door {
            Door::Open => {
                *self.listener.borrow_mut() = Some(listening(self.address, BACKLOG)?);
                self.each_conn(|c| c.silence(None));
            }
            Door::Refusing(fault) => self.each_conn(|conn| {
                if conn.traffic.blame(fault) {
                    world.recorder.fault(fault);
                }
                if !conn.traffic.is_busy() {
                    self.unseen.set(self.unseen.get() + 1);
                }
                conn.traffic.end_all(Outcome::Reset);
                conn.cut(Cut::Reset);
            }),
            Door::Swallowing(fault) => {
                *self.listener.borrow_mut() = Some(listening(self.address, 0)?);
                *self.fillers.borrow_mut() = filled(self.address)?;
                self.each_conn(|c| c.silence(Some(fault.clone())));
            }
        }
        if let Some(waker) = self.acceptor.borrow_mut().take() {
            waker.wake();
        }
        Ok(())
    }

    /// Whether it is our own connect that comes from this port, to fill a black hole.
    fn fills(&self, port: u16) -> bool {
        let from = |s: &Socket| s.local_addr().ok().and_then(|a| a.as_socket()).map(|a| a.port());
        self.fillers.borrow().iter().any(|filler| from(filler) == Some(port))
    }

    fn each_conn(&self, f: impl Fn(&Conn)) {
        let conns: Vec<Rc<Conn>> = self.conns.borrow().values().cloned().collect();
        conns.iter().for_each(|c| f(c));
    }

    fn left(&self, number: u32, conn: &Conn) {
        conn.traffic.end_all(Outcome::Abandoned);
        self.tapped.set(self.tapped.get() + conn.traffic.whole_requests());
        self.conns.borrow_mut().remove(&number);
    }
}

/// How a connection was greeted over TLS.
#[derive(Clone, Default)]
struct Greeting {
    /// What was wrong with the certificate, if anything was.
    certificate: Option<BadCertificate>,
    /// By which fault.
    fault: Option<FaultRef>,
}

impl Greeting {
    /// Writes what came of it.
    fn note(
        self,
        world: &World,
        host: &Host,
        ended: Handshake,
        connection: Option<u32>,
        error: Option<&io::Error>,
    ) {
        let Greeting { certificate, fault } = self;
        let (vendor, error) = (host.alias.clone(), error.map(io::Error::to_string));
        world.recorder.note(What::Handshake { vendor, ended, certificate, connection, error, fault });
    }
}

/// The faults that hit a connection as it is made: how late it is taken up, and how it is greeted.
fn on_connect(world: &World, host: &Host) -> (Span, Greeting) {
    let now = world.recorder.now();
    let mut schedule = world.schedule.borrow_mut();
    let late = schedule.connect(now, &host.alias, |act| matches!(act, Act::SlowAccept(_)));
    let over_tls = host.tls.is_some();
    let bad = schedule.connect(now, &host.alias, |act| over_tls && matches!(act, Act::Certificate(_)));
    drop(schedule);
    for bite in late.iter().chain(&bad) {
        world.recorder.fault(&bite.fault);
    }
    let span = match late.map(|b| b.act) {
        Some(Act::SlowAccept(span)) => span,
        _ => Span::ZERO,
    };
    match bad {
        Some(Bite { act: Act::Certificate(bad), fault, .. }) => {
            (span, Greeting { certificate: Some(bad), fault: Some(fault) })
        }
        _ => (span, Greeting::default()),
    }
}

/// Takes up a connection, as late and with such a certificate as the rules have it.
async fn take_up(world: Rc<World>, host: Rc<Host>, socket: TcpStream) {
    let (late, greeting) = on_connect(&world, &host);
    if late > Span::ZERO {
        tokio::time::sleep(late.duration()).await;
    }
    let wire = match &host.tls {
        None => Wire::Plain(socket),
        Some(authority) => match authority.greet(socket, greeting.certificate).await {
            Ok(stream) => Wire::Tls(Box::new(stream)),
            Err(error) => {
                // A client that counts its attempts counts this one too.
                host.unseen.set(host.unseen.get() + 1);
                greeting.note(&world, &host, tls::ended(&error), None, Some(&error));
                return;
            }
        },
    };
    let number = host.accepted.replace(host.accepted.get() + 1);
    if greeting.certificate.is_some() {
        greeting.clone().note(&world, &host, Handshake::Done, Some(number), None);
    }
    let conn = Rc::new(Conn::new(wire, world.recorder.clone()));
    host.conns.borrow_mut().insert(number, conn.clone());
    attend(world.clone(), host.clone(), number, conn.clone()).await;
    if host.tls.is_some() && conn.was_left_unused() {
        let lost = conn.lost();
        // Some say that they refuse only now; any other end says no more than that they left.
        let said = lost.filter(|e| tls::ended(e) == Handshake::Refused);
        let ended = if said.is_some() { Handshake::Refused } else { Handshake::Left };
        greeting.note(&world, &host, ended, Some(number), said.as_ref());
    }
}

/// Accepts connections for as long as the drill lasts.
pub(crate) async fn serve(world: Rc<World>, host: Rc<Host>) {
    loop {
        // A failed accept concerns one connection that is gone already.
        let Ok(socket) = std::future::poll_fn(|cx| host.poll_accept(cx)).await else { continue };
        let _ = socket.set_nodelay(true);
        let plain = host.tls.is_none() && !world.schedule.borrow().greets_badly();
        if !plain {
            spawn(&world, take_up(world.clone(), host.clone(), socket));
            continue;
        }
        let number = host.accepted.replace(host.accepted.get() + 1);
        let conn = Rc::new(Conn::new(Wire::Plain(socket), world.recorder.clone()));
        host.conns.borrow_mut().insert(number, conn.clone());
        spawn(&world, attend(world.clone(), host.clone(), number, conn));
    }
}

/// Serves one connection until it ends.
async fn attend(world: Rc<World>, host: Rc<Host>, number: u32, conn: Rc<Conn>) {
    let place = Place { world, host, number, conn };
    let spoke = match place.conn.listen().await {
        Protocol::Http1 => http1::serve(&place).await,
        Protocol::Http2 => Box::pin(http2::serve(&place)).await,
    };
    let Place { world, host, number, conn } = place;
    if !spoke {
        // The client did not speak HTTP; the independent count may have taken it for a request.
        host.unseen.set(host.unseen.get() + 1);
    }
    host.unseen.set(host.unseen.get() + conn.traffic.unread_requests());
    if world.pace.get().real || conn.was_left() {
        // A client that leaves takes its connection along; what it had sent never has its turn.
        host.unseen.set(host.unseen.get() + conn.traffic.requests_without_a_turn());
    }
    if let Some(fault) = conn.traffic.swallowed() {
        let vendor = host.alias.clone();
        world.recorder.note(What::Connection {
            vendor,
            outcome: Outcome::Abandoned,
            count: 1,
            fault: Some(fault),
        });
    }
    conn.let_go();
    host.left(number, &conn);
}

/// Opens and closes the vendor's door at the borders of its windows, and whenever rules change.
pub(crate) async fn keep_door(world: Rc<World>, host: Rc<Host>) {
    let mut rearmed = world.rearmed.subscribe();
    let mut door = Door::Open;
    let mut watches = JoinSet::new();
    let mut looked = None;
    loop {
        let outages = outages_of(&world, &host);
        let borders = outages.iter().flat_map(|o| [o.from, o.bite.until]);
        let next = borders.filter(|border| looked.is_none_or(|looked| *border > looked)).min();
        let border = tokio::select! {
            biased;
            border = at_border(&world, next) => border,
            changed = rearmed.changed() => match changed {
                Ok(()) => world.recorder.now(),
                Err(_) => return,
            },
        };
        looked = Some(border);
        let outages = outages_of(&world, &host);
        let active = outages.iter().find(|o| o.from <= border && border < o.bite.until);
        let next = match active.map(|o| (&o.bite.act, &o.bite.fault)) {
            Some((Act::Refuse, fault)) => Door::Refusing(fault.clone()),
            Some((_, fault)) => Door::Swallowing(fault.clone()),
            None => Door::Open,
        };
        if next == door {
            continue;
        }
        settle(&world, &host, &door);
        let witness = witness(&world, &host, &next);
        if let Err(e) = host.set_door(&next, &world) {
            world.recorder.harness_fault(format!("{}: its port could not be reopened: {e}", host.alias));
        }
        watches.abort_all();
        if let Some(witness) = witness {
            watches.spawn_local(watch(world.clone(), host.clone(), next.clone(), witness));
        }
        if next != Door::Open {
            *host.shut.borrow_mut() = Some(next.clone());
        }
        door = next;
    }
}

/// Who sees the connects to a closed door; in virtual time the subject's own count is exact.
fn witness(world: &World, host: &Host, door: &Door) -> Option<Witness> {
    let needed = world.pace.get().real && *door != Door::Open;
    // Who may not look is told so before the drill.
    needed.then(|| Witness::of(host.address).ok()).flatten()
}

/// Writes down each connect that meets a closed door.
async fn watch(world: Rc<World>, host: Rc<Host>, door: Door, mut witness: Witness) {
    let (outcome, fault) = match &door {
        Door::Open => return,
        Door::Refusing(fault) => (Outcome::Refused, fault),
        Door::Swallowing(fault) => (Outcome::ConnectTimeout, fault),
    };
    while let Ok(port) = witness.next().await {
        if host.fills(port) {
            continue;
        }
        world.recorder.fault(fault);
        let (vendor, fault) = (host.alias.clone(), Some(fault.clone()));
        world.recorder.note(What::Connection { vendor, outcome, count: 1, fault });
    }
}

/// Waits for a border; for ever if there is none.
async fn at_border(world: &World, border: Option<At>) -> At {
    match border {
        Some(border) => {
            world.recorder.until(border).await;
            border
        }
        None => std::future::pending().await,
    }
}

/// The windows in which the vendor cannot be met.
fn outages_of(world: &World, host: &Host) -> Vec<Outage> {
    let of_host = |o: &Outage| {
        o.on.vendor() == Some(&*host.alias) && matches!(o.on, crate::fault::Target::Calls { .. })
    };
    world.schedule.borrow().outages().into_iter().filter(of_host).collect()
}

/// Writes what the subject's own count shows of a door that was closed.
fn settle(world: &World, host: &Host, door: &Door) {
    let seen = host.settled.get();
    let counts = world.attempts.counts();
    let count = |o| counts.get(&(host.alias.to_string(), o)).copied().unwrap_or(0);
    let now = (count(AttemptOutcome::Refused), count(AttemptOutcome::ConnectTimeout));
    let (met, outcome, fault) = match door {
        Door::Refusing(f) => (now.0 - seen.0, Outcome::Refused, f),
        Door::Swallowing(f) => (now.1 - seen.1, Outcome::ConnectTimeout, f),
        Door::Open => {
            // A connect that met a black hole may time out after it is over.
            host.settled.set((now.0, seen.1));
            return;
        }
    };
    host.settled.set(now);
    if met > 0 {
        world.recorder.fault(fault);
        world.recorder.note(What::Connection {
            vendor: host.alias.clone(),
            outcome,
            count: u32::try_from(met).unwrap_or(u32::MAX),
            fault: Some(fault.clone()),
        });
    }
}

/// Writes what is still to be said of closed doors, at the end.
pub(crate) fn settle_all(world: &World) {
    for host in world.hosts.values() {
        let shut = host.shut.borrow().clone();
        if let Some(door) = shut {
            settle(world, host, &door);
        }
    }
}

/// A socket bound to `address` that shares it with others of ours.
fn bound(address: SocketAddr) -> io::Result<Socket> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
    socket.set_reuse_address(true)?;
    socket.bind(&address.into())?;
    Ok(socket)
}

fn listening(address: SocketAddr, backlog: i32) -> io::Result<TcpListener> {
    let socket = bound(address)?;
    socket.listen(backlog)?;
    socket.set_nonblocking(true)?;
    TcpListener::from_std(socket.into())
}

/// Connects until the backlog is full, so that the kernel drops the next SYN.
fn filled(address: SocketAddr) -> io::Result<Vec<Socket>> {
    let mut fillers = Vec::new();
    for _ in 0..8 {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
        socket.set_nonblocking(true)?;
        let _ = socket.connect(&address.into());
        // On loopback a handshake ends inside `connect`: a socket without a peer met a full backlog.
        let connected = SockRef::from(&socket).peer_addr().is_ok();
        fillers.push(socket);
        if !connected {
            return Ok(fillers);
        }
    }
    Err(io::Error::other("the backlog of the black hole did not fill"))
}
