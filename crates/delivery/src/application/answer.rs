//! What an application answers besides that it took a message.

use mail::{Address, ThreadName};
use serde::Deserialize;

use super::line::clean;

/// Larger answers are none.
pub(super) const OCTETS_MAX: usize = 1 << 20;

/// Its wishes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Answer {
    /// Who else shall have the message.
    pub(crate) followers: Vec<Address>,
    /// The thread that a message which belonged to none has begun.
    pub(crate) thread: Option<ThreadName>,
}

/// What else is in it is for others.
#[derive(Deserialize)]
struct Written {
    #[serde(default)]
    followers: Vec<String>,
    thread: Option<String>,
}

impl Answer {
    /// Reads JSON; an empty text wishes for nothing.
    pub(super) fn read(text: &[u8], followers_max: u32) -> Result<Self, String> {
        let text = text.trim_ascii();
        if text.is_empty() {
            return Ok(Self::default());
        }
        if text.len() > OCTETS_MAX {
            return Err("it is larger than 1 MiB".to_owned());
        }
        let written = serde_json::from_slice(text);
        let written: Written = written.map_err(|error| clean(Some(&error.to_string())))?;
        let followers_max = usize::try_from(followers_max).unwrap_or(usize::MAX);
        if written.followers.len() > followers_max {
            let found = written.followers.len();
            return Err(format!(
                "it names {found} followers, and followers_max is {followers_max}"
            ));
        }
        let follower = |text: &String| {
            let address = Address::parse(text).ok().filter(|it| it.domain().is_some());
            let clean = || clean(Some(text));
            address
                .ok_or_else(|| format!("it names the follower `{}`, which is no address", clean()))
        };
        let followers = written.followers.iter().map(follower).collect::<Result<_, _>>()?;
        let thread = written.thread.as_deref().map(ThreadName::parse).transpose();
        let thread = thread.map_err(|error| format!("it names a thread: {error}"))?;
        Ok(Self { followers, thread })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_read() {
        let read = |text: &str| Answer::read(text.as_bytes(), 2);
        assert_eq!(read(" \r\n"), Ok(Answer::default()));
        assert_eq!(read("{}"), Ok(Answer::default()));
        assert_eq!(read(r#"{"status": "ok"}"#), Ok(Answer::default()));
        let full = read(r#"{"followers": ["a@x.example"], "thread": "T-1"}"#).unwrap();
        assert_eq!((full.followers.len(), full.thread.unwrap().as_str()), (1, "t-1"));
        for (bad, words) in [
            ("ok", "expected"),
            ("[]", "invalid length"),
            (r#"{"followers": ["a"]}"#, "`a`, which is no address"),
            (r#"{"followers": ["postmaster"]}"#, "which is no address"),
            (r#"{"followers": ["a@b.c\r\nX: y"]}"#, "which is no address"),
            (
                r#"{"followers": ["a@b.c", "b@b.c", "c@b.c"]}"#,
                "3 followers, and followers_max is 2",
            ),
            (r#"{"thread": "a b"}"#, "letters, digits"),
        ] {
            let said = read(bad).unwrap_err();
            assert!(said.contains(words), "{bad}: {said}");
        }
    }
}
