//! `sandhog completion`: the names of commands and flags for a shell.
use super::output;
use clap::CommandFactory;
use std::fmt::Write;
use std::process::ExitCode;

/// Shells that we write for.
#[derive(Clone, Copy, Debug, clap::ValueEnum)]
pub enum Shell {
    /// GNU bash
    Bash,
    /// fish
    Fish,
    /// Z shell
    Zsh,
}

/// Prints the script.
pub fn run<C: CommandFactory>(shell: Shell) -> ExitCode {
    output::text(&script(&C::command(), shell));
    ExitCode::SUCCESS
}

fn script(command: &clap::Command, shell: Shell) -> String {
    let name = command.get_name();
    let commands: Vec<_> = command.get_subcommands().filter(|sub| !sub.is_hide_set()).collect();
    let names = commands.iter().map(|sub| sub.get_name()).collect::<Vec<_>>().join(" ");
    let mut text = String::new();
    // Writing to a String cannot fail.
    let _ = match shell {
        Shell::Bash => writeln!(
            text,
            "_{name}() {{\n  local word=\"${{COMP_WORDS[COMP_CWORD]}}\"\n  if [ \"$COMP_CWORD\" -eq 1 ]; then\n    mapfile -t COMPREPLY < <(compgen -W \"{names} --socket --json --help --version\" -- \"$word\")\n  else\n    mapfile -t COMPREPLY < <(compgen -f -W \"--socket --json --timeout --help\" -- \"$word\")\n  fi\n}}\ncomplete -F _{name} {name}"
        ),
        Shell::Fish => commands.iter().try_for_each(|sub| {
            let about = sub.get_about().map(ToString::to_string).unwrap_or_default().replace('\'', "");
            writeln!(text, "complete -c {name} -n __fish_use_subcommand -a {} -d '{about}'", sub.get_name())
        }),
        Shell::Zsh => writeln!(text, "#compdef {name}\n_arguments '1:command:({names})' '*:file:_files'"),
    };
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_command_is_offered_in_every_shell() {
        let command = super::super::Cli::command();
        for shell in [Shell::Bash, Shell::Fish, Shell::Zsh] {
            let text = script(&command, shell);
            for name in ["status", "up", "down", "check"] {
                assert!(text.contains(name), "{shell:?} lacks {name}");
            }
        }
    }
}
