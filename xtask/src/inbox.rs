//! `inbox`: the mails that the running stack has sent, listed, or one of them as text or as the page that a mail program shows.
//! A mail is named by the beginning of its id, which means the same mail whatever else has gone out, and however it was listed.

use anyhow::{Context, Result, bail};
use clap::Args;
use command_line::screen::{Layout, table, width, wrapped};
use console::machine::{Repository, answers};
use console::progress::{bold, dim, lines};
use console::state;
use dlq_inspector::nearest::did_you_mean;
use jiff::Timestamp;
use operate::deployed::now;
use std::collections::BTreeSet;
use testkit::inbox::Mail;
use testkit::stack::Stack;

/// Most mails in a list: what a screen holds. The newest are what somebody has just caused.
const LISTED_MAX: usize = 40;
/// How much of an id is shown at least: enough that it names one among thousands.
const ID_MIN: usize = 8;

#[derive(Args)]
pub struct Options {
    /// The mail to show: its id, or as much of it as the list shows
    #[arg(value_name = "ID", value_parser = clap::builder::NonEmptyStringValueParser::new())]
    id: Option<String>,
    /// Write its HTML to a file, and open that in the browser where there is one
    #[arg(long, requires = "id")]
    html: bool,
    /// Only mails to this address
    #[arg(long, value_name = "ADDRESS")]
    to: Option<String>,
}

pub async fn run(repository: &Repository, options: &Options) -> Result<()> {
    let stack = Stack::of(state::require(repository)?);
    let all = stack.inbox().await?;
    let ids = short_ids(&all);
    let is_to = |mail: &Mail| options.to.as_ref().is_none_or(|address| mail.to.iter().any(|to| to.eq_ignore_ascii_case(address)));
    let chosen: Vec<(&str, &Mail)> = ids.iter().map(String::as_str).zip(&all).filter(|(_, mail)| is_to(mail)).collect();
    let Some(id) = &options.id else {
        match (&options.to, chosen.is_empty()) {
            (Some(address), true) => println!("{}", lines(&nothing_to(address, &all), "")),
            (None, true) => println!("No mail has gone out. `cargo xtask order -l MUG-BLUE` causes two."),
            (_, false) => list(&chosen),
        }
        return Ok(());
    };
    let (short, mail) = find(id, &chosen)?;
    if !options.html {
        show(mail);
        return Ok(());
    }
    let folder = repository.local().join("inbox");
    std::fs::create_dir_all(&folder)?;
    let file = folder.join(format!("{short}.html"));
    std::fs::write(&file, mail.body_html.as_deref().context("this mail has no HTML part")?)?;
    println!("{}", file.display());
    // Without a browser the path is the answer.
    if let Some(opener) = ["xdg-open", "open"].into_iter().find(|name| answers(name, "--version")) {
        std::process::Command::new(opener).arg(&file).status().with_context(|| format!("{opener} cannot be started"))?;
    }
    Ok(())
}

/// As much of each mail's id as tells it from all others.
pub fn short_ids(mails: &[Mail]) -> Vec<String> {
    let all: BTreeSet<&str> = mails.iter().map(|mail| mail.message_id.as_str()).collect();
    let mut length = ID_MIN;
    let short = |id: &str, length: usize| id.chars().take(length).collect::<String>();
    while all.iter().map(|id| short(id, length)).collect::<BTreeSet<_>>().len() < all.len() {
        length += 1;
    }
    mails.iter().map(|mail| short(&mail.message_id, length)).collect()
}

/// The one mail whose id begins so.
fn find<'m>(id: &str, mails: &[(&'m str, &'m Mail)]) -> Result<(&'m str, &'m Mail)> {
    let found: Vec<_> = mails.iter().filter(|(_, mail)| mail.message_id.starts_with(id)).collect();
    match found.as_slice() {
        [one] => Ok(**one),
        [] => bail!("of the {} mails no id begins with {id}: `cargo xtask inbox` lists them", mails.len()),
        several => bail!("{} mails have an id that begins with {id}: give more of the id", several.len()),
    }
}

/// What is true where no mail went to an address.
fn nothing_to(address: &str, all: &[Mail]) -> String {
    let others: BTreeSet<&str> = all.iter().flat_map(|mail| &mail.to).map(String::as_str).collect();
    match all.len() {
        0 => format!("No mail has gone to {address}, and none to anybody else."),
        count => {
            let near = did_you_mean(address, others.iter().copied());
            let others = if others.len() == 1 { "one other address" } else { "others" };
            format!("No mail has gone to {address}; {count} went to {others}.{near}")
        }
    }
}

fn list(mails: &[(&str, &Mail)]) {
    let shown = &mails[mails.len().saturating_sub(LISTED_MAX)..];
    if shown.len() < mails.len() {
        println!("{}", dim(&format!("the newest {LISTED_MAX} of {}", mails.len())));
    }
    for (at, line) in rows(shown, now(), width(&std::io::stdout())).into_iter().enumerate() {
        println!("{}", if at == 0 { bold(&line) } else { line });
    }
    println!("{}", dim("show one: cargo xtask inbox ID [--html]"));
}

fn rows(mails: &[(&str, &Mail)], now: Timestamp, width: Option<usize>) -> Vec<String> {
    let head = ["ID", "AGO", "TO", "SUBJECT"].map(str::to_owned);
    let ago = |mail: &Mail| taken_at(mail).map_or_else(|| "?".to_owned(), |at| operate::dlq::age(now.as_second() - at.as_second()));
    let row = |(id, mail): &(&str, &Mail)| [(*id).to_owned(), ago(mail), mail.to.join(", "), mail.subject.clone()];
    let cells: Vec<_> = std::iter::once(head).chain(mails.iter().map(row)).collect();
    table(&cells, Layout { numbers: &[1], flexible: &[2, 3], width })
}

fn show(mail: &Mail) {
    let date = taken_at(mail).map(|at| at.to_string()).unwrap_or_default();
    let headers = mail.headers.iter().map(|header| (header.name.as_str(), header.value.clone()));
    let usual = [("From", mail.source.clone()), ("To", mail.to.join(", ")), ("Reply-To", mail.reply_to.join(", ")), ("Date", date)];
    let width = width(&std::io::stdout());
    let subject = std::iter::once(("Subject", bold(&mail.subject)));
    for (name, value) in usual.into_iter().chain(headers).filter(|(_, value)| !value.is_empty()).chain(subject) {
        // As a header is folded.
        println!("{}", wrapped(value.split(' '), " ", [&format!("{} ", dim(&format!("{name}:"))), "  "], width));
    }
    println!("\n{}", mail.body_text);
}

/// To the second.
fn taken_at(mail: &Mail) -> Option<Timestamp> {
    #[expect(clippy::cast_possible_truncation, reason = "whole seconds of a time of this century")]
    let seconds = mail.timestamp as i64;
    Timestamp::from_second(seconds).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use command_line::screen::columns;
    use serde_json::json;

    fn mail(id: &str, to: &str) -> Mail {
        serde_json::from_value(json!({
            "MessageId": format!("{id}@email.amazonses.com"), "Source": "shop", "To": [to], "BodyText": "", "BodyHtml": null, "Timestamp": 0.0,
            "Subject": "Your order fe08ddf2 has been received, and this subject is long",
        }))
        .unwrap()
    }

    /// Positions in a filtered list once opened another customer's mail.
    #[test]
    fn an_id_names_the_same_mail_in_every_list() {
        let all = [mail("11111111-a", "eve@example.com"), mail("22222222-b", "ada@example.com")];
        let ids = short_ids(&all);
        assert_eq!(ids, ["11111111", "22222222"]);
        let chosen: Vec<_> = ids.iter().map(String::as_str).zip(&all).collect();
        assert_eq!(find("2222", &chosen[1..]).unwrap().1.to, ["ada@example.com"]);
        assert_eq!(find("2222", &chosen).unwrap().1.to, ["ada@example.com"]);
        assert!(find("1111", &chosen[1..]).unwrap_err().to_string().contains("no id begins with 1111"), "a filter holds for both");
        let alike = [mail("11111111-aa", "a"), mail("11111111-ab", "b")];
        let ids = short_ids(&alike);
        assert_eq!(ids, ["11111111-aa", "11111111-ab"]);
        let chosen: Vec<_> = ids.iter().map(String::as_str).zip(&alike).collect();
        assert!(find("11111111", &chosen).unwrap_err().to_string().contains("2 mails"));
    }

    #[test]
    fn no_mail_to_an_address_is_not_no_mail() {
        let all = [mail("1", "ada@example.com"), mail("2", "ada@example.com")];
        assert_eq!(
            nothing_to("adah@example.com", &all),
            "No mail has gone to adah@example.com; 2 went to one other address. Did you mean ada@example.com?"
        );
        assert!(nothing_to("ada@example.com", &[]).contains("none to anybody else"));
    }

    #[test]
    fn the_list_fits_the_terminal() {
        let mail = mail("11111111-a", "a-customer-with-a-long-address+and-a-label@example.com");
        let lines = |width| rows(&[("11111111", &mail)], Timestamp::from_second(100).unwrap(), width);
        assert!(lines(Some(80)).iter().all(|line| columns(line) <= 80), "{:?}", lines(Some(80)));
        assert!(lines(None)[1].ends_with("has been received, and this subject is long"), "a pipe has all of it");
    }
}
