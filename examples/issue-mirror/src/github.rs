//! One call to GitHub's issue list, and what came of it.
//!
//! Knows: the request, the answer, and what makes an answer good. Must not know: the store, or
//! how often a call is made.

use std::time::{Duration, SystemTime};

use http::HeaderMap;
use http::header::{CONTENT_TYPE, ETAG, IF_NONE_MATCH, LINK};

use crate::link;
use crate::policy::Policy;
use crate::retry::{Advice, advice};
use crate::store::{Issue, Page};

/// Why a call brought no page.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// No whole answer came.
    #[error("no whole answer from GitHub: {0}")]
    Transport(#[from] reqwest::Error),
    /// No whole answer came in time.
    #[error("no whole answer from GitHub within {0:?}")]
    Late(Duration),
    /// GitHub answered with an error.
    #[error("GitHub answered {0}")]
    Status(u16),
    /// GitHub answered with something that is not a page of issues.
    #[error("GitHub's answer is not a page of issues: {0}")]
    NotAPage(String),
}

/// A page, or that the held one is still good.
pub(crate) enum Fetched {
    Page(Page),
    Unchanged,
}

/// Asks for the page at `url` once; `etag` names the page that is held.
pub(crate) async fn fetch(
    client: &reqwest::Client,
    token: &str,
    policy: &Policy,
    url: &str,
    etag: Option<&str>,
    now: &(dyn Fn() -> SystemTime + Send + Sync),
) -> Result<Fetched, (CallError, Advice)> {
    let mut request = client
        .get(url)
        .bearer_auth(token)
        .header("accept", "application/vnd.github+json")
        .header("x-github-api-version", "2022-11-28")
        .header("user-agent", "issue-mirror");
    if let Some(etag) = etag {
        request = request.header(IF_NONE_MATCH, etag);
    }
    let lost = |e: reqwest::Error| (CallError::Transport(e.without_url()), Advice::BackOff);
    let mut response = request.send().await.map_err(lost)?;
    let (status, headers) = (response.status().as_u16(), response.headers().clone());
    if status == 304 && etag.is_some() {
        return Ok(Fetched::Unchanged);
    }
    let mut body = Vec::new();
    loop {
        match response.chunk().await {
            Ok(Some(chunk)) => body.extend_from_slice(&chunk),
            Ok(None) => break,
            // An answer that ends early is no answer.
            Err(e) if policy.verify => return Err(lost(e)),
            Err(_) => break,
        }
    }
    if status != 200 {
        return Err((CallError::Status(status), advice(status, &headers, &body, now())));
    }
    let issues = if policy.verify { verified(&headers, &body)? } else { believed(&body) };
    Ok(Fetched::Page(Page {
        url: url.to_owned(),
        etag: headers.get(ETAG).and_then(|v| v.to_str().ok()).map(str::to_owned),
        next: headers.get(LINK).and_then(|v| v.to_str().ok()).and_then(link::next).map(str::to_owned),
        issues: issues.into_iter().filter(|i| !i.is_pull).collect(),
    }))
}

/// The naive reading: a 200 is the truth, and what cannot be read is not there.
fn believed(body: &[u8]) -> Vec<Issue> {
    serde_json::from_slice(body).unwrap_or_default()
}

fn verified(headers: &HeaderMap, body: &[u8]) -> Result<Vec<Issue>, (CallError, Advice)> {
    // A gateway's error page comes and goes: worth another try.
    let wrong = |why: String| (CallError::NotAPage(why), Advice::BackOff);
    let kind = headers.get(CONTENT_TYPE).and_then(|v| v.to_str().ok()).unwrap_or("nothing");
    if !kind.starts_with("application/json") {
        return Err(wrong(format!("it is said to be {kind}")));
    }
    serde_json::from_slice(body).map_err(|e| wrong(e.to_string()))
}
