//! The caller's deadline on the wire: reads `grpc-timeout`, and ends an answer's body when its time
//! has passed. A backstop: a service that watches its [`Deadline`] answers a little earlier, with
//! better details. Called by `request`.

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use futures_util::{FutureExt as _, future::BoxFuture};
use http::{HeaderMap, HeaderName};
use http_body::{Body, Frame, SizeHint};
use tokio::time::{Instant, Sleep, sleep_until};
use tonic::{Code, Status};

use super::{
    piece::{self, Leaving},
    place::Place,
    refusal,
    request::X_REQUEST_ID,
    waiting::{WaitsFor, say},
};
use crate::{deadline::Deadline, memory::Held, trace::RequestId};

/// A message and its trailers.
const UNARY_FRAMES: u64 = 2;

/// The header of the gRPC protocol.
const GRPC_TIMEOUT: HeaderName = HeaderName::from_static("grpc-timeout");

/// The header is there and cannot be read.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Malformed;

/// The deadline that the caller set, if any, for a request that came at that moment.
pub(super) fn deadline(headers: &HeaderMap, began: Instant) -> Result<Option<Deadline>, Malformed> {
    let Some(value) = headers.get(GRPC_TIMEOUT) else {
        return Ok(None);
    };
    let timeout = parse(value.as_bytes())?;
    Ok(Some(Deadline::after_moment(began, timeout)))
}

/// 1 to 8 digits and a unit, as the gRPC protocol has it; nothing else.
fn parse(value: &[u8]) -> Result<Duration, Malformed> {
    let (unit, digits) = value.split_last().ok_or(Malformed)?;
    if !(1..=8).contains(&digits.len()) {
        return Err(Malformed);
    }
    let mut amount = 0_u64;
    for digit in digits {
        if !digit.is_ascii_digit() {
            return Err(Malformed);
        }
        // Eight digits are far below the end of u64.
        amount = amount * 10 + u64::from(digit - b'0');
    }
    match unit {
        b'H' => Ok(Duration::from_secs(amount * 3600)),
        b'M' => Ok(Duration::from_secs(amount * 60)),
        b'S' => Ok(Duration::from_secs(amount)),
        b'm' => Ok(Duration::from_millis(amount)),
        b'u' => Ok(Duration::from_micros(amount)),
        b'n' => Ok(Duration::from_nanos(amount)),
        _ => Err(Malformed),
    }
}

/// An answer's body that ends with `DEADLINE_EXCEEDED` when the deadline passes. Also holds the
/// request's place among those in flight, which is free again once the answer has been sent, and tells
/// it the code.
///
/// It is asked only while the client takes data; what then happens is up to [`super::waiting`].
#[derive(Default)]
pub(super) struct TimedBody {
    /// None once it has ended.
    inner: Option<tonic::body::Body>,
    deadline: Option<Instant>,
    /// A large piece that is on its way, or waits for memory.
    large: Option<Box<Large>>,
    /// How many frames have been handed over.
    frames: u64,
    /// Made when the body first has to wait.
    sleep: Option<Pin<Box<Sleep>>>,
    place: Option<Place>,
    /// Goes with trailers that tell of a failure.
    id: Option<RequestId>,
}

/// A large piece of an answer.
enum Large {
    /// Not charged yet.
    Waits(Bytes, BoxFuture<'static, Held>),
    /// With the client, or on the way there.
    Leaves(Leaving),
}

type Polled = Poll<Option<Result<Frame<Bytes>, Status>>>;

impl TimedBody {
    /// Wraps the body of an answer that has begun in time. If the headers say its code, they are all
    /// there is of it, or will be once the body has ended.
    pub(super) fn new(
        inner: tonic::body::Body,
        deadline: Option<Deadline>,
        mut place: Place,
        code: Option<Code>,
    ) -> Self {
        if code.is_some() || inner.is_end_stream() {
            place.ends_with(code.unwrap_or(Code::Unknown));
        }
        if inner.is_end_stream() {
            return Self::default();
        }
        Self {
            inner: Some(inner),
            deadline: deadline.map(Deadline::instant),
            large: None,
            frames: 0,
            sleep: None,
            place: Some(place),
            id: None,
        }
    }

    /// If it fails after all, its trailers say this id.
    pub(super) fn fails_with(&mut self, id: &RequestId) {
        if self.inner.is_some() {
            self.id = Some(id.clone());
        }
    }

    /// Puts the id into trailers that tell of a failure.
    fn identify(&mut self, trailers: &mut HeaderMap, code: Code) {
        let id = self.id.take().filter(|_| code != Code::Ok);
        if let Some(value) = id.and_then(|id| id.value()) {
            trailers.insert(X_REQUEST_ID, value);
        }
    }

    /// Drops everything that the answer still held.
    fn end(&mut self, code: Code) {
        if let Some(place) = &mut self.place {
            place.ends_with(code);
        }
        *self = Self::default();
    }

    /// A frame of the service's.
    fn handed(
        &mut self,
        mut frame: Option<Result<Frame<Bytes>, Status>>,
        cx: &mut Context<'_>,
    ) -> Polled {
        let is_first = self.frames == 0;
        self.frames += 1;
        if let Some(code) = end(frame.as_ref()) {
            if let Some(Ok(frame)) = &mut frame
                && let Some(trailers) = frame.trailers_mut()
            {
                self.identify(trailers, code);
            }
            self.end(code);
            return Poll::Ready(frame);
        }
        let deadline = self.deadline;
        say(WaitsFor::Client { deadline });
        let frame = match frame.map(|frame| frame.map(Frame::into_data)) {
            Some(Ok(Ok(data))) if data.len() > piece::SMALL => {
                return self.large(data, is_first, cx);
            }
            Some(Ok(Ok(data))) => Some(Ok(Frame::data(data))),
            Some(Ok(Err(other))) => Some(Ok(other)),
            Some(Err(status)) => Some(Err(status)),
            None => None,
        };
        Poll::Ready(frame)
    }

    /// A large piece: a first one is refused if there is no memory for it, as a request would be; a stream
    /// that has begun is slowed.
    fn large(&mut self, data: Bytes, is_first: bool, cx: &mut Context<'_>) -> Polled {
        let Some(memory) = self.place.as_ref().map(Place::memory) else {
            return Poll::Ready(Some(Ok(Frame::data(data))));
        };
        if let Some(held) = memory.try_take(data.len()) {
            let (data, leaving) = piece::leaving(data, held);
            self.large = Some(Box::new(Large::Leaves(leaving)));
            return Poll::Ready(Some(Ok(Frame::data(data))));
        }
        if is_first {
            return self.cut(Code::ResourceExhausted, &refusal::no_memory());
        }
        let (bytes, memory) = (data.len(), memory.clone());
        let held = async move { memory.take(bytes).await }.boxed();
        self.large = Some(Box::new(Large::Waits(data, held)));
        self.poll_large(cx).unwrap_or(Poll::Pending)
    }

    /// Goes on with a large piece, if there is one; None once it has gone.
    fn poll_large(&mut self, cx: &mut Context<'_>) -> Option<Polled> {
        let deadline = self.deadline;
        let Some(large) = &mut self.large else {
            return None;
        };
        match large.as_mut() {
            Large::Waits(data, held) => {
                say(WaitsFor::Service);
                let Poll::Ready(held) = held.as_mut().poll(cx) else {
                    return Some(self.pending(cx));
                };
                say(WaitsFor::Client { deadline });
                let (data, leaving) = piece::leaving(std::mem::take(data), held);
                **large = Large::Leaves(leaving);
                Some(Poll::Ready(Some(Ok(Frame::data(data)))))
            }
            // No trailers at the deadline: they could not overtake it, and nobody could reset the stream
            // once the handler is done. That the client is waited for has been said.
            Large::Leaves(leaving) if leaving.poll(cx).is_pending() => Some(Poll::Pending),
            Large::Leaves(_) => {
                self.large = None;
                None
            }
        }
    }

    /// Nothing to hand over: the end, if the deadline passes meanwhile.
    fn pending(&mut self, cx: &mut Context<'_>) -> Polled {
        ready!(self.poll_deadline(cx));
        self.cut(Code::DeadlineExceeded, &refusal::deadline_exceeded())
    }

    /// Ends the answer with a status of the server's own.
    fn cut(&mut self, code: Code, status: &Status) -> Polled {
        let mut trailers = refusal::trailers(status);
        self.identify(&mut trailers, code);
        self.end(code);
        Poll::Ready(Some(Ok(Frame::trailers(trailers))))
    }

    /// Ready once the deadline has passed; never without one.
    fn poll_deadline(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Some(deadline) = self.deadline else {
            return Poll::Pending;
        };
        self.sleep
            .get_or_insert_with(|| Box::pin(sleep_until(deadline)))
            .as_mut()
            .poll(cx)
    }
}

impl Body for TimedBody {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Polled {
        let this = &mut *self;
        if let Some(polled) = this.poll_large(cx) {
            return polled;
        }
        // The deadline comes first, so that a body that is always ready cannot outrun it. The two
        // frames of a unary answer follow a handler that has just been in time.
        let is_stream = this.frames >= UNARY_FRAMES;
        let overdue = is_stream && this.deadline.is_some_and(|end| Instant::now() >= end);
        let Some(inner) = this.inner.as_mut() else {
            return Poll::Ready(None);
        };
        if overdue {
            return this.cut(Code::DeadlineExceeded, &refusal::deadline_exceeded());
        }
        match Pin::new(inner).poll_frame(cx) {
            Poll::Ready(frame) => this.handed(frame, cx),
            Poll::Pending => {
                say(WaitsFor::Service);
                this.pending(cx)
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.inner.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        match &self.inner {
            // An exact size would be promised to the client as content-length, and the deadline
            // may cut it.
            Some(inner) if self.deadline.is_none() || inner.is_end_stream() => inner.size_hint(),
            Some(_) => SizeHint::default(),
            None => SizeHint::with_exact(0),
        }
    }
}

/// The code of an answer after whose frame nothing can come.
fn end(frame: Option<&Result<Frame<Bytes>, Status>>) -> Option<Code> {
    match frame {
        Some(Ok(frame)) => {
            let code = frame.trailers_ref()?.get(Status::GRPC_STATUS);
            Some(code.map_or(Code::Unknown, |code| Code::from_bytes(code.as_bytes())))
        }
        Some(Err(status)) => Some(status.code()),
        // No gRPC service ends so.
        None => Some(Code::Unknown),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_every_unit() {
        assert_eq!(parse(b"2H"), Ok(Duration::from_hours(2)));
        assert_eq!(parse(b"3M"), Ok(Duration::from_mins(3)));
        assert_eq!(parse(b"4S"), Ok(Duration::from_secs(4)));
        assert_eq!(parse(b"5m"), Ok(Duration::from_millis(5)));
        assert_eq!(parse(b"6u"), Ok(Duration::from_micros(6)));
        assert_eq!(parse(b"7n"), Ok(Duration::from_nanos(7)));
        assert_eq!(parse(b"0n"), Ok(Duration::ZERO));
        assert_eq!(parse(b"99999999H"), Ok(Duration::from_hours(99_999_999)));
    }

    #[test]
    fn refuses_what_the_protocol_does_not_know() {
        for bad in [
            "",
            "S",
            "1",
            "123456789S",
            "1s",
            "1 S",
            " 1S",
            "-1S",
            "+1S",
            "1.5S",
            "1SS",
            "0x1S",
        ] {
            assert_eq!(parse(bad.as_bytes()), Err(Malformed), "{bad:?}");
        }
        assert_eq!(parse(b"\xff1S"), Err(Malformed));
    }
}
