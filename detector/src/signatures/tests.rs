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
            "[ALERT]    (1) : config : Proxy 'web': unable to find required default_backend: 'shop'.",
            "ConfigInvalid problem=Proxy 'web': unable to find required default_backend: 'shop'.",
        ),
        (
            "[26-Nov-2026 19:22:36] ERROR: [/etc/f/php-fpm.conf:5] unable to parse value for entry 'pm': invalid process manager (static, dynamic or ondemand)",
            "ConfigInvalid file=/etc/f/php-fpm.conf line=5 problem=unable to parse value for entry 'pm': invalid process manager (static, dynamic or ondemand)",
        ),
        (
            "2026/11/26 19:21:14| FATAL: Bungled /etc/s/squid.conf line 2: acl localnet srcc 10.0.0.0/8",
            "ConfigInvalid file=/etc/s/squid.conf line=2 problem=acl localnet srcc 10.0.0.0/8",
        ),
        (
            "('/etc/v/default.vcl' Line 2 Pos 41)",
            "ConfigInvalid file=/etc/v/default.vcl line=2",
        ),
        (
            "Unknown field: 'prot' at",
            "ConfigInvalid problem=Unknown field: 'prot'",
        ),
        (
            "2026-11-26 19:21:11: (configfile.c.2164) source: /etc/l/lighttpd.conf line: 3 pos: 0 parser failed somehow near here: (EOL)",
            "ConfigInvalid file=/etc/l/lighttpd.conf line=3 problem=parser failed somehow near here: (EOL)",
        ),
        (
            "1795720879: Error found at /etc/q/mosquitto.conf:2.",
            "ConfigInvalid file=/etc/q/mosquitto.conf line=2",
        ),
        (
            r#"1795720879: Error: Unknown configuration variable "allow_anonymos"."#,
            r#"ConfigInvalid argument=allow_anonymos problem=Unknown configuration variable "allow_anonymos"."#,
        ),
        (
            r#"ts=2026-11-26T19:21:19.204Z caller=coordinator.go:118 level=error component=configuration msg="Loading configuration file failed" file=/etc/a/alertmanager.yml err="undefined receiver \"team\" used in route""#,
            r#"ConfigInvalid file=/etc/a/alertmanager.yml problem=undefined receiver "team" used in route"#,
        ),
        (
            r#"nats-server: Parse error on line 5: 'Expected an array value terminator "," or an array terminator "]"'"#,
            r#"ConfigInvalid line=5 problem='Expected an array value terminator "," or an array terminator "]"'"#,
        ),
        (
            "sh: 1: DB_HOST: must be set",
            "ConfigInvalid name=DB_HOST problem=DB_HOST: must be set",
        ),
        (
            "node: --max-old-space= is not allowed in NODE_OPTIONS",
            "ConfigInvalid name=NODE_OPTIONS problem=--max-old-space= is not allowed in NODE_OPTIONS",
        ),
        (
            "can't run as root without the -u switch",
            "PermissionDenied",
        ),
        (
            "redis.exceptions.AuthenticationError: Authentication required.",
            "LoginRefused",
        ),
        (
            "PHP Fatal error:  Uncaught PDOException: SQLSTATE[HY000] [1130] Host '10.244.1.68' is not allowed to connect to this MariaDB server in Command line code:1",
            "LoginRefused",
        ),
        (
            "in `__connect_nonblock': Failed to open TCP connection to web:8000 (Operation already in progress - connect(2) for 10.96.84.31:8000) (Errno::EALREADY)",
            "NotConnected host=web port=8000",
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
            "redis.exceptions.ConnectionError: max number of clients reached",
            "WorkRefused problem=max number of clients reached",
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
        "\t-w SEC\tConnect timeout",
        "      --bind-address string   address to bind, fails with address already in use",
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
        // What clients are told, or do.
        "AuthenticationError: You must be logged in",
        "WARN user bob is not authorized to perform this operation",
        "INFO authentication required for /admin",
        "2026/11/23 17:58:47 http: TLS handshake error from 10.244.1.1:4444: remote error: tls: bad certificate",
        "2026/11/23 17:58:47 http: TLS handshake error from 10.244.1.1:4444: tls: failed to verify certificate: x509: certificate signed by unknown authority",
        "ERROR: [/app/handlers/orders.py:45] request failed",
        "POST /import: parse error on line 7: unexpected token",
        "pydantic_core._pydantic_core.ValidationError: 1 validation error for Order",
        // What is only said, and advice.
        "The following environment variables are set:",
        "The following environment variables are read at start: A, B",
        "Do not run Composer as root/super user! See https://getcomposer.org/root for details",
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
            r#"import redis; redis.Redis("cache", 6380, socket_timeout=4).ping()"#,
            "cache:6380",
        ),
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
        (r#"jobs = ["sleep", 30]"#, ""),
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

/// What widely deployed programs print when they do not start: their sources, their projects'
/// issues, and reports of those who run them.
#[test]
fn programs_that_many_run() {
    check(&[
        // Keycloak
        (
            "ERROR: Key material not provided to setup HTTPS. Please configure your keys/certificates or start the server in development mode.",
            "ConfigInvalid problem=Key material not provided to setup HTTPS",
        ),
        (
            "ERROR: Strict hostname resolution configured but no hostname setting provided",
            "ConfigInvalid problem=Strict hostname resolution configured but no hostname setting provided",
        ),
        // MinIO
        (
            "ERROR Unable to validate credentials inherited from the shell environment: Invalid credentials",
            "ConfigInvalid problem=Invalid credentials",
        ),
        // httpd, of a port that it may not have, and of one that another has
        (
            "(13)Permission denied: AH00072: make_sock: could not bind to address [::]:80",
            "PermissionDenied what=could not bind to address [::]:80",
        ),
        (
            "(98)Address already in use: AH00072: make_sock: could not bind to address [::]:80",
            "PortInUse host=[::] port=80",
        ),
        // RabbitMQ
        (
            "ERROR: could not bind to distribution port 25672, it is in use by another node: rabbit@mq1",
            "PortInUse port=25672",
        ),
        (
            "ERROR: distribution port 25672 in use by rabbit@mq1",
            "PortInUse port=25672",
        ),
        (
            "Error during startup: {error,failed_to_prepare_configuration}",
            "ConfigInvalid problem=failed_to_prepare_configuration",
        ),
        (
            "Cookie file /var/lib/rabbitmq/.erlang.cookie must be accessible by owner only",
            "PermissionDenied what=Cookie file /var/lib/rabbitmq/.erlang.cookie",
        ),
        // MySQL and MariaDB
        (
            "[ERROR] [MY-000077] [Server] /usr/sbin/mysqld: Error while setting value 'lots' to 'max_connections'.",
            "ConfigInvalid argument=max_connections problem=Error while setting value 'lots' to 'max_connections'",
        ),
        // MongoDB
        (
            "Error parsing command line: unrecognised option '--replSett'",
            "ConfigInvalid argument=--replSett problem=unrecognised option '--replSett'",
        ),
        // Elasticsearch
        (
            "bootstrap check failure [1] of [1]: the default discovery settings are unsuitable for production use; at least one of [discovery.seed_hosts, discovery.seed_providers, cluster.initial_master_nodes] must be configured",
            "ConfigInvalid problem=the default discovery settings are unsuitable for production use; at least one of [discovery.seed_hosts, discovery.seed_providers, cluster.initial_master_nodes] must be configured",
        ),
        // A setting of the node's kernel is none of the program's.
        (
            "bootstrap check failure [1] of [1]: max virtual memory areas vm.max_map_count [65530] is too low, increase to at least [262144]",
            "",
        ),
        // Cassandra
        (
            "org.apache.cassandra.exceptions.ConfigurationException: Invalid yaml. Please remove properties [num_tokns] from your cassandra.yaml",
            "ConfigInvalid argument=num_tokns problem=Invalid yaml. Please remove properties [num_tokns] from your cassandra.yaml",
        ),
        (
            "Invalid yaml: file:/etc/cassandra/cassandra.yaml",
            "ConfigInvalid file=/etc/cassandra/cassandra.yaml problem=Invalid yaml",
        ),
        (
            r#"Connection error: ('Unable to connect to any servers', {'10.1.9.47:9042': ConnectionRefusedError(111, "Tried connecting to [('10.1.9.47', 9042)]. Last error: Connection refused")})"#,
            "Refused host=10.1.9.47 port=9042",
        ),
        // Kafka's clients
        (
            "[Consumer clientId=c] Bootstrap broker kafka.mq:9092 (id: -1 rack: null) disconnected",
            "NotConnected host=kafka.mq port=9092",
        ),
        (
            "%3|1.1|FAIL|rdkafka#consumer-1| [thrd:kafka.mq:9092/bootstrap]: kafka.mq:9092/bootstrap: Failed to resolve 'kafka.mq:9092': Name or service not known (after 1ms in state CONNECT)",
            "NoSuchName host=kafka.mq port=9092",
        ),
        (
            "org.apache.kafka.common.errors.TopicAuthorizationException: Not authorized to access topics: [orders]",
            "WorkRefused problem=Not authorized to access topics: [orders]",
        ),
        // Redis' clients
        (
            "Unable to connect to cache.data/<unresolved>:6379",
            "NotConnected host=cache.data port=6379",
        ),
        (
            "Error connecting to Redis on cache.data:6379 (Errno::ECONNREFUSED)",
            "Refused host=cache.data port=6379",
        ),
        (
            "StackExchange.Redis.RedisConnectionException: It was not possible to connect to the redis server(s). Error connecting right now.",
            "NotConnected",
        ),
        // Fluent Bit
        (
            "[ warn] [net] getaddrinfo(host='elasticsearch-master', err=4): Domain name not found",
            "NoSuchName host=elasticsearch-master",
        ),
        (
            "[ warn] [net] getaddrinfo(host='graylog.example.com.', err=12): Timeout while contacting DNS servers",
            "NoNameService host=graylog.example.com.",
        ),
        (
            "[error] [upstream] connection #74 to tcp://172.20.245.227:3100 timed out after 10 seconds",
            "TimedOut host=172.20.245.227 port=3100",
        ),
        (
            "[error] [output:loki:loki.0] no upstream connections available",
            "NotConnected",
        ),
        // Prisma, environs and other readers of variables
        (
            "Error: P1001: Can't reach database server at `db.data:5432`",
            "NotConnected host=db.data port=5432",
        ),
        (
            "Can't reach database server at `db.data`:`5432`",
            "NotConnected host=db.data port=5432",
        ),
        (
            "error: Environment variable not found: DATABASE_URL.",
            "ConfigInvalid name=DATABASE_URL problem=Environment variable not found: DATABASE_URL",
        ),
        (
            r#"EnvVarError: env-var: "PORT" is a required variable, but it was not set"#,
            r#"ConfigInvalid name=PORT problem="PORT" is a required variable, but it was not set"#,
        ),
        (
            "django.core.exceptions.ImproperlyConfigured: Set the DATABASE_URL environment variable",
            "ConfigInvalid name=DATABASE_URL problem=Set the DATABASE_URL environment variable",
        ),
        (
            "django.core.exceptions.ImproperlyConfigured: Error loading psycopg2 or psycopg module",
            "LibraryMissing file=psycopg2",
        ),
        // CoreDNS and Caddy
        (
            r#"plugin/forward: not an IP address or file: "upstream-dns""#,
            r#"ConfigInvalid argument=forward problem=not an IP address or file: "upstream-dns""#,
        ),
        (
            "Error: adapting config using caddyfile: Caddyfile:3: unrecognized directive: revers_proxy",
            "ConfigInvalid file=Caddyfile line=3 problem=unrecognized directive: revers_proxy",
        ),
        // PgBouncer and Vault
        (
            "FATAL: no more connections allowed (max_client_conn)",
            "WorkRefused problem=no more connections allowed (max_client_conn)",
        ),
        ("* Vault is sealed", "WorkRefused problem=Vault is sealed"),
        // What only looks like it.
        ("[INFO]  core: vault is sealed", ""),
        (
            "[INFO] plugin/reload: Running configuration SHA512 = 91b5",
            "",
        ),
        ("the broker disconnected a client", ""),
        // An idle connection that a broker closes.
        (
            "%6|1.1|FAIL|rdkafka#consumer-1| [thrd:kafka.mq:9092/1]: kafka.mq:9092/1: Disconnected (after 600325ms in state UP)",
            "",
        ),
    ]);
}

/// What common libraries print: of arguments, addresses and accounts.
#[test]
fn libraries_that_many_use() {
    check(&[
        // Readers of arguments: cobra, kingpin, argparse, clap, picocli
        (
            r#"Error: required flag(s) "config" not set"#,
            r#"ConfigInvalid argument=config problem=required flag(s) "config" not set"#,
        ),
        (
            "prometheus: error: unknown long flag '--storage.tsdb.retenton', try --help",
            "ConfigInvalid argument=--storage.tsdb.retenton problem=unknown long flag '--storage.tsdb.retenton'",
        ),
        (
            "app.py: error: the following arguments are required: --host, --port",
            "ConfigInvalid argument=--host problem=the following arguments are required: --host, --port",
        ),
        (
            "app.py: error: argument --port: invalid int value: 'abc'",
            "ConfigInvalid argument=--port problem=argument --port: invalid int value: 'abc'",
        ),
        (
            "error: the following required arguments were not provided:",
            "ConfigInvalid problem=the following required arguments were not provided",
        ),
        (
            "Missing required option: '--db'",
            "ConfigInvalid argument=--db problem=Missing required option: '--db'",
        ),
        // logrus
        (
            r#"level=fatal msg="not a valid logrus Level: \"verbos\"""#,
            r#"ConfigInvalid problem=not a valid logrus Level: "verbos"""#,
        ),
        // Addresses: Go, SQLAlchemy, MongoDB's and JDBC's drivers
        (
            r#"parse "redis//cache:6379": first path segment in URL cannot contain colon"#,
            r#"ConfigInvalid problem=parse "redis//cache:6379": first path segment in URL cannot contain colon"#,
        ),
        (
            "sqlalchemy.exc.NoSuchModuleError: Can't load plugin: sqlalchemy.dialects:postgres",
            "ConfigInvalid problem=Can't load plugin: sqlalchemy.dialects:postgres",
        ),
        (
            r#"MongoParseError: Invalid scheme, expected connection string to start with "mongodb://" or "mongodb+srv://""#,
            r#"ConfigInvalid problem=Invalid scheme, expected connection string to start with "mongodb://" or "mongodb+srv://""#,
        ),
        (
            "Error: listen EADDRNOTAVAIL: address not available 10.1.1.1:3000",
            "ConfigInvalid problem=listen EADDRNOTAVAIL: address not available 10.1.1.1:3000",
        ),
        // Connections: gRPC, SQL Server's driver, Elixir, Oracle
        (
            r#"details = "failed to connect to all addresses; last error: UNKNOWN: ipv4:10.96.0.8:50051: Failed to connect to remote host: connect: Connection refused (111)""#,
            "Refused host=10.96.0.8 port=50051",
        ),
        (
            r#"SQLServerException: The TCP/IP connection to the host sql.data, port 1433 has failed. Error: "Connection refused. Verify the connection properties."#,
            "Refused host=sql.data port=1433",
        ),
        (
            r#"SQLServerException: The TCP/IP connection to the host sql.data, port 1433 has failed. Error: "connect timed out. Verify the connection properties."#,
            "TimedOut host=sql.data port=1433",
        ),
        (
            "** (DBConnection.ConnectionError) tcp connect (db.data:5432): non-existing domain - :nxdomain",
            "NoSuchName host=db.data port=5432",
        ),
        ("ORA-12541: TNS:no listener", "Refused"),
        // Accounts
        (
            "io.grpc.StatusRuntimeException: UNAUTHENTICATED: invalid token",
            "LoginRefused",
        ),
        (
            "google.auth.exceptions.RefreshError: ('invalid_grant: Invalid JWT Signature.')",
            "LoginRefused",
        ),
        (
            "WebIdentityErr: failed to retrieve credentials caused by: AccessDenied: Not authorized to perform sts:AssumeRoleWithWebIdentity",
            "LoginRefused",
        ),
        (
            "ActiveRecord::NoDatabaseError: We could not find your database: shop_production. Available database configurations can be found in config/database.yml.",
            "WorkRefused problem=We could not find your database: shop_production",
        ),
        // Images: musl, the JVM, Bundler
        (
            "Error relocating /app/bin: __register_atfork: symbol not found",
            "LibraryMissing file=/app/bin",
        ),
        (
            "java.lang.UnsupportedClassVersionError: com/acme/App has been compiled by a more recent version of the Java Runtime (class file version 65.0)",
            "LibraryMissing file=com/acme/App",
        ),
        (
            "bundler: command not found: puma",
            "LibraryMissing file=puma",
        ),
        (
            "standard_init_linux.go:228: exec user process caused: permission denied",
            "PermissionDenied",
        ),
        // What only looks like it.
        ("invalid client address in X-Forwarded-For", ""),
        ("parsed 3 arguments: --host, --port", ""),
        ("set log level to debug", ""),
    ]);
}

#[test]
fn values_that_cannot_be_read() {
    check(&[
        (
            r#"load config: ADMIT: invalid integer "true": strconv.Atoi: parsing "true": invalid syntax"#,
            r#"ValueRefused problem=parsing "true": invalid syntax value=true"#,
        ),
        (
            r#"converting '30' to type time.Duration. details: time: missing unit in duration \"30\""#,
            r#"ValueRefused problem=missing unit in duration "30" value=30"#,
        ),
        (
            "alertmanager: error: time: unknown unit d in duration 7d, try --help",
            "ValueRefused problem=unknown unit d in duration 7d value=7d",
        ),
        (
            r#"Exception in thread "main" java.lang.NumberFormatException: For input string: "30s""#,
            r#"ValueRefused problem=For input string: "30s" value=30s"#,
        ),
        (
            "java.lang.IllegalArgumentException: No enum constant com.acme.Level.loud",
            "ValueRefused problem=No enum constant com.acme.Level.loud value=loud",
        ),
        (
            r#"SRCFG00029: Expected an integer value, got "http""#,
            r#"ValueRefused problem=Expected an integer value, got "http" value=http"#,
        ),
        (
            "ValueError: invalid literal for int() with base 10: 'four'",
            "ValueRefused problem=invalid literal for int() with base 10: 'four' value=four",
        ),
        (
            "  Input should be a valid integer, unable to parse string as an integer [type=int_parsing, input_value='lots', input_type=str]",
            "ValueRefused problem=Input should be a valid integer, unable to parse string as an integer value=lots",
        ),
        (
            "System.FormatException: The input string 'soon' was not in a correct format.",
            "ValueRefused problem=The input string 'soon' was not in a correct format value=soon",
        ),
        (
            r#"Error: invalid type: string "many", expected an integer for key `database.pool_size`"#,
            r#"ValueRefused problem=invalid type: string "many", expected an integer for key `database.pool_size` value=many"#,
        ),
        (
            r#"puma.rb:3:in `Integer': invalid value for Integer(): "auto" (ArgumentError)"#,
            r#"ValueRefused problem=invalid value for Integer(): "auto" value=auto"#,
        ),
        ("  input: 'cache:6379:0'", "ValueRefused value=cache:6379:0"),
        (
            "PORT must be a number: ParseIntError { kind: InvalidDigit }",
            "ValueRefused name=PORT problem=PORT must be a number: ParseIntError { kind: InvalidDigit }",
        ),
        (
            r#"No service with name backend found in namespace shop: services "backend" not found"#,
            r#"ValueRefused problem=services "backend" not found value=backend"#,
        ),
        (
            "listen tcp: address :tcp://10.96.0.7:9898: too many colons in address",
            "ValueRefused problem=:tcp://10.96.0.7:9898: too many colons in address value=tcp://10.96.0.7:9898",
        ),
        (
            "Invalid HTTP port: tcp://10.96.0.7:9000",
            "ValueRefused problem=Invalid HTTP port: tcp://10.96.0.7:9000 value=tcp://10.96.0.7:9000",
        ),
        (
            r#"daemon: listen URL "ldap://ldap-0:tcp://10.96.0.7:389" parse error=5"#,
            r#"ValueRefused problem="ldap://ldap-0:tcp://10.96.0.7:389" parse error=5 value=tcp://10.96.0.7:389"#,
        ),
        ("listening on tcp://10.96.0.7:9000", ""),
        // What only looks like it: leases come and go, and a count is no choice.
        (r#"leases.coordination.k8s.io "leader" not found"#, ""),
        ("parsed 30 durations", ""),
        ("the port is not open yet", ""),
    ]);
}

#[test]
fn servers_that_are_not_trusted() {
    check(&[
        (
            r#"Put "https://vault:8200/v1/auth": tls: failed to verify certificate: x509: certificate signed by unknown authority"#,
            "Untrusted what=x509: certificate signed by unknown authority",
        ),
        (
            "javax.net.ssl.SSLHandshakeException: PKIX path building failed: sun.security.provider.certpath",
            "Untrusted what=PKIX path building failed",
        ),
        (
            "  code: 'SELF_SIGNED_CERT_IN_CHAIN'",
            "Untrusted what=SELF_SIGNED_CERT_IN_CHAIN",
        ),
        (
            "[SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed: unable to get local issuer certificate",
            "Untrusted what=CERTIFICATE_VERIFY_FAILED",
        ),
        (
            "x509: certificate has expired or is not yet valid: current time",
            "Untrusted problem=x509: certificate has expired or is not yet valid",
        ),
        // What only looks like it.
        ("Generating self-signed certificate for this session", ""),
        ("CA certificate ca.pem is self signed.", ""),
    ]);
}

#[test]
fn as_deployments_print_it() {
    check(&[
        (
            "command traefik error: failed to decode configuration from flags: field not found, node: entrypoint",
            "ConfigInvalid argument=entrypoint problem=field not found, node: entrypoint",
        ),
        (
            r#"error="Datasource provisioning error: datasource.yaml config is invalid. Only one datasource can be marked as default""#,
            "ConfigInvalid file=datasource.yaml problem=datasource.yaml config is invalid. Only one datasource can be marked as default",
        ),
        (
            "[error] [in_tail] parser 'cri2' is not registered",
            "ConfigInvalid argument=cri2 problem=parser 'cri2' is not registered",
        ),
        (
            "rpc error: code = Unknown desc = config has invalid keys [prefix]; valid keys are [bucket]",
            "ConfigInvalid argument=prefix problem=config has invalid keys [prefix]; valid keys are [bucket]",
        ),
        (
            r#"You provided an invalid option for the environment variable "SSL_MODE". Check it."#,
            r#"ConfigInvalid name=SSL_MODE problem=invalid option for the environment variable "SSL_MODE". Check it."#,
        ),
        (
            "The encryption feature requires that these variables are set:",
            "ConfigInvalid problem=The encryption feature requires that these variables are set:",
        ),
        (
            r#"reason="Datasource provisioning error: read /etc/grafana/ds.yml: is a directory""#,
            "ConfigInvalid file=/etc/grafana/ds.yml problem=read /etc/grafana/ds.yml: is a directory",
        ),
        (
            "RangeError [ERR_SOCKET_BAD_PORT]: options.port should be >= 0 and < 65536. Received type string ('web').",
            "ConfigInvalid problem=options.port should be >= 0 and < 65536. Received type string ('web'). value=web",
        ),
        (
            r#"level=fatal msg="NoCredentialProviders: no valid providers in chain. Deprecated.""#,
            "ConfigInvalid problem=NoCredentialProviders: no valid providers",
        ),
        (
            "rpc error: code = Unknown desc = AccessDenied: Access Denied",
            "WorkRefused problem=AccessDenied: Access Denied",
        ),
        (
            "failed to get s3 object: InvalidToken: The provided token is malformed",
            "LoginRefused",
        ),
        (
            "Net Exception: Address already in use: 0.0.0.0:9009",
            "PortInUse host=0.0.0.0 port=9009",
        ),
        (
            "__posix_open_file, 812: /data/db/WiredTiger.wt: handle-open: open: Operation not permitted",
            "PermissionDenied what=/data/db/WiredTiger.wt",
        ),
        (
            "Error initializing core: Failed to lock memory: cannot allocate memory",
            "PermissionDenied what=lock memory",
        ),
        // A file that a database misses is none of its variables.
        (
            r#"DETAIL:  File "/var/lib/postgresql/data/PG_VERSION" is missing."#,
            "",
        ),
    ]);
}

#[test]
fn as_frameworks_print_it() {
    check(&[
        (
            "Failed to find attribute 'app' in 'main'.",
            "ConfigInvalid argument=main problem=Failed to find attribute 'app' in 'main'",
        ),
        (
            r#"npm error Missing script: "start:prod""#,
            r#"ConfigInvalid argument=start:prod problem=Missing script: "start:prod""#,
        ),
        (
            r#"level=fatal msg="couldn't find trust anchors in environment variable DAPR_TRUST_ANCHORS""#,
            "ConfigInvalid name=DAPR_TRUST_ANCHORS problem=couldn't find trust anchors in environment variable DAPR_TRUST_ANCHORS",
        ),
        (
            "ValueError: Unknown level: 'VERBOSE'",
            "ValueRefused problem=Unknown level: 'VERBOSE' value=VERBOSE",
        ),
        (
            r#"Error loading ASGI app. Could not import module "app.main"."#,
            "LibraryMissing file=app.main",
        ),
        (
            "redis.exceptions.AuthenticationError: Authentication required.",
            "LoginRefused",
        ),
        (
            "Failed to read trust anchors: not a PEM certificate",
            "ConfigInvalid problem=not a PEM certificate",
        ),
        (
            "The key in /home/app/config does not match the APP_ENCRYPTION_KEY env var. Please",
            "ValueRefused name=APP_ENCRYPTION_KEY problem=not match the APP_ENCRYPTION_KEY env var",
        ),
        (
            r#"msg="Loading configuration file failed" file=/etc/am/am.yml err="no global API URL set""#,
            "ConfigInvalid file=/etc/am/am.yml problem=no global API URL set",
        ),
        (
            "UnauthorizedOperation: You are not authorized to perform this operation.",
            "WorkRefused problem=UnauthorizedOperation: You are not authorized to perform this operation.",
        ),
        (
            "permissions on /etc/mongo/key are too open",
            "PermissionDenied what=/etc/mongo/key",
        ),
        // What only looks like it.
        ("loaded 12 environment variables", ""),
        ("no environment variables are read", ""),
        ("imported module app.main", ""),
    ]);
}
