//! Answers of Feishu: whatever the body, only who was asked for gets an ID, and no error repeats anybody.
#![no_main]

use feishu_id::{
    directory::{DirectoryError, DirectoryErrorKind, LookupBatch, LookupScope},
    feishu::fuzzing,
    identity::{Email, Identifier, Mobile, UserIdType},
};
use libfuzzer_sys::fuzz_target;

const STATUSES: [u16; 8] = [200, 204, 302, 400, 401, 404, 429, 500];

fuzz_target!(|input: (u8, bool, &[u8])| {
    let (number, include_resigned, body) = input;
    let status = STATUSES[usize::from(number) % STATUSES.len()];
    let kind = [UserIdType::UserId, UserIdType::OpenId][usize::from(number / 128)];
    let batch = batch(kind, include_resigned);
    match fuzzing::lookup(status, body, &batch) {
        Ok(people) => {
            assert!((200..300).contains(&status));
            for (key, people) in &people {
                assert!(batch.keys().any(|asked| asked == key));
                assert!(!people.is_empty() && people.iter().all(|person| !person.id.is_empty()));
                let ids: std::collections::HashSet<_> = people.iter().map(|p| &p.id).collect();
                assert_eq!(ids.len(), people.len(), "the same person twice");
            }
        }
        Err(error) => check(&error, &batch),
    }
    match fuzzing::token(status, body) {
        Ok((token, seconds)) => {
            assert!(seconds > 0);
            http::HeaderValue::try_from(format!("Bearer {token}")).unwrap();
        }
        Err(error) => check(&error, &batch),
    }
});

fn batch(user_id_type: UserIdType, include_resigned: bool) -> LookupBatch {
    let mut batch = LookupBatch::new(LookupScope {
        user_id_type,
        include_resigned,
    });
    for email in ["a@b.c", "zq7mail@zq7dom.example"] {
        batch
            .push(Identifier::Email(Email::parse(email).unwrap()))
            .unwrap();
    }
    let mobile = Mobile::parse("19973518641").unwrap();
    batch.push(Identifier::Mobile(mobile)).unwrap();
    batch
}

fn check(error: &DirectoryError, batch: &LookupBatch) {
    assert!(!error.message.is_empty() && error.message.len() < 2000);
    if let DirectoryErrorKind::ContentRefused { culprits } = &error.kind {
        assert!(
            culprits
                .iter()
                .all(|culprit| batch.keys().any(|key| key == culprit))
        );
    }
    let told = [
        Some(&error.message),
        error.log_id.as_ref(),
        error.help_url.as_ref(),
    ];
    for text in told.into_iter().flatten() {
        assert!(
            text.bytes().all(|b| b == b' ' || b.is_ascii_graphic()),
            "{text}"
        );
        assert!(!text.contains('@'), "{text}");
    }
}
