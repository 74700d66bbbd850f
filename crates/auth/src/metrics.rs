//! Metrics.

use std::fmt;

use telemetry::{Counter, Registry};

use crate::finding::{Evaluation, Verdict};

/// What is checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Method {
    Spf,
    Dkim,
    Dmarc,
    Arc,
    Iprev,
}

impl Method {
    const ALL: [(Self, &'static str); 5] = [
        (Self::Spf, "spf"),
        (Self::Dkim, "dkim"),
        (Self::Dmarc, "dmarc"),
        (Self::Arc, "arc"),
        (Self::Iprev, "iprev"),
    ];
}

/// What is counted when mail is checked.
#[derive(Clone)]
pub(crate) struct Checks(Vec<(Method, Verdict, Counter)>);

impl fmt::Debug for Checks {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("Checks")
    }
}

impl Checks {
    pub(crate) fn register(registry: &Registry) -> Self {
        let counters = Method::ALL.into_iter().flat_map(|(method, name)| {
            let occurs = move |it: &Verdict| match it {
                Verdict::Policy => method != Method::Spf,
                Verdict::SoftFail | Verdict::Neutral => method == Method::Spf,
                _ => true,
            };
            Verdict::ALL.into_iter().filter(occurs).map(move |verdict| {
                let help =
                    "Checks of incoming mail, one per signature for DKIM, by method and result.";
                let labels = [("method", name), ("result", verdict.word())];
                (method, verdict, registry.counter("auth_results_total", help, &labels))
            })
        });
        Self(counters.collect())
    }

    pub(crate) fn checked(&self, method: Method, result: Verdict) {
        let found = self.0.iter().find(|(of, with, _)| *of == method && *with == result);
        if let Some((_, _, counter)) = found {
            counter.increment(1);
        }
    }

    /// Counts all but SPF, which is counted where it is asked.
    pub(crate) fn evaluated(&self, evaluation: &Evaluation) {
        for signature in &evaluation.dkim {
            self.checked(Method::Dkim, signature.result);
        }
        self.checked(Method::Dmarc, evaluation.dmarc.result);
        self.checked(Method::Arc, evaluation.arc.result);
        self.checked(Method::Iprev, evaluation.iprev.result);
    }
}

/// How an attempt to sign ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Signing {
    Signed,
    NotPublished,
    Failed,
}

/// What is counted when mail is signed.
#[derive(Clone)]
pub(crate) struct Signatures {
    signed: [Counter; 2],
    not_published: [Counter; 2],
    failed: [Counter; 2],
}

impl fmt::Debug for Signatures {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("Signatures")
    }
}

impl Signatures {
    pub(crate) fn register(registry: &Registry) -> Self {
        let counters = |result| {
            ["rsa", "ed25519"].map(|algorithm| {
                let help = "Signatures that were due, by algorithm and by whether they were made, left out since the DNS does not have the key, or failed.";
                let labels = [("algorithm", algorithm), ("result", result)];
                registry.counter("dkim_signed_total", help, &labels)
            })
        };
        Self {
            signed: counters("signed"),
            not_published: counters("not_published"),
            failed: counters("failed"),
        }
    }

    pub(crate) fn ended(&self, kind: crate::key::Kind, how: Signing) {
        let [rsa, ed25519] = match how {
            Signing::Signed => &self.signed,
            Signing::NotPublished => &self.not_published,
            Signing::Failed => &self.failed,
        };
        match kind {
            crate::key::Kind::Rsa => rsa.increment(1),
            crate::key::Kind::Ed25519 => ed25519.increment(1),
        }
    }
}
