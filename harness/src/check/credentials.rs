//! Credentials as they appear on the wire, whoever's they are.
//!
//! Knows: where HTTP and OAuth 2.0 put credentials (RFC 6749, 6750, 7617; common API-key header
//! fields). Must not know: any one vendor.

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use crate::wire::{Request, Response};

/// Header fields that carry an API key.
const KEY_HEADERS: [&str; 6] =
    ["x-api-key", "api-key", "apikey", "private-token", "x-shopify-access-token", "x-auth-token"];
/// Form and JSON fields of a token request or answer that are secret.
const SECRET_FIELDS: [&str; 8] = [
    "access_token",
    "refresh_token",
    "client_secret",
    "api_key",
    "password",
    "client_assertion",
    "id_token",
    "webhook_secret",
];

/// The credential that a request is sent with: what follows the scheme of `authorization`, or an
/// API key.
pub(super) fn presented(request: &Request) -> Option<&str> {
    let bare = request.headers.get("authorization").map(|value| {
        let value = value.trim();
        value.split_once(' ').map_or(value, |(_, rest)| rest.trim())
    });
    bare.or_else(|| KEY_HEADERS.iter().find_map(|h| request.headers.get(h))).filter(|v| !v.is_empty())
}

/// Everything secret in a presented credential: itself, and the password of a Basic one.
pub(super) fn secrets_of(credential: &str) -> Vec<String> {
    let mut secrets = vec![credential.to_owned()];
    let decoded = STANDARD.decode(credential).ok().and_then(|bytes| String::from_utf8(bytes).ok());
    if let Some((user, password)) = decoded.as_deref().and_then(|d| d.split_once(':')) {
        secrets.push(if password.is_empty() { user } else { password }.to_owned());
    }
    secrets
}

/// The value of a field in a form or JSON body.
pub(super) fn field<'b>(body: &'b [u8], name: &str) -> Option<Cow<'b, str>> {
    if let Ok(Value::Object(map)) = serde_json::from_slice::<Value>(body) {
        return map.get(name).and_then(Value::as_str).map(|s| Cow::Owned(s.to_owned()));
    }
    form_urlencoded::parse(body).find(|(n, _)| n == name).map(|(_, v)| v)
}

/// The secret fields of a body.
pub(super) fn secret_fields(body: &[u8]) -> Vec<String> {
    let json = serde_json::from_slice::<Value>(body).ok();
    let pairs: Vec<(String, String)> = match &json {
        Some(Value::Object(map)) => {
            map.iter().filter_map(|(k, v)| Some((k.clone(), v.as_str()?.to_owned()))).collect()
        }
        Some(_) => Vec::new(),
        None => form_urlencoded::parse(body).map(|(k, v)| (k.into_owned(), v.into_owned())).collect(),
    };
    pairs.into_iter().filter(|(k, _)| SECRET_FIELDS.contains(&k.as_str())).map(|(_, v)| v).collect()
}

/// The access token in an answer to a token request.
pub(super) fn issued(response: &Response) -> Option<String> {
    field(&response.body, "access_token").map(Cow::into_owned)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::Headers;

    fn with(name: &str, value: &str) -> Request {
        Request {
            method: "GET".into(),
            target: "/".into(),
            headers: Headers::of([(name, value)]),
            body: Default::default(),
        }
    }

    #[test]
    fn a_credential_is_found_in_its_usual_places() {
        assert_eq!(presented(&with("Authorization", "Bearer abc")), Some("abc"));
        assert_eq!(presented(&with("X-Api-Key", "abc")), Some("abc"));
        assert_eq!(presented(&with("accept", "abc")), None);
    }

    #[test]
    fn the_password_of_a_basic_credential_is_secret() {
        assert_eq!(
            secrets_of(&STANDARD.encode("sk_live_1:")),
            [STANDARD.encode("sk_live_1:"), "sk_live_1".into()]
        );
        assert_eq!(secrets_of(&STANDARD.encode("me:hunter2"))[1], "hunter2");
    }

    #[test]
    fn secret_fields_are_found_in_forms_and_json() {
        assert_eq!(secret_fields(b"grant_type=refresh_token&refresh_token=r%2D1"), ["r-1"]);
        assert_eq!(secret_fields(br#"{"access_token":"a","expires_in":1800}"#), ["a"]);
    }
}
