//! `completions`: a script by which bash, zsh or fish completes `cargo xtask`, made from clap's own definition of the commands.
//!
//! clap_complete writes it for a program called `xtask`; what is added here lets the completion of `cargo` find it. The names of
//! functions are those of this checkout, as they are when the script is made.

use crate::cli;
use anyhow::Result;
use clap::{Args, ValueEnum};
use clap_complete::Shell;
use command_line::screen::USUAL_WIDTH;

/// What the script completes by itself.
const PROGRAM: &str = "xtask";

#[derive(Args)]
#[command(after_help = "For this session: source <(cargo xtask completions bash), or the same with zsh; in fish: \
                        cargo xtask completions fish | source. For all of them write that into the shell's start-up file.")]
pub struct Options {
    /// Which shell
    #[arg(value_enum)]
    shell: Known,
}

/// The shells whose completion of cargo is known here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Known {
    Bash,
    Zsh,
    Fish,
}

pub fn print(options: &Options) -> Result<()> {
    operate::deployed::print(&script(options.shell))
}

fn script(shell: Known) -> String {
    let (of, hook) = match shell {
        Known::Bash => (Shell::Bash, BASH),
        Known::Zsh => (Shell::Zsh, ZSH),
        Known::Fish => (Shell::Fish, FISH),
    };
    let mut script = Vec::new();
    let mut command = cli::command(USUAL_WIDTH).name(PROGRAM).bin_name(PROGRAM);
    clap_complete::generate(of, &mut command, PROGRAM, &mut script);
    String::from_utf8_lossy(&script).into_owned() + hook
}

/// What follows `cargo xtask` is completed as if it followed `xtask`; all else as before.
const BASH: &str = r#"
_cargo_with_xtask() {
    if [[ ${COMP_CWORD} -gt 1 && ${COMP_WORDS[1]} == xtask ]]; then
        local COMP_WORDS=("${COMP_WORDS[@]:1}") COMP_CWORD=$((COMP_CWORD - 1))
        _xtask xtask "${COMP_WORDS[COMP_CWORD]}" "${COMP_WORDS[COMP_CWORD - 1]}"
    elif declare -F _cargo > /dev/null; then
        _cargo "$@"
    fi
}
complete -F _cargo_with_xtask -o bashdefault -o default cargo
"#;

/// Cargo's own completion for zsh, which rustup brings, calls a function of this name.
const ZSH: &str = r#"
_cargo-xtask() { _xtask "$@" }
"#;

/// The line without its first word, completed.
const FISH: &str = r#"
complete -c cargo -n "__fish_seen_subcommand_from xtask" -f -a '(complete -C (string replace -r "^\s*\S+\s+" "" -- (commandline -cp)))'
"#;

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    /// By bash itself, as it does when Tab is pressed.
    #[test]
    fn bash_completes_commands_flags_and_functions() {
        let complete = |words: &[&str]| {
            let line = words.join("' '");
            let press = format!(
                "COMP_WORDS=('{line}'); COMP_CWORD={}; _cargo_with_xtask cargo '' ''; printf '%s\\n' \"${{COMPREPLY[@]}}\"",
                words.len() - 1
            );
            let output = Command::new("bash").args(["-c", &(script(Known::Bash) + &press)]).output().unwrap();
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
            String::from_utf8(output.stdout).unwrap()
        };
        assert_eq!(complete(&["cargo", "xtask", "stat"]), "status\n");
        assert!(complete(&["cargo", "xtask", "order", "--cur"]).contains("--currency"));
        assert!(complete(&["cargo", "xtask", "logs", "paym"]).contains("payment"));
        assert!(complete(&["cargo", "xtask", "dlq", "redr"]).contains("redrive"));
    }

    #[test]
    fn every_shell_has_its_way_from_cargo_to_the_script() {
        for (shell, hook) in [(Known::Bash, BASH), (Known::Zsh, ZSH), (Known::Fish, FISH)] {
            let script = script(shell);
            assert!(script.ends_with(hook) && script.contains("redrive"), "{shell:?}");
        }
    }
}
