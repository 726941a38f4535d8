//! The command line: what was typed, what is printed, and the exit status.

pub mod args;
mod base;
mod commands;
mod commit;
pub mod error;
mod file_diff;
mod forge;
mod log;
pub mod planned;
mod session;
mod simulated;
pub mod ui;

use std::io::BufReader;
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser as _;

use crate::git::environment::take_configuration;
use crate::git::exchange;

use args::{Cli, Command};
use error::{CliError, USAGE};
use ui::Ui;

/// How long the threads of a command that has ended may go on.
const LEFT_BEHIND_AFTER: Duration = Duration::from_millis(500);

/// Runs the program.
pub fn main() -> ExitCode {
    // Before the first repository is opened; the folder goes when the program ends.
    let configuration = take_configuration(|name| std::env::var_os(name));
    if std::env::args_os().nth(1).is_some_and(|argument| argument == exchange::ARGUMENT) {
        return git_exchange();
    }
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version go to stdout and are no failure.
            let _ = error.print();
            return ExitCode::from(if error.use_stderr() { USAGE } else { 0 });
        }
    };
    let ui = Ui::new(&cli);
    if !matches!(cli.command, Command::Run(_) | Command::Demo(_)) {
        log::start_for_command(ui.verbose, ui.quiet);
    }
    let done = match &configuration {
        Ok(_) => dispatch(cli.command, &ui),
        Err(error) => Err(CliError::user(error.to_string())),
    };
    match done {
        Ok(code) => code,
        Err(error) => {
            ui.insist(&error.render());
            error.exit_code()
        }
    }
}

/// One exchange with a Git remote, for another process of this program. It ends with that
/// one, whatever it waits for: then its standard input is closed.
fn git_exchange() -> ExitCode {
    let mut stdin = BufReader::new(std::io::stdin());
    let Ok(request) = exchange::read(&mut stdin) else { return ExitCode::from(USAGE) };
    std::thread::spawn(move || {
        let _ = std::io::copy(&mut stdin, &mut std::io::sink());
        std::process::exit(1);
    });
    match ui::hand_over(&exchange::answer(request)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}

fn dispatch(command: Command, ui: &Ui) -> Result<ExitCode, CliError> {
    match &command {
        Command::Validate(args) => return commands::validate::run(args, ui),
        Command::Release(args) => return commands::release::run(args, ui),
        Command::Schema(args) => return commands::schema::run(args, ui),
        Command::Init(args) => return commands::init::run(args, ui),
        Command::Completions(args) => return commands::shell::completions(args, ui),
        Command::Man(args) => return commands::shell::man(args, ui),
        _ => {}
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let done = runtime.block_on(async {
        match command {
            Command::Validate(args) => commands::validate::run(&args, ui),
            Command::Schema(args) => commands::schema::run(&args, ui),
            Command::Plan(args) => commands::plan::run(&args, ui).await,
            Command::Diff(args) => commands::diff::run(&args, ui).await,
            Command::Apply(args) => commands::apply::run(&args, ui).await,
            Command::Run(args) => commands::run::run(&args, ui).await,
            Command::Status(args) => commands::status::run(&args, ui).await,
            Command::Release(args) => commands::release::run(&args, ui),
            Command::Init(args) => commands::init::run(&args, ui),
            Command::Completions(args) => commands::shell::completions(&args, ui),
            Command::Man(args) => commands::shell::man(&args, ui),
            Command::Comment(args) => commands::comment::run(&args, ui).await,
            Command::Rollback(args) => commands::rollback::run(&args, ui).await,
            Command::History(args) => commands::history::run(&args, ui).await,
            Command::Hold(args) => commands::operate::run(commands::operate::Verb::Hold, &args, ui).await,
            Command::Resume(args) => commands::operate::run(commands::operate::Verb::Resume, &args, ui).await,
            Command::Retry(args) => commands::operate::run(commands::operate::Verb::Retry, &args, ui).await,
            Command::Demo(args) => commands::demo::run(&args, ui).await,
            Command::Abort(args) => commands::operate::run(commands::operate::Verb::Abort, &args, ui).await,
        }
    });
    // A thread that waits for Git is left behind: nothing that matters is in its hands.
    runtime.shutdown_timeout(LEFT_BEHIND_AFTER);
    done
}
