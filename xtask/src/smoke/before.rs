//! What stands in the way of a change to a whole stack, said before it is made: CloudFormation says it half-way through.

use super::checks::{Check, Judged, Outcome, one};
use super::found::Found;
use super::template::text_of;
use clap::ValueEnum;
use serde_json::Value;
use testkit::stack::STACK_NAME_MAX;

/// A change to a whole stack.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Change {
    /// The first deployment of a stack of this name
    Deploy,
    /// `sam delete`: what would stop it, and which messages would be lost
    Delete,
}

/// Before a stack is deleted, in the order in which one would go about it.
pub const DELETE: [Check; 4] = [("termination", termination), ("rule set", rule_set), ("messages", messages), ("what stays", what_stays)];

/// What CloudFormation takes for a stack's name
/// (<https://docs.aws.amazon.com/AWSCloudFormation/latest/APIReference/API_CreateStack.html>), and what the names that derive from it
/// leave of its length. SAM lets any name pass, and some resource is refused minutes later.
pub fn name(stack: &str) -> Outcome {
    let rename = "another stack_name in samconfig.toml, then: sam deploy";
    let known = |c: char| c.is_ascii_alphanumeric() || c == '-';
    if !stack.starts_with(|first: char| first.is_ascii_alphabetic()) || !stack.chars().all(known) {
        return one(format!("{stack} is no name for a stack: a letter, then letters, digits and hyphens"), rename);
    }
    match stack.len().checked_sub(STACK_NAME_MAX) {
        Some(over) if over > 0 => one(
            format!("{stack} is {over} too long: with {STACK_NAME_MAX} characters every name that derives from it fits its service"),
            rename,
        ),
        _ => Outcome::Pass(format!("{stack} is a name for a stack, and so is each that derives from it")),
    }
}

/// (<https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/using-cfn-protect-stacks.html>)
fn termination(found: &Found) -> Outcome {
    let name = &found.template.stack_name;
    if found.protected {
        let allow = "aws cloudformation update-termination-protection --no-enable-termination-protection --stack-name";
        return one(format!("{name} is protected from deletion"), format!("{allow} {name}{}", found.flags));
    }
    Outcome::Pass(format!("{name} is not protected from deletion"))
}

/// An active rule set cannot be deleted (<https://docs.aws.amazon.com/ses/latest/APIReference/API_DeleteReceiptRuleSet.html>).
fn rule_set(found: &Found) -> Outcome {
    let sets = found.template.of_type("AWS::SES::ReceiptRuleSet");
    let Some(set) = sets.first() else { return Outcome::Pass("this stack has none".to_owned()) };
    let mut judged = Judged::default();
    let look_again = format!("aws ses describe-active-receipt-rule-set{}", found.flags);
    let active = judged.look(found, "describe_active_receipt_rule_set", "active", &look_again);
    if active.is_some_and(|active| active["Metadata"]["Name"] == set.physical_id) {
        // Without a name it makes none active.
        judged.fault(
            format!("{} is active, and SES deletes no rule set that is", set.physical_id),
            format!("aws ses set-active-receipt-rule-set{}", found.flags),
        );
    }
    judged.outcome(|_| format!("{} is not active", set.physical_id))
}

/// Queues go with the stack, and what lies in them with the queues: an order whose clock message is gone is never timed out.
fn messages(found: &Found) -> Outcome {
    const LYING: [&str; 3] = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible", "ApproximateNumberOfMessagesDelayed"];
    let mut judged = Judged::default();
    for queue in found.template.of_type("AWS::SQS::Queue") {
        let Some(answer) = judged.look(found, "get_queue_attributes", queue.id, "cargo xtask dlq list") else { continue };
        let count: u64 = LYING.iter().filter_map(|name| text_of(&answer["Attributes"][name]).parse::<u64>().ok()).sum();
        if count > 0 {
            let lie = if count == 1 { "1 message would be".to_owned() } else { format!("{count} messages would be") };
            judged.fault(format!("{}: {lie} lost with it", queue.id), what_to_do(found, queue.id));
        }
    }
    judged.outcome(|count| format!("none of {count} queues has any"))
}

/// Of a dead-letter queue by its messages, of another by waiting.
fn what_to_do(found: &Found, queue: &str) -> String {
    let stack = if found.local { String::new() } else { format!(" --stack {}{}", found.template.stack_name, found.flags) };
    match queue.ends_with("DeadLetterQueue") {
        true => format!("cargo xtask dlq explain{stack}  # then redrive or discard"),
        false => format!("cargo xtask smoke{stack} --before delete  # again, once no order comes in and the last has ended"),
    }
}

/// `RetainExceptOnCreate` keeps what a deployment that succeeded has made, as `Retain` does
/// (<https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/aws-attribute-deletionpolicy.html>).
fn what_stays(found: &Found) -> Outcome {
    let is_kept = |body: &Value| ["Retain", "RetainExceptOnCreate"].iter().any(|policy| body["DeletionPolicy"] == *policy);
    let kept = found.template.resources().filter(|(_, body)| is_kept(body));
    let names: Vec<&str> = kept.filter_map(|(id, _)| Some(found.template.resource(id)?.physical_id)).collect();
    Outcome::Pass(format!("delete by hand once nobody needs it: {}", names.join(", ")))
}
