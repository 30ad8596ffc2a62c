//! Bodies on their way through the proxy: passed on as they come, kept as far as the limit goes.
//!
//! Knows: frames, and when a body has ended. Must not know: what becomes of what was kept.

use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body_util::combinators::BoxBody;
use hyper::body::{Body, Frame, Incoming, SizeHint};

use super::capture::Capture;
use super::links::Links;

/// What the client sends, on its way to the vendor.
pub(super) struct Sent {
    inner: Incoming,
    capture: Arc<Mutex<Capture>>,
}

pub(super) fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Sent {
    pub fn new(inner: Incoming, capture: Arc<Mutex<Capture>>) -> Sent {
        locked(&capture).complete = inner.is_end_stream();
        Sent { inner, capture }
    }
}

impl Body for Sent {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let next = ready!(Pin::new(&mut self.inner).poll_frame(cx));
        let mut capture = locked(&self.capture);
        match &next {
            Some(Ok(frame)) => {
                if let Some(data) = frame.data_ref() {
                    capture.push(data);
                }
                capture.complete = self.inner.is_end_stream();
            }
            Some(Err(_)) => {}
            None => capture.complete = true,
        }
        drop(capture);
        Poll::Ready(next)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

/// How the body of an answer ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum End {
    Whole,
    /// The vendor's side broke off.
    Vendor(String),
    /// The client went away first, or the recording ended.
    Client,
}

/// Told once, however a body ends.
pub(super) type Ended = Box<dyn FnOnce(Capture, End) + Send + Sync>;

/// What the vendor answers, on its way to the client.
pub(super) struct Relay {
    inner: Incoming,
    links: Option<Links>,
    /// The links' rest is passed on; only the end is left to be told.
    flushed: bool,
    keeping: Option<(Capture, Ended)>,
}

impl Relay {
    pub fn new(inner: Incoming, links: Option<Links>, capture: Capture, ended: Ended) -> Relay {
        let whole = inner.is_end_stream();
        let mut relay = Relay { inner, links, flushed: false, keeping: Some((capture, ended)) };
        if whole {
            relay.links = None;
            relay.end(End::Whole);
        }
        relay
    }

    pub fn boxed(self) -> BoxBody<Bytes, hyper::Error> {
        BoxBody::new(self)
    }

    fn end(&mut self, how: End) {
        if let Some((capture, ended)) = self.keeping.take() {
            ended(capture, how);
        }
    }
}

impl Body for Relay {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        loop {
            if self.flushed {
                return Poll::Ready(None);
            }
            let next = ready!(Pin::new(&mut self.inner).poll_frame(cx));
            match next {
                Some(Ok(frame)) => {
                    let Some(data) = frame.data_ref() else { return Poll::Ready(Some(Ok(frame))) };
                    if let Some((capture, _)) = &mut self.keeping {
                        capture.push(data);
                    }
                    if self.inner.is_end_stream() {
                        // Told before the client can have the last byte: whoever saw the answer
                        // finds it recorded.
                        self.end(End::Whole);
                    }
                    let Some(links) = &mut self.links else { return Poll::Ready(Some(Ok(frame))) };
                    let passed = links.push(data);
                    if !passed.is_empty() {
                        return Poll::Ready(Some(Ok(Frame::data(passed.into()))));
                    }
                }
                Some(Err(error)) => {
                    self.end(End::Vendor(super::proxy::why(&error)));
                    return Poll::Ready(Some(Err(error)));
                }
                None => {
                    self.end(End::Whole);
                    self.flushed = true;
                    let rest = self.links.as_mut().map(Links::end).unwrap_or_default();
                    if !rest.is_empty() {
                        return Poll::Ready(Some(Ok(Frame::data(rest.into()))));
                    }
                }
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.links.is_none() && self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        if self.links.is_some() { SizeHint::default() } else { self.inner.size_hint() }
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        let how = if self.inner.is_end_stream() { End::Whole } else { End::Client };
        self.end(how);
    }
}
