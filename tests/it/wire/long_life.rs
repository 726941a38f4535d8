//! A short life of the daemon, by the script that measures long ones: it fails by itself when
//! memory, open files, the mirror, resources or the log grow. What it found is in docs/proof-wire.md.

use std::path::Path;
use std::process::Command;

#[test]
fn a_dozen_releases_leave_nothing_behind() {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/long-life");
    let output = Command::new(script)
        .args(["12", "--services", "2", "--program", env!("CARGO_BIN_EXE_ionroller")])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}\n{}", String::from_utf8_lossy(&output.stderr));
    let rows = said.lines().filter(|line| line.starts_with("| 1")).count();
    assert_eq!(rows, 4, "releases 1, 10, 11 and 12: {said}");
}
