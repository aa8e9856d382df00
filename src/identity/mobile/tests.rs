#![expect(clippy::panic, clippy::unwrap_used, reason = "tests")]

use super::*;

/// Fixed, so that a failure comes back; change it to look elsewhere.
const SEED: u64 = 20_261_123;

fn normal(text: &str) -> String {
    match Mobile::parse(text) {
        Ok(mobile) => mobile.as_str().to_owned(),
        Err(error) => panic!("{text:?}: {error}"),
    }
}

fn refusal(text: &str) -> &'static str {
    match Mobile::parse(text) {
        Err(InvalidIdentifier::Mobile(expected)) => expected,
        other => panic!("{text:?}: {other:?}"),
    }
}

/// Checks what holds for every accepted text, and says whether it was accepted.
fn is_sound(text: &str) -> bool {
    let Ok(mobile) = Mobile::parse(text) else {
        return false;
    };
    assert_eq!(
        Mobile::parse(mobile.as_str()),
        Ok(mobile.clone()),
        "{text:?}, {SEED}"
    );
    let digits = mobile.as_str().strip_prefix('+').unwrap();
    assert!(digits.len() <= MAX_DIGITS, "{text:?}, {SEED}");
    assert!(
        digits.bytes().all(|b| b.is_ascii_digit()),
        "{text:?}, {SEED}"
    );
    assert!(!digits.starts_with('0'), "{text:?}, {SEED}");
    true
}

#[test]
fn all_spellings_of_a_mainland_number_are_equal() {
    for text in [
        "13800138000",
        "+8613800138000",
        "8613800138000",
        "008613800138000",
        " 138 0013 8000\n",
        "138-0013-8000",
        "138.0013.8000",
        "+86 138 0013 8000",
        "+86-138-0013-8000",
        "(+86) 138 0013 8000",
        "+86(138)00138000",
        "+86 (0) 138 0013 8000",
        "0086 138\u{a0}0013\u{a0}8000",
        "86 138 0013 8000",
        "１３８００１３８０００",
        "＋８６　１３８　００１３　８０００",
        "（＋８６）１３８－００１３－８０００",
        "138\u{2013}0013\u{2014}8000",
        "138\u{b7}0013\u{b7}8000",
    ] {
        assert_eq!(normal(text), "+8613800138000", "{text:?}");
    }
}

#[test]
fn new_mainland_ranges_pass() {
    for range in [
        "162", "165", "167", "190", "191", "192", "193", "195", "196", "197", "198", "199",
    ] {
        let number = format!("{range}00138000");
        assert_eq!(normal(&number), format!("+86{number}"));
    }
}

#[test]
fn foreign_numbers_pass_with_their_country_code() {
    for (text, expected) in [
        ("+852 6123 4567", "+85261234567"),
        ("00852 6123 4567", "+85261234567"),
        ("+853 6612 3456", "+85366123456"),
        ("+886 912 345 678", "+886912345678"),
        ("+886 0912-345-678", "+886912345678"),
        ("+65 8123 4567", "+6581234567"),
        ("+1 (202) 555-0123", "+12025550123"),
        ("+1 416 555 0123", "+14165550123"),
        ("+44 7911 123456", "+447911123456"),
        ("+44 (0)7911 123456", "+447911123456"),
        ("+39 312 345 6789", "+393123456789"),
        ("+39 06 698 12345", "+390669812345"),
        ("+49 151 23456789", "+4915123456789"),
        ("+49 (0) 151 23456789", "+4915123456789"),
        ("+81 90-1234-5678", "+819012345678"),
        ("+81 (0)90-1234-5678", "+819012345678"),
        ("+91 98765 43210", "+919876543210"),
        ("+91 09876543210", "+919876543210"),
        ("+55 11 98765-4321", "+5511987654321"),
        ("+7 916 123-45-67", "+79161234567"),
        ("+33 (0)6 12 34 56 78", "+33612345678"),
        ("+61 0412 345 678", "+61412345678"),
        ("+82 010-1234-5678", "+821012345678"),
        ("+84 0912 345 678", "+84912345678"),
        ("+66 081 234 5678", "+66812345678"),
        ("+62 0812 3456 7890", "+6281234567890"),
        ("+60 012-345 6789", "+60123456789"),
        ("+971 050 123 4567", "+971501234567"),
        ("+54 9 11 2345-6789", "+5491123456789"),
        ("+225 01 23 45 67 89", "+2250123456789"),
        ("+34 612 34 56 78", "+34612345678"),
        ("＋８５２　６１２３　４５６７", "+85261234567"),
    ] {
        assert_eq!(normal(text), expected, "{text:?}");
    }
}

#[test]
fn a_foreign_number_needs_its_country_code() {
    for text in [
        "",
        " - ",
        "1",
        "12345",
        "61234567",
        "2025550123",
        "07911123456",
        "447911123456",
        "85261234567",
        "1380013800",
        "138001380001",
        "013800138000",
        "23800138000",
        "8623800138000",
        "86138001380001",
        "868613800138000",
        "01012345678",
    ] {
        assert_eq!(refusal(text), WITHOUT_COUNTRY, "{text:?}");
    }
    assert!(WITHOUT_COUNTRY.contains("country code"));
}

#[test]
fn only_mobiles_pass_for_mainland_china() {
    for text in [
        "+86",
        "+86 12345",
        "+86 10 8888 8888",
        "+86 010 8888 8888",
        "+86 21 1234 5678",
        "+86 400 800 8000",
        "+86 138 0013 800",
        "+86 138 0013 80001",
        "+86 86 138 0013 8000",
        "+86 00 138 0013 8000",
        "0086 238 0013 8000",
    ] {
        assert_eq!(refusal(text), MAINLAND, "{text:?}");
    }
}

#[test]
fn lengths_and_country_codes_are_checked() {
    for text in [
        "+",
        "+0",
        "00",
        "0000",
        "+0086 13800138000",
        "+999 123 456 789",
        "+210 123456789",
    ] {
        assert_eq!(refusal(text), UNKNOWN_COUNTRY, "{text:?}");
    }
    for text in [
        "+1",
        "+12345",
        "+1 555 0123",
        "+852 6123 4567 8901",
        "+44 7911 12345678",
        "+44 00 7911 123456",
        "+49 0075865537",
        "+491511234567890123",
    ] {
        assert_eq!(refusal(text), WRONG_LENGTH, "{text:?}");
    }
}

#[test]
fn more_than_one_number_is_refused() {
    for text in [
        "13800138000 13900139000",
        "+85261234567 +85261234568",
        "13800138000/13900139000",
        "13800138000,13900139000",
        "13800138000;13900139000",
        "13800138000\n13900139000",
        "+86+13800138000",
        "++8613800138000",
        "13800138000+",
    ] {
        assert!(
            [ONE_NUMBER, CHARACTERS].contains(&refusal(text)),
            "{text:?}"
        );
    }
    assert_eq!(refusal(&"1".repeat(19)), ONE_NUMBER);
    assert_eq!(refusal(&"1".repeat(10_240)), ONE_NUMBER);
    assert_eq!(
        refusal(&format!("{}13800138000", " ".repeat(54))),
        ONE_NUMBER
    );
    assert_eq!(
        normal(&format!("{}13800138000", " ".repeat(53))),
        "+8613800138000"
    );
}

#[test]
fn what_is_not_part_of_a_number_is_refused() {
    for text in [
        "not-a-number",
        "+1-800-FLOWERS",
        "+85261234567 ext. 5",
        "+85261234567x5",
        "+85261234567#5",
        "+85261234567;ext=5",
        "tel:+8613800138000",
        "+86\u{9}13800138000",
        "138\u{0}00138000",
        "\u{202e}13800138000",
        "\u{202d}+8613800138000\u{202c}",
        "138\u{200b}00138000",
        "\u{feff}13800138000",
        "138\u{2028}00138000",
        "\u{661}\u{663}\u{668}\u{660}\u{660}\u{661}\u{663}\u{668}\u{660}\u{660}\u{660}",
        "一三八〇〇一三八〇〇〇",
        "a@example.com",
    ] {
        assert_eq!(refusal(text), CHARACTERS, "{text:?}");
    }
}

#[test]
fn debug_shows_no_digits() {
    let mobile = Mobile::parse("13800138000").unwrap();
    assert_eq!(format!("{mobile:?}"), "Mobile(redacted)");
}

#[test]
fn every_country_code_is_answered_without_a_panic() {
    let mut accepted = 0;
    for code in 1..1_000 {
        for length in [6, 8, 9, 10, 11] {
            for lead in ["", "0", "1"] {
                let national: String = lead
                    .chars()
                    .chain("712345678901".chars())
                    .take(length)
                    .collect();
                accepted += usize::from(is_sound(&format!("+{code}{national}")));
            }
        }
    }
    assert!(accepted > 1_500, "{accepted}");
}

#[test]
fn a_normal_form_is_its_own_normal_form_with_random_texts() {
    let codes = [
        "+", "+86", "0086", "86", "1", "+1", "+39", "+44", "+49", "+52", "+54", "+7", "+81",
        "+852", "+886", "00",
    ];
    let alphabet: Vec<char> = "0123456789012345678901234567890123456789 -.()１+x\u{200b}"
        .chars()
        .collect();
    let mut random = fastrand::Rng::with_seed(SEED);
    let mut accepted = 0;
    for round in 0..15_000 {
        let mut text = (*random.choice(codes).unwrap()).to_owned();
        for _ in 0..random.usize(6..14) {
            text.push(if round % 2 == 0 {
                random.digit(10)
            } else {
                *random.choice(&alphabet).unwrap()
            });
        }
        accepted += usize::from(is_sound(&text));
    }
    assert!(accepted > 2_000, "{accepted} with {SEED}");
}

#[test]
fn hostile_text_is_answered() {
    let mut random = fastrand::Rng::with_seed(SEED);
    for round in 0..20_000 {
        let text: String = (0..round % 70).map(|_| random.char(..)).collect();
        is_sound(&text);
    }
}

#[test]
fn what_is_taken_as_it_is_is_the_normal_form_that_is_worked_out() {
    let mut random = fastrand::Rng::with_seed(SEED);
    for _ in 0..20_000 {
        let length = random.usize(9..13);
        let digits: String = (0..length).map(|_| random.digit(10)).collect();
        for text in [format!("+86{digits}"), format!("+861{digits}")] {
            let normal = normalise(&text).map(std::borrow::Cow::into_owned);
            assert_eq!(normal, work_out(&text), "{SEED}");
        }
    }
}
