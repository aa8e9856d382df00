//! File descriptors: each connection takes one, and so do calls to Feishu, the store and probes. Without
//! any to spare nothing of these works, so connections get what is left beside the others.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Descriptors for everything but callers' connections: 256 of `grpc.health_listen`, 64 of
/// `http.listen`, 16 calls of each of some tenants, and the store.
const OTHERS: usize = 512;

/// How many connections there can be, of those wanted. Raises this process's soft limit of descriptors
/// as far as that takes, and as it may; says so if it does not suffice.
pub(super) fn make_room(connections: usize) -> usize {
    let wanted = connections.saturating_add(OTHERS);
    let limit = raise(u64::try_from(wanted).unwrap_or(u64::MAX));
    let room = room(limit, connections);
    if room < connections {
        tracing::warn!(
            limit,
            room,
            "fewer connections than grpc.max_connections = {connections}: {limit} file descriptors \
             have room for {room}; allow this process {wanted} (ulimit -n, LimitNOFILE=)"
        );
    }
    room
}

/// Raises the soft limit to what is wanted, at most to the hard one. Never more: some systems allow a
/// billion, and whatever looks through all descriptors would then take minutes.
fn raise(wanted: u64) -> u64 {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    let current = current.unwrap_or(u64::MAX);
    let raised = wanted.min(maximum.unwrap_or(u64::MAX));
    if current >= raised {
        return current;
    }
    let limit = Rlimit {
        current: Some(raised),
        maximum,
    };
    match setrlimit(Resource::Nofile, limit) {
        Ok(()) => raised,
        // Some systems have a further limit of their own.
        Err(error) => {
            tracing::debug!(%error, "the limit of file descriptors stays at {current}");
            current
        }
    }
}

/// What of the limit is for connections: all beside the others, and half where it is small.
fn room(limit: u64, wanted: usize) -> usize {
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let left = limit.saturating_sub(OTHERS).max(limit / 2);
    wanted.min(left).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_leave_descriptors_for_the_rest() {
        assert_eq!(room(u64::MAX, 10_000), 10_000);
        assert_eq!(room(10_512, 10_000), 10_000);
        assert_eq!(room(10_511, 10_000), 9_999);
        assert_eq!(room(1_024, 10_000), 512);
        assert_eq!(room(256, 10_000), 128);
        assert_eq!(room(256, 100), 100);
        assert_eq!(room(0, 100), 1);
    }
}
