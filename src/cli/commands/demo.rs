//! `ionroller demo`

use std::io::IsTerminal as _;
use std::process::ExitCode;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::cli::args::{Demo, Output};
use crate::cli::error::CliError;
use crate::cli::ui::Ui;
use crate::demo::{DemoError, Event, Place, SPEED, Summary, Traffic};
use crate::settings::LogFormat;

/// Exit status after Ctrl-C in the middle of the story.
const INTERRUPTED: u8 = 130;

/// Characters of the bar of traffic.
const BAR: usize = 16;

/// Columns of a terminal that nobody has widened.
const WIDTH: usize = 80;

/// Shows releases, a rollback and a revert, without an AWS account.
pub async fn run(args: &Demo, ui: &Ui) -> Result<ExitCode, CliError> {
    if args.output == Output::Markdown {
        return Err(CliError::usage("-o markdown is for plans, and this is a show").hint("-o text or -o json"));
    }
    if ui.verbose > 0 {
        crate::cli::log::start(LogFormat::Text, ui.verbose - 1, ui.quiet);
    }
    let screen = Screen::new(args.output, *ui);
    let told = crate::demo::run(args.serve, super::run::stop_signals()?, &|event| screen.show(&event)).await;
    screen.end();
    match told {
        Ok(summary) if summary.failed == 0 => Ok(ExitCode::SUCCESS),
        Ok(summary) => {
            let first = summary.first_failure.unwrap_or_default();
            Err(CliError::user(format!("{} requests failed; the first one: {first}", summary.failed)))
        }
        Err(DemoError::Interrupted) => Ok(ExitCode::from(INTERRUPTED)),
        Err(error) => Err(error.into()),
    }
}

/// Shows the story: as the answer when people read it, beside the answer otherwise.
struct Screen {
    ui: Ui,
    json: bool,
    /// The line of traffic is written over, again and again.
    live: bool,
    /// Whether that line is on the screen now.
    pending: Mutex<bool>,
}

impl Screen {
    fn new(output: Output, ui: Ui) -> Self {
        let json = output == Output::Json;
        let terminal = if json { std::io::stderr().is_terminal() } else { std::io::stdout().is_terminal() };
        Self { ui, json, live: terminal && ui.verbose == 0, pending: Mutex::new(false) }
    }

    fn show(&self, event: &Event) {
        let answers = matches!(event, Event::Ended(_) | Event::Serving(_));
        if self.ui.quiet && !answers {
            return;
        }
        match event {
            Event::Started(place) => self.lines(&started(place)),
            Event::Chapter { title, about } => self.lines(&format!("\n{}\n  {about}", self.strong(title))),
            Event::Committed { commit, message } => self.lines(&format!("  commit {}  {message}", commit.short())),
            Event::Progress { at, text } => self.lines(&wrapped(&format!("  {}  ", clock(*at)), text)),
            Event::Traffic(traffic) => self.traffic(traffic),
            Event::Outcome(text) => self.lines(&wrapped("  => ", text)),
            Event::Ended(summary) => self.ended(summary),
            Event::Serving(place) => self.lines(&serving(place)),
        }
    }

    fn ended(&self, summary: &Summary) {
        match serde_json::to_string(summary) {
            Ok(json) if self.json => {
                self.clear();
                // A reader that has gone away needs no answer.
                let _ = self.ui.answer(&format!("{json}\n"));
            }
            _ => self.lines(&summary_text(summary)),
        }
    }

    fn traffic(&self, traffic: &Traffic) {
        let line = traffic_line(traffic);
        if traffic.first_since_change {
            self.lines(&line);
        } else if self.live {
            // A line that wraps could not be written over.
            let line: String = line.chars().take(WIDTH - 1).collect();
            self.write(&format!("\r\x1b[K{line}"));
            *self.pending.lock().unwrap_or_else(PoisonError::into_inner) = true;
        }
    }

    fn lines(&self, text: &str) {
        self.clear();
        self.write(&format!("{text}\n"));
    }

    /// Takes the line of traffic away, before something else is written.
    fn clear(&self) {
        let mut pending = self.pending.lock().unwrap_or_else(PoisonError::into_inner);
        if std::mem::take(&mut *pending) {
            self.write("\r\x1b[K");
        }
    }

    fn end(&self) {
        self.clear();
    }

    fn write(&self, text: &str) {
        if !self.json {
            // A reader that has gone away needs no story.
            let _ = self.ui.answer(text);
        } else if !self.ui.quiet {
            self.ui.draw(text);
        }
    }

    fn strong(&self, text: &str) -> String {
        let color = if self.json { self.ui.color_story } else { self.ui.color };
        if color { format!("\x1b[1m{text}\x1b[0m") } else { text.to_owned() }
    }
}

fn started(place: &Place) -> String {
    format!(
        "A Git repository, the ionroller daemon, a simulated AWS with real HTTP servers as\n\
         its machines, and clients. {SPEED} seconds pass there in one here.\n\
         \n  repository     {}\n  load balancer  http://{}/",
        place.repository.display(),
        place.balancer
    )
}

fn serving(place: &Place) -> String {
    format!(
        "\nIt keeps running, with some traffic. In another terminal:\n\n\
         \x20 curl http://{}/\n\
         \x20 curl http://{}/api/v1/status\n\n\
         Release something, and take it back:\n\n\
         \x20 cd {}\n\
         \x20 sed -i.old 's/^version = .*/version = \"2.0.0\"/' services/shop.toml\n\
         \x20 git commit --all --message 'shop 2.0.0'\n\
         \x20 git revert --no-edit HEAD\n\n\
         A version that ends in -bad goes back by itself. Ctrl-C ends it all and removes\n\
         the folder.\n",
        place.balancer,
        place.daemon,
        place.repository.display()
    )
}

fn summary_text(summary: &Summary) -> String {
    let requests: u64 = summary.requests.values().sum();
    let versions: Vec<String> = summary.requests.iter().map(|(version, n)| format!("{version}: {n}")).collect();
    let calls: u64 = summary.aws_calls.values().sum();
    let mut text = format!(
        "\nSummary\n  requests   {requests} answered ({})\n  failed     {}\n  revert     all traffic on 1.0.0 after {} \
         ms, changing calls until then: {}\n  AWS calls  {calls}, {} of them changing",
        versions.join(", "),
        summary.failed,
        summary.revert_to_all_traffic_ms,
        summary.mutating_calls_of_revert,
        summary.mutating_calls
    );
    for (operation, count) in &summary.aws_calls {
        text.push_str(&format!("\n             {count:>6}  {operation}"));
    }
    text
}

fn traffic_line(traffic: &Traffic) -> String {
    const FILLS: [char; 3] = ['█', '░', '▒'];
    let mut bar = String::new();
    let mut rest = BAR;
    for (index, (_, percent)) in traffic.shares.iter().enumerate() {
        let last = index + 1 == traffic.shares.len();
        let cells = if last { rest } else { ((*percent as usize * BAR + 50) / 100).min(rest) };
        bar.extend(std::iter::repeat_n(FILLS[index % FILLS.len()], cells));
        rest -= cells;
    }
    let shares: Vec<String> =
        traffic.shares.iter().map(|(version, percent)| format!("{version} {percent:>3} %")).collect();
    format!(
        "  {}  {bar:<BAR$}  {:<22}  {} requests, {} failed",
        clock(traffic.at),
        shares.join("  "),
        traffic.requests,
        traffic.failed
    )
}

fn clock(at: Duration) -> String {
    format!("{}:{:02}", at.as_secs() / 60, at.as_secs() % 60)
}

/// Text after a head, in lines of at most 80 columns.
fn wrapped(head: &str, text: &str) -> String {
    let mut lines = String::from(head);
    let indent = head.chars().count();
    let mut column = indent;
    for word in text.split_whitespace() {
        let length = word.chars().count();
        if column > indent && column + 1 + length > WIDTH {
            lines.push('\n');
            lines.push_str(&" ".repeat(indent));
            column = indent;
        } else if column > indent {
            lines.push(' ');
            column += 1;
        }
        lines.push_str(word);
        column += length;
    }
    lines
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::*;

    fn traffic(shares: &[(&str, u32)]) -> String {
        let shares = shares.iter().map(|(version, share)| ((*version).to_owned(), *share)).collect();
        let at = Duration::from_secs(65);
        traffic_line(&Traffic { at, shares, requests: 12_345, failed: 0, first_since_change: false })
    }

    #[test]
    fn traffic_fits_a_line() {
        let lines = [traffic(&[]), traffic(&[("1.0.0", 100)]), traffic(&[("1.0.0", 47), ("1.1.0", 53)])];
        assert!(lines.iter().all(|line| line.chars().count() <= WIDTH));
        expect![[r#"
            1:05                                            12345 requests, 0 failed
            1:05  ████████████████  1.0.0 100 %             12345 requests, 0 failed
            1:05  ████████░░░░░░░░  1.0.0  47 %  1.1.0  53 %  12345 requests, 0 failed"#]]
        .assert_eq(&lines.map(|line| line.trim_start().to_owned()).join("\n"));
    }

    #[test]
    fn long_texts_are_wrapped_under_their_head() {
        let text = wrapped("  0:01  ", &"machine ".repeat(12));
        assert!(text.lines().all(|line| line.chars().count() <= WIDTH && line.starts_with("  ")));
        assert!(text.lines().count() == 2 && text.lines().all(|line| line.find("machine") == Some(8)));
    }
}
