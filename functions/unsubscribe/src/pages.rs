//! The pages, each whole in one answer: no script, no image, no font, nothing from anywhere else.
//!
//! [`Unsubscribe`](crate::Unsubscribe) answers with them. They do not hold anything of a request or of a customer, so that
//! nothing has to be escaped: the form has no action and so goes to the address of its page, token and all.

use lambda_kit::http::Response;

/// What a page may do: use its own style and send its form back to where it came from. Were something foreign ever to get
/// into one, the browser would not load it.
const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'";

/// Asks for the one click.
pub fn ask_to_unsubscribe() -> Response {
    page(
        200,
        "Unsubscribe",
        "<p>Do you want no more marketing mail? Mail about your orders still comes.</p>\
         <form method=\"post\"><button type=\"submit\">Unsubscribe</button></form>",
    )
}

/// Says that it is done, each time anew.
pub fn unsubscribed() -> Response {
    page(200, "Unsubscribed", "<p>You will get no more marketing mail. Mail about your orders still comes.</p>")
}

/// Says that the link leads nowhere.
pub fn unknown() -> Response {
    page(404, "This link does not work", "<p>Please use the link as it stands in the mail, all of it.</p>")
}

/// Asks for the click that confirms.
pub fn ask_to_confirm() -> Response {
    page(
        200,
        "News and offers by mail",
        "<p>Do you want news and offers from us by mail? Each of those mails has a link that ends them at once.</p>\
         <form method=\"post\"><button type=\"submit\">Yes, send me news and offers</button></form>",
    )
}

/// Says that the consent stands, each time anew.
pub fn confirmed() -> Response {
    page(200, "Thank you", "<p>You will get news and offers by mail. Each of those mails has a link that ends them at once.</p>")
}

/// Says that the link confirms nothing, whatever the reason.
pub fn unconfirmed() -> Response {
    page(
        404,
        "This link does not work",
        "<p>It works for a week, and not once you have unsubscribed. Please use the link as it stands in the mail, all of it. \
         If you want news and offers, sign up again, and we send you a new link.</p>",
    )
}

/// The link must not travel on: it is not kept (`Cache-Control: no-store`, which every answer has), and not told to others.
fn page(status: u16, title: &str, body: &str) -> Response {
    let html = format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<meta name=\"robots\" content=\"noindex\">\n\
         <title>{title}</title>\n<style>\n{STYLE}</style>\n</head>\n<body>\n<main>\n<h1>{title}</h1>\n{body}\n</main>\n</body>\n</html>\n"
    );
    Response::html(status, html)
        .with_header("Content-Security-Policy", CONTENT_SECURITY_POLICY)
        .with_header("Referrer-Policy", "no-referrer")
}

/// Readable at 360 pixels, by day and by night; the button is as high as a thumb needs (44 pixels).
const STYLE: &str = "\
:root { color-scheme: light dark; }
body { margin: 0; font: 1rem/1.5 system-ui, sans-serif; }
main { max-width: 30rem; margin: 4rem auto; padding: 0 1rem; }
button { min-height: 44px; padding: 0 1.5rem; font: inherit; cursor: pointer; }
";
