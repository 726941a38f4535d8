//! Where everything that is printed goes: the answer to stdout, the story to stderr.

use std::io::{self, ErrorKind, IsTerminal as _, Write as _};

use super::args::{Cli, ColorChoice};

/// Hands an answer over to the process that asked for it.
pub fn hand_over(answer: &[u8]) -> io::Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(answer).and_then(|()| out.flush())
}

/// The terminal.
#[derive(Debug, Clone, Copy)]
pub struct Ui {
    /// Colours on stdout.
    pub color: bool,
    /// Colours on stderr.
    pub color_story: bool,
    /// Nothing but errors on stderr.
    pub quiet: bool,
    /// How much more to say.
    pub verbose: u8,
}

impl Ui {
    /// As the arguments and the environment ask.
    pub fn new(cli: &Cli) -> Self {
        let plain = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        let color = |terminal: bool| match cli.color {
            ColorChoice::Always => true,
            ColorChoice::Never => false,
            ColorChoice::Auto => terminal && !plain,
        };
        Self {
            color: color(io::stdout().is_terminal()),
            color_story: color(io::stderr().is_terminal()),
            quiet: cli.quiet,
            verbose: cli.verbose,
        }
    }

    /// Prints the answer. A reader that has gone away is no error.
    pub fn answer(&self, text: &str) -> io::Result<()> {
        let mut out = io::stdout().lock();
        match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
            Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
            done => done,
        }
    }

    /// Tells a line of the story.
    pub fn tell(&self, line: &str) {
        if !self.quiet {
            self.insist(line);
        }
    }

    /// Writes a part of the story, as it is.
    pub fn draw(&self, text: &str) {
        // Nobody is left to tell when stderr is gone.
        let _ = io::stderr().lock().write_all(text.as_bytes());
    }

    /// Tells a line of the story even when quiet.
    pub fn insist(&self, line: &str) {
        // Nobody is left to tell when stderr is gone.
        let _ = writeln!(io::stderr().lock(), "{line}");
    }
}
