//! A recording proxy in front of a vendor made for the test.

use std::path::{Path, PathBuf};
use std::time::Duration;

use axum::Router;
use firedrill::fixture::{Body, Exchange, Fixture, Plain, Rules};
use firedrill::record::{Notice, Recording, Summary, Upstream};
use tokio::net::TcpListener;
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

/// A recording under way.
pub struct Rig {
    /// Where the proxy listens.
    pub own: String,
    /// Where the vendor listens.
    pub vendor: String,
    folder: tempfile::TempDir,
    stop: oneshot::Sender<()>,
    done: JoinHandle<std::io::Result<Summary>>,
    notices: UnboundedReceiver<Notice>,
}

/// What a recording came to.
pub struct Recorded {
    pub summary: Summary,
    pub notices: Vec<Notice>,
    pub run: Option<Fixture>,
    /// All that is on disk, as text.
    pub text: String,
}

impl Recorded {
    pub fn exchange(&self, n: usize) -> &Exchange {
        &self.run.as_ref().expect("a run was recorded").exchanges[n]
    }

    pub fn body(&self, n: usize) -> &Body {
        self.exchange(n).response.body.as_ref().expect("a body was recorded")
    }
}

/// Serves `vendor` on a port of its own.
pub async fn serve(vendor: Router) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, vendor).await });
    address
}

impl Rig {
    pub async fn before(vendor: Router) -> Rig {
        Rig::with(serve(vendor).await, |_| {}).await
    }

    pub async fn with(vendor: String, change: impl FnOnce(&mut Recording)) -> Rig {
        let folder = tempfile::tempdir().unwrap();
        let mut recording = Recording {
            upstream: Upstream::new(&vendor, None).unwrap(),
            head: Fixture {
                origin: "a test".into(),
                recorded: jiff::civil::date(2026, 3, 1),
                ..Fixture::default()
            },
            file: file(folder.path()),
            rules: Rules::default(),
            largest_body: 1 << 20,
            uncompressed: false,
        };
        change(&mut recording);
        recording.head.plain = Plain::of(&recording.rules);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let own = format!("http://{}", listener.local_addr().unwrap());
        let (stop, stopped) = oneshot::channel();
        let (send, notices) = tokio::sync::mpsc::unbounded_channel();
        let done = tokio::spawn(recording.run(listener, async { drop(stopped.await) }, send));
        Rig { own, vendor, folder, stop, done, notices }
    }

    pub fn url(&self, target: &str) -> String {
        format!("{}{target}", self.own)
    }

    pub async fn end(mut self) -> Recorded {
        let _ = self.stop.send(());
        let summary = self.done.await.unwrap().unwrap();
        let mut notices = Vec::new();
        while let Some(notice) = self.notices.recv().await {
            notices.push(notice);
        }
        let file = file(self.folder.path());
        let text = std::fs::read_to_string(&file).unwrap_or_default();
        let run = file.exists().then(|| Fixture::read(&file).unwrap());
        Recorded { summary, notices, run, text }
    }
}

fn file(folder: &Path) -> PathBuf {
    Fixture::path(folder, "notes", "run")
}

/// A client that goes where it is told and decodes nothing.
pub fn client() -> reqwest::Client {
    crate::provider::name();
    reqwest::Client::builder()
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none())
        .timeout(Duration::from_secs(30))
        .build()
        .unwrap()
}

/// A vendor's JSON.
pub fn json_body(value: serde_json::Value) -> impl axum::response::IntoResponse {
    ([("content-type", "application/json")], value.to_string())
}
