//! Mail through SES. A mail is recorded before it is sent, so that a message that is delivered twice, late or after a crash
//! sends one mail.
//!
//! The mail functions pass an [`OutgoingMail`] to [`Mailer::send`]. SendEmail has no idempotency token. So a mail whose
//! response was lost is sent a second time, once [`SENDING_FOR`] is over, and again with each receive until a response
//! arrives. `docs/guarantees.md` has the figures, and says why SES's `Send` event does not close this window.
//!
//! ```text
//!   claim ── TransactWriteItems: the ledger's row is new, the address is not suppressed and has room in this hour
//!     │
//!   place ── UpdateItem: of mails that nobody has paid for, there is room for one more in this hour
//!     │
//!   send ─── SendEmail ──────────────────────────┐
//!     │                                          │ the one window: a death, an answer that is lost or late, a failed write:
//!   sent ─── UpdateItem: the row is `sent` ──────┘ mailed and not written so; the next one mails again, after `until`
//! ```

pub mod address;
pub mod confirmation;
pub mod hour;
pub mod ledger;
pub mod limits;
pub mod ses;
pub mod suppression;
pub mod template;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
pub mod text;
pub mod unsubscribe;

pub use address::OrdersAddress;
pub use hour::Hour;
pub use limits::Limit;

use domain::{EmailAddress, Timestamp};
use jiff::SignedDuration;
use lambda_kit::{Ambient, Failure};
use std::fmt;

/// How long a claim keeps others from sending. Three times as long as an invocation of a function that mails may last (ten
/// seconds), and so longer by far than two clocks differ: a function that finds it over knows that nobody is still about to
/// send. Far shorter than the back-off grows (15 minutes): a mail that SES refused for a moment waits for a few receives.
pub const SENDING_FOR: SignedDuration = SignedDuration::from_secs(30);

/// How old an event may be and still cause a mail. A day outlasts an outage that people notice and fix; after it, "we have
/// received your order" is no news, and a replayed archive must not write to every customer of the year.
pub const MAIL_AGE_MAX: SignedDuration = SignedDuration::from_hours(24);

/// A mail as its reader sees it. Its text and its HTML say the same.
#[derive(Clone, PartialEq, Eq)]
pub struct Mail {
    /// The subject: one line.
    pub subject: String,
    /// The plain text.
    pub text: String,
    /// The HTML.
    pub html: String,
    /// Its attachment.
    pub attachment: Option<Attachment>,
}

/// A file that goes along with a mail. Its `Debug` hides what is in it.
#[derive(Clone, PartialEq, Eq)]
pub struct Attachment {
    /// Its name, with an ending that SES takes (<https://docs.aws.amazon.com/ses/latest/dg/mime-types.html>).
    pub file_name: &'static str,
    /// Its media type.
    pub content_type: &'static str,
    /// Whether it stands in the mail as it is, of seven bits and in short lines; else it is encoded.
    pub seven_bits: bool,
    /// Its content.
    pub bytes: Vec<u8>,
}

/// A mail with its envelope. `Debug` hides whom it is from and to.
#[derive(Clone, PartialEq, Eq)]
pub struct OutgoingMail {
    /// Its identity: the ledger's key. The same mail goes out once.
    pub mail_id: String,
    /// The one recipient.
    pub to: EmailAddress,
    /// Its content.
    pub mail: Mail,
    /// Where answers go, if not to the sender.
    pub reply_to: Option<String>,
    /// The name of its template, by which mails are counted: letters, digits, `_` and `-`.
    pub template: &'static str,
    /// Headers beside the usual ones, in ASCII.
    pub headers: Vec<(String, String)>,
    /// Whether anybody can cause it for nothing: a sign-up, or an order that was not paid for. Of these only so many go out
    /// in an hour, see [`limits`].
    pub unpaid: bool,
}

/// The outcome of a mail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// SES has taken it.
    Sent,
    /// SES had taken it before; nothing was sent now.
    AlreadySent,
    /// Its address is on the suppression list; nothing was sent, and nothing written.
    Suppressed,
    /// This hour has had as many mails as it may; nothing was sent, and nothing comes of it later.
    Limited(Limit),
}

/// The outcome of a claim.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Claim {
    /// Ours: the ledger says `sending` from now for [`SENDING_FOR`], and the address is not suppressed.
    Ours,
    /// Somebody has claimed the mail before.
    Taken(ClaimState),
    /// The address is suppressed.
    Suppressed,
    /// The address has had as many mails in this hour as it may.
    Limited,
}

/// The progress of a claimed mail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClaimState {
    /// An invocation is about to send it; after `until`, another may claim it again.
    Sending {
        /// The end of the claim.
        until: Timestamp,
    },
    /// SES has taken it.
    Sent,
}

/// Where mails are written down before they are sent.
pub trait Ledger {
    /// Claims `outgoing` at `now`, if nobody has, its address is not suppressed and has had fewer than
    /// [`TO_ONE_MAX`](limits::TO_ONE_MAX) mails in this hour: one TransactWriteItems.
    async fn claim(&self, outgoing: &OutgoingMail, now: Timestamp) -> Result<Claim, Failure>;
    /// Claims `outgoing` at `now`, if it is still `sending` with the end `over` and its address is not suppressed: one
    /// TransactWriteItems.
    async fn reclaim(&self, outgoing: &OutgoingMail, over: Timestamp, now: Timestamp) -> Result<Claim, Failure>;
    /// Whether one more mail that nobody has paid for may go out at `now`, which takes its place: one UpdateItem.
    async fn place(&self, now: Timestamp) -> Result<bool, Failure>;
    /// Writes down that SES has taken the mail, under which id, and when: one UpdateItem.
    async fn sent(&self, mail_id: &str, ses_message_id: &str, now: Timestamp) -> Result<(), Failure>;
}

/// Sends mails.
pub trait Sender {
    /// Sends `outgoing`: one SendEmail, never repeated by itself. Returns the SES message id.
    ///
    /// # Errors
    /// Permanent where this mail can never pass, transient otherwise. After a failure without an answer it may be out.
    async fn send(&self, outgoing: &OutgoingMail) -> Result<String, Failure>;
}

/// Sends each mail once.
#[derive(Debug)]
pub struct Mailer<L, S, A> {
    /// Where mails are written down.
    pub ledger: L,
    /// The sender of mails.
    pub sender: S,
    /// The clock.
    pub ambient: A,
}

impl<L: Ledger, S: Sender, A: Ambient> Mailer<L, S, A> {
    /// Sends `outgoing`, unless it is out already, its address is suppressed or its hour is full, and logs which.
    ///
    /// ```text
    ///   first delivery    claim ─ SendEmail ─ ✝                            out, and not recorded
    ///   redelivery              claim: taken, not over ─ transient          the first may be alive
    ///   later                        claim: taken, over ─ reclaim ─ SendEmail ─ sent   the second mail
    /// ```
    ///
    /// A failed send does not release the claim, not even where SES's refusal proves that nothing is out: releasing is a
    /// write that can itself be lost, so waiting must work anyway, and it costs half a minute.
    ///
    /// # Errors
    /// The ledger's and the sender's; transient as `MailInFlight` while another delivery may be sending.
    pub async fn send(&self, outgoing: &OutgoingMail) -> Result<Outcome, Failure> {
        let now = self.ambient.now();
        let claim = match self.ledger.claim(outgoing, now).await? {
            Claim::Taken(ClaimState::Sending { until }) if until <= now => self.ledger.reclaim(outgoing, until, now).await?,
            claim => claim,
        };
        let outcome = match claim {
            // A claim that is left like this is over in half a minute, and only a duplicate would find it.
            Claim::Ours if outgoing.unpaid && !self.ledger.place(now).await? => Outcome::Limited(Limit::Unpaid),
            Claim::Ours => {
                let ses_message_id = self.sender.send(outgoing).await?;
                self.ledger.sent(&outgoing.mail_id, &ses_message_id, self.ambient.now()).await?;
                Outcome::Sent
            }
            Claim::Taken(ClaimState::Sent) => Outcome::AlreadySent,
            Claim::Taken(ClaimState::Sending { .. }) => {
                return Err(Failure::transient("MailInFlight", "another delivery may be sending this mail"));
            }
            Claim::Suppressed => Outcome::Suppressed,
            Claim::Limited => Outcome::Limited(Limit::Address),
        };
        match outcome {
            Outcome::Limited(limit) => limits::log(limit, outgoing),
            _ => log(outcome.as_str(), outgoing.template, &outgoing.mail_id),
        }
        Ok(outcome)
    }
}

impl Outcome {
    /// The word for it in the log.
    pub const fn as_str(self) -> &'static str {
        match self {
            Outcome::Sent => "sent",
            Outcome::AlreadySent => "already_sent",
            Outcome::Suppressed => "suppressed",
            Outcome::Limited(_) => "limited",
        }
    }
}

/// [`log`]'s word for a mail that was not sent because something newer is true.
pub const OVERTAKEN: &str = "overtaken";
/// [`log`]'s word for a mail that was not sent because its event is older than [`MAIL_AGE_MAX`].
pub const TOO_OLD: &str = "too_old";

/// One line per mail that was decided about, which a metric filter counts by `mail` and `template`.
pub fn log(mail: &str, template: &str, mail_id: &str) {
    tracing::info!(mail, template, mail_id, "mail");
}

/// Whether an event of `time` is too old to be mailed about at `now`.
pub fn too_old(time: Timestamp, now: Timestamp) -> bool {
    now.duration_since(time) > MAIL_AGE_MAX
}

impl Mail {
    /// A mail of these parts. The subject becomes one line, whatever is in it: a line break would begin another header.
    pub fn new(subject: &str, text: impl Into<String>, html: impl Into<String>) -> Self {
        Self { subject: text::one_line(subject, text::SUBJECT_CHARS_MAX), text: text.into(), html: html.into(), attachment: None }
    }
}

impl fmt::Debug for OutgoingMail {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OutgoingMail").field("mail_id", &self.mail_id).field("template", &self.template).finish_non_exhaustive()
    }
}

impl fmt::Debug for Attachment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "[{} of {} bytes]", self.content_type, self.bytes.len())
    }
}

impl fmt::Debug for Mail {
    /// Hides what it says, which names people and places.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[mail]")
    }
}

#[cfg(test)]
mod tests;
