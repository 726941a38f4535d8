//! What changed in files, as unified diffs.

use similar::TextDiff;

use crate::desired::files::{ConfigFiles, FileContent};
use crate::desired::masked;

/// Which values a diff shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Values {
    /// None of `env` and `secrets`, which whoever reads a pull request need not know.
    Masked,
    /// All, and the scripts of the machines, too.
    Shown,
}

impl Values {
    /// As `--show-values` says.
    pub fn from_flag(shown: bool) -> Self {
        if shown { Self::Shown } else { Self::Masked }
    }
}

/// A unified diff of a config file between two commits; none when it says the same, or is
/// no text on a side where something stands.
pub fn of(path: &str, old: Option<&ConfigFiles>, new: Option<&ConfigFiles>, values: Values) -> Option<String> {
    let text = |files: Option<&ConfigFiles>| match files.and_then(|files| files.files.get(path)) {
        None => Some(None),
        Some(FileContent::Bytes(bytes)) => String::from_utf8(bytes.clone()).ok().map(Some),
        Some(_) => None,
    };
    let (old, new) = (text(old)?, text(new)?);
    if old == new {
        return None;
    }
    let (shown_old, shown_new) = match values {
        Values::Shown => (old, new),
        Values::Masked => masked::both(old.as_deref(), new.as_deref()),
    };
    unified(path, shown_old.as_deref(), shown_new.as_deref())
}

/// A unified diff of a text that may be missing on a side; none when they are the same.
fn unified(path: &str, old: Option<&str>, new: Option<&str>) -> Option<String> {
    let name = |side: &str, text: Option<&str>| text.map_or("/dev/null".to_owned(), |_| format!("{side}/{path}"));
    let diff = TextDiff::from_lines(old.unwrap_or_default(), new.unwrap_or_default());
    let text = diff.unified_diff().header(&name("a", old), &name("b", new)).to_string();
    (!text.is_empty()).then_some(text)
}
