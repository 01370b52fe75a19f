//! `smoke`: whether a deployed stack is what its template says, and works: what the first deployment to AWS has to settle, and no test
//! on one machine can. It reads the stack's template and what AWS says of its resources, holds one against the other, and places one
//! order with a test key.
//!
//! It changes nothing but that it places this order. It speaks to AWS with the caller's credentials; what these may not see is
//! skipped, with the reason.

pub mod aws;
mod before;
mod checks;
mod found;
mod order;
mod permissions;
mod policy;
pub mod proven;
mod template;

use anyhow::{Result, bail};
use aws::Aws;
use before::Change;
use checks::{CHECKS, Check, Outcome};
use clap::Args;
use command_line::screen::{command, width, wrapped};
use console::machine::Repository;
use console::progress::{bold, dim, green, red};
use console::state;
use found::Found;
use operate::deployed::Target;
use std::process::ExitCode;
use std::time::Duration;
use testkit::stack::State;

#[derive(Args)]
#[command(
    after_help = "✓ as it should be · ✗ wrong, with the command to type · – not checked, and why. Exit status: 0 nothing is wrong · 1 something is."
)]
pub struct Options {
    #[command(flatten)]
    target: Target,
    /// The items to order, as SKU=QUANTITY, instead of one of the first SKU that is in stock
    #[arg(short, long, value_name = "SKU=QUANTITY", value_parser = crate::order::line)]
    line: Option<(String, u32)>,
    /// Place no order
    #[arg(long, conflicts_with = "line")]
    no_order: bool,
    /// Look at what would stand in the way of this change instead, and place no order
    #[arg(long, value_enum, value_name = "CHANGE", conflicts_with_all = ["line", "no_order", "follow"])]
    before: Option<Change>,
    /// How long to follow the order
    #[arg(long, value_name = "SECONDS", default_value_t = 120, value_parser = clap::value_parser!(u64).range(1..=crate::order::FOLLOW_SECONDS_MAX))]
    follow: u64,
}

pub async fn run(repository: &Repository, options: Options) -> Result<ExitCode> {
    let target = &options.target;
    if options.before == Some(Change::Deploy) {
        let Some(stack) = &target.stack else { bail!("name the stack: --stack NAME") };
        return Ok(conclude(print_all(&[("name", before::name(stack))])));
    }
    let is_on_aws = target.is_on_aws()?;
    let (mut aws, stack, state) = match &target.stack {
        Some(stack) if is_on_aws => (Aws::on_aws(repository, target).await?, stack.clone(), None),
        _ => {
            let state = state::require(repository)?;
            (Aws::here(repository, &state)?, state.stack_name.clone(), Some(state))
        }
    };
    let found = found::find(&mut aws, &stack, state.is_some(), aws_flags(target)).await?;
    println!("{}\n", bold(&format!("{stack}, in account {}", found.template.account())));
    if options.before == Some(Change::Delete) {
        return Ok(conclude(print_all(&judge(&before::DELETE, &found))));
    }
    let mut wrong = print_all(&judge(&CHECKS, &found));
    if !options.no_order {
        let placing = order::Placing { line: options.line, limit: Duration::from_secs(options.follow) };
        wrong += print_all(&[("order", order::place(&mut aws, &found, state.as_ref(), placing).await?)]);
    }
    Ok(conclude(wrong))
}

/// The last line, and the exit status, of `wrong` checks that failed.
fn conclude(wrong: usize) -> ExitCode {
    match wrong {
        0 => println!("\nNothing is wrong."),
        1 => println!("\n{}", red("One check failed.")),
        _ => println!("\n{}", red(&format!("{wrong} checks failed."))),
    }
    ExitCode::from(u8::from(wrong > 0))
}

/// Each check of what was found.
fn judge(checks: &[Check], found: &Found) -> Vec<(&'static str, Outcome)> {
    checks.iter().map(|(name, check)| (*name, check(found))).collect()
}

/// The checks of the stack that runs here, without an order.
async fn look_here(aws: &mut Aws, state: &State) -> Result<Vec<(&'static str, Outcome)>> {
    Ok(judge(&CHECKS, &found::find(aws, &state.stack_name, true, String::new()).await?))
}

/// The flags of the AWS CLI that mean the same account and region.
fn aws_flags(target: &Target) -> String {
    let aws = Target { stack: None, region: target.region.clone(), profile: target.profile.clone() };
    aws.flags()
}

/// A line per check, and for what is wrong what to type. Returns how many failed.
fn print_all(outcomes: &[(&str, Outcome)]) -> usize {
    for (name, outcome) in outcomes {
        print!("{}", text(name, outcome));
    }
    outcomes.iter().filter(|(_, outcome)| matches!(outcome, Outcome::Fail(_))).count()
}

fn text(name: &str, outcome: &Outcome) -> String {
    let width = width(&std::io::stdout());
    let line = |mark: &str, what: &str| wrapped(what.split(' '), " ", [&format!("{mark} {name}: "), "    "], width) + "\n";
    match outcome {
        Outcome::Pass(what) => line(&green("✓"), what),
        Outcome::Skip(why) => line(&dim("–"), why),
        Outcome::Fail(faults) => {
            let fault = |fault: &checks::Fault| line(&red("✗"), &fault.wrong) + &bold(&command(&fault.command, "    ", width)) + "\n";
            faults.iter().map(fault).collect()
        }
    }
}

#[cfg(test)]
mod tests;
