//! `ionroller completions` and `ionroller man`

use std::process::ExitCode;

use clap::CommandFactory as _;

use crate::cli::args::{Cli, Completions, Man};
use crate::cli::error::CliError;
use crate::cli::ui::Ui;

/// Prints the completions of a shell.
pub fn completions(args: &Completions, ui: &Ui) -> Result<ExitCode, CliError> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "ionroller", &mut script);
    ui.answer(&String::from_utf8_lossy(&script))?;
    Ok(ExitCode::SUCCESS)
}

/// Prints one manual page, or writes all of them.
pub fn man(args: &Man, ui: &Ui) -> Result<ExitCode, CliError> {
    let mut all = Cli::command().disable_help_subcommand(true);
    all.build();
    if let Some(dir) = &args.dir {
        std::fs::create_dir_all(dir)?;
        let mut count = 1;
        std::fs::write(dir.join("ionroller.1"), page(&all)?)?;
        for command in all.get_subcommands() {
            std::fs::write(dir.join(format!("ionroller-{}.1", command.get_name())), page(command)?)?;
            count += 1;
        }
        ui.tell(&format!("{count} pages in {}", dir.display()));
        return Ok(ExitCode::SUCCESS);
    }
    let command = match &args.command {
        None => &all,
        Some(name) => all.find_subcommand(name).ok_or_else(|| {
            let error = CliError::usage(format!("there is no command `{name}`"));
            super::did_you_mean(error, name, all.get_subcommands().map(clap::Command::get_name))
        })?,
    };
    ui.answer(&String::from_utf8_lossy(&page(command)?))?;
    Ok(ExitCode::SUCCESS)
}

fn page(command: &clap::Command) -> Result<Vec<u8>, CliError> {
    let mut page = Vec::new();
    clap_mangen::Man::new(command.clone()).render(&mut page)?;
    Ok(page)
}
