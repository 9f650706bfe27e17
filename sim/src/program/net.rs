//! What programs say to each other over the network.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use super::process::Container;
use super::shell::Data;
use crate::kubelet::Task;

/// What a client asks of whom it connects to.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Request {
    /// That it accepts the connection.
    Tcp,
    /// That a datagram arrives.
    Udp,
    /// An HTTP request's path.
    Http { path: String },
    /// A session with a database.
    Sql {
        user: String,
        password: Option<String>,
        database: String,
    },
}

/// What comes of a connection.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Reply {
    /// The name has no address: nobody knows it.
    Unresolved,
    /// No name server answers.
    NoNameServer,
    /// Nobody listens there.
    Refused,
    /// Nobody answers.
    Timeout,
    /// It accepted the connection, and said this.
    Accepted(String),
    /// It answered an HTTP request.
    Http { status: u16, body: String },
    /// It answered, but not in HTTP.
    NotHttp(String),
    /// It let the client in. The session lasts as long as this is held.
    Session(Session),
    /// It refused the session with these words.
    Denied(String),
    /// It is at work on its answer.
    Later(Answering),
}

/// An answer to an HTTP request on which a program is at work.
#[derive(Clone, Debug, Default)]
pub(crate) struct Answering(Arc<Mutex<Work>>);

#[derive(Debug, Default)]
struct Work {
    /// What the program has printed so far.
    said: Arc<Mutex<Data>>,
    /// Whether it has come to its end, or was ended.
    is_over: bool,
    /// Who is told then.
    waits: Option<Task>,
}

impl PartialEq for Answering {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Answering {
    fn work(&self) -> MutexGuard<'_, Work> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Where its program prints.
    pub(super) fn output(&self) -> Arc<Mutex<Data>> {
        self.work().said.clone()
    }

    /// Somebody wants to be told when it is over.
    pub(crate) fn tell(&self, task: Task) {
        self.work().waits = Some(task);
    }

    /// Whom to tell that it is over.
    pub(crate) fn waits(&self) -> Option<Task> {
        self.work().waits.take()
    }

    pub(crate) fn is_over(&self) -> bool {
        self.work().is_over
    }

    fn said(&self) -> String {
        let said = self.output();
        let said = said.lock().unwrap_or_else(PoisonError::into_inner);
        said.text.clone()
    }

    /// Whether its headers have been sent: busybox's httpd sends them with the first four bytes
    /// that its program prints.
    pub(crate) fn has_begun(&self) -> bool {
        self.said().len() >= 4
    }

    /// The answer, once it is over.
    ///
    /// Source: busybox's `networking/httpd.c`, `cgi_io_loop_and_exit`.
    pub(crate) fn reply(&self) -> Option<Reply> {
        if !self.is_over() {
            return None;
        }
        let said = self.said();
        if said.is_empty() {
            return Some(Reply::NotHttp(said));
        }
        let (first, _) = said.split_once('\n').unwrap_or((&said, ""));
        let status = match (first.strip_prefix("HTTP"), first.strip_prefix("Status: ")) {
            (Some(rest), _) => rest.split(' ').nth(1),
            (_, Some(rest)) => rest.split(' ').next(),
            _ => None,
        };
        let status = status.and_then(|status| status.trim().parse().ok());
        // The headers end with the first empty line.
        let mut body = said.as_str();
        while let Some((line, rest)) = body.split_once('\n') {
            body = rest;
            if line.trim_end_matches('\r').is_empty() {
                break;
            }
        }
        Some(Reply::Http {
            status: status.unwrap_or(200),
            body: body.to_owned(),
        })
    }
}

/// Held by the program that is at work on an answer: with it the answer is over.
pub(crate) struct Answers {
    answering: Answering,
    container: Arc<Container>,
}

impl Answers {
    pub(crate) fn new(answering: Answering, container: Arc<Container>) -> Self {
        Self {
            answering,
            container,
        }
    }
}

impl Drop for Answers {
    fn drop(&mut self) {
        self.answering.work().is_over = true;
        self.container.state().answered.push(self.answering.clone());
    }
}

/// A session with a database.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Session(Arc<()>);

/// What is behind a port.
#[derive(Clone, Debug)]
pub(crate) enum Serving {
    /// Accepts a connection, and says something.
    Tcp(String),
    /// Answers HTTP requests from the files below a directory, and for some paths otherwise: what
    /// each begins with, the status and the text.
    Files {
        root: String,
        paths: Vec<(String, u16, String)>,
        /// Whether the programs in `/cgi-bin/` answer for themselves.
        runs_programs: bool,
    },
    /// Answers every HTTP request with this.
    Http {
        status: u16,
        body: String,
        /// Answers for single paths.
        paths: Vec<(String, u16, String)>,
    },
    /// A database server.
    Sql(Sql),
    /// A name server.
    Names,
}

/// Whom a database server lets in.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sql {
    /// Users and their passwords.
    pub(crate) users: Vec<(String, String)>,
    pub(crate) databases: Vec<String>,
    /// How many sessions it can hold.
    pub(crate) connections: usize,
    /// Those that may last.
    pub(crate) sessions: Arc<Mutex<Vec<Weak<()>>>>,
}

impl Sql {
    /// Begins a session, if there is room for one.
    pub(crate) fn begin(&self) -> Option<Session> {
        let mut sessions = self.sessions.lock().unwrap_or_else(PoisonError::into_inner);
        sessions.retain(|session| session.strong_count() > 0);
        if sessions.len() >= self.connections {
            return None;
        }
        let session = Session::default();
        sessions.push(Arc::downgrade(&session.0));
        Some(session)
    }
}

/// How long a connection takes that is answered.
pub(crate) const ROUND_TRIP: Duration = Duration::from_millis(1);
/// How long the kernel tries to connect to who does not answer: six times, each longer.
pub(crate) const KERNEL_PATIENCE: Duration = Duration::from_secs(127);
