//! A node and an instrument that do nothing but talk.
//!
//! The node echoes lines on its peer port. Its admin port answers
//! `/health`, `/boots` (how often it was started on its data folder),
//! `/dial/<addr>` (opens a connection and keeps it), `/talk/<text>` (says
//! something over that connection and waits for the echo), `/try/<addr>` (a
//! fresh connection and one echo), `/bench/<addr>` (how many echoes in a
//! row, and how many bytes, a connection carries for a second each), `/save/<file>`
//! and `/note/<file>` (writes one, and syncs it or not) and `/read/<file>`.

use std::io::{self, BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// How long an echo is waited for before the link counts as silent.
const SILENCE: Duration = Duration::from_millis(1200);

fn var(name: &str) -> Result<String, String> {
    std::env::var(name).map_err(|e| format!("{name}: {e}"))
}

fn addr(name: &str) -> Result<SocketAddr, String> {
    var(name)?.parse().map_err(|e| format!("{name}: {e}"))
}

/// Ends the process in a way that shows that it did so itself.
extern "C" fn stop(_: i32) {
    // SAFETY: _exit is async-signal-safe.
    unsafe { libc::_exit(7) }
}

pub fn node() -> Result<(), String> {
    let handler = nix::sys::signal::SigHandler::Handler(stop);
    // SAFETY: the handler calls nothing but _exit.
    unsafe { nix::sys::signal::signal(nix::sys::signal::Signal::SIGTERM, handler) }
        .map_err(|e| format!("SIGTERM: {e}"))?;
    let boots = PathBuf::from(var("GAMEDAY_DATA")?).join("boots");
    let count = std::fs::read(&boots).map_or(0, |b| b.len()) + 1;
    std::fs::write(&boots, vec![b'x'; count]).map_err(|e| format!("{}: {e}", boots.display()))?;
    eprintln!("boot {count}");
    let say = |e: io::Error| format!("cannot listen: {e}");
    let peer = TcpListener::bind(addr("DUMMY_PEER")?).map_err(say)?;
    let admin = TcpListener::bind(addr("DUMMY_ADMIN")?).map_err(say)?;
    std::thread::spawn(move || {
        for stream in peer.incoming().flatten() {
            std::thread::spawn(move || echo(stream));
        }
    });
    let kept = Arc::new(Mutex::new(None));
    for stream in admin.incoming().flatten() {
        let kept = kept.clone();
        std::thread::spawn(move || answer(stream, &kept, count));
    }
    Ok(())
}

fn echo(stream: TcpStream) -> io::Result<()> {
    let mut out = stream.try_clone()?;
    for line in BufReader::new(stream).lines() {
        out.write_all(format!("{}\n", line?).as_bytes())?;
    }
    Ok(())
}

fn answer(
    mut stream: TcpStream,
    kept: &Mutex<Option<BufReader<TcpStream>>>,
    boots: usize,
) -> io::Result<()> {
    let mut request = String::new();
    let mut input = BufReader::new(stream.try_clone()?);
    input.read_line(&mut request)?;
    loop {
        let mut header = String::new();
        if input.read_line(&mut header)? == 0 || header == "\r\n" {
            break;
        }
    }
    let path = request.split(' ').nth(1).unwrap_or_default().to_string();
    let (what, argument) = path[1..].split_once('/').unwrap_or((&path[1..], ""));
    let body = match what {
        "health" => "ok".to_string(),
        "boots" => boots.to_string(),
        "dial" => match dial(argument) {
            Ok(stream) => {
                *kept.lock().expect("no panic") = Some(BufReader::new(stream));
                "connected".into()
            }
            Err(e) => name(&e),
        },
        "talk" => match kept.lock().expect("no panic").as_mut() {
            Some(stream) => talk(stream, argument).map_or_else(|e| name(&e), |()| "echo".into()),
            None => "not connected".into(),
        },
        "save" => write(argument, true).map_or_else(|e| name(&e), |()| "saved".into()),
        "note" => write(argument, false).map_or_else(|e| name(&e), |()| "noted".into()),
        "read" => read(argument),
        "try" => try_out(argument),
        "bench" => bench(argument).unwrap_or_else(|e| name(&e)),
        _ => "what?".into(),
    };
    let head = format!(
        "HTTP/1.1 200 OK\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
        body.len()
    );
    stream.write_all((head + &body).as_bytes())
}

fn data(file: &str) -> PathBuf {
    PathBuf::from(std::env::var_os("GAMEDAY_DATA").unwrap_or_default()).join(file)
}

/// Writes a file, and waits for the disk or not.
fn write(file: &str, sync: bool) -> io::Result<()> {
    let path = data(file);
    std::fs::write(&path, "all of it")?;
    if sync {
        std::fs::File::open(&path)?.sync_all()?;
        std::fs::File::open(data(""))?.sync_all()?;
    }
    Ok(())
}

fn read(file: &str) -> String {
    std::fs::read_to_string(data(file)).unwrap_or_else(|e| format!("{:?}", e.kind()))
}

fn dial(addr: &str) -> io::Result<TcpStream> {
    let addr = addr.parse().map_err(io::Error::other)?;
    let stream = TcpStream::connect_timeout(&addr, SILENCE)?;
    stream.set_read_timeout(Some(SILENCE))?;
    Ok(stream)
}

/// Says it and reads lines until it comes back (what was said before may come first).
fn talk(stream: &mut BufReader<TcpStream>, text: &str) -> io::Result<()> {
    stream.get_mut().write_all(format!("{text}\n").as_bytes())?;
    let mut line = String::new();
    while line.trim_end() != text {
        line.clear();
        if stream.read_line(&mut line)? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
    Ok(())
}

fn bench(addr: &str) -> io::Result<String> {
    let second = Duration::from_secs(1);
    let mut stream = BufReader::new(dial(addr)?);
    stream.get_mut().set_nodelay(true)?;
    let (began, mut trips) = (Instant::now(), 0);
    while began.elapsed() < second {
        talk(&mut stream, "x")?;
        trips += 1;
    }
    // What comes back is read aside, or both ends would wait for each other.
    let mut out = stream.get_ref().try_clone()?;
    let reader = std::thread::spawn(move || {
        let mut bytes = 0u64;
        while let Ok(n @ 1..) = stream.fill_buf().map(<[u8]>::len) {
            bytes += n as u64;
            stream.consume(n);
        }
        bytes
    });
    let line = [vec![b'y'; 64 << 10], vec![b'\n']].concat();
    let began = Instant::now();
    while began.elapsed() < second {
        out.write_all(&line)?;
    }
    out.shutdown(std::net::Shutdown::Write)?;
    let bytes = reader.join().unwrap_or_default();
    let mbit = bytes as f64 * 8.0 / began.elapsed().as_secs_f64() / 1e6;
    Ok(format!(
        "{trips} round trips/s, {mbit:.0} mbit/s there and back"
    ))
}

pub fn try_out(addr: &str) -> String {
    let tried = dial(addr).and_then(|stream| talk(&mut BufReader::new(stream), "hello"));
    tried.map_or_else(|e| name(&e), |()| "echo".into())
}

/// `silent`: nothing came back. `broken`: refused, reset or closed.
fn name(e: &io::Error) -> String {
    use io::ErrorKind::*;
    match e.kind() {
        TimedOut | WouldBlock | HostUnreachable => "silent".into(),
        ConnectionRefused | ConnectionReset | ConnectionAborted | BrokenPipe | UnexpectedEof => {
            "broken".into()
        }
        _ => e.to_string(),
    }
}

/// Answers each line of its input, `try <addr>` by trying that.
pub fn instrument() -> Result<(), String> {
    eprintln!("instrument ready");
    for line in io::stdin().lines() {
        let line = line.map_err(|e| e.to_string())?;
        let answer = match line.strip_prefix("try ") {
            Some(addr) => try_out(addr),
            None => format!("heard {line}"),
        };
        println!("{answer}");
    }
    eprintln!("instrument done");
    Ok(())
}
