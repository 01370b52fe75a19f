//! Mails of templates: three files over the same facts.
//!
//! The mail functions name theirs by [`mail_templates!`](crate::mail_templates), which the compiler then checks against the
//! facts: a variable that does not exist does not build, and a fact that no template uses is a warning.

use crate::Mail;
use askama::Template;
use lambda_kit::Failure;

/// The mail of these three templates.
///
/// # Errors
/// A bug: a template failed, which one that only prints what it was given cannot.
pub fn mail(subject: &impl Template, text: &impl Template, html: &impl Template) -> Result<Mail, Failure> {
    // The error itself is not kept: it comes from a value's own printing, which may quote it.
    let failed = |_| Failure::bug("TemplateFailed", "a mail's template cannot be filled in");
    let subject = subject.render().map_err(failed)?;
    Ok(Mail::new(&subject, text.render().map_err(failed)?, html.render().map_err(failed)?))
}

/// Gives the struct `$facts` a `mail(&self)`, filled into the three templates at these paths.
///
/// The extension decides what is escaped: in `.html` everything, in `.txt` nothing.
#[macro_export]
macro_rules! mail_templates {
    ($facts:ty: $subject:literal, $text:literal, $html:literal) => {
        impl $facts {
            /// The mail that says this.
            fn mail(&self) -> ::std::result::Result<$crate::Mail, ::lambda_kit::Failure> {
                #[derive(::askama::Template)]
                #[template(path = $subject)]
                struct Subject<'a>(&'a $facts);
                #[derive(::askama::Template)]
                #[template(path = $text)]
                struct Text<'a>(&'a $facts);
                #[derive(::askama::Template)]
                #[template(path = $html)]
                struct Html<'a>(&'a $facts);
                // Templates read the fields of `self`; these three have none but the facts'.
                impl ::std::ops::Deref for Subject<'_> {
                    type Target = $facts;
                    fn deref(&self) -> &$facts {
                        self.0
                    }
                }
                impl ::std::ops::Deref for Text<'_> {
                    type Target = $facts;
                    fn deref(&self) -> &$facts {
                        self.0
                    }
                }
                impl ::std::ops::Deref for Html<'_> {
                    type Target = $facts;
                    fn deref(&self) -> &$facts {
                        self.0
                    }
                }
                $crate::template::mail(&Subject(self), &Text(self), &Html(self))
            }
        }
    };
}
