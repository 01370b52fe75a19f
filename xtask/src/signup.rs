//! `signup`: signs a customer up at the stack that runs here, as the form of a shop does; or lists who has signed up there.
//! Names and addresses of customers are for this machine alone: it asks no stack on AWS.

use crate::story;
use anyhow::{Result, bail};
use clap::Args;
use command_line::screen::{Layout, table, width};
use console::machine::Repository;
use console::progress::{bold, dim};
use console::state;
use serde_json::{Value, json};
use testkit::engine::request;
use testkit::stack::Stack;

#[derive(Args)]
pub struct Options {
    /// The customer's address; without one, all who have signed up are listed
    #[arg(value_name = "EMAIL")]
    email: Option<String>,
    /// The customer's name
    #[arg(long, requires = "email", default_value = "Ada Example")]
    name: String,
    /// Say yes to marketing mail, which the customer is then asked to confirm
    #[arg(long, requires = "email")]
    marketing: bool,
}

impl Options {
    pub fn writes(&self) -> bool {
        self.email.is_some()
    }
}

pub async fn run(repository: &Repository, options: &Options) -> Result<()> {
    let state = state::require(repository)?;
    let Some(email) = &options.email else { return list(&Stack::of(state)).await };
    let body = json!({"name": options.name, "email": email, "marketing_consent": options.marketing});
    let headers = [("Content-Type", "application/json")];
    let answer = request("POST", &format!("{}/customers", state.api_url), &headers, body.to_string()).await?;
    if answer.status != 202 {
        bail!("POST /customers was answered with {}: {}", answer.status, story::problem(&answer, &body));
    }
    println!("POST /customers → 202  customer {}", answer.json()?["customer_id"].as_str().unwrap_or("?"));
    println!("{}", dim(&format!("the mail that this causes: cargo xtask inbox --to {email}")));
    Ok(())
}

async fn list(stack: &Stack) -> Result<()> {
    let mut customers = stack.scan("CustomersTable").await?;
    customers.sort_by(|a, b| a["signed_up_at"].as_str().cmp(&b["signed_up_at"].as_str()));
    if customers.is_empty() {
        println!("Nobody has signed up. `cargo xtask signup ada@example.com` does.");
        return Ok(());
    }
    for (at, line) in lines(&customers, width(&std::io::stdout())).into_iter().enumerate() {
        println!("{}", if at == 0 { bold(&line) } else { line });
    }
    Ok(())
}

fn lines(customers: &[Value], width: Option<usize>) -> Vec<String> {
    let head = ["SIGNED UP", "MARKETING", "EMAIL", "NAME"].map(str::to_owned);
    let row = |customer: &Value| {
        let text = |field: &str| customer[field].as_str().unwrap_or_default().to_owned();
        let since: String = text("signed_up_at").chars().take("2026-05-04T10:11:12".len()).collect();
        [since + "Z", marketing(customer).to_owned(), text("email"), text("name")]
    };
    let rows: Vec<_> = std::iter::once(head).chain(customers.iter().map(row)).collect();
    table(&rows, Layout { numbers: &[], flexible: &[2, 3], width })
}

/// Where the consent to marketing mail stands.
fn marketing(customer: &Value) -> &'static str {
    let has = |field: &str| customer[field].is_string();
    let at = |field: &str| customer[field].as_str().unwrap_or_default();
    if has("unsubscribed_at") && at("unsubscribed_at") >= at("double_opt_in_at") {
        "ended"
    } else if has("double_opt_in_at") || customer["marketing_consent"] == true {
        "yes"
    } else if has("consent_asked_at") {
        "asked"
    } else {
        "no"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn customers_stand_in_a_table_with_their_consent() {
        let customer =
            json!({"signed_up_at": "2026-11-28T20:28:03.1Z", "email": "ada@example.com", "name": "Ada", "consent_asked_at": "2026"});
        let lines = lines(&[customer], Some(80));
        assert_eq!(lines[1], "2026-11-28T20:28:03Z  asked      ada@example.com  Ada");
    }

    #[test]
    fn a_consent_counts_from_its_confirmation_to_its_end() {
        assert_eq!(marketing(&json!({})), "no");
        assert_eq!(marketing(&json!({"double_opt_in_at": "2026-01-02"})), "yes");
        assert_eq!(marketing(&json!({"double_opt_in_at": "2026-01-02", "unsubscribed_at": "2026-01-03"})), "ended");
        assert_eq!(marketing(&json!({"double_opt_in_at": "2026-01-04", "unsubscribed_at": "2026-01-03"})), "yes");
    }
}
