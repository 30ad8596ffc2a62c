//! The control API on its socket.
//!
//! Knows: HTTP, as far as it takes to hear a request and give an answer. Must not know: what is
//! asked.

use std::convert::Infallible;
use std::rc::Rc;

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;

use super::Control;
use super::deeds::{Answer, Asked};
use super::refusal::Refusal;
use super::routes;

/// The longest body that is read, in bytes.
const LONGEST: usize = 1 << 20;

/// Answers for as long as the vendors are served.
pub(super) async fn serve(control: Rc<Control>, listener: TcpListener) {
    loop {
        // A failed accept concerns one connection that is gone already.
        let Ok((socket, _)) = listener.accept().await else { continue };
        let _ = socket.set_nodelay(true);
        let control = control.clone();
        tokio::task::spawn_local(async move {
            let service = service_fn(|request| {
                let control = control.clone();
                async move { Ok::<_, Infallible>(answer(&control, request).await) }
            });
            // A client that breaks off concerns nobody else.
            let _ = hyper::server::conn::http1::Builder::new()
                .serve_connection(TokioIo::new(socket), service)
                .await;
        });
    }
}

async fn answer(control: &Rc<Control>, request: http::Request<Incoming>) -> http::Response<Full<Bytes>> {
    let answer = match asked(request).await {
        Ok(asked) => control.answer(&asked).await,
        Err(refusal) => Err(refusal),
    };
    let answer = answer.unwrap_or_else(|refusal| Answer::json(refusal.status, &refusal.body));
    let mut response = http::Response::new(Full::new(Bytes::from(answer.body)));
    *response.status_mut() =
        http::StatusCode::from_u16(answer.status).unwrap_or(http::StatusCode::INTERNAL_SERVER_ERROR);
    if answer.status != 204 {
        let kind = http::HeaderValue::from_static("application/json");
        response.headers_mut().insert(http::header::CONTENT_TYPE, kind);
    }
    response
}

async fn asked(request: http::Request<Incoming>) -> Result<Asked, Refusal> {
    let (head, body) = request.into_parts();
    let path = head.uri.path().to_owned();
    let route = routes::find(head.method.as_str(), &path).map_err(|methods| {
        if methods.is_empty() {
            let paths: Vec<&str> = routes::ROUTES.iter().map(|r| r.path).collect();
            Refusal::unknown("path", &path, &paths)
        } else {
            let help = format!("it takes {}", methods.join(", "));
            Refusal::new(405, format!("{path} does not take {}", head.method), Some(help))
        }
    })?;
    let body = Limited::new(body, LONGEST).collect().await.map_err(|_| {
        Refusal::new(413, format!("the body is longer than {LONGEST} bytes, or was broken off"), None)
    })?;
    let query = head.uri.query().unwrap_or_default().to_owned();
    Ok(Asked { route, path, query, body: body.to_bytes() })
}
