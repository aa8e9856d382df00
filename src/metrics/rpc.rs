//! The requests of the gRPC listener, and its connections.

use std::{
    sync::{
        Arc,
        atomic::{AtomicI64, AtomicU64, Ordering},
    },
    time::Duration,
};

use tonic::Code;

use super::{
    about,
    histogram::Histogram,
    label::Grid,
    registry::{Registry, Value},
};

/// What is called that is no known RPC.
const OTHER: &str = "other";

/// Status codes are 0 to 16.
const CODES: i32 = 17;

/// The handle. Cloning gives the same one.
#[derive(Clone)]
pub struct Rpcs(Arc<Table>);

/// A known RPC, or any other. Belongs to the handle that found it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rpc(usize);

struct Table {
    /// The paths of the known ones, without the first slash.
    known: Vec<String>,
    /// By RPC and code, the row after the known ones for all others.
    ended: Grid<Histogram>,
    in_flight: Box<[AtomicI64]>,
    connections: AtomicI64,
    floods: AtomicU64,
}

impl Default for Rpcs {
    fn default() -> Self {
        Self::of(Vec::new())
    }
}

impl Rpcs {
    /// The handle for these RPCs, each as `package.Service/Method`. They show from the start, so that
    /// a first failure is an increase.
    pub fn new(registry: &Registry, known: Vec<String>) -> Self {
        let rpcs = Self::of(known);
        let (requests, durations) = (rpcs.clone(), rpcs.clone());
        registry.add(&about::REQUESTS, move |sink| {
            requests.each_ended(|labels, ended| sink.put(labels, Value::Counter(ended.count())));
        });
        registry.add(&about::REQUEST_DURATION, move |sink| {
            durations.each_ended(|labels, ended| sink.put(labels, Value::Histogram(ended)));
        });
        let Self(table) = rpcs.clone();
        registry.add(&about::REQUESTS_IN_FLIGHT, move |sink| {
            for (rpc, gauge) in table.names().zip(&table.in_flight) {
                sink.put(&[("rpc", rpc)], Value::Gauge(level(gauge)));
            }
        });
        let Self(table) = rpcs.clone();
        registry.gauge(&about::CONNECTIONS, &[], move || level(&table.connections));
        let Self(table) = rpcs.clone();
        registry.counter(&about::CONNECTION_FLOODS, &[], move || {
            table.floods.load(Ordering::Relaxed)
        });
        rpcs
    }

    fn of(known: Vec<String>) -> Self {
        let rows = known.len() + 1;
        let codes = usize::try_from(CODES).unwrap_or_default();
        Self(Arc::new(Table {
            known,
            ended: Grid::new(rows, codes, Histogram::default),
            in_flight: (0..rows).map(|_| AtomicI64::new(0)).collect(),
            connections: AtomicI64::new(0),
            floods: AtomicU64::new(0),
        }))
    }

    /// Which RPC a path means.
    pub fn find(&self, path: &str) -> Rpc {
        let path = path.strip_prefix('/').unwrap_or(path);
        let known = &self.0.known;
        Rpc(known.iter().position(|k| k == path).unwrap_or(known.len()))
    }

    /// Its full name; none for what is no known RPC.
    pub fn name(&self, rpc: Rpc) -> Option<&str> {
        self.0.known.get(rpc.0).map(String::as_str)
    }

    /// A request has come. [`Self::ended`] must follow.
    pub fn began(&self, rpc: Rpc) {
        self.change_in_flight(rpc, 1);
    }

    /// Its answer is complete, or nobody waits for it any more.
    pub fn ended(&self, rpc: Rpc, code: Code, took: Duration) {
        self.change_in_flight(rpc, -1);
        let code = usize::try_from(code as i32).unwrap_or_default();
        if let Some(ended) = self.0.ended.get(rpc.0, code) {
            ended.record_time(took);
        }
    }

    /// A connection has been accepted. [`Self::disconnected`] must follow.
    pub fn connected(&self) {
        self.0.connections.fetch_add(1, Ordering::Relaxed);
    }

    /// It has ended.
    pub fn disconnected(&self) {
        self.0.connections.fetch_sub(1, Ordering::Relaxed);
    }

    /// A connection is ended because its client sends too many frames.
    pub fn flooded(&self) {
        self.0.floods.fetch_add(1, Ordering::Relaxed);
    }

    fn change_in_flight(&self, rpc: Rpc, by: i64) {
        if let Some(gauge) = self.0.in_flight.get(rpc.0) {
            gauge.fetch_add(by, Ordering::Relaxed);
        }
    }

    /// Each RPC with every code that it has ended with, and with OK.
    fn each_ended(&self, mut show: impl FnMut(&[(&'static str, &str)], &Histogram)) {
        for (row, rpc) in self.0.names().enumerate() {
            for (column, code) in (0..CODES).map(Code::from_i32).enumerate() {
                let Some(ended) = self.0.ended.get(row, column) else {
                    continue;
                };
                if code == Code::Ok || ended.count() > 0 {
                    show(&[("rpc", rpc), ("code", code_name(code))], ended);
                }
            }
        }
    }
}

impl Table {
    fn names(&self) -> impl Iterator<Item = &str> {
        self.known.iter().map(String::as_str).chain([OTHER])
    }
}

#[expect(
    clippy::cast_precision_loss,
    reason = "counts of what is open: far below 2^53"
)]
fn level(gauge: &AtomicI64) -> f64 {
    gauge.load(Ordering::Relaxed) as f64
}

/// The code as the protocol names it.
pub fn code_name(code: Code) -> &'static str {
    match code {
        Code::Ok => "OK",
        Code::Cancelled => "CANCELLED",
        Code::Unknown => "UNKNOWN",
        Code::InvalidArgument => "INVALID_ARGUMENT",
        Code::DeadlineExceeded => "DEADLINE_EXCEEDED",
        Code::NotFound => "NOT_FOUND",
        Code::AlreadyExists => "ALREADY_EXISTS",
        Code::PermissionDenied => "PERMISSION_DENIED",
        Code::ResourceExhausted => "RESOURCE_EXHAUSTED",
        Code::FailedPrecondition => "FAILED_PRECONDITION",
        Code::Aborted => "ABORTED",
        Code::OutOfRange => "OUT_OF_RANGE",
        Code::Unimplemented => "UNIMPLEMENTED",
        Code::Internal => "INTERNAL",
        Code::Unavailable => "UNAVAILABLE",
        Code::DataLoss => "DATA_LOSS",
        Code::Unauthenticated => "UNAUTHENTICATED",
    }
}
