//! Who was refused lately: so that whoever tries a thousand keys a second makes two lines in ten
//! seconds, and not a thousand.

use std::{collections::HashMap, net::IpAddr};

use super::Why;

/// Most that are told apart at a time, by address, reason and caller: what is over is one number.
const MOST: usize = 256;

/// Whose refusals are alike.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(super) struct Refused {
    pub(super) peer: Option<IpAddr>,
    pub(super) why: Why,
    /// If it is known who it was.
    pub(super) caller: Option<String>,
}

#[derive(Default)]
pub(super) struct Refusals {
    /// How often each has come again since its line.
    again: HashMap<Refused, u64>,
    /// How often others have come, for whom there was no room.
    others: u64,
    /// Since the start, by reason.
    counts: [u64; Why::ALL.len()],
}

impl Refusals {
    /// Somebody was refused; says whether that deserves a line.
    pub(super) fn note(&mut self, refused: &Refused) -> bool {
        if let Some(count) = self.counts.get_mut(refused.why as usize) {
            *count += 1;
        }
        if let Some(again) = self.again.get_mut(refused) {
            *again += 1;
            return false;
        }
        if self.again.len() >= MOST {
            self.others += 1;
            return false;
        }
        self.again.insert(refused.clone(), 0);
        true
    }

    pub(super) fn of(&self, why: Why) -> u64 {
        self.counts.get(why as usize).copied().unwrap_or_default()
    }

    /// Those who had no line of their own, and how many others there were; from now on everybody has one
    /// again.
    pub(super) fn settle(&mut self) -> (Vec<(Refused, u64)>, u64) {
        let again = std::mem::take(&mut self.again);
        let again = again.into_iter().filter(|(_, count)| *count > 0);
        (again.collect(), std::mem::take(&mut self.others))
    }
}
