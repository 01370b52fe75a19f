//! What AWS bills of a call beside the call itself: DynamoDB's request units, and what is published.
//!
//! The stub keeps the sums, [`measure`](crate::measure) takes them. Sizes are counted as DynamoDB's documentation has it, numbers
//! by their digits. It refuses indexes: no table of the template has one.
//! (<https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/CapacityUnitCalculations.html>)

use aws_sdk_dynamodb::types::AttributeValue;
use lambda_kit::dynamodb::Item;
use serde::{Deserialize, Serialize};

/// What a write unit writes.
const WRITE_UNIT_BYTES: u64 = 1024;
/// What a read unit reads.
const READ_UNIT_BYTES: u64 = 4096;
/// What a list or a map takes beside what is in it, and again for each of its members.
const NESTED_BYTES: u64 = 3;
const MEMBER_BYTES: u64 = 1;

/// Sums of what is billed by size.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Units {
    /// Write request units of DynamoDB; a write within a transaction takes two for one.
    pub write: u64,
    /// Halves of read request units: an eventually consistent read takes half of one.
    pub read_halves: u64,
    /// Messages published.
    pub published: u64,
    /// Their bytes, attributes included.
    pub published_bytes: u64,
}

impl Units {
    /// A write that finds `old` and leaves `new`; the larger counts. One that is refused counts too.
    pub(super) fn write(&mut self, old: Option<&Item>, new: Option<&Item>, in_transaction: bool) {
        let bytes = [old, new].into_iter().flatten().map(size).max().unwrap_or(0);
        self.write += units(bytes, WRITE_UNIT_BYTES) * if in_transaction { 2 } else { 1 };
    }

    /// A read that finds `item`, or nothing.
    pub(super) fn read(&mut self, item: Option<&Item>, is_consistent: bool) {
        self.read_halves += units(item.map_or(0, size), READ_UNIT_BYTES) * if is_consistent { 2 } else { 1 };
    }

    /// A form of SNS, one message or a batch.
    pub(super) fn publish(&mut self, form: &[u8]) {
        for (name, value) in form_urlencoded::parse(form) {
            let name = name.rsplit('.').next().unwrap_or_default();
            self.published += u64::from(name == "Message");
            if matches!(name, "Message" | "Name" | "DataType" | "StringValue") {
                self.published_bytes += value.len() as u64;
            }
        }
    }
}

/// Nothing is read and written for nothing.
fn units(bytes: u64, of: u64) -> u64 {
    bytes.div_ceil(of).max(1)
}

fn size(item: &Item) -> u64 {
    item.iter().map(|(name, value)| name.len() as u64 + bytes(value)).sum()
}

fn bytes(value: &AttributeValue) -> u64 {
    match value {
        AttributeValue::S(text) => text.len() as u64,
        // Two digits a byte, and one more.
        AttributeValue::N(digits) => digits.len().div_ceil(2) as u64 + 1,
        AttributeValue::Ss(set) => set.iter().map(|text| text.len() as u64).sum(),
        AttributeValue::L(list) => NESTED_BYTES + list.iter().map(|value| MEMBER_BYTES + bytes(value)).sum::<u64>(),
        AttributeValue::M(map) => {
            NESTED_BYTES + map.iter().map(|(name, value)| MEMBER_BYTES + name.len() as u64 + bytes(value)).sum::<u64>()
        }
        // A truth, or nothing: the stub lets no other type in.
        _ => 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn item(length: usize) -> Item {
        // A name of two bytes.
        [("id".to_owned(), AttributeValue::S("x".repeat(length - 2)))].into()
    }

    #[test]
    fn a_write_costs_units_by_kilobyte_twice_in_a_transaction() {
        let units = |old: Option<usize>, new: Option<usize>, in_transaction| {
            let mut units = Units::default();
            units.write(old.map(item).as_ref(), new.map(item).as_ref(), in_transaction);
            units.write
        };
        assert_eq!([units(None, Some(1024), false), units(None, Some(1025), false)], [1, 2]);
        assert_eq!([units(Some(3000), Some(10), false), units(Some(3000), Some(10), true)], [3, 6]);
        assert_eq!(units(None, None, false), 1, "a refusal is billed");
    }

    #[test]
    fn a_read_takes_a_unit_for_four_kilobytes_or_half_of_it() {
        let halves = |length: Option<usize>, is_consistent| {
            let mut units = Units::default();
            units.read(length.map(item).as_ref(), is_consistent);
            units.read_halves
        };
        assert_eq!([halves(Some(4096), true), halves(Some(4097), true), halves(Some(4097), false), halves(None, false)], [2, 4, 2, 1]);
    }

    #[test]
    fn nested_values_are_counted_with_their_names() {
        let nested = AttributeValue::M([("n".to_owned(), AttributeValue::L(vec![AttributeValue::N("1234".to_owned())]))].into());
        // The map 3, its member 1 + 1 ("n") + the list 3 + 1 + the number 3.
        assert_eq!(bytes(&nested), 3 + 1 + 1 + 3 + 1 + 3);
    }

    #[test]
    fn messages_of_a_batch_are_counted_with_their_attributes() {
        let mut units = Units::default();
        units.publish(
            b"Action=PublishBatch&PublishBatchRequestEntries.member.1.Id=0&PublishBatchRequestEntries.member.1.Message=abc\
              &PublishBatchRequestEntries.member.1.MessageAttributes.entry.1.Name=type\
              &PublishBatchRequestEntries.member.1.MessageAttributes.entry.1.Value.DataType=String\
              &PublishBatchRequestEntries.member.1.MessageAttributes.entry.1.Value.StringValue=x\
              &PublishBatchRequestEntries.member.2.Message=de",
        );
        assert_eq!((units.published, units.published_bytes), (2, 3 + 4 + 6 + 1 + 2));
    }
}
