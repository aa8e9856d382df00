//! As much of Prometheus' query language as says which metrics and labels a query is about. What is
//! not balanced, not closed or no word of it is a fault.

use std::collections::BTreeSet;

/// What a query is about.
#[derive(Debug, Default)]
pub struct Query {
    /// Metrics, each with the labels that choose among its series.
    pub selectors: Vec<(String, BTreeSet<String>)>,
    /// Labels by which results are grouped or joined.
    pub grouped: BTreeSet<String>,
}

/// Functions and aggregations that are used here.
const FUNCTIONS: [&str; 12] = [
    "sum",
    "max",
    "min",
    "count",
    "avg",
    "rate",
    "increase",
    "changes",
    "absent",
    "vector",
    "histogram_quantile",
    "time",
];
/// Words between expressions.
const OPERATORS: [&str; 5] = ["and", "or", "unless", "offset", "bool"];
/// Words before a list of labels.
const GROUPING: [&str; 4] = ["by", "without", "on", "ignoring"];

#[derive(Clone, Debug, PartialEq)]
enum Token {
    Word(String),
    Text(String),
    Sign(char),
}

pub fn read(expression: &str) -> Result<Query, String> {
    let tokens = tokens(expression)?;
    balanced(&tokens)?;
    let mut query = Query::default();
    let mut at = 0;
    while let Some(token) = tokens.get(at) {
        at += 1;
        let Token::Word(word) = token else { continue };
        let next = tokens.get(at);
        let is_number = word.starts_with(|c: char| c.is_ascii_digit());
        if GROUPING.contains(&word.as_str()) {
            let (labels, after) = list(&tokens, at)?;
            query.grouped.extend(labels);
            at = after;
        } else if FUNCTIONS.contains(&word.as_str()) {
            let is_called = next == Some(&Token::Sign('('))
                || matches!(next, Some(Token::Word(w)) if GROUPING.contains(&w.as_str()));
            if !is_called {
                return Err(format!("{word} is not called"));
            }
        } else if !is_number && !OPERATORS.contains(&word.as_str()) {
            let labels = if next == Some(&Token::Sign('{')) {
                let (labels, after) = matchers(&tokens, at)?;
                at = after;
                labels
            } else {
                BTreeSet::new()
            };
            query.selectors.push((word.clone(), labels));
        }
    }
    Ok(query)
}

/// The variables of a dashboard in a query.
pub fn variables(expression: &str) -> impl Iterator<Item = &str> {
    expression.split('$').skip(1).map(|rest| {
        let end = rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_');
        &rest[..end.unwrap_or(rest.len())]
    })
}

fn tokens(text: &str) -> Result<Vec<Token>, String> {
    let mut tokens = Vec::new();
    let mut rest = text.chars().peekable();
    while let Some(c) = rest.next() {
        if c == '"' {
            let mut inside = String::new();
            loop {
                match rest.next() {
                    Some('"') => break,
                    Some('\\') => inside.extend(rest.next()),
                    Some(c) => inside.push(c),
                    None => return Err("a text is not closed".to_owned()),
                }
            }
            tokens.push(Token::Text(inside));
        } else if c.is_ascii_alphanumeric() || c == '_' {
            let mut word = String::from(c);
            while let Some(c) = rest.next_if(|c| c.is_ascii_alphanumeric() || "_.:".contains(*c)) {
                word.push(c);
            }
            tokens.push(Token::Word(word));
        } else if "(){}[],=!~<>+-*/%".contains(c) {
            tokens.push(Token::Sign(c));
        } else if !c.is_whitespace() {
            return Err(format!("{c:?} does not belong here"));
        }
    }
    Ok(tokens)
}

fn balanced(tokens: &[Token]) -> Result<(), String> {
    let mut open = Vec::new();
    for token in tokens {
        let Token::Sign(sign) = token else { continue };
        match sign {
            '(' | '[' | '{' => open.push(*sign),
            ')' | ']' | '}' => {
                let opened = match sign {
                    ')' => '(',
                    ']' => '[',
                    _ => '{',
                };
                if open.pop() != Some(opened) {
                    return Err(format!("{sign} closes nothing"));
                }
            }
            _ => {}
        }
    }
    match open.pop() {
        Some(sign) => Err(format!("{sign} is not closed")),
        None => Ok(()),
    }
}

/// `(a, b)`.
fn list(tokens: &[Token], from: usize) -> Result<(BTreeSet<String>, usize), String> {
    if tokens.get(from) != Some(&Token::Sign('(')) {
        return Err("labels are missing".to_owned());
    }
    let mut labels = BTreeSet::new();
    for (at, token) in tokens.iter().enumerate().skip(from + 1) {
        match token {
            Token::Word(label) => {
                labels.insert(label.clone());
            }
            Token::Sign(',') => {}
            Token::Sign(')') => return Ok((labels, at + 1)),
            other => return Err(format!("{other:?} among labels")),
        }
    }
    Err("labels do not end".to_owned())
}

/// `{a="x", b=~"y"}`.
fn matchers(tokens: &[Token], from: usize) -> Result<(BTreeSet<String>, usize), String> {
    let mut labels = BTreeSet::new();
    let mut at = from + 1;
    loop {
        match tokens.get(at) {
            Some(Token::Sign('}')) => return Ok((labels, at + 1)),
            Some(Token::Sign(',')) => at += 1,
            Some(Token::Word(label)) => {
                labels.insert(label.clone());
                at += 1;
                while matches!(tokens.get(at), Some(Token::Sign('=' | '!' | '~'))) {
                    at += 1;
                }
                let Some(Token::Text(_)) = tokens.get(at) else {
                    return Err(format!("{label} is compared with no text"));
                };
                at += 1;
            }
            other => return Err(format!("{other:?} among matchers")),
        }
    }
}

#[test]
fn what_is_no_query_is_a_fault() {
    for bad in [
        "sum(rate(feishu_id_requests_total[5m])",
        "sum(feishu_id_requests_total))",
        "feishu_id_requests_total{rpc=~}",
        "feishu_id_requests_total{rpc=\"a}",
        "sum by tenant (x)",
        "sum",
        "a ; b",
    ] {
        assert!(read(bad).is_err(), "{bad}");
    }
    let good = "sum by (tenant) (rate(a_total{x=\"1\",y!~\"(\"}[5m])) / on (z) b > 0.5";
    let query = read(good).unwrap();
    let names: Vec<_> = query
        .selectors
        .iter()
        .map(|(name, _)| name.as_str())
        .collect();
    assert_eq!(names, ["a_total", "b"]);
    assert_eq!(query.selectors[0].1.len(), 2);
    assert_eq!(query.grouped.len(), 2);
}
