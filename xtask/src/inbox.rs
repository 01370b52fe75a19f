//! `inbox`: the mails that the running stack has sent, listed, or one of them as text or as the page that a mail program shows.

use crate::machine::{Repository, answers};
use crate::progress::{bold, dim};
use crate::state;
use anyhow::{Context, Result};
use clap::Args;
use jiff::Timestamp;
use testkit::inbox::Mail;
use testkit::stack::Stack;

/// Most mails in a list: what a screen holds. The newest are what somebody has just caused.
const LISTED_MAX: usize = 40;

#[derive(Args)]
pub struct Options {
    /// Number of the mail to show, from the list
    #[arg(value_parser = clap::value_parser!(u64).range(1..))]
    number: Option<u64>,
    /// Write its HTML to a file, and open that in the browser where there is one
    #[arg(long, requires = "number")]
    html: bool,
    /// Only mails to this address
    #[arg(long, value_name = "ADDRESS")]
    to: Option<String>,
}

pub async fn run(repository: &Repository, options: &Options) -> Result<()> {
    let stack = Stack::of(state::require(repository)?);
    let mails = match &options.to {
        Some(address) => stack.mails_to(address).await?,
        None => stack.inbox().await?,
    };
    let Some(number) = options.number else {
        list(&mails);
        return Ok(());
    };
    let index = usize::try_from(number).ok().and_then(|number| number.checked_sub(1));
    let mail = index.and_then(|index| mails.get(index)).with_context(|| format!("there is no mail {number}; there are {}", mails.len()))?;
    if !options.html {
        show(mail);
        return Ok(());
    }
    let folder = repository.local().join("inbox");
    std::fs::create_dir_all(&folder)?;
    let file = folder.join(format!("{number}.html"));
    std::fs::write(&file, mail.body_html.as_deref().context("this mail has no HTML part")?)?;
    println!("{}", file.display());
    // Without a browser the path is the answer.
    if let Some(opener) = ["xdg-open", "open"].into_iter().find(|name| answers(name, "--version")) {
        std::process::Command::new(opener).arg(&file).status().with_context(|| format!("{opener} cannot be started"))?;
    }
    Ok(())
}

fn list(mails: &[Mail]) {
    if mails.is_empty() {
        println!("No mail has gone out. `cargo xtask order -l MUG-BLUE` causes two.");
        return;
    }
    if mails.len() > LISTED_MAX {
        println!("{}", dim(&format!("the newest {LISTED_MAX} of {}", mails.len())));
    }
    for (index, mail) in mails.iter().enumerate().skip(mails.len().saturating_sub(LISTED_MAX)) {
        println!("{:>4}  {}  {:<28}  {}", index + 1, dim(&taken_at(mail)), mail.to.join(", "), mail.subject);
    }
    println!("{}", dim("show one: cargo xtask inbox NUMBER [--html]"));
}

fn show(mail: &Mail) {
    let headers = mail.headers.iter().map(|header| (header.name.as_str(), header.value.clone()));
    let usual =
        [("From", mail.source.clone()), ("To", mail.to.join(", ")), ("Reply-To", mail.reply_to.join(", ")), ("Date", taken_at(mail))];
    for (name, value) in usual.into_iter().chain(headers).filter(|(_, value)| !value.is_empty()) {
        println!("{} {value}", dim(&format!("{name}:")));
    }
    println!("{} {}\n\n{}", dim("Subject:"), bold(&mail.subject), mail.body_text);
}

/// To the second, as a clock shows it.
fn taken_at(mail: &Mail) -> String {
    #[expect(clippy::cast_possible_truncation, reason = "whole seconds of a time of this century")]
    let seconds = mail.timestamp as i64;
    Timestamp::from_second(seconds).map_or_else(|_| "?".to_owned(), |at| at.to_string())
}
