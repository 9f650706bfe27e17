use super::*;

/// What a line means, with its fields in the order of their names.
fn said(line: &str) -> String {
    match read(line) {
        None => String::new(),
        Some(said) => {
            let fields = said
                .fields
                .iter()
                .map(|(name, text)| format!(" {name}={text}"));
            format!("{:?}{}", said.meaning, fields.collect::<String>())
        }
    }
}

#[track_caller]
fn check(lines: &[(&str, &str)]) {
    let wrong: Vec<String> = lines
        .iter()
        .filter(|(line, expected)| said(line) != *expected)
        .map(|(line, expected)| {
            format!(
                "\n  {line}\n    says      {}\n    expected {expected}",
                said(line)
            )
        })
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.concat());
}

#[test]
fn every_pattern_compiles_and_has_known_fields() {
    for signature in TABLE {
        let pattern = RegexBuilder::new(signature.pattern)
            .unicode(false)
            .build()
            .unwrap();
        for name in pattern.capture_names().flatten() {
            assert!(FIELDS.contains(&name), "{name} in {}", signature.pattern);
        }
    }
}

#[test]
fn configuration() {
    check(&[
        (
            "java.lang.IllegalArgumentException: requirement failed: advertised.listeners cannot use the nonroutable meta-address 0.0.0.0.",
            "ConfigInvalid name=advertised.listeners problem=advertised.listeners cannot use the nonroutable meta-address 0.0.0.0.",
        ),
        (
            r#"org.apache.kafka.common.config.ConfigException: Missing required configuration "zookeeper.connect" which has no default value."#,
            r#"ConfigInvalid name=zookeeper.connect problem=Missing required configuration "zookeeper.connect" which has no default value."#,
        ),
        (
            "httpd: Syntax error on line 178 of /usr/local/apache2/conf/httpd.conf: Could not open configuration file /usr/local/apache2/conf/Suite-extra/components.conf: No such file or directory",
            "ConfigInvalid file=/usr/local/apache2/conf/httpd.conf line=178 problem=Could not open configuration file /usr/local/apache2/conf/Suite-extra/components.conf: No such file or directory",
        ),
        (
            "AH00526: Syntax error on line 3 of /etc/httpd/a.conf:",
            "ConfigInvalid file=/etc/httpd/a.conf line=3",
        ),
        (
            r#"nginx: [emerg] unknown directive "servr" in /etc/nginx/nginx.conf:12"#,
            r#"ConfigInvalid file=/etc/nginx/nginx.conf line=12 problem=unknown directive "servr""#,
        ),
        (
            "[ALERT]    (1) : config : parsing [/usr/local/etc/haproxy/haproxy.cfg:7] : unknown keyword 'foo' in 'global' section",
            "ConfigInvalid file=/usr/local/etc/haproxy/haproxy.cfg line=7 problem=unknown keyword 'foo' in 'global' section",
        ),
        (
            r#"LOG:  syntax error in file "/etc/postgresql/postgresql.conf" line 3, near token "x""#,
            r#"ConfigInvalid file=/etc/postgresql/postgresql.conf line=3 problem=syntax error in file "/etc/postgresql/postgresql.conf" line 3, near token "x""#,
        ),
        (
            r#"LOG:  invalid value for parameter "work_mem": "4MBytes""#,
            r#"ConfigInvalid name=work_mem problem=invalid value for parameter "work_mem": "4MBytes""#,
        ),
        (
            r#"FATAL:  configuration file "/config/postgresql.conf" contains errors"#,
            "ConfigInvalid file=/config/postgresql.conf",
        ),
        (
            "[ERROR] [MY-000067] [Server] unknown variable 'max_conections=10'.",
            "ConfigInvalid argument=max_conections=10 problem=unknown variable 'max_conections=10'",
        ),
        (
            "Reading the configuration file, at line 3",
            "ConfigInvalid line=3 problem=Reading the configuration file",
        ),
        (
            "/etc/coredns/Corefile:5 - Error during parsing: Unknown directive 'forwrd'",
            "ConfigInvalid file=/etc/coredns/Corefile line=5 problem=Unknown directive 'forwrd'",
        ),
        (
            r#"  in "/etc/app/config.yaml", line 3, column 8"#,
            "ConfigInvalid file=/etc/app/config.yaml line=3",
        ),
        (
            "json.decoder.JSONDecodeError: Expecting ',' delimiter: line 5 column 3 (char 88)",
            "ConfigInvalid line=5 problem=Expecting ',' delimiter",
        ),
        (
            "KeyError: 'DATABASE_URL'",
            "ConfigInvalid name=DATABASE_URL problem=KeyError: 'DATABASE_URL'",
        ),
        (
            "unknown flag: --prot",
            "ConfigInvalid argument=--prot problem=unknown flag: --prot",
        ),
        (
            "11:59:00.000 [error] Conf file attempted to set unknown variable: listeners.tcp.defalt",
            "ConfigInvalid name=listeners.tcp.defalt problem=Conf file attempted to set unknown variable: listeners.tcp.defalt",
        ),
        (
            "Error: Config validation error: \"PORT\" must be a number",
            "ConfigInvalid problem=Config validation error: \"PORT\" must be a number",
        ),
        (
            "Error: Invalid value for \"--log-level\": 'verbos' is not one of 'debug', 'info'.",
            "ConfigInvalid argument=--log-level problem=Invalid value for \"--log-level\": 'verbos' is not one of 'debug', 'info'.",
        ),
        (
            "ArgumentNullException: Value cannot be null. (Parameter 'connectionString')",
            "ConfigInvalid name=connectionString problem=Value cannot be null. (Parameter 'connectionString')",
        ),
        (
            "Expected one of [ \\t\\r\\n], \"#\", \"=>\" at line 5, column 3 (byte 67) after input {",
            "ConfigInvalid line=5 problem=Expected one of [ \\t\\r\\n], \"#\", \"=>\"",
        ),
    ]);
}

#[test]
fn where_the_mistake_is() {
    check(&[
        // prometheus/prometheus issue 4129 and others: the message is on one line, escaped.
        (
            r#"level=error ts=2021-04-20T09:19:24.092Z caller=main.go:347 msg="Error loading config (--config.file=/etc/prometheus/prometheus.yml)" err="parsing YAML file /etc/prometheus/prometheus.yml: yaml: unmarshal errors:\n  line 18: field sourceLabels not found in type relabel.plain\n  line 20: field targetLabel not found in type relabel.plain""#,
            "ConfigInvalid file=/etc/prometheus/prometheus.yml line=18 problem=field sourceLabels not found in type relabel.plain",
        ),
        (
            r#"level=error component=configuration msg="Loading configuration file failed" file=/etc/alertmanager/config/alertmanager.yaml err="yaml: unmarshal errors:\n  line 24: field receiver not found in type config.plain""#,
            "ConfigInvalid file=/etc/alertmanager/config/alertmanager.yaml line=24 problem=field receiver not found in type config.plain",
        ),
        // fluent/fluent-bit issues 9181 and 5911, and 2879 before 1.9.
        (
            "[2024/08/09 15:30:39] [error] [config] error in /fluent-bit/etc/fluent-bit.conf:5: undefined value - check config is in valid classic format",
            "ConfigInvalid file=/fluent-bit/etc/fluent-bit.conf line=5 problem=undefined value - check config is in valid classic format",
        ),
        (
            "[2022/08/17 20:12:14] [error] [config] indentation level is too low",
            "ConfigInvalid problem=indentation level is too low",
        ),
        (
            "[2020/12/20 07:06:54] [  Error] File /fluent-bit/etc/fluent-bit.conf",
            "ConfigInvalid file=/fluent-bit/etc/fluent-bit.conf",
        ),
        (
            "[2020/12/20 07:06:54] [  Error] Error in line 15: Invalid indentation level",
            "ConfigInvalid line=15 problem=Invalid indentation level",
        ),
        // .NET counts lines from 0.
        (
            "Unhandled exception. System.IO.InvalidDataException: Failed to load configuration from file '/app/settings/settings.json'.",
            "ConfigInvalid file=/app/settings/settings.json",
        ),
        (
            " ---> System.FormatException: Could not parse the JSON file.",
            "ConfigInvalid problem=Could not parse the JSON file",
        ),
        (
            " ---> System.Text.Json.JsonReaderException: 'D' is an invalid start of a value. LineNumber: 10 | BytePositionInLine: 26.",
            "ConfigInvalid line=11 problem='D' is an invalid start of a value",
        ),
    ]);
}

#[test]
fn connections() {
    check(&[
        (
            "dial tcp 10.96.0.7:5432: connect: connection refused",
            "Refused host=10.96.0.7 port=5432",
        ),
        (
            "Error: connect ECONNREFUSED 10.0.0.7:6379",
            "Refused host=10.0.0.7 port=6379",
        ),
        (
            r#"psql: error: connection to server at "db" (10.96.1.2), port 5432 failed: Connection refused"#,
            "Refused host=db port=5432",
        ),
        (
            "wget: can't connect to remote host (10.96.0.1): Connection refused",
            "Refused host=10.96.0.1",
        ),
        (
            "Could not connect to Redis at cache:6379: Connection refused",
            "Refused host=cache port=6379",
        ),
        (
            "dial tcp 10.96.0.7:80: i/o timeout",
            "TimedOut host=10.96.0.7 port=80",
        ),
        ("wget: download timed out", "TimedOut"),
        (
            "wget: bad address 'loki:3100'",
            "Unresolved host=loki port=3100",
        ),
        (
            "dial tcp: lookup db on 10.96.0.10:53: no such host",
            "NoSuchName host=db",
        ),
        (
            "dial tcp: lookup db on 10.96.0.10:53: read udp 10.244.1.5:36->10.96.0.10:53: i/o timeout",
            "NoNameService host=db",
        ),
        (
            "java.net.UnknownHostException: orders.shop.svc",
            "Unresolved host=orders.shop.svc",
        ),
        ("Error: getaddrinfo ENOTFOUND db", "NoSuchName host=db"),
        ("getaddrinfo EAI_AGAIN db", "NoNameService host=db"),
        (
            "error: cannot connect to ws://loki:3100/loki/api/v1/tail, retry 1/10",
            "NotConnected host=loki port=3100",
        ),
        (
            r#"psql: error: connection to server at "db" (10.96.1.2), port 5432 failed: server closed the connection unexpectedly"#,
            "NotConnected host=db port=5432",
        ),
        (
            "Npgsql.NpgsqlException (0x80004005): Failed to connect to 10.96.1.1:5432",
            "NotConnected host=10.96.1.1 port=5432",
        ),
        (
            "cannot connect to redis-master:6379",
            "NotConnected host=redis-master port=6379",
        ),
        (
            "Failed to connect to Redis at cache:6379",
            "NotConnected host=cache port=6379",
        ),
        (
            "Couldn't resolve server kafka.data:9092 from bootstrap.servers as DNS resolution failed for kafka.data",
            "Unresolved host=kafka.data port=9092",
        ),
        (
            "MongoServerSelectionError: Server selection timed out after 30000 ms",
            "TimedOut",
        ),
        ("Net::OpenTimeout: execution expired", "TimedOut"),
        ("pika.exceptions.AMQPConnectionError", "NotConnected"),
        ("ERROR - IO Error while listening", "NotConnected"),
        (
            "WARN - Exiting. Could not connect after 10 retries.",
            "NotConnected",
        ),
    ]);
}

#[test]
fn the_rest() {
    check(&[
        (
            r#"{failed_to_start_child,auth,{"Error when reading /var/lib/rabbitmq/.erlang.cookie: eacces",[]}}"#,
            "PermissionDenied what=/var/lib/rabbitmq/.erlang.cookie",
        ),
        (
            "error while loading shared libraries: libssl.so.1.1: cannot open shared object file: No such file or directory",
            "LibraryMissing file=libssl.so.1.1",
        ),
        (
            "ModuleNotFoundError: No module named 'flask'",
            "LibraryMissing file=flask",
        ),
        (
            "Error: Cannot find module 'express'",
            "LibraryMissing file=express",
        ),
        (
            "missing library libfoo.so.1",
            "LibraryMissing file=libfoo.so.1",
        ),
        (
            "/opt/worker/run.sh: .: line 3: can't open '/opt/common/say.sh': No such file or directory",
            "LibraryMissing file=/opt/common/say.sh",
        ),
        (
            "run.sh: 3: .: cannot open /opt/common/say.sh: No such file",
            "LibraryMissing file=/opt/common/say.sh",
        ),
        (
            "[core:error] [pid 1:tid 1] (30)Read-only file system: AH00099: could not create /tmp/httpd.pid.DSESJw",
            "PermissionDenied what=could not create /tmp/httpd.pid.DSESJw",
        ),
        (
            "sh: can't create /x: Read-only file system",
            "PermissionDenied what=/x",
        ),
        (
            "PermissionError: [Errno 13] Permission denied: '/data/x'",
            "PermissionDenied what=/data/x",
        ),
        (
            "nginx: [emerg] bind() to 0.0.0.0:80 failed (13: Permission denied)",
            "PermissionDenied what=bind() to 0.0.0.0:80",
        ),
        (
            "nginx: [emerg] bind() to 0.0.0.0:80 failed (98: Address already in use)",
            "PortInUse host=0.0.0.0 port=80",
        ),
        ("nginx: [emerg] still could not bind()", "PortInUse"),
        (
            "listen tcp :8080: bind: address already in use",
            "PortInUse port=8080",
        ),
        (
            "FATAL:  password authentication failed for user \"shop\"",
            "LoginRefused user=shop",
        ),
        (
            "FATAL:  sorry, too many clients already",
            "WorkRefused problem=sorry, too many clients already",
        ),
        (
            r#"pods is forbidden: User "system:serviceaccount:shop:web" cannot list resource "pods" in API group "" in the namespace "shop""#,
            "AccessDenied namespace=shop resource=pods user=system:serviceaccount:shop:web verb=list",
        ),
        (
            "/tmp/x: line 1: garbage123: not found",
            "CommandNotFound command=garbage123",
        ),
        ("sh: curl: not found", "CommandNotFound command=curl"),
        (
            "panic: Exception (403) Reason: \"username or password not allowed\"",
            "LoginRefused",
        ),
        (
            "AuthenticationException(401, 'security_exception', 'missing authentication credentials for REST request [/]')",
            "LoginRefused",
        ),
        (
            "error logging in: Error making API request. Code: 403. Errors: * permission denied",
            "LoginRefused",
        ),
        (
            "redis.exceptions.ReadOnlyError: You can't write against a read only replica.",
            "WorkRefused problem=You can't write against a read only replica",
        ),
        (
            "PHP Warning:  require(/var/www/vendor/autoload.php): Failed to open stream: No such file or directory in /var/www/index.php on line 3",
            "LibraryMissing file=/var/www/vendor/autoload.php",
        ),
        (
            "You must install or update .NET to run this application.",
            "LibraryMissing",
        ),
        (
            "System.Net.Sockets.SocketException (13): Permission denied",
            "PermissionDenied",
        ),
        (
            "IllegalOperation: Attempted to create a lock file on a read-only directory: /data/db",
            "PermissionDenied what=/data/db",
        ),
        (
            "GF_PATHS_DATA='/var/lib/grafana' is not writable.",
            "PermissionDenied what='/var/lib/grafana'",
        ),
        (
            "failed to bind service; nested: AccessDeniedException[/usr/share/elasticsearch/data/nodes];",
            "PermissionDenied what=/usr/share/elasticsearch/data/nodes",
        ),
        (
            "FATAL:  pg_hba.conf rejects connection for host \"10.0.0.9\", user \"api\", database \"shop\", no encryption",
            "LoginRefused user=api",
        ),
        ("nats: Authorization Violation", "LoginRefused"),
        (
            "The application 'api.dll' does not exist.",
            "LibraryMissing file=api.dll",
        ),
        (
            "HttpHostConnectException: Connect to vault.example.com:8200 [vault.example.com/203.0.113.5] failed: Connection refused",
            "Refused host=vault.example.com port=8200",
        ),
        (
            "cURL error 28: Failed to connect to api.example.com port 443 after 10001 ms: Timeout was reached",
            "TimedOut host=api.example.com port=443",
        ),
        (
            "SocketTimeoutException: connect timed out: mq.example.com:5672",
            "TimedOut host=mq.example.com port=5672",
        ),
        (
            "command traefik error: \"/etc/traefik/traefik.yml\": field not found, node: entrypints",
            "ConfigInvalid file=/etc/traefik/traefik.yml problem=field not found, node: entrypints",
        ),
    ]);
}

#[test]
fn what_says_nothing() {
    let lines = [
        "",
        "connected",
        "[::ffff:10.244.2.1]:46256: response:200",
        "AH00558: httpd: Could not reliably determine the server's fully qualified domain name",
        "[Mon Nov 23 17:41:14.975580 2026] [mpm_event:notice] [pid 1:tid 1] AH00489: Apache/2.4.71 (Debian) configured -- resuming normal operations",
        "2026/11/23 17:58:47 [notice] 1#1: getrlimit(RLIMIT_NOFILE): 20000:20000",
        "10.244.3.1 - - [23/Nov/2026:17:59:35 +0000] \"GET /no-such HTTP/1.1\" 404 153",
        "loaded configuration from /etc/app/config.yaml",
        "using environment variable LOG_LEVEL",
        "INFO connection pool ready, timeout 30s",
        "cannot migrate",
        "boom",
        "failed to wait for cluster caches to sync: timed out waiting for cache to be synced",
    ];
    for line in lines {
        assert_eq!(said(line), "", "{line}");
    }
}

#[test]
fn what_a_command_waits_for() {
    for (command, addresses) in [
        (
            "sh -c until nc -z -w 2 pg.data 5432; do echo waiting; sleep 2; done",
            "pg.data:5432",
        ),
        (
            "while ! nc -zv 10.0.0.7 6379 ; do sleep 1; done",
            "10.0.0.7:6379",
        ),
        (
            "until (echo > /dev/tcp/broker/9092) 2>/dev/null; do sleep 1; done",
            "broker:9092",
        ),
        ("pg_isready -h pg.data -p 5433 -U app", "pg.data:5433"),
        ("mysqladmin ping -h mysql -psecret", "mysql:3306"),
        ("redis-cli -h cache ping | grep PONG", "cache:6379"),
        (
            "until nslookup db.shop.svc.cluster.local; do sleep 2; done",
            "db.shop.svc.cluster.local",
        ),
        ("until nslookup db.$(cat /namespace); do sleep 2; done", ""),
        ("/wait-for-it.sh db:5432 -t 0", "db:5432"),
        (
            "until curl -sf http://config:8888/health; do sleep 5; done",
            "config:8888",
        ),
        ("sync --once --from=/a --to=/b", ""),
    ] {
        let named: Vec<String> = in_command(command)
            .into_iter()
            .map(|one| match one.port {
                Some(port) => format!("{}:{port}", one.host),
                None => one.host,
            })
            .collect();
        assert_eq!(named.join(" "), addresses, "{command}");
    }
}
