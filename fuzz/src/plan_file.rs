//! The file of `plan --out`, which `apply --plan` reads again.

use ionroller::cli::planned::Planned;
use ionroller::names::Digest;
use ionroller::plan::types::Plan;

use super::says;

/// Reads the bytes as a plan; or, after a zero, as a part that is put into a sound one.
pub fn run(data: &[u8]) {
    match data {
        [0, at, rest @ ..] => {
            let at = usize::from(*at) * SOUND.len() / 256;
            let part = String::from_utf8_lossy(rest);
            let cut = (at + usize::from(rest.first() == Some(&b'"'))).min(SOUND.len());
            look(&format!("{}{part}{}", &SOUND[..at], &SOUND[cut..]));
        }
        _ => {
            if let Ok(text) = std::str::from_utf8(data) {
                look(text);
            }
        }
    }
}

const SOUND: &str = r#"{"format_version":"1","id":"0a","scope":"prod","commit":null,"complete":true,"summary":{"none":1},"services":[{"name":"web","change":"none","phase":"steady","actions":[],"forecast":[]}],"diagnostics":[]}"#;

fn look(text: &str) {
    let read = Planned::parse("plan.json", text);
    assert_eq!(read, Planned::parse("plan.json", text));
    match read {
        Ok(planned) => {
            assert!(planned.services().count() <= text.len());
            // Of nothing that runs now: whatever the file says, it is refused or exactly this.
            let now = Plan {
                id: Digest::of(b"now").to_string(),
                scope: None,
                commit: None,
                base: None,
                observed_at: None,
                complete: true,
                services: Vec::new(),
                diagnostics: Vec::new(),
                review: None,
            };
            if let Err(why) = planned.check(&now) {
                said(&why.render());
            } else {
                assert!(text.contains(&now.id), "a plan with another id passed");
            }
        }
        Err(error) => said(&error.render()),
    }
}

fn said(text: &str) {
    text.lines().for_each(says::one_line);
}
