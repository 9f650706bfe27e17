use std::sync::LazyLock;

use regex::bytes::{Captures, Regex, RegexBuilder};

/// An address that a program names, as it names it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Endpoint {
    /// The host name or address.
    pub host: String,
    /// The port, named or implied by the scheme.
    pub port: Option<u16>,
    /// Whether it stood in a URL: anything with a colon may else look like one.
    pub is_url: bool,
}

/// Bytes and no characters: hosts and ports are ASCII, and the patterns are a fraction as large.
fn compiled(pattern: &str) -> Option<Regex> {
    RegexBuilder::new(pattern).unicode(false).build().ok()
}

/// A part of what a pattern found; empty where it is not there.
fn part<'t>(found: &Captures<'t>, name: &str) -> &'t str {
    let part = found.name(name).map_or(&[][..], |part| part.as_bytes());
    std::str::from_utf8(part).unwrap_or_default()
}

/// A URL, with the part before the host that drivers put there: `jdbc:postgresql://db:5432/shop`.
static URL: LazyLock<Option<Regex>> = LazyLock::new(|| {
    compiled(
        r"(?x)
        \b(?P<scheme>[a-zA-Z][a-zA-Z0-9+.-]*)://
        (?:[^\s@/'\x22]*@)?
        (?P<host>\[[0-9a-fA-F:.]+\]|[a-zA-Z0-9](?:[a-zA-Z0-9._-]*[a-zA-Z0-9])?)
        (?::(?P<port>\d{1,5})\b)?",
    )
});

static BARE: LazyLock<Option<Regex>> = LazyLock::new(|| {
    compiled(
        r"(?x)
        (?:^|[\s'\x22=(,@<\[/])
        (?P<host>[a-zA-Z0-9](?:[a-zA-Z0-9.-]*[a-zA-Z0-9])?)
        :(?P<port>\d{2,5})\b",
    )
});

/// A host that a connection string names by its key, as libpq, ADO.NET, ODBC and Oracle write it:
/// `host=db port=5432`, `Server=db,1433;`, `Data Source=tcp:db`, `(HOST=db)(PORT=1521)`.
static KEYED: LazyLock<Option<Regex>> = LazyLock::new(|| {
    compiled(
        r"(?xi)
        (?:^|[\s;?&'\x22`,({])
        (?:host|hostname|server|data\ source|addr|address)\ ?=\ ?(?:tcp:)?
        (?P<host>[a-z0-9](?:[a-z0-9.-]*[a-z0-9])?)
        (?:[:,](?P<port>\d{2,5}))?
        (?:[\s;'\x22`,)}&]|$)",
    )
});

/// The port that a connection string names by its key.
static KEYED_PORT: LazyLock<Option<Regex>> =
    LazyLock::new(|| compiled(r"(?i)(?:^|[\s;?&,(])port ?= ?(?P<port>\d{2,5})\b"));

/// How a script names the address that it waits for: `nc -z db 5432`.
static PROBED: LazyLock<Option<Regex>> = LazyLock::new(|| {
    compiled(
        r"(?x)
        (?:\b(?:nc|ncat|netcat|telnet)(?:\s+-\w+(?:\s+\d+)?)*\s+|/dev/tcp/)
        (?P<host>[a-zA-Z0-9](?:[a-zA-Z0-9.-]*[a-zA-Z0-9])?)
        [\s/]\s*(?P<port>\d{1,5})\b",
    )
});

/// How a program that stands in the command itself is told where to connect: `("db", 5432)`.
static CALLED: LazyLock<Option<Regex>> = LazyLock::new(|| {
    compiled(
        r"(?x)
        [(=]\s*[\x22'](?P<host>[a-zA-Z](?:[a-zA-Z0-9.-]*[a-zA-Z0-9])?)[\x22'],\s*(?:port\s?=\s?)?
        (?P<port>\d{2,5})\b",
    )
});

/// How a database's own client is told where it is: `pg_isready -h db -p 5432`.
static CLIENT: LazyLock<Option<Regex>> = LazyLock::new(|| {
    compiled(
        r"(?x)
        \b(?P<tool>pg_isready|psql|mysqladmin|mysql|mariadb-admin|mariadb|redis-cli|mongosh)\s
        (?P<arguments>[^;|&\n]*)",
    )
});

static CLIENT_HOST: LazyLock<Option<Regex>> = LazyLock::new(|| {
    compiled(
        r"(?:^|\s)(?:-h|--host)[\s=]*(?P<host>[a-zA-Z0-9](?:[a-zA-Z0-9.-]*[a-zA-Z0-9])?)(?:\s|$)",
    )
});

/// A password is what `-p` means to the clients of MySQL.
static CLIENT_PORT: LazyLock<Option<Regex>> =
    LazyLock::new(|| compiled(r"(?:^|\s)(?:-p|-P|--port)[\s=]*(?P<port>\d{1,5})(?:\s|$)"));

/// A name that a script looks up.
static LOOKED_UP: LazyLock<Option<Regex>> = LazyLock::new(|| {
    compiled(
        r"(?x)
        \b(?:nslookup|getent\s+a?hosts)\s+
        (?P<host>[a-zA-Z0-9](?:[a-zA-Z0-9.-]*[a-zA-Z0-9])?)\.?(?:[\s;)&|]|$)",
    )
});

/// The addresses that a command names: those of its tools' arguments first, then as in any text.
pub fn in_command(command: &str) -> Vec<Endpoint> {
    let mut found = Vec::new();
    let named = |host: &str, port: Option<u16>| Endpoint {
        host: host.to_owned(),
        port,
        is_url: true,
    };
    let patterns = PROBED.iter().chain(CALLED.iter());
    for addressed in patterns.flat_map(|pattern| pattern.captures_iter(command.as_bytes())) {
        let part = |name| part(&addressed, name);
        found.push(named(part("host"), part("port").parse().ok()));
    }
    for client in CLIENT
        .iter()
        .flat_map(|pattern| pattern.captures_iter(command.as_bytes()))
    {
        let part = |name| part(&client, name);
        let of = |pattern: &Option<Regex>, name: &str| {
            let captures = pattern.as_ref()?.captures(part("arguments").as_bytes())?;
            Some(self::part(&captures, name).to_owned())
        };
        let port = of(&CLIENT_PORT, "port").and_then(|port| port.parse().ok());
        let implied = match part("tool") {
            "pg_isready" | "psql" => default_port("postgres"),
            "redis-cli" => default_port("redis"),
            "mongosh" => default_port("mongodb"),
            _ => default_port("mysql"),
        };
        found.extend(of(&CLIENT_HOST, "host").map(|host| named(&host, port.or(implied))));
    }
    for looked_up in LOOKED_UP
        .iter()
        .flat_map(|pattern| pattern.captures_iter(command.as_bytes()))
    {
        found.push(named(part(&looked_up, "host"), None));
    }
    found.extend(endpoints(command));
    found
}

/// Makes the patterns ready.
pub(super) fn prepare() {
    LazyLock::force(&CLIENT);
    LazyLock::force(&CLIENT_HOST);
    LazyLock::force(&CLIENT_PORT);
    LazyLock::force(&KEYED);
    LazyLock::force(&KEYED_PORT);
    LazyLock::force(&URL);
    LazyLock::force(&BARE);
    LazyLock::force(&LOOKED_UP);
    LazyLock::force(&PROBED);
    LazyLock::force(&CALLED);
}

/// The addresses that a text names: of URLs first, then of connection strings, then whatever looks
/// like `host:port`.
pub fn endpoints(text: &str) -> Vec<Endpoint> {
    let mut found: Vec<Endpoint> = Vec::new();
    let mut add = |endpoint: Endpoint| {
        let known = |other: &Endpoint| {
            other.host == endpoint.host && (other.port == endpoint.port || endpoint.port.is_none())
        };
        if !found.iter().any(known) {
            found.push(endpoint);
        }
    };
    if text.contains("://") {
        for url in URL
            .iter()
            .flat_map(|pattern| pattern.captures_iter(text.as_bytes()))
        {
            let part = |name| part(&url, name);
            let port = part("port").parse().ok();
            add(Endpoint {
                host: part("host").to_owned(),
                port: port.or(default_port(&part("scheme").to_lowercase())),
                is_url: true,
            });
        }
    }
    if text.contains('=') {
        for keyed in KEYED
            .iter()
            .flat_map(|pattern| pattern.captures_iter(text.as_bytes()))
        {
            let part = |name| part(&keyed, name);
            let host = part("host");
            let is_name = host.contains(|c: char| c.is_ascii_alphabetic());
            if !is_name && host.parse::<std::net::IpAddr>().is_err() {
                continue;
            }
            let port = || {
                let port = KEYED_PORT.as_ref()?.captures(text.as_bytes())?;
                self::part(&port, "port").parse().ok()
            };
            add(Endpoint {
                host: host.to_owned(),
                port: part("port").parse().ok().or_else(port),
                is_url: true,
            });
        }
    }
    if text.contains(':') {
        for bare in BARE
            .iter()
            .flat_map(|pattern| pattern.captures_iter(text.as_bytes()))
        {
            let part = |name| part(&bare, name);
            let host = part("host");
            let is_name = host.contains(|c: char| c.is_ascii_alphabetic());
            let Some(port) = part("port").parse().ok().filter(|port| *port > 0) else {
                continue;
            };
            if is_name || host.parse::<std::net::IpAddr>().is_ok() {
                let host = host.to_owned();
                add(Endpoint {
                    host,
                    port: Some(port),
                    is_url: false,
                });
            }
        }
    }
    found
}

/// The port of a scheme that URLs may leave out.
pub fn default_port(scheme: &str) -> Option<u16> {
    // Of `mongodb+srv` and `postgresql+psycopg2` the first part tells.
    Some(match scheme.split('+').next()? {
        "http" | "ws" => 80,
        "https" | "wss" => 443,
        "postgres" | "postgresql" | "cockroachdb" => 5432,
        "mysql" | "mysql2" | "mariadb" => 3306,
        "sqlserver" | "mssql" => 1433,
        "redis" | "rediss" => 6379,
        "mongodb" => 27017,
        "amqp" => 5672,
        "amqps" => 5671,
        "nats" => 4222,
        "mqtt" => 1883,
        "kafka" => 9092,
        "ldap" => 389,
        "ldaps" => 636,
        "smtp" => 25,
        "ftp" => 21,
        "ssh" => 22,
        "zk" | "zookeeper" => 2181,
        "memcached" => 11211,
        "clickhouse" => 9000,
        "etcd" => 2379,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: &[&str]) {
        let found: Vec<String> = endpoints(text)
            .into_iter()
            .map(|endpoint| match endpoint.port {
                Some(port) => format!("{} {port}", endpoint.host),
                None => endpoint.host,
            })
            .collect();
        assert_eq!(found, expected, "{text}");
    }

    #[test]
    fn urls_and_pairs() {
        check(
            "INFO - Endpoint: ws://bundle-loki:3100",
            &["bundle-loki 3100"],
        );
        check("http://api/v1", &["api 80"]);
        check(
            "postgres://shop:s3cret@db.data.svc/shop?x=1",
            &["db.data.svc 5432"],
        );
        check("jdbc:postgresql://db:5432/shop", &["db 5432"]);
        check("redis://:pass@cache:6380/0", &["cache 6380"]);
        check("tcp://10.0.0.7:9000", &["10.0.0.7 9000"]);
        check("http://[fd00::7]:8080/", &["[fd00::7] 8080"]);
        check(
            "brokers=kafka-0:9092,kafka-1:9092",
            &["kafka-0 9092", "kafka-1 9092"],
        );
        check("connecting to db:5432 ...", &["db 5432"]);
        check(
            "host=db.data user=app dbname=shop port=5433 sslmode=disable",
            &["db.data 5433"],
        );
        check("host=db.data user=app", &["db.data"]);
        check(
            "(DESCRIPTION=(ADDRESS=(PROTOCOL=TCP)(HOST=ora.data)(PORT=1521)))",
            &["ora.data 1521"],
        );
        check("Host=db;Port=5432;Username=app", &["db 5432"]);
        check("Server=tcp:sql.data,1433;Database=shop", &["sql.data 1433"]);
        check("app:pw@tcp(db.data:3306)/shop", &["db.data 3306"]);
    }

    #[test]
    fn what_only_looks_like_one() {
        check("12:30:15 started", &[]);
        check("2026-11-24T12:00:00Z ok", &[]);
        check("ratio 3:10", &[]);
        check("listening on :8080", &[]);
        check("localhost=1 vhost=/ hostport=80 host=", &[]);
    }
}
