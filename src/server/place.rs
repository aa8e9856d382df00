//! A request's place among those in flight, from its headers to the end of its answer: what it
//! counts against the limit, and how it is counted once it has ended. Called by `request`; kept by
//! the answer's body.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use http::HeaderMap;
use tokio::time::Instant;
use tonic::Code;

use super::ServerSettings;
use crate::{
    caller::CallerId,
    memory::Memory,
    metrics::{Rpc, Rpcs, code_name},
    striped::Striped,
    trace::{Span, Tracing},
};

/// How many callers have a count of their own; with more of them, some share one.
const COUNTS: usize = 1024;

/// How many requests may be in flight, and whose they are.
#[derive(Clone)]
pub(super) struct Places {
    taken: Arc<Taken>,
    most: usize,
    uncounted: &'static [&'static str],
    memory: Memory,
    rpcs: Rpcs,
}

/// How many are.
struct Taken {
    all: AtomicUsize,
    /// The same for each configured caller, by number: half of all places is the most for one, so that
    /// none takes them all. Connections have no share: whoever makes one makes two. Looked at only when
    /// half of all are taken; of a copy alone it may be less than none, as requests move between threads.
    by_caller: Striped<Box<[AtomicUsize]>>,
}

/// One place. Dropping it without a code means that the caller did not wait for the end.
pub(super) struct Place {
    places: Arc<Places>,
    counts: bool,
    /// Half of all were taken when it came.
    is_busy: bool,
    caller: CallerId,
    rpc: Rpc,
    began: Instant,
    code: Code,
    /// If the request is sampled.
    span: Span,
}

/// There are too many requests already.
pub(super) struct Full;

impl Places {
    pub(super) fn new(settings: &ServerSettings) -> Self {
        Self {
            taken: Arc::new(Taken {
                all: AtomicUsize::new(0),
                by_caller: Striped::new(|| (0..COUNTS).map(|_| AtomicUsize::new(0)).collect()),
            }),
            most: settings.max_requests_in_flight,
            uncounted: settings.uncounted_paths,
            memory: settings.memory.clone(),
            rpcs: settings.metrics.clone(),
        }
    }

    /// The same for the requests of one connection, which count handles of their own.
    pub(super) fn of_connection(&self) -> Arc<Self> {
        Arc::new(self.clone())
    }

    /// What all requests may hold.
    pub(super) fn memory(&self) -> &Memory {
        &self.memory
    }

    /// A place, if there is one; for some paths there always is.
    pub(super) fn enter(self: &Arc<Self>, path: &str, began: Instant) -> Result<Place, Full> {
        let rpc = self.rpcs.find(path);
        let counts = !self.uncounted.iter().any(|start| path.starts_with(start));
        self.rpcs.began(rpc);
        let mut place = Place {
            places: Arc::clone(self),
            counts,
            is_busy: false,
            caller: CallerId::default(),
            rpc,
            began,
            code: Code::Cancelled,
            span: Span::default(),
        };
        if counts {
            let taken = self.taken.all.fetch_add(1, Ordering::Relaxed);
            if taken >= self.most {
                place.ends_with(Code::ResourceExhausted);
                return Err(Full);
            }
            place.is_busy = taken >= self.share();
        }
        Ok(place)
    }

    /// How many one caller may have.
    fn share(&self) -> usize {
        self.most.div_ceil(2)
    }
}

impl Taken {
    /// This thread's count of those of a configured caller.
    fn here(&self, caller: CallerId) -> Option<&AtomicUsize> {
        self.by_caller.here().get(caller.number()? % COUNTS)
    }

    /// All threads' counts. They change while they are read, so it may be less than none, too.
    fn of(&self, caller: CallerId) -> isize {
        let number = caller.number().map(|number| number % COUNTS);
        let copies = self.by_caller.all();
        let counts = copies.filter_map(|counts| counts.get(number?));
        let sum = counts.fold(0_usize, |sum, count| {
            sum.wrapping_add(count.load(Ordering::Relaxed))
        });
        sum.cast_signed()
    }
}

impl Place {
    /// Counts it against what its caller may have, once it is known who that is.
    pub(super) fn is_of(&mut self, caller: CallerId) -> Result<(), Full> {
        if !self.counts {
            return Ok(());
        }
        self.caller = caller;
        let taken = &self.places.taken;
        let Some(count) = taken.here(caller) else {
            return Ok(());
        };
        count.fetch_add(1, Ordering::Relaxed);
        // Nobody can have more than there are.
        if self.is_busy && taken.of(caller) > self.places.share().cast_signed() {
            return Err(Full);
        }
        Ok(())
    }

    /// Says which code the answer ends with.
    pub(super) fn ends_with(&mut self, code: Code) {
        self.code = code;
    }

    /// Begins its span if the request is sampled: never a probe's, of which there are many and in which
    /// there is nothing to see.
    pub(super) fn trace(&mut self, tracing: &Tracing, headers: &HeaderMap) -> &Span {
        if self.counts
            && let Some(sampled) = tracing.sample(headers)
        {
            self.span = sampled.begin(self.places.rpcs.name(self.rpc));
        }
        &self.span
    }

    /// What all requests may hold.
    pub(super) fn memory(&self) -> &Memory {
        self.places.memory()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if self.counts {
            let taken = &self.places.taken;
            if let Some(count) = taken.here(self.caller) {
                count.fetch_sub(1, Ordering::Relaxed);
            }
            taken.all.fetch_sub(1, Ordering::Relaxed);
        }
        if self.span.is_on() {
            self.span
                .set("rpc.response.status_code", code_name(self.code));
            if is_servers_fault(self.code) {
                self.span.fail(code_name(self.code));
            }
        }
        let took = self.began.elapsed();
        self.places.rpcs.ended(self.rpc, self.code, took);
    }
}

/// The codes that are a server's failure, by OpenTelemetry's conventions for gRPC; the others are the
/// caller's own.
fn is_servers_fault(code: Code) -> bool {
    matches!(
        code,
        Code::Unknown
            | Code::DeadlineExceeded
            | Code::Unimplemented
            | Code::Internal
            | Code::Unavailable
            | Code::DataLoss
    )
}
