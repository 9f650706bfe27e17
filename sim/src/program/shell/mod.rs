//! A shell, as far as scripts in manifests use it.
//!
//! Scripts are run as they stand, so that what a container does is what its manifest says. A
//! pipeline's commands run one after the other, each with all that the one before printed; what
//! runs in the background runs beside the others.

mod expand;
mod parse;

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

pub(super) use expand::Wrong;
use parse::{Node, Redirect, Simple, Target};

use super::files::{Content, End, Fifo, File, Files};
use super::process::{Answer, Call, Program, Sys};
use super::{Facts, tools};

/// How deep commands may be nested, functions in functions too, before the stack has no room.
const STACK: usize = 120;
/// The code of a process that touched memory that it does not have.
pub(super) const SEGMENTATION_FAULT: i32 = 139;

/// What is read or written: text, and so many bytes more that are all alike.
#[derive(Clone, Debug, Default)]
pub(super) struct Data {
    pub(super) text: String,
    pub(super) bulk: u64,
    /// The size of the pieces that it was written in.
    pub(super) block: u64,
}

impl Data {
    pub(super) fn text(text: impl Into<String>) -> Self {
        Self {
            text: text.into(),
            ..Self::default()
        }
    }

    /// Adds what comes after it.
    pub(super) fn add(&mut self, more: &Data) {
        self.text.push_str(&more.text);
        self.bulk = self.bulk.saturating_add(more.bulk);
        self.block = self.block.max(more.block);
    }

    pub(super) fn size(&self) -> u64 {
        self.bulk + u64::try_from(self.text.len()).unwrap_or(u64::MAX)
    }
}

/// Where a command's output goes.
#[derive(Clone)]
pub(super) enum Sink {
    /// To the container's log, or to whoever runs the command in it.
    Log,
    Buffer(Arc<Mutex<Data>>),
    File(String),
    Fifo(
        Fifo,
        #[expect(dead_code, reason = "the pipe is open as long as it is held")] End,
    ),
    Null,
    Closed,
}

/// What a command reads and where it writes.
#[derive(Clone)]
pub(super) struct Io {
    pub(super) input: Arc<Mutex<Option<Data>>>,
    pub(super) out: Sink,
    pub(super) err: Sink,
}

pub(super) fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Io {
    fn new() -> Self {
        Self {
            input: Arc::default(),
            out: Sink::Log,
            err: Sink::Log,
        }
    }

    /// Whether it writes to the container's log.
    pub(super) fn out_is_log(&self) -> bool {
        matches!(self.out, Sink::Log)
    }

    /// Takes all that is left to read.
    pub(super) fn read_all(&self) -> Data {
        lock(&self.input).take().unwrap_or_default()
    }

    /// Takes the next line, without its end.
    fn read_line(&self) -> Option<String> {
        let mut input = lock(&self.input);
        let data = input.as_mut()?;
        if data.text.is_empty() {
            *input = None;
            return None;
        }
        let end = data.text.find('\n');
        let line = match end {
            Some(end) => {
                let rest = data.text.split_off(end + 1);
                let mut line = std::mem::replace(&mut data.text, rest);
                line.pop();
                line
            }
            None => std::mem::take(&mut data.text),
        };
        Some(line)
    }
}

/// What comes of a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Flow {
    Done(i32),
    Break(u32),
    Continue(u32),
    Return(i32),
    /// The whole process ends.
    Exit(i32),
}

/// A shell that runs.
#[derive(Clone)]
pub(super) struct Shell {
    pub(super) sys: Sys,
    pub(super) facts: Arc<Facts>,
    pub(super) variables: BTreeMap<String, String>,
    functions: BTreeMap<String, Arc<Node>>,
    pub(super) args: Vec<String>,
    pub(super) name: String,
    pub(super) directory: String,
    /// The user that it runs as.
    pub(super) user: i64,
    pub(super) status: i32,
    pub(super) last_job: Option<u32>,
    jobs: Vec<u32>,
    traps: BTreeMap<String, String>,
    exit_on_error: bool,
    pub(super) unset_is_error: bool,
    trace: bool,
    /// Where a failure does not end the script.
    forgiving: usize,
    depth: usize,
    is_first: bool,
}

/// What a process of a shell does.
pub(in crate::program) enum Work {
    /// A part of the shell's own script.
    Node(Arc<Node>),
    Command(Vec<String>),
}

type Ran<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// A program that runs a command line, or a script of the shell.
pub(super) fn program(facts: Arc<Facts>, argv: Vec<String>, is_first: bool) -> Program {
    Box::new(move |sys| {
        Box::pin(async move {
            let mut shell = Shell::new(sys, facts, is_first);
            let io = Io::new();
            let status = match shell.command(argv, &io).await {
                Flow::Done(status) | Flow::Return(status) | Flow::Exit(status) => status,
                Flow::Break(_) | Flow::Continue(_) => 0,
            };
            status & 0xff
        })
    })
}

impl Shell {
    fn new(sys: Sys, facts: Arc<Facts>, is_first: bool) -> Self {
        let variables = sys.container.env.clone();
        let directory = Files::absolute("", &sys.container.directory);
        let user = sys.container.user;
        Self {
            sys,
            facts,
            variables,
            functions: BTreeMap::new(),
            args: Vec::new(),
            name: "sh".to_owned(),
            directory,
            user,
            status: 0,
            last_job: None,
            jobs: Vec::new(),
            traps: BTreeMap::new(),
            exit_on_error: false,
            unset_is_error: false,
            trace: false,
            forgiving: 0,
            depth: 0,
            is_first,
        }
    }

    /// A process that goes on as this shell, with something of its own to do.
    pub(super) fn program(mut self, work: Work, io: Io) -> Program {
        Box::new(move |sys| {
            self.sys = sys;
            Box::pin(self.own(work, io))
        })
    }

    fn own(mut self, work: Work, io: Io) -> Ran<'static, i32> {
        Box::pin(async move {
            let flow = match work {
                Work::Node(node) => self.run(&node, &io).await,
                Work::Command(argv) => self.command(argv, &io).await,
            };
            match self.ended(flow, &io).await {
                Flow::Exit(status) => status & 0xff,
                _ => 0,
            }
        })
    }

    /// A path from the root.
    pub(super) fn path(&self, path: &str) -> String {
        Files::absolute(&self.directory, path)
    }

    /// Writes to where a command's output goes.
    pub(super) fn write(&self, sink: &Sink, text: &str) {
        self.write_data(sink, Data::text(text));
    }

    pub(super) fn write_data(&self, sink: &Sink, data: Data) -> Option<super::files::FileError> {
        match sink {
            Sink::Log => {
                self.sys.print(&data.text);
                None
            }
            Sink::Buffer(buffer) => {
                lock(buffer).add(&data);
                None
            }
            Sink::Fifo(fifo, _) => {
                fifo.write(&data);
                None
            }
            Sink::File(path) => {
                let content = Content {
                    text: data.text,
                    bulk: data.bulk,
                    ..Content::default()
                };
                let mut state = self.sys.container.state();
                state.files.write(path, content, true).err()
            }
            Sink::Null | Sink::Closed => None,
        }
    }

    pub(super) fn complain(&self, io: &Io, text: &str) {
        self.write(&io.err, &format!("{text}\n"));
    }

    /// Runs `sh` with its arguments.
    async fn sh(&mut self, argv: &[String], io: &Io) -> Flow {
        let mut rest = argv.get(1..).unwrap_or_default();
        let mut script = None;
        while let Some(word) = rest.first() {
            let Some(letters) = word.strip_prefix('-').filter(|letters| !letters.is_empty()) else {
                break;
            };
            rest = rest.get(1..).unwrap_or_default();
            if letters == "-" {
                break;
            }
            if letters == "o" {
                if rest.first().is_some_and(|word| word == "errexit") {
                    self.exit_on_error = true;
                }
                rest = rest.get(1..).unwrap_or_default();
                continue;
            }
            for letter in letters.chars() {
                match letter {
                    'c' => script = Some(String::new()),
                    'e' => self.exit_on_error = true,
                    'u' => self.unset_is_error = true,
                    'x' => self.trace = true,
                    _ => {}
                }
            }
        }
        self.name = argv.first().cloned().unwrap_or_default();
        if script.is_some() {
            let Some(text) = rest.first() else {
                self.complain(io, "sh: -c requires an argument");
                return Flow::Exit(2);
            };
            if let Some(name) = rest.get(1) {
                self.name.clone_from(name);
            }
            self.args = rest.get(2..).unwrap_or_default().to_vec();
            let text = text.clone();
            let flow = self.script(&text, io).await;
            return self.ended(flow, io).await;
        }
        let Some(file) = rest.first().cloned() else {
            // There is nobody at its terminal: what it reads is at its end.
            let text = io.read_all().text;
            let flow = self.script(&text, io).await;
            return self.ended(flow, io).await;
        };
        self.args = rest.get(1..).unwrap_or_default().to_vec();
        let found = self.sys.container.state().files.read(&self.path(&file));
        match found {
            Ok(content) => {
                self.name.clone_from(&file);
                let flow = self.script(&content.text, io).await;
                self.ended(flow, io).await
            }
            Err(error) => {
                let why = error.text();
                self.complain(io, &format!("sh: 0: can't open '{file}': {why}"));
                Flow::Exit(2)
            }
        }
    }

    /// The end of a script: its trap, and its code.
    async fn ended(&mut self, flow: Flow, io: &Io) -> Flow {
        let status = match flow {
            Flow::Done(status) | Flow::Return(status) | Flow::Exit(status) => status,
            Flow::Break(_) | Flow::Continue(_) => self.status,
        };
        if let Some(action) = self.traps.remove("EXIT") {
            let flow = self.script(&action, io).await;
            if let Flow::Exit(status) = flow {
                return Flow::Exit(status);
            }
        }
        Flow::Exit(status)
    }

    /// Runs a script in this shell.
    pub(super) async fn script(&mut self, text: &str, io: &Io) -> Flow {
        match parse::parse(text) {
            Ok(node) => self.run(&node, io).await,
            Err(wrong) => {
                let (name, line, what) = (&self.name, wrong.line, wrong.what);
                self.complain(io, &format!("{name}: {line}: Syntax error: {what}"));
                Flow::Exit(2)
            }
        }
    }

    fn run<'a>(&'a mut self, node: &'a Arc<Node>, io: &'a Io) -> Ran<'a, Flow> {
        Box::pin(async move {
            if self.depth >= STACK {
                return Flow::Exit(SEGMENTATION_FAULT);
            }
            self.depth += 1;
            let flow = self.node(node, io).await;
            self.depth -= 1;
            if let Flow::Done(status) = flow {
                self.status = status;
            }
            flow
        })
    }

    /// Runs commands whose failure is looked at, and ends nothing.
    async fn asked(&mut self, node: &Arc<Node>, io: &Io) -> Flow {
        self.forgiving += 1;
        let flow = self.run(node, io).await;
        self.forgiving -= 1;
        flow
    }

    fn checked(&self, flow: Flow) -> Flow {
        match flow {
            Flow::Done(status) if status != 0 && self.exit_on_error && self.forgiving == 0 => {
                Flow::Exit(status)
            }
            flow => flow,
        }
    }

    async fn node(&mut self, node: &Arc<Node>, io: &Io) -> Flow {
        match &**node {
            Node::Simple(simple) => {
                let flow = Box::pin(self.simple(simple, io)).await;
                if let Some(flow) = Box::pin(self.trapped(io)).await {
                    return flow;
                }
                self.checked(flow)
            }
            Node::Pipeline(parts, negated) => {
                let flow = Box::pin(self.pipeline(parts, io)).await;
                match (flow, negated) {
                    (Flow::Done(status), true) => Flow::Done(i32::from(status == 0)),
                    (flow, _) => self.checked(flow),
                }
            }
            Node::And(left, right) => match self.asked(left, io).await {
                Flow::Done(0) => self.run(right, io).await,
                flow => flow,
            },
            Node::Or(left, right) => match self.asked(left, io).await {
                Flow::Done(status) if status != 0 => self.run(right, io).await,
                flow => flow,
            },
            Node::Sequence(nodes) => {
                let mut flow = Flow::Done(0);
                for node in nodes {
                    flow = self.run(node, io).await;
                    if !matches!(flow, Flow::Done(_)) {
                        return flow;
                    }
                }
                flow
            }
            Node::Background(node) => {
                let job = Box::pin(self.begin(node.clone(), io)).await;
                self.last_job = Some(job);
                self.jobs.push(job);
                Flow::Done(0)
            }
            Node::If(condition, then, other) => match self.asked(condition, io).await {
                Flow::Done(0) => self.run(then, io).await,
                Flow::Done(_) => match other {
                    Some(other) => self.run(other, io).await,
                    None => Flow::Done(0),
                },
                flow => flow,
            },
            Node::While(condition, body, until) => {
                let mut pace = Pace::default();
                let mut last = Flow::Done(0);
                loop {
                    pace.step(&self.sys).await;
                    match self.asked(condition, io).await {
                        Flow::Done(status) if (status == 0) != *until => {}
                        Flow::Done(_) => return last,
                        flow => return flow,
                    }
                    match self.run(body, io).await {
                        Flow::Done(status) => last = Flow::Done(status),
                        Flow::Continue(1) => {}
                        Flow::Break(1) => return Flow::Done(0),
                        Flow::Break(depth) => return Flow::Break(depth - 1),
                        Flow::Continue(depth) => return Flow::Continue(depth - 1),
                        flow => return flow,
                    }
                }
            }
            Node::For(name, words, body) => {
                let values = match words {
                    Some(words) => match self.words(words, io).await {
                        Ok(values) => values,
                        Err(flow) => return flow,
                    },
                    None => self.args.clone(),
                };
                let mut pace = Pace::default();
                let mut last = Flow::Done(0);
                for value in values {
                    pace.step(&self.sys).await;
                    self.variables.insert(name.clone(), value);
                    match self.run(body, io).await {
                        Flow::Done(status) => last = Flow::Done(status),
                        Flow::Continue(1) => {}
                        Flow::Break(1) => return Flow::Done(0),
                        Flow::Break(depth) => return Flow::Break(depth - 1),
                        Flow::Continue(depth) => return Flow::Continue(depth - 1),
                        flow => return flow,
                    }
                }
                last
            }
            Node::Case(word, arms) => {
                let value = match self.joined(word, io).await {
                    Ok(value) => value,
                    Err(flow) => return flow,
                };
                for (patterns, body) in arms {
                    for pattern in patterns {
                        let pattern = match self.pattern(pattern, io).await {
                            Ok(pattern) => pattern,
                            Err(flow) => return flow,
                        };
                        if expand::matches(&pattern, &value) {
                            return self.run(body, io).await;
                        }
                    }
                }
                Flow::Done(0)
            }
            Node::Group(body, redirects) => {
                if redirects.is_empty() {
                    return self.run(body, io).await;
                }
                match Box::pin(self.redirected(redirects, io)).await {
                    Ok(io) => self.run(body, &io).await,
                    Err(flow) => self.checked(flow),
                }
            }
            Node::Subshell(body, redirects) => match Box::pin(self.redirected(redirects, io)).await
            {
                Ok(io) => {
                    let flow = self.apart(body, &io).await;
                    self.checked(flow)
                }
                Err(flow) => self.checked(flow),
            },
            Node::Function(name, body) => {
                self.functions.insert(name.clone(), body.clone());
                Flow::Done(0)
            }
        }
    }

    /// A shell that begins as this one, beside it.
    pub(super) fn child(&self) -> Self {
        let mut shell = self.clone();
        shell.traps.clear();
        shell.is_first = false;
        shell
    }

    /// Runs commands whose changes of the shell are forgotten.
    async fn apart(&mut self, node: &Arc<Node>, io: &Io) -> Flow {
        let mut shell = self.child();
        match shell.run(node, io).await {
            Flow::Exit(SEGMENTATION_FAULT) => Flow::Done(SEGMENTATION_FAULT),
            Flow::Exit(status) | Flow::Done(status) | Flow::Return(status) => Flow::Done(status),
            Flow::Break(_) | Flow::Continue(_) => Flow::Done(0),
        }
    }

    /// What commands print.
    async fn output(&mut self, node: &Arc<Node>, io: &Io) -> Data {
        let buffer: Arc<Mutex<Data>> = Arc::default();
        let io = Io {
            out: Sink::Buffer(buffer.clone()),
            ..io.clone()
        };
        if let Flow::Done(status) = self.apart(node, &io).await {
            self.status = status;
        }
        lock(&buffer).clone()
    }

    async fn begin(&mut self, node: Arc<Node>, io: &Io) -> u32 {
        let mut shell = self.child();
        shell.jobs.clear();
        let io = Io {
            input: Arc::default(),
            ..io.clone()
        };
        let program = shell.program(Work::Node(node), io);
        match self.sys.ask(Call::Spawn(program)).await {
            Answer::Spawned(number) => number,
            _ => 0,
        }
    }

    async fn pipeline(&mut self, parts: &[Arc<Node>], io: &Io) -> Flow {
        let mut input = io.input.clone();
        let mut flow = Flow::Done(0);
        let mut held = 0;
        for (index, part) in parts.iter().enumerate() {
            let is_last = index + 1 == parts.len();
            let buffer: Arc<Mutex<Data>> = Arc::default();
            let io = Io {
                input: input.clone(),
                out: match is_last {
                    true => io.out.clone(),
                    false => Sink::Buffer(buffer.clone()),
                },
                err: io.err.clone(),
            };
            if held > 0 && reads_nothing(part) {
                // Whoever writes is stopped, with the piece that nobody takes.
                self.sys.ask(Call::Memory(held)).await;
            }
            flow = match parts {
                [_] => self.run(part, &io).await,
                _ => self.apart(part, &io).await,
            };
            if held > 0 {
                self.sys.ask(Call::Memory(0)).await;
            }
            let data = std::mem::take(&mut *lock(&buffer));
            const PIPE: u64 = 64 * 1024;
            held = if data.bulk > PIPE { data.block } else { 0 };
            input = Arc::new(Mutex::new(Some(data)));
        }
        flow
    }

    async fn redirected(&mut self, redirects: &[Redirect], io: &Io) -> Result<Io, Flow> {
        let mut io = io.clone();
        for redirect in redirects {
            match &redirect.to {
                Target::Here(word) => {
                    let text = self.joined(word, &io).await?;
                    io.input = Arc::new(Mutex::new(Some(Data::text(text))));
                }
                Target::Read(word) => {
                    let path = self.joined(word, &io).await?;
                    let full = self.path(&path);
                    if full == "/dev/null" {
                        io.input = Arc::default();
                        continue;
                    }
                    if full == "/dev/zero" || full == "/dev/urandom" {
                        let data = Data {
                            bulk: u64::MAX / 4,
                            ..Data::default()
                        };
                        io.input = Arc::new(Mutex::new(Some(data)));
                        continue;
                    }
                    if let Some(fifo) = self.fifo(&full) {
                        let data = self.read_fifo(&fifo).await;
                        io.input = Arc::new(Mutex::new(Some(data)));
                        continue;
                    }
                    let found = self.sys.container.state().files.read(&full);
                    match found {
                        Ok(content) => {
                            let data = Data {
                                text: content.text,
                                bulk: content.bulk,
                                block: 0,
                            };
                            io.input = Arc::new(Mutex::new(Some(data)));
                        }
                        Err(error) => {
                            let why = error.text().to_lowercase();
                            let why = match why.as_str() {
                                "no such file or directory" => "No such file",
                                why => why,
                            };
                            let name = &self.name;
                            self.complain(&io, &format!("{name}: can't open {path}: {why}"));
                            return Err(Flow::Done(1));
                        }
                    }
                }
                Target::Write(word) | Target::Append(word) => {
                    let path = self.joined(word, &io).await?;
                    let append = matches!(redirect.to, Target::Append(_));
                    if let Some(fifo) = self.fifo(&self.path(&path)) {
                        // Whoever opens it waits until it is opened at the other end too.
                        let end = fifo.writer();
                        let other = fifo.clone();
                        self.sys.until(move || other.has_readers()).await;
                        match redirect.from {
                            2 => io.err = Sink::Fifo(fifo, end),
                            _ => io.out = Sink::Fifo(fifo, end),
                        }
                        continue;
                    }
                    let sink = match self.open(&path, append) {
                        Ok(sink) => sink,
                        Err(why) => {
                            let name = &self.name;
                            self.complain(&io, &format!("{name}: can't create {path}: {why}"));
                            return Err(Flow::Done(1));
                        }
                    };
                    match redirect.from {
                        2 => io.err = sink,
                        _ => io.out = sink,
                    }
                }
                Target::Copy(word) => {
                    let to = self.joined(word, &io).await?;
                    match (redirect.from, to.as_str()) {
                        (2, "1") => io.err = io.out.clone(),
                        (1, "2") => io.out = io.err.clone(),
                        (2, "-") => io.err = Sink::Closed,
                        (1, "-") => io.out = Sink::Closed,
                        _ => {}
                    }
                }
            }
        }
        Ok(io)
    }

    /// The pipe of this name, if it is one.
    pub(super) fn fifo(&self, path: &str) -> Option<Fifo> {
        match self.sys.container.state().files.find(path) {
            Some(File::Fifo(fifo)) => Some(fifo),
            _ => None,
        }
    }

    /// Waits for the next that is written into a pipe; none at its end, which comes when nobody can
    /// write to it any more.
    pub(super) async fn next_of(&self, fifo: &Fifo, is_open: &mut bool) -> Option<Data> {
        let (other, closes) = (fifo.clone(), *is_open);
        self.sys
            .until(move || other.has_data() || other.has_writers() != closes)
            .await;
        if *is_open && !fifo.has_data() {
            return None;
        }
        *is_open = true;
        Some(fifo.take())
    }

    /// Reads a pipe to its end.
    pub(super) async fn read_fifo(&self, fifo: &Fifo) -> Data {
        let _end = fifo.reader();
        let mut all = Data::default();
        let mut is_open = false;
        while let Some(data) = self.next_of(fifo, &mut is_open).await {
            all.add(&data);
        }
        all
    }

    fn open(&self, path: &str, append: bool) -> Result<Sink, &'static str> {
        let full = self.path(path);
        match full.as_str() {
            "/dev/null" => return Ok(Sink::Null),
            "/dev/stdout" | "/dev/stderr" | "/proc/1/fd/1" | "/proc/1/fd/2" => {
                return Ok(Sink::Log);
            }
            _ => {}
        }
        let mut state = self.sys.container.state();
        match state.files.write(&full, Content::default(), append) {
            Ok(()) => Ok(Sink::File(full)),
            Err(super::files::FileError::Missing) => Err("nonexistent directory"),
            Err(error) => Err(error.text()),
        }
    }

    async fn simple(&mut self, simple: &Simple, io: &Io) -> Flow {
        let words = match Box::pin(self.words(&simple.words, io)).await {
            Ok(words) => words,
            Err(flow) => return flow,
        };
        let mut assigned = Vec::new();
        let status_before = self.status;
        for (name, word) in &simple.assignments {
            self.status = 0;
            let value = match self.joined(word, io).await {
                Ok(value) => value,
                Err(flow) => return flow,
            };
            assigned.push((name.clone(), value));
        }
        let from_assignments = self.status;
        self.status = status_before;
        let io = match Box::pin(self.redirected(&simple.redirects, io)).await {
            Ok(io) => io,
            Err(flow) => return flow,
        };
        if words.is_empty() {
            self.variables.extend(assigned);
            let status = match simple.assignments.is_empty() {
                true => 0,
                false => from_assignments,
            };
            return Flow::Done(status);
        }
        if self.trace {
            self.complain(&io, &format!("+ {}", words.join(" ")));
        }
        if assigned.is_empty() {
            return self.command(words, &io).await;
        }
        let before = self.variables.clone();
        self.variables.extend(assigned);
        let flow = self.command(words, &io).await;
        self.variables = before;
        flow
    }

    /// Runs a command: of the shell's own, a function, or a program.
    pub(super) fn command<'a>(&'a mut self, argv: Vec<String>, io: &'a Io) -> Ran<'a, Flow> {
        Box::pin(async move {
            let name = argv.first().map_or("", String::as_str).to_owned();
            if let Some(body) = self.functions.get(&name).cloned() {
                let args = std::mem::replace(&mut self.args, argv[1..].to_vec());
                let flow = self.run(&body, io).await;
                self.args = args;
                return match flow {
                    Flow::Return(status) => Flow::Done(status),
                    flow => flow,
                };
            }
            if let Some(flow) = Box::pin(self.builtin(&name, &argv, io)).await {
                return flow;
            }
            Box::pin(self.external(&name, &argv, io)).await
        })
    }

    /// Runs a program that is found in the container.
    pub(super) async fn external(&mut self, name: &str, argv: &[String], io: &Io) -> Flow {
        let path = self.variables.get("PATH").cloned().unwrap_or_default();
        let looked = {
            let state = self.sys.container.state();
            super::lookup(&state.files, &path, &self.directory, name)
        };
        let place = match looked {
            Ok(place) => place,
            Err(why) => {
                let (what, status) = if why.contains("permission denied") {
                    ("Permission denied", 126)
                } else {
                    ("not found", 127)
                };
                let shell = &self.name;
                self.complain(io, &format!("{shell}: {name}: {what}"));
                return Flow::Done(status);
            }
        };
        let base = place.rsplit('/').next().unwrap_or(&place).to_owned();
        if matches!(base.as_str(), "sh" | "ash" | "bash" | "dash") {
            let mut shell = self.clone();
            shell.traps.clear();
            shell.functions.clear();
            shell.exit_on_error = false;
            shell.unset_is_error = false;
            shell.forgiving = 0;
            shell.depth = 0;
            return match Box::pin(shell.sh(argv, io)).await {
                Flow::Exit(status) | Flow::Done(status) | Flow::Return(status) => {
                    Flow::Done(status)
                }
                Flow::Break(_) | Flow::Continue(_) => Flow::Done(0),
            };
        }
        let text = {
            let state = self.sys.container.state();
            state.files.read(&place).unwrap_or_default()
        };
        if text.bulk == 0 && !text.text.is_empty() {
            // A script: whatever its first line names, it is read as the shell's.
            let mut argv = argv.to_vec();
            argv[0] = place;
            argv.insert(0, "sh".to_owned());
            let mut shell = self.clone();
            shell.traps.clear();
            return match Box::pin(shell.sh(&argv, io)).await {
                Flow::Exit(status) | Flow::Done(status) | Flow::Return(status) => {
                    Flow::Done(status)
                }
                Flow::Break(_) | Flow::Continue(_) => Flow::Done(0),
            };
        }
        Flow::Done(Box::pin(tools::run(self, &base, &place, argv, io)).await)
    }

    /// Waits, whatever signals come.
    pub(super) async fn pause(&self, time: Option<Duration>) {
        self.sys.sleep(time).await;
    }

    /// Runs the trap of TERM if it came.
    async fn trapped(&mut self, io: &Io) -> Option<Flow> {
        if !self.is_first || self.traps.is_empty() || !self.sys.took_term() {
            return None;
        }
        let action = self
            .traps
            .get("TERM")
            .or_else(|| self.traps.get("INT"))?
            .clone();
        match self.script(&action, io).await {
            Flow::Done(_) => None,
            flow => Some(flow),
        }
    }

    async fn builtin(&mut self, name: &str, argv: &[String], io: &Io) -> Option<Flow> {
        let args = argv.get(1..).unwrap_or_default();
        let number = |index: usize| -> Option<i32> { args.get(index)?.parse().ok() };
        let status = match name {
            ":" | "true" => 0,
            "false" => 1,
            "exit" => return Some(Flow::Exit(number(0).unwrap_or(self.status))),
            "return" => return Some(Flow::Return(number(0).unwrap_or(self.status))),
            "break" | "continue" => {
                let depth = number(0).and_then(|depth| u32::try_from(depth).ok());
                let depth = depth.unwrap_or(1).max(1);
                return Some(match name {
                    "break" => Flow::Break(depth),
                    _ => Flow::Continue(depth),
                });
            }
            "cd" => {
                let to = match args.first() {
                    Some(to) => to.clone(),
                    None => self.variables.get("HOME").cloned().unwrap_or_default(),
                };
                let full = self.path(&to);
                let found = self.sys.container.state().files.find(&full);
                match found {
                    Some(File::Directory) => {
                        self.directory = full;
                        0
                    }
                    _ => {
                        let shell = &self.name;
                        self.complain(io, &format!("{shell}: cd: can't cd to {to}"));
                        2
                    }
                }
            }
            "pwd" => {
                let here = match self.directory.as_str() {
                    "" => "/",
                    here => here,
                };
                self.write(&io.out, &format!("{here}\n"));
                0
            }
            "set" => {
                self.set(args);
                0
            }
            "shift" => {
                let by = number(0).and_then(|by| usize::try_from(by).ok());
                let by = by.unwrap_or(1).min(self.args.len());
                self.args.drain(..by);
                0
            }
            "export" | "readonly" | "local" | "declare" => {
                for word in args {
                    if let Some((name, value)) = word.split_once('=') {
                        self.variables.insert(name.to_owned(), value.to_owned());
                    }
                }
                0
            }
            "unset" => {
                for name in args {
                    self.variables.remove(name);
                    self.functions.remove(name);
                }
                0
            }
            "umask" | "ulimit" | "hash" | "alias" => 0,
            "eval" => return Some(self.script(&args.join(" "), io).await),
            "." | "source" => {
                let Some(file) = args.first() else {
                    return Some(Flow::Done(2));
                };
                let found = self.sys.container.state().files.read(&self.path(file));
                match found {
                    Ok(content) => return Some(self.script(&content.text, io).await),
                    Err(_) => {
                        let shell = &self.name;
                        self.complain(
                            io,
                            &format!(
                                "{shell}: .: line 0: can't open '{file}': No such file or directory"
                            ),
                        );
                        return Some(Flow::Exit(2));
                    }
                }
            }
            "exec" => {
                if args.is_empty() {
                    return Some(Flow::Done(0));
                }
                if self.is_first {
                    self.traps.clear();
                    self.sys.take_term(false).await;
                }
                let flow = self.command(args.to_vec(), io).await;
                return Some(match flow {
                    Flow::Done(status) => Flow::Exit(status),
                    flow => flow,
                });
            }
            "command" | "type" => {
                let Some(asked) = args.iter().find(|word| !word.starts_with('-')) else {
                    return Some(Flow::Done(0));
                };
                let asks = name == "type" || args.iter().any(|word| word == "-v" || word == "-V");
                if !asks {
                    return Some(self.command(args.to_vec(), io).await);
                }
                let path = self.variables.get("PATH").cloned().unwrap_or_default();
                let found = {
                    let state = self.sys.container.state();
                    super::lookup(&state.files, &path, &self.directory, asked)
                };
                match found {
                    Ok(place) => {
                        self.write(&io.out, &format!("{place}\n"));
                        0
                    }
                    Err(_) => 127,
                }
            }
            "trap" => {
                self.trap(args).await;
                0
            }
            "wait" => return Some(self.wait(args, io).await),
            "kill" => {
                let is_test = args.first().is_some_and(|word| word == "-0");
                let mut status = 0;
                for word in args.iter().filter(|word| !word.starts_with('-')) {
                    if let Ok(job) = word.trim_start_matches('%').parse::<u32>() {
                        if is_test {
                            let asked = Call::Join(job, Some(Duration::ZERO));
                            let gone = matches!(self.sys.ask(asked).await, Answer::Ended(_));
                            status = i32::from(gone);
                        } else {
                            self.sys.ask(Call::Kill(job)).await;
                        }
                    }
                }
                status
            }
            "read" => {
                let names: Vec<&String> =
                    args.iter().filter(|word| !word.starts_with('-')).collect();
                let Some(line) = io.read_line() else {
                    for name in names {
                        self.variables.insert(name.clone(), String::new());
                    }
                    return Some(Flow::Done(1));
                };
                let separators = self
                    .variables
                    .get("IFS")
                    .cloned()
                    .unwrap_or_else(|| " \t\n".to_owned());
                let mut rest = line.trim_matches(|letter| {
                    separators.contains(letter) && (letter == ' ' || letter == '\t')
                });
                for (index, name) in names.iter().enumerate() {
                    let value = if index + 1 == names.len() {
                        rest
                    } else {
                        match rest.split_once(|letter| separators.contains(letter)) {
                            Some((value, others)) => {
                                rest = others.trim_start_matches([' ', '\t']);
                                value
                            }
                            None => std::mem::take(&mut rest),
                        }
                    };
                    self.variables.insert((*name).clone(), value.to_owned());
                }
                0
            }
            _ => return None,
        };
        Some(Flow::Done(status))
    }

    fn set(&mut self, args: &[String]) {
        let mut rest = args.iter();
        while let Some(word) = rest.next() {
            if word == "--" {
                self.args = rest.cloned().collect();
                return;
            }
            let on = word.starts_with('-');
            let Some(letters) = word.strip_prefix(['-', '+']) else {
                self.args = std::iter::once(word.clone()).chain(rest.cloned()).collect();
                return;
            };
            for letter in letters.chars() {
                match letter {
                    'e' => self.exit_on_error = on,
                    'u' => self.unset_is_error = on,
                    'x' => self.trace = on,
                    'o' => {
                        match rest.next().map(String::as_str) {
                            Some("errexit") => self.exit_on_error = on,
                            Some("nounset") => self.unset_is_error = on,
                            Some("xtrace") => self.trace = on,
                            _ => {}
                        };
                    }
                    _ => {}
                }
            }
        }
    }

    async fn trap(&mut self, args: &[String]) {
        let Some(action) = args.first() else {
            return;
        };
        for signal in args.get(1..).unwrap_or_default() {
            let signal = signal.trim_start_matches("SIG").to_uppercase();
            let signal = match signal.as_str() {
                "15" => "TERM".to_owned(),
                "2" => "INT".to_owned(),
                "0" => "EXIT".to_owned(),
                _ => signal,
            };
            match action.as_str() {
                "-" => drop(self.traps.remove(&signal)),
                action => drop(self.traps.insert(signal, action.to_owned())),
            }
        }
        if self.is_first {
            let takes = self.traps.contains_key("TERM");
            self.sys.take_term(takes).await;
        }
    }

    /// Waits for what runs in the background.
    async fn wait(&mut self, args: &[String], io: &Io) -> Flow {
        let jobs: Vec<u32> = if args.is_empty() {
            std::mem::take(&mut self.jobs)
        } else {
            args.iter().filter_map(|word| word.parse().ok()).collect()
        };
        let mut status = 0;
        for job in jobs {
            match self.sys.ask(Call::Join(job, None)).await {
                Answer::Ended(code) => status = code,
                _ => {
                    if let Some(flow) = self.trapped(io).await {
                        return flow;
                    }
                    return Flow::Done(143);
                }
            }
        }
        Flow::Done(if args.is_empty() { 0 } else { status })
    }
}

/// Whether a command leaves what it is given to read.
fn reads_nothing(node: &Arc<Node>) -> bool {
    let Node::Simple(simple) = &**node else {
        return false;
    };
    let Some([parse::Part::Text(name, _)]) = simple.words.first().map(Vec::as_slice) else {
        return false;
    };
    matches!(name.as_str(), "sleep" | "wait" | "true" | ":" | "exec")
}

/// Counts the turns of a loop: one that never waits uses its processor.
#[derive(Default)]
pub(super) struct Pace {
    turns: u32,
    asked: u64,
    /// Milliseconds.
    long: u32,
}

impl Pace {
    const TURNS: u32 = 200;

    pub(super) async fn step(&mut self, sys: &Sys) {
        self.turns += 1;
        if self.turns < Self::TURNS {
            return;
        }
        self.turns = 0;
        // A loop that only computes is looked at ever more rarely.
        let asked = sys.asked();
        self.long = match asked == self.asked {
            true => (self.long * 2).clamp(1, 500),
            false => 1,
        };
        self.asked = asked;
        let time = Duration::from_millis(u64::from(self.long));
        sys.ask(Call::Compute(time)).await;
    }
}
