//! Loop devices (`linux/loop.h`): a file as a disk. One that is ours says so by the
//! name that it was given, whatever its number is after the next boot.

use std::ffi::CStr;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

const LOOP_CLR_FD: libc::c_ulong = 0x4C01;
const LOOP_GET_STATUS64: libc::c_ulong = 0x4C05;
const LOOP_CONFIGURE: libc::c_ulong = 0x4C0A;
const LOOP_CTL_GET_FREE: libc::c_ulong = 0x4C82;
/// `_IOR('X', 125, __u32)`: `EXT4_IOC_SHUTDOWN`, and the same of xfs and f2fs.
const SHUTDOWN: libc::c_ulong = 0x8004_587D;
/// `EXT4_GOING_FLAGS_NOLOGFLUSH`: not even the log is written.
const NO_LOG_FLUSH: u32 = 2;
/// How the names of ours begin.
const OURS: &str = "gameday:";
/// Longest name of a volume that such a device can bear, in bytes.
pub(super) const MAX_NAME: usize = 64 - OURS.len() - 1;
/// Where a container has what makes loop devices.
pub(super) const CONTROL: &str = "/dev/loop-control";

/// `struct loop_info64`.
#[repr(C)]
#[derive(Clone, Copy)]
struct Info {
    device: u64,
    inode: u64,
    rdevice: u64,
    offset: u64,
    size_limit: u64,
    number: u32,
    encrypt_type: u32,
    encrypt_key_size: u32,
    flags: u32,
    file_name: [u8; 64],
    crypt_name: [u8; 64],
    encrypt_key: [u8; 32],
    init: [u64; 2],
}

/// `struct loop_config`.
#[repr(C)]
struct Config {
    fd: u32,
    block_size: u32,
    info: Info,
    reserved: [u64; 8],
}

impl Info {
    fn named(name: &str) -> Self {
        // SAFETY: all fields are integers, of which zero is one.
        let mut info: Info = unsafe { std::mem::zeroed() };
        for (to, from) in info.file_name[..63]
            .iter_mut()
            .zip(format!("{OURS}{name}").bytes())
        {
            *to = from;
        }
        info
    }

    fn name(&self) -> Option<&str> {
        let name = CStr::from_bytes_until_nul(&self.file_name)
            .ok()?
            .to_str()
            .ok()?;
        name.strip_prefix(OURS)
    }
}

/// Path of a loop device.
pub(super) fn path(number: u32) -> String {
    format!("/dev/loop{number}")
}

fn open(device: &str) -> io::Result<File> {
    OpenOptions::new().read(true).write(true).open(device)
}

/// Number of a device that nobody uses.
///
/// # Errors
/// The kernel has none, or a right is missing.
pub(super) fn free() -> io::Result<u32> {
    let control = open(CONTROL)?;
    // SAFETY: this request has no argument.
    let number = unsafe { libc::ioctl(control.as_raw_fd(), LOOP_CTL_GET_FREE as _) };
    u32::try_from(number).map_err(|_| io::Error::last_os_error())
}

/// Makes a disk of a file, for a volume of this name. It outlives this process.
///
/// # Errors
/// Somebody was quicker, or a right is missing, or the kernel is older than 5.8.
pub(super) fn bind(device: &str, file: &File, name: &str) -> io::Result<()> {
    let device = open(device)?;
    let fd = u32::try_from(file.as_raw_fd()).map_err(io::Error::other)?;
    let config = Config {
        fd,
        block_size: 0,
        info: Info::named(name),
        reserved: [0; 8],
    };
    // SAFETY: the configuration is whole and lives during the call.
    match unsafe { libc::ioctl(device.as_raw_fd(), LOOP_CONFIGURE as _, &raw const config) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Which volume of ours a device is the disk of; none if it is not ours.
fn whose(device: &File) -> io::Result<Option<String>> {
    let mut info = Info::named("");
    // SAFETY: there is room for the whole answer, which lives during the call.
    match unsafe { libc::ioctl(device.as_raw_fd(), LOOP_GET_STATUS64 as _, &raw mut info) } {
        0 => Ok(info.name().map(str::to_string)),
        _ => match io::Error::last_os_error() {
            // It is the disk of nothing.
            e if e.raw_os_error() == Some(libc::ENXIO) => Ok(None),
            e => Err(e),
        },
    }
}

/// Ends that a device is the disk of this volume; fine if it is not.
///
/// # Errors
/// What the kernel says.
pub(super) fn unbind(device: &str, name: &str) -> io::Result<()> {
    let device = open(device)?;
    if whose(&device)?.as_deref() != Some(name) {
        return Ok(());
    }
    // SAFETY: this request has no argument.
    match unsafe { libc::ioctl(device.as_raw_fd(), LOOP_CLR_FD as _) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Shuts down the file system that is mounted there, if it is that of this volume on this device,
/// and of nothing else: what was not synced is gone, and whoever uses it gets errors.
///
/// # Errors
/// It is another one; what the kernel says.
pub(super) fn shut_down(at: &Path, device: &str, name: &str) -> Result<(), String> {
    let say = |e: io::Error| format!("{}: {e}", at.display());
    let disk = open(device).map_err(|e| format!("{device}: {e}"))?;
    let of = whose(&disk).map_err(|e| format!("{device}: {e}"))?;
    if of.as_deref() != Some(name) {
        let of = of.map_or_else(|| "none of ours".to_string(), |of| format!("that of {of}"));
        return Err(format!(
            "{device} is not the disk of the volume {name} but {of}"
        ));
    }
    let mounted = File::open(at).map_err(say)?;
    let is = mounted.metadata().map_err(say)?.dev();
    let should = disk.metadata().map_err(say)?.rdev();
    if is != should {
        return Err(format!(
            "{} is on the device {is:#x} and not on {device}, which is {should:#x}: it is not ours",
            at.display()
        ));
    }
    let flags = NO_LOG_FLUSH;
    // SAFETY: the flags live during the call.
    let done = unsafe { libc::ioctl(mounted.as_raw_fd(), SHUTDOWN as _, &raw const flags) };
    match done {
        0 => Ok(()),
        _ => Err(say(io::Error::last_os_error())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_bears_the_name_of_its_volume() {
        // As the kernel has it (linux/loop.h).
        assert_eq!((size_of::<Info>(), size_of::<Config>()), (232, 304));
        assert_eq!(Info::named("db").name(), Some("db"));
        let long = "x".repeat(MAX_NAME);
        assert_eq!(Info::named(&long).name(), Some(long.as_str()));
        let mut other = Info::named("db");
        other.file_name[0] = b'G';
        assert_eq!(other.name(), None);
    }
}
