use super::*;
use crate::cache::CacheOptions;
use crate::engine::Engine;

/// Makes files with the names of entries, the first one used longest ago.
fn plant(folder: &std::path::Path, count: u32) {
    for number in 0..count {
        let key = *blake3::hash(&number.to_le_bytes()).as_bytes();
        let path = folder.join("v1").join(name_of(&key, &[0; 8]));
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        let file = std::fs::File::create(path).unwrap();
        file.set_len(1).unwrap();
        file.set_modified(SystemTime::now() - Duration::from_secs(10_000 - u64::from(number))).unwrap();
    }
}

fn open(folder: &std::path::Path, max_entries: u64) -> Cache {
    Cache::open(folder, &Engine::new(), CacheOptions { max_entries, ..CacheOptions::default() }).unwrap()
}

/// Collects for as short as possible.
fn slice(cache: &Cache) -> u64 {
    let over = Some(Instant::now());
    let times = Times { list: over, all: over };
    cache.collect(&cache.tree().unwrap(), times, Duration::ZERO, None).unwrap().unwrap()
}

#[test]
fn slices_reach_the_limit() {
    let folder = tempfile::tempdir().unwrap();
    plant(folder.path(), 300);
    let cache = open(folder.path(), 100);
    // One subfolder is listed each time, and then one entry removed: 300 are no sample of more.
    for _ in 0..255 {
        assert_eq!(slice(&cache), 0);
    }
    assert_eq!(cache.usage().unwrap().entries, 300);
    for _ in 0..220 {
        assert!(fork::lock(&cache.scan).is_some());
        assert_eq!(slice(&cache), 4096);
    }
    assert_eq!(cache.usage().unwrap().entries, 80);
    assert!(fork::lock(&cache.scan).is_none());
}

#[test]
fn a_part_of_many_entries_is_cut_to_its_share() {
    let folder = tempfile::tempdir().unwrap();
    plant(folder.path(), 6000);
    let cache = open(folder.path(), 1500);
    let over = Some(Instant::now());
    let times = Times { list: over, all: None };
    let tree = cache.tree().unwrap();
    let collect = || cache.collect(&tree, times, Duration::ZERO, None).unwrap().unwrap();
    let slices = (0..256).take_while(|_| collect() == 0).count();
    // Two thirds of the subfolders have 4096 entries, of which 80 % of two thirds of the limit are left.
    assert!((160..190).contains(&slices), "{slices}");
    let left = cache.usage().unwrap().entries;
    assert!((2600..2850).contains(&left), "{left}");
    // The next stores go on with the others.
    while fork::lock(&cache.scan).is_some() {
        collect();
    }
    let left = cache.usage().unwrap().entries;
    assert!((1100..1300).contains(&left), "{left}");
}

#[test]
fn other_files_take_no_longer_than_the_time() {
    let folder = tempfile::tempdir().unwrap();
    plant(folder.path(), 1);
    let subfolder = std::fs::read_dir(folder.path().join("v1")).unwrap().next().unwrap().unwrap().path();
    let own = subfolder.file_name().unwrap().to_str().unwrap().to_owned();
    let old = SystemTime::now() - Duration::from_secs(100);
    for number in 0..2000_u64 {
        let name = format!(".{own}{}.{number:016x}.{number:016x}.tmp", "0".repeat(62));
        std::fs::File::create(subfolder.join(name)).unwrap().set_modified(old).unwrap();
    }
    let cache = open(folder.path(), 100);
    let tree = cache.tree().unwrap();
    let left = || std::fs::read_dir(&subfolder).unwrap().count();
    let mut scan = Scan::new(u32::from_str_radix(&own, 16).unwrap(), 1);
    cache.list(&tree, &mut scan, Some(Instant::now())).unwrap();
    assert!((2001 - OTHERS..2001).contains(&left()), "{}", left());
    assert!(scan.is_complete());
    cache.list(&tree, &mut Scan::new(scan.first, 1), None).unwrap();
    assert_eq!(left(), 1);
}

#[test]
fn room_is_made_whatever_has_begun() {
    let folder = tempfile::tempdir().unwrap();
    plant(folder.path(), 300);
    let cache = open(folder.path(), 290);
    while cache.usage().unwrap().entries > 234 {
        slice(&cache);
    }
    assert!(fork::lock(&cache.scan).is_some());
    cache.make_room(&cache.tree().unwrap(), 10 * 4096);
    assert!(cache.usage().unwrap().entries <= 188);
}

#[test]
fn names_are_read_strictly() {
    let name = name_of(&[0xab; 32], &[0x01; 8]);
    let (folder, file) = name.split_once('/').unwrap();
    let parse = |folder: &str, file: &str| parse(folder, file.as_bytes());
    assert_eq!(parse(folder, file), Some(([0xab; 32], [0x01; 8])));
    for end in 0..file.len() {
        assert_eq!(parse(folder, &file[..end]), None);
    }
    for wrong in [file.to_uppercase(), file.replace('.', "-"), file.replace('1', "g"), format!("{file}0")] {
        assert_eq!(parse(folder, &wrong), None, "{wrong}");
    }
    assert_eq!(parse("ac", file), None);
    let temporary = format!(".{file}.0123456789abcdef.tmp");
    assert!(is_ours(folder, file.as_bytes()) && is_ours(folder, temporary.as_bytes()));
    assert!(!is_ours("ac", temporary.as_bytes()));
    for wrong in [&temporary[1..], &temporary[..102], ".note.tmp", ".note.0123456789abcdef.tmp"] {
        assert!(!is_ours(folder, wrong.as_bytes()), "{wrong}");
    }
}
