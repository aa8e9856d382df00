//! What a panic tells, and what a process refuses to be dumped: by children of this program, since both
//! are for a whole process.

#![expect(clippy::panic, reason = "the tests' subject")]

use std::{
    panic::catch_unwind,
    process::{Command, Output},
};

use feishu_id::hardening;

/// Which child this program is.
const CHILD: &str = "HARDENING_CHILD";
/// What a panic must not tell.
const DATA: &str = "zq7mail@zq7dom.example";

/// Not a test of its own: what the tests below start.
#[test]
fn a_child_of_the_tests_below() {
    match std::env::var(CHILD).as_deref() {
        Ok("text") => panic_everywhere(),
        Ok("json") => {
            hardening::tell_panics_as_json();
            panic_everywhere();
        }
        Ok("as usual") => {
            let caught = catch_unwind(|| std::panic::panic_any(DATA.to_owned()));
            assert!(caught.is_err());
            let caught = catch_unwind(|| panic_over(DATA));
            assert!(caught.is_err());
        }
        Ok("core") => refuses_core_dumps(),
        _ => {}
    }
}

fn panic_over(data: &str) {
    panic!("cannot work on {data}");
}

fn panic_everywhere() {
    hardening::hide_what_panics_say();
    assert!(catch_unwind(|| panic_over(DATA)).is_err());
    assert!(catch_unwind(|| std::panic::panic_any(DATA)).is_err());
    assert!(catch_unwind(|| DATA.parse::<u8>().map_err(|_| DATA).unwrap()).is_err());
    assert!(catch_unwind(|| assert_eq!(DATA, "another")).is_err());
    let named = std::thread::Builder::new().name("worker".to_owned());
    let thread = named.spawn(|| panic_over(DATA)).unwrap();
    assert!(thread.join().is_err());
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    let task = runtime.block_on(async { tokio::spawn(async { panic_over(DATA) }).await });
    assert!(task.is_err());
}

fn refuses_core_dumps() {
    use rustix::process::{Resource, getrlimit};
    hardening::refuse_core_dumps().unwrap();
    let limit = getrlimit(Resource::Core);
    assert_eq!((limit.current, limit.maximum), (Some(0), Some(0)));
    #[cfg(target_os = "linux")]
    {
        use rustix::process::{DumpableBehavior, dumpable_behavior};
        assert_eq!(dumpable_behavior().unwrap(), DumpableBehavior::NotDumpable);
    }
}

fn child(which: &str) -> Output {
    Command::new(std::env::current_exe().unwrap())
        .args([
            "--exact",
            "hardening::a_child_of_the_tests_below",
            "--nocapture",
        ])
        .env(CHILD, which)
        .env("RUST_BACKTRACE", "1")
        .output()
        .unwrap()
}

fn text(output: &Output) -> String {
    let text = [output.stdout.as_slice(), &output.stderr].concat();
    String::from_utf8(text).unwrap()
}

#[test]
fn a_panic_tells_its_place_and_thread_and_not_what_it_was_about() {
    let output = child("text");
    assert!(output.status.success(), "{}", text(&output));
    let told = text(&output);
    assert!(!told.contains("zq7"), "{told}");
    let places: Vec<_> = told
        .lines()
        .filter(|line| line.contains(" ERROR panicked at "))
        .collect();
    assert_eq!(places.len(), 6, "{told}");
    assert!(places.iter().all(|line| line.contains(".rs:")), "{told}");
    assert!(told.contains("in the thread worker\n"), "{told}");
}

#[test]
fn beside_json_logs_a_panic_is_json() {
    let output = child("json");
    let told = text(&output);
    assert!(output.status.success() && !told.contains("zq7"), "{told}");
    let objects: Vec<serde_json::Value> = told
        .lines()
        .filter_map(|line| serde_json::from_str(line).ok())
        .collect();
    assert_eq!(objects.len(), 6, "{told}");
    for object in objects {
        assert_eq!(
            (&object["level"], &object["message"]),
            (&"ERROR".into(), &"panicked".into())
        );
        assert!(object["place"].as_str().unwrap().contains(".rs:"));
        assert!(object["thread"].is_string() && object["timestamp"].is_string());
    }
}

/// Or the tests above would hold for any program.
#[test]
fn without_the_hook_a_panic_tells() {
    assert!(text(&child("as usual")).contains("zq7mail"));
}

#[test]
fn a_process_can_refuse_to_be_dumped() {
    let output = child("core");
    assert!(output.status.success(), "{}", text(&output));
}
