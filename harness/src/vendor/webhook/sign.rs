//! How deliveries are signed.
//!
//! Knows: the signing dialects, and the ways of getting them wrong. Must not know: events.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use serde::Deserialize;
use sha2::Sha256;

use crate::time::{At, Span};
use crate::vendor::template::Template;
use crate::wire::Headers;

/// How deliveries are signed.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SignSpec {
    /// The dialect.
    pub dialect: SignDialect,
    /// How a secret looks.
    pub secret: Template,
    /// How old a timestamp may be.
    #[serde(default)]
    pub tolerance: Option<Span>,
}

/// Ways of signing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SignDialect {
    /// Base64 HMAC-SHA256 of method, uri, body and timestamp in milliseconds.
    HubspotV3,
    /// `t=…,v1=…`: hex HMAC-SHA256 of `t.body`; several v1 during a roll.
    Stripe,
    /// `v1,<base64>`: HMAC-SHA256 of `id.timestamp.body`; several, space-separated, during a roll.
    StandardWebhooks,
    /// `sha256=<hex>`: HMAC-SHA256 of the body.
    Github,
    /// Base64 HMAC-SHA256 of the body.
    Shopify,
}

/// One delivery to sign.
pub struct Letter<'a> {
    /// The wall-clock time that the signature names.
    pub at: jiff::Timestamp,
    /// The delivery's id.
    pub id: &'a str,
    /// The subject's public URL.
    pub url: &'a str,
    /// The body.
    pub body: &'a [u8],
}

impl SignDialect {
    /// Whether one delivery can carry several signatures.
    pub fn takes_several(self) -> bool {
        matches!(self, SignDialect::Stripe | SignDialect::StandardWebhooks)
    }

    /// Whether the signature covers a timestamp.
    pub fn is_dated(self) -> bool {
        !matches!(self, SignDialect::Github | SignDialect::Shopify)
    }

    /// Writes the header fields that sign a letter with these secrets; with none, only what comes
    /// beside a signature.
    pub fn sign(self, letter: &Letter<'_>, secrets: &[&str], headers: &mut Headers) {
        let body = letter.body;
        let join = |signatures: Vec<String>, by: &str| signatures.join(by);
        match self {
            SignDialect::HubspotV3 => {
                let ms = letter.at.as_millisecond().to_string();
                headers.set("x-hubspot-request-timestamp", ms.as_str());
                if let Some(secret) = secrets.last() {
                    let parts: [&[u8]; 4] = [b"POST", letter.url.as_bytes(), body, ms.as_bytes()];
                    let mac = hmac(secret.as_bytes(), &parts);
                    headers.set("x-hubspot-signature-v3", STANDARD.encode(mac));
                    headers.set("x-hubspot-signature-version", "v3");
                }
            }
            SignDialect::Stripe => {
                let t = letter.at.as_second().to_string();
                let v1 =
                    |s: &&str| format!("v1={}", hex::encode(hmac(s.as_bytes(), &[t.as_bytes(), b".", body])));
                if !secrets.is_empty() {
                    let all = join(secrets.iter().map(v1).collect(), ",");
                    headers.set("stripe-signature", format!("t={t},{all}"));
                }
            }
            SignDialect::StandardWebhooks => {
                let t = letter.at.as_second().to_string();
                headers.set("webhook-id", letter.id);
                headers.set("webhook-timestamp", t.as_str());
                let v1 = |s: &&str| {
                    let parts: [&[u8]; 5] = [letter.id.as_bytes(), b".", t.as_bytes(), b".", body];
                    format!("v1,{}", STANDARD.encode(hmac(&standard_key(s), &parts)))
                };
                if !secrets.is_empty() {
                    headers.set("webhook-signature", join(secrets.iter().map(v1).collect(), " "));
                }
            }
            SignDialect::Github => {
                headers.set("x-github-delivery", letter.id);
                if let Some(secret) = secrets.last() {
                    let mac = hmac(secret.as_bytes(), &[body]);
                    headers.set("x-hub-signature-256", format!("sha256={}", hex::encode(mac)));
                }
            }
            SignDialect::Shopify => {
                headers.set("x-shopify-webhook-id", letter.id);
                if let Some(secret) = secrets.last() {
                    headers.set("x-shopify-hmac-sha256", STANDARD.encode(hmac(secret.as_bytes(), &[body])));
                }
            }
        }
    }
}

/// The key of a Standard Webhooks secret: what follows `whsec_` is base64.
fn standard_key(secret: &str) -> Vec<u8> {
    let inner = secret.strip_prefix("whsec_").unwrap_or(secret);
    STANDARD.decode(inner).unwrap_or_else(|_| inner.as_bytes().to_vec())
}

fn hmac(key: &[u8], parts: &[&[u8]]) -> Vec<u8> {
    // HMAC takes keys of any length, so this cannot fail.
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(key) else { return Vec::new() };
    parts.iter().for_each(|part| mac.update(part));
    mac.finalize().into_bytes().to_vec()
}

/// How old a signature may be where the vendor does not say.
const TOLERANCE: Span = Span::mins(5);

/// A moment before the tolerance of receivers.
pub fn too_old(spec: &SignSpec, now: At, epoch: jiff::Timestamp) -> jiff::Timestamp {
    ago(spec.tolerance.unwrap_or(TOLERANCE).0.saturating_add(Span::mins(1).0), now, epoch)
}

/// A moment well within the tolerance of receivers, and long ago: at four fifths of it.
pub fn late(spec: &SignSpec, now: At, epoch: jiff::Timestamp) -> jiff::Timestamp {
    ago(spec.tolerance.unwrap_or(TOLERANCE).0 / 5 * 4, now, epoch)
}

fn ago(back: u64, now: At, epoch: jiff::Timestamp) -> jiff::Timestamp {
    let back = jiff::SignedDuration::from_micros(i64::try_from(back).unwrap_or(i64::MAX));
    now.on_wall(epoch).checked_sub(back).unwrap_or(jiff::Timestamp::MIN)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::FieldText;

    fn signed(dialect: SignDialect, secrets: &[&str]) -> Vec<(FieldText, FieldText)> {
        let letter = Letter {
            at: jiff::Timestamp::from_second(1_614_265_330).unwrap(),
            id: "msg_p5jXN8AQM9LWM0D4loKWxJek",
            url: "https://app.test/hooks",
            body: br#"{"test": 2432232314}"#,
        };
        let mut headers = Headers::default();
        dialect.sign(&letter, secrets, &mut headers);
        headers.0
    }

    #[test]
    fn standard_webhooks_match_the_specifications_example() {
        // The example of the Standard Webhooks specification and libraries.
        let got = signed(SignDialect::StandardWebhooks, &["whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"]);
        assert_eq!(
            got[2],
            ("webhook-signature".into(), "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=".into())
        );
    }

    #[test]
    fn github_matches_the_documented_example() {
        // docs.github.com/webhooks/using-webhooks/validating-webhook-deliveries
        let letter = Letter { at: jiff::Timestamp::UNIX_EPOCH, id: "d", url: "", body: b"Hello, World!" };
        let mut headers = Headers::default();
        SignDialect::Github.sign(&letter, &["It's a Secret to Everybody"], &mut headers);
        assert_eq!(
            headers.get("x-hub-signature-256"),
            Some("sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17")
        );
    }

    #[test]
    fn a_roll_shows_as_several_signatures_where_the_dialect_has_room() {
        let stripe = signed(SignDialect::Stripe, &["old", "new"]);
        assert_eq!(stripe[0].1.matches("v1=").count(), 2);
        assert_eq!(signed(SignDialect::Shopify, &["old", "new"]), signed(SignDialect::Shopify, &["new"]));
        assert!(signed(SignDialect::Stripe, &[]).is_empty());
    }

    #[test]
    fn hubspot_signs_method_uri_body_and_milliseconds() {
        let got = signed(SignDialect::HubspotV3, &["secret"]);
        let text = br#"POSThttps://app.test/hooks{"test": 2432232314}1614265330000"#;
        assert_eq!(got[0].1, "1614265330000");
        assert_eq!(got[1].1, STANDARD.encode(hmac(b"secret", &[text])));
    }
}
