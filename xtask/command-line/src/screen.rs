//! What fits on a line: the terminal's width, and texts, commands and tables that are cut or wrapped to it.
//!
//! A width is [`None`] where there is no terminal: then nothing is cut or wrapped, because a program reads it. It does not
//! colour: callers cut first and colour afterwards, and only [`columns`] and [`wrapped`] look past colours.

use std::{io::IsTerminal, os::fd::AsFd};
use unicode_width::{UnicodeWidthChar as _, UnicodeWidthStr as _};

/// As wide as a terminal is unless somebody has changed it. All that is printed of usual contents fits.
pub const USUAL_WIDTH: usize = 80;
/// No column of a table is cut below it, as long as the table fits by cutting the others.
const CELL_MIN: usize = 8;
/// Two columns of a table stand this far apart.
const GAP: &str = "  ";
/// The mark for cut text.
const CUT: char = '…';

/// `cargo xtask simulate --seed 7 | head` closes the pipe. `println!` panics then, which stops everything as it should; only the
/// report of it is left out.
pub fn end_quietly_when_nobody_reads() {
    let report = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        if !panic.payload_as_str().is_some_and(|what| what.contains("Broken pipe")) {
            report(panic);
        }
    }));
}

/// How wide the terminal behind `stream` is; [`None`] where there is no terminal.
pub fn width(stream: &(impl IsTerminal + AsFd)) -> Option<usize> {
    if !stream.is_terminal() {
        return None;
    }
    let size = terminal_size::terminal_size_of(stream).map(|(width, _)| usize::from(width.0));
    // A terminal that was never told its size says 0.
    Some(size.filter(|width| *width > 0).unwrap_or(USUAL_WIDTH))
}

/// How many columns a terminal takes for `text`, colours left out.
pub fn columns(text: &str) -> usize {
    // `ESC [ … m`
    let mut pieces = text.split("\x1b[");
    let plain = pieces.next().map_or(0, |piece| piece.width());
    plain + pieces.map(|piece| piece.split_once('m').map_or(0, |(_, rest)| rest.width())).sum::<usize>()
}

/// A line without colours, cut to `width` columns; control characters would be the terminal's and are left out.
pub fn cut(text: &str, width: Option<usize>) -> String {
    let text: String = text.chars().filter(|c| !c.is_control()).collect();
    let Some(width) = width.filter(|width| text.width() > *width) else { return text };
    let (mut cut, mut used) = (String::new(), CUT.width().unwrap_or(1));
    for c in text.chars() {
        used += c.width().unwrap_or(0);
        if used > width {
            break;
        }
        cut.push(c);
    }
    cut.truncate(cut.trim_end().len());
    if width > 0 {
        cut.push(CUT);
    }
    cut
}

/// Parts that stay whole, laid out in lines of `width` columns, `gap` between them. The first line begins with `first`, the others
/// with `rest`. No line break at the end.
pub fn wrapped<S: AsRef<str>>(parts: impl IntoIterator<Item = S>, gap: &str, [first, rest]: [&str; 2], width: Option<usize>) -> String {
    let mut text = first.to_owned();
    let (mut used, mut is_empty) = (columns(first), true);
    for part in parts {
        let part = part.as_ref();
        let wide = columns(part);
        if !is_empty && width.is_some_and(|width| used + columns(gap) + wide > width) {
            text.truncate(text.trim_end_matches(' ').len());
            text.push('\n');
            text.push_str(rest);
            (used, is_empty) = (columns(rest), true);
        }
        if !is_empty {
            text.push_str(gap);
            used += columns(gap);
        }
        text.push_str(part);
        (used, is_empty) = (used + wide, false);
    }
    text
}

/// Sentences, wrapped between words, each line behind `indent`. Their own line breaks stay.
pub fn sentences(text: &str, indent: &str, width: Option<usize>) -> String {
    let lines: Vec<_> = text.lines().map(|line| paragraph(line, indent, width)).collect();
    lines.join("\n")
}

/// A line that goes on below its own beginning.
fn paragraph(line: &str, indent: &str, width: Option<usize>) -> String {
    let own: String = line.chars().take_while(|c| *c == ' ').collect();
    let indent = format!("{indent}{own}");
    wrapped(line.trim_start_matches(' ').split(' '), " ", [&indent, &indent], width)
}

/// Lines of a story, wrapped between words: each goes on behind `indent`, below what it tells. The blanks in it stay.
pub fn hanging(text: &str, indent: &str, width: Option<usize>) -> String {
    let lines: Vec<_> = text.lines().map(|line| wrapped(line.split(' '), " ", ["", indent], width)).collect();
    lines.join("\n")
}

/// A command to type, wrapped by backslashes between its words, so that it can be pasted as it stands.
pub fn command(line: &str, indent: &str, width: Option<usize>) -> String {
    const GOES_ON: &str = " \\";
    if width.is_none_or(|width| columns(indent) + columns(line) <= width) {
        return format!("{indent}{line}");
    }
    let further = format!("{indent}    ");
    let width = width.map(|width| width.saturating_sub(GOES_ON.len()));
    wrapped(words(line), " ", [indent, &further], width).replace('\n', &format!("{GOES_ON}\n"))
}

/// The words of a command as they are written: quotes hold together, and so do a flag and its value.
fn words(line: &str) -> Vec<String> {
    let (mut words, mut quote) = (vec![String::new()], None);
    let is_waiting = |flag: &str, rest: &str| flag.starts_with("--") && !flag.contains([' ', '=']) && !rest.starts_with('-');
    let mut rest = line.chars();
    while let Some(c) = rest.next() {
        match (quote, c, words.last_mut()) {
            (None, ' ', Some(flag)) if is_waiting(flag, rest.as_str()) => flag.push(' '),
            (None, ' ', _) => words.push(String::new()),
            (_, _, Some(word)) => word.push(c),
            (_, _, None) => {}
        }
        quote = match quote {
            Some(open) if open == c => None,
            None if matches!(c, '\'' | '"') => Some(c),
            quote => quote,
        };
    }
    words
}

/// How the columns of a table are laid out.
#[derive(Debug, Clone, Copy)]
pub struct Layout<'l> {
    /// The columns that are aligned to the right.
    pub numbers: &'l [usize],
    /// The columns that are cut where the table is too wide, the widest first.
    pub flexible: &'l [usize],
    /// The terminal's.
    pub width: Option<usize>,
}

/// Rows of cells as lines whose columns are aligned.
pub fn table<const COLUMNS: usize>(rows: &[[String; COLUMNS]], layout: Layout<'_>) -> Vec<String> {
    let natural = |column: usize| rows.iter().map(|row| row[column].width()).max().unwrap_or(0);
    let widths: [usize; COLUMNS] = narrowed(std::array::from_fn(natural), layout);
    let line = |row: &[String; COLUMNS]| {
        let cells = row.iter().enumerate().map(|(at, cell)| {
            let cell = cut(cell, layout.width.map(|_| widths[at]));
            let blank = " ".repeat(widths[at].saturating_sub(cell.width()));
            if layout.numbers.contains(&at) { blank + &cell } else { cell + &blank }
        });
        cells.collect::<Vec<_>>().join(GAP).trim_end().to_owned()
    };
    // A terminal that is narrower than what cannot be cut.
    rows.iter().map(line).map(|line| cut(&line, layout.width)).collect()
}

/// The widths that fit, as far as flexible columns allow it.
fn narrowed<const COLUMNS: usize>(mut widths: [usize; COLUMNS], layout: Layout<'_>) -> [usize; COLUMNS] {
    let Some(width) = layout.width else { return widths };
    let gaps = GAP.len() * COLUMNS.saturating_sub(1);
    while widths.iter().sum::<usize>() + gaps > width {
        let widest = layout.flexible.iter().copied().filter(|at| widths[*at] > CELL_MIN).max_by_key(|at| widths[*at]);
        match widest {
            Some(at) => widths[at] -= 1,
            None => break,
        }
    }
    widths
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_cut_at_the_width_and_not_without_a_terminal() {
        assert_eq!(cut("Compiling domain", Some(10)), "Compiling…");
        assert_eq!(cut("Compiling", Some(9)), "Compiling");
        assert_eq!(cut("Compiling domain", None), "Compiling domain");
        assert_eq!(cut("a\x1b[2Jb\r", Some(80)), "a[2Jb");
        assert_eq!((cut("ab", Some(1)), cut("ab", Some(0))), ("…".to_owned(), String::new()));
    }

    /// A CJK character takes two columns.
    #[test]
    fn columns_are_counted_as_a_terminal_counts_them() {
        assert_eq!((columns("青い"), columns("\x1b[1mbold\x1b[0m"), columns("")), (4, 4, 0));
        assert_eq!(cut("青いマグ", Some(5)), "青い…");
    }

    #[test]
    fn parts_stay_whole_and_go_on_below() {
        let parts = ["2 × Blue mug", "1 × Teapot", "69.00 EUR"];
        assert_eq!(wrapped(parts, ", ", ["> ", "  "], Some(26)), "> 2 × Blue mug, 1 × Teapot\n  69.00 EUR");
        assert_eq!(wrapped(parts, ", ", ["> ", "  "], None), "> 2 × Blue mug, 1 × Teapot, 69.00 EUR");
        assert_eq!(wrapped(["a part that is too long", "b"], " ", ["", ""], Some(10)), "a part that is too long\nb");
    }

    #[test]
    fn sentences_keep_their_own_lines_and_indents() {
        assert_eq!(sentences("one two three\n  four five", " ", Some(9)), " one two\n three\n   four\n   five");
    }

    #[test]
    fn a_line_of_a_story_goes_on_below_what_it_tells() {
        let line = "  1.0 s  payment   takes order.placed";
        assert_eq!(hanging(line, "         ", Some(25)), "  1.0 s  payment   takes\n         order.placed");
        assert_eq!(hanging(line, "         ", None), line);
        assert_eq!(hanging("a\n  b c", " ", Some(4)), "a\n  b\n c");
    }

    #[test]
    fn a_wrapped_command_can_be_pasted() {
        let line = "cargo xtask dlq discard payment --reason 'a b'";
        assert_eq!(command(line, "  ", None), format!("  {line}"));
        let short = command(line, "  ", Some(28));
        assert_eq!(short, "  cargo xtask dlq discard \\\n      payment \\\n      --reason 'a b'");
        assert!(short.lines().all(|line| columns(line) <= 28));
    }

    #[test]
    fn a_table_fits_by_cutting_its_flexible_columns() {
        let rows = [["N", "NAME", "WHY"], ["1", "a-name-of-some-length", "why it is here at all"]].map(|row| row.map(str::to_owned));
        let layout = |width| Layout { numbers: &[0], flexible: &[1, 2], width };
        let whole = table(&rows, layout(None));
        assert_eq!(whole, ["N  NAME                   WHY", "1  a-name-of-some-length  why it is here at all"]);
        let fits = table(&rows, layout(Some(30)));
        assert_eq!(fits, ["N  NAME           WHY", "1  a-name-of-so…  why it is h…"]);
        assert!(table(&rows, layout(Some(12))).iter().all(|line| columns(line) <= 12));
    }
}
