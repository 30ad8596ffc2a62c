//! A client of HTTP/2 that keeps to frames: it retries nothing and hides nothing.

use std::cell::RefCell;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use h2::client::{ResponseFuture, SendRequest};
use tokio::net::TcpStream;

/// How long it waits for anything.
const PATIENCE: Duration = Duration::from_secs(7);

/// One connection.
pub struct Raw {
    send: SendRequest<Bytes>,
    authority: String,
    /// How the connection ended, once it has.
    pub ended: Rc<RefCell<Option<String>>>,
}

/// What one exchange looked like.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Seen {
    /// Statuses: those of interim responses, then the true one.
    pub statuses: Vec<u16>,
    /// The Content-Length.
    pub length: Option<usize>,
    /// Bytes of the body.
    pub bytes: usize,
    /// `end`, `open` (after [`PATIENCE`]), or the error.
    pub end: String,
}

impl Raw {
    /// Connects to the vendor at `base`.
    pub async fn connect(base: &str) -> Raw {
        let authority = base.trim_start_matches("http://").to_owned();
        let socket = TcpStream::connect(&authority).await.unwrap();
        // What is held back until an ACK comes would come by the kernel's clock.
        socket.set_nodelay(true).unwrap();
        let (send, connection) = h2::client::handshake(socket).await.unwrap();
        let ended: Rc<RefCell<Option<String>>> = Rc::default();
        let told = ended.clone();
        tokio::task::spawn_local(async move {
            let end = connection.await.map_or_else(|e| said(&e), |()| "closed".to_owned());
            *told.borrow_mut() = Some(end);
        });
        Raw { send, authority, ended }
    }

    /// Sends `POST /items` now; what comes of it is to be awaited.
    pub async fn post(&mut self, body: &'static str) -> impl Future<Output = Seen> + use<> {
        let mut send = self.send.clone();
        let request = http::Request::post(format!("http://{}/items", self.authority)).body(()).unwrap();
        let ready = poll_fn(|cx| send.poll_ready(cx)).await;
        let sent = ready.and_then(|()| send.send_request(request, false)).map(|(response, mut stream)| {
            // Fails only where the connection is over, which the response says too.
            let _ = stream.send_data(Bytes::from_static(body.as_bytes()), true);
            response
        });
        async move {
            match sent {
                Ok(response) => see(response).await,
                Err(e) => Seen { end: said(&e), ..Seen::default() },
            }
        }
    }

    /// Sends `GET /ping` now.
    pub async fn get(&mut self) -> impl Future<Output = Seen> + use<> {
        let (seen, end) = self.get_in_two().await;
        end();
        seen
    }

    /// Sends the head of `GET /ping` now, and its body (an empty one would wait for others) when that is
    /// called.
    pub async fn get_in_two(&mut self) -> (impl Future<Output = Seen> + use<>, impl FnOnce() + use<>) {
        let request = http::Request::get(format!("http://{}/ping", self.authority)).body(()).unwrap();
        poll_fn(|cx| self.send.poll_ready(cx)).await.unwrap();
        let (response, mut stream) = self.send.send_request(request, false).unwrap();
        (see(response), move || stream.send_data(Bytes::from_static(b"-"), true).unwrap())
    }
}

async fn see(mut response: ResponseFuture) -> Seen {
    let mut seen = Seen::default();
    let end = tokio::time::timeout(PATIENCE, look(&mut response, &mut seen)).await;
    seen.end = end.unwrap_or_else(|_| "open".to_owned());
    seen
}

async fn look(response: &mut ResponseFuture, seen: &mut Seen) -> String {
    let head = poll_fn(|cx| {
        while let Poll::Ready(Some(Ok(interim))) = response.poll_informational(cx) {
            let status = interim.status().as_u16();
            assert_eq!(interim.headers().contains_key("link"), status == 103, "early hints are links");
            seen.statuses.push(status);
        }
        Pin::new(&mut *response).poll(cx)
    });
    let (head, mut body) = match head.await {
        Ok(response) => response.into_parts(),
        Err(e) => return said(&e),
    };
    seen.statuses.push(head.status.as_u16());
    seen.length = head.headers.get("content-length").and_then(|l| l.to_str().ok()?.parse().ok());
    while let Some(piece) = body.data().await {
        match piece {
            Ok(piece) => {
                seen.bytes += piece.len();
                let _ = body.flow_control().release_capacity(piece.len());
            }
            Err(e) => return said(&e),
        }
    }
    "end".to_owned()
}

/// An error in a few words.
fn said(e: &h2::Error) -> String {
    let reason = e.reason().map(|r| format!("{r:?}")).unwrap_or_default();
    match () {
        () if e.is_go_away() => format!("go away {reason}"),
        () if e.is_reset() => format!("reset {reason}"),
        () => match e.get_io() {
            Some(io) => format!("{:?}", io.kind()),
            None => e.to_string(),
        },
    }
}
