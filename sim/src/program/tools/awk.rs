//! awk, as far as scripts in manifests use it.
//!
//! Source: POSIX.1-2017, awk. `system` may only stand alone as a statement.

use std::cmp::Ordering;
use std::collections::{BTreeMap, HashMap};
use std::future::Future;
use std::mem;
use std::pin::Pin;
use std::time::Duration;

use regex::Regex;

use super::super::files::Content;
use super::super::process::Call;
use super::super::shell::Data;
use super::{Tool, formatted, unescape};

/// What an entry of an array takes besides its text.
const ENTRY: u64 = 96;
/// How much more memory is used before the cluster is told.
const STEP: u64 = 1 << 20;

#[derive(Clone, Debug, PartialEq)]
enum Token {
    Number(f64),
    Text(String),
    Pattern(String),
    Name(String),
    Sign(&'static str),
    Line,
}

#[derive(Debug)]
enum Expr {
    Number(f64),
    Text(String),
    Pattern(Regex),
    Variable(String),
    Element(String, Box<Expr>),
    Field(Box<Expr>),
    Assign(Box<Expr>, &'static str, Box<Expr>),
    /// Up or down by one, before or after.
    Step(Box<Expr>, f64, bool),
    Binary(&'static str, Box<Expr>, Box<Expr>, usize),
    Not(Box<Expr>),
    Minus(Box<Expr>),
    Choice(Box<Expr>, Box<Expr>, Box<Expr>),
    In(Box<Expr>, String),
    Call(String, Vec<Expr>),
}

#[derive(Debug)]
enum Statement {
    Expr(Expr),
    Print(Vec<Expr>, bool, Option<(bool, Expr)>),
    If(Expr, Box<Statement>, Option<Box<Statement>>),
    While(
        Option<Box<Statement>>,
        Option<Expr>,
        Option<Box<Statement>>,
        Box<Statement>,
    ),
    Each(String, String, Box<Statement>),
    Block(Vec<Statement>),
    Delete(String, Option<Expr>),
    System(Expr),
    Next,
    Exit(Option<Expr>),
    Break,
    Continue,
}

#[derive(Debug)]
enum When {
    Begin,
    End,
    Always,
    If(Expr),
}

/// Why a program cannot be read, or cannot go on: the line, and the words for it.
struct Wrong(usize, String);

enum Flow {
    Done,
    Next,
    Break,
    Continue,
    Exit(i32),
}

#[derive(Clone, Debug)]
enum Value {
    Number(f64),
    Text(String),
    /// Text that came from outside, and may be a number.
    Input(String),
}

impl Value {
    fn number(&self) -> f64 {
        match self {
            Self::Number(number) => *number,
            Self::Text(text) | Self::Input(text) => {
                let text = text.trim_start();
                let end = text
                    .char_indices()
                    .find(|(index, letter)| {
                        !(letter.is_ascii_digit()
                            || *letter == '.'
                            || *index == 0 && (*letter == '-' || *letter == '+'))
                    })
                    .map_or(text.len(), |(index, _)| index);
                text[..end].parse().unwrap_or(0.0)
            }
        }
    }

    fn text(&self) -> String {
        match self {
            #[expect(
                clippy::cast_possible_truncation,
                reason = "it is whole, and not so large"
            )]
            Self::Number(number) if number.fract() == 0.0 && number.abs() < 1e16 => {
                (*number as i64).to_string()
            }
            Self::Number(number) => {
                let text = format!("{number:.6}");
                // Six significant digits, as `%.6g` has them.
                let digits = number.abs().log10().floor().max(0.0);
                let places = if digits < 5.0 {
                    5 - to_usize(digits)
                } else {
                    0
                };
                let text = match places {
                    0 => text,
                    places => format!("{number:.places$}"),
                };
                text.trim_end_matches('0').trim_end_matches('.').to_owned()
            }
            Self::Text(text) | Self::Input(text) => text.clone(),
        }
    }

    fn is_true(&self) -> bool {
        match self {
            Self::Number(number) => *number != 0.0,
            Self::Text(text) => !text.is_empty(),
            Self::Input(text) => match text.trim().parse::<f64>() {
                Ok(number) => number != 0.0,
                Err(_) => !text.is_empty(),
            },
        }
    }

    fn is_numeric(&self) -> bool {
        match self {
            Self::Number(_) => true,
            Self::Text(_) => false,
            Self::Input(text) => text.trim().parse::<f64>().is_ok(),
        }
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "small counts, as awk has them"
)]
fn to_usize(number: f64) -> usize {
    number.max(0.0) as usize
}

fn tokens(text: &str) -> Result<Vec<(Token, usize)>, Wrong> {
    const SIGNS: &[&str] = &[
        "&&", "||", "==", "!=", "<=", ">=", "+=", "-=", "*=", "/=", "%=", "++", "--", ">>", "!~",
        "{", "}", "(", ")", "[", "]", ";", ",", "+", "-", "*", "/", "%", "^", "!", ">", "<", "?",
        ":", "~", "$", "=",
    ];
    let letters: Vec<char> = text.chars().collect();
    let mut found: Vec<(Token, usize)> = Vec::new();
    let (mut at, mut line) = (0, 1);
    while let Some(letter) = letters.get(at).copied() {
        match letter {
            '\n' => {
                found.push((Token::Line, line));
                line += 1;
                at += 1;
            }
            '#' => {
                while letters.get(at).is_some_and(|letter| *letter != '\n') {
                    at += 1;
                }
            }
            '\\' if letters.get(at + 1) == Some(&'\n') => {
                at += 2;
                line += 1;
            }
            letter if letter.is_whitespace() => at += 1,
            '"' => {
                let mut inner = String::new();
                at += 1;
                loop {
                    match letters.get(at) {
                        None => return Err(Wrong(line, "Unexpected end of string".to_owned())),
                        Some('"') => break,
                        Some('\\') if letters.get(at + 1) == Some(&'"') => {
                            inner.push('"');
                            at += 1;
                        }
                        Some('\\') => {
                            inner.push('\\');
                            inner.extend(letters.get(at + 1));
                            at += 1;
                        }
                        Some(letter) => inner.push(*letter),
                    }
                    at += 1;
                }
                at += 1;
                found.push((Token::Text(unescape(&inner)), line));
            }
            '/' if !matches!(
                found.last(),
                Some((
                    Token::Number(_) | Token::Text(_) | Token::Name(_) | Token::Sign(")" | "]"),
                    _
                ))
            ) =>
            {
                let mut inner = String::new();
                at += 1;
                while let Some(letter) = letters.get(at).filter(|letter| **letter != '/') {
                    if *letter == '\\' && letters.get(at + 1) == Some(&'/') {
                        at += 1;
                    }
                    inner.extend(letters.get(at));
                    at += 1;
                }
                at += 1;
                found.push((Token::Pattern(inner), line));
            }
            letter if letter.is_ascii_digit() || letter == '.' => {
                let mut digits = String::new();
                while let Some(digit) = letters
                    .get(at)
                    .filter(|one| one.is_ascii_digit() || **one == '.')
                {
                    digits.push(*digit);
                    at += 1;
                }
                found.push((Token::Number(digits.parse().unwrap_or(0.0)), line));
            }
            letter if letter.is_ascii_alphabetic() || letter == '_' => {
                let mut name = String::new();
                while let Some(letter) = letters
                    .get(at)
                    .filter(|one| one.is_ascii_alphanumeric() || **one == '_')
                {
                    name.push(*letter);
                    at += 1;
                }
                found.push((Token::Name(name), line));
            }
            _ => {
                let rest: String = letters.iter().skip(at).take(2).collect();
                let Some(sign) = SIGNS.iter().find(|sign| rest.starts_with(**sign)) else {
                    return Err(Wrong(line, "Unexpected token".to_owned()));
                };
                at += sign.len();
                found.push((Token::Sign(sign), line));
            }
        }
    }
    Ok(found)
}

struct Parser {
    tokens: Vec<(Token, usize)>,
    at: usize,
    depth: usize,
    /// Whether `>` begins a file's name.
    prints: bool,
}

type Read<T> = Result<T, Wrong>;

impl Parser {
    fn peek(&self) -> Option<&Token> {
        self.tokens.get(self.at).map(|(token, _)| token)
    }

    fn line(&self) -> usize {
        let here = self.tokens.get(self.at).or(self.tokens.last());
        here.map_or(1, |(_, line)| *line)
    }

    fn wrong<T>(&self) -> Read<T> {
        Err(Wrong(self.line(), "Unexpected token".to_owned()))
    }

    fn eat(&mut self, sign: &str) -> bool {
        let found = matches!(self.peek(), Some(Token::Sign(here)) if *here == sign);
        self.at += usize::from(found);
        found
    }

    fn word(&mut self, word: &str) -> bool {
        let found = matches!(self.peek(), Some(Token::Name(here)) if here == word);
        self.at += usize::from(found);
        found
    }

    fn expect(&mut self, sign: &str) -> Read<()> {
        match self.eat(sign) {
            true => Ok(()),
            false => self.wrong(),
        }
    }

    fn skip(&mut self) {
        while matches!(self.peek(), Some(Token::Line | Token::Sign(";"))) {
            self.at += 1;
        }
    }

    fn lines(&mut self) {
        while self.peek() == Some(&Token::Line) {
            self.at += 1;
        }
    }

    fn program(&mut self) -> Read<Vec<(When, Statement)>> {
        let mut rules = Vec::new();
        loop {
            self.skip();
            if self.peek().is_none() {
                return Ok(rules);
            }
            let when = if self.word("BEGIN") {
                When::Begin
            } else if self.word("END") {
                When::End
            } else if matches!(self.peek(), Some(Token::Sign("{"))) {
                When::Always
            } else {
                When::If(self.expr()?)
            };
            let body = match self.peek() {
                Some(Token::Sign("{")) => self.statement()?,
                _ => Statement::Print(Vec::new(), false, None),
            };
            rules.push((when, body));
        }
    }

    fn statement(&mut self) -> Read<Statement> {
        self.depth += 1;
        if self.depth > 60 {
            return self.wrong();
        }
        let statement = self.one()?;
        self.depth -= 1;
        Ok(statement)
    }

    fn one(&mut self) -> Read<Statement> {
        self.lines();
        if self.eat("{") {
            let mut block = Vec::new();
            loop {
                self.skip();
                if self.eat("}") {
                    return Ok(Statement::Block(block));
                }
                block.push(self.statement()?);
            }
        }
        if self.eat(";") {
            return Ok(Statement::Block(Vec::new()));
        }
        if self.word("if") {
            self.expect("(")?;
            let condition = self.expr()?;
            self.expect(")")?;
            let then = self.statement()?;
            let here = self.at;
            self.skip();
            if self.word("else") {
                let other = self.statement()?;
                return Ok(Statement::If(
                    condition,
                    Box::new(then),
                    Some(Box::new(other)),
                ));
            }
            self.at = here;
            return Ok(Statement::If(condition, Box::new(then), None));
        }
        if self.word("while") {
            self.expect("(")?;
            let condition = self.expr()?;
            self.expect(")")?;
            let body = self.statement()?;
            return Ok(Statement::While(
                None,
                Some(condition),
                None,
                Box::new(body),
            ));
        }
        if self.word("for") {
            return self.for_rest();
        }
        let statement = if self.word("next") {
            Statement::Next
        } else if self.word("break") {
            Statement::Break
        } else if self.word("continue") {
            Statement::Continue
        } else if self.word("exit") {
            match self.peek() {
                None | Some(Token::Line | Token::Sign(";" | "}")) => Statement::Exit(None),
                Some(_) => Statement::Exit(Some(self.expr()?)),
            }
        } else {
            self.simple()?
        };
        Ok(statement)
    }

    fn for_rest(&mut self) -> Read<Statement> {
        self.expect("(")?;
        if let (Some(Token::Name(key)), Some((Token::Name(word), _)), Some((Token::Name(array), _))) = (
            self.peek().cloned(),
            self.tokens.get(self.at + 1).cloned(),
            self.tokens.get(self.at + 2).cloned(),
        ) && word == "in"
        {
            self.at += 3;
            self.expect(")")?;
            let body = self.statement()?;
            return Ok(Statement::Each(key, array, Box::new(body)));
        }
        let first = match self.peek() {
            Some(Token::Sign(";")) => None,
            _ => Some(Box::new(self.simple()?)),
        };
        self.expect(";")?;
        let condition = match self.peek() {
            Some(Token::Sign(";")) => None,
            _ => Some(self.expr()?),
        };
        self.expect(";")?;
        let step = match self.peek() {
            Some(Token::Sign(")")) => None,
            _ => Some(Box::new(self.simple()?)),
        };
        self.expect(")")?;
        let body = self.statement()?;
        Ok(Statement::While(first, condition, step, Box::new(body)))
    }

    fn simple(&mut self) -> Read<Statement> {
        for (word, formats) in [("print", false), ("printf", true)] {
            if !self.word(word) {
                continue;
            }
            self.prints = true;
            let mut values = Vec::new();
            let parenthesized = self.eat("(");
            self.prints = !parenthesized;
            while !matches!(
                self.peek(),
                None | Some(Token::Line | Token::Sign(";" | "}" | ">" | ">>" | ")"))
            ) {
                values.push(self.expr()?);
                if !self.eat(",") {
                    break;
                }
                self.lines();
            }
            if parenthesized {
                self.expect(")")?;
            }
            self.prints = true;
            let append = matches!(self.peek(), Some(Token::Sign(">>")));
            let target = if self.eat(">") || self.eat(">>") {
                Some((append, self.expr()?))
            } else {
                None
            };
            self.prints = false;
            return Ok(Statement::Print(values, formats, target));
        }
        if self.word("delete") {
            let Some(Token::Name(array)) = self.peek().cloned() else {
                return self.wrong();
            };
            self.at += 1;
            let key = match self.eat("[") {
                true => {
                    let key = self.expr()?;
                    self.expect("]")?;
                    Some(key)
                }
                false => None,
            };
            return Ok(Statement::Delete(array, key));
        }
        match self.expr()? {
            Expr::Call(name, mut args) if name == "system" && args.len() == 1 => {
                Ok(Statement::System(args.remove(0)))
            }
            expr => Ok(Statement::Expr(expr)),
        }
    }

    fn expr(&mut self) -> Read<Expr> {
        let left = self.choice()?;
        for sign in ["=", "+=", "-=", "*=", "/=", "%="] {
            if self.eat(sign) {
                if !matches!(left, Expr::Variable(_) | Expr::Element(..) | Expr::Field(_)) {
                    return self.wrong();
                }
                let sign = match sign {
                    "+=" => "+",
                    "-=" => "-",
                    "*=" => "*",
                    "/=" => "/",
                    "%=" => "%",
                    _ => "",
                };
                let right = self.expr()?;
                return Ok(Expr::Assign(Box::new(left), sign, Box::new(right)));
            }
        }
        Ok(left)
    }

    fn choice(&mut self) -> Read<Expr> {
        let condition = self.binary(0)?;
        if !self.eat("?") {
            return Ok(condition);
        }
        let yes = self.expr()?;
        self.expect(":")?;
        let no = self.expr()?;
        Ok(Expr::Choice(
            Box::new(condition),
            Box::new(yes),
            Box::new(no),
        ))
    }

    fn binary(&mut self, level: usize) -> Read<Expr> {
        const LEVELS: &[&[&str]] = &[
            &["||"],
            &["&&"],
            &["in"],
            &["~", "!~"],
            &["==", "!=", "<=", ">=", "<", ">"],
            &[""],
            &["+", "-"],
            &["*", "/", "%"],
        ];
        let Some(signs) = LEVELS.get(level) else {
            return self.unary();
        };
        let mut left = self.binary(level + 1)?;
        'next: loop {
            let line = self.line();
            for sign in *signs {
                match *sign {
                    "in" => {
                        if self.word("in") {
                            let Some(Token::Name(array)) = self.peek().cloned() else {
                                return self.wrong();
                            };
                            self.at += 1;
                            left = Expr::In(Box::new(left), array);
                            continue 'next;
                        }
                    }
                    "" => {
                        let begins = match self.peek() {
                            Some(Token::Number(_) | Token::Text(_)) => true,
                            Some(Token::Name(name)) => name != "in",
                            Some(Token::Sign("$" | "(" | "!")) => true,
                            _ => false,
                        };
                        if begins {
                            let right = self.binary(level + 1)?;
                            left = Expr::Binary("", Box::new(left), Box::new(right), line);
                            continue 'next;
                        }
                    }
                    ">" if self.prints => {}
                    sign => {
                        if self.eat(sign) {
                            self.lines();
                            let right = self.binary(level + 1)?;
                            left = Expr::Binary(sign, Box::new(left), Box::new(right), line);
                            continue 'next;
                        }
                    }
                }
            }
            return Ok(left);
        }
    }

    fn unary(&mut self) -> Read<Expr> {
        if self.eat("!") {
            return Ok(Expr::Not(Box::new(self.unary()?)));
        }
        if self.eat("-") {
            return Ok(Expr::Minus(Box::new(self.unary()?)));
        }
        if self.eat("+") {
            return self.unary();
        }
        for (sign, by) in [("++", 1.0), ("--", -1.0)] {
            if self.eat(sign) {
                return Ok(Expr::Step(Box::new(self.unary()?), by, true));
            }
        }
        let value = self.primary()?;
        for (sign, by) in [("++", 1.0), ("--", -1.0)] {
            let is_place = matches!(
                value,
                Expr::Variable(_) | Expr::Element(..) | Expr::Field(_)
            );
            if is_place && self.eat(sign) {
                return Ok(Expr::Step(Box::new(value), by, false));
            }
        }
        Ok(value)
    }

    fn primary(&mut self) -> Read<Expr> {
        let Some(token) = self.peek().cloned() else {
            return self.wrong();
        };
        self.at += 1;
        match token {
            Token::Number(number) => Ok(Expr::Number(number)),
            Token::Text(text) => Ok(Expr::Text(text)),
            Token::Pattern(pattern) => match Regex::new(&pattern) {
                Ok(regex) => Ok(Expr::Pattern(regex)),
                Err(_) => Err(Wrong(self.line(), "bad regex".to_owned())),
            },
            Token::Sign("$") => Ok(Expr::Field(Box::new(self.primary()?))),
            Token::Sign("(") => {
                let prints = std::mem::take(&mut self.prints);
                let inner = self.expr()?;
                self.expect(")")?;
                self.prints = prints;
                Ok(inner)
            }
            Token::Name(name) => {
                if self.eat("[") {
                    let key = self.expr()?;
                    self.expect("]")?;
                    return Ok(Expr::Element(name, Box::new(key)));
                }
                const FUNCTIONS: &[&str] = &[
                    "length", "sprintf", "substr", "index", "split", "toupper", "tolower", "int",
                    "system", "close", "fflush", "sqrt", "rand", "srand", "gsub", "sub", "match",
                    "systime",
                ];
                if !FUNCTIONS.contains(&name.as_str()) {
                    return Ok(Expr::Variable(name));
                }
                let mut args = Vec::new();
                if self.eat("(") {
                    let prints = std::mem::take(&mut self.prints);
                    while !self.eat(")") {
                        args.push(self.expr()?);
                        self.eat(",");
                        if self.peek().is_none() {
                            return self.wrong();
                        }
                    }
                    self.prints = prints;
                }
                Ok(Expr::Call(name, args))
            }
            _ => {
                self.at -= 1;
                self.wrong()
            }
        }
    }
}

/// A program that runs.
struct Machine<'a, 'b> {
    tool: &'a mut Tool<'b>,
    variables: BTreeMap<String, Value>,
    arrays: BTreeMap<String, HashMap<String, Value>>,
    fields: Vec<String>,
    separator: String,
    opened: Vec<String>,
    held: u64,
    told: u64,
    turns: u32,
}

type Ran<'a, T> = Pin<Box<dyn Future<Output = Result<T, Wrong>> + Send + 'a>>;

/// Runs awk.
pub(super) async fn run(tool: &mut Tool<'_>) -> i32 {
    let mut operands = tool.operands("Fvf");
    let program = match tool.value('f') {
        Some(file) => {
            let path = tool.shell.path(&file);
            let read = tool.shell.sys.container.state().files.read(&path);
            match read {
                Ok(content) => content.text,
                Err(error) => return tool.fail(&format!("{file}: {}", error.text())),
            }
        }
        None if operands.is_empty() => {
            return tool.err("usage: awk [-F SEP] [-v VAR=VAL] PROG FILE...");
        }
        None => operands.remove(0),
    };
    let mut variables = BTreeMap::new();
    let mut words = tool.args.iter();
    while let Some(word) = words.next() {
        if word == "-v"
            && let Some((name, value)) = words.next().and_then(|word| word.split_once('='))
        {
            variables.insert(name.to_owned(), Value::Input(unescape(value)));
        }
    }
    let separator = tool.value('F').unwrap_or_else(|| " ".to_owned());
    let rules = tokens(&program).and_then(|tokens| {
        let mut parser = Parser {
            tokens,
            at: 0,
            depth: 0,
            prints: false,
        };
        parser.program()
    });
    let rules = match rules {
        Ok(rules) => rules,
        Err(Wrong(line, what)) => {
            tool.err(&format!("awk: cmd. line:{line}: {what}"));
            return 1;
        }
    };
    let mut machine = Machine {
        tool,
        variables,
        arrays: BTreeMap::new(),
        fields: Vec::new(),
        separator,
        opened: Vec::new(),
        held: 0,
        told: 0,
        turns: 0,
    };
    let code = match machine.all(&rules, &operands).await {
        Ok(code) => code,
        Err(Wrong(line, what)) => {
            machine.tool.err(&format!("awk: cmd. line:{line}: {what}"));
            1
        }
    };
    machine.tool.shell.sys.ask(Call::Memory(0)).await;
    code
}

impl Machine<'_, '_> {
    async fn all(&mut self, rules: &[(When, Statement)], files: &[String]) -> Result<i32, Wrong> {
        for (when, body) in rules {
            if matches!(when, When::Begin)
                && let Flow::Exit(code) = self.run(body).await?
            {
                return Ok(code);
            }
        }
        if rules.iter().any(|(when, _)| !matches!(when, When::Begin)) {
            let mut text = String::new();
            if files.is_empty() {
                text = self.tool.io.read_all().text;
            }
            for file in files {
                let path = self.tool.shell.path(file);
                let read = self.tool.shell.sys.container.state().files.read(&path);
                match read {
                    Ok(content) => text.push_str(&content.text),
                    Err(error) => {
                        self.tool.err(&format!("awk: {file}: {}", error.text()));
                        return Ok(1);
                    }
                }
            }
            let mut number = 0.0;
            'lines: for line in text.lines() {
                number += 1.0;
                self.variables
                    .insert("NR".to_owned(), Value::Number(number));
                self.take(line);
                for (when, body) in rules {
                    let is_here = match when {
                        When::Begin | When::End => false,
                        When::Always => true,
                        When::If(condition) => self.value(condition)?.is_true(),
                    };
                    if !is_here {
                        continue;
                    }
                    match self.run(body).await? {
                        Flow::Next => continue 'lines,
                        Flow::Exit(code) => return Ok(code),
                        _ => {}
                    }
                }
            }
        }
        for (when, body) in rules {
            if matches!(when, When::End)
                && let Flow::Exit(code) = self.run(body).await?
            {
                return Ok(code);
            }
        }
        Ok(0)
    }

    fn take(&mut self, line: &str) {
        let separator = match self.variables.get("FS") {
            Some(separator) => separator.text(),
            None => self.separator.clone(),
        };
        self.fields = vec![line.to_owned()];
        match separator.as_str() {
            " " => self
                .fields
                .extend(line.split_whitespace().map(str::to_owned)),
            separator => self.fields.extend(line.split(separator).map(str::to_owned)),
        }
        #[expect(clippy::cast_precision_loss, reason = "a small count")]
        let count = (self.fields.len() - 1) as f64;
        self.variables.insert("NF".to_owned(), Value::Number(count));
    }

    /// Tells the cluster of the memory that is used, and lets others have their turn.
    async fn breathe(&mut self) {
        self.turns += 1;
        if self.held.abs_diff(self.told) >= STEP {
            self.told = self.held;
            self.tool.shell.sys.ask(Call::Memory(self.held)).await;
        }
        if self.turns >= 2000 {
            self.turns = 0;
            let time = Duration::from_millis(1);
            self.tool.shell.sys.ask(Call::Compute(time)).await;
        }
    }

    fn run<'a>(&'a mut self, statement: &'a Statement) -> Ran<'a, Flow> {
        Box::pin(async move {
            match statement {
                Statement::Block(statements) => {
                    for statement in statements {
                        match self.step(statement).await? {
                            Flow::Done => {}
                            flow => return Ok(flow),
                        }
                    }
                    Ok(Flow::Done)
                }
                Statement::If(condition, then, other) => {
                    if self.value(condition)?.is_true() {
                        return self.step(then).await;
                    }
                    match other {
                        Some(other) => self.step(other).await,
                        None => Ok(Flow::Done),
                    }
                }
                Statement::While(first, condition, step, body) => {
                    if let Some(first) = first {
                        self.step(first).await?;
                    }
                    loop {
                        if let Some(condition) = condition
                            && !self.value(condition)?.is_true()
                        {
                            return Ok(Flow::Done);
                        }
                        self.breathe().await;
                        match self.step(body).await? {
                            Flow::Done | Flow::Continue => {}
                            Flow::Break => return Ok(Flow::Done),
                            flow => return Ok(flow),
                        }
                        if let Some(step) = step {
                            self.step(step).await?;
                        }
                    }
                }
                Statement::Each(key, array, body) => {
                    let keys = self.arrays.get(array).into_iter().flat_map(HashMap::keys);
                    let mut keys: Vec<String> = keys.cloned().collect();
                    keys.sort_unstable();
                    for value in keys {
                        self.variables.insert(key.clone(), Value::Input(value));
                        match self.step(body).await? {
                            Flow::Done | Flow::Continue => {}
                            Flow::Break => return Ok(Flow::Done),
                            flow => return Ok(flow),
                        }
                    }
                    Ok(Flow::Done)
                }
                Statement::System(command) => {
                    let command = self.value(command)?.text();
                    if self.held.abs_diff(self.told) > 0 {
                        self.told = self.held;
                        self.tool.shell.sys.ask(Call::Memory(self.held)).await;
                    }
                    let argv = ["sh", "-c", command.as_str()].map(str::to_owned).to_vec();
                    self.tool.nested(argv).await;
                    Ok(Flow::Done)
                }
                leaf => self.leaf(leaf),
            }
        })
    }

    async fn step(&mut self, statement: &Statement) -> Result<Flow, Wrong> {
        match statement {
            Statement::Block(_)
            | Statement::If(..)
            | Statement::While(..)
            | Statement::Each(..)
            | Statement::System(_) => self.run(statement).await,
            leaf => self.leaf(leaf),
        }
    }

    /// Statements that never wait.
    fn leaf(&mut self, statement: &Statement) -> Result<Flow, Wrong> {
        match statement {
            // What is assigned, nobody asks for again.
            Statement::Expr(Expr::Assign(place, "", value)) => {
                let value = self.value(value)?;
                self.assign(place, value)?;
            }
            Statement::Expr(expr) => {
                self.value(expr)?;
            }
            Statement::Print(values, formats, target) => self.print(values, *formats, target)?,
            Statement::Delete(array, key) => match key {
                Some(key) => {
                    let key = self.value(key)?.text();
                    if let Some(old) = self
                        .arrays
                        .get_mut(array)
                        .and_then(|array| array.remove(&key))
                    {
                        self.held = self.held.saturating_sub(size_of(&key, &old));
                    }
                }
                None => {
                    if let Some(array) = self.arrays.remove(array) {
                        let sizes = array.iter().map(|(key, value)| size_of(key, value));
                        self.held = self.held.saturating_sub(sizes.sum());
                    }
                }
            },
            Statement::Next => return Ok(Flow::Next),
            Statement::Break => return Ok(Flow::Break),
            Statement::Continue => return Ok(Flow::Continue),
            Statement::Exit(code) => {
                let code = match code {
                    Some(code) => self.value(code)?.number(),
                    None => 0.0,
                };
                return Ok(Flow::Exit(i32::try_from(to_usize(code)).unwrap_or(1)));
            }
            _ => {}
        }
        Ok(Flow::Done)
    }

    fn print(
        &mut self,
        values: &[Expr],
        formats: bool,
        target: &Option<(bool, Expr)>,
    ) -> Result<(), Wrong> {
        let mut texts = Vec::new();
        for value in values {
            texts.push(self.value(value)?.text());
        }
        let text = if formats {
            let format = texts.first().cloned().unwrap_or_default();
            let mut rest = texts.into_iter().skip(1);
            formatted(&format, &mut |_| rest.next().unwrap_or_default())
        } else if texts.is_empty() {
            format!("{}\n", self.fields.first().cloned().unwrap_or_default())
        } else {
            let between = match self.variables.get("OFS") {
                Some(between) => between.text(),
                None => " ".to_owned(),
            };
            format!("{}\n", texts.join(&between))
        };
        let Some((append, file)) = target else {
            self.tool.put(Data::text(text));
            return Ok(());
        };
        let file = self.value(file)?.text();
        if file == "/dev/stderr" {
            self.tool.err(text.trim_end_matches('\n'));
            return Ok(());
        }
        let path = self.tool.shell.path(&file);
        let append = *append || self.opened.contains(&path);
        let written = {
            let mut state = self.tool.shell.sys.container.state();
            state.files.write(&path, Content::text(text), append)
        };
        if let Err(error) = written {
            return Err(Wrong(
                1,
                format!("can't redirect to '{file}': {}", error.text()),
            ));
        }
        if !self.opened.contains(&path) {
            self.opened.push(path);
        }
        Ok(())
    }

    fn assign(&mut self, place: &Expr, value: Value) -> Result<(), Wrong> {
        match place {
            Expr::Variable(name) => {
                self.held += size_of(name, &value);
                let old = match self.variables.get_mut(name) {
                    Some(known) => Some(mem::replace(known, value)),
                    None => self.variables.insert(name.clone(), value),
                };
                self.forget(name.len(), old);
            }
            Expr::Element(array, key) => {
                let key = self.value(key)?.text();
                self.held += size_of(&key, &value);
                let length = key.len();
                let old = match self.arrays.get_mut(array) {
                    Some(entries) => entries.insert(key, value),
                    None => {
                        let entries = HashMap::from([(key, value)]);
                        self.arrays.insert(array.clone(), entries);
                        None
                    }
                };
                self.forget(length, old);
            }
            Expr::Field(number) => {
                let index = to_usize(self.value(number)?.number());
                if index == 0 {
                    let line = value.text();
                    self.take(&line);
                    return Ok(());
                }
                while self.fields.len() <= index.min(1000) {
                    self.fields.push(String::new());
                }
                if let Some(field) = self.fields.get_mut(index) {
                    *field = value.text();
                }
                self.fields[0] = self.fields[1..].join(" ");
            }
            _ => {}
        }
        Ok(())
    }

    /// Gives back what an old value took, that had a key of this length.
    fn forget(&mut self, key: usize, old: Option<Value>) {
        let size = old.map_or(0, |old| size_of_entry(key, &old));
        self.held = self.held.saturating_sub(size);
    }

    fn value(&mut self, expr: &Expr) -> Result<Value, Wrong> {
        Ok(match expr {
            Expr::Number(number) => Value::Number(*number),
            Expr::Text(text) => Value::Text(text.clone()),
            Expr::Pattern(pattern) => {
                let line = self.fields.first().map_or("", String::as_str);
                Value::Number(f64::from(u8::from(pattern.is_match(line))))
            }
            Expr::Variable(name) => {
                let value = self.variables.get(name).cloned();
                value.unwrap_or_else(|| Value::Input(String::new()))
            }
            Expr::Element(array, key) => {
                let key = self.value(key)?.text();
                let found = self.arrays.get(array).and_then(|array| array.get(&key));
                found
                    .cloned()
                    .unwrap_or_else(|| Value::Input(String::new()))
            }
            Expr::Field(number) => {
                let index = to_usize(self.value(number)?.number());
                Value::Input(self.fields.get(index).cloned().unwrap_or_default())
            }
            Expr::Assign(place, sign, value) => {
                let mut value = self.value(value)?;
                if !sign.is_empty() {
                    let old = self.value(place)?.number();
                    value = Value::Number(compute(sign, old, value.number(), 1)?);
                }
                self.assign(place, value.clone())?;
                value
            }
            Expr::Step(place, by, before) => {
                let old = self.value(place)?.number();
                self.assign(place, Value::Number(old + by))?;
                Value::Number(if *before { old + by } else { old })
            }
            Expr::Not(inner) => Value::Number(f64::from(u8::from(!self.value(inner)?.is_true()))),
            Expr::Minus(inner) => Value::Number(-self.value(inner)?.number()),
            Expr::Choice(condition, yes, no) => match self.value(condition)?.is_true() {
                true => self.value(yes)?,
                false => self.value(no)?,
            },
            Expr::In(key, array) => {
                let key = self.value(key)?.text();
                let found = self
                    .arrays
                    .get(array)
                    .is_some_and(|array| array.contains_key(&key));
                Value::Number(f64::from(u8::from(found)))
            }
            Expr::Binary(sign, left, right, line) => self.binary(sign, left, right, *line)?,
            Expr::Call(name, args) => self.call(name, args)?,
        })
    }

    fn binary(
        &mut self,
        sign: &str,
        left: &Expr,
        right: &Expr,
        line: usize,
    ) -> Result<Value, Wrong> {
        let truth = |yes: bool| Value::Number(f64::from(u8::from(yes)));
        match sign {
            "||" => {
                return Ok(truth(
                    self.value(left)?.is_true() || self.value(right)?.is_true(),
                ));
            }
            "&&" => {
                return Ok(truth(
                    self.value(left)?.is_true() && self.value(right)?.is_true(),
                ));
            }
            "~" | "!~" => {
                let text = self.value(left)?.text();
                let found = match right {
                    Expr::Pattern(regex) => regex.is_match(&text),
                    right => {
                        let pattern = self.value(right)?.text();
                        Regex::new(&pattern).is_ok_and(|regex| regex.is_match(&text))
                    }
                };
                return Ok(truth(found == (sign == "~")));
            }
            _ => {}
        }
        if !sign.is_empty()
            && let (Some(left), Some(right)) = (self.known(left), self.known(right))
        {
            return Ok(match compared(sign, left.partial_cmp(&right)) {
                Some(yes) => truth(yes),
                None => Value::Number(compute(sign, left, right, line)?),
            });
        }
        let (left, right) = (self.value(left)?, self.value(right)?);
        Ok(match sign {
            "" => {
                let mut text = left.text();
                text.push_str(&right.text());
                Value::Text(text)
            }
            "==" | "!=" | "<" | ">" | "<=" | ">=" => {
                let order = if left.is_numeric() && right.is_numeric() {
                    left.number().partial_cmp(&right.number())
                } else {
                    Some(left.text().cmp(&right.text()))
                };
                truth(compared(sign, order).unwrap_or_default())
            }
            sign => Value::Number(compute(sign, left.number(), right.number(), line)?),
        })
    }

    /// A number that is there without computing anything.
    fn known(&self, expr: &Expr) -> Option<f64> {
        match expr {
            Expr::Number(number) => Some(*number),
            Expr::Variable(name) => match self.variables.get(name)? {
                Value::Number(number) => Some(*number),
                Value::Input(text) => text.trim().parse().ok(),
                Value::Text(_) => None,
            },
            _ => None,
        }
    }

    fn call(&mut self, name: &str, args: &[Expr]) -> Result<Value, Wrong> {
        if name == "sprintf"
            && let [Expr::Text(format), rest @ ..] = args
        {
            let mut values = Vec::with_capacity(rest.len());
            for value in rest {
                values.push(self.value(value)?.text());
            }
            let mut values = values.into_iter();
            let text = formatted(format, &mut |_| values.next().unwrap_or_default());
            return Ok(Value::Text(text));
        }
        if name == "length" {
            if let [Expr::Variable(array)] = args
                && let Some(array) = self.arrays.get(array)
            {
                #[expect(clippy::cast_precision_loss, reason = "a small count")]
                return Ok(Value::Number(array.len() as f64));
            }
            let text = match args.first() {
                Some(arg) => self.value(arg)?.text(),
                None => self.fields.first().cloned().unwrap_or_default(),
            };
            #[expect(clippy::cast_precision_loss, reason = "a small count")]
            return Ok(Value::Number(text.chars().count() as f64));
        }
        if name == "split" {
            let [text, Expr::Variable(array), rest @ ..] = args else {
                return Ok(Value::Number(0.0));
            };
            let text = self.value(text)?.text();
            let separator = match rest.first() {
                Some(separator) => self.value(separator)?.text(),
                None => self.separator.clone(),
            };
            let parts: Vec<String> = match separator.as_str() {
                " " => text.split_whitespace().map(str::to_owned).collect(),
                separator => text.split(separator).map(str::to_owned).collect(),
            };
            let numbered = parts.into_iter().enumerate();
            let entries: HashMap<String, Value> = numbered
                .map(|(index, part)| ((index + 1).to_string(), Value::Input(part)))
                .collect();
            #[expect(clippy::cast_precision_loss, reason = "a small count")]
            let count = entries.len() as f64;
            self.arrays.insert(array.clone(), entries);
            return Ok(Value::Number(count));
        }
        if matches!(name, "sub" | "gsub") {
            let [pattern, with, rest @ ..] = args else {
                return Ok(Value::Number(0.0));
            };
            let regex = match pattern {
                Expr::Pattern(regex) => regex.clone(),
                pattern => match Regex::new(&self.value(pattern)?.text()) {
                    Ok(regex) => regex,
                    Err(_) => return Ok(Value::Number(0.0)),
                },
            };
            let with = self
                .value(with)?
                .text()
                .replace('$', "$$")
                .replace('&', "${0}");
            let whole = Expr::Field(Box::new(Expr::Number(0.0)));
            let place = rest.first().unwrap_or(&whole);
            let text = self.value(place)?.text();
            let limit = usize::from(name == "sub");
            let count = match name {
                "sub" => usize::from(regex.is_match(&text)),
                _ => regex.find_iter(&text).count(),
            };
            let changed = regex.replacen(&text, limit, with.as_str()).into_owned();
            self.assign(place, Value::Text(changed))?;
            #[expect(clippy::cast_precision_loss, reason = "a small count")]
            return Ok(Value::Number(count as f64));
        }
        let mut values = Vec::new();
        for arg in args {
            values.push(self.value(arg)?);
        }
        let text = |index: usize| values.get(index).map(Value::text).unwrap_or_default();
        let number = |index: usize| values.get(index).map_or(0.0, Value::number);
        Ok(match name {
            "sprintf" => {
                let mut rest = values.iter().skip(1);
                let text = formatted(&text(0), &mut |_| {
                    rest.next().map(Value::text).unwrap_or_default()
                });
                Value::Text(text)
            }
            "substr" => {
                let from = to_usize(number(1).max(1.0)) - 1;
                let most = values
                    .get(2)
                    .map_or(usize::MAX, |most| to_usize(most.number()));
                Value::Text(text(0).chars().skip(from).take(most).collect())
            }
            "index" => {
                let found = text(0).find(&text(1)).map_or(0, |at| at + 1);
                #[expect(clippy::cast_precision_loss, reason = "a small count")]
                Value::Number(found as f64)
            }
            "toupper" => Value::Text(text(0).to_uppercase()),
            "tolower" => Value::Text(text(0).to_lowercase()),
            "int" => Value::Number(number(0).trunc()),
            "sqrt" => Value::Number(number(0).sqrt()),
            "systime" => {
                let now = self.tool.shell.sys.container.clock.now().as_second();
                #[expect(clippy::cast_precision_loss, reason = "seconds are small")]
                Value::Number(now as f64)
            }
            "close" => {
                let path = self.tool.shell.path(&text(0));
                self.opened.retain(|open| *open != path);
                Value::Number(0.0)
            }
            _ => Value::Number(0.0),
        })
    }
}

fn size_of(key: &str, value: &Value) -> u64 {
    size_of_entry(key.len(), value)
}

fn size_of_entry(key: usize, value: &Value) -> u64 {
    let text = match value {
        Value::Number(_) => 0,
        Value::Text(text) | Value::Input(text) => text.len(),
    };
    ENTRY + u64::try_from(key + text).unwrap_or(u64::MAX)
}

/// Whether two values are in the order that a sign asks for; none where it does not compare.
fn compared(sign: &str, order: Option<Ordering>) -> Option<bool> {
    Some(match sign {
        "==" => order.is_some_and(Ordering::is_eq),
        "!=" => order.is_some_and(Ordering::is_ne),
        "<" => order.is_some_and(Ordering::is_lt),
        ">" => order.is_some_and(Ordering::is_gt),
        "<=" => order.is_some_and(Ordering::is_le),
        ">=" => order.is_some_and(Ordering::is_ge),
        _ => return None,
    })
}

fn compute(sign: &str, left: f64, right: f64, line: usize) -> Result<f64, Wrong> {
    Ok(match sign {
        "+" => left + right,
        "-" => left - right,
        "*" => left * right,
        "/" | "%" if right == 0.0 => return Err(Wrong(line, "Division by zero".to_owned())),
        "/" => left / right,
        "%" => left % right,
        _ => 0.0,
    })
}
