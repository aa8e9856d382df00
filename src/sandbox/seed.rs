//! The people who are there when no file is given: a table of names and rules, no dice, so that
//! every run and every machine has the same 200. All addresses end in the reserved `.example`;
//! numbers come from ranges set aside for fiction where a country has one.

use super::person::{Person, Status};

/// Chinese family and given names, as in `wei.wang@…`.
const FAMILY: [(&str, &str); 16] = [
    ("王", "wang"),
    ("李", "li"),
    ("张", "zhang"),
    ("刘", "liu"),
    ("陈", "chen"),
    ("杨", "yang"),
    ("赵", "zhao"),
    ("黄", "huang"),
    ("周", "zhou"),
    ("吴", "wu"),
    ("徐", "xu"),
    ("孙", "sun"),
    ("胡", "hu"),
    ("朱", "zhu"),
    ("高", "gao"),
    ("林", "lin"),
];
const GIVEN: [(&str, &str); 13] = [
    ("伟", "wei"),
    ("芳", "fang"),
    ("娜", "na"),
    ("敏", "min"),
    ("静", "jing"),
    ("磊", "lei"),
    ("洋", "yang"),
    ("勇", "yong"),
    ("艳", "yan"),
    ("杰", "jie"),
    ("晓雨", "xiaoyu"),
    ("思远", "siyuan"),
    ("嘉怡", "jiayi"),
];
const FIRST: [&str; 11] = [
    "Anna", "Ben", "Clara", "David", "Emma", "Felix", "Grace", "Henry", "Iris", "Jonas", "Kenji",
];
const LAST: [&str; 8] = [
    "Schmidt", "Smith", "Tanaka", "Martin", "Lim", "Chan", "Brown", "Keller",
];

/// How many ordinary people each tenant has, beside the special ones.
const ACME_PEOPLE: usize = 108;
const GLOBEX_PEOPLE: usize = 76;

/// One person with a story: name, e-mail, mobile, status. An empty text is none.
type Special = (&'static str, &'static str, &'static str, Status);

const ACME: [Special; 13] = [
    // In both tenants, by the same address and number.
    (
        "罗一鸣",
        "yiming.luo@both.example",
        "+8613000009001",
        Status::Active,
    ),
    (
        "郑爽",
        "shuang.zheng@acme.example",
        "+8613000009002",
        Status::Resigned,
    ),
    (
        "Oscar Reed",
        "oscar.reed@acme.example",
        "+447700900901",
        Status::Resigned,
    ),
    // A recycled address: two have left, one is here.
    (
        "前任甲",
        "frontdesk@acme.example",
        "+8613000009003",
        Status::Resigned,
    ),
    (
        "前任乙",
        "frontdesk@acme.example",
        "+8613000009004",
        Status::Resigned,
    ),
    (
        "现任丙",
        "frontdesk@acme.example",
        "+8613000009005",
        Status::Active,
    ),
    // One address, two people who are both here.
    (
        "Dana Fox",
        "shared.desk@acme.example",
        "+12025550198",
        Status::Active,
    ),
    (
        "Erik Fox",
        "shared.desk@acme.example",
        "+12025550199",
        Status::Active,
    ),
    (
        "冯冻",
        "dong.feng@acme.example",
        "+8613000009006",
        Status::Frozen,
    ),
    (
        "Xenia Gone",
        "xenia.gone@acme.example",
        "+33639980901",
        Status::Exited,
    ),
    (
        "Newton Soon",
        "newton.soon@acme.example",
        "+8613000009007",
        Status::Unjoined,
    ),
    (
        "Ina Still",
        "ina.still@acme.example",
        "+6580000901",
        Status::Inactive,
    ),
    (
        "Mo Bilefree",
        "mo.bilefree@acme.example",
        "",
        Status::Active,
    ),
];

const GLOBEX: [Special; 3] = [
    (
        "罗一鸣",
        "yiming.luo@both.example",
        "+8613000009001",
        Status::Active,
    ),
    (
        "Paula West",
        "paula.west@globex.example",
        "+4917604069098",
        Status::Resigned,
    ),
    ("邮缺", "", "+8613000009101", Status::Active),
];

/// Everybody, tenant by tenant.
pub(super) fn tenants() -> Vec<(String, Vec<Person>)> {
    let mut acme = ordinary("acme", ACME_PEOPLE);
    acme.extend(ACME.iter().map(special));
    acme.extend(unusual());
    let mut globex = ordinary("globex", GLOBEX_PEOPLE);
    globex.extend(GLOBEX.iter().map(special));
    [("acme", acme), ("globex", globex)]
        .into_iter()
        .map(|(tenant, people)| {
            let people = people.into_iter().map(|person| person.complete(tenant));
            (tenant.to_owned(), people.collect())
        })
        .collect()
}

fn ordinary(tenant: &str, count: usize) -> Vec<Person> {
    // The tenants' lists begin at different places of the same tables.
    let start = if tenant == "acme" { 0 } else { ACME_PEOPLE };
    (start..start + count)
        .map(|number| {
            let (name, local) = name_of(number);
            Person {
                name,
                email: Some(format!("{local}@{tenant}.example")),
                mobile: Some(mobile_of(number)),
                visible: true,
                ..Person::default()
            }
        })
        .collect()
}

/// Two in three names are Chinese. 16 and 13, and 11 and 8, have no common factor, so that
/// stepping through both tables at once gives a new pair for 208 and for 88 people.
fn name_of(number: usize) -> (String, String) {
    if number % 3 == 2 {
        let (first, last) = (pick(&FIRST, number / 3), pick(&LAST, number / 3));
        // Stored as people type them, with capitals.
        return (format!("{first} {last}"), format!("{first}.{last}"));
    }
    let step = number - number / 3;
    let (family, given) = (pick(&FAMILY, step), pick(&GIVEN, step));
    let name = format!("{}{}", family.0, given.0);
    (name, format!("{}.{}", given.1, family.1))
}

/// Every fourth number is foreign.
fn mobile_of(number: usize) -> String {
    let serial = number / 4;
    match (number % 4, serial % 7) {
        // Set aside for fiction: United States, United Kingdom, Germany, France.
        (3, 0) => format!("+120255501{serial:02}"),
        (3, 1) => format!("+447700900{serial:03}"),
        (3, 2) => format!("+49176040690{serial:02}"),
        (3, 3) => format!("+3363998{serial:04}"),
        // No such range: Hong Kong, Singapore, Japan, and mainland China below.
        (3, 4) => format!("+8525000{serial:04}"),
        (3, 5) => format!("+658000{serial:04}"),
        (3, _) => format!("+81900000{serial:04}"),
        _ => format!("+861300000{number:04}"),
    }
}

fn pick<T: Copy + Default, const N: usize>(table: &[T; N], index: usize) -> T {
    table.get(index % N).copied().unwrap_or_default()
}

fn special(&(name, email, mobile, status): &Special) -> Person {
    let some = |text: &str| (!text.is_empty()).then(|| text.to_owned());
    Person {
        name: name.to_owned(),
        email: some(email),
        mobile: some(mobile),
        status,
        visible: true,
        ..Person::default()
    }
}

/// The three whose story is not told by a status.
fn unusual() -> [Person; 3] {
    let base = Person {
        visible: true,
        ..Person::default()
    };
    [
        Person {
            name: "Quinn Hidden".to_owned(),
            email: Some("quinn.hidden@acme.example".to_owned()),
            mobile: Some("+8613000009008".to_owned()),
            visible: false,
            ..base.clone()
        },
        Person {
            name: "邢企".to_owned(),
            enterprise_email: Some("qi.xing@acme.example".to_owned()),
            mobile: Some("+8613000009009".to_owned()),
            ..base.clone()
        },
        Person {
            name: "Only Mailbox".to_owned(),
            enterprise_email: Some("only.mailbox@acme.example".to_owned()),
            ..base
        },
    ]
}

#[cfg(test)]
mod tests {
    #![expect(clippy::indexing_slicing, reason = "tests")]

    use std::collections::{HashMap, HashSet};

    use super::*;
    use crate::sandbox::person::stored_mobile;

    #[test]
    fn there_are_about_two_hundred_people_and_the_same_each_time() {
        let (one, two) = (tenants(), tenants());
        let count: usize = one.iter().map(|(_, people)| people.len()).sum();
        assert!((195..=210).contains(&count), "{count}");
        for ((_, one), (_, two)) in one.iter().zip(&two) {
            for (one, two) in one.iter().zip(two) {
                assert_eq!(one.open_id, two.open_id);
            }
        }
    }

    #[test]
    fn only_the_people_meant_to_share_an_address_do() {
        for (tenant, people) in tenants() {
            let mut emails: HashMap<String, usize> = HashMap::new();
            let mut mobiles = HashSet::new();
            for person in &people {
                if let Some(email) = &person.email {
                    *emails.entry(email.to_lowercase()).or_default() += 1;
                }
                if let Some(mobile) = &person.mobile {
                    assert!(mobiles.insert(mobile.clone()), "{mobile} twice");
                    assert_eq!(stored_mobile(mobile).as_ref(), Some(mobile));
                }
            }
            let mut shared: Vec<_> = emails.iter().filter(|(_, count)| **count > 1).collect();
            shared.sort();
            let names: Vec<_> = shared.iter().map(|(email, _)| email.as_str()).collect();
            let expected: &[&str] = if tenant == "acme" {
                &["frontdesk@acme.example", "shared.desk@acme.example"]
            } else {
                &[]
            };
            assert_eq!(names, expected);
        }
    }

    #[test]
    fn all_ids_differ_even_those_of_the_person_in_both_tenants() {
        let all = tenants();
        let mut seen = HashSet::new();
        for (_, people) in &all {
            for person in people {
                for id in [&person.user_id, &person.open_id, &person.union_id] {
                    assert!(seen.insert(id.clone()), "{id} twice");
                }
            }
        }
        let twin = |tenant: usize| {
            let people = &all[tenant].1;
            people
                .iter()
                .filter(|p| p.email.as_deref() == Some("yiming.luo@both.example"))
                .count()
        };
        assert_eq!((twin(0), twin(1)), (1, 1));
    }

    #[test]
    fn every_status_and_several_countries_occur() {
        let all: Vec<Person> = tenants()
            .into_iter()
            .flat_map(|(_, people)| people)
            .collect();
        for (name, status) in Status::NAMES {
            assert!(all.iter().any(|person| person.status == status), "{name}");
        }
        for code in ["+86", "+852", "+65", "+1", "+44", "+81", "+49", "+33"] {
            let has = |person: &Person| person.mobile.as_ref().is_some_and(|m| m.starts_with(code));
            assert!(all.iter().any(has), "{code}");
        }
    }
}
