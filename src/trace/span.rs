//! A span under way, and what is known of one by those who belong to it or link to it.

use std::{
    borrow::Cow,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use opentelemetry::{
    Context, Key, KeyValue, StringValue, Value,
    trace::{
        Span as _, SpanBuilder, SpanContext, SpanKind, Status, TraceContextExt as _, Tracer as _,
    },
};
use opentelemetry_sdk::trace::SdkTracer;
use tokio::time::Instant;

/// Most spans of one request: a batch of 1,000 people, or a stream without end, would otherwise make
/// thousands, of which nobody reads more than a screen.
const MOST_SPANS: u32 = 100;

/// Something that is being done for a sampled request; it ends when dropped. Of what is not sampled
/// there is none, and whatever is told to it is lost.
#[derive(Debug, Default)]
pub struct Span(Option<Box<Live>>);

#[derive(Debug)]
struct Live {
    span: opentelemetry_sdk::trace::Span,
    parent: Parent,
}

/// A span as those know it who belong to it. Cloning gives the same one.
#[derive(Clone, Debug)]
pub struct Parent(Arc<Known>);

#[derive(Debug)]
struct Known {
    tracer: SdkTracer,
    context: SpanContext,
    /// How many more the whole request may have.
    left: Arc<AtomicU32>,
}

impl Span {
    /// The first one of a request: a child of the caller's, or the root of a trace of its own.
    pub(super) fn first(
        tracer: &SdkTracer,
        name: Cow<'static, str>,
        caller: Option<SpanContext>,
    ) -> Self {
        let context = Context::new();
        let context = match caller {
            Some(caller) => context.with_remote_span_context(caller),
            None => context,
        };
        let builder = SpanBuilder::from_name(name).with_kind(SpanKind::Server);
        let left = Arc::new(AtomicU32::new(MOST_SPANS - 1));
        Self::begin(tracer, builder, &context, left)
    }

    fn begin(
        tracer: &SdkTracer,
        builder: SpanBuilder,
        context: &Context,
        left: Arc<AtomicU32>,
    ) -> Self {
        let span = tracer.build_with_context(builder, context);
        // None is recorded any more while the program ends.
        if !span.is_recording() {
            return Self::default();
        }
        let parent = Parent(Arc::new(Known {
            tracer: tracer.clone(),
            context: span.span_context().clone(),
            left,
        }));
        Self(Some(Box::new(Live { span, parent })))
    }

    /// Whether there is one: for what is not worth finding out otherwise.
    pub fn is_on(&self) -> bool {
        self.0.is_some()
    }

    /// For those who belong to it or link to it.
    pub fn parent(&self) -> Option<Parent> {
        self.0.as_ref().map(|live| live.parent.clone())
    }

    /// Says something of it.
    pub fn set(&mut self, key: impl Into<Key>, value: impl Into<Value>) {
        if let Some(live) = &mut self.0 {
            live.span.set_attribute(KeyValue::new(key, value));
        }
    }

    /// It has failed, for this reason, of which there are few.
    pub fn fail(&mut self, reason: impl Into<StringValue>) {
        if let Some(live) = &mut self.0 {
            let reason: StringValue = reason.into();
            live.span.set_attribute(KeyValue::new("error.type", reason));
            live.span.set_status(Status::error(""));
        }
    }

    /// It has to do with that one, which may belong to another trace.
    pub fn link(&mut self, other: &Parent) {
        if let Some(live) = &mut self.0
            && live.parent.0.context.span_id() != other.0.context.span_id()
        {
            live.span.add_link(other.0.context.clone(), Vec::new());
        }
    }

    /// It ended so long ago.
    pub fn ended(mut self, ago: Duration) {
        if let Some(live) = &mut self.0 {
            let now = opentelemetry::time::now();
            live.span
                .end_with_timestamp(now.checked_sub(ago).unwrap_or(now));
        }
    }

    /// As a call to somebody else carries it (W3C trace context).
    pub fn traceparent(&self) -> Option<String> {
        let context = &self.0.as_ref()?.parent.0.context;
        let (trace, span) = (context.trace_id(), context.span_id());
        Some(format!("00-{trace}-{span}-01"))
    }
}

impl Parent {
    /// A part of it that begins now.
    pub fn child(&self, name: &'static str) -> Span {
        self.begin(SpanBuilder::from_name(name))
    }

    /// A part of it that began at that moment, which was not long ago.
    pub fn child_since(&self, name: &'static str, began: Instant) -> Span {
        let now = opentelemetry::time::now();
        let began = now.checked_sub(began.elapsed()).unwrap_or(now);
        self.begin(SpanBuilder::from_name(name).with_start_time(began))
    }

    /// A call to somebody else that begins now.
    pub fn call(&self, name: &'static str) -> Span {
        self.begin(SpanBuilder::from_name(name).with_kind(SpanKind::Client))
    }

    /// The trace's id, in hexadecimal.
    pub fn trace_id(&self) -> String {
        self.0.context.trace_id().to_string()
    }

    /// The span's id, in hexadecimal.
    pub fn span_id(&self) -> String {
        self.0.context.span_id().to_string()
    }

    /// Whether both are the same span.
    pub fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    fn begin(&self, builder: SpanBuilder) -> Span {
        let Known {
            tracer,
            context,
            left,
        } = &*self.0;
        let may = left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| {
            left.checked_sub(1)
        });
        if may.is_err() {
            return Span::default();
        }
        let context = Context::new().with_remote_span_context(context.clone());
        Span::begin(tracer, builder, &context, left.clone())
    }
}
