//! The `ionroller` program.

fn main() -> std::process::ExitCode {
    ionroller::cli::main()
}
