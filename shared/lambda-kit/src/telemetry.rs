//! Logs: one JSON object a line, to standard output, where Lambda collects it.
//!
//! The level is Lambda's own setting (`LoggingConfig.ApplicationLogLevel`, which arrives as `AWS_LAMBDA_LOG_LEVEL`).

use tracing::{Level, Subscriber};
use tracing_subscriber::{
    Layer as _,
    filter::Targets,
    fmt::{self, MakeWriter},
    layer::SubscriberExt as _,
    util::SubscriberInitExt as _,
};

/// The level for what `AWS_LAMBDA_LOG_LEVEL` says. Lambda knows one more than `tracing`: `FATAL`, the quietest, is for what ends
/// the application (<https://docs.aws.amazon.com/lambda/latest/dg/monitoring-cloudwatchlogs-log-level.html>). Errors are the least
/// that is logged here, because alarms are made of them.
fn level(said: Option<&str>) -> Level {
    match said {
        Some(fatal) if fatal.eq_ignore_ascii_case("fatal") => Level::ERROR,
        Some(said) => said.parse().unwrap_or(Level::INFO),
        None => Level::INFO,
    }
}

/// Starts logging. Called once, first thing in `main`.
///
/// Our own crates log at the level that Lambda sets, `INFO` where it sets none; libraries only warnings, because an HTTP
/// client's debug lines show headers and bodies.
pub fn init() {
    let level = level(std::env::var("AWS_LAMBDA_LOG_LEVEL").ok().as_deref());
    if let Err(error) = subscriber(level, std::io::stdout).try_init() {
        tracing::warn!(%error, "logging was started before; its settings stay");
    }
    // The standard hook prints the panic's text, which may quote data. The place is enough to find it.
    std::panic::set_hook(Box::new(|panic| {
        let place = panic.location().map(ToString::to_string).unwrap_or_default();
        tracing::error!(place, "panic");
    }));
}

/// What [`init`] installs, writing to `to`: for tests that hold what the template's metric filters read.
pub fn subscriber<W>(level: Level, to: W) -> impl Subscriber + Send + Sync
where
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
{
    let quiet = [
        "aws_credential_types",
        "aws_runtime",
        "aws_sigv4",
        "aws_smithy",
        "h2",
        "hyper",
        "hyper_util",
        "lambda_runtime",
        "rustls",
        "tower",
    ];
    let filter =
        quiet.iter().fold(Targets::new().with_default(level), |filter, library| filter.with_target(*library, level.min(Level::WARN)));
    let lines = fmt::layer().json().flatten_event(true).with_current_span(false).with_span_list(false);
    tracing_subscriber::registry().with(lines.with_writer(to).with_filter(filter))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// On the code as it was `FATAL`, which asks for the least, gave `INFO`.
    #[test]
    fn each_of_lambdas_six_levels_is_understood() {
        let levels = ["TRACE", "DEBUG", "INFO", "WARN", "ERROR", "FATAL", "fatal"].map(|said| level(Some(said)));
        assert_eq!(levels, [Level::TRACE, Level::DEBUG, Level::INFO, Level::WARN, Level::ERROR, Level::ERROR, Level::ERROR]);
        assert_eq!([None, Some(""), Some("loud")].map(level), [Level::INFO; 3]);
    }
}
