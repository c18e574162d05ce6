//! Just enough of ELF (System V ABI, chapter 5) to know a program's loader and
//! a library's own name. 64-bit little-endian files only.

const PT_LOAD: u32 = 1;
const PT_DYNAMIC: u32 = 2;
const PT_INTERP: u32 = 3;
const DT_NULL: u64 = 0;
const DT_STRTAB: u64 = 5;
const DT_SONAME: u64 = 14;

struct Segment {
    kind: u32,
    offset: u64,
    address: u64,
    size: u64,
}

fn bytes<const N: usize>(file: &[u8], at: u64) -> Result<[u8; N], String> {
    let at = usize::try_from(at).map_err(|_| "offset too large")?;
    let part = at.checked_add(N).and_then(|end| file.get(at..end));
    part.and_then(|p| p.try_into().ok())
        .ok_or_else(|| "the ELF file is cut short".to_string())
}

fn u64_at(file: &[u8], at: u64) -> Result<u64, String> {
    bytes(file, at).map(u64::from_le_bytes)
}

fn segments(file: &[u8]) -> Result<Vec<Segment>, String> {
    if bytes::<6>(file, 0)? != *b"\x7fELF\x02\x01" {
        return Err("not a 64-bit little-endian ELF file".into());
    }
    let table = u64_at(file, 32)?;
    let size = u64::from(u16::from_le_bytes(bytes(file, 54)?));
    let count = u64::from(u16::from_le_bytes(bytes(file, 56)?));
    (0..count)
        .map(|i| {
            let at = table.saturating_add(i * size);
            Ok(Segment {
                kind: u32::from_le_bytes(bytes(file, at)?),
                offset: u64_at(file, at.saturating_add(8))?,
                address: u64_at(file, at.saturating_add(16))?,
                size: u64_at(file, at.saturating_add(32))?,
            })
        })
        .collect()
}

fn text(file: &[u8], at: u64) -> Result<String, String> {
    let start = usize::try_from(at).ok().and_then(|at| file.get(at..));
    let text = start.and_then(|rest| rest.split(|b| *b == 0).next());
    let text = text
        .filter(|t| t.len() < 4096)
        .ok_or("a name in the ELF file is cut short")?;
    String::from_utf8(text.to_vec()).map_err(|e| e.to_string())
}

/// Path of the loader that a program names; `None` if it is statically linked.
pub(super) fn interpreter(file: &[u8]) -> Result<Option<String>, String> {
    let found = segments(file)?.into_iter().find(|s| s.kind == PT_INTERP);
    found.map(|s| text(file, s.offset)).transpose()
}

/// The name by which others refer to a library.
pub(super) fn soname(file: &[u8]) -> Result<Option<String>, String> {
    let segments = segments(file)?;
    let Some(dynamic) = segments.iter().find(|s| s.kind == PT_DYNAMIC) else {
        return Ok(None);
    };
    let (mut name, mut strings) = (None, None);
    for i in 0..dynamic.size / 16 {
        let at = dynamic.offset.saturating_add(i * 16);
        let value = u64_at(file, at.saturating_add(8))?;
        match u64_at(file, at)? {
            DT_NULL => break,
            DT_STRTAB => strings = Some(value),
            DT_SONAME => name = Some(value),
            _ => {}
        }
    }
    let (Some(name), Some(strings)) = (name, strings) else {
        return Ok(None);
    };
    // The string table is given by its address in memory.
    let loaded = segments.iter().find(|s| {
        s.kind == PT_LOAD && (s.address..s.address.saturating_add(s.size)).contains(&strings)
    });
    let loaded = loaded.ok_or("the ELF file's strings are nowhere")?;
    let at = (strings - loaded.address)
        .saturating_add(loaded.offset)
        .saturating_add(name);
    text(file, at).map(Some)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_elf_file_is_refused_without_panic() {
        assert!(interpreter(b"#!/bin/sh\n").is_err());
        assert!(interpreter(b"").is_err());
        let mut cut = b"\x7fELF\x02\x01".to_vec();
        cut.resize(64, 0xff);
        assert!(interpreter(&cut).is_err());
        assert!(soname(&cut).is_err());
    }
}
