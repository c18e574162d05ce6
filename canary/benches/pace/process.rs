//! The processes of a run, where they may be, and what CPU they used.

use crate::Failure;
use std::os::unix::process::CommandExt;
use std::process::{Child, Stdio};

/// Where the processes of a run may be.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Place {
    Anywhere,
    OneCpu,
}

/// This program with other arguments.
pub fn child(args: &[&str], place: Place) -> std::io::Result<Child> {
    let mut command = std::process::Command::new(std::env::current_exe()?);
    command
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped());
    if place == Place::OneCpu {
        // SAFETY: between fork and exec only system calls are made, on memory
        // of this frame.
        unsafe { command.pre_exec(stay_on_one_cpu) };
    }
    command.spawn()
}

/// Keeps this process on the last of the CPUs that it may use.
fn stay_on_one_cpu() -> std::io::Result<()> {
    let size = size_of::<libc::cpu_set_t>();
    // SAFETY: all zero is an empty set; both calls get a valid one and its size,
    // and numbers of CPUs are below `CPU_SETSIZE`.
    let rc = unsafe {
        let mut may: libc::cpu_set_t = std::mem::zeroed();
        let mut rc = libc::sched_getaffinity(0, size, &mut may);
        let all = 0..libc::CPU_SETSIZE as usize;
        if let Some(last) = all.rev().find(|cpu| libc::CPU_ISSET(*cpu, &may))
            && rc == 0
        {
            libc::CPU_ZERO(&mut may);
            libc::CPU_SET(last, &mut may);
            rc = libc::sched_setaffinity(0, size, &may);
        }
        rc
    };
    match rc {
        0 => Ok(()),
        _ => Err(std::io::Error::last_os_error()),
    }
}

/// Waits for it; its CPU in seconds: user and system.
pub fn cpu_of(child: &Child) -> Result<(f64, f64), Failure> {
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
        return Err(format!("a process of the run ended with status {status}").into());
    }
    let seconds = |t: libc::timeval| t.tv_sec as f64 + t.tv_usec as f64 / 1e6;
    Ok((seconds(usage.ru_utime), seconds(usage.ru_stime)))
}
