//! Scripts, as containers run them.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use jiff::Timestamp;

use super::files::{Content, Files, Mount, Volume};
use super::net::{Reply, Request, Serving};
use super::process::{Container, Kernel, ListenError, Process, State};
use super::{Images, load};
use crate::Clock;

/// A network on which one host answers.
struct Alone(Clock);

impl Kernel for Alone {
    fn now(&self) -> Timestamp {
        self.0.now()
    }

    fn connect(
        &mut self,
        host: &str,
        _: u16,
        request: &Request,
        patience: Option<Duration>,
    ) -> (Duration, Reply) {
        match (host, request) {
            ("10.0.0.1", Request::Http { path }) if path == "/" => {
                let body = "hello\n".to_owned();
                (Duration::ZERO, Reply::Http { status: 200, body })
            }
            ("10.0.0.1", Request::Http { .. }) => {
                let body = String::new();
                (Duration::ZERO, Reply::Http { status: 404, body })
            }
            ("10.0.0.1", _) => (Duration::ZERO, Reply::Accepted(String::new())),
            ("10.0.0.2", _) => (Duration::ZERO, Reply::Refused),
            _ => (patience.unwrap_or(Duration::from_secs(127)), Reply::Timeout),
        }
    }

    fn resolve(&mut self, name: &str) -> (Duration, Result<Vec<String>, Reply>) {
        let found = match name {
            "up" => Ok(vec!["10.0.0.1".to_owned()]),
            "down" => Ok(vec!["10.0.0.2".to_owned()]),
            "lost" => Ok(vec!["10.0.0.3".to_owned()]),
            _ => Err(Reply::Unresolved),
        };
        (Duration::ZERO, found)
    }

    fn listen(&mut self, port: u16, _: Serving, _: Option<u32>) -> Result<(), ListenError> {
        match port {
            81 => Err(ListenError::InUse),
            _ => Ok(()),
        }
    }

    fn api(&mut self, _: &str, _: &str) -> (Duration, Result<Vec<String>, String>) {
        (Duration::ZERO, Ok(vec!["pod/a".to_owned()]))
    }
}

/// Runs a command in an image, with these files: what it prints, its code and how long it took.
async fn run(image: &str, argv: &[&str], files: &[(&str, &str)]) -> (String, i32, u64) {
    let facts = Images::default().facts(&format!("docker.io/library/{image}"));
    let clock = Clock::new(Timestamp::UNIX_EPOCH, 1.0);
    let volume = Volume::default();
    for (path, text) in files {
        volume.tree().put(path, Content::text(*text));
    }
    let mount = Mount {
        path: "/data".to_owned(),
        part: String::new(),
        volume,
        read_only: false,
    };
    let mut env = facts.env.clone();
    env.entry("PATH".to_owned())
        .or_insert_with(|| "/usr/sbin:/usr/bin:/sbin:/bin".to_owned());
    env.insert("WHO".to_owned(), "you and me".to_owned());
    let container = Container {
        clock: clock.clone(),
        env,
        user: 0,
        capabilities: Vec::new(),
        directory: facts.directory.clone(),
        hostname: "host".to_owned(),
        address: "10.0.0.9".to_owned(),
        state: Mutex::new(State::new(Files::new(
            facts.files.clone(),
            vec![mount],
            false,
            true,
        ))),
    };
    let argv: Vec<String> = argv.iter().map(|word| (*word).to_owned()).collect();
    let program = match load(&facts, &container, &argv, &[]) {
        Ok(program) => program,
        Err(why) => return (why, 128, 0),
    };
    let mut process = Process::new(Arc::new(container), program);
    let mut kernel = Alone(clock.clone());
    let mut code = process.run(&mut kernel);
    let mut stopped = false;
    while code.is_none() {
        match process.next() {
            Some(next) => {
                let wait = crate::clock::since(next, clock.now());
                tokio::time::advance(wait).await;
            }
            None if stopped => {
                code = Some(137);
                break;
            }
            None => {
                stopped = true;
                process.terminate();
            }
        }
        code = process.run(&mut kernel);
    }
    let lines: BTreeMap<usize, String> = process
        .container
        .state()
        .lines
        .iter()
        .map(|(_, line)| line.clone())
        .enumerate()
        .collect();
    let text: Vec<String> = lines.into_values().collect();
    let seconds = u64::try_from(clock.now().as_second()).unwrap();
    (text.join("\n"), code.unwrap(), seconds)
}

#[track_caller]
fn is(script: &str, said: (String, i32, u64), expected: &str, code: i32) {
    assert_eq!((said.0.as_str(), said.1), (expected, code), "{script}");
}

async fn check(script: &str, expected: &str, code: i32) {
    let said = run(
        "busybox:1.37",
        &["sh", "-c", script],
        &[("/f", "one\ntwo\n")],
    )
    .await;
    is(script, said, expected, code);
}

#[tokio::test(start_paused = true)]
async fn pipes_with_names() {
    for (script, expected, code) in [
        (
            "cd /tmp; mkfifo p; (echo a; sleep 1; echo b) > p & cat p; echo end",
            "a\nb\nend",
            0,
        ),
        (
            "mkfifo /tmp/p; (head -c 9 /dev/zero; exec sleep 5) > /tmp/p & tail -c 4 /tmp/p | wc -c",
            "4",
            0,
        ),
        (
            "mkfifo /tmp/p; (echo x) > /tmp/p & read a < /tmp/p; echo \"[$a]\"; mkfifo /tmp/p",
            "[x]\nmkfifo: /tmp/p: File exists",
            1,
        ),
        ("echo abcdef | tail -c 3", "ef", 0),
    ] {
        check(script, expected, code).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_file_is_run_once_it_may_be() {
    for (script, expected, code) in [
        (
            "cd /tmp; echo 'echo hi $1' > a; ./a x; chmod +x a; ./a x; chmod 644 a; ./a x",
            "sh: ./a: Permission denied\nhi x\nsh: ./a: Permission denied",
            126,
        ),
        ("chmod q /f", "chmod: invalid mode 'q'", 1),
        (
            "head -c 3 /dev/zero | sha256sum; head -c 3 /dev/zero | md5sum; echo hi | md5sum",
            "709e80c88487a2411e1ee4dfb9f22a861492d20c4765150c0c794abd70f8147c  -\n\
             693e9af84d3dfcc71e640e005bdc5e2e  -\n764efa883dda1e11db47671c4a3bbd9e  -",
            0,
        ),
    ] {
        check(script, expected, code).await;
    }
}

#[tokio::test(start_paused = true)]
async fn the_language() {
    for (script, expected, code) in [
        ("echo a; echo b && echo c || echo d", "a\nb\nc", 0),
        ("false && echo a || echo b; exit 3", "b", 3),
        (
            "x=1; x=$((x + 2 * 3)); echo $x \"$x\" '$x' \\$x",
            "7 7 $x $x",
            0,
        ),
        (
            "echo $WHO | wc -w; for w in $WHO; do echo $w; done",
            "3\nyou\nand\nme",
            0,
        ),
        (
            "for w in \"$WHO\" x*; do echo \"[$w]\"; done",
            "[you and me]\n[x*]",
            0,
        ),
        (
            "i=0; while [ $i -lt 3 ]; do i=$((i+1)); [ $i = 2 ] && continue; echo $i; done",
            "1\n3",
            0,
        ),
        ("until false; do break; done; echo $?", "0", 0),
        ("case abc in x|y) echo 1;; a*) echo 2;; esac", "2", 0),
        (
            "f() { echo \"$1-$#\"; return 4; }; f a b; echo $?",
            "a-2\n4",
            0,
        ),
        ("(x=2; exit 5); echo $? $x", "5", 0),
        ("x=$(echo a; echo b); echo \"$x\"", "a\nb", 0),
        (
            "if ! true; then echo a; elif test 1 -eq 1; then echo b; else echo c; fi",
            "b",
            0,
        ),
        (
            "echo ${NONE:-d} ${WHO#you } ${#WHO} ${WHO%% *}",
            "d and me 10 you",
            0,
        ),
        ("cat <<EOF\n$WHO\nEOF\necho x", "you and me\nx", 0),
        ("cat <<'EOF'\n$WHO\nEOF", "$WHO", 0),
        ("set -e; false; echo never", "", 1),
        (
            "set -e; if false; then :; fi; ! true; echo here; grep x /data/f; echo never",
            "here",
            1,
        ),
        ("trap 'echo bye' EXIT; echo hi", "hi\nbye", 0),
        (
            "{ echo a; echo b; } > /tmp/x; cat /tmp/x; echo c >> /tmp/x; wc -l < /tmp/x",
            "a\nb\n3",
            0,
        ),
        (
            "echo out; { echo err >&2; } 2>/dev/null; ls /none 2>/dev/null; echo $?",
            "out\n1",
            0,
        ),
        ("nope 2>&1; echo $?", "sh: nope: not found\n127", 0),
        (
            "echo > /none/x; echo $?",
            "sh: can't create /none/x: nonexistent directory\n1",
            0,
        ),
        (
            ". /none",
            "sh: .: line 0: can't open '/none': No such file or directory",
            2,
        ),
        ("echo ${X:?is not set}", "sh: X: is not set", 2),
        ("f() { f; }; f", "", 139),
        (
            "echo a | while read line; do echo \"got $line\"; done",
            "got a",
            0,
        ),
        (
            "while read a b; do echo \"$b $a\"; done < /data/f",
            " one\n two",
            0,
        ),
        ("eval 'x=5'; echo $x; shift 2>/dev/null; echo $#", "5\n0", 0),
        ("sleep 5 & wait $!; echo done", "done", 0),
        ("if", "sh: 1: Syntax error: unexpected end of file", 2),
        (
            "echo 'a",
            "sh: 1: Syntax error: unterminated quoted string",
            2,
        ),
        ("printf '%s=%03d\\n' a 7 b 8", "a=007\nb=008", 0),
        ("exec echo replaced; echo never", "replaced", 0),
        ("x=a; x=b sh -c 'echo $x'; echo $x", "b\na", 0),
        (
            "cd /data && pwd && ls && test -s f -a ! -e g && echo ok",
            "/data\nf\nok",
            0,
        ),
    ] {
        check(script, expected, code).await;
    }
}

#[tokio::test(start_paused = true)]
async fn the_tools() {
    for (script, expected, code) in [
        ("seq 3 | tail -n 2 | head -n 1", "2", 0),
        (
            "grep -c o /data/f; grep -v one /data/f; grep -q none /data/f",
            "2\ntwo",
            1,
        ),
        ("sed 's/o\\(n\\)e/[\\1]/; /two/d' /data/f", "[n]", 0),
        ("echo a:b:c | cut -d: -f2,3 | tr a-z A-Z", "B:C", 0),
        (
            "printf 'b\\na\\nb\\n' | sort -u | uniq -c",
            "      1 a\n      1 b",
            0,
        ),
        (
            "cat /none",
            "cat: can't open '/none': No such file or directory",
            1,
        ),
        ("basename /a/b.c .c; dirname /a/b.c", "b\n/a", 0),
        ("seq 1 3 | xargs echo n", "n 1 2 3", 0),
        ("wget -q -O - http://up/", "hello", 0),
        (
            "wget -q -O - http://up/none",
            "wget: server returned error: HTTP/1.1 404 Not Found",
            1,
        ),
        (
            "wget -q http://nobody:80/",
            "wget: bad address 'nobody:80'",
            1,
        ),
        (
            "wget -q http://down/",
            "wget: can't connect to remote host (10.0.0.2): Connection refused",
            1,
        ),
        ("wget -T 3 -q http://lost/", "wget: download timed out", 1),
        ("nc -w 1 lost 80", "nc: timed out", 1),
        ("timeout 0.3 wget -q http://lost/; echo $?", "143", 0),
        ("httpd -f -p 81", "httpd: bind: Address already in use", 1),
        ("awk 'NR == 2 { print $1, NR }' /data/f", "two 2", 0),
        (
            "awk 'function sum(n) { return n == 0 ? 0 : n + sum(n - 1) } BEGIN { print sum(100), sum (3) }'",
            "5050 3",
            0,
        ),
        (
            "awk 'function sum(n) { return n == 0 ? 0 : n + sum(n - 1) } BEGIN { print sum(0.5) }'",
            "",
            139,
        ),
        (
            "awk 'function put(all, n, i) { for (i = 1; i <= n; i++) all[i] = i; delete all[2]; return i } BEGIN { print put(a, 3); for (k in a) print k; print length(a), i \"none\" }'",
            "4\n1\n3\n2 none",
            0,
        ),
        (
            "awk 'BEGIN { while (1) { if (++n > 5) break; if (n % 2) continue; s = s n; } print s; if (system(\"exit 3\") == 3) print \"three\"; exit 2 } END { print \"end\" }'",
            "24\nthree\nend",
            2,
        ),
        (
            "awk 'BEGIN { a[\"x\"] = \"a.b\"; n = gsub(/[.]/, \"-\", a[\"x\"]); print n, a[\"x\"], (1 || 1 / 0), (0 && 1 / 0), !(\"x\" in a) }'",
            "1 a-b 1 0 0",
            0,
        ),
        (
            "awk 'BEGIN { foo(1) }'",
            "awk: cmd. line:1: Call to undefined function",
            1,
        ),
        (
            "n=41; echo \"rate $((1000 / (41 - n)))\"; echo after",
            "sh: divide by zero",
            2,
        ),
        (
            "head -c 3000000 /dev/zero | md5sum",
            "c9fc2d3dd83ab67a129ac10b09c9ebbb  -",
            0,
        ),
        (
            "awk -v n=3 'BEGIN { for (i = 0; i < n; i++) a[i] = i * i; for (k in a) s += a[k]; print s / 2 }'",
            "2.5",
            0,
        ),
        (
            "echo 7 0 | awk '{ print $1 / $2 }'",
            "awk: cmd. line:1: Division by zero",
            1,
        ),
        (
            "awk 'BEGIN { printf \"%s-%02d\\n\", substr(\"abc\", 2), 5; exit 4 }'",
            "bc-05",
            4,
        ),
        (
            "echo hi > /tmp/a; sha256sum /tmp/a | cut -c1-8; echo 'x  /tmp/a' > /tmp/s; sha256sum -c /tmp/s",
            "98ea6e4f\n/tmp/a: FAILED\nsha256sum: WARNING: 1 of 1 computed checksums did NOT match",
            1,
        ),
        ("kubectl get pods", "sh: kubectl: not found", 127),
    ] {
        check(script, expected, code).await;
    }
}

#[tokio::test(start_paused = true)]
async fn time_passes_as_scripts_say() {
    let timed = async |script: &str| run("busybox:1.37", &["sh", "-c", script], &[]).await;
    assert_eq!(timed("sleep 90; sleep 1m").await.2, 150);
    assert_eq!(timed("sleep 5 & sleep 7 & wait").await.2, 7);
    // Nothing ends a program that waits for ever and takes no signal.
    assert_eq!(timed("sleep infinity").await.1, 137);
    let (said, code, _) = timed("trap 'echo bye; exit 0' TERM; sleep infinity & wait").await;
    assert_eq!((said.as_str(), code), ("bye", 0));
    // A loop that only computes takes time, and gives others their turn.
    let busy =
        "( sleep 3; echo over > /tmp/over ) & while [ ! -e /tmp/over ]; do :; done; echo out";
    let (said, _, seconds) = timed(busy).await;
    assert_eq!(said, "out");
    assert!((3..6).contains(&seconds), "{seconds}");
}

#[tokio::test(start_paused = true)]
async fn servers_read_their_configuration() {
    let conf = "server {\n listen 80;\n sent_timeout 3s;\n}\n";
    let (said, code, _) = run(
        "nginx:1.28",
        &["nginx", "-c", "/data/nginx.conf", "-g", "daemon off;"],
        &[("/nginx.conf", &format!("events {{}}\nhttp {{\n{conf}}}\n"))],
    )
    .await;
    let expected = "[emerg] 1#1: unknown directive \"sent_timeout\" in /data/nginx.conf:5";
    assert!(said.ends_with(expected) && code == 1, "{said}");

    let (said, code, _) = run(
        "httpd:2.4",
        &["httpd-foreground", "-f", "/data/httpd.conf"],
        &[(
            "/httpd.conf",
            "ServerRoot \"/usr/local/apache2\"\n\nInclude conf/none.conf\n",
        )],
    )
    .await;
    let expected = "httpd: Syntax error on line 3 of /data/httpd.conf: Could not open configuration \
                    file /usr/local/apache2/conf/none.conf: No such file or directory";
    assert_eq!((said.as_str(), code), (expected, 1));

    for (image, argv) in [
        ("nginx:1.28", &["nginx", "-g", "daemon off;"][..]),
        ("httpd:2.4", &["httpd-foreground"]),
    ] {
        let (said, code, _) = run(image, argv, &[]).await;
        assert_eq!(code, 0, "{said}");
    }
    let (said, code, _) = run("nginx:1.28", &["nginx"], &[]).await;
    assert_eq!(code, 0, "{said}");
    let (said, code, _) = run("busybox:1.37", &["nginx"], &[]).await;
    assert_eq!(
        (said.as_str(), code),
        ("exec: \"nginx\": executable file not found in $PATH", 128)
    );
}
