//! What the mails say: what is stored of a customer, as their templates print it.
//!
//! [`WelcomeEmail`](crate::WelcomeEmail) calls it. It does not say what the customer agreed to by the event: the record
//! counts, and there a consent may have been given or taken back since.

use domain::{Customer, Timestamp};
use lambda_kit::Failure;
use mailer::{Mail, confirmation::Question, mail_templates, text::greeting};

/// A question that a mail asks, as it prints it.
#[derive(Clone)]
pub(crate) struct Asking {
    link: String,
    until: String,
}

impl Asking {
    /// `question`, answered by `link`.
    pub(crate) fn new(link: String, question: &Question) -> Self {
        Self { link, until: time(question.expires_at()) }
    }
}

struct Welcome {
    greeting: String,
    signed_up_on: String,
    asking: Option<Asking>,
    marketing: bool,
}
mail_templates!(Welcome: "welcome/subject.txt", "welcome/body.txt", "welcome/body.html");

struct Confirm {
    greeting: String,
    asking: Asking,
}
mail_templates!(Confirm: "confirm/subject.txt", "confirm/body.txt", "confirm/body.html");

/// The welcome to `customer`, which asks for a consent where `asking` says so.
pub(crate) fn welcome(customer: &Customer, asking: Option<Asking>) -> Result<Mail, Failure> {
    let (greeting, signed_up_on) = (greeting(&customer.name.0), time(customer.signed_up_at));
    Welcome { greeting, signed_up_on, asking, marketing: customer.consent().is_some() }.mail()
}

/// The mail that asks a known `customer` for a consent, and holds nothing else.
pub(crate) fn confirm(customer: &Customer, asking: Asking) -> Result<Mail, Failure> {
    Confirm { greeting: greeting(&customer.name.0), asking }.mail()
}

/// No reader takes the month for the day, and nobody's time zone is guessed.
fn time(time: Timestamp) -> String {
    time.strftime("%-d %B %Y, %H:%M UTC").to_string()
}
