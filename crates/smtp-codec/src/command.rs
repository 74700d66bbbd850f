//! Commands of RFC 5321 and its extensions.

use mail::{Address, AddressError, ReversePath};

use crate::params::Params;
use crate::path::Path;
use crate::text::split_once;

/// A command as a client said it; texts borrow from its line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command<'a> {
    /// `EHLO name`: printable, without spaces, brackets other than `[]`, quotes or `@`.
    Ehlo(&'a str),
    /// `HELO name`, with the same alphabet.
    Helo(&'a str),
    /// `MAIL FROM:<path> …`.
    Mail {
        /// Who is told of failure.
        path: ReversePath,
        /// What follows the path.
        params: Params<'a>,
    },
    /// `RCPT TO:<path> …`.
    Rcpt {
        /// Who shall have the message, without source route.
        path: Address,
        /// What follows the path.
        params: Params<'a>,
    },
    /// `DATA`.
    Data,
    /// `BDAT octets [LAST]` (RFC 3030).
    Bdat {
        /// How many octets of content follow the line.
        octets: u64,
        /// Whether no chunk follows this one.
        is_last: bool,
    },
    /// `RSET`.
    Rset,
    /// `NOOP`, with or without words.
    Noop,
    /// `QUIT`.
    Quit,
    /// `VRFY words`.
    Vrfy(&'a str),
    /// `EXPN words`.
    Expn(&'a str),
    /// `HELP`, with or without words.
    Help,
    /// `STARTTLS` (RFC 3207).
    StartTls,
    /// `AUTH mechanism [initial-response]` (RFC 4954), not read further.
    Auth(&'a str),
    /// `ETRN words` (RFC 1985).
    Etrn(&'a str),
    /// `XCLIENT attributes` (Postfix), not read further.
    Xclient(&'a str),
    /// The first line of another protocol, such as HTTP: the client is not a mail client, or is being misused.
    Foreign,
    /// Anything else.
    Unknown,
}

/// Why a known command cannot be taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CommandError {
    /// The line is not UTF-8.
    #[error("the line is not UTF-8")]
    NotUtf8,
    /// The command needs an argument.
    #[error("the command needs an argument")]
    ArgumentMissing,
    /// The command has no argument.
    #[error("the command has no argument")]
    ArgumentUnexpected,
    /// The name in EHLO or HELO holds what no name holds.
    #[error("the name is neither a domain nor an address literal")]
    Name,
    /// MAIL without `FROM:<…>`, or with a space before the bracket.
    #[error("MAIL is followed by FROM:<address>")]
    FromMissing,
    /// RCPT without `TO:<…>`, or with a space before the bracket.
    #[error("RCPT is followed by TO:<address>")]
    ToMissing,
    /// The sender is not an address.
    #[error("the sender is not an address")]
    Sender(#[source] AddressError),
    /// The recipient is not an address.
    #[error("the recipient is not an address")]
    Recipient(#[source] AddressError),
    /// A parameter is neither `KEYWORD` nor `KEYWORD=value`.
    #[error("a parameter is malformed")]
    Parameter,
    /// BDAT without a number, so nobody knows how much content follows: do not read on.
    #[error("BDAT is followed by a number of octets and, for the last chunk, LAST")]
    ChunkSize,
}

const VERB_OCTETS_MAX: usize = 8;

impl<'a> Command<'a> {
    /// Reads a line without its CRLF. Trailing white space is dropped (RFC 5321 §4.1.1).
    pub fn parse(line: &'a [u8]) -> Result<Self, CommandError> {
        let line = std::str::from_utf8(line).map_err(|_| CommandError::NotUtf8)?;
        let line = line.trim_end_matches([' ', '\t']);
        let (verb, argument) = split_once(line, b' ').unwrap_or((line, ""));
        let mut upper = [0_u8; VERB_OCTETS_MAX];
        let Some(upper) = upper.get_mut(..verb.len()) else {
            return Ok(if verb.starts_with("SSH-") { Self::Foreign } else { Self::Unknown });
        };
        upper.copy_from_slice(verb.as_bytes());
        upper.make_ascii_uppercase();
        match &*upper {
            b"EHLO" => name(argument).map(Self::Ehlo),
            b"HELO" => name(argument).map(Self::Helo),
            b"MAIL" => mail(argument),
            b"RCPT" => rcpt(argument),
            b"DATA" => alone(argument, Self::Data),
            b"BDAT" => bdat(argument),
            b"RSET" => alone(argument, Self::Rset),
            b"NOOP" => Ok(Self::Noop),
            b"QUIT" => alone(argument, Self::Quit),
            b"VRFY" => some(argument).map(Self::Vrfy),
            b"EXPN" => some(argument).map(Self::Expn),
            b"HELP" => Ok(Self::Help),
            b"STARTTLS" => alone(argument, Self::StartTls),
            b"AUTH" => some(argument).map(Self::Auth),
            b"ETRN" => some(argument).map(Self::Etrn),
            b"XCLIENT" => some(argument).map(Self::Xclient),
            b"GET" | b"POST" | b"PUT" | b"HEAD" | b"DELETE" | b"OPTIONS" | b"CONNECT"
            | b"TRACE" | b"PATCH" | b"PRI" | b"PROXY" => Ok(Self::Foreign),
            _ => Ok(if verb.starts_with("SSH-") { Self::Foreign } else { Self::Unknown }),
        }
    }
}

fn some(argument: &str) -> Result<&str, CommandError> {
    if argument.is_empty() { Err(CommandError::ArgumentMissing) } else { Ok(argument) }
}

fn alone<'a>(argument: &str, command: Command<'a>) -> Result<Command<'a>, CommandError> {
    if argument.is_empty() { Ok(command) } else { Err(CommandError::ArgumentUnexpected) }
}

/// Odd names are common and harmless, so only what could end a header or a comment is kept out; whether the name is true
/// must not matter (RFC 5321 §4.1.4).
fn name(argument: &str) -> Result<&str, CommandError> {
    let name = some(argument)?;
    let is_allowed = |byte: u8| byte.is_ascii_graphic() && !b"()<>@,;\\\"".contains(&byte);
    let is_name = name.len() <= 255 && name.bytes().all(is_allowed);
    if is_name { Ok(name) } else { Err(CommandError::Name) }
}

fn strip_prefix_any_case<'a>(text: &'a str, prefix: &str) -> Option<&'a str> {
    let (head, rest) = text.split_at_checked(prefix.len())?;
    head.eq_ignore_ascii_case(prefix).then_some(rest)
}

fn mail(argument: &str) -> Result<Command<'_>, CommandError> {
    let path = strip_prefix_any_case(argument, "FROM:")
        .and_then(Path::find)
        .ok_or(CommandError::FromMissing)?;
    let params = Params::parse(path.rest).ok_or(CommandError::Parameter)?;
    Ok(Command::Mail { path: path.reverse().map_err(CommandError::Sender)?, params })
}

fn rcpt(argument: &str) -> Result<Command<'_>, CommandError> {
    let path = strip_prefix_any_case(argument, "TO:")
        .and_then(Path::find)
        .ok_or(CommandError::ToMissing)?;
    let params = Params::parse(path.rest).ok_or(CommandError::Parameter)?;
    Ok(Command::Rcpt { path: path.forward().map_err(CommandError::Recipient)?, params })
}

fn bdat(argument: &str) -> Result<Command<'_>, CommandError> {
    let (number, last) = split_once(argument, b' ').unwrap_or((argument, ""));
    let is_number = !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
    let octets = if is_number { number.parse().ok() } else { None };
    let octets = octets.ok_or(CommandError::ChunkSize)?;
    let is_last = last.eq_ignore_ascii_case("LAST");
    if !is_last && !last.is_empty() {
        return Err(CommandError::ChunkSize);
    }
    Ok(Command::Bdat { octets, is_last })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::params::Param;

    fn address(text: &str) -> Address {
        Address::parse(text).unwrap()
    }

    #[test]
    fn plain_commands() {
        for (line, want) in [
            ("EHLO a.example", Command::Ehlo("a.example")),
            ("ehlo [IPv6:::1]", Command::Ehlo("[IPv6:::1]")),
            ("HeLo my_host", Command::Helo("my_host")),
            ("DATA", Command::Data),
            ("data  \t", Command::Data),
            ("RSET", Command::Rset),
            ("NOOP x y", Command::Noop),
            ("QUIT", Command::Quit),
            ("VRFY a b", Command::Vrfy("a b")),
            ("EXPN a", Command::Expn("a")),
            ("HELP", Command::Help),
            ("HELP mail", Command::Help),
            ("StartTLS", Command::StartTls),
            ("AUTH PLAIN AGEAYg==", Command::Auth("PLAIN AGEAYg==")),
            ("ETRN a.example", Command::Etrn("a.example")),
            ("xclient ADDR=192.0.2.1", Command::Xclient("ADDR=192.0.2.1")),
            ("BDAT 12", Command::Bdat { octets: 12, is_last: false }),
            ("BDAT 0 last", Command::Bdat { octets: 0, is_last: true }),
            ("GET / HTTP/1.1", Command::Foreign),
            ("POST / HTTP/1.1", Command::Foreign),
            ("CONNECT a:25 HTTP/1.1", Command::Foreign),
            ("PROXY TCP4 1.2.3.4 1.2.3.4 1 2", Command::Foreign),
            ("SSH-2.0-OpenSSH_9.9", Command::Foreign),
            ("", Command::Unknown),
            (" NOOP", Command::Unknown),
            ("NOOP\tx", Command::Unknown),
            ("DATAX", Command::Unknown),
            ("STARTTLSX", Command::Unknown),
            ("wörd", Command::Unknown),
        ] {
            assert_eq!(Command::parse(line.as_bytes()), Ok(want), "{line:?}");
        }
    }

    #[test]
    fn paths_keep_their_spelling() {
        for (line, want) in [
            ("MAIL FROM:<>", None),
            ("mail from:<A.b@C.example>", Some("A.b@C.example")),
            (r#"MAIL FROM:<"a b>\" c"@d.example>"#, Some(r#""a b>\" c"@d.example"#)),
            ("MAIL FROM:<a@[127.0.0.1]>", Some("a@[127.0.0.1]")),
            ("MAIL FROM:<jösé@exämple.org>", Some("jösé@exämple.org")),
            ("MAIL FROM:<@a.example,@b.example:u@c.example>", Some("u@c.example")),
        ] {
            let path = want.map_or(ReversePath::Null, |text| ReversePath::Address(address(text)));
            let want = Command::Mail { path, params: Params::default() };
            assert_eq!(Command::parse(line.as_bytes()), Ok(want), "{line:?}");
        }
        let line = b"RCPT TO:<Postmaster>";
        let want = Command::Rcpt { path: address("Postmaster"), params: Params::default() };
        assert_eq!(Command::parse(line), Ok(want));
    }

    #[test]
    fn parameters_are_an_open_list() {
        let line = b"MAIL FROM:<a@b> SIZE=10  BODY=8BITMIME SMTPUTF8 X-FOO=<a+b>";
        let Ok(Command::Mail { params, .. }) = Command::parse(line) else { panic!("not a MAIL") };
        let found: Vec<_> =
            params.iter().map(|Param { keyword, value }| (keyword, value)).collect();
        let want = [
            ("SIZE", Some("10")),
            ("BODY", Some("8BITMIME")),
            ("SMTPUTF8", None),
            ("X-FOO", Some("<a+b>")),
        ];
        assert_eq!(found, want);
        assert!(!params.is_empty());
    }

    #[test]
    fn malformed_commands_say_what_is_wrong() {
        use CommandError::{
            ArgumentMissing, ArgumentUnexpected, ChunkSize, FromMissing, Name, NotUtf8, Parameter,
            Recipient, Sender, ToMissing,
        };
        for (line, want) in [
            (&b"EHLO"[..], ArgumentMissing),
            (b"EHLO ", ArgumentMissing),
            (b"EHLO a b", Name),
            (b"EHLO a(b", Name),
            (b"EHLO a\x01", Name),
            (b"EHLO \xff", NotUtf8),
            (b"VRFY", ArgumentMissing),
            (b"DATA x", ArgumentUnexpected),
            (b"RSET x", ArgumentUnexpected),
            (b"QUIT x", ArgumentUnexpected),
            (b"STARTTLS x", ArgumentUnexpected),
            (b"MAIL", FromMissing),
            (b"MAIL FROM", FromMissing),
            (b"MAIL FROM:", FromMissing),
            (b"MAIL FROM:a@b", FromMissing),
            (b"MAIL FROM: <a@b>", FromMissing),
            (b"MAIL  FROM:<a@b>", FromMissing),
            (b"MAIL FROM:<a@b", FromMissing),
            (b"MAIL FROM:<a@b>x", FromMissing),
            (b"MAIL TO:<a@b>", FromMissing),
            (b"MAIL FROM:<\"a>", FromMissing),
            (b"MAIL FROM:<a@b> =x", Parameter),
            (b"MAIL FROM:<a@b> -a=x", Parameter),
            (b"MAIL FROM:<a@b> a=", Parameter),
            (b"MAIL FROM:<a@b> a=b=c", Parameter),
            (b"MAIL FROM:<a@b> a=\x01", Parameter),
            (b"MAIL FROM:<a>", Sender(AddressError::NoDomain)),
            (b"MAIL FROM:<a@b@c>", Sender(AddressError::LocalPart)),
            (b"RCPT FROM:<a@b>", ToMissing),
            (b"RCPT TO:<>", Recipient(AddressError::NoDomain)),
            (b"RCPT TO:<@a.example:>", Recipient(AddressError::NoDomain)),
            (b"RCPT TO:<@a.example>", Recipient(AddressError::NoDomain)),
            (b"BDAT", ChunkSize),
            (b"BDAT x", ChunkSize),
            (b"BDAT +1", ChunkSize),
            (b"BDAT 1 FIRST", ChunkSize),
            (b"BDAT 1 LAST x", ChunkSize),
            (b"BDAT 99999999999999999999", ChunkSize),
        ] {
            let line_text = String::from_utf8_lossy(line);
            assert_eq!(Command::parse(line), Err(want), "{line_text:?}");
        }
        assert!(matches!(
            Command::parse(b"RCPT TO:<@a..b:u@c.example>"),
            Err(Recipient(AddressError::Domain(_)))
        ));
    }
}
