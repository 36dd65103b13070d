//! `artifact verify`.

use crate::json::Json;
use crate::support::{Folder, fixture, fixtures, genuine, patched, run};

#[test]
fn prints_warnings_and_strict_rejects_them() {
    let folder = Folder::new();
    let sound: Vec<String> = fixtures().iter().map(|name| fixture(&format!("{name}.cwasm"))).collect();
    let mut args = vec!["verify", "--strict"];
    args.extend(sound.iter().map(String::as_str));
    let ran = run(&args).expect(0);
    assert_eq!(ran.out(), sound.iter().map(|file| format!("{file}: OK\n")).collect::<String>());

    let unsorted = patched(genuine("addfib"), b"has_avx2", b"has_zzz2");
    let odd = folder.file("odd", [&unsorted[..], b"and more"].concat());
    let ran = run(&["verify", &odd]).expect(0);
    let lines: Vec<&str> = ran.out().lines().collect();
    assert_eq!(lines.len(), 2, "{lines:?}");
    assert!(lines[0].starts_with(&format!("{odd}: Metadata, isa_flags: ")), "{lines:?}");
    assert!(lines[1].starts_with(&format!("{odd}: 8 unknown bytes follow Metadata ")), "{lines:?}");
    assert_eq!(run(&["verify", "--strict", &odd]).expect(3).out(), ran.out());
    let json = run(&["verify", "--json", &odd]).expect(0).json();
    assert_eq!(json.get("status"), &Json::number(0));
    let kinds: Vec<&str> = json.get("findings").list().iter().map(|finding| finding.get("kind").text()).collect();
    assert_eq!(kinds, ["metadata", "trailing_bytes"]);
}
