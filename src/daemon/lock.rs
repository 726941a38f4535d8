//! One daemon a state folder.

use std::fs::{self, File, TryLockError};
use std::path::Path;

use super::DaemonError;

/// Takes the lock; it is held until the file is dropped, also by a kill.
pub fn take(state_dir: &Path) -> Result<File, DaemonError> {
    let failed = |source| DaemonError::StateDir { path: state_dir.to_owned(), source };
    fs::create_dir_all(state_dir).map_err(failed)?;
    let options = File::options().create(true).truncate(false).write(true).open(state_dir.join("lock"));
    let file = options.map_err(failed)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(DaemonError::Locked { path: state_dir.to_owned() }),
        Err(TryLockError::Error(error)) => Err(failed(error)),
    }
}
