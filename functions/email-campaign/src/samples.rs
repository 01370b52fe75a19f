//! The mails with sample data, for previews.
//!
//! Called by the preview tool and by tests.

use crate::templates::{TEMPLATES, Template, data, fill};
use mailer::Mail;
use serde_json::{Map, Value};
use std::collections::BTreeMap;

/// The link of nobody.
const UNSUBSCRIBE_URL: &str = "https://id.execute-api.us-east-1.amazonaws.com/unsubscribe/5Qf_JmohUZyt3h4ZkgsM4vZbu0AGyO9_zb1PG55jrNc";

/// Every mail that a campaign can send.
pub fn samples() -> Vec<(&'static str, Mail)> {
    TEMPLATES.iter().map(|template| (template.name, sample(template))).collect()
}

fn sample(template: &Template) -> Mail {
    let value = |column: &str| match column {
        "name" => "Ada Lovelace".to_owned(),
        "voucher" => "SPRING-7F3K".to_owned(),
        other => format!("({other})"),
    };
    let values: BTreeMap<_, _> = template.columns().into_iter().map(|column| (column.clone(), value(&column))).collect();
    let data: Map<String, Value> = serde_json::from_str(&data(&values, UNSUBSCRIBE_URL)).unwrap_or_default();
    Mail::new(&fill(template.subject, &data), fill(template.text, &data), fill(template.html, &data))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_sample_is_filled_and_its_text_says_what_its_page_says() {
        for (name, mail) in samples() {
            for part in [&mail.subject, &mail.text, &mail.html] {
                assert!(!part.contains("{{") && !part.contains("()"), "{name}: {part}");
            }
            for fact in ["Ada Lovelace", "SPRING-7F3K", UNSUBSCRIBE_URL] {
                assert!(mail.text.contains(fact) && mail.html.contains(fact), "{name}: {fact}");
            }
        }
    }
}
