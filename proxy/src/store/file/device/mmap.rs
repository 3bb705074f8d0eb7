//! The mapped file: the one place with unsafe code.
//!
//! Bytes are handed out as windows, [`Window`], which the kernel reads when they are sent to a
//! socket. No code of this process loads from a window: bodies are passed on, cut and counted, but
//! not looked at (they are verified with `pread` before, see `read/file_body`). So a failing device
//! or a file that somebody cut short is an error of the system call that sends it (`EFAULT`), and
//! no signal.
//!
//! A window holds a [`Pin`] of its segment, and a segment's bytes are written again only when it
//! has no pin. So what a window shows does not change while it lives.

#![expect(unsafe_code, reason = "mapping a file, and slices of it whose bytes nobody changes")]

use std::fs::File;
use std::io;
use std::sync::Arc;

use bytes::Bytes;
use memmap2::{Advice, MmapOptions, MmapRaw, UncheckedAdvice};

use super::segment_state::Pin;

/// A file of fixed length in memory, for reading.
#[derive(Clone, Debug)]
pub(crate) struct Map {
    raw: Arc<MmapRaw>,
}

impl Map {
    /// Maps so many bytes of a file that is as long as that.
    pub(crate) fn new(file: &File, length: u64) -> io::Result<Self> {
        let length = usize::try_from(length).map_err(io::Error::other)?;
        let raw = MmapOptions::new().len(length).map_raw_read_only(file)?;
        // No read-ahead by the system: it would read megabytes around each small object.
        raw.advise(Advice::Random)?;
        Ok(Self { raw: Arc::new(raw) })
    }

    /// Reads these bytes from the device and enters them into the page table, so that using them
    /// does not wait. Blocks.
    pub(crate) fn populate(&self, offset: usize, length: usize) -> io::Result<()> {
        let start = offset - offset % PAGE_BYTES;
        let length = offset + length - start;
        self.raw.advise_range(Advice::WillNeed, start, length)?;
        self.raw.advise_range(Advice::PopulateRead, start, length)
    }

    /// Returns whether these bytes, at most [`RESIDENT_BYTES_MAX`], are in the system's cache, so
    /// that using them does not wait.
    pub(crate) fn is_resident(&self, offset: usize, length: usize) -> bool {
        let start = offset - offset % PAGE_BYTES;
        let Some(end) = offset.checked_add(length).filter(|end| *end <= self.raw.len()) else {
            return false;
        };
        let mut pages = [0_u8; RESIDENT_BYTES_MAX / PAGE_BYTES + 1];
        let Some(pages) = pages.get_mut(..(end - start).div_ceil(PAGE_BYTES)) else { return false };
        // SAFETY: `start` was found to lie within the mapping.
        let address = unsafe { self.raw.as_mut_ptr().add(start) };
        // SAFETY: the range lies within the mapping, and there is a byte in `pages` for each page
        // of it.
        let done = unsafe { libc::mincore(address.cast(), end - start, pages.as_mut_ptr()) };
        done == 0 && pages.iter().all(|page| page & 1 == 1)
    }

    /// Gives the page table's room for these bytes back: nobody reads them any more.
    pub(crate) fn forget(&self, offset: usize, length: usize) -> io::Result<()> {
        // SAFETY: the mapping is shared and of a file, so its contents do not change by this; and
        // no window is left.
        unsafe { self.raw.unchecked_advise_range(UncheckedAdvice::DontNeed, offset, length) }
    }

    /// Makes sending any window an error (`EFAULT`), also of those that are on their way already.
    pub(crate) fn withdraw(&self) -> io::Result<()> {
        let (start, length) = (self.raw.as_mut_ptr(), self.raw.len());
        // SAFETY: the range is the whole mapping, which lives as long as `self`, and no code of
        // this process loads from it.
        let done = unsafe { libc::mprotect(start.cast(), length, libc::PROT_NONE) };
        if done == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
    }

    /// Shows bytes of the segment that is pinned. `None`: they are not in the file.
    pub(crate) fn window(&self, offset: usize, length: usize, pin: Pin) -> Option<Bytes> {
        let end = offset.checked_add(length)?;
        (end <= self.raw.len())
            .then(|| Bytes::from_owner(Window { map: self.clone(), offset, length, _pin: pin }))
    }
}

/// Bytes of a segment that is not written while this lives.
#[derive(Debug)]
struct Window {
    map: Map,
    offset: usize,
    length: usize,
    _pin: Pin,
}

impl AsRef<[u8]> for Window {
    fn as_ref(&self) -> &[u8] {
        // SAFETY: `offset` was found to lie within the mapping, in `Map::window`.
        let start = unsafe { self.map.raw.as_ptr().add(self.offset) };
        // SAFETY: the range lies within the mapping, which `map` keeps; its bytes are not written
        // while the pin lives.
        unsafe { std::slice::from_raw_parts(start, self.length) }
    }
}

const PAGE_BYTES: usize = 4096;
pub(crate) const RESIDENT_BYTES_MAX: usize = 256 << 10;
