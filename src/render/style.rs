//! Colour by meaning, and lines that fit.

/// How text is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Style {
    /// With colours. Nothing depends on them.
    pub color: bool,
    /// How much more to say.
    pub verbose: u8,
    /// Columns.
    pub width: usize,
}

/// What a piece of text means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Meaning {
    /// A heading.
    Strong,
    /// Something comes into being.
    Adds,
    /// Something changes.
    Changes,
    /// Something goes.
    Removes,
    /// Good to know, not to act on.
    Aside,
    /// Wrong.
    Error,
    /// Worth a look.
    Warning,
}

impl Style {
    /// Text with its meaning's colour.
    pub fn paint(self, meaning: Meaning, text: &str) -> String {
        if !self.color || text.is_empty() {
            return text.to_owned();
        }
        let code = match meaning {
            Meaning::Strong => "1",
            Meaning::Adds => "32",
            Meaning::Changes => "33",
            Meaning::Removes => "31",
            Meaning::Aside => "2",
            Meaning::Error => "1;31",
            Meaning::Warning => "1;33",
        };
        format!("\u{1b}[{code}m{text}\u{1b}[0m")
    }

    /// Text cut into lines between words, each after `indent` columns that the caller has
    /// written or will write.
    pub fn wrap(self, text: &str, indent: usize) -> Vec<String> {
        let room = self.width.saturating_sub(indent).max(20);
        let mut lines: Vec<String> = Vec::new();
        for word in text.split_whitespace() {
            match lines.last_mut() {
                Some(line) if columns(line) + 1 + columns(word) <= room => {
                    line.push(' ');
                    line.push_str(word);
                }
                _ => lines.push(word.to_owned()),
            }
        }
        lines
    }
}

/// Columns that a text takes.
pub fn columns(text: &str) -> usize {
    text.chars().count()
}

/// Text filled up with spaces on the right.
pub fn left(text: &str, width: usize) -> String {
    format!("{text}{}", " ".repeat(width.saturating_sub(columns(text))))
}
