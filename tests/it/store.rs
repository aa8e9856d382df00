//! The store under SIGKILL: a child writes a known sequence, and dies at any moment.

use std::{
    collections::HashMap,
    io::{BufRead as _, BufReader},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::mpsc,
    time::{Duration, UNIX_EPOCH},
};

use feishu_id::{
    clock,
    store::{self, Class, DirectoryName, RecordKey, Scope, Selection, Settings, Store as _, Vault},
};

/// How often it is killed; `STORE_KILLS` says otherwise.
const KILLS: u64 = 40;
const PEOPLE: u64 = 1500;
/// What makes this program the child, and where it is to write from which step on.
const CHILD: &str = "STORE_CHILD";
const FIRST_STEP: &str = "STORE_CHILD_STEP";

const DIRECTORY: DirectoryName<'_> = DirectoryName {
    tenant: "acme",
    base_url: "https://open.feishu.cn",
    app_id: "cli_a",
};

fn settings(dir: &Path) -> Settings {
    Settings {
        dir: dir.to_owned(),
        key_file: dir.join("store.key"),
        capacity: 100_000,
    }
}

fn key(vault: &Vault, who: u64) -> RecordKey {
    vault.key(&DIRECTORY, &[&who.to_le_bytes()])
}

/// Whom a step writes, and what: long and short ones, so that the file is compacted now and then.
fn writes(step: u64) -> impl Iterator<Item = u64> {
    (0..40).map(move |n| (step * 17 + n) % PEOPLE)
}

fn text(who: u64, step: u64) -> String {
    let length = usize::try_from((who * 31 + step) % 1500).unwrap();
    format!("{step} {who} {}", "x".repeat(length))
}

fn removed_by(step: u64) -> Option<u64> {
    (step % 7 == 3).then_some((step * 17 + 5) % PEOPLE)
}

/// Not a test of its own: what the parent starts, and kills.
#[tokio::test]
async fn a_child_of_the_test_below() {
    let Some(dir) = std::env::var_os(CHILD) else {
        return;
    };
    let first: u64 = std::env::var(FIRST_STEP).unwrap().parse().unwrap();
    let opened = store::open(&settings(Path::new(&dir))).unwrap();
    let (store, vault) = (&opened.store, &opened.vault);
    let later = clock::wall_now() + Duration::from_hours(1);
    let later = u64::try_from(later.duration_since(UNIX_EPOCH).unwrap().as_millis()).unwrap();
    say("began", first);
    for step in first.. {
        for who in writes(step) {
            let key = key(vault, who);
            let text = text(who, step);
            let record = vault.seal(&key, Class::Found, later, text.as_bytes());
            store.put(key, record.unwrap());
        }
        if step % 3 == 0 {
            store.flush().await.unwrap();
            say("flushed", step);
        }
        if let Some(who) = removed_by(step) {
            let which = Selection {
                scope: Scope::Key(key(vault, who)),
                negative_only: false,
            };
            store.remove(which).await.unwrap();
            say("removed", step);
        }
    }
}

#[expect(clippy::print_stdout, reason = "how the child tells its parent")]
fn say(what: &str, step: u64) {
    println!("\nstore: {what} {step}");
}

/// What must be in the file for each person: at least that step's, if any.
#[derive(Default)]
struct Model {
    /// Steps that were written for sure.
    floor: HashMap<u64, u64>,
    /// Whoever was removed has nothing of these steps or before.
    gone: HashMap<u64, u64>,
    flushed_to: u64,
    last: u64,
}

impl Model {
    /// The child said so before it died.
    fn hear(&mut self, line: &str) {
        let Some(said) = line.strip_prefix("store: ") else {
            return;
        };
        let (what, step) = said.split_once(' ').unwrap();
        let step: u64 = step.parse().unwrap();
        self.last = self.last.max(step);
        match what {
            "flushed" => {
                for earlier in self.flushed_to..=step {
                    for who in writes(earlier) {
                        if self.gone.get(&who).is_none_or(|gone| *gone < earlier) {
                            self.floor.insert(who, earlier);
                        }
                    }
                }
                self.flushed_to = step + 1;
            }
            "removed" => {
                let who = removed_by(step).unwrap();
                self.floor.remove(&who);
                self.gone.insert(who, step);
            }
            "began" => self.flushed_to = step,
            other => unreachable!("the child said {other}"),
        }
    }

    /// A removal that was not answered may have happened.
    fn forgive(&mut self) {
        for step in self.last..=self.last + 10 {
            if let Some(who) = removed_by(step) {
                self.floor.remove(&who);
            }
        }
    }

    /// What is there must be whole, really written, and no older than what was promised. Says how
    /// many are.
    async fn check(&self, dir: &Path, round: u64) -> usize {
        let opened = store::open(&settings(dir)).unwrap();
        assert!(opened.warnings.is_empty(), "{round}: {:?}", opened.warnings);
        let keys: Vec<_> = (0..PEOPLE).map(|who| key(&opened.vault, who)).collect();
        let mut records = opened.store.get(&keys).await;
        // On a machine that is busy with something else a read may be given up, and then all are for some
        // seconds.
        let mut failed = 0;
        while opened.store.stats().failed_reads > failed && failed < 10_000 {
            failed = opened.store.stats().failed_reads;
            tokio::time::sleep(Duration::from_secs(6)).await;
            records = opened.store.get(&keys).await;
        }
        let mut found = 0;
        for (who, (key, record)) in (0..).zip(keys.iter().zip(records)) {
            let floor = self.floor.get(&who);
            let Some(record) = record else {
                assert!(floor.is_none(), "{round}: {who} of step {floor:?} is lost");
                continue;
            };
            let opened = opened.vault.open_record(key, &record).unwrap();
            let read = String::from_utf8(opened.to_vec()).unwrap();
            let step: u64 = read.split(' ').next().unwrap().parse().unwrap();
            assert_eq!(read, text(who, step), "{round}: never written");
            assert!(writes(step).any(|other| other == who));
            assert!(
                floor.is_none_or(|floor| step >= *floor),
                "{round}: {who} is too old"
            );
            let gone = self.gone.get(&who);
            assert!(
                gone.is_none_or(|gone| step > *gone),
                "{round}: {who} came back"
            );
            found += 1;
        }
        assert_eq!(opened.store.stats().failed_reads, 0);
        found
    }
}

struct Scratch(PathBuf);

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Runs the child for so long, and says what it said.
fn run_and_kill(dir: &Path, first: u64, lasts: Duration) -> Vec<String> {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "store::a_child_of_the_test_below", "--nocapture"])
        .env(CHILD, dir)
        .env(FIRST_STEP, first.to_string())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::inherit())
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let (sender, receiver) = mpsc::channel();
    let reader = std::thread::spawn(move || {
        let mut heard = Vec::new();
        for line in lines {
            let line = line.unwrap();
            if line.starts_with("store: began") {
                let _ = sender.send(());
            }
            heard.push(line);
        }
        heard
    });
    receiver.recv_timeout(Duration::from_secs(30)).unwrap();
    std::thread::sleep(lasts);
    child.kill().unwrap();
    child.wait().unwrap();
    reader.join().unwrap()
}

#[tokio::test]
async fn whenever_it_is_killed_what_was_promised_is_there_and_nothing_is_half() {
    let name = format!("feishu-id-kills-{}", std::process::id());
    let scratch = Scratch(std::env::temp_dir().join(name));
    let kills = std::env::var("STORE_KILLS").map_or(KILLS, |kills| kills.parse().unwrap());
    let mut random = fastrand::Rng::with_seed(11);
    let mut model = Model::default();
    let mut most = 0;
    for round in 0..kills {
        // Steps that may have been begun and not told of are never used again.
        let first = (model.last + 1000).next_multiple_of(1000);
        let lasts = Duration::from_micros(random.u64(0..120_000));
        for line in run_and_kill(&scratch.0, first, lasts) {
            model.hear(&line);
        }
        model.forgive();
        most = most.max(model.check(&scratch.0, round).await);
    }
    assert!(most > 500, "the child wrote too little to tell: {most}");
}
