//! A body that arrives: collected in memory while it is small, written to the file while it arrives
//! once it is large.

use std::sync::Arc;

use bytes::Bytes;

use super::parts::TierParts;
use crate::store::file::read::file_body::{Extent, FileBody};
use crate::store::file::write::queue::{HEAD_BYTES, Job};
use crate::store::file::write::writer::{extent_bytes_max, split};
use crate::store::{Body, Content, EntryWriter, NewEntry, StoreError, Stored};

/// Receives one body. The head is written last: until then, nothing in the file points to what was
/// written.
#[derive(Debug)]
pub(crate) struct TieredWriter {
    parts: Arc<TierParts>,
    /// Pieces that are not given to the writer yet.
    pieces: Vec<Bytes>,
    waiting: u64,
    length: u64,
    /// Extents that were given to the writer, in their order.
    extents: Vec<Arc<Extent>>,
    fault: Option<StoreError>,
}

impl TieredWriter {
    pub(crate) fn new(parts: &Arc<TierParts>) -> Self {
        Self {
            parts: Arc::clone(parts),
            pieces: Vec::new(),
            waiting: 0,
            length: 0,
            extents: Vec::new(),
            fault: None,
        }
    }

    /// Returns the bytes of a body that is collected in memory.
    fn collected_max(&self) -> u64 {
        self.parts.memory.object_bytes_max().min(COLLECTED_BYTES_MAX)
    }

    fn refuse(&mut self, fault: StoreError) -> StoreError {
        self.fault = Some(fault);
        self.pieces = Vec::new();
        self.abandon();
        fault
    }

    fn abandon(&mut self) {
        let extents = std::mem::take(&mut self.extents);
        if !extents.is_empty() {
            // If it cannot be queued, these bytes are counted as live until their segment's turn.
            drop(self.parts.engine.submit(Job::Abandon(extents)));
        }
    }

    /// Gives waiting pieces to the writer: in whole extents, and at the end the rest.
    fn spill(&mut self, is_end: bool) -> Result<(), StoreError> {
        let extent_bytes = extent_bytes_max(self.parts.volume().segment_bytes);
        let mut runs = split(&std::mem::take(&mut self.pieces), extent_bytes);
        if !is_end
            && let Some(last) =
                runs.pop_if(|run| run.iter().map(Bytes::len).sum::<usize>() < extent_bytes)
        {
            self.pieces = last;
        }
        for run in runs {
            let bytes: u64 = run.iter().map(|piece| piece.len() as u64).sum();
            let reserved = self.parts.engine.reserve(bytes).ok_or(StoreError::Busy)?;
            let start = self.length - self.waiting;
            self.waiting -= bytes;
            let extent = Extent::waiting(start, run);
            self.extents.push(Arc::clone(&extent));
            let queued = self.parts.engine.submit(Job::Extent(extent, reserved));
            queued.map_err(|_refused_job| StoreError::Busy)?;
        }
        Ok(())
    }

    fn finish(&mut self, draft: NewEntry) -> Result<Arc<Stored>, StoreError> {
        let is_part =
            matches!(&draft.content, Content::Response(response) if response.part.is_some());
        if self.extents.is_empty() {
            let reserved = self.parts.room_for(&draft, self.length);
            let body = self.parts.memory.hold(Body::join(std::mem::take(&mut self.pieces)));
            return self.parts.put(draft, body, reserved, None);
        }
        if is_part {
            return Err(StoreError::TooLarge); // parts are put together in memory
        }
        self.spill(true)?;
        let reserved = self.parts.engine.reserve(HEAD_BYTES).ok_or(StoreError::Busy)?;
        let body = Body::Deferred(FileBody::of(self.parts.volume(), self.extents.clone()));
        let stored = self.parts.put(draft, body, Some(reserved), None)?;
        self.extents.clear();
        Ok(stored)
    }
}

impl EntryWriter for TieredWriter {
    fn append(&mut self, piece: Bytes) -> Result<(), StoreError> {
        if let Some(fault) = self.fault {
            return Err(fault);
        }
        self.length += piece.len() as u64;
        self.waiting += piece.len() as u64;
        let is_large = self.length > self.collected_max();
        if self.length > self.parts.rules.object_bytes_max
            || (is_large && !self.parts.volume().takes_writes())
        {
            return Err(self.refuse(StoreError::TooLarge));
        }
        self.pieces.push(piece);
        let extent_bytes = extent_bytes_max(self.parts.volume().segment_bytes) as u64;
        if is_large && self.waiting >= extent_bytes {
            return self.spill(false).map_err(|fault| self.refuse(fault));
        }
        Ok(())
    }

    fn commit(mut self: Box<Self>, draft: NewEntry) -> Result<Arc<Stored>, StoreError> {
        if let Some(fault) = self.fault {
            return Err(fault);
        }
        self.finish(draft)
    }
}

impl Drop for TieredWriter {
    fn drop(&mut self) {
        self.abandon();
    }
}

/// Larger bodies are written while they arrive.
const COLLECTED_BYTES_MAX: u64 = 8 << 20;
