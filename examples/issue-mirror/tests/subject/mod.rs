//! The mirror as firedrill's subject: all that it takes to drill it.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::time::SystemTime;

use firedrill::subject::{Endpoints, Start, Subject};
use firedrill::time::Span;
use issue_mirror::{Mirror, Policy};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

/// The mirror under one policy.
pub struct Drilled(pub Policy);

impl Subject for Drilled {
    fn name(&self) -> &str {
        "issue-mirror"
    }

    fn run(&self, start: Start) -> Pin<Box<dyn Future<Output = Result<(), String>>>> {
        Box::pin(life(start, self.0.clone()))
    }
}

/// One life: sync at the start and every so often, and show the mirror, until told to stop.
async fn life(mut start: Start, policy: Policy) -> Result<(), String> {
    let github = start.vendors.get("github").ok_or("no vendor is called `github`")?;
    let setting = |name: &str| start.settings.get(name).ok_or(format!("the setting `{name}` is missing"));
    let every: Span = setting("every")?.parse().map_err(|e| format!("{e}"))?;
    let clock = start.clock.clone();
    let mut mirror = Mirror::new(
        &github.base_url,
        github.credentials.get("api_key").map_or("", String::as_str),
        &start.state_dir,
    )
    .repository(setting("repository")?)
    .per_page(setting("per_page")?.parse().map_err(|e| format!("per_page: {e}"))?)
    .policy(policy)
    .seed(start.seed.0)
    .clock(move || SystemTime::from(clock.now()));

    let listener = TcpListener::bind("127.0.0.1:0").await.map_err(|e| e.to_string())?;
    let address = listener.local_addr().map_err(|e| e.to_string())?;
    let exposed = BTreeMap::from([("mirror".to_owned(), format!("http://{address}/mirror"))]);
    start.ready.set(Endpoints { exposed, ..Endpoints::default() });

    let show = show(listener, start.state_dir.clone());
    let work = async {
        loop {
            // A sync that failed is tried again at the next turn.
            let _ = mirror.sync().await;
            tokio::time::sleep(every.duration()).await;
        }
    };
    tokio::select! {
        biased;
        _ = start.stop.wait_for(|stop| *stop) => Ok(()),
        failed = show => failed.map_err(|e| e.to_string()),
        () = work => Ok(()),
    }
}

/// Answers every request with the mirror as JSON. No task of its own: it ends with the life.
async fn show(listener: TcpListener, state: std::path::PathBuf) -> std::io::Result<()> {
    loop {
        let (mut socket, _) = listener.accept().await?;
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") && socket.read_buf(&mut head).await? > 0 {}
        let body = serde_json::to_string(&issue_mirror::issues(&state)?)?;
        let text = format!(
            "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
            body.len()
        );
        // Whoever asked may have gone.
        let _ = socket.write_all(text.as_bytes()).await;
    }
}
