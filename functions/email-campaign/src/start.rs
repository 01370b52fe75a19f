//! The message that starts a campaign, parsed into types.
//!
//! [`EmailCampaign`](crate::EmailCampaign) reads it once per delivery. It refuses unknown fields, because a misspelt one
//! would mail the wrong thing to thousands, and keys outside `lists/`, because that is all that the function may read.

use crate::{list::Format, templates::Template};
use serde::{Deserialize, Serialize};
use std::{fmt, str::FromStr};

/// Longest name of a campaign: it is part of a key, a file name and a tag of SES's.
const CAMPAIGN_ID_BYTES_MAX: usize = 64;
/// Longest key of an object in S3, in bytes (<https://docs.aws.amazon.com/AmazonS3/latest/userguide/object-keys.html>).
const KEY_BYTES_MAX: usize = 1024;
/// Where lists lie in the bucket.
const LISTS: &str = "lists/";

/// A campaign that is to be sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Start {
    /// Its name.
    pub campaign_id: CampaignId,
    /// Its content.
    pub template: &'static Template,
    /// Where the list lies.
    pub list: ListKey,
}

/// The message is no start of a campaign; says why, and quotes nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InvalidStart(pub &'static str);

impl fmt::Display for InvalidStart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}
impl std::error::Error for InvalidStart {}

/// The name of a campaign, 1 to `CAMPAIGN_ID_BYTES_MAX` (64) of `a-z`, `0-9` and `-`. A recipient is mailed once per name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct CampaignId(String);

/// The key of a list in the campaigns bucket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListKey {
    key: String,
    format: Format,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Body {
    campaign_id: String,
    template: String,
    list: String,
}

impl FromStr for Start {
    type Err = InvalidStart;
    fn from_str(body: &str) -> Result<Self, InvalidStart> {
        // What serde says may quote a value.
        let fields = |_| InvalidStart("the message must be a JSON object with campaign_id, template and list, all texts, and nothing else");
        let Body { campaign_id, template, list } = serde_json::from_str(body).map_err(fields)?;
        let template = Template::find(&template).ok_or(InvalidStart("there is no such template in this build"))?;
        Ok(Self { campaign_id: campaign_id.parse()?, template, list: list.parse()? })
    }
}

impl CampaignId {
    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for CampaignId {
    type Err = InvalidStart;
    fn from_str(text: &str) -> Result<Self, InvalidStart> {
        let legal = text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
        if legal && (1..=CAMPAIGN_ID_BYTES_MAX).contains(&text.len()) {
            Ok(Self(text.to_owned()))
        } else {
            Err(InvalidStart("campaign_id must be 1 to 64 of a-z, 0-9 and '-', such as spring-2026"))
        }
    }
}
impl TryFrom<String> for CampaignId {
    type Error = InvalidStart;
    fn try_from(text: String) -> Result<Self, InvalidStart> {
        text.parse()
    }
}
impl From<CampaignId> for String {
    fn from(id: CampaignId) -> String {
        id.0
    }
}
impl fmt::Display for CampaignId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl ListKey {
    /// How the list is written, by the key's ending.
    pub fn format(&self) -> Format {
        self.format
    }
    /// The key.
    pub fn as_str(&self) -> &str {
        &self.key
    }
}

impl FromStr for ListKey {
    type Err = InvalidStart;
    fn from_str(key: &str) -> Result<Self, InvalidStart> {
        let wanted = InvalidStart("list must be a key such as lists/spring.csv or lists/spring.ndjson");
        let name = key.strip_prefix(LISTS).filter(|_| key.len() <= KEY_BYTES_MAX).ok_or(wanted)?;
        let format = match name.rsplit_once('.') {
            Some((stem, "csv")) if !stem.is_empty() => Format::Csv,
            Some((stem, "ndjson")) if !stem.is_empty() => Format::Ndjson,
            _ => return Err(wanted),
        };
        Ok(Self { key: key.to_owned(), format })
    }
}
impl fmt::Display for ListKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn read(body: serde_json::Value) -> Result<Start, InvalidStart> {
        body.to_string().parse()
    }

    #[test]
    fn a_start_names_a_campaign_a_template_and_a_list() {
        for (key, format) in [("lists/spring.csv", Format::Csv), ("lists/2026/may.v2.ndjson", Format::Ndjson)] {
            let start = read(json!({"campaign_id": "spring-2026", "template": "newsletter", "list": key})).unwrap();
            assert_eq!((start.campaign_id.as_str(), start.template.name), ("spring-2026", "newsletter"));
            assert_eq!((start.list.as_str(), start.list.format()), (key, format));
        }
    }

    #[test]
    fn what_is_no_start_is_refused_and_not_quoted() {
        let start = json!({"campaign_id": "spring-2026", "template": "newsletter", "list": "lists/spring.csv"});
        let with = |field: &str, value: serde_json::Value| {
            let mut start = start.clone();
            start[field] = value;
            start
        };
        let long = "x".repeat(CAMPAIGN_ID_BYTES_MAX + 1);
        for bad in ["", "Spring", "spring/2026", "spring_2026", "ünter", &long] {
            assert!(read(with("campaign_id", json!(bad))).unwrap_err().0.starts_with("campaign_id must be"), "{bad}");
        }
        for bad in [
            "spring.csv",
            "reports/spring.csv",
            "lists/.csv",
            "lists/spring.xlsx",
            "lists/spring",
            &format!("lists/{}.csv", "x".repeat(1020)),
        ] {
            assert!(read(with("list", json!(bad))).unwrap_err().0.starts_with("list must be"), "{bad}");
        }
        assert!(read(with("template", json!("winter"))).unwrap_err().0.contains("no such template"));
        for bad in [json!([]), json!("ada@example.com"), with("list", json!(7)), with("lst", json!("x")), json!({"campaign_id": "a"})] {
            assert!(read(bad).unwrap_err().0.contains("must be a JSON object"));
        }
        assert!("{".parse::<Start>().is_err());
    }
}
