//! The floor, through everything that a function under test goes through.
#![allow(missing_docs, clippy::unwrap_used, reason = "tests")]

use bench::{
    aws::Aws,
    cases::FLOOR,
    certificate::{Authority, Roots},
    function::{Bootstrap, folder},
    measure::{Bench, Size},
    report::Effort,
    share::Cgroups,
};
use std::{collections::BTreeMap, path::Path, time::Duration};

#[tokio::test]
async fn a_function_that_only_answers_is_measured_and_calls_nothing() {
    let work = Path::new(env!("CARGO_TARGET_TMPDIR")).join("floor");
    folder(&work).unwrap();
    let authority = Authority::new(&["http/1.1"]).unwrap();
    assert_eq!(authority.write_roots(&work.join("roots.pem"), Roots::Lean).unwrap(), 1);
    let aws = Aws::start(&authority, Duration::ZERO, BTreeMap::new()).await.unwrap();
    let effort = Effort { starts: 2, warm: 3 };
    // Where this machine has cgroups they are used, so that what is measured with them is tested with them.
    let mut bench = Bench::new(aws, Cgroups::of_this_machine().ok(), effort, Duration::ZERO);
    let bootstrap = Bootstrap {
        program: env!("CARGO_BIN_EXE_floor").into(),
        name: "floor".into(),
        environment: vec![],
        timeout: Duration::from_secs(10),
        log: work.join("floor.log"),
    };
    let row = bench.measure(FLOOR, &bootstrap, Size { memory_mb: 512, batch: 10 }).await.unwrap().unwrap();
    assert_eq!((row.warm_messages, row.warm_calls.len(), row.connections_in_first), (30, 0, 0));
    assert!(row.init_us > 0 && row.first_us > 0 && row.warm_p50_us <= row.warm_p99_us, "{row:?}");
    assert!(row.peak_kib > 0 && row.zip_bytes > 0, "{row:?}");
}

#[tokio::test]
async fn a_function_that_cannot_start_says_why() {
    let work = Path::new(env!("CARGO_TARGET_TMPDIR")).join("broken");
    folder(&work).unwrap();
    let bootstrap = Bootstrap {
        program: "/bin/false".into(),
        name: "broken".into(),
        environment: vec![],
        timeout: Duration::from_secs(10),
        log: work.join("broken.log"),
    };
    let error = bench::function::Function::start(&bootstrap, 128).await.unwrap_err();
    assert!(format!("{error:#}").contains("has ended"), "{error:#}");
}
