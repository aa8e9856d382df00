//! Packs the input's rows into batches, on a thread of its own: reading a file blocks.

use tokio::sync::mpsc;

use super::super::input::{Input, InputError, Row};

/// Most rows in a batch: the server's own default limit (`grpc.max_identifiers`).
const MAX_ROWS: usize = 1000;

/// Most bytes of identifiers in a batch. A server reads requests up to 4 MiB.
const MAX_BYTES: usize = 1024 * 1024;

/// Rows that travel together.
pub(in super::super) struct Batch {
    pub(in super::super) rows: Vec<Row>,
}

/// Starts the thread. It reads one batch ahead and ends with the receiver.
pub(super) fn read(mut input: Input) -> mpsc::Receiver<Result<Batch, InputError>> {
    let (sender, receiver) = mpsc::channel(1);
    tokio::task::spawn_blocking(move || {
        loop {
            let (batch, error) = next_batch(&mut input);
            let ended = batch.rows.len() < MAX_ROWS && error.is_none() && !batch.full_of_bytes();
            if !batch.rows.is_empty() && sender.blocking_send(Ok(batch)).is_err() {
                return;
            }
            if let Some(error) = error {
                // Nobody listens any more: then nobody needs to know.
                let _ = sender.blocking_send(Err(error));
                return;
            }
            if ended {
                return;
            }
        }
    });
    receiver
}

/// The next rows, and the mistake that ended them, if one did.
fn next_batch(input: &mut Input) -> (Batch, Option<InputError>) {
    let mut batch = Batch { rows: Vec::new() };
    let mut bytes = 0;
    while batch.rows.len() < MAX_ROWS && bytes < MAX_BYTES {
        match input.next() {
            Some(Ok(row)) => {
                bytes += row.text().len();
                batch.rows.push(row);
            }
            Some(Err(error)) => return (batch, Some(error)),
            None => break,
        }
    }
    (batch, None)
}

impl Batch {
    fn full_of_bytes(&self) -> bool {
        let bytes: usize = self.rows.iter().map(|row| row.text().len()).sum();
        bytes >= MAX_BYTES
    }
}
