//! Who there is: identifiers by number, and what Feishu's rows say of each person of a tenant.

use std::{collections::HashMap, sync::LazyLock};

use fastrand::Rng;
use feishu_id::identity::{Email, Identifier, InvalidIdentifier, Mobile, Person, PersonStatus, UserIdType};

use super::scenario::{PEOPLE, Who};

/// Parsed once for all runs.
static IDENTIFIERS: LazyLock<Vec<[Identifier; 2]>> = LazyLock::new(|| {
    let both = |person: usize| {
        [
            Identifier::Email(Email::parse(&format!("p{person}@x.example")).unwrap()),
            Identifier::Mobile(Mobile::parse(&format!("139{person:08}")).unwrap()),
        ]
    };
    (0..PEOPLE).map(both).collect()
});
static WHO: LazyLock<HashMap<Identifier, Who>> = LazyLock::new(|| {
    let all = (0..PEOPLE).flat_map(|n| [Who::Email(n), Who::Mobile(n)]);
    all.map(|who| (who.identifier().unwrap(), who)).collect()
});

impl Who {
    pub(super) fn identifier(self) -> Result<Identifier, InvalidIdentifier> {
        match self {
            Self::Email(person) => Ok(IDENTIFIERS[person][0].clone()),
            Self::Mobile(person) => Ok(IDENTIFIERS[person][1].clone()),
            Self::Nonsense => Email::parse("nonsense").map(Identifier::Email),
        }
    }

    /// Whose identifier it is: none if it is nobody's in any run.
    pub(super) fn of(identifier: &Identifier) -> Option<Self> {
        WHO.get(identifier).copied()
    }

    pub(super) fn person(self) -> usize {
        match self {
            Self::Email(person) | Self::Mobile(person) => person,
            Self::Nonsense => unreachable!("never asked for"),
        }
    }
}

/// The rows behind one person's identifiers.
#[derive(Clone, Debug, Default)]
pub(super) struct Rows(Vec<Row>);

#[derive(Clone, Debug)]
struct Row {
    /// No two rows of a tenant's ever have the same.
    serial: u64,
    left: bool,
}

impl Rows {
    /// Mostly one row; some people are unknown, have left, or have several rows.
    pub(super) fn draw(rng: &mut Rng, serial: &mut u64) -> Self {
        let left: &[bool] = match rng.u32(0..100) {
            0..14 => &[],
            14..22 => &[true],
            22..32 => &[true, false],
            32..37 => &[false, false],
            37..40 => &[true, true],
            _ => &[false],
        };
        let mut rows = Self::default();
        for left in left {
            rows.add(*left, serial);
        }
        rows
    }

    pub(super) fn add(&mut self, left: bool, serial: &mut u64) {
        *serial += 1;
        self.0.push(Row { serial: *serial, left });
    }

    pub(super) fn renew(&mut self, serial: &mut u64) {
        for row in &mut self.0 {
            *serial += 1;
            row.serial = *serial;
        }
    }

    pub(super) fn leave(&mut self) {
        for row in &mut self.0 {
            row.left = true;
        }
    }

    pub(super) fn clear(&mut self) {
        self.0.clear();
    }

    /// As Feishu gives them: those who have left only to who asks for them too.
    pub(super) fn people(&self, tenant: usize, kind: UserIdType, resigned: bool, shows_status: bool) -> Vec<Person> {
        let rows = self.0.iter().filter(|row| resigned || !row.left);
        let person = |row: &Row| Person {
            id: format!("{}-{tenant}-{}", kind.as_str(), row.serial),
            status: shows_status.then(|| PersonStatus {
                resigned: row.left,
                activated: !row.left,
                ..PersonStatus::default()
            }),
        };
        rows.map(person).collect()
    }
}
