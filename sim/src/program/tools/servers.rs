//! The servers of well-known images, as far as their start and their answers go.

use std::time::Duration;

use serde_json::Value;

use super::super::files::{Content, File, FileError, Files};
use super::super::net::{Reply, Request, Serving, Sql};
use super::super::process::{Answer, Call, ListenError};
use super::{Tool, duration};

/// Programs and a library that each needs, which only its own image has.
const LIBRARIES: &[(&str, &str)] = &[
    ("nginx", "libcrypt.so.1"),
    ("httpd", "libpcre2-8.so.0"),
    ("postgres", "libxml2.so.2"),
    ("psql", "libpq.so.5"),
    ("pg_isready", "libpq.so.5"),
    ("initdb", "libpq.so.5"),
];

/// What programs say of their version, the words that ask for it, and whether they say it on the
/// second output.
const VERSIONS: &[(&str, &[&str], &str, bool)] = &[
    (
        "psql",
        &["--version", "-V"],
        "psql (PostgreSQL) 17.6",
        false,
    ),
    (
        "initdb",
        &["--version", "-V"],
        "initdb (PostgreSQL) 17.6",
        false,
    ),
    (
        "pg_isready",
        &["--version", "-V"],
        "pg_isready (PostgreSQL) 17.6",
        false,
    ),
    (
        "postgres",
        &["--version", "-V"],
        "postgres (PostgreSQL) 17.6",
        false,
    ),
    ("nginx", &["-v"], "nginx version: nginx/1.26.3", true),
    (
        "httpd",
        &["-v"],
        "Server version: Apache/2.4.71 (Debian)",
        false,
    ),
    (
        "registry",
        &["--version", "-v"],
        "registry github.com/docker/distribution v2.8.2",
        false,
    ),
];

/// The reason phrase of an HTTP status.
pub(super) fn reason(status: u16) -> &'static str {
    match status {
        200 => "OK",
        301 => "Moved Permanently",
        302 => "Found",
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        500 => "Internal Server Error",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        504 => "Gateway Time-out",
        _ => "Unknown",
    }
}

/// Runs a server, or another program of an image.
pub(super) async fn run(tool: &mut Tool<'_>, base: &str) -> i32 {
    if let Some((_, library)) = LIBRARIES.iter().find(|(name, _)| *name == base)
        && !tool.shell.facts.programs.iter().any(|own| own == base)
    {
        let place = &tool.place;
        tool.err(&format!(
            "{place}: error while loading shared libraries: {library}: cannot open shared object \
             file: No such file or directory"
        ));
        return 127;
    }
    let mut versions = VERSIONS.iter();
    if let Some((_, _, said, is_complaint)) = versions.find(|(name, asks, ..)| {
        *name == base && tool.args.iter().any(|arg| asks.contains(&&**arg))
    }) {
        match is_complaint {
            true => drop(tool.err(said)),
            false => drop(tool.out(&format!("{said}\n"))),
        }
        return 0;
    }
    match base {
        "httpd-foreground" => {
            tool.args.insert(0, "-DFOREGROUND".to_owned());
            httpd(tool).await
        }
        "httpd" => httpd(tool).await,
        "nginx" => nginx(tool).await,
        "docker-entrypoint.sh" => entrypoint(tool).await,
        "postgres" => postgres(tool).await,
        "initdb" => initdb(tool),
        "psql" => psql(tool).await,
        "pg_isready" => pg_isready(tool).await,
        "registry" => registry(tool).await,
        "coredns" => names(tool).await,
        "pause" => {
            tool.shell.sys.until_term().await;
            0
        }
        "kubectl" => kubectl(tool).await,
        _ => 0,
    }
}

/// A file, or how the system says that it cannot be read: text and number.
fn read(tool: &Tool<'_>, path: &str) -> Result<String, FileError> {
    let state = tool.shell.sys.container.state();
    state.files.read(path).map(|content| content.text)
}

fn number(error: FileError) -> u8 {
    match error {
        FileError::Missing => 2,
        FileError::Denied => 13,
        FileError::Exists => 17,
        FileError::NotDirectory => 20,
        FileError::IsDirectory => 21,
        FileError::Full => 28,
        FileError::ReadOnly => 30,
    }
}

/// A list of names, from text with blanks between them.
fn is_one_of(names: &str, name: &str) -> bool {
    names
        .split_whitespace()
        .any(|one| one.eq_ignore_ascii_case(name))
}

/// What Apache's configuration may say.
const APACHE: &str = "ServerRoot Listen LoadModule IfModule User Group ServerAdmin ServerName Directory \
    AllowOverride Require DocumentRoot Options DirectoryIndex Files ErrorLog LogLevel LogFormat CustomLog \
    ScriptAlias RequestHeader TypesConfig AddType AddEncoding AddHandler AddOutputFilter MIMEMagicFile \
    ErrorDocument MaxRanges EnableMMAP EnableSendfile Include IncludeOptional SSLRandomSeed VirtualHost \
    Location LocationMatch FilesMatch DirectoryMatch Alias Redirect RedirectMatch RewriteEngine RewriteRule \
    RewriteCond Header SetEnv SetEnvIf PassEnv Timeout KeepAlive MaxKeepAliveRequests KeepAliveTimeout \
    StartServers MinSpareThreads MaxSpareThreads ThreadsPerChild MaxRequestWorkers MaxConnectionsPerChild \
    ServerTokens ServerSignature TraceEnable HostnameLookups UseCanonicalName PidFile ProxyPass \
    ProxyPassReverse IfDefine IfVersion Define Order Allow Deny Satisfy AuthType AuthName AuthUserFile \
    ExpiresActive ExpiresByType FileETag LimitRequestBody AcceptFilter SetHandler Limit LimitExcept \
    IndexOptions AddIcon AddIconByType AddIconByEncoding DefaultIcon ReadmeName HeaderName IndexIgnore \
    Protocols Mutex ServerAlias ServerPath BrowserMatch BrowserMatchNoCase AddDefaultCharset \
    AddLanguage LanguagePriority ForceLanguagePriority AddCharset ReceiveBufferSize RequestReadTimeout \
    ScriptSock CacheRoot ExtendedStatus GracefulShutdownTimeout ListenBacklog MaxMemFree ServerLimit \
    ThreadLimit CoreDumpDirectory HttpProtocolOptions UnsetEnv SetEnvIfNoCase";

/// The modules that the image has.
const MODULES: &str = "mpm_event mpm_worker mpm_prefork authn_file authn_core authz_host authz_groupfile \
    authz_user authz_core access_compat auth_basic reqtimeout filter mime log_config env headers setenvif \
    version unixd status autoindex dir alias logio rewrite proxy proxy_http expires deflate negotiation \
    cgi cgid info socache_shmcb slotmem_shm vhost_alias userdir actions include substitute ext_filter \
    remoteip lbmethod_byrequests proxy_balancer buffer ratelimit cache cache_disk http2 dav dav_fs";

async fn httpd(tool: &mut Tool<'_>) -> i32 {
    const ROOT: &str = "/usr/local/apache2";
    let file = match tool.value('f') {
        Some(file) => Files::absolute(ROOT, &file),
        None => format!("{ROOT}/conf/httpd.conf"),
    };
    let mut settings = Apache {
        root: ROOT.to_owned(),
        ports: Vec::new(),
        documents: format!("{ROOT}/htdocs"),
        pid: format!("{ROOT}/logs/httpd.pid"),
        enclosing: 0,
    };
    if let Err(why) = settings.read(tool, &file, true) {
        tool.err(&why);
        return 1;
    }
    let more: Vec<String> = tool
        .args
        .windows(2)
        .filter(|words| words[0] == "-c" || words[0] == "-C")
        .map(|words| words[1].clone())
        .collect();
    for line in more {
        if let Err(why) = settings.line(tool, &line, "command line", 1) {
            tool.err(&why);
            return 1;
        }
    }
    if tool.args.iter().any(|word| word == "-t") {
        tool.err("Syntax OK");
        return 0;
    }
    if settings.ports.is_empty() {
        tool.err("no listening sockets available, shutting down\nAH00015: Unable to open logs");
        return 1;
    }
    for port in settings.ports.clone() {
        let serving = Serving::Files {
            root: settings.documents.clone(),
            paths: Vec::new(),
            runs_programs: false,
        };
        if let Err(error) = tool.shell.sys.listen(port, serving).await {
            let why = match error {
                ListenError::InUse => "(98)Address already in use",
                ListenError::Denied => "(13)Permission denied",
            };
            tool.err(&format!(
                "{why}: AH00072: make_sock: could not bind to address [::]:{port}\n{why}: AH00072: \
                 make_sock: could not bind to address 0.0.0.0:{port}\nno listening sockets available, \
                 shutting down\nAH00015: Unable to open logs"
            ));
            return 1;
        }
    }
    let written = {
        let mut state = tool.shell.sys.container.state();
        state
            .files
            .write(&settings.pid, Content::text("1\n"), false)
    };
    if let Err(error) = written {
        let (stamp, pid) = (apache_time(tool), &settings.pid);
        let (number, text) = (number(error), error.text());
        tool.err(&format!(
            "[{stamp}] [core:error] [pid 1:tid 1] ({number}){text}: AH00099: could not create \
             {pid}.Zp1zS6\n[{stamp}] [core:error] [pid 1:tid 1] AH00100: httpd: could not log pid to \
             file {pid}"
        ));
        return 1;
    }
    let stamp = apache_time(tool);
    tool.err(&format!(
        "[{stamp}] [mpm_event:notice] [pid 1:tid 1] AH00489: Apache/2.4.71 (Debian) configured -- \
         resuming normal operations\n[{stamp}] [core:notice] [pid 1:tid 1] AH00094: Command line: \
         '/usr/local/apache2/libexec/httpd -d /usr/local/apache2 -f conf/httpd.conf -D FOREGROUND'"
    ));
    tool.shell.sys.ask(Call::Memory(6 << 20)).await;
    tool.shell.sys.until_term().await;
    let stamp = apache_time(tool);
    tool.err(&format!(
        "[{stamp}] [mpm_event:notice] [pid 1:tid 1] AH00492: caught SIGWINCH, shutting down gracefully"
    ));
    0
}

fn apache_time(tool: &Tool<'_>) -> String {
    let now = tool
        .shell
        .sys
        .container
        .clock
        .now()
        .to_zoned(jiff::tz::TimeZone::UTC);
    now.strftime("%a %b %d %H:%M:%S%.6f %Y").to_string()
}

/// What Apache's configuration says.
struct Apache {
    root: String,
    ports: Vec<u16>,
    documents: String,
    pid: String,
    /// How many sections are open whose condition does not hold.
    enclosing: u32,
}

impl Apache {
    fn read(&mut self, tool: &Tool<'_>, file: &str, is_first: bool) -> Result<(), String> {
        let text = match read(tool, file) {
            Ok(text) => text,
            Err(error) if is_first => {
                return Err(format!(
                    "httpd: Could not open configuration file {file}: {}",
                    error.text()
                ));
            }
            Err(error) => {
                return Err(format!(
                    "Could not open configuration file {file}: {}",
                    error.text()
                ));
            }
        };
        for (index, line) in text.lines().enumerate() {
            self.line(tool, line, file, index + 1)?;
        }
        Ok(())
    }

    fn line(
        &mut self,
        tool: &Tool<'_>,
        line: &str,
        file: &str,
        number: usize,
    ) -> Result<(), String> {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            return Ok(());
        }
        let at = format!("Syntax error on line {number} of {file}:");
        let (name, rest) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
        let rest = rest.trim();
        let bare = rest.trim_matches('"');
        if let Some(section) = name.strip_prefix("</") {
            let section = section.trim_end_matches('>');
            if self.enclosing > 0 && section.eq_ignore_ascii_case("IfModule") {
                self.enclosing -= 1;
            }
            return Ok(());
        }
        if let Some(section) = name.strip_prefix('<') {
            let condition = rest.trim_end_matches('>').trim();
            if section.eq_ignore_ascii_case("IfModule") {
                let negated = condition.starts_with('!');
                let module = condition.trim_start_matches('!');
                let module = module
                    .trim_end_matches("_module")
                    .trim_start_matches("mod_");
                let module = module.trim_end_matches(".c");
                // Those that are built in are there from the start.
                let is_there = is_one_of(MODULES, module);
                if self.enclosing > 0 || is_there == negated {
                    self.enclosing += 1;
                }
            } else if !is_one_of(APACHE, section.trim_end_matches('>')) {
                return Err(format!(
                    "AH00526: {at}\nInvalid command '<{section}', perhaps misspelled or defined by a \
                     module not included in the server configuration"
                ));
            }
            return Ok(());
        }
        if self.enclosing > 0 {
            return Ok(());
        }
        if !is_one_of(APACHE, name) {
            return Err(format!(
                "AH00526: {at}\nInvalid command '{name}', perhaps misspelled or defined by a module not \
                 included in the server configuration"
            ));
        }
        match name.to_ascii_lowercase().as_str() {
            "serverroot" => self.root = bare.to_owned(),
            "include" => {
                let path = Files::absolute(&self.root, bare);
                if bare.contains(['*', '?']) {
                    return Ok(());
                }
                return self.read(tool, &path, false).map_err(|why| {
                    match why.starts_with("Could not open") {
                        true => format!("httpd: {at} {why}"),
                        false => why,
                    }
                });
            }
            "loadmodule" => {
                let module = rest
                    .split_whitespace()
                    .nth(1)
                    .unwrap_or("")
                    .trim_matches('"');
                let base = module.rsplit('/').next().unwrap_or("");
                let bare = base.trim_start_matches("mod_").trim_end_matches(".so");
                if !is_one_of(MODULES, bare) {
                    let full = Files::absolute(&self.root, module);
                    return Err(format!(
                        "httpd: {at} Cannot load {module} into server: {full}: cannot open shared object \
                         file: No such file or directory"
                    ));
                }
            }
            "listen" => match bare.rsplit(':').next().and_then(|port| port.parse().ok()) {
                Some(port) => self.ports.push(port),
                None => return Err(format!("AH00526: {at}\nPort must be specified")),
            },
            "documentroot" => {
                let path = Files::absolute(&self.root, bare);
                let found = tool.shell.sys.container.state().files.find(&path);
                if found != Some(File::Directory) {
                    return Err(format!(
                        "AH00526: {at}\nDocumentRoot '{bare}' is not a directory, or is not readable"
                    ));
                }
                self.documents = path;
            }
            "pidfile" => self.pid = Files::absolute(&self.root, bare),
            _ => {}
        }
        Ok(())
    }
}

/// What nginx's configuration may say.
const NGINX: &str = "user worker_processes error_log pid events http server listen server_name location root \
    index include default_type log_format access_log sendfile keepalive_timeout error_page worker_connections \
    tcp_nopush tcp_nodelay gzip gzip_types gzip_min_length upstream proxy_pass proxy_set_header return rewrite \
    try_files expires add_header client_max_body_size client_body_timeout client_header_timeout send_timeout \
    proxy_connect_timeout proxy_read_timeout proxy_send_timeout proxy_http_version proxy_buffering \
    client_body_temp_path proxy_temp_path fastcgi_temp_path uwsgi_temp_path scgi_temp_path daemon master_process \
    worker_rlimit_nofile multi_accept use types map geo if set deny allow alias internal autoindex ssl_certificate \
    ssl_certificate_key ssl_protocols ssl_ciphers resolver resolver_timeout limit_req limit_req_zone stub_status \
    auth_basic auth_basic_user_file types_hash_max_size server_tokens charset env load_module keepalive weight \
    least_conn ip_hash stream proxy_redirect proxy_next_upstream real_ip_header set_real_ip_from etag \
    client_body_buffer_size large_client_header_buffers client_header_buffer_size reset_timedout_connection \
    open_file_cache gzip_vary gzip_proxied gzip_comp_level server_names_hash_bucket_size absolute_redirect \
    port_in_redirect fastcgi_pass fastcgi_param fastcgi_index break default ssl_session_cache ssl_session_timeout \
    working_directory timer_resolution worker_priority worker_shutdown_timeout thread_pool variables_hash_max_size";

/// What nginx's configuration says.
struct Nginx {
    ports: Vec<u16>,
    root: String,
    answers: Vec<(String, u16, String)>,
    foreground: bool,
    pid: String,
    temporary: Vec<String>,
}

async fn nginx(tool: &mut Tool<'_>) -> i32 {
    let file = tool
        .value('c')
        .unwrap_or_else(|| "/etc/nginx/nginx.conf".to_owned());
    let file = Files::absolute("/etc/nginx", &file);
    let mut settings = Nginx {
        ports: Vec::new(),
        root: "/usr/share/nginx/html".to_owned(),
        answers: Vec::new(),
        foreground: false,
        pid: "/run/nginx.pid".to_owned(),
        temporary: Vec::new(),
    };
    let stamp = |tool: &Tool<'_>| {
        let now = tool
            .shell
            .sys
            .container
            .clock
            .now()
            .to_zoned(jiff::tz::TimeZone::UTC);
        now.strftime("%Y/%m/%d %H:%M:%S").to_string()
    };
    let mut outcome = Ok(());
    if let Some(more) = tool.value('g') {
        outcome = match more.trim_end().ends_with([';', '}']) {
            true => settings.directives(tool, &more, "command line").await,
            false => Err("unexpected end of parameter, expecting \";\" in command line".to_owned()),
        };
    }
    if outcome.is_ok() {
        outcome = match read(tool, &file) {
            Ok(text) => settings.directives(tool, &text, &file).await,
            Err(error) => Err(format!(
                "open() \"{file}\" failed ({}: {})",
                number(error),
                error.text()
            )),
        };
    }
    if let Err(why) = outcome {
        let stamp = stamp(tool);
        tool.err(&format!("{stamp} [emerg] 1#1: {why}"));
        return 1;
    }
    if tool.has('t') {
        tool.err(&format!(
            "nginx: the configuration file {file} syntax is ok\nnginx: configuration file {file} test is \
             successful"
        ));
        return 0;
    }
    let user = tool.shell.user;
    if user != 0 && settings.temporary.is_empty() {
        settings.temporary.push("/var/lib/nginx/body".to_owned());
    }
    if settings.temporary.is_empty() {
        settings.temporary.push("/var/lib/nginx/body".to_owned());
    }
    for folder in settings.temporary.clone() {
        let made = {
            let mut state = tool.shell.sys.container.state();
            state.files.make_directory(&folder, false)
        };
        if let Err(error) = made {
            let (stamp, number) = (stamp(tool), number(error));
            tool.err(&format!(
                "{stamp} [emerg] 1#1: mkdir() \"{folder}\" failed ({number}: {})",
                error.text()
            ));
            return 1;
        }
    }
    for port in settings.ports.clone() {
        let serving = Serving::Files {
            root: settings.root.clone(),
            paths: settings.answers.clone(),
            runs_programs: false,
        };
        let mut tries = 0;
        loop {
            let Err(error) = tool.shell.sys.listen(port, serving.clone()).await else {
                break;
            };
            let why = match error {
                ListenError::InUse => "98: Address already in use",
                ListenError::Denied => "13: Permission denied",
            };
            let now = stamp(tool);
            tool.err(&format!(
                "{now} [emerg] 1#1: bind() to 0.0.0.0:{port} failed ({why})\nnginx: [emerg] bind() to \
                 0.0.0.0:{port} failed ({why})"
            ));
            if error == ListenError::Denied {
                return 1;
            }
            tries += 1;
            if tries == 5 {
                let now = stamp(tool);
                tool.err(&format!(
                    "{now} [emerg] 1#1: still could not bind()\nnginx: [emerg] still could not bind()"
                ));
                return 1;
            }
            tool.err(&format!(
                "{now} [notice] 1#1: try again to bind() after 500ms"
            ));
            tool.shell.pause(Some(Duration::from_millis(500))).await;
        }
    }
    let written = {
        let mut state = tool.shell.sys.container.state();
        state
            .files
            .write(&settings.pid, Content::text("1\n"), false)
    };
    let now = stamp(tool);
    if let Err(error) = written {
        let (pid, number) = (&settings.pid, number(error));
        tool.err(&format!(
            "{now} [emerg] 1#1: open() \"{pid}\" failed ({number}: {})",
            error.text()
        ));
        return 1;
    }
    tool.err(&format!(
        "{now} [notice] 1#1: using the \"epoll\" event method\n{now} [notice] 1#1: nginx/1.26.3\n{now} \
         [notice] 1#1: start worker processes\n{now} [notice] 1#1: start worker process 7"
    ));
    if !settings.foreground {
        // The server goes on in the background; it ends with its container.
        return 0;
    }
    tool.shell.sys.ask(Call::Memory(4 << 20)).await;
    tool.shell.sys.until_term().await;
    let now = stamp(tool);
    tool.err(&format!(
        "{now} [notice] 1#1: signal 3 (SIGQUIT) received, shutting down\n{now} [notice] 1#1: exit"
    ));
    0
}

/// A word of nginx's configuration, with its line.
type Worded = (String, usize);

fn nginx_words(text: &str) -> Vec<Worded> {
    let mut words = Vec::new();
    let mut line = 1;
    let mut word = String::new();
    let mut letters = text.chars().peekable();
    let mut quote = None;
    while let Some(letter) = letters.next() {
        if let Some(mark) = quote {
            if letter == mark {
                quote = None;
                words.push((format!("\"{word}"), line));
                word.clear();
            } else {
                word.push(letter);
            }
            line += usize::from(letter == '\n');
            continue;
        }
        match letter {
            '#' if word.is_empty() => {
                while letters.peek().is_some_and(|letter| *letter != '\n') {
                    letters.next();
                }
            }
            '"' | '\'' if word.is_empty() => quote = Some(letter),
            ';' | '{' | '}' => {
                if !word.is_empty() {
                    words.push((std::mem::take(&mut word), line));
                }
                words.push((letter.to_string(), line));
            }
            letter if letter.is_whitespace() => {
                if !word.is_empty() {
                    words.push((std::mem::take(&mut word), line));
                }
                line += usize::from(letter == '\n');
            }
            letter => word.push(letter),
        }
    }
    if !word.is_empty() {
        words.push((word, line));
    }
    words
}

impl Nginx {
    async fn directives(
        &mut self,
        tool: &mut Tool<'_>,
        text: &str,
        file: &str,
    ) -> Result<(), String> {
        let words = nginx_words(text);
        let last = text.lines().count().max(1);
        let place = |line: usize| match file {
            "command line" => " in command line".to_owned(),
            file => format!(" in {file}:{line}"),
        };
        let mut open: Vec<Vec<String>> = Vec::new();
        let mut current: Vec<Worded> = Vec::new();
        for (word, line) in words {
            match word.as_str() {
                ";" | "{" => {
                    let Some((name, at)) = current.first().cloned() else {
                        return Err(format!("unexpected \"{word}\"{}", place(line)));
                    };
                    let inside = open
                        .last()
                        .and_then(|words| words.first())
                        .map_or("", String::as_str);
                    let is_free = matches!(inside, "types" | "map" | "geo");
                    if !is_free && !is_one_of(NGINX, &name) {
                        return Err(format!("unknown directive \"{name}\"{}", place(at)));
                    }
                    let args: Vec<String> = current
                        .iter()
                        .skip(1)
                        .map(|(word, _)| word.trim_start_matches('"').to_owned())
                        .collect();
                    if word == "{" {
                        let mut words = vec![name];
                        words.extend(args);
                        open.push(words);
                    } else if !is_free {
                        self.directive(tool, &name, &args, &current, &open, &place)
                            .await?;
                    }
                    current.clear();
                }
                "}" => {
                    if !current.is_empty() {
                        return Err(format!("unexpected \"}}\"{}", place(line)));
                    }
                    if open.pop().is_none() {
                        return Err(format!("unexpected \"}}\"{}", place(line)));
                    }
                }
                _ => current.push((word, line)),
            }
        }
        if !current.is_empty() || !open.is_empty() {
            return Err(format!(
                "unexpected end of file, expecting \"{}\"{}",
                if current.is_empty() {
                    "}"
                } else {
                    ";\" or \"}"
                },
                place(last)
            ));
        }
        Ok(())
    }

    async fn directive(
        &mut self,
        tool: &mut Tool<'_>,
        name: &str,
        args: &[String],
        words: &[Worded],
        open: &[Vec<String>],
        place: &(dyn Fn(usize) -> String + Sync),
    ) -> Result<(), String> {
        let line = words.first().map_or(1, |(_, line)| *line);
        let first = args.first().map_or("", String::as_str);
        match name {
            "daemon" => self.foreground = first == "off",
            "pid" => self.pid = Files::absolute("/etc/nginx", first),
            "client_body_temp_path" => self.temporary.push(first.to_owned()),
            "root" => self.root = Files::absolute("/etc/nginx", first),
            "listen" => {
                let port = first.rsplit(':').next().unwrap_or(first);
                let Ok(port) = port.parse::<u16>() else {
                    return Err(format!(
                        "invalid host in \"{first}\" of the \"listen\" directive{}",
                        place(line)
                    ));
                };
                const WITH: &str = "default_server ssl http2 reuseport proxy_protocol deferred backlog ipv6only=on";
                if let Some(index) = args.iter().skip(1).position(|arg| !is_one_of(WITH, arg)) {
                    let at = words.get(index + 2).map_or(line, |(_, line)| *line);
                    return Err(format!(
                        "invalid parameter \"{}\"{}",
                        args[index + 1],
                        place(at)
                    ));
                }
                if !self.ports.contains(&port) {
                    self.ports.push(port);
                }
            }
            "return" => {
                let status = first.parse().unwrap_or(302);
                let body = args.get(1).cloned().unwrap_or_default();
                let path = open
                    .last()
                    .filter(|words| words.first().is_some_and(|word| word == "location"))
                    .and_then(|words| words.last().cloned())
                    .unwrap_or_else(|| "/".to_owned());
                self.answers.push((path, status, body));
            }
            "include" => {
                let path = Files::absolute("/etc/nginx", first);
                if path.contains('*') {
                    let (folder, pattern) = path.rsplit_once('/').unwrap_or(("", &path));
                    let suffix = pattern.trim_start_matches('*').to_owned();
                    let names = tool.shell.sys.container.state().files.children(folder);
                    for name in names.iter().filter(|name| name.ends_with(&suffix)) {
                        let file = format!("{folder}/{name}");
                        if let Ok(text) = read(tool, &file) {
                            Box::pin(self.directives(tool, &text, &file)).await?;
                        }
                    }
                    return Ok(());
                }
                match read(tool, &path) {
                    Ok(text) => return Box::pin(self.directives(tool, &text, &path)).await,
                    Err(error) => {
                        return Err(format!(
                            "open() \"{path}\" failed ({}: {}){}",
                            number(error),
                            error.text(),
                            place(line)
                        ));
                    }
                }
            }
            "ssl_certificate" | "ssl_certificate_key" => {
                let path = Files::absolute("/etc/nginx", first);
                if let Err(error) = read(tool, &path) {
                    let what = match name {
                        "ssl_certificate" => "certificate",
                        _ => "certificate key",
                    };
                    return Err(format!(
                        "cannot load {what} \"{path}\": BIO_new_file() failed (SSL: error:80000002:system \
                         library::{}:calling fopen({path}, r) error:10000080:BIO routines::no such file)",
                        error.text()
                    ));
                }
            }
            "proxy_pass" => {
                let (_, target) = first.split_once("://").unwrap_or(("", first));
                let host = target.split(['/', ':']).next().unwrap_or("");
                let is_upstream = host.contains('$');
                if !is_upstream && !host.is_empty() {
                    let asked = Call::Resolve(host.to_owned());
                    if let Answer::Addresses(Err(_)) = tool.shell.sys.ask(asked).await {
                        return Err(format!(
                            "host not found in upstream \"{host}\"{}",
                            place(line)
                        ));
                    }
                }
            }
            _ => {}
        }
        Ok(())
    }
}

/// The setting of a program in the environment, if it is not empty.
fn setting(tool: &Tool<'_>, name: &str) -> Option<String> {
    let value = tool.shell.variables.get(name).cloned();
    value.filter(|value| !value.is_empty())
}

async fn entrypoint(tool: &mut Tool<'_>) -> i32 {
    if tool.args.first().is_none_or(|word| word != "postgres") {
        let argv = tool.args.clone();
        return tool.nested(argv).await;
    }
    let data = setting(tool, "PGDATA").unwrap_or_default();
    let user = setting(tool, "POSTGRES_USER").unwrap_or_else(|| "postgres".to_owned());
    let database = setting(tool, "POSTGRES_DB").unwrap_or_else(|| user.clone());
    let is_made = read(tool, &format!("{data}/PG_VERSION")).is_ok();
    if !is_made {
        let Some(password) = setting(tool, "POSTGRES_PASSWORD") else {
            tool.err("Error: Database is uninitialized and superuser password is not specified.");
            return 1;
        };
        if let Err(why) = make_cluster(tool, &data, &user, Some(&password), &database) {
            tool.err(&why);
            return 1;
        }
        tool.shell.pause(Some(Duration::from_millis(1500))).await;
    }
    tool.args = vec!["-D".to_owned(), data];
    serve_sql(tool).await
}

/// Makes the files of a database cluster.
fn make_cluster(
    tool: &Tool<'_>,
    data: &str,
    user: &str,
    password: Option<&str>,
    database: &str,
) -> Result<(), String> {
    let failed = |error: FileError| {
        format!(
            "initdb: error: could not create directory \"{data}\": {}",
            error.text()
        )
    };
    let files = [
        ("PG_VERSION", "17\n".to_owned()),
        (
            "users",
            format!("{user}\t{}\n", password.unwrap_or_default()),
        ),
        ("databases", format!("postgres\n{database}\n")),
        ("postgresql.conf", String::new()),
    ];
    let mut state = tool.shell.sys.container.state();
    state.files.make_directory(data, true).map_err(failed)?;
    for (name, text) in files {
        let path = format!("{data}/{name}");
        state
            .files
            .write(&path, Content::text(text), false)
            .map_err(failed)?;
    }
    Ok(())
}

fn initdb(tool: &Tool<'_>) -> i32 {
    if tool.shell.user == 0 {
        tool.err(
            "initdb: error: cannot be run as root\ninitdb: hint: Please log in (using, e.g., \"su\") as the \
             (unprivileged) user that will own the server process.",
        );
        return 1;
    }
    let data = tool.long("pgdata").or_else(|| tool.value('D'));
    let Some(data) = data.or_else(|| setting(tool, "PGDATA")) else {
        return tool.fail("error: no data directory specified");
    };
    let user = tool.long("username").or_else(|| tool.value('U'));
    let user = user.unwrap_or_else(|| "postgres".to_owned());
    let password = match tool.long("pwfile") {
        Some(file) => match read(tool, &tool.shell.path(&file)) {
            Ok(text) => text.lines().next().map(str::to_owned),
            Err(error) => {
                return tool.fail(&format!(
                    "error: could not open file \"{file}\" for reading: {}",
                    error.text()
                ));
            }
        },
        None => None,
    };
    match make_cluster(tool, &data, &user, password.as_deref(), "postgres") {
        Ok(()) => tool.out(&format!(
            "\nSuccess. You can now start the database server using:\n\n    pg_ctl -D {data} -l logfile start\n\n"
        )),
        Err(why) => tool.err(&why),
    }
}

async fn postgres(tool: &mut Tool<'_>) -> i32 {
    if tool.shell.user == 0 {
        tool.err(
            "\"root\" execution of the PostgreSQL server is not permitted.\nThe server must be started under an \
             unprivileged user ID to prevent\npossible system security compromise.  See the documentation \
             for\nmore information on how to properly start the server.",
        );
        return 1;
    }
    serve_sql(tool).await
}

/// Says a line of the server's log.
fn sql_log(tool: &Tool<'_>, text: &str) {
    sql_log_in("UTC", tool, text);
}

/// Says a line of the server's log with the name of a time zone: while the settings are read, theirs
/// is not in force yet, and it is `GMT`.
fn sql_log_in(zone: &str, tool: &Tool<'_>, text: &str) {
    let now = tool
        .shell
        .sys
        .container
        .clock
        .now()
        .to_zoned(jiff::tz::TimeZone::UTC);
    let stamp = now.strftime("%Y-%m-%d %H:%M:%S%.3f").to_string();
    tool.err(&format!("{stamp} {zone} [1] {text}"));
}

/// Settings of PostgreSQL that are amounts.
const AMOUNTS: &str = "shared_buffers work_mem maintenance_work_mem effective_cache_size temp_buffers wal_buffers \
    max_wal_size min_wal_size";
/// Other settings of PostgreSQL.
const SETTINGS: &str = "listen_addresses unix_socket_directories max_connections fsync log_timezone port \
    superuser_reserved_connections log_destination logging_collector log_statement log_line_prefix datestyle \
    timezone lc_messages default_text_search_config dynamic_shared_memory_type synchronous_commit wal_level \
    full_page_writes ssl ssl_cert_file ssl_key_file password_encryption log_min_messages autovacuum \
    statement_timeout idle_in_transaction_session_timeout max_worker_processes random_page_cost hba_file \
    data_directory log_connections log_disconnections archive_mode checkpoint_timeout max_wal_senders";

async fn serve_sql(tool: &mut Tool<'_>) -> i32 {
    let data = tool
        .value('D')
        .or_else(|| setting(tool, "PGDATA"))
        .unwrap_or_default();
    let is_made = read(tool, &format!("{data}/PG_VERSION")).is_ok();
    if !is_made {
        let path = &data;
        tool.err(&format!(
            "postgres: could not access directory \"{path}\": No such file or directory\nRun initdb or \
             pg_basebackup to initialize a PostgreSQL data directory."
        ));
        return 2;
    }
    let mut file = format!("{data}/postgresql.conf");
    let mut lines: Vec<(String, Option<usize>)> = Vec::new();
    for words in tool.args.windows(2).filter(|words| words[0] == "-c") {
        match words[1].split_once('=') {
            Some(("config_file", path)) => file = path.to_owned(),
            _ => lines.push((words[1].clone(), None)),
        }
    }
    match read(tool, &file) {
        Ok(text) => {
            let numbered = text.lines().enumerate();
            lines.extend(numbered.map(|(index, line)| (line.to_owned(), Some(index + 1))));
        }
        Err(error) => {
            let why = error.text();
            tool.err(&format!(
                "postgres: could not access the server configuration file \"{file}\": {why}"
            ));
            return 2;
        }
    }
    let mut connections = 100;
    let mut port = 5432;
    let mut wrong = false;
    for (line, number) in lines {
        let line = line.split('#').next().unwrap_or("").trim().to_owned();
        if line.is_empty() {
            continue;
        }
        let (name, value) = match line.split_once('=') {
            Some((name, value)) => (name.trim(), value.trim()),
            None => line.split_once(' ').unwrap_or((line.as_str(), "")),
        };
        let value = value.trim().trim_matches('\'');
        if is_one_of(AMOUNTS, name) {
            let unit = value.trim_start_matches(|letter: char| letter.is_ascii_digit());
            if !["", "B", "kB", "MB", "GB", "TB"].contains(&unit) || unit.len() == value.len() {
                wrong = true;
                sql_log_in(
                    "GMT",
                    tool,
                    &format!("LOG:  invalid value for parameter \"{name}\": \"{value}\""),
                );
                sql_log_in(
                    "GMT",
                    tool,
                    "HINT:  Valid units for this parameter are \"B\", \"kB\", \"MB\", \"GB\", and \"TB\".",
                );
            }
        } else if !is_one_of(SETTINGS, name) && !name.contains('.') {
            wrong = true;
            let at = number.map_or(String::new(), |number| {
                format!(" in file \"{file}\" line {number}")
            });
            sql_log_in(
                "GMT",
                tool,
                &format!("LOG:  unrecognized configuration parameter \"{name}\"{at}"),
            );
        }
        match name {
            "max_connections" => connections = value.parse().unwrap_or(connections),
            "port" => port = value.parse().unwrap_or(port),
            _ => {}
        }
    }
    if wrong {
        sql_log(
            tool,
            &format!("FATAL:  configuration file \"{file}\" contains errors"),
        );
        return 1;
    }
    let users = read(tool, &format!("{data}/users")).unwrap_or_default();
    let users = users
        .lines()
        .filter_map(|line| line.split_once('\t'))
        .map(|(user, password)| (user.to_owned(), password.to_owned()))
        .collect();
    let databases = read(tool, &format!("{data}/databases")).unwrap_or_default();
    let server = Sql {
        users,
        databases: databases.lines().map(str::to_owned).collect(),
        connections,
        ..Sql::default()
    };
    tool.shell.pause(Some(Duration::from_millis(200))).await;
    if tool
        .shell
        .sys
        .listen(port, Serving::Sql(server))
        .await
        .is_err()
    {
        sql_log(
            tool,
            "LOG:  could not bind IPv4 address \"0.0.0.0\": Address already in use",
        );
        sql_log(tool, "FATAL:  could not create any TCP/IP sockets");
        return 1;
    }
    sql_log(
        tool,
        "LOG:  starting PostgreSQL 17.6 on x86_64-pc-linux-gnu, 64-bit",
    );
    sql_log(
        tool,
        &format!("LOG:  listening on IPv4 address \"0.0.0.0\", port {port}"),
    );
    sql_log(tool, "LOG:  database system is ready to accept connections");
    tool.shell.sys.ask(Call::Memory(24 << 20)).await;
    tool.shell.sys.until_term().await;
    sql_log(tool, "LOG:  received fast shutdown request");
    sql_log(tool, "LOG:  database system is shut down");
    0
}

/// Where a client of PostgreSQL connects to, and as whom.
#[derive(Debug, Default)]
struct Connection {
    host: Option<String>,
    port: Option<String>,
    user: Option<String>,
    password: Option<String>,
    database: Option<String>,
}

/// The options of PostgreSQL's clients that take the word after them along.
const WITH_VALUE: &str = "command dbname file host port username set variable output field-separator \
    pset record-separator log-file table-attr timeout";

impl Connection {
    /// What is asked for: by options, by a word that stands for the database or for all of it, by the
    /// environment, or by nothing.
    ///
    /// Source: PostgreSQL 17's documentation, "psql" and "Connection Strings".
    fn of(tool: &Tool<'_>) -> Self {
        let mut words = Vec::new();
        let mut rest = tool.args.iter();
        while let Some(word) = rest.next() {
            if let Some(long) = word.strip_prefix("--") {
                if is_one_of(WITH_VALUE, long) {
                    rest.next();
                }
            } else if let Some(letter) = word.strip_prefix('-') {
                if letter.len() == 1 && "cdfhpUvoFPRTLt".contains(letter) {
                    rest.next();
                }
            } else {
                words.push(word.clone());
            }
        }
        let mut words = words.into_iter();
        let option = |long: &str, letter: char| tool.long(long).or_else(|| tool.value(letter));
        let database = option("dbname", 'd').or_else(|| words.next());
        let mut all = Self {
            host: option("host", 'h'),
            port: option("port", 'p'),
            user: option("username", 'U').or_else(|| words.next()),
            ..Self::default()
        };
        match database {
            Some(address) if address.starts_with("postgres") && address.contains("://") => {
                all.address(&address);
            }
            Some(pairs) if pairs.contains('=') => {
                for (name, value) in pairs
                    .split_whitespace()
                    .filter_map(|one| one.split_once('='))
                {
                    all.set(name, value.trim_matches('\''));
                }
            }
            database => all.database = database,
        }
        for (name, variable) in [
            ("host", "PGHOST"),
            ("port", "PGPORT"),
            ("user", "PGUSER"),
            ("password", "PGPASSWORD"),
            ("dbname", "PGDATABASE"),
        ] {
            if let Some(value) = setting(tool, variable) {
                all.set(name, &value);
            }
        }
        all
    }

    /// Takes in `postgresql://user:password@host:port/database?name=value`.
    fn address(&mut self, address: &str) {
        let rest = address.split_once("://").map_or("", |(_, rest)| rest);
        let (rest, pairs) = rest.split_once('?').unwrap_or((rest, ""));
        let (place, database) = rest.split_once('/').unwrap_or((rest, ""));
        let (who, place) = place.rsplit_once('@').unwrap_or(("", place));
        let (user, password) = who.split_once(':').unwrap_or((who, ""));
        let (host, port) = place.rsplit_once(':').unwrap_or((place, ""));
        for (name, value) in [
            ("user", user),
            ("password", password),
            ("host", host),
            ("port", port),
            ("dbname", database),
        ] {
            self.set(name, &unpercent(value));
        }
        for (name, value) in pairs.split('&').filter_map(|pair| pair.split_once('=')) {
            self.set(name, &unpercent(value));
        }
    }

    /// Fills in what nothing was said of so far.
    fn set(&mut self, name: &str, value: &str) {
        let place = match name {
            "host" => &mut self.host,
            "port" => &mut self.port,
            "user" => &mut self.user,
            "password" => &mut self.password,
            "dbname" => &mut self.database,
            _ => return,
        };
        if place.is_none() && !value.is_empty() {
            *place = Some(value.to_owned());
        }
    }

    fn host(&self) -> String {
        self.host.clone().unwrap_or_else(|| "localhost".to_owned())
    }

    fn port(&self) -> u16 {
        let port = self.port.as_deref().and_then(|port| port.parse().ok());
        port.unwrap_or(5432)
    }
}

/// Puts what `%` and two digits stand for in their place.
fn unpercent(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        let code = after.get(..2).and_then(|two| std::str::from_utf8(two).ok());
        let code = code.and_then(|two| u8::from_str_radix(two, 16).ok());
        match (first, code) {
            (b'%', Some(code)) => {
                bytes.push(code);
                rest = &after[2..];
            }
            _ => {
                bytes.push(*first);
                rest = after;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

async fn psql(tool: &mut Tool<'_>) -> i32 {
    let asked = Connection::of(tool);
    let (host, port) = (asked.host(), asked.port());
    let user = asked.user.unwrap_or_else(|| "root".to_owned());
    let database = asked.database.unwrap_or_else(|| user.clone());
    let patience = setting(tool, "PGCONNECT_TIMEOUT")
        .as_deref()
        .and_then(duration);
    let addresses = match tool.shell.sys.ask(Call::Resolve(host.clone())).await {
        Answer::Addresses(Ok(addresses)) => addresses,
        Answer::Addresses(Err(why)) => {
            let why = match why {
                Reply::NoNameServer => "Temporary failure in name resolution",
                _ => "Name or service not known",
            };
            tool.err(&format!(
                "psql: error: could not translate host name \"{host}\" to address: {why}"
            ));
            return 2;
        }
        _ => return 2,
    };
    let address = addresses.first().cloned().unwrap_or_default();
    let request = Request::Sql {
        user,
        password: asked.password,
        database,
    };
    let reply = tool
        .shell
        .sys
        .connect(&address, port, request, patience)
        .await;
    let shown = match address == host {
        true => format!("\"{host}\""),
        false => format!("\"{host}\" ({address})"),
    };
    const HINT: &str = "\n\tIs the server running on that host and accepting TCP/IP connections?";
    let why = match reply {
        Reply::Session(session) => {
            let command = tool.long("command").or_else(|| tool.value('c'));
            let command = command.unwrap_or_default();
            if let Some(script) = command.trim().strip_prefix("\\!") {
                // The session lasts as long as the shell's command.
                let argv = ["sh", "-c", script.trim()].map(str::to_owned).to_vec();
                tool.nested(argv).await;
                drop(session);
                return 0;
            }
            return tool.out(&answer_to(&command, tool));
        }
        Reply::Refused => format!("Connection refused{HINT}"),
        Reply::Timeout if patience.is_some() => "timeout expired".to_owned(),
        Reply::Timeout => format!("Connection timed out{HINT}"),
        Reply::Denied(why) => why,
        _ => "server closed the connection unexpectedly".to_owned(),
    };
    tool.err(&format!(
        "psql: error: connection to server at {shown}, port {port} failed: {why}"
    ));
    2
}

/// What a database says to the few things that are asked of it.
fn answer_to(command: &str, tool: &Tool<'_>) -> String {
    let asked = command.trim().trim_end_matches(';');
    let Some((_, what)) = asked.split_once(' ') else {
        return String::new();
    };
    if what.trim() == "now()" {
        return format!("{}\n", tool.shell.sys.container.clock.now());
    }
    format!(" {}\n\n", what.trim().trim_matches('\''))
}

async fn pg_isready(tool: &mut Tool<'_>) -> i32 {
    let asked = Connection::of(tool);
    let (host, port) = (asked.host(), asked.port());
    let quiet = tool.has('q') || tool.args.iter().any(|word| word == "--quiet");
    let patience = Some(Duration::from_secs(3));
    let reply = tool
        .shell
        .sys
        .connect(&host, port, Request::Tcp, patience)
        .await;
    let (status, said) = match reply {
        Reply::Accepted(_) => (0, "accepting connections"),
        _ => (2, "no response"),
    };
    if !quiet {
        tool.out(&format!("{host}:{port} - {said}\n"));
    }
    status
}

/// What registry's configuration may say, by its sections.
const REGISTRY: &str = "version log loglevel storage auth middleware reporting http notifications redis health \
    proxy compatibility policy validation catalog";

/// The configuration of a registry: what its file says, and what the environment says instead.
///
/// Source: distribution 2.8, `configuration/{configuration,parser}.go`.
fn registry_settings(tool: &Tool<'_>, file: &str) -> Result<Value, String> {
    let text = read(tool, file)
        .map_err(|error| format!("open {file}: {}", error.text().to_lowercase()))?;
    let wrong = |why: String| format!("error parsing {file}: {why}");
    let mut settings: Value =
        serde_saphyr::from_str(&text).map_err(|error| wrong(yaml_error(&error)))?;
    for (name, value) in &tool.shell.variables {
        let Some(place) = name.strip_prefix("REGISTRY_") else {
            continue;
        };
        let place = place.to_lowercase();
        let section = place.split('_').next().unwrap_or_default();
        if is_one_of(REGISTRY, section) {
            put(&mut settings, &place.replace('_', "/"), value);
        }
    }
    let version = match &settings["version"] {
        Value::Number(number) => number.to_string(),
        version => version.as_str().unwrap_or_default().to_owned(),
    };
    if version != "0.1" {
        return Err(wrong(format!("unsupported version: {version:?}")));
    }
    let level = settings["log"]["level"].as_str().unwrap_or("info");
    if !is_one_of("error warn info debug", level) {
        return Err(wrong(format!(
            "invalid loglevel {level} Must be one of [error, warn, info, debug]"
        )));
    }
    let storage = settings["storage"].as_object().into_iter().flatten();
    let kinds: Vec<&str> = storage
        .map(|(kind, _)| kind.as_str())
        .filter(|kind| !is_one_of("maintenance cache delete redirect", kind))
        .collect();
    if kinds.len() > 1 {
        return Err(wrong(format!(
            "must provide exactly one storage type. Provided: {kinds:?}"
        )));
    }
    Ok(settings)
}

/// What go-yaml says of a text that is none.
fn yaml_error(error: &serde_saphyr::Error) -> String {
    let line = error.location().map_or(1, |location| location.line());
    let why = match error.without_snippet() {
        serde_saphyr::Error::ExternalMessage { msg, .. } => msg.clone(),
        other => other.to_string(),
    };
    format!("yaml: line {line}: {why}")
}

/// Puts a setting into its place, below maps that are made where there are none.
fn put(settings: &mut Value, place: &str, value: &str) {
    let mut at = settings;
    for name in place.split('/') {
        if !at.is_object() {
            *at = Value::Object(serde_json::Map::new());
        }
        at = &mut at[name];
    }
    *at = Value::String(value.to_owned());
}

async fn registry(tool: &mut Tool<'_>) -> i32 {
    const USAGE: &str =
        "Usage: \n  registry serve <config> [flags]\nFlags:\n  -h, --help=false: help for serve\n";
    let stamp = |tool: &Tool<'_>| {
        let now = tool.shell.sys.container.clock.now();
        now.strftime("%Y-%m-%dT%H:%M:%S.%9NZ").to_string()
    };
    let words = tool.operands("");
    if words.first().is_none_or(|verb| verb != "serve") {
        return tool.out(USAGE);
    }
    let file = words.get(1).cloned();
    let file = file.or_else(|| setting(tool, "REGISTRY_CONFIGURATION_PATH"));
    let settings = match &file {
        Some(file) => registry_settings(tool, file),
        None => Err("configuration path unspecified".to_owned()),
    };
    let settings = match settings {
        Ok(settings) => settings,
        Err(why) => return tool.err(&format!("configuration error: {why}\n{USAGE}")),
    };
    if settings["storage"]
        .as_object()
        .is_none_or(serde_json::Map::is_empty)
    {
        tool.err("panic: StorageDriver not registered: ");
        return 2;
    }
    let address = settings["http"]["addr"].as_str().unwrap_or_default();
    let port = address
        .rsplit_once(':')
        .and_then(|(_, port)| port.parse().ok());
    let Some(port) = port else {
        let now = stamp(tool);
        return tool.err(&format!(
            "time=\"{now}\" level=fatal msg=\"listen tcp: address {address}: missing port in address\""
        ));
    };
    let serving = Serving::Http {
        status: 200,
        body: "{}".to_owned(),
        paths: Vec::new(),
    };
    if let Err(error) = tool.shell.sys.listen(port, serving).await {
        let why = match error {
            ListenError::InUse => "address already in use",
            ListenError::Denied => "permission denied",
        };
        let now = stamp(tool);
        return tool.err(&format!(
            "time=\"{now}\" level=fatal msg=\"listen tcp {address}: bind: {why}\""
        ));
    }
    let now = stamp(tool);
    tool.err(&format!(
        "time=\"{now}\" level=info msg=\"listening on [::]:{port}\""
    ));
    tool.shell.sys.until_term().await;
    2
}

/// The cluster's name server.
async fn names(tool: &mut Tool<'_>) -> i32 {
    let http = |body: &str| Serving::Http {
        status: 200,
        body: body.to_owned(),
        paths: Vec::new(),
    };
    for (port, serving) in [(53, Serving::Names), (8080, http("OK")), (8181, http("OK"))] {
        if tool.shell.sys.listen(port, serving).await.is_err() {
            tool.err(&format!(
                "Listen: listen tcp :{port}: bind: address already in use"
            ));
            return 1;
        }
    }
    tool.out(".:53\nCoreDNS-1.12.1\nlinux/amd64, go1.24.1, 707c7c1\n");
    tool.shell.sys.until_term().await;
    tool.out("[INFO] SIGTERM: Shutting down servers then terminating\n");
    0
}

async fn kubectl(tool: &mut Tool<'_>) -> i32 {
    let operands = tool.operands("on");
    let (verb, what) = match operands.as_slice() {
        [verb, what, ..] if verb == "get" => ("list", what.clone()),
        _ => return tool.err("error: only `kubectl get` is known here"),
    };
    let request = Call::Api {
        verb: verb.to_owned(),
        resource: what.clone(),
    };
    match tool.shell.sys.ask(request).await {
        Answer::Api(Ok(names)) => {
            let text: String = names.iter().map(|name| format!("{name}\n")).collect();
            tool.out(&text)
        }
        Answer::Api(Err(why)) => {
            tool.err(&why);
            1
        }
        _ => 1,
    }
}
