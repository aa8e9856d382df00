//! Files that are cut short, torn or rotten: what is read is what was written, or nothing.

use super::*;

/// A file of five blocks, each with 20 records, and a removal in the third.
async fn sample(scratch: &Scratch) -> Vec<u8> {
    let opened = scratch.open();
    for block in 0..5 {
        for who in 0..20 {
            opened.found("acme", &(block * 20 + who).to_string());
        }
        opened.flush().await;
        if block == 2 {
            let first = Scope::Key(opened.key("acme", "0"));
            assert_eq!(opened.remove(first, false).await, 1);
        }
    }
    drop(opened);
    bytes_of(&scratch.file())
}

/// Opens it, reads and writes all; says whether it was used, and how many were found.
async fn tried(scratch: &Scratch) -> (bool, usize) {
    let opened = scratch.open();
    let used = scratch.aside().is_empty();
    let damaged = opened
        .warnings
        .iter()
        .any(|warning| warning.contains(" is damaged: "));
    assert_eq!(opened.warnings.len(), usize::from(damaged || !used));
    let mut found = 0;
    for who in 0..100 {
        // Checks what it finds.
        found += usize::from(opened.has("acme", &who.to_string()).await);
    }
    opened.found("acme", "later");
    opened.flush().await;
    drop(opened);
    for path in scratch.aside() {
        fs::remove_file(path).unwrap();
    }
    let again = scratch.open();
    assert!(again.warnings.is_empty(), "twice: {:?}", again.warnings);
    assert!(again.has("acme", "later").await);
    (used, found)
}

#[tokio::test]
async fn a_file_cut_short_anywhere_keeps_its_whole_blocks() {
    let scratch = Scratch::new("cut");
    let bytes = sample(&scratch).await;
    let mut counts = Vec::new();
    for length in (0..bytes.len())
        .step_by(97)
        .chain([64, 65, bytes.len() - 1, bytes.len()])
    {
        fs::write(scratch.file(), &bytes[..length]).unwrap();
        let (used, found) = tried(&scratch).await;
        assert_eq!(used, length >= 64, "cut to {length}");
        counts.push(found);
    }
    counts.sort_unstable();
    counts.dedup();
    // The removal is in a block of its own, hence 60 before it and 59 behind.
    assert_eq!(counts, [0, 20, 40, 59, 60, 79, 99]);
}

#[tokio::test]
async fn a_tail_that_was_never_written_is_cut_off() {
    let scratch = Scratch::new("tail");
    let bytes = sample(&scratch).await;
    for tail in [1, 16, 5000] {
        let longer = [bytes.as_slice(), &vec![0; tail]].concat();
        fs::write(scratch.file(), longer).unwrap();
        assert_eq!(tried(&scratch).await, (true, 99));
    }
    // A whole block whose content did not reach the disk.
    let mut torn = bytes.clone();
    let last = torn.len() - 2000;
    torn[last..].fill(0);
    fs::write(scratch.file(), torn).unwrap();
    assert_eq!(tried(&scratch).await, (true, 79));
}

#[tokio::test]
async fn what_is_rotten_is_set_aside_or_not_found_and_never_wrong() {
    let scratch = Scratch::new("rotten");
    let bytes = sample(&scratch).await;
    let mut random = fastrand::Rng::with_seed(7);
    let mut used = 0;
    for round in 0..200 {
        let mut rotten = bytes.clone();
        let at = random.usize(..rotten.len());
        for byte in rotten
            .iter_mut()
            .skip(at)
            .take(if round % 2 == 0 { 1 } else { 64 })
        {
            *byte ^= random.u8(1..);
        }
        fs::write(scratch.file(), rotten).unwrap();
        let (usable, found) = tried(&scratch).await;
        used += usize::from(usable);
        assert!(
            found == 0 || found == 79 || found == 99,
            "byte {at}: {found}"
        );
        assert!(usable || found == 0);
    }
    assert!((10..190).contains(&used), "{used} were used");
}

#[tokio::test]
async fn what_rots_while_it_is_open_is_not_found_and_counted() {
    let scratch = Scratch::new("rots");
    let bytes = sample(&scratch).await;
    let opened = scratch.open();
    let file = fs::OpenOptions::new()
        .write(true)
        .open(scratch.file())
        .unwrap();
    let rotten: Vec<_> = bytes.iter().map(|byte| byte ^ 0x55).collect();
    std::os::unix::fs::FileExt::write_all_at(&file, &rotten, 0).unwrap();
    assert!(!opened.has("acme", "50").await);
    assert!(!opened.has("acme", "50").await);
    let stats = opened.store.stats();
    assert_eq!((stats.failed_reads, stats.records), (1, 98));
    opened.found("acme", "later");
    opened.flush().await;
    assert!(opened.has("acme", "later").await);
    // Gone altogether.
    file.set_len(0).unwrap();
    assert!(!opened.has("acme", "later").await && !opened.has("acme", "51").await);
    assert_eq!(opened.store.stats().failed_reads, 3);
}

#[tokio::test]
async fn a_compacted_file_holds_the_same() {
    let scratch = Scratch::new("compact");
    sample(&scratch).await;
    let opened = scratch.open();
    for round in 0..12 {
        for who in 0..1000 {
            opened.found("umbrella", &who.to_string());
        }
        opened.flush().await;
        assert!(opened.has("umbrella", &round.to_string()).await);
    }
    // 2.7 MB were written, 0.25 of which count; how often it was compacted on the way is a matter of
    // time.
    let until = Instant::now() + Duration::from_secs(20);
    while opened.store.stats().bytes > 1_600_000 {
        assert!(Instant::now() < until, "not compacted");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(opened.store.stats().records, 1099);
    for who in 0..1000 {
        assert!(opened.has("umbrella", &who.to_string()).await);
    }
    opened.found("umbrella", "later");
    drop(opened);
    let again = scratch.open();
    assert!(again.has("umbrella", "later").await && again.has("umbrella", "999").await);
    assert!(!again.has("acme", "0").await && again.has("acme", "99").await);
    let gone = Scope::Directory(again.vault.directory(&directory("umbrella")));
    assert_eq!(again.remove(gone, false).await, 1001);
}

#[test]
fn a_compaction_that_is_broken_off_changes_nothing() {
    let scratch = Scratch::new("broken-off");
    let opened = scratch.open();
    let large = vec![7; 10_000];
    for who in 0..600_u32 {
        let key = opened.vault.key(&directory("acme"), &[&who.to_le_bytes()]);
        let record = opened.vault.seal(&key, Class::Found, now() + HOUR, &large);
        opened.store.put(key, record.unwrap());
    }
    let id = opened.vault.id();
    drop(opened);
    let before = bytes_of(&scratch.file());
    let (log, index, _) = log::Log::open(&scratch.file(), id, now()).unwrap();
    let records = || log::in_file_order(|part| index.part(part));
    assert_eq!(records().len(), 600);
    let stopped = log.compact(records(), index.of_same_directories(), || true);
    assert!(stopped.unwrap().is_none());
    assert_eq!(bytes_of(&scratch.file()), before);
    assert!(!scratch.0.join("answers.db.new").exists());
    let done = log.compact(records(), index.of_same_directories(), || false);
    let (_, index) = done.unwrap().unwrap();
    assert_eq!(index.len(), 600);
    assert_eq!(scratch.open().store.stats().records, 600);
}

#[test]
fn a_block_that_could_not_be_written_leaves_no_trace() {
    let scratch = Scratch::new("torn");
    let opened = scratch.open();
    opened.found("acme", "a");
    let id = opened.vault.id();
    let key = opened.key("acme", "b");
    let record = opened
        .vault
        .seal(&key, Class::Found, now() + HOUR, b"ID of b");
    drop(opened);
    let (mut log, ..) = log::Log::open(&scratch.file(), id, now()).unwrap();
    let mut block = log::Block::new();
    block.push(&format::Entry::Record(key, record.unwrap()));
    // What a failed write of a longer block has left.
    log.leave_torn(&[0xab; 5000]);
    log.append(&mut block).unwrap();
    drop(log);
    let (_, index, _) = log::Log::open(&scratch.file(), id, now()).unwrap();
    assert_eq!(index.len(), 2);
}

/// What is said at the next start: bytes that are damaged or torn, if any.
fn said(scratch: &Scratch) -> (Option<String>, u64) {
    let mut opened = scratch.open();
    assert!(opened.warnings.len() < 2, "{:?}", opened.warnings);
    (opened.warnings.pop(), opened.torn)
}

#[tokio::test]
async fn damage_of_what_was_written_is_told_once_and_a_torn_write_is_no_damage() {
    let scratch = Scratch::new("told");
    let bytes = sample(&scratch).await;
    // Its last block: five blocks and a removal, of which the records' are alike.
    let block = (bytes.len() - 64 - 80) / 5;
    let mut rotten = bytes.clone();
    rotten[bytes.len() - 100] ^= 1;
    let half = bytes[..bytes.len() - block / 2].to_vec();
    let gone = bytes[..bytes.len() - block].to_vec();
    for damaged in [rotten, half, gone] {
        fs::write(scratch.file(), damaged).unwrap();
        let (warning, torn) = said(&scratch);
        let warning = warning.unwrap();
        assert!(
            warning.contains(&format!("is damaged: its last {block} bytes")),
            "{warning}"
        );
        assert_eq!(torn, 0);
        assert_eq!(said(&scratch), (None, 0), "twice");
    }
    // What a process that was killed had begun to write.
    fs::write(
        scratch.file(),
        [&bytes[..], &bytes[bytes.len() - block..][..777]].concat(),
    )
    .unwrap();
    assert_eq!(said(&scratch), (None, 777));
    assert_eq!(said(&scratch), (None, 0));
}

#[tokio::test]
async fn damage_is_told_from_a_torn_write_also_after_a_crash() {
    let scratch = Scratch::new("crash");
    let opened = scratch.open();
    for who in 0..20 {
        opened.found("acme", &who.to_string());
    }
    opened.flush().await;
    // As it lies there a moment after the last write.
    let length = opened.store.stats().bytes;
    let until = Instant::now() + Duration::from_secs(20);
    let bytes = loop {
        let bytes = bytes_of(&scratch.file());
        let header = bytes.first_chunk().unwrap();
        if matches!(format::read_file_header(header), format::Header::Ours(_, mark) if mark == length)
        {
            break bytes;
        }
        assert!(Instant::now() < until, "no mark");
        tokio::time::sleep(Duration::from_millis(50)).await;
    };
    drop(opened);
    let mut rotten = bytes;
    let last = rotten.len() - 100;
    rotten[last] ^= 1;
    fs::write(scratch.file(), rotten).unwrap();
    assert!(said(&scratch).0.unwrap().contains(" is damaged: "));
}
