//! With a proxy in the environment, what a command starts finds the loopback interface all the same.
#![allow(clippy::unwrap_used, reason = "what is not as these tests expect fails them")]

use std::{os::unix::fs::PermissionsExt as _, process::Command};

/// `model` starts cargo, which here is a script that says what it inherited.
#[test]
fn what_a_command_starts_asks_no_proxy_for_loopback() {
    let folder = std::env::temp_dir().join(format!("xtask-proxy-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let (cargo, told) = (folder.join("cargo"), folder.join("told"));
    std::fs::write(&cargo, "#!/bin/sh\necho \"$http_proxy|$no_proxy|$NO_PROXY\" > \"$TOLD\"\n").unwrap();
    std::fs::set_permissions(&cargo, std::fs::Permissions::from_mode(0o755)).unwrap();
    let path = format!("{}:{}", folder.display(), std::env::var("PATH").unwrap());
    let mut xtask = Command::new(env!("CARGO_BIN_EXE_xtask"));
    xtask.arg("model").env("PATH", path).env("TOLD", &told);
    // Nothing listens on port 9: what asks there fails.
    xtask.env("http_proxy", "http://127.0.0.1:9").env_remove("no_proxy").env("NO_PROXY", "intranet");
    let output = xtask.output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let said = std::fs::read_to_string(&told).unwrap();
    std::fs::remove_dir_all(folder).unwrap();
    let exceptions = "intranet,127.0.0.1,localhost,::1";
    assert_eq!(said.trim(), format!("http://127.0.0.1:9|{exceptions}|{exceptions}"));
}
