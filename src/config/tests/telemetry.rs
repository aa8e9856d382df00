//! `[telemetry]`, and the variables that every program has in common.

use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;

/// From a directory of its own: tests run side by side.
fn load_alone(toml: &str, variables: &[(&str, &str)]) -> Result<Loaded, ConfigErrors> {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    load(&format!("telemetry-{number}"), toml, variables)
}

fn loaded(toml: &str, variables: &[(&str, &str)]) -> TelemetryConfig {
    load_alone(toml, variables).unwrap().config.telemetry
}

fn refused(toml: &str) -> String {
    load_alone(toml, &[]).unwrap_err().to_string()
}

#[test]
fn there_are_no_traces_unless_somebody_says_where_they_go() {
    let config = loaded("", &[]);
    assert_eq!(config.otlp_endpoint, None);
    assert_eq!(config.service_name, "feishu-id");
    assert!((config.trace_sample_ratio - 0.01).abs() < f64::EPSILON);
    assert!(config.traceparent_to_feishu);
}

#[test]
fn the_standard_variables_are_heard_and_ours_are_stronger() {
    let narrow = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://narrow:4317");
    let wide = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://wide:4317");
    let endpoint = |toml, variables: &[_]| loaded(toml, variables).otlp_endpoint;
    assert_eq!(endpoint("", &[wide]).as_deref(), Some("http://wide:4317"));
    let both = endpoint("", &[wide, narrow]);
    assert_eq!(both.as_deref(), Some("http://narrow:4317"));
    let file = "[telemetry]\notlp_endpoint = \"off\"";
    assert_eq!(endpoint(file, &[wide, narrow]), None);
    let named = loaded("", &[("OTEL_SERVICE_NAME", "ids")]);
    assert_eq!(named.service_name, "ids");
    let shown = load_alone("", &[wide]).unwrap();
    let shown = shown.effective().to_string();
    let line = shown.lines().find(|line| line.contains("wide")).unwrap();
    assert!(line.contains("environment variable OTEL_EXPORTER_OTLP_ENDPOINT"));
}

#[test]
fn a_ratio_is_written_as_a_number_of_any_kind() {
    let ratio = |text: &str| {
        loaded(&format!("[telemetry]\ntrace_sample_ratio = {text}"), &[]).trace_sample_ratio
    };
    assert!((ratio("0.25") - 0.25).abs() < f64::EPSILON);
    assert!((ratio("1") - 1.0).abs() < f64::EPSILON);
    let variable = [("FEISHU_ID_TELEMETRY__TRACE_SAMPLE_RATIO", "0.5")];
    assert!((loaded("", &variable).trace_sample_ratio - 0.5).abs() < f64::EPSILON);
    for bad in ["1.5", "-0.1", "nan", "\"much\""] {
        let told = refused(&format!("[telemetry]\ntrace_sample_ratio = {bad}"));
        assert!(told.contains("telemetry.trace_sample_ratio"), "{told}");
    }
}

#[test]
fn a_collector_has_a_url_without_secrets_and_paths() {
    for bad in [
        "127.0.0.1:4317",
        "ftp://a:1",
        "http://",
        "http://user:hidden@a:4317",
        "http://a:4318/v1/traces",
        "http://a:4317?hidden=1",
    ] {
        let told = refused(&format!("[telemetry]\notlp_endpoint = \"{bad}\""));
        assert!(told.contains("telemetry.otlp_endpoint"), "{bad}: {told}");
        assert!(!told.contains("hidden"), "{told}");
    }
    for good in ["http://127.0.0.1:4317", "https://collector.example:4317/"] {
        let config = loaded(&format!("[telemetry]\notlp_endpoint = \"{good}\""), &[]);
        assert_eq!(config.otlp_endpoint.as_deref(), Some(good));
    }
}
