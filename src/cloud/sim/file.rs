//! A world kept in a file.

use std::fs;
use std::io;
use std::path::Path;

use super::world::World;
use crate::bounded;

/// The largest world that is read. One of a thousand services has about ten megabytes.
pub const BYTES_MAX: u64 = 256 * 1024 * 1024;

/// Reads a world; none when there is no file.
///
/// # Errors
/// The file can't be read or is no world: why, with its path.
pub fn load(path: &Path) -> Result<Option<World>, String> {
    match bounded::read_text(path, BYTES_MAX) {
        Ok(text) => World::load(&text).map(Some).map_err(|why| format!("{}: {why}", path.display())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(format!("{}: {error}", path.display())),
    }
}

/// Writes a world beside the file, then puts it in its place: a reader, or a process that
/// dies in between, never leaves half a world.
///
/// # Errors
/// The folder can't be written to: why, with the path.
pub fn save(path: &Path, world: &World) -> Result<(), String> {
    let mut beside = path.as_os_str().to_owned();
    beside.push(format!(".{}.new", std::process::id()));
    let text = world.save()?;
    let written = fs::write(&beside, text).and_then(|()| fs::rename(&beside, path));
    written.map_err(|error| format!("{}: {error}", path.display()))
}
