//! The processes of one run of a container.
//!
//! A program is a future that stops whenever it asks the cluster for something: to wait, to
//! connect, to listen. The cluster answers when it is time, and the program goes on from there. So
//! programs are written one step after the other, cost nothing while they wait, and run in the
//! cluster's own order.

use std::collections::BTreeMap;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use jiff::Timestamp;

use super::files::Files;
use super::net::{Answering, Reply, Request, Serving};
use super::processor::Processor;
use crate::clock::{Clock, after};

/// How many steps without waiting a process may take before others have their turn.
const TURN: u32 = 20_000;

/// A process: it ends with its exit code.
pub(crate) type Task = Pin<Box<dyn Future<Output = i32> + Send>>;
/// Makes a process that knows whom to ask.
pub(crate) type Program = Box<dyn FnOnce(Sys) -> Task + Send>;
/// Whether what a process waits for has come, from another process of its container.
pub(crate) type Holds = Box<dyn Fn() -> bool + Send>;

/// What a process asks of the cluster.
pub(crate) enum Call {
    /// To go on after a time, or never.
    Sleep(Option<Duration>),
    /// The same, or when a signal comes that it takes.
    Await(Option<Duration>),
    /// To take TERM, or to take it no more.
    TakeTerm(bool),
    /// To compute for a time.
    Compute(Duration),
    /// To speak to somebody.
    Connect {
        host: String,
        port: u16,
        request: Request,
        /// How long it waits for an answer, where it has a mind of its own about it.
        patience: Option<Duration>,
    },
    /// To find the addresses of a name.
    Resolve(String),
    /// To serve a port.
    Listen(u16, Serving),
    /// To go on as soon as this holds.
    Until(Holds),
    /// To serve one connection on a port, and to know when it came.
    Accept(u16, Serving),
    /// To start another process beside itself.
    Spawn(Program),
    /// To wait for another process of this one, for so long at most.
    Join(u32, Option<Duration>),
    /// To end another process.
    Kill(u32),
    /// To hold so many bytes of memory, as one of its processes.
    Memory(u64),
    /// What the cluster's API answers to the service account of its pod.
    Api { verb: String, resource: String },
}

/// What the cluster answers.
#[derive(Debug)]
pub(crate) enum Answer {
    Done,
    /// A signal came that the process takes.
    Interrupted,
    Reply(Reply),
    Addresses(Result<Vec<String>, Reply>),
    Listening(Result<(), ListenError>),
    Api(Result<Vec<String>, String>),
    Spawned(u32),
    Ended(i32),
    /// It did not end in time.
    Late,
}

/// Why a port cannot be served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ListenError {
    InUse,
    Denied,
}

/// What one process says to the cluster, and hears from it.
#[derive(Default)]
struct Slot {
    call: Option<Call>,
    answer: Option<Answer>,
    /// How often it asked for something else than to compute.
    asked: u64,
}

/// By what a process speaks to the cluster and to its container.
#[derive(Clone)]
pub(crate) struct Sys {
    slot: Arc<Mutex<Slot>>,
    pub(crate) container: Arc<Container>,
    /// Where it prints, if not to the container's log.
    output: Option<Output>,
}

/// What a command printed that was run in a container.
pub(crate) type Output = Arc<Mutex<String>>;

/// What the processes of one run of a container share.
pub(crate) struct Container {
    pub(crate) clock: Clock,
    pub(crate) env: BTreeMap<String, String>,
    /// The user that they run as.
    pub(crate) user: i64,
    /// Capabilities without `CAP_`.
    pub(crate) capabilities: Vec<String>,
    pub(crate) directory: String,
    pub(crate) hostname: String,
    pub(crate) address: String,
    pub(crate) state: Mutex<State>,
}

/// What changes while a container runs.
pub(crate) struct State {
    pub(crate) files: Files,
    pub(crate) lines: Vec<(Timestamp, String)>,
    partial: String,
    /// Whether process 1 takes TERM.
    pub(crate) takes_term: bool,
    /// Whether TERM came, and nobody has taken it yet.
    pub(crate) term: bool,
    /// Requests that a server has not taken up yet: the port, the path and who waits.
    pub(crate) requests: Vec<(u16, String, Answering)>,
    /// Answers that are given, or will never be: nobody has told those who wait for them yet.
    pub(crate) answered: Vec<Answering>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl fmt::Debug for Container {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Container")
            .field("hostname", &self.hostname)
            .finish_non_exhaustive()
    }
}

impl Container {
    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }
}

impl State {
    pub(crate) fn new(files: Files) -> Self {
        Self {
            files,
            lines: Vec::new(),
            partial: String::new(),
            takes_term: false,
            term: false,
            requests: Vec::new(),
            answered: Vec::new(),
        }
    }

    /// Adds text to the log. A line that is not ended waits for its end.
    pub(crate) fn write(&mut self, text: &str, now: Timestamp) {
        for part in text.split_inclusive('\n') {
            self.partial.push_str(part);
            if self.partial.ends_with('\n') {
                self.partial.pop();
                let line = std::mem::take(&mut self.partial);
                self.lines.push((now, line));
            }
        }
    }

    /// Ends a line that was begun.
    fn flush(&mut self, now: Timestamp) {
        if !self.partial.is_empty() {
            let line = std::mem::take(&mut self.partial);
            self.lines.push((now, line));
        }
    }
}

/// Waits for the cluster's answer.
struct Asked(Arc<Mutex<Slot>>);

impl Future for Asked {
    type Output = Answer;

    fn poll(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Answer> {
        match lock(&self.0).answer.take() {
            Some(answer) => Poll::Ready(answer),
            None => Poll::Pending,
        }
    }
}

impl Sys {
    /// Asks, and goes on with the answer.
    pub(crate) async fn ask(&self, call: Call) -> Answer {
        {
            let mut slot = lock(&self.slot);
            slot.asked += u64::from(!matches!(call, Call::Compute(_)));
            slot.call = Some(call);
        }
        Asked(self.slot.clone()).await
    }

    /// How often it asked for something else than to compute.
    pub(crate) fn asked(&self) -> u64 {
        lock(&self.slot).asked
    }

    /// Waits, whatever signals come.
    pub(crate) async fn sleep(&self, time: Option<Duration>) {
        self.ask(Call::Sleep(time)).await;
    }

    /// Takes TERM from now on, or no more. Only process 1 is told of it.
    pub(crate) async fn take_term(&self, takes: bool) {
        self.ask(Call::TakeTerm(takes)).await;
    }

    /// Runs until it is told to end.
    pub(crate) async fn until_term(&self) {
        self.take_term(true).await;
        while !self.took_term() {
            self.ask(Call::Await(None)).await;
        }
    }

    /// Speaks to somebody.
    pub(crate) async fn connect(
        &self,
        host: &str,
        port: u16,
        request: Request,
        patience: Option<Duration>,
    ) -> Reply {
        let host = host.to_owned();
        let call = Call::Connect {
            host,
            port,
            request,
            patience,
        };
        match self.ask(call).await {
            Answer::Reply(reply) => reply,
            _ => Reply::Timeout,
        }
    }

    /// Serves a port.
    pub(crate) async fn listen(&self, port: u16, serving: Serving) -> Result<(), ListenError> {
        match self.ask(Call::Listen(port, serving)).await {
            Answer::Listening(result) => result,
            _ => Ok(()),
        }
    }

    /// Goes on as soon as this holds.
    pub(crate) async fn until(&self, holds: impl Fn() -> bool + Send + 'static) {
        if !holds() {
            self.ask(Call::Until(Box::new(holds))).await;
        }
    }

    /// Computes for a time.
    pub(crate) async fn compute(&self, time: Duration) {
        self.ask(Call::Compute(time)).await;
    }

    /// Adds text to the log.
    pub(crate) fn print(&self, text: &str) {
        if let Some(output) = &self.output {
            lock(output).push_str(text);
            return;
        }
        let now = self.container.clock.now();
        self.container.state().write(text, now);
    }

    /// Whether TERM came since it was asked last.
    pub(crate) fn took_term(&self) -> bool {
        std::mem::take(&mut self.container.state().term)
    }
}

/// What a process waits for.
enum Waiting {
    /// It has its turn.
    Turn,
    Time(Timestamp, Option<Answer>),
    /// It has so much to compute yet.
    Processor(Duration),
    Process(u32, Option<Timestamp>),
    Until(Holds),
    Answer(Answering, Option<Timestamp>),
    Connection,
    Nothing,
}

struct Thread {
    task: Task,
    sys: Sys,
    waiting: Waiting,
    /// Whether a signal that process 1 takes ends its wait.
    is_sleeping: bool,
    memory: u64,
}

/// The processes of one run of a container.
pub(crate) struct Process {
    pub(crate) container: Arc<Container>,
    threads: BTreeMap<u32, Thread>,
    ended: BTreeMap<u32, i32>,
    next: u32,
    pub(crate) processor: Processor,
}

impl fmt::Debug for Process {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Process")
            .field("threads", &self.threads.len())
            .finish_non_exhaustive()
    }
}

/// What the cluster does for a process.
pub(crate) trait Kernel {
    fn now(&self) -> Timestamp;
    /// How long it takes, and what comes of it.
    fn connect(
        &mut self,
        host: &str,
        port: u16,
        request: &Request,
        patience: Option<Duration>,
    ) -> (Duration, Reply);
    fn resolve(&mut self, name: &str) -> (Duration, Result<Vec<String>, Reply>);
    fn listen(&mut self, port: u16, serving: Serving, once: Option<u32>)
    -> Result<(), ListenError>;
    fn api(&mut self, verb: &str, resource: &str) -> (Duration, Result<Vec<String>, String>);
}

impl Process {
    /// The processes of a run that begins with a program.
    pub(crate) fn new(container: Arc<Container>, program: Program) -> Self {
        let processor = Processor::new(container.clock.now());
        let mut process = Self {
            container,
            threads: BTreeMap::new(),
            ended: BTreeMap::new(),
            next: 1,
            processor,
        };
        process.spawn(program, None);
        process
    }

    /// Starts a process, and gives its number. It prints to the log, or elsewhere.
    pub(crate) fn spawn(&mut self, program: Program, output: Option<Output>) -> u32 {
        let sys = Sys {
            slot: Arc::default(),
            container: self.container.clone(),
            output,
        };
        let number = self.next;
        self.next += 1;
        let thread = Thread {
            task: program(sys.clone()),
            sys,
            waiting: Waiting::Turn,
            is_sleeping: false,
            memory: 0,
        };
        self.threads.insert(number, thread);
        number
    }

    /// The code with which a process other than the first ended.
    pub(crate) fn ended(&self, number: u32) -> Option<i32> {
        self.ended.get(&number).copied()
    }

    /// Ends a process.
    pub(crate) fn kill(&mut self, number: u32, code: i32) {
        if self.threads.remove(&number).is_some() {
            self.ended.insert(number, code);
        }
    }

    /// Sends TERM to process 1. It is ignored where it is not taken, as for every process 1.
    pub(crate) fn terminate(&mut self) {
        let mut state = self.container.state();
        if !state.takes_term {
            return;
        }
        state.term = true;
        drop(state);
        if let Some(thread) = self.threads.get_mut(&1)
            && thread.is_sleeping
        {
            lock(&thread.sys.slot).answer = Some(Answer::Interrupted);
            thread.waiting = Waiting::Turn;
        }
    }

    /// Somebody connected to the port on which a process waits.
    pub(crate) fn accepted(&mut self, number: u32) {
        if let Some(thread) = self.threads.get_mut(&number) {
            lock(&thread.sys.slot).answer = Some(Answer::Done);
            thread.waiting = Waiting::Turn;
        }
    }

    /// How many bytes of memory its processes hold.
    pub(crate) fn memory(&self) -> u64 {
        let held = self.threads.values().map(|thread| thread.memory);
        held.fold(0, u64::saturating_add)
    }

    /// The process that holds most memory, and how much.
    pub(crate) fn biggest(&self) -> (u32, u64) {
        let most = self.threads.iter().max_by_key(|(_, thread)| thread.memory);
        most.map_or((1, 0), |(number, thread)| (*number, thread.memory))
    }

    /// How many process ids it holds.
    pub(crate) fn pids(&self) -> u64 {
        u64::try_from(self.threads.len()).unwrap_or(u64::MAX)
    }

    /// Counts the use of the processor up to now.
    pub(crate) fn count(&mut self, now: Timestamp) {
        let many = self.computing();
        let had = self.processor.advance(now, many);
        for thread in self.threads.values_mut() {
            if let Waiting::Processor(left) = &mut thread.waiting {
                *left = left.saturating_sub(had);
            }
        }
    }

    /// How many of its processes compute.
    fn computing(&self) -> u32 {
        let waits = |thread: &&Thread| matches!(thread.waiting, Waiting::Processor(_));
        let many = self.threads.values().filter(waits).count();
        u32::try_from(many).unwrap_or(u32::MAX)
    }

    /// Lets every process go on that can, until all wait. Gives the code if the first has ended.
    pub(crate) fn run(&mut self, kernel: &mut impl Kernel) -> Option<i32> {
        let now = kernel.now();
        self.count(now);
        for thread in self.threads.values_mut() {
            let due = match &thread.waiting {
                Waiting::Time(time, _) => *time <= now,
                Waiting::Process(_, Some(time)) => *time <= now,
                Waiting::Processor(left) => left.is_zero(),
                Waiting::Answer(answer, until) => {
                    answer.is_over() || until.is_some_and(|until| until <= now)
                }
                _ => false,
            };
            if due {
                let answer = match std::mem::replace(&mut thread.waiting, Waiting::Turn) {
                    Waiting::Time(_, Some(answer)) => answer,
                    Waiting::Process(..) => Answer::Late,
                    Waiting::Answer(answer, _) => {
                        Answer::Reply(answer.reply().unwrap_or(Reply::Timeout))
                    }
                    _ => Answer::Done,
                };
                // Whoever only gave others their turn has its answer already.
                lock(&thread.sys.slot).answer.get_or_insert(answer);
            }
        }
        loop {
            let mut moved = false;
            let numbers: Vec<u32> = self.threads.keys().copied().collect();
            for number in numbers {
                let Some(thread) = self.threads.get_mut(&number) else {
                    continue;
                };
                let answer = match &thread.waiting {
                    Waiting::Turn => None,
                    Waiting::Process(awaited, _) => match self.ended.get(awaited) {
                        Some(code) => Some(Answer::Ended(*code)),
                        None => continue,
                    },
                    Waiting::Until(holds) if holds() => Some(Answer::Done),
                    _ => continue,
                };
                if let Some(answer) = answer {
                    lock(&thread.sys.slot).answer = Some(answer);
                    thread.waiting = Waiting::Turn;
                }
                moved = true;
                if let Some(code) = self.turn(number, kernel) {
                    self.threads.remove(&number);
                    self.ended.insert(number, code);
                    if number == 1 {
                        self.container.state().flush(now);
                        return Some(code);
                    }
                }
            }
            if !moved {
                return None;
            }
        }
    }

    /// When the next process goes on by itself.
    pub(crate) fn next(&self) -> Option<Timestamp> {
        let waiting = || self.threads.values().map(|thread| &thread.waiting);
        let times = waiting().filter_map(|waiting| match waiting {
            Waiting::Time(time, _) => Some(*time),
            Waiting::Process(_, time) | Waiting::Answer(_, time) => *time,
            _ => None,
        });
        let computing = waiting().filter_map(|waiting| match waiting {
            Waiting::Processor(left) => Some(*left),
            _ => None,
        });
        let computed = computing
            .min()
            .map(|left| self.processor.ends(left, self.computing()));
        times.chain(computed).min()
    }

    /// Lets one process go on until it waits or ends.
    fn turn(&mut self, number: u32, kernel: &mut impl Kernel) -> Option<i32> {
        let mut steps = 0;
        loop {
            let thread = self.threads.get_mut(&number)?;
            let mut context = Context::from_waker(Waker::noop());
            if let Poll::Ready(code) = thread.task.as_mut().poll(&mut context) {
                return Some(code);
            }
            steps += 1;
            let call = lock(&thread.sys.slot).call.take();
            thread.is_sleeping = false;
            let now = kernel.now();
            let answer = match call {
                // It waits for something else than the cluster: nobody would ever wake it.
                None => {
                    thread.waiting = Waiting::Nothing;
                    return None;
                }
                Some(Call::TakeTerm(takes)) => {
                    if number == 1 {
                        let mut state = self.container.state();
                        state.takes_term = takes;
                        state.term &= takes;
                    }
                    Answer::Done
                }
                Some(Call::Sleep(time)) => {
                    thread.waiting = match time {
                        Some(time) => Waiting::Time(after(now, time), None),
                        None => Waiting::Nothing,
                    };
                    return None;
                }
                Some(Call::Await(time)) => {
                    thread.is_sleeping = true;
                    if number == 1 && self.container.state().term {
                        Answer::Interrupted
                    } else {
                        thread.waiting = match time {
                            Some(time) => Waiting::Time(after(now, time), None),
                            None => Waiting::Nothing,
                        };
                        return None;
                    }
                }
                Some(Call::Compute(time)) => {
                    thread.waiting = Waiting::Processor(time);
                    return None;
                }
                Some(Call::Until(holds)) => {
                    thread.waiting = Waiting::Until(holds);
                    return None;
                }
                Some(Call::Connect {
                    host,
                    port,
                    request,
                    patience,
                }) => {
                    let (time, reply) = kernel.connect(&host, port, &request, patience);
                    let thread = self.threads.get_mut(&number)?;
                    thread.waiting = match reply {
                        Reply::Later(answer) => {
                            Waiting::Answer(answer, patience.map(|time| after(now, time)))
                        }
                        reply => Waiting::Time(after(now, time), Some(Answer::Reply(reply))),
                    };
                    return None;
                }
                Some(Call::Resolve(name)) => {
                    let (time, found) = kernel.resolve(&name);
                    let answer = Answer::Addresses(found);
                    thread.waiting = Waiting::Time(after(now, time), Some(answer));
                    return None;
                }
                Some(Call::Listen(port, serving)) => {
                    Answer::Listening(kernel.listen(port, serving, None))
                }
                Some(Call::Accept(port, serving)) => {
                    match kernel.listen(port, serving, Some(number)) {
                        Ok(()) => {
                            thread.waiting = Waiting::Connection;
                            return None;
                        }
                        Err(error) => Answer::Listening(Err(error)),
                    }
                }
                Some(Call::Spawn(program)) => {
                    let output = thread.sys.output.clone();
                    Answer::Spawned(self.spawn(program, output))
                }
                Some(Call::Join(other, patience)) => match self.ended.get(&other) {
                    Some(code) => Answer::Ended(*code),
                    None => {
                        thread.is_sleeping = true;
                        if number == 1 && self.container.state().term {
                            Answer::Interrupted
                        } else {
                            let until = patience.map(|time| after(now, time));
                            thread.waiting = Waiting::Process(other, until);
                            return None;
                        }
                    }
                },
                Some(Call::Kill(other)) => {
                    self.kill(other, 143);
                    Answer::Done
                }
                Some(Call::Memory(bytes)) => {
                    thread.memory = bytes;
                    // Who looks after the container sees what it holds before it goes on.
                    thread.waiting = Waiting::Time(now, None);
                    return None;
                }
                Some(Call::Api { verb, resource }) => {
                    let (time, answer) = kernel.api(&verb, &resource);
                    let thread = self.threads.get_mut(&number)?;
                    thread.waiting = Waiting::Time(after(now, time), Some(Answer::Api(answer)));
                    return None;
                }
            };
            let thread = self.threads.get_mut(&number)?;
            lock(&thread.sys.slot).answer = Some(answer);
            if steps >= TURN {
                thread.waiting = Waiting::Processor(Duration::from_millis(10));
                // The answer is there already; it is heard when its turn comes.
                return None;
            }
        }
    }
}
