//! `cargo xtask mail-preview`: every mail that the pipeline can send, rendered with sample data, to HTML files and an index.
//!
//! It calls what the functions render with. It does not know a mail by itself: a new one shows here because its function
//! lists it.
#![expect(clippy::print_stdout, reason = "a command line tool speaks on standard output")]

use anyhow::{Context, Result};
use mailer::Mail;
use std::{fmt::Write as _, fs, path::PathBuf};

/// Widths at which the index shows each mail, in pixels: a phone, and the reading pane of a mail program.
const WIDTHS: [u32; 2] = [375, 800];

fn main() -> Result<()> {
    let folder = PathBuf::from(std::env::args_os().nth(1).context("name the folder to write to")?);
    fs::create_dir_all(&folder)?;
    let mails: Vec<(&str, &str, Mail)> = [
        ("welcome-email", welcome_email::samples::samples()),
        ("order-email", order_email::samples::samples()),
        ("email-inbound", email_inbound::samples::samples()),
        ("email-campaign", email_campaign::samples::samples()),
    ]
    .into_iter()
    .flat_map(|(function, samples)| samples.into_iter().map(move |(name, mail)| (function, name, mail)))
    .collect();
    let mut index = String::from(
        "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>Mails</title><style>body{font:16px/1.5 system-ui;margin:24px}\
         iframe{border:1px solid #ccc;height:720px;vertical-align:top}pre{background:#f6f6f6;padding:12px;white-space:pre-wrap;max-width:80ch}\
         </style><h1>Mails</h1>",
    );
    for (function, name, mail) in &mails {
        let file = format!("{function}-{name}.html");
        fs::write(folder.join(&file), &mail.html)?;
        write!(index, "<h2>{function}: {name}</h2><p><b>{}</b> · <a href=\"{file}\">{file}</a></p>", escaped(&mail.subject))?;
        for width in WIDTHS {
            write!(index, "<iframe title=\"{name} at {width} pixels\" src=\"{file}\" width=\"{width}\"></iframe> ")?;
        }
        write!(index, "<details><summary>text</summary><pre>{}</pre></details>", escaped(&mail.text))?;
    }
    let index_file = folder.join("index.html");
    fs::write(&index_file, index)?;
    println!("{} mails: {}", mails.len(), index_file.display());
    Ok(())
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;")
}
