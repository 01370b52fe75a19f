//! The content of each mail: the facts of an order, as its templates print them.
//!
//! [`OrderEmail`](crate::OrderEmail) calls it. It does not say what the event or the order does not: prices are the
//! order's, the reason and the parcel's number are the event's.

use domain::{
    Event, Money, Order, Timestamp,
    event::{CancelReason, OrderCancelled, OrderShipped, PaymentAuthorized, PaymentRef},
};
use lambda_kit::Failure;
use mailer::{
    Mail, mail_templates,
    text::{greeting, one_line, postal_code},
};

/// Longest number of a parcel that is shown, in characters: ours have 14, and what is longer than a line has room for is no number.
const TRACKING_CHARS_MAX: usize = 40;

/// One line of an order.
struct Line {
    quantity: u32,
    sku: String,
    each: Money,
    sum: Money,
}

struct Received {
    greeting: String,
    order_id: String,
    placed_on: String,
    lines: Vec<Line>,
    total: Money,
    goes_to: String,
}
mail_templates!(Received: "received/subject.txt", "received/body.txt", "received/body.html");

struct Shipped {
    greeting: String,
    tracking_number: String,
    order_id: String,
    placed_on: String,
    lines: Vec<Line>,
    total: Money,
    goes_to: String,
}
mail_templates!(Shipped: "shipped/subject.txt", "shipped/body.txt", "shipped/body.html");

struct Cancelled {
    greeting: String,
    reason: &'static str,
    why: &'static str,
    next: &'static str,
    order_id: String,
    placed_on: String,
    lines: Vec<Line>,
    total: Money,
}
mail_templates!(Cancelled: "cancelled/subject.txt", "cancelled/body.txt", "cancelled/body.html");

/// The mail that tells of `event`; [`None`] where nobody is written to about it.
pub(crate) fn mail(event: &Event, order: &Order) -> Result<Option<Mail>, Failure> {
    let greeting = greeting(&order.customer.name.0);
    let (order_id, placed_on, lines, total) = (order.order_id.to_string(), day(order.received_at), lines(order), order.total);
    let mail = match event {
        Event::PaymentAuthorized(_) => Received { greeting, order_id, placed_on, lines, total, goes_to: goes_to(order) }.mail(),
        Event::OrderShipped(shipped) => {
            let tracking_number = one_line(&shipped.tracking_number, TRACKING_CHARS_MAX);
            Shipped { greeting, tracking_number, order_id, placed_on, lines, total, goes_to: goes_to(order) }.mail()
        }
        Event::OrderCancelled(cancelled) => {
            let Words { reason, why, next } = words(cancelled.reason);
            Cancelled { greeting, reason, why, next, order_id, placed_on, lines, total }.mail()
        }
        _ => return Ok(None),
    };
    mail.map(Some)
}

/// Every mail that `order` can cause, each with a name: what a reply to one of them may quote. A test holds that none is missing.
pub fn every(order: &Order) -> Vec<(&'static str, Mail)> {
    let cancelled = |reason| OrderCancelled { reason, payment: None, items: None }.into();
    let tracking_number = order.order_id.tracking_number();
    // No mail names the payment.
    let payment = || PaymentRef(String::new());
    let told: [(&str, Event); 7] = [
        ("received", PaymentAuthorized { payment: payment(), amount: order.total, capture_before: order.received_at }.into()),
        ("shipped", OrderShipped { tracking_number, payment: payment(), items: vec![] }.into()),
        ("cancelled-customer-asked", cancelled(CancelReason::CustomerAsked)),
        ("cancelled-timed-out", cancelled(CancelReason::TimedOut)),
        ("cancelled-payment-declined", cancelled(CancelReason::PaymentDeclined)),
        ("cancelled-out-of-stock", cancelled(CancelReason::OutOfStock)),
        ("cancelled-authorization-expiring", cancelled(CancelReason::AuthorizationExpiring)),
    ];
    told.into_iter().filter_map(|(name, event)| Some((name, mail(&event, order).ok()??))).collect()
}

/// Why an order was cancelled, in its customer's words. Its line breaks are the text's, at 72 columns; HTML has its own.
struct Words {
    /// In the subject.
    reason: &'static str,
    /// As a sentence.
    why: &'static str,
    /// The customer's options.
    next: &'static str,
}

fn words(reason: CancelReason) -> Words {
    match reason {
        CancelReason::CustomerAsked => {
            Words { reason: "as you asked", why: "You asked us to cancel it.", next: "If you want it after all, please order again." }
        }
        CancelReason::TimedOut => Words {
            reason: "it took us too long",
            why: "We could not finish it in the time that we allow ourselves. That is our\nfault, and we are sorry.",
            next: "If you still want it, please order again.",
        },
        CancelReason::PaymentDeclined => Words {
            reason: "payment declined",
            why: "Your payment was declined.",
            next: "Your bank can tell you why. If you still want it, please order again,\nperhaps with another means of payment.",
        },
        CancelReason::OutOfStock => Words {
            reason: "out of stock",
            why: "We do not have enough of at least one item, and we do not ship a part of\nan order.",
            next: "You are welcome to order something else.",
        },
        CancelReason::AuthorizationExpiring => Words {
            reason: "payment approval expiring",
            why: "Your bank's approval of the payment would have expired before the parcel\nhad left. We are sorry.",
            next: "If you still want it, please order again.",
        },
    }
}

fn lines(order: &Order) -> Vec<Line> {
    let money = |amount_minor| Money { amount_minor, currency: order.total.currency };
    let line = |line: &domain::Line| Line {
        quantity: line.quantity,
        sku: line.sku.to_string(),
        each: money(line.unit_price_minor),
        sum: money(line.unit_price_minor.saturating_mul(line.quantity.into())),
    };
    order.lines.iter().map(line).collect()
}

/// Where the parcel goes: enough to see a wrong one. The lines of the address stay out of mails, for anybody may order with somebody
/// else's mail address, and what he types must not reach it in the shop's name.
fn goes_to(order: &Order) -> String {
    let to = &order.shipping_address;
    [postal_code(&to.postal_code.0), Some(to.country.as_str())].into_iter().flatten().collect::<Vec<_>>().join(", ")
}

/// `4 May 2026, 10:11 UTC`: no reader takes the month for the day, and nobody's time zone is guessed.
fn day(at: Timestamp) -> String {
    at.strftime("%-d %B %Y, %H:%M UTC").to_string()
}
