//! The one writer of everything that gameday prints: output never decides.
//!
//! What is said while something is under way waits in a bounded queue for a thread that does
//! nothing else, so that a reader who has gone, a full disk, a terminal that hung up, or one that
//! is stopped (Ctrl-S) changes neither a game day nor its exit code. What could not be shown is
//! counted, and said as soon as something can be shown again.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, ErrorKind, IsTerminal, Write};
use std::mem::ManuallyDrop;
use std::os::fd::{AsRawFd, FromRawFd, RawFd};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock};
use std::time::{Duration, Instant};

/// Most bytes that wait to be shown.
const ROOM: usize = 1 << 20;
/// At the end, so long may nobody take anything of what still waits.
const PATIENCE: Duration = Duration::from_secs(3);
/// Columns of a terminal that does not say.
const COLUMNS: usize = 80;

/// Says a line on standard output, formatted as by `format!`; never fails, never waits.
macro_rules! say {
    ($($arg:tt)*) => { $crate::print::line($crate::print::Stream::Out, format!($($arg)*)) };
}

/// Says a line on standard error, formatted as by `format!`; never fails, never waits.
macro_rules! warn {
    ($($arg:tt)*) => { $crate::print::line($crate::print::Stream::Err, format!($($arg)*)) };
}

/// Where something is said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stream {
    /// Standard output.
    Out,
    /// Standard error.
    Err,
}

/// Says a line; see [`say!`] and [`warn!`].
pub fn line(stream: Stream, text: String) {
    printer().of(stream).push(stream, text, false);
}

/// Prints a text that is all that its command is for, and waits until it was read. A reader who
/// has seen enough (`| head`) is no error.
pub fn out(text: &str) {
    let queue = printer().of(Stream::Out);
    queue.push(Stream::Out, text.to_string(), true);
    queue.wait(None);
}

/// Shows a text below all that is said, until it is replaced or taken away. For a terminal alone:
/// see [`is_live`].
pub fn status(text: Option<String>) {
    printer().of(Stream::Out).status(text);
}

/// What has been said is shown, or nobody takes it. The last thing that a program does.
pub fn finish() {
    let printer = printer();
    for queue in [&printer.out, &printer.err] {
        queue.status(None);
        queue.wait(Some(PATIENCE));
    }
}

/// Whether standard output is a terminal on which a line can be written over.
pub fn is_live() -> bool {
    can_move(
        io::stdout().is_terminal(),
        std::env::var("TERM").ok().as_deref(),
    )
}

/// Whether standard output is a terminal on which colours are wanted.
pub fn is_coloured() -> bool {
    is_live() && std::env::var_os("NO_COLOR").is_none()
}

/// `term`: the variable TERM. A terminal without a kind, or a dumb one, knows lines alone.
fn can_move(terminal: bool, term: Option<&str>) -> bool {
    terminal && term.is_some_and(|kind| !kind.is_empty() && kind != "dumb")
}

/// Both streams.
struct Printer {
    out: Arc<Queue>,
    err: Arc<Queue>,
}

impl Printer {
    fn of(&self, stream: Stream) -> &Arc<Queue> {
        match stream {
            Stream::Out => &self.out,
            Stream::Err => &self.err,
        }
    }
}

fn printer() -> &'static Printer {
    static PRINTER: OnceLock<Printer> = OnceLock::new();
    PRINTER.get_or_init(|| {
        let out = Queue::start(Descriptors);
        // On one terminal, or in one file, what is said keeps its order; otherwise neither stream
        // waits for the other.
        let err = match same_file(libc::STDOUT_FILENO, libc::STDERR_FILENO) {
            true => out.clone(),
            false => Queue::start(Descriptors),
        };
        Printer { out, err }
    })
}

fn same_file(a: RawFd, b: RawFd) -> bool {
    let of = |fd| {
        // SAFETY: the descriptor is not closed by this, and a closed one is only an error.
        let file = ManuallyDrop::new(unsafe { File::from_raw_fd(fd) });
        use std::os::unix::fs::MetadataExt;
        file.metadata().ok().map(|m| (m.dev(), m.ino()))
    };
    of(a).is_some_and(|file| of(b) == Some(file))
}

/// Where bytes go. A call may block for ever: it blocks its thread alone.
trait Sink: Send + 'static {
    /// Takes some of the bytes.
    fn write(&mut self, stream: Stream, bytes: &[u8]) -> io::Result<usize>;
    /// Columns of a status line.
    fn columns(&self) -> usize;
}

/// The process's own.
struct Descriptors;

impl Sink for Descriptors {
    fn write(&mut self, stream: Stream, bytes: &[u8]) -> io::Result<usize> {
        let fd = match stream {
            Stream::Out => libc::STDOUT_FILENO,
            Stream::Err => libc::STDERR_FILENO,
        };
        // SAFETY: it stays open as long as the process; it is not closed by this.
        let mut file = ManuallyDrop::new(unsafe { File::from_raw_fd(fd) });
        match file.write(bytes) {
            // Somebody who shares the descriptor made it so; until there is room again.
            Err(e) if e.kind() == ErrorKind::WouldBlock => {
                let mut poll = libc::pollfd {
                    fd: file.as_raw_fd(),
                    events: libc::POLLOUT,
                    revents: 0,
                };
                // SAFETY: one valid pollfd.
                unsafe { libc::poll(&mut poll, 1, -1) };
                Err(ErrorKind::Interrupted.into())
            }
            done => done,
        }
    }

    fn columns(&self) -> usize {
        // SAFETY: winsize is plain data, and the call writes one.
        let size = unsafe {
            let mut size: libc::winsize = std::mem::zeroed();
            match libc::ioctl(libc::STDOUT_FILENO, libc::TIOCGWINSZ, &mut size) {
                0 => usize::from(size.ws_col),
                _ => 0,
            }
        };
        if size == 0 { COLUMNS } else { size }
    }
}

/// What waits to be shown.
struct Queue {
    state: Mutex<State>,
    changed: Condvar,
}

struct State {
    waiting: VecDeque<(Stream, String)>,
    bytes: usize,
    /// The status line that is wanted, and whether that has changed since it was drawn.
    status: Option<String>,
    status_changed: bool,
    /// The thread has taken something that is not shown yet.
    busy: bool,
    /// Writes that took something so far: while they go on, somebody reads.
    taken: u64,
    /// Lines that nobody will see.
    lost: u64,
    /// There is no thread: nothing can be shown.
    mute: bool,
}

impl State {
    fn idle(&self) -> bool {
        self.mute || (self.waiting.is_empty() && !self.busy && !self.status_changed)
    }
}

impl Queue {
    fn start(sink: impl Sink) -> Arc<Queue> {
        let queue = Arc::new(Queue {
            state: Mutex::new(State {
                waiting: VecDeque::new(),
                bytes: 0,
                status: None,
                status_changed: false,
                busy: false,
                taken: 0,
                lost: 0,
                mute: false,
            }),
            changed: Condvar::new(),
        });
        let showing = queue.clone();
        let thread = std::thread::Builder::new().name("print".into());
        if thread.spawn(move || showing.show(sink)).is_err() {
            queue.lock().mute = true;
        }
        queue
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(|e| e.into_inner())
    }

    /// `whole`: however long it is, and however much waits.
    fn push(&self, stream: Stream, mut text: String, whole: bool) {
        text.push('\n');
        let mut state = self.lock();
        if !whole && state.bytes + text.len() > ROOM {
            state.lost += 1;
            return;
        }
        state.bytes += text.len();
        state.waiting.push_back((stream, text));
        self.changed.notify_all();
    }

    fn status(&self, text: Option<String>) {
        let mut state = self.lock();
        if state.status != text {
            state.status = text;
            state.status_changed = true;
            self.changed.notify_all();
        }
    }

    /// Until everything is shown; `patience`: or until nothing was taken for so long.
    fn wait(&self, patience: Option<Duration>) {
        let mut state = self.lock();
        let (mut taken, mut since) = (state.taken, Instant::now());
        while !state.idle() {
            if state.taken != taken {
                (taken, since) = (state.taken, Instant::now());
            }
            let left = match patience {
                Some(patience) => patience.saturating_sub(since.elapsed()),
                None => PATIENCE,
            };
            if left.is_zero() {
                return;
            }
            state = match self.changed.wait_timeout(state, left) {
                Ok((state, _)) => state,
                Err(poisoned) => poisoned.into_inner().0,
            };
        }
    }

    /// The thread.
    fn show(&self, mut sink: impl Sink) {
        let mut drawn = false;
        loop {
            let mut state = self.lock();
            state.busy = false;
            self.changed.notify_all();
            while state.waiting.is_empty() && !state.status_changed {
                state = self.changed.wait(state).unwrap_or_else(|e| e.into_inner());
            }
            let next = state.waiting.pop_front();
            state.bytes -= next.as_ref().map_or(0, |(_, text)| text.len());
            state.busy = true;
            state.status_changed = false;
            let lost = std::mem::take(&mut state.lost);
            let status = state.status.clone();
            drop(state);

            let (stream, text) = next.unwrap_or((Stream::Out, String::new()));
            let mut bytes = String::new();
            if drawn {
                bytes.push_str("\r\x1b[2K");
            }
            if lost > 0 {
                bytes.push_str(&format!("({lost} lines before this could not be shown)\n"));
            }
            bytes.push_str(&text);
            if let Some(status) = &status {
                let room = sink.columns().saturating_sub(1);
                bytes.extend(status.chars().take(room));
            }
            drawn = status.is_some();
            if !self.write(&mut sink, stream, bytes.as_bytes()) {
                self.lock().lost += lost + u64::from(!text.is_empty());
            }
        }
    }

    /// False if it cannot be written.
    fn write(&self, sink: &mut impl Sink, stream: Stream, mut bytes: &[u8]) -> bool {
        while !bytes.is_empty() {
            match sink.write(stream, bytes) {
                Ok(0) => return false,
                Ok(n) => {
                    bytes = &bytes[n..];
                    self.lock().taken += 1;
                    self.changed.notify_all();
                }
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                Err(_) => return false,
            }
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc;

    /// What a test sees of a terminal: each write waits for its permission.
    struct Screen {
        shown: Arc<Mutex<String>>,
        allowed: mpsc::Receiver<io::Result<()>>,
    }

    impl Sink for Screen {
        fn write(&mut self, _: Stream, bytes: &[u8]) -> io::Result<usize> {
            match self.allowed.recv() {
                Ok(answer) => answer?,
                Err(_) => return Err(ErrorKind::BrokenPipe.into()),
            }
            let text = std::str::from_utf8(bytes).unwrap();
            self.shown.lock().unwrap().push_str(text);
            Ok(bytes.len())
        }

        fn columns(&self) -> usize {
            12
        }
    }

    fn screen() -> (Arc<Queue>, Arc<Mutex<String>>, mpsc::Sender<io::Result<()>>) {
        let shown = Arc::new(Mutex::new(String::new()));
        let (allow, allowed) = mpsc::channel();
        let queue = Queue::start(Screen {
            shown: shown.clone(),
            allowed,
        });
        (queue, shown, allow)
    }

    #[test]
    fn whoever_speaks_never_waits_for_a_reader_and_the_rest_is_counted() {
        let (queue, shown, allow) = screen();
        let long = "x".repeat(1000);
        // Its thread is stuck with a first line, so that all that is lost is counted after it.
        queue.push(Stream::Out, long.clone(), false);
        let stuck = |state: &State| state.busy && state.waiting.is_empty();
        while !stuck(&queue.lock()) {
            std::thread::yield_now();
        }
        // Nobody reads: more than there is room for.
        for _ in 0..3 * ROOM / 1000 {
            queue.push(Stream::Out, long.clone(), false);
        }
        queue.wait(Some(Duration::ZERO));
        assert!(queue.lock().bytes <= ROOM);
        let lost = queue.lock().lost;
        assert!(lost > ROOM as u64 / 1000, "{lost}");
        // Somebody reads again.
        for _ in 0..2 * ROOM / 1000 {
            allow.send(Ok(())).unwrap();
        }
        queue.wait(None);
        queue.push(Stream::Out, "after".into(), false);
        queue.wait(None);
        let shown = shown.lock().unwrap();
        assert!(shown.contains("lines before this could not be shown"));
        assert!(shown.ends_with("after\n"));
    }

    #[test]
    fn what_cannot_be_written_is_said_once_something_can() {
        let (queue, shown, allow) = screen();
        allow
            .send(Err(io::Error::from_raw_os_error(libc::ENOSPC)))
            .unwrap();
        allow
            .send(Err(io::Error::from_raw_os_error(libc::EIO)))
            .unwrap();
        for text in ["one", "two", "three"] {
            queue.push(Stream::Out, text.into(), false);
        }
        allow.send(Ok(())).unwrap();
        queue.wait(None);
        let expected = "(2 lines before this could not be shown)\nthree\n";
        assert_eq!(*shown.lock().unwrap(), expected);
        // And when the reader has gone for good, nobody waits for it.
        drop(allow);
        queue.push(Stream::Out, "four".into(), true);
        queue.wait(None);
    }

    #[test]
    fn the_status_stays_below_what_is_said_and_fits_its_line() {
        let (queue, shown, allow) = screen();
        (0..9).for_each(|_| allow.send(Ok(())).unwrap());
        queue.status(Some("steps 7 s, 11 s left".into()));
        queue.wait(None);
        queue.push(Stream::Out, "a line".into(), false);
        queue.wait(None);
        queue.status(None);
        queue.wait(None);
        let expected = "steps 7 s, \r\x1b[2Ka line\nsteps 7 s, \r\x1b[2K";
        assert_eq!(*shown.lock().unwrap(), expected);
    }

    #[test]
    fn a_terminal_that_knows_lines_alone_gets_lines() {
        assert!(can_move(true, Some("xterm-256color")));
        for (terminal, term) in [
            (true, None),
            (true, Some("")),
            (true, Some("dumb")),
            (false, Some("xterm")),
        ] {
            assert!(!can_move(terminal, term), "{terminal} {term:?}");
        }
    }
}
