//! How a function is wired, read from the template that is deployed: its environment, its time-out, the tables' keys.
//!
//! It does not invent: a variable that it cannot resolve is an error, which names it.

use anyhow::{Context as _, Result};
use serde_json::Value;
use std::{collections::BTreeMap, time::Duration};
use template::{Resource, Template, entries, target};

const REGION: &str = "us-east-1";
const ACCOUNT: &str = "123456789012";
/// The parameters of the stack that is measured: one on AWS with all of mail, and a provider without limits, for what is measured is
/// the function.
const MEASURED: [(&str, &str); 6] = [
    ("Stage", "prod"),
    ("StripeCallsPerSecond", "1000000"),
    ("StripeEndpointCallsPerSecond", "1000000"),
    ("MailDomain", "example.com"),
    ("ReceiveMail", "true"),
    ("SupportEmail", "support@example.com"),
];

/// What a function finds in its environment, and how long it may take.
#[derive(Debug, Clone, Default)]
pub struct Wiring {
    /// The variables of the template, resolved.
    pub environment: Vec<(String, String)>,
    /// The longest that an invocation may take.
    pub timeout: Duration,
}

/// The template, with the payment provider at `stripe_url`.
#[derive(Debug)]
pub struct Wirings {
    template: Template,
    stripe_url: String,
}

impl Wirings {
    /// Reads the template.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn read(stripe_url: String) -> Result<Self> {
        Ok(Self { template: Template::read()?, stripe_url })
    }

    /// The wiring of the function whose folder is `function`.
    ///
    /// # Errors
    /// The template has no such function, or a variable that cannot be resolved.
    pub fn of(&self, function: &str) -> Result<Wiring> {
        let built = |resource: &Resource| resource.body["Metadata"]["BuildProperties"]["Binary"] == function;
        let resource = self.template.functions().find(built).with_context(|| format!("the template has no function {function}"))?;
        let variables = entries(resource.at("/Environment/Variables"));
        let variables = variables.map(|(name, value)| (name, self.chosen(value))).filter(|(_, value)| value["Ref"] != "AWS::NoValue");
        let environment = variables.map(|(name, value)| {
            let text = self.resolve(value).with_context(|| format!("{name} of {function} cannot be resolved: {value}"))?;
            Ok((name.to_owned(), text))
        });
        let timeout = resource.at("/Timeout").as_u64().context("a function has no Timeout")?;
        Ok(Wiring { environment: environment.collect::<Result<_>>()?, timeout: Duration::from_secs(timeout) })
    }

    /// The branch of an `Fn::If` that is taken; everything else as it is.
    fn chosen<'a>(&self, value: &'a Value) -> &'a Value {
        match value["Fn::If"].as_array().map(Vec::as_slice) {
            Some([condition, then, otherwise]) => {
                let holds = condition.as_str().is_some_and(|name| self.template.holds(name, &BTreeMap::from(MEASURED)));
                self.chosen(if holds { then } else { otherwise })
            }
            _ => value,
        }
    }

    /// What CloudFormation would put there, with logical ids for the names that it makes up.
    fn resolve(&self, value: &Value) -> Option<String> {
        match value {
            Value::String(text) => return Some(text.clone()),
            Value::Number(number) => return Some(number.to_string()),
            _ => {}
        }
        if let Some(text) = value["Fn::Sub"].as_str() {
            let mut pieces = text.split("${");
            let mut resolved = pieces.next()?.to_owned();
            for piece in pieces {
                let (name, rest) = piece.split_once('}')?;
                resolved.push_str(&self.named(name)?);
                resolved.push_str(rest);
            }
            return Some(resolved);
        }
        if value["Fn::GetAtt"].is_array() {
            return Some(format!("arn:aws:bench:{REGION}:{ACCOUNT}:{}", target(value)?));
        }
        self.named(value["Ref"].as_str()?)
    }

    fn named(&self, name: &str) -> Option<String> {
        match name {
            "StripeApiUrl" => return Some(self.stripe_url.clone()),
            "AWS::Region" => return Some(REGION.to_owned()),
            "AWS::URLSuffix" => return Some("amazonaws.com".to_owned()),
            "AWS::StackName" => return Some("bench".to_owned()),
            "AWS::StackId" => return Some(format!("arn:aws:cloudformation:{REGION}:{ACCOUNT}:stack/bench/1")),
            _ => {}
        }
        if let Some((_, value)) = MEASURED.iter().find(|(parameter, _)| *parameter == name) {
            return Some((*value).to_owned());
        }
        if let Some((_, parameter)) = self.template.section("Parameters").find(|(parameter, _)| *parameter == name) {
            return self.resolve(&parameter["Default"]);
        }
        let resource = self.template.resource(name)?;
        Some(match resource.kind() {
            "AWS::SNS::Topic" => format!("arn:aws:sns:{REGION}:{ACCOUNT}:{name}{}", if resource.is_fifo() { ".fifo" } else { "" }),
            "AWS::SQS::Queue" => format!("https://sqs.{REGION}.amazonaws.com/{ACCOUNT}/{name}"),
            "AWS::S3::Bucket" => bucket_name(name),
            "AWS::Serverless::HttpApi" => name.to_ascii_lowercase(),
            _ => name.to_owned(),
        })
    }
}

/// The name of a bucket in DNS, by its logical id.
#[must_use]
pub fn bucket_name(logical_id: &str) -> String {
    logical_id.to_ascii_lowercase()
}

/// The partition key of each table of the template.
///
/// # Errors
/// The template cannot be read.
pub fn table_keys() -> Result<BTreeMap<String, String>> {
    let template = Template::read()?;
    let key = |table: Resource| Some((table.id.to_owned(), table.at("/KeySchema/0/AttributeName").as_str()?.to_owned()));
    Ok(template.of_type("AWS::DynamoDB::Table").filter_map(key).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_function_of_the_template_is_wired() {
        let wirings = Wirings::read("https://localhost:1".to_owned()).unwrap();
        for function in wirings.template.functions() {
            let name = function.body["Metadata"]["BuildProperties"]["Binary"].as_str().unwrap();
            assert!(!wirings.of(name).unwrap().environment.is_empty(), "{name}");
        }
        let payment: BTreeMap<_, _> = wirings.of("payment").unwrap().environment.into_iter().collect();
        assert_eq!(payment["STRIPE_API_URL"], "https://localhost:1");
        assert_eq!(payment["PAYMENTS_TABLE"], "PaymentsTable");
        assert!(payment["ORDER_EVENTS_TOPIC_ARN"].ends_with(".fifo"), "entries to a FIFO topic carry more");
        let feedback: BTreeMap<_, _> = wirings.of("email-feedback").unwrap().environment.into_iter().collect();
        assert_eq!(feedback["SES_ACCOUNT_SUPPRESSION"], "true", "as on AWS");
        assert_eq!(table_keys().unwrap()["StockTable"], "sku");
    }
}
