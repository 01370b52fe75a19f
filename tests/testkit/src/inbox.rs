//! The mails that went out, as the local engine keeps them.
//!
//! `cargo xtask inbox`, the demo and the end-to-end tests read them. It does not tell who a mail is for by anything but its
//! recipients.

use crate::stack::Stack;
use anyhow::{Context, Result};
use serde::Deserialize;

/// A mail that SES took.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Mail {
    /// SES's id of it.
    pub message_id: String,
    /// From whom, as it was sent.
    pub source: String,
    /// To whom.
    pub to: Vec<String>,
    /// The subject, rendered.
    pub subject: String,
    /// The text part, rendered.
    pub body_text: String,
    /// The HTML part, rendered.
    pub body_html: Option<String>,
    /// When SES took it, in seconds since 1970.
    pub timestamp: f64,
    /// Headers beyond the usual ones.
    #[serde(default, deserialize_with = "or_none")]
    pub headers: Vec<Pair>,
    /// Where answers go, if not to the sender.
    #[serde(default, deserialize_with = "or_none")]
    pub reply_to: Vec<String>,
    /// SES's message tags.
    #[serde(default, deserialize_with = "or_none")]
    pub tags: Vec<Pair>,
    /// The configuration set under which it went out.
    #[serde(default)]
    pub configuration_set_name: Option<String>,
}

/// A name and its value.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Pair {
    /// The name.
    pub name: String,
    /// Its value.
    pub value: String,
}

fn or_none<'de, D: serde::Deserializer<'de>, T: Deserialize<'de>>(deserializer: D) -> Result<Vec<T>, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

impl Mail {
    /// The value of a header, if the mail has it.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|header| header.name.eq_ignore_ascii_case(name)).map(|header| header.value.as_str())
    }
    /// Whether it is about this order: a reply goes to an address with its id in it.
    pub fn is_about(&self, order_id: &str) -> bool {
        self.reply_to.iter().any(|address| address.contains(order_id))
    }
    /// Which of our mails it is: the tag `template`.
    pub fn template(&self) -> &str {
        self.tags.iter().find(|tag| tag.name == "template").map_or("", |tag| tag.value.as_str())
    }
}

impl Stack {
    /// Every mail that went out, in the order in which SES took them.
    ///
    /// # Errors
    /// Where the engine refuses.
    pub async fn inbox(&self) -> Result<Vec<Mail>> {
        let shown = self.engine.rest("ses", "GET", "/_ministack/ses/messages", "").await?.json()?;
        let accounts = shown["messages"].as_object().context("the engine shows no mails")?;
        let mut mails = accounts.values().map(Vec::<Mail>::deserialize).collect::<Result<Vec<_>, _>>()?.concat();
        mails.sort_by(|a, b| a.timestamp.total_cmp(&b.timestamp));
        Ok(mails)
    }

    /// The mails to one address.
    ///
    /// # Errors
    /// Where the engine refuses.
    pub async fn mails_to(&self, address: &str) -> Result<Vec<Mail>> {
        Ok(self.inbox().await?.into_iter().filter(|mail| mail.to.iter().any(|to| to.eq_ignore_ascii_case(address))).collect())
    }
}
