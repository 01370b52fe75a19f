//! Lists as they come: line by line, with every form of an unusable line.

use super::*;
use lambda_kit::Kind;

fn columns(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

fn csv(text: &str) -> Vec<Line> {
    parse(text.as_bytes(), Format::Csv, &columns(&["name"])).unwrap()
}

fn refusal(bytes: &[u8], format: Format) -> (Kind, String, String) {
    let failure = parse(bytes, format, &columns(&["name"])).unwrap_err();
    (failure.kind, failure.error_type, failure.message)
}

/// Number, address, and the name of a recipient or what else the line is.
fn shown(lines: &[Line]) -> Vec<(u32, &str, &str)> {
    let what = |entry| match entry {
        &Entry::Recipient(Recipient { ref values, .. }) => values.0["name"].as_str(),
        Entry::Duplicate => "duplicate",
        Entry::InvalidAddress => "invalid address",
        Entry::InvalidLine => "invalid line",
    };
    lines.iter().map(|line| (line.number, line.address.0.as_str(), what(&line.entry))).collect()
}

#[test]
fn a_list_is_read_line_by_line_in_any_order_of_columns() {
    let list = csv("shoe size,Name , EMAIL\n38,Ada,ada@example.com\n41, Bob ,bob@example.com\n");
    assert_eq!(shown(&list), [(2, "ada@example.com", "Ada"), (3, "bob@example.com", "Bob")]);
    let Entry::Recipient(ada) = &list[0].entry else { panic!("no recipient") };
    assert_eq!(ada.customer_id, CustomerId::from_email(&"ADA@example.com".parse().unwrap()));
    assert_eq!(ada.values.0.len(), 1, "what the template does not name is not kept");
}

#[test]
fn line_ends_byte_order_mark_blank_lines_and_quotes_change_nothing() {
    let windows = "\u{feff}\"email\",\"name\"\r\n\"ada@example.com\",\"Lovelace, Ada \"\"Countess\"\"\"\r\n\r\n  \r\nbob@example.com,Bob";
    assert_eq!(shown(&csv(windows)), [(2, "ada@example.com", "Lovelace, Ada \"Countess\""), (5, "bob@example.com", "Bob")]);
}

#[test]
fn a_broken_line_spoils_no_other_line() {
    let list = csv(concat!(
        "email,name\n",
        "a@example.com,\"never closed\"\"\n",
        "b@example.com,Bob\n",
        "c@example.com\n",
        "d@example.com,Dora,extra\n",
        "not an address,Eve\n",
        "f@example.com,\n",
        "g@example.com,\u{200b}\u{3164}\n",
        "h@example.com,Hal",
    ));
    let expected = [
        (2, "", "invalid line"),
        (3, "b@example.com", "Bob"),
        (4, "", "invalid line"),
        (5, "", "invalid line"),
        (6, "not an address", "invalid address"),
        (7, "f@example.com", "invalid line"),
        (8, "g@example.com", "invalid line"),
        (9, "h@example.com", "Hal"),
    ];
    assert_eq!(shown(&list), expected);
}

/// Excel for the Mac: as one line of LF the whole list would be its header, and the campaign would end with nobody mailed.
#[test]
fn a_list_with_carriage_returns_alone_is_read() {
    let list = include_bytes!("../../tests/fixtures/cr-only.csv");
    assert!(list.contains(&b'\r') && !list.contains(&b'\n'));
    let list = parse(list, Format::Csv, &columns(&["name", "voucher"])).unwrap();
    assert_eq!(shown(&list), [(2, "ada@example.com", "Ada"), (3, "bob@example.com", "Bob")]);
    let mixed = csv("email,name\r\na@example.com,Ada\rb@example.com,Bob\n\rc@example.com,Cy");
    assert_eq!(shown(&mixed), [(2, "a@example.com", "Ada"), (3, "b@example.com", "Bob"), (5, "c@example.com", "Cy")]);
}

#[test]
fn an_unusual_header_is_read_where_it_can_mean_one_thing_only() {
    for header in [
        "Email Address,name",
        "E-Mail,NAME",
        "email_address , Name",
        "sep=,\nemail,name",
        "\"sep=,\",\r\nemail,name",
        "\u{feff}\u{feff}email,name",
        "\u{feff}\"email\",\"name\"",
        "\"\u{feff}email\",\"name\"",
        "\n \nemail,name",
    ] {
        assert_eq!(csv(&format!("{header}\nada@example.com,Ada\n")).len(), 1, "{header:?}");
    }
    for separator in [";", "\t", "|"] {
        for header in ["email,name", "Name,Email Address", "sep=,\nemail,name"] {
            let list = format!("{header}\nada@example.com,ada@example.com\n").replace(',', separator);
            assert_eq!(shown(&csv(&list))[0].2, "ada@example.com", "{list:?}");
        }
    }
    assert_eq!(shown(&csv("email;name\nada@example.com;\"A;B\"\n"))[0].2, "A;B");
    assert_eq!(shown(&csv("Email Address,email,name\nnobody,ada@example.com,Ada\n"))[0].1, "ada@example.com", "the exact name counts");
}

#[test]
fn a_list_in_utf_16_is_read() {
    let list: Vec<u8> = "email\tname\r\nzoe@example.com\tZoë\r\n".encode_utf16().flat_map(u16::to_le_bytes).collect();
    assert_eq!(shown(&parse(&list, Format::Csv, &columns(&["name"])).unwrap()), [(2, "zoe@example.com", "Zoë")]);
}

#[test]
fn a_line_that_is_too_long_is_that_lines_alone() {
    let long = "x".repeat(LINE_BYTES_MAX);
    let list = csv(&format!("email,name\na@example.com,{long}\nb@example.com,Bob\n"));
    assert_eq!(shown(&list), [(2, "", "invalid line"), (3, "b@example.com", "Bob")]);
}

#[test]
fn an_address_counts_once_in_whatever_case_and_its_first_usable_line_counts() {
    let list = csv("email,name\na@example.com,\nA@example.com,Ada\na@EXAMPLE.com,Other\n");
    let expected = [(2, "a@example.com", "invalid line"), (3, "A@example.com", "Ada"), (4, "a@EXAMPLE.com", "duplicate")];
    assert_eq!(shown(&list), expected);
}

#[test]
fn lines_of_json_are_read_and_broken_ones_stand_in_the_list() {
    let text = concat!(
        r#"{"email": "ada@example.com", "name": "Ada"}"#,
        "\r\n",
        r#"{"email": "bob@example.com", "name": 7, "more": {"ignored": true}}"#,
        "\n{\"email\": \"c@example.com\"\n",
        r#"{"email": "dora@example.com"}"#,
        "\n[]\n\n",
        r#"{"name": "Eve"}"#,
        "\n",
        r#"{"email": "f@example.com", "name": "Bcc:\r\nx"}"#,
    );
    let list = parse(text.as_bytes(), Format::Ndjson, &columns(&["name"])).unwrap();
    let expected = [
        (1, "ada@example.com", "Ada"),
        (2, "bob@example.com", "7"),
        (3, "", "invalid line"),
        (4, "dora@example.com", "invalid line"),
        (5, "", "invalid line"),
        (7, "", "invalid line"),
        (8, "f@example.com", "invalid line"),
    ];
    assert_eq!(shown(&list), expected);
}

#[test]
fn a_list_without_a_mailable_line_is_refused() {
    for (text, error_type, says) in [
        ("", "ListEmpty", "put recipients into it"),
        (" \r\n\n", "ListEmpty", "put recipients into it"),
        ("email,name\r\n", "ListEmpty", "put recipients into it"),
        ("sep=,\n", "ListEmpty", "put recipients into it"),
        ("name\nAda\n", "NoEmailColumn", "call the column of addresses so"),
        ("Primary mail,name\nada@example.com,Ada\n", "NoEmailColumn", "call the column of addresses so"),
        ("ada@example.com,Ada\nbob@example.com,Bob\n", "NoHeader", "put a line such as"),
        ("\"email,name\"\n\"ada@example.com,Ada\"\n", "LinesQuoted", "not around lines"),
        ("sep=:\nemail:name\nada@example.com:Ada\n", "UnknownSeparator", "sep="),
        ("E-Mail,Email Address,name\nada@example.com,,Ada\n", "ColumnTwice", "call the right one `email`"),
        ("email\nada@example.com\n", "ColumnMissing", "no column `name`"),
        ("email;Name of Ada\nada@example.com;Ada\n", "ColumnMissing", "no column `name`"),
        ("email,name,Name\nada@example.com,Ada,Bob\n", "ColumnTwice", "two columns `name`"),
        ("{\"email\": \"ada@example.com\"}\n", "ListIsJson", ".ndjson"),
    ] {
        let (kind, found, message) = refusal(text.as_bytes(), Format::Csv);
        assert_eq!((kind, found.as_str()), (Kind::Permanent, error_type), "{text:?}");
        assert!(message.contains(says) && !message.contains("Ada") && !message.contains("ada@"), "{message}");
    }
    for text in ["", "\n \n"] {
        assert_eq!(refusal(text.as_bytes(), Format::Ndjson).1, "ListEmpty");
    }
    for text in ["[\n{\"email\": \"a@example.com\"}\n]", "[{\"email\": \"a@example.com\"}]", "{\n\"email\": 1}", "email,name\na,b\n"] {
        assert_eq!(refusal(text.as_bytes(), Format::Ndjson).1, "ListNotNdjson", "{text:?}");
    }
}

#[test]
fn text_that_is_not_utf_8_is_refused_with_its_line() {
    let (kind, error_type, message) = refusal(b"email,name\na@example.com,Ada\nz@example.com,Zo\xeb\n", Format::Csv);
    assert_eq!((kind, error_type.as_str()), (Kind::Permanent, "ListNotUtf8"));
    assert!(message.starts_with("line 3 of the list"), "{message}");
}

#[test]
fn a_list_over_its_limits_is_refused_and_one_within_not() {
    let long = |lines: usize| format!("email,name\n{}", "x,y\n".repeat(lines));
    assert_eq!(csv(&long(LIST_LINES_MAX)).len(), LIST_LINES_MAX);
    assert_eq!(refusal(long(LIST_LINES_MAX + 1).as_bytes(), Format::Csv).1, "ListTooLong");
    assert_eq!(refusal(&[b','; LINE_BYTES_MAX + 1], Format::Csv).1, "HeaderTooLong");
    assert_eq!(refusal(&vec![b'\n'; LIST_BYTES_MAX + 1], Format::Ndjson).1, "ListTooLarge");
}

#[test]
fn debug_output_hides_who_is_on_the_list() {
    let shown = format!("{:?}", csv("email,name\nada@example.com,Lovelace\n"));
    assert!(!shown.contains("ada@") && !shown.contains("Lovelace"), "{shown}");
}
