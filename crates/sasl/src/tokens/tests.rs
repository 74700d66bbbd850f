use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair,
    RsaKeyPair,
};
use jsonwebtoken::jwk::Jwk;
use jsonwebtoken::{Algorithm as Signed, EncodingKey, Header};
use serde_json::{Value, json};
use telemetry::Registry;
use units::{Clock, Span};

use super::*;
use crate::http::tests::Server;
use crate::tokens::keys::Keys;

/// The time in these tests.
const NOW_SECONDS: u64 = 1_800_000_000;

/// A provider with one key.
pub(crate) struct Provider {
    key: EncodingKey,
    signed: Signed,
    id: Option<&'static str>,
}

impl Provider {
    pub(crate) fn new(signed: Signed, id: Option<&'static str>) -> Self {
        let random = SystemRandom::new();
        let key = match signed {
            Signed::ES256 | Signed::ES384 => {
                let kind = if signed == Signed::ES256 {
                    &ECDSA_P256_SHA256_FIXED_SIGNING
                } else {
                    &ECDSA_P384_SHA384_FIXED_SIGNING
                };
                let der = EcdsaKeyPair::generate_pkcs8(kind, &random).unwrap();
                EncodingKey::from_ec_der(der.as_ref())
            }
            Signed::EdDSA => EncodingKey::from_ed_der(
                Ed25519KeyPair::generate_pkcs8v1(&random).unwrap().as_ref(),
            ),
            _ => {
                let pair = RsaKeyPair::generate(KeySize::Rsa2048).unwrap();
                let der: Pkcs8V1Der<'_> = pair.as_der().unwrap();
                // What is wanted is PKCS #1, which begins behind 26 octets that are always the same.
                EncodingKey::from_rsa_der(&der.as_ref()[26..])
            }
        };
        Self { key, signed, id }
    }

    /// Its public key.
    pub(crate) fn jwk(&self) -> Value {
        let mut jwk = Jwk::from_encoding_key(&self.key, self.signed).unwrap();
        jwk.common.key_id = self.id.map(str::to_owned);
        serde_json::to_value(jwk).unwrap()
    }

    pub(crate) fn jwks(&self) -> String {
        json!({ "keys": [self.jwk()] }).to_string()
    }

    /// A good token with some claims changed; a null takes one out.
    pub(crate) fn token(&self, changes: Value) -> String {
        let mut header = Header::new(self.signed);
        header.kid = self.id.map(str::to_owned);
        jsonwebtoken::encode(&header, &claims(changes), &self.key).unwrap()
    }
}

fn claims(changes: Value) -> Value {
    let mut claims = json!({
        "iss": "https://login.example.com/",
        "aud": ["other", "smtp"],
        "exp": NOW_SECONDS + 300,
        "sub": "4711",
        "email": "alice@example.com",
    });
    let Value::Object(changes) = changes else { panic!("changes are an object") };
    for (name, value) in changes {
        claims[name] = value;
    }
    claims.as_object_mut().unwrap().retain(|_, value| !value.is_null());
    claims
}

pub(crate) fn settings(place: Value) -> config::Tokens {
    let mut settings = json!({
        "issuer": "https://login.example.com/",
        "audience": ["smtp"],
        "algorithms": ["ES256", "ES384", "EdDSA", "RS256", "PS256"],
        "leeway": "1m",
    });
    let Value::Object(place) = place else { panic!("a place is an object") };
    for (name, value) in place {
        settings[name] = value;
    }
    serde_json::from_value(settings).unwrap()
}

pub(crate) fn clock() -> Clock {
    Clock::manual(NOW_SECONDS * 1000)
}

fn tokens(keys: &str) -> Tokens {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), keys).unwrap();
    let settings = settings(json!({ "keys_file": file.path() }));
    Tokens::open(&settings, clock(), Metrics::register(&Registry::new())).unwrap()
}

async fn fault(tokens: &Tokens, token: &str) -> String {
    match tokens.check(token).await {
        Err(TokenFault::Wrong(words)) => words,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_good_token_names_its_account() {
    for signed in [Signed::ES256, Signed::ES384, Signed::EdDSA, Signed::RS256] {
        let provider = Provider::new(signed, Some("k1"));
        let tokens = tokens(&provider.jwks());
        assert_eq!(
            tokens.check(&provider.token(json!({}))).await,
            Ok("4711".to_owned()),
            "{signed:?}"
        );
        let bare =
            provider.token(json!({ "aud": "smtp", "nbf": NOW_SECONDS, "exp": 1_800_000_000.5 }));
        assert_eq!(tokens.check(&bare).await, Ok("4711".to_owned()), "{signed:?}");
    }
}

#[tokio::test]
async fn each_claim_counts() {
    let provider = Provider::new(Signed::ES256, None);
    let tokens = tokens(&provider.jwks());
    for (changes, want) in [
        (
            json!({ "iss": "https://evil.example/\r\n" }),
            "the token was given by `https://evil.example/??`",
        ),
        (json!({ "iss": null }), "the token was given by ``"),
        (json!({ "iss": ["https://login.example.com/"] }), "the token was given by ``"),
        (json!({ "aud": "other" }), "the token is made out for somebody else (aud)"),
        (json!({ "aud": [] }), "the token is made out for somebody else (aud)"),
        (json!({ "aud": null }), "the token is made out for somebody else (aud)"),
        (json!({ "exp": NOW_SECONDS - 60 }), "the token has expired"),
        (json!({ "exp": null }), "the token does not say when it expires"),
        (json!({ "exp": "tomorrow" }), "the token does not say when it expires"),
        (json!({ "exp": -1 }), "the token does not say when it expires"),
        (json!({ "nbf": NOW_SECONDS + 61 }), "the token is not valid yet"),
        (json!({ "nbf": "x" }), "the token is not valid yet"),
        (json!({ "sub": null }), "the token has no claim `sub`"),
        (json!({ "sub": "" }), "the token has no claim `sub`"),
        (json!({ "sub": 4711 }), "the token has no claim `sub`"),
    ] {
        assert_eq!(fault(&tokens, &provider.token(changes)).await, want);
    }
    assert!(
        tokens.check(&provider.token(json!({ "exp": NOW_SECONDS - 59 }))).await.is_ok(),
        "within the leeway"
    );
}

#[tokio::test]
async fn signatures_cannot_be_forged() {
    let (provider, other) =
        (Provider::new(Signed::ES256, Some("k1")), Provider::new(Signed::ES256, Some("k1")));
    let tokens = tokens(&provider.jwks());
    let good = provider.token(json!({}));
    assert!(fault(&tokens, &other.token(json!({}))).await.contains("signature is wrong"));
    let stranger = Provider { id: Some("k\u{1b}2"), ..Provider::new(Signed::ES256, None) };
    assert_eq!(
        fault(&tokens, &stranger.token(json!({}))).await,
        "the token is signed with a key that the provider does not name (id `k?2`)"
    );
    let [head, _, signature] = good.split('.').collect::<Vec<_>>().try_into().unwrap();
    let content = provider.token(json!({ "sub": "root" })).split('.').nth(1).unwrap().to_owned();
    assert!(
        fault(&tokens, &format!("{head}.{content}.{signature}"))
            .await
            .contains("signature is wrong")
    );
    for bad in [
        "",
        "a.b.c",
        "..",
        &good.replace('.', ""),
        &format!("{head}..{signature}"),
        &format!("{good}.x"),
    ] {
        fault(&tokens, bad).await;
    }
}

#[tokio::test]
async fn neither_none_nor_a_keyed_hash_is_a_signature() {
    let provider = Provider::new(Signed::RS256, Some("k1"));
    let jwk = provider.jwk();
    let mut keys =
        json!({ "keys": [jwk, { "kty": "oct", "kid": "k2", "alg": "HS256", "k": "c2VjcmV0" }] });
    let tokens = tokens(&keys.to_string());
    let public = keys["keys"][0].take();
    let secrets = [
        public["n"].as_str().unwrap().as_bytes().to_vec(),
        public.to_string().into_bytes(),
        b"secret".to_vec(),
    ];
    for (secret, id) in secrets.iter().zip(["k1", "k1", "k2"]) {
        let mut header = Header::new(Signed::HS256);
        header.kid = Some(id.to_owned());
        let token =
            jsonwebtoken::encode(&header, &claims(json!({})), &EncodingKey::from_secret(secret))
                .unwrap();
        assert_eq!(
            fault(&tokens, &token).await,
            "the token is signed with HS256, which is not allowed"
        );
    }
    let encoded = |value: Value| {
        use base64::Engine;
        base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(value.to_string())
    };
    for name in ["none", "None", "NONE"] {
        let token = format!(
            "{}.{}.",
            encoded(json!({ "alg": name, "kid": "k1" })),
            encoded(claims(json!({})))
        );
        assert!(fault(&tokens, &token).await.contains("not a signed one"));
    }
    let mut critical = Header::new(Signed::RS256);
    (critical.kid, critical.crit) = (Some("k1".to_owned()), Some(vec!["b64".to_owned()]));
    let token = jsonwebtoken::encode(&critical, &claims(json!({})), &provider.key).unwrap();
    assert_eq!(fault(&tokens, &token).await, "the token demands that an extension be understood");
}

#[tokio::test]
async fn keys_that_are_not_for_signatures_are_left_out() {
    let provider = Provider::new(Signed::ES256, Some("k1"));
    let with = |name: &str, value: Value| {
        let mut jwk = provider.jwk();
        jwk[name] = value;
        Keys::read(json!({ "keys": [jwk] }).to_string().as_bytes()).is_ok()
    };
    assert!(with("use", json!("sig")) && with("key_ops", json!(["verify"])));
    assert!(
        !with("use", json!("enc"))
            && !with("key_ops", json!(["wrapKey"]))
            && !with("alg", json!("RSA-OAEP"))
    );
    let small = json!({ "keys": [{ "kty": "RSA", "n": "A".repeat(171), "e": "AQAB" }] });
    assert!(Keys::read(small.to_string().as_bytes()).is_err(), "an RSA key of 1024 bits");
    for bad in ["", "{}", "[]", "{\"keys\":[]}", "{\"keys\":[1,{}]}", "{\"keys\":{}}"] {
        assert!(Keys::read(bad.as_bytes()).is_err(), "{bad}");
    }
    // A key that is marked for one algorithm checks no other.
    let mut jwk = provider.jwk();
    jwk["alg"] = json!("ES384");
    let tokens = tokens(&json!({ "keys": [jwk] }).to_string());
    assert!(fault(&tokens, &provider.token(json!({}))).await.contains("does not name"));
}

#[tokio::test]
async fn a_token_without_a_key_id_needs_a_single_key() {
    let (one, two) = (Provider::new(Signed::ES256, None), Provider::new(Signed::ES256, None));
    let both = tokens(&json!({ "keys": [one.jwk(), two.jwk()] }).to_string());
    assert!(fault(&both, &one.token(json!({}))).await.ends_with("(no id)"));
    let other = Provider::new(Signed::EdDSA, None);
    let mixed = tokens(&json!({ "keys": [one.jwk(), other.jwk()] }).to_string());
    assert!(mixed.check(&one.token(json!({}))).await.is_ok());
}

#[tokio::test]
async fn keys_are_fetched_and_old_ones_stay_when_that_fails() {
    let server = Server::start().await;
    let (first, second) =
        (Provider::new(Signed::ES256, Some("k1")), Provider::new(Signed::ES256, Some("k2")));
    let registry = Registry::new();
    let time = clock();
    let settings =
        config::Tokens { leeway: Span::hours(9), ..settings(json!({ "keys_url": server.url })) };
    let tokens = Tokens::open(&settings, time.clone(), Metrics::register(&registry)).unwrap();
    let (old, new) = (first.token(json!({})), second.token(json!({})));

    server.answers(503, "");
    let unavailable = tokens.check(&old).await.unwrap_err();
    assert_eq!(
        unavailable,
        TokenFault::Unavailable("the identity provider's keys are not here yet".to_owned())
    );
    server.answers(200, &first.jwks());
    assert!(
        matches!(tokens.check(&old).await, Err(TokenFault::Unavailable(_))),
        "asked a moment ago"
    );
    assert_eq!(server.asked().len(), 1);
    time.advance(source::FETCH_REST);
    assert!(tokens.check(&old).await.is_ok());

    for (code, body) in [
        (500, String::new()),
        (302, first.jwks()),
        (200, "{}".to_owned()),
        (200, "x".repeat(300 << 10)),
    ] {
        server.answers(code, &body);
        assert!(tokens.source.refresh().await.is_err());
        assert!(tokens.check(&old).await.is_ok(), "{code}");
    }
    time.advance(source::FETCH_REST);
    assert!(fault(&tokens, &new).await.contains("does not name (id `k2`)"));
    server.answers(200, &second.jwks());
    time.advance(source::FETCH_REST);
    assert!(tokens.check(&new).await.is_ok(), "an unknown key is looked for");
    assert!(
        fault(&tokens, &old).await.contains("does not name (id `k1`)"),
        "a withdrawn key is not used"
    );
    let text = registry.render();
    for line in [
        "token_keys_fetches_total{result=\"done\"} 2",
        "token_keys_fetches_total{result=\"failed\"} 6",
    ] {
        assert!(text.contains(line), "{line} is missing in\n{text}");
    }
}

#[test]
fn a_place_without_keys_is_refused() {
    let metrics = || Metrics::register(&Registry::new());
    let open =
        |place: Value| Tokens::open(&settings(place), clock(), metrics()).unwrap_err().to_string();
    assert_eq!(open(json!({})), "tokens.keys_url is missing, and keys_file too");
    assert!(open(json!({ "keys_url": "http://a.example/" })).contains("neither https://"));
    assert_eq!(open(json!({ "keys_file": "/nowhere/keys" })), "/nowhere/keys cannot be read");
    let file = tempfile::NamedTempFile::new().unwrap();
    assert!(open(json!({ "keys_file": file.path() })).ends_with("it is not a key set (JWKS)"));
}
