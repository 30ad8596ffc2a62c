//! What an in-process subject logs.
//!
//! Knows: how to hear `tracing` events on the drill's own thread. Must not know: where lines go;
//! who captures says so.

use std::cell::RefCell;
use std::fmt::{self, Write as _};
use std::rc::Rc;

use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id};
use tracing::subscriber::DefaultGuard;
use tracing::{Event, Level, Metadata, Subscriber};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt as _};

/// Takes a level (lower case) and a line.
type Sink = Rc<dyn Fn(&str, String)>;

thread_local! {
    static SINK: RefCell<Option<Sink>> = const { RefCell::new(None) };
}

/// While it lives, `tracing` events of this thread (DEBUG and above) go to its sink instead of
/// wherever they went before: level, target, message and fields, without time stamps. A span is a
/// line of its own as it begins, at level `debug`, so that lines inside it read the same in every run.
pub struct LogCapture {
    _default: DefaultGuard,
    before: Option<Sink>,
}

impl LogCapture {
    /// Captures from now on.
    pub fn start(sink: impl Fn(&str, String) + 'static) -> LogCapture {
        let before = SINK.replace(Some(Rc::new(sink)));
        let subscriber = tracing_subscriber::registry().with(Lines);
        LogCapture { _default: tracing::subscriber::set_default(subscriber), before }
    }
}

impl Drop for LogCapture {
    fn drop(&mut self) {
        SINK.set(self.before.take());
    }
}

struct Lines;

impl<S: Subscriber> Layer<S> for Lines {
    fn enabled(&self, metadata: &Metadata<'_>, _: Context<'_, S>) -> bool {
        // What tokio, hyper and reqwest say of themselves is no line of the subject's log.
        const MACHINERY: [&str; 6] = ["tokio", "mio", "hyper", "h2", "reqwest", "tower"];
        *metadata.level() <= Level::DEBUG
            && !MACHINERY.iter().any(|m| {
                metadata
                    .target()
                    .strip_prefix(m)
                    .is_some_and(|r| !r.starts_with(|c: char| c.is_alphanumeric()))
            })
    }

    fn on_new_span(&self, span: &Attributes<'_>, _: &Id, _: Context<'_, S>) {
        let Some(sink) = SINK.with(|s| s.borrow().clone()) else { return };
        let metadata = span.metadata();
        let mut line =
            Line { text: format!("{}: {}", metadata.target(), metadata.name()), fields: String::new() };
        span.record(&mut line);
        sink("debug", line.text + &line.fields);
    }

    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let Some(sink) = SINK.with(|s| s.borrow().clone()) else { return };
        let mut line = Line { text: format!("{}:", event.metadata().target()), fields: String::new() };
        event.record(&mut line);
        sink(level(event.metadata()), line.text + &line.fields);
    }
}

fn level(metadata: &Metadata<'_>) -> &'static str {
    match *metadata.level() {
        Level::ERROR => "error",
        Level::WARN => "warn",
        Level::INFO => "info",
        _ => "debug",
    }
}

/// The message first, then the fields in their order.
struct Line {
    text: String,
    fields: String,
}

impl Visit for Line {
    fn record_str(&mut self, field: &Field, value: &str) {
        // Writing to a string cannot fail.
        let _ = match field.name() {
            "message" => write!(self.text, " {value}"),
            name => write!(self.fields, " {name}={value}"),
        };
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let _ = match field.name() {
            "message" => write!(self.text, " {value:?}"),
            name => write!(self.fields, " {name}={value:?}"),
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_holds_target_message_and_fields_and_no_time() {
        let lines = Rc::new(RefCell::new(Vec::new()));
        let heard = lines.clone();
        let capture =
            LogCapture::start(move |level, line| heard.borrow_mut().push(format!("{level} {line}")));
        tracing::warn!(target: "core::retry", attempt = 3, vendor = "crm", "gave {}", "up");
        tracing::debug!(target: "core::retry", "in detail");
        tracing::trace!(target: "core::retry", "not heard");
        tracing::info!(target: "hyper::proto", "not heard");
        let span = tracing::info_span!(target: "core::job", "job", deal = 7);
        span.in_scope(|| tracing::info!(target: "core::job", "done"));
        drop(capture);
        tracing::error!("not heard");
        let heard = [
            "warn core::retry: gave up attempt=3 vendor=crm",
            "debug core::retry: in detail",
            "debug core::job: job deal=7",
            "info core::job: done",
        ];
        assert_eq!(*lines.borrow(), heard);
    }
}
