//! A simulated disk: what was not synced may be lost, kept or torn, sector by sector, as a seed
//! decides.

use std::collections::BTreeSet;
use std::io;
use std::sync::Arc;

use parking_lot::Mutex;

use super::disk::Disk;
use super::mmap::Map;

#[derive(Debug, Default)]
pub(crate) struct SimulatedDisk {
    state: Mutex<State>,
}

#[derive(Clone, Debug, Default)]
struct State {
    durable: Vec<u8>,
    cached: Vec<u8>,
    dirty: BTreeSet<usize>,
    power: Arc<Mutex<Power>>,
    fails_reads: bool,
}

#[derive(Debug, Default)]
pub(crate) struct Power {
    /// After so many writes and syncs it is off: each of them fails.
    pub(crate) steps_left: Option<u64>,
    pub(crate) steps: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Crash {
    /// The process is killed: everything that was written is there.
    Kill,
    /// The power fails: what was not synced is there or not.
    Power,
}

impl SimulatedDisk {
    pub(crate) fn new(length: u64) -> Arc<Self> {
        let bytes = vec![0; usize::try_from(length).unwrap()];
        let state = State { durable: bytes.clone(), cached: bytes, ..State::default() };
        Arc::new(Self { state: Mutex::new(state) })
    }

    pub(crate) fn after(&self, crash: Crash, random: &mut Random) -> Arc<Self> {
        let state = self.state.lock();
        let mut bytes = state.cached.clone();
        if crash == Crash::Power {
            for sector in &state.dirty {
                if random.below(2) == 0 {
                    let range = sector * SECTOR..(sector + 1) * SECTOR;
                    bytes[range.clone()].copy_from_slice(&state.durable[range]);
                }
            }
        }
        let state = State { durable: bytes.clone(), cached: bytes, ..State::default() };
        Arc::new(Self { state: Mutex::new(state) })
    }

    /// Takes its power from where others take theirs.
    pub(crate) fn plug(&self, power: &Arc<Mutex<Power>>) {
        self.state.lock().power = Arc::clone(power);
    }

    pub(crate) fn unplug(&self) {
        self.plug(&Arc::new(Mutex::new(Power { steps_left: Some(0), steps: 0 })));
    }

    pub(crate) fn fail_reads(&self, fails: bool) {
        self.state.lock().fails_reads = fails;
    }

    /// Gives the file another length, as another process could; new bytes are zero.
    pub(crate) fn resize(&self, length: usize) {
        let mut state = self.state.lock();
        let State { durable, cached, .. } = &mut *state;
        durable.resize(length, 0);
        cached.resize(length, 0);
    }

    pub(crate) fn flip(&self, bit: usize) {
        let mut state = self.state.lock();
        state.cached[bit / 8] ^= 1 << (bit % 8);
        state.durable[bit / 8] ^= 1 << (bit % 8);
    }

    pub(crate) fn bytes(&self) -> Vec<u8> {
        self.state.lock().cached.clone()
    }

    pub(crate) fn holding(bytes: Vec<u8>) -> Arc<Self> {
        let state = State { durable: bytes.clone(), cached: bytes, ..State::default() };
        Arc::new(Self { state: Mutex::new(state) })
    }
}

impl State {
    fn step(&self) -> io::Result<()> {
        let mut power = self.power.lock();
        power.steps += 1;
        if let Some(left) = &mut power.steps_left {
            *left = left.checked_sub(1).ok_or_else(|| io::Error::other("the power is off"))?;
        }
        Ok(())
    }
}

impl Disk for SimulatedDisk {
    fn read(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        let state = self.state.lock();
        if state.fails_reads {
            return Err(io::Error::other("it cannot be read"));
        }
        let start = usize::try_from(offset).unwrap();
        let bytes = state.cached.get(start..start + buffer.len());
        buffer.copy_from_slice(bytes.ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }

    fn read_cached(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        if !offset.is_multiple_of(128) {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        self.read(offset, buffer)
    }

    fn write(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let mut state = self.state.lock();
        state.step()?;
        let start = usize::try_from(offset).unwrap();
        let end = start + bytes.len();
        state.cached.get_mut(start..end).ok_or(io::ErrorKind::StorageFull)?.copy_from_slice(bytes);
        if !bytes.is_empty() {
            state.dirty.extend(start / SECTOR..=(end - 1) / SECTOR);
        }
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        let mut state = self.state.lock();
        state.step()?;
        let State { durable, cached, dirty, .. } = &mut *state;
        for sector in std::mem::take(dirty) {
            let range = sector * SECTOR..(sector + 1) * SECTOR;
            durable[range.clone()].copy_from_slice(&cached[range]);
        }
        Ok(())
    }

    fn length(&self) -> io::Result<u64> {
        Ok(self.state.lock().cached.len() as u64)
    }

    fn map(&self) -> Option<&Map> {
        None
    }
}

#[derive(Clone, Debug)]
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn of(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    pub(crate) fn below(&mut self, end: u64) -> u64 {
        (self.next() >> 16) % end
    }
}

const SECTOR: usize = 512;
