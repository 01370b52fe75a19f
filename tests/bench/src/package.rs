//! How large a function is as Lambda takes it: its bootstrap, deflated as sam packages it.
//!
//! [`measure`](crate::measure) asks once per function.

use anyhow::{Context as _, Result};
use flate2::{Compression, write::DeflateEncoder};
use std::{fs::File, io, path::Path};

/// What an archive of one file called `bootstrap` has beside the file: its local header (30 bytes), its entry in the directory
/// (46), the name in both (9 each), and the end record (22).
const ZIP_OVERHEAD_BYTES: u64 = 30 + 46 + 9 + 9 + 22;

/// Counts what is written, and keeps none of it.
#[derive(Default)]
struct Counter(u64);

impl io::Write for Counter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0 += bytes.len() as u64;
        Ok(bytes.len())
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Bytes of the archive. sam writes it by Python's zipfile, at the default level.
///
/// # Errors
/// The file cannot be read.
pub fn zip_bytes(bootstrap: &Path) -> Result<u64> {
    let mut file = File::open(bootstrap).with_context(|| format!("cannot read {}", bootstrap.display()))?;
    let mut deflate = DeflateEncoder::new(Counter::default(), Compression::default());
    io::copy(&mut file, &mut deflate)?;
    Ok(deflate.finish()?.0 + ZIP_OVERHEAD_BYTES)
}
