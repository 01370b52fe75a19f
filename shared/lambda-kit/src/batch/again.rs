//! Another check: a copy of the message, sent to its own queue with a delay.
//!
//! To hide the message instead would be one call less, and was how it was done. It is not, for three reasons. A receive would
//! stand for a check *and* for a failure, so that the fifth receive parks a message at its first bug. A hidden message is *in
//! flight*, of which SQS allows a Standard queue about 120,000, and past that receives nothing
//! (<https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/quotas-messages.html>); a delayed one is not. And
//! a message's retention is counted from when it was sent, however often it was hidden.

use super::{ATTRIBUTES_MAX, EMPTY_BODY, attribute::Attribute, record::Record};
use jiff::{SignedDuration, Timestamp};
use std::time::Duration;

/// The attribute that says how many checks went before, a number.
pub const CHECKS: &str = "Checks";
/// The attribute that says when the check is due (RFC 3339). A copy that comes earlier is sent on.
pub const NOT_BEFORE: &str = "NotBefore";

/// The longest `DelaySeconds` that SQS takes
/// (<https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_SendMessage.html>). A longer wait takes several.
pub const DELAY_MAX: Duration = Duration::from_secs(900);
/// The longest that [`crate::message::Handled::look_again_after`] may wait: as long as a payment provider holds money. A
/// `NotBefore` that lies further ahead was not written here, and is not waited for.
pub const LOOK_AGAIN_MAX: Duration = Duration::from_secs(7 * 24 * 60 * 60);
/// A check that is due within this time is due now. SQS counts whole seconds, and clocks of two machines differ by less.
const DUE_WITHIN: SignedDuration = SignedDuration::from_secs(1);

/// A copy of a message, for the queue that it came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delayed {
    /// The SQS message id of the message that it is a copy of.
    pub copy_of: String,
    /// The body, unchanged.
    pub body: String,
    /// `Checks`, `NotBefore`; then the message's own, as many as fit.
    pub attributes: Vec<(String, Attribute)>,
    /// For how long it is not delivered, in seconds: 1 to [`DELAY_MAX`].
    pub delay_s: u32,
}

/// The attributes of a copy about its check.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Check {
    /// The number of checks before it.
    pub before: u32,
    /// When it is due.
    pub due: Timestamp,
}

impl Check {
    /// Parses a message's attributes; the first check has none, and invalid numbers and times count as none.
    pub fn read(attributes: &[(String, Attribute)]) -> Option<Self> {
        let text = |wanted: &str| {
            attributes.iter().find_map(|(name, value)| match value {
                Attribute::Text { value, .. } if name == wanted => Some(value.as_str()),
                _ => None,
            })
        };
        Some(Self { before: text(CHECKS)?.parse().ok()?, due: text(NOT_BEFORE)?.parse().ok()? })
    }

    /// The one after `record`'s, `after` from `now`.
    pub fn next<M>(record: &Record<M>, after: Duration, now: Timestamp) -> Self {
        let after = SignedDuration::try_from(after.min(LOOK_AGAIN_MAX)).unwrap_or_default();
        let due = now.saturating_add(after).unwrap_or(now);
        Self { before: record.delivery.checks.saturating_add(1), due }
    }

    /// How long it still has to wait, if it has come too early.
    pub fn waits(self, now: Timestamp) -> Option<Duration> {
        let left = self.due.duration_since(now);
        let left_s = Duration::try_from(left).ok()?;
        (left > DUE_WITHIN && left_s <= LOOK_AGAIN_MAX).then_some(left_s)
    }

    /// Whether `name` is one of its attributes.
    pub fn is_attribute(name: &str) -> bool {
        matches!(name, CHECKS | NOT_BEFORE)
    }
}

impl Delayed {
    /// `record` once more, for `check`.
    pub(super) fn new<M>(record: &Record<M>, check: Check, now: Timestamp) -> Self {
        let number = Attribute::Text { data_type: "Number".to_owned(), value: check.before.to_string() };
        let mut attributes = vec![(CHECKS.to_owned(), number), (NOT_BEFORE.to_owned(), Attribute::text(&check.due.to_string()))];
        let own = record.attributes.iter().filter(|(name, _)| !Check::is_attribute(name)).take(ATTRIBUTES_MAX - attributes.len());
        attributes.extend(own.cloned());
        let left = Duration::try_from(check.due.duration_since(now)).unwrap_or_default();
        // Rounded up: what comes a moment too early would have to wait once more.
        let delay_s = (left.as_secs() + u64::from(left.subsec_nanos() > 0)).clamp(1, DELAY_MAX.as_secs());
        Self {
            copy_of: record.delivery.message_id.clone(),
            body: if record.body.is_empty() { EMPTY_BODY.to_owned() } else { record.body.clone() },
            attributes,
            delay_s: u32::try_from(delay_s).unwrap_or(1),
        }
    }

    /// Its size as SQS counts it, in bytes: body, and names, types and values of attributes.
    pub fn size(&self) -> usize {
        let of = |(name, attribute): &(String, Attribute)| {
            name.len()
                + match attribute {
                    Attribute::Text { data_type, value } => data_type.len() + value.len(),
                    Attribute::Binary { data_type, value } => data_type.len() + value.len(),
                }
        };
        self.body.len() + self.attributes.iter().map(of).sum::<usize>()
    }
}
