//! The small programs that scripts use, in busybox's words, and the servers of well-known images.

mod awk;
mod disk;
mod names;
mod net;
mod servers;
mod text;

use std::time::Duration;

pub(super) use names::NAMES;
use regex::Regex;

use super::process::{Answer, Call};
use super::shell::{Data, Io, Shell};

/// A tool that runs: who runs it, with which words and files.
struct Tool<'a> {
    shell: &'a mut Shell,
    /// Its name, as it was called.
    name: String,
    /// Where it is.
    place: String,
    /// Its words after the name.
    args: Vec<String>,
    io: &'a Io,
}

/// Runs a program, and gives its exit code.
pub(super) async fn run(
    shell: &mut Shell,
    base: &str,
    place: &str,
    argv: &[String],
    io: &Io,
) -> i32 {
    let (base, argv) = match base {
        // busybox runs the tool that its first word names.
        "busybox" => match argv.get(1) {
            Some(name) => (name.as_str(), argv.get(1..).unwrap_or_default()),
            None => return 0,
        },
        base => (base, argv),
    };
    let mut tool = Tool {
        name: base.to_owned(),
        place: place.to_owned(),
        args: argv.get(1..).unwrap_or_default().to_vec(),
        shell,
        io,
    };
    tool.run(base).await
}

impl Tool<'_> {
    async fn run(&mut self, base: &str) -> i32 {
        match base {
            "true" | ":" | "sync" | "chmod" | "chown" | "chgrp" | "clear" | "stty" | "logger" => {
                self.quiet(base)
            }
            "false" => 1,
            "echo" => self.echo(),
            "printf" => self.printf(),
            "test" | "[" | "[[" => self.test(),
            "sleep" | "usleep" => self.sleep().await,
            "timeout" => self.timeout().await,
            "env" | "nohup" | "setsid" | "nice" | "time" | "su" | "setpriv" => {
                self.wrapped(base).await
            }
            "xargs" => self.xargs().await,
            "date" => self.date(),
            "hostname" => self.hostname(),
            "id" | "whoami" => self.id(),
            "uname" => self.out("Linux\n"),
            "nproc" => self.out("2\n"),
            "printenv" => self.printenv(),
            "which" => self.which(),
            "expr" => self.expr(),
            "seq" => self.seq(),
            "basename" | "dirname" => self.base_name(base),
            "yes" => self.yes(),
            "ps" | "top" | "free" | "df" | "du" | "mount" | "uptime" => 0,
            "cat" | "head" | "tail" | "wc" | "grep" | "egrep" | "fgrep" | "sed" | "tr" | "cut"
            | "sort" | "uniq" | "tee" | "base64" | "tac" | "rev" | "nl" | "more" | "less" => {
                self.text(base).await
            }
            "awk" => awk::run(self).await,
            "ls" | "mkdir" | "rmdir" | "rm" | "touch" | "cp" | "mv" | "ln" | "dd" | "fallocate"
            | "truncate" | "mktemp" | "stat" | "find" | "readlink" | "realpath" | "sha256sum"
            | "md5sum" | "mkfifo" | "install" | "cmp" => self.disk(base).await,
            "wget" | "nc" | "nslookup" | "ping" | "httpd"
                if base != "httpd" || self.place == "/bin/httpd" =>
            {
                self.net(base).await
            }
            _ => servers::run(self, base).await,
        }
    }

    fn out(&self, text: &str) -> i32 {
        self.shell.write(&self.io.out, text);
        0
    }

    fn err(&self, text: &str) -> i32 {
        self.shell.complain(self.io, text);
        1
    }

    /// Complains in the form `tool: what is wrong`.
    fn fail(&self, why: &str) -> i32 {
        self.err(&format!("{}: {why}", self.name))
    }

    /// Writes data, and complains where there is no room for it.
    fn put(&self, data: Data) -> i32 {
        match self.shell.write_data(&self.io.out, data) {
            None => 0,
            Some(error) => self.fail(&format!("write error: {}", error.text())),
        }
    }

    /// Whether an option of one letter was given, alone or with others.
    fn has(&self, letter: char) -> bool {
        self.args
            .iter()
            .take_while(|word| *word != "--")
            .any(|word| {
                word.strip_prefix('-')
                    .is_some_and(|letters| !letters.starts_with('-') && letters.contains(letter))
            })
    }

    /// The words that are no options; those of `with_value` take the word after them along.
    fn operands(&self, with_value: &str) -> Vec<String> {
        let mut found = Vec::new();
        let mut words = self.args.iter();
        let mut options = true;
        while let Some(word) = words.next() {
            if options && word == "--" {
                options = false;
            } else if options && word.len() > 1 && word.starts_with('-') && !word.starts_with("--")
            {
                if word.len() == 2 && with_value.contains(&word[1..]) {
                    words.next();
                }
            } else if options && word.starts_with("--") {
                continue;
            } else {
                found.push(word.clone());
            }
        }
        found
    }

    /// The value of an option of one letter, joined to it or in the word after it.
    fn value(&self, letter: char) -> Option<String> {
        let mut words = self.args.iter();
        while let Some(word) = words.next() {
            let Some(letters) = word.strip_prefix('-').filter(|rest| !rest.starts_with('-')) else {
                continue;
            };
            if let Some((before, after)) = letters.split_once(letter)
                && before.chars().all(char::is_alphabetic)
            {
                return match after {
                    "" => words.next().cloned(),
                    after => Some(after.to_owned()),
                };
            }
        }
        None
    }

    /// The value of a long option: `--name=value` or `--name value`.
    fn long(&self, name: &str) -> Option<String> {
        let mut words = self.args.iter();
        while let Some(word) = words.next() {
            if let Some(rest) = word
                .strip_prefix("--")
                .and_then(|rest| rest.strip_prefix(name))
            {
                if rest.is_empty() {
                    return words.next().cloned();
                }
                if let Some(value) = rest.strip_prefix('=') {
                    return Some(value.to_owned());
                }
            }
        }
        None
    }

    /// What does nothing but complain of files that it may not change.
    fn quiet(&self, base: &str) -> i32 {
        if !matches!(base, "chmod" | "chown" | "chgrp") {
            return 0;
        }
        let mut status = 0;
        let words = self.operands("");
        let Some((how, files)) = words.split_first() else {
            return self.fail("missing operand");
        };
        let executable = match (base, executable(how)) {
            ("chmod", None) => return self.fail(&format!("invalid mode '{how}'")),
            ("chmod", Some(executable)) => executable,
            _ => None,
        };
        for word in files {
            let path = self.shell.path(word);
            let mut state = self.shell.sys.container.state();
            let done = match executable {
                Some(executable) => state.files.set_executable(&path, executable),
                None => match state.files.find(&path) {
                    None => Err(super::files::FileError::Missing),
                    Some(_) => state.files.writable(&path),
                },
            };
            drop(state);
            if let Err(why) = done {
                status = self.fail(&format!("{word}: {}", why.text()));
            }
        }
        status
    }

    fn echo(&self) -> i32 {
        let mut words = self.args.as_slice();
        let (mut newline, mut escapes) = (true, false);
        while let Some((first, rest)) = words.split_first() {
            match first.as_str() {
                "-n" => newline = false,
                "-e" => escapes = true,
                "-ne" | "-en" => (newline, escapes) = (false, true),
                _ => break,
            }
            words = rest;
        }
        let mut text = words.join(" ");
        if escapes {
            text = unescape(&text);
        }
        if newline {
            text.push('\n');
        }
        self.put(Data::text(text))
    }

    fn printf(&self) -> i32 {
        let Some((format, args)) = self.args.split_first() else {
            return self.err("usage: printf FORMAT [ARG]...");
        };
        let mut args = args.iter();
        let mut text = String::new();
        loop {
            let before = args.len();
            text.push_str(&formatted(&unescape(format), &mut |_| {
                args.next().cloned().unwrap_or_default()
            }));
            if args.len() == 0 || args.len() == before {
                break;
            }
        }
        self.put(Data::text(text))
    }

    fn test(&self) -> i32 {
        let mut words: Vec<&str> = self.args.iter().map(String::as_str).collect();
        if self.name.starts_with('[') {
            match words.pop() {
                Some("]" | "]]") => {}
                _ => {
                    self.fail("missing ]");
                    return 2;
                }
            }
        }
        match self.evaluate(&words) {
            Some(true) => 0,
            Some(false) => 1,
            None => {
                self.fail("bad expression");
                2
            }
        }
    }

    fn evaluate(&self, words: &[&str]) -> Option<bool> {
        for (operator, or) in [("-o", true), ("-a", false)] {
            if words.len() > 3
                && let Some(at) = words.iter().rposition(|word| *word == operator)
                && at > 0
            {
                let (left, right) = (
                    self.evaluate(&words[..at])?,
                    self.evaluate(&words[at + 1..])?,
                );
                return Some(if or { left || right } else { left && right });
            }
        }
        match words {
            [] => Some(false),
            ["!", rest @ ..] => Some(!self.evaluate(rest)?),
            ["(", rest @ .., ")"] => self.evaluate(rest),
            [word] => Some(!word.is_empty()),
            ["-n", word] => Some(!word.is_empty()),
            ["-z", word] => Some(word.is_empty()),
            [operator, path] => {
                use super::files::File;
                let full = self.shell.path(path);
                let state = self.shell.sys.container.state();
                let found = state.files.find(&full);
                Some(match *operator {
                    "-e" | "-r" => found.is_some(),
                    "-f" => matches!(found, Some(File::Regular(_))),
                    "-d" => found == Some(File::Directory),
                    "-s" => matches!(found, Some(File::Regular(content)) if content.size() > 0),
                    "-x" => match found {
                        Some(File::Regular(content)) => content.executable,
                        found => found.is_some(),
                    },
                    "-w" => found.is_some() && state.files.writable(&full).is_ok(),
                    "-p" => matches!(found, Some(File::Fifo(_))),
                    "-L" | "-h" | "-S" | "-b" | "-c" | "-t" => false,
                    _ => return None,
                })
            }
            [left, operator, right] => {
                let numbers = || {
                    Some((
                        left.trim().parse::<i64>().ok()?,
                        right.trim().parse::<i64>().ok()?,
                    ))
                };
                Some(match *operator {
                    "=" | "==" => left == right,
                    "!=" => left != right,
                    "<" => left < right,
                    ">" => left > right,
                    "-eq" => numbers().map(|(a, b)| a == b)?,
                    "-ne" => numbers().map(|(a, b)| a != b)?,
                    "-lt" => numbers().map(|(a, b)| a < b)?,
                    "-le" => numbers().map(|(a, b)| a <= b)?,
                    "-gt" => numbers().map(|(a, b)| a > b)?,
                    "-ge" => numbers().map(|(a, b)| a >= b)?,
                    _ => return None,
                })
            }
            _ => None,
        }
    }

    async fn sleep(&mut self) -> i32 {
        let mut total = Duration::ZERO;
        for word in &self.args {
            if word == "infinity" || word == "inf" {
                self.shell.pause(None).await;
                return 0;
            }
            let Some(time) = duration(word) else {
                return self.fail(&format!("invalid number '{word}'"));
            };
            total += if self.name == "usleep" {
                time / 1_000_000
            } else {
                time
            };
        }
        self.shell.pause(Some(total)).await;
        0
    }

    async fn timeout(&mut self) -> i32 {
        let mut words = self.args.as_slice();
        let mut time = None;
        while let Some((first, rest)) = words.split_first() {
            match first.as_str() {
                "-s" | "-k" => words = rest.get(1..).unwrap_or_default(),
                "-t" => {
                    time = rest.first().and_then(|word| duration(word));
                    words = rest.get(1..).unwrap_or_default();
                }
                word if word.starts_with('-') => words = rest,
                _ => break,
            }
        }
        if time.is_none() {
            let Some((first, rest)) = words.split_first() else {
                return self.err("usage: timeout SECS PROG ARGS");
            };
            let Some(parsed) = duration(first) else {
                return self.fail(&format!("invalid number '{first}'"));
            };
            time = Some(parsed);
            words = rest;
        }
        let argv = words.to_vec();
        let work = super::shell::Work::Command(argv);
        let program = self.shell.clone().program(work, self.io.clone());
        let Answer::Spawned(number) = self.shell.sys.ask(Call::Spawn(program)).await else {
            return 1;
        };
        match self.shell.sys.ask(Call::Join(number, time)).await {
            Answer::Ended(status) => status,
            // Its time is over, or a signal came.
            _ => {
                self.shell.sys.ask(Call::Kill(number)).await;
                143
            }
        }
    }

    /// Programs that run another one.
    async fn wrapped(&mut self, base: &str) -> i32 {
        let mut words = self.args.as_slice();
        let before = self.shell.variables.clone();
        if base == "su" {
            let script = self.value('c').unwrap_or_default();
            let name = self.operands("sc").first().cloned();
            let name = name.unwrap_or_else(|| "root".to_owned());
            let Some(user) = crate::program::user(&name) else {
                return self.fail(&format!("unknown user {name}"));
            };
            let argv = ["sh", "-c", script.as_str()].map(str::to_owned).to_vec();
            let before = std::mem::replace(&mut self.shell.user, user);
            let status = self.nested(argv).await;
            self.shell.user = before;
            return status;
        }
        while let Some((first, rest)) = words.split_first() {
            if base == "env" && first.contains('=') {
                if let Some((name, value)) = first.split_once('=') {
                    self.shell
                        .variables
                        .insert(name.to_owned(), value.to_owned());
                }
            } else if first.starts_with('-') {
                if matches!(first.as_str(), "-n" | "-u") {
                    words = rest.get(1..).unwrap_or_default();
                    continue;
                }
            } else {
                break;
            }
            words = rest;
        }
        if words.is_empty() {
            return self.printenv();
        }
        let argv = words.to_vec();
        let status = self.nested(argv).await;
        self.shell.variables = before;
        status
    }

    async fn nested(&mut self, argv: Vec<String>) -> i32 {
        let name = argv.first().cloned().unwrap_or_default();
        match self.shell.external(&name, &argv, self.io).await {
            super::shell::Flow::Done(status) | super::shell::Flow::Exit(status) => status,
            _ => 0,
        }
    }

    async fn xargs(&mut self) -> i32 {
        let data = self.io.read_all();
        let size: Option<usize> = self.value('n').and_then(|number| number.parse().ok());
        let replace = self.value('I');
        let mut command = self.operands("nIPL");
        if command.is_empty() {
            command.push("echo".to_owned());
        }
        let words: Vec<String> = match replace {
            Some(_) => data.text.lines().map(str::to_owned).collect(),
            None => data.text.split_whitespace().map(str::to_owned).collect(),
        };
        if command.first().is_some_and(|name| name == "touch") && words.len() > 1000 {
            // So many files that nobody looks at each of them.
            let number = u64::try_from(words.len()).unwrap_or(u64::MAX);
            let here = self.shell.directory.clone();
            let made = self
                .shell
                .sys
                .container
                .state()
                .files
                .make_inodes(&here, number);
            self.shell
                .sys
                .ask(Call::Compute(Duration::from_millis(200)))
                .await;
            return match made {
                Ok(()) => 0,
                Err(error) => self.err(&format!("touch: 1: {}", error.text())),
            };
        }
        let mut status = 0;
        let size = match replace {
            Some(_) => 1,
            None => size.unwrap_or(words.len()).max(1),
        };
        for part in words.chunks(size) {
            let argv = match &replace {
                Some(mark) => command
                    .iter()
                    .map(|word| word.replace(mark.as_str(), &part[0]))
                    .collect(),
                None => [command.clone(), part.to_vec()].concat(),
            };
            let ended = self.nested(argv).await;
            if ended != 0 {
                status = 123;
            }
        }
        status
    }

    fn date(&self) -> i32 {
        let now = self.shell.sys.container.clock.now();
        let zoned = now.to_zoned(jiff::tz::TimeZone::UTC);
        let format = self.args.iter().find_map(|word| word.strip_prefix('+'));
        let text = if let Some(format) = format {
            zoned.strftime(format).to_string()
        } else if self.args.iter().any(|word| word.starts_with("-I")) {
            zoned.strftime("%Y-%m-%dT%H:%M:%S+00:00").to_string()
        } else {
            zoned.strftime("%a %b %e %H:%M:%S UTC %Y").to_string()
        };
        self.out(&format!("{text}\n"))
    }

    fn hostname(&self) -> i32 {
        let container = self.shell.sys.container.clone();
        match self.has('i') {
            true => self.out(&format!("{}\n", container.address)),
            false => self.out(&format!("{}\n", container.hostname)),
        }
    }

    fn id(&self) -> i32 {
        let user = self.shell.user;
        let name = match user {
            0 => "root".to_owned(),
            user => user.to_string(),
        };
        if self.name == "whoami" {
            return match user {
                0 => self.out("root\n"),
                user => self.fail(&format!("unknown uid {user}")),
            };
        }
        if self.has('u') {
            return self.out(&format!(
                "{}\n",
                if self.has('n') {
                    name
                } else {
                    user.to_string()
                }
            ));
        }
        self.out(&format!("uid={user} gid=0(root) groups=0(root)\n"))
    }

    fn printenv(&self) -> i32 {
        if let Some(name) = self.args.first().filter(|_| self.name == "printenv") {
            return match self.shell.variables.get(name) {
                Some(value) => self.out(&format!("{value}\n")),
                None => 1,
            };
        }
        let lines = self.shell.variables.iter();
        let text: String = lines
            .map(|(name, value)| format!("{name}={value}\n"))
            .collect();
        self.out(&text)
    }

    fn which(&self) -> i32 {
        let path = self
            .shell
            .variables
            .get("PATH")
            .cloned()
            .unwrap_or_default();
        let mut status = 0;
        for name in &self.args {
            let state = self.shell.sys.container.state();
            let found = super::lookup(&state.files, &path, &self.shell.directory, name);
            drop(state);
            match found {
                Ok(place) => drop(self.out(&format!("{place}\n"))),
                Err(_) => status = 1,
            }
        }
        status
    }

    fn expr(&mut self) -> i32 {
        let words: Vec<&str> = self.args.iter().map(String::as_str).collect();
        let value = match words.as_slice() {
            ["length", word] => word.chars().count().to_string(),
            [left, ":", pattern] => match Regex::new(&format!("^(?:{})", basic(pattern))) {
                Ok(regex) => match regex.captures(left) {
                    Some(found) => match found.get(1) {
                        Some(group) => group.as_str().to_owned(),
                        None => found[0].chars().count().to_string(),
                    },
                    None => "0".to_owned(),
                },
                Err(_) => return self.fail("bad pattern"),
            },
            words => {
                let text = words.join(" ").replace("\\*", "*");
                match self.shell.arithmetic(&text) {
                    Ok(value) => value.to_string(),
                    Err(super::shell::Wrong::DivisionByZero) => {
                        return self.fail("division by zero");
                    }
                    Err(_) => match words {
                        [left, "=", right] => i32::from(left == right).to_string(),
                        [left, "!=", right] => i32::from(left != right).to_string(),
                        _ => return self.fail("syntax error"),
                    },
                }
            }
        };
        self.out(&format!("{value}\n"));
        i32::from(value == "0" || value.is_empty())
    }

    fn seq(&self) -> i32 {
        let numbers: Vec<i64> = self
            .operands("s")
            .iter()
            .filter_map(|word| word.parse().ok())
            .collect();
        let (first, step, last) = match numbers.as_slice() {
            [last] => (1, 1, *last),
            [first, last] => (*first, 1, *last),
            [first, step, last] => (*first, *step, *last),
            _ => return self.err("usage: seq [-w] [-s SEP] [FIRST [INC]] LAST"),
        };
        if step == 0 {
            return self.fail("zero increment");
        }
        let separator = self.value('s').unwrap_or_else(|| "\n".to_owned());
        let mut text = String::new();
        let mut value = first;
        while if step > 0 {
            value <= last
        } else {
            value >= last
        } {
            if !text.is_empty() {
                text.push_str(&separator);
            }
            text.push_str(&value.to_string());
            value += step;
            if text.len() > 64 << 20 {
                break;
            }
        }
        if !text.is_empty() {
            text.push('\n');
        }
        self.put(Data::text(text))
    }

    fn base_name(&self, base: &str) -> i32 {
        let Some(path) = self.args.first() else {
            return self.fail("missing operand");
        };
        let path = path.trim_end_matches('/');
        let text = match (base, path.rsplit_once('/')) {
            ("basename", Some((_, name))) => name,
            ("basename", None) => path,
            (_, Some(("", _))) => "/",
            (_, Some((folder, _))) => folder,
            (_, None) => ".",
        };
        let text = match self.args.get(1) {
            Some(suffix) if base == "basename" => {
                text.strip_suffix(suffix.as_str()).unwrap_or(text)
            }
            _ => text,
        };
        self.out(&format!("{text}\n"))
    }

    fn yes(&self) -> i32 {
        self.put(Data {
            text: String::new(),
            bulk: u64::MAX / 4,
            block: 8192,
        })
    }
}

/// A time such as `0.5`, `2m` or `1h`.
fn duration(word: &str) -> Option<Duration> {
    let end = word.find(|letter: char| !letter.is_ascii_digit() && letter != '.');
    let (number, unit) = word.split_at(end.unwrap_or(word.len()));
    let seconds: f64 = number.parse().ok()?;
    let unit = match unit {
        "" | "s" => 1.0,
        "m" => 60.0,
        "h" => 3600.0,
        "d" => 86_400.0,
        _ => return None,
    };
    Duration::try_from_secs_f64(seconds * unit).ok()
}

/// An amount such as `100`, `64k`, `1M` or `2g`.
fn amount(word: &str) -> Option<u64> {
    let end = word.find(|letter: char| !letter.is_ascii_digit());
    let (number, unit) = word.split_at(end.unwrap_or(word.len()));
    let number: u64 = number.parse().ok()?;
    let unit: u64 = match unit.trim_end_matches(['B', 'i']) {
        "" | "c" => 1,
        "b" => 512,
        "k" | "K" => 1 << 10,
        "m" | "M" => 1 << 20,
        "g" | "G" => 1 << 30,
        "t" | "T" => 1 << 40,
        _ => return None,
    };
    number.checked_mul(unit)
}

/// Puts what backslashes stand for in their place.
fn unescape(text: &str) -> String {
    let mut out = String::new();
    let mut letters = text.chars().peekable();
    while let Some(letter) = letters.next() {
        if letter != '\\' {
            out.push(letter);
            continue;
        }
        match letters.next() {
            Some('n') => out.push('\n'),
            Some('t') => out.push('\t'),
            Some('r') => out.push('\r'),
            Some('e' | 'E') => out.push('\u{1b}'),
            Some('a') => out.push('\u{7}'),
            Some('\\') => out.push('\\'),
            Some('0') => {
                let mut code = 0;
                while let Some(digit) = letters.peek().and_then(|letter| letter.to_digit(8)) {
                    code = (code * 8 + digit) & 0xff;
                    letters.next();
                }
                out.extend(char::from_u32(code));
            }
            Some(other) => {
                out.push('\\');
                out.push(other);
            }
            None => out.push('\\'),
        }
    }
    out
}

/// Fills in a format of `printf`.
fn formatted(format: &str, next: &mut dyn FnMut(char) -> String) -> String {
    let mut out = String::new();
    let mut letters = format.chars().peekable();
    while let Some(letter) = letters.next() {
        if letter != '%' {
            out.push(letter);
            continue;
        }
        if letters.peek() == Some(&'%') {
            letters.next();
            out.push('%');
            continue;
        }
        let (mut left, mut zero) = (false, false);
        while let Some(flag) = letters.peek().filter(|flag| "-0+ #".contains(**flag)) {
            left |= *flag == '-';
            zero |= *flag == '0';
            letters.next();
        }
        let number = |letters: &mut std::iter::Peekable<std::str::Chars<'_>>| {
            let mut width: Option<usize> = None;
            while let Some(digit) = letters.peek().and_then(|letter| letter.to_digit(10)) {
                let so_far = width.unwrap_or(0).saturating_mul(10);
                width = Some((so_far + digit as usize).min(1 << 20));
                letters.next();
            }
            width
        };
        let width = number(&mut letters).unwrap_or(0);
        let mut precision = None;
        if letters.peek() == Some(&'.') {
            letters.next();
            precision = Some(number(&mut letters).unwrap_or(0));
        }
        let Some(kind) = letters.next() else {
            break;
        };
        let value = next(kind);
        let float = || value.trim().parse::<f64>().unwrap_or(0.0);
        let text = match kind {
            'd' | 'i' | 'u' => {
                #[expect(clippy::cast_possible_truncation, reason = "as printf does")]
                let whole = value
                    .trim()
                    .parse::<i64>()
                    .unwrap_or_else(|_| float() as i64);
                whole.to_string()
            }
            'f' | 'F' => format!("{:.*}", precision.unwrap_or(6), float()),
            'e' => format!("{:.*e}", precision.unwrap_or(6), float()),
            'g' => float().to_string(),
            'x' => format!("{:x}", value.trim().parse::<i64>().unwrap_or(0)),
            'X' => format!("{:X}", value.trim().parse::<i64>().unwrap_or(0)),
            'o' => format!("{:o}", value.trim().parse::<i64>().unwrap_or(0)),
            'c' => value.chars().take(1).collect(),
            'b' => unescape(&value),
            _ => match precision {
                Some(most) => value.chars().take(most).collect(),
                None => value,
            },
        };
        let room = width.saturating_sub(text.chars().count());
        let fill = if zero && !left && kind != 's' {
            '0'
        } else {
            ' '
        };
        if left {
            out.push_str(&text);
        }
        out.extend(std::iter::repeat_n(fill, room));
        if !left {
            out.push_str(&text);
        }
    }
    out
}

/// Whether a mode of `chmod` lets a file be run, if it says anything of that. None where it is no
/// mode.
fn executable(mode: &str) -> Option<Option<bool>> {
    if let Ok(bits) = u32::from_str_radix(mode, 8) {
        return Some(Some(bits & 0o111 != 0));
    }
    let mut said = None;
    for part in mode.split(',') {
        let at = part.find(['+', '-', '='])?;
        let (who, what) = part.split_at(at);
        if !who.chars().all(|who| "ugoa".contains(who)) {
            return None;
        }
        match (&what[..1], what.contains(['x', 'X'])) {
            ("+", true) => said = Some(true),
            ("-", true) => said = Some(false),
            ("=", executable) => said = Some(executable),
            _ => {}
        }
    }
    Some(said)
}

/// A basic regular expression as an extended one.
fn basic(pattern: &str) -> String {
    let mut out = String::new();
    let mut letters = pattern.chars();
    while let Some(letter) = letters.next() {
        match letter {
            '\\' => match letters.next() {
                Some(next) if "(){}|+?".contains(next) => out.push(next),
                Some(next) => {
                    out.push('\\');
                    out.push(next);
                }
                None => out.push_str("\\\\"),
            },
            letter if "(){}|+?".contains(letter) => {
                out.push('\\');
                out.push(letter);
            }
            letter => out.push(letter),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_of_tools_are_read() {
        assert_eq!(duration("0.5"), Some(Duration::from_millis(500)));
        assert_eq!(duration("2m"), Some(Duration::from_secs(120)));
        assert_eq!(duration("x"), None);
        assert_eq!(amount("64k"), Some(65536));
        assert_eq!(amount("1MB"), Some(1 << 20));
        assert_eq!(unescape("a\\n\\0101"), "a\nA");
        assert_eq!(basic("a\\(b\\)+"), "a(b)\\+");
        let mut args = ["7", "x"].iter();
        let text = formatted("%03d|%-3s|%%", &mut |_| args.next().unwrap().to_string());
        assert_eq!(text, "007|x  |%");
    }
}
