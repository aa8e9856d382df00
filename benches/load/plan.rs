//! One run: how many calls, until when, and what they share.

use std::{
    io::{self, IsTerminal as _, Write as _},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
#[cfg(unix)]
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::Instant;

use crate::{
    Failure,
    access::Access,
    answer::{self, Summary},
    args::{Common, Mode},
    message::Messages,
    pace::Schedule,
    people::People,
    stream,
    tally::Tally,
    unary,
    verify::{self, Verifier},
    wire::Malformed,
};

const USUAL_SECONDS: f64 = 10.0;
const MOST_SECONDS: f64 = 3600.0;

/// What all tasks of a run share.
pub struct Run {
    pub access: Access,
    pub messages: Messages,
    pub tally: Tally,
    pub verifier: Option<Verifier>,
    /// Of one call or batch.
    pub deadline: Duration,
    pub identifiers: u64,
    calls: u64,
    next: AtomicU64,
    length: Duration,
    stopped: AtomicBool,
}

impl Run {
    pub fn new(mode: &Mode) -> Result<Self, Failure> {
        let common = mode.common();
        let usual = common.calls.map_or(USUAL_SECONDS, |_| MOST_SECONDS);
        let all_exist = People::all_exist(common);
        Ok(Self {
            access: Access::new(common)?,
            messages: Messages::new(common, People::new(common)?),
            tally: Tally::new(Duration::from_secs(common.series_step.into()))
                .map_err(Failure::Usage)?,
            // An address and a number in a file may be the same person's.
            verifier: common
                .verify
                .then(|| Verifier::new(all_exist, common.file.is_none())),
            deadline: Duration::from_secs_f64(common.deadline),
            identifiers: common.identifiers.into(),
            calls: common.calls.map_or(u64::MAX, Into::into),
            next: AtomicU64::new(0),
            length: Duration::from_secs_f64(common.seconds.unwrap_or(usual)),
            stopped: AtomicBool::new(false),
        })
    }

    /// The number of the next call, unless the run is over at this moment.
    pub fn take(&self, due: Instant) -> Option<u64> {
        if self.stopped() || due >= self.tally.began() + self.length {
            return None;
        }
        let call = self.next.fetch_add(1, Ordering::Relaxed);
        (call < self.calls).then_some(call)
    }

    /// How many calls were given out.
    pub fn taken(&self) -> u64 {
        self.next.load(Ordering::Relaxed).min(self.calls)
    }

    pub fn stopped(&self) -> bool {
        self.stopped.load(Ordering::Relaxed)
    }

    /// How long the calls are due.
    pub fn length(&self) -> Duration {
        self.length
    }

    /// The schedule of an open loop.
    pub fn schedule(common: &Common) -> Option<Schedule> {
        let rate = common.rate?;
        Some(Schedule::new(rate, common.arrivals, common.seed))
    }

    /// Counts a response message; the request is needed only to verify it.
    pub fn read(&self, request: &Bytes, response: &[u8]) -> Result<Summary, Malformed> {
        let mut summary = Summary::default();
        let mut asked = self.verifier.as_ref().map(|_| verify::asked(request));
        for resolution in answer::resolutions(response) {
            let resolution = resolution?;
            summary.add(&resolution);
            if let (Some(verifier), Some(asked)) = (&self.verifier, &mut asked) {
                verifier.check(asked.next(), &resolution);
            }
        }
        Ok(summary)
    }
}

/// Makes the calls and waits for their ends.
pub async fn carry_out(mode: &Mode, run: &Arc<Run>) -> Result<(), Failure> {
    let watching = tokio::spawn(watch(Arc::clone(run)));
    let result = match mode {
        Mode::Unary { common, in_flight } => unary::carry_out(run, common, *in_flight).await,
        Mode::Stream {
            common,
            batches_in_flight,
        } => stream::carry_out(run, common, *batches_in_flight).await,
    };
    watching.abort();
    if io::stderr().is_terminal() {
        let _ = write!(io::stderr(), "\r\x1b[K");
    }
    let server = mode.common().server.address;
    result.map_err(|cause| {
        Failure::Unreachable(format!(
            "cannot reach {server}: {cause}; is `feishu-id serve` running there?"
        ))
    })
}

/// Shows progress on a terminal. On Ctrl-C or SIGTERM no more calls are made, and what came of the others is
/// still told.
async fn watch(run: Arc<Run>) {
    let mut tick = tokio::time::interval(Duration::from_millis(500));
    let interrupted = interrupted();
    tokio::pin!(interrupted);
    loop {
        tokio::select! {
            () = &mut interrupted => {
                run.stopped.store(true, Ordering::Relaxed);
                return;
            }
            _ = tick.tick() => {
                if io::stderr().is_terminal() {
                    let _ = write!(io::stderr(), "\r{} of {} ended ", run.tally.ended(), run.taken());
                }
            }
        }
    }
}

async fn interrupted() {
    let terminated = async {
        #[cfg(unix)]
        if let Ok(mut signal) = signal(SignalKind::terminate()) {
            signal.recv().await;
            return;
        }
        std::future::pending::<()>().await;
    };
    tokio::select! {
        _ = tokio::signal::ctrl_c() => {}
        () = terminated => {}
    }
}
