//! Tools that read text and print some of it.

use regex::Regex;

use super::super::Tools;
use super::super::files::Fifo;
use super::super::process::Call;
use super::super::shell::Data;
use super::{Tool, amount, basic};

/// How much a program that keeps all it reads takes more in one go.
const GROWTH: u64 = 64 << 20;
/// How many bytes busybox's `head` takes in a millisecond: one by one.
///
/// Source: busybox's `coreutils/head.c`, `print_first_N`; measured.
const ONE_BY_ONE: u64 = 200_000;

impl Tool<'_> {
    /// What the tool reads: the files that it names, or what it is given.
    fn input(&self, files: &[String]) -> (Data, i32) {
        if files.is_empty() {
            return (self.io.read_all(), 0);
        }
        let mut all = Data::default();
        let mut status = 0;
        for file in files {
            if file == "-" {
                let data = self.io.read_all();
                all.text.push_str(&data.text);
                all.bulk = all.bulk.saturating_add(data.bulk);
                continue;
            }
            let path = self.shell.path(file);
            if path == "/dev/zero" || path == "/dev/urandom" {
                all.bulk = u64::MAX / 4;
                continue;
            }
            let found = self.shell.sys.container.state().files.read(&path);
            match found {
                Ok(content) => {
                    all.text.push_str(&content.text);
                    all.bulk = all.bulk.saturating_add(content.bulk);
                }
                Err(error) => {
                    let why = error.text();
                    status = match self.name.as_str() {
                        "cat" => self.fail(&format!("can't open '{file}': {why}")),
                        "grep" | "egrep" | "fgrep" => {
                            self.fail(&format!("{file}: {why}"));
                            2
                        }
                        "sort" | "cut" | "wc" | "head" | "tail" | "sed" | "awk" => {
                            self.fail(&format!("{file}: {why}"))
                        }
                        _ => self.fail(&format!("can't open '{file}': {why}")),
                    };
                }
            }
        }
        (all, status)
    }

    pub(super) async fn text(&mut self, base: &str) -> i32 {
        if base != "tail" {
            // What comes by a pipe is read when all of it is there.
            for word in &self.args {
                if let Some(fifo) = self.shell.fifo(&self.shell.path(word)) {
                    fifo.write(&self.shell.read_fifo(&fifo).await);
                }
            }
        }
        match base {
            "head" => self.head().await,
            "tail" => self.tail().await,
            "wc" => self.wc(),
            "grep" | "egrep" | "fgrep" => self.grep(base),
            "sed" => self.sed(),
            "tr" => self.tr(),
            "cut" => self.cut(),
            "sort" => self.sort(),
            "uniq" => self.uniq(),
            "tee" => self.tee(),
            "base64" => self.base64(),
            "tac" => {
                let (data, status) = self.input(&self.operands(""));
                let lines: Vec<&str> = data.text.lines().rev().collect();
                self.lines(&lines);
                status
            }
            "rev" => {
                let (data, status) = self.input(&self.operands(""));
                let lines: Vec<String> = data
                    .text
                    .lines()
                    .map(|line| line.chars().rev().collect())
                    .collect();
                self.lines(&lines);
                status
            }
            "nl" => {
                let (data, status) = self.input(&self.operands(""));
                let lines = data.text.lines().enumerate();
                let lines: Vec<String> = lines
                    .map(|(index, line)| format!("{:6}\t{line}", index + 1))
                    .collect();
                self.lines(&lines);
                status
            }
            _ => {
                let (data, status) = self.input(&self.operands(""));
                if data.bulk >= u64::MAX / 8 {
                    // It never comes to an end.
                    if matches!(self.io.out, super::super::shell::Sink::Buffer(_)) {
                        return self.put(data).max(status);
                    }
                    self.shell.pause(None).await;
                }
                self.put(data).max(status)
            }
        }
    }

    fn lines<T: AsRef<str>>(&self, lines: &[T]) {
        let mut text = String::new();
        for line in lines {
            text.push_str(line.as_ref());
            text.push('\n');
        }
        self.put(Data::text(text));
    }

    async fn head(&self) -> i32 {
        let (data, status) = self.input(&self.operands("nc"));
        if let Some(bytes) = self.value('c') {
            let Some(most) = amount(&bytes) else {
                return self.fail(&format!("invalid number '{bytes}'"));
            };
            let length = u64::try_from(data.text.len()).unwrap_or(u64::MAX);
            let mut text = data.text;
            if length > most {
                let mut end = usize::try_from(most).unwrap_or(usize::MAX);
                while !text.is_char_boundary(end) {
                    end -= 1;
                }
                text.truncate(end);
            }
            let bulk = data.bulk.min(most.saturating_sub(length));
            let block = 4096;
            let millis = (bulk + u64::try_from(text.len()).unwrap_or(0)) / ONE_BY_ONE;
            if millis > 0 && self.shell.facts.tools == Some(Tools::Busybox) {
                let time = std::time::Duration::from_millis(millis);
                self.shell.sys.compute(time).await;
            }
            return self.put(Data { text, bulk, block }).max(status);
        }
        let number = self.value('n').or_else(|| {
            let word = self.args.iter().find(|word| {
                word.len() > 1
                    && word.starts_with('-')
                    && word[1..].bytes().all(|b| b.is_ascii_digit())
            })?;
            Some(word[1..].to_owned())
        });
        let number = number.and_then(|number| number.parse().ok()).unwrap_or(10);
        let lines: Vec<&str> = data.text.lines().take(number).collect();
        self.lines(&lines);
        status
    }

    async fn tail(&mut self) -> i32 {
        let files = self.operands("nc");
        let most = self.value('c');
        let most = most.as_deref().map(|most| most.trim_start_matches('-'));
        let most = most.and_then(amount);
        let path = files.first().map(|file| self.shell.path(file));
        let fifo = path.and_then(|path| self.shell.fifo(&path));
        let at_most = most.unwrap_or(u64::MAX);
        let (mut data, status) = match fifo {
            Some(fifo) => (self.follow(&fifo, at_most).await, 0),
            None => {
                let (data, status) = self.input(&files);
                // Without line ends it keeps all that may be the last line.
                self.keep(0, data.bulk, at_most).await;
                (data, status)
            }
        };
        if data.bulk > 0 {
            data.bulk = data.bulk.min(at_most);
            if self.io.out_is_log() {
                return 0;
            }
        }
        if let Some(most) = most {
            let length = u64::try_from(data.text.len()).unwrap_or(u64::MAX);
            let skip = length.saturating_sub(most.saturating_sub(data.bulk));
            let mut skip = usize::try_from(skip).unwrap_or(usize::MAX);
            while !data.text.is_char_boundary(skip) {
                skip += 1;
            }
            data.text.drain(..skip);
            return self.put(data).max(status);
        }
        let number = self
            .value('n')
            .and_then(|number| number.trim_start_matches('-').parse().ok());
        let number: usize = number.unwrap_or(10);
        let lines: Vec<&str> = data.text.lines().collect();
        let skip = lines.len().saturating_sub(number);
        self.lines(&lines[skip..]);
        if !(self.has('f') || self.has('F')) {
            return status;
        }
        // It follows the file, a look a second.
        let Some(file) = files.first().map(|file| self.shell.path(file)) else {
            self.shell.pause(None).await;
            return 0;
        };
        if file.starts_with("/dev/") {
            self.shell.pause(None).await;
        }
        let mut seen = data.text.len();
        loop {
            self.shell
                .pause(Some(std::time::Duration::from_secs(1)))
                .await;
            let found = self.shell.sys.container.state().files.read(&file);
            let Ok(content) = found else {
                continue;
            };
            if let Some(news) = content.text.get(seen..).filter(|news| !news.is_empty()) {
                self.put(Data::text(news));
            }
            seen = content.text.len();
        }
    }

    /// Reads a pipe to its end, and keeps so much of it at most.
    async fn follow(&self, fifo: &Fifo, most: u64) -> Data {
        let _end = fifo.reader();
        let mut all = Data::default();
        let mut is_open = false;
        while let Some(data) = self.shell.next_of(fifo, &mut is_open).await {
            let held = all.size();
            all.add(&data);
            self.keep(held, all.size(), most).await;
        }
        all
    }

    /// Takes memory for what it keeps, piece after piece.
    async fn keep(&self, mut held: u64, size: u64, most: u64) {
        let size = size.min(most);
        while held < size {
            held = held.saturating_add(GROWTH).min(size);
            self.shell.sys.ask(Call::Memory(held)).await;
            let time = std::time::Duration::from_millis(40);
            self.shell.sys.compute(time).await;
        }
    }

    fn wc(&self) -> i32 {
        let files = self.operands("");
        let (data, status) = self.input(&files);
        let lines = data.text.matches('\n').count();
        let words = data.text.split_whitespace().count();
        let mut counts = Vec::new();
        let all = !self.has('l') && !self.has('w') && !self.has('c');
        if all || self.has('l') {
            counts.push(lines.to_string());
        }
        if all || self.has('w') {
            counts.push(words.to_string());
        }
        if all || self.has('c') {
            counts.push(data.size().to_string());
        }
        counts.extend(files.first().cloned());
        self.out(&format!("{}\n", counts.join(" ")));
        status
    }

    fn grep(&self, base: &str) -> i32 {
        let mut operands = self.operands("eABCm");
        let pattern = match self.value('e') {
            Some(pattern) => pattern,
            None if operands.is_empty() => return self.err("usage: grep PATTERN [FILE]..."),
            None => operands.remove(0),
        };
        let pattern = if base == "fgrep" || self.has('F') {
            regex::escape(&pattern)
        } else if base == "egrep" || self.has('E') {
            pattern
        } else {
            basic(&pattern)
        };
        let pattern = if self.has('x') {
            format!("^(?:{pattern})$")
        } else {
            pattern
        };
        let pattern = if self.has('w') {
            format!(r"\b(?:{pattern})\b")
        } else {
            pattern
        };
        let regex = regex::RegexBuilder::new(&pattern)
            .case_insensitive(self.has('i'))
            .build();
        let Ok(regex) = regex else {
            self.fail("bad regex");
            return 2;
        };
        let (data, status) = self.input(&operands);
        let found: Vec<&str> = data
            .text
            .lines()
            .filter(|line| regex.is_match(line) != self.has('v'))
            .collect();
        let any = !found.is_empty();
        if self.has('q') {
        } else if self.has('c') {
            self.out(&format!("{}\n", found.len()));
        } else if self.has('l') {
            if any {
                self.lines(&operands);
            }
        } else if self.has('o') {
            let parts: Vec<&str> = found
                .iter()
                .flat_map(|line| regex.find_iter(line).map(|part| part.as_str()))
                .collect();
            self.lines(&parts);
        } else {
            self.lines(&found);
        }
        match (any, status) {
            (true, _) => 0,
            (false, 0) => 1,
            (false, status) => status,
        }
    }

    /// The commands `s`, `d` and `p` with a line number, a pattern or neither before them.
    fn sed(&mut self) -> i32 {
        let mut operands = self.operands("e");
        let script = match self.value('e') {
            Some(script) => script,
            None if operands.is_empty() => return self.err("usage: sed SCRIPT [FILE]..."),
            None => operands.remove(0),
        };
        let extended = self.has('E') || self.has('r');
        let read = |pattern: &str| {
            let pattern = match extended {
                true => pattern.to_owned(),
                false => basic(pattern),
            };
            Regex::new(&pattern).ok()
        };
        let mut commands = Vec::new();
        for command in script
            .split([';', '\n'])
            .map(str::trim)
            .filter(|one| !one.is_empty())
        {
            let mut rest = command;
            let mut line = None;
            let mut only = None;
            if let Some(after) = rest.strip_prefix('/')
                && let Some((pattern, after)) = after.split_once('/')
            {
                only = read(pattern);
                rest = after.trim_start();
            } else {
                let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
                rest = &rest[digits.len()..];
                if let Some(after) = rest.strip_prefix('$').filter(|_| digits.is_empty()) {
                    line = Some(usize::MAX);
                    rest = after;
                } else if !digits.is_empty() {
                    line = digits.parse().ok();
                }
            }
            let mut letters = rest.chars();
            match letters.next() {
                Some('s') => {
                    let Some(mark) = letters.next() else {
                        return self.fail("unterminated `s' command");
                    };
                    let parts: Vec<&str> = letters.as_str().split(mark).collect();
                    let [pattern, with, flags, ..] = parts.as_slice() else {
                        return self.fail("unterminated `s' command");
                    };
                    let Some(regex) = read(pattern) else {
                        return self.fail("bad regex");
                    };
                    let with = with.replace('$', "$$").replace('&', "${0}");
                    let with = groups(&with);
                    commands.push((line, only, Edit::Replace(regex, with, flags.contains('g'))));
                }
                Some('d') => commands.push((line, only, Edit::Delete)),
                Some('p') => commands.push((line, only, Edit::Print)),
                Some('q') => commands.push((line, only, Edit::Quit)),
                _ => return self.fail(&format!("unsupported command {rest}")),
            }
        }
        let (data, status) = self.input(&operands);
        let quiet = self.has('n');
        let mut out: Vec<String> = Vec::new();
        let all: Vec<&str> = data.text.lines().collect();
        'lines: for (index, line) in all.iter().enumerate() {
            let mut line = (*line).to_owned();
            let mut quit = false;
            for (number, only, edit) in &commands {
                let is_here = match number {
                    Some(usize::MAX) => index + 1 == all.len(),
                    Some(number) => index + 1 == *number,
                    None => true,
                };
                if !is_here || only.as_ref().is_some_and(|only| !only.is_match(&line)) {
                    continue;
                }
                match edit {
                    Edit::Replace(regex, with, true) => {
                        line = regex.replace_all(&line, with.as_str()).into_owned();
                    }
                    Edit::Replace(regex, with, false) => {
                        line = regex.replace(&line, with.as_str()).into_owned();
                    }
                    Edit::Delete => continue 'lines,
                    Edit::Print => out.push(line.clone()),
                    Edit::Quit => quit = true,
                }
            }
            if !quiet {
                out.push(line);
            }
            if quit {
                break;
            }
        }
        if self.has('i') {
            let Some(file) = operands.first() else {
                return status;
            };
            let path = self.shell.path(file);
            let text: String = out.iter().map(|line| format!("{line}\n")).collect();
            let content = super::super::files::Content::text(text);
            let written = self
                .shell
                .sys
                .container
                .state()
                .files
                .write(&path, content, false);
            return match written {
                Ok(()) => status,
                Err(error) => self.fail(&format!("{file}: {}", error.text())),
            };
        }
        self.lines(&out);
        status
    }

    fn tr(&self) -> i32 {
        let data = self.io.read_all();
        let operands = self.operands("");
        let set = |index: usize| -> Vec<char> {
            operands
                .get(index)
                .map_or_else(Vec::new, |set| letters_of(set))
        };
        let (from, to) = (set(0), set(1));
        if data.bulk > 0 {
            return self.put(data);
        }
        let text: String = data
            .text
            .chars()
            .filter_map(|letter| {
                let Some(at) = from.iter().position(|one| *one == letter) else {
                    return Some(letter);
                };
                if self.has('d') {
                    return None;
                }
                to.get(at).or(to.last()).copied().or(Some(letter))
            })
            .collect();
        self.put(Data::text(text))
    }

    fn cut(&self) -> i32 {
        let (data, status) = self.input(&self.operands("dfcb"));
        let mark = self.value('d').unwrap_or_else(|| "\t".to_owned());
        let ranges = self
            .value('f')
            .or_else(|| self.value('c'))
            .unwrap_or_default();
        let wanted = |number: usize| {
            ranges.split(',').any(|range| match range.split_once('-') {
                Some((first, last)) => {
                    number >= first.parse().unwrap_or(1)
                        && number <= last.parse().unwrap_or(usize::MAX)
                }
                None => range.parse() == Ok(number),
            })
        };
        let lines: Vec<String> = data
            .text
            .lines()
            .map(|line| {
                if self.value('f').is_none() {
                    let letters = line.chars().enumerate();
                    return letters
                        .filter(|(index, _)| wanted(index + 1))
                        .map(|(_, letter)| letter)
                        .collect();
                }
                if !line.contains(&mark) {
                    return line.to_owned();
                }
                let fields = line.split(mark.as_str()).enumerate();
                let kept: Vec<&str> = fields
                    .filter(|(index, _)| wanted(index + 1))
                    .map(|(_, field)| field)
                    .collect();
                kept.join(&mark)
            })
            .collect();
        self.lines(&lines);
        status
    }

    fn sort(&self) -> i32 {
        let (data, status) = self.input(&self.operands("kt"));
        let mut lines: Vec<&str> = data.text.lines().collect();
        if self.has('n') {
            let number = |line: &str| {
                let line = line.trim_start();
                let end = line
                    .find(|letter: char| !letter.is_ascii_digit() && letter != '-' && letter != '.')
                    .unwrap_or(line.len());
                line[..end].parse::<f64>().unwrap_or(0.0)
            };
            lines.sort_by(|one, other| number(one).total_cmp(&number(other)));
        } else {
            lines.sort_unstable();
        }
        if self.has('r') {
            lines.reverse();
        }
        if self.has('u') {
            lines.dedup();
        }
        self.lines(&lines);
        status
    }

    fn uniq(&self) -> i32 {
        let (data, status) = self.input(&self.operands(""));
        let mut counted: Vec<(usize, &str)> = Vec::new();
        for line in data.text.lines() {
            match counted.last_mut() {
                Some((count, last)) if *last == line => *count += 1,
                _ => counted.push((1, line)),
            }
        }
        let lines: Vec<String> = counted
            .into_iter()
            .map(|(count, line)| match self.has('c') {
                true => format!("{count:7} {line}"),
                false => line.to_owned(),
            })
            .collect();
        self.lines(&lines);
        status
    }

    fn tee(&self) -> i32 {
        let data = self.io.read_all();
        let mut status = 0;
        for file in self.operands("") {
            let path = self.shell.path(&file);
            let content = super::super::files::Content {
                text: data.text.clone(),
                bulk: data.bulk,
                ..Default::default()
            };
            let mut state = self.shell.sys.container.state();
            let written = state.files.write(&path, content, self.has('a'));
            drop(state);
            if let Err(error) = written {
                status = self.fail(&format!("{file}: {}", error.text()));
            }
        }
        self.put(data).max(status)
    }

    fn base64(&self) -> i32 {
        let (data, status) = self.input(&self.operands("w"));
        if self.has('d') {
            let Some(bytes) = crate::defaults::unbase64(data.text.trim()) else {
                return self.fail("truncated input");
            };
            let text = String::from_utf8_lossy(&bytes).into_owned();
            return self.put(Data::text(text)).max(status);
        }
        let text = crate::defaults::base64(data.text.as_bytes());
        self.out(&format!("{text}\n"));
        status
    }
}

/// Writes `\\1` as `${1}`.
fn groups(with: &str) -> String {
    let mut out = String::new();
    let mut letters = with.chars().peekable();
    while let Some(letter) = letters.next() {
        match letters
            .peek()
            .filter(|next| letter == '\\' && next.is_ascii_digit())
        {
            Some(digit) => {
                out.push_str(&format!("${{{digit}}}"));
                letters.next();
            }
            None => out.push(letter),
        }
    }
    out
}

enum Edit {
    Replace(Regex, String, bool),
    Delete,
    Print,
    Quit,
}

/// The letters of a set such as `a-z\n`.
fn letters_of(set: &str) -> Vec<char> {
    let set = match set {
        "[:upper:]" => "A-Z",
        "[:lower:]" => "a-z",
        "[:digit:]" => "0-9",
        "[:space:]" => " \\t\\n\\r",
        set => set,
    };
    let letters: Vec<char> = super::unescape(set).chars().collect();
    let mut found = Vec::new();
    let mut index = 0;
    while let Some(first) = letters.get(index) {
        match (letters.get(index + 1), letters.get(index + 2)) {
            (Some('-'), Some(last)) => {
                found.extend(*first..=*last);
                index += 3;
            }
            _ => {
                found.push(*first);
                index += 1;
            }
        }
    }
    found
}
