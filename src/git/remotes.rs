//! The remotes of a clone.

use super::repository::Repository;
use super::source::Source;

impl Repository {
    /// Where people see a remote in a browser, and the path of the repository there; none
    /// where it is no server.
    pub fn remote_web(&self, remote: &str) -> Option<(String, String)> {
        let found = self.handle.find_remote(remote).ok()?;
        let urls = [found.pushurl().ok().flatten(), found.url().ok()];
        urls.into_iter().flatten().find_map(|url| match Source::parse(url).ok()? {
            Source::Remote(url) => url.web(),
            Source::Local(_) => None,
        })
    }

    /// The branch that is checked out; none where HEAD is no branch.
    pub fn current_branch(&self) -> Option<String> {
        let head = self.handle.find_reference("HEAD").ok()?;
        let target = head.symbolic_target().ok().flatten()?;
        target.strip_prefix("refs/heads/").map(str::to_owned)
    }

    /// Whether a remote had a branch when it was last asked.
    pub fn is_on_remote(&self, remote: &str, branch: &str) -> bool {
        self.handle.find_reference(&format!("refs/remotes/{remote}/{branch}")).is_ok()
    }
}
