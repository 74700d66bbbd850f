//! As much of PowerShell as commands that make connectors need.

use std::collections::HashMap;

use serde_json::{Map, Value};

/// What stands before our own fields, in a comment that PowerShell does not see.
pub(super) const OWN: &str = "# chasqui: ";

/// One command with its parameters.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Command {
    /// `New-InboundConnector`.
    pub(super) name: String,
    /// Names without the `-`, and values.
    pub(super) parameters: Vec<(String, Value)>,
    /// Our own fields, from a comment behind it.
    pub(super) own: Map<String, Value>,
    /// The line it begins in.
    pub(super) line: usize,
}

/// A line that cannot be read, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Unreadable {
    pub(super) line: usize,
    pub(super) words: String,
}

#[derive(Clone, Debug, PartialEq)]
enum Token {
    /// Without quotes.
    Word(String),
    /// In quotes, or what stands for a value, such as `$true`.
    Value(Value),
    /// `$name`.
    Variable(String),
    /// `@name`.
    Splat(String),
    /// `@{`.
    Table,
    /// `@(` or `(`.
    Open,
    Sign(char),
    /// The end of a line or `;`.
    End,
    /// A comment with our own fields.
    Own(String),
}

/// The commands of a script, with tables that stand for parameters put in.
pub(super) fn commands(text: &str) -> Result<Vec<Command>, Unreadable> {
    let mut reader = Reader { tokens: tokens(text)?, place: 0, tables: HashMap::new() };
    let mut commands: Vec<Command> = Vec::new();
    while let Some((token, line)) = reader.next() {
        match token {
            Token::End => {}
            Token::Own(text) => {
                let own = serde_json::from_str(&text).map_err(|error| Unreadable {
                    line,
                    words: format!("these are not fields of ours: {error}"),
                })?;
                commands.last_mut().ok_or_else(|| odd(line, "this comment"))?.own = own;
            }
            Token::Variable(name) => {
                reader.want(&Token::Sign('='), "`=`")?;
                reader.want(&Token::Table, "`@{`: only tables of parameters can be kept")?;
                let table = reader.table()?;
                reader.tables.insert(name.to_lowercase(), table);
            }
            Token::Word(name) => commands.push(reader.command(name, line)?),
            _ => return Err(odd(line, "this")),
        }
    }
    Ok(commands)
}

struct Reader {
    tokens: Vec<(Token, usize)>,
    place: usize,
    tables: HashMap<String, Vec<(String, Value)>>,
}

impl Reader {
    fn next(&mut self) -> Option<(Token, usize)> {
        let found = self.tokens.get(self.place).cloned();
        self.place += 1;
        found
    }

    fn peek(&self) -> Option<&Token> {
        self.tokens.get(self.place).map(|(token, _)| token)
    }

    fn line(&self) -> usize {
        let known = self.tokens.get(self.place).or_else(|| self.tokens.last());
        known.map_or(1, |(_, line)| *line)
    }

    fn want(&mut self, token: &Token, words: &str) -> Result<(), Unreadable> {
        let line = self.line();
        match self.next() {
            Some((found, _)) if found == *token => Ok(()),
            _ => Err(Unreadable { line, words: format!("here should stand {words}") }),
        }
    }

    fn command(&mut self, name: String, line: usize) -> Result<Command, Unreadable> {
        let mut command = Command { name, line, ..Command::default() };
        loop {
            let line = self.line();
            match self.peek() {
                None | Some(Token::End | Token::Own(_)) => return Ok(command),
                Some(Token::Splat(name)) => {
                    let table = self.tables.get(&name.to_lowercase()).cloned();
                    let words = format!("there is no table ${name} before this");
                    command.parameters.extend(table.ok_or(Unreadable { line, words })?);
                    self.place += 1;
                }
                Some(Token::Word(word)) if word.starts_with('-') => {
                    let word = word.trim_start_matches('-').to_owned();
                    self.place += 1;
                    let (name, rest) = word.split_once(':').unwrap_or((&word, ""));
                    let value = if rest.is_empty() { self.argument()? } else { rest.into() };
                    command.parameters.push((name.to_owned(), value));
                }
                Some(_) => return Err(odd(line, "this, which is no parameter,")),
            }
        }
    }

    /// The value of a parameter; one without is a switch.
    fn argument(&mut self) -> Result<Value, Unreadable> {
        match self.peek() {
            None | Some(Token::End | Token::Splat(_) | Token::Own(_)) => Ok(true.into()),
            Some(Token::Word(word)) if word.starts_with('-') => Ok(true.into()),
            _ => self.list(),
        }
    }

    /// One value, or several with commas between.
    fn list(&mut self) -> Result<Value, Unreadable> {
        let first = self.value()?;
        if self.peek() != Some(&Token::Sign(',')) {
            return Ok(first);
        }
        let mut items = vec![first];
        while self.peek() == Some(&Token::Sign(',')) {
            self.place += 1;
            while self.peek() == Some(&Token::End) {
                self.place += 1;
            }
            items.push(self.value()?);
        }
        Ok(Value::Array(items))
    }

    fn value(&mut self) -> Result<Value, Unreadable> {
        let line = self.line();
        match self.next() {
            Some((Token::Value(value), _)) => Ok(value),
            Some((Token::Word(word), _)) => Ok(word.into()),
            Some((Token::Open, _)) => {
                let mut items = Vec::new();
                loop {
                    match self.peek() {
                        Some(Token::End | Token::Sign(',')) => self.place += 1,
                        Some(Token::Sign(')')) => {
                            self.place += 1;
                            return Ok(Value::Array(items));
                        }
                        _ => items.push(self.value()?),
                    }
                }
            }
            Some((Token::Variable(name), _)) => {
                let words = format!("${name} is not known; write the value itself");
                Err(Unreadable { line, words })
            }
            _ => Err(Unreadable { line, words: "here should stand a value".to_owned() }),
        }
    }

    /// What follows `@{`.
    fn table(&mut self) -> Result<Vec<(String, Value)>, Unreadable> {
        let mut fields = Vec::new();
        loop {
            let line = self.line();
            match self.next() {
                Some((Token::End, _)) => {}
                Some((Token::Sign('}'), _)) => return Ok(fields),
                Some((Token::Word(name) | Token::Value(Value::String(name)), _)) => {
                    self.want(&Token::Sign('='), "`=`")?;
                    let value = self.list()?;
                    fields.push((name, value));
                }
                _ => {
                    let words = "here should stand the name of a parameter, or `}`".to_owned();
                    return Err(Unreadable { line, words });
                }
            }
        }
    }
}

fn odd(line: usize, what: &str) -> Unreadable {
    let words = format!(
        "{what} is more than what is understood here: New-InboundConnector and New-OutboundConnector with values, and tables of parameters for them"
    );
    Unreadable { line, words }
}

/// Cuts a script into tokens, each with its line.
fn tokens(text: &str) -> Result<Vec<(Token, usize)>, Unreadable> {
    let mut cutter = Cutter { rest: text.chars().collect(), place: 0, line: 1 };
    let mut tokens = Vec::new();
    while let Some(token) = cutter.token()? {
        tokens.push(token);
    }
    Ok(tokens)
}

struct Cutter {
    rest: Vec<char>,
    place: usize,
    line: usize,
}

impl Cutter {
    fn peek(&self, ahead: usize) -> Option<char> {
        self.rest.get(self.place + ahead).copied()
    }

    fn next(&mut self) -> Option<char> {
        let found = self.peek(0)?;
        self.place += 1;
        self.line += usize::from(found == '\n');
        Some(found)
    }

    fn while_(&mut self, is_in: impl Fn(char) -> bool) -> String {
        let mut text = String::new();
        while let Some(c) = self.peek(0).filter(|c| is_in(*c)) {
            text.push(c);
            self.next();
        }
        text
    }

    fn token(&mut self) -> Result<Option<(Token, usize)>, Unreadable> {
        loop {
            let line = self.line;
            let token = match (self.peek(0), self.peek(1)) {
                (None, _) => return Ok(None),
                (Some('`'), Some('\r' | '\n')) => {
                    self.while_(|c| c == '`' || c == '\r');
                    self.next();
                    continue;
                }
                (Some('\n' | ';'), _) => {
                    self.next();
                    Token::End
                }
                (Some('<'), Some('#')) => {
                    self.block_comment()?;
                    continue;
                }
                (Some('#'), _) => match self.while_(|c| c != '\n').strip_prefix(OWN) {
                    Some(own) => Token::Own(own.to_owned()),
                    None => continue,
                },
                (Some(c), _) if c.is_whitespace() || c == '\u{feff}' => {
                    self.next();
                    continue;
                }
                (Some(c), _) if is_single(c) || is_double(c) => Token::Value(self.quoted()?.into()),
                (Some('@'), Some('{')) => self.two(Token::Table),
                (Some('@'), Some('(')) => self.two(Token::Open),
                (Some('@'), _) => {
                    self.next();
                    Token::Splat(self.while_(is_name))
                }
                (Some('$'), _) => {
                    self.next();
                    variable(self.while_(is_name))
                }
                (Some('('), _) => {
                    self.next();
                    Token::Open
                }
                (Some(c @ (')' | '}' | '=' | ',')), _) => {
                    self.next();
                    Token::Sign(c)
                }
                _ => self.word()?,
            };
            return Ok(Some((token, line)));
        }
    }

    fn two(&mut self, token: Token) -> Token {
        self.next();
        self.next();
        token
    }

    fn word(&mut self) -> Result<Token, Unreadable> {
        let word = self.while_(|c| !c.is_whitespace() && !"'\"`;,=(){}#$|&".contains(c));
        if word.is_empty() {
            return Err(odd(self.line, &format!("`{}`", self.peek(0).unwrap_or(' '))));
        }
        Ok(Token::Word(word))
    }

    fn block_comment(&mut self) -> Result<(), Unreadable> {
        let line = self.line;
        while (self.peek(0), self.peek(1)) != (Some('#'), Some('>')) || self.peek(0).is_none() {
            if self.next().is_none() {
                return Err(Unreadable { line, words: "this comment has no end".to_owned() });
            }
        }
        self.two(Token::End);
        Ok(())
    }

    /// In single quotes nothing but two of them means something else; in double ones a backtick does.
    fn quoted(&mut self) -> Result<String, Unreadable> {
        let line = self.line;
        let is_quote = if self.next().is_some_and(is_single) { is_single } else { is_double };
        let is_plain = is_quote('\'');
        let mut text = String::new();
        loop {
            match self.next() {
                None => {
                    return Err(Unreadable { line, words: "this text has no end".to_owned() });
                }
                Some(c) if is_quote(c) && self.peek(0).is_some_and(is_quote) => {
                    self.next();
                    text.push(c);
                }
                Some(c) if is_quote(c) => return Ok(text),
                Some('`') if !is_plain => match self.next() {
                    Some('n') => text.push('\n'),
                    Some('t') => text.push('\t'),
                    other => text.extend(other),
                },
                Some('$') if !is_plain && self.peek(0).is_some_and(is_dollar) => {
                    let words = "variables in texts are not known; write the value itself";
                    return Err(Unreadable { line, words: words.to_owned() });
                }
                Some(c) => text.push(c),
            }
        }
    }
}

/// PowerShell takes typographic quotes for plain ones.
fn is_single(c: char) -> bool {
    matches!(c, '\'' | '\u{2018}'..='\u{201b}')
}

fn is_double(c: char) -> bool {
    matches!(c, '"' | '\u{201c}'..='\u{201e}')
}

fn is_name(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

fn is_dollar(c: char) -> bool {
    is_name(c) || c == '(' || c == '{'
}

fn variable(name: String) -> Token {
    match name.to_ascii_lowercase().as_str() {
        "true" => Token::Value(true.into()),
        "false" => Token::Value(false.into()),
        "null" => Token::Value(Value::Null),
        _ => Token::Variable(name),
    }
}

/// A value as PowerShell reads it.
pub(super) fn written(value: &Value) -> String {
    match value {
        Value::Null => "$null".to_owned(),
        Value::Bool(true) => "$true".to_owned(),
        Value::Bool(false) => "$false".to_owned(),
        Value::String(text) => {
            let double = |c| std::iter::repeat_n(c, if is_single(c) { 2 } else { 1 });
            format!("'{}'", text.chars().flat_map(double).collect::<String>())
        }
        Value::Array(items) if items.is_empty() => "@()".to_owned(),
        Value::Array(items) => items.iter().map(written).collect::<Vec<_>>().join(","),
        other => other.to_string(),
    }
}
