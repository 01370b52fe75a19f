//! Batches built field by field: every record parses, so everything behind the parser is reached.

use crate::queue::{Fault, check};
use arbitrary::{Arbitrary, Unstructured};
use aws_lambda_events::{
    encodings::Base64Data,
    sqs::{SqsMessage, SqsMessageAttribute},
};

#[derive(Debug, Arbitrary)]
struct Sent<'a> {
    id: Option<&'a str>,
    receipt: Option<&'a str>,
    body: Option<&'a str>,
    queue: Queue<'a>,
    receives: Option<Receives<'a>>,
    group: Option<u8>,
    attributes: Vec<(&'a str, Own<'a>)>,
}

#[derive(Debug, Arbitrary)]
enum Queue<'a> {
    Standard,
    Fifo,
    Odd(Option<&'a str>),
}

#[derive(Debug, Arbitrary)]
enum Receives<'a> {
    Often(u32),
    Odd(&'a str),
}

#[derive(Debug, Arbitrary)]
struct Own<'a> {
    data_type: Option<&'a str>,
    string: Option<&'a str>,
    binary: Option<&'a [u8]>,
}

/// Any records, and any fault around them.
pub fn batch(input: &[u8]) {
    let mut input = Unstructured::new(input);
    if let (Ok(fault), Ok(sent)) = (Fault::arbitrary(&mut input), Vec::<Sent<'_>>::arbitrary_take_rest(input)) {
        check(sent.into_iter().map(Into::into).collect(), fault);
    }
}

impl From<Sent<'_>> for SqsMessage {
    fn from(sent: Sent<'_>) -> SqsMessage {
        let mut message = SqsMessage::default();
        message.message_id = sent.id.map(Into::into);
        message.receipt_handle = sent.receipt.map(Into::into);
        message.body = sent.body.map(Into::into);
        message.event_source_arn = match sent.queue {
            Queue::Standard => Some("arn:aws:sqs:us-east-1:123456789012:work".into()),
            Queue::Fifo => Some("arn:aws:sqs:us-east-1:123456789012:work.fifo".into()),
            Queue::Odd(arn) => arn.map(Into::into),
        };
        let receives = sent.receives.map(|receives| match receives {
            Receives::Often(count) => count.to_string(),
            Receives::Odd(text) => text.into(),
        });
        // Few groups, so that they are shared.
        let group = sent.group.map(|group| (group % 3).to_string());
        let system = [("ApproximateReceiveCount", receives), ("MessageGroupId", group)];
        message.attributes = system.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))).collect();
        let own = |(name, own): (&str, Own<'_>)| {
            let mut attribute = SqsMessageAttribute::default();
            attribute.data_type = own.data_type.map(Into::into);
            attribute.string_value = own.string.map(Into::into);
            attribute.binary_value = own.binary.map(|bytes| {
                let mut data = Base64Data::default();
                data.0 = bytes.into();
                data
            });
            (name.to_owned(), attribute)
        };
        message.message_attributes = sent.attributes.into_iter().map(own).collect();
        message
    }
}
