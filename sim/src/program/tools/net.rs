//! Tools that use the network.

use std::sync::Arc;
use std::time::Duration;

use super::super::files::{File, Files};
use super::super::net::{Answering, Answers, Reply, Request, Serving};
use super::super::process::{Answer, Call, ListenError, Program};
use super::super::shell::{Data, Io, Shell, Sink, Work};
use super::{Tool, duration};

impl Tool<'_> {
    pub(super) async fn net(&mut self, base: &str) -> i32 {
        match base {
            "wget" => self.wget().await,
            "nc" => self.nc().await,
            "nslookup" => self.nslookup().await,
            "ping" => self.ping().await,
            _ => self.httpd().await,
        }
    }

    async fn resolve(&self, name: &str) -> Result<Vec<String>, Reply> {
        match self.shell.sys.ask(Call::Resolve(name.to_owned())).await {
            Answer::Addresses(found) => found,
            _ => Err(Reply::Unresolved),
        }
    }

    async fn wget(&mut self) -> i32 {
        let quiet = self.has('q');
        let operands = self.operands("OTtUY");
        let Some(url) = operands.first() else {
            return self.err("usage: wget [-cqS] [--spider] [-O FILE] [-T SEC] URL...");
        };
        let (scheme, rest) = match url.split_once("://") {
            Some((scheme, rest)) => (scheme, rest),
            None => ("http", url.as_str()),
        };
        let (place, path) = match rest.split_once('/') {
            Some((place, path)) => (place, format!("/{path}")),
            None => (rest, "/".to_owned()),
        };
        let (host, port) = match place.rsplit_once(':') {
            Some((host, port)) => (host, port.parse().ok()),
            None => (place, Some(if scheme == "https" { 443 } else { 80 })),
        };
        let Some(port) = port else {
            return self.fail(&format!("bad port spec '{place}'"));
        };
        let patience = self.value('T').or_else(|| self.long("timeout"));
        let patience = patience.as_deref().and_then(duration);
        let patience = patience.unwrap_or(Duration::from_secs(900));
        let Ok(addresses) = self.resolve(host).await else {
            return self.fail(&format!("bad address '{place}'"));
        };
        let address = addresses.first().cloned().unwrap_or_default();
        if !quiet {
            self.err(&format!("Connecting to {place} ({address}:{port})"));
        }
        let limit = patience.min(super::super::net::KERNEL_PATIENCE);
        let request = Request::Http { path: path.clone() };
        let reply = self
            .shell
            .sys
            .connect(&address, port, request, Some(limit))
            .await;
        let (status, body) = match reply {
            Reply::Http { status, body } => (status, body),
            Reply::Refused => {
                return self.fail(&format!(
                    "can't connect to remote host ({address}): Connection refused"
                ));
            }
            Reply::Timeout if limit < patience => {
                return self.fail(&format!(
                    "can't connect to remote host ({address}): Connection timed out"
                ));
            }
            Reply::Timeout | Reply::Later(_) => return self.fail("download timed out"),
            Reply::Accepted(said) | Reply::NotHttp(said) | Reply::Denied(said) => {
                return match said.is_empty() {
                    true => self.fail("error getting response"),
                    false => self.fail(&format!(
                        "bad response: {}",
                        said.lines().next().unwrap_or("")
                    )),
                };
            }
            Reply::Unresolved | Reply::NoNameServer | Reply::Session(_) => {
                return self.fail(&format!("bad address '{place}'"));
            }
        };
        if !(200..300).contains(&status) {
            let reason = super::servers::reason(status);
            return self.fail(&format!(
                "server returned error: HTTP/1.1 {status} {reason}"
            ));
        }
        if self.args.iter().any(|word| word == "--spider") {
            return 0;
        }
        let file = self
            .value('O')
            .unwrap_or_else(|| match path.rsplit('/').next().unwrap_or("") {
                "" => "index.html".to_owned(),
                name => name.to_owned(),
            });
        if file == "-" {
            return self.put(Data::text(body));
        }
        let target = self.shell.path(&file);
        let content = super::super::files::Content::text(body);
        let written = match target.as_str() {
            "/dev/null" => Ok(()),
            target => self
                .shell
                .sys
                .container
                .state()
                .files
                .write(target, content, false),
        };
        match written {
            Ok(()) => 0,
            Err(error) => self.fail(&format!("can't open '{file}': {}", error.text())),
        }
    }

    async fn nc(&mut self) -> i32 {
        let operands = self.operands("pwe");
        let patience = self.value('w').as_deref().and_then(duration);
        if self.has('l') {
            let port = self.value('p').or_else(|| operands.last().cloned());
            let Some(port) = port.and_then(|port| port.parse().ok()) else {
                return self.fail("missing port");
            };
            let said = self.io.read_all();
            let many = self.args.iter().any(|word| word == "-lk" || word == "-k");
            let serving = Serving::Tcp(said.text);
            if many {
                if let Err(error) = self.shell.sys.listen(port, serving).await {
                    return self.bind_failed(error);
                }
                self.shell.pause(None).await;
                return 0;
            }
            return match self.shell.sys.ask(Call::Accept(port, serving)).await {
                Answer::Listening(Err(error)) => self.bind_failed(error),
                _ => 0,
            };
        }
        let [host, port] = operands.as_slice() else {
            return self.err("usage: nc [IPADDR PORT]");
        };
        let Ok(port) = port.parse() else {
            return self.fail(&format!("bad port spec '{port}'"));
        };
        let Ok(addresses) = self.resolve(host).await else {
            return self.fail(&format!("bad address '{host}'"));
        };
        let address = addresses.first().cloned().unwrap_or_default();
        let request = if self.has('u') {
            Request::Udp
        } else {
            Request::Tcp
        };
        match self
            .shell
            .sys
            .connect(&address, port, request, patience)
            .await
        {
            Reply::Accepted(said) | Reply::NotHttp(said) => {
                self.out(&said);
                0
            }
            Reply::Http { body, .. } => self.out(&body),
            Reply::Timeout if patience.is_some() => self.fail("timed out"),
            Reply::Timeout => self.fail(&format!(
                "can't connect to remote host ({address}): Connection timed out"
            )),
            _ => self.fail(&format!(
                "can't connect to remote host ({address}): Connection refused"
            )),
        }
    }

    fn bind_failed(&self, error: ListenError) -> i32 {
        match error {
            ListenError::InUse => self.fail("bind: Address already in use"),
            ListenError::Denied => self.fail("bind: Permission denied"),
        }
    }

    async fn nslookup(&mut self) -> i32 {
        let operands = self.operands("");
        let Some(name) = operands.first() else {
            return self.err("usage: nslookup HOST [DNS_SERVER]");
        };
        let server = "10.96.0.10";
        match self.resolve(name).await {
            Ok(addresses) => {
                let mut text = format!("Server:\t\t{server}\nAddress:\t{server}:53\n\n");
                for address in addresses {
                    text.push_str(&format!("Name:\t{name}\nAddress: {address}\n"));
                }
                self.out(&format!("{text}\n"))
            }
            Err(Reply::NoNameServer) => {
                self.out(";; connection timed out; no servers could be reached\n\n");
                1
            }
            Err(_) => {
                self.out(&format!(
                    "Server:\t\t{server}\nAddress:\t{server}:53\n\n** server can't find {name}: NXDOMAIN\n\n"
                ));
                1
            }
        }
    }

    async fn ping(&mut self) -> i32 {
        let operands = self.operands("cwWis");
        let Some(host) = operands.first() else {
            return self.err("usage: ping HOST");
        };
        let Ok(addresses) = self.resolve(host).await else {
            return self.fail(&format!("bad address '{host}'"));
        };
        let address = addresses.first().cloned().unwrap_or_default();
        self.out(&format!("PING {host} ({address}): 56 data bytes\n"));
        0
    }

    async fn httpd(&mut self) -> i32 {
        let port = self.value('p').unwrap_or_else(|| "80".to_owned());
        let port = port.rsplit(':').next().and_then(|port| port.parse().ok());
        let Some(port) = port else {
            return self.fail("bad port");
        };
        let home = self
            .value('h')
            .map_or(self.shell.directory.clone(), |home| self.shell.path(&home));
        let found = self.shell.sys.container.state().files.find(&home);
        if !home.is_empty() && found != Some(super::super::files::File::Directory) {
            let given = self.value('h').unwrap_or_default();
            return self.fail(&format!(
                "can't change directory to '{given}': No such file or directory"
            ));
        }
        let serving = Serving::Files {
            root: home.clone(),
            paths: Vec::new(),
            runs_programs: true,
        };
        if let Err(error) = self.shell.sys.listen(port, serving).await {
            return self.bind_failed(error);
        }
        let server = answer_by_programs(self.shell.clone(), port, home);
        if self.has('f') {
            // It does not take TERM.
            return server.await;
        }
        let server: Program = Box::new(move |_| Box::pin(server));
        self.shell.sys.ask(Call::Spawn(server)).await;
        0
    }
}

/// Starts a program for each request of one, for ever.
async fn answer_by_programs(shell: Shell, port: u16, home: String) -> i32 {
    loop {
        let container = shell.sys.container.clone();
        let of_port = move |request: &(u16, String, Answering)| request.0 == port;
        let looked = container.clone();
        shell
            .sys
            .until(move || looked.state().requests.iter().any(of_port))
            .await;
        let requests: Vec<_> = container
            .state()
            .requests
            .extract_if(.., |one| of_port(one))
            .collect();
        for (_, path, answer) in requests {
            let program = answer_to(&shell, &home, &path, answer);
            shell.sys.ask(Call::Spawn(program)).await;
        }
    }
}

/// The program that answers a request, with the request as its environment.
fn answer_to(shell: &Shell, home: &str, path: &str, answer: Answering) -> Program {
    let held = Answers::new(answer.clone(), shell.sys.container.clone());
    let io = Io {
        input: Arc::default(),
        out: Sink::Buffer(answer.output()),
        err: Sink::Log,
    };
    let (script, query) = path.split_once('?').unwrap_or((path, ""));
    let file = Files::absolute("", &format!("{home}/{script}"));
    let found = shell.sys.container.state().files.find(&file);
    let mut shell = shell.child();
    if !matches!(found, Some(File::Regular(content)) if content.executable) {
        shell.write(&io.out, "Status: 404 Not Found\r\n\r\n");
        return Box::new(move |_| {
            Box::pin(async move {
                drop(held);
                0
            })
        });
    }
    shell.directory = file
        .rsplit_once('/')
        .map_or("", |(above, _)| above)
        .to_owned();
    for (name, value) in [
        ("GATEWAY_INTERFACE", "CGI/1.1"),
        ("REQUEST_METHOD", "GET"),
        ("REQUEST_URI", path),
        ("SCRIPT_NAME", script),
        ("QUERY_STRING", query),
        ("SERVER_PROTOCOL", "HTTP/1.1"),
    ] {
        shell.variables.insert(name.to_owned(), value.to_owned());
    }
    let run = shell.program(Work::Command(vec![file]), io);
    Box::new(move |sys| {
        let task = run(sys);
        Box::pin(async move {
            let code = task.await;
            drop(held);
            code
        })
    })
}
