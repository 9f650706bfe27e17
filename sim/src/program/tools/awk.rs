//! awk, as far as scripts in manifests use it.
//!
//! A program is read into a tree, the tree becomes operations, and these run one after the other on a
//! stack of their own: so functions may call themselves as deep as awk's own stack goes, and may wait.
//!
//! Source: POSIX.1-2017, awk.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::mem;
use std::time::Duration;

use regex::Regex;

use super::super::files::Content;
use super::super::process::Call;
use super::super::shell::{Data, SEGMENTATION_FAULT};
use super::{Tool, formatted, unescape};

/// What an entry of an array takes besides its text.
const ENTRY: u64 = 96;
/// How much more memory is used before the cluster is told.
const STEP: u64 = 1 << 20;
/// How deep functions may call each other before busybox's stack of 8 MiB has no room; measured.
const STACK: usize = 12_000;

#[derive(Clone, Debug, PartialEq)]
enum Token {
    Number(f64),
    Text(String),
    Pattern(String),
    Name(String),
    /// A name right before a parenthesis: a function.
    Function(String),
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
    Next,
    Exit(Option<Expr>),
    Return(Option<Expr>),
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
                let is_called = letters.get(at) == Some(&'(')
                    && !WORDS.contains(&name.as_str())
                    && !FUNCTIONS.contains(&name.as_str());
                let token = match is_called {
                    true => Token::Function(name),
                    false => Token::Name(name),
                };
                found.push((token, line));
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

/// Words that are no names.
const WORDS: &[&str] = &[
    "BEGIN", "END", "if", "else", "while", "for", "in", "print", "printf", "delete", "next",
    "exit", "return", "break", "continue", "function", "func",
];

/// The functions that there are already.
const FUNCTIONS: &[&str] = &[
    "length", "sprintf", "substr", "index", "split", "toupper", "tolower", "int", "system",
    "close", "fflush", "sqrt", "rand", "srand", "gsub", "sub", "match", "systime",
];

/// A function of the program.
#[derive(Debug)]
struct Function {
    name: String,
    parameters: Vec<String>,
    body: Statement,
}

struct Parser {
    functions: Vec<Function>,
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
            if self.word("function") || self.word("func") {
                let function = self.function()?;
                self.functions.push(function);
                continue;
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

    fn function(&mut self) -> Read<Function> {
        let Some(Token::Function(name) | Token::Name(name)) = self.peek().cloned() else {
            return self.wrong();
        };
        self.at += 1;
        self.expect("(")?;
        let mut parameters = Vec::new();
        while !self.eat(")") {
            let Some(Token::Name(parameter)) = self.peek().cloned() else {
                return self.wrong();
            };
            self.at += 1;
            parameters.push(parameter);
            self.eat(",");
        }
        self.lines();
        Ok(Function {
            name,
            parameters,
            body: self.statement()?,
        })
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
            Statement::Exit(self.optional()?)
        } else if self.word("return") {
            Statement::Return(self.optional()?)
        } else {
            self.simple()?
        };
        Ok(statement)
    }

    /// An expression, or the end of the statement.
    fn optional(&mut self) -> Read<Option<Expr>> {
        match self.peek() {
            None | Some(Token::Line | Token::Sign(";" | "}")) => Ok(None),
            Some(_) => self.expr().map(Some),
        }
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
        self.expr().map(Statement::Expr)
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
                            Some(Token::Number(_) | Token::Text(_) | Token::Function(_)) => true,
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
                if !FUNCTIONS.contains(&name.as_str()) {
                    return Ok(Expr::Variable(name));
                }
                let args = self.args()?;
                Ok(Expr::Call(name, args))
            }
            Token::Function(name) => {
                let args = self.args()?;
                Ok(Expr::Call(name, args))
            }
            _ => {
                self.at -= 1;
                self.wrong()
            }
        }
    }

    /// What a function is called with: nothing without parentheses.
    fn args(&mut self) -> Read<Vec<Expr>> {
        let mut args = Vec::new();
        if self.eat("(") {
            let prints = std::mem::take(&mut self.prints);
            while !self.eat(")") {
                args.push(self.expr()?);
                self.eat(",");
                self.lines();
                if self.peek().is_none() {
                    return self.wrong();
                }
            }
            self.prints = prints;
        }
        Ok(args)
    }
}

/// Where a variable or an array is: by its name, or by its place among what the present function was
/// called with.
#[derive(Clone, Debug)]
enum Slot {
    Global(String),
    Local(usize),
}

/// What is put into something, in place of its value or together with it.
type Sign = &'static str;

/// An operation. What it works on it takes from the stack, and leaves there what comes of it.
#[derive(Debug)]
enum Op {
    Push(Value),
    Pop,
    Load(Slot),
    Element(Slot),
    Field,
    Line(Regex),
    /// What is assigned is left there only if it is asked for.
    Store(Slot, Sign, bool),
    StoreElement(Slot, Sign, bool),
    StoreField(Sign, bool),
    Step(Slot, f64, bool),
    StepElement(Slot, f64, bool),
    StepField(f64, bool),
    Binary(Sign, usize),
    /// Whether the text matches a pattern, a text if it is not known before, or does not.
    Match(Option<Regex>, bool),
    Not,
    Minus,
    In(Slot),
    Jump(usize),
    /// On to there, if it is not true.
    Unless(usize),
    /// A turn of a loop.
    Turn,
    /// A function that there is already, with so many arguments.
    Builtin(String, usize),
    /// How many an array holds.
    Count(Slot),
    Split(Slot, bool),
    Substitute {
        is_global: bool,
        pattern: Option<Regex>,
        place: Target,
    },
    System,
    /// An array that a function is called with.
    Array(Slot),
    Call(usize, usize),
    Return,
    Print {
        values: usize,
        formats: bool,
        /// Whether it goes to a file, and is added to it.
        to: Option<bool>,
    },
    Delete(Slot),
    DeleteElement(Slot),
    /// The keys of an array are gone through.
    Keys(Slot),
    /// The next key, or on to there after the last.
    Key(Slot, usize),
    /// No more keys.
    EndKeys,
    Next,
    Exit,
    Done,
}

/// What may be changed.
#[derive(Debug)]
enum Target {
    Variable(Slot),
    Element(Slot),
    Field,
}

/// A function, as operations.
#[derive(Debug, Default)]
struct Routine {
    begins: usize,
    parameters: usize,
    /// Which of its parameters are arrays.
    arrays: Vec<bool>,
}

/// A program as operations: where each rule begins.
#[derive(Debug, Default)]
struct Code {
    ops: Vec<Op>,
    begin: Vec<usize>,
    lines: Vec<usize>,
    end: Vec<usize>,
    routines: Vec<Routine>,
}

/// Turns a program into operations.
struct Compiler<'a> {
    code: Code,
    functions: &'a [Function],
    /// The parameters of the function that is compiled.
    parameters: &'a [String],
    /// The jumps out of the loops that are open, and to their next turns.
    breaks: Vec<Vec<usize>>,
    continues: Vec<Vec<usize>>,
}

impl<'a> Compiler<'a> {
    fn compile(rules: &[(When, Statement)], functions: &'a [Function]) -> Result<Code, Wrong> {
        let mut compiler = Self {
            code: Code::default(),
            functions,
            parameters: &[],
            breaks: Vec::new(),
            continues: Vec::new(),
        };
        let arrays = arrays(functions);
        for (function, arrays) in functions.iter().zip(arrays) {
            compiler.code.routines.push(Routine {
                begins: 0,
                parameters: function.parameters.len(),
                arrays,
            });
        }
        for (index, function) in functions.iter().enumerate() {
            compiler.code.routines[index].begins = compiler.here();
            compiler.parameters = &function.parameters;
            compiler.statement(&function.body)?;
            compiler.op(Op::Push(Value::Input(String::new())));
            compiler.op(Op::Return);
        }
        compiler.parameters = &[];
        for (when, body) in rules {
            let begins = compiler.here();
            let mut skips = None;
            match when {
                When::Begin => compiler.code.begin.push(begins),
                When::End => compiler.code.end.push(begins),
                When::Always => compiler.code.lines.push(begins),
                When::If(condition) => {
                    compiler.code.lines.push(begins);
                    compiler.expr(condition)?;
                    skips = Some(compiler.op(Op::Unless(0)));
                }
            }
            compiler.statement(body)?;
            let ends = compiler.op(Op::Done);
            if let Some(skips) = skips {
                compiler.land(skips, ends);
            }
        }
        Ok(compiler.code)
    }

    fn here(&self) -> usize {
        self.code.ops.len()
    }

    fn op(&mut self, op: Op) -> usize {
        self.code.ops.push(op);
        self.here() - 1
    }

    /// Lets a jump go there.
    fn land(&mut self, jump: usize, there: usize) {
        match &mut self.code.ops[jump] {
            Op::Jump(to) | Op::Unless(to) | Op::Key(_, to) => *to = there,
            _ => {}
        }
    }

    fn slot(&self, name: &str) -> Slot {
        match self.parameters.iter().position(|one| one == name) {
            Some(index) => Slot::Local(index),
            None => Slot::Global(name.to_owned()),
        }
    }

    fn statement(&mut self, statement: &Statement) -> Result<(), Wrong> {
        match statement {
            Statement::Block(statements) => {
                for statement in statements {
                    self.statement(statement)?;
                }
            }
            // What is assigned, nobody asks for again.
            Statement::Expr(Expr::Assign(place, sign, value)) => {
                self.assign(place, sign, value, false)?;
            }
            Statement::Expr(expr) => {
                self.expr(expr)?;
                self.op(Op::Pop);
            }
            Statement::Print(values, formats, target) => {
                for value in values {
                    self.expr(value)?;
                }
                if let Some((_, file)) = target {
                    self.expr(file)?;
                }
                self.op(Op::Print {
                    values: values.len(),
                    formats: *formats,
                    to: target.as_ref().map(|(appends, _)| *appends),
                });
            }
            Statement::If(condition, then, other) => {
                self.expr(condition)?;
                let skips = self.op(Op::Unless(0));
                self.statement(then)?;
                let mut there = self.here();
                if let Some(other) = other {
                    let ends = self.op(Op::Jump(0));
                    there = self.here();
                    self.statement(other)?;
                    let end = self.here();
                    self.land(ends, end);
                }
                self.land(skips, there);
            }
            Statement::While(first, condition, step, body) => {
                if let Some(first) = first {
                    self.statement(first)?;
                }
                let begins = self.here();
                let mut leaves = None;
                if let Some(condition) = condition {
                    self.expr(condition)?;
                    leaves = Some(self.op(Op::Unless(0)));
                }
                self.op(Op::Turn);
                self.breaks.push(leaves.into_iter().collect());
                self.continues.push(Vec::new());
                self.statement(body)?;
                let goes_on = self.here();
                if let Some(step) = step {
                    self.statement(step)?;
                }
                self.op(Op::Jump(begins));
                let end = self.here();
                self.close(goes_on, end);
            }
            Statement::Each(key, array, body) => {
                let array = self.slot(array);
                self.op(Op::Keys(array));
                let key = self.slot(key);
                let next = self.op(Op::Key(key, 0));
                self.op(Op::Turn);
                self.breaks.push(vec![next]);
                self.continues.push(Vec::new());
                self.statement(body)?;
                self.op(Op::Jump(next));
                let end = self.op(Op::EndKeys);
                self.close(next, end);
            }
            Statement::Delete(array, key) => {
                let slot = self.slot(array);
                match key {
                    Some(key) => {
                        self.expr(key)?;
                        self.op(Op::DeleteElement(slot));
                    }
                    None => drop(self.op(Op::Delete(slot))),
                }
            }
            Statement::Break | Statement::Continue => {
                let jump = self.op(Op::Jump(0));
                let open = match statement {
                    Statement::Break => &mut self.breaks,
                    _ => &mut self.continues,
                };
                match open.last_mut() {
                    Some(jumps) => jumps.push(jump),
                    None => return Err(Wrong(1, "Unexpected token".to_owned())),
                }
            }
            Statement::Next => drop(self.op(Op::Next)),
            Statement::Exit(code) => {
                self.optional(code)?;
                self.op(Op::Exit);
            }
            Statement::Return(value) => {
                self.optional(value)?;
                self.op(Op::Return);
            }
        }
        Ok(())
    }

    /// Ends the innermost loop.
    fn close(&mut self, goes_on: usize, end: usize) {
        for jump in self.breaks.pop().unwrap_or_default() {
            self.land(jump, end);
        }
        for jump in self.continues.pop().unwrap_or_default() {
            self.land(jump, goes_on);
        }
    }

    fn optional(&mut self, expr: &Option<Expr>) -> Result<(), Wrong> {
        match expr {
            Some(expr) => self.expr(expr),
            None => {
                self.op(Op::Push(Value::Input(String::new())));
                Ok(())
            }
        }
    }

    fn expr(&mut self, expr: &Expr) -> Result<(), Wrong> {
        match expr {
            Expr::Number(number) => drop(self.op(Op::Push(Value::Number(*number)))),
            Expr::Text(text) => drop(self.op(Op::Push(Value::Text(text.clone())))),
            Expr::Pattern(pattern) => drop(self.op(Op::Line(pattern.clone()))),
            Expr::Variable(name) => {
                let slot = self.slot(name);
                self.op(Op::Load(slot));
            }
            Expr::Element(array, key) => {
                self.expr(key)?;
                let slot = self.slot(array);
                self.op(Op::Element(slot));
            }
            Expr::Field(number) => {
                self.expr(number)?;
                self.op(Op::Field);
            }
            Expr::Assign(place, sign, value) => self.assign(place, sign, value, true)?,
            Expr::Step(place, by, before) => {
                let target = self.target(place)?;
                self.op(match target {
                    Target::Variable(slot) => Op::Step(slot, *by, *before),
                    Target::Element(slot) => Op::StepElement(slot, *by, *before),
                    Target::Field => Op::StepField(*by, *before),
                });
            }
            Expr::Not(inner) => {
                self.expr(inner)?;
                self.op(Op::Not);
            }
            Expr::Minus(inner) => {
                self.expr(inner)?;
                self.op(Op::Minus);
            }
            Expr::Choice(condition, yes, no) => {
                self.expr(condition)?;
                let skips = self.op(Op::Unless(0));
                self.expr(yes)?;
                let ends = self.op(Op::Jump(0));
                let there = self.here();
                self.land(skips, there);
                self.expr(no)?;
                let end = self.here();
                self.land(ends, end);
            }
            Expr::In(key, array) => {
                self.expr(key)?;
                let slot = self.slot(array);
                self.op(Op::In(slot));
            }
            Expr::Binary(sign, left, right, line) => self.binary(sign, left, right, *line)?,
            Expr::Call(name, args) => self.call(name, args)?,
        }
        Ok(())
    }

    fn assign(&mut self, place: &Expr, sign: Sign, value: &Expr, asked: bool) -> Result<(), Wrong> {
        let target = self.target(place)?;
        self.expr(value)?;
        self.op(match target {
            Target::Variable(slot) => Op::Store(slot, sign, asked),
            Target::Element(slot) => Op::StoreElement(slot, sign, asked),
            Target::Field => Op::StoreField(sign, asked),
        });
        Ok(())
    }

    fn binary(
        &mut self,
        sign: &'static str,
        left: &Expr,
        right: &Expr,
        line: usize,
    ) -> Result<(), Wrong> {
        self.expr(left)?;
        match sign {
            "||" | "&&" => {
                // Where the first decides, the second is not looked at.
                let decided = sign == "||";
                if decided {
                    self.op(Op::Not);
                }
                let skips = self.op(Op::Unless(0));
                self.expr(right)?;
                self.op(Op::Not);
                self.op(Op::Not);
                let ends = self.op(Op::Jump(0));
                let there = self.here();
                self.land(skips, there);
                self.op(Op::Push(truth(decided)));
                let end = self.here();
                self.land(ends, end);
            }
            "~" | "!~" => {
                let pattern = match right {
                    Expr::Pattern(pattern) => Some(pattern.clone()),
                    right => {
                        self.expr(right)?;
                        None
                    }
                };
                self.op(Op::Match(pattern, sign == "!~"));
            }
            sign => {
                self.expr(right)?;
                self.op(Op::Binary(sign, line));
            }
        }
        Ok(())
    }

    /// Prepares that something is changed: its key or its number is left on the stack.
    fn target(&mut self, place: &Expr) -> Result<Target, Wrong> {
        Ok(match place {
            Expr::Variable(name) => Target::Variable(self.slot(name)),
            Expr::Element(array, key) => {
                self.expr(key)?;
                Target::Element(self.slot(array))
            }
            Expr::Field(number) => {
                self.expr(number)?;
                Target::Field
            }
            _ => return Err(Wrong(1, "Unexpected token".to_owned())),
        })
    }

    fn call(&mut self, name: &str, args: &[Expr]) -> Result<(), Wrong> {
        if let Some(index) = self.functions.iter().position(|one| one.name == name) {
            for (position, arg) in args.iter().enumerate() {
                let routine = &self.code.routines[index];
                let is_array = routine.arrays.get(position) == Some(&true);
                match arg {
                    Expr::Variable(array) if is_array => {
                        let slot = self.slot(array);
                        self.op(Op::Array(slot));
                    }
                    arg => self.expr(arg)?,
                }
            }
            self.op(Op::Call(index, args.len()));
            return Ok(());
        }
        match (name, args) {
            ("system", [command]) => {
                self.expr(command)?;
                self.op(Op::System);
            }
            // What is counted is an array where it is one, which shows when it runs.
            ("length", [Expr::Variable(array)]) => {
                let slot = self.slot(array);
                self.op(Op::Count(slot));
            }
            ("split", [text, Expr::Variable(array), rest @ ..]) => {
                self.expr(text)?;
                if let Some(separator) = rest.first() {
                    self.expr(separator)?;
                }
                let slot = self.slot(array);
                self.op(Op::Split(slot, !rest.is_empty()));
            }
            ("sub" | "gsub", [pattern, with, rest @ ..]) => {
                let pattern = match pattern {
                    Expr::Pattern(pattern) => Some(pattern.clone()),
                    pattern => {
                        self.expr(pattern)?;
                        None
                    }
                };
                self.expr(with)?;
                let whole = Expr::Field(Box::new(Expr::Number(0.0)));
                let place = self.target(rest.first().unwrap_or(&whole))?;
                self.op(Op::Substitute {
                    is_global: name == "gsub",
                    pattern,
                    place,
                });
            }
            (name, args) if FUNCTIONS.contains(&name) => {
                for arg in args {
                    self.expr(arg)?;
                }
                self.op(Op::Builtin(name.to_owned(), args.len()));
            }
            _ => return Err(Wrong(1, "Call to undefined function".to_owned())),
        }
        Ok(())
    }
}

/// Which parameters of functions are arrays: those that are used as such, or handed on as such.
fn arrays(functions: &[Function]) -> Vec<Vec<bool>> {
    let mut known: Vec<Vec<bool>> = functions
        .iter()
        .map(|function| vec![false; function.parameters.len()])
        .collect();
    loop {
        let mut found = known.clone();
        for (function, found) in functions.iter().zip(&mut found) {
            let mut mark = |name: &str| {
                if let Some(index) = function.parameters.iter().position(|one| one == name) {
                    found[index] = true;
                }
            };
            of_statement(&function.body, functions, &known, &mut mark);
        }
        if found == known {
            return known;
        }
        known = found;
    }
}

/// Tells of the names that a statement uses as those of arrays.
fn of_statement(
    statement: &Statement,
    functions: &[Function],
    known: &[Vec<bool>],
    mark: &mut dyn FnMut(&str),
) {
    let mut all: Vec<&Expr> = Vec::new();
    let mut inner: Vec<&Statement> = Vec::new();
    match statement {
        Statement::Expr(expr) => all.push(expr),
        Statement::Print(values, _, target) => {
            all.extend(values);
            all.extend(target.iter().map(|(_, file)| file));
        }
        Statement::If(condition, then, other) => {
            all.push(condition);
            inner.push(then);
            inner.extend(other.as_deref());
        }
        Statement::While(first, condition, step, body) => {
            all.extend(condition);
            inner.extend(first.as_deref());
            inner.extend(step.as_deref());
            inner.push(body);
        }
        Statement::Each(_, array, body) => {
            mark(array);
            inner.push(body);
        }
        Statement::Block(statements) => inner.extend(statements),
        Statement::Delete(array, key) => {
            mark(array);
            all.extend(key);
        }
        Statement::Exit(value) | Statement::Return(value) => all.extend(value),
        Statement::Next | Statement::Break | Statement::Continue => {}
    }
    for statement in inner {
        of_statement(statement, functions, known, mark);
    }
    while let Some(expr) = all.pop() {
        match expr {
            Expr::Number(_) | Expr::Text(_) | Expr::Pattern(_) | Expr::Variable(_) => {}
            Expr::Element(array, key) | Expr::In(key, array) => {
                mark(array);
                all.push(key);
            }
            Expr::Field(inner) | Expr::Not(inner) | Expr::Minus(inner) | Expr::Step(inner, ..) => {
                all.push(inner);
            }
            Expr::Assign(left, _, right) | Expr::Binary(_, left, right, _) => {
                all.extend([&**left, &**right]);
            }
            Expr::Choice(condition, yes, no) => all.extend([&**condition, &**yes, &**no]),
            Expr::Call(name, args) => {
                let called = functions.iter().position(|one| one.name == *name);
                for (position, arg) in args.iter().enumerate() {
                    let is_array = match called {
                        Some(index) => known[index].get(position) == Some(&true),
                        None => name == "split" && position == 1,
                    };
                    match arg {
                        Expr::Variable(array) if is_array => mark(array),
                        arg => all.push(arg),
                    }
                }
            }
        }
    }
}

fn truth(yes: bool) -> Value {
    Value::Number(f64::from(u8::from(yes)))
}

#[expect(clippy::cast_precision_loss, reason = "a small count")]
fn count(number: usize) -> Value {
    Value::Number(number as f64)
}

/// What is on the stack, and what functions are called with.
#[derive(Clone, Debug)]
enum Cell {
    Value(Value),
    /// The array of this name.
    Array(String),
}

impl Cell {
    fn value(self) -> Value {
        match self {
            Self::Value(value) => value,
            Self::Array(_) => Value::Input(String::new()),
        }
    }
}

/// A call of a function.
struct Frame {
    locals: Vec<Cell>,
    goes_back_to: usize,
    /// The arrays that are gone when it ends.
    own: Vec<String>,
    /// How many loops over keys were open before.
    loops: usize,
}

/// How running operations ended.
enum Ended {
    Done,
    Next,
    Exit(i32),
    /// The stack had no room.
    Fault,
}

/// A program that runs.
struct Machine<'a, 'b> {
    tool: &'a mut Tool<'b>,
    code: &'a Code,
    variables: BTreeMap<String, Value>,
    arrays: BTreeMap<String, HashMap<String, Value>>,
    stack: Vec<Cell>,
    frames: Vec<Frame>,
    loops: Vec<std::vec::IntoIter<String>>,
    fields: Vec<String>,
    separator: String,
    opened: Vec<String>,
    held: u64,
    told: u64,
    turns: u32,
}

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
    let code = tokens(&program).and_then(|tokens| {
        let mut parser = Parser {
            functions: Vec::new(),
            tokens,
            at: 0,
            depth: 0,
            prints: false,
        };
        let rules = parser.program()?;
        Compiler::compile(&rules, &parser.functions)
    });
    let code = match code {
        Ok(code) => code,
        Err(Wrong(line, what)) => {
            tool.err(&format!("awk: cmd. line:{line}: {what}"));
            return 1;
        }
    };
    let mut machine = Machine {
        tool,
        code: &code,
        variables,
        arrays: BTreeMap::new(),
        stack: Vec::new(),
        frames: Vec::new(),
        loops: Vec::new(),
        fields: Vec::new(),
        separator,
        opened: Vec::new(),
        held: 0,
        told: 0,
        turns: 0,
    };
    let code = match machine.all(&operands).await {
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
    async fn all(&mut self, files: &[String]) -> Result<i32, Wrong> {
        let mut code = 0;
        match self.before_the_end(files).await? {
            Ended::Exit(status) => code = status,
            Ended::Fault => return Ok(SEGMENTATION_FAULT),
            Ended::Done | Ended::Next => {}
        }
        for begins in &self.code.end {
            match self.run(*begins).await? {
                Ended::Exit(status) => return Ok(status),
                Ended::Fault => return Ok(SEGMENTATION_FAULT),
                Ended::Done | Ended::Next => {}
            }
        }
        Ok(code)
    }

    /// All but what is done at the end, which comes also after `exit`.
    async fn before_the_end(&mut self, files: &[String]) -> Result<Ended, Wrong> {
        for begins in &self.code.begin {
            match self.run(*begins).await? {
                Ended::Done | Ended::Next => {}
                ended => return Ok(ended),
            }
        }
        if self.code.lines.is_empty() && self.code.end.is_empty() {
            return Ok(Ended::Done);
        }
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
                    return Ok(Ended::Exit(1));
                }
            }
        }
        let mut number = 0.0;
        'lines: for line in text.lines() {
            number += 1.0;
            self.variables
                .insert("NR".to_owned(), Value::Number(number));
            self.take(line);
            for begins in &self.code.lines {
                match self.run(*begins).await? {
                    Ended::Done => {}
                    Ended::Next => continue 'lines,
                    ended => return Ok(ended),
                }
            }
        }
        Ok(Ended::Done)
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
        let number = count(self.fields.len() - 1);
        self.variables.insert("NF".to_owned(), number);
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

    fn push(&mut self, value: Value) {
        self.stack.push(Cell::Value(value));
    }

    fn pop(&mut self) -> Value {
        let cell = self.stack.pop();
        cell.map_or_else(|| Value::Input(String::new()), Cell::value)
    }

    /// The last values of the stack, the first of them first.
    fn last(&mut self, many: usize) -> Vec<Value> {
        let from = self.stack.len().saturating_sub(many);
        self.stack.drain(from..).map(Cell::value).collect()
    }

    /// Runs operations until they end.
    async fn run(&mut self, begins: usize) -> Result<Ended, Wrong> {
        let code = self.code;
        self.stack.clear();
        self.frames.clear();
        self.loops.clear();
        let mut at = begins;
        while let Some(op) = code.ops.get(at) {
            at += 1;
            match op {
                Op::Jump(to) => at = *to,
                Op::Unless(to) => {
                    if !self.pop().is_true() {
                        at = *to;
                    }
                }
                Op::Turn => self.breathe().await,
                Op::System => {
                    let command = self.pop().text();
                    if self.held.abs_diff(self.told) > 0 {
                        self.told = self.held;
                        self.tool.shell.sys.ask(Call::Memory(self.held)).await;
                    }
                    let argv = ["sh", "-c", command.as_str()].map(str::to_owned).to_vec();
                    let status = self.tool.nested(argv).await;
                    self.push(Value::Number(f64::from(status)));
                }
                Op::Call(index, args) => {
                    if self.frames.len() >= STACK {
                        return Ok(Ended::Fault);
                    }
                    self.breathe().await;
                    let routine = &code.routines[*index];
                    self.enter(routine, *args, at);
                    at = routine.begins;
                }
                Op::Return => match self.frames.pop() {
                    Some(frame) => {
                        at = frame.goes_back_to;
                        self.loops.truncate(frame.loops);
                        for array in frame.own {
                            self.forget(&array);
                        }
                    }
                    None => return Err(Wrong(1, "Unexpected token".to_owned())),
                },
                Op::Keys(slot) => {
                    let array = self.arrays.get(&*self.array(slot));
                    let keys = array.into_iter().flat_map(HashMap::keys);
                    let mut keys: Vec<String> = keys.cloned().collect();
                    keys.sort_unstable();
                    self.loops.push(keys.into_iter());
                }
                Op::Key(slot, to) => match self.loops.last_mut().and_then(Iterator::next) {
                    Some(key) => self.store(slot, Value::Input(key)),
                    None => at = *to,
                },
                Op::EndKeys => drop(self.loops.pop()),
                Op::Next => return Ok(Ended::Next),
                Op::Exit => {
                    let code = to_usize(self.pop().number());
                    return Ok(Ended::Exit(i32::try_from(code).unwrap_or(1)));
                }
                Op::Done => return Ok(Ended::Done),
                op => self.step(op)?,
            }
        }
        Ok(Ended::Done)
    }

    /// Calls a function with what is on the stack.
    fn enter(&mut self, routine: &Routine, args: usize, goes_back_to: usize) {
        let from = self.stack.len().saturating_sub(args);
        let mut locals: Vec<Cell> = self.stack.drain(from..).collect();
        let mut own = Vec::new();
        locals.resize(routine.parameters, Cell::Value(Value::Input(String::new())));
        for (index, local) in locals.iter_mut().enumerate() {
            let is_array = routine.arrays.get(index) == Some(&true);
            if is_array && matches!(local, Cell::Value(_)) {
                // An array that nobody handed it is its own. No name begins with a digit.
                let name = format!("{}.{index}", self.frames.len());
                own.push(name.clone());
                *local = Cell::Array(name);
            }
        }
        self.frames.push(Frame {
            locals,
            goes_back_to,
            own,
            loops: self.loops.len(),
        });
    }

    /// The name of an array.
    fn array<'s>(&self, slot: &'s Slot) -> Cow<'s, str> {
        match slot {
            Slot::Global(name) => Cow::Borrowed(name),
            Slot::Local(index) => {
                let local = self
                    .frames
                    .last()
                    .and_then(|frame| frame.locals.get(*index));
                match local {
                    Some(Cell::Array(name)) => Cow::Owned(name.clone()),
                    _ => Cow::Borrowed(""),
                }
            }
        }
    }

    fn load(&self, slot: &Slot) -> Value {
        let found = match slot {
            Slot::Global(name) => self.variables.get(name).cloned(),
            Slot::Local(index) => {
                let frame = self.frames.last();
                let local = frame.and_then(|frame| frame.locals.get(*index));
                local.cloned().map(Cell::value)
            }
        };
        found.unwrap_or_else(|| Value::Input(String::new()))
    }

    fn store(&mut self, slot: &Slot, value: Value) {
        match slot {
            Slot::Global(name) => {
                self.held += size_of(name.len(), &value);
                let old = match self.variables.get_mut(name) {
                    Some(known) => Some(mem::replace(known, value)),
                    None => self.variables.insert(name.clone(), value),
                };
                self.give_back(name.len(), old);
            }
            Slot::Local(index) => {
                let frame = self.frames.last_mut();
                if let Some(local) = frame.and_then(|frame| frame.locals.get_mut(*index)) {
                    *local = Cell::Value(value);
                }
            }
        }
    }

    fn element(&self, array: &str, key: &str) -> Value {
        let found = self.arrays.get(array).and_then(|array| array.get(key));
        found
            .cloned()
            .unwrap_or_else(|| Value::Input(String::new()))
    }

    fn store_element(&mut self, array: &str, key: String, value: Value) {
        let length = key.len();
        self.held += size_of(length, &value);
        let old = match self.arrays.get_mut(array) {
            Some(entries) => entries.insert(key, value),
            None => {
                let entries = HashMap::from([(key, value)]);
                self.arrays.insert(array.to_owned(), entries);
                None
            }
        };
        self.give_back(length, old);
    }

    fn field(&self, number: usize) -> Value {
        Value::Input(self.fields.get(number).cloned().unwrap_or_default())
    }

    fn store_field(&mut self, number: usize, value: &Value) {
        if number == 0 {
            self.take(&value.text());
            return;
        }
        while self.fields.len() <= number.min(1000) {
            self.fields.push(String::new());
        }
        if let Some(field) = self.fields.get_mut(number) {
            *field = value.text();
        }
        self.fields[0] = self.fields[1..].join(" ");
    }

    /// Gives back what an old value took, that had a key of this length.
    fn give_back(&mut self, key: usize, old: Option<Value>) {
        let size = old.map_or(0, |old| size_of(key, &old));
        self.held = self.held.saturating_sub(size);
    }

    fn forget(&mut self, array: &str) {
        if let Some(array) = self.arrays.remove(array) {
            let sizes = array.iter().map(|(key, value)| size_of(key.len(), value));
            self.held = self.held.saturating_sub(sizes.sum());
        }
    }

    /// An operation that neither waits nor goes elsewhere.
    fn step(&mut self, op: &Op) -> Result<(), Wrong> {
        match op {
            Op::Push(value) => self.push(value.clone()),
            Op::Pop => drop(self.pop()),
            Op::Load(slot) => self.push(self.load(slot)),
            Op::Array(slot) => self.stack.push(Cell::Array(self.array(slot).into_owned())),
            Op::Element(slot) => {
                let key = self.pop().text();
                self.push(self.element(&self.array(slot), &key));
            }
            Op::Field => {
                let number = to_usize(self.pop().number());
                self.push(self.field(number));
            }
            Op::Line(pattern) => {
                let line = self.fields.first().map_or("", String::as_str);
                self.push(truth(pattern.is_match(line)));
            }
            Op::Store(slot, sign, asked) => {
                let value = self.pop();
                let value = changed(sign, || self.load(slot), value)?;
                if *asked {
                    self.push(value.clone());
                }
                self.store(slot, value);
            }
            Op::StoreElement(slot, sign, asked) => {
                let (value, key) = (self.pop(), self.pop().text());
                let array = self.array(slot);
                let value = changed(sign, || self.element(&array, &key), value)?;
                if *asked {
                    self.push(value.clone());
                }
                self.store_element(&array, key, value);
            }
            Op::StoreField(sign, asked) => {
                let (value, number) = (self.pop(), to_usize(self.pop().number()));
                let value = changed(sign, || self.field(number), value)?;
                self.store_field(number, &value);
                if *asked {
                    self.push(value);
                }
            }
            Op::Step(slot, by, before) => {
                let old = self.load(slot).number();
                self.store(slot, Value::Number(old + by));
                self.push(Value::Number(if *before { old + by } else { old }));
            }
            Op::StepElement(slot, by, before) => {
                let (array, key) = (self.array(slot), self.pop().text());
                let old = self.element(&array, &key).number();
                self.store_element(&array, key, Value::Number(old + by));
                self.push(Value::Number(if *before { old + by } else { old }));
            }
            Op::StepField(by, before) => {
                let number = to_usize(self.pop().number());
                let old = self.field(number).number();
                self.store_field(number, &Value::Number(old + by));
                self.push(Value::Number(if *before { old + by } else { old }));
            }
            Op::Binary(sign, line) => {
                let (right, left) = (self.pop(), self.pop());
                self.push(binary(sign, &left, &right, *line)?);
            }
            Op::Match(pattern, negated) => {
                let dynamic = match pattern {
                    Some(_) => None,
                    None => Regex::new(&self.pop().text()).ok(),
                };
                let text = self.pop().text();
                let pattern = pattern.as_ref().or(dynamic.as_ref());
                let found = pattern.is_some_and(|pattern| pattern.is_match(&text));
                self.push(truth(found != *negated));
            }
            Op::Not => {
                let value = self.pop();
                self.push(truth(!value.is_true()));
            }
            Op::Minus => {
                let value = self.pop();
                self.push(Value::Number(-value.number()));
            }
            Op::In(slot) => {
                let (array, key) = (self.array(slot), self.pop().text());
                let array = self.arrays.get(&*array);
                self.push(truth(array.is_some_and(|array| array.contains_key(&key))));
            }
            Op::Count(slot) => {
                let number = match self.arrays.get(&*self.array(slot)) {
                    Some(array) => array.len(),
                    None => self.load(slot).text().chars().count(),
                };
                self.push(count(number));
            }
            Op::Split(slot, has_separator) => {
                let separator = match has_separator {
                    true => self.pop().text(),
                    false => self.separator.clone(),
                };
                let text = self.pop().text();
                let parts: Vec<String> = match separator.as_str() {
                    " " => text.split_whitespace().map(str::to_owned).collect(),
                    separator => text.split(separator).map(str::to_owned).collect(),
                };
                let number = parts.len();
                let entries = parts.into_iter().enumerate();
                let entries =
                    entries.map(|(index, part)| ((index + 1).to_string(), Value::Input(part)));
                let array = self.array(slot);
                self.arrays.insert(array.into_owned(), entries.collect());
                self.push(count(number));
            }
            Op::Substitute {
                is_global,
                pattern,
                place,
            } => self.substitute(*is_global, pattern.as_ref(), place),
            Op::Builtin(name, args) => {
                let args = self.last(*args);
                let value = self.builtin(name, &args);
                self.push(value);
            }
            Op::Print {
                values,
                formats,
                to,
            } => {
                let file = to.map(|appends| (appends, self.pop().text()));
                let values = self.last(*values);
                self.print(&values, *formats, file)?;
            }
            Op::Delete(slot) => self.forget(&self.array(slot)),
            Op::DeleteElement(slot) => {
                let (array, key) = (self.array(slot), self.pop().text());
                let entries = self.arrays.get_mut(&*array);
                let old = entries.and_then(|entries| entries.remove(&key));
                self.give_back(key.len(), old);
            }
            // Those that wait or go elsewhere.
            Op::Jump(_)
            | Op::Unless(_)
            | Op::Turn
            | Op::System
            | Op::Call(..)
            | Op::Return
            | Op::Keys(_)
            | Op::Key(..)
            | Op::EndKeys
            | Op::Next
            | Op::Exit
            | Op::Done => {}
        }
        Ok(())
    }

    fn print(
        &mut self,
        values: &[Value],
        formats: bool,
        file: Option<(bool, String)>,
    ) -> Result<(), Wrong> {
        let texts: Vec<String> = values.iter().map(Value::text).collect();
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
        let Some((appends, file)) = file else {
            self.tool.put(Data::text(text));
            return Ok(());
        };
        if file == "/dev/stderr" {
            self.tool.err(text.trim_end_matches('\n'));
            return Ok(());
        }
        let path = self.tool.shell.path(&file);
        let appends = appends || self.opened.contains(&path);
        let written = {
            let mut state = self.tool.shell.sys.container.state();
            state.files.write(&path, Content::text(text), appends)
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

    fn substitute(&mut self, is_global: bool, pattern: Option<&Regex>, place: &Target) {
        let key = match place {
            Target::Variable(_) => Value::Input(String::new()),
            Target::Element(_) | Target::Field => self.pop(),
        };
        let with = self.pop().text().replace('$', "$$").replace('&', "${0}");
        let dynamic = match pattern {
            Some(_) => None,
            None => Regex::new(&self.pop().text()).ok(),
        };
        let Some(regex) = pattern.or(dynamic.as_ref()) else {
            self.push(Value::Number(0.0));
            return;
        };
        let text = match place {
            Target::Variable(slot) => self.load(slot),
            Target::Element(slot) => self.element(&self.array(slot), &key.text()),
            Target::Field => self.field(to_usize(key.number())),
        };
        let text = text.text();
        let number = match is_global {
            false => usize::from(regex.is_match(&text)),
            true => regex.find_iter(&text).count(),
        };
        let limit = usize::from(!is_global);
        let changed = Value::Text(regex.replacen(&text, limit, with.as_str()).into_owned());
        match place {
            Target::Variable(slot) => self.store(slot, changed),
            Target::Element(slot) => {
                let array = self.array(slot);
                self.store_element(&array, key.text(), changed);
            }
            Target::Field => self.store_field(to_usize(key.number()), &changed),
        }
        self.push(count(number));
    }

    /// A function that there is already.
    fn builtin(&mut self, name: &str, args: &[Value]) -> Value {
        let text = |index: usize| args.get(index).map(Value::text).unwrap_or_default();
        let number = |index: usize| args.get(index).map_or(0.0, Value::number);
        match name {
            "length" => {
                let text = match args.first() {
                    Some(arg) => arg.text(),
                    None => self.fields.first().cloned().unwrap_or_default(),
                };
                count(text.chars().count())
            }
            "sprintf" => {
                let mut rest = args.iter().skip(1);
                let text = formatted(&text(0), &mut |_| {
                    rest.next().map(Value::text).unwrap_or_default()
                });
                Value::Text(text)
            }
            "substr" => {
                let from = to_usize(number(1).max(1.0)) - 1;
                let most = args
                    .get(2)
                    .map_or(usize::MAX, |most| to_usize(most.number()));
                Value::Text(text(0).chars().skip(from).take(most).collect())
            }
            "index" => count(text(0).find(&text(1)).map_or(0, |at| at + 1)),
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
        }
    }
}

/// What something becomes that is assigned to, alone or together with what it was.
fn changed(sign: &'static str, old: impl FnOnce() -> Value, value: Value) -> Result<Value, Wrong> {
    match sign {
        "" => Ok(value),
        sign => compute(sign, old().number(), value.number(), 1).map(Value::Number),
    }
}

fn binary(sign: &str, left: &Value, right: &Value, line: usize) -> Result<Value, Wrong> {
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
            let Some(order) = order else {
                return Ok(truth(false));
            };
            truth(match sign {
                "==" => order.is_eq(),
                "!=" => order.is_ne(),
                "<" => order.is_lt(),
                ">" => order.is_gt(),
                "<=" => order.is_le(),
                _ => order.is_ge(),
            })
        }
        sign => Value::Number(compute(sign, left.number(), right.number(), line)?),
    })
}

/// What an entry takes that has a key of this length.
fn size_of(key: usize, value: &Value) -> u64 {
    let text = match value {
        Value::Number(_) => 0,
        Value::Text(text) | Value::Input(text) => text.len(),
    };
    ENTRY + u64::try_from(key + text).unwrap_or(u64::MAX)
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
