//! E-mail addresses and mobile numbers: a normal form is its own normal form, however it is spelt.
#![no_main]

use feishu_id::identity::{Email, InvalidIdentifier, Mobile, NormalForm};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    email(text);
    mobile(text);
});

fn email(text: &str) {
    let parsed = match Email::parse(text) {
        Ok(parsed) => parsed,
        Err(error) => return is_explained(&error),
    };
    let normal = parsed.as_str();
    assert_eq!(Email::parse(normal).as_ref(), Ok(&parsed));
    assert_eq!(
        Email::parse(&format!(" \u{3000}{text}\t")).as_ref(),
        Ok(&parsed)
    );
    if text.is_ascii() {
        assert_eq!(
            Email::parse(&text.to_ascii_uppercase()).as_ref(),
            Ok(&parsed)
        );
    }
    let form = NormalForm::email(text).unwrap();
    assert_eq!(form.as_str(), normal);
    assert!(!matches!(form, NormalForm::Email(std::borrow::Cow::Borrowed(own)) if own != text));
    let (local, domain) = normal.split_once('@').unwrap();
    assert!(!local.is_empty() && !local.contains(char::is_whitespace));
    assert!(domain.is_ascii() && !domain.is_empty() && !domain.contains('@'));
    assert!(normal.len() <= 254 && !normal.contains(char::is_control));
    assert!(!normal.bytes().any(|b| b.is_ascii_uppercase()));
    assert!(!format!("{parsed:?}").contains(normal));
}

fn mobile(text: &str) {
    let parsed = match Mobile::parse(text) {
        Ok(parsed) => parsed,
        Err(error) => return is_explained(&error),
    };
    let normal = parsed.as_str();
    assert_eq!(Mobile::parse(normal).as_ref(), Ok(&parsed));
    let digits = normal.strip_prefix('+').unwrap();
    assert!((1..=15).contains(&digits.len()) && digits.bytes().all(|b| b.is_ascii_digit()));
    assert_eq!(Mobile::parse(&format!("00{digits}")).as_ref(), Ok(&parsed));
    let spaced: Vec<String> = digits.chars().map(String::from).collect();
    assert_eq!(
        Mobile::parse(&format!("+{}", spaced.join(" - "))).as_ref(),
        Ok(&parsed)
    );
    assert_eq!(NormalForm::mobile(text).unwrap().as_str(), normal);
    assert!(!format!("{parsed:?}").contains(digits));
}

/// What it tells is written in the sources: nothing of the text is in it.
fn is_explained(error: &InvalidIdentifier) {
    assert!(!error.to_string().is_empty());
}
