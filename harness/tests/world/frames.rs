//! A client of HTTP/2 that writes and reads the frames themselves (RFC 9113 §4, §6): what no library
//! would send, and what none shows.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// For how long nothing comes before it stops listening.
const SILENCE: Duration = Duration::from_secs(7);

/// Flag of DATA and HEADERS: the last of the stream.
pub const END: u8 = 0x1;
/// Flag of HEADERS and CONTINUATION: the fields are whole.
pub const WHOLE: u8 = 0x4;

/// One connection.
pub struct Framed {
    socket: TcpStream,
    authority: String,
}

impl Framed {
    /// Connects to the vendor at `base` and greets it.
    pub async fn connect(base: &str) -> Framed {
        let mut this = Framed::silent(base).await;
        this.send(&[PREFACE.to_vec(), frame(4, 0, 0, &[])]).await;
        this
    }

    /// Connects, and lets each stream carry so many bytes of response.
    pub async fn with_window(base: &str, bytes: u32) -> Framed {
        let mut this = Framed::silent(base).await;
        // SETTINGS_INITIAL_WINDOW_SIZE; that of the connection is as large as it can be.
        let setting = [&[0, 4][..], &bytes.to_be_bytes()].concat();
        let window = frame(8, 0, 0, &(0x7fff_ffff_u32 - 65_535).to_be_bytes());
        this.send(&[PREFACE.to_vec(), frame(4, 0, 0, &setting), window]).await;
        this
    }

    /// Connects and says nothing.
    async fn silent(base: &str) -> Framed {
        let authority = base.trim_start_matches("http://").to_owned();
        let socket = TcpStream::connect(&authority).await.unwrap();
        socket.set_nodelay(true).unwrap();
        Framed { socket, authority }
    }

    /// Connects, and greets in two pieces, of which the second comes a second later.
    pub async fn hesitating(base: &str, first: usize) -> Framed {
        let mut this = Framed::silent(base).await;
        this.send(&[PREFACE[..first].to_vec()]).await;
        tokio::time::sleep(Duration::from_secs(1)).await;
        this.send(&[PREFACE[first..].to_vec(), frame(4, 0, 0, &[])]).await;
        this
    }

    /// Sends all of these at once.
    pub async fn send(&mut self, frames: &[Vec<u8>]) {
        self.socket.write_all(&frames.concat()).await.unwrap();
    }

    /// HEADERS of a request.
    pub fn asks(&self, stream: u32, flags: u8, method: &str, path: &str) -> Vec<u8> {
        frame(1, flags, stream, &self.fields(method, path, &[]))
    }

    /// The fields of a request, without any compression (RFC 7541 §6.2.2, §6.1).
    pub fn fields(&self, method: &str, path: &str, more: &[(&str, &str)]) -> Vec<u8> {
        let mut block = vec![0x86];
        let pseudo = [(":method", method), (":path", path), (":authority", &self.authority)];
        for (name, value) in pseudo.iter().chain(more) {
            block.push(0);
            for text in [name, value] {
                block.push(u8::try_from(text.len()).unwrap());
                block.extend_from_slice(text.as_bytes());
            }
        }
        block
    }

    /// What comes until nothing does any more, a line each, without SETTINGS and WINDOW_UPDATE.
    pub async fn heard(&mut self) -> Vec<String> {
        let mut heard = Vec::new();
        loop {
            let mut header = [0; 9];
            match tokio::time::timeout(SILENCE, self.socket.read_exact(&mut header)).await {
                Err(_) => return heard,
                Ok(Err(e)) if e.kind() == std::io::ErrorKind::UnexpectedEof => {
                    heard.push("closed".to_owned());
                    return heard;
                }
                Ok(Err(e)) => {
                    heard.push(format!("{:?}", e.kind()));
                    return heard;
                }
                Ok(Ok(_)) => {}
            }
            let [a, b, c, kind, flags, stream @ ..] = header;
            let mut payload = vec![0; u32::from_be_bytes([0, a, b, c]) as usize];
            if self.socket.read_exact(&mut payload).await.is_err() {
                heard.push("closed within a frame".to_owned());
                return heard;
            }
            heard.extend(told(kind, flags, u32::from_be_bytes(stream), &payload));
        }
    }
}

fn told(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Option<String> {
    let number = |at: usize| u32::from_be_bytes(payload[at..at + 4].try_into().unwrap());
    let end = if flags & END != 0 { ", end" } else { "" };
    Some(match kind {
        0 => format!("{stream}: {} bytes{end}", payload.len()),
        1 => format!("{stream}: fields{end}"),
        3 => format!("{stream}: {:?}", h2::Reason::from(number(0))),
        4 | 8 => return None,
        7 => format!("go away after {}: {:?}", number(0), h2::Reason::from(number(4))),
        other => format!("{stream}: frame of type {other}"),
    })
}

/// A frame.
pub fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let [_, length @ ..] = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let mut frame = length.to_vec();
    frame.extend_from_slice(&[kind, flags]);
    frame.extend_from_slice(&stream.to_be_bytes());
    frame.extend_from_slice(payload);
    frame
}

/// DATA.
pub fn data(flags: u8, stream: u32, bytes: &[u8]) -> Vec<u8> {
    frame(0, flags, stream, bytes)
}
