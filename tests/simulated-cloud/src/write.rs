//! A conditional write of one row: which one, on which condition, and what it leaves.
//!
//! The simulated tables and the model both write by it. It does not write by itself: the owner of the row decides when.

use super::expression::{Placeholders, assignments, holds};
use aws_sdk_dynamodb::types::{self, AttributeValue, TransactWriteItem};
use lambda_kit::dynamodb::{Fate, Item};
use std::collections::HashMap;

/// A PutItem or UpdateItem, alone or in a transaction.
#[derive(Debug)]
pub struct Write<'a> {
    /// The table's name.
    pub table: &'a str,
    /// The row's key.
    pub key: &'a str,
    /// The name of the attribute that holds the key.
    key_name: &'a str,
    condition: Option<&'a str>,
    with: Placeholders<'a>,
    change: Change<'a>,
    /// Whether the item comes back where the condition fails.
    wants_old: bool,
}

#[derive(Debug)]
enum Change<'a> {
    Put(&'a Item),
    Update(&'a str),
}

/// The attributes that an update sets, and removes where there is no value.
pub type Assignments = Vec<(String, Option<AttributeValue>)>;

impl<'a> Write<'a> {
    /// An action of a transaction; `key_name` knows the tables' keys.
    ///
    /// # Errors
    /// Neither put nor update, or one without a key.
    pub fn of(action: &'a TransactWriteItem, key_name: impl Fn(&str) -> Option<&'a str>) -> Result<Self, String> {
        match action {
            TransactWriteItem { put: Some(put), .. } => Self::put(put, key_name),
            TransactWriteItem { update: Some(update), .. } => Self::update(update),
            _ => Err("an action is neither put nor update".to_owned()),
        }
    }

    /// A PutItem; `key_name` knows the tables' keys.
    ///
    /// # Errors
    /// No such table, or an item without its key.
    pub fn put(put: &'a types::Put, key_name: impl Fn(&str) -> Option<&'a str>) -> Result<Self, String> {
        let key_name = key_name(put.table_name()).ok_or("ResourceNotFoundException")?;
        let Some(AttributeValue::S(key)) = put.item().get(key_name) else { return Err("the item has no key".to_owned()) };
        Ok(Self {
            table: put.table_name(),
            key,
            key_name,
            condition: put.condition_expression(),
            with: with(put.expression_attribute_names(), put.expression_attribute_values()),
            change: Change::Put(put.item()),
            wants_old: put.return_values_on_condition_check_failure().is_some(),
        })
    }

    /// An UpdateItem.
    ///
    /// # Errors
    /// One without a key.
    pub fn update(update: &'a types::Update) -> Result<Self, String> {
        let Some((key_name, AttributeValue::S(key))) = update.key().iter().next() else { return Err("the update has no key".to_owned()) };
        Ok(Self {
            table: update.table_name(),
            key,
            key_name,
            condition: update.condition_expression(),
            with: with(update.expression_attribute_names(), update.expression_attribute_values()),
            change: Change::Update(update.update_expression()),
            wants_old: update.return_values_on_condition_check_failure().is_some(),
        })
    }

    /// What the write would set in `old`, or how the condition fails.
    ///
    /// # Errors
    /// An expression that cannot be evaluated.
    pub fn attempt(&self, old: Option<&Item>) -> Result<Result<Assignments, Fate>, String> {
        if let Some(condition) = self.condition
            && !holds(condition, self.with, old)?
        {
            return Ok(Err(Fate::ConditionFailed(old.filter(|_| self.wants_old).cloned())));
        }
        let Change::Update(expression) = self.change else { return Ok(Ok(Vec::new())) };
        let set = assignments(expression, self.with, old)?;
        Ok(Ok(set.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()))
    }

    /// The item that the write leaves where `old` was, with what [`Write::attempt`] came to.
    pub fn leave(&self, old: Option<Item>, set: Assignments) -> Item {
        if let Change::Put(item) = self.change {
            return item.clone();
        }
        let mut item = old.unwrap_or_else(|| [(self.key_name.to_owned(), AttributeValue::S(self.key.to_owned()))].into());
        for (name, value) in set {
            match value {
                Some(value) => _ = item.insert(name, value),
                None => _ = item.remove(&name),
            }
        }
        item
    }
}

fn with<'a>(names: Option<&'a HashMap<String, String>>, values: Option<&'a HashMap<String, AttributeValue>>) -> Placeholders<'a> {
    Placeholders { names, values }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lambda_kit::dynamodb::{Update, number, string};

    fn item(attributes: &[(&str, AttributeValue)]) -> Item {
        attributes.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect()
    }
    /// What an update makes of an item; [`None`] where its condition does not hold.
    fn apply(update: Update, old: Option<&Item>) -> Option<Item> {
        let (expression, condition, names, values) = update.into_parts();
        let update = types::Update::builder().table_name("t").key("id", string("1")).update_expression(expression);
        let update = update.set_condition_expression(condition).set_expression_attribute_names(Some(names));
        let update = update.set_expression_attribute_values(Some(values)).build().unwrap();
        let write = Write::update(&update).unwrap();
        Some(write.leave(old.cloned(), write.attempt(old).unwrap().ok()?))
    }

    #[test]
    fn everything_that_an_update_can_say_does_what_it_says() {
        let old =
            item(&[("id", string("1")), ("state", string("open")), ("n", number(5)), ("kinds", AttributeValue::Ss(vec!["a".into()]))]);
        let new = |update| apply(update, Some(&old));
        assert_eq!(new(Update::new().set("state", string("shut"))).unwrap()["state"], string("shut"));
        assert_eq!(new(Update::new().set_once("state", string("shut"))).unwrap()["state"], string("open"));
        assert_eq!(new(Update::new().add("n", 2)).unwrap()["n"], number(7));
        assert_eq!(new(Update::new().add("m", 2)).unwrap()["m"], number(2));
        assert_eq!(new(Update::new().take("n", 5)).unwrap()["n"], number(0));
        assert_eq!(new(Update::new().take("n", 6)), None);
        assert_eq!(new(Update::new().take("m", 1)), None, "what is not there is not enough");
        let listed = new(Update::new().append("facts", string("f")).add_to_set("kinds", "b").if_set_lacks("kinds", "b")).unwrap();
        assert_eq!(listed["facts"], AttributeValue::L(vec![string("f")]));
        assert_eq!(listed["kinds"], AttributeValue::Ss(vec!["a".into(), "b".into()]));
        assert_eq!(new(Update::new().append("facts", string("f")).if_set_lacks("kinds", "a")), None);
        let removed = new(Update::new().set("z", string("z")).remove("state").remove("not there")).unwrap();
        assert_eq!((removed.get("state"), &removed["z"], &removed["n"]), (None, &string("z"), &number(5)));
    }

    #[test]
    fn conditions_hold_or_fail_as_documented() {
        let old = item(&[("state", string("open")), ("a", string("x"))]);
        let fits = |update: Update, old: Option<&Item>| apply(update.set("z", string("z")), old).is_some();
        for old in [Some(&old), None] {
            let there = old.is_some();
            assert_eq!(fits(Update::new().if_equals("state", string("open")), old), there);
            assert!(!fits(Update::new().if_equals("state", string("shut")), old));
            assert_eq!(fits(Update::new().if_exists("a").if_equals("state", string("open")), old), there);
            assert_eq!(fits(Update::new().if_absent("a"), old), !there);
            assert!(fits(Update::new().if_absent_or_equals("state", string("open")), old));
            assert_eq!(fits(Update::new().if_absent_or_equals("state", string("shut")).if_absent("b"), old), !there);
            assert!(fits(Update::new().if_absent_or_less("state", string("shut")), old));
            assert_eq!(fits(Update::new().if_absent_or_less("state", string("open")), old), !there, "equal is not less");
        }
    }
}
