//! How well a canary keeps its pace, against a stub of the service whose delay
//! and stall are known:
//!
//! ```text
//! cargo bench -p gameday-canary
//! ```
//!
//! The canary and the stub are processes of their own, so that the CPU of the
//! canary is its alone, its start included. Takes about half a minute.
//!
//! The truth of a run of `T` seconds in which the server stood still for `S`:
//! a share `S / T` of the requests met the stall, and waited for a time uniform
//! in 0 to `S`. So quantile `q` is `S - (1 - q) * T` if that is above zero.

use gameday_canary::{CanaryConfig, Command, Endpoint, Line, Notice, Wire, run};
use gameday_record::history::Pairing;
use gameday_record::{Operation, RunClock, WorkloadSpec};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::SocketAddr;
use std::process::{Child, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};

type Failure = Box<dyn std::error::Error>;

const RATE: f64 = 1000.0;

fn main() -> Result<(), Failure> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    match args.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["serve", delay_ms, stall_ms] => serve(delay_ms.parse()?, stall_ms.parse()?),
        ["canary"] => canary(),
        // Only as a benchmark: tests assert nothing about time.
        _ if !args.iter().any(|a| a == "--bench") => Ok(()),
        _ => {
            measure("quiet", 8, 0, 0)?;
            measure("answers after 5 ms", 4, 5, 0)?;
            measure("stalls for 1 s", 10, 0, 1000)
        }
    }
}

/// One run of so many seconds; prints what came of it.
fn measure(name: &str, seconds: u64, delay_ms: u64, stall_ms: u64) -> Result<(), Failure> {
    let clock = RunClock::start();
    let mut server = child(&["serve", &delay_ms.to_string(), &stall_ms.to_string()])?;
    let mut said = BufReader::new(server.stdout.take().ok_or("no output")?);
    let mut addr = String::new();
    said.read_line(&mut addr)?;
    let config = CanaryConfig {
        az: "a".into(),
        index: 0,
        clock,
        seed: 1,
        endpoints: vec![Endpoint::plain("a", addr.trim().parse()?)],
        table: "canary".into(),
        attributes: Default::default(),
        alone: false,
        workload: WorkloadSpec {
            rate: RATE,
            ..WorkloadSpec::default()
        },
    };
    let mut canary = child(&["canary"])?;
    let mut stdin = canary.stdin.take().ok_or("no input")?;
    writeln!(stdin, "{}", serde_json::to_string(&config)?)?;
    let mut lines = canary.stdout.take().ok_or("no output")?;
    // Lines are only kept while the run goes on: judging them takes CPU.
    let reader = std::thread::spawn(move || {
        let mut all = Vec::new();
        lines.read_to_end(&mut all).map(|_| all)
    });
    stdin.write_all(Command::Start.line().as_bytes())?;
    std::thread::sleep(Duration::from_secs(seconds));
    stdin.write_all(Command::Stop.line().as_bytes())?;
    let all = reader.join().map_err(|_| "the reader died")??;
    let cpu = cpu_of(&canary)?;
    drop(server.stdin.take());
    let mut seen = String::new();
    said.read_to_string(&mut seen)?;
    server.wait()?;
    let arrivals: Vec<u64> = serde_json::from_str(&seen)?;

    let mut pairing = Pairing::default();
    let mut operations = Vec::new();
    let mut totals = None;
    for line in all.split_inclusive(|b| *b == b'\n') {
        match Line::parse(line)? {
            Line::Event(e) => operations.extend(pairing.push(&e)?),
            Line::Notice(Notice::Done(t)) => totals = Some(t.counts),
            Line::Notice(_) => {}
        }
    }
    let totals = totals.ok_or("the canary did not end well")?;
    let micros = |f: fn(&Operation) -> u64| {
        let mut all: Vec<u64> = operations.iter().map(f).collect();
        all.sort_unstable();
        all
    };
    let lag = micros(|o| (o.invoked.0 - o.due.0) / 1000);
    let latency = micros(|o| o.returned.map_or(0, |r| r.0 - o.due.0) / 1000);
    let due =
        |pick: fn(Vec<u64>) -> Option<u64>| pick(operations.iter().map(|o| o.due.0).collect());
    let first = due(|all| all.into_iter().min()).ok_or("nothing was due")?;
    let last = due(|all| all.into_iter().max()).ok_or("nothing was due")?;
    let span = (last - first) as f64 / 1e9;
    println!("\n{name}: {seconds} s");
    println!(
        "  rate asked {RATE:.1}/s, achieved {:.1}/s; {} due, {} unsent, {} failed or unknown",
        (totals.sent.max(1) - 1) as f64 / span,
        totals.due,
        totals.unsent,
        totals.failed + totals.unknown,
    );
    let ms = |v: &[u64], q: f64| rank(v, q) as f64 / 1000.0;
    for (what, v) in [("send lag", &lag), ("latency ", &latency)] {
        println!(
            "  {what} ms: p50 {:.3}  p90 {:.3}  p99 {:.3}  max {:.3}",
            ms(v, 0.5),
            ms(v, 0.9),
            ms(v, 0.99),
            ms(v, 1.0)
        );
    }
    if stall_ms > 0 {
        let truth = |q: f64| (stall_ms as f64 - (1.0 - q) * span * 1000.0).max(0.0);
        let (p99, t) = (ms(&latency, 0.99), truth(0.99));
        println!(
            "  truth    ms: p50 {:.0}      p90 {:.0}      p99 {t:.0}      max {stall_ms}; \
             measured p99 is off by {:+.1} %",
            truth(0.5),
            truth(0.9),
            (p99 / t - 1.0) * 100.0
        );
    } else {
        let per = per_ten_ms(&arrivals);
        println!(
            "  arrivals per 10 ms: p1 {}  p50 {}  p99 {}",
            rank(&per, 0.01),
            rank(&per, 0.5),
            rank(&per, 0.99)
        );
    }
    let per_10k = |s: f64| s * 10_000.0 / totals.sent as f64;
    println!(
        "  CPU per 10 000 operations: {:.3} s ({:.3} s user, {:.3} s system)",
        per_10k(cpu.0 + cpu.1),
        per_10k(cpu.0),
        per_10k(cpu.1)
    );
    Ok(())
}

/// Nearest rank of sorted values.
fn rank(sorted: &[u64], q: f64) -> u64 {
    let at = (sorted.len() as f64 * q).ceil() as usize;
    sorted.get(at.max(1) - 1).copied().unwrap_or(0)
}

fn per_ten_ms(arrivals: &[u64]) -> Vec<u64> {
    let (Some(first), Some(last)) = (arrivals.first(), arrivals.last()) else {
        return Vec::new();
    };
    let slot = |t: u64| ((t - first) / 10_000_000) as usize;
    let mut counts = vec![0; slot(*last) + 1];
    for t in arrivals {
        counts[slot(*t)] += 1;
    }
    // The last slot is not over.
    counts.pop();
    counts.sort_unstable();
    counts
}

fn child(args: &[&str]) -> std::io::Result<Child> {
    std::process::Command::new(std::env::current_exe()?)
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
}

/// Waits for it; its CPU in seconds: user and system.
fn cpu_of(child: &Child) -> Result<(f64, f64), Failure> {
    let mut status = 0;
    // SAFETY: all zero is a valid `rusage`; both pointers are to variables of
    // the right type that live longer than the call.
    let usage = unsafe {
        let mut usage: libc::rusage = std::mem::zeroed();
        if libc::wait4(child.id() as i32, &mut status, 0, &mut usage) < 0 {
            return Err(std::io::Error::last_os_error().into());
        }
        usage
    };
    if status != 0 {
        return Err(format!("the canary ended with status {status}").into());
    }
    let seconds = |t: libc::timeval| t.tv_sec as f64 + t.tv_usec as f64 / 1e6;
    Ok((seconds(usage.ru_utime), seconds(usage.ru_stime)))
}

/// A canary as the binary runs one; its configuration is the first line.
fn canary() -> Result<(), Failure> {
    let rt = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let result: Result<(), Failure> = rt.block_on(async {
        use tokio::io::AsyncBufReadExt;
        let mut input = tokio::io::BufReader::new(tokio::io::stdin());
        let mut line = String::new();
        input.read_line(&mut line).await?;
        let config = CanaryConfig::parse(&line)?;
        Ok(run(config, Wire::default(), input, tokio::io::stdout()).await?)
    });
    rt.shutdown_background();
    result
}

/// Answers every request, after a delay; 3 s after the first one it stands
/// still once. Says when requests arrived, in ns, when its input ends.
fn serve(delay_ms: u64, stall_ms: u64) -> Result<(), Failure> {
    let rt = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    rt.block_on(async {
        let socket = TcpSocket::new_v4()?;
        socket.bind(SocketAddr::from(([127, 0, 0, 1], 0)))?;
        let listener = socket.listen(4096)?;
        println!("{}", listener.local_addr()?);
        let clock = RunClock::start();
        let arrivals = Arc::new(Mutex::new(Vec::new()));
        let seen = arrivals.clone();
        let accepting = async move {
            loop {
                let (stream, _) = listener.accept().await?;
                stream.set_nodelay(true)?;
                tokio::spawn(answer(stream, clock, seen.clone(), delay_ms, stall_ms));
            }
        };
        let mut rest = Vec::new();
        let mut input = tokio::io::stdin();
        let ended: Result<(), Failure> = tokio::select! {
            failed = accepting => failed,
            ended = input.read_to_end(&mut rest) => Ok(ended.map(drop)?),
        };
        ended?;
        let all = arrivals.lock().map_err(|_| "a connection died")?;
        println!("{}", serde_json::to_string(&*all)?);
        Ok(())
    })
}

async fn answer(
    mut stream: TcpStream,
    clock: RunClock,
    arrivals: Arc<Mutex<Vec<u64>>>,
    delay_ms: u64,
    stall_ms: u64,
) -> std::io::Result<()> {
    const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-type: application/x-amz-json-1.0\r\n\
        x-amzn-requestid: 00000000-0000-0000-0000-000000000000\r\ncontent-length: 2\r\n\r\n{}";
    let mut buffer = vec![0; 1 << 16];
    let mut have = 0;
    loop {
        let n = stream.read(&mut buffer[have..]).await?;
        if n == 0 {
            return Ok(());
        }
        have += n;
        if !whole(&buffer[..have]) {
            continue;
        }
        have = 0;
        let now = clock.now().0;
        let stands = {
            let Ok(mut all) = arrivals.lock() else {
                return Ok(());
            };
            // The first that arrives 3 s after the first of all meets the stall.
            let three = |t: u64| all.first().is_some_and(|f| t >= f + 3_000_000_000);
            let stands = stall_ms > 0 && three(now) && !all.last().is_some_and(|t| three(*t));
            all.push(now);
            stands
        };
        if stands {
            // On the only thread: nothing else is served either.
            std::thread::sleep(Duration::from_millis(stall_ms));
        }
        if delay_ms > 0 {
            tokio::time::sleep(Duration::from_millis(delay_ms)).await;
        }
        stream.write_all(ANSWER).await?;
    }
}

/// True of a whole request.
fn whole(bytes: &[u8]) -> bool {
    let Some(end) = bytes.windows(4).position(|w| w == b"\r\n\r\n") else {
        return false;
    };
    let head = String::from_utf8_lossy(&bytes[..end]).to_ascii_lowercase();
    let length = head
        .lines()
        .find_map(|l| l.strip_prefix("content-length:")?.trim().parse().ok())
        .unwrap_or(0);
    bytes.len() >= end + 4 + length
}
