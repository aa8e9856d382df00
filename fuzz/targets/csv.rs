//! Lists and CSV files of `resolve`: every row is somebody or a mistake with its line, no mistake repeats
//! the file, and what was read as lines is what the lines hold.
#![no_main]

use feishu_id::cli::fuzzing::{self, Read};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    for column in [None, Some("mobile")] {
        check(bytes, &fuzzing::read(bytes, column));
    }
});

fn check(bytes: &[u8], read: &Read) {
    assert!(read.identifiers.len() <= bytes.len());
    for text in &read.identifiers {
        assert_eq!(text.trim(), text);
        assert!(!text.contains('\n'));
        assert!(contains(bytes, text.as_bytes()) || bytes.contains(&b'"'));
    }
    if let Some(error) = &read.error {
        assert!(error.starts_with("input:"), "{error}");
        for word in bytes.split(|b| b.is_ascii_whitespace() || *b == b',') {
            let is_data = word.contains(&b'@') && word.len() >= 6;
            assert!(!is_data || !contains(error.as_bytes(), word), "{error}");
        }
    }
    // Lines by the simplest means there are.
    if !read.is_table && read.error.is_none() {
        let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
        let text = std::str::from_utf8(bytes).unwrap();
        let lines = text
            .split('\n')
            .map(str::trim)
            .filter(|line| !line.is_empty());
        assert_eq!(read.identifiers, lines.collect::<Vec<_>>());
    }
}

fn contains(bytes: &[u8], part: &[u8]) -> bool {
    part.is_empty() || bytes.windows(part.len()).any(|window| window == part)
}
