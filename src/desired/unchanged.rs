//! A version that changes beside an unchanged `image.digest`: the release would have a new
//! name and run the old build.
//!
//! A digest belongs to the version that it came with. So what counts is the oldest version
//! in the unbroken row of states, from now backwards, that have the present digest. That
//! also lets the way back through: a revert gives the digest its first version again.

use crate::names::ServiceName;

use super::diagnostic::{Diagnostic, Severity};
use super::edit::{Said, said, version_place};
use super::spec::{Desired, ServiceFile};

/// One service's file, compared with its older contents.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DigestRow {
    now: Said,
    /// The version of the oldest state of the row.
    came_with: Option<String>,
}

impl DigestRow {
    /// Begins with the present content; none if it has no version or no digest of its own.
    pub fn of(text: &str) -> Option<Self> {
        let now = said(text);
        let complete = now.version.is_some() && now.digest.is_some();
        complete.then(|| Self { came_with: now.version.clone(), now })
    }

    /// Looks at the next older content, none where there was no file. Says whether an
    /// older one yet could matter.
    pub fn look(&mut self, older: Option<&str>) -> bool {
        let Some(older) = older else { return false };
        let older = said(older);
        // A state that could not be read was never acted on, and says nothing.
        if older == Said::default() {
            return true;
        }
        if older.digest != self.now.digest {
            return false;
        }
        if older.version.is_some() {
            self.came_with = older.version;
        }
        true
    }

    /// The version that the digest came with, if that is another than the present one.
    pub fn came_with_another(&self) -> Option<&str> {
        self.came_with.as_deref().filter(|version| Some(*version) != self.now.version.as_deref())
    }
}

/// Refuses a service whose version changed and whose digest did not: an error at the line
/// of `version`, and the service's file counts as broken. `path` is from the root of the
/// repository, `text` the file's present content.
pub fn refuse(desired: &mut Desired, service: &ServiceName, path: &str, text: &str, came_with: &str) {
    let Some(file) = desired.services.get_mut(service) else { return };
    let version = said(text).version.unwrap_or_default();
    let message =
        format!("the version is now {version}, and image.digest is still the build that came with {came_with}");
    let help = format!(
        "change both in one commit: ionroller release {service} {version} --digest sha256:…; where two commits did \
         it, revert both and make one"
    );
    *file = ServiceFile::Broken;
    desired.contested.remove(service);
    add(desired, Diagnostic::new(Severity::Error, message).at(path, version_place(text)).help(help));
}

/// Refuses a service of whose file older contents can't be read: whether its digest came with
/// its version is unknown, and a new version may run an old build.
pub fn refuse_unread(desired: &mut Desired, service: &ServiceName, path: &str, text: &str) {
    let Some(file) = desired.services.get_mut(service) else { return };
    *file = ServiceFile::Broken;
    desired.contested.remove(service);
    let message = "whether image.digest came with this version can't be told: older contents of the file can't be read";
    let help = "the repository is damaged or a partial clone; clone it again without --filter, or run `git fsck`";
    add(desired, Diagnostic::new(Severity::Error, message.to_owned()).at(path, version_place(text)).help(help));
}

fn add(desired: &mut Desired, problem: Diagnostic) {
    let place = |known: &Diagnostic| (known.file.as_deref().unwrap_or_default().to_owned(), known.line);
    let at = desired.diagnostics.partition_point(|known| place(known) <= place(&problem));
    desired.diagnostics.insert(at, problem);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(version: &str, digest: &str) -> String {
        let digest = if digest.is_empty() { String::new() } else { format!("digest = \"{digest}\"\n") };
        format!("version = \"{version}\"\n[image]\nrepository = \"r\"\n{digest}")
    }

    /// States from the newest to the oldest; the version that the digest came with, if it
    /// is another.
    fn check(states: &[(&str, &str)], expected: Option<&str>) {
        let mut row = DigestRow::of(&text(states[0].0, states[0].1)).unwrap();
        for (version, digest) in &states[1..] {
            if !row.look(Some(&text(version, digest))) {
                break;
            }
        }
        assert_eq!(row.came_with_another(), expected, "{states:?}");
    }

    #[test]
    fn a_digest_belongs_to_the_version_that_it_came_with() {
        check(&[("1", "a")], None);
        check(&[("2", "b"), ("1", "a")], None);
        check(&[("2", "a"), ("1", "a")], Some("1"));
        // It stays wrong while other files change, until the digest follows.
        check(&[("2", "a"), ("2", "a"), ("1", "a"), ("0", "z")], Some("1"));
        check(&[("2", "b"), ("2", "a"), ("1", "a")], None);
        // The way back: out of the mistake, and after a right release.
        check(&[("1", "a"), ("2", "a"), ("1", "a")], None);
        check(&[("1", "a"), ("2", "b"), ("1", "a")], None);
        // The digest alone changed: it came with the version that stood there.
        check(&[("2", "b"), ("1", "b"), ("1", "a")], Some("1"));
        // A tag in between breaks the row.
        check(&[("2", "a"), ("2", ""), ("1", "a")], None);
    }

    #[test]
    fn what_has_no_digest_is_not_compared() {
        assert_eq!(DigestRow::of(&text("1", "")), None);
        assert_eq!(DigestRow::of("nonsense ="), None);
        let mut row = DigestRow::of(&text("2", "a")).unwrap();
        assert!(row.look(Some("nonsense =")));
        assert!(row.look(Some(&text("1", "a"))));
        assert!(!row.look(None));
        assert_eq!(row.came_with_another(), Some("1"));
    }
}
