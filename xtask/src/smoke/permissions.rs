//! Whether the functions that mail may: asked of IAM, which answers what it would say to a call without making one.
//!
//! It takes into account what no template shows, a permissions boundary of the role and the organization's own policies
//! (<https://docs.aws.amazon.com/IAM/latest/APIReference/API_SimulatePrincipalPolicy.html>).

use super::template::{Template, items, text_of};
use serde_json::{Value, json};

/// A statement of a role about mail, to be tried without sending any.
#[derive(Debug, Clone)]
pub struct DryCall {
    /// The role's logical id.
    pub role: String,
    pub sid: String,
    role_arn: String,
    actions: Vec<String>,
    resources: Vec<String>,
    /// Keys and values of the statement's conditions: what a call of ours has.
    context: Vec<(String, Vec<String>)>,
}

impl DryCall {
    pub fn name(&self) -> String {
        format!("{}/{}", self.role, self.sid)
    }

    /// What IAM is asked.
    pub fn input(&self) -> Value {
        let entry = |(key, values): &(String, Vec<String>)| {
            let kind = if values.len() == 1 { "string" } else { "stringList" };
            json!({"ContextKeyName": key, "ContextKeyValues": values, "ContextKeyType": kind})
        };
        let mut input = json!({"PolicySourceArn": self.role_arn, "ActionNames": self.actions});
        if !self.resources.is_empty() {
            input["ResourceArns"] = json!(self.resources);
        }
        if !self.context.is_empty() {
            input["ContextEntries"] = self.context.iter().map(entry).collect();
        }
        input
    }
}

/// One for each statement by which a role may send mail.
pub fn dry_calls(template: &Template) -> Vec<DryCall> {
    let roles = template.of_type("AWS::IAM::Role");
    roles
        .into_iter()
        .flat_map(|role| {
            let role_arn = template.arn("iam", false, &format!("role/{}", role.physical_id));
            let policies = role.property("Policies");
            let statements: Vec<Value> =
                items(&policies).flat_map(|policy| items(&policy["PolicyDocument"]["Statement"]).cloned().collect::<Vec<_>>()).collect();
            statements.into_iter().filter_map(move |statement| dry_call(role.id, &role_arn, &statement))
        })
        .collect()
}

fn dry_call(role: &str, role_arn: &str, statement: &Value) -> Option<DryCall> {
    let actions: Vec<String> = items(&statement["Action"]).map(text_of).filter(|action| action.starts_with("ses:Send")).collect();
    if actions.is_empty() || statement["Effect"] != "Allow" {
        return None;
    }
    // A pattern of ours is no resource that a call could name.
    let resources = items(&statement["Resource"]).map(text_of).filter(|resource| !resource.contains('*')).collect();
    let conditions = statement["Condition"].as_object().into_iter().flatten().filter_map(|(_, keys)| keys.as_object()).flatten();
    let context = conditions.map(|(key, values)| (key.clone(), items(values).map(text_of).collect())).collect();
    let sid = statement["Sid"].as_str().unwrap_or("unnamed").to_owned();
    Some(DryCall { role: role.to_owned(), sid, role_arn: role_arn.to_owned(), actions, resources, context })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_role_is_tried_with_what_its_calls_have() {
        let statement = json!({
            "Sid": "SendMail", "Effect": "Allow", "Action": ["ses:SendEmail", "ses:GetAccount"],
            "Resource": ["arn:aws:ses:eu-west-1:1:identity/shop.example", "arn:aws:ses:eu-west-1:1:template/*"],
            "Condition": {"StringEquals": {"ses:FromAddress": "orders@shop.example"}}
        });
        let dry = dry_call("MailRole", "arn:aws:iam::1:role/shop-MailRole-1", &statement).unwrap();
        assert_eq!(dry.name(), "MailRole/SendMail");
        let expected = json!({
            "PolicySourceArn": "arn:aws:iam::1:role/shop-MailRole-1", "ActionNames": ["ses:SendEmail"],
            "ResourceArns": ["arn:aws:ses:eu-west-1:1:identity/shop.example"],
            "ContextEntries": [{"ContextKeyName": "ses:FromAddress", "ContextKeyValues": ["orders@shop.example"], "ContextKeyType": "string"}]
        });
        assert_eq!(dry.input(), expected);
        assert!(dry_call("R", "arn", &json!({"Effect": "Allow", "Action": "sqs:SendMessage"})).is_none());
    }
}
