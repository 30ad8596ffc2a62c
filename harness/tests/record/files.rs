//! Things that several of these tests take.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use hyper::body::Frame;

#[path = "../stub/mod.rs"]
mod stub;

/// A vendor to wrap.
pub fn notes() -> stub::Notes {
    stub::Notes::new()
}

/// A body whose pieces come out of a channel, one at a time.
pub struct Pieces(pub tokio::sync::mpsc::Receiver<Bytes>);

impl hyper::body::Body for Pieces {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.0.poll_recv(cx).map(|piece| piece.map(|bytes| Ok(Frame::data(bytes))))
    }
}
