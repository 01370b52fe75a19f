//! How an element of an HTML mail is shown, as far as that decides whether somebody sees its words.
//!
//! [`html`](crate::html) calls it. It does not lay a page out: what may hide words in ways that are not followed here makes
//! the page doubtful, and a person reads the mail.

/// Two colours that differ by less than this, in all three parts together, are read by few.
const SEEN_APART: u16 = 96;
/// The same for a style sheet, whose background is not known: what is closer to white than this is meant to be unseen.
const SEEN_ON_WHITE: u16 = 48;
/// As far as a box may be moved aside, in whatever unit, without its words leaving the page.
const MOVED_MAX: f32 = -50.0;
/// Least opacity that is seen.
const OPACITY_MIN: f32 = 0.3;
/// The least font size that is read, by unit: a third of what people write in.
const SIZES_MIN: [(&str, f32); 6] = [("px", 4.0), ("pt", 3.0), ("rem", 0.3), ("em", 0.3), ("%", 30.0), ("", 4.0)];
/// Most attributes of one element that are looked at. Mail programs write fewer than ten.
const ATTRIBUTES_MAX: usize = 100;
/// Properties that can hide words in ways that are not followed.
const OPAQUE: [&str; 10] =
    ["transform", "clip", "clip-path", "filter", "mask", "mask-image", "content", "content-visibility", "mix-blend-mode", "zoom"];
/// Properties that move a box.
const MOVING: [&str; 9] = ["left", "right", "top", "bottom", "margin", "margin-left", "margin-right", "margin-top", "letter-spacing"];
/// Properties that give a box its size.
const SIZING: [&str; 4] = ["height", "max-height", "width", "max-width"];
/// The names of colours that mail programs and people write.
const NAMED: [(&str, Rgb); 28] = [
    ("black", [0, 0, 0]),
    ("windowtext", [0, 0, 0]),
    ("white", [255, 255, 255]),
    ("window", [255, 255, 255]),
    ("snow", [255, 250, 250]),
    ("ivory", [255, 255, 240]),
    ("whitesmoke", [245, 245, 245]),
    ("ghostwhite", [248, 248, 255]),
    ("silver", [192, 192, 192]),
    ("lightgray", [211, 211, 211]),
    ("lightgrey", [211, 211, 211]),
    ("gray", [128, 128, 128]),
    ("grey", [128, 128, 128]),
    ("dimgray", [105, 105, 105]),
    ("maroon", [128, 0, 0]),
    ("red", [255, 0, 0]),
    ("purple", [128, 0, 128]),
    ("fuchsia", [255, 0, 255]),
    ("green", [0, 128, 0]),
    ("lime", [0, 255, 0]),
    ("olive", [128, 128, 0]),
    ("yellow", [255, 255, 0]),
    ("orange", [255, 165, 0]),
    ("navy", [0, 0, 128]),
    ("blue", [0, 0, 255]),
    ("darkblue", [0, 0, 139]),
    ("teal", [0, 128, 128]),
    ("aqua", [0, 255, 255]),
];

type Rgb = [u8; 3];

/// A style's colours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Colour {
    Of(Rgb),
    Clear,
    /// What it is without saying.
    Same,
}

/// How one element is shown.
#[derive(Debug, Default)]
pub struct Style {
    /// Nobody sees what is in it.
    pub hidden: bool,
    /// What is in it is struck out.
    pub struck: bool,
    /// Whether its words are seen is not known.
    pub doubtful: bool,
    /// It is a picture of one pixel, which counts openings and shows nothing.
    pub is_pixel: bool,
    text: Option<Colour>,
    ground: Option<Colour>,
    no_size: bool,
    cut_off: bool,
}

impl Style {
    /// The style of the element `name` with these attributes.
    pub fn of(name: &str, attributes: &str) -> Self {
        let mut style = Self::default();
        let mut pixels = 0;
        let (attributes, all) = self::attributes(attributes);
        style.doubtful = !all;
        for (attribute, value) in attributes {
            match attribute.as_str() {
                "hidden" => style.hidden = true,
                "style" => {
                    pixels += declarations(&value).filter(|(name, value)| matches!(*name, "width" | "height") && is_pixel(value)).count();
                    style.declare_all(&value);
                }
                "color" | "text" => style.text = style.colour(&value),
                "bgcolor" => style.ground = style.colour(&value),
                "background" => style.doubtful = true,
                "width" | "height" if is_pixel(&value) => pixels += 1,
                _ => {}
            }
        }
        style.hidden |= style.no_size && style.cut_off;
        style.is_pixel = name == "img" && pixels >= 2;
        style
    }

    fn declare_all(&mut self, text: &str) {
        let text = text.replace("&quot;", "\"");
        // Escapes are another way to write a name.
        self.doubtful |= text.contains(['\\', '&']);
        let text = without_comments(&text.to_ascii_lowercase());
        declarations(&text).for_each(|(name, value)| self.declare(name, value));
    }

    fn declare(&mut self, name: &str, value: &str) {
        let plain = matches!(value, "none" | "auto" | "normal" | "initial" | "inherit" | "unset" | "");
        match name {
            "display" => self.hidden |= value == "none",
            "visibility" => self.hidden |= matches!(value, "hidden" | "collapse"),
            "mso-hide" => self.hidden |= value == "all",
            "opacity" => match measure(value) {
                Some((opacity, unit)) => self.hidden |= opacity < if unit == "%" { 30.0 } else { OPACITY_MIN },
                None => self.doubtful |= !plain,
            },
            "font-size" => self.hidden |= is_tiny(value),
            "font" => self.hidden |= value.split_whitespace().any(|word| is_tiny(word.split('/').next().unwrap_or_default())),
            "line-height" => self.doubtful |= measure(value).is_some_and(|(height, _)| height < 0.5),
            "color" | "-webkit-text-fill-color" => self.text = self.colour(value),
            "background-color" => self.ground = self.colour(value),
            "background" | "background-image" => self.backed(value),
            "overflow" | "overflow-x" | "overflow-y" => self.cut_off |= matches!(value, "hidden" | "clip"),
            "text-indent" => self.hidden |= is_moved(value),
            "position" => self.doubtful |= matches!(value, "absolute" | "fixed"),
            "unicode-bidi" => self.doubtful |= value.contains("override"),
            _ if name.starts_with("text-decoration") => self.struck |= value.contains("line-through"),
            _ if OPAQUE.contains(&name) => self.doubtful |= !plain,
            _ if MOVING.contains(&name) => self.doubtful |= value.split_whitespace().any(is_moved),
            _ if SIZING.contains(&name) => self.no_size |= measure(value).is_some_and(|(size, _)| size < 2.0),
            _ => {}
        }
    }

    fn backed(&mut self, value: &str) {
        self.doubtful |= value.contains("url(") || value.contains("gradient(");
        let colour = [value].into_iter().chain(value.split_whitespace()).find_map(colour);
        self.ground = colour.filter(|colour| *colour != Colour::Same).or(self.ground);
    }

    fn colour(&mut self, value: &str) -> Option<Colour> {
        let colour = colour(value);
        self.doubtful |= colour.is_none();
        colour
    }
}

/// The colours of words and of what they stand on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Colours {
    text: Rgb,
    ground: Rgb,
    clear: bool,
}

impl Default for Colours {
    fn default() -> Self {
        Self { text: [0; 3], ground: [255; 3], clear: false }
    }
}

impl Colours {
    /// The colours within an element of this style.
    pub fn under(mut self, style: &Style) -> Self {
        match style.text {
            Some(Colour::Of(text)) => (self.text, self.clear) = (text, false),
            Some(Colour::Clear) => self.clear = true,
            Some(Colour::Same) | None => {}
        }
        if let Some(Colour::Of(ground)) = style.ground {
            self.ground = ground;
        }
        self
    }

    /// Whether words in these colours are hidden.
    pub fn hide(&self) -> bool {
        self.clear || apart(self.text, self.ground) < SEEN_APART
    }
}

/// Whether a style sheet may hide, strike out or add words.
pub fn may_hide(sheet: &str) -> bool {
    let sheet = without_comments(&sheet.to_ascii_lowercase());
    let hides = |declaration: &str| {
        let Some((name, value)) = declared(declaration) else { return false };
        let mut style = Style::default();
        style.declare(name, value);
        let pale = match style.text {
            Some(Colour::Of(text)) => apart(text, [255; 3]) < SEEN_ON_WHITE,
            text => text == Some(Colour::Clear),
        };
        style.hidden || style.struck || style.doubtful || style.no_size || pale
    };
    sheet.contains('\\') || sheet.contains("@import") || sheet.split(['{', '}', ';']).any(hides)
}

/// Names and values, in lower case where `text` is.
fn declarations(text: &str) -> impl Iterator<Item = (&str, &str)> {
    text.split(';').filter_map(declared)
}

fn declared(declaration: &str) -> Option<(&str, &str)> {
    let (name, value) = declaration.split_once(':')?;
    let value = value.split('!').next().unwrap_or_default();
    Some((name.trim(), value.trim()))
}

fn without_comments(css: &str) -> String {
    let mut bare = String::with_capacity(css.len());
    let mut rest = css;
    while let Some((before, comment)) = rest.split_once("/*") {
        bare.push_str(before);
        rest = comment.split_once("*/").map_or("", |(_, after)| after);
    }
    bare.push_str(rest);
    bare
}

/// A number and its unit.
fn measure(value: &str) -> Option<(f32, &str)> {
    let end = value.find(|c: char| !(c.is_ascii_digit() || matches!(c, '.' | '-' | '+'))).unwrap_or(value.len());
    Some((value[..end].parse().ok()?, value[end..].trim()))
}

fn is_tiny(value: &str) -> bool {
    let Some((size, unit)) = measure(value) else { return false };
    SIZES_MIN.iter().any(|(of, least)| *of == unit && size < *least) || size <= 0.0
}

fn is_moved(value: &str) -> bool {
    measure(value).is_some_and(|(by, unit)| by < MOVED_MAX || by < -2.0 && matches!(unit, "em" | "rem" | "ex" | "in" | "cm"))
}

fn is_pixel(value: &str) -> bool {
    matches!(value.trim(), "0" | "1" | "0px" | "1px")
}

/// The colour of this value, [`None`] where it is none that is known.
fn colour(value: &str) -> Option<Colour> {
    let value = value.trim().to_ascii_lowercase();
    if let Some(hex) = value.strip_prefix('#') {
        return hexadecimal(hex);
    }
    if let Some(parts) = value.strip_prefix("rgba(").or_else(|| value.strip_prefix("rgb(")) {
        let mut parts = parts.trim_end_matches(')').split([',', ' ', '/']).filter(|part| !part.is_empty());
        let mut part = || parts.next().and_then(|part| part.parse::<f32>().ok());
        let (red, green, blue) = (part()?, part()?, part()?);
        let opacity = parts.next().map_or(Some(1.0), |part| part.parse::<f32>().ok())?;
        let byte = |part: f32| part.clamp(0.0, 255.0).round().to_string().parse::<u8>().ok();
        return Some(if opacity < OPACITY_MIN { Colour::Clear } else { Colour::Of([byte(red)?, byte(green)?, byte(blue)?]) });
    }
    match value.as_str() {
        "transparent" => Some(Colour::Clear),
        "inherit" | "initial" | "currentcolor" | "unset" | "none" | "auto" => Some(Colour::Same),
        name => NAMED.iter().find(|(known, _)| *known == name).map(|(_, rgb)| Colour::Of(*rgb)),
    }
}

fn hexadecimal(hex: &str) -> Option<Colour> {
    let digits: Vec<u8> = hex.chars().map(|c| c.to_digit(16).and_then(|digit| u8::try_from(digit).ok())).collect::<Option<_>>()?;
    let (rgb, opacity) = match digits[..] {
        [r, g, b] => ([r * 17, g * 17, b * 17], 255),
        [r, g, b, a] => ([r * 17, g * 17, b * 17], a * 17),
        [r, s, g, h, b, c] => ([r << 4 | s, g << 4 | h, b << 4 | c], 255),
        [r, s, g, h, b, c, a, d] => ([r << 4 | s, g << 4 | h, b << 4 | c], a << 4 | d),
        _ => return None,
    };
    Some(if opacity < 77 { Colour::Clear } else { Colour::Of(rgb) })
}

fn apart(one: Rgb, other: Rgb) -> u16 {
    one.iter().zip(other).map(|(one, other)| u16::from(one.abs_diff(other))).sum()
}

/// Names, in lower case, and values of attributes, and whether these are all.
fn attributes(text: &str) -> (Vec<(String, String)>, bool) {
    let mut found = Vec::new();
    let mut rest = text.trim_start_matches(|c: char| c.is_whitespace() || c == '/');
    while !rest.is_empty() && found.len() < ATTRIBUTES_MAX {
        let end = rest.find(|c: char| c.is_whitespace() || matches!(c, '=' | '/')).unwrap_or(rest.len());
        let name = rest[..end].to_ascii_lowercase();
        rest = rest[end..].trim_start();
        let mut value = "";
        if let Some(after) = rest.strip_prefix('=') {
            let after = after.trim_start();
            let quoted = ['"', '\''].iter().find_map(|quote| after.strip_prefix(*quote)?.split_once(*quote));
            (value, rest) = quoted.unwrap_or_else(|| after.split_at(after.find(char::is_whitespace).unwrap_or(after.len())));
        }
        found.push((name, value.to_owned()));
        rest = rest.trim_start_matches(|c: char| c.is_whitespace() || c == '/' || c == '=');
    }
    (found, rest.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attributes_are_read_however_they_are_quoted() {
        let read = attributes(r#" Hidden style="a: 'b'; c" width=1 title='x > "y"' / alt="#).0;
        let read: Vec<_> = read.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        assert_eq!(read, [("hidden", ""), ("style", "a: 'b'; c"), ("width", "1"), ("title", "x > \"y\""), ("alt", "")]);
        assert!(!attributes(&" a".repeat(ATTRIBUTES_MAX + 1)).1 && attributes(&" a".repeat(ATTRIBUTES_MAX)).1);
    }

    #[test]
    fn colours_are_read_as_mail_programs_write_them() {
        for (value, expected) in [
            ("#1b2028", Some(Colour::Of([0x1b, 0x20, 0x28]))),
            ("#FFF", Some(Colour::Of([255; 3]))),
            ("#fff0", Some(Colour::Clear)),
            ("#00000010", Some(Colour::Clear)),
            ("rgb(33, 33, 33)", Some(Colour::Of([33; 3]))),
            ("rgb(0 0 0 / 0.1)", Some(Colour::Clear)),
            ("rgba(1,2,3,1)", Some(Colour::Of([1, 2, 3]))),
            ("WindowText", Some(Colour::Of([0; 3]))),
            ("transparent", Some(Colour::Clear)),
            ("inherit", Some(Colour::Same)),
            ("var(--x)", None),
            ("#12", None),
            ("hsl(0,0%,100%)", None),
        ] {
            assert_eq!(colour(value), expected, "{value}");
        }
    }

    #[test]
    fn style_sheets_that_can_hide_words_are_told_from_others() {
        for sheet in [
            ".a{display:none}",
            ".a { color: red; DISPLAY : None }",
            "p::after{content:\"not\"}",
            ".a{color:#fff}",
            ".a{text-decoration:line-through}",
            "@import url(x)",
            ".a{dis\\70lay:none}",
            "@media all{.a{opacity:0}}",
            ".a{max-height:0}",
        ] {
            assert!(may_hide(sheet), "{sheet}");
        }
        let ours = include_str!("../../../shared/mailer/templates/layout.html");
        let ours = ours.split("<style>").nth(1).and_then(|rest| rest.split("</style>").next()).unwrap();
        for sheet in [
            ours,
            " P {margin-top:0;margin-bottom:0;} ",
            "<!-- @font-face {font-family:Calibri; panose-1:2 15 5 2 2 2 4 3 2 4;} p.MsoNormal {margin:0cm; font-size:11.0pt;} -->",
            "span.E {mso-style-type:personal-reply; color:windowtext;} @page W {size:612.0pt 792.0pt; margin:70.85pt;}",
            "a:link {color:#0563C1; text-decoration:underline;}",
        ] {
            assert!(!may_hide(sheet), "{sheet}");
        }
    }
}
