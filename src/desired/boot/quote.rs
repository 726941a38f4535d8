//! Quoting for the two languages that a boot script is written in.

/// One word of a shell.
pub(super) fn shell(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

/// One argument of an `Exec…=` line in a systemd unit. `%` would begin a specifier there
/// and `$` a variable, also inside quotes.
pub(super) fn unit(text: &str) -> String {
    let mut quoted = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => {
                quoted.push('\\');
                quoted.push(c);
            }
            '%' => quoted.push_str("%%"),
            '$' => quoted.push_str("$$"),
            '\n' => quoted.push_str("\\n"),
            '\t' => quoted.push_str("\\t"),
            c if c.is_ascii_control() => quoted.push_str(&format!("\\x{:02x}", u32::from(c))),
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}

/// A here document of `content`, with a delimiter that no line of it equals.
pub(super) fn here_document(content: &str) -> String {
    let mut delimiter = String::from("IONROLLER_END");
    while content.lines().any(|line| line == delimiter) {
        delimiter.push('_');
    }
    let end = if content.is_empty() || content.ends_with('\n') { "" } else { "\n" };
    format!("<<'{delimiter}'\n{content}{end}{delimiter}\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_leaves_its_quotes() {
        assert_eq!(shell("it's $(x)"), r"'it'\''s $(x)'");
        assert_eq!(unit("50% of \"$HOME\" \\ é\n"), "\"50%% of \\\"$$HOME\\\" \\\\ é\\n\"");
        assert_eq!(unit("\u{7}"), "\"\\x07\"");
        assert_eq!(here_document("a\nIONROLLER_END"), "<<'IONROLLER_END_'\na\nIONROLLER_END\nIONROLLER_END_\n");
    }
}
