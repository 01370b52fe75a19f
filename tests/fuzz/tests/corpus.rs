//! What the fuzzers found worth keeping, replayed by every test run: also where libFuzzer cannot be built.

use std::path::Path;

#[test]
fn everything_in_the_corpus_holds() {
    for (name, target) in fuzz::TARGETS {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(name);
        let mut inputs = 0;
        for input in std::fs::read_dir(&folder).unwrap() {
            let path = input.unwrap().path();
            // Printed by the test harness if this one fails.
            println!("{}", path.display());
            target(&std::fs::read(&path).unwrap());
            inputs += 1;
        }
        assert!(inputs > 0, "{} is empty", folder.display());
    }
}
