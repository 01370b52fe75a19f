//! DynamoDB's expressions, as far as the pipeline sends them: a condition that holds of an item or not, an update of it.
//!
//! The simulated tables evaluate them. It refuses what it does not know, with the text that DynamoDB would answer a mistake
//! with: an expression that cannot be evaluated must never pass for one that holds.
//! (<https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Expressions.OperatorsAndFunctions.html>)

use aws_sdk_dynamodb::types::AttributeValue;
use lambda_kit::dynamodb::Item;
use std::collections::HashMap;

/// What the placeholders of an expression stand for.
#[derive(Debug, Clone, Copy)]
pub struct Placeholders<'a> {
    /// `#…`: names of attributes.
    pub names: Option<&'a HashMap<String, String>>,
    /// `:…`: values.
    pub values: Option<&'a HashMap<String, AttributeValue>>,
}

/// Whether `condition` holds of `item`; a missing item has no attributes.
pub fn holds(condition: &str, with: Placeholders, item: Option<&Item>) -> Result<bool, String> {
    let mut parser = Parser { rest: condition, with, item };
    let holds = parser.any()?;
    parser.end()?;
    Ok(holds)
}

/// What `expression` sets in `item`, by attribute; [`None`] where it removes the attribute. Every right-hand side sees the item
/// as it was.
pub fn assignments<'a>(
    expression: &'a str,
    with: Placeholders<'a>,
    item: Option<&'a Item>,
) -> Result<Vec<(&'a str, Option<AttributeValue>)>, String> {
    let mut set = Vec::new();
    let mut parser = Parser { rest: expression, with, item };
    while let Some(clause) = parser.word() {
        loop {
            let name = parser.name()?;
            let value = match clause {
                "SET" => {
                    parser.expect("=")?;
                    Some(parser.sum()?)
                }
                "ADD" => Some(parser.added(name)?),
                "REMOVE" => None,
                other => return Err(format!("unknown clause {other}")),
            };
            set.push((name, value));
            if !parser.take(",") {
                break;
            }
        }
    }
    parser.end()?;
    Ok(set)
}

struct Parser<'a> {
    rest: &'a str,
    with: Placeholders<'a>,
    item: Option<&'a Item>,
}

impl<'a> Parser<'a> {
    fn any(&mut self) -> Result<bool, String> {
        let mut holds = self.all()?;
        while self.take("OR ") {
            holds |= self.all()?;
        }
        Ok(holds)
    }
    fn all(&mut self) -> Result<bool, String> {
        let mut holds = self.one()?;
        while self.take("AND ") {
            holds &= self.one()?;
        }
        Ok(holds)
    }
    fn one(&mut self) -> Result<bool, String> {
        if self.take("NOT ") {
            return Ok(!self.one()?);
        }
        if self.take("(") {
            let holds = self.any()?;
            self.expect(")")?;
            return Ok(holds);
        }
        for (function, exists) in [("attribute_exists(", true), ("attribute_not_exists(", false)] {
            if self.take(function) {
                let name = self.name()?;
                self.expect(")")?;
                return Ok(self.attribute(name).is_some() == exists);
            }
        }
        if self.take("contains(") {
            let name = self.name()?;
            self.expect(",")?;
            let member = self.value()?;
            self.expect(")")?;
            return match (self.attribute(name), member) {
                (Some(AttributeValue::Ss(set)), AttributeValue::S(member)) => Ok(set.contains(member)),
                (None, _) => Ok(false),
                _ => Err("contains is known of string sets alone".to_owned()),
            };
        }
        if self.take("size(") {
            let name = self.name()?;
            self.expect(")")?;
            self.expect("<")?;
            let max = number(self.value()?)?;
            return match self.attribute(name) {
                Some(AttributeValue::Ss(set)) => Ok((set.len() as i128) < max),
                // A comparison with what is not there does not hold.
                None => Ok(false),
                _ => Err("size is known of string sets alone".to_owned()),
            };
        }
        let left = self.operand()?;
        type Compare = fn(&AttributeValue, &AttributeValue) -> Result<bool, String>;
        let compare: Compare = if self.take(">=") {
            |left, right| Ok(number(left)? >= number(right)?)
        } else if self.take("< ") {
            |left, right| match (left, right) {
                // By their bytes, as DynamoDB compares strings.
                (AttributeValue::S(left), AttributeValue::S(right)) => Ok(left < right),
                _ => Ok(number(left)? < number(right)?),
            }
        } else {
            self.expect("=")?;
            |left, right| Ok(left == right)
        };
        let right = self.operand()?;
        // A comparison with what is not there does not hold.
        let (Some(left), Some(right)) = (left, right) else { return Ok(false) };
        compare(&left, &right)
    }

    fn sum(&mut self) -> Result<AttributeValue, String> {
        let missing = || "an operand does not exist".to_owned();
        let left = self.operand()?.ok_or_else(missing)?;
        let minus = if self.take("- ") {
            true
        } else if self.take("+ ") {
            false
        } else {
            return Ok(left);
        };
        let right = number(&self.operand()?.ok_or_else(missing)?)?;
        let left = number(&left)?;
        Ok(AttributeValue::N(if minus { left - right } else { left + right }.to_string()))
    }

    fn operand(&mut self) -> Result<Option<AttributeValue>, String> {
        if self.take("if_not_exists(") {
            let name = self.name()?;
            self.expect(",")?;
            let otherwise = self.operand()?;
            self.expect(")")?;
            return Ok(self.attribute(name).cloned().or(otherwise));
        }
        if self.take("list_append(") {
            let front = self.operand()?;
            self.expect(",")?;
            let back = self.operand()?;
            self.expect(")")?;
            return match (front, back) {
                (Some(AttributeValue::L(mut front)), Some(AttributeValue::L(back))) => {
                    front.extend(back);
                    Ok(Some(AttributeValue::L(front)))
                }
                _ => Err("list_append takes two lists".to_owned()),
            };
        }
        if self.rest.starts_with(':') {
            return self.value().map(|value| Some(value.clone()));
        }
        let name = self.name()?;
        Ok(self.attribute(name).cloned())
    }

    fn added(&mut self, name: &str) -> Result<AttributeValue, String> {
        let value = self.value()?;
        match (self.attribute(name), value) {
            (None, value) => Ok(value.clone()),
            (Some(AttributeValue::Ss(set)), AttributeValue::Ss(more)) => {
                let mut set = set.clone();
                set.extend(more.iter().filter(|member| !set.contains(member)).cloned().collect::<Vec<_>>());
                Ok(AttributeValue::Ss(set))
            }
            (Some(old), more) => Ok(AttributeValue::N((number(old)? + number(more)?).to_string())),
        }
    }

    fn attribute(&self, name: &str) -> Option<&'a AttributeValue> {
        self.item?.get(name)
    }
    fn name(&mut self) -> Result<&'a str, String> {
        let placeholder = self.placeholder('#')?;
        let names = self.with.names.ok_or("no names were sent")?;
        names.get(placeholder).map(String::as_str).ok_or_else(|| format!("{placeholder} stands for nothing"))
    }
    fn value(&mut self) -> Result<&'a AttributeValue, String> {
        let placeholder = self.placeholder(':')?;
        let values = self.with.values.ok_or("no values were sent")?;
        values.get(placeholder).ok_or_else(|| format!("{placeholder} stands for nothing"))
    }
    fn placeholder(&mut self, sign: char) -> Result<&'a str, String> {
        if !self.rest.starts_with(sign) {
            return Err(format!("a placeholder {sign} is missing before: {}", self.rest));
        }
        let end = self.rest[1..].find(|c: char| !c.is_ascii_alphanumeric()).map_or(self.rest.len(), |end| end + 1);
        let (placeholder, rest) = self.rest.split_at(end);
        self.rest = rest.trim_start();
        Ok(placeholder)
    }
    fn word(&mut self) -> Option<&'a str> {
        let (word, rest) = self.rest.split_once(' ')?;
        self.rest = rest;
        Some(word)
    }
    fn take(&mut self, text: &str) -> bool {
        let taken = self.rest.strip_prefix(text);
        if let Some(rest) = taken {
            self.rest = rest.trim_start();
        }
        taken.is_some()
    }
    fn expect(&mut self, text: &str) -> Result<(), String> {
        if self.take(text) { Ok(()) } else { Err(format!("{text} is missing before: {}", self.rest)) }
    }
    fn end(&self) -> Result<(), String> {
        if self.rest.is_empty() { Ok(()) } else { Err(format!("not understood: {}", self.rest)) }
    }
}

fn number(value: &AttributeValue) -> Result<i128, String> {
    match value {
        AttributeValue::N(digits) => digits.parse().map_err(|_| format!("{digits} is no whole number")),
        _ => Err("a number is needed".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_understood_is_refused() {
        let with = Placeholders { names: None, values: None };
        for nonsense in ["", "#n0 = :v0", "size(#n0) > :v0", "attribute_exists(a)"] {
            assert!(holds(nonsense, with, None).is_err(), "{nonsense}");
        }
        assert!(assignments("REMOVE #n0", with, None).is_err());
    }
}
