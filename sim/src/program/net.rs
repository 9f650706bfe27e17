//! What programs say to each other over the network.

use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

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
