//! Every input that is kept still holds.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

#[test]
fn what_is_kept_holds() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus");
    for target in fuzz::TARGETS {
        let mut count = 0;
        for entry in fs::read_dir(corpus.join(target.name)).unwrap() {
            target.hold(&fs::read(entry.unwrap().path()).unwrap());
            count += 1;
        }
        assert!(count > 0, "{} has no corpus", target.name);
    }
    let folders = fs::read_dir(&corpus).unwrap();
    let folders = folders.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let names: BTreeSet<_> = fuzz::TARGETS.map(|it| it.name.to_owned()).into();
    assert_eq!(folders.collect::<BTreeSet<_>>(), names, "each folder belongs to a target");
}

/// Cut anywhere, at random but always the same, the kept inputs still hold.
#[test]
fn what_is_kept_holds_when_it_is_damaged() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus");
    for target in fuzz::TARGETS {
        for entry in fs::read_dir(corpus.join(target.name)).unwrap() {
            let input = fs::read(entry.unwrap().path()).unwrap();
            for at in 0..input.len().min(200) {
                target.hold(&input[..at]);
                let mut damaged = input.clone();
                damaged[at] = damaged[at].wrapping_add(13);
                target.hold(&damaged);
            }
        }
    }
}
