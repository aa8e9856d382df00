//! What has been told, and the search through it.

use std::path::Path;

use tonic::Status;

use super::marks;

/// Everything that was told, each with where.
#[derive(Default)]
pub struct Gathered {
    pieces: Vec<(String, Vec<u8>)>,
    /// What is looked for beside the marks, such as tokens, by its kind.
    further: Vec<(String, String)>,
}

impl Gathered {
    pub fn add(&mut self, source: &str, bytes: impl Into<Vec<u8>>) {
        self.pieces.push((source.to_owned(), bytes.into()));
    }

    pub fn page(&mut self, source: &str, text: String) {
        self.add(source, text);
    }

    /// An error as its caller gets it.
    pub fn error(&mut self, status: &Status) {
        self.add("error", status.message());
        self.add("error's details", status.details());
        self.add("error's metadata", format!("{:?}", status.metadata()));
        self.add("error's debug", format!("{status:?}"));
    }

    /// Every file below a directory, by its content and its name.
    pub fn files(&mut self, source: &str, directory: &Path) {
        let mut count = 0;
        for entry in std::fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            self.add(source, path.display().to_string());
            self.add(source, std::fs::read(&path).unwrap());
            count += 1;
        }
        assert!(count >= 2, "a store and its key");
    }

    pub fn look_for(&mut self, kind: &str, text: &str) {
        assert!(text.len() >= 12, "too short to be told from chance");
        self.further.push((kind.to_owned(), text.to_owned()));
    }

    /// The source was heard, and holds what it should, at least so many lines of it.
    pub fn must_tell(&self, source: &str, text: &str, lines: usize) {
        let of_source = self.pieces.iter().filter(|(name, _)| name == source);
        let (mut heard, mut found) = (0, false);
        for (_, bytes) in of_source {
            heard += bytes.split(|b| *b == b'\n').count();
            found |= lower(bytes).contains(text);
        }
        assert!(found, "{source}: {text} is not told of at all");
        assert!(heard >= lines, "{source}: only {heard} lines");
    }

    pub fn must_hold_nothing(&self) {
        let mut wanted: Vec<_> = patterns().chain(self.further.iter().cloned()).collect();
        for (_, text) in &mut wanted {
            text.make_ascii_lowercase();
        }
        let mut hits = Vec::new();
        for (source, bytes) in &self.pieces {
            let told = lower(bytes);
            // Among bytes that look drawn, as sealed ones do, short ones are met by chance.
            let least = if std::str::from_utf8(bytes).is_ok() {
                3
            } else {
                6
            };
            for (kind, text) in wanted.iter().filter(|(_, text)| text.len() >= least) {
                if let Some(at) = told.find(text) {
                    let around = told.as_bytes().get(at.saturating_sub(160)..).unwrap();
                    let around = around.get(..360).unwrap_or(around);
                    let around = String::from_utf8_lossy(around);
                    hits.push(format!("{source}: {kind}: …{around}…"));
                }
            }
        }
        let most = hits.len().min(20);
        assert!(
            hits.is_empty(),
            "{} hits:\n{}",
            hits.len(),
            hits[..most].join("\n\n")
        );
    }
}

/// To be searched in whatever letter case, and whatever else there is between the texts.
fn lower(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).to_ascii_lowercase()
}

/// The marks, and the marked texts in the forms that programs turn texts into.
fn patterns() -> impl Iterator<Item = (String, String)> {
    let plain = [marks::MARK, marks::DIGITS, "7351 8641", "7351-8642"];
    let plain = plain.map(|text| ("plain".to_owned(), text.to_owned()));
    let turned = marks::texts().into_iter().flat_map(|text| {
        let bytes = text.as_bytes();
        let hex: Vec<String> = bytes.iter().map(|b| format!("{b:02x}")).collect();
        let decimal: Vec<String> = bytes.iter().map(u8::to_string).collect();
        let base64 = (0..3).map(|skip| ("base64".to_owned(), base64(bytes, skip)));
        // Shorter ones are met by chance.
        let base64 = base64.filter(|(_, text)| text.len() >= 8);
        let others = [
            ("plain", text.clone()),
            ("hex", hex.concat()),
            ("bytes", decimal.join(", ")),
        ];
        others
            .map(|(kind, text)| (kind.to_owned(), text))
            .into_iter()
            .chain(base64)
            .collect::<Vec<_>>()
    });
    plain.into_iter().chain(turned)
}

/// What stands in the base64 form of whatever the text stands in, at that offset of three: without the
/// characters that depend on what stands before and behind it.
fn base64(text: &[u8], skip: usize) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let whole = text.get(skip..).unwrap_or_default().chunks_exact(3);
    let digits = whole.flat_map(|three| {
        let bits = three
            .iter()
            .fold(0_usize, |bits, b| (bits << 8) | usize::from(*b));
        [18, 12, 6, 0].map(|shift| char::from(ALPHABET[(bits >> shift) & 63]))
    });
    digits.collect()
}

#[test]
fn a_canary_is_found_in_every_form() {
    let hits = |told: &[u8]| {
        let mut gathered = Gathered::default();
        gathered.add("log", "nothing to see");
        gathered.add("log", told);
        gathered.look_for("token", "t-g104abcdefgh");
        std::panic::catch_unwind(|| gathered.must_hold_nothing()).is_err()
    };
    assert!(!hits(b"seenacme, 3 identifiers, wei.wang@acme.example"));
    for told in [
        marks::EMAIL,
        "ZQ7MAIL1%40ZQ7DOM.EXAMPLE",
        "mobile=19973518641",
        "mobile=199 7351 8641",
        "secret: \"zq7secret\"",
        "authorization: Bearer t-g104abcdefgh",
        "[122, 113, 55, 115, 101, 99, 114, 101, 116, 122, 113, 55, 115, 101, 99, 114, 101, 116, 122, \
         113, 55, 115, 101, 99, 114, 101, 116, 122, 113, 55, 115, 101]",
        // "zq7dom", and "19973518641" behind one and two further bytes.
        "enE3ZG9t",
        "eDE5OTczNTE4NjQx",
        "eHgxOTk3MzUxODY0MQ",
        "7A7137646F6D",
    ] {
        assert!(hits(told.as_bytes()), "{told}");
    }
    assert!(hits(
        &[b"\x00\xff", marks::SECRET.as_bytes(), b"\x00"].concat()
    ));
}
