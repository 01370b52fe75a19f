//! Requests to the functions for operators, and their refusals: one envelope for every command.

use serde::{Deserialize, Serialize};

/// An invocation's document. One with an unknown field is refused whole: a misspelt `dry_run` must not change anything.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Request<C> {
    /// The caller, for the audit record: the name that it gives. Lambda tells a function nothing of its caller; where
    /// CloudTrail logs Lambda's data events, it knows under the request id that the record has too.
    #[serde(default)]
    pub by: String,
    /// The command.
    pub command: C,
}

/// The arguments of a command that takes none.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Nothing {}

/// The permissions of a caller, by the alias of the function that it invoked: each alias is a permission of its own
/// (<https://docs.aws.amazon.com/lambda/latest/dg/configuration-aliases.html>), and Lambda tells a function nothing else of
/// its caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Power {
    /// See, with what may be personal masked.
    Look,
    /// Change something, or see what is masked.
    Change,
}

impl Power {
    /// Both, the lesser first.
    pub const ALL: [Self; 2] = [Self::Look, Self::Change];

    /// The alias that stands for it.
    pub const fn alias(self) -> &'static str {
        match self {
            Self::Look => "look",
            Self::Change => "change",
        }
    }

    /// The one that a command needs: to look, unless it changes something or shows what is masked.
    pub const fn needed(changes: bool) -> Self {
        if changes { Self::Change } else { Self::Look }
    }

    /// The one that this ARN of an invoked function stands for. An ARN with another alias, or with none, is enough to look.
    pub fn of(invoked_function_arn: &str) -> Self {
        // arn:aws:lambda:us-east-1:123456789012:function:name:alias
        let qualifier = invoked_function_arn.split(':').nth(7);
        if qualifier == Some(Self::Change.alias()) { Self::Change } else { Self::Look }
    }

    /// The refusal of a command that needs more.
    pub fn refuses(self, needs: Self) -> Option<Refusal> {
        let why = "This changes something, or shows what is masked, and you asked by an alias that only looks. It needs the permission to \
                   invoke the function's alias `change`.";
        (self < needs).then(|| Refusal::new("MayOnlyLook", why))
    }
}

/// Why a command was not carried out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refusal {
    /// A short stable name.
    pub error: String,
    /// One clear sentence.
    pub message: String,
}

impl Refusal {
    /// The refusal of this name, in this sentence.
    pub fn new(error: &str, message: impl Into<String>) -> Self {
        Self { error: error.to_owned(), message: message.into() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_names_another_alias_or_none_may_only_look() {
        let bare = "arn:aws:lambda:us-east-1:123456789012:function:change";
        let of = |end: &str| Power::of(&format!("{bare}{end}"));
        assert_eq!(of(":change"), Power::Change);
        for end in ["", ":look", ":$LATEST", ":1", ":change2", ":CHANGE", ":", ":look:change"] {
            assert_eq!(of(end), Power::Look, "{end}");
        }
        assert_eq!((Power::of(""), Power::of("change")), (Power::Look, Power::Look));
    }

    #[test]
    fn to_look_is_for_both_and_to_change_for_one() {
        let refusals = Power::ALL.map(|power| Power::ALL.map(|needs| power.refuses(needs).is_some()));
        assert_eq!(refusals, [[false, true], [false, false]]);
    }
}
