//! Who is asked for: which of the people there are a call names.

use bytes::{BufMut as _, BytesMut};

use crate::{Failure, args::Common, names::Names, values::Who, zipf::Zipf};

/// Up to so many people are written out beforehand: 3 MB.
const WRITTEN_BEFOREHAND: u64 = 100_000;

/// The people there are, and how they are drawn.
pub struct People {
    names: Names,
    draw: Draw,
    first: u64,
    /// `Identifier` fields of the people from `first` on, if they are few.
    written: Vec<Vec<u8>>,
}

enum Draw {
    Different,
    Zipf(Zipf),
    Same,
}

impl People {
    pub fn new(common: &Common) -> Result<Self, Failure> {
        let names = Names::new(common).map_err(Failure::Usage)?;
        let mut people = Self {
            names,
            draw: match common.people {
                Who::Different => Draw::Different,
                Who::Zipf { exponent, people } => Draw::Zipf(Zipf::new(exponent, people)),
                Who::Same => Draw::Same,
            },
            first: common.first,
            written: Vec::new(),
        };
        let count = match common.people {
            Who::Different => people.names.count().unwrap_or(u64::MAX),
            Who::Zipf { people, .. } => people.into(),
            Who::Same => 1,
        };
        if people.names.count().is_some_and(|there| {
            common.first >= there || (common.people != Who::Different && count > there)
        }) {
            let there = people.names.count().unwrap_or_default();
            let message = format!("--first, --people: there are {there} people");
            return Err(Failure::Usage(message));
        }
        if count <= WRITTEN_BEFOREHAND {
            let mut field = BytesMut::new();
            for person in 0..count {
                people.names.write(people.first + person, &mut field);
                people.written.push(field.split().to_vec());
            }
        }
        Ok(people)
    }

    /// Whether these are the made-up people, of whom every single one resolves in the sandbox.
    pub fn all_exist(common: &Common) -> bool {
        common.pattern.is_empty() && common.file.is_none()
    }

    /// How many different people there are, if that is known.
    pub fn count(&self) -> Option<u64> {
        match &self.draw {
            Draw::Different => self.names.count(),
            _ => None,
        }
    }

    /// Appends the identifiers of one call.
    pub fn write(&self, call: u64, identifiers: u32, seed: u64, to: &mut BytesMut) {
        // A seed for each call: the same people whoever makes the call.
        let mut random = fastrand::Rng::with_seed(seed.wrapping_add(call));
        for place in 0..u64::from(identifiers) {
            let person = match &self.draw {
                Draw::Different => call * u64::from(identifiers) + place,
                Draw::Zipf(zipf) => u64::try_from(zipf.sample(&mut random)).unwrap_or_default(),
                Draw::Same => 0,
            };
            let index = match self.names.count() {
                Some(count) => person % count,
                None => person,
            };
            let written = usize::try_from(index).ok();
            match written.and_then(|index| self.written.get(index)) {
                Some(field) => to.put_slice(field),
                None => self.names.write(self.first + person, to),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use clap::Parser as _;
    use feishu_id::pb::identity::{ResolveUserIdsRequest, identifier::Kind};
    use prost::Message as _;

    use super::*;
    use crate::args::Line;

    fn asked(arguments: &str, call: u64) -> Vec<String> {
        let words = format!("load unary {arguments}");
        let line = Line::try_parse_from(words.split(' ').filter(|word| !word.is_empty())).unwrap();
        let common = line.mode.common();
        let people = People::new(common).ok().unwrap();
        let mut to = BytesMut::new();
        people.write(call, common.identifiers, common.seed, &mut to);
        let request = ResolveUserIdsRequest::decode(to.freeze()).unwrap();
        let text = |kind| match kind {
            Some(Kind::Email(text)) => format!("email {text}"),
            Some(Kind::Mobile(text)) => format!("mobile {text}"),
            None => "nobody".to_owned(),
        };
        request
            .identifiers
            .into_iter()
            .map(|identifier| text(identifier.kind))
            .collect()
    }

    #[test]
    fn kinds_take_turns_and_nobody_comes_twice() {
        assert_eq!(
            asked("--identifiers 3 --first 10", 1),
            [
                "mobile +8619900000013",
                "email load-14@acme.example",
                "mobile +8619900000015"
            ]
        );
        assert_eq!(
            asked("--kinds email --tenant globex", 7),
            ["email load-7@globex.example"]
        );
        assert_eq!(
            asked("--people same --first 4", 9),
            ["email load-4@acme.example"]
        );
    }

    #[test]
    fn patterns_take_turns() {
        let patterns = "--identifiers 2 --pattern u{}@x.example --pattern +1{:04}";
        assert_eq!(asked(patterns, 1), ["email u2@x.example", "mobile +10003"]);
    }

    #[test]
    fn a_call_names_the_same_people_each_time_and_another_call_others() {
        let zipf = "--people zipf:1.1:2000 --identifiers 20";
        assert_eq!(asked(zipf, 3), asked(zipf, 3));
        assert_ne!(asked(zipf, 3), asked(zipf, 4));
    }
}
