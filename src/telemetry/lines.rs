//! The form of a log line: when, how bad, where, what, and of which request and trace. Our own, because
//! the ready-made forms know no id that is made only when it is read.

use std::fmt;

use serde_json::{Map, Value};
use tracing::{
    Event, Level, Subscriber,
    field::{Field, Visit},
};
use tracing_subscriber::{
    fmt::{
        FmtContext, FormatEvent, FormatFields,
        format::Writer,
        time::{FormatTime as _, SystemTime},
    },
    registry::LookupSpan,
};

use crate::trace::{self, Scope};

/// The form of a log line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum LogFormat {
    /// For people.
    Text,
    /// For machines: one JSON object a line.
    Json,
}

/// What is set behind the fields of the line itself.
const REQUEST_ID: &str = "request_id";
const TRACE_ID: &str = "trace_id";
const SPAN_ID: &str = "span_id";

impl<S, N> FormatEvent<S, N> for LogFormat
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut line: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        match self {
            Self::Text => {
                begin_text(&mut line, event)?;
                context.format_fields(line.by_ref(), event)?;
                // What is told while another line is being told says so as well as it can.
                trace::with_current(|scope| ids_as_text(&mut line, scope)).unwrap_or(Ok(()))?;
            }
            Self::Json => {
                let mut fields = Fields(Map::new());
                fields.begin(event)?;
                event.record(&mut fields);
                trace::with_current(|scope| fields.ids(scope));
                let object = Value::Object(fields.0);
                write!(line, "{object}")?;
            }
        }
        writeln!(line)
    }
}

fn begin_text(line: &mut Writer<'_>, event: &Event<'_>) -> fmt::Result {
    let about = event.metadata();
    if !line.has_ansi_escapes() {
        SystemTime.format_time(line)?;
        return write!(line, " {:>5} {}: ", about.level(), about.target());
    }
    // Dim, the level's own colour, dim again: as other programs of this kind do.
    let colour = match *about.level() {
        Level::ERROR => 31,
        Level::WARN => 33,
        Level::INFO => 32,
        Level::DEBUG => 34,
        Level::TRACE => 35,
    };
    write!(line, "\u{1b}[2m")?;
    SystemTime.format_time(line)?;
    let (level, target) = (about.level(), about.target());
    write!(
        line,
        "\u{1b}[0m \u{1b}[{colour}m{level:>5}\u{1b}[0m \u{1b}[2m{target}:\u{1b}[0m "
    )
}

fn ids_as_text(line: &mut Writer<'_>, scope: &Scope) -> fmt::Result {
    if let Some(id) = scope.request_id() {
        write!(line, " {REQUEST_ID}={id}")?;
    }
    if let Some(parent) = scope.parent() {
        write!(line, " {TRACE_ID}={}", parent.trace_id())?;
    }
    Ok(())
}

/// The fields of a line as JSON.
struct Fields(Map<String, Value>);

impl Fields {
    fn begin(&mut self, event: &Event<'_>) -> fmt::Result {
        let mut timestamp = String::new();
        SystemTime.format_time(&mut Writer::new(&mut timestamp))?;
        self.put("timestamp", timestamp);
        self.put("level", event.metadata().level().as_str());
        self.put("target", event.metadata().target());
        Ok(())
    }

    fn ids(&mut self, scope: &Scope) {
        if let Some(id) = scope.request_id() {
            self.put(REQUEST_ID, id.to_string());
        }
        if let Some(parent) = scope.parent() {
            self.put(TRACE_ID, parent.trace_id());
            self.put(SPAN_ID, parent.span_id());
        }
    }

    fn put(&mut self, name: &str, value: impl Into<Value>) {
        self.0.insert(name.to_owned(), value.into());
    }
}

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.put(field.name(), format!("{value:?}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.put(field.name(), value);
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.put(field.name(), value);
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.put(field.name(), value);
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.put(field.name(), value);
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.put(field.name(), value);
    }

    fn record_u128(&mut self, field: &Field, value: u128) {
        // What JSON's readers can take as a number.
        match u64::try_from(value) {
            Ok(value) => self.put(field.name(), value),
            Err(_) => self.put(field.name(), value.to_string()),
        }
    }
}
