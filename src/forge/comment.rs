//! One comment a scope on a pull request, kept up to date in place.

use super::error::{ErrorKind, ForgeError};
use super::place::Kind;
use super::{Comment, Forge};

/// The line that finds a comment again. People don't see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Marker(String);

impl Marker {
    /// The marker of a scope, so that two scopes keep two comments.
    pub fn of_scope(scope: &str) -> Self {
        let plain = |c: char| if c.is_ascii_alphanumeric() || "-_./".contains(c) { c } else { '_' };
        // Two hyphens would end it.
        let scope = scope.chars().map(plain).collect::<String>().replace("--", "-_");
        Self(format!("<!-- ionroller plan {scope} -->"))
    }

    fn is_in(&self, body: &str) -> bool {
        body.lines().any(|line| line.trim_end() == self.0)
    }
}

/// What became of the comment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// There was none.
    Created,
    /// It had another text.
    Updated,
    /// It had this text.
    Unchanged,
}

/// The comment as it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Put {
    /// Its number on the forge.
    pub id: u64,
    /// Where people read it, if the forge says so.
    pub url: Option<String>,
    /// What became of it.
    pub outcome: Outcome,
}

/// Characters that a comment may have.
/// Sources: GitHub's documented limit; GitLab's limit of a note. Gitea has none that it
/// documents, and its database takes more than this.
const fn characters_max(kind: Kind) -> usize {
    match kind {
        Kind::GitHub => 65_536,
        Kind::GitLab | Kind::Gitea => 1_000_000,
    }
}

/// Puts a text into the one comment of a marker. The same text again writes nothing.
///
/// Two runs at once may both find no comment and write one each. So whoever has written
/// looks again: the oldest comment stays and gets the text, and the others are deleted,
/// whichever run does it. In the end there is one, with the text of the run that wrote last.
///
/// # Errors
/// The text is too long, or the forge can't be reached or refuses. After a failure the same
/// call finds what was written before it.
pub fn put(forge: &dyn Forge, number: u64, marker: &Marker, text: &str) -> Result<Put, ForgeError> {
    let body = format!("{}\n\n{}\n", text.trim_end(), marker.0);
    let (length, max) = (body.chars().count(), characters_max(forge.kind()));
    if length > max {
        let message = format!("the text has {length} characters, and {} takes {max}", forge.kind().name());
        return Err(ForgeError::new(ErrorKind::TooLong, message).hint("`ionroller plan -o markdown` stays below that"));
    }
    let found = ours(forge, number, marker)?;
    if let Some((first, others)) = found.split_first() {
        return keep(forge, number, (first, others), &body);
    }
    let created = forge.create_comment(number, &body)?;
    let found = ours(forge, number, marker)?;
    match found.split_first() {
        Some((first, others)) if first.id != created.id => keep(forge, number, (first, others), &body),
        rest => {
            for other in rest.into_iter().flat_map(|(_, others)| others) {
                forge.delete_comment(number, other.id)?;
            }
            Ok(Put { id: created.id, url: created.url, outcome: Outcome::Created })
        }
    }
}

/// Brings the oldest comment up to date, and takes the others away.
fn keep(
    forge: &dyn Forge,
    number: u64,
    (first, others): (&Comment, &[Comment]),
    body: &str,
) -> Result<Put, ForgeError> {
    for other in others {
        forge.delete_comment(number, other.id)?;
    }
    let outcome = if same(&first.body, body) {
        Outcome::Unchanged
    } else {
        forge.update_comment(number, first.id, body)?;
        Outcome::Updated
    };
    Ok(Put { id: first.id, url: first.url.clone(), outcome })
}

/// The comments with the marker that we wrote, the oldest first. One of somebody else has
/// copied it: it stays theirs, and can't become ours, since they could change it later.
fn ours(forge: &dyn Forge, number: u64, marker: &Marker) -> Result<Vec<Comment>, ForgeError> {
    let mut found = forge.comments(number)?;
    found.retain(|comment| marker.is_in(&comment.body));
    if found.is_empty() {
        return Ok(found);
    }
    match forge.login()? {
        Some(login) => found.retain(|comment| comment.author == login),
        // Without a name: on GitHub it is a program, and those are marked.
        None if forge.kind() == Kind::GitHub => found.retain(|comment| comment.is_bot),
        None => {}
    }
    Ok(found)
}

/// Forges may trim a text, and change the ends of its lines.
fn same(a: &str, b: &str) -> bool {
    let lines = |text: &str| text.trim().lines().map(|line| line.trim_end().to_owned()).collect::<Vec<_>>();
    lines(a) == lines(b)
}

#[cfg(test)]
mod tests;
