//! Pages as mail programs write them, and as attackers do, with the text that is read of each.

use super::*;
use proptest::prelude::*;

fn text(html: &str) -> String {
    read(html).text
}

#[test]
fn words_are_what_a_reader_sees_line_by_line() {
    let html = "<html><head><title>t</title><style>p{color:red}</style></head><body>\r\n<p>Cancel&nbsp;my\r\n <b>or</b>der</p><!-- no -->\
                <div>Thanks<br>Ada &amp; Bob &#x2014; &eacute; 1 < 2</div><script>if (a < b) {}</script></body></html>";
    assert_eq!(read(html), Page { text: "Cancel my order\nThanks\nAda & Bob — é 1 < 2\n".into(), certain: true });
}

#[test]
fn names_and_numbers_of_characters_are_resolved() {
    assert_eq!(text("Gr&uuml;&szlig;e &euro;5 &#150; &#x1F600; &rsquo; &CounterClockwiseContourIntegral;"), "Grüße €5 – 😀 ’ ∳");
    assert_eq!(text("a & b &; &#; &#x110000; &#xZ; &nosuchname;"), "a & b &; &#; &#x110000; &#xZ; &nosuchname;");
}

#[test]
fn quotes_are_marked_and_what_follows_them_is_not() {
    let html = "<div>Yes</div><div>On Monday, shop wrote:<br></div><blockquote type=\"cite\"><div>one</div>\
                <BLOCKQUOTE>two</BLOCKQUOTE>three</blockquote><div>below</div>";
    assert_eq!(text(html), "Yes\nOn Monday, shop wrote:\n> one\n> two\n> three\nbelow\n");
}

#[test]
fn words_that_are_struck_out_say_so() {
    for struck in [
        "<s>no</s>",
        "<STRIKE>no</STRIKE>",
        "<del datetime=x>no</del>",
        "<span style='text-decoration: line-through'>no</span>",
        "<span style=\"color:red;text-decoration-line:underline line-through !important\">no</span>",
        "<s><b>n</b>o</s>",
    ] {
        assert_eq!(text(&format!("keep {struck} it")), "keep [struck: no] it", "{struck}");
    }
    assert_eq!(text("<del><p>a</p><p>b</p></del>c"), "[struck: a]\n[struck: b]\nc");
}

#[test]
fn words_that_are_hidden_say_so() {
    for style in [
        "display:none",
        "DISPLAY : NONE !important",
        "display/**/:none",
        "visibility:hidden",
        "opacity:0",
        "opacity:0.05",
        "font-size:0",
        "font-size: 0px",
        "font:0/0 a",
        "font-size:1px",
        "color:#fff",
        "color:white",
        "color:rgba(0,0,0,0)",
        "color:transparent",
        "color:#ffff",
        "color:rgb(250, 250, 255)",
        "background:#000;color:#000",
        "background-color:black",
        "max-height:0;overflow:hidden",
        "height:0px;overflow:hidden",
        "width:0;overflow:hidden",
        "text-indent:-9999px",
        "position:absolute;left:-5000px",
        "mso-hide:all",
        "clip-path:inset(100%)",
        "transform:scale(0)",
    ] {
        let page = read(&format!("<p>Cancel</p><div style=\"{style}\">no</div>"));
        assert!(page.text.contains("[hidden: no]") || !page.certain, "{style}: {page:?}");
    }
    for hidden in ["<p hidden>no</p>", "<font color=white>no</font>", "<table bgcolor='#000000'><tr><td>no</table>"] {
        assert_eq!(text(hidden).trim(), "[hidden: no]", "{hidden}");
    }
}

#[test]
fn what_mail_programs_write_hides_nothing() {
    for style in [
        "color:#1b2028;background-color:#ffffff",
        "color:rgb(0,0,0)",
        "color:windowtext",
        "color:inherit",
        "font-size:11pt;font-family:Calibri,sans-serif",
        "font-size:12px",
        "margin:0;padding:0",
        "margin:0px 0px 0px 0.8ex;border-left:1px solid rgb(204,204,204);padding-left:1ex",
        "line-height:1.25;opacity:1",
        "text-decoration:none",
        "white-space:pre-wrap;caret-color:#000;color:#000",
        "background-color:#f3f4f6;color:#5b6472",
        "mso-fareast-language:EN-US",
        "display:inline-block;width:98%",
        "border:none;border-top:solid #E1E1E1 1.0pt;padding:3.0pt 0cm 0cm 0cm",
    ] {
        let page = read(&format!("<div style=\"{style}\">yes</div>"));
        assert_eq!(page, Page { text: "yes\n".into(), certain: true }, "{style}");
    }
}

#[test]
fn a_page_that_may_hide_words_is_not_certain() {
    for html in [
        "<style>.a{display:none}</style><p class=a>no</p>",
        "<head><style>p::before{content:'do not '}</style></head><p>cancel</p>",
        "<head><link rel=stylesheet href=x></head>a",
        "<img src=no.png>",
        "<svg><text>no</text></svg>",
        "<input value=no>",
        "<details><summary>a</summary>no</details>",
        "<span style=\"color:var(--x)\">a</span>",
        "<span style=\"dis\\70lay:none\">a</span>",
        "<div style=display:none><b>a</div>b",
        "a<b",
    ] {
        assert!(!read(html).certain, "{html}");
    }
    // What counts openings shows nothing.
    assert!(read("<img width=1 height=1 src=x>a<img style='width:1px;height:1px' src=x>").certain);
}

#[test]
fn a_bracket_within_an_attribute_ends_no_tag() {
    assert_eq!(text("<a title=\"a > b\" href='x>y'>link</a> it's <b>5'</b>"), "link it's 5'");
    assert_eq!(text("<a title=\"a>b"), "b");
}

#[test]
fn what_never_ends_ends_with_the_mail() {
    for html in ["a<style>b", "a<!-- b", "a<b", "a</", "a<blockquote"] {
        assert_eq!(text(html), "a", "{html}");
    }
    assert_eq!(text("a<"), "a<");
}

#[test]
fn marks_and_depth_are_bounded() {
    let page = read(&"<s>a</s>b<br>".repeat(MARKED_MAX + 1));
    assert_eq!((page.text.matches(STRUCK).count(), page.certain), (MARKED_MAX, false));
    assert!(!read(&"<b>".repeat(DEPTH_MAX + 1)).certain);
}

proptest! {
    #[test]
    fn whatever_comes_there_are_words(html in "(<[/!?]?[a-z]{0,10}[ >]?|<s>|<p hidden>|<!--|-->|&#?x?[0-9a-z]{0,7};?|\\PC|[\\r\\n\\t ]){0,60}") {
        prop_assert!(text(&html).len() <= 3 * html.len() + MARKS_BYTES_MAX);
    }
}
