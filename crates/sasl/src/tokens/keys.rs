//! The public keys of an identity provider (RFC 7517).

use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, Jwk, KeyOperations, PublicKeyUse};
use jsonwebtoken::{Algorithm, AlgorithmFamily, DecodingKey, Header};
use serde::Deserialize;
use serde_json::Value;

/// No provider has more in use.
const KEYS_MAX: usize = 100;
/// 2048 bits.
const RSA_OCTETS_MIN: usize = 256;

/// One key that can check signatures.
#[derive(Clone)]
pub(crate) struct Key {
    id: Option<Box<str>>,
    /// What it may sign, if the provider says so.
    algorithm: Option<Algorithm>,
    curve: Option<EllipticCurve>,
    decoding: DecodingKey,
}

impl Key {
    pub(crate) const fn decoding(&self) -> &DecodingKey {
        &self.decoding
    }

    /// Whether it can have signed with `algorithm`. A key of one family never checks the signatures of another.
    fn signs(&self, algorithm: Algorithm) -> bool {
        let is_curve = match (algorithm, &self.curve) {
            (Algorithm::ES256, Some(curve)) => *curve == EllipticCurve::P256,
            (Algorithm::ES384, Some(curve)) => *curve == EllipticCurve::P384,
            (Algorithm::EdDSA, Some(curve)) => *curve == EllipticCurve::Ed25519,
            (_, curve) => curve.is_none(),
        };
        is_curve
            && algorithm.family() == self.decoding.family()
            && self.algorithm.is_none_or(|mine| mine == algorithm)
    }

    fn read(value: &Value) -> Option<Self> {
        let jwk = Jwk::deserialize(value).ok()?;
        let is_for_signatures = match (&jwk.common.public_key_use, &jwk.common.key_operations) {
            (Some(purpose), _) if *purpose != PublicKeyUse::Signature => false,
            (_, Some(operations)) => operations.contains(&KeyOperations::Verify),
            _ => true,
        };
        let curve = match &jwk.algorithm {
            AlgorithmParameters::EllipticCurve(parameters) => Some(parameters.curve.clone()),
            AlgorithmParameters::OctetKeyPair(parameters) => Some(parameters.curve.clone()),
            // Octets of base64; leading zeros do not matter so near.
            AlgorithmParameters::RSA(parameters)
                if parameters.n.len() / 4 * 3 >= RSA_OCTETS_MIN - 2 =>
            {
                None
            }
            // A shared secret is none once it is published; what is unknown is left out.
            _ => return None,
        };
        let algorithm = match jwk.common.key_algorithm {
            None => None,
            Some(name) => Some(Algorithm::try_from(name).ok()?),
        };
        let decoding = DecodingKey::from_jwk(&jwk).ok()?;
        let is_public = decoding.family() != AlgorithmFamily::Hmac;
        let id = jwk.common.key_id.map(String::into_boxed_str);
        (is_for_signatures && is_public).then_some(Self { id, algorithm, curve, decoding })
    }
}

impl std::fmt::Debug for Key {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "Key({:?}, {:?})", self.id, self.decoding.family())
    }
}

/// The keys of one fetch.
#[derive(Debug, Default)]
pub(crate) struct Keys(Vec<Key>);

#[derive(Deserialize)]
struct Set {
    keys: Vec<Value>,
}

impl Keys {
    /// Reads a key set; keys that cannot check signatures are left out.
    ///
    /// # Errors
    /// Words, when it is no key set or no key is left.
    pub(crate) fn read(content: &[u8]) -> Result<Self, &'static str> {
        let set: Set = serde_json::from_slice(content).map_err(|_| "it is not a key set (JWKS)")?;
        let keys: Vec<_> = set.keys.iter().take(KEYS_MAX).filter_map(Key::read).collect();
        if keys.is_empty() {
            Err("it holds no public key that could check signatures")
        } else {
            Ok(Self(keys))
        }
    }

    pub(crate) const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The key that a token names; without a name, the only one that could have signed.
    pub(crate) fn find(&self, header: &Header) -> Option<Key> {
        let mut fits = self.0.iter().filter(|key| key.signs(header.alg));
        if header.kid.is_some() {
            return fits.find(|key| key.id.as_deref() == header.kid.as_deref()).cloned();
        }
        let only = fits.next()?;
        fits.next().is_none().then(|| only.clone())
    }
}
