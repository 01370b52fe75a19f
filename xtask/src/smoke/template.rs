//! A deployed stack's template, after SAM's transform, with its intrinsic functions worked out as far as names and parameters say.
//! It reads nothing by itself: what it knows is in [`Template`].

use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

/// The template of a stack, and what makes its values definite.
#[derive(Debug, Clone)]
pub struct Template {
    /// The processed template.
    pub body: Value,
    pub stack_name: String,
    /// Its ARN: partition, region and account.
    pub stack_id: String,
    /// As they are in force, defaults included.
    pub parameters: BTreeMap<String, String>,
    /// The resources: the physical id of each logical one.
    pub resources: BTreeMap<String, String>,
}

/// A resource of the template that exists.
#[derive(Debug, Clone, Copy)]
pub struct Resource<'a> {
    pub id: &'a str,
    pub physical_id: &'a str,
    pub properties: &'a Value,
    template: &'a Template,
}

impl Resource<'_> {
    /// A property, worked out.
    pub fn property(&self, name: &str) -> Value {
        self.template.resolve(&self.properties[name])
    }
}

impl Template {
    /// The resources of a type that exist, which leaves out those whose condition fails.
    pub fn of_type(&self, kind: &str) -> Vec<Resource<'_>> {
        self.resources().filter(|(_, body)| body["Type"] == kind).filter_map(|(id, _)| self.resource(id)).collect()
    }

    /// One that exists.
    pub fn resource(&self, id: &str) -> Option<Resource<'_>> {
        let (id, physical_id) = self.resources.get_key_value(id)?;
        Some(Resource { id, physical_id, properties: &self.body["Resources"][id]["Properties"], template: self })
    }

    /// All that the template has, whether they exist or not.
    pub fn resources(&self) -> impl Iterator<Item = (&str, &Value)> {
        self.body["Resources"].as_object().into_iter().flatten().map(|(id, body)| (id.as_str(), body))
    }

    pub fn parameter(&self, name: &str) -> &str {
        self.parameters.get(name).map_or("", String::as_str)
    }

    pub fn account(&self) -> &str {
        self.of_stack_id(4)
    }

    /// The ARN of a resource of this account, in the stack's region, or in none as those of IAM.
    pub fn arn(&self, service: &str, regional: bool, resource: &str) -> String {
        let region = if regional { self.of_stack_id(3) } else { "" };
        format!("arn:{}:{service}:{region}:{}:{resource}", self.of_stack_id(1), self.account())
    }

    /// A part of `arn:partition:cloudformation:region:account:stack/…`.
    fn of_stack_id(&self, part: usize) -> &str {
        self.stack_id.split(':').nth(part).unwrap_or_default()
    }

    /// A value with every intrinsic function worked out. `null` stands for what only AWS knows, and for `AWS::NoValue`, which is
    /// left out of lists and maps.
    pub fn resolve(&self, value: &Value) -> Value {
        match value {
            Value::Array(list) => list.iter().map(|item| self.resolve(item)).filter(|item| !item.is_null()).collect(),
            Value::Object(map) => match map.iter().next().filter(|_| map.len() == 1) {
                Some((name, argument)) if name == "Ref" || name == "Condition" || name.starts_with("Fn::") => self.function(name, argument),
                _ => {
                    let resolved = map.iter().map(|(key, value)| (key.clone(), self.resolve(value)));
                    resolved.filter(|(_, value)| !value.is_null()).collect::<Map<_, _>>().into()
                }
            },
            scalar => scalar.clone(),
        }
    }

    fn function(&self, name: &str, argument: &Value) -> Value {
        let item = |index: usize| &argument[index];
        match name {
            "Ref" => self.named(argument.as_str().unwrap_or_default()),
            "Condition" => self.holds(argument.as_str().unwrap_or_default()).into(),
            "Fn::If" => self.resolve(item(if self.holds(item(0).as_str().unwrap_or_default()) { 1 } else { 2 })),
            "Fn::GetAtt" => match argument.as_str().and_then(|text| text.split_once('.')) {
                Some((id, attribute)) => self.attribute(id, attribute),
                None => self.attribute(item(0).as_str().unwrap_or_default(), item(1).as_str().unwrap_or_default()),
            },
            "Fn::Sub" => self.placed(argument),
            "Fn::Join" => match self.resolve(item(1)).as_array() {
                Some(parts) => parts.iter().map(text_of).collect::<Vec<_>>().join(item(0).as_str().unwrap_or_default()).into(),
                None => Value::Null,
            },
            "Fn::Split" => match self.resolve(item(1)).as_str() {
                Some(text) => text.split(item(0).as_str().unwrap_or_default()).collect(),
                None => Value::Null,
            },
            "Fn::Equals" => (text_of(&self.resolve(item(0))) == text_of(&self.resolve(item(1)))).into(),
            "Fn::Not" => (self.resolve(item(0)) != true).into(),
            "Fn::And" => argument.as_array().is_some_and(|all| all.iter().all(|one| self.resolve(one) == true)).into(),
            "Fn::Or" => argument.as_array().is_some_and(|all| all.iter().any(|one| self.resolve(one) == true)).into(),
            _ => Value::Null,
        }
    }

    fn holds(&self, condition: &str) -> bool {
        self.resolve(&self.body["Conditions"][condition]) == true
    }

    fn named(&self, name: &str) -> Value {
        match name {
            "AWS::StackName" => self.stack_name.clone().into(),
            "AWS::StackId" => self.stack_id.clone().into(),
            "AWS::Partition" => self.of_stack_id(1).into(),
            "AWS::Region" => self.of_stack_id(3).into(),
            "AWS::AccountId" => self.account().into(),
            _ => self.parameters.get(name).or_else(|| self.resources.get(name)).cloned().map_or(Value::Null, Value::from),
        }
    }

    /// The ARN of a queue, which its URL says; a topic's is its id.
    fn attribute(&self, id: &str, attribute: &str) -> Value {
        let Some(resource) = self.resource(id).filter(|_| attribute == "Arn") else { return Value::Null };
        match self.body["Resources"][id]["Type"].as_str() {
            Some("AWS::SQS::Queue") => {
                let name = resource.physical_id.rsplit('/').next().unwrap_or_default();
                self.arn("sqs", true, name).into()
            }
            _ => Value::Null,
        }
    }

    /// `Fn::Sub`, with or without a map of its own; `null` where a name in it is not known.
    fn placed(&self, argument: &Value) -> Value {
        let (text, own) = match argument.as_array().map(Vec::as_slice) {
            Some([text, own]) => (text, self.resolve(own)),
            _ => (argument, json!({})),
        };
        let mut parts = text.as_str().unwrap_or_default().split("${");
        let mut placed = parts.next().unwrap_or_default().to_owned();
        for part in parts {
            let Some((name, rest)) = part.split_once('}') else { return Value::Null };
            let value = match (own.get(name), name.split_once('.')) {
                (Some(value), _) => value.clone(),
                (None, Some((id, attribute))) if !name.starts_with("AWS::") => self.attribute(id, attribute),
                (None, _) => self.named(name),
            };
            if value.is_null() {
                return Value::Null;
            }
            placed.push_str(&text_of(&value));
            placed.push_str(rest);
        }
        placed.into()
    }
}

/// The items of a list, or the one thing that stands for a list of one; none of nothing.
pub fn items(value: &Value) -> impl Iterator<Item = &Value> {
    match value {
        Value::Array(list) => list.as_slice(),
        Value::Null => &[],
        one => std::slice::from_ref(one),
    }
    .iter()
}

/// The entries of a map; none of anything else.
pub fn entries(value: &Value) -> impl Iterator<Item = (&str, &Value)> {
    value.as_object().into_iter().flatten().map(|(key, value)| (key.as_str(), value))
}

/// A scalar as CloudFormation compares and places it.
pub fn text_of(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// The most characters that a name may have, by type and property. CloudFormation shortens the names that it makes up itself; these
/// are the ones that a template may derive from its stack's name. Each is from the page of the property's API.
const NAMES: [(&str, &str, usize); 9] = [
    ("AWS::SQS::Queue", "/QueueName", 80), // with .fifo; docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_CreateQueue.html
    ("AWS::SNS::Topic", "/TopicName", 256), // docs.aws.amazon.com/sns/latest/api/API_CreateTopic.html
    ("AWS::Logs::LogGroup", "/LogGroupName", 512),
    ("AWS::SES::ReceiptRule", "/Rule/Name", 64), // docs.aws.amazon.com/ses/latest/APIReference/API_ReceiptRule.html
    ("AWS::SES::ConfigurationSet", "/Name", 64),
    ("AWS::IAM::Role", "/RoleName", 64), // docs.aws.amazon.com/IAM/latest/UserGuide/reference_iam-quotas.html
    ("AWS::Lambda::Function", "/FunctionName", 64),
    ("AWS::S3::Bucket", "/BucketName", 63),
    ("AWS::DynamoDB::Table", "/TableName", 255),
];

/// A name that the template derives and that is too long for its service: logical id, name, and the most that it may have.
pub fn names_too_long(template: &Template) -> Vec<(String, String, usize)> {
    let derived = template.resources().flat_map(|(id, body)| {
        let properties = &body["Properties"];
        let of_kind = NAMES.iter().filter(|(kind, ..)| body["Type"] == *kind);
        of_kind.filter_map(move |(_, pointer, most)| Some((id, template.resolve(properties.pointer(pointer)?), *most)))
    });
    let named = derived.filter_map(|(id, name, most)| Some((id.to_owned(), name.as_str()?.to_owned(), most)));
    named.filter(|(_, name, most)| name.chars().count() > *most).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn template() -> Template {
        let body = json!({
            "Conditions": {
                "IsLocal": {"Fn::Equals": [{"Ref": "Stage"}, "local"]},
                "OnAws": {"Fn::Not": [{"Condition": "IsLocal"}]},
                "Both": {"Fn::And": [{"Condition": "OnAws"}, {"Fn::Equals": [{"Ref": "Calls"}, 0]}]}
            },
            "Resources": {
                "Queue": {"Type": "AWS::SQS::Queue", "Properties": {"QueueName": {"Fn::Sub": "${AWS::StackName}-public-undelivered.fifo"}}},
                "Rule": {"Type": "AWS::SES::ReceiptRule", "Condition": "OnAws", "Properties": {"Rule": {"Name": {"Fn::Sub": "${AWS::StackName}-orders"}}}}
            }
        });
        Template {
            body,
            stack_name: "shop".to_owned(),
            stack_id: "arn:aws:cloudformation:eu-west-1:123456789012:stack/shop/1".to_owned(),
            parameters: [("Stage", "dev"), ("Calls", "0")].map(|(name, value)| (name.to_owned(), value.to_owned())).into(),
            resources: [("Queue".to_owned(), "https://sqs.eu-west-1.amazonaws.com/123456789012/shop-q.fifo".to_owned())].into(),
        }
    }

    #[test]
    fn functions_are_worked_out_as_far_as_names_go() {
        let it = template();
        for (function, expected) in [
            (json!({"Fn::If": ["OnAws", {"Ref": "Stage"}, 7]}), json!("dev")),
            (json!({"Fn::If": ["IsLocal", 1, {"Ref": "AWS::NoValue"}]}), Value::Null),
            (json!([{"Fn::If": ["Both", 1, 2]}, {"Ref": "AWS::NoValue"}]), json!([1])),
            (json!({"Fn::GetAtt": ["Queue", "Arn"]}), json!("arn:aws:sqs:eu-west-1:123456789012:shop-q.fifo")),
            (
                json!({"a": {"Fn::Sub": "${AWS::Region}/${Queue.Arn}"}}),
                json!({"a": "eu-west-1/arn:aws:sqs:eu-west-1:123456789012:shop-q.fifo"}),
            ),
            (json!({"Fn::Sub": ["${one}-${AWS::AccountId}", {"one": {"Ref": "Calls"}}]}), json!("0-123456789012")),
            (json!({"Fn::Sub": "${Unknown}"}), Value::Null),
            (json!({"Fn::Join": [":", ["a", {"Ref": "AWS::Partition"}]]}), json!("a:aws")),
            (json!({"Fn::Split": [",", {"Fn::Sub": "${Stage},${Calls}"}]}), json!(["dev", "0"])),
            (json!({"Fn::Split": [",", {"Ref": "Unknown"}]}), Value::Null),
            (json!({"Fn::GetAtt": ["Queue", "QueueName"]}), Value::Null),
        ] {
            assert_eq!(it.resolve(&function), expected, "{function}");
        }
        assert_eq!(it.of_type("AWS::SES::ReceiptRule").len(), 0, "what does not exist is not looked for");
    }

    #[test]
    fn a_stack_name_is_too_long_where_a_derived_name_is() {
        let mut it = template();
        assert_eq!(names_too_long(&it), []);
        // -public-undelivered.fifo has 24 characters, of 80.
        it.stack_name = "s".repeat(56);
        assert_eq!(names_too_long(&it), []);
        it.stack_name = "s".repeat(57);
        assert_eq!(names_too_long(&it).iter().map(|(id, ..)| id.as_str()).collect::<Vec<_>>(), ["Queue"]);
        it.stack_name = "s".repeat(58);
        assert_eq!(names_too_long(&it).len(), 2, "and the rule's, of 64");
    }
}
