//! The shape of an order as a client sends it: read into types, with every fault named at once.
//!
//! [`OrderIntake`](crate::OrderIntake) calls it before anything is looked up. It does not know what is sold: prices, and
//! with them whether an order can be accepted, are the catalogue's.

use crate::catalogue::Price;
pub use domain::email::EMAIL_BYTES_MAX;
use domain::{
    Currency, EmailAddress, Item, Line, Money, Personal, Sku,
    charge::{self, NotChargeable},
    country::{self, Country},
    line::LINES_MAX,
    order::{Address, Customer},
    whole_number,
};
use lambda_kit::{
    Failure,
    http::{
        Document, Faults, Pointer,
        shape::{Node, Shape},
    },
};
use serde::Serialize;
use serde_json::Value;
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, HashMap};

/// Longest name, line of an address, and town, in characters. Carriers print 35 to 50 on a label and cut what is longer;
/// twice that leaves room for long names and none for misuse.
pub const TEXT_CHARS_MAX: usize = 100;
/// Longest postal code, in characters. The longest in use have ten; the rest is for blanks and a country's letters in front.
pub const POSTAL_CODE_CHARS_MAX: usize = 16;
/// Longest reference to a means of payment: the provider says to expect ids of up to 255
/// (<https://docs.stripe.com/upgrades#what-changes-does-stripe-consider-to-be-backward-compatible>).
pub const PAYMENT_METHOD_BYTES_MAX: usize = 255;

/// Most units of a SKU in one order: what a household may want. An order takes its units out of stock before it is paid, so one
/// request must not hold a whole shelf of them; larger orders go through support. Events may say more
/// ([`QUANTITY_MAX`](domain::line::QUANTITY_MAX)).
pub const UNITS_MAX: u32 = 20;

/// A parsed request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PlaceOrder {
    /// The currency to pay in.
    pub currency: Currency,
    /// The customer.
    pub customer: Customer,
    /// Where the parcel goes.
    pub shipping_address: Address,
    /// What is wanted: 1 to [`LINES_MAX`] different SKUs, in the client's order.
    pub items: Vec<Item>,
    /// The provider's reference to the means of payment.
    pub payment_method: String,
}

/// Hash of a request as it was understood: not of its bytes, which a client may write differently the second time, and not of
/// prices, which change.
///
/// It is stored with the order, and a retry may come after a deployment. So it is a hash of the facts that the request states, each
/// with its place in the document, in the order of their places. What states nothing does not count: null, false, empty. A field
/// that a later build adds changes no fingerprint of a request that does not have it, wherever the field is declared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fingerprint {
    /// To be stored.
    now: String,
    /// Of the same request, as builds before stored it: of its JSON in the order in which fields are declared.
    before: String,
}

/// What a stored fingerprint of facts begins with; an older one is a bare hash.
const BY_FACTS: &str = "2.";

impl Fingerprint {
    /// Whether an order with the `stored` fingerprint is of the same request.
    pub fn is(&self, stored: &str) -> bool {
        let own = if stored.starts_with(BY_FACTS) { &self.now } else { &self.before };
        own == stored
    }

    /// To be stored with a new order.
    pub fn into_stored(self) -> String {
        self.now
    }
}

/// A line for each fact: a JSON pointer, and the value in JSON.
pub(crate) fn by_facts(document: &Value) -> Vec<u8> {
    fn collect(value: &Value, at: &Pointer, facts: &mut BTreeMap<String, String>) {
        match value {
            Value::Object(map) => map.iter().for_each(|(name, value)| collect(value, &at.member(name), facts)),
            Value::Array(list) => list.iter().enumerate().for_each(|(index, value)| collect(value, &at.element(index), facts)),
            Value::Null | Value::Bool(false) => {}
            Value::String(text) if text.is_empty() => {}
            fact => _ = facts.insert(at.to_string(), fact.to_string()),
        }
    }
    let mut facts = BTreeMap::new();
    collect(document, &Pointer::default(), &mut facts);
    facts.iter().flat_map(|(at, fact)| format!("{at}={fact}\n").into_bytes()).collect()
}

fn digest(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

impl PlaceOrder {
    /// Reads a document.
    ///
    /// # Errors
    /// Its fault.
    pub fn parse(document: &Document) -> Result<Self, Faults> {
        Shape::of(document, order)
    }

    /// The SKUs, in the client's order.
    pub fn skus(&self) -> Vec<Sku> {
        self.items.iter().map(|item| item.sku.clone()).collect()
    }

    /// What the request is known again by: see [`Fingerprint`]. The order of the lines means nothing, and so does not count.
    ///
    /// # Errors
    /// A bug, where the request cannot be written as JSON.
    pub fn fingerprint(&self) -> Result<Fingerprint, Failure> {
        let mut canonical = self.clone();
        canonical.items.sort();
        let unwritable = |error| Failure::bug("UnwritableRequest", "a request cannot be written as JSON").caused_by(error);
        let as_declared = serde_json::to_vec(&canonical).map_err(unwritable)?;
        let facts = serde_json::to_value(&canonical).map_err(unwritable)?;
        Ok(Fingerprint { now: format!("{BY_FACTS}{}", digest(&by_facts(&facts))), before: digest(&as_declared) })
    }

    /// The lines at the catalogue's prices, and their sum.
    ///
    /// # Errors
    /// What is wrong: SKUs that are not in `prices` or have another currency, a sum that the payment provider does not charge.
    pub fn price(&self, prices: &HashMap<Sku, Price>) -> Result<(Vec<Line>, Money), Faults> {
        let mut shape = Shape::default();
        let at = Pointer::default().member("lines");
        let line = |(index, Item { sku, quantity }): (usize, &Item)| {
            let at = at.element(index).member("sku");
            match prices.get(sku) {
                None => shape.refuse(&at, "is not in the catalogue"),
                Some(price) if price.currency != self.currency => shape.refuse(&at, format!("is not sold in {}", self.currency.code())),
                Some(price) => Some(Line { sku: sku.clone(), quantity: *quantity, unit_price_minor: price.unit_price_minor }),
            }
        };
        let lines: Vec<_> = self.items.iter().enumerate().filter_map(line).collect();
        let priced = match charge::total(self.currency, lines.iter().map(|line| (line.unit_price_minor, line.quantity))) {
            Ok(total) => Some((lines, total)),
            // What the lines without a price would add is not known.
            Err(NotChargeable::TooLittle(_) | NotChargeable::NotInSteps(_)) if lines.len() < self.items.len() => None,
            Err(why) => shape.refuse(&at, format!("the total {why}")),
        };
        shape.finish(priced)
    }
}

fn order(shape: &mut Shape, node: &Node<'_>) -> Option<PlaceOrder> {
    let order = shape.object(node, &["currency", "customer", "shipping_address", "lines", "payment_method"])?;
    let currency = currency(shape, &order.get("currency"));
    let customer = customer(shape, &order.get("customer"));
    let shipping_address = address(shape, &order.get("shipping_address"));
    let items = lines(shape, &order.get("lines"));
    let payment_method = payment_method(shape, &order.get("payment_method"));
    // Only here, so that the fault of one field hides none of the others'.
    Some(PlaceOrder {
        currency: currency?,
        customer: customer?,
        shipping_address: shipping_address?,
        items: items?,
        payment_method: payment_method?,
    })
}

fn currency(shape: &mut Shape, node: &Node<'_>) -> Option<Currency> {
    let Ok(currency) = shape.string(node)?.parse() else {
        return shape.refuse(&node.at, "must be an ISO 4217 currency code, such as EUR");
    };
    if charge::terms(currency).is_some() {
        Some(currency)
    } else {
        shape.refuse(&node.at, "must be a currency that the payment provider charges, such as EUR")
    }
}

fn customer(shape: &mut Shape, node: &Node<'_>) -> Option<Customer> {
    let customer = shape.object(node, &["name", "email"])?;
    let name = personal(shape, &customer.get("name"), TEXT_CHARS_MAX);
    let email = shape.parsed::<EmailAddress>(&customer.get("email"));
    Some(Customer { name: name?, email: Personal(email?.into()) })
}

fn address(shape: &mut Shape, node: &Node<'_>) -> Option<Address> {
    let address = shape.object(node, &["line1", "line2", "city", "postal_code", "country"])?;
    let line1 = personal(shape, &address.get("line1"), TEXT_CHARS_MAX);
    let line2 = optional(shape, &address.get("line2"), TEXT_CHARS_MAX);
    let city = optional(shape, &address.get("city"), TEXT_CHARS_MAX);
    let postal_code = optional(shape, &address.get("postal_code"), POSTAL_CODE_CHARS_MAX);
    let country = country(shape, &address.get("country"));
    let rules = country.unwrap_or(&country::UNKNOWN);
    let city = needed(shape, &address.get("city"), city, rules.needs_town);
    let postal_code = needed(shape, &address.get("postal_code"), postal_code, rules.postal_code.is_some());
    let postal_code = of_country(shape, &address.get("postal_code"), postal_code?, rules);
    Some(Address { line1: line1?, line2: line2?, city: city?, postal_code: postal_code?, country: country?.code.to_owned() })
}

/// Whether parcels go there is the carrier's to know.
fn country(shape: &mut Shape, node: &Node<'_>) -> Option<&'static Country> {
    let found = country::find(shape.string(node)?);
    found.or_else(|| shape.refuse(&node.at, "must be an ISO 3166-1 alpha-2 country code, such as DE"))
}

/// A text that the country may require; empty where it does not, and there is none. [`None`] where it was refused.
fn needed(shape: &mut Shape, node: &Node<'_>, text: Option<Option<Personal<String>>>, needed: bool) -> Option<Personal<String>> {
    match text? {
        Some(text) => Some(text),
        None if needed => shape.refuse(&node.at, "is required"),
        None => Some(Personal(String::new())),
    }
}

/// A postal code in the form that all of the country's have, where they all have one.
fn of_country(shape: &mut Shape, node: &Node<'_>, code: Personal<String>, country: &Country) -> Option<Personal<String>> {
    match country.postal_code {
        Some(known) if !known.admits(&code.0) => {
            shape.refuse(&node.at, format!("must be a postal code of {}, such as {}", country.code, known.example))
        }
        _ => Some(code),
    }
}

fn lines(shape: &mut Shape, node: &Node<'_>) -> Option<Vec<Item>> {
    let Some(Value::Array(lines)) = node.value else { return shape.wrong(node, "a list of lines") };
    if lines.is_empty() || lines.len() > LINES_MAX {
        shape.refuse::<()>(&node.at, format!("must have 1 to {LINES_MAX} lines"));
    }
    let mut first_at = HashMap::new();
    // Lines beyond the limit are not read: a body of 64 KiB has room for thousands, and for as many faults.
    let lines = lines.iter().enumerate().take(LINES_MAX);
    let items: Vec<_> =
        lines.map(|(index, value)| line(shape, index, &Node { at: node.at.element(index), value: Some(value) }, &mut first_at)).collect();
    items.into_iter().collect()
}

fn line(shape: &mut Shape, index: usize, node: &Node<'_>, first_at: &mut HashMap<Sku, usize>) -> Option<Item> {
    let line = shape.object(node, &["sku", "quantity"])?;
    let sku_node = line.get("sku");
    let sku = shape.parsed::<Sku>(&sku_node);
    if let Some(sku) = &sku {
        let first = *first_at.entry(sku.clone()).or_insert(index);
        if first != index {
            shape.refuse::<()>(&sku_node.at, format!("is the SKU of line {first} too; add the quantities up"));
        }
    }
    let quantity_node = line.get("quantity");
    let quantity = match quantity_node.value.map(|value| whole_number::of(value).and_then(|n| u32::try_from(n).ok())) {
        None => shape.wrong(&quantity_node, "a number"),
        Some(Some(quantity @ 1..=UNITS_MAX)) => Some(quantity),
        Some(_) => shape.refuse(&quantity_node.at, format!("must be a whole number from 1 to {UNITS_MAX}")),
    };
    Some(Item { sku: sku?, quantity: quantity? })
}

/// The provider's ids begin with a letter. A card number does not, and so can never be stored by mistake.
fn payment_method(shape: &mut Shape, node: &Node<'_>) -> Option<String> {
    let token = shape.string(node)?;
    let legal = token.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-');
    if legal && token.len() <= PAYMENT_METHOD_BYTES_MAX && token.starts_with(|first: char| first.is_ascii_alphabetic()) {
        Some(token.to_owned())
    } else {
        let what = "must be the payment provider's reference, such as pm_card_visa: a letter, then letters, digits, '_' or '-'";
        shape.refuse_text(node, format!("{what}, at most {PAYMENT_METHOD_BYTES_MAX}"))
    }
}

/// A text that says who somebody is, or where.
fn personal(shape: &mut Shape, node: &Node<'_>, chars_max: usize) -> Option<Personal<String>> {
    shape.text(node, chars_max).map(|text| Personal(text.to_owned()))
}

/// The same, where it may be absent.
fn optional(shape: &mut Shape, node: &Node<'_>, chars_max: usize) -> Option<Option<Personal<String>>> {
    shape.optional_text(node, chars_max).map(|text| text.map(|text| Personal(text.to_owned())))
}
