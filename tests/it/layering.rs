//! Who may import whom, as ARCHITECTURE.md draws it: read from the `crate::` paths of the sources.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

/// Each part of `src`, and the parts that it may import. `*` is everything.
const MAY_IMPORT: &[(&str, &[&str])] = &[
    ("lib", &[]),
    ("main", &["cli", "hardening"]),
    ("cli", &["*"]),
    ("app", &["*"]),
    // Logs are set up before there is anything else.
    ("telemetry", &["trace", "log_limit"]),
    // To say that a certificate has expired.
    ("config", &["clock"]),
    (
        "grpc",
        &[
            "resolver",
            "admin",
            "identity",
            "pb",
            "deadline",
            "shutdown",
            "batch",
            "caller",
            "callers",
            "audit",
            "metrics",
            "trace",
            "log_limit",
            "memory",
        ],
    ),
    (
        "admin",
        &[
            "resolver", "cache", "batch", "feishu", "quota", "identity", "clock",
        ],
    ),
    (
        "resolver",
        &[
            "cache",
            "coalesce",
            "batch",
            "directory",
            "identity",
            "deadline",
            "caller",
            "clock",
            "metrics",
            "store",
            "trace",
        ],
    ),
    ("cache", &["identity", "backoff"]),
    ("store", &["clock"]),
    (
        "batch",
        &[
            "directory",
            "quota",
            "backoff",
            "identity",
            "caller",
            "clock",
            "metrics",
            "trace",
            "log_limit",
        ],
    ),
    ("directory", &["identity"]),
    (
        "feishu",
        &[
            "directory",
            "identity",
            "coalesce",
            "backoff",
            "quota",
            "clock",
            "metrics",
            "trace",
        ],
    ),
    ("sandbox", &[]),
    (
        "server",
        &[
            "shutdown",
            "deadline",
            "caller",
            "metrics",
            "trace",
            "log_limit",
            "memory",
            "striped",
        ],
    ),
    ("http", &["metrics"]),
    ("metrics", &[]),
    ("identity", &[]),
    ("coalesce", &[]),
    ("quota", &[]),
    ("backoff", &[]),
    ("shutdown", &[]),
    ("deadline", &[]),
    ("caller", &["deadline"]),
    ("callers", &["caller", "identity", "audit"]),
    ("audit", &[]),
    ("memory", &[]),
    ("striped", &[]),
    ("clock", &[]),
    ("trace", &[]),
    ("log_limit", &[]),
    ("hardening", &["clock"]),
    ("pb", &[]),
];

#[test]
fn nobody_imports_whom_they_may_not() {
    let allowed: BTreeMap<&str, &[&str]> = MAY_IMPORT.iter().copied().collect();
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut seen = BTreeSet::new();
    let mut faults = Vec::new();
    for file in sources(&src) {
        let relative = file.strip_prefix(&src).unwrap();
        let part = part(relative);
        let Some(may) = allowed.get(part.as_str()) else {
            faults.push(format!("{part}: not in the table; say whom it may import"));
            continue;
        };
        // Tests may build what they test from anything.
        if relative.ends_with("tests.rs") {
            seen.insert(part);
            continue;
        }
        let text = fs::read_to_string(&file).unwrap();
        let text = text.split("#[cfg(test)]\nmod tests {").next().unwrap();
        for import in imports(text) {
            if import != part && !may.contains(&"*") && !may.contains(&import.as_str()) {
                faults.push(format!("{}: may not import {import}", relative.display()));
            }
        }
        seen.insert(part);
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
    for (part, _) in MAY_IMPORT {
        assert!(seen.contains(*part), "{part}: in the table, but not in src");
    }
}

fn sources(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(sources(&path));
        } else if path.extension().is_some_and(|e| e == "rs") {
            files.push(path);
        }
    }
    files
}

/// The first name of the path: `feishu/token.rs` belongs to `feishu`.
fn part(relative: &Path) -> String {
    let first = relative.components().next().unwrap().as_os_str();
    first.to_str().unwrap().trim_end_matches(".rs").to_owned()
}

/// The first names after every `crate::`, also those of `crate::{a, b::c}`.
fn imports(text: &str) -> BTreeSet<String> {
    let name = |s: &str| -> String {
        s.trim_start()
            .chars()
            .take_while(|c| c.is_alphanumeric() || *c == '_')
            .collect()
    };
    let code = text
        .lines()
        .filter(|line| !line.trim_start().starts_with("//"))
        .collect::<Vec<_>>()
        .join("\n");
    let mut found = BTreeSet::new();
    for after in code.split("crate::").skip(1) {
        let Some(group) = after.strip_prefix('{') else {
            found.insert(name(after));
            continue;
        };
        let mut depth = 1;
        let mut at_start = true;
        for (index, c) in group.char_indices() {
            match c {
                '{' => depth += 1,
                '}' => depth -= 1,
                ',' if depth == 1 => at_start = true,
                c if at_start && !c.is_whitespace() => {
                    found.insert(name(group.get(index..).unwrap()));
                    at_start = false;
                }
                _ => {}
            }
            if depth == 0 {
                break;
            }
        }
    }
    found.remove("");
    found
}
