//! `sandhog completion`: commands and flags for a shell.
use super::output;
use clap::CommandFactory;
use std::process::ExitCode;

/// Prints the script.
pub fn run<C: CommandFactory>(shell: clap_complete::Shell) -> ExitCode {
    output::text(script(C::command(), shell).trim_end());
    ExitCode::SUCCESS
}

fn script(mut command: clap::Command, shell: clap_complete::Shell) -> String {
    let name = command.get_name().to_owned();
    let mut text = Vec::new();
    clap_complete::generate(shell, &mut command, name, &mut text);
    String::from_utf8_lossy(&text).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap_complete::Shell;

    #[test]
    fn every_command_is_offered_in_every_shell() {
        for shell in [Shell::Bash, Shell::Fish, Shell::Zsh, Shell::Elvish, Shell::PowerShell] {
            let text = script(super::super::Cli::command(), shell);
            for name in super::super::Cli::command().get_subcommands().filter(|sub| !sub.is_hide_set()) {
                assert!(text.contains(name.get_name()), "{shell:?} lacks {}", name.get_name());
            }
        }
    }
}
