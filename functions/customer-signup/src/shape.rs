//! The shape of a sign-up as a client sends it.
//!
//! [`CustomerSignup`](crate::CustomerSignup) calls it first. It does not take a missing consent for one: the field must be
//! there, and be true or false.

use domain::{EmailAddress, Personal, customer::NAME_CHARS_MAX};
use lambda_kit::http::{
    Document, Faults,
    shape::{Node, Shape},
};

/// A parsed request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignUp {
    /// Full name.
    pub name: Personal<String>,
    /// Where mail goes.
    pub email: EmailAddress,
    /// Whether marketing mail is welcome.
    pub marketing_consent: bool,
}

impl SignUp {
    /// Reads a document.
    ///
    /// # Errors
    /// Its fault.
    pub fn parse(document: &Document) -> Result<Self, Faults> {
        Shape::of(document, sign_up)
    }
}

fn sign_up(shape: &mut Shape, node: &Node<'_>) -> Option<SignUp> {
    let wanted = shape.object(node, &["name", "email", "marketing_consent"])?;
    let name = shape.text(&wanted.get("name"), NAME_CHARS_MAX).map(|name| Personal(name.to_owned()));
    let email = shape.parsed(&wanted.get("email"));
    let marketing_consent = shape.boolean(&wanted.get("marketing_consent"));
    // Only here, so that the fault of one field hides none of the others'.
    Some(SignUp { name: name?, email: email?, marketing_consent: marketing_consent? })
}
