//! The extensions that a server offers or not.

use std::fmt;

/// An extension by which EHLO's reply and the parameters of MAIL and RCPT differ from relay to relay.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Extension {
    /// RFC 1870.
    Size,
    /// RFC 6152.
    EightBitMime,
    /// RFC 6531.
    SmtpUtf8,
    /// RFC 3030.
    Chunking,
    /// RFC 3030; needs [`Chunking`](Self::Chunking).
    BinaryMime,
    /// RFC 3461.
    Dsn,
    /// RFC 4954.
    Auth,
    /// RFC 8689; under TLS only.
    RequireTls,
    /// RFC 9422.
    Limits,
    /// RFC 4865.
    FutureRelease,
    /// RFC 2852.
    DeliverBy,
    /// RFC 6710.
    MtPriority,
}

impl Extension {
    /// The word that stands in EHLO's reply.
    pub const fn keyword(self) -> &'static str {
        match self {
            Self::Size => "SIZE",
            Self::EightBitMime => "8BITMIME",
            Self::SmtpUtf8 => "SMTPUTF8",
            Self::Chunking => "CHUNKING",
            Self::BinaryMime => "BINARYMIME",
            Self::Dsn => "DSN",
            Self::Auth => "AUTH",
            Self::RequireTls => "REQUIRETLS",
            Self::Limits => "LIMITS",
            Self::FutureRelease => "FUTURERELEASE",
            Self::DeliverBy => "DELIVERBY",
            Self::MtPriority => "MT-PRIORITY",
        }
    }
}

impl fmt::Display for Extension {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.keyword())
    }
}

/// Some of the extensions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct ExtensionSet(u16);

impl ExtensionSet {
    /// Whether `extension` is one of them.
    pub const fn has(self, extension: Extension) -> bool {
        self.0 & Self::bit(extension) != 0
    }

    /// These and `extension`.
    #[must_use]
    pub const fn with(self, extension: Extension) -> Self {
        Self(self.0 | Self::bit(extension))
    }

    /// These but `extension`.
    #[must_use]
    pub const fn without(self, extension: Extension) -> Self {
        Self(self.0 & !Self::bit(extension))
    }

    /// These and `others`.
    #[must_use]
    pub const fn and(self, others: Self) -> Self {
        Self(self.0 | others.0)
    }

    #[expect(clippy::as_conversions, reason = "the number of a variant, below 16")]
    const fn bit(extension: Extension) -> u16 {
        1 << extension as u8
    }
}

impl FromIterator<Extension> for ExtensionSet {
    fn from_iter<T: IntoIterator<Item = Extension>>(extensions: T) -> Self {
        extensions.into_iter().fold(Self::default(), Self::with)
    }
}
