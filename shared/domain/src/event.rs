//! The events: the CloudEvents 1.0 envelope, and the data of each type.
//!
//! Producers build a [`CloudEvent`] and serialize it; consumers parse one from a queue. No event carries a name or an
//! address. Unknown fields are ignored, so that fields can be added within a version; an unknown *version* is told
//! apart from an unknown *type*, because the first may be known after the next deployment and the second never will.

use crate::{
    id::{CustomerId, OrderId, Sku},
    line::{Item, Line},
    money::Money,
};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::fmt;

/// The provider's id of a hold on a customer's money. Opaque to every stage but payment, which finds its hold by it
/// without reading first.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct PaymentRef(pub String);

impl fmt::Display for PaymentRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The origin of a cancellation, and its reason.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CancelRequest {
    /// The customer asked.
    CustomerAsked,
    /// The order did not end in time.
    TimedOut,
}

/// Why an order was cancelled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CancelReason {
    /// The customer asked before anything else decided.
    CustomerAsked,
    /// The order did not end in time.
    TimedOut,
    /// The provider refused the payment.
    PaymentDeclined,
    /// There was too little stock.
    OutOfStock,
    /// Authorized and reserved, but so late that the hold could lapse before the capture.
    AuthorizationExpiring,
}

macro_rules! events {
    ($($(#[$doc:meta])* $variant:ident $stem:literal $version:literal of $subject:ident by [$($source:literal),+] {
        $($(#[$fdoc:meta])* $field:ident: $ty:ty),* $(,)?
    })*) => {
        $(
            $(#[$doc])*
            #[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
            pub struct $variant { $($(#[$fdoc])* pub $field: $ty),* }

            impl From<$variant> for Event {
                fn from(data: $variant) -> Event { Event::$variant(data) }
            }
        )*

        /// The data of an event; the variant is its type.
        #[derive(Debug, Clone, PartialEq, Eq, Serialize)]
        #[serde(untagged)]
        pub enum Event { $($(#[$doc])* $variant($variant)),* }

        /// The type of an event: a past-tense name and a version.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum EventType { $($(#[$doc])* $variant),* }

        impl EventType {
            /// Every event of the pipeline, in the order in which an order meets them.
            pub const ALL: &[EventType] = &[$(EventType::$variant),*];

            /// The type as it stands in the envelope: `order.placed.v1`.
            pub const fn as_str(self) -> &'static str {
                match self { $(EventType::$variant => concat!($stem, ".", $version)),* }
            }
            /// The type without its version: `order.placed`.
            pub const fn stem(self) -> &'static str {
                match self { $(EventType::$variant => $stem),* }
            }
            /// The functions that may publish it, by their names. An event of any other `source` is not parsed.
            pub const fn producers(self) -> &'static [&'static str] {
                match self { $(EventType::$variant => &[$($source),+]),* }
            }
            fn parse_subject(self, text: &str) -> Result<Subject, ParseError> {
                match self { $(EventType::$variant => text.parse().map(Subject::$subject)),* }
                    .map_err(|_| ParseError::unreadable(format!("`subject` is no id that `{}` can have", self.as_str())))
            }
        }

        impl Event {
            /// The event's type.
            pub const fn event_type(&self) -> EventType {
                match self { $(Event::$variant(_) => EventType::$variant),* }
            }
            fn from_data(event_type: EventType, data: serde_json::Value) -> Result<Self, serde_json::Error> {
                Ok(match event_type { $(EventType::$variant => Event::$variant(serde_json::from_value(data)?)),* })
            }
        }
    };
}

events! {
    /// A customer signed up.
    CustomerSignedUp "customer.signed_up" "v1" of Customer by ["customer-signup"] {
        /// Whether the customer agreed to marketing mail by signing up alone. `false` since consents are confirmed by mail.
        marketing_consent: bool,
    }
    /// An order was accepted.
    OrderPlaced "order.placed" "v1" of Order by ["order-intake", "order-deadline", "operator"] {
        /// The lines, with their prices: 1 to [`LINES_MAX`](crate::line::LINES_MAX) lines.
        lines: Vec<Line>,
        /// Sum of the lines.
        total: Money,
        /// The provider's reference to the means of payment.
        payment_method: String,
    }
    /// The provider holds the total.
    PaymentAuthorized "payment.authorized" "v1" of Order by ["payment"] {
        /// The hold.
        payment: PaymentRef,
        /// The sum held.
        amount: Money,
        /// When the hold lapses. Nothing is shipped close to it.
        capture_before: Timestamp,
    }
    /// The provider refused.
    PaymentDeclined "payment.declined" "v1" of Order by ["payment"] {
        /// The provider's decline code, for people and statistics.
        code: String,
    }
    /// All lines are set aside.
    InventoryReserved "inventory.reserved" "v1" of Order by ["inventory"] {
        /// The reserved items, ordered by SKU.
        items: Vec<Item>,
    }
    /// At least one line is out of stock, so none was set aside.
    InventoryRejected "inventory.rejected" "v1" of Order by ["inventory"] {
        /// The SKUs of which there was too little.
        short: Vec<Sku>,
    }
    /// Somebody wants the order cancelled. Shipping decides whether it still can be.
    OrderCancelRequested "order.cancel_requested" "v1" of Order by ["order-intake", "order-deadline", "email-inbound"] {
        /// The origin, and the reason.
        reason: CancelRequest,
    }
    /// Decided: the parcel leaves. Payment captures, inventory commits.
    OrderShipped "order.shipped" "v1" of Order by ["shipping"] {
        /// The parcel's number.
        tracking_number: String,
        /// The hold to capture.
        payment: PaymentRef,
        /// The content of the parcel, ordered by SKU.
        items: Vec<Item>,
    }
    /// Decided: nothing leaves. Payment voids, inventory releases.
    OrderCancelled "order.cancelled" "v1" of Order by ["shipping"] {
        /// Why.
        reason: CancelReason,
        /// The hold to void, where shipping knew of one: a hint that saves a read, not the truth.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        payment: Option<PaymentRef>,
        /// The items to release, where shipping knew of it, ordered by SKU: a hint too.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        items: Option<Vec<Item>>,
    }
    /// The money was collected.
    PaymentCaptured "payment.captured" "v1" of Order by ["payment"] {
        /// The sum collected.
        amount: Money,
    }
    /// The provider refused permanently what it had authorized: shipped and uncollected.
    PaymentCaptureFailed "payment.capture_failed" "v1" of Order by ["payment"] {
        /// The sum that was not collected.
        amount: Money,
        /// The provider's error code.
        code: String,
        /// The hold that was refused, which is cancelled by now: with it a person finds the payment at the provider. Events of
        /// earlier versions have none.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        payment: Option<PaymentRef>,
    }
    /// Nothing is held for the order, and nothing ever will be.
    PaymentVoided "payment.voided" "v1" of Order by ["payment"] {}
    /// The reserved units left the building.
    InventoryCommitted "inventory.committed" "v1" of Order by ["inventory"] {
        /// The shipped items, ordered by SKU.
        items: Vec<Item>,
    }
    /// Nothing is set aside for the order, and nothing ever will be.
    InventoryReleased "inventory.released" "v1" of Order by ["inventory"] {}
}

impl fmt::Display for EventType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The subject of an event. Its text is the message group.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Subject {
    /// An order.
    Order(OrderId),
    /// A customer.
    Customer(CustomerId),
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Subject::Order(id) => id.fmt(f),
            Subject::Customer(id) => id.fmt(f),
        }
    }
}

/// An event in its CloudEvents 1.0 envelope (<https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/spec.md>).
///
/// The `id` is not stored but follows: `<subject>/<type>`. Publishing the same fact twice publishes the same id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CloudEvent {
    /// The producer: `/` and the function's name.
    pub source: String,
    /// The subject.
    pub subject: Subject,
    /// When the fact was stored. Never the time of publishing.
    pub time: Timestamp,
    /// W3C trace context (<https://www.w3.org/TR/trace-context/>), so that a trace survives SNS and SQS.
    pub traceparent: Option<String>,
    /// The event itself.
    pub event: Event,
}

/// Why a message is no event that this build can handle.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ParseError {
    /// No event at all; it never will be one.
    #[error("unreadable event: {0}")]
    Unreadable(String),
    /// A type that the pipeline does not have.
    #[error("unknown event type `{0}`")]
    UnknownType(String),
    /// A version of a known type that this build does not know *yet*: a newer producer was deployed first.
    #[error("unknown version of a known event type: `{0}`")]
    UnknownVersion(String),
    /// A known type from a `source` that may not say it. Only a known source is named: any other is foreign text.
    #[error("{} may not say `{event_type}`", source_name.map_or("an unknown source".to_owned(), |name| format!("`/{name}`")))]
    SourceNotAllowed {
        /// The event type that it claims.
        event_type: EventType,
        /// The function that it says it is from, if there is one of that name.
        source_name: Option<&'static str>,
    },
}

impl ParseError {
    fn unreadable(why: impl fmt::Display) -> Self {
        Self::Unreadable(why.to_string())
    }
}

const SPECVERSION: &str = "1.0";
const CONTENT_TYPE: &str = "application/json";

#[derive(Serialize)]
struct WireOut<'a> {
    specversion: &'static str,
    id: String,
    source: &'a str,
    r#type: &'static str,
    subject: String,
    time: Timestamp,
    datacontenttype: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    traceparent: Option<&'a str>,
    data: &'a Event,
}

#[derive(Deserialize)]
struct WireIn {
    specversion: String,
    id: String,
    source: String,
    r#type: String,
    subject: String,
    time: Timestamp,
    #[serde(default)]
    datacontenttype: Option<String>,
    #[serde(default)]
    traceparent: Option<String>,
    data: serde_json::Value,
}

impl CloudEvent {
    /// The deterministic id, `<subject>/<type>`; also the message's deduplication id.
    pub fn id(&self) -> String {
        format!("{}/{}", self.subject, self.event.event_type())
    }

    /// The envelope as JSON.
    pub fn to_json(&self) -> String {
        let wire = WireOut {
            specversion: SPECVERSION,
            id: self.id(),
            source: &self.source,
            r#type: self.event.event_type().as_str(),
            subject: self.subject.to_string(),
            time: self.time,
            datacontenttype: CONTENT_TYPE,
            traceparent: self.traceparent.as_deref(),
            data: &self.event,
        };
        // Serializing owned strings, integers and timestamps into memory has no way to fail.
        serde_json::to_string(&wire).unwrap_or_default()
    }

    /// Parses an envelope and its data.
    ///
    /// # Errors
    /// [`ParseError::UnknownVersion`] if only the version is foreign, so that the message can wait for the next
    /// deployment; otherwise [`ParseError::UnknownType`], [`ParseError::SourceNotAllowed`] or [`ParseError::Unreadable`], which
    /// no waiting fixes.
    pub fn parse(body: &str) -> Result<Self, ParseError> {
        let wire: WireIn = serde_json::from_str(body).map_err(describe)?;
        if wire.specversion != SPECVERSION {
            return Err(ParseError::unreadable("`specversion` is not 1.0"));
        }
        if wire.datacontenttype.as_deref().is_some_and(|kind| kind != CONTENT_TYPE) {
            return Err(ParseError::unreadable("`datacontenttype` is not application/json"));
        }
        let event_type = parse_type(&wire.r#type)?;
        check_source(event_type, &wire.source)?;
        let subject = event_type.parse_subject(&wire.subject)?;
        // serde would also take a list for a struct, field by field.
        if !wire.data.is_object() {
            return Err(ParseError::unreadable("`data` is no object"));
        }
        let event = Event::from_data(event_type, wire.data).map_err(|e| ParseError::Unreadable(format!("`data`: {}", describe(e))))?;
        let parsed = Self { source: wire.source, subject, time: wire.time, traceparent: wire.traceparent, event };
        if parsed.id() != wire.id {
            return Err(ParseError::unreadable("`id` is not `<subject>/<type>`"));
        }
        Ok(parsed)
    }
}

/// The message of serde_json, without the values it may quote: an error text ends up in logs and message attributes.
fn describe(error: serde_json::Error) -> ParseError {
    use serde_json::error::Category;
    let what = match error.classify() {
        Category::Syntax => "not JSON",
        Category::Eof => "JSON that breaks off",
        Category::Data => "a field is missing or of the wrong kind",
        Category::Io => "could not be read",
    };
    match error.line() {
        0 => ParseError::unreadable(what),
        line => ParseError::Unreadable(format!("{what} (line {line}, column {})", error.column())),
    }
}

fn parse_type(text: &str) -> Result<EventType, ParseError> {
    if let Some(known) = EventType::ALL.iter().find(|known| known.as_str() == text) {
        return Ok(*known);
    }
    let (stem, version) = text.rsplit_once(".v").unwrap_or((text, ""));
    let is_version = !version.is_empty() && version.bytes().all(|b| b.is_ascii_digit());
    if is_version && EventType::ALL.iter().any(|known| known.stem() == stem) {
        Err(ParseError::UnknownVersion(text.to_owned()))
    } else {
        Err(ParseError::UnknownType(text.to_owned()))
    }
}

/// Whether the function that `source` names may publish events of this type.
fn check_source(event_type: EventType, source: &str) -> Result<(), ParseError> {
    let is_named = |name: &&&str| source.strip_prefix('/') == Some(**name);
    if event_type.producers().iter().any(|name| is_named(&name)) {
        return Ok(());
    }
    let source_name = EventType::ALL.iter().flat_map(|known| known.producers()).find(is_named).copied();
    Err(ParseError::SourceNotAllowed { event_type, source_name })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> CloudEvent {
        CloudEvent {
            source: "/payment".into(),
            subject: Subject::Order("fe08ddf2-c1ca-5f7e-9ff5-e24a01cd5cf9".parse().unwrap()),
            time: "2026-05-04T10:11:12.345Z".parse().unwrap(),
            traceparent: Some("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01".into()),
            event: PaymentDeclined { code: "card_declined".into() }.into(),
        }
    }

    fn changed(change: impl FnOnce(&mut serde_json::Value)) -> Result<CloudEvent, ParseError> {
        let mut json: serde_json::Value = serde_json::from_str(&sample().to_json()).unwrap();
        change(&mut json);
        CloudEvent::parse(&json.to_string())
    }

    #[test]
    fn an_envelope_round_trips_and_its_id_follows_from_subject_and_type() {
        assert_eq!(CloudEvent::parse(&sample().to_json()).unwrap(), sample());
        assert_eq!(sample().id(), "fe08ddf2-c1ca-5f7e-9ff5-e24a01cd5cf9/payment.declined.v1");
    }

    #[test]
    fn unknown_fields_are_ignored() {
        let parsed = changed(|json| {
            json["later"] = 1.into();
            json["data"]["later"] = 1.into();
        });
        assert_eq!(parsed.unwrap(), sample());
    }

    #[test]
    fn a_reference_prints_as_the_provider_wrote_it() {
        assert_eq!(PaymentRef("pi_1".into()).to_string(), "pi_1");
    }

    #[test]
    fn an_unknown_version_is_told_apart_from_an_unknown_type() {
        let with_type = |t: &str| changed(|json| json["type"] = t.into()).unwrap_err();
        assert_eq!(with_type("payment.declined.v2"), ParseError::UnknownVersion("payment.declined.v2".into()));
        for foreign in ["payment.refunded.v1", "payment.declined", "payment.declined.v", "payment.declined.vx", "", "v1"] {
            assert_eq!(with_type(foreign), ParseError::UnknownType(foreign.into()));
        }
    }

    #[test]
    fn an_event_is_read_only_from_those_who_may_say_it() {
        for event_type in EventType::ALL {
            for name in EventType::ALL.iter().flat_map(|known| known.producers()) {
                let said = check_source(*event_type, &format!("/{name}"));
                assert_eq!(said.is_ok(), event_type.producers().contains(name), "{name} says {event_type}");
            }
        }
        let from = |source: &str| changed(|json| json["source"] = source.into());
        assert_eq!(from("/payment"), Ok(sample()));
        let refused = from("/customer-signup").unwrap_err();
        let source_name = Some("customer-signup");
        assert_eq!(refused, ParseError::SourceNotAllowed { event_type: EventType::PaymentDeclined, source_name });
        assert_eq!(refused.to_string(), "`/customer-signup` may not say `payment.declined.v1`");
        for foreign in ["payment", "/payment/", "//payment", "/Payment", "/paymen", " /payment", "", "/", "/secret"] {
            assert_eq!(from(foreign).unwrap_err().to_string(), "an unknown source may not say `payment.declined.v1`", "{foreign}");
        }
    }

    /// A filter on the body may take the first of two names, or any item of a list, where a consumer took the other.
    #[test]
    fn a_type_or_source_that_says_two_things_is_unreadable() {
        for (name, values) in [("type", ["order.cancel_requested.v1", "payment.declined.v1"]), ("source", ["/email-inbound", "/payment"])] {
            let listed = changed(|json| json[name] = values.to_vec().into());
            assert!(matches!(listed, Err(ParseError::Unreadable(_))), "{name} as a list: {listed:?}");
            for first in [0, 1] {
                let member = |value: &str| format!("\"{name}\":\"{value}\"");
                let twice = format!("{},{}", member(values[first]), member(values[1 - first]));
                let body = sample().to_json().replace(&member(values[1]), &twice);
                assert!(body.contains(&twice), "{body}");
                let parsed = CloudEvent::parse(&body);
                assert!(matches!(parsed, Err(ParseError::Unreadable(_))), "{name} twice: {parsed:?}");
            }
        }
    }

    #[test]
    fn what_is_no_event_is_unreadable_and_its_values_are_not_quoted() {
        let unreadable = |parsed: Result<CloudEvent, ParseError>| match parsed.unwrap_err() {
            ParseError::Unreadable(why) => assert!(!why.contains("secret"), "{why}"),
            other => panic!("{other:?}"),
        };
        unreadable(CloudEvent::parse(""));
        unreadable(CloudEvent::parse("secret"));
        unreadable(CloudEvent::parse("[\"secret\"]"));
        unreadable(changed(|json| json["specversion"] = "secret".into()));
        unreadable(changed(|json| json["datacontenttype"] = "secret".into()));
        unreadable(changed(|json| json["subject"] = "secret".into()));
        unreadable(changed(|json| json["id"] = "secret".into()));
        unreadable(changed(|json| json["time"] = "secret".into()));
        unreadable(changed(|json| json["data"] = serde_json::json!({"code": {"secret": 1}})));
        unreadable(changed(|json| json["data"] = "secret".into()));
        unreadable(changed(|json| json["data"] = serde_json::json!(["secret"])));
    }
}
