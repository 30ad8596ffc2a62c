//! Who may call: static keys and OAuth refresh.
//!
//! Knows: keys and their roll, refresh tokens and their rotation (RFC 6749 §6, RFC 9700 §4.14.2),
//! access tokens and their end. Must not know: how refusals are worded.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use indexmap::IndexMap;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::seed::Stream;
use crate::time::{At, Span};
use crate::wire::Request;

use super::errors::{Case, Refusal};
use super::template::{Scope, Template};

/// How callers prove who they are.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AuthSpec {
    /// The dialect.
    pub dialect: AuthDialect,
    /// What becomes of a refresh token when it is used.
    #[serde(default)]
    pub mode: Rotation,
    /// The name of the credential that is handed over: `api_key` (for keys).
    #[serde(default = "api_key")]
    pub credential: String,
    /// How a key looks (for keys).
    #[serde(default)]
    pub key: Option<Template>,
    /// Whether the key may also come as the user name of Basic authentication.
    #[serde(default)]
    pub basic: bool,
    /// How long an old key works on after a roll; not at all by default.
    #[serde(default)]
    pub overlap: Span,
    /// How an access token looks (for OAuth).
    #[serde(default)]
    pub access_token: Option<Template>,
    /// How a refresh token looks (for OAuth).
    #[serde(default)]
    pub refresh_token: Option<Template>,
    /// How long an access token lives.
    #[serde(default)]
    pub lifetime: Option<Span>,
    /// How a client id looks.
    #[serde(default)]
    pub client_id: Option<Template>,
    /// How a client secret looks.
    #[serde(default)]
    pub client_secret: Option<Template>,
    /// The token answer. Roots: `access_token`, `refresh_token` (null where it stays the same and
    /// the vendor does not repeat it), `expires_in`.
    #[serde(default)]
    pub answer: Option<Template>,
    /// Whether the answer repeats a refresh token that stays the same.
    #[serde(default = "yes")]
    pub repeats_refresh_token: bool,
    /// Header fields without which a request is refused.
    #[serde(default)]
    pub required_headers: Vec<String>,
}

fn api_key() -> String {
    "api_key".to_owned()
}

fn yes() -> bool {
    true
}

/// Ways of proving who one is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AuthDialect {
    /// A static key as bearer token.
    Key,
    /// An access token as bearer token, got by a refresh token.
    OauthRefresh,
    /// Nothing is asked for.
    Open,
}

/// What becomes of a refresh token when it is used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Rotation {
    /// It stays.
    #[default]
    Static,
    /// A new one takes its place; using an old one again revokes the family (RFC 9700 §4.14.2).
    RotatingStrict,
    /// A new one takes its place; the one before still gives the same successor, once, so that a
    /// lost answer is survived.
    RotatingGrace,
}

/// The state of a vendor's credentials.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Auth {
    key: String,
    old_keys: BTreeMap<String, At>,
    key_revoked: bool,
    client_id: String,
    client_secret: String,
    refresh: String,
    /// The refresh token as the operator knows it: rotation is between client and vendor.
    handed: String,
    before: Option<(String, bool)>,
    retired: Vec<String>,
    revoked: bool,
    access: BTreeMap<String, At>,
    chance: Stream,
}

/// What a token request ended in.
pub struct Issued {
    /// The body.
    pub body: Value,
    /// When the access token expires.
    pub expires: At,
    /// Whether the refresh token changed.
    pub rotated: bool,
}

/// Who is there, or why not.
#[derive(Debug)]
pub struct Denied {
    /// The refusal.
    pub refusal: Refusal,
    /// Whether a credential came that is unknown, expired or revoked.
    pub stale: bool,
}

impl Auth {
    /// Fresh credentials.
    pub fn new(spec: &AuthSpec, chance: Stream) -> Auth {
        let mut auth = Auth {
            key: String::new(),
            old_keys: BTreeMap::new(),
            key_revoked: false,
            client_id: String::new(),
            client_secret: String::new(),
            refresh: String::new(),
            handed: String::new(),
            before: None,
            retired: Vec::new(),
            revoked: false,
            access: BTreeMap::new(),
            chance,
        };
        auth.key = auth.draw(spec.key.as_ref());
        auth.client_id = auth.draw(spec.client_id.as_ref());
        auth.client_secret = auth.draw(spec.client_secret.as_ref());
        auth.refresh = auth.draw(spec.refresh_token.as_ref());
        auth.handed.clone_from(&auth.refresh);
        auth
    }

    fn draw(&mut self, template: Option<&Template>) -> String {
        let mut scope = Scope {
            now: At::START,
            epoch: jiff::Timestamp::UNIX_EPOCH,
            roots: &[],
            chance: &mut self.chance,
        };
        template.and_then(|t| t.text(&mut scope)).unwrap_or_default()
    }

    /// What an operator hands over; a refresh token that was rotated since is not the operator's.
    pub fn credentials(&self, spec: &AuthSpec) -> BTreeMap<String, String> {
        let pairs: Vec<(&str, &String)> = match spec.dialect {
            AuthDialect::Key => vec![(spec.credential.as_str(), &self.key)],
            AuthDialect::OauthRefresh => vec![
                ("client_id", &self.client_id),
                ("client_secret", &self.client_secret),
                ("refresh_token", &self.handed),
            ],
            AuthDialect::Open => vec![],
        };
        pairs.into_iter().filter(|(_, v)| !v.is_empty()).map(|(n, v)| (n.to_owned(), v.clone())).collect()
    }

    /// Whether this request comes from somebody who may call.
    ///
    /// # Errors
    /// Why not.
    pub fn admit(&mut self, spec: &AuthSpec, now: At, request: &Request) -> Result<(), Denied> {
        for name in &spec.required_headers {
            if request.headers.get(name).is_none_or(str::is_empty) {
                let refusal = Refusal::case(Case::MissingHeader).with("header", name.as_str());
                return Err(Denied { refusal, stale: false });
            }
        }
        if spec.dialect == AuthDialect::Open {
            return Ok(());
        }
        let Some(token) = bearer(request, spec.basic) else {
            return Err(Denied { refusal: Refusal::case(Case::NoCredential), stale: false });
        };
        let expires = match spec.dialect {
            AuthDialect::Key if token == self.key && !self.key_revoked => return Ok(()),
            AuthDialect::Key => self.old_keys.get(&token),
            _ => self.access.get(&token),
        };
        match expires {
            Some(end) if now < *end => Ok(()),
            known => {
                let was_key = known.is_some() || (self.key_revoked && token == self.key);
                let case = if was_key { Case::StaleCredential } else { Case::BadCredential };
                let shown: String = token.chars().take(8).collect();
                Err(Denied { refusal: Refusal::case(case).with("key", format!("{shown}****")), stale: true })
            }
        }
    }

    /// Trades a refresh token for an access token. `params` are the form's fields.
    ///
    /// # Errors
    /// Why not, and whether the family was revoked by this very request.
    pub fn token(&mut self, spec: &AuthSpec, now: At, params: &Value) -> Result<Issued, (Refusal, bool)> {
        let field = |name: &str| params.get(name).and_then(Value::as_str).unwrap_or_default();
        let grant = field("grant_type");
        if grant != "refresh_token" {
            return Err((Refusal::case(Case::UnsupportedGrant).with("grant_type", grant), false));
        }
        if field("client_id") != self.client_id || field("client_secret") != self.client_secret {
            return Err((Refusal::case(Case::BadClient).with("client_id", field("client_id")), false));
        }
        let refused = || Refusal::case(Case::BadGrant);
        let given = field("refresh_token");
        if given.is_empty() {
            return Err((Refusal::case(Case::MissingParameter).with("param", "refresh_token"), false));
        }
        if self.revoked {
            return Err((refused(), false));
        }
        let mut rotated = false;
        if given == self.refresh {
            if spec.mode != Rotation::Static {
                let next = self.draw(spec.refresh_token.as_ref());
                let old = std::mem::replace(&mut self.refresh, next);
                if let Some((older, _)) = self.before.replace((old, false)) {
                    self.retired.push(older);
                }
                rotated = true;
            }
        } else if spec.mode == Rotation::RotatingGrace
            && let Some((before, used)) = &mut self.before
            && before == given
            && !*used
        {
            *used = true;
            rotated = true;
        } else {
            let old = self.retired.iter().chain(self.before.as_ref().map(|(t, _)| t)).any(|t| t == given);
            let reused = old && spec.mode == Rotation::RotatingStrict;
            if reused {
                self.revoke();
            }
            return Err((refused(), reused));
        }
        let access = self.draw(spec.access_token.as_ref());
        let lifetime = spec.lifetime.unwrap_or(Span::mins(30));
        let expires = now + lifetime;
        self.access.insert(access.clone(), expires);
        let refresh = (rotated || spec.repeats_refresh_token).then(|| self.refresh.clone());
        let (access, refresh) = (json!(access), json!(refresh));
        let seconds = json!(lifetime.0 / 1_000_000);
        let roots = [("access_token", &access), ("refresh_token", &refresh), ("expires_in", &seconds)];
        let body = match &spec.answer {
            Some(template) => {
                let mut scope = Scope {
                    now,
                    epoch: jiff::Timestamp::UNIX_EPOCH,
                    roots: &roots,
                    chance: &mut self.chance,
                };
                template.fill(&mut scope)
            }
            None => {
                json!({ "access_token": access, "token_type": "bearer", "expires_in": seconds, "refresh_token": refresh })
            }
        };
        Ok(Issued { body: without_nulls(body), expires, rotated })
    }

    /// Revokes the whole grant: the refresh token and every access token that came of it.
    pub fn revoke(&mut self) {
        self.revoked = true;
        self.expire();
    }

    /// Ends all access tokens early.
    pub fn expire(&mut self) {
        self.access.values_mut().for_each(|end| *end = At::START);
    }

    /// A new grant, as when a person connects the app again: the old one is void, access tokens
    /// live on, and the app's own id and secret stay.
    pub fn roll_grant(&mut self, spec: &AuthSpec) {
        let next = self.draw(spec.refresh_token.as_ref());
        // The old grant is another family: using it again is refused but revokes nothing.
        self.handed.clone_from(&next);
        self.refresh = next;
        self.before = None;
        self.retired.clear();
        self.revoked = false;
    }

    /// A new key; the old one works on for the vendor's overlap.
    pub fn roll_key(&mut self, spec: &AuthSpec, now: At) {
        let next = self.draw(spec.key.as_ref());
        let old = std::mem::replace(&mut self.key, next);
        let end = if self.key_revoked { At::START } else { now + spec.overlap };
        self.old_keys.insert(old, end);
        self.key_revoked = false;
    }

    /// The key is void, and nobody gets another.
    pub fn revoke_key(&mut self) {
        self.key_revoked = true;
    }
}

/// The words of an account's actions, by noun.
pub fn account_actions(spec: &AuthSpec) -> IndexMap<&'static str, &'static [&'static str]> {
    let mut nouns = IndexMap::new();
    match spec.dialect {
        AuthDialect::Key => {
            nouns.insert("keys", &["roll", "revoke"] as &[_]);
        }
        AuthDialect::OauthRefresh => {
            nouns.insert("oauth", &["revoke", "expire", "roll"] as &[_]);
        }
        AuthDialect::Open => {}
    }
    nouns
}

fn without_nulls(mut body: Value) -> Value {
    if let Value::Object(map) = &mut body {
        map.retain(|_, v| !v.is_null());
    }
    body
}

/// The token of an Authorization field (RFC 6750 §2.1; RFC 7617 where `basic`, the user name).
fn bearer(request: &Request, basic: bool) -> Option<String> {
    let (scheme, rest) = request.headers.get("authorization")?.split_once(' ')?;
    let rest = rest.trim();
    if scheme.eq_ignore_ascii_case("bearer") || scheme.eq_ignore_ascii_case("token") {
        return (!rest.is_empty()).then(|| rest.to_owned());
    }
    if basic && scheme.eq_ignore_ascii_case("basic") {
        let text = String::from_utf8(STANDARD.decode(rest).ok()?).ok()?;
        let user = text.split_once(':').map_or(text.as_str(), |(user, _)| user);
        return Some(user.to_owned());
    }
    None
}
