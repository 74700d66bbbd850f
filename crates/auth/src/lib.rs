//! SPF, DKIM, DMARC and ARC: what arrives is evaluated, what leaves is signed.
//!
//! **Takes** a client's address and names, an envelope, content as octets; domains' private keys; a DNS resolver.
//! **Gives** results with their reasons, an `Authentication-Results` field, and `DKIM-Signature` fields.
//! **Never** decides what follows from a result, and signs with no key that its owner has not activated.
//! RFC 7208, RFC 6376, RFC 8463, RFC 9989, RFC 8617, RFC 8601.
