//! What this machine offers and where things lie: the repository, the programs it needs, free ports, and who holds a taken one.
//! Every command starts here. It installs nothing: what is missing is named, with what to do.

use anyhow::{Context, Result};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use testkit::calls::stem_of;

/// A sentence about something this machine lacks, and what to do. Exit status 3.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Missing(pub String);

/// The error of something that this machine lacks.
pub fn missing<T>(sentence: impl Into<String>) -> Result<T> {
    Err(Missing(sentence.into()).into())
}

/// Where things lie.
pub struct Repository {
    /// The top folder of the checkout.
    pub root: PathBuf,
}

impl Repository {
    /// The checkout in which this command was called, wherever the program was compiled: the nearest one above the current folder,
    /// or else the one that cargo was told by `--manifest-path`.
    pub fn find() -> Result<Self> {
        let here = std::env::current_dir().context("the current folder is not there any more")?;
        let by_cargo = std::env::var_os("CARGO_MANIFEST_DIR").map(PathBuf::from);
        match Self::above(&here).or_else(|| Self::above(&by_cargo?)) {
            Some(root) => Ok(Self { root }),
            None => missing(format!("{} is in no checkout of this repository: call the command inside one.", here.display())),
        }
    }
    /// The nearest checkout at or above a folder.
    fn above(folder: &Path) -> Option<PathBuf> {
        let is_checkout = |folder: &&Path| folder.join("template.yaml").is_file() && folder.join("xtask/Cargo.toml").is_file();
        folder.ancestors().find(is_checkout).map(Path::to_path_buf)
    }
    /// Makes the folder of local runs, for its owner alone: state, logs, mails and an engine's data are nothing for others who use the
    /// machine.
    pub fn keep_local_private(&self) -> Result<()> {
        let folder = self.local();
        std::fs::create_dir_all(&folder)?;
        std::fs::set_permissions(&folder, std::fs::Permissions::from_mode(0o700))
            .with_context(|| format!("{} cannot be made private", folder.display()))
    }
    /// Everything a local run writes lies here, but for what cargo builds.
    pub fn local(&self) -> PathBuf {
        self.root.join("target/local")
    }
    /// The virtual environment of the tools.
    pub fn venv(&self) -> PathBuf {
        self.local().join("venv")
    }
    /// A program of the virtual environment.
    pub fn program(&self, name: &str) -> PathBuf {
        self.venv().join("bin").join(name)
    }
    /// The names of the functions: their folders.
    pub fn functions(&self) -> Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in std::fs::read_dir(self.root.join("functions"))? {
            let entry = entry?;
            if entry.path().join("Cargo.toml").is_file() {
                names.push(entry.file_name().to_string_lossy().into_owned());
            }
        }
        names.sort();
        Ok(names)
    }
    /// A path as a reader at the root would write it.
    pub fn shown<'a>(&self, path: &'a Path) -> std::path::Display<'a> {
        path.strip_prefix(&self.root).unwrap_or(path).display()
    }
}

/// `order-intake` is `OrderIntakeFunction` in the template.
pub fn logical_id(function: &str) -> String {
    stem_of(function) + "Function"
}

/// Functions are Linux programs that the engine starts as they are.
pub fn require_linux() -> Result<()> {
    if cfg!(target_os = "linux") {
        return Ok(());
    }
    missing(
        "this needs Linux: the functions are Linux programs, and are started as they are. On macOS or Windows reopen the repository in \
         its dev container (.devcontainer/), or work in WSL2: see *On macOS or Windows* in README.md.",
    )
}

/// This program, for a process that it starts and that ends before it: the kernel's own link, since by its path it may be another one
/// by now, or none. A `cargo test` of this very workspace links it anew.
pub fn this_program() -> PathBuf {
    format!("/proc/{}/exe", std::process::id()).into()
}

/// Refuses in a sentence where there is no C compiler.
pub fn require_compiler() -> Result<()> {
    if answers("cc", "--version") || answers("gcc", "--version") || answers("clang", "--version") {
        return Ok(());
    }
    missing(
        "no C compiler was found, and the TLS library needs one: install gcc (Debian, Ubuntu: apt install gcc; \
         Fedora: dnf install gcc; macOS: xcode-select --install).",
    )
}

/// Refuses in a sentence where there is no cargo.
pub fn require_cargo() -> Result<()> {
    if answers("cargo", "--version") {
        return Ok(());
    }
    missing("cargo is not on the PATH: install Rust from https://rustup.rs, or add ~/.cargo/bin to the PATH.")
}

/// Whether a program is there and runs.
pub fn answers(program: &str, argument: &str) -> bool {
    Command::new(program).arg(argument).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok_and(|s| s.success())
}

/// Refuses in a sentence when somebody else listens on the port.
pub fn require_free_port(port: u16, what: &str) -> Result<()> {
    let Err(error) = TcpListener::bind(("127.0.0.1", port)) else { return Ok(()) };
    if error.kind() != std::io::ErrorKind::AddrInUse {
        return Err(error).with_context(|| format!("port {port} for {what} cannot be opened"));
    }
    let holder = holder_of(port).unwrap_or_else(|| "another program".into());
    missing(format!(
        "port {port}, wanted for {what}, is taken by {holder}. Stop it, or choose another port, for instance: \
         cargo xtask <command> --port {}",
        port.checked_add(1000).unwrap_or(14566)
    ))
}

/// Two free ports that follow each other: for the engine, and for the payment provider above it.
pub fn free_ports() -> Result<u16> {
    /// Enough to step over a busy stretch; more means that something is wrong with the machine.
    const ATTEMPTS: usize = 50;
    for _ in 0..ATTEMPTS {
        let port = TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port();
        if port < u16::MAX && TcpListener::bind(("127.0.0.1", port + 1)).is_ok() {
            return Ok(port);
        }
    }
    missing("no two free ports in a row were found on 127.0.0.1.")
}

/// The process that listens on a port of the loopback interface, as far as this user may know.
fn holder_of(port: u16) -> Option<String> {
    let table = std::fs::read_to_string("/proc/net/tcp").ok()? + &std::fs::read_to_string("/proc/net/tcp6").unwrap_or_default();
    let inode = listening_inode(&table, port)?;
    for process in std::fs::read_dir("/proc").ok()?.flatten() {
        let Some(pid) = process.file_name().to_str().and_then(|name| name.parse::<u32>().ok()) else { continue };
        let Ok(files) = std::fs::read_dir(process.path().join("fd")) else { continue };
        for file in files.flatten() {
            if std::fs::read_link(file.path()).is_ok_and(|target| target.to_str() == Some(&format!("socket:[{inode}]"))) {
                return Some(format!("process {pid} ({})", command_line(pid)?));
            }
        }
    }
    None
}

/// The inode of the socket that listens on `port`, from the kernel's table: `sl local remote state … inode`.
fn listening_inode(table: &str, port: u16) -> Option<u64> {
    const LISTENING: &str = "0A";
    let ending = format!(":{port:04X}");
    table.lines().find_map(|line| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let listens = fields.get(1)?.ends_with(&ending) && *fields.get(3)? == LISTENING;
        if listens { fields.get(9)?.parse().ok() } else { None }
    })
}

/// How a process was called; [`None`] when there is no such process any more.
pub fn command_line(pid: u32) -> Option<String> {
    let raw = std::fs::read(format!("/proc/{pid}/cmdline")).ok()?;
    let line = String::from_utf8_lossy(&raw).replace('\0', " ");
    // A process that has ended and was not collected yet has an empty one.
    Some(line.trim().to_owned()).filter(|line| !line.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_acts_on_the_nearest_checkout_above_it() {
        let root = std::env::temp_dir().join(format!("xtask-checkout-{}", std::process::id()));
        let inner = root.join("functions/payment/src");
        std::fs::create_dir_all(&inner).unwrap();
        std::fs::create_dir_all(root.join("xtask")).unwrap();
        assert_eq!(Repository::above(&inner), None);
        for file in ["template.yaml", "xtask/Cargo.toml"] {
            std::fs::write(root.join(file), "").unwrap();
        }
        assert_eq!((Repository::above(&inner), Repository::above(&root)), (Some(root.clone()), Some(root.clone())));
        std::fs::remove_dir_all(root).unwrap();
    }

    #[test]
    fn a_folder_names_its_logical_id() {
        assert_eq!(logical_id("order-intake"), "OrderIntakeFunction");
        assert_eq!(logical_id("payment"), "PaymentFunction");
    }

    #[test]
    fn the_folder_of_local_runs_is_private() {
        let root = std::env::temp_dir().join(format!("xtask-private-{}", std::process::id()));
        let repository = Repository { root: root.clone() };
        for _ in 0..2 {
            repository.keep_local_private().unwrap();
            assert_eq!(std::fs::metadata(repository.local()).unwrap().permissions().mode() & 0o777, 0o700);
            std::fs::set_permissions(repository.local(), std::fs::Permissions::from_mode(0o755)).unwrap();
        }
        std::fs::remove_dir_all(root).unwrap();
    }

    /// A copy of these tests deletes itself, as a newer build would, and starts itself once more.
    #[test]
    #[cfg(target_os = "linux")]
    fn a_program_that_was_replaced_starts_itself_all_the_same() {
        const COPY: &str = "XTASK_TEST_COPY";
        if let Some(copy) = std::env::var_os(COPY) {
            std::fs::remove_file(copy).unwrap();
            assert!(Command::new(this_program()).arg("--list").output().unwrap().status.success());
            return;
        }
        let copy = std::env::temp_dir().join(format!("xtask-replaced-{}", std::process::id()));
        std::fs::copy(std::env::current_exe().unwrap(), &copy).unwrap();
        let test = "machine::tests::a_program_that_was_replaced_starts_itself_all_the_same";
        let output = Command::new(&copy).args(["--exact", test]).env(COPY, &copy).output().unwrap();
        assert!(output.status.success(), "{output:?}");
        assert!(!copy.exists(), "the test was not run");
    }

    #[test]
    fn a_taken_port_is_refused_and_its_holder_named() {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let error = require_free_port(port, "the engine").unwrap_err();
        assert!(error.is::<Missing>(), "{error}");
        let sentence = error.to_string();
        assert!(sentence.contains(&format!("port {port}")) && sentence.contains("--port"), "{sentence}");
        if cfg!(target_os = "linux") {
            assert!(sentence.contains(&format!("process {}", std::process::id())), "{sentence}");
        }
        drop(listener);
        require_free_port(port, "the engine").unwrap();
    }

    #[test]
    fn only_a_listening_socket_holds_a_port() {
        let table = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n\
             0: 0100007F:11D6 0100007F:9C40 01 00000000:00000000 00:00000000 00000000     0        0 111 1\n\
             1: 0100007F:11D6 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 222 1\n";
        assert_eq!(listening_inode(table, 4566), Some(222));
        assert_eq!(listening_inode(table, 4567), None);
    }

    #[test]
    fn this_process_has_a_command_line_and_a_free_pid_has_none() {
        if cfg!(target_os = "linux") {
            assert!(command_line(std::process::id()).unwrap().contains("console"));
            assert_eq!(command_line(u32::MAX), None);
        }
    }
}
