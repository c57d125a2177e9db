//! Every file of the corpora of the server's fuzz targets, through the same functions.

use std::fs;
use std::path::Path;

#[path = "../../../fuzz/src/server.rs"]
pub mod fuzz;

#[test]
fn no_file_of_the_corpora_is_a_finding() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus");
    for (name, target) in fuzz::TARGETS {
        let mut files = 0;
        for entry in fs::read_dir(root.join(name)).unwrap_or_else(|error| panic!("{name}: {error}")) {
            let path = entry.unwrap().path();
            println!("{}", path.display());
            target(&fs::read(&path).unwrap());
            files += 1;
        }
        assert!(files >= 3, "{name} has {files} files");
    }
}

#[test]
fn nothing_and_a_single_byte_are_no_finding_either() {
    for (_, target) in fuzz::TARGETS {
        target(&[]);
        for byte in 0..=255 {
            target(&[byte]);
        }
    }
}
