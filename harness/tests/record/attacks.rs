//! Secrets in every place that one can think of: none of them reaches the disk, by being taken out
//! or by its exchange being held back.

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::response::IntoResponse as _;
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use std::sync::{Arc, Mutex};

use crate::rig::{Rig, client};

/// A secret and the exchange that it stands in.
#[derive(Clone, Default)]
struct Attack {
    what: &'static str,
    secret: String,
    target: String,
    request: Vec<(&'static str, String)>,
    sent: Option<(&'static str, Vec<u8>)>,
    response: Vec<(&'static str, String)>,
    body: (&'static str, Vec<u8>),
}

fn attack(what: &'static str, secret: &str) -> Attack {
    Attack {
        what,
        secret: secret.to_owned(),
        target: "/x".to_owned(),
        body: ("application/json", b"{}".to_vec()),
        ..Attack::default()
    }
}

impl Attack {
    fn at(self, target: String) -> Attack {
        Attack { target, ..self }
    }
    fn field(mut self, name: &'static str, value: String) -> Attack {
        self.request.push((name, value));
        self
    }
    fn answered_field(mut self, name: &'static str, value: String) -> Attack {
        self.response.push((name, value));
        self
    }
    fn sent(self, kind: &'static str, body: impl Into<Vec<u8>>) -> Attack {
        Attack { sent: Some((kind, body.into())), ..self }
    }
    fn answered(self, kind: &'static str, body: impl Into<Vec<u8>>) -> Attack {
        Attack { body: (kind, body.into()), ..self }
    }
}

const JSON: &str = "application/json";
const FORM: &str = "application/x-www-form-urlencoded";
const XML: &str = "text/xml";
const MULTIPART: &str = "multipart/form-data; boundary=b";

/// Whether it shows on disk: in the clear, or behind one of the usual codings.
fn shows(text: &str, secret: &str) -> bool {
    let middle = |text: String| text.get(4..text.len().saturating_sub(4)).unwrap_or_default().to_owned();
    // Where base64 begins decides how it reads: of three ways one is found.
    let coded = (0..3).map(|n| middle(STANDARD.encode(format!("{}{secret}", "x".repeat(n)))));
    let mut all = coded.chain([hex::encode(secret), secret.to_owned()]);
    all.any(|form| form.len() >= 4 && text.contains(&form))
}

#[rustfmt::skip]
fn attacks() -> Vec<Attack> {
    let basic = |pair: &str| format!("Basic {}", STANDARD.encode(pair));
    let part = |name: &str, value: &str| {
        format!("--b\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n--b--\r\n")
    };
    let file = |name: &str, value: &str| {
        let mut body = b"--b\r\nContent-Disposition: form-data; name=\"f\"; filename=\"a\"\r\nContent-Type: image/png\r\n\r\n\x89PNG\xff\xfe\r\n".to_vec();
        body.extend(part(name, value).into_bytes());
        body
    };
    vec![
        // -- JSON --------------------------------------------------------------------------
        attack("deep in JSON", "deep-9Qz7Lm").answered(JSON, r#"{"a":[{"b":{"client_secret":"deep-9Qz7Lm"}}]}"#),
        attack("an object under a secret's name", "part-9Qz7Lm").answered(JSON, r#"{"client_secret":{"id":"1","value":"part-9Qz7Lm"}}"#),
        attack("a list of secrets", "list-9Qz7Lm").answered(JSON, r#"{"backup_codes":["list-9Qz7Lm"]}"#),
        attack("a password that is a number", "82917364").answered(JSON, r#"{"password":82917364}"#),
        attack("JSON within JSON", "json-9Qz7Lm").answered(JSON, r#"{"raw":"{\"api_key\":\"json-9Qz7Lm\"}"}"#),
        attack("a name with a prefix", "pref-9Qz7Lm").answered(JSON, r#"{"stripeWebhookSecret":"pref-9Qz7Lm"}"#),
        attack("JSON that says it is text", "text-9Qz7Lm").answered("text/plain", r#"{"password": "text-9Qz7Lm"}"#),
        attack("Python's way of writing it", "pyth-9Qz7Lm").answered("text/plain", "{'password': 'pyth-9Qz7Lm'}"),
        attack("a line of events", "line-9Qz7Lm").answered("text/event-stream", "data: {\"access_token\":\"line-9Qz7Lm\"}\n\n"),
        attack("below a name that sounds of one", "s7Kq2Wm9Xz4Rt6Yb1Nc8").answered(JSON, r#"{"credentials":{"shop":"s7Kq2Wm9Xz4Rt6Yb1Nc8"}}"#),
        // -- header fields -----------------------------------------------------------------
        attack("a password in Basic", "basi-9Qz7Lm!").field("authorization", basic("ann:basi-9Qz7Lm!")).answered(JSON, r#"{"you":"basi-9Qz7Lm!"}"#),
        attack("a key as the user in Basic", "user-9Qz7Lm").field("authorization", basic("user-9Qz7Lm:")).answered(JSON, r#"{"you":"user-9Qz7Lm"}"#),
        attack("a key as the user, and an X", "userx-9Qz7Lm").field("authorization", basic("userx-9Qz7Lm:X")).answered(JSON, r#"{"you":"userx-9Qz7Lm"}"#),
        attack("credentials without a scheme", "sche-9Qz7Lm").field("authorization", "sche-9Qz7Lm".into()),
        attack("a digest", "dige-9Qz7Lm").field("authorization", "Digest username=\"a\", response=\"dige-9Qz7Lm\"".into()),
        attack("a forwarded credential", "forw-9Qz7Lm").field("x-forwarded-authorization", "Bearer forw-9Qz7Lm".into()),
        attack("a session's field", "sess-9Qz7Lm").field("x-session-id", "sess-9Qz7Lm".into()),
        attack("an application's key", "appk-9Qz7Lm").field("dd-application-key", "appk-9Qz7Lm".into()),
        attack("a cookie", "cook-9Qz7Lm").field("cookie", "a=1; sid=cook-9Qz7Lm".into()),
        attack("a cookie that is set", "setc-9Qz7Lm").answered_field("set-cookie", "sid=setc-9Qz7Lm; Path=/; Secure".into()),
        attack("a signature of Discord", "5f6e7d8c9b0a1234").field("x-signature-ed25519", "5f6e7d8c9b0a1234".into()),
        attack("a signature of PayPal", "papa-9Qz7Lm==").field("paypal-transmission-sig", "papa-9Qz7Lm==".into()),
        attack("a signature of Stripe", "v1=8c9b0a5f6e7d").field("stripe-signature", "t=1,v1=8c9b0a5f6e7d".into()),
        attack("a code in a redirect", "code-9Qz7Lm").answered_field("location", "https://app.test/cb?code=code-9Qz7Lm&state=1".into()),
        attack("a token behind a hash", "hash-9Qz7Lm").answered_field("location", "https://app.test/cb#access_token=hash-9Qz7Lm".into()),
        // -- addresses and forms -----------------------------------------------------------
        attack("a query", "quer-9Qz7Lm").at("/x?api_key=quer-9Qz7Lm".into()),
        attack("an escaped name", "esca-9Qz7Lm").at("/x?api%5Fkey=esca-9Qz7Lm".into()),
        attack("a signed address", "sign%2F9Qz7Lm").at("/x?sv=1&sig=sign%2F9Qz7Lm".into()),
        attack("a signed address in a body", "sigb-9Qz7Lm").answered(JSON, r#"{"download":"https://x.test/f?sv=1&sig=sigb-9Qz7Lm&se=2"}"#),
        attack("an address of Amazon", "amaz-9Qz7Lm").answered(JSON, r#"{"u":"https://x.test/f?X-Amz-Signature=amaz-9Qz7Lm"}"#),
        attack("a password in an address", "pwin-9Qz7Lm").answered(JSON, r#"{"u":"https://ann:pwin-9Qz7Lm@x.test/"}"#),
        attack("a key as the user of an address", "usin-9Qz7Lm").answered(JSON, r#"{"u":"https://usin-9Qz7Lm:@x.test/"}"#),
        attack("a form", "form-9Qz7Lm").sent(FORM, "grant_type=x&client_secret=form-9Qz7Lm"),
        attack("a nested form", "nest-9Qz7Lm").sent(FORM, "account%5Bpassword%5D=nest-9Qz7Lm"),
        attack("an authorization code", "auco-9Qz7Lm").sent(FORM, "grant_type=authorization_code&code=auco-9Qz7Lm"),
        attack("a verifier of PKCE", "pkce-9Qz7Lm").sent(FORM, "code_verifier=pkce-9Qz7Lm"),
        attack("an assertion", "asse-9Qz7Lm").sent(FORM, "grant_type=jwt&assertion=asse-9Qz7Lm"),
        attack("a form with a form inside", "fofo-9Qz7Lm").sent(FORM, "body=a%3D1%26password%3Dfofo-9Qz7Lm"),
        attack("a part of a form", "mult-9Qz7Lm").sent(MULTIPART, part("client_secret", "mult-9Qz7Lm")),
        attack("a part beside a file", "mulf-9Qz7Lm").sent(MULTIPART, file("client_secret", "mulf-9Qz7Lm")),
        // -- other formats -----------------------------------------------------------------
        attack("an element of XML", "elem-9Qz7Lm").answered(XML, "<a><Password>elem-9Qz7Lm</Password></a>"),
        attack("an element with a prefix", "soap-9Qz7Lm").answered(XML, "<w:Password Type=\"t\">soap-9Qz7Lm</w:Password>"),
        attack("character data", "cdat-9Qz7Lm").answered(XML, "<apiKey><![CDATA[cdat-9Qz7Lm]]></apiKey>"),
        attack("an attribute", "attr-9Qz7Lm").answered(XML, "<a password=\"attr-9Qz7Lm\"/>"),
        attack("a hidden field", "hidd-9Qz7Lm").answered("text/html", "<input type=\"hidden\" name=\"csrf_token\" value=\"hidd-9Qz7Lm\">"),
        attack("a hidden field, backwards", "back-9Qz7Lm").answered("text/html", "<input value='back-9Qz7Lm' name='authenticity_token'>"),
        attack("a tag of a page", "meta-9Qz7Lm").answered("text/html", "<meta name=\"csrf-token\" content=\"meta-9Qz7Lm\">"),
        attack("a line of YAML", "yaml-9Qz7Lm").answered("text/yaml", "a: 1\nclient_secret: yaml-9Qz7Lm\nb: 2\n"),
        attack("a line of settings", "sett-9Qz7Lm").answered("text/plain", "[a]\npassword = sett-9Qz7Lm\n"),
        attack("a connection string", "conn9Qz7Lm==").answered(JSON, r#"{"c":"AccountName=a;AccountKey=conn9Qz7Lm==;E=x"}"#),
        // -- by their look -----------------------------------------------------------------
        attack("a signed token", "c2lnbmF0dXJlLTk").answered(JSON, r#"{"a":"eyJhbGciOiJI.eyJzdWIiOiIx.c2lnbmF0dXJlLTk"}"#),
        attack("an encrypted token", "OKOawDo13gRp2oja").answered(JSON, r#"{"a":"eyJhbGciOiJSU0EtT0FFUCJ9.OKOawDo13gRp2oja.48V1_ALb6US04U3b.5eym8TW_c8SuK0lt.XFBoMYUZodetZdvT"}"#),
        attack("a token in a path", "AAF9Qz7Lm9Qz7Lm9Qz7Lm9Qz7Lm9Qz7Lm9Q").at("/bot123456789:AAF9Qz7Lm9Qz7Lm9Qz7Lm9Qz7Lm9Qz7Lm9Q/getMe".into()),
        attack("a private key", "MIIEvQIBADANBgkq").answered(JSON, r#"{"a":"-----BEGIN PRIVATE KEY-----\nMIIEvQIBADANBgkq\n-----END PRIVATE KEY-----"}"#),
        attack("a key as a name", "sk_live_9Qz7Lm9Qz7Lm").answered(JSON, r#"{"sk_live_9Qz7Lm9Qz7Lm":1}"#),
        // -- random, under a plain name ----------------------------------------------------
        attack("a key of Amazon's beside its id", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY").answered(JSON, r#"{"v":"AKIAIOSFODNN7EXAMPLF","s":"wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"}"#),
        attack("letters and digits", "f3Kq9Zp2Lx7Vb4Nm8Wt1Rs6Yd0Hc5Jg2Qe9Ua3To").answered(JSON, r#"{"val":["f3Kq9Zp2Lx7Vb4Nm8Wt1Rs6Yd0Hc5Jg2Qe9Ua3To"]}"#),
        attack("32 bytes in hex", "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08").answered(JSON, r#"{"ref":"9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"}"#),
        attack("32 bytes in base64", "q83vEjRWeJq83vASNFZ4mrze8BI0VniavN7wEjRWeJo=").answered(JSON, r#"{"data":"q83vEjRWeJq83vASNFZ4mrze8BI0VniavN7wEjRWeJo="}"#),
        attack("a private key without its frame", "MC4CAQAwBQYDK2VwBCIEIJ1hsZ3v/VpguoRK9JLsLMREScVpezJpGXA7rAMcrn9g").answered(JSON, r#"{"data":"MC4CAQAwBQYDK2VwBCIEIJ1hsZ3v/VpguoRK9JLsLMREScVpezJpGXA7rAMcrn9g"}"#),
        attack("a body that is nothing else", "Zk3nQ8vW2pL9xR5tY7uB1cD4eF6gH0jK").answered("text/plain", "Zk3nQ8vW2pL9xR5tY7uB1cD4eF6gH0jK\n"),
        attack("a field of a form", "Yk3nQ8vW2pL9xR5tY7uB1cD4eF6gH0jK").sent(FORM, "v=Yk3nQ8vW2pL9xR5tY7uB1cD4eF6gH0jK"),
        attack("a parameter", "Xk3nQ8vW2pL9xR5tY7uB1cD4eF6gH0jK").at("/x?v=Xk3nQ8vW2pL9xR5tY7uB1cD4eF6gH0jK".into()),
        attack("a header field", "Wk3nQ8vW2pL9xR5tY7uB1cD4eF6gH0jK").field("x-shop", "Wk3nQ8vW2pL9xR5tY7uB1cD4eF6gH0jK".into()),
        attack("the private part of a web key", "870MB6gfuTJ4HtUnUvYMyJpr5eUZNP4Bk43bVdj3eAE").answered(JSON, r#"{"kty":"EC","d":"870MB6gfuTJ4HtUnUvYMyJpr5eUZNP4Bk43bVdj3eAE"}"#),
        // -- behind codings ----------------------------------------------------------------
        attack("base64 of JSON", "b64j-9Qz7Lm").answered(JSON, format!("{{\"state\":\"{}\"}}", STANDARD.encode(r#"{"password":"b64j-9Qz7Lm"}"#))),
        attack("base64 of a form", "b64f-9Qz7Lm").at(format!("/x?s={}", URL_SAFE_NO_PAD.encode("a=1&password=b64f-9Qz7Lm"))),
        attack("base64 twice", "b64t-9Qz7Lm").answered(JSON, format!("{{\"state\":\"{}\"}}", STANDARD.encode(STANDARD.encode(r#"{"password":"b64t-9Qz7Lm"}"#)))),
        attack("hex of JSON", "hexj-9Qz7Lm").answered(JSON, format!("{{\"state\":\"{}\"}}", hex::encode(r#"{"password":"hexj-9Qz7Lm"}"#))),
        attack("a query within a query", "qinq-9Qz7Lm").at("/x?next=%2Fa%3Ftoken%3Dqinq-9Qz7Lm".into()),
        attack("a query within a query within one", "qqqq-9Qz7Lm").at("/x?next=%2Fa%3Fn%3D%252Fb%253Ftoken%253Dqqqq-9Qz7Lm".into()),
    ]
}

#[tokio::test]
async fn no_secret_reaches_the_disk_wherever_it_stands() {
    let attacks = attacks();
    let turn: Arc<Mutex<Option<Attack>>> = Arc::default();
    async fn answer(State(turn): State<Arc<Mutex<Option<Attack>>>>, _: Bytes) -> axum::response::Response {
        let attack = turn.lock().unwrap().clone().unwrap();
        let (kind, body) = attack.body;
        let mut response = body.into_response();
        response.headers_mut().insert("content-type", kind.parse().unwrap());
        for (name, value) in attack.response {
            response.headers_mut().insert(name, value.parse().unwrap());
        }
        response
    }
    // One run for each: what one has learned must not help another.
    let mut leaks = Vec::new();
    let mut fates = String::new();
    for attack in attacks {
        *turn.lock().unwrap() = Some(attack.clone());
        let vendor = Router::new().fallback(answer).with_state(turn.clone());
        let rig = Rig::before(vendor).await;
        let method = if attack.sent.is_some() { "POST" } else { "GET" };
        let mut request = client().request(method.parse().unwrap(), rig.url(&attack.target));
        for (name, value) in &attack.request {
            request = request.header(*name, value);
        }
        if let Some((kind, body)) = &attack.sent {
            request = request.header("content-type", *kind).body(body.clone());
        }
        request.send().await.unwrap().bytes().await.unwrap();
        let recorded = rig.end().await;
        let said = format!("{:?}", recorded.notices);
        if shows(&recorded.text, &attack.secret) {
            leaks.push(format!("{}: {}", attack.what, recorded.text));
        }
        assert!(!shows(&said, &attack.secret), "{}: it is said aloud: {said}", attack.what);
        let held = recorded.summary.held_back.len();
        assert_eq!(recorded.summary.recorded + held, 1, "{}: {said}", attack.what);
        fates += &format!("{:<10} {}\n", if held > 0 { "held back" } else { "taken out" }, attack.what);
    }
    assert!(leaks.is_empty(), "{} on disk:\n{}", leaks.len(), leaks.join("\n"));
    insta::assert_snapshot!(fates);
}

/// What is no secret, although some word of it sounds so.
#[tokio::test]
async fn what_is_no_secret_stays() {
    let body = serde_json::json!({
        "token_type": "bearer",
        "usage": { "total_tokens": 51234, "prompt_tokens": 9 },
        "keys": [{ "kty": "RSA", "kid": "s7Kq2Wm9Xz4Rt6Yb1Nc8", "n": "sXchDaQebHnPiGvyDOAT4saGEUetSyo9MKLOoWFsueri23bOdgWp4Dy1", "e": "AQAB" }],
        "error": { "code": "resource_missing", "param": "id" },
        "signature": "Ann Example",
        "author": "Bearer of news",
        "passwordless": true,
        "sha": "6dcb09b5b57875f334f61aebed695e2e4193db5e",
        "layers": [{ "digest": "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08" }],
        "cursors": { "after": "QVFIUjRtc2VTUlVmM0V3Q1dGTk1oZA9f86d081XyZ", "prev": "q83vEjRWeJq83vASNFZ4mrze8BI0VniavN7wEjRWeJo=" },
        "fileId": "1BxiMVs0XRA5nFMdKvBdBZjgmUUqptlbs74OgVE2upms",
        "node_id": "C_kwDOHrjuhNoAKDhjMzE3ZmRjZjU1NTBlOWIxNDU0MjFhMzM5ZDY2NDhkNjg0ZDIxODg",
        "customer": "fcaowns_1NnmXJGPxmnHQRkJFp4yDvu8",
        "note64": "IyBnaXQtcmVmcwpjcmVhdGVkIHdpdGggaW5pdGlhbCBjb21taXQ=",
        "session": { "id": 7, "state": "open" },
        "next": "https://x.test/a?page=2&state=open",
        "note": "the secret of a good soup: time",
    });
    let text = body.to_string();
    let vendor =
        Router::new().fallback(move || async move { ([("content-type", "application/json")], text.clone()) });
    let rig = Rig::before(vendor).await;
    client().get(rig.url("/x?state=open&code=DE&sort=name")).send().await.unwrap();
    let recorded = rig.end().await;
    assert_eq!(recorded.summary.held_back, []);
    assert_eq!(serde_json::from_slice::<serde_json::Value>(&recorded.body(0).bytes()).unwrap(), body);
    assert_eq!(recorded.exchange(0).request.target, "/x?state=open&code=DE&sort=name");
}
