//! Problems in the files, for what shows them at their lines: code scanning in SARIF, and
//! the annotations of GitHub's workflows.

use serde_json::{Value, json};

use crate::desired::diagnostic::{Diagnostic, Severity};

/// The one rule that all problems are of: what is wrong is in the message.
const RULE: &str = "config";

/// A SARIF 2.1.0 log.
pub fn sarif(diagnostics: &[Diagnostic], nowhere: &str) -> String {
    let results: Vec<Value> = diagnostics.iter().map(|problem| result(problem, nowhere)).collect();
    super::json::text(&json!({
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
        "version": "2.1.0",
        "runs": [{
            "tool": { "driver": {
                "name": "ionroller",
                "version": env!("CARGO_PKG_VERSION"),
                "rules": [{
                    "id": RULE,
                    "shortDescription": { "text": "The files of a config repository say what can be done." },
                }],
            } },
            "columnKind": "unicodeCodePoints",
            "results": results,
        }],
    }))
}

/// A problem that concerns no file is shown at `nowhere`, for a result must have a place.
fn result(problem: &Diagnostic, nowhere: &str) -> Value {
    let mut place = json!({ "artifactLocation": {
        "uri": uri(problem.file.as_deref().unwrap_or(nowhere)),
        "uriBaseId": "%SRCROOT%",
    } });
    if let Some(line) = problem.line {
        let mut region = json!({ "startLine": line });
        if let Some(column) = problem.column {
            region["startColumn"] = column.into();
        }
        place["region"] = region;
    }
    json!({
        "ruleId": RULE,
        "level": match problem.severity {
            Severity::Error => "error",
            Severity::Warning => "warning",
            Severity::Note => "note",
        },
        "message": { "text": sentence(problem, "\n") },
        "locations": [{ "physicalLocation": place }],
    })
}

/// Workflow commands of GitHub, which it shows as annotations: one a line.
pub fn github(diagnostics: &[Diagnostic]) -> String {
    diagnostics.iter().map(command).collect()
}

fn command(problem: &Diagnostic) -> String {
    let word = match problem.severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
        Severity::Note => "notice",
    };
    let place = [
        problem.file.as_ref().map(|file| format!("file={}", property(file))),
        problem.line.map(|line| format!("line={line}")),
        problem.column.map(|column| format!("col={column}")),
    ];
    let place: Vec<String> = place.into_iter().flatten().collect();
    let space = if place.is_empty() { "" } else { " " };
    format!("::{word}{space}{}::{}\n", place.join(","), data(&sentence(problem, "\n")))
}

fn sentence(problem: &Diagnostic, between: &str) -> String {
    match &problem.help {
        Some(help) => format!("{}{between}{help}", problem.message),
        None => problem.message.clone(),
    }
}

/// Source: `escapeData` and `escapeProperty` of GitHub's own toolkit, actions/core.
fn data(text: &str) -> String {
    text.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A")
}

fn property(text: &str) -> String {
    data(text).replace(':', "%3A").replace(',', "%2C")
}

/// A path as a relative reference: what a URI can't hold is written in percents.
fn uri(path: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~/".contains(&byte);
    let coded = |byte: u8| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") };
    path.bytes().map(coded).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problem() -> Diagnostic {
        Diagnostic::new(Severity::Error, "100 % wrong\r\n::error::")
            .at("conf/ä, b:c.toml", Some((3, 7)))
            .help("mend it")
    }

    #[test]
    fn a_workflow_command_stays_one() {
        assert_eq!(
            github(&[problem()]),
            "::error file=conf/ä%2C b%3Ac.toml,line=3,col=7::100 %25 wrong%0D%0A::error::%0Amend it\n"
        );
        let plain = Diagnostic::new(Severity::Note, "no service");
        assert_eq!(github(&[plain]), "::notice::no service\n");
        let no_line = Diagnostic::new(Severity::Warning, "odd").at("a.toml", None);
        assert_eq!(github(&[no_line]), "::warning file=a.toml::odd\n");
        assert_eq!(github(&[]), "");
    }

    #[test]
    fn sarif_places_each_problem() {
        let log: Value = serde_json::from_str(&sarif(&[problem()], "ionroller.toml")).unwrap();
        let result = &log["runs"][0]["results"][0];
        let place = &result["locations"][0]["physicalLocation"];
        assert_eq!(place["artifactLocation"]["uri"], "conf/%C3%A4%2C%20b%3Ac.toml");
        assert_eq!(place["region"], json!({ "startLine": 3, "startColumn": 7 }));
        assert_eq!(
            (&result["level"], &result["message"]["text"]),
            (&json!("error"), &json!("100 % wrong\r\n::error::\nmend it"))
        );
        let nowhere = Diagnostic::new(Severity::Error, "no service");
        let log: Value = serde_json::from_str(&sarif(&[nowhere], "conf/ionroller.toml")).unwrap();
        let place = &log["runs"][0]["results"][0]["locations"][0]["physicalLocation"];
        assert_eq!(place["artifactLocation"]["uri"], "conf/ionroller.toml");
        assert_eq!(place["region"], Value::Null);
        let none: Value = serde_json::from_str(&sarif(&[], "x")).unwrap();
        assert_eq!(none["runs"][0]["results"], json!([]), "no problem is a result, too");
    }
}
