//! The shape of an order as a client sends it: read into types, with every fault named at once.
//!
//! [`OrderIntake`](crate::OrderIntake) calls it before anything is looked up. It refuses unknown fields, because a
//! misspelt optional field would be dropped in silence, and it never quotes a value, because the values are a person's.

use crate::catalogue::Price;
use domain::{
    Currency, Item, Line, Money, Personal, Sku,
    line::{LINES_MAX, QUANTITY_MAX},
    order::{Address, Customer},
};
use email_address::{EmailAddress, Options};
use lambda_kit::{
    Failure,
    http::{Document, Fault, Pointer},
};
use serde::Serialize;
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};
use std::collections::HashMap;

/// Longest name, line of an address, and town, in characters. Carriers print 35 to 50 on a label and cut what is longer;
/// twice that leaves room for long names and none for misuse.
pub const TEXT_CHARS_MAX: usize = 100;
/// Longest postal code, in characters. The longest in use have ten; the rest is for spaces.
pub const POSTAL_CODE_CHARS_MAX: usize = 16;
/// Longest e-mail address, in bytes: RFC 5321 allows 256 for the path, which has two angle brackets more.
pub const EMAIL_BYTES_MAX: usize = 254;
/// Longest reference to a means of payment: the provider says to expect ids of up to 255
/// (<https://docs.stripe.com/upgrades#what-changes-does-stripe-consider-to-be-backward-compatible>).
pub const PAYMENT_METHOD_BYTES_MAX: usize = 255;

/// What a client asks for, understood.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PlaceOrder {
    /// The currency to pay in.
    pub currency: Currency,
    /// Who orders.
    pub customer: Customer,
    /// Where the parcel goes.
    pub shipping_address: Address,
    /// What is wanted: 1 to [`LINES_MAX`] different SKUs, in the client's order.
    pub items: Vec<Item>,
    /// The provider's reference to the means of payment.
    pub payment_method: String,
}

impl PlaceOrder {
    /// Reads a document.
    ///
    /// # Errors
    /// Every fault of it.
    pub fn parse(document: &Document) -> Result<Self, Vec<Fault>> {
        let mut shape = Shape::default();
        for at in &document.repeated {
            shape.refuse::<()>(at, "stands twice in its object");
        }
        match shape.order(&Node { at: document.root(), value: Some(&document.value) }) {
            Some(order) if shape.faults.is_empty() => Ok(order),
            _ => Err(shape.faults),
        }
    }

    /// The SKUs, in the client's order.
    pub fn skus(&self) -> Vec<Sku> {
        self.items.iter().map(|item| item.sku.clone()).collect()
    }

    /// Hash of the request as it was understood: not of its bytes, which a client may write differently the second time,
    /// and not of prices, which change. The order of the lines means nothing, and so does not count.
    ///
    /// # Errors
    /// A bug, where the request cannot be written as JSON.
    pub fn fingerprint(&self) -> Result<String, Failure> {
        let mut canonical = self.clone();
        canonical.items.sort();
        let unwritable = |error| Failure::bug("UnwritableRequest", "a request cannot be written as JSON").caused_by(error);
        let digest = Sha256::digest(serde_json::to_vec(&canonical).map_err(unwritable)?);
        Ok(digest.iter().map(|byte| format!("{byte:02x}")).collect())
    }

    /// The lines at the catalogue's prices, and their sum.
    ///
    /// # Errors
    /// Every fault: SKUs that are not in `prices` or have another currency, a sum that is too high.
    pub fn price(&self, prices: &HashMap<Sku, Price>) -> Result<(Vec<Line>, Money), Vec<Fault>> {
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
        let total = Money::total(self.currency, lines.iter().map(|line| (line.unit_price_minor, line.quantity)));
        match total {
            Ok(total) if shape.faults.is_empty() => return Ok((lines, total)),
            Ok(_) => {}
            Err(too_much) => shape.faults.push(Fault { pointer: at, detail: too_much.to_string() }),
        }
        Err(shape.faults)
    }
}

/// A place in the document and what stands there, if anything does.
struct Node<'v> {
    at: Pointer,
    value: Option<&'v Value>,
}

/// An object in the document.
struct Members<'v> {
    at: Pointer,
    map: &'v Map<String, Value>,
}

impl<'v> Members<'v> {
    fn get(&self, name: &str) -> Node<'v> {
        Node { at: self.at.member(name), value: self.map.get(name) }
    }
}

/// Reads, and collects what is wrong. A method that returns [`None`] has said why.
#[derive(Default)]
struct Shape {
    faults: Vec<Fault>,
}

impl Shape {
    fn order(&mut self, node: &Node<'_>) -> Option<PlaceOrder> {
        let order = self.object(node, &["currency", "customer", "shipping_address", "lines", "payment_method"])?;
        let currency = self.currency(&order.get("currency"));
        let customer = self.customer(&order.get("customer"));
        let shipping_address = self.address(&order.get("shipping_address"));
        let items = self.lines(&order.get("lines"));
        let payment_method = self.payment_method(&order.get("payment_method"));
        // Only here, so that the fault of one field hides none of the others'.
        Some(PlaceOrder {
            currency: currency?,
            customer: customer?,
            shipping_address: shipping_address?,
            items: items?,
            payment_method: payment_method?,
        })
    }

    fn currency(&mut self, node: &Node<'_>) -> Option<Currency> {
        let code = self.string(node)?;
        code.parse().ok().or_else(|| self.refuse(&node.at, "must be an ISO 4217 currency code, such as EUR"))
    }

    fn customer(&mut self, node: &Node<'_>) -> Option<Customer> {
        let customer = self.object(node, &["name", "email"])?;
        let name = self.text(&customer.get("name"), TEXT_CHARS_MAX);
        let email = self.email(&customer.get("email"));
        Some(Customer { name: name?, email: email? })
    }

    /// ASCII alone: mail goes out by a provider that takes no other local part, and domains have an ASCII form.
    fn email(&mut self, node: &Node<'_>) -> Option<Personal<String>> {
        let email = self.string(node)?.trim();
        let options = Options::default().with_required_tld().without_domain_literal().without_display_text();
        let fits = email.len() <= EMAIL_BYTES_MAX && email.bytes().all(|b| matches!(b, b' '..=b'~'));
        if fits && EmailAddress::parse_with_options(email, options).is_ok() {
            Some(Personal(email.to_owned()))
        } else {
            self.refuse(
                &node.at,
                format!("must be an e-mail address in ASCII, of at most {EMAIL_BYTES_MAX} characters, such as name@example.com"),
            )
        }
    }

    fn address(&mut self, node: &Node<'_>) -> Option<Address> {
        let address = self.object(node, &["line1", "line2", "city", "postal_code", "country"])?;
        let line1 = self.text(&address.get("line1"), TEXT_CHARS_MAX);
        let line2 = match address.get("line2") {
            // Many clients write an absent field as null.
            Node { value: None | Some(Value::Null), .. } => Some(None),
            there => self.text(&there, TEXT_CHARS_MAX).map(Some),
        };
        let city = self.text(&address.get("city"), TEXT_CHARS_MAX);
        let postal_code = self.text(&address.get("postal_code"), POSTAL_CODE_CHARS_MAX);
        let country = self.country(&address.get("country"));
        Some(Address { line1: line1?, line2: line2?, city: city?, postal_code: postal_code?, country: country? })
    }

    /// The shape alone: which countries exist, and where parcels go, is the carrier's to know.
    fn country(&mut self, node: &Node<'_>) -> Option<String> {
        let code = self.string(node)?;
        let two_letters = code.len() == 2 && code.bytes().all(|b| b.is_ascii_uppercase());
        if two_letters { Some(code.to_owned()) } else { self.refuse(&node.at, "must be an ISO 3166-1 alpha-2 country code, such as DE") }
    }

    fn lines(&mut self, node: &Node<'_>) -> Option<Vec<Item>> {
        let Some(Value::Array(lines)) = node.value else { return self.wrong(node, "a list of lines") };
        if lines.is_empty() || lines.len() > LINES_MAX {
            self.refuse::<()>(&node.at, format!("must have 1 to {LINES_MAX} lines"));
        }
        let mut first_at = HashMap::new();
        // Lines beyond the limit are not read: a body of 64 KiB has room for thousands, and for as many faults.
        let lines = lines.iter().enumerate().take(LINES_MAX);
        let items: Vec<_> =
            lines.map(|(index, value)| self.line(index, &Node { at: node.at.element(index), value: Some(value) }, &mut first_at)).collect();
        items.into_iter().collect()
    }

    fn line(&mut self, index: usize, node: &Node<'_>, first_at: &mut HashMap<Sku, usize>) -> Option<Item> {
        let line = self.object(node, &["sku", "quantity"])?;
        let sku_node = line.get("sku");
        let sku = self
            .string(&sku_node)
            .and_then(|sku| sku.parse::<Sku>().map_err(|fault| self.refuse::<()>(&sku_node.at, fault.to_string())).ok());
        if let Some(sku) = &sku {
            let first = *first_at.entry(sku.clone()).or_insert(index);
            if first != index {
                self.refuse::<()>(&sku_node.at, format!("is the SKU of line {first} too; add the quantities up"));
            }
        }
        let quantity_node = line.get("quantity");
        let quantity = match quantity_node.value.map(|value| value.as_u64().and_then(|n| u32::try_from(n).ok())) {
            None => self.wrong(&quantity_node, "a number"),
            Some(Some(quantity @ 1..=QUANTITY_MAX)) => Some(quantity),
            Some(_) => self.refuse(&quantity_node.at, format!("must be a whole number from 1 to {QUANTITY_MAX}")),
        };
        Some(Item { sku: sku?, quantity: quantity? })
    }

    /// The provider's ids begin with a letter. A card number does not, and so can never be stored by mistake.
    fn payment_method(&mut self, node: &Node<'_>) -> Option<String> {
        let token = self.string(node)?;
        let legal = token.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-');
        if legal && token.len() <= PAYMENT_METHOD_BYTES_MAX && token.starts_with(|first: char| first.is_ascii_alphabetic()) {
            Some(token.to_owned())
        } else {
            let what = "must be the payment provider's reference, such as pm_card_visa: a letter, then letters, digits, '_' or '-'";
            self.refuse(&node.at, format!("{what}, at most {PAYMENT_METHOD_BYTES_MAX}"))
        }
    }

    /// A text for people, without the white space around it.
    fn text(&mut self, node: &Node<'_>, chars_max: usize) -> Option<Personal<String>> {
        let text = self.string(node)?.trim();
        let before = self.faults.len();
        if text.is_empty() {
            self.refuse::<()>(&node.at, "must not be blank");
        }
        if text.chars().count() > chars_max {
            self.refuse::<()>(&node.at, format!("must not be longer than {chars_max} characters"));
        }
        // Line breaks and their like would let a text grow a line on a label, in a mail's header, or in a table.
        if text.chars().any(|c| c.is_control() || matches!(c, '\u{2028}' | '\u{2029}')) {
            self.refuse::<()>(&node.at, "must not contain control characters or line breaks");
        }
        (self.faults.len() == before).then(|| Personal(text.to_owned()))
    }

    fn string<'v>(&mut self, node: &Node<'v>) -> Option<&'v str> {
        match node.value {
            Some(Value::String(text)) => Some(text),
            _ => self.wrong(node, "text"),
        }
    }

    fn object<'v>(&mut self, node: &Node<'v>, known: &[&str]) -> Option<Members<'v>> {
        let Some(Value::Object(map)) = node.value else { return self.wrong(node, "an object") };
        for name in map.keys().filter(|name| !known.contains(&name.as_str())) {
            self.refuse::<()>(&node.at.member(name), "is not a known field");
        }
        Some(Members { at: node.at.clone(), map })
    }

    /// What stands there is not what should.
    fn wrong<T>(&mut self, node: &Node<'_>, expected: &str) -> Option<T> {
        match node.value {
            None => self.refuse(&node.at, "is required"),
            Some(_) => self.refuse(&node.at, format!("must be {expected}")),
        }
    }

    fn refuse<T>(&mut self, at: &Pointer, detail: impl Into<String>) -> Option<T> {
        self.faults.push(Fault { pointer: at.clone(), detail: detail.into() });
        None
    }
}
