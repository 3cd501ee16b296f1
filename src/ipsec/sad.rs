//! SAs by SPI. Our SPIs hold the slot's home worker, the slot, a generation and random bits; never 0-255.
use super::tables::Child;
use crate::esp::inbound::InboundSa;
use std::sync::Arc;
/// Bits of an SPI that tell the home worker: `spi & WORKER_MASK`; the same for all SPIs of one child.
pub const WORKER_MASK: u32 = 0xf;
/// One inbound SA with the child that it belongs to.
#[derive(Debug)]
pub struct InboundEntry {
    /// SPI.
    pub spi: u32,
    /// Keys and window.
    pub sa: InboundSa,
    /// Its child.
    pub child: Arc<Child>,
}
/// SPI to SA; pages of 256 slots, immutable; a change replaces one page.
#[derive(Clone, Debug, Default)]
pub struct Sad;
impl Sad {
    /// The SA of an SPI.
    pub fn get(&self, spi: u32) -> Option<&Arc<InboundEntry>> {
        let _ = spi;
        todo!()
    }
    /// A copy with one more SA.
    pub fn with(&self, entry: Arc<InboundEntry>) -> Self {
        let _ = entry;
        todo!()
    }
    /// A copy without this SPI.
    pub fn without(&self, spi: u32) -> Self {
        let _ = spi;
        todo!()
    }
}
/// Hands out SPIs. Used by the engine only.
#[derive(Debug)]
pub struct SpiPool;
impl SpiPool {
    /// `workers`: 1 to 16.
    pub fn new(workers: u8) -> Self {
        let _ = workers;
        todo!()
    }
    /// A fresh SPI for this slot: not in use, not half-closed. `random` comes from the system's generator.
    pub fn allocate(&mut self, slot: super::spd::Slot, random: u32) -> Option<u32> {
        let _ = (slot, random);
        todo!()
    }
    /// It may be used again.
    pub fn release(&mut self, spi: u32) {
        let _ = spi;
        todo!()
    }
}
