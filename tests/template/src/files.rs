//! The files of this checkout, for tests over all of them.

use std::{fs, io::Result, path::PathBuf};

/// Every file below a folder, sorted; folders whose names are in `without` are left out.
///
/// # Errors
/// A folder cannot be read: a test over all files would otherwise pass over none.
pub fn files_below(folder: impl Into<PathBuf>, without: &[&str]) -> Result<Vec<PathBuf>> {
    let (mut folders, mut files) = (vec![folder.into()], vec![]);
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder)? {
            let entry = entry?;
            let path = entry.path();
            if !path.is_dir() {
                files.push(path);
            } else if !without.iter().any(|name| entry.file_name() == *name) {
                folders.push(path);
            }
        }
    }
    files.sort();
    Ok(files)
}
