//! The one edit that a release makes of a service file: a value is replaced where it
//! stands, and every other byte stays as it is, comments, order and line ends included.

use std::ops::Range;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::names::Version;

/// Why a file can't be edited.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EditError {
    /// It is no TOML.
    #[error("it is not valid TOML: {0}")]
    Syntax(String),
    /// There is no `version` to replace.
    #[error("it has no `version` at its top level")]
    NoVersion,
    /// What is to be replaced is a table or a list.
    #[error("its `{0}` is no text; write it as {0} = \"…\"")]
    NoText(&'static str),
    /// A digest was given, and there is nothing that it could belong to.
    #[error("it has no [image] that a digest could belong to; a baked AMI has none")]
    NoImage,
    /// `[image]` is there and has no key beside which a digest could be put.
    #[error("its [image] is no table with a `repository`; put `digest` there by hand")]
    OddImage,
}

/// A byte-order mark, which editors of Windows write.
const BOM: char = '\u{feff}';

/// What a file says at its top, as it is written.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Said {
    /// `version`, if it is a string.
    pub version: Option<String>,
    /// `image.digest`, if it is a string.
    pub digest: Option<String>,
}

/// What a service file itself says, without the defaults. A file with a syntax error says
/// nothing.
pub fn said(text: &str) -> Said {
    let Ok(table) = DeTable::parse(text.trim_start_matches(BOM)) else { return Said::default() };
    let table = table.get_ref();
    let image = value(table, "image").and_then(|image| image.get_ref().as_table());
    let string = |found: &Spanned<DeValue<'_>>| found.get_ref().as_str().map(str::to_owned);
    Said {
        version: value(table, "version").and_then(string),
        digest: image.and_then(|image| value(image, "digest")).and_then(string),
    }
}

/// Line and column (in characters) of the value of `version`, from 1.
pub fn version_place(text: &str) -> Option<(u32, u32)> {
    let bare = text.trim_start_matches(BOM);
    let table = DeTable::parse(bare).ok()?;
    let before = &bare[..value(table.get_ref(), "version")?.span().start];
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
    Some((u32::try_from(line).ok()?, u32::try_from(column).ok()?))
}

/// The text with another version and, where one is given, another image digest.
///
/// # Errors
/// The file has no place for them.
pub fn release(text: &str, version: &Version, digest: Option<&str>) -> Result<String, EditError> {
    let bare = text.trim_start_matches(BOM);
    let parsed = DeTable::parse(bare).map_err(|error| EditError::Syntax(error.message().to_owned()))?;
    let table = parsed.get_ref();
    let old = value(table, "version").ok_or(EditError::NoVersion)?;
    let mut edits = vec![replaced(bare, "version", old, version.as_str())?];
    if let Some(digest) = digest {
        edits.push(digest_edit(bare, table, digest)?);
    }
    edits.sort_by_key(|(span, _)| std::cmp::Reverse(span.start));
    let mut new = bare.to_owned();
    for (span, with) in edits {
        new.replace_range(span, &with);
    }
    Ok(format!("{}{new}", &text[..text.len() - bare.len()]))
}

fn value<'t, 'i>(table: &'t DeTable<'i>, key: &str) -> Option<&'t Spanned<DeValue<'i>>> {
    table.iter().find(|(name, _)| name.get_ref() == key).map(|(_, value)| value)
}

/// Another string in the place of a value. The place of a table may be its header or a part of
/// its key.
fn replaced(
    text: &str,
    key: &'static str,
    old: &Spanned<DeValue<'_>>,
    new: &str,
) -> Result<(Range<usize>, String), EditError> {
    if matches!(old.get_ref(), DeValue::Table(_) | DeValue::Array(_)) {
        return Err(EditError::NoText(key));
    }
    Ok((old.span(), quoted_as(&text[old.span()], new)))
}

/// A string in the quotes of the old one. Versions and digests need no escapes.
fn quoted_as(old: &str, new: &str) -> String {
    let quote = if old.starts_with('\'') && !old.starts_with("'''") { '\'' } else { '"' };
    format!("{quote}{new}{quote}")
}

/// Replaces `image.digest`, or adds it behind `image.repository`.
fn digest_edit(text: &str, table: &DeTable<'_>, digest: &str) -> Result<(Range<usize>, String), EditError> {
    let image = value(table, "image").ok_or(EditError::NoImage)?;
    let entries = image.get_ref().as_table().ok_or(EditError::OddImage)?;
    if let Some(old) = value(entries, "digest") {
        return replaced(text, "digest", old, digest);
    }
    let repository = entries.iter().find(|(name, _)| name.get_ref() == "repository");
    let (key, repository) = repository.ok_or(EditError::OddImage)?;
    let end = repository.span().end;
    if text[image.span()].starts_with('{') {
        return Ok((end..end, format!(", digest = \"{digest}\"")));
    }
    // Written as a line of its own, with the indentation and the dotted prefix of its neighbour.
    let line = text[..key.span().start].rfind('\n').map_or(0, |at| at + 1);
    let prefix = &text[line..key.span().start];
    let (at, line_end) = match text[end..].find('\n') {
        Some(length) if text[..end + length].ends_with('\r') => (end + length - 1, "\r\n"),
        Some(length) => (end + length, "\n"),
        None => (text.len(), "\n"),
    };
    Ok((at..at, format!("{line_end}{prefix}digest = \"{digest}\"")))
}

#[cfg(test)]
mod tests {
    use super::*;

    const DIGEST: &str = "sha256:00";

    fn edited(text: &str, digest: Option<&str>) -> Result<String, EditError> {
        release(text, &Version::parse("2.0").unwrap(), digest)
    }

    #[test]
    fn only_the_value_changes() {
        let cases = [
            ("version = \"1\" # keep\n\n# so\nx=1", "version = \"2.0\" # keep\n\n# so\nx=1"),
            ("version='1'\r\n[machine]\r\nversion = \"9\"\r\n", "version='2.0'\r\n[machine]\r\nversion = \"9\"\r\n"),
            ("\u{feff}version = 1\n", "\u{feff}version = \"2.0\"\n"),
            ("  \"version\"   =   \"\"\"1\"\"\"", "  \"version\"   =   \"2.0\""),
            ("# version = \"1\"\nversion = \"1\"\n", "# version = \"1\"\nversion = \"2.0\"\n"),
        ];
        for (before, after) in cases {
            assert_eq!(edited(before, None).as_deref(), Ok(after));
        }
    }

    #[test]
    fn a_digest_is_replaced_or_put_beside_its_repository() {
        let cases = [
            (
                "version = \"1\"\n[image]\ndigest = \"sha256:1\" # d\nrepository = \"r\"\n",
                "version = \"2.0\"\n[image]\ndigest = \"sha256:00\" # d\nrepository = \"r\"\n",
            ),
            (
                "version = \"1\"\n[image]\n  repository = \"r\" # r\r\n  command = []\n",
                "version = \"2.0\"\n[image]\n  repository = \"r\" # r\r\n  digest = \"sha256:00\"\r\n  command = []\n",
            ),
            (
                "image = { repository = \"r\" }\nversion = \"1\"",
                "image = { repository = \"r\", digest = \"sha256:00\" }\nversion = \"2.0\"",
            ),
            (
                "version = \"1\"\nimage.repository = \"r\"",
                "version = \"2.0\"\nimage.repository = \"r\"\nimage.digest = \"sha256:00\"",
            ),
        ];
        for (before, after) in cases {
            assert_eq!(edited(before, Some(DIGEST)).as_deref(), Ok(after));
        }
    }

    #[test]
    fn what_has_no_place_is_refused() {
        assert_eq!(edited("x = 1", None), Err(EditError::NoVersion));
        assert_eq!(edited("version = \"1\"", Some(DIGEST)), Err(EditError::NoImage));
        assert_eq!(edited("version = \"1\"\n[image]\n", Some(DIGEST)), Err(EditError::OddImage));
        assert!(matches!(edited("version = ", None), Err(EditError::Syntax(_))));
        for table in ["version.major = 1", "[version]", "[[version]]", "version = []"] {
            assert_eq!(edited(table, None), Err(EditError::NoText("version")), "{table}");
        }
        let dotted = "version = \"1\"\n[image]\nrepository = \"r\"\ndigest .toml = \"sha256:1\"\n";
        assert_eq!(edited(dotted, Some(DIGEST)), Err(EditError::NoText("digest")));
    }

    #[test]
    fn a_file_says_what_stands_in_it() {
        let text = "\u{feff}version = '1'\nimage = { digest = \"d\" }\n";
        assert_eq!(said(text), Said { version: Some("1".to_owned()), digest: Some("d".to_owned()) });
        assert_eq!(said("version = 1"), Said::default());
    }
}
