//! Reads scripts.
//!
//! Source: POSIX.1-2017, Shell Command Language, as far as scripts in manifests use it.

use std::sync::Arc;

/// A command.
#[derive(Debug, PartialEq)]
pub(in crate::program) enum Node {
    Simple(Simple),
    /// Commands, each of which reads what the one before prints; negated or not.
    Pipeline(Vec<Arc<Node>>, bool),
    And(Arc<Node>, Arc<Node>),
    Or(Arc<Node>, Arc<Node>),
    Sequence(Vec<Arc<Node>>),
    Background(Arc<Node>),
    If(Arc<Node>, Arc<Node>, Option<Arc<Node>>),
    /// While, or until, the first says so.
    While(Arc<Node>, Arc<Node>, bool),
    /// The words are the script's own where there are none.
    For(String, Option<Vec<Word>>, Arc<Node>),
    Case(Word, Vec<(Vec<Word>, Arc<Node>)>),
    Group(Arc<Node>, Vec<Redirect>),
    Subshell(Arc<Node>, Vec<Redirect>),
    Function(String, Arc<Node>),
}

/// Assignments, and a command with its words.
#[derive(Debug, Default, PartialEq)]
pub(in crate::program) struct Simple {
    pub(super) assignments: Vec<(String, Word)>,
    pub(super) words: Vec<Word>,
    pub(super) redirects: Vec<Redirect>,
}

/// Where something is read from or written to.
#[derive(Debug, PartialEq)]
pub(in crate::program) struct Redirect {
    pub(super) from: u8,
    pub(super) to: Target,
}

#[derive(Debug, PartialEq)]
pub(in crate::program) enum Target {
    Read(Word),
    Write(Word),
    Append(Word),
    Copy(Word),
    Here(Word),
}

/// A word: its parts, joined.
pub(in crate::program) type Word = Vec<Part>;

/// A part of a word; what is quoted is not split and not a pattern.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::program) enum Part {
    Text(String, bool),
    Variable(Variable, bool),
    Command(Arc<Node>, bool),
    Arithmetic(Word),
}

#[derive(Clone, Debug, PartialEq)]
pub(in crate::program) struct Variable {
    pub(super) name: String,
    /// Such as `:-`, with its word.
    pub(super) operation: Option<(String, Word)>,
}

/// Where a script cannot be read.
#[derive(Debug, PartialEq)]
pub(super) struct Wrong {
    pub(super) line: usize,
    pub(super) what: String,
}

/// Reads a script.
pub(super) fn parse(script: &str) -> Result<Arc<Node>, Wrong> {
    let mut parser = Parser {
        text: script.chars().collect(),
        at: 0,
        here: Vec::new(),
        depth: 0,
    };
    let node = parser.list(&[])?;
    parser.blanks(true);
    if parser.at < parser.text.len() {
        return Err(parser.unexpected());
    }
    Ok(node)
}

/// How deep commands may be nested.
const DEEPEST: usize = 60;

struct Parser {
    text: Vec<char>,
    at: usize,
    /// Here-documents whose text follows the next line end: delimiter, quoted, dashed, and slot.
    here: Vec<(String, bool, bool, usize)>,
    depth: usize,
}

impl Parser {
    fn peek(&self) -> Option<char> {
        self.text.get(self.at).copied()
    }

    fn looking_at(&self, what: &str) -> bool {
        what.chars()
            .enumerate()
            .all(|(index, letter)| self.text.get(self.at + index) == Some(&letter))
    }

    fn eat(&mut self, what: &str) -> bool {
        let found = self.looking_at(what);
        if found {
            self.at += what.chars().count();
        }
        found
    }

    fn wrong<T>(&self, what: impl Into<String>) -> Result<T, Wrong> {
        let before = self.text.iter().take(self.at);
        Err(Wrong {
            line: before.filter(|letter| **letter == '\n').count() + 1,
            what: what.into(),
        })
    }

    fn unexpected(&self) -> Wrong {
        let what = match self.peek() {
            None => "unexpected end of file".to_owned(),
            Some('\n') => "unexpected newline".to_owned(),
            Some(_) => {
                let rest = self.text.iter().skip(self.at);
                let word: String = rest
                    .take_while(|letter| !letter.is_whitespace())
                    .take(20)
                    .collect();
                format!("unexpected \"{word}\"")
            }
        };
        let before = self.text.iter().take(self.at);
        Wrong {
            line: before.filter(|letter| **letter == '\n').count() + 1,
            what,
        }
    }

    /// Skips blanks and comments, line ends too where they do not matter.
    fn blanks(&mut self, lines: bool) {
        loop {
            match self.peek() {
                Some(' ' | '\t' | '\r') => self.at += 1,
                Some('\\') if self.text.get(self.at + 1) == Some(&'\n') => self.at += 2,
                Some('#') => {
                    while self.peek().is_some_and(|letter| letter != '\n') {
                        self.at += 1;
                    }
                }
                Some('\n') if lines => self.at += 1,
                _ => return,
            }
        }
    }

    /// Whether a reserved word stands here.
    fn keyword(&self, word: &str) -> bool {
        self.looking_at(word)
            && self
                .text
                .get(self.at + word.len())
                .is_none_or(|next| next.is_whitespace() || ";&|()".contains(*next))
    }

    fn expect(&mut self, word: &str) -> Result<(), Wrong> {
        self.blanks(true);
        if self.keyword(word) {
            self.at += word.len();
            return Ok(());
        }
        Err(self.unexpected())
    }

    /// Commands up to one of these words, or the end.
    fn list(&mut self, ends: &[&str]) -> Result<Arc<Node>, Wrong> {
        self.depth += 1;
        if self.depth > DEEPEST {
            return self.wrong("too deeply nested");
        }
        let mut commands = Vec::new();
        loop {
            self.blanks(true);
            let at_end = self.peek().is_none()
                || ends.iter().any(|end| match *end {
                    ")" => self.looking_at(")"),
                    ";;" => self.looking_at(";;") || self.keyword("esac"),
                    word => self.keyword(word),
                });
            if at_end {
                break;
            }
            let command = self.and_or()?;
            self.blanks(false);
            if self.looking_at("&") && !self.looking_at("&&") {
                self.at += 1;
                commands.push(Arc::new(Node::Background(command)));
                continue;
            }
            commands.push(command);
            if self.looking_at(";;") {
                break;
            }
            if !self.eat(";") {
                match self.peek() {
                    Some('\n') => {
                        self.at += 1;
                        self.here_documents();
                    }
                    None => break,
                    Some(')') if ends.contains(&")") => break,
                    _ if ends.iter().any(|end| self.keyword(end)) => break,
                    _ => return Err(self.unexpected()),
                }
            }
        }
        self.depth -= 1;
        if commands.len() == 1
            && let Some(only) = commands.pop()
        {
            return Ok(only);
        }
        Ok(Arc::new(Node::Sequence(commands)))
    }

    fn here_documents(&mut self) {
        // The text was taken where the document was announced: see `here`.
        let skips = std::mem::take(&mut self.here);
        if let Some((.., end)) = skips.last() {
            self.at = self.at.max(*end);
        }
    }

    fn and_or(&mut self) -> Result<Arc<Node>, Wrong> {
        let mut left = self.pipeline()?;
        loop {
            self.blanks(false);
            let and = self.looking_at("&&");
            if !and && !self.looking_at("||") {
                return Ok(left);
            }
            self.at += 2;
            self.blanks(true);
            let right = self.pipeline()?;
            left = Arc::new(match and {
                true => Node::And(left, right),
                false => Node::Or(left, right),
            });
        }
    }

    fn pipeline(&mut self) -> Result<Arc<Node>, Wrong> {
        self.blanks(false);
        let mut negated = false;
        while self.keyword("!") {
            self.at += 1;
            negated = !negated;
            self.blanks(false);
        }
        let mut parts = vec![self.command()?];
        loop {
            self.blanks(false);
            if !self.looking_at("|") || self.looking_at("||") {
                break;
            }
            self.at += 1;
            self.blanks(true);
            parts.push(self.command()?);
        }
        if parts.len() == 1
            && !negated
            && let Some(only) = parts.pop()
        {
            return Ok(only);
        }
        Ok(Arc::new(Node::Pipeline(parts, negated)))
    }

    fn command(&mut self) -> Result<Arc<Node>, Wrong> {
        self.blanks(false);
        let node = if self.keyword("if") {
            self.at += 2;
            self.if_rest()?
        } else if self.keyword("while") || self.keyword("until") {
            let until = self.keyword("until");
            self.at += 5;
            let condition = self.list(&["do"])?;
            self.expect("do")?;
            let body = self.list(&["done"])?;
            self.expect("done")?;
            Node::While(condition, body, until)
        } else if self.keyword("for") {
            self.at += 3;
            self.blanks(false);
            let name = self.name();
            if name.is_empty() {
                return Err(self.unexpected());
            }
            self.blanks(true);
            let words = if self.keyword("in") {
                self.at += 2;
                let mut words = Vec::new();
                loop {
                    self.blanks(false);
                    if matches!(self.peek(), None | Some(';' | '\n')) {
                        break;
                    }
                    words.push(self.word()?);
                }
                Some(words)
            } else {
                None
            };
            self.blanks(false);
            self.eat(";");
            self.expect("do")?;
            let body = self.list(&["done"])?;
            self.expect("done")?;
            Node::For(name, words, body)
        } else if self.keyword("case") {
            self.at += 4;
            self.case()?
        } else if self.keyword("{") {
            self.at += 1;
            let body = self.list(&["}"])?;
            self.expect("}")?;
            return self.redirected(body, Node::Group);
        } else if self.looking_at("(") {
            self.at += 1;
            let body = self.list(&[")"])?;
            self.blanks(true);
            if !self.eat(")") {
                return Err(self.unexpected());
            }
            return self.redirected(body, Node::Subshell);
        } else {
            return self.simple();
        };
        self.redirected(Arc::new(node), Node::Group)
    }

    fn redirected(
        &mut self,
        body: Arc<Node>,
        make: fn(Arc<Node>, Vec<Redirect>) -> Node,
    ) -> Result<Arc<Node>, Wrong> {
        let mut redirects = Vec::new();
        loop {
            self.blanks(false);
            match self.redirect()? {
                Some(redirect) => redirects.push(redirect),
                None => return Ok(Arc::new(make(body, redirects))),
            }
        }
    }

    fn if_rest(&mut self) -> Result<Node, Wrong> {
        let condition = self.list(&["then"])?;
        self.expect("then")?;
        let then = self.list(&["else", "elif", "fi"])?;
        self.blanks(true);
        if self.keyword("elif") {
            self.at += 4;
            let other = self.if_rest()?;
            return Ok(Node::If(condition, then, Some(Arc::new(other))));
        }
        let other = if self.keyword("else") {
            self.at += 4;
            Some(self.list(&["fi"])?)
        } else {
            None
        };
        self.expect("fi")?;
        Ok(Node::If(condition, then, other))
    }

    fn case(&mut self) -> Result<Node, Wrong> {
        self.blanks(false);
        let word = self.word()?;
        self.expect("in")?;
        let mut arms = Vec::new();
        loop {
            self.blanks(true);
            if self.keyword("esac") {
                self.at += 4;
                return Ok(Node::Case(word, arms));
            }
            self.eat("(");
            let mut patterns = Vec::new();
            loop {
                self.blanks(false);
                patterns.push(self.word()?);
                self.blanks(false);
                if !self.eat("|") {
                    break;
                }
            }
            if !self.eat(")") {
                return Err(self.unexpected());
            }
            let body = self.list(&[";;"])?;
            self.blanks(true);
            self.eat(";;");
            arms.push((patterns, body));
        }
    }

    fn name(&mut self) -> String {
        let mut name = String::new();
        while let Some(letter) = self.peek() {
            let fits = letter == '_'
                || letter.is_ascii_alphabetic()
                || !name.is_empty() && letter.is_ascii_digit();
            if !fits {
                break;
            }
            name.push(letter);
            self.at += 1;
        }
        name
    }

    fn simple(&mut self) -> Result<Arc<Node>, Wrong> {
        let mut simple = Simple::default();
        loop {
            self.blanks(false);
            if let Some(redirect) = self.redirect()? {
                simple.redirects.push(redirect);
                continue;
            }
            match self.peek() {
                None | Some('\n' | ';' | '&' | '|' | ')') => break,
                Some('(') if simple.words.len() == 1 => {
                    let function = match simple.words.first().map(Vec::as_slice) {
                        Some([Part::Text(name, false)]) => name.clone(),
                        _ => return Err(self.unexpected()),
                    };
                    self.at += 1;
                    self.blanks(false);
                    if !self.eat(")") {
                        return Err(self.unexpected());
                    }
                    self.blanks(true);
                    let body = self.command()?;
                    return Ok(Arc::new(Node::Function(function, body)));
                }
                Some('(') => return Err(self.unexpected()),
                Some(_) => {}
            }
            if simple.words.is_empty() {
                let start = self.at;
                let name = self.name();
                if !name.is_empty() && self.eat("=") {
                    let value = match self.peek() {
                        None | Some(' ' | '\t' | '\n' | ';' | '&' | '|' | ')') => Vec::new(),
                        Some(_) => self.word()?,
                    };
                    simple.assignments.push((name, value));
                    continue;
                }
                self.at = start;
            }
            let word = self.word()?;
            simple.words.push(word);
        }
        if simple.assignments.is_empty() && simple.words.is_empty() && simple.redirects.is_empty() {
            return Err(self.unexpected());
        }
        Ok(Arc::new(Node::Simple(simple)))
    }

    fn redirect(&mut self) -> Result<Option<Redirect>, Wrong> {
        let start = self.at;
        let mut from = None;
        if let Some(digit) = self.peek().and_then(|letter| letter.to_digit(10))
            && matches!(self.text.get(self.at + 1), Some('<' | '>'))
        {
            from = u8::try_from(digit).ok();
            self.at += 1;
        }
        let kind = ["<<-", "<<", ">>", ">&", "<&", ">|", ">", "<"]
            .into_iter()
            .find(|kind| self.looking_at(kind));
        let Some(kind) = kind else {
            self.at = start;
            return Ok(None);
        };
        self.at += kind.len();
        self.blanks(false);
        let default = u8::from(!kind.starts_with('<'));
        if kind.starts_with("<<") {
            let text = self.here(kind == "<<-")?;
            return Ok(Some(Redirect {
                from: from.unwrap_or(0),
                to: Target::Here(text),
            }));
        }
        let word = self.word()?;
        Ok(Some(Redirect {
            from: from.unwrap_or(default),
            to: match kind {
                "<" => Target::Read(word),
                ">>" => Target::Append(word),
                ">&" | "<&" => Target::Copy(word),
                _ => Target::Write(word),
            },
        }))
    }

    /// The text of a here-document, from the lines after this one.
    fn here(&mut self, dashed: bool) -> Result<Word, Wrong> {
        let delimiter = self.word()?;
        let quoted = delimiter
            .iter()
            .any(|part| matches!(part, Part::Text(_, true)));
        let delimiter: String = delimiter
            .iter()
            .map(|part| match part {
                Part::Text(text, _) => text.as_str(),
                _ => "",
            })
            .collect();
        let mut at = self.at;
        if let Some((.., end)) = self.here.last() {
            at = *end;
        } else {
            while self.text.get(at).is_some_and(|letter| *letter != '\n') {
                at += 1;
            }
            at += 1;
        }
        let mut body = String::new();
        loop {
            if at >= self.text.len() {
                break;
            }
            let rest = self.text.get(at..).unwrap_or_default();
            let line: String = rest.iter().take_while(|letter| **letter != '\n').collect();
            at += line.chars().count() + 1;
            let bare = match dashed {
                true => line.trim_start_matches('\t'),
                false => line.as_str(),
            };
            if bare == delimiter {
                break;
            }
            body.push_str(bare);
            body.push('\n');
        }
        self.here.push((delimiter, quoted, dashed, at));
        if quoted {
            return Ok(vec![Part::Text(body, true)]);
        }
        let mut inner = Parser {
            text: body.chars().collect(),
            at: 0,
            here: Vec::new(),
            depth: self.depth,
        };
        inner.quoted_parts(None)
    }

    fn word(&mut self) -> Result<Word, Wrong> {
        let mut parts = Vec::new();
        let mut text = String::new();
        let flush = |text: &mut String, parts: &mut Word| {
            if !text.is_empty() {
                parts.push(Part::Text(std::mem::take(text), false));
            }
        };
        while let Some(letter) = self.peek() {
            match letter {
                ' ' | '\t' | '\n' | '\r' | ';' | '&' | '|' | '(' | ')' | '<' | '>' => break,
                '\'' => {
                    flush(&mut text, &mut parts);
                    self.at += 1;
                    let mut quoted = String::new();
                    loop {
                        match self.peek() {
                            None => return self.wrong("unterminated quoted string"),
                            Some('\'') => break,
                            Some(letter) => quoted.push(letter),
                        }
                        self.at += 1;
                    }
                    self.at += 1;
                    parts.push(Part::Text(quoted, true));
                }
                '"' => {
                    flush(&mut text, &mut parts);
                    self.at += 1;
                    let quoted = self.quoted_parts(Some('"'))?;
                    parts.push(Part::Text(String::new(), true));
                    parts.extend(quoted);
                }
                '\\' => {
                    self.at += 1;
                    match self.peek() {
                        Some('\n') => {}
                        Some(letter) => {
                            flush(&mut text, &mut parts);
                            parts.push(Part::Text(letter.to_string(), true));
                        }
                        None => text.push('\\'),
                    }
                    self.at += 1;
                }
                '$' | '`' => {
                    flush(&mut text, &mut parts);
                    parts.push(self.dollar(false)?);
                }
                letter => {
                    text.push(letter);
                    self.at += 1;
                }
            }
        }
        flush(&mut text, &mut parts);
        if parts.is_empty() {
            return Err(self.unexpected());
        }
        Ok(parts)
    }

    /// Parts between double quotes, or to the end where there is no closing one.
    fn quoted_parts(&mut self, end: Option<char>) -> Result<Word, Wrong> {
        let mut parts = Vec::new();
        let mut text = String::new();
        loop {
            let Some(letter) = self.peek() else {
                if end.is_some() {
                    return self.wrong("unterminated quoted string");
                }
                break;
            };
            if Some(letter) == end {
                self.at += 1;
                break;
            }
            match letter {
                '\\' => {
                    self.at += 1;
                    match self.peek() {
                        Some('\n') => {}
                        Some(next) if "$`\"\\".contains(next) => text.push(next),
                        Some(next) => {
                            text.push('\\');
                            text.push(next);
                        }
                        None => text.push('\\'),
                    }
                    self.at += 1;
                }
                '$' | '`' => {
                    if !text.is_empty() {
                        parts.push(Part::Text(std::mem::take(&mut text), true));
                    }
                    parts.push(self.dollar(true)?);
                }
                letter => {
                    text.push(letter);
                    self.at += 1;
                }
            }
        }
        if !text.is_empty() {
            parts.push(Part::Text(text, true));
        }
        Ok(parts)
    }

    /// What begins with a dollar, or a backquote.
    fn dollar(&mut self, quoted: bool) -> Result<Part, Wrong> {
        if self.eat("`") {
            let mut inner = String::new();
            loop {
                match self.peek() {
                    None => return self.wrong("unterminated backquote"),
                    Some('`') => break,
                    Some('\\') if matches!(self.text.get(self.at + 1), Some('`' | '$' | '\\')) => {
                        self.at += 1;
                        inner.extend(self.peek());
                    }
                    Some(letter) => inner.push(letter),
                }
                self.at += 1;
            }
            self.at += 1;
            return Ok(Part::Command(parse(&inner)?, quoted));
        }
        self.at += 1;
        if self.looking_at("((") {
            self.at += 2;
            let mut depth = 0;
            let start = self.at;
            loop {
                match self.peek() {
                    None => return self.wrong("missing '))'"),
                    Some('(') => depth += 1,
                    Some(')') if depth == 0 && self.looking_at("))") => break,
                    Some(')') => depth -= 1,
                    Some(_) => {}
                }
                self.at += 1;
            }
            let inner = self.text.get(start..self.at).unwrap_or_default().to_vec();
            self.at += 2;
            let mut inner = Parser {
                text: inner,
                at: 0,
                here: Vec::new(),
                depth: self.depth,
            };
            return Ok(Part::Arithmetic(inner.quoted_parts(None)?));
        }
        if self.eat("(") {
            let body = self.list(&[")"])?;
            self.blanks(true);
            if !self.eat(")") {
                return Err(self.unexpected());
            }
            return Ok(Part::Command(body, quoted));
        }
        if self.eat("{") {
            if self.looking_at("#") && self.text.get(self.at + 1) != Some(&'}') {
                self.at += 1;
                let name = self.parameter();
                if !self.eat("}") {
                    return self.wrong("bad substitution");
                }
                let operation = Some(("length".to_owned(), Vec::new()));
                return Ok(Part::Variable(Variable { name, operation }, quoted));
            }
            let name = self.parameter();
            if self.eat("}") {
                let operation = None;
                return Ok(Part::Variable(Variable { name, operation }, quoted));
            }
            let operation = [
                ":-", ":=", ":?", ":+", "##", "%%", "-", "=", "?", "+", "#", "%",
            ]
            .into_iter()
            .find(|operation| self.looking_at(operation));
            let Some(operation) = operation else {
                return self.wrong("bad substitution");
            };
            self.at += operation.len();
            let word = self.quoted_until_brace()?;
            return Ok(Part::Variable(
                Variable {
                    name,
                    operation: Some((operation.to_owned(), word)),
                },
                quoted,
            ));
        }
        let name = self.parameter();
        if name.is_empty() {
            return Ok(Part::Text("$".to_owned(), true));
        }
        let operation = None;
        Ok(Part::Variable(Variable { name, operation }, quoted))
    }

    fn parameter(&mut self) -> String {
        match self.peek() {
            Some(letter) if "?$!#@*-".contains(letter) || letter.is_ascii_digit() => {
                self.at += 1;
                letter.to_string()
            }
            _ => self.name(),
        }
    }

    fn quoted_until_brace(&mut self) -> Result<Word, Wrong> {
        let mut parts = Vec::new();
        let mut text = String::new();
        loop {
            match self.peek() {
                None => return self.wrong("missing '}'"),
                Some('}') => {
                    self.at += 1;
                    break;
                }
                Some('"') => {
                    self.at += 1;
                    if !text.is_empty() {
                        parts.push(Part::Text(std::mem::take(&mut text), false));
                    }
                    parts.extend(self.quoted_parts(Some('"'))?);
                }
                Some('\'') => {
                    self.at += 1;
                    while let Some(letter) = self.peek() {
                        self.at += 1;
                        if letter == '\'' {
                            break;
                        }
                        text.push(letter);
                    }
                }
                Some('\\') => {
                    self.at += 1;
                    text.extend(self.peek());
                    self.at += 1;
                }
                Some('$' | '`') => {
                    if !text.is_empty() {
                        parts.push(Part::Text(std::mem::take(&mut text), false));
                    }
                    parts.push(self.dollar(true)?);
                }
                Some(letter) => {
                    text.push(letter);
                    self.at += 1;
                }
            }
        }
        if !text.is_empty() {
            parts.push(Part::Text(text, false));
        }
        Ok(parts)
    }
}
