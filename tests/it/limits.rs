//! docs/limits.md: every limit that it names is the program's, and none is left out.

use std::collections::BTreeMap;
use std::path::Path;

use ionroller::bounded::size;
use ionroller::cloud::sim::{file as world_file, sound};
use ionroller::{cli, desired, git, observed, settings};

fn thousands(number: usize) -> String {
    let digits = number.to_string();
    let parts: Vec<&str> = digits.as_bytes().rchunks(3).rev().map(|part| std::str::from_utf8(part).unwrap()).collect();
    parts.join(",")
}

fn limits() -> BTreeMap<&'static str, String> {
    BTreeMap::from([
        ("one file", size(git::FILE_BYTES_MAX)),
        ("files and folders of one config folder", thousands(git::FILES_MAX)),
        ("the name of a file or folder", format!("{} bytes", git::NAME_BYTES_MAX)),
        ("all files of one config folder together, with their paths", size(git::TOTAL_BYTES_MAX)),
        ("the list of one folder's entries, as Git keeps it", size(git::TREE_BYTES_MAX)),
        ("folders inside each other below `files`", thousands(git::FOLDER_DEPTH_MAX)),
        (
            "files and folders of a commit that is merged in memory (`plan --base`)",
            thousands(usize::try_from(git::MERGE_FILES_MAX).unwrap()),
        ),
        ("paths of such a commit together", size(git::MERGE_PATH_BYTES_MAX)),
        ("folders inside each other of such a commit", git::MERGE_DEPTH_MAX.to_string()),
        ("common ancestors that a merge must merge first", git::MERGE_ANCESTORS_MAX.to_string()),
        ("items of a list in a file", thousands(desired::LIST_MAX)),
        ("own tags of a service", thousands(desired::TAGS_MAX)),
        ("the boot script that a service adds up to", format!("{} bytes", thousands(desired::USER_DATA_BYTES_MAX))),
        ("problems that are reported of one file", thousands(desired::FILE_DIAGNOSTICS_MAX)),
        ("problems that are reported of a commit", thousands(desired::DIAGNOSTICS_MAX)),
        ("characters of a commit's subject, author and trailer that are shown", thousands(git::LINE_CHARS_MAX)),
        ("commits that are looked through for a reason or a trailer", thousands(git::COMMITS_MAX)),
        ("commits that are looked through for older contents of a file", thousands(git::FIRST_PARENTS_MAX)),
        ("the daemon's file", size(settings::BYTES_MAX)),
        ("a plan, for `apply --plan`", size(cli::planned::BYTES_MAX)),
        ("a simulated world, for `--cloud sim:FILE`", size(world_file::BYTES_MAX)),
        ("machines of one group of a simulated world", thousands(usize::try_from(sound::GROUP_MACHINES_MAX).unwrap())),
        ("machines of a whole simulated world", thousands(sound::MACHINES_MAX)),
        ("a token file", size(git::TOKEN_BYTES_MAX)),
        ("a private key", size(git::KEY_BYTES_MAX)),
        ("a file of known hosts", size(git::KNOWN_HOSTS_BYTES_MAX)),
        ("pages of one listing", thousands(ionroller::cloud::PAGES_MAX)),
        ("characters of a tag that are shown", thousands(observed::marks::TAG_CHARS_MAX)),
    ])
}

#[test]
fn the_page_says_what_the_program_does() {
    let page = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/limits.md")).unwrap();
    let rows = page.lines().filter_map(|line| line.strip_prefix("| ")).filter(|row| !row.starts_with("what |"));
    let said: BTreeMap<&str, String> = rows
        .map(|row| {
            let mut cells = row.split(" | ");
            (cells.next().unwrap(), cells.next().unwrap().to_owned())
        })
        .collect();
    assert_eq!(said, limits());
}
