//! Update expressions, built of placeholders alone.
//!
//! Ports build them for [`Table::update`](super::Table::update) and its kin. It does not put a name or a value into an
//! expression's text.

use super::{item, number};
use crate::Failure;
use aws_sdk_dynamodb::types::AttributeValue;
use serde::Serialize;
use std::collections::HashMap;

/// An update expression under construction: every name and value is a placeholder, so reserved words and dots are safe.
#[derive(Debug, Clone, Default)]
pub struct Update {
    set: Vec<String>,
    add: Vec<String>,
    remove: Vec<String>,
    delete: Vec<String>,
    conditions: Vec<String>,
    names: HashMap<String, String>,
    values: HashMap<String, AttributeValue>,
}

impl Update {
    /// Nothing yet.
    pub fn new() -> Self {
        Self::default()
    }
    fn name(&mut self, attribute: &str) -> String {
        let placeholder = format!("#n{}", self.names.len());
        if let Some((known, _)) = self.names.iter().find(|(_, name)| *name == attribute) {
            return known.clone();
        }
        self.names.insert(placeholder.clone(), attribute.to_owned());
        placeholder
    }
    fn value(&mut self, value: AttributeValue) -> String {
        let placeholder = format!(":v{}", self.values.len());
        self.values.insert(placeholder.clone(), value);
        placeholder
    }
    /// `SET attribute = value`.
    #[must_use]
    pub fn set(mut self, attribute: &str, value: AttributeValue) -> Self {
        let clause = format!("{} = {}", self.name(attribute), self.value(value));
        self.set.push(clause);
        self
    }
    /// `SET` for every attribute of `record`, which must serialize to a map.
    ///
    /// # Errors
    /// A bug, if `record` does not serialize to a map.
    pub fn set_all(self, record: &impl Serialize) -> Result<Self, Failure> {
        let mut attributes: Vec<_> = item(record)?.into_iter().collect();
        attributes.sort_by(|(a, _), (b, _)| a.cmp(b)); // the same change is the same request
        Ok(attributes.into_iter().fold(self, |update, (attribute, value)| update.set(&attribute, value)))
    }
    /// `SET attribute = if_not_exists(attribute, value)`: the first value stays.
    #[must_use]
    pub fn set_once(mut self, attribute: &str, value: AttributeValue) -> Self {
        let name = self.name(attribute);
        let clause = format!("{name} = if_not_exists({name}, {})", self.value(value));
        self.set.push(clause);
        self
    }
    /// Appends `value` to a list, which is created where it is missing.
    #[must_use]
    pub fn append(mut self, attribute: &str, value: AttributeValue) -> Self {
        let name = self.name(attribute);
        let (empty, one) = (self.value(AttributeValue::L(vec![])), self.value(AttributeValue::L(vec![value])));
        self.set.push(format!("{name} = list_append(if_not_exists({name}, {empty}), {one})"));
        self
    }
    /// Adds `member` to a string set, which is created where it is missing.
    #[must_use]
    pub fn add_to_set(mut self, attribute: &str, member: &str) -> Self {
        let clause = format!("{} {}", self.name(attribute), self.value(AttributeValue::Ss(vec![member.to_owned()])));
        self.add.push(clause);
        self
    }
    /// Takes `members` out of a string set. An expression may name a set once, so not beside [`Update::add_to_set`]; and a set that
    /// loses its last member is gone.
    #[must_use]
    pub fn remove_from_set(mut self, attribute: &str, members: Vec<String>) -> Self {
        let clause = format!("{} {}", self.name(attribute), self.value(AttributeValue::Ss(members)));
        self.delete.push(clause);
        self
    }
    /// Adds `amount` to a number, which counts from 0 where it is missing.
    #[must_use]
    pub fn add(mut self, attribute: &str, amount: u64) -> Self {
        let clause = format!("{} {}", self.name(attribute), self.value(number(amount)));
        self.add.push(clause);
        self
    }
    /// `REMOVE attribute`: an attribute that is a key of an index takes the item out of that index.
    #[must_use]
    pub fn remove(mut self, attribute: &str) -> Self {
        let name = self.name(attribute);
        self.remove.push(name);
        self
    }
    /// Takes `amount` out of a number, only if there is so much.
    #[must_use]
    pub fn take(mut self, attribute: &str, amount: u64) -> Self {
        let (name, amount) = (self.name(attribute), self.value(number(amount)));
        self.set.push(format!("{name} = {name} - {amount}"));
        self.conditions.push(format!("{name} >= {amount}"));
        self
    }
    /// Only if `attribute` equals `value`.
    #[must_use]
    pub fn if_equals(mut self, attribute: &str, value: AttributeValue) -> Self {
        let clause = format!("{} = {}", self.name(attribute), self.value(value));
        self.conditions.push(clause);
        self
    }
    /// Only if there is such an attribute.
    #[must_use]
    pub fn if_exists(mut self, attribute: &str) -> Self {
        let clause = format!("attribute_exists({})", self.name(attribute));
        self.conditions.push(clause);
        self
    }
    /// Only if there is no such attribute.
    #[must_use]
    pub fn if_absent(mut self, attribute: &str) -> Self {
        let clause = format!("attribute_not_exists({})", self.name(attribute));
        self.conditions.push(clause);
        self
    }
    /// Only if there is no such attribute, or it equals `value`.
    #[must_use]
    pub fn if_absent_or_equals(mut self, attribute: &str, value: AttributeValue) -> Self {
        let name = self.name(attribute);
        let clause = format!("(attribute_not_exists({name}) OR {name} = {})", self.value(value));
        self.conditions.push(clause);
        self
    }
    /// Only if the number `attribute` is below `max`, or does not exist.
    #[must_use]
    pub fn if_below(self, attribute: &str, max: u64) -> Self {
        self.if_absent_or_less(attribute, number(max))
    }
    /// Only if there is no such attribute, or it is less than `value`: of strings, whose bytes come first. One of another type
    /// is not less.
    #[must_use]
    pub fn if_absent_or_less(mut self, attribute: &str, value: AttributeValue) -> Self {
        let name = self.name(attribute);
        let clause = format!("(attribute_not_exists({name}) OR {name} < {})", self.value(value));
        self.conditions.push(clause);
        self
    }
    /// Only if the string set `attribute` lacks `member`, or does not exist.
    #[must_use]
    pub fn if_set_lacks(mut self, attribute: &str, member: &str) -> Self {
        let clause = format!("NOT contains({}, {})", self.name(attribute), self.value(AttributeValue::S(member.to_owned())));
        self.conditions.push(clause);
        self
    }
    /// Only if the string set `attribute` has `member`, or fewer than `max` members, or does not exist: a place in a set that
    /// the same member takes once.
    #[must_use]
    pub fn if_set_has_room(mut self, attribute: &str, member: &str, max: AttributeValue) -> Self {
        let (name, member) = (self.name(attribute), self.value(AttributeValue::S(member.to_owned())));
        let clause = format!("(attribute_not_exists({name}) OR contains({name}, {member}) OR size({name}) < {})", self.value(max));
        self.conditions.push(clause);
        self
    }
    /// `UpdateExpression`, `ConditionExpression` (if any), names and values, for use in a transaction.
    pub fn into_parts(self) -> (String, Option<String>, HashMap<String, String>, HashMap<String, AttributeValue>) {
        let clause = |keyword: &str, parts: &[String]| (!parts.is_empty()).then(|| format!("{keyword} {}", parts.join(", ")));
        let clauses = [("SET", &self.set), ("ADD", &self.add), ("REMOVE", &self.remove), ("DELETE", &self.delete)];
        let expression: Vec<_> = clauses.into_iter().filter_map(|(keyword, parts)| clause(keyword, parts)).collect();
        let condition = (!self.conditions.is_empty()).then(|| self.conditions.join(" AND "));
        (expression.join(" "), condition, self.names, self.values)
    }
}

#[cfg(test)]
mod tests {
    use super::{super::string, *};

    #[test]
    fn an_update_is_built_of_placeholders_alone() {
        let update = Update::new()
            .set("state", string("closed"))
            .set_once("order.placed", string("t"))
            .append("facts", string("f"))
            .add_to_set("kinds", "k")
            .if_equals("state", string("open"))
            .if_set_lacks("kinds", "k")
            .if_exists("a")
            .if_absent("b");
        let (expression, condition, names, values) = update.into_parts();
        assert_eq!(expression, "SET #n0 = :v0, #n1 = if_not_exists(#n1, :v1), #n2 = list_append(if_not_exists(#n2, :v2), :v3) ADD #n3 :v4");
        assert_eq!(condition.unwrap(), "#n0 = :v5 AND NOT contains(#n3, :v6) AND attribute_exists(#n4) AND attribute_not_exists(#n5)");
        assert_eq!((names["#n1"].as_str(), names.len(), values.len()), ("order.placed", 6, 7));
    }

    #[test]
    fn arithmetic_guards_itself_and_alternatives_stay_together() {
        let (expression, condition, ..) =
            Update::new().take("available", 2).if_absent_or_equals("state", string("open")).if_exists("a").into_parts();
        assert_eq!(expression, "SET #n0 = #n0 - :v0");
        assert_eq!(condition.unwrap(), "#n0 >= :v0 AND (attribute_not_exists(#n1) OR #n1 = :v1) AND attribute_exists(#n2)");
        let (_, condition, ..) = Update::new().if_set_has_room("mails", "m", number(5)).if_absent("shut").into_parts();
        let room = "(attribute_not_exists(#n0) OR contains(#n0, :v0) OR size(#n0) < :v1)";
        assert_eq!(condition.unwrap(), format!("{room} AND attribute_not_exists(#n1)"));
        let (expression, ..) = Update::new().set("state", string("shut")).remove("mark").into_parts();
        assert_eq!(expression, "SET #n0 = :v0 REMOVE #n1");
        let (expression, ..) = Update::new().remove_from_set("kinds", vec!["k".into()]).set("a", string("b")).into_parts();
        assert_eq!(expression, "SET #n1 = :v1 DELETE #n0 :v0");
        let (_, condition, ..) = Update::new().if_below("mails", 5).if_absent("shut").into_parts();
        assert_eq!(condition.unwrap(), "(attribute_not_exists(#n0) OR #n0 < :v0) AND attribute_not_exists(#n1)");
        let (expression, condition, ..) = Update::new().add("available", 2).into_parts();
        assert_eq!((expression.as_str(), condition), ("ADD #n0 :v0", None));
    }
}
