//! The remotes of a clone.

use super::repository::Repository;
use super::source::Source;

impl Repository {
    /// Where people see a remote in a browser, and the path of the repository there; none
    /// where it is no server.
    pub fn remote_web(&self, remote: &str) -> Option<(String, String)> {
        let found = self.handle.find_remote(remote).ok()?;
        let url = found.pushurl().ok().flatten().or(found.url().ok())?.to_owned();
        match Source::parse(&url).ok()? {
            Source::Remote(url) => url.web(),
            Source::Local(_) => None,
        }
    }
}
