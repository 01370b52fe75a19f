//! Rules on size: what AWS refuses when a stack has grown, and not before it is deployed.
//!
//! Each limit leaves room, so that the change that would meet AWS's own is not the first to be told.

use crate::{Complaints, Resource, Template, branches, entries, items};
use serde_json::Value;
use testkit::stack::STACK_NAME_MAX;

/// The most resources of a stack, nine tenths of CloudFormation's 500.
/// <https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/cloudformation-limits.html>
pub const RESOURCES_MAX: usize = 450;

/// The most characters of a role's inline policies together, white space left out, of IAM's 10,240.
/// <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_iam-quotas.html>
pub const POLICIES_MAX: usize = 9_500;

/// What CloudFormation appends to a logical id to make a name: a hyphen, and up to thirteen characters.
const SUFFIX: usize = 1 + 13;

/// The longest values of what CloudFormation itself knows.
const PSEUDO: [(&str, usize); 6] = [
    ("AWS::Partition", "aws-us-gov".len()),
    ("AWS::Region", "ap-southeast-1".len()),
    ("AWS::AccountId", 12),
    ("AWS::StackName", STACK_NAME_MAX),
    ("AWS::StackId", "arn:aws-us-gov:cloudformation:ap-southeast-1:123456789012:stack//".len() + STACK_NAME_MAX + 36),
    ("AWS::URLSuffix", "amazonaws.com.cn".len()),
];

/// The longest text that a parameter of this template can have where it says no `MaxLength`: an address of mail, or a domain.
const PARAMETER_MAX: usize = 254;

/// Of each type, the part of its ARN between the partition and the name, and the longest name that the service gives or takes.
/// Of any other type, a name is as long as CloudFormation makes it, and the ARN no longer than one of a log group.
/// <https://docs.aws.amazon.com/service-authorization/latest/reference/reference_policies_actions-resources-contextkeys.html>
const ARNS: [(&str, &str, usize); 8] = [
    ("AWS::SQS::Queue", ":sqs:ap-southeast-1:123456789012:", 80),
    ("AWS::SNS::Topic", ":sns:ap-southeast-1:123456789012:", 256),
    ("AWS::Serverless::Function", ":lambda:ap-southeast-1:123456789012:function:", 64),
    ("AWS::DynamoDB::Table", ":dynamodb:ap-southeast-1:123456789012:table/", 255),
    ("AWS::S3::Bucket", ":s3:::", 63),
    ("AWS::IAM::Role", ":iam::123456789012:role/", 64),
    ("AWS::KMS::Key", ":kms:ap-southeast-1:123456789012:key/", "12345678-1234-1234-1234-123456789012".len()),
    ("AWS::SecretsManager::Secret", ":secretsmanager:ap-southeast-1:123456789012:secret:", 512),
];

/// The stack has room for what is added next.
pub fn the_stack_fits_cloudformation(template: &Template) -> Complaints {
    let mut complaints = vec![];
    let mut count = 0;
    for resource in template.resources() {
        count += 1 + made_by_sam(resource, &mut complaints);
    }
    if count > RESOURCES_MAX {
        complaints.push(format!("template: {count} resources once SAM has transformed it, and {RESOURCES_MAX} is the most"));
    }
    complaints
}

/// How many resources SAM makes of one, besides itself.
/// <https://docs.aws.amazon.com/serverless-application-model/latest/developerguide/sam-specification-generated-resources.html>
fn made_by_sam(resource: Resource<'_>, complaints: &mut Complaints) -> usize {
    match resource.kind() {
        // its stage
        "AWS::Serverless::HttpApi" => 1,
        "AWS::Serverless::Function" => {
            let of_events = entries(resource.at("/Events")).map(|(name, event)| match event["Type"].as_str().unwrap_or_default() {
                // an event source mapping, or the API's permission to invoke
                "SQS" | "HttpApi" => 1,
                // a rule, and its permission
                "Schedule" => 2,
                other => {
                    complaints.push(format!("{}: limits.rs does not know what SAM makes of {name}, of type {other}", resource.id));
                    0
                }
            });
            of_events.sum::<usize>() + usize::from(!resource.at("/EventInvokeConfig").is_null())
        }
        _ => 0,
    }
}

/// No role is refused for its length, in the region with the longest name and the stack with the longest.
pub fn the_policies_of_a_role_fit_iam(template: &Template) -> Complaints {
    let size =
        |role: &Resource<'_>| items(role.at("/Policies")).map(|policy| characters(template, &policy["PolicyDocument"])).sum::<usize>();
    let roles = template.of_type("AWS::IAM::Role").map(|role| (role, size(&role)));
    roles
        .filter(|(_, size)| *size > POLICIES_MAX)
        .map(|(role, size)| format!("{}: its policies have up to {size} characters, and {POLICIES_MAX} is the most", role.id))
        .collect()
}

/// How many characters a part of a policy has at most, as IAM counts them: without white space.
fn characters(template: &Template, value: &Value) -> usize {
    /// Quotes of a text; brackets of a list or of an object.
    const AROUND: usize = 2;
    /// A comma, or a colon.
    const BETWEEN: usize = 1;
    match value {
        Value::Object(map) if map.contains_key("Fn::If") => {
            branches(value).into_iter().map(|branch| characters(template, branch.value)).max().unwrap_or(0)
        }
        Value::Object(map) if is_function(map) => AROUND + resolved(template, value),
        Value::Object(map) => {
            let parts = map.iter().map(|(key, part)| AROUND + key.len() + BETWEEN + characters(template, part) + BETWEEN);
            AROUND + parts.sum::<usize>()
        }
        Value::Array(list) => AROUND + list.iter().map(|part| characters(template, part) + BETWEEN).sum::<usize>(),
        Value::String(text) => AROUND + text.chars().filter(|c| !c.is_whitespace()).count(),
        scalar => scalar.to_string().len(),
    }
}

fn is_function(map: &serde_json::Map<String, Value>) -> bool {
    map.len() == 1 && map.keys().all(|key| key == "Ref" || key.starts_with("Fn::"))
}

/// The length of the text that an intrinsic function becomes, at most.
fn resolved(template: &Template, value: &Value) -> usize {
    if let Some(name) = value["Ref"].as_str() {
        return reference(template, name);
    }
    if let Some([id, attribute]) = value["Fn::GetAtt"].as_array().map(Vec::as_slice) {
        return attribute_of(template, id.as_str().unwrap_or_default(), attribute.as_str().unwrap_or_default());
    }
    match &value["Fn::Sub"] {
        Value::String(text) => substituted(template, text, &Value::Null),
        Value::Array(both) => substituted(template, both[0].as_str().unwrap_or_default(), &both[1]),
        // Joined, selected, split, one of two: no longer than all that it is made of.
        _ => value.as_object().into_iter().flat_map(|map| map.values()).map(|part| texts_in(template, part)).sum(),
    }
}

/// The length of a `!Sub`, its placeholders resolved; `own` are those that it defines itself.
fn substituted(template: &Template, text: &str, own: &Value) -> usize {
    let mut parts = text.split("${");
    let first = parts.next().unwrap_or_default().len();
    let rest = parts.map(|part| {
        let (name, after) = part.split_once('}').unwrap_or((part, ""));
        let placed = match (own.get(name), name.split_once('.')) {
            (Some(value), _) => texts_in(template, value),
            (None, Some((id, attribute))) => attribute_of(template, id, attribute),
            (None, None) => reference(template, name),
        };
        placed + after.len()
    });
    first + rest.sum::<usize>()
}

/// The length of all texts in a value together, each resolved.
fn texts_in(template: &Template, value: &Value) -> usize {
    match value {
        Value::Object(map) if is_function(map) => resolved(template, value),
        Value::Object(map) => map.values().map(|part| texts_in(template, part)).sum(),
        Value::Array(list) => list.iter().map(|part| texts_in(template, part)).sum(),
        scalar => scalar.as_str().map_or(0, str::len),
    }
}

/// The length of a `!Ref`: what CloudFormation knows, a parameter, or a resource's name, which is an ARN for some.
fn reference(template: &Template, name: &str) -> usize {
    if let Some((_, length)) = PSEUDO.iter().find(|(pseudo, _)| *pseudo == name) {
        return *length;
    }
    match template.resource(name) {
        Some(resource) if ["AWS::SNS::Topic", "AWS::SecretsManager::Secret"].contains(&resource.kind()) => arn_of(resource),
        Some(resource) => name_of(resource),
        None => {
            let most = &template.at("/Parameters")[name]["MaxLength"];
            most.as_u64().and_then(|most| usize::try_from(most).ok()).unwrap_or(PARAMETER_MAX)
        }
    }
}

fn attribute_of(template: &Template, id: &str, attribute: &str) -> usize {
    let Some(resource) = template.resource(id) else { return PARAMETER_MAX };
    if ["Arn", "TopicArn", "Id"].contains(&attribute) { arn_of(resource) } else { name_of(resource) }
}

/// The length of an ARN at most.
fn arn_of(resource: Resource<'_>) -> usize {
    let of_its_type = ARNS.iter().find(|(kind, ..)| *kind == resource.kind()).map(|(_, fixed, _)| fixed.len());
    let fixed = of_its_type.unwrap_or(":logs:ap-southeast-1:123456789012:log-group:".len());
    "arn:aws-us-gov".len() + fixed + name_of(resource)
}

/// The length of a physical name at most: the stack's, the logical id and what CloudFormation appends, cut where the service does.
fn name_of(resource: Resource<'_>) -> usize {
    let whole = STACK_NAME_MAX + 1 + resource.id.len() + SUFFIX;
    ARNS.iter().find(|(kind, ..)| *kind == resource.kind()).map_or(whole, |(.., most)| whole.min(*most))
}

#[cfg(test)]
mod tests {
    use super::*;
    use anyhow::Result;
    use serde_json::json;

    #[test]
    fn a_policy_is_counted_with_its_longest_names_and_no_white_space() -> Result<()> {
        let template = Template::read()?;
        let length = |value: Value| characters(&template, &value);
        assert_eq!(length(json!({ "Effect": "Allow" })), r#"{"Effect":"Allow",}"#.len());
        assert_eq!(length(json!("a b")), r#""ab""#.len());
        let queue = "\"arn:aws-us-gov:sqs:ap-southeast-1:123456789012:\"".len() + 40 + "-PaymentQueue-".len() + 13;
        assert_eq!(length(json!({ "Fn::GetAtt": ["PaymentQueue", "Arn"] })), queue);
        assert_eq!(length(json!({ "Fn::Sub": "${AWS::StackName}-x/*" })), "\"-x/*\"".len() + 40);
        let either = json!({ "Fn::If": ["IsProd", "longer", "short"] });
        assert_eq!(length(either), "\"longer\"".len());
        Ok(())
    }
}
