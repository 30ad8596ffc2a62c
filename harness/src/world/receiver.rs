//! Where the subject's alerts arrive.
//!
//! Knows: one small HTTP endpoint. Must not know: what an alert should say.

use std::io;
use std::net::Ipv4Addr;
use std::rc::Rc;

use http_body_util::{BodyExt, Full};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::TcpListener;

use super::{World, spawn};
use crate::trace::What;

/// Opens the endpoint; gives its URL and the listener to serve.
///
/// # Errors
/// If no port can be had.
pub(crate) async fn open() -> io::Result<(String, TcpListener)> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    let url = format!("http://{}/", listener.local_addr()?);
    Ok((url, listener))
}

/// Writes each alert that is posted to the trace, for as long as the drill lasts.
pub(crate) async fn alerts(world: Rc<World>, listener: TcpListener) {
    loop {
        let Ok((socket, _)) = listener.accept().await else { continue };
        let _ = socket.set_nodelay(true);
        let own = world.clone();
        spawn(&world, async move {
            let service = service_fn(|request: http::Request<hyper::body::Incoming>| {
                let world = own.clone();
                async move {
                    let body = request.into_body().collect().await?.to_bytes();
                    let mut body: Value = serde_json::from_slice(&body)
                        .unwrap_or_else(|_| Value::String(String::from_utf8_lossy(&body).into_owned()));
                    world.canon.canonical_json(&mut body);
                    world.recorder.note(What::Alert { body });
                    let mut answer = http::Response::new(Full::new(bytes::Bytes::new()));
                    *answer.status_mut() = http::StatusCode::NO_CONTENT;
                    Ok::<_, hyper::Error>(answer)
                }
            });
            // The client may leave as it likes; what it posted whole is written.
            let _ = hyper::server::conn::http1::Builder::new()
                .auto_date_header(false)
                .header_read_timeout(None)
                .serve_connection(TokioIo::new(socket), service)
                .await;
        });
    }
}
