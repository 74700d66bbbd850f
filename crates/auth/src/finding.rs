//! What evaluation found, each with one sentence for whoever reads a log.

use std::fmt;
use std::net::IpAddr;

/// The words of RFC 8601 §2.7 for what a check came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Verdict {
    /// Good.
    Pass,
    /// Bad.
    Fail,
    /// Probably bad (SPF alone).
    SoftFail,
    /// Its owner says nothing.
    Neutral,
    /// There is nothing to check.
    None,
    /// Not checked, since a limit of ours was passed or the algorithm is not trusted.
    Policy,
    /// Could not be found out now; later it may.
    TempError,
    /// What was published or written cannot be understood.
    PermError,
}

impl Verdict {
    pub(crate) const ALL: [Self; 8] = [
        Self::Pass,
        Self::Fail,
        Self::SoftFail,
        Self::Neutral,
        Self::None,
        Self::Policy,
        Self::TempError,
        Self::PermError,
    ];

    /// The word in `Authentication-Results`.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Fail => "fail",
            Self::SoftFail => "softfail",
            Self::Neutral => "neutral",
            Self::None => "none",
            Self::Policy => "policy",
            Self::TempError => "temperror",
            Self::PermError => "permerror",
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.word())
    }
}

/// Whether a domain lets a client send in its name (RFC 7208).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SpfFinding {
    /// The result.
    pub result: Verdict,
    /// The domain that was asked: of `MAIL FROM`, or of HELO where `MAIL FROM` is null.
    pub domain: String,
    /// Which of the two it was.
    pub identity: Identity,
    /// What the domain's owner says to those it refuses (RFC 7208 §6.2), without control characters.
    pub explanation: Option<String>,
    /// Why, in one sentence.
    pub reason: String,
}

/// What SPF was asked about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Identity {
    /// The domain of `MAIL FROM`.
    MailFrom,
    /// The name in HELO or EHLO.
    Helo,
}

/// What one `DKIM-Signature` is worth (RFC 6376).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DkimFinding {
    /// The result.
    pub result: Verdict,
    /// Who signed (`d=`); empty if the field cannot be read.
    pub domain: String,
    /// With which key (`s=`).
    pub selector: String,
    /// How (`a=`).
    pub algorithm: &'static str,
    /// The beginning of the signature, so that several of one domain can be told apart (RFC 6008).
    pub signature_start: String,
    /// Why, in one sentence.
    pub reason: String,
}

/// What a chain of ARC seals is worth (RFC 8617).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ArcFinding {
    /// The result; `none` without seals.
    pub result: Verdict,
    /// Seals there are.
    pub seals: usize,
    /// Who sealed last.
    pub domain: String,
    /// Why, in one sentence.
    pub reason: String,
}

/// Whether the client's address and a name of it point at each other (RFC 8601 §3).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IprevFinding {
    /// The result.
    pub result: Verdict,
    /// The address.
    pub address: IpAddr,
    /// The name that points back, if one does.
    pub name: Option<String>,
    /// Why, in one sentence.
    pub reason: String,
}

/// What DMARC says about the author's domain (RFC 9989).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DmarcFinding {
    /// The result.
    pub result: Verdict,
    /// The domain of `From`; empty if there is none.
    pub domain: String,
    /// What its owner published, and where.
    pub record: Option<DmarcPolicy>,
    /// What the owner wants done with this message.
    pub disposition: Policy,
    /// Whether SPF passed for a domain that is aligned.
    pub spf: Alignment,
    /// Whether a signature of a domain that is aligned is good.
    pub dkim: Alignment,
    /// Why, in one sentence.
    pub reason: String,
}

/// Whether a check speaks for the author's domain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Alignment {
    /// It passed, for the author's domain.
    Aligned,
    /// It passed, for another domain.
    NotAligned,
    /// It could not be found out.
    Unknown,
    /// It did not pass.
    NoPass,
}

/// What a domain's owner wants done with mail that fails DMARC.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum Policy {
    /// Nothing.
    #[default]
    None,
    /// It is suspicious.
    Quarantine,
    /// It is to be refused.
    Reject,
}

impl Policy {
    /// The word in the record.
    pub const fn word(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Quarantine => "quarantine",
            Self::Reject => "reject",
        }
    }
}

/// How near a domain must be to the author's to speak for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Nearness {
    /// Of the same organization.
    #[default]
    Relaxed,
    /// The same.
    Strict,
}

/// The DMARC policy that holds for a domain, and where it was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DmarcPolicy {
    /// What holds for mail from the domain that was asked: `p`, or the `sp` or `np` of a domain above.
    pub policy: Policy,
    /// The record's `p`.
    pub domain_policy: Policy,
    /// The record's `sp`: for names below the domain of the record.
    pub subdomain_policy: Policy,
    /// The record's `np`: for names below that do not exist.
    pub missing_policy: Policy,
    /// The record's `pct`, which RFC 9989 no longer knows.
    pub percent: u8,
    /// Whether the owner only tries it out (`t=y`, or `pct=0`): then the policy counts one step less.
    pub is_test: bool,
    /// How near a DKIM domain must be.
    pub dkim: Nearness,
    /// How near an SPF domain must be.
    pub spf: Nearness,
    /// Where aggregate reports go.
    pub aggregate_reports: Vec<String>,
    /// Where failure reports go.
    pub failure_reports: Vec<String>,
    /// The domain whose record it is: the one that was asked or one above.
    pub found_at: String,
    /// The organization's domain.
    pub organization: String,
    /// The record.
    pub text: String,
}

impl DmarcPolicy {
    /// What is to be done with mail that fails.
    pub const fn disposition(&self) -> Policy {
        match (self.policy, self.is_test) {
            (policy, false) => policy,
            (Policy::Reject, true) => Policy::Quarantine,
            (Policy::Quarantine | Policy::None, true) => Policy::None,
        }
    }
}

/// All that was found out about a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Evaluation {
    /// SPF.
    pub spf: SpfFinding,
    /// One per signature that was looked at, from the top; empty if nobody signed.
    pub dkim: Vec<DkimFinding>,
    /// Signatures below the limit, which nobody looked at.
    pub dkim_left_out: usize,
    /// ARC.
    pub arc: ArcFinding,
    /// DMARC.
    pub dmarc: DmarcFinding,
    /// The client's name.
    pub iprev: IprevFinding,
}
