//! Whether files have changed. They are looked at now and then, not told of by the system: what is told
//! is that an inode has changed, and what Kubernetes changes is a link two folders above it.

use std::{
    collections::BTreeMap,
    fs,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    time::Duration,
};

use tokio::{
    task::{AbortHandle, spawn_blocking},
    time::timeout,
};

/// How long a disk may take; a local one takes microseconds.
const PATIENCE: Duration = Duration::from_secs(10);

/// Files, as they were taken and as they are.
pub(super) struct Watch {
    files: Vec<PathBuf>,
    taken: View,
    last: View,
    aside: Aside,
}

/// What files look like from outside, at one moment.
pub(super) type View = BTreeMap<PathBuf, Option<Stamp>>;

/// What changes whenever a file does, or the way to it.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Stamp {
    /// Where it is once every link has been followed.
    path: PathBuf,
    device: u64,
    inode: u64,
    size: u64,
    /// Seconds and nanoseconds.
    modified: (i64, i64),
    /// The same of everything about it, which nobody can set back.
    changed: (i64, i64),
}

/// A thread for what may block, with one thing to do at a time: a disk that hangs must not take one
/// thread after the other.
#[derive(Default)]
struct Aside {
    busy: Option<AbortHandle>,
}

impl Watch {
    /// Watches these files, which nobody has looked at yet.
    pub(super) fn new(files: Vec<PathBuf>) -> Self {
        Self {
            files,
            taken: View::new(),
            last: View::new(),
            aside: Aside::default(),
        }
    }

    /// Does something that reads them. None if it takes too long.
    pub(super) async fn aside<T: Send + 'static>(
        &mut self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Option<T> {
        self.aside.run(work).await
    }

    /// Looks, and says whether they are not as they were taken, and nobody has touched them since the
    /// last look: whoever writes them may be at it.
    pub(super) async fn has_settled_change(&mut self) -> bool {
        let Some(now) = self.look().await else {
            return false;
        };
        let is_settled = now == self.last;
        self.last = now;
        is_settled && self.last != self.taken
    }

    /// What they look like now.
    pub(super) async fn look(&mut self) -> Option<View> {
        let files = self.files.clone();
        self.aside.run(move || look(&files)).await
    }

    /// Watches these from now on, which have been read since they looked like `before`. Says whether that
    /// was all of a piece: if one has changed meanwhile, nothing has been taken.
    pub(super) async fn take(&mut self, files: Vec<PathBuf>, before: &View) -> bool {
        self.files = files;
        let Some(now) = self.look().await else {
            return false;
        };
        let is_torn = now
            .iter()
            .any(|(path, stamp)| before.get(path).is_some_and(|old| old != stamp));
        if !is_torn {
            self.taken.clone_from(&now);
        }
        self.last = now;
        !is_torn
    }
}

impl Aside {
    async fn run<T: Send + 'static>(
        &mut self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Option<T> {
        if self.busy.as_ref().is_some_and(|busy| !busy.is_finished()) {
            return None;
        }
        let work = spawn_blocking(work);
        self.busy = Some(work.abort_handle());
        timeout(PATIENCE, work).await.ok()?.ok()
    }
}

fn look(files: &[PathBuf]) -> View {
    let stamped = files.iter().map(|path| (path.clone(), stamp(path)));
    stamped.collect()
}

/// None if there is nothing that can be read.
fn stamp(path: &Path) -> Option<Stamp> {
    let path = fs::canonicalize(path).ok()?;
    let about = fs::metadata(&path).ok()?;
    Some(Stamp {
        device: about.dev(),
        inode: about.ino(),
        size: about.size(),
        modified: (about.mtime(), about.mtime_nsec()),
        changed: (about.ctime(), about.ctime_nsec()),
        path,
    })
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use std::os::unix::fs::symlink;

    use super::*;

    struct Scratch(PathBuf);

    impl Scratch {
        fn new(name: &str) -> Self {
            let name = format!("feishu-id-watch-{name}-{}", std::process::id());
            let dir = std::env::temp_dir().join(name);
            let _not_there = fs::remove_dir_all(&dir);
            fs::create_dir_all(&dir).unwrap();
            Self(dir)
        }
    }

    impl Drop for Scratch {
        fn drop(&mut self) {
            let _gone = fs::remove_dir_all(&self.0);
        }
    }

    /// A watch that has taken the files as they are.
    async fn taken(files: Vec<PathBuf>) -> Watch {
        let mut watch = Watch::new(files.clone());
        let before = watch.look().await.unwrap();
        assert!(watch.take(files, &before).await);
        assert!(!watch.has_settled_change().await);
        watch
    }

    #[tokio::test]
    async fn a_change_counts_once_it_has_been_left_alone() {
        let scratch = Scratch::new("change");
        let file = scratch.0.join("a");
        fs::write(&file, "one").unwrap();
        let mut watch = taken(vec![file.clone(), scratch.0.join("absent")]).await;
        fs::write(&file, "tw").unwrap();
        assert!(!watch.has_settled_change().await, "somebody may be at it");
        fs::write(&file, "two!").unwrap();
        assert!(!watch.has_settled_change().await);
        assert!(watch.has_settled_change().await);
        fs::write(scratch.0.join("absent"), "there").unwrap();
        assert!(!watch.has_settled_change().await);
        assert!(watch.has_settled_change().await);
        fs::remove_file(&file).unwrap();
        assert!(!watch.has_settled_change().await);
        assert!(watch.has_settled_change().await);
    }

    #[tokio::test]
    async fn a_link_that_is_swapped_two_folders_up_is_a_change() {
        let scratch = Scratch::new("link");
        for version in ["..1", "..2"] {
            fs::create_dir(scratch.0.join(version)).unwrap();
            fs::write(scratch.0.join(version).join("key"), "same length").unwrap();
        }
        let (data, new) = (scratch.0.join("..data"), scratch.0.join("..data_tmp"));
        symlink("..1", &data).unwrap();
        let key = scratch.0.join("key");
        symlink("..data/key", &key).unwrap();
        let mut watch = taken(vec![key]).await;
        symlink("..2", &new).unwrap();
        fs::rename(&new, &data).unwrap();
        assert!(!watch.has_settled_change().await);
        assert!(watch.has_settled_change().await);
    }

    #[tokio::test]
    async fn what_changes_while_it_is_read_is_not_taken() {
        let scratch = Scratch::new("torn");
        let file = scratch.0.join("a");
        fs::write(&file, "one").unwrap();
        let mut watch = taken(vec![file.clone()]).await;
        let before = watch.look().await.unwrap();
        fs::write(&file, "other").unwrap();
        assert!(!watch.take(vec![file.clone()], &before).await);
        assert!(
            watch.has_settled_change().await,
            "it has been left alone since"
        );
        let before = watch.look().await.unwrap();
        assert!(watch.take(vec![file], &before).await);
        assert!(!watch.has_settled_change().await);
    }

    #[tokio::test]
    async fn a_disk_that_hangs_takes_one_thread_alone() {
        let mut aside = Aside::default();
        let (open, gate) = std::sync::mpsc::channel::<()>();
        let hangs = aside.run(move || gate.recv());
        assert!(timeout(Duration::from_millis(50), hangs).await.is_err());
        assert_eq!(aside.run(|| 1).await, None);
        open.send(()).unwrap();
        while aside.run(|| 1).await.is_none() {
            tokio::task::yield_now().await;
        }
    }
}
