//! `email-feedback`: consumes SES's events about sent mails, and suppresses addresses that complain or bounce.
//!
//! `main.rs` wires it behind its queue, which SES's event publishing feeds through a topic with raw delivery. A complaint or a
//! permanent bounce suppresses the address at once, for every kind of mail. Transient bounces suppress it after
//! [`TRANSIENT_BOUNCES_MAX`] of them within [`FADES_AFTER`](mailer::suppression::FADES_AFTER). Other events are counted by
//! their log line. It never logs an address, and an event that it does not know is parked. Feedback on a mail to support
//! suppresses nothing: it is parked, so that an alarm fires. The function publishes no events.

pub mod event;
pub mod lists;

use domain::EmailAddress;
use event::{Bounce, BounceType, MailEvent, What};
use lambda_kit::{
    Ambient, Failure,
    batch::Consumer,
    message::{Delivery, Handled, Incoming},
};
use lists::{AccountList, OwnList};
use mailer::suppression::{Reason, TransientBounce};

/// How many bounces that may pass make an address one that takes no mail. SES has stopped retrying each of these mails
/// before it publishes the bounce, and an order brings two or three: an address that failed five has missed more than one
/// whole order, and every further mail counts against the account's bounce rate. Those count that came within
/// [`FADES_AFTER`](mailer::suppression::FADES_AFTER).
pub const TRANSIENT_BOUNCES_MAX: usize = 5;

/// The function.
#[derive(Debug)]
pub struct EmailFeedback<L, S, A> {
    /// Our own list.
    pub own: L,
    /// The list of the SES account.
    pub account: S,
    /// Where people read what customers write. It is never suppressed: a spam click on a forward, by its reader or by a
    /// filter, would end all forwards.
    pub support: EmailAddress,
    /// The clock.
    pub ambient: A,
}

impl<L: OwnList, S: AccountList, A: Ambient> Consumer for EmailFeedback<L, S, A> {
    type Message = MailEvent;

    fn read(&self, body: &str) -> Result<Incoming<MailEvent>, Failure> {
        let event = MailEvent::parse(body)?;
        Ok(Incoming {
            event_id: format!("{}/{}", event.message_id, event.what.name()),
            // About a mail, not an order: the ledger knows which order or customer a mail was for.
            subject: String::new(),
            traceparent: None,
            contends_for: Vec::new(),
            message: event,
        })
    }

    /// Every write may be repeated: the first suppression stays, and a bounce is noted by its id.
    async fn handle(&self, event: &MailEvent, _: &Delivery) -> Result<Handled, Failure> {
        let (detail, suppressed) = match &event.what {
            What::Bounce(bounce) => (bounce.sub_type.as_str(), self.bounced(bounce).await?),
            What::Complaint(complaint) => {
                let detail = complaint.feedback_type.as_deref().unwrap_or("unspecified");
                (known(detail), complaint.is_one() && self.suppress(&complaint.recipients, Reason::Complaint).await?)
            }
            _ => ("", false),
        };
        // Last, so that of a mail to several the others are suppressed.
        self.unless_it_is_supports(&event.what)?;
        let MailEvent { message_id, template, what } = event;
        tracing::info!(mail_event = what.name(), template, ses_message_id = message_id, detail, suppressed, "mail event");
        Ok(Handled::default())
    }
}

impl<L: OwnList, S: AccountList, A: Ambient> EmailFeedback<L, S, A> {
    /// Whether the bounce made somebody get no more mail.
    async fn bounced(&self, bounce: &Bounce) -> Result<bool, Failure> {
        match bounce.bounce_type {
            BounceType::Permanent => self.suppress(&bounce.recipients, Reason::PermanentBounce).await,
            BounceType::Transient | BounceType::Undetermined if bounce.blames_the_address() => {
                let (mut suppressed, now) = (false, self.ambient.now());
                for address in self.but_support(&bounce.recipients) {
                    let at = bounce.bounced_at.unwrap_or(now);
                    let noted = self.own.note_transient_bounce(address, TransientBounce { id: &bounce.feedback_id, at }, now).await?;
                    if noted >= TRANSIENT_BOUNCES_MAX {
                        suppressed |= self.suppress(std::slice::from_ref(address), Reason::TransientBounces).await?;
                    }
                }
                Ok(suppressed)
            }
            BounceType::Transient | BounceType::Undetermined => Ok(false),
        }
    }

    /// Our own list first: it is the one that every mail is checked against.
    async fn suppress(&self, addresses: &[EmailAddress], reason: Reason) -> Result<bool, Failure> {
        let mut suppressed = false;
        for address in self.but_support(addresses) {
            self.own.suppress(address, reason, self.ambient.now()).await?;
            self.account.suppress(address, reason).await?;
            suppressed = true;
        }
        Ok(suppressed)
    }

    fn but_support<'a>(&self, addresses: &'a [EmailAddress]) -> impl Iterator<Item = &'a EmailAddress> {
        let support = self.support.canonical();
        addresses.iter().filter(move |address| address.canonical() != support)
    }

    /// A mail to support that came back has not been read, and a complaint about one says that somebody, or a filter, takes
    /// customers' words for spam: both are a person's to settle, and neither is one that waiting would settle.
    fn unless_it_is_supports(&self, what: &What) -> Result<(), Failure> {
        let is_supports = |addresses: &[EmailAddress]| self.but_support(addresses).count() < addresses.len();
        match what {
            What::Bounce(bounce) if is_supports(&bounce.recipients) => {
                Err(Failure::permanent("SupportBounced", "a mail to the support address came back: check whether it is reachable"))
            }
            What::Complaint(complaint) if complaint.is_one() && is_supports(&complaint.recipients) => Err(Failure::permanent(
                "SupportComplained",
                "a mail to the support address was marked as spam: it is not suppressed; find out why",
            )),
            _ => Ok(()),
        }
    }
}

/// The registered word, for the log; a reporter may write anything there.
fn known(feedback_type: &str) -> &str {
    const REGISTERED: [&str; 7] = ["abuse", "auth-failure", "fraud", "not-spam", "other", "virus", "unspecified"];
    if REGISTERED.contains(&feedback_type) { feedback_type } else { "unregistered" }
}

#[cfg(test)]
mod tests;
