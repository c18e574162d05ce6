//! Servers of others on loopback, where their programs are installed: as Debian's packages
//! `redis-server`, `etcd-server` and `postgresql` have them.

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(60);

/// A server that ends with this.
pub struct Server {
    child: Child,
    pub port: u16,
    /// Its data; goes away with it.
    pub dir: tempfile::TempDir,
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            println!("a server said: {}", self.log());
        }
    }
}

impl Server {
    fn log(&self) -> String {
        std::fs::read_to_string(self.dir.path().join("log")).unwrap_or_default()
    }

    /// Ends it now.
    pub fn kill(&mut self) {
        self.child.kill().expect("own child");
        self.child.wait().expect("own child");
    }
}

/// The program, or `None` (said) where it is not installed; a failure if it must be.
pub fn program(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    // Debian keeps PostgreSQL's programs apart, by version.
    let versions = std::fs::read_dir("/usr/lib/postgresql");
    let versions = versions.into_iter().flatten().flatten();
    let places = std::env::split_paths(&path)
        .chain(versions.map(|v| v.path().join("bin")))
        .map(|dir| dir.join(name));
    let found = places.into_iter().find(|p| p.is_file());
    if found.is_none() {
        let required = std::env::var("GAMEDAY_REQUIRE_SERVICES").is_ok_and(|v| v == "1");
        assert!(
            !required,
            "GAMEDAY_REQUIRE_SERVICES=1, but {name} is not installed"
        );
        println!("skipped: {name} is not installed");
    }
    found
}

/// A port that nobody has, below those that the kernel gives to connections: there, one that
/// waits for a server may meet itself.
fn free_port() -> u16 {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    loop {
        let next = NEXT.fetch_add(1, Ordering::Relaxed);
        let port = 12_000 + (std::process::id() * 64 + next) % 16_000;
        let port = u16::try_from(port).expect("below 28000");
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}

/// Starts a server and waits until it is `ready`, by its own protocol: a port that takes a
/// connection may be another's, which has been forked off and not become its program yet.
fn serve(
    command: &mut Command,
    port: u16,
    dir: tempfile::TempDir,
    ready: impl Fn(&Server) -> bool,
) -> Server {
    let log = std::fs::File::create(dir.path().join("log")).expect("a log");
    let child = command
        .current_dir(dir.path())
        .stdin(Stdio::null())
        .stdout(log.try_clone().expect("a log"))
        .stderr(log)
        .spawn()
        .expect("it starts");
    let mut server = Server { child, port, dir };
    super::until("it is ready", LIMIT, || {
        if let Some(status) = server.child.try_wait().expect("own child") {
            panic!("it ended with {status}: {}", server.log());
        }
        ready(&server).then_some(())
    });
    server
}

/// Redis with these options.
pub fn redis(options: &[&str]) -> Option<Server> {
    let program = program("redis-server")?;
    let port = free_port();
    let mut command = Command::new(program);
    command
        .args(["--port", &port.to_string(), "--bind", "127.0.0.1"])
        .args(["--save", "", "--appendonly", "no"])
        .args(options);
    let dir = tempfile::tempdir().expect("a folder");
    Some(serve(&mut command, port, dir, redis_answers))
}

/// A Sentinel that follows the primary on this port as `main` and acts alone.
pub fn sentinel(primary: u16) -> Option<Server> {
    let program = program("redis-server")?;
    let port = free_port();
    let dir = tempfile::tempdir().expect("a folder");
    let config = dir.path().join("sentinel.conf");
    let text = format!(
        "port {port}\nbind 127.0.0.1\nsentinel monitor main 127.0.0.1 {primary} 1\n\
         sentinel down-after-milliseconds main 500\nsentinel failover-timeout main 3000\n"
    );
    std::fs::write(&config, text).expect("its configuration");
    let mut command = Command::new(program);
    command.arg(&config).arg("--sentinel");
    Some(serve(&mut command, port, dir, redis_answers))
}

/// Whether it is Redis, with or without a password.
fn redis_answers(server: &Server) -> bool {
    let said = redis_says(server.port, "PING");
    said.starts_with("+PONG") || said.starts_with("-NOAUTH")
}

/// What Redis answers to a command, its first line.
pub fn redis_says(port: u16, command: &str) -> String {
    let addr = SocketAddr::from(([127, 0, 0, 1], port));
    let asked = TcpStream::connect_timeout(&addr, LIMIT).and_then(|mut stream| {
        stream.set_read_timeout(Some(LIMIT))?;
        stream.write_all(format!("{command}\r\n").as_bytes())?;
        let mut line = String::new();
        BufReader::new(stream).read_line(&mut line)?;
        Ok(line)
    });
    asked.unwrap_or_else(|e| e.to_string())
}

/// One member of etcd.
pub fn etcd() -> Option<Server> {
    let program = program("etcd")?;
    let (port, peers) = (free_port(), free_port());
    let dir = tempfile::tempdir().expect("a folder");
    let url = |port: u16| format!("http://127.0.0.1:{port}");
    let mut command = Command::new(program);
    command
        .arg("--data-dir")
        .arg(dir.path().join("data"))
        .args(["--listen-client-urls", &url(port)])
        .args(["--advertise-client-urls", &url(port)])
        .args(["--listen-peer-urls", &url(peers)])
        .args(["--initial-advertise-peer-urls", &url(peers)])
        .args(["--initial-cluster", &format!("default={}", url(peers))]);
    Some(serve(&mut command, port, dir, |s| healthy(s.port)))
}

/// Whether it has a leader.
fn healthy(port: u16) -> bool {
    let Ok(mut stream) = TcpStream::connect(("127.0.0.1", port)) else {
        return false;
    };
    let request = "GET /health HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
    let mut said = String::new();
    stream.set_read_timeout(Some(LIMIT)).is_ok()
        && stream.write_all(request.as_bytes()).is_ok()
        && std::io::Read::read_to_string(&mut stream, &mut said).is_ok()
        && said.contains("\"true\"")
}

/// Who runs PostgreSQL if the tests are root's, which it refuses: `nobody`.
const NOBODY: u32 = 65_534;

/// PostgreSQL with a user `canary` whose password is `open sesame`, and these settings.
pub fn postgres(settings: &[&str]) -> Option<Server> {
    let (initdb, program) = (program("initdb")?, program("postgres")?);
    let dir = tempfile::tempdir().expect("a folder");
    let root = is_root();
    let as_nobody = |command: &mut Command| {
        if root {
            command.uid(NOBODY).gid(NOBODY);
        }
    };
    if root {
        let owned = std::os::unix::fs::chown(dir.path(), Some(NOBODY), Some(NOBODY));
        owned.expect("root may");
    }
    let (data, password) = (dir.path().join("data"), dir.path().join("password"));
    std::fs::write(&password, "open sesame\n").expect("a file");
    let mut made = Command::new(initdb);
    made.arg("-D")
        .arg(&data)
        .args([
            "-U",
            "canary",
            "--auth=scram-sha-256",
            "--no-sync",
            "--pwfile",
        ])
        .arg(&password)
        .current_dir(dir.path());
    as_nobody(&mut made);
    let made = super::finish(&mut made, LIMIT);
    assert!(made.status.success(), "{}", super::text(&made));
    let port = free_port();
    let mut command = Command::new(program);
    command
        .arg("-D")
        .arg(&data)
        .args(["-p", &port.to_string(), "-h", "127.0.0.1"])
        // No socket in a folder of the system's.
        .args(["-k", ""]);
    for setting in settings {
        command.args(["-c", setting]);
    }
    as_nobody(&mut command);
    Some(serve(&mut command, port, dir, |server| {
        server.log().contains("ready to accept connections")
    }))
}

/// Has the client of PostgreSQL say this to a server, as the user `canary`.
pub fn psql(server: &Server, statement: &str) {
    let mut command = Command::new("psql");
    command
        .args(["-h", "127.0.0.1", "-p", &server.port.to_string()])
        .args(["-U", "canary", "-d", "postgres", "-c", statement])
        .env("PGPASSWORD", "open sesame");
    let done = super::finish(&mut command, LIMIT);
    assert!(done.status.success(), "{}", super::text(&done));
}

fn is_root() -> bool {
    // SAFETY: it has no arguments and always succeeds.
    unsafe { libc::geteuid() == 0 }
}

/// What answers over HTTP, of Python's own library: items by path.
const ITEMS: &str = "\
import http.server, sys
items = {}
class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = 'HTTP/1.1'
    def answer(self, status, body=b''):
        self.send_response(status)
        self.send_header('content-length', str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def do_GET(self):
        if self.headers.get('x-key') != 'secret':
            return self.answer(403)
        item = items.get(self.path)
        self.answer(404) if item is None else self.answer(200, item)
    def do_PUT(self):
        items[self.path] = self.rfile.read(int(self.headers['content-length']))
        self.answer(204)
    def do_DELETE(self):
        items.pop(self.path, None)
        self.answer(204)
    def log_message(self, *ignored):
        pass
server = http.server.ThreadingHTTPServer(('127.0.0.1', int(sys.argv[1])), Handler)
print('ready', flush=True)
server.serve_forever()
";

/// Items over HTTP for whoever has the header `x-key: secret`.
pub fn items() -> Option<Server> {
    let program = program("python3")?;
    let port = free_port();
    let dir = tempfile::tempdir().expect("a folder");
    let mut command = Command::new(program);
    command.args(["-c", ITEMS, &port.to_string()]);
    Some(serve(&mut command, port, dir, |s| {
        s.log().contains("ready")
    }))
}
