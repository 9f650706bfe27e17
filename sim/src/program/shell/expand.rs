//! What words become: variables, commands' output, arithmetic, fields and file names.

use super::super::Tools;
use super::parse::{Part, Variable, Word};
use super::{Flow, Io, Ran, Shell};

/// Letters, each quoted or not.
type Letters = Vec<(char, bool)>;

/// Whether text matches a pattern, in which `*`, `?` and `[...]` stand for other letters.
///
/// Letters of the pattern that are quoted stand for themselves.
pub(super) fn matches(pattern: &[(char, bool)], text: &str) -> bool {
    let text: Vec<char> = text.chars().collect();
    match_from(pattern, &text)
}

fn match_from(pattern: &[(char, bool)], text: &[char]) -> bool {
    let Some(((letter, quoted), rest)) = pattern.split_first() else {
        return text.is_empty();
    };
    if !quoted {
        match letter {
            '*' => return (0..=text.len()).any(|skip| match_from(rest, &text[skip..])),
            '?' => {
                return text
                    .split_first()
                    .is_some_and(|(_, text)| match_from(rest, text));
            }
            '[' => {
                if let Some(close) = rest.iter().skip(1).position(|(letter, _)| *letter == ']') {
                    let (set, after) = rest.split_at(close + 1);
                    let Some((first, text)) = text.split_first() else {
                        return false;
                    };
                    return in_set(set, *first) && match_from(&after[1..], text);
                }
            }
            _ => {}
        }
    }
    text.split_first()
        .is_some_and(|(first, text)| first == letter && match_from(rest, text))
}

fn in_set(set: &[(char, bool)], letter: char) -> bool {
    let letters: Vec<char> = set.iter().map(|(letter, _)| *letter).collect();
    let (negated, letters) = match letters.split_first() {
        Some(('!' | '^', rest)) => (true, rest),
        _ => (false, letters.as_slice()),
    };
    let mut found = false;
    let mut index = 0;
    while let Some(first) = letters.get(index) {
        match (letters.get(index + 1), letters.get(index + 2)) {
            (Some('-'), Some(last)) => {
                found |= (*first..=*last).contains(&letter);
                index += 3;
            }
            _ => {
                found |= *first == letter;
                index += 1;
            }
        }
    }
    found != negated
}

fn quoted(text: &str, quoted: bool) -> Letters {
    text.chars().map(|letter| (letter, quoted)).collect()
}

fn plain(letters: &[(char, bool)]) -> String {
    letters.iter().map(|(letter, _)| letter).collect()
}

impl Shell {
    /// The fields that words become.
    pub(super) async fn words(&mut self, words: &[Word], io: &Io) -> Result<Vec<String>, Flow> {
        let mut all = Vec::new();
        for word in words {
            for field in self.fields(word, io).await? {
                let is_pattern = field
                    .iter()
                    .any(|(letter, quoted)| !quoted && "*?[".contains(*letter));
                if is_pattern {
                    let found = self.files(&field);
                    if !found.is_empty() {
                        all.extend(found);
                        continue;
                    }
                }
                all.push(plain(&field));
            }
        }
        Ok(all)
    }

    /// The text that a word becomes where it is not split.
    pub(super) async fn joined(&mut self, word: &Word, io: &Io) -> Result<String, Flow> {
        Ok(plain(&self.pattern(word, io).await?))
    }

    /// The pattern that a word becomes.
    pub(super) async fn pattern(&mut self, word: &Word, io: &Io) -> Result<Letters, Flow> {
        let mut letters = Vec::new();
        for part in word {
            for (index, piece) in self.part(part, io).await?.into_iter().enumerate() {
                if index > 0 {
                    letters.push((' ', true));
                }
                letters.extend(piece.letters);
            }
        }
        Ok(letters)
    }

    async fn fields(&mut self, word: &Word, io: &Io) -> Result<Vec<Letters>, Flow> {
        let separators = self
            .variables
            .get("IFS")
            .cloned()
            .unwrap_or_else(|| " \t\n".to_owned());
        let mut fields: Vec<Letters> = Vec::new();
        let mut current: Option<Letters> = None;
        for part in word {
            for (index, piece) in self.part(part, io).await?.into_iter().enumerate() {
                if index > 0 {
                    fields.extend(current.take());
                }
                if !piece.splits {
                    if !piece.letters.is_empty() || piece.is_field {
                        current.get_or_insert_default().extend(piece.letters);
                    }
                    continue;
                }
                for (letter, quoted) in piece.letters {
                    if separators.contains(letter) {
                        fields.extend(current.take());
                    } else {
                        current.get_or_insert_default().push((letter, quoted));
                    }
                }
            }
        }
        fields.extend(current);
        Ok(fields)
    }

    /// What a part of a word becomes: more than one piece only for `"$@"`.
    fn part<'a>(&'a mut self, part: &'a Part, io: &'a Io) -> Ran<'a, Result<Vec<Piece>, Flow>> {
        Box::pin(async move {
            Ok(match part {
                Part::Text(text, is_quoted) => vec![Piece {
                    letters: self.tilde(text, *is_quoted),
                    splits: false,
                    is_field: *is_quoted,
                }],
                Part::Variable(variable, is_quoted) => {
                    self.variable(variable, *is_quoted, io).await?
                }
                Part::Command(node, is_quoted) => {
                    let data = self.output(node, io).await;
                    let text = data.text.trim_end_matches('\n');
                    vec![Piece {
                        letters: quoted(text, *is_quoted),
                        splits: !is_quoted,
                        is_field: *is_quoted,
                    }]
                }
                Part::Arithmetic(word) => {
                    let text = self.joined(word, io).await?;
                    match self.arithmetic(&text) {
                        Ok(value) => vec![Piece {
                            letters: quoted(&value.to_string(), true),
                            splits: false,
                            is_field: true,
                        }],
                        Err(wrong) => {
                            let name = self.name.clone();
                            let why = match self.facts.tools {
                                Some(Tools::Dash) => format!(
                                    "1: arithmetic expression: {}: {text:?}",
                                    wrong.in_dash()
                                ),
                                _ => wrong.in_busybox().to_owned(),
                            };
                            self.complain(io, &format!("{name}: {why}"));
                            return Err(Flow::Exit(2));
                        }
                    }
                }
            })
        })
    }

    fn tilde(&self, text: &str, is_quoted: bool) -> Letters {
        if !is_quoted && (text == "~" || text.starts_with("~/")) {
            let home = self.variables.get("HOME").cloned().unwrap_or_default();
            return quoted(&format!("{home}{}", &text[1..]), true);
        }
        quoted(text, is_quoted)
    }

    fn value(&self, name: &str) -> Option<String> {
        match name {
            "?" => Some(self.status.to_string()),
            "#" => Some(self.args.len().to_string()),
            "$" => Some("1".to_owned()),
            "!" => self.last_job.map(|job| job.to_string()),
            "@" | "*" => Some(self.args.join(" ")),
            "0" => Some(self.name.clone()),
            "RANDOM" => Some("4".to_owned()),
            "PWD" => Some(self.directory.clone()),
            name => match name.parse::<usize>() {
                Ok(index) => self.args.get(index.wrapping_sub(1)).cloned(),
                Err(_) => self.variables.get(name).cloned(),
            },
        }
    }

    async fn variable(
        &mut self,
        variable: &Variable,
        is_quoted: bool,
        io: &Io,
    ) -> Result<Vec<Piece>, Flow> {
        let name = variable.name.as_str();
        if name == "@" && variable.operation.is_none() {
            let args = self.args.iter().map(|arg| Piece {
                letters: quoted(arg, is_quoted),
                splits: !is_quoted,
                is_field: is_quoted,
            });
            return Ok(args.collect());
        }
        let value = self.value(name);
        let piece = |text: &str| {
            vec![Piece {
                letters: quoted(text, is_quoted),
                splits: !is_quoted,
                is_field: is_quoted,
            }]
        };
        let Some((operation, word)) = &variable.operation else {
            if value.is_none() && self.unset_is_error && !"@*".contains(name) {
                let shell = self.name.clone();
                self.complain(io, &format!("{shell}: {name}: parameter not set"));
                return Err(Flow::Exit(2));
            }
            return Ok(piece(&value.unwrap_or_default()));
        };
        let is_set = match operation.starts_with(':') {
            true => value.as_deref().is_some_and(|value| !value.is_empty()),
            false => value.is_some(),
        };
        let value = value.unwrap_or_default();
        let text = match operation.trim_start_matches(':') {
            "length" => value.chars().count().to_string(),
            "-" if is_set => value,
            "-" => self.joined(word, io).await?,
            "=" if is_set => value,
            "=" => {
                let text = self.joined(word, io).await?;
                self.variables.insert(name.to_owned(), text.clone());
                text
            }
            "+" if is_set => self.joined(word, io).await?,
            "+" => String::new(),
            "?" if is_set => value,
            "?" => {
                let said = self.joined(word, io).await?;
                let said = match said.as_str() {
                    "" => "parameter not set",
                    said => said,
                };
                let shell = self.name.clone();
                self.complain(io, &format!("{shell}: {name}: {said}"));
                return Err(Flow::Exit(2));
            }
            cut => {
                let pattern = self.pattern(word, io).await?;
                trim(&value, &pattern, cut)
            }
        };
        Ok(piece(&text))
    }

    /// The files whose names match a pattern, in order.
    fn files(&self, pattern: &[(char, bool)]) -> Vec<String> {
        let state = self.sys.container.state();
        let is_absolute = pattern.first().is_some_and(|(letter, _)| *letter == '/');
        let mut found = vec![if is_absolute {
            String::new()
        } else {
            self.directory.clone()
        }];
        let parts: Vec<&[(char, bool)]> = pattern
            .split(|(letter, _)| *letter == '/')
            .filter(|part| !part.is_empty())
            .collect();
        for part in parts {
            let mut next = Vec::new();
            for folder in &found {
                for name in state.files.children(folder) {
                    let hidden = name.starts_with('.') && part.first() != Some(&('.', false));
                    if !hidden && matches(part, &name) {
                        next.push(format!("{folder}/{name}"));
                    }
                }
            }
            found = next;
        }
        drop(state);
        if is_absolute {
            return found;
        }
        let prefix = format!("{}/", self.directory);
        let short = found.into_iter().map(|path| {
            path.strip_prefix(&prefix)
                .map(str::to_owned)
                .unwrap_or(path)
        });
        short.collect()
    }

    /// The value of an arithmetic expression.
    pub(in crate::program) fn arithmetic(&mut self, text: &str) -> Result<i64, Wrong> {
        let mut sum = Sum {
            text: text
                .chars()
                .filter(|letter| !letter.is_whitespace())
                .collect(),
            at: 0,
            shell: self,
        };
        let value = sum.assignment()?;
        match sum.at == sum.text.len() {
            true => Ok(value),
            false => Err(Wrong::Syntax("expecting EOF")),
        }
    }
}

/// Why an arithmetic expression has no value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::program) enum Wrong {
    DivisionByZero,
    /// It is none; what dash says of it.
    Syntax(&'static str),
}

impl Wrong {
    /// Source: busybox's `shell/math.c`.
    fn in_busybox(self) -> &'static str {
        match self {
            Self::DivisionByZero => "divide by zero",
            Self::Syntax(_) => "arithmetic syntax error",
        }
    }

    /// Source: dash's `src/arith_yacc.c`.
    fn in_dash(self) -> &'static str {
        match self {
            Self::DivisionByZero => "division by zero",
            Self::Syntax(why) => why,
        }
    }
}

const NO_OPERAND: Wrong = Wrong::Syntax("expecting primary");

/// What a part of a word becomes.
struct Piece {
    letters: Letters,
    /// Whether it is split into fields.
    splits: bool,
    /// Whether it is a field even if it is empty.
    is_field: bool,
}

/// Takes the shortest or longest match off the front or the end.
fn trim(value: &str, pattern: &[(char, bool)], cut: &str) -> String {
    let letters: Vec<char> = value.chars().collect();
    let of = |letters: &[char]| letters.iter().collect::<String>();
    let lengths: Vec<usize> = match cut {
        "#" | "%" => (0..=letters.len()).collect(),
        _ => (0..=letters.len()).rev().collect(),
    };
    for length in lengths {
        if cut.starts_with('#') {
            if matches(pattern, &of(&letters[..length])) {
                return of(&letters[length..]);
            }
        } else {
            let from = letters.len() - length;
            if matches(pattern, &of(&letters[from..])) {
                return of(&letters[..from]);
            }
        }
    }
    value.to_owned()
}

/// Reads and computes an arithmetic expression.
struct Sum<'a> {
    text: Vec<char>,
    at: usize,
    shell: &'a mut Shell,
}

impl Sum<'_> {
    fn eat(&mut self, what: &str) -> bool {
        let found = what
            .chars()
            .enumerate()
            .all(|(index, letter)| self.text.get(self.at + index) == Some(&letter));
        if found {
            self.at += what.len();
        }
        found
    }

    fn name(&mut self) -> String {
        let mut name = String::new();
        while let Some(letter) = self.text.get(self.at) {
            let fits = *letter == '_'
                || letter.is_ascii_alphabetic()
                || !name.is_empty() && letter.is_ascii_digit();
            if !fits {
                break;
            }
            name.push(*letter);
            self.at += 1;
        }
        name
    }

    fn assignment(&mut self) -> Result<i64, Wrong> {
        let start = self.at;
        let name = self.name();
        if !name.is_empty() {
            for operation in ["+=", "-=", "*=", "/=", "%="] {
                if self.eat(operation) {
                    let right = self.assignment()?;
                    let left = self.variable(&name)?;
                    let value = apply(&operation[..1], left, right)?;
                    self.shell.variables.insert(name, value.to_string());
                    return Ok(value);
                }
            }
            if self.text.get(self.at) == Some(&'=') && self.text.get(self.at + 1) != Some(&'=') {
                self.at += 1;
                let value = self.assignment()?;
                self.shell.variables.insert(name, value.to_string());
                return Ok(value);
            }
            self.at = start;
        }
        self.ternary()
    }

    fn ternary(&mut self) -> Result<i64, Wrong> {
        let condition = self.binary(0)?;
        if !self.eat("?") {
            return Ok(condition);
        }
        let yes = self.assignment()?;
        if !self.eat(":") {
            return Err(Wrong::Syntax("expecting ':'"));
        }
        let no = self.assignment()?;
        Ok(if condition != 0 { yes } else { no })
    }

    fn binary(&mut self, level: usize) -> Result<i64, Wrong> {
        const LEVELS: &[&[&str]] = &[
            &["||"],
            &["&&"],
            &["|"],
            &["^"],
            &["&"],
            &["==", "!="],
            &["<=", ">=", "<", ">"],
            &["<<", ">>"],
            &["+", "-"],
            &["*", "/", "%"],
        ];
        let Some(operations) = LEVELS.get(level) else {
            return self.unary();
        };
        let mut left = self.binary(level + 1)?;
        'next: loop {
            for operation in *operations {
                let longer = match *operation {
                    "|" => self.looking("||"),
                    "&" => self.looking("&&"),
                    "<" => self.looking("<<"),
                    ">" => self.looking(">>"),
                    _ => false,
                };
                if !longer && self.eat(operation) {
                    let right = self.binary(level + 1)?;
                    left = apply(operation, left, right)?;
                    continue 'next;
                }
            }
            return Ok(left);
        }
    }

    fn looking(&self, what: &str) -> bool {
        what.chars()
            .enumerate()
            .all(|(index, letter)| self.text.get(self.at + index) == Some(&letter))
    }

    fn unary(&mut self) -> Result<i64, Wrong> {
        if self.eat("!") {
            return Ok(i64::from(self.unary()? == 0));
        }
        if self.eat("-") {
            return Ok(self.unary()?.wrapping_neg());
        }
        if self.eat("+") {
            return self.unary();
        }
        if self.eat("~") {
            return Ok(!self.unary()?);
        }
        if self.eat("(") {
            let value = self.assignment()?;
            return match self.eat(")") {
                true => Ok(value),
                false => Err(Wrong::Syntax("expecting ')'")),
            };
        }
        let name = self.name();
        if !name.is_empty() {
            return self.variable(&name);
        }
        self.eat("$");
        let mut digits = String::new();
        while let Some(letter) = self
            .text
            .get(self.at)
            .filter(|one| one.is_ascii_alphanumeric())
        {
            digits.push(*letter);
            self.at += 1;
        }
        let number = match digits.strip_prefix("0x") {
            Some(hex) => i64::from_str_radix(hex, 16),
            None => digits.parse(),
        };
        number.map_err(|_| NO_OPERAND)
    }

    fn variable(&self, name: &str) -> Result<i64, Wrong> {
        match self.shell.value(name).unwrap_or_default().trim() {
            "" => Ok(0),
            value => value.parse().map_err(|_| NO_OPERAND),
        }
    }
}

fn apply(operation: &str, left: i64, right: i64) -> Result<i64, Wrong> {
    Ok(match operation {
        "+" => left.wrapping_add(right),
        "-" => left.wrapping_sub(right),
        "*" => left.wrapping_mul(right),
        "/" => match right {
            0 => return Err(Wrong::DivisionByZero),
            right => left.wrapping_div(right),
        },
        "%" => match right {
            0 => return Err(Wrong::DivisionByZero),
            right => left.wrapping_rem(right),
        },
        "==" => i64::from(left == right),
        "!=" => i64::from(left != right),
        "<" => i64::from(left < right),
        ">" => i64::from(left > right),
        "<=" => i64::from(left <= right),
        ">=" => i64::from(left >= right),
        "&&" => i64::from(left != 0 && right != 0),
        "||" => i64::from(left != 0 || right != 0),
        "&" => left & right,
        "|" => left | right,
        "^" => left ^ right,
        "<<" => left.wrapping_shl(shift(right)),
        ">>" => left.wrapping_shr(shift(right)),
        _ => return Err(NO_OPERAND),
    })
}

/// By how many bits: as the processor takes it.
fn shift(by: i64) -> u32 {
    u32::try_from(by & 63).unwrap_or(0)
}
