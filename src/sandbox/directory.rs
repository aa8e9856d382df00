//! One tenant's people, found by e-mail or mobile through indexes, and the synthetic range for
//! load tests. Knows no request and no switch; `lookup` asks it.

use std::borrow::Cow;
use std::collections::HashMap;

use super::person::{Person, Status, stored_mobile};

/// How many people the synthetic range holds: `load-0@…` to `load-999999@…`. A million is what
/// the service's cache holds by default, so that a load can fill it.
pub(super) const LOAD_PEOPLE: u32 = 1_000_000;

/// Before the eight digits of a synthetic person's number.
pub(super) const LOAD_MOBILE: &str = "+86199";

/// The people of one tenant.
pub(super) struct Directory {
    load_salt: u32,
    load_suffix: String,
    people: Vec<Person>,
    by_email: HashMap<String, Vec<usize>>,
    by_enterprise_email: HashMap<String, Vec<usize>>,
    by_mobile: HashMap<String, Vec<usize>>,
}

impl Directory {
    pub(super) fn new(tenant: &str, people: Vec<Person>) -> Self {
        let mut directory = Self {
            load_salt: tenant.bytes().fold(0, |sum: u32, byte| {
                sum.wrapping_mul(31).wrapping_add(u32::from(byte))
            }),
            load_suffix: format!("@{}.example", tenant.to_lowercase()),
            people: Vec::new(),
            by_email: HashMap::new(),
            by_enterprise_email: HashMap::new(),
            by_mobile: HashMap::new(),
        };
        for (index, person) in people.iter().enumerate() {
            let emails = [
                (&person.email, &mut directory.by_email),
                (&person.enterprise_email, &mut directory.by_enterprise_email),
            ];
            for (email, by) in emails {
                if let Some(email) = email {
                    by.entry(email.to_lowercase()).or_default().push(index);
                }
            }
            if let Some(mobile) = &person.mobile {
                let at = directory.by_mobile.entry(mobile.clone()).or_default();
                at.push(index);
            }
        }
        directory.people = people;
        directory
    }

    pub(super) fn people(&self) -> &[Person] {
        &self.people
    }

    /// Everybody with this contact e-mail, those who resigned first, as Feishu was seen to do.
    pub(super) fn by_email(&self, email: &str) -> Vec<Cow<'_, Person>> {
        let lower = email.to_lowercase();
        let found = self.collect(self.by_email.get(&lower));
        if found.is_empty() {
            return self
                .load_email(&lower)
                .map(Cow::Owned)
                .into_iter()
                .collect();
        }
        found
    }

    /// Everybody with this enterprise mailbox.
    pub(super) fn by_enterprise_email(&self, email: &str) -> Vec<Cow<'_, Person>> {
        self.collect(self.by_enterprise_email.get(&email.to_lowercase()))
    }

    /// Everybody with this number, given in any form that [`stored_mobile`] takes.
    pub(super) fn by_mobile(&self, mobile: &str) -> Vec<Cow<'_, Person>> {
        let Some(mobile) = stored_mobile(mobile) else {
            return Vec::new();
        };
        let found = self.collect(self.by_mobile.get(&mobile));
        if found.is_empty() {
            return self
                .load_mobile(&mobile)
                .map(Cow::Owned)
                .into_iter()
                .collect();
        }
        found
    }

    fn collect(&self, indexes: Option<&Vec<usize>>) -> Vec<Cow<'_, Person>> {
        let mut found: Vec<Cow<'_, Person>> = indexes
            .into_iter()
            .flatten()
            .filter_map(|&index| self.people.get(index).map(Cow::Borrowed))
            .collect();
        found.sort_by_key(|person| person.status != Status::Resigned);
        found
    }

    fn load_email(&self, lower: &str) -> Option<Person> {
        let digits = lower
            .strip_prefix("load-")?
            .strip_suffix(&self.load_suffix)?;
        let number: u32 = digits.parse().ok()?;
        // `load-007@…` and `load-+7@…` are nobody: one person, one spelling.
        (digits == number.to_string()).then(|| self.load_person(number))?
    }

    fn load_mobile(&self, mobile: &str) -> Option<Person> {
        let digits = mobile.strip_prefix(LOAD_MOBILE)?;
        (digits.len() == 8).then(|| self.load_person(digits.parse().ok()?))?
    }

    fn load_person(&self, number: u32) -> Option<Person> {
        if number >= LOAD_PEOPLE {
            return None;
        }
        // An odd factor maps 32-bit numbers one to one, so no two people share an ID.
        let scattered = number.wrapping_mul(2_654_435_761) ^ self.load_salt;
        let made = |kind: u64| {
            let seed = kind << 62 | u64::from(self.load_salt) << 24 | u64::from(number);
            format!("{:016x}{:016x}", mixed(seed), mixed(seed ^ (1 << 60)))
        };
        Some(Person {
            name: format!("Load {number}"),
            email: Some(format!("load-{number}{}", self.load_suffix)),
            mobile: Some(format!("{LOAD_MOBILE}{number:08}")),
            visible: true,
            user_id: format!("{scattered:08x}"),
            open_id: format!("ou_{}", made(1)),
            union_id: format!("on_{}", made(2)),
            ..Person::default()
        })
    }
}

/// Scatters a number over all of 64 bits, one to one (the last steps of `SplitMix64`). A real hash
/// would be most of a load test's work.
fn mixed(number: u64) -> u64 {
    let number = number.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let number = (number ^ (number >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let number = (number ^ (number >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    number ^ (number >> 31)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::indexing_slicing, reason = "tests")]

    use std::collections::HashSet;

    use super::*;

    fn person(name: &str, status: Status) -> Person {
        let person = Person {
            name: name.to_owned(),
            email: Some("Shared@acme.example".to_owned()),
            mobile: Some("+8613000000001".to_owned()),
            status,
            visible: true,
            ..Person::default()
        };
        person.complete("acme")
    }

    #[test]
    fn a_shared_address_gives_everybody_with_the_resigned_first() {
        let people = vec![
            person("now", Status::Active),
            person("then", Status::Resigned),
        ];
        let directory = Directory::new("acme", people);
        let found = directory.by_email("shared@ACME.example");
        let names: Vec<&str> = found.iter().map(|person| person.name.as_str()).collect();
        assert_eq!(names, ["then", "now"]);
        assert_eq!(directory.by_mobile("13000000001").len(), 2);
    }

    #[test]
    fn a_synthetic_person_is_the_same_by_either_identifier() {
        let directory = Directory::new("acme", Vec::new());
        let by_email = directory.by_email("load-42@acme.example");
        let by_mobile = directory.by_mobile("19900000042");
        assert_eq!(by_email[0].user_id, by_mobile[0].user_id);
        assert_eq!(by_email[0].open_id, by_mobile[0].open_id);
    }

    #[test]
    fn the_synthetic_range_ends_at_a_million_and_has_one_spelling_each() {
        let directory = Directory::new("acme", Vec::new());
        for nobody in [
            "load-1000000@acme.example",
            "load-01@acme.example",
            "load-+1@acme.example",
            "load-1@globex.example",
            "load-@acme.example",
        ] {
            assert!(directory.by_email(nobody).is_empty(), "{nobody}");
        }
        assert!(directory.by_mobile("+8619901000000").is_empty());
        assert_eq!(directory.by_mobile("+8619900999999").len(), 1);
    }

    #[test]
    fn synthetic_people_all_have_ids_of_their_own() {
        let directory = Directory::new("acme", Vec::new());
        let ids: HashSet<String> = (0..100_000)
            .filter_map(|number| directory.load_person(number * 10))
            .flat_map(|person| [person.user_id, person.open_id, person.union_id])
            .collect();
        assert_eq!(ids.len(), 300_000);
    }
}
