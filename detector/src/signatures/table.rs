use super::Meaning::{self, *};
use super::Signature;

macro_rules! table {
    ($($meaning:ident { $($pattern:literal)* })*) => {
        &[$($(Signature { meaning: $meaning as Meaning, pattern: $pattern },)*)*]
    };
}

/// Every signature. Of several that match a line the first counts: what tells more comes first.
pub(super) const TABLE: &[Signature] = table! {
    AccessDenied {
        r#"(?:(?P<name>"[^"]+") is forbidden: )?User "(?P<user>[^"]+)" cannot (?P<verb>[a-z]+) resource "(?P<resource>[^"]+)" in API group "(?P<group>[^"]*)"(?: in the namespace "(?P<namespace>[^"]+)")?"#
        r#"User "(?P<user>system:serviceaccount:[^"]+)" cannot (?P<verb>[a-z]+) (?P<resource>[a-z]+(?:/[a-z]+)?)(?:\.(?P<group>[a-z0-9.]+))? (?:in the namespace "(?P<namespace>[^"]+)"|at the cluster scope)"#
        r#"User "(?P<user>[^"]+)" cannot (?P<verb>[a-z]+) path "(?P<resource>[^"]+)""#
    }
    Untrusted {
        r"(?P<problem>x509: (?:certificate (?:has expired or is not yet valid|is not valid for any names|is valid for [^\n]*, not |relies on legacy Common Name)|cannot validate certificate)|\bCERT_HAS_EXPIRED\b|ERR_TLS_CERT_ALTNAME_INVALID|RemoteCertificateNameMismatch|certificate has expired|No subject alternative (?:DNS )?names? )"
        r"(?P<what>x509: certificate signed by unknown authority|PKIX path (?:building|validation) failed|unable to find valid certification path|SELF_SIGNED_CERT_IN_CHAIN|DEPTH_ZERO_SELF_SIGNED_CERT|UNABLE_TO_VERIFY_LEAF_SIGNATURE|UNABLE_TO_GET_ISSUER_CERT|(?i:self[- ]signed certificate in (?:certificate )?chain|unable to get (?:local )?issuer certificate|certificate[ _]verify[ _]failed|invalid peer certificate|RemoteCertificateChainErrors|remote certificate is invalid))"
    }
    ConfigInvalid {
        r"Unable to validate credentials inherited from the shell environment: (?P<problem>.+)"
    }
    PermissionDenied {
        r"\(13\)Permission denied: AH\d+: make_sock: (?P<what>could not bind to address \S+)"
    }
    PortInUse {
        r"bind\(\) to (?P<host>\S*):(?P<port>\d+) failed \(98: "
        r"\[emerg\].* still could not bind\(\)"
        r"(?:EADDRINUSE|(?i:address already in use))(?::(?: address already in use)?)? (?P<host>[^\s,]*?):(?P<port>\d+)"
        r"listen \w+ (?P<host>\S*):(?P<port>\d+): bind: (?i:address already in use)"
        r"(?i)Port (?P<port>\d+) (?:is|was) already in use"
        r"(?i)(?:could not|failed to|cannot|unable to) bind (?:to )?(?:\w+ )?(?:address |socket |server )?(?:https?://)?(?P<host>\S*?):(?P<port>\d+)\b.*(?:already in use|\(98\))"
        r"(?i)could not bind to address (?P<host>\S*):(?P<port>\d+)"
        r"distribution port (?P<port>\d+),? (?:it is )?in use"
        r"(?i)socket (?P<host>\S*?):(?P<port>\d+): bind: address already in use"
        r#"(?i)could not bind IPv[46] address "(?P<host>[^"]*)": address already in use"#
        r"(?i)address \(?'?(?P<host>[0-9.\[\]:a-f*]*?)'?,? ?:?(?P<port>\d+)\)?:? (?:is )?already in use"
        r"(?i)\[Errno 98\]|java\.net\.BindException: Address already in use|address already in use|EADDRINUSE|Address in use|os error 98"
    }
    LoginRefused {
        r#"(?:connection to server at|to server) "(?P<host>[^"]+)".* password authentication failed for user "(?P<user>[^"]+)""#
        r#"(?i:password authentication failed for user) "?(?P<user>[^"\s]+)"?"#
        r#"(?i:peer|ident|scram|ldap|gssapi|certificate|md5|trust) authentication failed for user "(?P<user>[^"]+)""#
        r#"(?:no pg_hba\.conf entry|pg_hba\.conf rejects connection) for host "[^"]*", user "(?P<user>[^"]+)""#
        r#"role "(?P<user>[^"]+)" does not exist"#
        r"Access denied for user '(?P<user>[^']*)'@'[^']*'(?: \(using password: (?:YES|NO)\))"
        r"\bWRONGPASS\b|\bNOAUTH\b|ERR invalid password|ERR AUTH <password> called without any password|-?ERR Client sent AUTH, but no password is set"
        r"\b(?:\w+\.)+AuthenticationError: |Host '[^']*' is not allowed to connect to this (?:MySQL|MariaDB) server"
        r#"(?i)Reason: "username or password not allowed"|'security_exception', '(?:missing|unable to|failed to) authenticat"#
        r"Error making API request\..*Code: 403"
        r"\b(?:nats|NATS): '?(?i:Authorization Violation)"
        r"(?i)ACCESS_REFUSED - Login was refused|SaslAuthenticationException|Sasl authentication failed"
        r"(?i)MongoServerError: (?:bad auth|Authentication failed)|MongoSecurityException|sasl conversation error|bad auth : Authentication failed|SCRAM\S* authentication failed"
        r"(?i)unable to authenticate (?:user|with provided credentials)(?: \[(?P<user>[^\]]+)\])?"
        r"(?i)LDAP: error code 49|Invalid credentials \(49\)|535[ -][0-9.]* .*(?:authentication|credentials)"
        r"(?i)InvalidAccessKeyId|SignatureDoesNotMatch|InvalidClientTokenId|InvalidToken: The provided token|security token included in the request is (?:invalid|expired)|ExpiredToken"
        r"(?i)\b401[: ]+\(?Unauthorized\b|HTTP(?:/[0-9.]+)? 401\b|(?:status|code|returned|response)[ :=]+401\b|\bError 401\b|code = Unauthenticated"
        r"remote error: tls: (?:bad certificate|certificate required|unknown certificate authority|expired certificate)|SSLV3_ALERT_(?:BAD_CERTIFICATE|CERTIFICATE_UNKNOWN|CERTIFICATE_EXPIRED)"
        r"Permission denied \((?:publickey|password|keyboard)"
        r"\bUNAUTHENTICATED\b|(?i:\bauthentication required)[.!]?(?:['\x22)]|$)|\binvalid_(?:client|grant)\b|unauthorized: unauthorized access"
        r"Not authorized to perform sts:AssumeRole\w*|(?i:invalid|expired) client secret"
        r"(?i)\b(?:login|authentication|auth) (?:was )?(?:failed|refused|rejected) (?:for|as|with|by) (?:user )?['\x22]?(?P<user>[\w.@-]+)"
        r"(?i)Login failed for user '(?P<user>[^']*)'"
        r"(?i)\b(?:invalid|wrong|incorrect|bad|expired) (?:username|user name|user|credentials|password|api[ _-]?key|api token|access token|auth(?:entication)? token)\b(?: or password| and password)?"
        r"(?i)\b(?:authentication|login) (?:failed|failure|was refused|denied|rejected)\b"
    }
    WorkRefused {
        r#"server at "(?P<host>[^"]+)"(?: \([^)]*\))?, port \d+ failed: FATAL:\s+(?P<problem>sorry, too many clients already|remaining connection slots are reserved.*|(?P<passing>the database system is .*)|database "[^"]+" does not exist|too many connections for .*)"#
        r"(?P<problem>sorry, too many clients already|remaining connection slots are reserved[^\n]*|too many connections for (?:role|database)[^\n]*)"
        r"(?P<problem>Too many connections|max number of clients reached|Host '[^']*' is blocked because of many connection errors)"
        r"(?P<problem>(?:READONLY )?You can't write against a read only (?:replica|slave)|cannot execute \w+ in a read-only transaction|running with the --(?:super-)?read-only option|NotWritablePrimary|not (?:primary|master) and (?:slaveOk|secondaryOk)=false|index read-only / allow delete|MISCONF Redis is configured)"
        r"(?P<problem>OOM command not allowed when used memory|mvcc: database space exceeded|disk usage exceeded flood-stage watermark|could not extend file [^\n]*No space left on device|The table '[^']*' is full)"
        r"(?P<problem>(?P<passing>the database system is (?:in recovery mode|shutting down|starting up|not yet accepting connections)))"
        r#"(?P<problem>(?i:FATAL|ERROR|psql|Exception|pq)\S*:?\s.*database "[^"]+" does not exist)"#
        r"(?P<problem>Unknown database '[^']+')"
        r"(?P<problem>no more connections allowed \(max_client_conn\)|pgbouncer cannot connect to server)"
        r"(?P<problem>Not authorized to access (?:topics|group)\b.*)"
        r"\* (?P<problem>Vault is sealed)"
        r"(?P<problem>We could not find your database: \S+[^.\s])"
        r"(?P<problem>is not authorized to perform: \w+:\w+|UnauthorizedOperation: You are not authorized[^\x22]*|AccessDenied: Access Denied)"
        r"(?i)(?P<problem>NotEnoughReplicas\w*|LEADER_NOT_AVAILABLE|\b(?:503 Service (?:Temporarily )?Unavailable|429 Too Many Requests))"
        r"(?i)(?P<problem>\b(?:(?P<passing>LOADING Redis is loading the dataset)|CLUSTERDOWN The cluster is down|MASTERDOWN Link with MASTER is down))"
    }
    NoSuchName {
        r"lookup (?P<host>[^\s:]+)(?: on \S+)?: no such host"
        r"getaddrinfo ENOTFOUND (?P<host>[^\s:'\x22,]+)(?::(?P<port>\d+))?"
        r"\*\* server can't find (?P<host>[^\s:]+): NXDOMAIN"
        r#"host not found in (?:upstream|resolver|"[^"]*"|[a-z_]+) "(?P<host>[^":/]+)(?::(?P<port>\d+))?[^"]*"(?: of the [^\n]*?)?(?: in (?P<file>/[^\s:]+):(?P<line>\d+))?"#
        r#"could not translate host name "(?P<host>[^"]+)" to address: (?i:Name or service not known|Name does not resolve|nodename nor servname|Unknown host|No address associated)"#
        r"(?i)host '(?P<host>[^']+)':? Name or service not known"
        r"tcp connect \((?P<host>[\w.-]+):(?P<port>\d+)\): non-existing domain"
        r"getaddrinfo\(host='(?P<host>[^']+)'[^)]*\): (?:Name or service not known|Domain name not found)"
        r"Failed to resolve '(?P<host>[^':]+):(?P<port>\d+)': (?:Name or service not known|Name does not resolve)"
        r"(?i)Could not connect to \w+ at (?P<host>[^\s:]+):(?P<port>\d+): Name or service not known"
        r"(?i)host='(?P<host>[^']+)', port='?(?P<port>\d+).*(?:Name or service not known|Name does not resolve|No address associated)"
        r"(?i)Name or service not known \((?P<host>[^\s:)]+)(?::(?P<port>\d+))?\)"
    }
    NoNameService {
        r"lookup (?P<host>[^\s:]+)(?: on \S+?)?: (?:i/o timeout|server misbehaving|Temporary failure in name resolution|Try again|(?:read|write|dial) udp |(?:read|dial) tcp )"
        r"getaddrinfo EAI_AGAIN (?P<host>[^\s:'\x22,]+)(?::(?P<port>\d+))?"
        r#"could not translate host name "(?P<host>[^"]+)" to address: (?i:Temporary failure|Try again)"#
        r"(?i)host='(?P<host>[^']+)', port='?(?P<port>\d+).*(?:Temporary failure in name resolution|Try again)"
        r"connection timed out; no servers could be reached"
        r"getaddrinfo\(host='(?P<host>[^']+)'[^)]*\): (?:Timeout while contacting|Could not contact) DNS servers"
        r"(?i)Temporary failure in name resolution(?: \((?P<host>[^\s:)]+)(?::(?P<port>\d+))?\))?"
        r"\[Errno -3\]|EAI_AGAIN"
    }
    Unresolved {
        r"bad address '(?P<host>[^':]+)(?::(?P<port>\d+))?'"
        r"(?:wget|ping|nc|nslookup): (?:unable|can't) (?:to )?resolve (?:host address )?['\x22]?(?P<host>[\w.-]+)"
        r"(?i)Could not resolve (?:host(?:name)?|proxy|address):? ['\x22]?(?P<host>[\w.-]+)"
        r"Couldn't resolve server (?P<host>[\w.-]+):(?P<port>\d+) from bootstrap\.servers"
        r"No resolvable bootstrap urls given"
        r"UnknownHostException: (?P<host>[\w.-]+)"
        r"Unknown MySQL server host '(?P<host>[^']+)'"
        r"(?i)getaddrinfo (?:for|of) (?P<host>[\w.-]+) failed"
        r"(?i)can't resolve '(?P<host>[^']+)'"
        r"unable to resolve host address ['\x22]?(?P<host>[\w.-]+)"
        r"could not resolve address '(?P<host>[^':]+)(?::(?P<port>\d+))?'"
        r"(?i)(?:failed|unable) to (?:resolve|lookup) (?:host|hostname|name|address|dns)(?: name)?(?: for)?:? ['\x22]?(?P<host>[a-z0-9][\w.-]*[a-z0-9])['\x22]?(?::(?P<port>\d+))?(?:[\s:,.]|$)"
        r"(?i)Name or service not known|Name does not resolve|nodename nor servname provided|php_network_getaddresses|failed to lookup address information|getaddrinfo(?:\(3\))?:? (?:failed|error)|\[Errno -2\]|NameResolutionError|No such host is known"
    }
    Refused {
        r"dial \w+ (?P<host>\[[^\]]+\]|[^\s:]+):(?P<port>\d+): (?:connect: )?connection refused"
        r"connect ECONNREFUSED (?P<host>\[?[0-9a-fA-F.:]+?\]?):(?P<port>\d+)"
        r#"server at "(?P<host>[^"]+)"(?: \([^)]*\))?, port (?P<port>\d+) failed: Connection refused"#
        r"Connection to (?P<host>[\w.-]+):(?P<port>\d+) refused"
        r#"could not connect to server: Connection refused.*on host "(?P<host>[^"]+)"(?: \([^)]*\))?.* on port (?P<port>\d+)"#
        r"Connect to (?P<host>[\w.-]+):(?P<port>\d+) \[[^\]]*\] failed: Connection refused"
        r"(?i)Could not connect to \w+ at (?P<host>[^\s:]+):(?P<port>\d+): Connection refused"
        r"(?i)Error 111 connecting to (?P<host>[^\s:]+):(?P<port>\d+)"
        r"(?i)host='(?P<host>[^']+)', port='?(?P<port>\d+).*Connection refused"
        r"Can't connect to (?:local )?(?:MySQL|MariaDB) server on '(?P<host>[^':]+)(?::(?P<port>\d+))?' \((?:111|61|\[Errno 111\])"
        r#"Connection refused - connect\(2\) for "?(?P<host>[^"\s]+)"? port (?P<port>\d+)"#
        r"(?i)connect to (?P<host>[\w.-]+) port (?P<port>\d+)[^:]*: (?:Connection refused|Couldn't connect to server)"
        r"ipv4:(?P<host>[0-9.]+):(?P<port>\d+): Failed to connect to remote host: (?:connect: )?Connection refused"
        r#"connection to the host (?P<host>[\w.-]+), port (?P<port>\d+) has failed\. Error: "Connection refused"#
        r"ORA-12541: Cannot connect\. No listener at host (?P<host>\S+) port (?P<port>\d+)"
        r"ORA-12541\b"
        r"Error connecting to \w+ on (?P<host>[\w.-]+):(?P<port>\d+) \((?:Errno::)?ECONNREFUSED\)"
        r"Tried connecting to \[\('(?P<host>[^']+)', (?P<port>\d+)\)\]\. Last error: Connection refused"
        r"(?i)(?:nc|telnet): (?:can't connect to remote host|connect to|connect:) \(?(?P<host>[\w.:-]+?)\)?(?: port (?P<port>\d+))?[^:]*: Connection refused"
        r"(?:wget|nc|telnet): can't connect to remote host \((?P<host>[^)]+)\): Connection refused"
        r"nc: (?P<host>[\w.-]+) \([^)]*?:(?P<port>\d+)\): Connection refused"
        r"/dev/tcp/(?P<host>[^/\s]+)/(?P<port>\d+): Connection refused"
        r"(?i)Connection refused[^/\n]*: (?:/|(?P<host>[\w.-]+)/)[0-9.]*:(?P<port>\d+)"
        r"(?i)Connection refused \((?P<host>[\w.-]+):(?P<port>\d+)\)"
        r#"Connection refused\) while connecting to upstream.*upstream: "\w+://(?P<host>\[[^\]]+\]|[^":/]+)(?::(?P<port>\d+))?"#
        r"(?i)(?P<host>[a-z0-9][a-z0-9.-]*[a-z0-9]):(?P<port>\d{2,5})\b.{0,40}connection (?:was )?refused"
        r"(?i)connection (?:was )?refused|ECONNREFUSED|\[Errno 111\]|os error 111"
    }
    TimedOut {
        r"dial \w+ (?P<host>\[[^\]]+\]|[^\s:]+):(?P<port>\d+): (?:i/o timeout|connect: connection timed out|connect: operation timed out)"
        r"connect ETIMEDOUT (?P<host>\[?[0-9a-fA-F.:]+?\]?):(?P<port>\d+)"
        r#"server at "(?P<host>[^"]+)"(?: \([^)]*\))?, port (?P<port>\d+) failed: (?:Connection timed out|timeout expired|Operation timed out)"#
        r#"could not connect to server: (?:Connection|Operation) timed out.*on host "(?P<host>[^"]+)"(?: \([^)]*\))?.* on port (?P<port>\d+)"#
        r"(?i)Failed to connect to (?P<host>[\w.-]+) port (?P<port>\d+) after \d+ ms: Timeout"
        r"(?i)Could not connect to \w+ at (?P<host>[^\s:]+):(?P<port>\d+): (?:Connection|Operation) timed out"
        r"(?i)Error 110 connecting to (?P<host>[^\s:]+):(?P<port>\d+)"
        r"(?i)Timeout connecting to (?:server|(?P<host>[\w.-]+):(?P<port>\d+))"
        r"(?i)host='(?P<host>[^']+)', port='?(?P<port>\d+).*(?:ConnectTimeoutError|timed out)"
        r"Can't connect to (?:MySQL|MariaDB) server on '(?P<host>[^':]+)(?::(?P<port>\d+))?' \((?:110|115|\[Errno 110\]|timed out)"
        r"(?i)connect to (?P<host>[\w.-]+) port (?P<port>\d+)[^:]*: (?:Connection|Operation) timed out"
        r"(?i)Connection to (?P<host>[\w.-]+?)(?::(?P<port>\d+))? timed out"
        r"nc: (?P<host>[\w.-]+) \([^)]*?:(?P<port>\d+)\): (?:Connection|Operation) timed out"
        r"/dev/tcp/(?P<host>[^/\s]+)/(?P<port>\d+): (?:Connection|Operation) timed out"
        r"(?i)(?:connect|connection) timed out: (?:/|(?P<host>[\w.-]+)/)[0-9.]*:(?P<port>\d+)"
        r"(?i)(?:connect|connection) timed out: (?P<host>[a-z][\w.-]*):(?P<port>\d+)"
        r"Connect to (?P<host>[\w.-]+):(?P<port>\d+) \[[^\]]*\] failed: (?i:connect timed out|Connection timed out)"
        r#"Operation timed out\) while connecting to upstream.*upstream: "\w+://(?P<host>\[[^\]]+\]|[^":/]+)(?::(?P<port>\d+))?"#
        r"(?i)timeout occurred after waiting \d+ seconds for (?P<host>[\w.-]+):(?P<port>\d+)"
        r"ipv4:(?P<host>[0-9.]+):(?P<port>\d+): Failed to connect to remote host: (?:Timeout occurred|.*timed out)"
        r#"connection to the host (?P<host>[\w.-]+), port (?P<port>\d+) has failed\. Error: "[^"]*timed out"#
        r"connection #-?\d+ to tcp://(?P<host>[\w.-]+):(?P<port>\d+) timed out"
        r"connection #-?\d+ timeout after \d+ seconds to: (?P<host>[\w.-]+):(?P<port>\d+)"
        r"Tried connecting to \[\('(?P<host>[^']+)', (?P<port>\d+)\)\]\. Last error: timed out"
        r"Timed out waiting for connection while in state: CONNECTING"
        r"(?i)waiting on dependencies to become available: \[\w+://(?P<host>[\w.-]+):(?P<port>\d+)"
        r"\b(?:wget|nc|telnet): (?:download|connection|operation)? ?timed out"
        r"(?i)connect(?:ion)?(?: attempt)?(?: has)? timed out|connection timeout|connect timeout|connection attempt failed because the connected party did not|SocketTimeoutException|ConnectTimeout\w*|ETIMEDOUT|ESOCKETTIMEDOUT|\[Errno 110\]|os error 110|Client\.Timeout exceeded while awaiting headers|ServerSelectionTimeoutError|Server selection timed out|\bOpenTimeout\b|\bexecution expired\b|Operation timed out after|Operation timed out|: i/o timeout|request timed out after \d+ms|TimeoutError: (?:connect|timed out)"
        r"(?i)context deadline exceeded|DeadlineExceeded"
    }
    NoRoute {
        r"dial \w+ (?P<host>\[[^\]]+\]|[^\s:]+):(?P<port>\d+): connect: (?:no route to host|network is unreachable|host is unreachable)"
        r"connect E(?:HOST|NET)UNREACH (?P<host>\[?[0-9a-fA-F.:]+?\]?):(?P<port>\d+)"
        r"(?i)no route to host|host is unreachable|network is unreachable|EHOSTUNREACH|ENETUNREACH|\[Errno 1(?:01|13)\]|NoRouteToHostException"
    }
    LibraryMissing {
        r"error while loading shared libraries: (?P<file>[^\s:]+): cannot open shared object file"
        r"Error loading shared library (?P<file>[^\s:]+):"
        r"version [`'](?P<file>(?:GLIBC|GLIBCXX|CXXABI|OPENSSL)_[0-9.]+)' not found"
        r"(?P<file>lib[\w.+-]+\.so[0-9.]*): cannot open shared object file"
        r"ModuleNotFoundError: No module named ['\x22]?(?P<file>[\w.-]+)"
        r"ImportError: No module named ['\x22]?(?P<file>[\w.-]+)"
        r"ImportError: cannot import name ['\x22]?(?P<file>[\w.-]+)"
        r"ImproperlyConfigured: Error loading (?P<file>[\w.]+)(?: or \w+)? module"
        r"Cannot find (?:module|package) ['\x22](?P<file>[^'\x22]+)['\x22]"
        r"cannot load such file -- (?P<file>\S+)"
        r"bundler: command not found: (?P<file>\S+)"
        r"Could not find gem '(?P<file>[\w.-]+)"
        r"Error relocating (?P<file>/\S+): \S+: symbol not found"
        r"UnsupportedClassVersionError: (?P<file>[\w/.$]+)"
        r"no main manifest attribute, in (?P<file>\S+)"
        r"Could not find (?P<file>[\w.-]+) in (?:any of the sources|locally installed gems|rubygems)"
        r"Bundler::GemNotFound"
        r"Could not find or load main class (?P<file>[\w.$/-]+)"
        r"Unable to access jarfile (?P<file>\S+)"
        r"NoClassDefFoundError: (?:Could not initialize class )?(?P<file>[\w.$/]+)"
        r"ClassNotFoundException: (?P<file>[\w.$/]+)"
        r"java\.lang\.UnsatisfiedLinkError: (?:no )?(?P<file>[^\s:]+)"
        r"(?:System\.IO\.)?FileNotFoundException: Could not load file or assembly '(?P<file>[^',]+)"
        r"Could not load file or assembly '(?P<file>[^',]+)"
        r"Unable to load (?:shared library|DLL) '(?P<file>[^']+)'"
        r"The application to execute does not exist: '(?P<file>[^']+)'"
        r"The application '(?P<file>[^']+)' does not exist"
        r"(?:You must install or update \.NET|Framework: ')(?P<file>Microsoft\.[\w.]+)"
        r"You must install or update \.NET to run this application"
        r"(?:require|include)(?:_once)?\((?P<file>[^)]+)\): [Ff]ailed to open stream: No such file"
        r#"Uncaught Error: Class ["'](?P<file>[^"']+)["'] not found"#
        r#"Failed opening required '(?P<file>[^']+)'"#
        r"Can't locate (?P<file>[\w/.]+\.pm) in @INC"
        r"can't open file '(?P<file>[^']+)': \[Errno 2\]"
        r"\.: (?:line \d+: )?(?:can't|cannot) open '?(?P<file>[^\s':]+)'?: No such file"
        r"Could not open input file: (?P<file>\S+)"
        r"(?i)missing (?:shared )?library:? (?P<file>[\w.+-]+)"
        r"Could not import module [\x22'](?P<file>[\w.]+)[\x22']"
        r"PackageNotFoundError: (?:No package metadata was found for )?(?P<file>[\w.-]+)"
    }
    ConfigInvalid {
        r".*Syntax error on line (?P<line>\d+) of (?P<file>[^\s:]+):[ \t]*(?P<problem>.*)"
        r"httpd: (?P<problem>Could not open configuration file (?P<file>[^\s:]+).*)"
        r#"\[emerg\](?: \d+#\d+:)? (?P<problem>open\(\) "[^"]+" failed \(2: .*?) in (?P<file>/[^\s:]+):(?P<line>\d+)"#
    }
    PermissionDenied {
        r#"\[(?:emerg|alert)\](?: \d+#\d+:)? .*?(?P<what>(?:bind\(\) to \S+|\w+\(\) "[^"]+")) failed \((?:1|13|30): "#
        r"(?:EACCES|EPERM|EROFS): [a-z -]+, (?P<what>\w+ '?[^'\n]+)"
        r"\[Errno (?:1|13|30)\] (?:Operation not permitted|Permission denied|Read-only file system)(?:: '?(?P<what>[^'\n]+))?"
        r"AccessDeniedException: (?P<what>/\S+)"
        r"\((?:1|13|30)\)(?:Operation not permitted|Permission denied|Read-only file system): (?:AH\d+: )?(?P<what>\S.*)"
        r"(?P<what>(?:listen|bind)\S*(?: \w+)? \S*:\d+): (?:bind: )?permission denied"
        r"(?P<what>(?:open|mkdir|create|unlink|chown|chmod|stat|rename|remove|fork/exec|exec|read|write|mkdirat|openat) [^\s:]+): (?:permission denied|read-only file system|operation not permitted)"
        r"can't (?:create|open|remove|cd to|execute) (?:directory )?'?(?P<what>[^':\s]+)'?: (?i:Permission denied|Read-only file system)"
        r"(?i)cannot (?:create|open|touch|remove|access|make|write|execute|change ownership of|set permissions on) (?:regular file |directory |file )?['\x22`]?(?P<what>[^'\x22:]+)[^:]*: (?:Permission denied|Read-only file system|Operation not permitted)"
        r#"(?i)could not (?:open|create|change permissions of|access|write) (?:lock )?(?:file|directory) "(?P<what>[^"]+)".*: (?:Permission denied|Read-only file system|Operation not permitted)"#
        r"(?P<what>/[^\s:'\x22]+)['\x22]?: (?:[\w-]+: ){0,3}(?i:Permission denied|Read-only file system|Operation not permitted)"
        r"(?i)failed to (?P<what>lock memory): cannot allocate memory"
        r"(?P<what>/[^\s:'\x22()]+) \((?i:Permission denied|Read-only file system)\)"
        r"(?i)access to the path '(?P<what>[^']+)' is denied"
        r#"\b(?P<what>chown "[^"]+") failed: Operation not permitted"#
        r"(?i)permissions (?:\d+ )?(?:on|for) '?(?P<what>/[^\s']+?)'? are too open"
        r"(?P<what>[Cc]ookie file /\S+) must be accessible by owner only"
        r"Unable to (?:use|write to) the (?:drive|disk) (?P<what>/[^\s:]+): (?:drive|disk|file) access denied"
        r"Unable to initialize (?:the )?backend: .*access denied"
        r"Operating system error number 13 in a file operation|does not have the access rights to the directory"
        r"(?i)(?:has wrong|incorrect) (?:ownership|permissions?):? (?:on )?(?P<what>/\S+)"
        r#"(?i)(?:directory|file) "(?P<what>[^"]+)" has (?:wrong ownership|invalid permissions|incorrect permissions|group or world access)"#
        r"(?P<what>'/[^']+') \((?:Errcode|OS errno):? (?:1|13|30)\b"
        r"(?i)must be (?:run as|started (?:as|by)) root|must not be run as root|\x22root\x22 execution of the PostgreSQL server is not permitted|(?:can ?not|can't|refus\w+ to) run (?:[^\n]* )?as (?:the )?(?:root|superuser)\b"
        r"(?i)(?:failed|error|cannot|can't|unable|could not|fatal)\b.*(?:permission denied|read-only file system|operation not permitted)(?: \(os error (?:1|13|30)\))?[)\]'\x22.]*$"
        r"(?P<what>/[^\s:'\x22\\]+): (?:eacces|eperm|erofs)\b"
        r"exec user process caused:? \x22?permission denied"
        r"can't initialize iptables table [`'](?P<what>\w+)': Permission denied"
        r"\(os error (?:13|30)\)"
        r"SocketException \(13\): Permission denied"
        r"read-only directory: (?P<what>/[^\s\x22]+)"
        r"AccessDeniedException\[(?P<what>/[^\]]+)\]"
        r"(?P<what>'/[^']+') is not writable"
        r"(?:^|[^\w])(?:PermissionError|EACCES|EROFS)\b"
        r"^(?:\S+: )?(?:Permission denied|Read-only file system|Operation not permitted)$"
    }
    ConfigInvalid {
        r"requirement failed: (?P<problem>(?P<name>[a-z][a-z0-9]*(?:\.[a-z0-9]+)+) .*)"
        r"ConfigException: (?P<problem>Error processing (?P<file>\S+))"
        r"(?P<problem>(?P<file>/\S+) file is missing)"
        r"(?P<problem>no configuration found in file): (?P<file>/\S+)"
        r"(?P<problem>Failed to find (?:attribute|application object) '[^']+' in '(?P<argument>[^']+)')"
        r#"(?P<problem>Missing script: "(?P<argument>[^"]+)")"#
        r"(?P<problem>\bnot a (?:valid )?PEM\b[^\x22]*)"
        r#"(?i)(?P<problem>(?:could not|couldn't|cannot|can't|failed to|unable to|missing|no) [^\x22]*\b(?:environment|env) ?var(?:iable)?s? ["'`$]*(?P<name>(?-i:[A-Z][A-Z0-9_]+|[a-z]+(?:_[a-z0-9]+)+))[^\x22]*)"#
        r"(?P<problem>(?P<file>[\w./-]+\.(?:conf|cfg|ini|ya?ml|toml|json)) config(?:uration)? is invalid[^\x22\]]*)"
        r"(?P<problem>parser '(?P<argument>[^']+)' (?:is )?not registered)"
        r"(?P<problem>config has invalid keys? \[(?P<argument>[\w.-]+).*)"
        r"(?P<problem>(?:options\.)?port should be >= 0 and < 65536\. Received (?:type \w+ )?\(?'?(?P<value>[^'\s]+?)'?\)?\.?)$"
        r"(?P<problem>NoCredentialProviders: no valid providers|Unable to locate credentials|could not find default credentials)"
        r"(?i)(?P<problem>\w[^:]*\b(?:requires? that (?:these|the following) (?:environment |env )?var(?:iable)?s are set\b|(?:these|the following) (?:required |missing )?(?:environment |env )?var(?:iable)?s (?:are (?:not |missing|required|unset|undefined|empty|invalid)|(?:must|need to|have to) be |to be set)).*)"
        r#"(?i)(?P<problem>(?:invalid|unknown|bad|unsupported) (?:value|option|setting) (?:\S+ )?(?:for|of|in) (?:the )?(?:environment |env )?variable ["'`$]*(?P<name>(?-i:[A-Z][A-Z0-9_]+|[a-z]+(?:_[a-z0-9]+)+)).*)"#
        r"AirflowConfigException: (?P<problem>.+)"
        r"(?P<problem>Invalid yaml): (?:file:)?(?P<file>/\S+)"
        r"(?P<problem>Invalid yaml\. Please remove properties \[(?P<argument>\w+).*)"
        r"bootstrap check failure \[\d+\] of \[\d+\]: (?P<problem>the default discovery settings .+)"
        r"(?P<problem>Failed to load settings from \[(?P<file>[^\]]+)\].*)"
        r"(?P<problem>Key material not provided to setup HTTPS|Strict hostname resolution configured but no hostname .+)"
        r"(?P<problem>Error while setting value '[^']*' to '(?P<argument>[^']+)')"
        r"Error during startup: \{error,\s?(?P<problem>failed_to_\w*configuration\w*)"
        r"(?P<problem>Refusing to start due to insecure (?P<name>SECRET_KEY))"
        r"(?P<problem>variable reference for '(?P<name>[^']+)' on line (?P<line>\d+) can not be found)"
        r"Invalid command line arguments: (?P<problem>.+)"
        r"(?P<problem>Config data (?:resource|location) '[^']*'(?: via location '[^']*')? (?:does not exist|cannot be found).*)"
        r#"(?P<problem>Configuration property "(?P<name>[^"]+)" is not defined)"#
        r#"(?P<problem>"(?P<name>[A-Z][A-Z0-9_]*)" is a required variable.*)"#
        r"(?P<problem>[Ii]nvalid environment variables?:.*)"
        r"(?P<problem>\bZodError\b)"
        r"(?P<problem>[Ee]nvironment variable not found: [`']?(?P<name>\w+))"
        r"(?P<problem>The environment variable `(?P<name>\w+)` resolved to an empty string)"
        r"(?P<problem>Set the (?P<name>[A-Z][A-Z0-9_]+) environment variable)"
        r"(?P<problem>Missing `secret_key_base` for '\w+' environment|Missing encryption key to decrypt file with)"
        r"(?P<problem>Format of the initialization string does not conform to specification)"
        r"(?P<problem>No application encryption key has been specified|Database connection \[(?P<argument>[^\]]+)\] not configured)"
        r#"^plugin/(?P<argument>\w+): (?P<problem>.+)"#
        r"(?i)failed to (?:parse|decode) (?P<file>/[\w./-]+\.(?:conf|cfg|cnf|ini|ya?ml|toml|json|properties|xml|hcl))(?:, |: )(?P<problem>.+)"
        r"ConfigException: (?P<problem>(?:Missing required configuration \x22(?P<name>[^\x22]+)\x22|Invalid value .* for configuration [^\s:]+).*)"
        r"\[emerg\](?: \d+#\d+:)? (?P<problem>.+?) in (?P<file>/[^\s:]+):(?P<line>\d+)"
        r"nginx: \[emerg\] (?P<problem>.+)"
        r"\[ALERT\].*parsing \[(?P<file>[^\]:]+):(?P<line>\d+)\] ?: (?P<problem>.+)"
        r"\[ALERT\].*(?P<problem>Error\(s\) found in configuration file) : (?P<file>\S+)"
        r"\[ALERT\].*(?P<problem>Could not open configuration file|Cannot open configuration file\S*|cannot open) .*?(?P<file>/\S+)"
        r"\[ALERT\].*config : (?P<problem>(?:Proxy|proxy|backend|frontend|listen|config) '.+)"
        r"ERROR: \[(?P<file>/[^\s:\]]+\.(?:conf|ini)):(?P<line>\d+)\] (?P<problem>.+)"
        r"\bBungled (?P<file>\S+) line (?P<line>\d+): (?P<problem>.+)"
        r"^\('(?P<file>/[^']+)' Line (?P<line>\d+) Pos \d+\)"
        r"^(?P<problem>(?:Unknown|Undefined|Unused|Symbol not found|Expected|Invalid|Syntax error)\b.*?)(?: \(program line \d+\),)? at$"
        r"source: (?P<file>/\S+) line: (?P<line>\d+) pos: \d+ (?P<problem>.+)"
        r"^(?:\d+: )?Error found at (?P<file>/\S+?):(?P<line>\d+)\.?$"
        r"(?i)(?:^(?:[\w.-]+: )?pars(?:e|ing)|\bconfig(?:uration)?) error (?:on|at|in) line (?P<line>\d+): (?P<problem>.+)"
        r#"(?P<problem>syntax error in file "(?P<file>[^"]+)" line (?P<line>\d+).*)"#
        r#"(?P<problem>(?:unrecognized configuration parameter|invalid value for parameter) "(?P<name>[^"]+)".*?) in file "(?P<file>[^"]+)" line (?P<line>\d+)"#
        r#"(?P<problem>unrecognized configuration parameter "(?P<name>[^"]+)")"#
        r#"(?P<problem>invalid value for parameter "(?P<name>[^"]+)": .*)"#
        r#"FATAL:\s+configuration file "(?P<file>[^"]+)" contains errors"#
        r#"line (?P<line>\d+) of configuration file "(?P<file>[^"]+)""#
        r#"(?P<problem>could not load (?P<file>\S*pg_hba\.conf))"#
        r#"could not access the server configuration file "(?P<file>[^"]+)": (?P<problem>.+)"#
        r"(?i)syntax error, (?P<problem>.+) in (?P<file>/\S+\.ini) on line (?P<line>\d+)"
        r"(?P<file>[\w./-]*Caddyfile):(?P<line>\d+)(?: - Error during parsing)?:? (?P<problem>.+)"
        r#"(?i)config error file="(?P<file>[^"]+)" .*error="(?P<problem>[^"]*)""#
        r"\[error\] \[config\] error in (?P<file>\S+):(?P<line>\d+): (?P<problem>.+)"
        r"\[error\] \[config\] (?P<problem>.+)"
        r"^\[[^\]]+\] \[ *Error\] File (?P<file>/\S+)$"
        r"^\[[^\]]+\] \[ *Error\] Error in line (?P<line>\d+): (?P<problem>.+)"
        r"InvalidDataException: Failed to load configuration from file '(?P<file>[^']+)'"
        r"JsonReaderException: (?P<problem>.+?)\.? LineNumber: (?P<before>\d+) \| BytePositionInLine: \d+"
        r"(?:FormatException: )?(?P<problem>Could not parse the JSON file)\."
        r"(?P<problem>Config File .*Not Found in .*)"
        r"(?P<problem>Found option without preceding group) in config file:? (?P<file>\S+) at line:? (?P<line>\d+)"
        r"(?:\[ERROR\].*|mysqld: |mariadbd: )(?P<problem>unknown (?:variable|option) '(?P<argument>[^']+)')"
        r"(?P<problem>Could not open required defaults file): (?P<file>\S+)"
        r"(?P<problem>Reading the configuration file), at line (?P<line>\d+)"
        r"(?P<problem>FATAL CONFIG FILE ERROR)"
        r"Fatal error, (?P<problem>can't open config file) '(?P<file>[^']+)'"
        r"error initializing (?:configuration|config) '(?P<file>[^']+)': (?P<problem>.+)"
        r"(?P<file>[\w/.-]*Corefile|/[^\s:]+):(?P<line>\d+) - Error during parsing: (?P<problem>.+)"
        r#"(?:parsing YAML file|couldn't load configuration \(--config\.file=|error loading config from) "?(?P<file>/[^\s:")]+)"?\)?: (?:yaml: )?(?:unmarshal errors:(?:\s|\\n)*)?(?:line (?P<line>\d+): )?(?P<problem>.*?)(?:\\n.*)?"?$"#
        r#"(?:file=|config(?:\.file)?=|error reading |error parsing |failed to (?:load|parse|read|decode) (?:the )?(?:config(?:uration)? ?(?:file|from)? ?)?)"?(?P<file>/[^\s:",)]+)"?.*?yaml: (?:unmarshal errors:(?:\s|\\n)*)?(?:line (?P<line>\d+): )?(?P<problem>[^"]*)"#
        r"(?P<file>/[^\s:]+\.ya?ml)\S*?:? .*?yaml: (?:unmarshal errors:(?:\s|\\n)*)?(?:line (?P<line>\d+): )?(?P<problem>.*)"
        r"yaml: (?:unmarshal errors:)?(?:\s|\\n)*line (?P<line>\d+): (?P<problem>.*)"
        r"yaml: (?P<problem>unmarshal errors.*|control characters.*|invalid .*|found .*|did not find .*)"
        r"^\s+line (?P<line>\d+): (?P<problem>(?:field \S+ not found in type|cannot unmarshal|mapping key).*)"
        r#"^\s*in "(?P<file>[^"<][^"]*\.(?:ya?ml|conf|cfg|json))", line (?P<line>\d+), column \d+"#
        r"yaml\.(?:scanner|parser|composer|constructor|reader)\.\w+: (?P<problem>.+)"
        r"\((?P<file>/[^)]+)\): (?P<problem>.+) at line (?P<line>\d+) column \d+ \(?Psych::"
        r"YAMLException: (?P<problem>.+?) \((?P<line>\d+):\d+\)"
        r"(?P<problem>(?:mapping values are not allowed|did not find expected|found character that cannot start|while (?:scanning|parsing)).*?) at line (?P<line>\d+),? column \d+"
        r"org\.yaml\.snakeyaml\.\S+: (?P<problem>.+)"
        r"SyntaxError: (?P<file>/[^\s:]+\.json): (?P<problem>.+)"
        r"(?P<file>/[^\s:]+\.json): (?P<problem>(?:Unexpected token|Expected|Bad control character|Unexpected end).*)"
        r"SyntaxError: (?P<problem>.* in JSON at position \d+)(?: \(line (?P<line>\d+) column \d+\))?"
        r"JSONDecodeError: (?P<problem>.+?): line (?P<line>\d+) column \d+"
        r"(?P<file>/[^\s:]+\.(?:json|ya?ml|toml|conf|cfg))\S*?: (?P<problem>invalid character '.+' (?:looking for|after|in) .+)"
        r"(?P<problem>invalid character '.+' (?:looking for|after|in) .+)"
        r"JsonParseException: (?P<problem>.+)"
        r"(?i)TOML parse error at line (?P<line>\d+)"
        r"toml: line (?P<line>\d+)(?: \([^)]*\))?: (?P<problem>.+)"
        r"TOMLDecodeError: (?P<problem>.+) \(at line (?P<line>\d+), column \d+\)"
        r"configparser\.\w+Error: (?P<problem>.+)"
        r"^file: '(?P<file>[^']+)', line: (?P<line>\d+)"
        r"SAXParseException; systemId: file:(?P<file>[^;]+); lineNumber: (?P<line>\d+);[^;]*; (?P<problem>.+)"
        r"(?i)(?:error|problem|invalid|bad|unknown|unexpected|failed)\b[^\n]{0,80}? (?:in|at|of|from|on) (?:config(?:uration)? (?:file )?)?['\x22]?(?P<file>/[\w./-]+\.(?:conf|cfg|cnf|ini|ya?ml|toml|json|properties|xml|hcl|env))['\x22]?(?:,? (?:at )?line |:)(?P<line>\d+):?(?P<problem>.*)"
        r"(?P<file>/[\w./-]+\.(?:conf|cfg|cnf|ini|ya?ml|toml|json|properties|xml|hcl)):(?P<line>\d+)(?::\d+)?: (?P<problem>(?i:.*(?:error|invalid|unknown|unexpected|expected|missing|syntax|unrecognized|duplicate|bad).*))"
        r"(?i)(?P<problem>(?:failed|unable|cannot|can't|could not|error|couldn't)(?: to)? (?:load|loading|parse|parsing|read|reading|open|opening|decode|find|locate|validate) (?:the )?(?:\w+ )?config(?:uration)?(?: file)?\b[^\n]*?['\x22 :=(](?P<file>/[\w./-]+)[^\n]*)"
        r"(?i)(?P<problem>(?:open|stat|read) (?P<file>/[\w./-]+\.(?:conf|cfg|cnf|ini|ya?ml|toml|json|properties|xml|hcl)): (?:no such file or|is a) directory)"
        r"(?i)(?P<problem>No such file or directory: '(?P<file>/[\w./-]+\.(?:conf|cfg|cnf|ini|ya?ml|toml|json|properties|xml|hcl|env))')"
        r"(?i)(?P<problem>ENOENT: no such file or directory, open '(?P<file>/[\w./-]+\.(?:conf|cfg|cnf|ini|ya?ml|toml|json|properties|xml|hcl|env))')"
        r"(?P<problem>(?:unknown flag|unknown shorthand flag|flag provided but not defined|unknown command|unrecognized arguments?|[Uu]nrecogni[sz]ed option|[Uu]nknown option|invalid option|illegal option|unknown (?:configuration )?(?:key|field|property|parameter|setting)|Unknown configuration variable|[Ii]llegal argument|Unknown argument|unexpected argument|unexpected option|No such option|Unrecognized VM option|Invalid (?:initial|maximum) heap size)(?: --)?[: ]+['\x22`]?(?P<argument>[^\s'\x22`]+).*)"
        r#"(?P<problem>required flag\(s\) "(?P<argument>[^"]+)".* not set)"#
        r"(?P<problem>unknown (?:long|short) flag '(?P<argument>[^']+)')"
        r"error: (?P<problem>unexpected (?P<argument>\S+), try --help)"
        r"(?P<problem>the following (?:required )?arguments (?:are required: (?P<argument>[\w<>-]+).*|were not provided))"
        r"(?P<problem>argument (?P<argument>-[\w/-]+): (?:invalid|expected|ignored) .+)"
        r"(?P<problem>Missing required (?:option|parameter)s?: '?(?P<argument>[\w<>-]+).*)"
        r"(?P<problem>Too small maximum heap|Initial heap size set to a larger value than the maximum heap size|Conflicting collector combinations in option list)"
        r#"(?i)(?P<problem>(?:invalid|unknown|unrecognized|not a valid)(?: logrus)? log[ _-]?level\b.*|not a valid logrus level.*)"#
        r"(?P<problem>listen EADDRNOTAVAIL: address not available .*|bind: cannot assign requested address)"
        r"(?P<problem>tls: failed to find any PEM data in \w+ input)"
        r#"(?P<problem>parse "[^"]*": (?:first path segment in URL cannot contain colon|invalid URL escape|invalid port|missing protocol scheme|invalid character|net/url:).*)"#
        r"(?P<problem>The provided database string is invalid.*|Could not parse SQLAlchemy URL from .*|Can't load plugin: sqlalchemy\.dialects:\w+|claims to not accept jdbcUrl.*)"
        r"MongoParseError: (?P<problem>.+)"
        r"(?P<problem>TypeError(?: \[ERR_INVALID_URL\])?: Invalid URL|Invalid URI: (?:The|A) .*)"
        r#"(?P<problem>invalid (?:value|argument) ["'](?P<argument>[^"']*)["'] for (?:flag |")?[^\n]*)"#
        r#"(?i)(?P<problem>(?:required )?(?:environment|env) ?(?:variable|var)s?:? ["'`]?\$?(?P<name>(?-i:[A-Z][A-Z0-9_]+|[a-z]+(?:_[a-z0-9]+)+))["'`]? (?:(?:is|was|must be|has|are|needs to be) )?(?:not (?:set|defined|found|provided|specified|present)|required|missing|unset|empty|undefined|been set|set).*)"#
        r#"(?i)(?P<problem>(?:missing|required|undefined|unset|need|set)(?: the)?(?: required| mandatory)? (?:environment|env)[ _]?(?:variable|var)s?(?: not set| missing| is)?:?(?: named)? ["'`]?\$?(?P<name>(?-i:[A-Z][A-Z0-9_]+|[a-z]+(?:_[a-z0-9]+)+)).*)"#
        r#"(?:^|[^\w/.-])(?P<problem>["'`]?\$?(?P<name>[A-Z][A-Z0-9]*_[A-Z0-9_]+)["'`]? (?:(?:environment|env) (?:variable|var) )?(?:is|was|must be|not|has to be|needs to be|variable is|cannot be|env (?:var )?is) ?(?:not )?(?:set|required|missing|unset|defined|undefined|empty|provided|specified|configured|found|null|blank|a required)\b.*)"#
        r"(?P<problem>KeyError: ['\x22](?P<name>[A-Z][A-Z0-9_]+)['\x22])"
        r"(?P<problem>(?P<name>[A-Za-z_][A-Za-z0-9_]*): (?:unbound variable|parameter not set|parameter null or not set))"
        r"^(?:/[\w./-]*/)?[\w.-]+: (?:line )?\d+: (?P<problem>(?P<name>[A-Z_][A-Z0-9_]*): (?i:must|is|was|not set|required|missing|please|need|should|has to|set|undefined|unset|empty|define|specify|provide)\b.*)"
        r"(?P<problem>--?[\w-]+=? is not allowed in (?P<name>NODE_OPTIONS))"
        r"(?P<problem>required key (?P<name>\w+) missing value)"
        r"(?P<problem>Could not resolve placeholder '(?P<name>[^']+)')"
        r#""(?P<file>/[^"]+\.(?:ya?ml|toml|json))": (?P<problem>field not found, node: \S+)"#
        r"(?P<problem>field not found, node: (?P<argument>\w+))"
        r"(?P<problem>json: cannot unmarshal \w+ into Go struct field \S*(?i:config|settings|options|spec)\S*)"
        r#"(?i)msg="(?:[^"]*\bconfig[^"]*\bfail|[^"]*\bfail[^"]*\bconfig)[^"]*" file=(?P<file>/\S+) err="(?P<problem>.+)"$"#
        r"(?P<problem>Failed to (?:configure a DataSource|bind properties under '[^']+').*)"
        r"(?P<problem>ImproperlyConfigured: .+)"
        r"(?P<problem>Conf file attempted to set unknown variable: (?P<name>\S+))"
        r"(?P<problem>The ConnectionString property has not been initialized)"
        r"(?P<problem>Value cannot be null\. \(Parameter '(?P<name>[cC]onnectionString)'\))"
        r#"(?P<problem>Invalid value for ["'](?P<argument>--?[^"']+)["'].*)"#
        r"(?P<problem>Expected one of .+) at line (?P<line>\d+), column \d+ \(byte \d+\)"
        r#"(?P<problem>key not found: "(?P<name>[A-Z][A-Z0-9_]+)")"#
        r"(?P<problem>environment variable (?:`|')?(?P<name>[A-Z][A-Z0-9_]+)?(?:`|')? ?(?:not found|not present|was not valid unicode))"
        r"(?P<problem>ValidationError: \d+ validation errors? for \w*(?i:settings|config|env|options|param|arg)\w*)"
        r"(?P<problem>ValidationError: .*[Ss]ettings.*)"
        r"(?P<problem>Database is uninitialized and (?:superuser )?password (?:option )?is not specified)"
        r"(?i)(?P<problem>\b(?:invalid|bad|malformed|missing|broken|incorrect) (?:required |schema )?config(?:uration)?\b.*)"
        r"(?i)(?P<problem>\bconfig(?:uration)? (?:error|is invalid|invalid|is malformed|validation (?:failed|error)|parse error|parsing (?:failed|error)|file (?:is )?(?:not found|invalid|missing)|test failed|check failed).*)"
        r"(?i)(?P<problem>(?:failed|unable|cannot|can't|could not|error|couldn't)(?: to)? (?:load|loading|parse|parsing|read|reading|open|decode|validate|unmarshal|initialize) (?:the )?(?:\w+ )?config(?:uration)?\b.*)"
    }
    ValueRefused {
        r#"(?P<problem>(?i:unknown|unsupported|unrecognized|invalid|illegal|bad) [\w -]{1,30}: ["'](?P<value>[^'"]+)["'])"#
        r#"strconv\.\w+: (?P<problem>parsing "(?P<value>[^"]*)": (?:invalid syntax|value out of range))"#
        r#"time: (?P<problem>(?:missing unit in|unknown unit "?\w+"? in|invalid) duration "?(?P<value>[^"\s,]+)"?)"#
        r#"(?:NumberFormatException|DateTimeParseException): (?P<problem>(?:For input string: |Text )["'](?P<value>[^"']+)["'])"#
        r"(?P<problem>No enum constant \S+\.(?P<value>\w+))"
        r#"(?P<problem>Expected an? \w+ value, got "(?P<value>[^"]+)")"#
        r"(?P<problem>(?:invalid literal for int\(\) with base \d+|could not convert string to float): '(?P<value>[^']+)')"
        r"(?P<problem>'(?P<value>[^']+)' is not a valid \w+)"
        r"(?P<problem>[Ii]nvalid truth value:? '?(?P<value>[^']+)'?)"
        r"(?:(?P<problem>\w.*?) )?\[type=\w+, input_value='(?P<value>[^']*)'"
        r"(?P<problem>The input string '(?P<value>[^']*)' was not in a correct format)"
        r"(?P<problem>Requested value '(?P<value>[^']+)' was not found)"
        r#"(?P<problem>invalid (?:type|value): string "(?P<value>[^"]+)", expected .+)"#
        r#"(?P<problem>invalid value for (?:Integer|Float|BigDecimal)\(\): "(?P<value>[^"]*)")"#
        r#"(?i)(?P<problem>(?:invalid|illegal|bad|parsing|parse)\b[^"']*?["' ](?P<value>tcp://[0-9.]+:\d+).*)"#
        r"(?P<problem>\S*?(?P<value>tcp://[0-9.]+:\d+)\S*:? (?:too many colons|parse error|is not an? ).*)"
        r"^\s+input: '(?P<value>[^']+)'"
        r#"(?P<problem>\b(?:services|configmaps|secrets|namespaces|serviceaccounts|[a-z]+classes\.[a-z0-9.]+) "(?P<value>[a-z0-9][a-z0-9.-]*)" not found)"#
        r"(?P<problem>(?i:mismatch|not match|invalid|incorrect|wrong|malformed)[^\x22]*\b(?P<name>[A-Z][A-Z0-9]*(?:_[A-Z0-9]+)+) (?:env|environment) ?var(?:iable)?\b)"
        r#"(?P<problem>\b["'`]?(?P<name>[A-Z][A-Z0-9]*(?:_[A-Z0-9]+)*)["'`]? (?:must be|should be|is not) (?:an? |one of |valid|between |in |at |greater |less |positive|either ).*)"#
    }
    CommandNotFound {
        r#"exec: "(?P<command>[^"]+)": executable file not found in \$PATH"#
        r#"exec: "(?P<command>[^"]+)": stat [^:]+: no such file or directory"#
        r"exec:? (?P<command>/[^\s:]+): no such file or directory"
        r"exec (?P<command>/\S+) failed: No such file or directory"
        r"\[dumb-init\] (?P<command>\S+): No such file or directory"
        r"exec user process caused:? (?P<command>)\x22?no such file or directory"
        r"env: (?:can't execute )?['\x22](?P<command>[^'\x22]+)['\x22]: No such file or directory"
        r"(?:bash|/bin/bash|/bin/sh|sh|ash|dash|zsh)(?:: line \d+|: \d+)?: (?P<command>[^\s:]+): (?:command )?not found"
        r"(?:line \d+|: \d+): (?P<command>[^\s:]+): (?:command )?not found"
        r"(?:exec|entrypoint\S*|docker-entrypoint\.sh): (?:line \d+: )?(?:exec: )?(?P<command>[^\s:]+): (?:not found|No such file or directory)"
        r"^(?:\S+: )?(?P<command>[^\s:]+): command not found"
        r"(?:bash|/bin/bash|/bin/sh|sh)(?:: line \d+|: \d+)?: (?P<command>/[^\s:]+): No such file or directory"
        r"(?:sh|bash): can't open '(?P<command>[^']+)': No such file or directory"
        r"(?:sh|bash): \d+: (?:cannot|can't) open (?P<command>\S+): No such file"
    }
    FileMissing {
        r"\[Errno 2\] No such file or directory: ['\x22](?P<file>[^'\x22]+)['\x22]"
        r"ENOENT: no such file or directory, \w+ ['\x22](?P<file>[^'\x22]+)['\x22]"
        r"(?:open|stat|lstat|read) (?P<file>/[^\s:]+): no such file or directory"
        r"FileNotFoundException: (?P<file>/[^\s(]+)"
        r"NoSuchFileException: (?P<file>/\S+)"
        r"Could not find (?:file|a part of the path) '(?P<file>[^']+)'"
        r"No such file or directory @ \w+ - (?P<file>/\S+)"
        r"(?i)(?:cannot|can't|could not|couldn't|failed to|unable to) (?:open|read|load|find|access|stat)(?: \w+)? ['\x22]?(?P<file>/[^\s'\x22:]+)['\x22]?:? .*no such file or directory"
        r"(?P<file>/[^\s'\x22:]+): (?i:No such file or directory)"
    }
    NotConnected {
        r"Failed to open TCP connection to (?P<host>[\w.-]+):(?P<port>\d+) \("
        r"Connection to node -?\d+ \((?P<host>[\w.-]+)/[0-9.]*:(?P<port>\d+)\) could not be established"
        r"Bootstrap broker (?P<host>[\w.-]+):(?P<port>\d+) \(id: -?\d+[^)]*\) disconnected"
        r"\b(?P<host>[\w.-]+):(?P<port>\d+)/\w+: Disconnected while requesting ApiVersion"
        r"Can't reach database server at `?(?P<host>[\w.-]+)`?(?::`?(?P<port>\d+))?"
        r"possible to connect to the redis server\(s\)(?:: (?P<host>[\w.-]+):(?P<port>\d+))?"
        r"no upstream connections available(?: to (?P<host>[\w.-]+):(?P<port>\d+))?"
        r#"connection to the host (?P<host>[\w.-]+), port (?P<port>\d+) has failed"#
        r"Could not reach any contact point|error occurred while establishing a connection to SQL Server|\bNoBrokersAvailable\b"
        r#"Is the server running (?:locally and accepting|on host "(?P<host>[^"]+)")"#
        r"(?i)(?:could not|cannot|can't|can not|unable to|failed to|failure to|failed)(?: to)? (?:connect|connecting|reach|establish (?:a )?(?:\w+ )?connection|open (?:a )?connection|contact|communicate)(?: to| with)?(?: the)?(?: [a-zA-Z]\w*)?(?: (?:at|on))?[ :]+(?:\w+://)?(?:[^\s@/]+@)?(?P<host>[a-zA-Z0-9][\w.-]*)(?:/(?:<unresolved>|[0-9.]+))?:(?P<port>\d{2,5})\b"
        r"(?i)(?:could not|cannot|can't|can not|unable to|failed to|failure to|failed)(?: to)? (?:connect|connecting|reach|establish (?:a )?(?:\w+ )?connection|open (?:a )?connection|contact)\b"
        r#"(?:server at "(?P<host>[^"]+)"(?: \([^)]*\))?, port (?P<port>\d+) failed: )?server closed the connection unexpectedly"#
        r"(?i)\b(?:connection|connect) (?:failed|failure|error|lost|reset|aborted|attempt failed)\b|Communications link failure|\bnot reached\b|\bunreachable\b|ECONNRESET|socket hang up|connection reset by peer|broken pipe"
        r"(?i)\bI/?O ?(?:Error|Exception)\b"
        r"(?i)\bNo Living connections\b"
        r"\bAMQPConnectionError\b"
        r"(?i)\bconnectionerror\b|\bconnectexception\b"
    }
};
