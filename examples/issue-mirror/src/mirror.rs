//! The mirror: follows the pages of the issue list and keeps what they hold.
//!
//! Knows: the order of work and what is kept when it fails. Must not know: header fields.

use std::fmt;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use rand::rngs::{StdRng, SysRng};
use rand::{RngExt as _, SeedableRng as _};

use crate::github::{CallError, Fetched, fetch};
use crate::policy::Policy;
use crate::retry::{Advice, wait};
use crate::store::{Held, Issue, Page, Store};

type Now = Arc<dyn Fn() -> SystemTime + Send + Sync>;

/// Mirrors one repository.
pub struct Mirror {
    client: reqwest::Client,
    base_url: String,
    token: String,
    repository: String,
    per_page: u8,
    policy: Policy,
    store: Store,
    chance: StdRng,
    now: Now,
}

/// What a sync did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Pages read anew.
    pub read: usize,
    /// Pages that had not changed, which cost no quota.
    pub unchanged: usize,
}

/// Why a sync failed.
#[derive(Debug, thiserror::Error)]
pub enum SyncError {
    /// A page could not be had.
    #[error("page {page}: {why}")]
    Page {
        /// Which page, from 1.
        page: usize,
        /// Why.
        why: CallError,
    },
    /// A page points at one that was read already, or at another host, where the token must not go.
    #[error("page {page} names a next page that cannot be followed: {next}")]
    Astray {
        /// Which page, from 1.
        page: usize,
        /// Where it points.
        next: String,
    },
    /// The store could not be read or written.
    #[error("the store: {0}")]
    Store(#[from] io::Error),
}

/// A plain client. Its TLS stands on ring, which builds in seconds.
fn client() -> reqwest::Client {
    // A provider that the program has installed already is as good.
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::new()
}

impl Mirror {
    /// A mended mirror of `octocat/hello-world` at the API's `base_url`, which keeps its store in
    /// `state_dir`; the methods below change one thing each.
    pub fn new(base_url: impl Into<String>, token: impl Into<String>, state_dir: impl AsRef<Path>) -> Mirror {
        Mirror {
            client: client(),
            base_url: base_url.into().trim_end_matches('/').to_owned(),
            token: token.into(),
            repository: "octocat/hello-world".to_owned(),
            per_page: 100,
            policy: Policy::mended(),
            store: Store::new(state_dir.as_ref()),
            chance: system_chance(),
            now: Arc::new(system_now),
        }
    }

    /// Mirrors `owner/name`.
    #[must_use]
    pub fn repository(mut self, owner_and_name: impl Into<String>) -> Mirror {
        self.repository = owner_and_name.into();
        self
    }

    /// Asks for so many issues a page (GitHub gives at most 100).
    #[must_use]
    pub fn per_page(mut self, issues: u8) -> Mirror {
        self.per_page = issues;
        self
    }

    /// Takes another policy.
    #[must_use]
    pub fn policy(mut self, policy: Policy) -> Mirror {
        self.policy = policy;
        self
    }

    /// Draws jitter from `seed` instead of the system's entropy.
    #[must_use]
    pub fn seed(mut self, seed: u64) -> Mirror {
        self.chance = StdRng::seed_from_u64(seed);
        self
    }

    /// Takes the time from `now` instead of the system's clock.
    #[must_use]
    pub fn clock(mut self, now: impl Fn() -> SystemTime + Send + Sync + 'static) -> Mirror {
        self.now = Arc::new(now);
        self
    }

    /// The issues that are held, in the order of their pages.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub fn issues(&self) -> io::Result<Vec<Issue>> {
        self.store.issues()
    }

    /// Brings the store up to date.
    ///
    /// # Errors
    /// [`SyncError`]; what the store holds then is a matter of [`Policy::atomic`].
    pub async fn sync(&mut self) -> Result<Report, SyncError> {
        let before = if self.policy.atomic { self.store.read()? } else { Held::default() };
        let mut after = Held::default();
        let done = self.follow(&before, &mut after).await;
        match &done {
            Ok(_) if self.policy.atomic => self.store.write_whole(&after)?,
            Err(_) if !self.policy.atomic => self.store.write_in_place(&Held::default())?,
            _ => {}
        }
        done
    }

    /// Follows the pages from the first to the last.
    async fn follow(&mut self, before: &Held, after: &mut Held) -> Result<Report, SyncError> {
        let mut report = Report::default();
        // Oldest first: an issue opened meanwhile joins the last page and shifts none.
        let mut next = Some(format!(
            "{}/repos/{}/issues?state=all&sort=created&direction=asc&per_page={}",
            self.base_url, self.repository, self.per_page
        ));
        while let Some(url) = next {
            let n = after.pages.len() + 1;
            let held = before.page(&url).filter(|p| self.policy.conditional && p.etag.is_some());
            let page = match self.page(&url, held).await.map_err(|why| SyncError::Page { page: n, why })? {
                Fetched::Page(page) => {
                    report.read += 1;
                    page
                }
                Fetched::Unchanged => {
                    report.unchanged += 1;
                    held.cloned().unwrap_or(Page { url, etag: None, next: None, issues: Vec::new() })
                }
            };
            next = page.next.clone();
            after.pages.push(page);
            if let Some(next) =
                next.clone().filter(|next| self.policy.verify && !self.may_follow(next, after))
            {
                return Err(SyncError::Astray { page: n, next });
            }
            if !self.policy.atomic {
                self.store.write_in_place(after)?;
            }
        }
        Ok(report)
    }

    fn may_follow(&self, next: &str, seen: &Held) -> bool {
        next.strip_prefix(&self.base_url).is_some_and(|rest| rest.starts_with('/'))
            && seen.page(next).is_none()
    }

    /// Asks for one page until it comes or patience ends.
    async fn page(&mut self, url: &str, held: Option<&Page>) -> Result<Fetched, CallError> {
        let etag = held.and_then(|p| p.etag.as_deref());
        let mut attempt = 1;
        loop {
            let call = fetch(&self.client, &self.token, &self.policy, url, etag, &*self.now);
            let answer = match self.policy.timeout {
                None => call.await,
                Some(limit) => within(limit, call).await,
            };
            let (error, advice) = match answer {
                Ok(page) => return Ok(page),
                Err(failed) => failed,
            };
            let draw = self.chance.random::<f64>();
            match self.policy.retries.and_then(|r| wait(&r, attempt, advice, draw)) {
                Some(pause) => tokio::time::sleep(pause).await,
                None => return Err(error),
            }
            attempt += 1;
        }
    }
}

/// The timeout spans the whole call, the body included: a body that drips is as late as none.
async fn within(
    limit: Duration,
    call: impl Future<Output = Result<Fetched, (CallError, Advice)>>,
) -> Result<Fetched, (CallError, Advice)> {
    match tokio::time::timeout(limit, call).await {
        Ok(answer) => answer,
        Err(_) => Err((CallError::Late(limit), Advice::BackOff)),
    }
}

fn system_chance() -> StdRng {
    // Without entropy jitter is only less good, and nothing here is a secret.
    StdRng::try_from_rng(&mut SysRng).unwrap_or_else(|_| StdRng::seed_from_u64(std::process::id().into()))
}

#[expect(clippy::disallowed_methods, reason = "the edge: whoever drills the mirror injects a clock")]
fn system_now() -> SystemTime {
    SystemTime::now()
}

impl fmt::Debug for Mirror {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Not the token.
        f.debug_struct("Mirror").field("repository", &self.repository).field("policy", &self.policy).finish()
    }
}
