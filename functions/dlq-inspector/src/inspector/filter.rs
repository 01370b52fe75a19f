//! Which messages are meant: `cause=…`, `type=…`, `subject=…`, `id=…`.
//!
//! Conditions of different names must all hold; of several with one name, one must. A `*` at the end stands for anything.
//! It does not guess: what it does not understand selects nothing and says so.

use super::message::Facts;
use crate::nearest::did_you_mean;

const NAMES: [&str; 4] = ["cause", "type", "subject", "id"];
const FORM: &str = "a condition is name=value, with cause, type, subject or id as its name";

/// A selection.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filter(Vec<(&'static str, String)>);

impl Filter {
    /// Reads conditions.
    ///
    /// # Errors
    /// A sentence that says which condition cannot be read, and why.
    pub fn parse(conditions: &[String]) -> Result<Self, String> {
        conditions.iter().map(|text| condition(text.trim())).collect::<Result<_, _>>().map(Self)
    }

    /// Whether all are meant.
    pub fn is_all(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether it takes the cause to tell, which may have to be looked up.
    pub fn asks_cause(&self) -> bool {
        self.0.iter().any(|(name, _)| *name == "cause")
    }

    /// Whether a message is meant.
    pub fn selects(&self, facts: &Facts) -> bool {
        let holds = |name: &str, wanted: &str| match name {
            "cause" => fits(wanted, &facts.cause),
            "type" => fits(wanted, &facts.event_type),
            "subject" => fits(wanted, &facts.subject),
            _ => fits(wanted, &facts.message_id) || facts.original_id.as_deref().is_some_and(|id| fits(wanted, id)),
        };
        NAMES.iter().all(|name| {
            let mut wanted = self.0.iter().filter(|(of, _)| of == name).peekable();
            wanted.peek().is_none() || wanted.any(|(name, wanted)| holds(name, wanted))
        })
    }
}

fn fits(wanted: &str, found: &str) -> bool {
    wanted.strip_suffix('*').map_or(wanted == found, |prefix| found.starts_with(prefix))
}

fn condition(text: &str) -> Result<(&'static str, String), String> {
    let Some((name, value)) = text.split_once('=') else {
        return Err(format!("`{text}` has no `=`: {FORM}."));
    };
    let Some(name) = NAMES.into_iter().find(|known| *known == name) else {
        return Err(format!("`{name}` is nothing to select by: {FORM}.{}", did_you_mean(name, NAMES)));
    };
    match value {
        "" => Err(format!("`{text}` has no value: {FORM}.")),
        "*" => Err(format!("`{text}` would select everything: leave the condition out if that is meant.")),
        _ if value.strip_suffix('*').unwrap_or(value).contains('*') => {
            Err(format!("`{text}` has a `*` that is not at its end, the one place where it means something."))
        }
        _ => Ok((name, value.to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filter(conditions: &[&str]) -> Result<Filter, String> {
        Filter::parse(&conditions.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>())
    }

    fn facts(cause: &str, event_type: &str) -> Facts {
        let (cause, event_type) = (cause.to_owned(), event_type.to_owned());
        Facts { cause, event_type, message_id: "m-1".into(), original_id: Some("o-1".into()), ..Facts::default() }
    }

    #[test]
    fn conditions_of_different_names_all_hold_and_of_one_name_one_does() {
        let both = filter(&["cause=A", "cause=B", "type=order.*"]).unwrap();
        assert!(both.asks_cause());
        assert!(both.selects(&facts("A", "order.placed.v1")) && both.selects(&facts("B", "order.shipped.v1")));
        assert!(!both.selects(&facts("C", "order.placed.v1")) && !both.selects(&facts("A", "payment.voided.v1")));
        assert!(filter(&[]).unwrap().selects(&facts("", "")));
        assert!(filter(&["id=o-1"]).unwrap().selects(&facts("", "")) && filter(&["id=m-1"]).unwrap().selects(&facts("", "")));
        assert!(!filter(&["id=m-2"]).unwrap().selects(&facts("", "")));
    }

    #[test]
    fn what_cannot_be_read_is_said_in_a_sentence() {
        for (bad, says) in [
            ("cause", "has no `=`"),
            ("cuase=X", "Did you mean cause?"),
            ("type=", "has no value"),
            ("type=*", "would select everything"),
            ("type=a*b", "not at its end"),
            ("type=a**", "not at its end"),
            ("=x", "nothing to select by"),
        ] {
            let error = filter(&[bad]).unwrap_err();
            assert!(error.contains(says) && error.ends_with(['.', '?']), "{error}");
        }
    }
}
