//! Which requests are sampled: as the caller says, else by lot. Decided from the headers alone, before
//! anything is made.

use std::{
    borrow::Cow,
    net::SocketAddr,
    str::FromStr as _,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use http::{HeaderMap, HeaderName};
use opentelemetry::trace::{SpanContext, SpanId, TraceFlags, TraceId, TraceState};
use opentelemetry_sdk::trace::SdkTracer;
use tokio::time::Instant;

use super::Span;

/// Most sampled requests in a second. Callers may ask for any number of them, and each takes some
/// 30 µs of processor: so at most 3 % of a core.
const MOST_A_SECOND: u64 = 1000;

/// Longest `tracestate` that is passed on, in bytes: what every participant should pass on (W3C trace
/// context, section 3.3.1.5).
const MAX_STATE_BYTES: usize = 512;

/// Where the caller's span is named (W3C trace context).
const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");

/// Decides which requests are traced, and begins their first spans. The default traces nothing.
#[derive(Clone, Debug, Default)]
pub struct Tracing(Option<Arc<On>>);

struct On {
    tracer: SdkTracer,
    ratio: f64,
    random: fn() -> f64,
    began: Instant,
    /// The second, and how many requests were sampled in it.
    this_second: AtomicU64,
    address: Option<SocketAddr>,
}

/// A request that is to be traced.
pub struct Sampled<'a> {
    on: &'a On,
    caller: Option<SpanContext>,
}

/// What the caller says.
enum Caller {
    /// It traces this request itself.
    Samples(SpanContext),
    /// It has decided not to.
    Declines,
    /// Nothing that could be read.
    Silent,
}

impl Tracing {
    /// Traces what callers trace, and this part of everything else. `random` gives numbers from 0 up
    /// to 1.
    pub fn new(tracer: SdkTracer, ratio: f64, random: fn() -> f64) -> Self {
        Self(Some(Arc::new(On {
            tracer,
            ratio,
            random,
            began: Instant::now(),
            this_second: AtomicU64::new(0),
            address: None,
        })))
    }

    /// The same for a server that listens there.
    #[must_use]
    pub fn at(self, address: Option<SocketAddr>) -> Self {
        Self(self.0.map(|on| {
            Arc::new(On {
                tracer: on.tracer.clone(),
                this_second: AtomicU64::new(0),
                address,
                ..*on
            })
        }))
    }

    /// Whether this request is traced.
    #[inline]
    pub fn sample(&self, headers: &HeaderMap) -> Option<Sampled<'_>> {
        let on = self.0.as_deref()?;
        let caller = match caller(headers) {
            Caller::Samples(context) => Some(context),
            Caller::Silent if (on.random)() < on.ratio => None,
            Caller::Declines | Caller::Silent => return None,
        };
        on.has_room().then_some(Sampled { on, caller })
    }
}

impl Sampled<'_> {
    /// The request's first span. `rpc` is its full name, none for what is no RPC of ours.
    pub fn begin(self, rpc: Option<&str>) -> Span {
        let Self { on, caller } = self;
        let name = rpc.map_or(Cow::Borrowed("grpc"), |rpc| Cow::Owned(rpc.to_owned()));
        let mut span = Span::first(&on.tracer, name, caller);
        span.set("rpc.system.name", "grpc");
        span.set("rpc.method", rpc.unwrap_or("_OTHER").to_owned());
        if let Some(address) = on.address {
            span.set("server.address", address.ip().to_string());
            span.set("server.port", i64::from(address.port()));
        }
        span
    }
}

impl On {
    fn has_room(&self) -> bool {
        let second = self.began.elapsed().as_secs();
        let enter = |packed: u64| {
            let (of, count) = (packed >> 32, packed & u64::from(u32::MAX));
            let count = if of == second { count } else { 0 };
            (count < MOST_A_SECOND).then_some(second << 32 | (count + 1))
        };
        let order = Ordering::Relaxed;
        self.this_second.fetch_update(order, order, enter).is_ok()
    }
}

/// Reads `traceparent` and, if the caller traces the request, `tracestate`.
#[inline]
fn caller(headers: &HeaderMap) -> Caller {
    let Some(parent) = headers.get(TRACEPARENT) else {
        return Caller::Silent;
    };
    match parent.to_str().ok().and_then(parse) {
        None => Caller::Silent,
        Some((_, _, flags)) if !flags.is_sampled() => Caller::Declines,
        Some((trace, span, flags)) => {
            let state = state(headers);
            Caller::Samples(SpanContext::new(trace, span, flags, true, state))
        }
    }
}

/// `00-` trace `-` parent `-` flags, in lower-case hexadecimal; later versions may have more behind.
fn parse(text: &str) -> Option<(TraceId, SpanId, TraceFlags)> {
    let is_hex = |part: &str| {
        part.bytes()
            .all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
    };
    let mut parts = text.trim().split('-');
    let mut part = |length: usize| {
        let part = parts.next()?;
        (part.len() == length && is_hex(part)).then_some(part)
    };
    let (version, trace, span, flags) = (part(2)?, part(32)?, part(16)?, part(2)?);
    if version == "ff" || (version == "00" && parts.next().is_some()) {
        return None;
    }
    let trace = TraceId::from_hex(trace).ok()?;
    let span = SpanId::from_hex(span).ok()?;
    if trace == TraceId::INVALID || span == SpanId::INVALID {
        return None;
    }
    let flags = u8::from_str_radix(flags, 16).ok()?;
    Some((trace, span, TraceFlags::new(flags & 1)))
}

/// What other systems along the way have noted, if it is well-formed: for the trace alone.
fn state(headers: &HeaderMap) -> TraceState {
    let mut all = String::new();
    for value in headers.get_all("tracestate") {
        let Ok(text) = value.to_str() else {
            return TraceState::default();
        };
        if all.len() + text.len() > MAX_STATE_BYTES {
            return TraceState::default();
        }
        if !all.is_empty() {
            all.push(',');
        }
        all.push_str(text);
    }
    TraceState::from_str(&all).unwrap_or_default()
}

impl std::fmt::Debug for On {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tracing")
            .field("ratio", &self.ratio)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    const GOOD: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    #[test]
    fn reads_what_the_specification_allows() {
        let (trace, span, flags) = parse(GOOD).unwrap();
        assert_eq!(trace.to_string(), "0af7651916cd43dd8448eb211c80319c");
        assert_eq!(span.to_string(), "b7ad6b7169203331");
        assert!(flags.is_sampled());
        // Other flags are nobody's business, and a later version may say more.
        let later = GOOD.replacen("00", "cc", 1).replace("-01", "-03-more");
        assert!(parse(&later).unwrap().2.is_sampled());
        let declined = GOOD.replace("-01", "-02");
        assert!(!parse(&declined).unwrap().2.is_sampled());
    }

    #[test]
    fn takes_everything_else_for_nothing() {
        for bad in [
            "",
            "00",
            &GOOD.to_uppercase(),
            &GOOD.replacen("00", "ff", 1),
            &format!("{GOOD}-more"),
            &GOOD.replace("0af7651916cd43dd8448eb211c80319c", &"0".repeat(32)),
            &GOOD.replace("b7ad6b7169203331", &"0".repeat(16)),
            &GOOD.replace("-01", "-1"),
            &GOOD.replace('0', "+"),
            &GOOD.replace('-', "_"),
        ] {
            assert!(parse(bad).is_none(), "{bad}");
        }
    }

    #[test]
    fn a_state_that_is_too_long_or_malformed_is_left_out() {
        let of = |values: &[&str]| {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append("tracestate", value.parse().unwrap());
            }
            state(&headers).header()
        };
        assert_eq!(of(&["a=1", "b=2"]), "a=1,b=2");
        assert_eq!(of(&["nonsense"]), "");
        assert_eq!(of(&[&format!("a={}", "x".repeat(600))]), "");
    }
}
