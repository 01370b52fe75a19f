//! The bench's command: measures what it is asked for, prints the table, keeps the JSON.
//!
//! `cargo xtask bench` builds the functions and calls it. It does not go on after a failure: a function that did not do its
//! work has no figures.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a command line tool speaks on its standard streams")]

use anyhow::{Result, bail};
use bench::{
    aws::{Aws, Service},
    cases::{FLOOR, cases},
    certificate::{Authority, Roots},
    function::{Bootstrap, folder},
    machine::{Machine, load},
    measure::{Bench, Size},
    report::{Conditions, Effort, Report},
    share::Cgroups,
    wiring::{Wiring, Wirings, table_keys},
};
use clap::Parser;
use command_line::{
    options,
    screen::{end_quietly_when_nobody_reads, width},
};
use lambda_kit::{Ambient as _, Real};
use std::{path::PathBuf, process::ExitCode, time::Duration};

/// Starts each function as Lambda would, with AWS played by a stub over TLS, and measures it.
#[derive(Parser)]
#[command(name = "cargo xtask bench", bin_name = "cargo xtask bench")]
struct Cli {
    /// The folder with <function>/bootstrap (set by cargo xtask bench)
    #[arg(long, value_name = "FOLDER")]
    bootstraps: PathBuf,
    /// Where logs and certificates go, and the report unless --json says otherwise (set by cargo xtask bench)
    #[arg(long, value_name = "FOLDER")]
    work: PathBuf,
    #[command(flatten)]
    options: options::Bench,
}

fn main() -> ExitCode {
    end_quietly_when_nobody_reads();
    // One thread: the function under test has the other core, and the stub is never what is waited for.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    match runtime.map_err(Into::into).and_then(|runtime| runtime.block_on(run(Cli::parse()))) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run(Cli { bootstraps, work: work_folder, options: cli }: Cli) -> Result<()> {
    // Before hours of measuring for nothing.
    let earlier = cli.compare.as_deref().map(Report::read).transpose()?;
    if let Some(unknown) = cli.function.iter().find(|name| cases().iter().all(|case| case.function != **name)) {
        let mut known: Vec<_> = cases().iter().map(|case| case.function).collect();
        known.dedup();
        bail!("{unknown} is not measured; these are: {}", known.join(", "));
    }
    let work = folder(&work_folder)?;
    let protocols: &[&str] = if cli.h2 { &["h2", "http/1.1"] } else { &["http/1.1"] };
    let authority = Authority::new(protocols)?;
    let roots_file = work.join("roots.pem");
    let roots = authority.write_roots(&roots_file, if cli.lean_roots { Roots::Lean } else { Roots::System })?;
    let aws = Aws::start(&authority, Duration::from_millis(cli.latency_ms), table_keys()?).await?;
    let wirings = Wirings::read(aws.url(Service::Stripe))?;
    let (cgroups, share) = share(cli.no_share);
    let (machine, load) = (Machine::this(), load());

    let mut all = vec![("SSL_CERT_FILE".to_owned(), roots_file.to_string_lossy().into_owned())];
    all.extend(Service::ALL.iter().filter_map(|service| Some((service.variable()?.to_owned(), aws.url(*service)))));
    let effort = Effort { starts: cli.starts, warm: cli.warm };
    let mut bench = Bench::new(aws, cgroups, effort, Duration::from_millis(cli.pause_ms));
    let mut rows = Vec::new();
    for case in
        cases().iter().filter(|case| **case == FLOOR || cli.function.is_empty() || cli.function.iter().any(|name| name == case.function))
    {
        let wiring =
            if *case == FLOOR { Wiring { timeout: Duration::from_secs(10), ..Wiring::default() } } else { wirings.of(case.function)? };
        let program = bootstraps.join(case.function).join("bootstrap");
        if !program.is_file() {
            bail!("there is no {}", program.display());
        }
        let bootstrap = Bootstrap {
            program,
            name: case.function.to_owned(),
            environment: all.iter().cloned().chain(wiring.environment).collect(),
            timeout: wiring.timeout,
            log: work.join(format!("{}.log", case.function)),
        };
        for &memory_mb in &cli.memory {
            for &batch in &cli.batch {
                eprintln!("{} {}, {memory_mb} MB, batches of {batch}", case.function, case.label());
                rows.extend(bench.measure(*case, &bootstrap, Size { memory_mb, batch }).await?);
            }
        }
    }

    let protocols = protocols.iter().map(|protocol| (*protocol).to_owned()).collect();
    let conditions = Conditions { latency_ms: cli.latency_ms, share, roots, protocols, pause_ms: cli.pause_ms };
    let report = Report { measured_at: Real.now().to_string(), machine, conditions, effort, load, rows };
    let width = width(&std::io::stdout());
    println!("{}", report.fitted(width));
    if let Some(earlier) = earlier {
        println!("{}", report.compared(&earlier, width));
    }
    let json = cli.json.unwrap_or_else(|| work_folder.join("report.json"));
    report.write(&json)?;
    println!("{}", json.display());
    Ok(())
}

/// How functions are held to their share, and what the report says about it.
fn share(refused: bool) -> (Option<Cgroups>, String) {
    if refused {
        return (None, "at full speed, as asked for".to_owned());
    }
    match Cgroups::of_this_machine() {
        Ok(cgroups) => {
            let version = if matches!(cgroups, Cgroups::V1(_)) { 1 } else { 2 };
            (Some(cgroups), format!("after init held to memory/1769 of a core, in periods of 20 ms, by cgroup v{version}"))
        }
        Err(error) => (None, format!("AT FULL SPEED, whatever the memory size: {error:#}")),
    }
}
