//! Who sent a delivery. Knows HubSpot's v3 signature; must not know what is in the body.
//!
//! Base64 HMAC-SHA256 of method, full URI, raw body and timestamp
//! (<https://developers.hubspot.com/docs/api/webhooks/validating-requests>).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use http::{HeaderMap, Method, Uri};
use sha2::Sha256;

use crate::context::Context;
use crate::policy::{SecretsTried, SignatureCheck};
use crate::secret::Secret;

/// Refuses a delivery that HubSpot did not sign just now.
pub(super) fn verify(
    ctx: &Context,
    method: &Method,
    uri: &Uri,
    headers: &HeaderMap,
    body: &[u8],
) -> Result<(), &'static str> {
    let rule = ctx.policies.signature;
    if rule.check == SignatureCheck::Off {
        return Ok(());
    }
    let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let timestamp = header("x-hubspot-request-timestamp").ok_or("no timestamp")?;
    let sent_ms: i64 = timestamp.parse().map_err(|_| "bad timestamp")?;
    let far = ctx.now_ms().abs_diff(sent_ms);
    if rule.tolerance.is_some_and(|tolerance| u128::from(far) > tolerance.as_millis()) {
        return Err("timestamp too far from now");
    }
    let given = header("x-hubspot-signature-v3").ok_or("no signature")?;
    let given = STANDARD.decode(given.trim()).map_err(|_| "signature is not base64")?;
    let full_uri = match &ctx.config.hubspot.webhook_public_url {
        Some(url) => url.clone(),
        None => format!("http://{}{uri}", header("host").unwrap_or_default()),
    };
    let again;
    let body = match rule.check {
        SignatureCheck::ReserialisedJson => {
            let value: serde_json::Value = serde_json::from_slice(body).map_err(|_| "not JSON")?;
            again = value.to_string().into_bytes();
            &again[..]
        }
        _ => body,
    };
    let secrets =
        ctx.config.hubspot.webhook_secrets.read_lines().map_err(|_| "webhook secrets cannot be read")?;
    let tried = match rule.secrets {
        SecretsTried::All => secrets.len(),
        SecretsTried::First => 1,
    };
    let parts = [method.as_str().as_bytes(), full_uri.as_bytes(), body, timestamp.as_bytes()];
    match secrets.iter().take(tried).any(|secret| signs(secret, &parts, &given)) {
        true => Ok(()),
        false => Err("signature does not match"),
    }
}

fn signs(secret: &Secret, parts: &[&[u8]], given: &[u8]) -> bool {
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(secret.expose().as_bytes()) else { return false };
    for part in parts {
        mac.update(part);
    }
    mac.verify_slice(given).is_ok()
}
