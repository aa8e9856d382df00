//! What operators are given: the list of metrics, the dashboard, the alert rules and what to do about
//! them. All of it is about metrics, labels and alerts that there are.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
};

use feishu_id::metrics::{About, about};
use serde_json::Value;
use yaml_rust2::{Yaml, YamlLoader};

use super::{
    promql,
    server::{Server, request},
};

/// Labels that Prometheus adds to everything it scrapes, or that belong to histograms.
const EVERYWHERE: [&str; 3] = ["job", "instance", "le"];
/// Metrics that Prometheus makes itself.
const OF_PROMETHEUS: [&str; 1] = ["up"];

fn file(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

fn read(path: &str) -> String {
    fs::read_to_string(file(path)).unwrap()
}

/// The series that a metric has in Prometheus.
fn series(about: &About) -> Vec<String> {
    let name = about.full_name();
    match about.kind() {
        "histogram" => ["_bucket", "_sum", "_count"]
            .map(|end| format!("{name}{end}"))
            .to_vec(),
        _ => vec![name],
    }
}

/// Whatever can be asked for, with its labels.
fn known() -> BTreeMap<String, BTreeSet<&'static str>> {
    let mut known = BTreeMap::new();
    for about in about::ALL {
        let labels: BTreeSet<_> = about.labels().iter().copied().chain(EVERYWHERE).collect();
        for series in series(about) {
            known.insert(series, labels.clone());
        }
    }
    for name in OF_PROMETHEUS {
        known.insert(name.to_owned(), EVERYWHERE.into_iter().collect());
    }
    known
}

/// All that is wrong with an expression.
fn faults(expression: &str) -> Vec<String> {
    let known = known();
    let query = match promql::read(expression) {
        Ok(query) => query,
        Err(why) => return vec![format!("{why}: {expression}")],
    };
    let mut faults = Vec::new();
    if query.selectors.is_empty() {
        faults.push(format!("asks for nothing: {expression}"));
    }
    let mut all = BTreeSet::new();
    for (name, labels) in &query.selectors {
        match known.get(name) {
            None => faults.push(format!("no such metric: {name}")),
            Some(of) => {
                all.extend(of.iter().copied());
                let strange = labels.iter().filter(|label| !of.contains(label.as_str()));
                faults.extend(strange.map(|label| format!("{name} has no label {label}")));
            }
        }
    }
    let strange = query.grouped.iter().filter(|l| !all.contains(l.as_str()));
    faults.extend(strange.map(|label| format!("nothing here has the label {label}: {expression}")));
    faults
}

/// The page of all metrics, as it should be.
fn page() -> String {
    let mut page = String::from(
        "# Metrics\n\nAt `/metrics` of `http.listen`, in OpenMetrics' text format. Written from the \
         program's own table (`src/metrics/about.rs`) by\n\
         `WRITE_DOCS=1 cargo test --test it -- operators`, and checked by that test.\n\n\
         No label holds anything of a person: tenants and callers are bounded by the configuration, \
         RPCs by the protos (whatever else is called is `other`).\nA histogram has the series \
         `_bucket`, `_sum` and `_count`. What is only there with a setting says so.\n\n\
         | metric | type | labels | unit | tells |\n| --- | --- | --- | --- | --- |\n",
    );
    for about in about::ALL {
        let labels: Vec<_> = about.labels().iter().map(|l| format!("`{l}`")).collect();
        let _ = writeln!(
            page,
            "| `{}` | {} | {} | {} | {} |",
            about.full_name(),
            about.kind(),
            labels.join(", "),
            about.unit().unwrap_or_default(),
            about.help()
        );
    }
    page
}

#[test]
fn the_page_of_metrics_is_the_table_of_metrics() {
    if std::env::var_os("WRITE_DOCS").is_some() {
        fs::write(file("docs/metrics.md"), page()).unwrap();
    }
    assert_eq!(read("docs/metrics.md"), page());
}

#[test]
fn every_metric_is_named_and_explained_once() {
    let names: BTreeSet<_> = about::ALL.iter().map(|about| about.full_name()).collect();
    assert_eq!(names.len(), about::ALL.len());
    for about in about::ALL {
        assert!(about.help().ends_with('.'), "{}", about.full_name());
        assert!(!about.help().contains('|'), "{}", about.full_name());
    }
}

#[tokio::test]
async fn what_is_shown_is_in_the_table_with_its_labels() {
    let server = Server::start(&[]);
    let mut client = server.client().await;
    let who = ["wei.wang@acme.example", "nobody@acme.example", "x"];
    client.resolve_user_ids(request(&who)).await.unwrap();
    client.resolve_user_ids(request(&[])).await.unwrap_err();
    let metrics = server.metrics().await;
    let known = known();
    for (series, labels) in metrics.labels() {
        let of = known.get(series).unwrap_or_else(|| panic!("{series}"));
        for label in labels {
            assert!(of.contains(label), "{series} has the label {label}");
        }
    }
}

#[test]
fn the_dashboard_asks_for_what_there_is() {
    let dashboard: Value = serde_json::from_str(&read("deploy/grafana/feishu-id.json")).unwrap();
    let variables = dashboard["templating"]["list"].as_array().unwrap();
    let variables: BTreeSet<_> = variables
        .iter()
        .map(|v| v["name"].as_str().unwrap())
        .collect();
    let panels = dashboard["panels"].as_array().unwrap();
    let mut ids = BTreeSet::new();
    let mut found = Vec::new();
    let mut asked = BTreeSet::new();
    for panel in panels {
        assert!(ids.insert(panel["id"].as_u64().unwrap()), "{panel}");
        let title = panel["title"].as_str().unwrap();
        if panel["type"] == "row" {
            continue;
        }
        let targets = panel["targets"].as_array().unwrap();
        assert!(!targets.is_empty(), "{title}");
        for target in targets {
            let expression = target["expr"].as_str().unwrap();
            for variable in promql::variables(expression) {
                let is_known = variable == "__rate_interval" || variables.contains(variable);
                assert!(is_known, "{title}: no such variable: {variable}");
            }
            let expression = expression.replace("$__rate_interval", "5m");
            found.extend(
                faults(&expression)
                    .into_iter()
                    .map(|f| format!("{title}: {f}")),
            );
            let query = promql::read(&expression).unwrap();
            asked.extend(query.selectors.into_iter().map(|(name, _)| name));
        }
    }
    assert!(found.is_empty(), "{found:#?}");
    // Whatever is counted can be seen.
    for about in about::ALL {
        let is_shown = series(about).iter().any(|series| asked.contains(series));
        let name = about.full_name();
        let is_for_alerts = [
            "process_start_time_seconds",
            "feishu_id_quota_month_warning",
        ];
        assert!(is_shown || is_for_alerts.contains(&name.as_str()), "{name}");
    }
}

/// The alert rules: name and rule.
fn alerts() -> Vec<(String, Yaml)> {
    let text = read("deploy/prometheus/alerts.yaml");
    let document = YamlLoader::load_from_str(&text).unwrap();
    let groups = document[0]["groups"].as_vec().unwrap().clone();
    let rules = groups.iter().flat_map(|group| {
        assert!(group["name"].as_str().is_some());
        group["rules"].as_vec().unwrap().clone()
    });
    rules
        .map(|rule| (rule["alert"].as_str().unwrap().to_owned(), rule))
        .collect()
}

#[test]
fn the_alerts_ask_for_what_there_is() {
    let mut found = Vec::new();
    let mut names = BTreeSet::new();
    for (name, rule) in alerts() {
        assert!(names.insert(name.clone()), "{name} twice");
        let expression = rule["expr"].as_str().unwrap();
        found.extend(
            faults(expression)
                .into_iter()
                .map(|f| format!("{name}: {f}")),
        );
        let severity = rule["labels"]["severity"].as_str().unwrap();
        assert!(["page", "ticket"].contains(&severity), "{name}");
        assert!(rule["annotations"]["summary"].as_str().is_some(), "{name}");
        // Only words that Prometheus knows: it refuses the whole file for one that it does not.
        let keys = rule.as_hash().unwrap().keys();
        for key in keys {
            let key = key.as_str().unwrap();
            assert!(
                ["alert", "expr", "for", "labels", "annotations"].contains(&key),
                "{name}: {key}"
            );
        }
        if let Some(pause) = rule["for"].as_str() {
            assert!(pause.ends_with('m') && pause.len() <= 3, "{name}: {pause}");
        }
    }
    assert!(found.is_empty(), "{found:#?}");
    assert!(names.len() > 15);
}

#[test]
fn every_alert_has_a_section_that_says_what_to_do_and_every_section_an_alert() {
    let page = read("docs/operations.md");
    let (_, sections) = page.split_once("\n## Alerts\n").unwrap();
    let (sections, _) = sections.split_once("\n## ").unwrap();
    let sections: Vec<_> = sections.split("\n### ").skip(1).collect();
    let titles: Vec<_> = sections.iter().map(|s| s.lines().next().unwrap()).collect();
    let names: Vec<_> = alerts().into_iter().map(|(name, _)| name).collect();
    assert_eq!(titles, names, "in the same order");
    for section in sections {
        assert!(
            section.lines().filter(|l| !l.is_empty()).count() >= 3,
            "{section}"
        );
    }
}
