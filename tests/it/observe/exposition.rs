//! A strict reader of the `OpenMetrics` text format: whatever is not by its rules fails the test.

use std::collections::{BTreeMap, BTreeSet};

/// Everything that one scrape showed.
pub struct Exposition {
    pub families: BTreeMap<String, Family>,
    samples: BTreeMap<(String, Labels), f64>,
}

pub struct Family {
    pub kind: String,
    pub unit: Option<String>,
    pub help: String,
}

type Labels = BTreeMap<String, String>;

impl Exposition {
    pub fn parse(text: &str) -> Self {
        let text = text.strip_suffix("# EOF\n").expect("it ends with EOF");
        let mut read = Self {
            families: BTreeMap::new(),
            samples: BTreeMap::new(),
        };
        let mut current = String::new();
        for line in text.lines() {
            if let Some(about) = line.strip_prefix("# ") {
                let (what, rest) = about.split_once(' ').expect(line);
                let (name, value) = rest.split_once(' ').expect(line);
                read.describe(what, name, value);
                name.clone_into(&mut current);
            } else {
                read.sample(&current, line);
            }
        }
        read.check_histograms();
        read
    }

    /// The sum of all samples of that name that have these labels.
    pub fn sum(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        let has = |of: &Labels, (k, v): &(&str, &str)| of.get(*k).is_some_and(|x| x == v);
        let matching = self
            .samples
            .iter()
            .filter(|((n, of), _)| n == name && labels.iter().all(|label| has(of, label)));
        matching.map(|(_, value)| value).sum()
    }

    /// Each series that there is, with the names of its labels.
    pub fn labels(&self) -> impl Iterator<Item = (&str, BTreeSet<&str>)> {
        self.samples.keys().map(|(series, labels)| {
            let names = labels.keys().map(String::as_str).collect();
            (series.as_str(), names)
        })
    }

    /// The values that a label has anywhere.
    pub fn values(&self, label: &str) -> BTreeSet<&str> {
        let labels = self.samples.keys().filter_map(|(_, of)| of.get(label));
        labels.map(String::as_str).collect()
    }

    fn describe(&mut self, what: &str, name: &str, value: &str) {
        assert!(is_name(name), "{name}");
        match what {
            "HELP" => {
                let family = Family {
                    kind: String::new(),
                    unit: None,
                    help: value.to_owned(),
                };
                let twice = self.families.insert(name.to_owned(), family).is_some();
                assert!(!twice, "{name} is described twice");
            }
            "TYPE" => value.clone_into(&mut self.families.get_mut(name).unwrap().kind),
            "UNIT" => {
                assert!(name.ends_with(&format!("_{value}")), "{name} in {value}");
                self.families.get_mut(name).unwrap().unit = Some(value.to_owned());
            }
            other => panic!("{other} is nothing that describes a metric"),
        }
    }

    fn sample(&mut self, current: &str, line: &str) {
        let (series, value) = line.rsplit_once(' ').expect(line);
        let (name, labels) = match series.split_once('{') {
            Some((name, labels)) => (name, parse_labels(labels.strip_suffix('}').expect(line))),
            None => (series, Labels::new()),
        };
        let suffix = name.strip_prefix(current).expect(line);
        let allowed: &[&str] = match self.families[current].kind.as_str() {
            "counter" => &["_total"],
            "gauge" => &[""],
            "histogram" => &["_bucket", "_sum", "_count"],
            other => panic!("{other} is no type used here"),
        };
        assert!(allowed.contains(&suffix), "{line}");
        let value: f64 = value.parse().expect(line);
        assert!(value.is_finite(), "{line}");
        let twice = self.samples.insert((name.to_owned(), labels), value);
        assert!(twice.is_none(), "{line}: twice");
    }

    /// Buckets never fall, and the last one is the count.
    fn check_histograms(&self) {
        let histograms = self.families.iter().filter(|(_, f)| f.kind == "histogram");
        for (family, _) in histograms {
            let counts = self.samples.iter();
            let counts = counts.filter(|((name, _), _)| *name == format!("{family}_count"));
            for ((_, labels), count) in counts {
                let mut buckets = self.buckets(family, labels);
                buckets.sort_by(|(a, _), (b, _)| a.total_cmp(b));
                assert!(buckets.is_sorted_by(|(_, a), (_, b)| a <= b), "{family}");
                assert_eq!(buckets.last(), Some(&(f64::INFINITY, *count)), "{family}");
            }
        }
    }

    fn buckets(&self, family: &str, labels: &Labels) -> Vec<(f64, f64)> {
        let samples = self.samples.iter();
        let buckets = samples.filter_map(|((name, of), count)| {
            let mut of = of.clone();
            let end = of.remove("le")?;
            (*name == format!("{family}_bucket") && of == *labels)
                .then(|| (end.parse().unwrap(), *count))
        });
        buckets.collect()
    }
}

fn is_name(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_lowercase())
        && name
            .chars()
            .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
}

/// `name="value",…`. None of ours has a character that would need a backslash.
fn parse_labels(text: &str) -> Labels {
    let mut labels = Labels::new();
    let mut rest = text;
    while !rest.is_empty() {
        let (name, after) = rest.split_once("=\"").expect(text);
        let (value, after) = after.split_once('"').expect(text);
        assert!(is_name(name) && !value.contains('\\'), "{text}");
        assert!(
            labels.insert(name.to_owned(), value.to_owned()).is_none(),
            "{text}"
        );
        rest = match after.strip_prefix(',') {
            Some(more) if !more.is_empty() => more,
            None if after.is_empty() => after,
            _ => panic!("{text}"),
        };
    }
    labels
}
