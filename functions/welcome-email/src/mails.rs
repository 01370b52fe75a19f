//! What the mail says: what is stored of a customer, as its templates print it.
//!
//! [`WelcomeEmail`](crate::WelcomeEmail) calls it. It refuses to say what the customer agreed to by the event: the record
//! counts, and there a consent may have been taken back since.

use domain::Customer;
use lambda_kit::Failure;
use mailer::{Mail, mail_templates, text::greeting};

struct Welcome {
    greeting: String,
    signed_up_on: String,
    marketing: bool,
}
mail_templates!(Welcome: "welcome/subject.txt", "welcome/body.txt", "welcome/body.html");

/// The welcome to `customer`.
pub(crate) fn welcome(customer: &Customer) -> Result<Mail, Failure> {
    let facts = Welcome {
        greeting: greeting(&customer.name.0),
        // No reader takes the month for the day, and nobody's time zone is guessed.
        signed_up_on: customer.signed_up_at.strftime("%-d %B %Y, %H:%M UTC").to_string(),
        marketing: customer.takes_marketing_mail(),
    };
    facts.mail()
}
