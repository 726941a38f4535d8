//! What must hold of everything that is said to people, whatever was read.

use ionroller::desired::diagnostic::Diagnostic;
use ionroller::render::text::Style;
use ionroller::render::{json, markdown, text};

/// Stands where a secret might. It must be in nothing that is said.
pub const SECRET: &str = "xyzzy-plugh";

/// No message needs more.
const MESSAGE_BYTES_MAX: usize = 4_000;

/// As people see it on a terminal without colours.
pub const PLAIN: Style = Style { color: false, verbose: 2, width: 80 };

/// One message: not empty, on one line, of a length that somebody reads.
pub fn one_line(said: &str) {
    assert!(!said.trim().is_empty(), "nothing is said");
    assert!(said.len() <= MESSAGE_BYTES_MAX, "{} bytes in one message: {said:.200}", said.len());
    no_control(said, &[]);
}

/// Nothing that moves the cursor or breaks a line.
pub fn no_control(said: &str, but: &[char]) {
    let odd = said.find(|c: char| c.is_control() && !but.contains(&c));
    assert!(odd.is_none(), "a control character at byte {odd:?} of {said:?}");
}

/// The planted secret is not shown.
pub fn no_secret(said: &str) {
    assert!(!said.contains(SECRET), "shows the secret: {said}");
}

/// Diagnostics in every form.
pub fn diagnostics(all: &[Diagnostic], planted: bool) {
    for problem in all {
        one_line(&problem.message);
        problem.help.iter().for_each(|help| one_line(help));
        problem.file.iter().for_each(|file| no_control(file, &[]));
    }
    let forms = [text::diagnostics(all, PLAIN), markdown::validated(all, 1), json::diagnostics_json(all)];
    for form in &forms {
        no_control(form, &['\n']);
        if planted {
            no_secret(form);
        }
    }
    let parsed: serde_json::Value = serde_json::from_str(&forms[2]).expect("diagnostics as JSON are JSON");
    assert_eq!(parsed["diagnostics"].as_array().map(Vec::len), Some(all.len()));
}
