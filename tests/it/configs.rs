//! Whole config folders: what they load to, and the diagnostics they get.

use std::path::Path;

use ionroller::desired::files::{ConfigFiles, FileContent};
use ionroller::desired::load;
use ionroller::desired::spec::{Desired, ServiceFile};

fn from_root(path: &str) -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// Every file below a folder. Symbolic links stay links.
fn read_folder(folder: &Path) -> ConfigFiles {
    fn walk(folder: &Path, below: &str, files: &mut ConfigFiles) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let entry = entry.unwrap();
            let path = format!("{below}{}", entry.file_name().into_string().unwrap());
            let kind = entry.file_type().unwrap();
            if kind.is_dir() {
                walk(&entry.path(), &format!("{path}/"), files);
            } else if kind.is_symlink() {
                let target = std::fs::read_link(entry.path()).unwrap().to_string_lossy().into_owned();
                files.files.insert(path, FileContent::Symlink { target });
            } else {
                files.files.insert(path, FileContent::Bytes(std::fs::read(entry.path()).unwrap()));
            }
        }
    }
    let mut files = ConfigFiles::default();
    walk(folder, "", &mut files);
    files
}

fn rendered(desired: &Desired) -> String {
    let mut text = String::new();
    for diagnostic in &desired.diagnostics {
        let severity = format!("{:?}", diagnostic.severity).to_lowercase();
        let mut place = diagnostic.file.clone().unwrap_or_default();
        for number in [diagnostic.line, diagnostic.column].into_iter().flatten() {
            place.push_str(&format!(":{number}"));
        }
        text.push_str(&format!("{severity}: {place}: {}\n", diagnostic.message));
        if let Some(help) = &diagnostic.help {
            text.push_str(&format!("  help: {help}\n"));
        }
    }
    text
}

#[test]
fn the_example_is_valid() {
    let desired = load(&read_folder(&from_root("example-config-repo")), None);
    assert_eq!(rendered(&desired), "");
    assert!(desired.scope.is_some());
    let names: Vec<&str> = desired.services.keys().map(|name| name.as_str()).collect();
    assert_eq!(names, ["checkout", "search", "website"]);
    assert!(desired.services.values().all(|file| matches!(file, ServiceFile::Valid(_))));
}
