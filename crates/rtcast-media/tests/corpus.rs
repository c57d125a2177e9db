//! Every file of the corpora of the readers of containers, through the same functions as the fuzz targets.

use std::fs;
use std::path::Path;

#[path = "../../../fuzz/src/containers.rs"]
pub mod containers;

#[test]
fn no_file_of_the_corpora_is_a_finding() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus");
    for (name, target) in containers::TARGETS {
        let mut files = 0;
        for entry in fs::read_dir(root.join(name)).unwrap_or_else(|error| panic!("{name}: {error}")) {
            let path = entry.unwrap().path();
            println!("{}", path.display());
            let bytes = fs::read(&path).unwrap();
            target(&bytes);
            // Cut, and with a byte that is wrong, at places spread over the file.
            for part in 0..8 {
                let at = bytes.len() * part / 8;
                target(&bytes[..at]);
                let mut damaged = bytes.clone();
                if let Some(byte) = damaged.get_mut(at + part) {
                    *byte ^= 0xff;
                }
                target(&damaged);
            }
            files += 1;
        }
        assert!(files >= 2, "{name} has {files} files");
    }
}

#[test]
fn nothing_and_a_single_byte_are_no_finding_either() {
    containers::container(&[]);
    for byte in 0..=255 {
        containers::container(&[byte]);
    }
}
